"""Exact amounts as decimal strings."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Final

DIGITS: Final = 10
"""Decimal places at which an amount that has no end is rounded, half to even."""


def decimal_string(value: Fraction) -> str:
    """A decimal string without trailing zeros.

    >>> decimal_string(Fraction(72501002, 10000)), decimal_string(Fraction(1, 3))
    ('7250.1002', '0.3333333333')
    """
    text = f"{Decimal(round(value * 10**DIGITS)).scaleb(-DIGITS):f}"
    return text.rstrip("0").rstrip(".")
