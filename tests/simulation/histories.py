"""What may happen, as data: pods, claims, prices, labour, and everything that goes wrong meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from hypothesis import strategies as st

HOUR: Final = 3600
SPAN: Final = 36 * HOUR
"""The model lives at most so long; then it is deleted, and the trouble ends."""

BEGINNINGS: Final = (
    datetime(2026, 11, 29, 20, tzinfo=UTC),
    datetime(2028, 2, 28, 18, tzinfo=UTC),
    datetime(2027, 12, 31, 12, tzinfo=UTC),
    datetime(2026, 6, 10, 3, tzinfo=UTC),
)
"""Before a month's end, a leap day, a year's end, and none of them."""

ENDINGS: Final = (
    "finished",
    "failed",
    "evicted",
    "deleted",
    "deleted",
    "backing off",
    "forced",
    "node gone",
    "node gone",
    "node silent",
    "stays",
)
NODES: Final = 3
REVISIONS: Final = 4


@dataclass(frozen=True)
class PodStory:
    """One pod; all moments are seconds, `created` after the beginning, the others after each other."""

    created: int
    scheduled: int | None
    """After its creation; None: never."""
    length: int
    ending: str
    reported: int
    """How late its kubelet says that it ended."""
    gpus: int = 1
    cores: int = 2
    gibibytes: int = 4
    node: int = 0
    restarts: int = 0
    """Not where it ends as failed: what would be restarted does not end so."""
    pulling: int = 0
    claim: int | None = None
    replaced: bool = False
    """A pod of the same name follows as soon as the name is free."""
    resized: int | None = None
    """After so many seconds its cores double in place."""
    revision: int = 0
    """Of the model; 0: it is labelled by hand and has none."""


@dataclass(frozen=True)
class ClaimStory:
    """One claim; moments as in PodStory."""

    created: int
    bound: int | None
    gibibytes: int
    resized: int | None
    """So long after it was bound its size doubles."""
    deleted: int | None
    """So long after its creation; None: with the model."""
    storage_class: str


@dataclass(frozen=True)
class RateStory:
    """A rate: `added` to the book at that second (0: it was always there), valid from `valid`, or from ever (None)."""

    item: str
    price: str
    match: tuple[tuple[str, str], ...]
    added: int = 0
    valid: int | None = None


@dataclass(frozen=True)
class PricingStory:
    """From `at` on the model's owner costs so much an hour, its review so much a day."""

    at: int
    labour: str
    review: str


@dataclass(frozen=True)
class Trouble:
    """Everything that goes wrong."""

    writes: tuple[tuple[int, str], ...] = ()
    reads: tuple[tuple[int, str], ...] = ()
    pages: tuple[tuple[int, str], ...] = ()
    """As `writes`, but only writes of statements are counted."""
    lags: tuple[tuple[str, int, int, int], ...] = ()
    """(kind, from, for, seconds): the watch of a kind is so late."""
    outages: tuple[tuple[int, int], ...] = ()
    """(from, for): the operator is not there."""
    twins: tuple[tuple[int, int, int], ...] = ()
    """(from, for, seconds): by mistake there are two, and the second sees everything so late.

    It ends when the model is deleted: one that has not heard of that would apply the children anew.
    """
    breaks: tuple[tuple[int, bool], ...] = ()
    """(at, expired): all watches end."""
    skews: tuple[tuple[int, int], ...] = ()
    """(from, seconds): the operator's clock is so far ahead of the API server's."""

    @property
    def tells_runs_apart(self) -> bool:
        """Whether a server's restart is seen when it happens, or the operator's clock is the nodes'.

        Else a reading after it may be taken for one before it, and what it says is counted twice.
        """
        return not (self.skews and (self.twins or any(kind == "pods" for kind, *_ in self.lags)))

    @property
    def undisturbed(self) -> bool:
        """Whether one operator lives all the time and sees everything when it happens, by the right clock."""
        crashes = {"crash", "crashed"} & {kind for _, kind in (*self.writes, *self.reads, *self.pages)}
        return not (crashes or self.lags or self.outages or self.twins or self.breaks or self.skews)


@dataclass(frozen=True)
class History:
    """One model's life."""

    begin: datetime
    length: int
    pods: tuple[PodStory, ...] = ()
    claims: tuple[ClaimStory, ...] = ()
    rates: tuple[RateStory, ...] = ()
    pricing: tuple[PricingStory, ...] = ()
    trouble: Trouble = Trouble()


moments = st.integers(1, SPAN)
short = st.sampled_from((0, 0, 1, 2, 7, 61, 400))
prices = st.sampled_from(("0.731", "1.1", "3.7", "0.000123456789", "2"))

