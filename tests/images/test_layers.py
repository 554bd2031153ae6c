"""The cache of image layers: shared by all checkouts, and no larger than what they use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cluster.images import layers
from tests.cluster.images.layers import Folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODELMETER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


def test_the_same_files_are_the_same_layer_in_every_checkout(tmp_path: Path) -> None:
    below, made = Folder("base", ()), []
    for checkout in ("one", "two"):
        root = tmp_path / checkout
        (root / "operator").mkdir(parents=True)
        (root / "operator" / "run.py").write_text("run()")
        made.append(layers.added(below, root, [Path("operator/run.py")], lambda file: f"/src/{file}"))
    assert made[0] == made[1]
    (root / "operator" / "run.py").write_text("run(2)")
    assert layers.added(below, root, [Path("operator/run.py")], lambda file: f"/src/{file}") != made[1]


def test_what_nobody_uses_any_more_leaves_the_cache(cache: Path) -> None:
    def make(staging: Path) -> None:
        (staging / "file").touch()

    for name in ("layer-a", "layer-b", ".layer-c.killed"):
        os.utime(layers.folder(name, make), (100, 100))
    layers.folder("layer-a", make)  # used again
    layers.forget(before=100)
    assert (cache / "layer-b").is_dir()
    layers.forget(before=101)
    assert [path.name for path in cache.iterdir() if path.is_dir()] == ["layer-a"]
