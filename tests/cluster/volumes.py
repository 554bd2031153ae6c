"""The storage of the harness: a process that gives claims their volumes, as a CSI driver's provisioner does.

StorageClass `standard` (the default) binds at once and can be expanded; claims of `never` stay Pending. Where the
cluster has real nodes a claim gets a file system of its own size, on which a pod can write until it is full.
"""

from __future__ import annotations

import argparse
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Final

from tests.cluster.api import MERGE, Api, ApiError
from tests.cluster.disks import Disks
from tests.cluster.layout import Layout
from tests.cluster.storage import CLASSES, STANDARD, Object, storage_classes, volume

VOLUMES: Final = "/api/v1/persistentvolumes"
CLAIMS: Final = "/api/v1/persistentvolumeclaims"
WORKERS: Final = 4
RETRY_SECONDS: Final = 0.5


Job = Callable[[Api], None]


def job_for_claim(claim: Object, disks: Disks) -> Job | None:
    """Tell what a claim needs: a volume, a larger volume, or nothing."""
    meta, spec, status = claim["metadata"], claim["spec"], claim.get("status", {})
    if spec.get("storageClassName") != STANDARD or "deletionTimestamp" in meta:
        return None
    if status.get("phase", "Pending") == "Pending" and not spec.get("volumeName"):
        return lambda api: _provide(api, claim, disks)
    size = spec["resources"]["requests"]["storage"]
    if status.get("phase") == "Bound" and status.get("capacity", {}).get("storage") != size:
        return lambda api: _expand(api, claim, size, disks)
    return None


def job_for_volume(item: Object, disks: Disks) -> Job | None:
    """Tell whether a volume's claim is gone, so that it must go too."""
    released = item.get("status", {}).get("phase") in ("Released", "Failed")
    if not released or item["spec"].get("storageClassName") != STANDARD or "deletionTimestamp" in item["metadata"]:
        return None
    return lambda api: _remove(api, item["metadata"]["name"], disks)


def _provide(api: Api, claim: Object, disks: Disks) -> None:
    path = disks.make(f"pvc-{claim['metadata']['uid']}", claim["spec"]["resources"]["requests"]["storage"])
    api.create(VOLUMES, volume(claim, path))


def _remove(api: Api, name: str, disks: Disks) -> None:
    disks.remove(name)
    api.delete(f"{VOLUMES}/{name}")


def _expand(api: Api, claim: Object, size: str, disks: Disks) -> None:
    meta = claim["metadata"]
    disks.make(claim["spec"]["volumeName"], size)
    capacity = {"capacity": {"storage": size}}
    api.call("PATCH", f"{VOLUMES}/{claim['spec']['volumeName']}", {"spec": capacity}, MERGE)
    path = f"/api/v1/namespaces/{meta['namespace']}/persistentvolumeclaims/{meta['name']}/status"
    api.call("PATCH", path, {"status": capacity}, MERGE)


def _watch(layout: Layout, path: str, rule: Callable[[Object], Job | None], jobs: queue.SimpleQueue[Job]) -> None:
    """Put a job on the queue for each object that needs one, for ever."""
    while True:
        try:
            for event in Api(layout).watch(path):
                if event["type"] == "ERROR":
                    break
                if event["type"] != "DELETED" and (job := rule(event["object"])):
                    jobs.put(job)
        except (OSError, HTTPException, ApiError, ValueError) as error:
            print(f"{path}: {error}", file=sys.stderr, flush=True)
        time.sleep(RETRY_SECONDS)


def _work(layout: Layout, jobs: queue.SimpleQueue[Job]) -> None:
    """Do jobs, for ever. One that the API server cannot take now comes again; one that it refuses does not."""
    api = Api(layout)
    while True:
        job = jobs.get()
        try:
            job(api)
        except ApiError as error:
            if error.status not in (404, 409):
                print(error, file=sys.stderr, flush=True)
            if error.status in (429, 500, 503, 504):
                time.sleep(RETRY_SECONDS)
                jobs.put(job)
        except OSError as error:
            print(error, file=sys.stderr, flush=True)
            time.sleep(RETRY_SECONDS)
            jobs.put(job)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.volumes", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="the cluster's directory")
    layout = Layout.read(parser.parse_args().dir)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for item in storage_classes():
        Api(layout).create(CLASSES, item)
    disks = Disks(layout.volumes) if layout.machines else Disks(None)
    for _ in range(WORKERS):
        threading.Thread(target=_work, args=(layout, jobs), daemon=True).start()
    freeing = partial(job_for_volume, disks=disks)
    threading.Thread(target=_watch, args=(layout, VOLUMES, freeing, jobs), daemon=True).start()
    _watch(layout, CLAIMS, partial(job_for_claim, disks=disks), jobs)


if __name__ == "__main__":
    main()
