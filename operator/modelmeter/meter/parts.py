"""What a whole is made of, as the status shows it: usage and cost by stage, and of serving by revision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

from modelmeter.api.cost_statement import OTHER
from modelmeter.api.model_deployment_status import RevisionUsage, StageUsage
from modelmeter.api.names import SERVING
from modelmeter.api.scalars import rfc3339
from modelmeter.meter import cost, sums
from modelmeter.meter.holding import CPU, GPU, MEMORY, STORAGE
from modelmeter.meter.page import Page, PartSum, Past
from modelmeter.meter.sums import Spans

HOUR_DIGITS = 2
"""Decimal places of GPU-hours and the like for people."""
METERED = ("compute", "storage")
"""Categories whose cost belongs to a stage."""
ITEMS: Mapping[str, tuple[str, ...]] = {
    "compute": cost.COMPUTE,
    "storage": (STORAGE,),
    "total": (*cost.COMPUTE, STORAGE),
}
"""What is used where an amount is more than 0."""


def by_stage(life: Past, unpriced: Spans) -> list[StageUsage]:
    """Each stage's part; serving's is what remains of the whole."""
    priced, waiting = life.stages, sums.by_stage({}, unpriced)
    others = sorted({*priced, *waiting})
    metered = sum((life.cost.get(name, cost.ZERO) for name in METERED), cost.ZERO)
    serving = _rest(PartSum(life.usage, metered), priced), _rest(PartSum(sums.unpriced(unpriced)), waiting)
    rows = {SERVING: serving}
    rows |= {stage: (priced.get(stage, PartSum()), waiting.get(stage, PartSum())) for stage in others}
    return [
        StageUsage(
            stage=stage,
            **quantities(sums.plus(has.usage, lacks.usage)),
            cost=None if unknown(ITEMS["total"], has.usage, lacks.usage) else cost.text(has.cost),
        )
        for stage, (has, lacks) in rows.items()
    ]


def _rest(whole: PartSum, stages: Mapping[str, PartSum]) -> PartSum:
    """What remains of the whole without the stages."""
    parts = stages.values()
    usage = {
        item: units - sum((part.usage.get(item, cost.ZERO) for part in parts), cost.ZERO)
        for item, units in whole.usage.items()
    }
    return PartSum(usage, whole.cost - sum((part.cost for part in parts), cost.ZERO))


def by_revision(life: Past, page: Page) -> list[RevisionUsage]:
    """Each revision's part of serving's compute, the newest first; last what is of no revision that has a name."""
    waiting = sums.by_revision({}, page.unpriced)
    latest = sorted(page.revisions, key=lambda revision: (page.revisions[revision], revision), reverse=True)
    rows = []
    for revision in (*latest, ""):
        has, lacks = life.revisions.get(revision, PartSum()), waiting.get(revision, PartSum())
        used = sums.plus(has.usage, lacks.usage)
        if not revision and not any(used.values()):
            continue
        rows.append(
            RevisionUsage(
                revision=revision or OTHER,
                since=rfc3339(page.revisions[revision]) if revision else None,
                **_compute(used),
                cost=None if unknown(ITEMS["compute"], has.usage, lacks.usage) else cost.text(has.cost),
            )
        )
    return rows


def quantities(seconds: Mapping[str, Fraction]) -> dict[str, str]:
    """What the status shows of both the whole and a stage."""
    return {**_compute(seconds), "storage_byte_seconds": whole(seconds.get(STORAGE, cost.ZERO))}


def _compute(seconds: Mapping[str, Fraction]) -> dict[str, str]:
    gpu_seconds = seconds.get(GPU, cost.ZERO)
    return {
        "gpu_seconds": whole(gpu_seconds),
        "cpu_core_milli_seconds": whole(seconds.get(CPU, cost.ZERO)),
        "memory_byte_seconds": whole(seconds.get(MEMORY, cost.ZERO)),
        "gpu_hours": hours(gpu_seconds, cost.HOUR_SECONDS),
    }


def unknown(items: Iterable[str], priced: Mapping[str, Fraction], unpriced: Mapping[str, Fraction]) -> bool:
    """Whether some of these items was used, and nothing of it has a price."""
    names = tuple(items)
    return any(map(unpriced.get, names)) and not any(map(priced.get, names))


def hours(unit_seconds: Fraction, unit: int) -> str:
    """Hours for people, of an item of which so many unit-seconds are one priced unit."""
    return cost.text(unit_seconds / unit, HOUR_DIGITS)


def whole(seconds: Fraction) -> str:
    """Whole unit-seconds for the document: rounded once, half to even."""
    return str(round(seconds))
