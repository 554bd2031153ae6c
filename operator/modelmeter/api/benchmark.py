"""What is measured of one replica when a ModelDeployment asks for it, and what came of it."""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

from pydantic import Field

from modelmeter.api.base import Struct
from modelmeter.api.scalars import Amount, Instant

DEFAULT_TEXT_WORDS: Final = (2, 4, 8, 16, 32, 64)


class Benchmark(Struct):
    """The highest rate at which one replica keeps a latency: a Job loads it for some minutes, in steps.

    The load goes through the Service to whichever replica it is given, also where that serves others.
    """

    p95_milliseconds: Annotated[int, Field(ge=1, le=60_000)]
    """The latency that 95 of 100 requests must keep, from when they were due to their answers."""
    texts: Annotated[list[Annotated[str, Field(max_length=2048)]], Field(max_length=32)] = []
    """Texts to ask with, each equally often; your own queries tell most."""
    text_words: Annotated[list[Annotated[int, Field(ge=1, le=1000)]], Field(max_length=32)] = []
    """Lengths in words of further texts, which are made up. Neither texts nor this given: 2, 4, 8, 16, 32 and 64."""
    seconds_per_point: Annotated[int, Field(ge=2, le=60)] = 5
    """How long each rate is tried, and once more for 40 times its p95 where that is longer.

    At rates below 20 a second longer ones tell more."""

    def effective_text_words(self) -> tuple[int, ...]:
        """Lengths of the texts that are made up."""
        return tuple(self.text_words) or (() if self.texts else DEFAULT_TEXT_WORDS)


class Figures(NamedTuple):
    """What was measured, as Performance shows it."""

    inferences_per_second: str
    p95_milliseconds: str
    batch: str | None
    measured_at: str


class Outcome(Struct):
    """What a benchmark found, as it writes it to its termination log; or why it found nothing."""

    inferences_per_second: Amount | None = None
    """The highest rate that kept the limit; absent where none did."""
    p95_milliseconds: Amount | None = None
    """At that rate; at the lowest that was tried where none kept it."""
    batch: Amount | None = None
    """Texts per execution of the BERT step at that rate, whoever sent them."""
    fails_at_per_second: Amount | None = None
    """The lowest rate above it that did not keep the limit; absent where none was found."""
    failures: int = 0
    """Requests of all rates that got no answer."""
    first_failure: str = ""
    cut_short: bool = False
    """It took too long, and was ended before the two rates were close to each other."""
    client_bound: bool = False
    """The load itself could not be sent as planned, or too much of it was under way: the server may do more."""
    error: str = ""
    """Why nothing could be measured."""
    remedy: str = ""
    measured_at: Instant | None = None
    """When the Job's pod ended."""

    @property
    def figures(self) -> Figures | None:
        """What was measured; None where no rate kept the limit, or the moment is not known yet."""
        if self.inferences_per_second is None or self.p95_milliseconds is None or self.measured_at is None:
            return None
        return Figures(self.inferences_per_second, self.p95_milliseconds, self.batch, self.measured_at)

    def words(self, p95_milliseconds: int) -> str:
        """What came of a measurement under this limit, in words."""
        if self.inferences_per_second is None:
            failed = f"{self.failures} requests failed, the first with: {self.first_failure}"
            why = failed if self.failures else f"it is {self.p95_milliseconds} ms"
            lower = "; there was no time for lower ones" if self.cut_short else ""
            return f"no rate keeps a p95 of {p95_milliseconds} ms: at {self.fails_at_per_second} a second {why}{lower}"
        notes = (
            (True, f"one replica answers {self.inferences_per_second} texts a second, p95 {self.p95_milliseconds} ms"),
            (self.fails_at_per_second, f"at {self.fails_at_per_second} it misses {p95_milliseconds} ms"),
            (self.batch, f"mean batch {self.batch}"),
            (self.client_bound, "the load itself was the limit: the server may do more"),
            (self.cut_short, "there was no time for more rates: the server may do more"),
        )
        return "; ".join(note for holds, note in notes if holds)


class Performance(Struct):
    """What one replica does at most while it keeps spec.benchmark.p95Milliseconds, as measured last."""

    inferences_per_second: Amount
    """Requests of one text each, by one gRPC connection, hence to one replica."""
    p95_milliseconds: Amount
    """At that rate."""
    batch: Amount | None = None
    """Mean batch of the BERT step while that rate was tried, by Triton's statistics; absent where unknown."""
    gpu_product: str = ""
    """Of the replicas; empty without GPUs."""
    config_hash: str
    """Of what was measured: pod template, spec.benchmark and GPU product."""
    measured_at: Instant
    cost_per1000_at_slo: Annotated[Amount | None, Field(alias="costPer1000AtSlo")] = None
    """What 1,000 inferences cost at that rate and today's prices: compute of one replica, the mean of those that run.

    Absent where a price is unknown, or no replica of what was measured runs."""
