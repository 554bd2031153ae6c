"""What a model costs beside its pods and claims: labour and operations, and which PriceBook holds."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from modelmeter.api.base import Struct, rule, rules
from modelmeter.api.scalars import PRICE_RULE, Price


def _share(text: str) -> str:
    if Decimal(text) > 1:
        raise ValueError("must be between 0 and 1")
    return text


def _hours_per_day(text: str) -> str:
    if Decimal(text) > 24:
        raise ValueError("must be between 0 and 24")
    return text


Share = Annotated[
    Price,
    AfterValidator(_share),
    Field(json_schema_extra=rules(PRICE_RULE, rule("double(self) <= 1.0", "share must be between 0 and 1"))),
]
HoursPerDay = Annotated[
    Price,
    AfterValidator(_hours_per_day),
    Field(json_schema_extra=rules(PRICE_RULE, rule("double(self) <= 24.0", "hoursPerDay must be between 0 and 24"))),
]
Period = Literal["year", "month", "day", "hour"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", max_length=63)]


class Labour(Struct):
    """People's work on the model: an amount per period, of which the model takes a share."""

    name: Name
    price: Price
    """Amount per period, in the price book's currency, as a decimal string."""
    per: Period
    """year = 365 days, month = a twelfth of it (730 hours)."""
    share: Share = "1"
    """Part of the amount that this model bears, 0 to 1."""


class Operation(Struct):
    """Recurring work: hours a day at a price per hour, or an amount per period."""

    name: Name
    hours_per_day: HoursPerDay | None = None
    price_per_hour: Price | None = None
    price: Price | None = None
    per: Period | None = None


OPERATION_FORM = (
    "(has(self.hoursPerDay) && has(self.pricePerHour) && !has(self.price) && !has(self.per))"
    " || (has(self.price) && has(self.per) && !has(self.hoursPerDay) && !has(self.pricePerHour))"
)


class Pricing(Struct):
    """What the model's cost is made of beside its pods and claims."""

    price_book: Annotated[str, Field(min_length=1, max_length=253)] = "default"
    """Name of the PriceBook."""
    labour: Annotated[
        list[Labour],
        Field(
            max_length=32,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []
    operations: Annotated[
        list[
            Annotated[
                Operation,
                Field(
                    json_schema_extra=rules(
                        rule(OPERATION_FORM, "give either hoursPerDay and pricePerHour, or price and per")
                    )
                ),
            ]
        ],
        Field(
            max_length=32,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []
