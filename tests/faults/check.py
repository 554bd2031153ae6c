"""What must hold after every run, whatever went wrong in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from tests.faults.journal import CHILDREN, Published
from tests.faults.oracle import GPU, REPLICA, STORAGE, Used, of_items
from tests.faults.scenario import KEPT, LEFT, World

PODS = {KEPT: 4, LEFT: 1}
"""How many pods the scenario needs: 2, one more, and one that replaces the deleted one."""
STATUS_KEYS = {GPU: "gpuSeconds", REPLICA: "replicaSeconds", STORAGE: "storageByteSeconds"}


def posted(pages: list[dict[str, object]]) -> Used:
    """Unit-seconds on all of a model's pages, by item, unit price and revision."""
    sums: Used = Counter()
    for page in pages:
        for line in page["lines"]:  # type: ignore[attr-defined]
            if line["item"] in (GPU, REPLICA, STORAGE):
                price = line.get("unitPrice", "") if line["item"] != REPLICA else ""
                sums[line["item"], price, line.get("revision", "")] += sum(
                    int(units) for units in line["days"].values()
                )
    return Counter({key: units for key, units in sums.items() if units})


def difference_seconds(world: World) -> int:
    """How many GPU-seconds and replica-seconds the closed statements are off, of both models together."""
    total = 0
    for name in (KEPT, LEFT):
        model = world.journal.model(name)
        pages = world.journal.pages(model.uid) if model else []
        if pages and pages[-1]["closed"]:
            left, right = of_items(posted(pages)), of_items(world.oracle.used(name))
            total += sum(abs(left[item] - right[item]) for item in (GPU, REPLICA))
    return total


def while_it_lives(world: World, live: Published) -> Iterator[str]:
    """Breaches that the state before the last deletion shows; `live` is a status that should know everything."""
    used = of_items(world.oracle.used(KEPT, live.as_of))
    for item, key in STATUS_KEYS.items():
        if int(live.usage.get(key, -1)) != used[item]:
            yield f"status of {KEPT} at {live.as_of:%T}: {key} {live.usage.get(key)}, the oracle says {used[item]}"
    for kind in CHILDREN:
        here = [seen.name for seen in world.journal.here(kind) if seen.model == KEPT]
        if len(here) != 1:
            yield f"{kind} of {KEPT}: {here}"
    (workload,) = world.journal.all("deployments", KEPT)[-1:] or [None]
    if workload and workload.last["spec"]["replicas"] != 1:
        yield f"the Deployment of {KEPT} wants {workload.last['spec']['replicas']} replicas, not 1"


def after_the_end(world: World) -> Iterator[str]:
    """Breaches that remain to be seen when both models are gone."""
    yield from _ledger(world)
    yield from _objects(world)
    yield from _pods(world)
    yield from _totals(world)


def held(world: World) -> Iterator[str]:
    """Breaches while nothing may be let go of: pods and claims without our finalizer."""
    for kind in ("pods", "persistentvolumeclaims"):
        for seen in world.journal.here(kind):
            if seen.model and "modelmeter.dev/metering" not in seen.last["metadata"].get("finalizers", ()):
                yield f"{kind} {seen.name} was let go of"


def released(world: World, log: str) -> Iterator[str]:
    """Breaches after `modelmeter release`: nobody is held, and what was used until then is posted.

    Where it failed halfway and was run again, what the first run had let go of may have gone: that is said, then.
    `log` is what was said where it was run again, else empty.
    """
    for kind, objects in world.journal.objects.items():
        for seen in objects.values():
            held = [name for name in seen.last["metadata"].get("finalizers", ()) if name.startswith("modelmeter.dev/")]
            if held and not seen.gone:
                yield f"{kind} {seen.name} is still held by {held}"
    for name in (KEPT, LEFT):
        model = world.journal.model(name)
        assert model is not None
        pages = world.journal.pages(model.uid)
        until = datetime.fromisoformat(pages[-1]["postedThrough"])
        left, right = posted(pages), world.oracle.used(name, until)
        short = f"/{name}: pod or claim" in log and "vanished uncounted" in log and left <= right
        if left != right and not short:
            yield f"statement of {name} at {until:%T}: {dict(left)}, the oracle says {dict(right)}"


def _ledger(world: World) -> Iterator[str]:
    for name in (KEPT, LEFT):
        model = world.journal.model(name)
        assert model is not None
        pages = world.journal.pages(model.uid)
        if not pages:
            yield f"{name} has no statement"
            continue
        if not all(page["closed"] for page in pages) or pages[-1].get("open"):
            shown = [(page["month"], page["closed"], page.get("open")) for page in pages]
            yield f"the statements of {name} are not all closed: {shown}"
        if any(page.get("unpriced") for page in pages):
            yield f"{name} has usage without a price"
        left, right = posted(pages), world.oracle.used(name)
        for key in sorted({*left, *right}):
            if left[key] != right[key]:
                yield f"statement of {name}: {key}: {left[key]}, the oracle says {right[key]}"


def _pods(world: World) -> Iterator[str]:
    for name, number in PODS.items():
        pods = world.journal.all("pods", name)
        if len(pods) != number:
            yield f"{name} had {len(pods)} pods, not {number}"


def _objects(world: World) -> Iterator[str]:
    for name in PODS:
        model = world.journal.model(name)
        assert model is not None
        for kind in CHILDREN:
            children = world.journal.all(kind, name)
            if len(children) != 1:
                yield f"{name} had {len(children)} {kind}, not 1: {[seen.name for seen in children]}"
            for child in children:
                if model.deleted and child.deleted and child.deleted < model.deleted:
                    yield f"{kind} {child.name} was deleted before its model"
    for kind, seen in world.journal.objects.items():
        for item in seen.values():
            if not item.gone and item.last["metadata"].get("finalizers"):
                yield f"{kind} {item.name} is left with {item.last['metadata']['finalizers']}"


def _totals(world: World) -> Iterator[str]:
    for status, key, before, value, true in _decreases(world):
        # The end of a pod that is seen late takes back what was shown too much: down to the truth, never below it.
        if value < true:
            yield f"{key} of {status.model} at {status.as_of:%T} went down from {before} to {value}; true is {true}"


def late_ends(world: World) -> int:
    """How often a total went down to the truth: a pod's end was seen after a figure that took it as running."""
    return sum(value == true for _, _, _, value, true in _decreases(world))


def _decreases(world: World) -> Iterator[tuple[Published, str, int, int, int]]:
    highest: Counter[tuple[str, str]] = Counter()
    for status in world.journal.published:
        for item, key in STATUS_KEYS.items():
            value, before = int(status.usage.get(key, 0)), highest[status.model, key]
            if value < before:
                true = of_items(world.oracle.used(status.model, status.as_of))[item]
                yield status, key, before, value, true
            highest[status.model, key] = value
