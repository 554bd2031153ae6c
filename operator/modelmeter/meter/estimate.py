"""C = compute + storage + labour + operations, each a sum of unit price x quantity, before anything runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Final

from modelmeter.api.cost_statement import Overhead
from modelmeter.api.estimate import EstimateItem
from modelmeter.api.scalars import decimal
from modelmeter.meter import cost
from modelmeter.meter.holding import CPU, GPU, MEMORY, REPLICA, STORAGE, Holding, share_of
from modelmeter.meter.prices import Tariff

HOURS_PER_MONTH: Final = cost.MONTH_SECONDS // cost.HOUR_SECONDS
"""730."""
UNIT_NAMES: Final = {GPU: "GPU-hour", CPU: "core-hour", MEMORY: "GiB-hour", STORAGE: "GiB-hour"}


@dataclass(frozen=True, slots=True)
class Term:
    """One term of C; `unit_price` is None where no rate covers it, then its cost is unknown."""

    category: str
    name: str
    quantity: Fraction
    unit: str
    unit_price: Fraction | None

    @property
    def amount(self) -> Fraction | None:
        """The exact cost, None where it is unknown."""
        return None if self.unit_price is None else self.quantity * self.unit_price


def explicit(item: EstimateItem) -> Term:
    """A term as it is written in a file."""
    return Term(item.category, item.name, decimal(item.quantity), item.unit, decimal(item.unit_price))


def held_for_an_hour(held: Holding, times: int, tariff: Tariff, now: datetime) -> list[Term]:
    """Terms of what so many pods or claims hold, for one hour, at the prices of `now`."""
    terms = []
    for piece in held.pieces_now(now):
        if piece.item != REPLICA:
            price = tariff.at(piece.item, held.profile, now)
            units = share_of(piece.share) * piece.units * times
            terms.append(
                Term(
                    category=cost.category(piece.item),
                    name=piece.item,
                    quantity=units * cost.HOUR_SECONDS / cost.UNIT_SECONDS[piece.item],
                    unit=UNIT_NAMES[piece.item],
                    unit_price=decimal(price.unit_price) if price else None,
                )
            )
    return terms


def overhead_for_an_hour(overhead: Overhead) -> Term:
    """The term of labour or operations for one hour."""
    category, _, name = overhead.item.partition("/")
    quantity = Fraction(cost.HOUR_SECONDS, cost.PERIOD_SECONDS[overhead.per])
    return Term(category, name, quantity, overhead.per, decimal(overhead.unit_price))


def parts(terms: Iterable[Term], times: int = 1) -> dict[str, Fraction]:
    """The sum of each category and `total`, exact; unknown terms are not in it."""
    sums = dict.fromkeys(cost.CATEGORIES, cost.ZERO)
    for term in terms:
        if term.amount is not None:
            sums[term.category] += term.amount * times
    return {**sums, "total": sum(sums.values(), cost.ZERO)}
