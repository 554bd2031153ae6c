"""Objects as `kubectl get -o json` shows them, over one kept connection: who waits looks often, and a process costs."""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import quote

from tests.cluster.api import Api, ApiError
from tests.cluster.errors import ClusterError

Object = dict[str, Any]


class Objects:
    """Reads objects by the names that kubectl takes for their kinds; threads may share it."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._kinds: dict[str, tuple[str, Object]] = {}

    def get(self, kind: str, namespace: str, name: str) -> Object:
        """One object, or nothing where it does not exist; ClusterError where the kind does not, or nobody answers."""
        try:
            return _plain(self._call(f"{self._path(kind, namespace)}/{name}"))
        except ApiError as error:
            if error.status == 404:
                return {}
            raise ClusterError(f"{kind} {name}: {error}") from None

    def list(self, kinds: str, namespace: str, selector: str = "") -> list[Object]:
        """Objects of a kind, or of several with commas between them; errors as above."""
        found: list[Object] = []
        for kind in kinds.split(","):
            try:
                listed = self._call(f"{self._path(kind, namespace)}?labelSelector={quote(selector)}")
            except ApiError as error:
                raise ClusterError(f"{kind}: {error}") from None
            found += map(_plain, listed["items"])
        return found

    def _call(self, path: str) -> Any:
        try:
            with self._lock:
                return self._api.call("GET", path)
        except OSError as error:
            raise ClusterError(str(error)) from None

    def _path(self, kind: str, namespace: str) -> str:
        if kind not in self._kinds:
            self._kinds = self._discover()
        if kind not in self._kinds:
            raise ClusterError(f"the server doesn't have a resource type {kind!r}")
        group, resource = self._kinds[kind]
        where = f"{group}/namespaces/{namespace}" if resource["namespaced"] else group
        return f"{where}/{resource['name']}"

    def _discover(self) -> dict[str, tuple[str, Object]]:
        """Each name of each kind, by itself and with its group; of one name, the first group's is known by itself."""
        kinds: dict[str, tuple[str, Object]] = {}
        groups = ["/api/v1"]
        groups += (f"/apis/{group['preferredVersion']['groupVersion']}" for group in self._call("/apis")["groups"])
        for group in groups:
            try:
                resources = [item for item in self._call(group)["resources"] if "/" not in item["name"]]
            except ApiError:  # of an extension that is away
                continue
            for item in resources:
                for name in (item["name"], item["singularName"], *item.get("shortNames", ())):
                    kinds.setdefault(name, (group, item))
                    kinds[f"{name}.{group.split('/')[2]}"] = group, item
        return kinds


def _plain(item: Object) -> Object:
    """Without the account of who wrote which field, as kubectl shows it."""
    item["metadata"].pop("managedFields", None)
    return item
