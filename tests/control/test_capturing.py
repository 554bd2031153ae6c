"""Which pods are noted, and what the note says."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from modelmeter.api.cost_statement import ModelRef
from modelmeter.control.accounts import Account, Accounts
from modelmeter.control.belongings import Belongings
from modelmeter.control.capturing import Capturing
from modelmeter.control.profiling import Profiling
from modelmeter.control.view import View
from modelmeter.meter.objects import Node, Pod
from modelmeter.meter.page import first_page
from tests.control.test_sharing import Lists, now
from tests.meter.builders import at
from tests.meter.objects import node, pod


class Patched(Lists):
    """An API server that keeps what is patched."""

    def __init__(self, *objects: Node | Pod) -> None:
        super().__init__(*objects)
        self.notes: dict[str, dict[str, str]] = {}

    async def merge_patch(self, path: str, body: dict[str, Any]) -> bytes:
        """Keep the annotations."""
        self.notes[path.rpartition("/")[2]] = body["metadata"]["annotations"]
        return json.dumps({"metadata": {**body["metadata"], "name": "p", "resourceVersion": "7"}}).encode()


def capture(*pods: Pod, **page: Any) -> dict[str, dict[str, str]]:
    """What is noted on the pods of model a."""
    server = Patched(node("n", gpu_product="NVIDIA-L4"), *pods)
    view = View(server, lambda *_: None, lambda *_: None)  # type: ignore[arg-type]
    accounts, ref = Accounts(), ModelRef(namespace="team", name="a", uid="a")
    accounts.add(Account(ref, at(0), page=replace(first_page(ref, at(0)), **page)))

    async def once() -> None:
        await view.list()
        profiling = Profiling(view, now)
        capturing = Capturing(server, view, accounts, Belongings(view, accounts), profiling)  # type: ignore[arg-type]
        await capturing._capture("a")

    asyncio.run(once())
    return server.notes


def held(uid: str, *finalizers: str) -> Pod:
    """A pod of the model that asks for a GPU."""
    made = pod(uid).of("a").on("n", at(0)).asks(gpu="1").build()
    made.metadata.finalizers.extend(finalizers)
    return made


OURS = "modelmeter.dev/metering"


def test_a_pod_that_carries_our_finalizer_is_noted_with_its_uid() -> None:
    noted = capture(held("p", OURS))["p"]
    assert json.loads(noted["modelmeter.dev/price-profile"]) == {
        "uid": "p",
        "node": "n",
        "gpu_product": "NVIDIA-L4",
        "capacity_type": "on-demand",
    }
    assert json.loads(noted["modelmeter.dev/held-at-first"]) == {"uid": "p", "amounts": {"gpu": 1, "replica": 1}}


@pytest.mark.parametrize(
    ("left_alone", "page"),
    [
        pytest.param(held("p"), {}, id="it was never ours to hold"),
        pytest.param(held("p", OURS), {"settled": {"p": None}}, id="it was posted without a note"),
    ],
)
def test_what_is_not_noted(left_alone: Pod, page: dict[str, Any]) -> None:
    assert set(capture(left_alone, held("q", OURS), **page)) == {"q"}
