"""Exact sums of lines and unpriced spans: by item, by stage, by revision, by reason of an estimate.

GPU-seconds are those of whole GPUs: seconds of a part count with their share, so sums of them are fractions.
A stage's cost is that of its compute and storage; labour and operations belong to no stage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction

from modelmeter.meter import cost
from modelmeter.meter.holding import GPU, share_of
from modelmeter.meter.page import LineKey, PartSum, SpanKey

Lines = Mapping[LineKey, Mapping[str, int]]
Spans = Mapping[SpanKey, int]


def plus(left: Mapping[str, Fraction], right: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """The sum of two, name by name."""
    total = dict(left)
    for name, amount in right.items():
        total[name] = total.get(name, cost.ZERO) + amount
    return total


def plus_parts(left: Mapping[str, PartSum], right: Mapping[str, PartSum]) -> dict[str, PartSum]:
    """The sum of two, part by part."""
    total = dict(left)
    for name, more in right.items():
        so_far = total.get(name, PartSum())
        total[name] = PartSum(plus(so_far.usage, more.usage), so_far.cost + more.cost)
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


def by_stage(lines: Lines, spans: Spans | None = None) -> dict[str, PartSum]:
    """Usage and cost of each stage other than serving."""
    return _parts(lines, spans, lambda key: key.stage or None)


def by_revision(lines: Lines, spans: Spans | None = None) -> dict[str, PartSum]:
    """Compute of serving, usage and cost, of each revision; "" has what is of none."""
    return _parts(lines, spans, lambda key: key.revision if key.item in cost.COMPUTE and not key.stage else None)


def _parts(lines: Lines, spans: Spans | None, part_of: Callable[[LineKey | SpanKey], str | None]) -> dict[str, PartSum]:
    parts: dict[str, PartSum] = {}
    for key, seconds in _of_both(lines, spans):
        part = part_of(key)
        if part is not None:
            priced = cost.line_amount(key, lines[key]) if isinstance(key, LineKey) else cost.ZERO
            parts = plus_parts(parts, {part: PartSum({key.item: seconds}, priced)})
    return parts


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
