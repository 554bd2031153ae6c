"""What Helm renders from the chart's values."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.cluster.tools import binaries
from tests.generate import ROOT

pytestmark = pytest.mark.e2e
DIGEST = f"sha256:{'0a' * 32}"


def helm_template(*options: str) -> subprocess.CompletedProcess[str]:
    """`helm template` of the chart."""
    command = [
        str(binaries() / "helm"),
        "template",
        "modelmeter",
        "charts/modelmeter",
        "--set=crds.enabled=false",
        *options,
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("options", "image"),
    [
        ((), "ghcr.io/modelmeter/modelmeter:0.1.0"),
        (("--set=image.tag=v2",), "ghcr.io/modelmeter/modelmeter:v2"),
        (("--set=image.tag=v2", f"--set=image.digest={DIGEST}"), f"ghcr.io/modelmeter/modelmeter@{DIGEST}"),
    ],
    ids=["as it comes", "a tag", "a digest"],
)
def test_the_operator_the_loader_and_the_hook_have_one_image(options: tuple[str, ...], image: str) -> None:
    rendered = helm_template(*options).stdout
    images = re.findall(r"(?:image: |--loader-image=)(\S+)", rendered)
    assert images == [image] * 3


def test_what_is_no_digest_is_refused() -> None:
    assert "/image/digest" in helm_template("--set=image.digest=latest").stderr
