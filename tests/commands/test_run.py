"""The options of `modelmeter run`."""

from __future__ import annotations

import pytest

from modelmeter.__main__ import main


@pytest.mark.parametrize("months", ["-1", "x", "1.5"])
def test_a_retention_that_is_none_is_refused(months: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "--retention-months", months])
    assert ended.value.code == 2
    assert "--retention-months: must be 0 or more whole months" in capsys.readouterr().err
