"""What `modelmeter verify` prints of a report, how it ends, and that a mistyped namespace proves nothing."""

from __future__ import annotations

import pytest

from modelmeter.commands.verify import tell
from modelmeter.control.verifying import Finding, Report

WRONG = Finding("shop/classifier", "status.cost.total says 1, the ledger 2")


@pytest.mark.parametrize(
    ("report", "code", "printed"),
    [
        (Report(2, 5, ()), 0, "2 models, 5 statements: everything agrees\n"),
        (
            Report(2, 5, (WRONG,)),
            1,
            "shop/classifier: status.cost.total says 1, the ledger 2\n2 models, 5 statements: 1 things do not agree\n",
        ),
        (
            Report(0, 0, ()),
            1,
            "namespace ledger has no CostStatement, and there is no model: is --namespace the operator's?\n",
        ),
    ],
)
def test_it_says_how_much_it_looked_at_and_what_does_not_agree(
    report: Report, code: int, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tell(report, "ledger") == code
    assert capsys.readouterr().out == printed
