"""From a page and what is held now to the usage and cost that the resource's status shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Context, Decimal
from fractions import Fraction

from modelmeter.api.cost_statement import Overhead, Totals
from modelmeter.api.model_deployment_status import (
    Cost,
    EstimatedUsage,
    MonthCost,
    Replicas,
    Unpriced,
    Usage,
)
from modelmeter.api.pricing import Pricing
from modelmeter.api.scalars import rfc3339
from modelmeter.meter import cost, sums
from modelmeter.meter.holding import CPU, GPU, MEMORY, REPLICA, STORAGE, Holding, share_of
from modelmeter.meter.ledger import carry
from modelmeter.meter.page import Page, month_start
from modelmeter.meter.parts import ITEMS, by_revision, by_stage, hours, quantities, unknown, whole
from modelmeter.meter.prices import Tariff

EXACT = Context(prec=100)
"""Enough digits for the product of any two decimal strings of the API."""
UNKNOWN_REASON = "Unknown"
"""Of estimates on lines that name no reason."""


def overheads(pricing: Pricing) -> tuple[Overhead, ...]:
    """Labour and operations of a spec as they accrue: a price per period each, share applied."""
    labour = (
        Overhead(item=f"labour/{entry.name}", unit_price=_product(entry.price, entry.share), per=entry.per)
        for entry in pricing.labour
    )
    operations = (
        Overhead(item=f"operations/{entry.name}", unit_price=entry.price, per=entry.per)
        if entry.price is not None and entry.per is not None
        else Overhead(
            item=f"operations/{entry.name}",
            unit_price=_product(entry.hours_per_day or "0", entry.price_per_hour or "0"),
            per="day",
        )
        for entry in pricing.operations
    )
    return (*labour, *operations)


def _product(left: str, right: str) -> str:
    """The exact product of two decimal strings, without trailing zeros."""
    product = f"{EXACT.multiply(Decimal(left), Decimal(right)):f}"
    return product.rstrip("0").rstrip(".") if "." in product else product


def totals(page: Page) -> Totals:
    """What the page adds to all before it, for people who read the CostStatement."""
    seconds = sums.plus(sums.usage(page.lines), sums.unpriced(page.unpriced))
    gpu_seconds = seconds.get(GPU, cost.ZERO) - page.past.unpriced.get(GPU, cost.ZERO)
    return Totals(**_of_month(page), gpu_seconds=whole(gpu_seconds))


def usage(page: Page) -> Usage:
    """Whole-life usage, posted and unpriced, of a page that has advanced to asOf."""
    life = carry(page)
    seconds = sums.plus(life.usage, sums.unpriced(page.unpriced))
    estimates = sums.plus(life.estimates, sums.by_reason({}, page.unpriced))
    replica_seconds = seconds.get(REPLICA, cost.ZERO)
    storage_seconds = seconds.get(STORAGE, cost.ZERO)
    return Usage(
        **quantities(seconds),
        replica_seconds=whole(replica_seconds),
        storage_gi_b_hours=hours(storage_seconds, cost.UNIT_SECONDS[STORAGE]),
        replica_hours=hours(replica_seconds, cost.HOUR_SECONDS),
        by_stage=by_stage(life, page.unpriced),
        by_revision=by_revision(life, page),
        estimated=[
            EstimatedUsage(reason=reason or UNKNOWN_REASON, gpu_seconds=whole(gpu_seconds))
            for reason, gpu_seconds in sorted(estimates.items())
        ],
    )


def cost_of(page: Page, per_hour: Fraction | None, replicas: Replicas, as_of: datetime) -> Cost:
    """Whole-life and month's cost of a page that has advanced to `as_of`."""
    life = carry(page)
    unpriced = sums.unpriced(page.unpriced)
    return Cost(
        currency=page.currency,
        replicas=replicas,
        **_amounts(life.cost, life.usage, unpriced),
        month=MonthCost(name=page.month, **_of_month(page)),
        per_hour=None if per_hour is None else cost.text(per_hour),
        as_of=rfc3339(as_of),
        unpriced=Unpriced(
            gpu_seconds=_some(unpriced.get(GPU)),
            cpu_core_milli_seconds=_some(unpriced.get(CPU)),
            memory_byte_seconds=_some(unpriced.get(MEMORY)),
            storage_byte_seconds=_some(unpriced.get(STORAGE)),
        )
        if any(unpriced.values())
        else None,
        estimated=cost.text(life.estimated) if life.estimated else None,
    )


def per_hour(page: Page, held: Iterable[Holding], tariff: Tariff, now: datetime) -> Fraction | None:
    """What an hour costs as things stand now, without what has no price; None where nothing that is held has one."""
    total = cost.ZERO
    priced: set[bool] = set()
    for holding in held:
        if holding.end is not None or holding.uid in page.settled:
            continue
        for piece in holding.pieces_now(now):
            if piece.item == REPLICA or not piece.units:
                continue
            price = tariff.at(piece.item, holding.profile, now)
            priced.add(price is not None)
            if price is not None:
                hourly = cost.amount(piece.item, price.unit_price, price.per, piece.units * cost.HOUR_SECONDS)
                total += hourly * share_of(piece.share)
    if priced == {False}:
        return None
    ended = page.overheads_until is not None and page.overheads_until <= now
    for overhead in () if ended else page.overheads:
        total += cost.amount(overhead.item, overhead.unit_price, overhead.per, cost.HOUR_SECONDS)
    return total


def unpriced_items(page: Page, held: Iterable[Holding], tariff: Tariff, now: datetime) -> tuple[str, ...]:
    """What has no price, in words: "gpu on NVIDIA-L4 (spot, eu-west-1)"; for the Priced condition."""
    missing = {(key.item, key.profile) for key in page.unpriced}
    for holding in held:
        if holding.end is None:
            missing |= {
                (piece.item, holding.profile)
                for piece in holding.pieces_now(now)
                if piece.units and piece.item != REPLICA and tariff.at(piece.item, holding.profile, now) is None
            }
    return tuple(
        sorted(
            f"{item} on {profile.gpu_product or profile.storage_class or 'any'}"
            f" ({', '.join(part for part in profile[1:4] if part) or 'no node labels'})"
            for item, profile in missing
        )
    )


def _of_month(page: Page) -> dict[str, str | None]:
    """Amounts that are posted on the page."""
    begins = month_start(page.month)
    own = {
        key._replace(start=max(key.start, begins)): amount for key, amount in page.unpriced.items() if key.end > begins
    }
    return _amounts(cost.by_category(page.lines), sums.usage(page.lines), sums.unpriced(own))


def _amounts(
    parts: Mapping[str, Fraction], priced: Mapping[str, Fraction], unpriced: Mapping[str, Fraction]
) -> dict[str, str | None]:
    """Amounts for people; None where something was used and nothing of it has a price: it is not known, and not 0."""
    exact = {category: parts.get(category, cost.ZERO) for category in cost.CATEGORIES}
    missing = {name for name, items in ITEMS.items() if unknown(items, priced, unpriced)}
    amounts = {**exact, "total": sum(exact.values(), cost.ZERO)}
    return {name: None if name in missing else cost.text(amount) for name, amount in amounts.items()}


def _some(seconds: Fraction | None) -> str | None:
    return whole(seconds) if seconds else None
