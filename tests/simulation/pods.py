"""Pods: the scheduler, the kubelets, and whoever deletes, evicts or replaces them."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, Final

from tests.simulation.histories import PodStory
from tests.simulation.oracle import Held
from tests.simulation.server import Key, Object
from tests.simulation.stage import GIB, LABELS, METERING, NAMESPACE, Stage
from tests.simulation.tritons import Tritons

REVISION: Final = "modelmeter.dev/template-hash"
PROFILE: Final = "modelmeter.dev/price-profile"
GRACE_SECONDS: Final = 30
STOPPING_SECONDS: Final = 5
"""How long a pod runs on after it was told to stop."""
COLLECT_SECONDS: Final = 40
"""How long after its node is gone a pod is collected."""
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


class Pods:
    """Acts the stories of pods."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._server = stage.server
        self._truth = stage.truth
        self._addresses = itertools.count(1)
        self.tritons = Tritons()
        self.mounted: dict[str, list[str]] = {}
        """Claim UID to the UIDs of pods that mounted it."""
        self.uncaptured: set[str] = set()
        """Pods whose node was gone before anybody noted their price profile."""

    async def act(self, name: str, story: PodStory) -> None:
        """A pod from its creation on, and the one that follows under its name."""
        await self._stage.until(story.created)
        if story.created >= self._stage.history.length or self._stage.over.is_set():
            return
        await self._live(name, story)
        if story.replaced:
            while Key("pods", NAMESPACE, name) in self._server.objects:
                await asyncio.sleep(1)
            if not self._stage.over.is_set():
                follower = PodStory(0, 0, 600, "finished", 0, story.gpus, node=story.node, revision=story.revision)
                await self._live(name, follower)

    async def _live(self, name: str, story: PodStory) -> None:
        key = Key("pods", NAMESPACE, name)
        claim = Key("persistentvolumeclaims", NAMESPACE, f"claim-{story.claim}")
        mounts = story.claim is not None and self._stage.lives(claim)
        made = self._server.create("pods", self._manifest(name, story, claim.name if mounts else ""))
        uid = made["metadata"]["uid"]
        over = await self._stage.pause(story.length if story.scheduled is None else story.scheduled)
        if over or story.scheduled is None or (mounts and not self._stage.lives(claim)):
            self._server.delete(key)
            return
        node = self._schedule(key, uid, story)
        if mounts:
            self.mounted.setdefault(self._server.read(claim)["metadata"]["uid"], []).append(uid)
        over = await self._running(key, uid, story)
        ending = "deleted" if over and story.ending not in ("node gone", "node silent") else story.ending
        await ENDINGS[ending](self, key, self._truth.held[uid], story, node)

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
        self._truth.held[uid] = Held(now, [(now, amounts)], PROFILES[story.node], revision=revision)
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
                if await self._stage.pause(after - passed):
                    return True
                passed = max(passed, after)
                happen(key)
        return await self._stage.pause(length - passed)

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
        held = self._truth.held[pod["metadata"]["uid"]]
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
        await self._stage.over.wait()
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
        await self._stage.pause(story.reported)
        self._server.delete(key, GRACE_SECONDS)
        await asyncio.sleep(STOPPING_SECONDS)
        self._ends(key, held)
        sandbox = {
            "type": "PodReadyToStartContainers",
            "status": "False",
            "lastTransitionTime": self._server.stamp(),
        }
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
        await self._stage.over.wait()
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
    "finished": Pods._finished,
    "failed": Pods._failed,
    "evicted": Pods._evicted,
    "deleted": Pods._stopped,
    "stays": Pods._stopped,
    "backing off": Pods._backing_off,
    "forced": Pods._forced,
    "node gone": Pods._node_gone,
    "node silent": Pods._node_silent,
}
