"""What a pod or a claim holds, since when and until when: the only thing that the ledger knows of objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from modelmeter.api.cost_statement import Certainty

GPU: Final = "gpu"
"""GPUs; unit-seconds are GPU-seconds."""
CPU: Final = "cpu"
"""Millicores; unit-seconds are millicore-seconds, which are core-milliseconds."""
MEMORY: Final = "memory"
"""Bytes; unit-seconds are byte-seconds."""
STORAGE: Final = "storage"
"""Bytes; unit-seconds are byte-seconds."""
REPLICA: Final = "replica"
"""Pods; bears no price."""


class Profile(NamedTuple):
    """What decides the price of a holding; empty where unknown or not applicable."""

    gpu_product: str = ""
    instance_type: str = ""
    region: str = ""
    capacity_type: str = ""
    storage_class: str = ""


@dataclass(frozen=True, slots=True)
class Holding:
    """Resources held over [start, end); `end` is None while they are held.

    `amounts` maps an item to whole units: GPUs, millicores, bytes, replicas.
    `certainty` says whether start and end are the API server's own or the next best thing.
    `resized` is when `amounts` became what they are, where they were others before; `at_first` is what they
    were then, where somebody noted it.
    """

    uid: str
    start: datetime
    end: datetime | None
    amounts: Mapping[str, int]
    profile: Profile
    certainty: Certainty = "exact"
    resized: datetime | None = None
    at_first: Mapping[str, int] | None = None
