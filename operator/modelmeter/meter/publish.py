"""From a page and what is held now to the usage and cost that the resource's status shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Context, Decimal
from fractions import Fraction

from modelmeter.api.cost_statement import Overhead, Totals
from modelmeter.api.model_deployment import Pricing
from modelmeter.api.model_deployment_status import Cost, MonthCost, Replicas, Unpriced, Usage
from modelmeter.api.scalars import rfc3339
from modelmeter.meter import cost
from modelmeter.meter.holding import CPU, GPU, MEMORY, REPLICA, STORAGE, Holding
from modelmeter.meter.ledger import carry
from modelmeter.meter.page import Page, SpanKey, month_end, month_start
from modelmeter.meter.prices import Tariff

EXACT = Context(prec=100)
"""Enough digits for the product of any two decimal strings of the API."""
HOUR_DIGITS = 2
"""Decimal places of GPU-hours and the like for people."""


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
    """The page's own sums, for people who read the CostStatement."""
    parts = cost.by_category(page.lines)
    gpu_seconds = sum(sum(days.values()) for key, days in page.lines.items() if key.item == GPU)
    begins, ends = month_start(page.month), month_end(page.month)
    own = {
        key._replace(start=max(key.start, begins), end=min(key.end, ends)): amount
        for key, amount in page.unpriced.items()
        if key.start < ends and key.end > begins
    }
    return Totals(**_texts(parts), gpu_seconds=str(gpu_seconds + _seconds(own).get(GPU, 0)))


def usage(page: Page) -> Usage:
    """Whole-life usage, posted and unpriced, of a page that has advanced to asOf."""
    seconds = dict.fromkeys((GPU, CPU, MEMORY, STORAGE, REPLICA), 0)
    for part in (carry(page).usage, _unpriced(page)):
        for item, units in part.items():
            seconds[item] += units
    return Usage(
        gpu_seconds=str(seconds[GPU]),
        cpu_core_milli_seconds=str(seconds[CPU]),
        memory_byte_seconds=str(seconds[MEMORY]),
        storage_byte_seconds=str(seconds[STORAGE]),
        replica_seconds=str(seconds[REPLICA]),
        gpu_hours=_hours(seconds[GPU], cost.HOUR_SECONDS),
        storage_gi_b_hours=_hours(seconds[STORAGE], cost.UNIT_SECONDS[STORAGE]),
        replica_hours=_hours(seconds[REPLICA], cost.HOUR_SECONDS),
    )


def cost_of(page: Page, per_hour: Fraction, replicas: Replicas, as_of: datetime) -> Cost:
    """Whole-life and month's cost of a page that has advanced to `as_of`."""
    life = carry(page)
    unpriced = _unpriced(page)
    return Cost(
        currency=page.currency,
        replicas=replicas,
        **_texts(dict(life.cost)),
        month=MonthCost(name=page.month, **_texts(cost.by_category(page.lines))),
        per_hour=cost.text(per_hour),
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


def per_hour(page: Page, held: Iterable[Holding], tariff: Tariff, now: datetime) -> Fraction:
    """What an hour costs as things stand now; what has no price is not in it."""
    total = cost.ZERO
    for holding in held:
        if holding.end is not None or holding.uid in page.settled:
            continue
        for item, amount in holding.amounts.items():
            if item != REPLICA and (price := tariff.at(item, holding.profile, now)):
                total += cost.amount(item, price.unit_price, price.per, amount * cost.HOUR_SECONDS)
    for overhead in page.overheads:
        total += cost.amount(overhead.item, overhead.unit_price, overhead.per, cost.HOUR_SECONDS)
    return total


def unpriced_items(page: Page, held: Iterable[Holding], tariff: Tariff, now: datetime) -> tuple[str, ...]:
    """What has no price, in words: "gpu on NVIDIA-L4 (spot, eu-west-1)"; for the Priced condition."""
    missing = {(key.item, key.profile) for key in page.unpriced}
    for holding in held:
        if holding.end is None:
            missing |= {
                (item, holding.profile)
                for item, amount in holding.amounts.items()
                if amount and item != REPLICA and tariff.at(item, holding.profile, now) is None
            }
    return tuple(
        sorted(
            f"{item} on {profile.gpu_product or profile.storage_class or 'any'}"
            f" ({', '.join(part for part in profile[1:4] if part) or 'no node labels'})"
            for item, profile in missing
        )
    )


def _unpriced(page: Page) -> dict[str, int]:
    return _seconds(page.unpriced)


def _seconds(spans: Mapping[SpanKey, int]) -> dict[str, int]:
    seconds: dict[str, int] = {}
    for key, amount in spans.items():
        length = round((key.end - key.start).total_seconds())
        seconds[key.item] = seconds.get(key.item, 0) + amount * length
    return seconds


def _texts(parts: dict[str, Fraction]) -> dict[str, str]:
    exact = {category: parts.get(category, cost.ZERO) for category in cost.CATEGORIES}
    return {
        **{category: cost.text(amount) for category, amount in exact.items()},
        "total": cost.text(sum(exact.values(), cost.ZERO)),
    }


def _hours(unit_seconds: int, unit: int) -> str:
    return cost.text(Fraction(unit_seconds, unit), HOUR_DIGITS)


def _some(units: int | None) -> str | None:
    return str(units) if units else None
