"""A model's owner, and all whom a history lets act beside: they act it out on the server, and note what is true."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from typing import Final, TypeVar

from tests.simulation.claims import Claims
from tests.simulation.histories import History, PricingStory, RateStory
from tests.simulation.oracle import EVER, Rate, Truth
from tests.simulation.pods import NODES, Pods
from tests.simulation.server import Key, Object, Server
from tests.simulation.stage import METERING, NAME, NAMESPACE, UID, Stage

MODEL: Final = Key("modeldeployments", NAMESPACE, NAME)
BOOK: Final = Key("pricebooks", "", "default")
LATEST_NEWS_SECONDS: Final = 3700
"""Longer than any watch is late."""
T = TypeVar("T")


class World:
    """Acts a history out."""

    def __init__(self, server: Server, history: History) -> None:
        self._stage = Stage(server, history)
        self._server = server
        self._truth = self._stage.truth
        self._claims = Claims(self._stage)
        self._pods = Pods(self._stage)
        self._noted: dict[str, list[dict[str, int]]] = {}
        """What statements and annotations say that a UID held."""
        self._asked: set[Fraction] = set()
        """Prices of labour that ever stood on a statement."""
        self.tritons = self._pods.tritons
        self.uncaptured = self._pods.uncaptured
        self.check = self._stage.check

    def begin(self) -> None:
        """Let everything happen, each in its time."""
        server, history = self._server, self._stage.history
        server.listeners.append(self._changed)
        for index, labels in enumerate(NODES):
            server.create("nodes", {"metadata": {"name": f"node-{index}", "labels": dict(labels)}})
        always = [rate for rate in history.rates if not rate.added]
        server.create("pricebooks", {"metadata": {"name": "default"}, "spec": {"currency": "USD", "rates": []}})
        for rate in always:
            self._append(rate)
        self._create_model(history.pricing[0] if history.pricing else None)
        for rate in history.rates[len(always) :]:
            # A rate that comes when the last page is closed prices nothing any more.
            if rate.added + LATEST_NEWS_SECONDS < history.length:
                self._stage.start(self._later(rate.added, self._append, rate))
        for change in history.pricing[1:]:
            self._stage.start(self._later(change.at, self._reprice, change))
        for index, claim in enumerate(history.claims):
            self._stage.start(self._claims.act(f"claim-{index}", claim))
        for index, pod in enumerate(history.pods):
            self._stage.start(self._pods.act(f"pod-{index}", pod))
        self._stage.start(self._end())

    def finished(self) -> bool:
        """Whether nothing of the model is left."""
        return MODEL not in self._server.objects and not any(
            True for plural in ("pods", "persistentvolumeclaims") for _ in self._server.select(plural)
        )

    def left(self) -> list[str]:
        """The names of what is left of the model."""
        plurals = ("pods", "persistentvolumeclaims", "modeldeployments")
        return [item["metadata"]["name"] for plural in plurals for item in self._server.select(plural)]

    def close_truth(self) -> Truth:
        """The truth when all is over: claims were used until nobody used them any more.

        What was resized before anybody noted its first size counts as if it had always had the second; labour that
        was changed again before anybody noted it counts as if it had never been asked for.
        """
        steps = [step for step in self._truth.overheads if not step[1] or step[1]["labour/owner"][1] in self._asked]
        self._truth.overheads = [(self._truth.created, step[1]) for step in steps[:1]] + steps[1:]
        for uid, held in self._truth.held.items():
            if len(held.sizes) == 2 and held.sizes[0][1] not in self._noted.get(uid, ()):
                held.sizes = [(held.start, held.sizes[1][1])]
        for uid, deleted in self._claims.deleted.items():
            if uid in self._truth.held:
                ends = [self._truth.held[pod].end or deleted for pod in self._pods.mounted.get(uid, ())]
                self._truth.held[uid].end = max([deleted, *ends])
        return self._truth

    async def _later(self, second: int, do: Callable[[T], None], argument: T) -> None:
        await self._stage.until(second)
        if MODEL in self._server.objects:
            do(argument)

    def _create_model(self, pricing: PricingStory | None) -> None:
        spec: Object = {"model": {"source": "https://models.example/intent.tar.gz"}, "serving": {"replicas": 0}}
        metadata = {
            "namespace": NAMESPACE,
            "name": NAME,
            "uid": UID,
            "finalizers": ["modelmeter.dev/ledger"],
        }
        self._server.create("modeldeployments", {"metadata": metadata, "spec": spec})
        if pricing:
            self._reprice(pricing)
        else:
            self._truth.overheads.append((self._server.now(), {}))

    def _reprice(self, pricing: PricingStory) -> None:
        spec = {
            "labour": [{"name": "owner", "price": pricing.labour, "per": "hour"}],
            "operations": [{"name": "review", "price": pricing.review, "per": "day"}],
        }
        self._server.update(MODEL, lambda item: item["spec"].update(pricing=spec), ("", "spec.pricing"))
        overheads = {
            "labour/owner": ("labour", Fraction(pricing.labour), "hour"),
            "operations/review": ("operations", Fraction(pricing.review), "day"),
        }
        self._truth.overheads.append((self._server.now(), overheads))

    def _append(self, story: RateStory) -> None:
        valid = EVER if story.valid is None else self._server.begin + timedelta(seconds=story.valid)
        rate = {
            "item": story.item,
            "price": story.price,
            "match": dict(story.match),
            "per": "hour" if story.item in ("gpu", "cpu") else "GiB-hour",
            "from": valid.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        self._server.update(BOOK, lambda book: book["spec"]["rates"].append(rate))
        self._truth.rates.append(Rate(story.item, Fraction(story.price), dict(story.match), valid))

    async def _end(self) -> None:
        await self._stage.until(self._stage.history.length)
        self._truth.deleted = self._server.now()
        self._server.delete(MODEL)
        if next(self._server.select("deployments"), None) is None:
            # The operator never came to make it, so nothing else ends the pods.
            self._stage.over.set()

    def _changed(self, key: Key, before: Object | None, after: Object | None) -> None:
        """Controllers: pods go with their Deployment, claims are bound, and protected while they are used."""
        self._note(key, after)
        if key.plural == "deployments" and after is None:
            self._stage.over.set()
        elif key.plural == "persistentvolumeclaims":
            self._claims.changed(before, after)
        elif key.plural == "pods" and (after is None or after["status"].get("phase") in ("Succeeded", "Failed")):
            asyncio.get_running_loop().call_soon(self._claims.unprotect)

    def _note(self, key: Key, after: Object | None) -> None:
        """Keep what is known of sizes, for not all can be known."""
        if key.plural == "coststatements" and after is not None:
            self._asked |= {Fraction(entry["unitPrice"]) for entry in after["spec"]["overheads"]}
            for group in after["spec"]["open"]:
                amounts = {item: int(units) for item, units in group["amounts"].items()}
                for uid in group["uids"]:
                    self._noted.setdefault(uid, []).append(amounts)
        elif key.plural == "pods" and after is not None:
            text = after["metadata"].get("annotations", {}).get("modelmeter.dev/held-at-first")
            # Whoever notes it once the pod is posted and let go of comes too late.
            if text and METERING in after["metadata"]["finalizers"]:
                self._noted.setdefault(after["metadata"]["uid"], []).append(json.loads(text)["amounts"])
