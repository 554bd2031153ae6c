"""Deletes the templates of ResourceClaims that only an older spec of a model asks for."""

from __future__ import annotations

from modelmeter.api.names import TEMPLATE_HASH
from modelmeter.api.resources import ModelDeployment
from modelmeter.cluster.client import Client
from modelmeter.cluster.paths import path
from modelmeter.control.belongings import children
from modelmeter.control.view import View
from modelmeter.provision.device_claim import KIND, claim_templates
from modelmeter.provision.workload import template_hash


async def prune_templates(client: Client, view: View, model: ModelDeployment) -> bool:
    """Delete them once no pod of an older spec is left, nor a Deployment that would make one; whether some are left."""
    wanted = {template["metadata"]["name"] for template in claim_templates(model)}
    found = (template.metadata for template in children(view.children[KIND], model))
    superseded = [metadata for metadata in found if metadata.name not in wanted]
    if not superseded:
        return False
    current = template_hash(model)
    made = (deployment.metadata for deployment in children(view.children["Deployment"], model))
    pods = (pod.metadata for pod in children(view.pods, model))
    if any(user.annotations.get(TEMPLATE_HASH) != current for user in (*made, *pods)):
        return True
    for metadata in superseded:
        await client.delete(path(KIND, metadata.namespace, metadata.name), metadata.uid)
    return False
