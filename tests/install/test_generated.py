"""What is generated and committed is what would be generated now."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.generate import ROOT, crd_files, install_files


def drifted(files: dict[Path, str]) -> list[str]:
    """The files that differ, by their path in the checkout."""
    different = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    return [str(path.relative_to(ROOT)) for path in different]


def test_the_crds_are_those_of_the_models() -> None:
    assert drifted(crd_files()) == [], "run `make crds`"
    generated = {path.name for path in crd_files()}
    for folder in ("crds", "charts/modelmeter/templates/crds"):
        assert {path.name for path in (ROOT / folder).iterdir()} == generated


@pytest.mark.e2e
def test_the_manifest_is_that_of_the_chart() -> None:
    assert drifted(install_files()) == [], "run `make manifests`"
