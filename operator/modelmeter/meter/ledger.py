"""How a ledger page grows: settle, advance, roll. Pure; applying one twice changes nothing.

A UID of `open` is posted up to T (`posted_through`), with the amounts that stand there; any other UID is not
posted at all, so a pod that the watch shows late, after T has passed its start, is still posted in full.
Quantities are whole unit-seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from modelmeter.api.cost_statement import Overhead
from modelmeter.meter import cost, inference, sums
from modelmeter.meter.holding import Holding
from modelmeter.meter.page import Page, Past, month_end, month_of
from modelmeter.meter.posting import Mark, Posting
from modelmeter.meter.prices import Tariff
from modelmeter.meter.revisions import counted_as, named
from modelmeter.meter.uses import Use, Uses, known, remembered

REMEMBER_SETTLED: Final = timedelta(hours=1)
"""How long a settled UID stays on the page after its object is gone: longer than any stale view lives."""
REMEMBERED: Final = 500
"""How many such UIDs at most: of more, the oldest leave sooner."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What labour and operations a ModelDeployment asks for, as of its `generation`.

    They hold from `since` on. They end at `until`, its deletion.
    """

    overheads: tuple[Overhead, ...] | None = None
    """None where they cannot be read, then those of the page go on."""
    generation: int = 0
    since: datetime | None = None
    until: datetime | None = None

    def news(self, page: Page) -> bool:
        """Whether the page accrues something else; it never goes back to an older generation."""
        newer = self.generation > page.generation and page.overheads_until is None
        return newer and self.overheads is not None and self.overheads != page.overheads


NO_NEWS: Final = Terms()


def settle(page: Page, held: Holding, tariff: Tariff) -> Page:
    """Post what of a finished holding is not posted yet; negative where T had passed its true end."""
    return settle_all(page, (held,), tariff)


def settle_all(page: Page, finished: Iterable[Holding], tariff: Tariff, existing: Iterable[Holding] = ()) -> Page:
    """The same for several; `existing` are those that go on beside them."""
    ended = [held for held in finished if held.uid not in page.settled]
    return _settled(named(page, ended, existing), ended, tariff)


def _settled(page: Page, ended: Sequence[Holding], tariff: Tariff) -> Page:
    """The page with these posted in full; it has named their revisions."""
    if not ended:
        return page
    posting = Posting(page, tariff)
    for held in ended:
        if held.end is None:
            raise ValueError(f"{held.uid} is not finished")
        posting.holding(held, max(held.end, held.start))
    settled = {held.uid for held in ended}
    still_open = {uid: amounts for uid, amounts in page.open.items() if uid not in settled}
    return replace(
        posting.page(),
        open=still_open,
        counted_as={uid: revision for uid, revision in page.counted_as.items() if uid in still_open},
        settled={**page.settled, **dict.fromkeys(settled)},
        uses={claim: users for claim, users in page.uses.items() if users.keys() & still_open.keys()},
    )


def advance(page: Page, held: Iterable[Holding], to: datetime, tariff: Tariff, terms: Terms = NO_NEWS) -> Page:
    """Post every holding, and labour and operations, up to `to`; T becomes `to`, and never goes back.

    `held` is all that exists: what has ended by `to` is settled first. A UID of `open` that is not among
    it lost its finalizer by force; it is closed at the old T.
    """
    to = max(to, page.posted_through)
    holdings = tuple(held)
    page = named(page, [holding for holding in holdings if holding.start < to], holdings)
    ended = (held for held in holdings if held.end is not None and held.end <= to)
    page = _settled(page, [held for held in ended if held.uid not in page.settled], tariff)
    live = [holding for holding in holdings if holding.uid not in page.settled and holding.start < to]
    posting = Posting(page, tariff)
    for holding in live:
        posting.holding(holding, to)
    open_now = {holding.uid: holding.amounts for holding in live}
    vanished = page.open.keys() - open_now.keys() - page.settled.keys()
    return replace(
        _accrue(posting, page, to, terms),
        posted_through=to,
        open=open_now,
        counted_as=counted_as(page, live),
        settled={**page.settled, **dict.fromkeys(vanished)},
        uses=_uses(page, live, to),
    )


def _uses(page: Page, live: Iterable[Holding], to: datetime) -> dict[str, Uses]:
    """Who uses the claims of what lives, as it is counted now."""
    existing: dict[str, dict[str, Use]] = {}
    for holding in live:
        for shared in holding.shared:
            existing.setdefault(shared.claim, {}).update(shared.uses)
    return {
        claim: remembered(known(page.uses.get(claim, {}), page.posted_through, users), users, to)
        for claim, users in existing.items()
    }


def _accrue(posting: Posting, page: Page, to: datetime, terms: Terms) -> Page:
    """Post labour and operations up to `to`, the new ones from when they hold; what T ran ahead is taken back."""
    if page.overheads_until is not None:
        return posting.page()
    ends = terms.until is not None and terms.until <= to
    last = terms.until if ends and terms.until is not None else to
    news = terms.news(page) and (terms.since is None or terms.since <= to)
    turn = min(terms.since or to, last) if news else last
    for overhead in page.overheads:
        posting.overhead(overhead, page.posted_through, turn)
    accrued = posting.page()
    if news and terms.overheads is not None:
        for overhead in terms.overheads:
            posting.overhead(overhead, turn, last)
        accrued = replace(posting.page(), overheads=terms.overheads, generation=terms.generation)
    return replace(accrued, overheads_until=last) if ends else accrued


def reprice(page: Page, tariff: Tariff) -> Page:
    """Price the unpriced spans that a rate covers by now; what is still uncovered stays."""
    if not any(step.price for key in page.unpriced for step in tariff.split(key.item, key.profile, key.start, key.end)):
        return page
    posting = Posting(replace(page, unpriced={}), tariff)
    # What takes back comes last: it looks for what was posted.
    for key, amount in sorted(page.unpriced.items(), key=lambda span: span[1] < 0):
        mark = Mark(key.certainty, key.share, key.stage, key.reason, key.revision)
        posting.item(key.item, amount, key.profile, mark, key.start, key.end)
    return posting.page()


def roll(page: Page) -> tuple[Page, Page]:
    """Close a page that has advanced to its month's end; the next begins where it stopped.

    Unpriced spans move to the next page, where they can still be priced.
    """
    boundary = month_end(page.month)
    if page.posted_through != boundary:
        raise ValueError(f"{page.month} is posted through {page.posted_through}, not to its end")
    following = Page(
        model=page.model,
        month=month_of(boundary),
        posted_through=boundary,
        currency=page.currency,
        price_book=page.price_book,
        unpriced=page.unpriced,
        overheads=page.overheads,
        overheads_until=page.overheads_until,
        generation=page.generation,
        open=page.open,
        settled=page.settled,
        uses=page.uses,
        revisions=page.revisions,
        counted_as=page.counted_as,
        lost=page.lost,
        past=carry(page),
        tally=inference.carried(page),
    )
    return replace(page, closed=True), following


def carry(page: Page) -> Past:
    """The exact sums of this page and all before it; unpriced spans stand beside, for they move on."""
    past = page.past
    return Past(
        usage=sums.plus(past.usage, sums.usage(page.lines)),
        cost=sums.plus(past.cost, cost.by_category(page.lines)),
        estimated=past.estimated + cost.estimated(page.lines),
        stages=sums.plus_parts(past.stages, sums.by_stage(page.lines)),
        revisions=sums.plus_parts(past.revisions, sums.by_revision(page.lines)),
        estimates=sums.plus(past.estimates, sums.by_reason(page.lines)),
        unpriced=sums.unpriced(page.unpriced),
    )


def forget(page: Page, existing: Iterable[str], now: datetime) -> Page:
    """Drop settled UIDs whose objects have been gone for an hour, or are too many; note those that are newly gone.

    Dropping them sooner is safe where views are honest: whoever writes has listed since somebody else wrote.
    """
    present = frozenset(existing)
    settled = {
        uid: None if uid in present else gone or now
        for uid, gone in page.settled.items()
        if uid in present or gone is None or now - gone < REMEMBER_SETTLED
    }
    absent = sorted((gone, uid) for uid, gone in settled.items() if gone is not None)
    for _, uid in absent[:-REMEMBERED]:
        del settled[uid]
    return replace(page, settled=settled)
