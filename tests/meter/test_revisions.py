"""Compute by revision: the latest few are kept apart, and what is of others is not lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from modelmeter.api.cost_statement import MAX_REVISIONS
from modelmeter.api.names import LABEL_STAGE, TEMPLATE_HASH
from modelmeter.meter import publish
from modelmeter.meter.account import account, live_page
from modelmeter.meter.holding import STORAGE, Holding, Profile
from modelmeter.meter.ledger import advance, reprice, settle
from modelmeter.meter.observe import pod_holding
from modelmeter.meter.page import Page
from modelmeter.meter.prices import Tariff
from modelmeter.meter.revisions import fold
from modelmeter.meter.stored import from_spec, to_spec
from modelmeter.meter.verify import verify_pages
from tests.meter import objects
from tests.meter.builders import at, facts, page, pod, tariff
from tests.meter.objects import PodBuilder

PRICES = tariff({"item": "gpu", "price": "2"})
NOTHING = Tariff(None)
BOUNDARY = round(timedelta(days=21).total_seconds())


def revision(number: int) -> str:
    """As a pod's annotation has it."""
    return f"{number:016x}"


def of(number: int, uid: str, start: int, end: int | None = None) -> Holding:
    """A pod of a revision."""
    return replace(pod(uid, start, end), revision=revision(number))


def shown(sheet: Page) -> dict[str, tuple[str, str | None]]:
    """GPU-seconds and cost by revision, as the status has them."""
    return {part.revision: (part.gpu_seconds, part.cost) for part in publish.usage(sheet).by_revision}


def reread(sheet: Page) -> Page:
    """Through the API and back."""
    again = from_spec(to_spec(sheet, publish.totals(sheet)))
    assert again == sheet
    return again


def test_each_revision_has_its_usage_and_cost_and_the_newest_is_first() -> None:
    sheet = advance(page(), [of(7, "a", 0, 3600), of(3, "b", 1800)], at(5400), PRICES)
    assert shown(reread(sheet)) == {revision(3): ("3600", "2.0000"), revision(7): ("3600", "2.0000")}
    assert list(shown(sheet)) == [revision(3), revision(7)]
    assert [part.since for part in publish.usage(sheet).by_revision] == ["2026-11-10T00:30:00Z", "2026-11-10T00:00:00Z"]


def test_of_more_than_a_page_names_the_oldest_are_counted_together() -> None:
    sheet = page()
    for number in range(1, MAX_REVISIONS + 3):
        sheet = settle(reread(sheet), of(number, f"uid-{number}", number, number + 3600), PRICES)
    assert shown(sheet) == {
        **{revision(number): ("3600", "2.0000") for number in range(3, MAX_REVISIONS + 3)},
        "other": ("7200", "4.0000"),
    }


def test_of_those_with_pods_none_loses_its_name_while_there_are_others() -> None:
    """A revision serves on beside failed canaries, however old it is."""
    sheet = advance(page(), [of(1, "a", 0)], at(60), PRICES)
    for number in range(2, MAX_REVISIONS + 5):
        sheet = settle(reread(sheet), of(number, f"uid-{number}", 60 * number, 60 * number + 30), PRICES)
    back = of(1, "b", 7200)
    sheet = advance(reread(sheet), [of(1, "a", 0), back], at(9000), PRICES)
    assert shown(sheet)[revision(1)] == (str(9000 + 1800), "6.0000")


def test_what_is_not_on_the_page_yet_keeps_its_revisions_name_too() -> None:
    """Its replica ended, another runs since T, and then canaries come and go."""
    canaries = [of(number, f"uid-{number}", 60 * number, 60 * number + 30) for number in range(2, MAX_REVISIONS + 5)]
    live = of(1, "b", 60)
    sheet = account(page(), facts(100, of(1, "a", 0, 60), live, prices=PRICES)).page
    assert list(sheet.revisions) == [revision(1)]
    for canary in canaries:
        sheet = account(reread(sheet), facts(1000, live, canary, prices=PRICES)).page
    assert not sheet.open
    assert revision(1) in sheet.revisions


