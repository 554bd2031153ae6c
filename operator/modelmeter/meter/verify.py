"""Proves that a ledger is whole, or says where it is not: lines, totals, what is carried on, and the status."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from modelmeter.api.cost_statement import OTHER, CostStatementSpec
from modelmeter.api.model_deployment_status import Cost, ModelDeploymentStatus
from modelmeter.errors import LedgerError
from modelmeter.meter import inference, publish, sums
from modelmeter.meter.account import Facts, check, live_page
from modelmeter.meter.ledger import carry
from modelmeter.meter.page import Page, Past, month_end, month_of, month_start
from modelmeter.meter.revisions import fold
from modelmeter.meter.stored import from_spec

AMOUNTS = ("compute", "storage", "labour", "operations", "total")


def verify_pages(specs: Sequence[CostStatementSpec]) -> Iterator[str]:
    """What is wrong with all the statements of one model, in words; nothing where they are whole.

    The oldest is taken at its word: those before it may be older than statements are kept.
    """
    pages = sorted(map(from_spec, specs), key=lambda page: page.month)
    totals = {spec.month: spec.totals for spec in specs}
    for page in pages:
        yield from _verify_page(page)
        right = publish.totals(page).model_dump(mode="json", by_alias=True)
        for name, said in totals[page.month].model_dump(mode="json", by_alias=True).items():
            if said != right[name]:
                yield f"{page.month}: totals.{name} is {said}, the lines sum up to {right[name]}"
    for before, after in pairwise(pages):
        if month_of(month_end(before.month)) != after.month:
            yield f"{after.month}: follows {before.month}; the statements between are not there"
        if not before.closed or before.ended:
            yield f"{before.month}: is not closed, or is the last, though {after.month} follows"
        if _without_zeros(_still_named(carry(before), before, after)) != _without_zeros(after.past):
            yield f"{after.month}: what it carries is not the sum of {before.month} and all before"
        yield from _verify_tally(before, after)


def verify_status(page: Page, facts: Facts, status: ModelDeploymentStatus) -> Iterator[str]:
    """What a status says otherwise than its page and what exists; `facts.now` is the status' own moment."""
    shown = live_page(page, facts)
    if status.usage is not None and status.usage != (right := publish.usage(shown)):
        wrong = [name for name in type(right).model_fields if getattr(right, name) != getattr(status.usage, name)]
        yield f"status.usage.{wrong[0]}: {getattr(status.usage, wrong[0])}, by the ledger {getattr(right, wrong[0])}"
    if status.cost is not None:
        yield from _verify_cost(shown, facts, status.cost)


def verify_objects(page: Page, facts: Facts) -> Iterator[str]:
    """What is open on the ledger must exist: else its finalizer was taken off by somebody else."""
    existing = {held.uid for held in facts.holdings}
    for uid in sorted(page.open.keys() - existing):
        yield f"{page.month}: {uid} is open, but no such pod or claim exists; its usage ends at {page.posted_through}"


def _verify_page(page: Page) -> Iterator[str]:
    try:
        check(page)
    except LedgerError as error:
        yield str(error)
    parts = sums.plus_parts(carry(page).revisions, sums.by_revision({}, page.unpriced))
    for revision, part in sorted(parts.items()):
        if min((part.cost, *part.usage.values())) < 0:
            yield f"{page.month}: the whole life of revision {revision or OTHER} would be negative"
    if page.lost and not page.closed:
        yield f"{page.month}: {page.lost}"
    if not month_start(page.month) <= page.posted_through <= month_end(page.month):
        yield f"{page.month}: postedThrough is {page.posted_through}, which is not in that month"
    if page.closed and not page.ended and page.posted_through != month_end(page.month):
        yield f"{page.month}: is closed, but posted through {page.posted_through} only"


def _verify_tally(before: Page, after: Page) -> Iterator[str]:
    right, found = inference.carried(before), after.tally
    if right is None or found is None:
        return
    if (right.since, right.compute, right.held) != (found.since, found.compute, found.held):
        yield f"{after.month}: the window that inferences are counted in is not that of {before.month} and its own"
    if any(late < early for early, late in zip(right.counters, found.counters, strict=True)):
        yield f"{after.month}: fewer inferences are counted than on {before.month}"


def _verify_cost(shown: Page, facts: Facts, cost: Cost) -> Iterator[str]:
    right = publish.cost_of(
        shown, publish.per_hour(shown, facts.holdings, facts.tariff, facts.now), cost.replicas, facts.now
    )
    for name in AMOUNTS:
        if getattr(cost, name) != getattr(right, name):
            yield f"status.cost.{name}: {getattr(cost, name)}, by the ledger {getattr(right, name)}"
    if cost.month != right.month:
        yield f"status.cost.month: {cost.month.total}, by the ledger {right.month.total}"


def _still_named(past: Past, before: Page, after: Page) -> Past:
    """What is carried as it stands on the later page: revisions may have lost their names there, and got them again."""
    kept = {
        revision
        for revision, since in after.revisions.items()
        if revision in after.past.revisions or since == before.revisions.get(revision)
    }
    return replace(past, revisions=fold(past.revisions, kept))


def _without_zeros(past: Past) -> Past:
    """The same, however it is written down: a sum of 0 may stand there or not."""
    return replace(
        past,
        usage={item: units for item, units in past.usage.items() if units},
        cost={category: amount for category, amount in past.cost.items() if amount},
        unpriced={item: units for item, units in past.unpriced.items() if units},
        estimates={reason: seconds for reason, seconds in past.estimates.items() if seconds},
    )
