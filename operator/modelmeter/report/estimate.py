"""An estimate as a table for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from modelmeter.report.amounts import decimal_string
from modelmeter.report.table import table

UNKNOWN: Final = "unknown"
Row = tuple[str, str, Fraction, str, Fraction | None, Fraction | None]
"""category, name, quantity, unit, unit price, amount; None is unknown."""


def items_table(rows: Sequence[Row], sums: Mapping[str, Fraction], currency: str) -> str:
    """Every term with its amount, then the sum of each category and the total."""
    body = [
        (category, name, decimal_string(quantity), unit, _amount(price), _amount(amount))
        for category, name, quantity, unit, price, amount in rows
    ]
    unknown = sorted({name for _, name, _, _, _, amount in rows if amount is None})
    without = f"without {', '.join(unknown)}" if unknown else ""
    body += [
        (category, without if category == "total" else "", "", "", "", decimal_string(amount))
        for category, amount in sums.items()
    ]
    header = ("CATEGORY", "ITEM", "QUANTITY", "UNIT", "UNIT-PRICE", f"COST ({currency})")
    return table(header, body, frozenset({2, 4, 5}))


def items_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Every term; an unknown price or amount is null."""
    return [
        {
            "category": category,
            "name": name,
            "quantity": decimal_string(quantity),
            "unit": unit,
            "unitPrice": None if price is None else decimal_string(price),
            "cost": None if amount is None else decimal_string(amount),
        }
        for category, name, quantity, unit, price, amount in rows
    ]


def sums_json(sums: Mapping[str, Fraction]) -> dict[str, str]:
    """Categories and total as decimal strings."""
    return {category: decimal_string(amount) for category, amount in sums.items()}


def _amount(value: Fraction | None) -> str:
    return UNKNOWN if value is None else decimal_string(value)
