"""Short ways to say what exists, for tests of the ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from modelmeter.api.cost_statement import ModelRef
from modelmeter.api.resources import PriceBook, price_book
from modelmeter.meter.account import Facts
from modelmeter.meter.holding import CPU, GPU, MEMORY, REPLICA, Holding, Profile
from modelmeter.meter.ledger import NO_NEWS, Terms
from modelmeter.meter.page import Page, first_page
from modelmeter.meter.prices import Tariff

START = datetime(2026, 11, 10, tzinfo=UTC)
MODEL = ModelRef(namespace="search", name="intent", uid="0f0f0f0f-1111")
L4 = Profile(gpu_product="NVIDIA-L4", instance_type="g6.xlarge", region="eu-west-1", capacity_type="on-demand")


def at(seconds: int) -> datetime:
    """So many seconds after START."""
    return START + timedelta(seconds=seconds)


def book(*rates: dict[str, object], currency: str = "USD", name: str = "default") -> PriceBook:
    """A PriceBook; a rate needs item and price, its `from` is the year 2026."""
    full = [
        {"per": "hour" if rate["item"] in ("gpu", "cpu") else "GiB-hour", "from": "2026-01-01T00:00:00Z", **rate}
        for rate in rates
    ]
    return price_book({"metadata": {"name": name}, "spec": {"currency": currency, "rates": full}})


def tariff(*rates: dict[str, object]) -> Tariff:
    """The prices of such a book."""
    return Tariff(book(*rates))


def pod(uid: str, start: int, end: int | None = None, gpus: int = 1, profile: Profile = L4) -> Holding:
    """A pod with GPUs, 2 cores and 8 GiB over [start, end) seconds after START."""
    amounts = {GPU: gpus, CPU: 2000, MEMORY: 8 * 2**30, REPLICA: 1}
    return Holding(uid, at(start), None if end is None else at(end), amounts, profile)


def page(created: int = 0) -> Page:
    """The first page of a model that was created so many seconds after START."""
    return first_page(MODEL, at(created))


def facts(now: int, *holdings: Holding, prices: Tariff, terms: Terms = NO_NEWS, **more: bool) -> Facts:
    """What one pass knows."""
    return Facts(now=at(now), holdings=holdings, tariff=prices, price_book="", terms=terms, **more)


def seconds_of(sheet: Page, item: str) -> int:
    """Unit-seconds of an item on a page and all before it, priced or not."""
    lines = sum(sum(days.values()) for key, days in sheet.lines.items() if key.item == item)
    spans = sum(
        amount * round((key.end - key.start).total_seconds())
        for key, amount in sheet.unpriced.items()
        if key.item == item
    )
    return lines + spans + sheet.past.usage.get(item, 0)
