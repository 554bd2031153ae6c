"""The matrix: every class of fault, and where in a run it is injected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from tests.faults.faults import Down, Fault, Kill, Outside, Refuse, Several, Sometimes, Stale, Two
from tests.faults.operators import HOST
from tests.faults.proxy import LEASES
from tests.faults.watches import Closed, Delay, Dropped, Duplicate, Hang, Reorder

WATCHED: Final = ("pods", "persistentvolumeclaims", "modeldeployments", "deployments", "pricebooks")
"""Kinds whose events meet faults: what is metered, what is asked for, a child, and prices."""
METERED: Final = ("pods", "persistentvolumeclaims", "coststatements")
"""Kinds whose lists make the ledger."""
LISTED: Final = (*METERED, "deployments", "modeldeployments")
RELEASE: Final = "release"
PAGES: Final = "coststatements"
OTHER_HOST: Final = "another"
LEASE_WRITES: Final = (1, 2, 5)
"""The first takes it, the others renew it."""
PAGE_WRITES: Final = range(1, 12)
"""Of the reference run: each model's page is created, then written as pods and claims end, then closed."""
EVERY: Final = 8
"""Writes from one point to the next, for classes that do not take every one."""


@dataclass(frozen=True, slots=True)
class Case:
    """One run to make."""

    name: str
    point: str
    fault: Callable[[], Fault]
    alone: bool = False
    """It touches the control plane itself, so nothing else runs beside it."""


@dataclass(frozen=True, slots=True)
class Plane:
    """What a case may do to the control plane; blocking."""

    restart_etcd: Callable[[], Any]
    restart_api_server: Callable[[], Any]


def whole(writes: int, plane: Plane) -> Iterator[Case]:
    """All of it, for a reference run of so many writes."""
    every, some = range(1, writes + 1), range(1, writes + 1, EVERY)
    for after in (False, True):
        for at in every:
            yield Case(f"kill-{'after' if after else 'before'}", str(at), partial(Kill, at, after))
    for at in PAGE_WRITES:
        for after in (False, True):
            yield Case(f"page: kill-{'after' if after else 'before'}", str(at), partial(Kill, at, after, kind=PAGES))
            yield Case(
                f"page: 409 {'after' if after else 'before'}", str(at), partial(Refuse, at, 409, after, kind=PAGES)
            )
    for at in LEASE_WRITES:
        for after in (False, True):
            yield Case(f"lease: kill-{'after' if after else 'before'}", str(at), partial(Kill, at, after, kind=LEASES))
            for status in (409, 500, 0):
                yield Case(
                    f"lease: {status or 'reset'} {'after' if after else 'before'}",
                    str(at),
                    partial(Refuse, at, status, after, kind=LEASES),
                )
    for status, after in ((409, False), (422, False), (429, False), (500, False), (409, True), (500, True)):
        for at in some:
            yield Case(f"{status}{' answer lost' if after else ''}", str(at), partial(Refuse, at, status, after))
    for after in (False, True):
        for at in some:
            yield Case(f"reset {'after' if after else 'before'}", str(at), partial(Refuse, at, 0, after))
    for status in (429, 500):
        yield Case(f"{status} at times", "1 of 5 calls", partial(Sometimes, 5, status))
    for kind in WATCHED:
        yield Case("watch: delayed", kind, partial(Delay, kind, seconds=3))
        yield Case("watch: duplicated", kind, partial(Duplicate, kind))
        yield Case("watch: reordered", kind, partial(Reorder, kind))
        yield Case("watch: closed", kind, partial(Closed, kind))
        for first in (1, 3, 6, 12, 20):
            yield Case("watch: dropped", f"{kind} {first}", partial(Dropped, kind, first, gone=False, seconds=1))
            yield Case("watch: 410 Gone", f"{kind} {first}", partial(Dropped, kind, first, seconds=1))
        yield Case("watch: hangs, then cut", kind, partial(Hang, kind, 2, seconds=10))
        yield Case("watch: hangs", kind, partial(Hang, kind, 2, seconds=400))
    for at in some:
        yield Case("stale lists of usage after a kill", str(at), partial(Stale, at, METERED))
        yield Case("stale lists of all after a kill", str(at), partial(Stale, at, LISTED))
    for at in range(1, writes - 60, EVERY):
        yield Case("two operators", str(at), partial(Two, at, OTHER_HOST, writes=50))
        yield Case("two operators on one host", str(at), partial(Two, at, HOST, writes=50))
    for at in range(1, writes + 1, 3 * EVERY):
        yield Case("API server down 20 s", str(at), partial(Down, at, 20))
    yield Case("API server down 5 min", "40", partial(Down, 40, 300))
    for at in range(10, writes, 3 * EVERY):
        yield Case("etcd restarted", str(at), partial(Outside, at, plane.restart_etcd), alone=True)
        yield Case("API server restarted", str(at), partial(Outside, at, plane.restart_api_server), alone=True)
    yield Case(RELEASE, "plain", Fault)
    yield Case(RELEASE, "killed and run again", partial(Kill, 60, False))
    for status in (409, 422, 429, 500):
        yield Case(RELEASE, f"{status} at times", partial(Sometimes, 5, status))
    yield Case(f"{RELEASE}, a page broken", "plain", Fault)


def short(plane: Plane) -> Iterator[Case]:
    """Every class once, several to a run where they do not hide each other; what takes longest comes first."""
    yield Case("API server down 20 s", "45", partial(Down, 45, 20))
    yield Case("at times", "500, 429", lambda: Several(Sometimes(9, 500), Sometimes(7, 429)))
    yield Case("watch: delayed, twice", "all", lambda: Several(*_on_all(Delay, seconds=2), *_on_all(Duplicate)))
    yield Case("kill-after", "5 of them", lambda: Several(*(Kill(at, after=True) for at in (1, 31, 52, 75, 96))))
    yield Case("kill-before", "5 of them", lambda: Several(*(Kill(at, after=False) for at in (4, 23, 61, 84, 103))))
    yield Case("watch: hangs; stale lists", "pods; 75", lambda: Several(Hang("pods", 4, seconds=8), Stale(75, METERED)))
    yield Case("errors", "each status", lambda: Several(*_errors((409, 422, 429, 500, 0))))
    yield Case("watch: dropped, Gone", "all", lambda: Several(*_lost()))
    yield Case(
        "watch: reordered; 409 answer lost", "all; 1", lambda: Several(*_on_all(Reorder), Refuse(1, 409, after=True))
    )
    yield Case("two operators", "20", partial(Two, 20, OTHER_HOST))
    yield Case("two operators on one host", "20", partial(Two, 20, HOST))
    yield Case(f"{RELEASE}, a page broken", "500 at times", partial(Sometimes, 5, 500))
    yield Case("etcd restarted", "45", partial(Outside, 45, plane.restart_etcd), alone=True)


def _errors(statuses: tuple[int, ...]) -> Iterator[Fault]:
    for index, status in enumerate(statuses):
        for turn in range(2):
            after = turn == 1 and status in (409, 500, 0)
            yield Refuse(2 + 11 * (index + len(statuses) * turn), status, after)


def _on_all(kind_of_fault: Callable[..., Fault], **options: Any) -> Iterator[Fault]:
    return (kind_of_fault(kind, **options) for kind in WATCHED)


def _lost() -> Iterator[Fault]:
    for gone, first in ((True, 2), (False, 5), (True, 9)):
        for kind in ("pods", "persistentvolumeclaims", "modeldeployments", "deployments"):
            yield Dropped(kind, first, gone=gone, seconds=0.5)
