"""What one run does, whatever goes wrong meanwhile: two models live, change, and end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from tests.cluster.chart import SYSTEM
from tests.faults.admin import MERGE, Admin, Object
from tests.faults.journal import CORE, OURS, Journal, Published
from tests.faults.oracle import BEGINNING, Oracle

RBAC: Final = "/apis/rbac.authorization.k8s.io/v1"
KEPT, LEFT = "kept", "left"
"""The model that is scaled, and the one that is deleted beside it."""
FIRST_PRICE, LATER_PRICE = "36", "108"
NOTICE: Final = timedelta(seconds=3)
"""How long before it holds a price is published."""
REST: Final = timedelta(seconds=1)


@dataclass(slots=True)
class World:
    """One run's namespace, and who looks at it."""

    namespace: str
    admin: Admin
    journal: Journal
    oracle: Oracle
    patience_seconds: float = 60.0
    """How long each step may take: longer than the fault lasts."""

    async def until(self, what: str, done: Any) -> Any:
        """Wait for something in the journal."""
        return await self.journal.until(what, done, self.patience_seconds)

    async def catch_up(self) -> None:
        """Wait until the journal has seen all that is there."""
        await self.journal.catch_up(self.patience_seconds)

    def path(self, group: str, kind: str, name: str = "") -> str:
        """The path of something in the run's namespace."""
        return f"{group}/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")


async def prepare(world: World) -> None:
    """The namespace, what its operators may do there, and its PriceBook; not a part of what faults meet."""
    await world.admin.make(f"{CORE}/namespaces", {"metadata": {"name": world.namespace}})
    for kind in ("roles", "rolebindings"):
        chart = await world.admin.call("GET", f"{RBAC}/namespaces/{SYSTEM}/{kind}/modelmeter")
        chart["metadata"] = {"name": "modelmeter"}
        await world.admin.make(world.path(RBAC, kind), chart)
    await world.admin.make(f"{OURS}/pricebooks", _book(world))


async def begin(world: World) -> None:
    """Two models with their pods."""
    for name, replicas in ((KEPT, 2), (LEFT, 1)):
        await world.admin.make(world.path(OURS, "modeldeployments"), _model(world, name, replicas))
    await world.until("3 running pods", lambda: _running(world, KEPT, 2) and _running(world, LEFT, 1))


async def play(world: World) -> Published:
    """All steps but the last; answers the first status that knows of all of them."""
    await begin(world)
    change = datetime.now(UTC).replace(microsecond=0) + NOTICE
    world.oracle.gpu_prices[change] = LATER_PRICE
    await world.admin.call("PATCH", f"{OURS}/pricebooks/{world.namespace}", {"spec": _book(world)["spec"]}, MERGE)
    await scale(world, 3)
    await world.until("3 replicas", lambda: _running(world, KEPT, 3))

    pod = world.journal.running(KEPT)[0]
    await world.admin.remove(world.path(CORE, "pods", pod.name))
    await world.until("the pod's end", lambda: pod.gone)
    await world.until("its replacement", lambda: _running(world, KEPT, 3))

    await scale(world, 1)
    await world.admin.remove(world.path(OURS, "modeldeployments", LEFT))
    await world.until("1 replica", lambda: _running(world, KEPT, 1) and len(_here(world, KEPT)) == 1)
    await world.until(f"the end of {LEFT}", lambda: ended(world, LEFT))
    await world.catch_up()
    quiet = datetime.now(UTC) + REST
    return await world.until("a fresh status", lambda: _fresh(world, max(quiet, change + REST)))  # type: ignore[no-any-return]


async def end(world: World) -> None:
    """The last step: nothing is left but statements."""
    await world.admin.remove(world.path(OURS, "modeldeployments", KEPT))
    await world.until(f"the end of {KEPT}", lambda: ended(world, KEPT))
    await world.catch_up()


async def carry(world: World, gpu_seconds: str | None) -> None:
    """Make the open page of LEFT carry GPU-seconds; fewer than none are what no write may follow, None is as it was."""
    model = world.journal.model(LEFT)
    assert model is not None
    (page,) = await world.until("a page", lambda: world.journal.pages(model.uid))
    name = f"{world.namespace}.{LEFT}.{model.uid[:8]}.{page['month']}"
    spec = {"carried": {"usage": {"gpu": gpu_seconds}}}
    await world.admin.call("PATCH", world.path(OURS, "coststatements", name), {"spec": spec}, MERGE)


async def end_without_operator(world: World) -> None:
    """Both models go by themselves, for nothing of ours holds them any more."""
    for name in (KEPT, LEFT):
        await world.admin.remove(world.path(OURS, "modeldeployments", name))
    for name in (KEPT, LEFT):
        await world.until(f"the end of {name}", partial(ended, world, name))


async def scale(world: World, replicas: int) -> None:
    """Change the replicas of KEPT."""
    body = {"spec": {"serving": {"replicas": replicas}}}
    await world.admin.call("PATCH", world.path(OURS, "modeldeployments", KEPT), body, MERGE)


def ended(world: World, name: str) -> bool:
    """Whether nothing of a model is left."""
    model = world.journal.model(name)
    kinds = (kind for kind in world.journal.objects if kind not in ("modeldeployments", "coststatements"))
    return (
        model is not None
        and model.gone
        and not any(seen.model == name for kind in kinds for seen in world.journal.here(kind))
    )


def _running(world: World, model: str, number: int) -> bool:
    return len(world.journal.running(model)) == number


def _here(world: World, model: str) -> list[Any]:
    return [seen for seen in world.journal.here("pods") if seen.model == model]


def _fresh(world: World, moment: datetime) -> Published | None:
    return next((seen for seen in world.journal.published if seen.model == KEPT and seen.as_of >= moment), None)


def _book(world: World) -> Object:
    """The run's PriceBook: only GPUs cost."""
    gpu = [_rate("gpu", price, "hour", start) for start, price in sorted(world.oracle.gpu_prices.items())]
    free = [
        _rate(item, "0", per, BEGINNING)
        for item, per in (("cpu", "hour"), ("memory", "GiB-hour"), ("storage", "GiB-hour"))
    ]
    rates = [*free, *gpu]
    return {
        "apiVersion": "modelmeter.dev/v1alpha1",
        "kind": "PriceBook",
        "metadata": {"name": world.namespace},
        "spec": {"currency": "EUR", "rates": rates},
    }


def _rate(item: str, price: str, per: str, start: datetime) -> Object:
    return {"item": item, "price": price, "per": per, "from": start.strftime("%Y-%m-%dT%H:%M:%SZ")}


def _model(world: World, name: str, replicas: int) -> Object:
    return {
        "apiVersion": "modelmeter.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name},
        "spec": {
            "model": {"source": "https://models.example.org/minilm.tar.gz", "labels": ["shoes", "phones", "books"]},
            "serving": {"replicas": replicas},
            "storage": {"accessModes": ["ReadWriteMany"]},
            "pricing": {"priceBook": world.namespace},
        },
    }
