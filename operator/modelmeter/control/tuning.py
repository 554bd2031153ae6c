"""Tries batching settings of a model by copies of it, one after another; each is deleted, whatever becomes of it."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from modelmeter.api.model_deployment_status import ModelDeploymentStatus
from modelmeter.api.names import API_VERSION, LONGEST_NAME
from modelmeter.cluster.client import Client
from modelmeter.cluster.paths import path
from modelmeter.cluster.present import present
from modelmeter.errors import ClusterError, Conflict, SpecError
from modelmeter.provision.checks import BENCHMARKED, READY
from modelmeter.report.tuning import Setting, Trial

KIND: Final = "ModelDeployment"
POLL_SECONDS: Final = 2.0
LEFT_OUT: Final = (
    ("serving", "autoscaling"),
    ("serving", "disruptionBudget"),
    ("pricing", "labour"),
    ("pricing", "operations"),
)
"""What a copy has not: it is one replica for some minutes, and nobody's work."""
GONE_SECONDS: Final = 180.0
"""How long the end of a copy is waited for before the next is made, which may need its GPU."""


async def tune(
    client: Client,
    namespace: str,
    name: str,
    settings: Sequence[Setting],
    benchmark: Mapping[str, Any],
    patience_seconds: float,
    say: Callable[[str], None],
) -> list[Trial]:
    """Try each setting; `benchmark` is what spec.benchmark says beside what the model's own does.

    ClusterError where the model cannot be read or a copy cannot be made, SpecError where there is nothing to measure.
    """
    body = json.loads(await client.get(path(KIND, namespace, name)))
    trials = []
    for number, setting in enumerate(settings, start=1):
        manifest = copy_of(body, number, setting, benchmark)
        say(f"{manifest['metadata']['name']}: {number} of {len(settings)}, {setting}")
        trials.append(await _try(client, manifest, setting, patience_seconds))
        found = trials[-1].performance
        say(f"  {found.inferences_per_second} a second" if found else f"  {trials[-1].note}")
    return trials


def own_setting(body: Mapping[str, Any]) -> Setting:
    """The setting that a model has now; the API server has filled in what was not given."""
    batching = body["spec"]["serving"]["batching"]
    return Setting(batching["maxBatchSize"], batching["maxQueueDelayMicroseconds"])


def copy_of(body: Mapping[str, Any], number: int, setting: Setting, benchmark: Mapping[str, Any]) -> dict[str, Any]:
    """A ModelDeployment like another, with one replica, another setting and nobody's labour; SpecError if none can be.

    What it has of its own: claim, pods, address and ledger.
    """
    name = f"{body['metadata']['name']}-tune-{number}"
    if len(name) > LONGEST_NAME:
        raise SpecError("metadata.name", f"{name} would have more than {LONGEST_NAME} characters; rename the model")
    spec = copy.deepcopy(body["spec"])
    spec["serving"] |= {
        "replicas": 1,
        "batching": {
            **spec["serving"].get("batching", {}),
            "maxBatchSize": setting.max_batch_size,
            "maxQueueDelayMicroseconds": setting.max_queue_delay_microseconds,
        },
    }
    spec["benchmark"] = {**spec.get("benchmark", {}), **benchmark}
    if "p95Milliseconds" not in spec["benchmark"]:
        raise SpecError("spec.benchmark", "is not given, so give the limit: --p95-milliseconds N")
    for section, field in LEFT_OUT:
        spec.get(section, {}).pop(field, None)
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": body["metadata"]["namespace"]},
        "spec": spec,
    }


async def _try(client: Client, manifest: dict[str, Any], setting: Setting, patience_seconds: float) -> Trial:
    metadata = manifest["metadata"]
    where = path(KIND, metadata["namespace"], metadata["name"])
    try:
        made = json.loads(await client.create(path(KIND, metadata["namespace"]), manifest))
    except Conflict:
        raise ClusterError(
            409, "Exists", f"{metadata['name']} exists; if it was left behind: kubectl delete mdep {metadata['name']}"
        ) from None
    uid = made["metadata"]["uid"]
    try:
        trial = await _measured(client, where, Trial(setting, metadata["name"]), patience_seconds)
    finally:
        await client.delete(where, uid)
    await _gone(client, where, uid)
    return trial


async def _measured(client: Client, where: str, trial: Trial, patience_seconds: float) -> Trial:
    """Wait until it is measured, or cannot be."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_seconds
    while True:
        try:
            status = _status(json.loads(await client.get(where)))
        except ClusterError as failure:
            # What was measured so far has been paid for.
            if not failure.passing or loop.time() > deadline:
                raise
            await asyncio.sleep(POLL_SECONDS)
            continue
        conditions = {entry.type: entry for entry in status.conditions}
        measured = conditions.get(BENCHMARKED)
        trial = trial._replace(cost=status.cost.total if status.cost else None)
        if measured and measured.status == "True" and status.performance:
            return trial._replace(performance=status.performance)
        if measured and measured.status == "False":
            return trial._replace(note=measured.message)
        if loop.time() > deadline:
            ready = conditions.get(READY)
            why = f"{ready.reason}: {ready.message}" if ready else "no operator has seen it"
            return trial._replace(note=f"not measured within {patience_seconds:.0f} s; {why}")
        await asyncio.sleep(POLL_SECONDS)


def _status(body: Mapping[str, Any]) -> ModelDeploymentStatus:
    try:
        return ModelDeploymentStatus.model_validate(body.get("status") or {})
    except ValidationError:
        raise SpecError("status", "was written by another version of modelmeter; take its own command") from None


async def _gone(client: Client, where: str, uid: str) -> None:
    """Wait until a copy is gone; it holds a GPU until then. One that stays is no reason not to go on."""
    deadline = asyncio.get_running_loop().time() + GONE_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        there = await present(client, where)
        if there is None or there.uid != uid:
            return
        await asyncio.sleep(POLL_SECONDS)
