"""What a run needs of the disk is said before it begins."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.space import GIB, lacking


def test_each_file_system_must_hold_all_that_goes_there(tmp_path: Path) -> None:
    scratch, cache = tmp_path / "scratch", tmp_path / "home" / "cache"
    scratch.mkdir()
    needs = {scratch: 4, cache: 6}

    def said(devices: dict[Path, int], free: dict[Path, int]) -> list[str]:
        return list(lacking(needs, devices.__getitem__, lambda path: free[path] * GIB))

    apart = {scratch: 1, tmp_path: 2}
    assert said(apart, {scratch: 4, tmp_path: 6}) == []
    assert said(apart, {scratch: 4, tmp_path: 5}) == [f"{cache}: 5.0 GiB are free, a run needs 6"]
    together = {scratch: 1, tmp_path: 1}
    assert said(together, {scratch: 10, tmp_path: 10}) == []
    assert said(together, {scratch: 9, tmp_path: 9}) == [f"{scratch} and {cache}: 9.0 GiB are free, a run needs 10"]
