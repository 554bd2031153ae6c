"""How many replicas a drain of nodes may take at once."""

from __future__ import annotations

from typing import Any

from modelmeter.api.resources import ModelDeployment
from modelmeter.provision.labels import metadata, selector_labels


def disruption_budget(model: ModelDeployment) -> tuple[dict[str, Any], ...]:
    """The PodDisruptionBudget, where one is asked for: a second one over the same pods would stop every eviction."""
    wanted = model.spec.serving.disruption_budget
    if wanted is None:
        return ()
    return (
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata(model, model.name),
            "spec": {
                "selector": {"matchLabels": selector_labels(model)},
                "maxUnavailable": wanted.max_unavailable,
                # A replica that is broken serves nobody, and must not keep its node from being drained.
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            },
        },
    )
