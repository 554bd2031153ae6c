"""Which events a change of the status makes."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import msgspec

from modelmeter.api.cost_statement import ModelRef
from modelmeter.api.model_deployment_status import ModelDeploymentStatus
from modelmeter.control.accounts import Account, Accounts
from modelmeter.control.belongings import Belongings
from modelmeter.control.telling import Telling
from modelmeter.control.view import View
from modelmeter.meter.objects import Pod
from modelmeter.provision.observed import Observed
from modelmeter.provision.readiness import conditions
from modelmeter.provision.workload import template_hash
from tests.control.test_sharing import Lists
from tests.provision.builders import NOW, model, pod, seen

STARTING = seen(pods=(pod(ready=False, loader_exit_code=None, loader_message="", loader_running=True),))
FAILED = seen(pods=(pod(ready=False, loader_exit_code=1, loader_message='{"error": "HTTP 404", "remedy": "look"}'),))
WELL = seen()
NONE = seen(pods=())
REPORT = {"files": 3, "bytes": 2 << 30, "sha256": "ab", "reused": False, "seconds": 192}


class Writer:
    """An API server that takes events."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    async def create(self, path: str, body: dict[str, Any]) -> None:
        """Keep what is written."""
        self.events.append(body)


class Teller:
    """An operator's life: what it tells of the statuses that it sees, one after the other."""

    def __init__(self, before: ModelDeploymentStatus | None = None, **report: Any) -> None:
        self.before = before
        self.writer = Writer()
        self.now = NOW
        accounts = Accounts()
        self.account = Account(ModelRef(namespace="team", name="intent", uid="u"), NOW, model=model(None))
        accounts.add(self.account)
        view = View(Lists(_loaded(self.account, REPORT | report)), lambda *_: None, lambda *_: None)  # type: ignore[arg-type]
        asyncio.run(view.list())
        self._telling = Telling(self.writer, Belongings(view, accounts), lambda: self.now)  # type: ignore[arg-type]

    def see(self, observed: Observed, generation: int = 1) -> list[tuple[str, str]]:
        """The events of a change to this, as (type, reason)."""
        after = status(observed, generation)
        told = len(self.writer.events)
        asyncio.run(self._telling.tell(self.account, self.before, after))
        self.before = after
        return [(event["type"], event["reason"]) for event in self.writer.events[told:]]


def status(observed: Observed, generation: int = 1) -> ModelDeploymentStatus:
    """What is written of it."""
    return ModelDeploymentStatus(observed_generation=generation, conditions=list(conditions(observed, (), NOW)))


def _loaded(account: Account, report: dict[str, Any]) -> Pod:
    assert account.model is not None
    labels = {
        "app.kubernetes.io/managed-by": "modelmeter",
        "modelmeter.dev/model": "intent",
        "modelmeter.dev/model-uid": "u",
    }
    metadata = {"name": "intent-1", "uid": "p", "namespace": "team", "labels": labels}
    metadata["annotations"] = {"modelmeter.dev/template-hash": template_hash(account.model)}
    state = {"terminated": {"exitCode": 0, "message": json.dumps(report)}}
    return msgspec.convert(
        {"metadata": metadata, "status": {"initContainerStatuses": [{"name": "loader", "state": state}]}}, Pod
    )


def test_a_load_is_told_when_it_begins_and_what_it_came_to() -> None:
    teller = Teller()
    assert teller.see(NONE) == []
    assert teller.see(STARTING) == [("Normal", "ModelLoading")]
    assert teller.see(STARTING) == []
    assert teller.see(WELL) == [("Normal", "Ready"), ("Normal", "Loaded")]
    assert teller.see(WELL) == []
    assert teller.writer.events[-1]["message"] == "intent-1: loaded 2.0 GiB in 3 min 12 s, sha256 ab"


def test_a_load_that_fails_is_told_once_and_so_is_the_one_that_follows() -> None:
    teller = Teller()
    teller.see(STARTING)
    assert teller.see(FAILED) == [("Warning", "ModelLoadFailed")]
    assert teller.see(FAILED) == []
    assert ("Normal", "Loaded") in teller.see(WELL)


def test_a_restart_of_the_operator_repeats_nothing() -> None:
    for observed in (STARTING, FAILED, WELL):
        assert Teller(status(observed)).see(observed) == []
    assert ("Normal", "Loaded") in Teller(status(STARTING)).see(WELL)


def test_of_a_model_whose_status_was_lost_no_load_is_told() -> None:
    assert Teller().see(WELL) == [("Normal", "Ready")]


def test_what_comes_and_goes_is_told_every_ten_minutes_unless_the_spec_is_another() -> None:
    teller = Teller()
    teller.see(NONE)
    assert ("Normal", "ModelLoading") in teller.see(STARTING)
    teller.see(NONE)
    assert teller.see(STARTING) == []
    teller.see(NONE)
    assert ("Normal", "ModelLoading") in teller.see(STARTING, generation=2)
    teller.see(NONE, generation=2)
    teller.now += timedelta(minutes=10)
    assert ("Normal", "ModelLoading") in teller.see(STARTING, generation=2)


def test_what_was_on_the_volume_is_not_told_as_loaded() -> None:
    teller = Teller(status(NONE), reused=True)
    teller.see(WELL)
    assert teller.writer.events[-1]["message"] == "intent-1: its volume holds the model already (2.0 GiB)"


def test_a_loader_that_said_nothing_of_use_is_no_obstacle() -> None:
    teller = Teller(status(NONE), bytes="many")
    teller.see(WELL)
    assert teller.writer.events[-1]["message"] == "the model is fetched and its repository written"