def test_what_ended_takes_no_name_from_what_lives() -> None:
    """All in one advance, and what ended began last."""
    live = [of(number, f"uid-{number}", number) for number in range(1, MAX_REVISIONS + 1)]
    sheet = advance(page(), [*live, of(9, "canary", 60, 90)], at(3600), PRICES)
    assert shown(sheet).keys() == {*(held.revision for held in live), "other"}


def test_what_lost_its_name_is_taken_back_from_where_it_is_though_it_got_another_again() -> None:
    live = [of(number, f"uid-{number}", number) for number in range(1, MAX_REVISIONS + 2)]
    sheet = advance(page(), live[:1], at(3600), PRICES)
    sheet = advance(reread(sheet), live, at(7200), PRICES)
    assert revision(1) not in shown(sheet)
    ended = [replace(held, end=at(7200)) for held in live[1:]]
    sheet = advance(reread(sheet), [live[0], *ended, of(1, "new", 7300)], at(9100), PRICES)
    assert shown(sheet)[revision(1)] == ("1800", "1.0000")
    sheet = settle(reread(sheet), of(1, "uid-1", 1, 1801), PRICES)
    assert shown(sheet)["other"] == (str(1800 + 7200 - 2), f"{(1800 + 7200 - 2) / 1800:.4f}")
    assert shown(sheet)[revision(1)] == ("1800", "1.0000")


def test_a_pods_usage_stands_under_one_revision_whatever_somebody_writes_on_it() -> None:
    sheet = advance(page(), [of(1, "a", 0)], at(3600), PRICES)
    sheet = advance(reread(sheet), [of(2, "a", 0)], at(7200), PRICES)
    sheet = settle(reread(sheet), of(3, "a", 0, 1800), PRICES)
    assert shown(sheet) == {revision(1): ("1800", "1.0000")}


def test_what_stands_on_several_lines_is_taken_back_from_its_own_revision() -> None:
    """A pod whose end became an estimate, and a canary that has more than all of it on one line."""
    exact, canary = of(1, "a", 0), of(2, "b", 0)
    estimated = replace(exact, certainty="estimated", reason="NodeLost")
    sheet = advance(page(), [exact, canary], at(18_000), PRICES)
    sheet = advance(reread(sheet), [estimated, canary], at(36_000), PRICES)
    sheet = settle(reread(sheet), replace(estimated, end=at(3600)), PRICES)
    assert shown(sheet) == {revision(1): ("3600", "2.0000"), revision(2): ("36000", "20.0000")}


def test_what_has_no_price_is_taken_back_from_its_own_revision() -> None:
    """Its spans are cut where another pod of the revision began; those of the canary are not."""
    live = [of(1, "old", 0), of(1, "old2", 1800), of(2, "canary", 0)]
    sheet = advance(page(), live, at(3600), NOTHING)
    sheet = settle(reread(sheet), of(1, "old", 0, 900), NOTHING)
    assert shown(sheet) == {revision(1): ("2700", None), revision(2): ("3600", None)}


def test_since_is_when_the_first_pod_began_whichever_was_posted_first() -> None:
    sheet = settle(page(), of(1, "b", 100, 160), PRICES)
    assert sheet.revisions == {revision(1): at(100)}
    assert advance(sheet, [of(1, "a", 50)], at(200), PRICES).revisions == {revision(1): at(50)}


def test_what_held_nothing_names_nothing() -> None:
    assert settle(page(), of(1, "a", 5, 5), PRICES).revisions == {}


def test_what_has_no_revision_is_other_and_a_stage_or_a_claim_is_of_none() -> None:
    claim = Holding("c", at(0), None, {STORAGE: 2**30}, Profile())
    training = replace(of(1, "t", 0), stage="training", revision="")
    sheet = advance(page(), [of(1, "a", 0), pod("hand", 0), training, claim], at(3600), PRICES)
    assert shown(sheet) == {revision(1): ("3600", "2.0000"), "other": ("3600", "2.0000")}
    assert shown(advance(page(), [training, claim], at(3600), PRICES)) == {}


