"""What a pod or a claim holds, since when and until when: the only thing that the ledger knows of objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final, NamedTuple

from modelmeter.api.cost_statement import Certainty
from modelmeter.meter.uses import Uses, cut

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


class Piece(NamedTuple):
    """`units` of one item, each `share` of a whole one (empty: whole), over [start, end)."""

    item: str
    share: str
    units: int
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Shared:
    """Parts of GPUs, as in `Holding.slices`, of a ResourceClaim that several pods may use at once.

    `uses` are those of all pods that exist, by pod UID; the holding's own is among them.
    """

    claim: str
    slices: Mapping[str, int]
    uses: Uses

    def parts(self, among: int) -> Iterator[tuple[str, int]]:
        """Share of a GPU and units that each of so many bears."""
        for share, units in self.slices.items():
            yield share_text(share_of(share) / among), units


@dataclass(frozen=True, slots=True)
class Holding:
    """Resources held over [start, end); `end` is None while they are held.

    `amounts` maps an item to whole units: whole GPUs, millicores, bytes, replicas.
    `slices` maps a share of a GPU ("1/7") to how many such parts are held.
    `certainty` says whether all of it is the API server's own word or the next best thing, `reason` which.
    `stage` is the stage of the model's life that it serves; empty: serving. `revision` is that of a pod that serves.
    `resized` is when `amounts` became what they are, where they were others before; `at_first` is what they
    were then, where somebody noted it.
    """

    uid: str
    start: datetime
    end: datetime | None
    amounts: Mapping[str, int]
    profile: Profile
    certainty: Certainty = "exact"
    slices: Mapping[str, int] = field(default_factory=dict)
    shared: tuple[Shared, ...] = ()
    resized: datetime | None = None
    at_first: Mapping[str, int] | None = None
    stage: str = ""
    reason: str = ""
    revision: str = ""

    def parts(self, start: datetime, end: datetime) -> Iterator[Piece]:
        """Parts of GPUs held over [start, end), cut where the number of those who share them changes."""
        for share, units in self.slices.items():
            yield Piece(GPU, share, units, start, end)
        for shared in self.shared:
            for low, high, among in cut(shared.uses.values(), start, end):
                for share, units in shared.parts(among):
                    yield Piece(GPU, share, units, low, high)

    def pieces_now(self, now: datetime) -> Iterator[Piece]:
        """All that is held at one moment: pieces of one second."""
        soon = now + timedelta(seconds=1)
        for item, units in self.amounts.items():
            yield Piece(item, "", units, now, soon)
        yield from self.parts(now, soon)


def share_of(text: str) -> Fraction:
    """The exact part of a whole GPU.

    >>> share_of(""), share_of("1/7")
    (Fraction(1, 1), Fraction(1, 7))
    """
    return Fraction(text) if text else Fraction(1)


def share_text(share: Fraction) -> str:
    """A share as lines keep it: empty where it is a whole GPU.

    >>> share_text(Fraction(1)), share_text(Fraction(2, 14))
    ('', '1/7')
    """
    return "" if share == 1 else str(share)
