"""The revisions that a page keeps apart: the latest few. What is of others stands on lines that name none.

To take a revision's name away joins its lines with those: whole sums stay what they are, so nothing else depends on it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace

from modelmeter.api.cost_statement import MAX_REVISIONS
from modelmeter.meter.holding import Holding
from modelmeter.meter.page import LineKey, Page, PartSum, SpanKey
from modelmeter.meter.sums import plus_parts


def named(page: Page, held: Iterable[Holding]) -> Page:
    """The page with a name for each revision of which a pod is posted for the first time; the oldest lose theirs."""
    new = [holding for holding in held if holding.revision and holding.uid not in page.open]
    known = dict(page.revisions)
    for holding in sorted(new, key=lambda holding: holding.start):
        known.setdefault(holding.revision, holding.start)
    if len(known) == len(page.revisions):
        return page
    latest = sorted(known, key=lambda revision: (known[revision], revision))[-MAX_REVISIONS:]
    page = replace(page, revisions={revision: known[revision] for revision in latest})
    return page if known.keys() == page.revisions.keys() else _folded(page)


def fold(parts: Mapping[str, PartSum], names: Container[str]) -> dict[str, PartSum]:
    """The same sums with names for no others than these."""
    folded: dict[str, PartSum] = {}
    for revision, part in parts.items():
        folded = plus_parts(folded, {revision if revision in names else "": part})
    return folded


def _folded(page: Page) -> Page:
    names = page.revisions
    lines: dict[LineKey, dict[str, int]] = {}
    for key, days in page.lines.items():
        units = lines.setdefault(key if key.revision in names else key._replace(revision=""), {})
        for day, more in days.items():
            units[day] = units.get(day, 0) + more
    spans: dict[SpanKey, int] = {}
    for span, amount in page.unpriced.items():
        span = span if span.revision in names else span._replace(revision="")
        spans[span] = spans.get(span, 0) + amount
    past = replace(page.past, revisions=fold(page.past.revisions, names))
    return replace(page, lines=lines, unpriced=spans, past=past)
