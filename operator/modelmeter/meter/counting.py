"""What Triton counted, on the ledger once: counters that begin again at zero with every server and every reload.

A tally keeps, for each pod, the reading up to which it is posted. A later reading posts the difference to it; one
that is not later changes nothing, so a reading may be posted twice, or late, by whomever.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Final, NamedTuple

from modelmeter.api.cost_statement import Inference
from modelmeter.api.scalars import instant, rfc3339

FORGOTTEN: Final = timedelta(hours=1)
"""How long a pod that nobody sees keeps its place: longer than any stale view lives."""


class Counters(NamedTuple):
    """What one server counted since it began; nanoseconds are sums over requests, those of `busy` over executions."""

    answered: int = 0
    failed: int = 0
    inferences: int = 0
    """Texts in the answered requests: a request may carry a batch."""
    request_nanoseconds: int = 0
    compute_nanoseconds: int = 0
    executions: int = 0
    executed: int = 0
    """Texts in these executions, warm-up among them."""
    busy_nanoseconds: int = 0


NOTHING: Final = Counters()
GROUPS: Final = (slice(0, 5), slice(5, 8))
"""Counters of the ensemble, and of its step NAME-bert: each begins again when its own model is loaded again."""


class Reading(NamedTuple):
    """What a pod's Triton said at a moment of the API server's clock."""

    uid: str
    created: datetime
    """Of the pod."""
    run: int
    """How often the pod's container had been restarted before this server began, as far as it was known."""
    run_before_ended: datetime | None
    at: datetime
    """When it was asked for."""
    draining: bool
    """Whether the pod had been told to end by then."""
    counters: Counters


class Base(NamedTuple):
    """A reading up to which a pod is posted; `at` is in seconds since 1970."""

    run: int
    at: int
    draining: int
    counters: Counters

    def text(self) -> str:
        """Short, for a page keeps one for each pod.

        >>> Base(0, 1764000000, 0, Counters(answered=7)).text()
        '0 1764000000 0 7 0 0 0 0 0 0 0'
        """
        return " ".join(map(str, (self.run, self.at, self.draining, *self.counters)))


def base_of(text: str) -> Base:
    """The inverse of `Base.text`."""
    run, at, draining, *counters = map(int, text.split())
    return Base(run, at, draining, Counters(*counters))


@dataclass(frozen=True, slots=True)
class Tally:
    """What a model's servers did since `since`, and what serving cost on the pages that are closed since then."""

    since: datetime
    read_at: datetime | None = None
    """The latest reading; None where there was none yet: then nothing is known, which is not 0."""
    counters: Counters = NOTHING
    unread: int = 0
    """Runs of a server that ended, or models that were loaded again, after a reading that was not their last."""
    bases: Mapping[str, str] = field(default_factory=dict)
    """UID of each pod to the text of its Base."""
    compute: Fraction = Fraction(0)
    gpu_seconds: int = 0
    """GPUs, or parts of them, x seconds: each is one device to its pod."""
    replica_seconds: int = 0

    @property
    def held(self) -> tuple[int, int]:
        """Both."""
        return self.gpu_seconds, self.replica_seconds


def post(tally: Tally, readings: Iterable[Reading], settled: Container[str] = ()) -> Tally:
    """Post what the readings say beyond what is posted; in order of time for each pod. A settled pod's are too late."""
    bases, counters, unread, read_at = dict(tally.bases), tally.counters, tally.unread, tally.read_at
    for reading in readings:
        base = base_of(bases[reading.uid]) if reading.uid in bases else None
        if reading.uid in settled or (base is not None and _seconds(reading.at) <= base.at):
            continue
        more, lost = _beyond(base, reading, tally.since)
        counters = Counters(*map(sum, zip(counters, more, strict=True)))
        unread += lost
        read_at = max(read_at or reading.at, reading.at)
        run = max(reading.run, base.run if base else 0)
        bases[reading.uid] = Base(run, _seconds(reading.at), int(reading.draining), reading.counters).text()
    return replace(tally, bases=bases, counters=counters, unread=unread, read_at=read_at)


