"""The storage of the harness: a process that gives claims their volumes, as a CSI driver's provisioner does.

StorageClass `standard` (the default) binds at once and can be expanded; claims of `never` stay Pending.
"""

from __future__ import annotations

import argparse
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Final

from tests.cluster.api import MERGE, Api, ApiError
from tests.cluster.layout import Layout
from tests.cluster.storage import CLASSES, STANDARD, Object, storage_classes, volume

VOLUMES: Final = "/api/v1/persistentvolumes"
CLAIMS: Final = "/api/v1/persistentvolumeclaims"
WORKERS: Final = 4
RETRY_SECONDS: Final = 0.5


Job = Callable[[Api], None]


def job_for_claim(claim: Object) -> Job | None:
    """Tell what a claim needs: a volume, a larger volume, or nothing."""
    meta, spec, status = claim["metadata"], claim["spec"], claim.get("status", {})
    if spec.get("storageClassName") != STANDARD or "deletionTimestamp" in meta:
        return None
    if status.get("phase", "Pending") == "Pending" and not spec.get("volumeName"):
        return lambda api: api.create(VOLUMES, volume(claim))
    size = spec["resources"]["requests"]["storage"]
    if status.get("phase") == "Bound" and status.get("capacity", {}).get("storage") != size:
        return lambda api: _expand(api, claim, size)
    return None


def job_for_volume(item: Object) -> Job | None:
    """Tell whether a volume's claim is gone, so that it must go too."""
    released = item.get("status", {}).get("phase") in ("Released", "Failed")
    if not released or item["spec"].get("storageClassName") != STANDARD or "deletionTimestamp" in item["metadata"]:
        return None
    return lambda api: api.delete(f"{VOLUMES}/{item['metadata']['name']}")


def _expand(api: Api, claim: Object, size: str) -> None:
    meta = claim["metadata"]
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
    for _ in range(WORKERS):
        threading.Thread(target=_work, args=(layout, jobs), daemon=True).start()
    threading.Thread(target=_watch, args=(layout, VOLUMES, job_for_volume, jobs), daemon=True).start()
    _watch(layout, CLAIMS, job_for_claim, jobs)


if __name__ == "__main__":
    main()
