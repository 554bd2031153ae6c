"""The PriceBook: dated unit prices of a cluster, append-only."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AliasChoices, Field, model_validator

from modelmeter.api.base import Struct, rule, rules
from modelmeter.api.scalars import Instant, Price

Item = Literal["gpu", "cpu", "memory", "storage"]
Per = Literal["hour", "GiB-hour"]
MatchText = Annotated[str, Field(max_length=253)]

UNIT_OF_ITEM: dict[str, str] = {"gpu": "hour", "cpu": "hour", "memory": "GiB-hour", "storage": "GiB-hour"}

MATCH_FITS = (
    "self.item == 'storage'"
    " ? self.match.gpuProduct == '' && self.match.instanceType == ''"
    " && self.match.region == '' && self.match.capacityType == ''"
    " : self.match.storageClass == ''"
)
"""A claim has no node and a pod no StorageClass: such a rate would never hold."""
APPEND_ONLY = "self.size() >= oldSelf.size() && self.slice(0, oldSelf.size()) == oldSelf"


class Match(Struct):
    """Which usage a rate is for: every field given must equal the pod's or claim's; none matches all."""

    gpu_product: MatchText = ""
    """Node label nvidia.com/gpu.product."""
    instance_type: MatchText = ""
    """Node label node.kubernetes.io/instance-type."""
    region: MatchText = ""
    """Node label topology.kubernetes.io/region."""
    capacity_type: Literal["", "on-demand", "spot", "reserved"] = ""
    """As the node's labels say it; empty matches all."""
    storage_class: MatchText = ""
    """StorageClass of a claim."""


class Rate(Struct):
    """A unit price, valid from a moment until a rate with the same match follows."""

    item: Item
    match: Match = Match()
    price: Price
    """Price of one unit, a decimal string in the book's currency."""
    per: Per
    """gpu and cpu: hour (of one GPU, of one core); memory and storage: GiB-hour."""
    from_: Annotated[Instant, Field(alias="from", validation_alias=AliasChoices("from", "from_"))]
    """Valid from this moment on (RFC 3339, UTC, whole seconds)."""

    @model_validator(mode="after")
    def _can_hold(self) -> Rate:
        if UNIT_OF_ITEM[self.item] != self.per:
            raise ValueError(f"a {self.item} rate is per {UNIT_OF_ITEM[self.item]}")
        given = {name for name, text in self.match if text}
        if given - {"storage_class"} if self.item == "storage" else "storage_class" in given:
            raise ValueError("a storage rate matches by storageClass alone, and no other rate by storageClass")
        return self


class PriceBookSpec(Struct):
    """Unit prices in one currency."""

    currency: Annotated[
        str,
        Field(
            pattern=r"^[A-Z]{3}$",
            json_schema_extra=rules(rule("self == oldSelf", "currency cannot change: make another PriceBook")),
        ),
    ]
    """ISO 4217 code."""
    rates: Annotated[
        list[
            Annotated[
                Rate,
                Field(
                    json_schema_extra=rules(
                        rule(
                            "(self.item in ['gpu', 'cpu']) == (self.per == 'hour')",
                            "gpu and cpu rates are per hour, memory and storage rates per GiB-hour",
                        ),
                        rule(
                            MATCH_FITS,
                            "a storage rate matches by storageClass alone, and no other rate by storageClass",
                        ),
                    )
                ),
            ]
        ],
        Field(
            max_length=500,
            json_schema_extra=rules(
                rule(
                    APPEND_ONLY,
                    "rates are append-only: a rate cannot be edited or removed; append one with a later 'from'",
                )
            ),
        ),
    ] = []
