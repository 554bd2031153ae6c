"""What exists in the cluster, indexed by the model that it is labelled with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

from modelmeter.api.names import LABEL_MODEL, LABEL_MODEL_UID
from modelmeter.api.resources import price_book
from modelmeter.cluster.client import Client
from modelmeter.cluster.paths import path
from modelmeter.cluster.reflector import Reflector
from modelmeter.control.devices import Devices
from modelmeter.errors import SpecError
from modelmeter.meter.objects import Bare, Claim, Deployment, Job, Metadata, Node, Partial, Pod
from modelmeter.meter.prices import Tariff
from modelmeter.provision.device_claim import KIND as TEMPLATE

OURS: Final = "app.kubernetes.io/managed-by=modelmeter"
CHILD_KINDS: Final[dict[str, type[Bare]]] = {"Deployment": Deployment, "Service": Bare, "ConfigMap": Bare, "Job": Job}
"""Kinds of children that are not metered and that every API server has, and what of each is kept."""
LOST_NODES: Final = 10_000
"""How many nodes that are gone are remembered, for pods that a late watch shows on them: a spot pool never ends."""

Touched = Callable[[str, Pod | Claim, bool], None]
"""Called with kind and object of what changed or may cost otherwise now, and whether it is gone."""
T = TypeVar("T", Pod, Claim, Bare)


class Book(Partial, frozen=True):
    """A PriceBook as listed; its spec is parsed by the API model."""

    metadata: Metadata
    spec: dict[str, Any] = {}


class _Index(dict[tuple[str, str], dict[str, T]]):
    """Objects by (namespace, model name), then by UID."""

    def replace(self, before: T | None, after: T | None) -> None:
        """Note a change."""
        item = after or before
        assert item is not None
        metadata = item.metadata
        key = (metadata.namespace, metadata.labels.get(LABEL_MODEL, ""))
        if before is not None and (old := (before.metadata.namespace, before.metadata.labels.get(LABEL_MODEL, ""))):
            self.get(old, {}).pop(metadata.uid, None)
            if not self.get(old, True):
                del self[old]
        if after is not None:
            self.setdefault(key, {})[metadata.uid] = after

    def named(self, namespace: str, name: str) -> Iterator[T]:
        """Objects labelled with this model's name, whichever model of that name it is."""
        yield from self.get((namespace, name), {}).values()

    def of(self, namespace: str, name: str, uid: str) -> Iterator[T]:
        """Objects labelled with the model's name and UID, as all of its children are."""
        return (item for item in self.named(namespace, name) if item.metadata.labels.get(LABEL_MODEL_UID) == uid)


