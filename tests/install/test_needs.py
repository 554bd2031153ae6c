"""What real nodes need is what `make real-node-deps` installs, and what is missing is said with its remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cluster.errors import ClusterError
from tests.cluster.node import needs
from tests.cluster.triton import PYTHONS
from tests.generate import ROOT


def test_make_installs_what_is_asked_for() -> None:
    found = re.search(r"^NODE_PACKAGES := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    assert set(found[1].split()) == {*needs.COMMANDS.values(), needs.CNI_PACKAGE}


def test_what_is_missing_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(needs, "CNI", tmp_path)
    monkeypatch.setattr(needs, "COMMANDS", {"no-such-command": "its-package"})
    with pytest.raises(ClusterError, match="containernetworking-plugins, its-package are missing: `make real-node-"):
        needs.require()
    monkeypatch.setattr(needs.os, "geteuid", lambda: 1000)
    assert any(line.startswith("root is needed") for line in needs.missing())


def test_make_and_the_readme_name_the_pythons_that_triton_runs_under() -> None:
    first, last = (f"{version[0]}, {version[1]}" for version in (min(PYTHONS), max(PYTHONS)))
    makefile, readme = ((ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", "README.md"))
    assert f"({first}) <= sys.version_info[:2] <= ({last})" in makefile
    said = " or ".join(f"{major}.{minor}" for major, minor in PYTHONS)
    assert f"Python {said}" in makefile
    assert f"Python {said}" in readme
    assert "libpython" in readme
