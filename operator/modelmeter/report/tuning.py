"""Batching settings side by side, and which of them to take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, Final, NamedTuple

from modelmeter.api.benchmark import Performance
from modelmeter.report.table import table

HEADER: Final = (
    "BATCH", "DELAY US", "RATE/S", "P95 MS", "MEAN BATCH", "COST/1000", "TRIAL COST", "COPY", "NOTE",
)  # fmt: skip
FIGURES: Final = frozenset(range(7))
UNKNOWN: Final = "-"


class Setting(NamedTuple):
    """spec.serving.batching: most requests in a batch, and how long one may wait for others."""

    max_batch_size: int
    max_queue_delay_microseconds: int

    def __str__(self) -> str:
        return f"maxBatchSize {self.max_batch_size}, maxQueueDelayMicroseconds {self.max_queue_delay_microseconds}"


class Trial(NamedTuple):
    """What came of one setting; `performance` is None where nothing could be measured, and `note` says why."""

    setting: Setting
    copy: str
    performance: Performance | None = None
    note: str = ""
    cost: str | None = None
    """What the copy had cost when it was deleted; its end comes on top."""


def best(trials: Iterable[Trial]) -> tuple[Trial, str] | None:
    """The trial to follow, and by what it is better; None where nothing was measured.

    By cost where it is known of all that were measured, else by rate; equal ones by rate, then by the shorter wait.
    """
    measured = [(trial, trial.performance) for trial in trials if trial.performance is not None]
    if not measured:
        return None
    priced = all(found.cost_per1000_at_slo is not None for _, found in measured)

    def key(entry: tuple[Trial, Performance]) -> tuple[Fraction, Fraction, int]:
        trial, found = entry
        cost = Fraction(found.cost_per1000_at_slo or 0) if priced else Fraction(0)
        return cost, -Fraction(found.inferences_per_second), trial.setting.max_queue_delay_microseconds

    return min(measured, key=key)[0], "cost per 1,000" if priced else "rate, for a price is not known"


def trials_table(trials: Sequence[Trial]) -> str:
    """One row for each setting."""
    return table(HEADER, [_row(trial) for trial in trials], FIGURES)


def advice(trials: Sequence[Trial]) -> str:
    """What to put into the spec."""
    found = best(trials)
    if found is None:
        return "No setting could be measured: see NOTE."
    trial, by = found
    setting = trial.setting
    return (
        f"Best by {by} (rates are found to within 5 %; smaller differences say nothing):\n"
        "spec:\n  serving:\n    batching:\n"
        f"      maxBatchSize: {setting.max_batch_size}\n"
        f"      maxQueueDelayMicroseconds: {setting.max_queue_delay_microseconds}"
    )


def trials_json(trials: Sequence[Trial]) -> dict[str, Any]:
    """The same for programs; what is unknown is null."""
    found = best(trials)
    return {
        "trials": [
            {
                **_batching(trial.setting),
                "copy": trial.copy,
                "performance": trial.performance.model_dump(mode="json", by_alias=True) if trial.performance else None,
                "cost": trial.cost,
                "note": trial.note,
            }
            for trial in trials
        ],
        "recommended": {**_batching(found[0].setting), "by": found[1]} if found else None,
    }


def _batching(setting: Setting) -> dict[str, int]:
    return {
        "maxBatchSize": setting.max_batch_size,
        "maxQueueDelayMicroseconds": setting.max_queue_delay_microseconds,
    }


def _row(trial: Trial) -> tuple[str, ...]:
    found = trial.performance
    figures = (
        (found.inferences_per_second, found.p95_milliseconds, found.batch, found.cost_per1000_at_slo)
        if found
        else (None,) * 4
    )
    return (
        str(trial.setting.max_batch_size),
        str(trial.setting.max_queue_delay_microseconds),
        *(figure or UNKNOWN for figure in figures),
        trial.cost or UNKNOWN,
        trial.copy,
        trial.note,
    )
