"""Scheduler, kubelets, controllers and users: they act a history out on the server, and note what is true."""

from __future__ import annotations

import asyncio
import itertools
import json
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Final

from tests.simulation.histories import ClaimStory, History, PodStory, PricingStory, RateStory
from tests.simulation.oracle import EVER, Held, Rate, Truth
from tests.simulation.server import Key, Object, Server
from tests.simulation.tritons import Tritons

NAMESPACE: Final = "search"
NAME: Final = "intent"
UID: Final = "0f0f0f0f-5eed-4000-8000-000000000000"
MODEL: Final = Key("modeldeployments", NAMESPACE, NAME)
BOOK: Final = Key("pricebooks", "", "default")
LABELS: Final = {
    "app.kubernetes.io/managed-by": "modelmeter",
    "modelmeter.dev/model": NAME,
    "modelmeter.dev/model-uid": UID,
}
"""As on what the operator makes: the last page waits for it."""
METERING: Final = "modelmeter.dev/metering"
REVISION: Final = "modelmeter.dev/template-hash"
PROFILE: Final = "modelmeter.dev/price-profile"
PROTECTION: Final = "kubernetes.io/pvc-protection"
FOREGROUND: Final = "foregroundDeletion"
GRACE_SECONDS: Final = 30
STOPPING_SECONDS: Final = 5
"""How long a pod runs on after it was told to stop."""
COLLECT_SECONDS: Final = 40
"""How long after its node is gone a pod is collected."""
LATEST_NEWS_SECONDS: Final = 3700
"""Longer than any watch is late."""
GIB: Final = 2**30

NODES: Final = (
    {
        "nvidia.com/gpu.product": "NVIDIA-L4",
        "node.kubernetes.io/instance-type": "g6.xlarge",
        "topology.kubernetes.io/region": "eu-west-1",
        "karpenter.sh/capacity-type": "spot",
    },
    {
        "nvidia.com/gpu.product": "NVIDIA-L4",
        "node.kubernetes.io/instance-type": "g6.12xlarge",
        "topology.kubernetes.io/region": "us-east-1",
    },
    {"nvidia.com/gpu.product": "Tesla-T4", "topology.kubernetes.io/region": "eu-west-1"},
)
RESTART_POLICIES: Final = {"finished": "OnFailure", "failed": "Never"}
"""By the pod's ending; of all others Always."""
PROFILES: Final = (
    {"gpuProduct": "NVIDIA-L4", "instanceType": "g6.xlarge", "region": "eu-west-1", "capacityType": "spot"},
    {"gpuProduct": "NVIDIA-L4", "instanceType": "g6.12xlarge", "region": "us-east-1", "capacityType": "on-demand"},
    {"gpuProduct": "Tesla-T4", "region": "eu-west-1", "capacityType": "on-demand"},
)


