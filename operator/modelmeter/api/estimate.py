"""The Estimate: explicit quantities and unit prices in a file for `modelmeter estimate`; not a resource."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from modelmeter.api.base import Struct
from modelmeter.api.scalars import Price


class EstimateItem(Struct):
    """One term of C: unit price x quantity."""

    category: Literal["compute", "storage", "labour", "operations"]
    name: Annotated[str, Field(min_length=1, max_length=253)]
    quantity: Price
    """How many units, a decimal string."""
    unit: str = ""
    """For people: "GPU-second", "MB", "day"."""
    unit_price: Price
    """Price of one unit, a decimal string."""


class EstimateSpec(Struct):
    """Terms of C = compute + storage + labour + operations."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    """ISO 4217 code."""
    items: Annotated[list[EstimateItem], Field(min_length=1)]
