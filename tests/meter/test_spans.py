"""Usage that nobody has a price for: kept to the second, in a bounded form, however long it goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelmeter.api.cost_statement import MAX_UNPRICED
from modelmeter.errors import LedgerError
from modelmeter.meter import publish
from modelmeter.meter.account import account, check
from modelmeter.meter.holding import CPU, GPU, Profile
from modelmeter.meter.page import LineKey, Page, SpanKey, month_of
from modelmeter.meter.prices import Tariff
from modelmeter.meter.spans import MANY, bounded, pieces_by_day
from modelmeter.meter.stored import from_spec, to_spec
from tests.meter.builders import at, facts, page, pod, seconds_of, tariff

DAY = 86_400
NOTHING = Tariff(None)


def test_a_job_every_five_minutes_without_a_price_book_is_kept_and_priced_later() -> None:
    """25 days: 7,200 pods, which would be as many spans for each of three items."""
    sheet, count = page(), 25 * 288
    for first in range(0, count, 288):
        jobs = [pod(f"u{n}", n * 300, n * 300 + 200) for n in range(first, first + 288)]
        sheet = account(sheet, facts((first + 288) * 300, *jobs, prices=NOTHING)).page
        assert len(sheet.unpriced) <= MANY
        assert from_spec(to_spec(sheet, publish.totals(sheet))) == sheet
    assert seconds_of(sheet, GPU) == count * 200
    priced = account(sheet, facts(count * 300 + 60, prices=tariff({"item": "gpu", "price": "3600"}))).page
    assert publish.totals(priced).compute == f"{count * 200}.0000"
    by_month = {key.correction: sum(days.values()) for key, days in priced.lines.items() if key.item == GPU}
    # 21 days of November, 4 of December.
    assert by_month == {"2026-11": 21 * 288 * 200, "": 4 * 288 * 200}


def test_what_is_folded_keeps_its_day_or_else_its_month() -> None:
    def spans(days: int, a_day: int) -> dict[SpanKey, int]:
        step = DAY // a_day
        return {
            SpanKey(CPU, Profile(), "exact", at(n * step), at(n * step + step // 2)): 3 for n in range(days * a_day)
        }

    for many in (spans(10, 200), spans(2000, 1), spans(1, 4000), spans(3, 2000)):
        folded = bounded(many)
        assert len(folded) <= MANY
        assert _by_month(folded) == _by_month(many)
        assert bounded(folded) == folded
    assert _by_day(bounded(spans(10, 200))) == _by_day(spans(10, 200))
    # The last day's are as they were.
    assert spans(10, 200).items() - bounded(spans(10, 200)).items() == {
        (key, amount) for key, amount in spans(10, 200).items() if key.end < at(9 * DAY)
    }


def _by_month(spans: dict[SpanKey, int]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for key, amount in spans.items():
        for start, seconds in pieces_by_day(key.start, key.end):
            sums[month_of(start)] = sums.get(month_of(start), 0) + amount * seconds
    return sums


def _by_day(spans: dict[SpanKey, int]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for key, amount in spans.items():
        for start, seconds in pieces_by_day(key.start, key.end):
            sums[f"{start:%F}"] = sums.get(f"{start:%F}", 0) + amount * seconds
    return sums


def full(**lists: object) -> Page:
    """A page with lists as given."""
    return replace(page(), **lists)  # type: ignore[arg-type]


TOO_MUCH = [
    pytest.param(
        full(unpriced={SpanKey(GPU, Profile(str(n)), "exact", at(0), at(1)): 1 for n in range(MAX_UNPRICED + 1)}),
        "unpriced would have 2001 entries, a statement takes 2000; append rates",
        id="unpriced",
    ),
    pytest.param(
        full(lines={LineKey(GPU, f"book/{n}", "1", "hour", "exact", ""): {"01": 1} for n in range(5001)}),
        "lines would have 5001 entries",
        id="lines",
    ),
    pytest.param(
        full(settled=dict.fromkeys(map(str, range(5001)))),
        "5001 entries.*delete finished",
        id="settled",
    ),
    pytest.param(full(open={str(n): {GPU: n} for n in range(5001)}), "open would have 5001 entries", id="open"),
]


@pytest.mark.parametrize(("sheet", "said"), TOO_MUCH)
def test_a_list_that_is_too_long_says_what_to_do(sheet: Page, said: str) -> None:
    with pytest.raises(LedgerError, match=said):
        check(sheet)
