"""The ledger page as values: what a CostStatement says, in the types that the ledger works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from typing import NamedTuple

from modelmeter.api.cost_statement import (
    LASTS,
    VANISHED,
    Carried,
    CarriedStage,
    Certainty,
    ClaimUses,
    CostStatementSpec,
    Line,
    ModelRef,
    Open,
    Overhead,
    Settled,
    Totals,
    UnpricedSpan,
)
from modelmeter.api.cost_statement import Profile as ApiProfile
from modelmeter.api.scalars import instant, rfc3339
from modelmeter.meter import counting
from modelmeter.meter.counting import Tally
from modelmeter.meter.holding import Profile
from modelmeter.meter.uses import Use, Uses


class LineKey(NamedTuple):
    """What tells one line of a page from another."""

    item: str
    rate: str
    unit_price: str
    per: str
    certainty: Certainty
    correction: str
    """The closed month that the line corrects, or empty."""
    share: str = ""
    """The part of a whole GPU that one unit is ("1/7"); empty: a whole one."""
    stage: str = ""
    """The stage of the model's life; empty: serving."""
    reason: str = ""
    """Why it is estimated, or empty."""


class SpanKey(NamedTuple):
    """What tells one unpriced span from another."""

    item: str
    profile: Profile
    certainty: Certainty
    start: datetime
    end: datetime
    share: str = ""
    stage: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StageSum:
    """Exact usage (item to unit-seconds) and cost of one stage."""

    usage: Mapping[str, Fraction] = field(default_factory=dict)
    cost: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class Past:
    """Exact sums of all closed pages before this one; GPU-seconds are those of whole GPUs."""

    usage: Mapping[str, Fraction] = field(default_factory=dict)
    cost: Mapping[str, Fraction] = field(default_factory=dict)
    estimated: Fraction = Fraction(0)
    stages: Mapping[str, StageSum] = field(default_factory=dict)
    """By stage, other than serving: that is what remains of the whole."""
    estimates: Mapping[str, Fraction] = field(default_factory=dict)
    """Reason of an estimate to GPU-seconds."""
    unpriced: Mapping[str, Fraction] = field(default_factory=dict)
    """Item to unit-seconds of the unpriced spans that came with the month."""


@dataclass(frozen=True, slots=True)
class Page:
    """A ledger page; see CostStatementSpec for what each field means. Values are never changed in place."""

    model: ModelRef
    month: str
    posted_through: datetime
    currency: str = ""
    price_book: str = ""
    closed: bool = False
    ended: bool = False
    lines: Mapping[LineKey, Mapping[str, int]] = field(default_factory=dict)
    unpriced: Mapping[SpanKey, int] = field(default_factory=dict)
    overheads: tuple[Overhead, ...] = ()
    overheads_until: datetime | None = None
    generation: int = 0
    open: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    settled: Mapping[str, datetime | None] = field(default_factory=dict)
    uses: Mapping[str, Uses] = field(default_factory=dict)
    past: Past = field(default_factory=Past)
    tally: Tally | None = None
    """None on the pages of operators that did not count."""


def month_of(at: datetime) -> str:
    """The calendar month in UTC: "2026-11"."""
    return at.astimezone(UTC).strftime("%Y-%m")


def month_start(month: str) -> datetime:
    """The first moment of a month."""
    return datetime.fromisoformat(f"{month}-01T00:00:00+00:00")


def month_end(month: str) -> datetime:
    """The first moment after a month."""
    year, number = int(month[:4]), int(month[5:])
    return datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)


def months_before(at: datetime, months: int) -> str:
    """The calendar month so many months before that of a moment.

    >>> months_before(datetime(2027, 2, 1, tzinfo=UTC), 3)
    '2026-11'
    """
    year, number = divmod(at.year * 12 + at.month - 1 - months, 12)
    return f"{year:04}-{number + 1:02}"