def _beyond(base: Base | None, reading: Reading, since: datetime) -> tuple[Counters, bool]:
    """What a reading says beyond a base, and whether counts in between are lost."""
    if base is None:
        # What a pod did before counting began is not in the window that costs are divided by.
        return (NOTHING if reading.created < since else reading.counters), reading.run > 0
    # A watch that is late, here or where the base was read, shows a run before the one that answered.
    before = reading.run_before_ended
    if base.run >= reading.run or (before is not None and base.at > _seconds(before)):
        return _growth(base.counters, reading.counters)
    return reading.counters, True


def _growth(before: Counters, now: Counters) -> tuple[Counters, bool]:
    """The growth of counters, and whether one went back: then its model was loaded again, and began at zero.

    >>> _growth(Counters(answered=5, executions=9), Counters(answered=7, executions=2))
    (Counters(answered=2, ..., executions=2, ...), True)
    """
    grown: list[int] = []
    again = False
    for group in GROUPS:
        new = tuple(now)[group]
        more = [late - early for early, late in zip(tuple(before)[group], new, strict=True)]
        if min(more) < 0:
            again, more = True, list(new)
        grown += more
    return Counters(*grown), again


def close(tally: Tally, ended: Iterable[str], served: Container[str]) -> Tally:
    """Let go of pods that have ended; `served` are those of them whose server had begun.

    What one did between its last reading and its end is only known to be little where it was told to end before.
    """
    bases, unread = dict(tally.bases), tally.unread
    for uid in ended:
        text = bases.pop(uid, None)
        unread += uid in served if text is None else not base_of(text).draining
    return replace(tally, bases=bases, unread=unread)


def forsaken(tally: Tally, existing: Container[str], now: datetime) -> list[str]:
    """Pods that do not exist and were not read for long: they vanished without our finalizer."""
    oldest = _seconds(now - FORGOTTEN)
    return [uid for uid, text in tally.bases.items() if uid not in existing and base_of(text).at < oldest]


def news(tally: Tally, readings: Iterable[Reading]) -> bool:
    """Whether posting the readings would change more than their moment."""
    posted = post(tally, readings)
    return (posted.counters, posted.unread) != (tally.counters, tally.unread)


def goes_on(before: Base | Reading | None, reading: Reading) -> bool:
    """Whether a reading is of the same run as one before, without a reload between them; True where there is none."""
    if before is None:
        return True
    return before.run == reading.run and not _growth(before.counters, reading.counters)[1]


def latest(known: tuple[Reading, ...], reading: Reading, base: Base | None) -> tuple[Reading, ...]:
    """What has to be kept of a pod's readings until they are posted: the last of each run, and the first where it
    alone tells that counters had begun again. `base` is what is posted already.
    """
    before = known[-2] if len(known) > 1 else base
    if known and goes_on(known[-1], reading) and goes_on(before, known[-1]):
        known = known[:-1]
    return (*known, reading)


def from_spec(spec: Inference) -> Tally:
    """Read a tally."""
    return Tally(
        since=instant(spec.since),
        read_at=instant(spec.read_at) if spec.read_at else None,
        counters=Counters(*(int(getattr(spec, name)) for name in Counters._fields)),
        unread=spec.unread_runs,
        bases=spec.readings,
        compute=Fraction(spec.carried_compute),
        gpu_seconds=int(spec.carried_gpu_seconds),
        replica_seconds=int(spec.carried_replica_seconds),
    )


def to_spec(tally: Tally) -> Inference:
    """Write a tally; in sorted order, so that an unchanged one is unchanged text."""
    return Inference(
        since=rfc3339(tally.since),
        read_at=rfc3339(tally.read_at) if tally.read_at else None,
        **{name: str(count) for name, count in tally.counters._asdict().items()},
        unread_runs=tally.unread,
        readings=dict(sorted(tally.bases.items())),
        carried_compute=str(tally.compute),
        carried_gpu_seconds=str(tally.gpu_seconds),
        carried_replica_seconds=str(tally.replica_seconds),
    )


def _seconds(at: datetime) -> int:
    return round((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
