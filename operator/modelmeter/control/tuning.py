"""Tries batching settings of a model by copies of it, one after another; each is deleted, whatever becomes of it."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from modelmeter.api.model_deployment_status import Condition, ModelDeploymentStatus
from modelmeter.api.names import API_VERSION, LABEL_TUNE_OF, LABEL_TUNE_RUN, LONGEST_NAME
from modelmeter.cluster.client import Client
from modelmeter.control.copies import KIND, copied, gone, none_is_left
from modelmeter.errors import ClusterError, SpecError
from modelmeter.provision.checks import BENCHMARKED, PRICED, READY
from modelmeter.report.tuning import Setting, Trial

POLL_SECONDS: Final = 2.0
PRICE_SECONDS: Final = 75.0
"""How long the cost of what was measured is waited for: a status is at most a minute old."""
LEFT_OUT: Final = (
    ("serving", "autoscaling"),
    ("serving", "disruptionBudget"),
    ("pricing", "labour"),
    ("pricing", "operations"),
)
"""What a copy has not: it is one replica for some minutes, and nobody's work."""


class Plan(NamedTuple):
    """What to try; `benchmark` is what spec.benchmark says beside what the model's own does."""

    settings: Sequence[Setting]
    benchmark: Mapping[str, Any]
    patience_seconds: float
    """For each setting."""
    run: str
    """Unlike that of any other run."""


async def tune(
    client: Client, body: Mapping[str, Any], plan: Plan, say: Callable[[str], None], tried: Callable[[Trial], None]
) -> None:
    """Try each setting on copies of the model that `body` is.

    `tried` is told of each as soon as it is done: what was measured has been paid for.
    ClusterError where a copy cannot be made or deleted; SpecError where there is nothing to measure.
    """
    await none_is_left(client, body["metadata"]["namespace"], body["metadata"]["name"])
    price_seconds = PRICE_SECONDS
    for number, setting in enumerate(plan.settings, start=1):
        manifest = copy_of(body, number, setting, plan)
        name = manifest["metadata"]["name"]
        say(f"{name}: {number} of {len(plan.settings)}, {setting}")
        async with copied(client, manifest) as where:
            trial = await _measured(client, where, Trial(setting, name), plan.patience_seconds, price_seconds)
            tried(trial)
        found = trial.performance
        if found and found.cost_per1000_at_slo is None:
            # All are compared by their rates now: the others' prices do not matter.
            price_seconds = 0
        say(f"  {found.inferences_per_second} a second" if found else f"  {trial.note}")
        if not await gone(client, where, plan.run):
            say(f"  {name} is being deleted, but still there, and costs; see kubectl describe modeldeployment {name}")


def own_setting(body: Mapping[str, Any]) -> Setting:
    """The setting that a model has now; the API server has filled in what was not given."""
    batching = body["spec"]["serving"]["batching"]
    return Setting(batching["maxBatchSize"], batching["maxQueueDelayMicroseconds"])


def copy_of(body: Mapping[str, Any], number: int, setting: Setting, plan: Plan) -> dict[str, Any]:
    """A ModelDeployment like another, with one replica, another setting and nobody's labour; SpecError if none can be.

    What it has of its own: claim, pods, address and ledger, and labels that say whose copy it is.
    """
    of = body["metadata"]["name"]
    name = f"{of}-tune-{number}"
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
    spec["benchmark"] = {**spec.get("benchmark", {}), **plan.benchmark}
    if "p95Milliseconds" not in spec["benchmark"]:
        raise SpecError("spec.benchmark", "is not given, so give the limit: --p95-milliseconds N")
    for section, field in LEFT_OUT:
        spec.get(section, {}).pop(field, None)
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": name,
            "namespace": body["metadata"]["namespace"],
            "labels": {LABEL_TUNE_OF: of, LABEL_TUNE_RUN: plan.run},
        },
        "spec": spec,
    }


async def _measured(client: Client, where: str, trial: Trial, patience_seconds: float, price_seconds: float) -> Trial:
    """Wait until it is measured, or cannot be; once it is, for what that costs."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_seconds
    priced_by = None
    while True:
        try:
            status = _status(json.loads(await client.get(where)))
        except ClusterError as failure:
            if trial.performance:
                return trial._replace(note=f"its cost is not known: {failure}")
            # What was measured so far has been paid for.
            if not failure.passing or loop.time() > deadline:
                raise
            await asyncio.sleep(POLL_SECONDS)
            continue
        conditions = {entry.type: entry for entry in status.conditions}
        measured = conditions.get(BENCHMARKED)
        trial = trial._replace(cost=status.cost.total if status.cost else None)
        if measured and measured.status == "True" and status.performance:
            trial = trial._replace(performance=status.performance)
            priced_by = priced_by or loop.time() + price_seconds
            if status.performance.cost_per1000_at_slo is not None:
                return trial
        if priced_by and loop.time() >= priced_by:
            return trial._replace(note=_unpriced(conditions.get(PRICED)))
        if measured and measured.status == "False" and not trial.performance:
            return trial._replace(note=measured.message)
        if loop.time() > deadline and not trial.performance:
            ready = conditions.get(READY)
            why = f"{ready.reason}: {ready.message}" if ready else "no operator has seen it"
            return trial._replace(note=f"not measured within {patience_seconds:.0f} s; {why}")
        await asyncio.sleep(POLL_SECONDS)


def _unpriced(priced: Condition | None) -> str:
    why = f": {priced.message}" if priced and priced.status == "False" else ""
    return f"its cost is not known{why}"


def _status(body: Mapping[str, Any]) -> ModelDeploymentStatus:
    try:
        return ModelDeploymentStatus.model_validate(body.get("status") or {})
    except ValidationError:
        raise SpecError("status", "was written by another version of modelmeter; take its own command") from None
