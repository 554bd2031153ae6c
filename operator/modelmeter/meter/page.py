"""The ledger page as values: what a CostStatement says, in the types that the ledger works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from typing import NamedTuple

from modelmeter.api.cost_statement import (
    Certainty,
    ModelRef,
    Overhead,
)
from modelmeter.meter.counting import Tally
from modelmeter.meter.holding import Profile
from modelmeter.meter.uses import Uses


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
    revision: str = ""
    """The revision of the pods that serve, where the page has a name for it."""


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
    revision: str = ""


@dataclass(frozen=True, slots=True)
class PartSum:
    """Exact usage (item to unit-seconds) and cost of one part of the whole: of a stage, of a revision."""

    usage: Mapping[str, Fraction] = field(default_factory=dict)
    cost: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class Past:
    """Exact sums of all closed pages before this one; GPU-seconds are those of whole GPUs."""

    usage: Mapping[str, Fraction] = field(default_factory=dict)
    cost: Mapping[str, Fraction] = field(default_factory=dict)
    estimated: Fraction = Fraction(0)
    stages: Mapping[str, PartSum] = field(default_factory=dict)
    """By stage, other than serving: that is what remains of the whole."""
    revisions: Mapping[str, PartSum] = field(default_factory=dict)
    """Compute of serving by revision; "" has what is of none that has a name."""
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
    revisions: Mapping[str, datetime] = field(default_factory=dict)
    """The revisions that have a name here, each with when the first of its pods began."""
    counted_as: Mapping[str, str] = field(default_factory=dict)
    """UID of `open` to the revision that its usage stands under; that of others stands under none."""
    lost: str = ""
    """What was shown of an earlier page that somebody deleted."""
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
