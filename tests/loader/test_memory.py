"""A model of any size is fetched within the same memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.loader.serve import of_a_bucket, of_a_registry, of_a_website
from tests.loader.test_bucket import store as store  # a fixture
from tests.loader.test_hub import Hub
from tests.loader.test_hub import hub as hub  # a fixture
from tests.loader.test_registry import registry as registry  # a fixture
from tests.loader.test_sources import contents
from tests.loader.test_sources import workspace as workspace  # a fixture

WEIGHTS_BYTES = 256 << 20
LIMIT_BYTES = 64 << 20
# The peak of this process's own memory: ru_maxrss would begin with that of the process that started it.
CHILD = """
import re, sys
from pathlib import Path
from modelmeter.loader.checkpoint import digest
from modelmeter.loader.fetch import fetch
result = digest(fetch(sys.argv[1], Path(sys.argv[2]), Path("/absent")).folder)
print(result.size_bytes, re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def of_the_hub(request: pytest.FixtureRequest, files: dict[str, bytes]) -> str:
    made: Hub = request.getfixturevalue("hub")
    made.files |= files
    return "hf://acme/bert"


@pytest.mark.parametrize("serve", [of_a_website, of_the_hub, of_a_bucket, of_a_registry])
def test_memory_does_not_grow_with_the_model(
    request: pytest.FixtureRequest,
    checkpoint: Path,
    workspace: Path,
    serve: Callable[[pytest.FixtureRequest, dict[str, bytes]], str],
) -> None:
    files = contents(checkpoint) | {"model.safetensors": bytes(WEIGHTS_BYTES)}
    source = serve(request, files)
    command = [sys.executable, "-c", CHILD, source, str(workspace)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    size_bytes, peak_kib = map(int, finished.stdout.split())
    assert size_bytes == sum(map(len, files.values()))
    assert peak_kib << 10 < LIMIT_BYTES
    assert len(finished.stderr.splitlines()) <= 13
    (workspace / "model" / "model.safetensors").unlink()
