"""The tables of the bench: every point, and which goal is met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import quantiles
from typing import Final

from modelmeter.report.table import table
from tests.bench.figures import Figure, Goal, render
from tests.bench.serving.client import Load
from tests.bench.serving.floor import Floor

TOLERANCE: Final = 1e-4
OF_FLOOR: Final = Goal("ratio", 0.85, at_least=True)
# A lone client's requests cannot share a batch: of it only the latency has a goal.
OF_USUAL: Final = Goal("ratio", 1.3, at_least=True)
NO_WORSE: Final = Goal("ratio", 1.0)
MS: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Point:
    """A server asked by so many clients.

    cpu_seconds: of its processes, for all of the load. others: the share of all processors' time that neither server
    nor clients had used; above a few in a hundred the machine was not alone, and the figures are not worth much.
    """

    server: str
    clients: int
    load: Load
    cpu_seconds: float
    others: float

    def __post_init__(self) -> None:
        if self.load.worst_difference > TOLERANCE:
            raise RuntimeError(f"{self.server}: a score is {self.load.worst_difference} off")

    @property
    def per_second(self) -> float:
        """Requests answered."""
        return len(self.load.latencies_seconds) / self.load.seconds

    def latency_ms(self, share: int) -> float:
        """The latency that so many in a hundred stay below."""
        return quantiles(self.load.latencies_seconds, n=100, method="inclusive")[share - 1] * MS

    @property
    def cpu_ms(self) -> float:
        """Of a request."""
        return self.cpu_seconds / self.load.total * MS


def together(rounds: Sequence[Point]) -> Point:
    """Several rounds of the same point as one."""
    loads = [point.load for point in rounds]
    load = Load(
        seconds=sum(one.seconds for one in loads),
        latencies_seconds=[latency for one in loads for latency in one.latencies_seconds],
        total=sum(one.total for one in loads),
        worst_difference=max(one.worst_difference for one in loads),
    )
    cpu_seconds, others = sum(point.cpu_seconds for point in rounds), sum(point.others for point in rounds)
    return replace(rounds[0], load=load, cpu_seconds=cpu_seconds, others=others / len(rounds))


def floors(floor: Floor) -> str:
    """The floor by the rows of a batch."""
    each = ", ".join(
        f"{rows}: {rate:.0f}/s at {floor.cpu_ms[rows]:.2f} CPU ms" for rows, rate in floor.per_second.items()
    )
    return f"floor by the rows of a batch: {each}"


HEADER = ("CLIENTS", "SERVER", "PER SECOND", "P50 MS", "P95 MS", "CPU MS EACH", "OTHERS %")


def points(measured: Sequence[Point]) -> str:
    """One line for each."""
    rows = [
        (
            str(point.clients),
            point.server,
            f"{point.per_second:.1f}",
            f"{point.latency_ms(50):.1f}",
            f"{point.latency_ms(95):.1f}",
            f"{point.cpu_ms:.2f}",
            f"{point.others * 100:.0f}",
        )
        for point in measured
    ]
    return table(HEADER, rows, frozenset({0, 2, 3, 4, 5, 6}))


def goals(measured: Sequence[Point], floor: Floor) -> str:
    """Ours beside its references."""
    figures = []
    most = max(point.clients for point in measured)
    for clients in sorted({point.clients for point in measured}):
        ours, usual = (
            next(point for point in measured if (point.server, point.clients) == (name, clients))
            for name in ("ours", "usual")
        )
        of = f"{clients} clients" if clients > 1 else "1 client"
        p95s = ours.latency_ms(95), usual.latency_ms(95)
        if clients > 1:
            rates = ours.per_second, usual.per_second
            figures.append(Figure(f"{of}: requests", "/s", *rates, "the usual way", OF_USUAL))
        figures.append(Figure(f"{of}: p95", "ms", *p95s, "the usual way", NO_WORSE))
        if clients == most:
            best = floor.per_second[floor.best]
            of_floor = f"the floor, batches of {floor.best}"
            figures.append(Figure(f"{of}: requests", "/s", ours.per_second, best, of_floor, OF_FLOOR))
    return render(figures)
