"""Runs for a pod that KWOK plays what a kubelet would have run, and reports its end with its termination message."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.cluster.user import User

RUN = "tests.modelmeter.dev/run-seconds=3600"


def holds(user: User, selector: str) -> str:
    """Let a pod that is there, or comes, run on until somebody ends it; its name.

    By itself that of a Job ends 2 s after its start: so it is found and told in one request.
    """
    annotate = ("annotate", "pods", f"--selector={selector}", "--overwrite", RUN, "--output=name")
    pod = str(user.wait("a pod", lambda: user.kubectl(*annotate))).split()[0].removeprefix("pod/")
    user.wait(f"{pod} to run", lambda: user.get("pod", pod)["status"]["phase"] == "Running")
    return pod


def runs(user: User, pod: str, log: Path, **instead: str) -> dict[str, Any]:
    """Run the only container's command on this machine, some of its options replaced; what it left for the kubelet."""
    arguments = user.get("pod", pod)["spec"]["containers"][0]["args"]
    changed = {
        "--termination-log": str(log),
        **{f"--{name.replace('_', '-')}": value for name, value in instead.items()},
    }
    kept = [argument for argument in arguments if argument.partition("=")[0] not in changed]
    command, _, *rest = kept
    # The cluster has no names here: every address of this machine answers as the Service would.
    whole = [command, "127.0.0.1:8001", *rest, *(f"{name}={value}" for name, value in changed.items())]
    finished = subprocess.run([sys.executable, "-m", "modelmeter", *whole], capture_output=True, text=True, check=False)
    message = log.read_text() if log.exists() else ""
    assert message, finished.stderr
    ends(user, pod, message, finished.returncode)
    return dict(json.loads(message))


def ends(user: User, pod: str, message: str, code: int = 0) -> None:
    """End the pod's only container with this termination message and exit code."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    status = user.get("pod", pod)["status"]
    (container,) = status["containerStatuses"]
    ended = {"exitCode": code, "reason": "Completed", "message": message, "finishedAt": now}
    ended["startedAt"] = container["state"]["running"]["startedAt"]
    patch = {
        "phase": "Failed" if code else "Succeeded",
        "containerStatuses": [{**container, "ready": False, "started": False, "state": {"terminated": ended}}],
    }
    user.kubectl("patch", "pod", pod, "--subresource=status", "--type=merge", "-p", json.dumps({"status": patch}))