def test_revisions_are_carried_over_a_months_end_and_lose_their_names_there_too() -> None:
    outcome = account(page(), facts(BOUNDARY + 10, of(1, "a", 0, 3600), of(2, "b", 7200), prices=PRICES))
    following = [of(n, f"uid-{n}", BOUNDARY + n) for n in range(3, 9)]
    sheet = account(reread(outcome.page), facts(BOUNDARY + 9999, of(2, "b", 7200), *following, prices=PRICES)).page
    now = live_page(sheet, facts(BOUNDARY + 9999, of(2, "b", 7200), prices=PRICES))
    assert list(shown(live_page(outcome.page, facts(BOUNDARY + 10, of(2, "b", 7200), prices=PRICES)))) == [
        revision(2),
        revision(1),
    ]
    assert sum(int(seconds) for seconds, _ in shown(now).values()) == int(publish.usage(now).gpu_seconds)
    ended = account(
        sheet,
        facts(
            BOUNDARY + 99_999,
            of(2, "b", 7200, BOUNDARY + 20_000),
            *(replace(held, end=at(BOUNDARY + 20_000)) for held in following),
            prices=PRICES,
            ended=True,
        ),
    )
    pages = [*outcome.closed, ended.page]
    assert shown(ended.page).keys() == {*(revision(n) for n in (2, 6, 7, 8)), "other"}
    assert found_wrong(*pages) == []


def test_a_page_that_carries_another_revisions_usage_is_not_whole() -> None:
    outcome = account(page(), facts(BOUNDARY + 10, of(1, "a", 0, 3600), of(2, "b", 7200), prices=PRICES))
    past = outcome.page.past
    turned = dict(zip(past.revisions, reversed(past.revisions.values()), strict=True))
    forged = replace(outcome.page, past=replace(past, revisions=turned))
    assert found_wrong(*outcome.closed, forged) == ["2026-12: what it carries is not the sum of 2026-11 and all before"]
    hidden = replace(outcome.page, past=replace(past, revisions=fold(past.revisions, [revision(2)])))
    assert found_wrong(*outcome.closed, hidden) == ["2026-12: what it carries is not the sum of 2026-11 and all before"]
    assert found_wrong(*outcome.closed, replace(outcome.page, revisions={}))[0] == (
        f"2026-12: revision {revision(1)} is on it, but not among its revisions"
    )


def found_wrong(*pages: Page) -> list[str]:
    """What `verify` says of these pages."""
    return list(verify_pages([to_spec(one, publish.totals(one)) for one in pages]))


def test_usage_without_a_price_keeps_its_revision_and_the_cost_of_it_is_not_known() -> None:
    sheet = advance(page(), [of(1, "a", 0, 3600), of(2, "b", 0)], at(3600), NOTHING)
    assert shown(reread(sheet)) == {revision(1): ("3600", None), revision(2): ("3600", None)}
    assert shown(reprice(reread(sheet), PRICES)) == {revision(1): ("3600", "2.0000"), revision(2): ("3600", "2.0000")}


@pytest.mark.parametrize(
    ("annotation", "stage", "found"),
    [
        (revision(1), "", revision(1)),
        (revision(1), "serving", revision(1)),
        (revision(1), "evaluation", ""),
        ("x" * 16, "", ""),
        (revision(1) + "\n", "", ""),
        ("", "", ""),
    ],
)
def test_the_revision_of_a_pod_is_its_annotation(annotation: str, stage: str, found: str) -> None:
    hand = objects.pod("a").on("gpu-1", at(0)).labelled(LABEL_STAGE, stage).annotated(TEMPLATE_HASH, annotation)
    assert seen(hand).revision == ""
    assert seen(hand.labelled("app.kubernetes.io/managed-by", "modelmeter")).revision == found


def seen(pod: PodBuilder) -> Holding:
    """What such a pod holds."""
    held = pod_holding(pod.build(), {"gpu-1": objects.node("gpu-1")})
    assert held is not None
    return held
