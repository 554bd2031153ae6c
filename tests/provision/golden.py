"""The golden files: `python -m tests.provision.golden` writes them again."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

from modelmeter.provision.benchmark import job
from modelmeter.provision.children import desired, extras
from tests.provision.builders import DEVICES, EXTRAS, FULL, IMAGE, MEASURED, OPTIONS, PER_REPLICA, TENSORRT, model

FOLDER: Final = Path(__file__).parent / "golden"
CASES: Final = {
    "smallest": None,
    "full": FULL,
    "per-replica": PER_REPLICA,
    "devices": DEVICES,
    "image": IMAGE,
    "options": OPTIONS,
    "tensorrt": TENSORRT,
}


def golden_files() -> dict[Path, str]:
    """Each golden file with its text: all children of a ModelDeployment, some optional ones, a benchmark's Job."""
    children = {name: (*desired(model(spec), "loader:1"), *extras(model(spec))) for name, spec in CASES.items()}
    children["extras"] = tuple(child for spec in EXTRAS for child in extras(model(spec)))
    children["benchmark"] = (job(model(MEASURED), "loader:1", "NVIDIA-L4"),)
    return {
        FOLDER / f"{name}.yaml": yaml.safe_dump_all(manifests, sort_keys=False, width=110)
        for name, manifests in children.items()
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, text in golden_files().items():
        path.write_text(text)