pods = st.builds(
    PodStory,
    created=moments,
    scheduled=st.one_of(short, short, st.none()),
    length=st.one_of(short, st.integers(1, 2 * HOUR), st.integers(1, SPAN)),
    ending=st.sampled_from(ENDINGS),
    reported=st.sampled_from((0, 0, 1, 30, 900, 5 * HOUR)),
    gpus=st.integers(0, 4),
    cores=st.integers(1, 8),
    gibibytes=st.integers(1, 16),
    node=st.integers(0, NODES - 1),
    restarts=st.sampled_from((0, 0, 1, 5)),
    pulling=short,
    claim=st.one_of(st.none(), st.integers(0, 1)),
    replaced=st.booleans(),
    resized=st.one_of(st.none(), st.none(), st.integers(60, SPAN)),
    revision=st.integers(0, REVISIONS),
)

claims = st.builds(
    ClaimStory,
    created=moments,
    bound=st.one_of(short, st.none()),
    gibibytes=st.integers(1, 64),
    resized=st.one_of(st.none(), st.integers(60, SPAN)),
    deleted=st.one_of(st.none(), short, st.integers(1, SPAN)),
    storage_class=st.sampled_from(("standard", "fast")),
)

matches = {
    "gpu": st.sampled_from(
        (
            (),
            (("gpuProduct", "NVIDIA-L4"),),
            (("capacityType", "spot"),),
            (("gpuProduct", "NVIDIA-L4"), ("capacityType", "spot")),
            (("instanceType", "g6.xlarge"),),
            (("region", "us-east-1"),),
        )
    ),
    "cpu": st.sampled_from(((), (("instanceType", "g6.xlarge"),), (("region", "eu-west-1"),))),
    "memory": st.sampled_from(((), (("capacityType", "on-demand"),))),
    "storage": st.sampled_from(((), (("storageClass", "fast"),))),
}


@st.composite
def rates(draw: st.DrawFn) -> tuple[RateStory, ...]:
    """A book; a rate that is added later holds an hour ahead, or is the item's first and holds from ever."""
    found: list[RateStory] = []
    for item, match in matches.items():
        always = [RateStory(item, draw(prices), draw(match)) for _ in range(draw(st.integers(0, 2)))]
        found += always
        if not always and draw(st.booleans()):
            found.append(RateStory(item, draw(prices), (), draw(moments), None))
        for _ in range(draw(st.integers(0, 2))):
            added = draw(moments)
            found.append(RateStory(item, draw(prices), draw(match), added, added + draw(st.integers(HOUR, 9 * HOUR))))
    return tuple(sorted(found, key=lambda rate: rate.added))


@st.composite
def pricing(draw: st.DrawFn) -> tuple[PricingStory, ...]:
    """Labour and operations, and how they change; no price comes twice."""
    changes = sorted(draw(st.lists(moments, max_size=2, unique=True)))
    return tuple(PricingStory(at, f"{10 + n}.5", f"{20 + 3 * n}") for n, at in enumerate((0, *changes)))


windows = st.tuples(moments, st.one_of(st.integers(1, 900), st.integers(1, 10 * HOUR)))

WRITE_FAULTS = ("conflict", "busy", "error", "reset", "lost", "slow", "conflicted", "crash", "crashed")
READ_FAULTS = ("busy", "error", "reset", "crash")
LAGGING = ("pods", "persistentvolumeclaims", "nodes", "pricebooks", "modeldeployments", "coststatements")

troubles = st.builds(
    Trouble,
    writes=st.lists(st.tuples(st.integers(1, 60), st.sampled_from(WRITE_FAULTS)), max_size=8).map(tuple),
    pages=st.lists(st.tuples(st.integers(1, 25), st.sampled_from(WRITE_FAULTS)), max_size=4).map(tuple),
    reads=st.lists(st.tuples(st.integers(1, 60), st.sampled_from(READ_FAULTS)), max_size=3).map(tuple),
    lags=st.lists(
        st.tuples(st.sampled_from(LAGGING), moments, st.integers(60, 12 * HOUR), st.integers(1, 1800)), max_size=4
    ).map(tuple),
    outages=st.lists(windows, max_size=2).map(tuple),
    twins=st.lists(st.tuples(moments, st.integers(60, SPAN), st.integers(0, 1800)), max_size=1).map(tuple),
    breaks=st.lists(st.tuples(moments, st.booleans()), max_size=2).map(tuple),
    skews=st.lists(st.tuples(moments, st.integers(-300, 300)), max_size=2).map(tuple),
)

histories = st.builds(
    History,
    begin=st.sampled_from(BEGINNINGS),
    length=st.integers(HOUR, SPAN),
    pods=st.lists(pods, max_size=5).map(tuple),
    claims=st.lists(claims, max_size=2).map(tuple),
    rates=rates(),
    pricing=pricing(),
    trouble=troubles,
)
