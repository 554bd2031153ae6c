"""Pods that share a ResourceClaim: whenever it turns out who used it until when, each bears its part, and no more."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modelmeter.api.cost_statement import CostStatementSpec
from modelmeter.meter import publish
from modelmeter.meter.account import account
from modelmeter.meter.holding import GPU, REPLICA, Holding, Shared
from modelmeter.meter.ledger import advance, carry, settle
from modelmeter.meter.page import Page
from modelmeter.meter.prices import Tariff
from modelmeter.meter.stored import from_spec, to_spec
from modelmeter.meter.uses import Use
from tests.meter.builders import L4, at, facts, page, tariff

PRICES = tariff({"item": "gpu", "price": "3600"})
DAY = 86_400
Seen = dict[str, tuple[int, int | None]]
"""Pod to its start and, once it is told, its end."""


def holding(uid: str, seen: Seen) -> Holding:
    """A pod that uses the claim with all that are seen."""
    uses = {user: Use(at(start), None if end is None else at(end)) for user, (start, end) in seen.items()}
    start, end, _ = uses[uid]
    return Holding(uid, start, end, {REPLICA: 1}, L4, shared=(Shared("claim", {"": 1}, uses),))


def reread(sheet: Page) -> Page:
    """The page as the API server would give it back."""
    text = to_spec(sheet, publish.totals(sheet)).model_dump(mode="json", by_alias=True, exclude_none=True)
    return from_spec(CostStatementSpec.model_validate(text))


def gpu_seconds(sheet: Page) -> Fraction:
    """Seconds of whole GPUs over the whole life, priced at 1 a second."""
    life = carry(sheet)
    assert life.cost.get("compute", 0) == life.usage.get(GPU, 0)
    return life.usage.get(GPU, Fraction(0))


def test_who_had_a_claim_alone_and_ended_before_t_gets_the_rest_back() -> None:
    sheet = advance(page(), [holding("a", {"a": (0, None)})], at(110), PRICES)
    assert gpu_seconds(settle(reread(sheet), holding("a", {"a": (0, 100)}), PRICES)) == 100


@pytest.mark.parametrize("prices", [PRICES, Tariff(None)])
def test_of_two_who_share_one_ended_before_both_pages_had_passed_it(prices: Tariff) -> None:
    """A ended at 100 and B goes on: A bears 50, B 50 and then all."""
    both: Seen = {"a": (0, None), "b": (0, None)}
    a = advance(page(), [holding("a", both)], at(110), prices)
    b = advance(page(), [holding("b", both)], at(110), prices)
    told: Seen = {"a": (0, 100), "b": (0, None)}
    a = settle(reread(a), holding("a", told), prices)
    b = advance(reread(b), [holding("b", told)], at(200), prices)
    assert [publish.usage(sheet).gpu_seconds for sheet in (a, b)] == ["50", "150"]
    # A is gone by now, and what it used stays as it was counted.
    b = settle(reread(b), holding("b", {"b": (0, 300)}), prices)
    assert publish.usage(b).gpu_seconds == "250"


def test_who_is_seen_after_t_passed_its_start_is_no_longer_borne_by_the_others() -> None:
    sheet = advance(page(), [holding("a", {"a": (0, None)})], at(100), PRICES)
    told: Seen = {"a": (0, None), "b": (40, None)}
    assert gpu_seconds(advance(sheet, [holding("a", told)], at(200), PRICES)) == 40 + 80
    assert gpu_seconds(advance(page(), [holding("b", told)], at(200), PRICES)) == 80


def test_who_vanished_is_counted_as_far_as_the_page_goes() -> None:
    sheet = advance(page(), [holding("a", {"a": (0, None), "b": (0, None)})], at(100), PRICES)
    assert gpu_seconds(advance(sheet, [holding("a", {"a": (0, None)})], at(200), PRICES)) == 50 + 100


def test_a_view_that_is_behind_undoes_no_end_that_was_told() -> None:
    """It still shows B; and then one that has let go of B, whose end the page must know."""
    sheet = advance(page(), [holding("a", {"a": (0, None), "b": (0, 60)})], at(100), PRICES)
    sheet = advance(reread(sheet), [holding("a", {"a": (0, None), "b": (0, None)})], at(200), PRICES)
    assert gpu_seconds(advance(reread(sheet), [holding("a", {"a": (0, None)})], at(300), PRICES)) == 30 + 240


def test_a_view_that_is_behind_may_have_yet_to_show_a_pod() -> None:
    both: Seen = {"a": (0, None), "b": (50, None)}
    sheet = advance(page(), [holding("a", both)], at(100), PRICES)
    sheet = advance(reread(sheet), [holding("a", {"a": (0, None)})], at(200), PRICES)
    assert sheet.uses["claim"]["b"] == Use(at(50), at(100), told=False)
    assert gpu_seconds(advance(reread(sheet), [holding("a", both)], at(300), PRICES)) == 50 + 125


def test_who_is_long_gone_is_forgotten_and_nothing_is_posted_anew() -> None:
    told: Seen = {"a": (0, None), "b": (0, 100)}
    sheet = advance(page(), [holding("a", told)], at(200), PRICES)
    alone = [holding("a", {"a": (0, None)})]
    for day in (1, 2, 3):
        sheet = advance(reread(sheet), alone, at(day * DAY), PRICES)
    assert set(sheet.uses["claim"]) == {"a"}
    assert gpu_seconds(sheet) == 3 * DAY - 50


def test_a_page_without_a_pod_that_uses_the_claim_forgets_it() -> None:
    sheet = advance(page(), [holding("a", {"a": (0, None)})], at(100), PRICES)
    assert reread(sheet).uses == sheet.uses == {"claim": {"a": Use(at(0), None)}}
    assert settle(sheet, holding("a", {"a": (0, 150)}), PRICES).uses == {}


@dataclass
class Pod:
    """A pod of one of two models; its end is told `late` seconds later, and it goes once every page knows it."""

    uid: str
    model: int
    start: int
    end: int
    gone: bool = False


STORIES = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 30 * DAY), st.integers(0, 4 * DAY)), min_size=1, max_size=5
)
PASSES = st.lists(st.tuples(st.integers(0, 1), st.integers(1, 5 * DAY)), max_size=12)


@example([(0, 0, 0), (1, 0, 1)], [(1, 1)], 600)
@example([(0, 0, 90), (1, 100, 900)], [(1, 150)], 600)
@settings(max_examples=300, deadline=None)
@given(STORIES, PASSES, st.sampled_from((0, 1, 600, 20_000)))
def test_any_history_of_sharers_is_exact(
    stories: list[tuple[int, int, int]], passes: list[tuple[int, int]], late: int
) -> None:
    world = [Pod(f"pod-{n}", model, start, start + length) for n, (model, start, length) in enumerate(stories)]
    sheets = [page(), page()]
    now = 0
    last = max(pod.end for pod in world) + late
    for model, pause in (*passes, *[(n % 2, last) for n in range(6)]):
        now += pause
        seen: Seen = {
            pod.uid: (pod.start, pod.end if pod.end + late <= now else None)
            for pod in world
            if pod.start <= now and not pod.gone
        }
        held = [holding(pod.uid, seen) for pod in world if pod.model == model and pod.uid in seen]
        sheets[model] = reread(account(sheets[model], facts(now, *held, prices=PRICES, advance=True)).page)
        for pod in world:
            done = pod.uid in seen and pod.uid in sheets[pod.model].settled
            pod.gone = pod.gone or (done and not any(_misses(sheets, pod, other, seen) for other in world))
    assert all(pod.gone for pod in world)
    true = [_true(world, model) for model in (0, 1)]
    assert [gpu_seconds(sheet) for sheet in sheets] == true


def _misses(sheets: list[Page], ended: Pod, other: Pod, seen: Seen) -> bool:
    """As control/sharing has it: whether the other's page has yet to count the end."""
    sheet = sheets[other.model]
    if other is ended or other.uid not in seen or other.uid in sheet.settled:
        return False
    counted = sheet.uses.get("claim", {}).get(ended.uid)
    overlap = ended.start < other.end and other.start < ended.end
    return counted != Use(at(ended.start), at(ended.end)) and (counted is not None or overlap)


def _true(world: list[Pod], model: int) -> Fraction:
    """Each second of the claim, by who used it."""
    edges = sorted({moment for pod in world for moment in (pod.start, pod.end)})
    total = Fraction(0)
    for low, high in pairwise(edges):
        using = [pod for pod in world if pod.start <= low and pod.end >= high]
        if using:
            total += Fraction(sum(pod.model == model for pod in using) * (high - low), len(using))
    return total
