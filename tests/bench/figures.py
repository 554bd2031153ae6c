"""A measured figure beside its reference of the same run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from modelmeter.report.table import table


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound of a figure itself, or of its ratio to its reference; from above unless `at_least`."""

    of: Literal["ratio", "measured"]
    bound: float
    at_least: bool = False

    def __str__(self) -> str:
        return f"{self.of} {'>=' if self.at_least else '<='} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured, in `unit`, and the same of the reference that `beside` names."""

    name: str
    unit: str
    measured: float
    reference: float
    beside: str
    goal: Goal

    @property
    def ratio(self) -> float:
        """Measured over reference."""
        return self.measured / self.reference

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        value = self.ratio if self.goal.of == "ratio" else self.measured
        return value >= self.goal.bound if self.goal.at_least else value <= self.goal.bound


HEADER = ("FIGURE", "MEASURED", "REFERENCE", "RATIO", "GOAL", "", "THE REFERENCE IS")


def render(figures: Sequence[Figure]) -> str:
    """The table that the bench prints."""
    rows = [
        (
            figure.name,
            f"{figure.measured:.2f} {figure.unit}",
            f"{figure.reference:.2f} {figure.unit}",
            f"{figure.ratio:.2f}",
            str(figure.goal),
            "met" if figure.met else "MISSED",
            figure.beside,
        )
        for figure in figures
    ]
    return table(HEADER, rows, frozenset({1, 2, 3}))
