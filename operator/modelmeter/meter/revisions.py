"""The revisions that a page keeps apart: the latest few. What is of others stands on lines that name none.

To take a revision's name away joins its lines with those: whole sums stay what they are, so nothing else depends on it.
All that a pod uses stands under one revision, so that what is taken back is taken from where it was posted: that which
had a name when the pod was first posted, or under none from then on, or from when it lost its name.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace

from modelmeter.api.cost_statement import MAX_REVISIONS
from modelmeter.meter.holding import Holding
from modelmeter.meter.page import LineKey, Page, PartSum, SpanKey
from modelmeter.meter.sums import plus_parts


def named(page: Page, held: Iterable[Holding], existing: Iterable[Holding]) -> Page:
    """The page with a name for each revision of which one of `held` is posted for the first time.

    Of too many those lose theirs that have no pod among `existing` any more, and of these, or else of all, the oldest.
    """
    posted = page.open.keys() | page.settled.keys()
    new = [one for one in held if one.revision and one.uid not in posted and (one.end is None or one.end > one.start)]
    since = dict(page.revisions)
    for holding in new:
        since[holding.revision] = min(since.get(holding.revision, holding.start), holding.start)
    if since == page.revisions:
        return page
    used = {*page.counted_as.values(), *(holding.revision for holding in existing if holding.end is None)}
    kept = sorted(since, key=lambda revision: (revision in used, since[revision], revision))[-MAX_REVISIONS:]
    page = replace(page, revisions={revision: since[revision] for revision in kept})
    return page if since.keys() == page.revisions.keys() else _folded(page)


def revision_of(page: Page, held: Holding) -> str:
    """Under which revision a pod's usage stands, or is to stand; empty: under none."""
    if held.uid in page.open:
        return page.counted_as.get(held.uid, "")
    return held.revision if held.revision in page.revisions else ""


def counted_as(page: Page, held: Iterable[Holding]) -> dict[str, str]:
    """`Page.counted_as` once all these are posted."""
    return {one.uid: revision for one in held if (revision := revision_of(page, one))}


def fold(parts: Mapping[str, PartSum], names: Container[str]) -> dict[str, PartSum]:
    """The same sums with names for no others than these."""
    folded: dict[str, PartSum] = {}
    for revision, part in parts.items():
        folded = plus_parts(folded, {revision if revision in names else "": part})
    return folded


def unnamed(page: Page) -> str:
    """A revision that something on the page stands under though it has no name there; empty where there is none."""
    keys: tuple[LineKey | SpanKey, ...] = (*page.lines, *page.unpriced)
    found = {*(key.revision for key in keys), *page.past.revisions, *page.counted_as.values()}
    return min(found - page.revisions.keys() - {""}, default="")


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
    return replace(
        page,
        lines=lines,
        unpriced=spans,
        counted_as={uid: revision for uid, revision in page.counted_as.items() if revision in names},
        past=replace(page.past, revisions=fold(page.past.revisions, names)),
    )
