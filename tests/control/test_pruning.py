"""Templates of ResourceClaims that only an older spec asks for: they go when nobody can need them any more."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from modelmeter.api.names import TEMPLATE_HASH
from modelmeter.control.pruning import prune_templates
from modelmeter.control.view import View
from modelmeter.meter.objects import Bare, Deployment, Pod
from modelmeter.provision.device_claim import KIND, template_name
from modelmeter.provision.labels import child_labels, labels
from modelmeter.provision.workload import template_hash
from tests.provision.builders import DEVICES, model

MODEL = model(DEVICES)
OLD = "intent-gpu-00000000"


class Deletes:
    """An API server that notes what is deleted."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    async def delete(self, path: str, uid: str, propagation: str = "Background") -> None:
        """The object of a UID."""
        self.paths.append(f"{path} {uid}")


def metadata(name: str, **more: Any) -> dict[str, Any]:
    """Of a child of the model."""
    return {"name": name, "uid": f"uid-of-{name}", "namespace": "search", "resourceVersion": "1", **more}


def pruned(
    *pods: dict[str, Any],
    templates: tuple[str, ...] = (OLD, template_name(MODEL)),
    made_of: str = template_hash(MODEL),
) -> tuple[bool, list[str]]:
    """Whether some are left, and what was deleted; the Deployment is of some spec, as these pods are."""
    server = Deletes()
    view = View(server, lambda *_: None, lambda *_: None)  # type: ignore[arg-type]
    for name in templates:
        view.children[KIND].replace(None, msgspec.convert({"metadata": metadata(name, labels=labels(MODEL))}, Bare))
    view.children["Deployment"].replace(None, msgspec.convert({"metadata": pod("intent", made_of)}, Deployment))
    for item in pods:
        view.pods.replace(None, msgspec.convert({"metadata": item}, Pod))
    left = asyncio.run(prune_templates(server, view, MODEL))  # type: ignore[arg-type]
    return left, server.paths


def pod(name: str, made_of: str) -> dict[str, Any]:
    """A pod, or the Deployment, of some spec."""
    return metadata(name, labels=labels(MODEL), annotations={TEMPLATE_HASH: made_of})


CURRENT = pod("new", template_hash(MODEL))
GONE = f"/apis/resource.k8s.io/v1/namespaces/search/resourceclaimtemplates/{OLD} uid-of-{OLD}"


def test_the_spec_s_own_template_stays() -> None:
    assert pruned(CURRENT, templates=(template_name(MODEL),)) == (False, [])


def test_an_older_one_stays_while_a_pod_of_an_older_spec_does() -> None:
    assert pruned(CURRENT, pod("old", "older")) == (True, [])


def test_an_older_one_stays_while_the_deployment_would_make_such_a_pod() -> None:
    assert pruned(made_of="older") == (True, [])


@pytest.mark.parametrize("pods", [(), (CURRENT,)], ids=["scaled to zero", "rolled out"])
def test_an_older_one_goes_after_the_last_such_pod(pods: tuple[dict[str, Any], ...]) -> None:
    assert pruned(*pods) == (False, [GONE])


def test_a_pod_that_somebody_labelled_needs_no_template() -> None:
    by_hand = {key: value for key, value in labels(MODEL).items() if key.startswith("modelmeter.dev/")}
    assert not child_labels(MODEL.uid).items() <= by_hand.items()
    assert pruned(metadata("train", labels=by_hand)) == (False, [GONE])
