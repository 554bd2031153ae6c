"""Exact sums of lines and unpriced spans: by item, by stage, by reason of an estimate.

GPU-seconds are those of whole GPUs: seconds of a part count with their share, so sums of them are fractions.
A stage's cost is that of its compute and storage; labour and operations belong to no stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

from modelmeter.meter import cost
from modelmeter.meter.holding import GPU, share_of
from modelmeter.meter.page import LineKey, SpanKey, StageSum

Lines = Mapping[LineKey, Mapping[str, int]]
Spans = Mapping[SpanKey, int]


def plus(left: Mapping[str, Fraction], right: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """The sum of two, name by name."""
    total = dict(left)
    for name, amount in right.items():
        total[name] = total.get(name, cost.ZERO) + amount
    return total


def plus_stages(left: Mapping[str, StageSum], right: Mapping[str, StageSum]) -> dict[str, StageSum]:
    """The sum of two, stage by stage."""
    total = dict(left)
    for stage, more in right.items():
        so_far = total.get(stage, StageSum())
        total[stage] = StageSum(plus(so_far.usage, more.usage), so_far.cost + more.cost)
    return total


def usage(lines: Lines) -> dict[str, Fraction]:
    """Item to unit-seconds, without labour and operations."""
    return _sum((key.item, seconds) for key, seconds in _of_lines(lines))


def unpriced(spans: Spans) -> dict[str, Fraction]:
    """Item to unit-seconds that no rate covered."""
    return _sum((key.item, seconds) for key, seconds in _of_spans(spans))


def by_reason(lines: Lines, spans: Spans | None = None) -> dict[str, Fraction]:
    """Reason of an estimate to GPU-seconds: 0 where something else than GPUs, or no GPU at all, is estimated."""
    return _sum(
        (key.reason, seconds if key.item == GPU else cost.ZERO)
        for key, seconds in _of_both(lines, spans)
        if key.certainty == "estimated"
    )


def by_stage(lines: Lines, spans: Spans | None = None) -> dict[str, StageSum]:
    """Usage and cost of each stage other than serving."""
    stages: dict[str, StageSum] = {}
    for key, seconds in _of_both(lines, spans):
        if key.stage:
            priced = cost.line_amount(key, lines[key]) if isinstance(key, LineKey) else cost.ZERO
            stages = plus_stages(stages, {key.stage: StageSum({key.item: seconds}, priced)})
    return stages


def _of_both(lines: Lines, spans: Spans | None) -> Iterator[tuple[LineKey | SpanKey, Fraction]]:
    yield from _of_lines(lines)
    yield from _of_spans(spans or {})


def _of_lines(lines: Lines) -> Iterator[tuple[LineKey, Fraction]]:
    for key, days in lines.items():
        if not key.item.startswith(cost.OVERHEADS):
            units = sum(days.values())
            yield key, share_of(key.share) * units if key.share else Fraction(units)


def _of_spans(spans: Spans) -> Iterator[tuple[SpanKey, Fraction]]:
    for key, amount in spans.items():
        yield key, share_of(key.share) * amount * round((key.end - key.start).total_seconds())


def _sum(pairs: Iterable[tuple[str, Fraction]]) -> dict[str, Fraction]:
    total: dict[str, Fraction] = {}
    for name, amount in pairs:
        total[name] = total.get(name, cost.ZERO) + amount
    return total
