"""What the demo shows, step by step; a step that is not seen to work raises DemoError."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Final

from tests.cluster.chart import CHECKOUT
from tests.cluster.cluster import Cluster
from tests.cluster.models import generate, serve
from tests.cluster.triton import Triton
from tests.cluster.user import MODELS, User

NAME: Final = "search-intent"
EXAMPLE: Final = CHECKOUT / "manifests" / "examples" / "2-search-intent.yaml"
QUESTIONS: Final = (
    ("a phone with a good camera", "phones"),
    ("a phone with a good camera", "books"),
    ("a novel by a famous author", "books"),
)


class DemoError(Exception):
    """A step did not do what it should."""


class WatchEndedError(Exception):
    """The user ended a watch that has no end: all that was to be shown was seen to work."""


def say(text: str) -> None:
    """One line of the show."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def table(user: User, *options: str) -> None:
    """Print what kubectl shows."""
    print(user.kubectl("get", "modeldeployments", *options), end="", flush=True)


def apply(user: User, triton: Triton, directory: Path) -> None:
    """Apply the example, and wait until two replicas answer with the real BERT."""
    say(f"$ kubectl apply -f {EXAMPLE.relative_to(CHECKOUT)}")
    print(user.kubectl("apply", "-f", str(EXAMPLE)), end="")
    user.wait("the loader's ConfigMap", lambda: user.get("configmap", f"{NAME}-model"))
    serve(user.cluster, triton, user.namespace, NAME, directory)
    user.wait_ready(NAME, "2/2")
    table(user)


def predict(user: User) -> None:
    """Ask the BERT over HTTP, at a pod's address; the right label must fit better than a wrong one."""
    address = user.list("pods", f"modelmeter.dev/model={NAME}")[0]["status"]["podIP"]
    url = f"http://{address}:8000/v2/models/{NAME}/generate"
    scores = []
    for text, label in QUESTIONS:
        say(f"POST {url} {json.dumps({'text': text, 'label': label})}")
        answer = generate(address, NAME, text, label)
        scores.append(answer["score"])
        shown = {key: answer[key] for key in ("score", "probability")}
        print(json.dumps(shown))
    if not scores[0] > scores[1]:
        raise DemoError(f"{QUESTIONS[0]} should fit better than {QUESTIONS[1]}: {scores}")


def scale(user: User) -> None:
    """Scale to three replicas; the status follows."""
    say(f"$ kubectl scale modeldeployment {NAME} --replicas=3")
    print(user.kubectl("scale", f"{MODELS}/{NAME}", "--replicas=3"), end="")
    user.wait_ready(NAME, "3/3")
    table(user, "-o", "wide")


def watch(user: User, seconds: int) -> None:
    """Show the cost as it grows; for ever where seconds is 0. It must have grown at the end."""
    before = _cost(user)
    say("$ kubectl get modeldeployments --watch" + ("   (Ctrl-C ends the demo)" if not seconds else ""))
    command = [str(user.cluster.binaries / "kubectl"), f"--kubeconfig={user.cluster.kubeconfig}"]
    process = subprocess.Popen([*command, f"--namespace={user.namespace}", "get", "modeldeployments", "--watch"])
    try:
        if seconds:
            time.sleep(seconds)
        else:
            process.wait()
    except KeyboardInterrupt:
        if seconds:
            raise
        raise WatchEndedError from None
    finally:
        process.terminate()
        process.wait()
    after = _cost(user)
    if not Decimal(after["total"]) > Decimal(before["total"]):
        raise DemoError(f"the cost did not grow: {before['total']} at {before['asOf']}, {after['total']} later")
    print(f"total {before['total']} {before['currency']} at {before['asOf']}, {after['total']} at {after['asOf']}")


def delete(user: User) -> None:
    """Delete the model; nothing of it is left but its statement."""
    say(f"$ kubectl delete modeldeployment {NAME}")
    print(user.kubectl("delete", MODELS, NAME), end="")
    left = [kind for kind in ("pods", "deployments") if user.list(kind, f"modelmeter.dev/model={NAME}")]
    if left:
        raise DemoError(f"{', '.join(left)} are left")
    say("$ kubectl get coststatements --all-namespaces")
    print(user.kubectl("get", "coststatements", "--all-namespaces"), end="", flush=True)


def look_further(cluster: Cluster) -> None:
    """How to look around while the demo runs."""
    say("Look further, in another terminal:")
    print(f"  export KUBECONFIG={cluster.kubeconfig}\n  export PATH={cluster.binaries}:$PATH", flush=True)


def _cost(user: User) -> dict[str, str]:
    return dict(user.status(NAME)["cost"])