class View:
    """Lists and watches everything; tells which model was touched, and by what."""

    def __init__(self, client: Client, usage: Touched, child: Callable[[str, Bare | Claim, bool], None]) -> None:
        """`usage` hears of pods and claims, `child` of (kind, object, gone) of our children."""
        self.pods: _Index[Pod] = _Index()
        self.claims: _Index[Claim] = _Index()
        self.children: dict[str, _Index[Bare]] = {kind: _Index() for kind in (*CHILD_KINDS, TEMPLATE)}
        self.nodes: dict[str, Node] = {}
        self.lost: dict[str, None] = {}
        """Names of nodes that are gone for sure, in that order; one that pods are on and that is in neither has yet to
        be seen."""
        self._noted: dict[str, tuple[int, dict[str, str]]] = {}
        """Annotations of pods that a late watch has yet to show, and from which version on it does; by pod UID."""
        self._tariffs: dict[str, Tariff] = {}
        self._usage = usage
        self._child = child
        self._repriced: Callable[[], None] = lambda: None
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        metered = LABEL_MODEL
        templates = Reflector(client, path(TEMPLATE), Bare, self._child_changed(TEMPLATE), f"{OURS},{LABEL_MODEL}")
        self.devices = Devices(client, self._claim_allocated, templates)
        self._books = Reflector(client, path("PriceBook"), Book, self._book_changed)
        self._pods = Reflector(client, path("Pod"), Pod, self._pod_changed, metered)
        self._claims = Reflector(client, path("PersistentVolumeClaim"), Claim, self._claim_changed, metered)
        self.reflectors: tuple[Reflector[Any], ...] = (
            self._books,
            self._claims,
            self._pods,
            *(
                Reflector(client, path(kind), kept, self._child_changed(kind), f"{OURS},{LABEL_MODEL}")
                for kind, kept in CHILD_KINDS.items()
            ),
            # After the pods: a node that is then not there, though a pod is on it, is gone and not new.
            Reflector(client, path("Node"), Node, self._node_changed),
        )

    def when_prices_change(self, call: Callable[[], None]) -> None:
        """Call this where prices change, which may touch every model."""
        self._repriced = call

    async def list(self) -> None:
        """List everything consistently; those who ask while one of them waits for its turn share its list."""
        if self._next is None:
            self._next = asyncio.create_task(self._list_in_turn())
        await asyncio.shield(self._next)

    async def _list_in_turn(self) -> None:
        async with self._turn:
            self._next = None
            for reflector in self.reflectors:
                await reflector.list()
            await self.devices.list()
            on = {pod.spec.node_name for pods in self.pods.values() for pod in pods.values()}
            for name in sorted(on - self.nodes.keys() - {""}):
                self._lose(name)

    async def run(self) -> None:
        """Keep up until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in self.reflectors:
                group.create_task(reflector.run())
            group.create_task(self.devices.run())

    async def know_prices(self) -> None:
        """Know every price that holds by now: what is posted keeps its price, and a broken watch may owe us one."""
        if self._books.behind:
            await self._books.list()

    def find(self, kind: str, uid: str) -> Pod | Claim | None:
        """A metered pod or claim that exists."""
        return self._pods.objects.get(uid) if kind == "Pod" else self._claims.objects.get(uid)

    def tariff(self, book: str) -> Tariff | None:
        """The prices of a book, without any where it cannot be read; None where there is no such book."""
        return self._tariffs.get(book)

    def noted(self, pod: Metadata, annotations: dict[str, str]) -> None:
        """Know of annotations that a pod has as of an answer's version, however late the watch is."""
        known = self._pods.objects.get(pod.uid)
        if known is not None and int(known.metadata.resource_version) < int(pod.resource_version):
            self._noted[pod.uid] = int(pod.resource_version), annotations
            known.metadata.annotations.update(annotations)
            # They name the claims that it uses.
            for other in self.devices.users_changed(None, known):
                self._usage("Pod", other, False)

    def _keep_noted(self, uid: str, pod: Pod | None) -> None:
        if uid not in self._noted:
            return
        version, annotations = self._noted[uid]
        if pod is None or version <= int(pod.metadata.resource_version):
            del self._noted[uid]
        else:
            pod.metadata.annotations.update(annotations)

    def _pod_changed(self, before: Pod | None, after: Pod | None) -> None:
        pod = after or before
        assert pod is not None
        self._keep_noted(pod.metadata.uid, after)
        self.pods.replace(before, after)
        self._usage("Pod", pod, after is None)
        for other in self.devices.users_changed(before, after):
            self._usage("Pod", other, False)

    def _claim_allocated(self, uids: Iterable[str]) -> None:
        """The pods of these UIDs have their devices."""
        for uid in uids:
            if pod := self._pods.objects.get(uid):
                self._usage("Pod", pod, False)

    def _claim_changed(self, before: Claim | None, after: Claim | None) -> None:
        self.claims.replace(before, after)
        claim = after or before
        assert claim is not None
        self._usage("PersistentVolumeClaim", claim, after is None)
        self._child("PersistentVolumeClaim", claim, after is None)

    def _child_changed(self, kind: str) -> Callable[[Bare | None, Bare | None], None]:
        def changed(before: Bare | None, after: Bare | None) -> None:
            self.children[kind].replace(before, after)
            self._child(kind, after or before, after is None)  # type: ignore[arg-type]

        return changed

    def _node_changed(self, before: Node | None, after: Node | None) -> None:
        node = after or before
        assert node is not None
        name = node.metadata.name
        known = self.nodes.pop(name, None)
        if after is None:
            self._lose(name)
        else:
            self.nodes[name] = after
            self.lost.pop(name, None)
        if after is None or known is None or known.metadata.labels != after.metadata.labels:
            for pods in list(self.pods.values()):
                for pod in pods.values():
                    if pod.spec.node_name == name:
                        self._usage("Pod", pod, False)

    def _lose(self, name: str) -> None:
        self.lost[name] = None
        if len(self.lost) > LOST_NODES:
            del self.lost[next(iter(self.lost))]

    def _book_changed(self, before: Book | None, after: Book | None) -> None:
        if after is None:
            assert before is not None
            self._tariffs.pop(before.metadata.name, None)
        else:
            name = after.metadata.name
            try:
                self._tariffs[name] = Tariff(price_book({"metadata": {"name": name}, "spec": after.spec}))
            except SpecError as error:
                self._tariffs[name] = Tariff(None, str(error))
        self._repriced()
