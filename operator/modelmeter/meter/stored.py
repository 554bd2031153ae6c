"""The ledger page as a CostStatement keeps it, and back: the same values as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

from modelmeter.api.cost_statement import (
    LASTS,
    OTHER,
    VANISHED,
    Carried,
    CarriedPart,
    ClaimUses,
    CostStatementSpec,
    Line,
    Open,
    Settled,
    Totals,
    UnpricedSpan,
)
from modelmeter.api.cost_statement import Profile as ApiProfile
from modelmeter.api.scalars import instant, rfc3339
from modelmeter.meter import counting
from modelmeter.meter.holding import Profile
from modelmeter.meter.page import LineKey, Page, PartSum, Past, SpanKey
from modelmeter.meter.uses import Use


def from_spec(spec: CostStatementSpec) -> Page:
    """Read a page."""
    return Page(
        model=spec.model,
        month=spec.month,
        posted_through=instant(spec.posted_through),
        currency=spec.currency,
        price_book=spec.price_book,
        closed=spec.closed,
        ended=spec.ended,
        lines=_lines(spec.lines),
        unpriced=_spans(spec.unpriced),
        overheads=tuple(spec.overheads),
        overheads_until=instant(spec.overheads_until) if spec.overheads_until else None,
        generation=spec.generation,
        open={
            uid: {item: int(units) for item, units in group.amounts.items()}
            for group in spec.open
            for uid in group.uids
        },
        counted_as={uid: group.revision for group in spec.open if group.revision for uid in group.uids},
        settled={entry.uid: instant(entry.gone_since) if entry.gone_since else None for entry in spec.settled},
        uses={claim.uid: {uid: _use(text) for uid, text in claim.users.items()} for claim in spec.claims or ()},
        revisions={name: instant(since) for name, since in (spec.revisions or {}).items()},
        lost=spec.lost or "",
        past=Past(
            _fractions(spec.carried.usage),
            _fractions(spec.carried.cost),
            Fraction(spec.carried.estimated),
            _parts(spec.carried.stages),
            {"" if name == OTHER else name: part for name, part in _parts(spec.carried.revisions).items()},
            _fractions(spec.carried.estimates or {}),
            _fractions(spec.carried.unpriced or {}),
        ),
        tally=counting.from_spec(spec.inference) if spec.inference else None,
    )


def to_spec(page: Page, totals: Totals) -> CostStatementSpec:
    """Write a page; in sorted order, so that an unchanged page is unchanged text."""
    return CostStatementSpec(
        model=page.model,
        month=page.month,
        currency=page.currency,
        price_book=page.price_book,
        posted_through=rfc3339(page.posted_through),
        closed=page.closed,
        ended=page.ended,
        lines=[
            Line(
                item=key.item,
                rate=key.rate,
                unit_price=key.unit_price,
                per=key.per,
                certainty=key.certainty,
                correction=key.correction or None,
                share=key.share or None,
                stage=key.stage or None,
                reason=key.reason or None,
                revision=key.revision or None,
                days={day: str(units) for day, units in sorted(days.items())},
            )
            for key, days in sorted(page.lines.items())
        ],
        unpriced=[
            UnpricedSpan(
                item=key.item,
                profile=ApiProfile(**key.profile._asdict()),
                certainty=key.certainty,
                from_=rfc3339(key.start),
                to=rfc3339(key.end),
                amount=str(amount),
                share=key.share or None,
                stage=key.stage or None,
                reason=key.reason or None,
                revision=key.revision or None,
            )
            for key, amount in sorted(page.unpriced.items())
        ],
        overheads=list(page.overheads),
        overheads_until=rfc3339(page.overheads_until) if page.overheads_until else None,
        generation=page.generation,
        open=_grouped(page),
        settled=[
            Settled(uid=uid, gone_since=rfc3339(gone) if gone else None) for uid, gone in sorted(page.settled.items())
        ],
        claims=[
            ClaimUses(uid=claim, users={uid: _use_text(use) for uid, use in sorted(users.items())})
            for claim, users in sorted(page.uses.items())
        ]
        or None,
        revisions={name: rfc3339(since) for name, since in sorted(page.revisions.items())} or None,
        lost=page.lost or None,
        carried=Carried(
            usage=_texts(page.past.usage),
            cost=_texts(page.past.cost),
            estimated=str(page.past.estimated),
            stages=_part_texts(page.past.stages) or None,
            revisions=_part_texts({name or OTHER: part for name, part in page.past.revisions.items()}) or None,
            estimates=_texts(page.past.estimates) or None,
            unpriced=_texts(page.past.unpriced) or None,
        ),
        inference=counting.to_spec(page.tally) if page.tally else None,
        totals=totals,
    )


def _grouped(page: Page) -> list[Open]:
    """UIDs of `open` by what they hold: the pods of a model are mostly alike."""
    groups: dict[tuple[tuple[tuple[str, int], ...], str], list[str]] = {}
    for uid, amounts in page.open.items():
        groups.setdefault((tuple(sorted(amounts.items())), page.counted_as.get(uid, "")), []).append(uid)
    return [
        Open(amounts={item: str(units) for item, units in amounts}, revision=revision or None, uids=sorted(group))
        for (amounts, revision), group in sorted(groups.items())
    ]


def _use(text: str) -> Use:
    start, _, end = text.partition("/")
    return Use(
        instant(start), None if end == LASTS else instant(end.removesuffix(VANISHED)), not end.endswith(VANISHED)
    )


def _use_text(use: Use) -> str:
    end = rfc3339(use.end) + ("" if use.told else VANISHED) if use.end else LASTS
    return f"{rfc3339(use.start)}/{end}"


def _lines(lines: Iterable[Line]) -> dict[LineKey, dict[str, int]]:
    """Lines by what tells them apart; what an API server with an older CRD made alike is added up."""
    found: dict[LineKey, dict[str, int]] = {}
    for line in lines:
        key = LineKey(
            line.item,
            line.rate,
            line.unit_price,
            line.per,
            line.certainty,
            line.correction or "",
            line.share or "",
            line.stage or "",
            line.reason or "",
            line.revision or "",
        )
        days = found.setdefault(key, {})
        for day, units in line.days.items():
            days[day] = days.get(day, 0) + int(units)
    return found


def _spans(spans: Iterable[UnpricedSpan]) -> dict[SpanKey, int]:
    found: dict[SpanKey, int] = {}
    for span in spans:
        key = SpanKey(
            span.item,
            Profile(**span.profile.model_dump()),
            span.certainty,
            instant(span.from_),
            instant(span.to),
            span.share or "",
            span.stage or "",
            span.reason or "",
            span.revision or "",
        )
        found[key] = found.get(key, 0) + int(span.amount)
    return found


def _parts(carried: Mapping[str, CarriedPart] | None) -> dict[str, PartSum]:
    return {name: PartSum(_fractions(part.usage), Fraction(part.cost)) for name, part in (carried or {}).items()}


def _part_texts(parts: Mapping[str, PartSum]) -> dict[str, CarriedPart]:
    return {name: CarriedPart(usage=_texts(part.usage), cost=str(part.cost)) for name, part in sorted(parts.items())}


def _fractions(texts: Mapping[str, str]) -> dict[str, Fraction]:
    return {name: Fraction(text) for name, text in texts.items()}


def _texts(amounts: Mapping[str, Fraction]) -> dict[str, str]:
    return {name: str(amount) for name, amount in sorted(amounts.items())}
