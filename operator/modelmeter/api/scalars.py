"""Scalar types with their units and patterns, shared by the three resources."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from modelmeter.api.base import rule, rules

DECIMAL_PATTERN: Final = r"^[0-9]{1,18}(\.[0-9]{1,18})?$"
SIGNED_INTEGER_PATTERN: Final = r"^-?[0-9]{1,60}$"
MONTH_PATTERN: Final = r"^[0-9]{4}-(0[1-9]|1[0-2])$"
QUANTITY_PATTERN: Final = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"
INSTANT_PATTERN: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"

_QUANTITY = re.compile(r"^(\+?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE]([+-]?[0-9]{1,3})|([a-zA-Z]*))$")
_SUFFIX: Final = {
    "": Fraction(1),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    **{suffix: Fraction(1000**power) for power, suffix in enumerate(("k", "M", "G", "T", "P", "E"), start=1)},
    **{suffix: Fraction(1024**power) for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)},
}


def _cel(pattern: str) -> str:
    """A pattern inside a CEL string literal."""
    return pattern.replace("\\", "\\\\")


def quantity(text: str | int) -> Fraction:
    """Parse a Kubernetes quantity exactly; ValueError where it is not one.

    >>> quantity("500m"), quantity("2Gi"), quantity("129e6")
    (Fraction(1, 2), Fraction(2147483648, 1), Fraction(129000000, 1))
    """
    match = _QUANTITY.match(str(text))
    if match is None or (match[3] or "") not in _SUFFIX:
        raise ValueError(f"{text!r} is not a Kubernetes quantity such as 500m, 2 or 16Gi")
    return Fraction(match[1]) * (Fraction(10) ** int(match[2]) if match[2] else _SUFFIX[match[3] or ""])


def decimal(text: str) -> Fraction:
    """The exact value of a decimal string of the API.

    >>> decimal("0.95")
    Fraction(19, 20)
    """
    return Fraction(Decimal(text))


def instant(text: str) -> datetime:
    """Parse an RFC 3339 instant of the API (whole seconds, UTC)."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def rfc3339(at: datetime) -> str:
    """Format an aware instant as the API does: whole seconds, UTC.

    >>> rfc3339(datetime(2026, 11, 1, tzinfo=UTC))
    '2026-11-01T00:00:00Z'
    """
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _matches(pattern: str, message: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.match(pattern, text):
            raise ValueError(message)
        return text

    return AfterValidator(check)


def _check_instant(text: str) -> str:
    instant(text)
    return text


def _check_quantity(text: str) -> str:
    quantity(text)
    return text


# The rules are CEL and not `pattern`, for a pattern's message shows a regular expression instead of the reason.
PRICE_MESSAGE: Final = 'must be a decimal string, 0 or more, such as "0.95"'
PRICE_RULE: Final = rule(f"self.matches('{_cel(DECIMAL_PATTERN)}')", PRICE_MESSAGE)
INSTANT_RULE_TAIL: Final = "timestamp(self) >= timestamp('0001-01-01T00:00:00Z')"
"""Fails, with CEL's own words, for a day that no calendar has."""
INSTANT_MESSAGE: Final = 'must be a moment in UTC with whole seconds, such as "2026-11-01T00:00:00Z"'
QUANTITY_MESSAGE: Final = 'must be a Kubernetes quantity, such as "500m" or "16Gi"'
QUANTITY_RULE: Final = rule(f"self.matches('{_cel(QUANTITY_PATTERN)}')", QUANTITY_MESSAGE)

Amount = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?$")]
"""A decimal string, rounded once, half to even."""

Price = Annotated[
    str, Field(max_length=40, json_schema_extra=rules(PRICE_RULE)), _matches(DECIMAL_PATTERN, PRICE_MESSAGE)
]
"""A price, 0 or more, as a decimal string: "0.95"."""

Integer = Annotated[str, Field(pattern=SIGNED_INTEGER_PATTERN)]
"""A whole number of any size as a string: byte-seconds pass 64 bits."""

Instant = Annotated[
    str,
    Field(
        max_length=20,
        json_schema_extra=rules(
            rule(f"self.matches('{_cel(INSTANT_PATTERN)}') && {INSTANT_RULE_TAIL}", INSTANT_MESSAGE)
        ),
    ),
    _matches(INSTANT_PATTERN, INSTANT_MESSAGE),
    AfterValidator(_check_instant),
]
"""A moment in UTC with whole seconds: "2026-11-01T00:00:00Z"."""

Month = Annotated[str, Field(pattern=MONTH_PATTERN)]
"""A calendar month in UTC: "2026-11"."""

QuantityString = Annotated[
    str,
    Field(max_length=32, json_schema_extra=rules(QUANTITY_RULE)),
    _matches(QUANTITY_PATTERN, QUANTITY_MESSAGE),
    AfterValidator(_check_quantity),
]
"""A Kubernetes quantity: "500m", "16Gi"."""

ObjectName = Annotated[str, Field(pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$", max_length=253)]
"""Name of an object of Kubernetes, or empty."""
