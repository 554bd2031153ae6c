"""Unit-seconds x unit price: exact amounts, as fractions, divided once and rounded once at the edge."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final

from modelmeter.api.scalars import decimal
from modelmeter.meter.holding import CPU, GPU, MEMORY, STORAGE, share_of
from modelmeter.meter.page import LineKey

ZERO: Final = Fraction(0)
HOUR_SECONDS: Final = 3600
DAY_SECONDS: Final = 24 * HOUR_SECONDS
YEAR_SECONDS: Final = 365 * DAY_SECONDS
"""A year is 365 days: the period that FinOps tools divide yearly amounts by (8,760 hours)."""
MONTH_SECONDS: Final = YEAR_SECONDS // 12
"""A month is a twelfth of a year: 730 hours."""
GIB: Final = 2**30
MILLI: Final = 1000
DISPLAY_DIGITS: Final = 4
"""Decimal places of amounts for people."""

CATEGORIES: Final = ("compute", "storage", "labour", "operations")
OVERHEADS: Final = ("labour/", "operations/")

COMPUTE: Final = (GPU, CPU, MEMORY)
CATEGORY_OF_ITEM: Final = {**dict.fromkeys(COMPUTE, "compute"), STORAGE: "storage"}

PERIOD_SECONDS: Final = {
    "hour": HOUR_SECONDS,
    "day": DAY_SECONDS,
    "month": MONTH_SECONDS,
    "year": YEAR_SECONDS,
}

UNIT_SECONDS: Final = {
    GPU: HOUR_SECONDS,
    CPU: MILLI * HOUR_SECONDS,
    MEMORY: GIB * HOUR_SECONDS,
    STORAGE: GIB * HOUR_SECONDS,
}
"""How many unit-seconds one priced unit is: a GPU-hour, a core-hour, a GiB-hour."""


def category(item: str) -> str:
    """The category of C = compute + storage + labour + operations that an item belongs to, or ""."""
    return CATEGORY_OF_ITEM.get(item) or (item.partition("/")[0] if item.startswith(OVERHEADS) else "")


def amount(item: str, unit_price: str, per: str, unit_seconds: int) -> Fraction:
    """The exact cost of unit-seconds at a unit price.

    >>> amount("gpu", "0.95", "hour", 7200)
    Fraction(19, 10)
    """
    if not unit_price:
        return ZERO
    return decimal(unit_price) * unit_seconds / (UNIT_SECONDS.get(item) or PERIOD_SECONDS[per])


def line_amount(key: LineKey, days: Mapping[str, int]) -> Fraction:
    """The exact cost of a line: units x share x unit price."""
    whole = amount(key.item, key.unit_price, key.per, sum(days.values()))
    return whole * share_of(key.share) if key.share else whole


def by_category(lines: Mapping[LineKey, Mapping[str, int]]) -> dict[str, Fraction]:
    """The exact cost of lines, by category."""
    sums = dict.fromkeys(CATEGORIES, ZERO)
    for key, days in lines.items():
        if name := category(key.item):
            sums[name] += line_amount(key, days)
    return sums


def estimated(lines: Mapping[LineKey, Mapping[str, int]]) -> Fraction:
    """The part of the lines' cost that rests on an estimate."""
    return sum((line_amount(key, days) for key, days in lines.items() if key.certainty == "estimated"), ZERO)


def text(value: Fraction, digits: int = DISPLAY_DIGITS) -> str:
    """An exact amount for people: rounded once, half to even.

    >>> text(Fraction(1, 3))
    '0.3333'
    """
    return f"{Decimal(round(value * 10**digits)).scaleb(-digits):f}"