def first_page(model: ModelRef, created: datetime) -> Page:
    """The first page of a model, which begins with the model."""
    return Page(model, month_of(created), created, tally=Tally(created))


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
        lines={
            LineKey(
                line.item,
                line.rate,
                line.unit_price,
                line.per,
                line.certainty,
                line.correction or "",
                line.share or "",
                line.stage or "",
                line.reason or "",
            ): {day: int(units) for day, units in line.days.items()}
            for line in spec.lines
        },
        unpriced={
            SpanKey(
                span.item,
                Profile(**span.profile.model_dump()),
                span.certainty,
                instant(span.from_),
                instant(span.to),
                span.share or "",
                span.stage or "",
                span.reason or "",
            ): int(span.amount)
            for span in spec.unpriced
        },
        overheads=tuple(spec.overheads),
        overheads_until=instant(spec.overheads_until) if spec.overheads_until else None,
        generation=spec.generation,
        open={
            uid: {item: int(units) for item, units in group.amounts.items()}
            for group in spec.open
            for uid in group.uids
        },
        settled={entry.uid: instant(entry.gone_since) if entry.gone_since else None for entry in spec.settled},
        uses={claim.uid: {uid: _use(text) for uid, text in claim.users.items()} for claim in spec.claims or ()},
        past=Past(
            _fractions(spec.carried.usage),
            _fractions(spec.carried.cost),
            Fraction(spec.carried.estimated),
            {
                stage: StageSum(_fractions(carried.usage), Fraction(carried.cost))
                for stage, carried in (spec.carried.stages or {}).items()
            },
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
            )
            for key, amount in sorted(page.unpriced.items())
        ],
        overheads=list(page.overheads),
        overheads_until=rfc3339(page.overheads_until) if page.overheads_until else None,
        generation=page.generation,
        open=_grouped(page.open),
        settled=[
            Settled(uid=uid, gone_since=rfc3339(gone) if gone else None) for uid, gone in sorted(page.settled.items())
        ],
        claims=[
            ClaimUses(uid=claim, users={uid: _use_text(use) for uid, use in sorted(users.items())})
            for claim, users in sorted(page.uses.items())
        ]
        or None,
        carried=Carried(
            usage=_texts(page.past.usage),
            cost=_texts(page.past.cost),
            estimated=str(page.past.estimated),
            stages={
                stage: CarriedStage(usage=_texts(carried.usage), cost=str(carried.cost))
                for stage, carried in sorted(page.past.stages.items())
            }
            or None,
            estimates=_texts(page.past.estimates) or None,
            unpriced=_texts(page.past.unpriced) or None,
        ),
        inference=counting.to_spec(page.tally) if page.tally else None,
        totals=totals,
    )


def _grouped(uids: Mapping[str, Mapping[str, int]]) -> list[Open]:
    """UIDs by what they hold: the pods of a model are mostly alike."""
    groups: dict[tuple[tuple[str, int], ...], list[str]] = {}
    for uid, amounts in uids.items():
        groups.setdefault(tuple(sorted(amounts.items())), []).append(uid)
    return [
        Open(amounts={item: str(units) for item, units in amounts}, uids=sorted(group))
        for amounts, group in sorted(groups.items())
    ]


def _use(text: str) -> Use:
    start, _, end = text.partition("/")
    return Use(
        instant(start), None if end == LASTS else instant(end.removesuffix(VANISHED)), not end.endswith(VANISHED)
    )


def _use_text(use: Use) -> str:
    end = rfc3339(use.end) + ("" if use.told else VANISHED) if use.end else LASTS
    return f"{rfc3339(use.start)}/{end}"


def _fractions(texts: Mapping[str, str]) -> dict[str, Fraction]:
    return {name: Fraction(text) for name, text in texts.items()}


def _texts(amounts: Mapping[str, Fraction]) -> dict[str, str]:
    return {name: str(amount) for name, amount in sorted(amounts.items())}
