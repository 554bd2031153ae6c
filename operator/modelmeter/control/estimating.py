"""What a ModelDeployment would hold, from the very children that would be applied; hence what it would cost."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from modelmeter.api.gpu import Gpu
from modelmeter.api.resources import ModelDeployment
from modelmeter.meter import publish
from modelmeter.meter.estimate import Term, held_for_an_hour, overhead_for_an_hour
from modelmeter.meter.holding import GPU, Holding, Profile
from modelmeter.meter.objects import Claim, ClaimSpec, ClaimStatus, Metadata, Node, Pod
from modelmeter.meter.prices import Tariff
from modelmeter.meter.profiles import on_node
from modelmeter.meter.requests import claim_amounts, gpu_resources, held_by
from modelmeter.provision.children import desired
from modelmeter.provision.claim import claim_spec
from modelmeter.provision.device_claim import claimed


def hourly_terms(model: ModelDeployment, tariff: Tariff, now: datetime) -> list[Term]:
    """Terms of one hour with all replicas scheduled and the claims bound.

    The price profile is what the pods ask of their node, its labels in nodeSelector, or of the devices that they claim,
    each of which counts as a whole GPU.
    """
    children = {manifest["kind"]: manifest for manifest in desired(model, loader_image="")}
    return [
        *_pods(children["Deployment"], model.spec.serving.gpu if claimed(model) else None, tariff, now),
        *_claims(model, tariff, now),
        *(overhead_for_an_hour(overhead) for overhead in publish.overheads(model.spec.pricing)),
    ]


def _pods(deployment: dict[str, Any], claims: Gpu | None, tariff: Tariff, now: datetime) -> Iterable[Term]:
    template = deployment["spec"]["template"]
    pod = msgspec.convert({"metadata": {"name": "", "uid": ""}, "spec": template["spec"]}, Pod)
    known = on_node(
        Node(Metadata(name="", uid="", labels=template["spec"].get("nodeSelector", {}))), gpu_resources(pod)
    )
    amounts, slices = held_by(pod, known)
    profile = known.profile
    if claims is not None:
        amounts[GPU] = claims.count
        profile = profile._replace(gpu_product=claims.product or profile.gpu_product)
    held = Holding("", now, None, amounts, profile, slices=slices)
    return held_for_an_hour(held, deployment["spec"]["replicas"], tariff, now)


def _claims(model: ModelDeployment, tariff: Tariff, now: datetime) -> Iterable[Term]:
    spec, storage = claim_spec(model), model.spec.storage
    storage_class = spec.get("storageClassName", "")
    claim = Claim(
        Metadata(name="", uid=""),
        ClaimSpec(storage_class),
        ClaimStatus("Bound", spec["resources"]["requests"]),
    )
    held = Holding("", now, None, claim_amounts(claim), Profile(storage_class=storage_class))
    return held_for_an_hour(held, model.spec.serving.replicas if storage.per_replica else 1, tariff, now)
