"""What is known of a pod's price by now, and whether it is worth to wait for more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from modelmeter.control.view import View
from modelmeter.meter.devices import Devices, claim_names, with_claims
from modelmeter.meter.lifetime import TERMINAL, scheduled_at
from modelmeter.meter.objects import Node, Pod
from modelmeter.meter.profiles import CLAIM_UNKNOWN, Captured, captured, on_node
from modelmeter.meter.requests import gpu_resources
from modelmeter.meter.shares import PREFIX, PRODUCT

PATIENCE: Final = timedelta(minutes=2)
"""How long a pod waits for its node's GPU labels and its claims' devices: a new node joins without labels."""


class Profiling:
    """Joins a pod with its node, its claims and their devices."""

    def __init__(self, view: View, clock: Callable[[], datetime]) -> None:
        self._view = view
        self._clock = clock

    def known(self, pod: Pod) -> Captured | None:
        """What can be captured on a pod; None where its node is not there, or more is to come."""
        node = self._view.nodes.get(pod.spec.node_name)
        if node is None:
            return None
        names = claim_names(pod)
        claims = self._claims(pod, names)
        complete = len(claims) == len(names)
        if not (complete and self._labelled(pod, node)) and self._patient(pod):
            return None
        found = with_claims(on_node(node, gpu_resources(pod)), claims)
        return found if complete else found._replace(reason=CLAIM_UNKNOWN)

    def awaits(self, pod: Pod) -> bool:
        """Whether what a pod holds, or at which part of a GPU, will be known soon: until then it is not posted."""
        if captured(pod) is not None or not self._patient(pod):
            return False
        node = self._view.nodes.get(pod.spec.node_name)
        return bool(claim_names(pod)) or (node is not None and not self._labelled(pod, node))

    def _claims(self, pod: Pod, names: list[str]) -> dict[str, Devices]:
        found = (self._view.devices.of_claim(pod.metadata.namespace, name) for name in names)
        return dict(claim for claim in found if claim is not None)

    def _patient(self, pod: Pod) -> bool:
        """Whether the pod will be there for a while and has not waited long."""
        start, _ = scheduled_at(pod)
        ending = pod.metadata.deletion_timestamp is not None or pod.status.phase in TERMINAL
        return not ending and start is not None and self._clock() - start < PATIENCE

    def _labelled(self, pod: Pod, node: Node) -> bool:
        """Whether a node says which GPUs it has, where the pod has any of NVIDIA's; one that joined long ago won't."""
        joined = node.metadata.creation_timestamp
        settled_in = joined is not None and self._clock() - joined >= PATIENCE
        asks = any(name.startswith(PREFIX) for name in gpu_resources(pod))
        return settled_in or PRODUCT in node.metadata.labels or not asks