class World:
    """Acts `history`; `truth` grows with it."""

    def __init__(self, server: Server, history: History) -> None:
        self._server = server
        self._history = history
        self._over = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._claims_deleted: dict[str, datetime] = {}
        """When claims were deleted, by UID."""
        self._mounted: dict[str, list[str]] = {}
        """Claim UID to the UIDs of pods that mounted it."""
        self._noted: dict[str, list[dict[str, int]]] = {}
        """What statements and annotations say that a UID held."""
        self._asked: set[Fraction] = set()
        """Prices of labour that ever stood on a statement."""
        self._addresses = itertools.count(1)
        self.truth = Truth(server.begin)
        self.tritons = Tritons()
        self.uncaptured: set[str] = set()
        """Pods whose node was gone before anybody noted their price profile."""

    def begin(self) -> None:
        """Let everything happen, each in its time."""
        server, history = self._server, self._history
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
                self._start(self._later(rate.added, self._append, rate))
        for change in history.pricing[1:]:
            self._start(self._later(change.at, self._reprice, change))
        for index, claim in enumerate(history.claims):
            self._start(self._claim(f"claim-{index}", claim))
        for index, pod in enumerate(history.pods):
            self._start(self._pod(f"pod-{index}", pod))
        self._start(self._end())

    def finished(self) -> bool:
        """Whether nothing of the model is left."""
        return MODEL not in self._server.objects and not any(
            True for plural in ("pods", "persistentvolumeclaims") for _ in self._server.select(plural)
        )

    def left(self) -> list[str]:
        """The names of what is left of the model."""
        plurals = ("pods", "persistentvolumeclaims", "modeldeployments")
        return [item["metadata"]["name"] for plural in plurals for item in self._server.select(plural)]

    def check(self) -> None:
        """Raise what went wrong in here."""
        for task in self._tasks:
            if task.done():
                task.result()

    def close_truth(self) -> Truth:
        """The truth when all is over: claims were used until nobody used them any more.

        What was resized before anybody noted its first size counts as if it had always had the second; labour that
        was changed again before anybody noted it counts as if it had never been asked for.
        """
        steps = [step for step in self.truth.overheads if not step[1] or step[1]["labour/owner"][1] in self._asked]
        self.truth.overheads = [(self.truth.created, step[1]) for step in steps[:1]] + steps[1:]
        for uid, held in self.truth.held.items():
            if len(held.sizes) == 2 and held.sizes[0][1] not in self._noted.get(uid, ()):
                held.sizes = [(held.start, held.sizes[1][1])]
        for uid, deleted in self._claims_deleted.items():
            if uid in self.truth.held:
                ends = [self.truth.held[pod].end or deleted for pod in self._mounted.get(uid, ())]
                self.truth.held[uid].end = max([deleted, *ends])
        return self.truth

    # Time.

    def _start(self, story: Any) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(story))

    async def _until(self, second: int) -> None:
        """A quarter of a second into that second of the history."""
        await asyncio.sleep(max(0.0, second + 0.25 - asyncio.get_running_loop().time()))

    async def _later(self, second: int, do: Any, argument: Any) -> None:
        await self._until(second)
        if MODEL in self._server.objects:
            do(argument)

    async def _pause(self, seconds: int) -> bool:
        """Wait; True where the model was torn down meanwhile."""
        if seconds > 0 and not self._over.is_set():
            try:
                await asyncio.wait_for(self._over.wait(), seconds)
            except TimeoutError:
                return False
        return self._over.is_set()

    # The model, its prices, its end.

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
            self.truth.overheads.append((self._server.now(), {}))

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
        self.truth.overheads.append((self._server.now(), overheads))

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
        self.truth.rates.append(Rate(story.item, Fraction(story.price), dict(story.match), valid))

    async def _end(self) -> None:
        await self._until(self._history.length)
        self.truth.deleted = self._server.now()
        self._server.delete(MODEL)
        if next(self._server.select("deployments"), None) is None:
            # The operator never came to make it, so nothing else ends the pods.
            self._over.set()

    def _changed(self, key: Key, before: Object | None, after: Object | None) -> None:
        """Controllers: pods go with their Deployment, claims are bound, and protected while they are used."""
        self._note(key, after)
        if key.plural == "deployments" and after is None:
            self._over.set()
        elif key.plural == "persistentvolumeclaims":
            self._claim_changed(before, after)
        elif key.plural == "pods" and (after is None or after["status"].get("phase") in ("Succeeded", "Failed")):
            asyncio.get_running_loop().call_soon(self._unprotect)

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

    # Claims.

    def _claim_changed(self, before: Object | None, after: Object | None) -> None:
        item = after or before
        assert item is not None
        uid = item["metadata"]["uid"]
        if before is None and item["metadata"]["name"] == f"{NAME}-models":
            self._start(self._bind(Key("persistentvolumeclaims", NAMESPACE, f"{NAME}-models"), 2))
        if after is not None and "deletionTimestamp" in after["metadata"] and uid not in self._claims_deleted:
            self._claims_deleted[uid] = self._server.now()
            asyncio.get_running_loop().call_soon(self._unprotect)

    async def _claim(self, name: str, story: ClaimStory) -> None:
        await self._until(story.created)
        if story.created >= self._history.length or self._over.is_set():
            return
        metadata = {
            "namespace": NAMESPACE,
            "name": name,
            "labels": dict(LABELS),
            "finalizers": [PROTECTION, METERING],
        }
        spec = {
            "storageClassName": story.storage_class,
            "resources": {"requests": {"storage": f"{story.gibibytes}Gi"}},
        }
        made = self._server.create("persistentvolumeclaims", {"metadata": metadata, "spec": spec, "status": {}})
        key, uid = Key("persistentvolumeclaims", NAMESPACE, name), made["metadata"]["uid"]
        if story.deleted is not None:
            self._start(self._delete_claim(key, story.deleted))
        if story.bound is None or not await self._bind(key, story.bound):
            return
        if story.resized is not None and not await self._pause(story.resized) and self._lives(key):
            asked = {"requests": {"storage": f"{story.gibibytes * 2}Gi"}}
            self._server.update(key, lambda item: item["spec"].update(resources=asked), ("", "spec.resources"))
            self._capacity(key, story.gibibytes * 2)
            self.truth.held[uid].sizes.append((self._server.now(), {"storage": story.gibibytes * 2 * GIB}))

    async def _delete_claim(self, key: Key, seconds: int) -> None:
        if not await self._pause(seconds) and self._lives(key):
            self._server.delete(key)

    async def _bind(self, key: Key, seconds: int) -> bool:
        if seconds:
            await asyncio.sleep(seconds)
        if not self._lives(key):
            return False
        claim = self._server.read(key)
        gibibytes = int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi"))
        self._capacity(key, gibibytes, ("status", "status.phase"))
        metadata, start = claim["metadata"], self._server.now()
        self.truth.held[metadata["uid"]] = Held(
            start,
            [(start, {"storage": gibibytes * GIB})],
            {"storageClass": claim["spec"].get("storageClassName", "")},
        )
        return True

    def _capacity(self, key: Key, gibibytes: int, *also: tuple[str, str]) -> None:
        status = {"phase": "Bound", "capacity": {"storage": f"{gibibytes}Gi"}}
        self._server.update(key, lambda claim: claim.update(status=status), ("status", "status.capacity"), *also)

    def _lives(self, key: Key) -> bool:
        item = self._server.objects.get(key)
        return item is not None and "deletionTimestamp" not in item["metadata"]

    def _unprotect(self) -> None:
        """Take the protection off deleted claims that no pod uses."""
        using = {
            volume["persistentVolumeClaim"]["claimName"]
            for pod in self._server.select("pods")
            for volume in pod["spec"]["volumes"]
            if pod["status"].get("phase") not in ("Succeeded", "Failed")
        }
        for claim in list(self._server.select("persistentvolumeclaims")):
            metadata = claim["metadata"]
            unused = "deletionTimestamp" in metadata and metadata["name"] not in using
            if unused and PROTECTION in metadata["finalizers"]:
                key = Key("persistentvolumeclaims", NAMESPACE, metadata["name"])
                self._server.update(key, lambda item: item["metadata"]["finalizers"].remove(PROTECTION))

    # Pods.

    async def _pod(self, name: str, story: PodStory) -> None:
        await self._until(story.created)
        if story.created >= self._history.length or self._over.is_set():
            return
        await self._one_pod(name, story)
        if story.replaced:
            while Key("pods", NAMESPACE, name) in self._server.objects:
                await asyncio.sleep(1)
            if not self._over.is_set():
                follower = PodStory(0, 0, 600, "finished", 0, story.gpus, node=story.node, revision=story.revision)
                await self._one_pod(name, follower)

    async def _one_pod(self, name: str, story: PodStory) -> None:
        key = Key("pods", NAMESPACE, name)
        claim = Key("persistentvolumeclaims", NAMESPACE, f"claim-{story.claim}")
        mounts = story.claim is not None and self._lives(claim)
        made = self._server.create("pods", self._manifest(name, story, claim.name if mounts else ""))
        uid = made["metadata"]["uid"]
        over = await self._pause(story.length if story.scheduled is None else story.scheduled)
        if over or story.scheduled is None or (mounts and not self._lives(claim)):
            self._server.delete(key)
            return
        node = self._schedule(key, uid, story)
        if mounts:
            self._mounted.setdefault(self._server.read(claim)["metadata"]["uid"], []).append(uid)
        over = await self._running(key, uid, story)
        ending = "deleted" if over and story.ending not in ("node gone", "node silent") else story.ending
        await ENDINGS[ending](self, key, self.truth.held[uid], story, node)

    def _manifest(self, name: str, story: PodStory, claim: str) -> Object:
        requests = {"cpu": str(story.cores), "memory": f"{story.gibibytes}Gi"}
        if story.gpus:
            requests["nvidia.com/gpu"] = str(story.gpus)
        volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}] if claim else []
        revision = {REVISION: f"{story.revision:016x}"} if story.revision else {}
        return {
            "metadata": {
                "namespace": NAMESPACE,
                "name": name,
                "labels": dict(LABELS),
                "annotations": revision,
                "finalizers": [METERING],
            },
            "spec": {
                "restartPolicy": RESTART_POLICIES.get(story.ending, "Always"),
                "containers": [{"name": "triton", "resources": {"requests": requests}}],
                "volumes": volumes,
            },
            "status": {"phase": "Pending", "conditions": []},
        }

    def _schedule(self, key: Key, uid: str, story: PodStory) -> str:
        """Bind the pod; one whose node will vanish gets a new node for itself."""
        node = f"node-{story.node}"
        if story.ending == "node gone":
            node = f"node-of-{uid}"
            self._server.create("nodes", {"metadata": {"name": node, "labels": dict(NODES[story.node])}})
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": self._server.stamp()}

        def bind(pod: Object) -> None:
            pod["spec"]["nodeName"] = node
            pod["status"]["conditions"] = [scheduled]

        self._server.update(key, bind)
        amounts = {"cpu": story.cores * 1000, "memory": story.gibibytes * GIB, "replica": 1}
        if story.gpus:
            amounts["gpu"] = story.gpus
        now = self._server.now()
        revision = f"{story.revision:016x}" if story.revision else ""
        self.truth.held[uid] = Held(now, [(now, amounts)], PROFILES[story.node], revision=revision)
        return node

    async def _running(self, key: Key, uid: str, story: PodStory) -> bool:
        """From its binding to its end: the image is pulled, containers restart, it grows in place."""
        moments = [(story.pulling, self._ready)]
        restarts = 0 if story.ending == "failed" else story.restarts
        moments += [(story.length * (n + 1) // (restarts + 1), self._restart) for n in range(restarts)]
        if story.resized is not None:
            moments.append((story.resized, self._resize))
        length = 10**9 if story.ending == "stays" else story.length
        passed = 0
        for after, happen in sorted(moments, key=lambda moment: moment[0]):
            if after < length:
                if await self._pause(after - passed):
                    return True
                passed = max(passed, after)
                happen(key)
        return await self._pause(length - passed)

    def _ready(self, key: Key) -> None:
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": self._server.stamp()}
        running = {"name": "triton", "ready": True, "state": {"running": {"startedAt": self._server.stamp()}}}
        address = f"10.0.0.{next(self._addresses)}"
        self._status(key, phase="Running", podIP=address, containerStatuses=[running], condition=ready)
        self.tritons.begin(address, loaded=True)

    def _restart(self, key: Key) -> None:
        now = self._server.stamp()
        state = {"running": {"startedAt": now}}
        last = {"terminated": {"exitCode": 1, "finishedAt": now}}
        before = self._server.read(key)["status"]
        restarts = before.get("containerStatuses", [{}])[0].get("restartCount", 0) + 1
        status = {"name": "triton", "ready": True, "restartCount": restarts, "state": state, "lastState": last}
        self._status(key, phase="Running", containerStatuses=[status])
        if "podIP" in before:
            self.tritons.begin(before["podIP"])

    def _stops(self, key: Key) -> None:
        """Its server ends, if it has one."""
        self.tritons.end(self._server.read(key)["status"].get("podIP", ""))

    def _ends(self, key: Key, held: Held) -> None:
        """It holds nothing from now on."""
        held.end = self._server.now()
        self._stops(key)

    def _resize(self, key: Key) -> None:
        pod = self._server.read(key)
        cores = int(pod["spec"]["containers"][0]["resources"]["requests"]["cpu"]) * 2

        def grow(item: Object) -> None:
            item["spec"]["containers"][0]["resources"]["requests"]["cpu"] = str(cores)

        self._server.update(key, grow, ("resize", "spec.containers"))
        held = self.truth.held[pod["metadata"]["uid"]]
        held.sizes.append((self._server.now(), {**held.sizes[-1][1], "cpu": cores * 1000}))

    def _status(self, key: Key, condition: Object | None = None, **status: Any) -> None:
        def change(pod: Object) -> None:
            pod["status"].update(status)
            if condition is not None:
                others = [one for one in pod["status"]["conditions"] if one["type"] != condition["type"]]
                pod["status"]["conditions"] = [*others, condition]

        self._server.update(key, change)

    async def _finished(self, key: Key, held: Held, story: PodStory, node: str, phase: str = "Succeeded") -> None:
        self._ends(key, held)
        await self._report(key, story, phase)
        await self._over.wait()
        self._remove(key)

    async def _failed(self, key: Key, held: Held, story: PodStory, node: str) -> None:
        await self._finished(key, held, story, node, "Failed")

    async def _stopped(self, key: Key, held: Held, story: PodStory, node: str) -> None:
        self._server.delete(key, GRACE_SECONDS)
        await asyncio.sleep(STOPPING_SECONDS)
        self._ends(key, held)
        await self._report(key, story, "Succeeded")
        self._remove(key)

    async def _backing_off(self, key: Key, held: Held, story: PodStory, node: str) -> None:
        """Its container ended and waits to start once more when it is told to stop: it has its GPUs until then."""
        ended = {"terminated": {"exitCode": 1, "finishedAt": self._server.stamp()}}
        waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
        self._stops(key)
        restarts = self._server.read(key)["status"].get("containerStatuses", [{}])[0].get("restartCount", 0)
        status = {"name": "triton", "restartCount": restarts, "state": waiting, "lastState": ended}
        self._status(key, containerStatuses=[status])
        # Told within the same second, it would have ended as told.
        await asyncio.sleep(1)
        await self._pause(story.reported)
        self._server.delete(key, GRACE_SECONDS)
        await asyncio.sleep(STOPPING_SECONDS)
        self._ends(key, held)
        sandbox = {"type": "PodReadyToStartContainers", "status": "False", "lastTransitionTime": self._server.stamp()}
        self._status(key, phase="Failed", containerStatuses=[{"name": "triton", "state": ended}], condition=sandbox)
        self._remove(key)

    async def _report(self, key: Key, story: PodStory, phase: str) -> None:
        """The kubelet says that the pod's container ended now; it says so late."""
        code = 1 if phase == "Failed" else 0
        ended = {"terminated": {"exitCode": code, "finishedAt": self._server.stamp()}}
        if story.reported:
            await asyncio.sleep(story.reported)
        before = self._server.read(key)["status"].get("containerStatuses", [{}])[0]
        kept = {name: before[name] for name in ("restartCount", "lastState") if name in before}
        status = {"name": "triton", "state": ended, **kept}
        self._status(key, phase=phase, containerStatuses=[status])

    async def _evicted(self, key: Key, held: Held, story: PodStory, node: str) -> None:
        self._ends(key, held)
        evicted = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": self._server.stamp()}
        if story.reported:
            await asyncio.sleep(story.reported)
        self._status(key, phase="Failed", condition=evicted, reason="Evicted")
        await self._over.wait()
        self._remove(key)

    async def _forced(self, key: Key, held: Held, story: PodStory, node: str) -> None:
        self._ends(key, held)
        self._remove(key)

    async def _node_gone(self, key: Key, held: Held, story: PodStory, node: str) -> None:
        """The node stops; its pods are deleted, but nobody stops them; the Node goes, then they are collected."""
        self._server.delete(key, GRACE_SECONDS)
        self._ends(key, held)
        await asyncio.sleep(min(story.reported, 900))
        metadata = self._server.read(key)["metadata"]
        if PROFILE not in metadata["annotations"]:
            self.uncaptured.add(metadata["uid"])
        self._server.delete(Key("nodes", "", node))
        await asyncio.sleep(COLLECT_SECONDS)
        if key in self._server.objects:
            lost = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": self._server.stamp()}
            self._status(key, phase="Failed", condition=lost)
            self._remove(key)

    async def _node_silent(self, key: Key, held: Held, story: PodStory, node: str) -> None:
        """The node stops, but its Node stays, until a person deletes the pod by force."""
        self._server.delete(key, GRACE_SECONDS)
        self._ends(key, held)
        await asyncio.sleep(3600 + story.reported)
        self._remove(key)

    def _remove(self, key: Key) -> None:
        """Delete at once, if nobody has released it already."""
        if key in self._server.objects:
            self._server.delete(key)


ENDINGS: Final = {
    "finished": World._finished,
    "failed": World._failed,
    "evicted": World._evicted,
    "deleted": World._stopped,
    "stays": World._stopped,
    "backing off": World._backing_off,
    "forced": World._forced,
    "node gone": World._node_gone,
    "node silent": World._node_silent,
}
