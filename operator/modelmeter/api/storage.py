"""Where the fetched model is kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from modelmeter.api.base import Struct, rule, rules
from modelmeter.api.scalars import QUANTITY_RULE, QuantityString

AccessMode = Literal["ReadWriteOnce", "ReadWriteMany"]
Immutable = "self == oldSelf"


class Storage(Struct):
    """The claim that holds the fetched model and the Triton repository."""

    size: Annotated[
        QuantityString,
        Field(
            json_schema_extra=rules(
                QUANTITY_RULE,
                rule("!isQuantity(self) || quantity(self).isGreaterThan(quantity('0'))", "size must be more than 0"),
                rule(
                    "!isQuantity(self) || !isQuantity(oldSelf) || quantity(self).compareTo(quantity(oldSelf)) >= 0",
                    "size may grow but not shrink: a claim cannot be made smaller",
                ),
            )
        ),
    ] = "10Gi"
    """Capacity of the claim, for example 10Gi."""
    storage_class_name: Annotated[
        str,
        Field(
            max_length=253,
            json_schema_extra=rules(rule(Immutable, "storageClassName of a claim cannot change")),
        ),
    ] = ""
    """StorageClass; empty: the cluster's default."""
    access_modes: Annotated[
        list[AccessMode],
        Field(
            min_length=1,
            max_length=2,
            json_schema_extra=rules(rule(Immutable, "accessModes of a claim cannot change")),
        ),
    ] = ["ReadWriteOnce"]
    """ReadWriteMany lets replicas on several nodes share the claim."""
    per_replica: Annotated[
        bool,
        Field(json_schema_extra=rules(rule(Immutable, "perReplica cannot change: the replicas' claims are made anew"))),
    ] = False
    """Each replica has a claim of its own, which comes and goes with its pod (a generic ephemeral volume).

    So replicas spread over nodes without ReadWriteMany; each fetches the model, and pays for its own copy."""
