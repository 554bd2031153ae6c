"""Whose the objects are that have the names of a model's children."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from modelmeter.cluster.client import Client
from modelmeter.cluster.paths import kind_and_name, path_of
from modelmeter.cluster.present import present
from modelmeter.control.accounts import Account
from modelmeter.control.belongings import children
from modelmeter.control.view import View
from modelmeter.provision.labels import is_child_of

Manifest = dict[str, Any]


async def not_ours(client: Client, view: View, account: Account, manifests: Iterable[Manifest]) -> list[Manifest]:
    """Those whose name is another's: what differs in no field would be taken over without a conflict."""
    return [manifest for manifest in manifests if await _is_taken(client, view, account, manifest)]


async def _is_taken(client: Client, view: View, account: Account, manifest: Manifest) -> bool:
    if _is_known(view, account, *kind_and_name(manifest)):
        return False
    there = await present(client, path_of(manifest))
    return there is not None and not is_child_of(account.ref.uid, there.labels)


def _is_known(view: View, account: Account, kind: str, name: str) -> bool:
    if (kind, name) in account.applied:
        return True
    claims = kind == "PersistentVolumeClaim"
    found = children(view.claims, account.ref) if claims else children(view.children[kind], account.ref)
    return any(child.metadata.name == name for child in found)
