"""What must hold at every write of a statement; and the ledger read back, without the product's help."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from typing import Final

import msgspec

from tests.simulation.oracle import ONE_PRICED_UNIT, PERIODS, Answer
from tests.simulation.server import Key, Object, Server

REASONS: Final = ("settled", "open", "overheadsUntil", "generation")
"""What must differ where the cost of a page goes down: something ended, shrank or was asked for earlier than posted."""
LARGEST: Final = 100 * 1024
"""Bytes of a page."""


class Monitor:
    """Watches every statement that is stored."""

    def __init__(self, server: Server) -> None:
        self.broken: list[str] = []
        self.writes = 0
        self.largest = 0
        self._settled: set[str] = set()
        server.listeners.append(self._changed)

    def check(self) -> None:
        """Raise the first invariant that did not hold."""
        assert not self.broken, self.broken[0]

    def _hold(self, true: bool, otherwise: str) -> None:
        if not true:
            self.broken.append(otherwise)

    def _changed(self, key: Key, before: Object | None, after: Object | None) -> None:
        if key.plural in ("pods", "persistentvolumeclaims") and after is None:
            assert before is not None
            self._released(before)
        if key.plural != "coststatements" or after is None:
            return
        self.writes += 1
        spec = after["spec"]
        self._settled |= {entry["uid"] for entry in spec["settled"]}
        both = _open(spec) & {entry["uid"] for entry in spec["settled"]}
        self._hold(not both, f"open and settled: {both}")
        size = len(msgspec.json.encode(after))
        self.largest = max(self.largest, size)
        self._hold(size < LARGEST, f"a page of {size} bytes")
        if before is not None:
            self._hold(not before["spec"]["closed"], "a closed page was written")
            self._hold(spec["postedThrough"] >= before["spec"]["postedThrough"], "T went back")
            known = {*_open(spec), *(entry["uid"] for entry in spec["settled"])}
            self._hold(known >= _open(before["spec"]), "a UID of `open` was forgotten")
            why = [name for name in REASONS if spec.get(name) != before["spec"].get(name)]
            self._hold(bool(why) or _cost(spec) >= _cost(before["spec"]), "the cost went down, and nothing had ended")

    def _released(self, item: Object) -> None:
        """A pod or claim leaves only when a page has said that it is settled."""
        metadata = item["metadata"]
        self._hold(metadata["uid"] in self._settled, f"{metadata['name']} was released before it was on the ledger")


def read(server: Server) -> Answer:
    """The whole ledger: lines and spans of all pages; each page must carry the sums of those before it."""
    found = Answer()
    pages = sorted(server.select("coststatements"), key=lambda page: page["spec"]["month"])
    estimated = Fraction(0)
    for page in pages:
        spec = page["spec"]
        carried = {item: int(units) for item, units in spec["carried"]["usage"].items()}
        assert carried == {item: units for item, units in found.usage.items() if item in carried}
        assert all(units == 0 for item, units in found.usage.items() if item not in carried)
        costs = {category: Fraction(amount) for category, amount in spec["carried"]["cost"].items()}
        assert all(costs.get(category, 0) == amount for category, amount in found.cost.items())
        assert _carried(spec) == {name: amount for name, amount in found.revisions.items() if amount}
        assert Fraction(spec["carried"]["estimated"]) == estimated
        estimated += _post(spec, found)
    assert [page["spec"]["closed"] for page in pages] == [True] * len(pages)
    for span in pages[-1]["spec"]["unpriced"] if pages else ():
        seconds = _seconds(span["from"], span["to"]) * int(span["amount"])
        found.usage[span["item"]] = found.usage.get(span["item"], 0) + seconds
        found.unpriced[span["item"]] = found.unpriced.get(span["item"], 0) + seconds
        if span["item"] != "storage":
            found.count(span.get("revision", ""), span["item"], seconds)
    return found


def requests(server: Server) -> int:
    """Requests that the whole ledger has counted: the last page says all."""
    pages = sorted(server.select("coststatements"), key=lambda page: page["spec"]["month"])
    counts = [int(page["spec"]["inference"]["answered"]) for page in pages]
    assert counts == sorted(counts), "a later page counts fewer requests"
    assert not pages or not pages[-1]["spec"]["inference"].get("readings"), "the last page keeps pods"
    return counts[-1] if counts else 0


def _post(spec: Object, found: Answer) -> Fraction:
    """Add a page's lines; answers what of their cost is estimated."""
    estimated = Fraction(0)
    for line in spec["lines"]:
        units = sum(int(amount) for amount in line["days"].values())
        item, _, rest = line["item"].partition("/")
        if not rest:
            found.usage[item] = found.usage.get(item, 0) + units
        if item == "replica":
            continue
        category = item if rest else "storage" if item == "storage" else "compute"
        cost = Fraction(line["unitPrice"]) * units / (PERIODS[line["per"]] if rest else ONE_PRICED_UNIT[item])
        found.cost[category] = found.cost.get(category, Fraction(0)) + cost
        if category == "compute":
            found.count(line.get("revision", ""), item, units)
            found.count(line.get("revision", ""), "cost", cost)
        estimated += cost if line["certainty"] == "estimated" else 0
    return estimated


def _carried(spec: Object) -> dict[str, Fraction]:
    """What a page carries of revisions, in the oracle's words."""
    found = Answer()
    for revision, part in spec["carried"].get("revisions", {}).items():
        for what, amount in {**part["usage"], "cost": part["cost"]}.items():
            found.count(revision, what, Fraction(amount))
    return {name: amount for name, amount in found.revisions.items() if amount}


def _seconds(start: str, end: str) -> int:
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())


def _cost(spec: Object) -> Fraction:
    found = Answer()
    _post(spec, found)
    return sum(found.cost.values(), Fraction(0))


def _open(spec: Object) -> set[str]:
    return {uid for group in spec["open"] for uid in group["uids"]}
