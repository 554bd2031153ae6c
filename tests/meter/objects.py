"""Objects as the API server gives them, said shortly: pod("a").on("gpu-1", at(0)).asks(gpu="1").build()."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

import msgspec

from modelmeter.api.scalars import rfc3339
from modelmeter.meter.device_objects import ResourceClaim, ResourceSlice
from modelmeter.meter.objects import Node, Pod
from modelmeter.meter.profiles import Captured, encode


def node(name: str, **gpu_labels: str) -> Node:
    """A node; `gpu_product="..."` is its label nvidia.com/gpu.product."""
    return labelled(name, {f"nvidia.com/{key.replace('_', '.', 1)}": value for key, value in gpu_labels.items()})


def labelled(name: str, labels: dict[str, str]) -> Node:
    """A node with these labels."""
    return msgspec.convert({"metadata": {"name": name, "uid": name, "resourceVersion": "1", "labels": labels}}, Node)


class PodBuilder:
    """A pod that says only what matters."""

    def __init__(self, uid: str) -> None:
        self._metadata: dict[str, Any] = {"name": uid, "uid": uid, "namespace": "team", "resourceVersion": "1"}
        self._metadata |= {"labels": {}, "annotations": {}}
        self._spec: dict[str, Any] = {"containers": []}
        self._captured: Captured | None = None
        self._status: dict[str, Any] = {"phase": "Running", "conditions": []}

    def on(self, node: str, since: datetime) -> Self:
        """Scheduled to a node."""
        self._spec["nodeName"] = node
        entry = {"type": "PodScheduled", "status": "True", "lastTransitionTime": rfc3339(since)}
        self._status["conditions"] = [entry]
        return self

    def asks(self, **requests: str) -> Self:
        """One more container; `cpu="1"`, `gpu="1"` (nvidia.com/gpu), other GPU resources by `asks_for`."""
        known = {"gpu": "nvidia.com/gpu"}
        return self.asks_for({known.get(name, name): units for name, units in requests.items()})

    def asks_for(self, requests: dict[str, str]) -> Self:
        """One more container that requests these resources."""
        self._spec["containers"].append({"resources": {"requests": requests}})
        return self

    def uses_claim(self, name: str) -> Self:
        """A ResourceClaim by its name."""
        self._spec["resourceClaims"] = [{"name": "gpu", "resourceClaimName": name}]
        return self

    def uses_template(self, name: str) -> Self:
        """A ResourceClaim that was made from a template."""
        self._spec["resourceClaims"] = [{"name": "gpu"}]
        self._status["resourceClaimStatuses"] = [{"name": "gpu", "resourceClaimName": name}]
        return self

    def got_extended(self, resource: str, claim: str) -> Self:
        """A ResourceClaim that the scheduler made for an extended resource."""
        self._status["extendedResourceClaimStatus"] = {
            "requestMappings": [{"containerName": "c", "resourceName": resource, "requestName": "container-0"}],
            "resourceClaimName": claim,
        }
        return self

    def noted(self, captured: Captured) -> Self:
        """With its profile captured."""
        self._captured = captured
        return self

    def of(self, model: str) -> Self:
        """Labelled with a model."""
        self._metadata["labels"]["modelmeter.dev/model"] = model
        return self

    def labelled(self, name: str, value: str) -> Self:
        """With one more label."""
        self._metadata["labels"][name] = value
        return self

    def annotated(self, name: str, value: str) -> Self:
        """With one more annotation."""
        self._metadata["annotations"][name] = value
        return self

    def stage(self, stage: str) -> Self:
        """Labelled with a stage."""
        self._metadata["labels"]["modelmeter.dev/stage"] = stage
        return self

    def until(self, end: datetime) -> Self:
        """Ended."""
        self._status |= {
            "phase": "Succeeded",
            "containerStatuses": [{"state": {"terminated": {"finishedAt": rfc3339(end)}}}],
        }
        return self

    def build(self) -> Pod:
        """The pod as metering reads it."""
        made = msgspec.convert({"metadata": self._metadata, "spec": self._spec, "status": self._status}, Pod)
        if self._captured is not None:
            made.metadata.annotations["modelmeter.dev/price-profile"] = encode(self._captured, made)
        return made


def pod(uid: str) -> PodBuilder:
    """A pod."""
    return PodBuilder(uid)


def resource_claim(uid: str, *results: dict[str, Any]) -> ResourceClaim:
    """An allocated ResourceClaim; each result names a device of pool gpu-1."""
    full = [{"request": "gpu", "driver": "gpu.nvidia.com", "pool": "gpu-1", **result} for result in results]
    status = {"allocation": {"devices": {"results": full}}}
    return msgspec.convert(
        {"metadata": {"name": uid, "uid": uid, "namespace": "team"}, "status": status}, ResourceClaim
    )


def resource_slice(*devices: dict[str, Any]) -> ResourceSlice:
    """What the driver of node gpu-1 offers."""
    spec = {"driver": "gpu.nvidia.com", "pool": {"name": "gpu-1", "generation": 1}, "devices": list(devices)}
    return msgspec.convert({"metadata": {"name": "s", "uid": "s"}, "spec": spec}, ResourceSlice)


def device(name: str, product: str, profile: str = "", memory: str = "80Gi") -> dict[str, Any]:
    """A GPU, or with a profile a MIG instance, as NVIDIA's DRA driver describes it."""
    attributes = {"type": {"string": "mig" if profile else "gpu"}, "productName": {"string": product}}
    if profile:
        attributes["profile"] = {"string": profile}
    return {"name": name, "attributes": attributes, "capacity": {"memory": {"value": memory}}}
