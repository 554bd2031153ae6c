"""An account of the pods' GPU time from containerd's own records: its exit events, which no kubelet has touched."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.cluster.cluster import Cluster
from tests.e2e.pod_watcher import PodWatcher

SANDBOXES = "lib/containerd/io.containerd.grpc.v1.cri/sandboxes"
STOPPING = timedelta(seconds=5)
"""A container that ended so shortly before its sandbox ended with the pod, where nobody told the pod to end."""
NOTICED = timedelta(seconds=2)
"""How long after a sandbox's end the kubelet may say so: that it has ended is the kubelet's word, not containerd's."""


class ContainerWatcher(PodWatcher):
    """Pods by UID as the API server schedules them, their ends as containerd records them."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._directory = cluster.directory
        self._containers: dict[str, set[str]] = {}
        self._sandboxes: dict[str, set[str]] = {}
        self._disrupted: dict[str, datetime] = {}
        self._deleted: dict[str, datetime] = {}
        self._sandbox_ended: dict[str, datetime] = {}
        super().__init__(cluster, namespace)

    def gpu_seconds(self, until: datetime | None = None) -> int:
        """Sum of GPUs x (end - scheduled), the ends in whole seconds as Kubernetes writes them."""
        exits = self._exits()
        for uid, seen in self.pods.items():
            if seen.finished is not None or seen.gone:
                seen.finished = self._end(uid, exits)
        return super().gpu_seconds(until)

    def _note(self, kind: str, pod: dict[str, Any]) -> None:
        super()._note(kind, pod)
        uid, status = pod["metadata"]["uid"], pod["status"]
        found = self._containers.setdefault(uid, set())
        for entry in (*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ())):
            for state in (entry, *entry.get("state", {}).values(), *entry.get("lastState", {}).values()):
                found.add(state.get("containerID", "").removeprefix("containerd://"))
        if status.get("phase") in ("Succeeded", "Failed") and self.pods[uid].finished is None:
            self.pods[uid].finished = datetime.now(UTC)  # it has ended: containerd knows when
        if grace := pod["metadata"].get("deletionGracePeriodSeconds"):
            deleted = datetime.fromisoformat(pod["metadata"]["deletionTimestamp"]) - timedelta(seconds=grace)
            self._deleted.setdefault(uid, deleted)
        for condition in status.get("conditions", ()):
            changed = datetime.fromisoformat(condition["lastTransitionTime"])
            if condition["type"] == "DisruptionTarget":
                self._disrupted[uid] = changed
            if condition["type"] == "PodReadyToStartContainers" and condition["status"] == "False":
                self._sandbox_ended[uid] = changed
        for path in self._directory.glob(f"nodes/*/{SANDBOXES}/*/hostname"):
            with suppress(OSError):  # it comes and goes
                if path.read_text().strip() == pod["metadata"]["name"]:
                    self._sandboxes.setdefault(uid, set()).add(path.parent.name)

    def _end(self, uid: str, exits: dict[str, datetime]) -> datetime | None:
        """The last container's end if it ran until the pod was told to end, else its sandbox's."""
        sandbox = self._last(self._sandboxes.get(uid, ()), exits)
        if sandbox is None and uid in self._disrupted:
            return self._disrupted[uid]  # its node is gone: nobody recorded an end
        container = self._last(self._containers[uid], exits)
        if container is None or sandbox is None:
            return sandbox or container
        told = min((at[uid] for at in (self._deleted, self._disrupted) if uid in at), default=sandbox - STOPPING)
        if container >= told:
            return container
        said = self._sandbox_ended.get(uid, sandbox)
        return said if sandbox <= said <= sandbox + NOTICED else sandbox

    @staticmethod
    def _last(names: Iterable[str], exits: dict[str, datetime]) -> datetime | None:
        """When the last of these ended, in whole seconds as Kubernetes writes them."""
        last = max((exits[name] for name in names if name in exits), default=None)
        return last and last.replace(microsecond=0)

    def _exits(self) -> dict[str, datetime]:
        """When each container's first process ended."""
        found: dict[str, datetime] = {}
        for path in self._directory.glob("logs/*-events.log"):
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                if " /tasks/exit " in line:
                    event = json.loads(line.partition(" /tasks/exit ")[2])
                    if event["id"] == event["container_id"]:
                        at = event["exited_at"]
                        found[event["id"]] = datetime.fromtimestamp(at["seconds"], UTC) + timedelta(
                            microseconds=at.get("nanos", 0) // 1000
                        )
        return found
