"""The rules of one pass, one by one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest

from modelmeter.api.cost_statement import Overhead
from modelmeter.errors import LedgerError
from modelmeter.meter.account import account, check, live_page
from modelmeter.meter.holding import GPU, REPLICA, STORAGE, Holding, Profile
from modelmeter.meter.ledger import Terms, advance, carry, forget, settle
from modelmeter.meter.prices import Tariff
from tests.meter.builders import at, book, facts, page, pod, seconds_of, tariff

PRICES = tariff({"item": "gpu", "price": "1"}, {"item": "cpu", "price": "0"}, {"item": "memory", "price": "0"})
DAY = 86_400


def test_settling_twice_changes_nothing() -> None:
    once = settle(page(), pod("a", 10, 70), PRICES)
    assert settle(once, pod("a", 10, 70), PRICES) == once
    assert seconds_of(once, GPU) == 60


def test_advancing_twice_to_the_same_moment_changes_nothing() -> None:
    once = advance(page(), [pod("a", 10)], at(100), PRICES)
    assert advance(once, [pod("a", 10)], at(100), PRICES) == once
    assert seconds_of(once, GPU) == 90


def test_a_pod_that_the_watch_shows_late_is_posted_in_full() -> None:
    early = advance(page(), [], at(100), PRICES)
    late = settle(early, pod("a", 10, 70), PRICES)
    assert seconds_of(late, GPU) == 60


def test_what_is_taken_back_is_taken_back_at_the_price_that_it_was_posted_at() -> None:
    """7 h are posted at 1 an hour; then a rate of 50 is appended with a past date, and the pod ended an hour ago."""
    seven = advance(page(), [pod("a", 0)], at(7 * 3600), PRICES)
    dear = tariff(
        {"item": "gpu", "price": "1"},
        {"item": "cpu", "price": "0"},
        {"item": "memory", "price": "0"},
        {"item": "gpu", "price": "50", "match": {"gpuProduct": "NVIDIA-L4"}},
    )
    assert carry(settle(seven, pod("a", 0, 6 * 3600), dear)).cost["compute"] == 6
    estimated = replace(pod("a", 0, 6 * 3600, profile=Profile()), certainty="estimated")
    lost = settle(seven, estimated, tariff({"item": "gpu", "price": "9", "match": {"region": "eu-west-1"}}))
    assert (carry(lost).cost["compute"], carry(lost).estimated, lost.unpriced) == (6, 0, {})


def test_an_unpriced_span_that_takes_back_is_no_line_without_a_price() -> None:
    """Found by the simulation (seed 2026): repricing another item met the span that takes back first."""
    nothing = tariff()
    sheet = advance(page(), [pod("a", 0)], at(100), nothing)
    sheet = settle(sheet, replace(pod("a", 0, 60), certainty="estimated"), nothing)
    sheet = account(sheet, facts(200, prices=tariff({"item": "gpu", "price": "36"}))).page
    assert not [key for key in sheet.lines if key.item != REPLICA and not key.unit_price]
    assert (carry(sheet).cost["compute"], seconds_of(sheet, "cpu")) == (Fraction("0.6"), 2000 * 60)


def test_what_was_posted_past_the_true_end_is_taken_back() -> None:
    posted = advance(page(), [pod("a", 0)], at(1000), PRICES)
    assert seconds_of(settle(posted, pod("a", 0, 400), PRICES), GPU) == 400


def test_a_take_back_across_a_months_end_is_a_correction() -> None:
    boundary = round(timedelta(days=21).total_seconds())  # 2026-12-01
    rolled = account(page(), facts(boundary + 60, pod("a", boundary - 600), prices=PRICES)).page
    fixed = settle(rolled, pod("a", boundary - 600, boundary - 300), PRICES)
    corrections = {key.correction: days for key, days in fixed.lines.items() if key.item == GPU and key.correction}
    assert corrections == {"2026-11": {"30": -300}}
    assert seconds_of(fixed, GPU) == 300


def test_a_page_closes_at_the_months_end_and_the_next_carries_on() -> None:
    boundary = round(timedelta(days=21).total_seconds())
    outcome = account(page(), facts(boundary + 60, pod("a", boundary - 600), prices=PRICES))
    assert [(closed.month, closed.closed, seconds_of(closed, GPU)) for closed in outcome.closed] == [
        ("2026-11", True, 600)
    ]
    assert (outcome.page.month, set(outcome.page.open), outcome.page.past.usage[GPU]) == ("2026-12", {"a"}, 600)
    shown = live_page(outcome.page, facts(boundary + 60, pod("a", boundary - 600), prices=PRICES))
    assert seconds_of(shown, GPU) == 660


def test_a_uid_that_vanished_without_its_finalizer_is_closed_where_it_was_posted() -> None:
    posted = advance(page(), [pod("a", 0)], at(1000), PRICES)
    later = advance(posted, [], at(2000), PRICES)
    assert seconds_of(later, GPU) == 1000
    assert "a" in later.settled


def test_what_vanished_is_named_once() -> None:
    posted = advance(page(), [pod("a", 0), pod("b", 0), pod("c", 0)], at(1000), PRICES)
    outcome = account(posted, facts(30_000, pod("b", 0), pod("c", 0, 2000), prices=PRICES))
    assert outcome.vanished == ("a",)
    assert account(outcome.page, facts(60_000, pod("b", 0), prices=PRICES)).vanished == ()


def test_usage_without_a_rate_is_kept_and_priced_once_there_is_one() -> None:
    sheet = account(page(), facts(3600, pod("a", 0, 3600), prices=Tariff(book({"item": "cpu", "price": "1"})))).page
    assert seconds_of(sheet, GPU) == 3600
    assert carry(sheet).cost["compute"] == 2
    whole = Tariff(
        book(*({"item": item, "price": price} for item, price in (("cpu", "1"), ("gpu", "7"), ("memory", "0.5"))))
    )
    priced = account(sheet, facts(3700, prices=whole)).page
    assert not priced.unpriced
    assert carry(priced).cost["compute"] == 2 + 7 + 4
    assert seconds_of(priced, GPU) == 3600


def test_a_book_in_another_currency_prices_nothing_on_a_page() -> None:
    sheet = account(page(), facts(10, prices=PRICES)).page
    euros = Tariff(book({"item": "gpu", "price": "5"}, currency="EUR"))
    outcome = account(sheet, facts(3600, pod("a", 0, 3600), prices=euros)).page
    assert (outcome.currency, carry(outcome).cost["compute"]) == ("USD", 0)
    assert any(key.item == GPU for key in outcome.unpriced)


def test_new_overheads_hold_from_the_moment_that_they_are_seen() -> None:
    old = (Overhead(item="labour/owner", unit_price="36", per="hour"),)
    new = (Overhead(item="labour/owner", unit_price="72", per="hour"),)
    sheet = replace(page(), overheads=old)
    terms = Terms(new, generation=2)
    sheet = account(sheet, facts(100, prices=PRICES, terms=terms)).page
    shown = live_page(sheet, facts(150, prices=PRICES, terms=terms))
    assert carry(shown).cost["labour"] == Fraction(36 * 100 + 72 * 50, 3600)


def test_overheads_end_with_the_deletion_of_the_model() -> None:
    labour = (Overhead(item="labour/owner", unit_price="36", per="hour"),)
    sheet = replace(page(), overheads=labour)
    ending = facts(900, prices=PRICES, terms=Terms(labour, until=at(300)), ended=True)
    last = account(sheet, ending).page
    assert last.closed
    assert last.ended
    assert carry(last).cost["labour"] == 3


def test_overheads_that_were_posted_past_the_deletion_are_taken_back_once() -> None:
    labour = (Overhead(item="labour/owner", unit_price="36", per="hour"),)
    sheet = advance(replace(page(), overheads=labour), [], at(1000), PRICES)
    deleted = Terms(labour, until=at(300))
    once = advance(sheet, [], at(1000), PRICES, deleted)
    assert carry(once).cost["labour"] == 3
    assert carry(advance(once, [], at(2000), PRICES, deleted)).cost["labour"] == 3


def test_new_overheads_hold_from_when_they_were_asked_for_though_t_has_passed_it() -> None:
    old = (Overhead(item="labour/owner", unit_price="36", per="hour"),)
    new = (Overhead(item="labour/owner", unit_price="72", per="hour"),)
    sheet = advance(replace(page(), overheads=old, generation=1), [], at(1000), PRICES)
    asked = Terms(new, generation=2, since=at(400))
    sheet = account(sheet, facts(1100, prices=PRICES, terms=asked)).page
    assert carry(sheet).cost["labour"] == Fraction(36 * 400 + 72 * 700, 3600)
    older = Terms(old, generation=1, since=at(0))
    assert account(sheet, facts(1200, prices=PRICES, terms=older)).page == sheet


def test_a_claim_that_grows_costs_its_new_size_from_then_on_only() -> None:
    def claim(size: int, resized: int | None = None) -> Holding:
        return Holding("c", at(0), None, {STORAGE: size}, Profile(), resized=at(resized) if resized else None)

    sheet = account(page(), facts(60, claim(10), prices=PRICES)).page
    assert sheet.open == {"c": {STORAGE: 10}}
    sheet = advance(sheet, [claim(10)], at(1000), PRICES)
    sheet = account(sheet, facts(1100, claim(25, 400), prices=PRICES)).page
    assert seconds_of(sheet, STORAGE) == 10 * 400 + 25 * 700
    gone = replace(claim(25, 400), end=at(1050))
    assert seconds_of(settle(sheet, gone, PRICES), STORAGE) == 10 * 400 + 25 * 650


def test_a_claim_is_on_the_page_at_once_though_our_clock_is_behind() -> None:
    claim = Holding("c", at(100), None, {STORAGE: 10}, Profile())
    sheet = account(page(), facts(40, claim, prices=PRICES)).page
    assert sheet.open == {"c": {STORAGE: 10}}
    grown = replace(claim, amounts={STORAGE: 20}, resized=at(160))
    assert seconds_of(account(sheet, facts(200, grown, prices=PRICES)).page, STORAGE) == 10 * 60 + 20 * 40


def test_what_grew_before_anybody_looked_is_estimated() -> None:
    held = replace(pod("a", 0, 1000), resized=at(300))
    sheet = settle(page(), held, PRICES)
    units = {key.certainty: sum(days.values()) for key, days in sheet.lines.items() if key.item == GPU}
    assert units == {"estimated": 300, "exact": 700}
    noted = settle(page(), replace(held, at_first={GPU: 3}), PRICES)
    assert seconds_of(noted, GPU) == 3 * 300 + 700


def test_a_closed_month_whose_next_page_could_not_be_written_goes_on() -> None:
    """The create of December was refused, so all that is stored is November, closed."""
    boundary = round(timedelta(days=21).total_seconds())
    november = account(page(), facts(boundary + 60, pod("a", boundary - 600), prices=PRICES)).closed[0]
    december = account(november, facts(boundary + 90, pod("a", boundary - 600, boundary + 80), prices=PRICES)).page
    assert (december.month, december.closed, seconds_of(december, GPU)) == ("2026-12", False, 680)


def test_the_status_shows_the_month_that_it_is_though_the_page_of_the_last_is_not_closed_yet() -> None:
    boundary = round(timedelta(days=21).total_seconds())
    held = pod("a", boundary - 3600)
    sheet = advance(replace(page(), currency="USD"), [held], at(boundary - 60), PRICES)
    shown = live_page(sheet, facts(boundary + 7200, held, prices=PRICES))
    assert (shown.month, carry(shown).cost["compute"]) == ("2026-12", 3)
    # As it will be once it is written.
    known = facts(boundary + 7200, held, prices=PRICES)
    assert shown == live_page(account(sheet, known).page, known)
    gone = live_page(sheet, facts(70 * DAY, prices=PRICES))
    assert (gone.month, seconds_of(gone, GPU)) == ("2027-01", 3540)


def test_labour_in_the_currency_of_another_book_is_not_posted() -> None:
    """It would be posted as if it were the ledger's: 72 euros as 72 dollars."""
    dollars = (Overhead(item="labour/owner", unit_price="36", per="hour"),)
    euros = Terms((Overhead(item="labour/owner", unit_price="72", per="hour"),), generation=2, since=at(1800))
    foreign = Tariff(book({"item": "gpu", "price": "5"}, currency="EUR"))
    sheet = account(replace(page(), overheads=dollars, generation=1), facts(10, prices=PRICES)).page
    asked = facts(3600, prices=foreign, terms=euros, advance=True)
    assert carry(live_page(sheet, asked)).cost["labour"] == 36
    sheet = account(sheet, asked).page
    assert (carry(sheet).cost["labour"], sheet.overheads, sheet.generation) == (36, dollars, 1)
    agreed = account(sheet, facts(3600, prices=PRICES, terms=euros, advance=True)).page
    assert carry(agreed).cost["labour"] == 18 + 36


