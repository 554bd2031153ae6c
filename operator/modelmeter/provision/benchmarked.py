"""How far the measurement that spec.benchmark asks for is, and what came of it."""

from __future__ import annotations

from modelmeter.provision.benchmark import RESOURCES
from modelmeter.provision.observed import BenchmarkFacts, Observed
from modelmeter.provision.remedies import APPLY, with_remedy


def _facts(seen: Observed) -> BenchmarkFacts:
    assert seen.benchmark is not None
    return seen.benchmark


def _again(facts: BenchmarkFacts) -> str:
    return f"to measure again: kubectl delete job {facts.job}"


def refused(seen: Observed) -> str | None:
    """The API server does not let the operator do something with the Job."""
    facts = _facts(seen)
    return with_remedy(facts.refused, APPLY) if facts.refused else None


def products_differ(seen: Observed) -> str | None:
    """Nobody knows which replica would answer."""
    products = _facts(seen).gpu_products
    if len(products) < 2:
        return None
    names = ", ".join(product or "none" for product in products)
    return f"replicas run on several GPU products ({names}), and one of them would answer; set spec.serving.gpu.product"


def failed(seen: Observed) -> str | None:
    """The Job found nothing."""
    facts = _facts(seen)
    if facts.outcome is not None:
        error, remedy = facts.outcome.error, facts.outcome.remedy
        return f"Job {facts.job}: {error}; {remedy}; {_again(facts)}" if error else None
    if not facts.ended:
        return None
    return f"Job {facts.job} ended without a result: {facts.ended}; {_again(facts)}"


def limit_not_met(seen: Observed) -> str | None:
    """The Job found that no rate is low enough."""
    facts = _facts(seen)
    if facts.outcome is None or facts.outcome.inferences_per_second is not None:
        return None
    remedy = "raise p95Milliseconds, or give a replica more (spec.serving.gpu, resources), or shorter texts"
    return f"{facts.outcome.words(facts.p95_milliseconds)}; {remedy}"


def waiting(seen: Observed) -> str | None:
    """There is no Job yet."""
    return None if _facts(seen).job else "it begins once the model is Ready"


def unscheduled(seen: Observed) -> str | None:
    """Its pod asks for no GPU, and tolerates nothing."""
    facts = _facts(seen)
    if facts.outcome or not facts.unscheduled:
        return None
    return (
        f"Job {facts.job}: its pod finds no node ({facts.unscheduled}); it needs one without taints that has"
        f" {RESOURCES['requests']['cpu']} CPU and {RESOURCES['requests']['memory']} left"
    )


def running(seen: Observed) -> str | None:
    """The Job has not ended."""
    facts = _facts(seen)
    return None if facts.outcome else f"Job {facts.job} measures; see kubectl describe job {facts.job}"


def measured(seen: Observed) -> str:
    """What was measured, in words."""
    facts = _facts(seen)
    assert facts.outcome is not None
    return facts.outcome.words(facts.p95_milliseconds)
