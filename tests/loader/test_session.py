"""What our model.py starts in Triton: onnxruntime from the repository, on as many processors as the container has."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from modelmeter.loader import repository
from modelmeter.loader.backend import FOLDER, processors
from modelmeter.loader.spec import LoadSpec
from tests.loader.checkpoints import tiny

ALLOWED = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", ALLOWED),
        ("50000 100000", 1),
        ("100000 100000", 1),
        (f"{ALLOWED * 100000 + 1} 100000", ALLOWED),
        (f"{(ALLOWED - 1) * 100000 + 1} 100000", ALLOWED),
        ("", ALLOWED),
        (None, ALLOWED),
    ],
)
def test_a_container_s_limit_is_its_processors(tmp_path: Path, quota: str | None, expected: int) -> None:
    if quota is not None:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert processors.available(tmp_path / "cpu.max") == expected


def test_instances_share_the_processors() -> None:
    assert processors.per_instance(1) == processors.available()
    assert processors.per_instance(10_000) == 1


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder with numpy and nothing else, as Triton's Python has."""
    found = Path(np.__file__).parent
    for folder in (found, found.with_name("numpy.libs")):
        (tmp_path / "bare" / folder.name).parent.mkdir(exist_ok=True)
        (tmp_path / "bare" / folder.name).symlink_to(folder)
    return tmp_path / "bare"


def in_bare_python(bare: Path, vendor: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code after `use_vendored` in a Python without our environment."""
    prepared = (
        f"from backend.session import use_vendored; use_vendored(__import__('pathlib').Path({str(vendor)!r}), '3.9')"
    )
    path = os.pathsep.join((str(bare), str(FOLDER.parent)))
    return subprocess.run(
        [sys.executable, "-S", "-c", f"{prepared}; {code}"],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_repository_brings_onnxruntime_along(tmp_path: Path, checkpoint: Path, bare: Path) -> None:
    repository.write(checkpoint, tmp_path, LoadSpec("m", max_sequence_length=20), threads=1)
    vendor = tmp_path / "m-bert" / "1" / "vendor"
    finished = in_bare_python(bare, vendor, "import onnxruntime; print(onnxruntime.__file__, onnxruntime.__version__)")
    assert finished.stdout.split() == [str(vendor / "onnxruntime" / "__init__.py"), onnxruntime.__version__]


def test_an_image_of_another_python_is_told(tmp_path: Path, bare: Path) -> None:
    (tmp_path / "vendor" / "onnxruntime").mkdir(parents=True)  # its compiled part is for another Python: not found
    (tmp_path / "vendor" / "onnxruntime" / "__init__.py").write_text("import onnxruntime.capi")
    finished = in_bare_python(bare, tmp_path / "vendor", "")
    assert finished.returncode == 1
    assert "built for Python 3.9, does not run in this image's Python 3." in finished.stderr
    assert "take a Triton image with Python 3.9, or one with onnxruntime installed" in finished.stderr


def test_known_labels_are_embedded_when_a_session_starts(tmp_path: Path) -> None:
    checkpoint = tiny(tmp_path / "c", num_hidden_layers=1)
    repository.write(checkpoint, tmp_path, LoadSpec("m", labels=("a", "b"), max_sequence_length=20), threads=1)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    file = tmp_path / "m-bert" / "1" / "model.onnx"
    onnxruntime.InferenceSession(file, options)
    attentions = [
        sum(node.op_type == "Softmax" for node in onnx.load(path, load_external_data=False).graph.node)
        for path in (file, tmp_path / "optimized.onnx")
    ]
    # Of the texts, of the known labels, and the probabilities; that of other labels is in a branch of its own.
    assert attentions == [3, 2]
