"""A whole ledger verifies; whatever is changed on it by hand is named."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from modelmeter.api.cost_statement import CostStatementSpec, Overhead
from modelmeter.api.model_deployment_status import ModelDeploymentStatus, Replicas
from modelmeter.meter import publish
from modelmeter.meter.account import account, live_page
from modelmeter.meter.ledger import Terms
from modelmeter.meter.stored import from_spec, to_spec
from modelmeter.meter.verify import verify_objects, verify_pages, verify_status
from tests.meter.builders import at, facts, page, pod, tariff

PRICES = tariff({"item": "gpu", "price": "1.1"}, {"item": "memory", "price": "0.3"})
TERMS = Terms((Overhead(item="labour/owner", unit_price="36", per="hour"),), generation=1)
BOUNDARY = round(timedelta(days=21).total_seconds())
NOW = BOUNDARY + 7200
HELD = (pod("a", BOUNDARY - 600), pod("b", BOUNDARY - 900, BOUNDARY + 60))


def ledger() -> list[dict[str, Any]]:
    """Two months of a model, as the API has them: November is closed, December is open."""
    outcome = account(page(), facts(NOW, *HELD, prices=PRICES, terms=TERMS))
    pages = (*outcome.closed, outcome.page)
    return [to_spec(sheet, publish.totals(sheet)).model_dump(mode="json", by_alias=True) for sheet in pages]


def findings(specs: list[dict[str, Any]]) -> list[str]:
    """What is wrong with statements."""
    return list(verify_pages([CostStatementSpec.model_validate(spec) for spec in specs]))


def test_a_whole_ledger_verifies() -> None:
    assert findings(ledger()) == []
    assert len(ledger()) == 2


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda old, new: old["lines"][0]["days"].update({"30": "1"}), "what it carries is not the sum"),
        (lambda old, new: new["lines"][0]["days"].update({"01": "1"}), "the lines sum up to"),
        (lambda old, new: new["totals"].update(total="1"), "totals.total is 1"),
        (lambda old, new: new["carried"]["cost"].update(compute="1/3"), "what it carries is not the sum"),
        (lambda old, new: old.update(closed=False), "is not closed"),
        (lambda old, new: old.update(ended=True), "is the last, though 2026-12 follows"),
        (lambda old, new: new.update(month="2027-01"), "the statements between are not there"),
        (lambda old, new: new["settled"].append({"uid": "a"}), "both open and settled"),
        (lambda old, new: old["inference"].update(answered="5"), "fewer inferences are counted"),
        (lambda old, new: new["inference"].update(answered="-5"), "would be negative"),
        (lambda old, new: new["inference"].update(carriedCompute="1/3"), "the window that inferences are counted in"),
        (lambda old, new: new["inference"].update(carriedGpuSeconds="1"), "the window that inferences are counted in"),
    ],
)
def test_what_is_changed_by_hand_is_named(spoil: Callable[[Any, Any], object], named: str) -> None:
    specs = ledger()
    specs[1]["open"] = specs[1]["open"] or [{"amounts": {"gpu": "1"}, "uids": ["a"]}]
    spoil(*specs)
    assert any(named in finding for finding in findings(specs)), findings(specs)


def test_a_statement_that_was_lost_is_named_until_its_account_is_closed() -> None:
    specs = ledger()
    specs[1]["lost"] = "the latest CostStatement of this model is gone: 7 GPU-seconds were shown"
    assert findings(specs) == ["2026-12: the latest CostStatement of this model is gone: 7 GPU-seconds were shown"]


def test_the_oldest_statement_may_follow_deleted_ones() -> None:
    assert findings(ledger()[1:]) == []


def test_a_status_is_held_against_its_page_and_what_exists() -> None:
    sheet = from_spec(CostStatementSpec.model_validate(ledger()[1]))
    known = facts(NOW + 60, *HELD, prices=PRICES, terms=TERMS)
    shown = live_page(sheet, known)
    rate = publish.per_hour(shown, HELD, PRICES, known.now)
    cost = publish.cost_of(shown, rate, Replicas(desired=1, ready=1), known.now)
    status = ModelDeploymentStatus(usage=publish.usage(shown), cost=cost)
    assert list(verify_status(sheet, known, status)) == []
    cheaper = status.model_copy(update={"cost": cost.model_copy(update={"total": "1.0000"})})
    assert [finding.split(":")[0] for finding in verify_status(sheet, known, cheaper)] == ["status.cost.total"]
    fewer = status.model_copy(update={"usage": publish.usage(shown).model_copy(update={"gpu_seconds": "7"})})
    assert [finding.split(":")[0] for finding in verify_status(sheet, known, fewer)] == ["status.usage.gpu_seconds"]


def test_an_open_uid_without_its_object_is_named() -> None:
    sheet = account(page(), facts(7 * 3600, pod("a", 0), prices=PRICES)).page
    assert list(verify_objects(sheet, facts(7 * 3600, pod("a", 0), prices=PRICES))) == []
    assert [finding.split()[1] for finding in verify_objects(sheet, facts(7 * 3600, prices=PRICES))] == ["a"]
    assert sheet.posted_through == at(7 * 3600)
