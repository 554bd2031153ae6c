"""An account of the pods' GPU time that shares nothing with the product: plain JSON, its own watch, its own sum."""

from __future__ import annotations

import json
import subprocess
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.cluster.cluster import Cluster

GPU = "nvidia.com/gpu"
REVISION = "modelmeter.dev/template-hash"


@dataclass
class Seen:
    """What a pod's own timestamps say."""

    name: str
    gpus: int
    revision: str
    scheduled: datetime | None = None
    finished: datetime | None = None
    deleting: bool = False
    gone: bool = False

    @property
    def holds(self) -> bool:
        """Whether it has its GPUs now."""
        return self.scheduled is not None and self.finished is None and not self.gone


class PodWatcher:
    """Records the pods of a namespace by UID until it is closed."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.pods: dict[str, Seen] = {}
        self.most = 0
        """Most pods that held GPUs at once."""
        self.most_to_stay = 0
        """The same without those that are being deleted."""
        command: list[str | Path] = [cluster.binaries / "kubectl", f"--kubeconfig={cluster.kubeconfig}"]
        command += ["get", "pods", f"--namespace={namespace}", "--watch", "--output-watch-events", "-o", "json"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._process.terminate()
        self._process.wait()

    def gpu_seconds(self, until: datetime | None = None) -> int:
        """Sum of GPUs x (end - scheduled) of all pods, up to a moment; a running pod needs that moment."""
        return sum(self.by_revision(until).values())

    def by_revision(self, until: datetime | None = None) -> dict[str, int]:
        """The same, of each revision of which a pod had a node by then."""
        total: dict[str, int] = {}
        for seen in self.pods.values():
            if seen.scheduled is None or (until is not None and seen.scheduled >= until):
                continue
            end = min((moment for moment in (seen.finished, until) if moment is not None), default=None)
            assert end is not None, f"{seen.name} has not ended"
            seconds = seen.gpus * round((end - seen.scheduled).total_seconds())
            total[seen.revision] = total.get(seen.revision, 0) + seconds
        return total

    def _read(self) -> None:
        decoder, text = json.JSONDecoder(), ""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            text += line
            try:
                event, _ = decoder.raw_decode(text)
            except ValueError:
                continue
            text = ""
            self._note(event["type"], event["object"])

    def _note(self, kind: str, pod: dict[str, Any]) -> None:
        gpus = sum(int(c["resources"].get("requests", {}).get(GPU, 0)) for c in pod["spec"]["containers"])
        revision = pod["metadata"].get("annotations", {}).get(REVISION, "")
        seen = self.pods.setdefault(pod["metadata"]["uid"], Seen(pod["metadata"]["name"], gpus, revision))
        for condition in pod["status"].get("conditions", []):
            if condition["type"] == "PodScheduled" and condition["status"] == "True":
                seen.scheduled = datetime.fromisoformat(condition["lastTransitionTime"])
        ends = [
            datetime.fromisoformat(status["state"]["terminated"]["finishedAt"])
            for status in pod["status"].get("containerStatuses", [])
            if status["state"].get("terminated", {}).get("finishedAt")
        ]
        if pod["status"].get("phase") in ("Succeeded", "Failed"):
            # No container of it ran: then it is its conditions that say when it ended.
            seen.finished = max(ends) if ends else _changed(pod, "Ready")
        seen.deleting = "deletionTimestamp" in pod["metadata"]
        seen.gone = kind == "DELETED"
        holding = [seen for seen in list(self.pods.values()) if seen.holds]
        self.most = max(self.most, len(holding))
        self.most_to_stay = max(self.most_to_stay, sum(not seen.deleting for seen in holding))


def _changed(pod: dict[str, Any], kind: str) -> datetime | None:
    """When a condition of a pod last changed."""
    conditions = (entry for entry in pod["status"].get("conditions", []) if entry["type"] == kind)
    return next((datetime.fromisoformat(entry["lastTransitionTime"]) for entry in conditions), None)