LATER = datetime(2126, 1, 1, tzinfo=UTC)


def test_what_is_dated_in_a_far_future_moves_nothing() -> None:
    """Anybody may write managed fields."""
    labour = (Overhead(item="labour/owner", unit_price="36", per="hour"),)
    asked = facts(3600, prices=PRICES, terms=Terms(labour, generation=2, since=LATER))
    outcome = account(page(), asked)
    assert (outcome.closed, outcome.page.posted_through) == ((), at(3600))
    assert (outcome.page.overheads, outcome.page.generation) == (labour, 2)
    assert live_page(page(), asked).posted_through == at(3600)
    grown = replace(pod("a", 0), resized=LATER)
    sheet = account(page(), facts(3600, grown, prices=PRICES, advance=True)).page
    assert (sheet.posted_through, seconds_of(sheet, GPU)) == (at(3600), 3600)
    claim = Holding("c", LATER, None, {STORAGE: 10}, Profile())
    assert account(page(), facts(3600, claim, prices=PRICES, advance=True)).page.posted_through == at(3600)


def test_a_pass_closes_a_year_at_most() -> None:
    """An operator that was away for long goes on where it stopped."""
    years = 3 * 366 * DAY
    sheet, closed = page(), []
    for _ in range(4):
        outcome = account(sheet, facts(years, pod("a", 0), prices=PRICES))
        closed += [page.month for page in outcome.closed]
        sheet = outcome.page
        assert outcome.more == (len(closed) < 36)
        assert len(outcome.closed) <= 12
    assert (closed[0], closed[-1], len(closed)) == ("2026-11", "2029-10", 36)
    assert seconds_of(account(sheet, facts(years, pod("a", 0), prices=PRICES, advance=True)).page, GPU) == years


def test_an_ended_page_is_left_alone() -> None:
    closed = replace(page(), closed=True, ended=True)
    assert account(closed, facts(DAY, pod("a", 0), prices=PRICES)).page == closed


def test_a_settled_uid_is_forgotten_an_hour_after_its_pod_is_gone() -> None:
    sheet = settle(page(), pod("a", 0, 10), PRICES)
    assert forget(sheet, ["a"], at(DAY)).settled == {"a": None}
    noted = forget(sheet, [], at(100))
    assert noted.settled == {"a": at(100)}
    assert "a" in forget(noted, [], at(100 + 3599)).settled
    assert "a" not in forget(noted, [], at(100 + 3600)).settled


@pytest.mark.parametrize(
    "broken",
    [
        lambda sheet: replace(sheet, open={"a": {}}, settled={"a": None}),
        lambda sheet: replace(sheet, past=replace(sheet.past, usage={REPLICA: -1})),
    ],
)
def test_a_page_that_breaks_an_invariant_is_refused(broken: object) -> None:
    with pytest.raises(LedgerError):
        check(broken(page()))  # type: ignore[operator]
