"""CostStatements: read all open pages, write one page with its resourceVersion, never a blind merge."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import msgspec

from modelmeter.api.base import parse
from modelmeter.api.cost_statement import CostStatementSpec, ModelRef
from modelmeter.api.names import (
    API_VERSION,
    GROUP,
    LABEL_MODEL,
    LABEL_MODEL_UID,
    LABEL_MONTH,
    LABEL_NAMESPACE,
)
from modelmeter.cluster.client import METADATA_LIST, Client
from modelmeter.cluster.listing import items
from modelmeter.cluster.namespaces import create_in
from modelmeter.cluster.paths import path
from modelmeter.cluster.versions import version_of
from modelmeter.errors import Conflict, LedgerError, NotFound, SpecError

log = logging.getLogger(__name__)

LABEL_CLOSED = f"{GROUP}/closed"
LABEL_ENDED = f"{GROUP}/ended"


@dataclass(frozen=True, slots=True)
class Stored:
    """A page as it stands in the API server."""

    name: str
    resource_version: str
    spec: CostStatementSpec


@dataclass(frozen=True, slots=True)
class ClosedPage:
    """A closed page, without what is on it."""

    name: str
    uid: str
    model_uid: str
    month: str
    ended: bool


class _Metadata(msgspec.Struct, rename="camel"):
    name: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] = {}


class _Statement(msgspec.Struct):
    metadata: _Metadata
    spec: dict[str, Any] = {}


def statement_name(model: ModelRef, month: str) -> str:
    """One name per model and month, so that a page cannot be created twice."""
    return f"{model.namespace}.{model.name}.{model.uid[:8]}.{month}"


class Statements:
    """The ledger's pages in the operator's namespace."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    async def open_pages(self) -> dict[str, Stored | None]:
        """Every open page by its model's UID; None where it cannot be read."""
        pages: dict[str, Stored | None] = {}
        for item in await self._list(f"{LABEL_CLOSED}=false", "application/json"):
            try:
                stored = _stored(item)
            except LedgerError as error:
                # Its model's pass will find it again, and say so where the user looks.
                log.error("%s", error)
                pages[item.metadata.labels.get(LABEL_MODEL_UID, "")] = None
            else:
                pages[stored.spec.model.uid] = stored
        return pages

    async def open_names(self) -> frozenset[str]:
        """The names of all open pages."""
        return frozenset(item.metadata.name for item in await self._list(f"{LABEL_CLOSED}=false", METADATA_LIST))

    async def everything(self) -> list[CostStatementSpec]:
        """Every page there is; LedgerError where one cannot be read."""
        return [_stored(item).spec for item in await self._list("", "application/json")]

    async def closed(self) -> list[ClosedPage]:
        """Every closed page."""
        found = (item.metadata for item in await self._list(f"{LABEL_CLOSED}=true", METADATA_LIST))
        return [
            ClosedPage(
                metadata.name,
                metadata.uid,
                metadata.labels.get(LABEL_MODEL_UID, ""),
                metadata.labels.get(LABEL_MONTH, ""),
                metadata.labels.get(LABEL_ENDED) == "true",
            )
            for metadata in found
        ]

    async def last_closed(self) -> dict[str, ClosedPage]:
        """Each model's latest closed page, by the model's UID."""
        last: dict[str, ClosedPage] = {}
        for entry in await self.closed():
            last[entry.model_uid] = max(last.get(entry.model_uid, entry), entry, key=lambda page: page.month)
        return last

    async def delete(self, page: ClosedPage) -> None:
        """Delete a page."""
        await self._client.delete(path("CostStatement", self._namespace, page.name), page.uid)

    async def read(self, name: str) -> Stored:
        """One page, as it is now; LedgerError where it cannot be read."""
        text = await self._client.get(path("CostStatement", self._namespace, name))
        return _stored(msgspec.json.decode(text, type=_Statement))

    async def write(self, spec: CostStatementSpec, known: Stored | None) -> Stored:
        """Write a page over the one that was read; Conflict where it has changed since or exists already."""
        name = statement_name(spec.model, spec.month)
        body: dict[str, Any] = {
            "apiVersion": API_VERSION,
            "kind": "CostStatement",
            "metadata": {
                "name": name,
                "namespace": self._namespace,
                "labels": {
                    LABEL_MODEL: spec.model.name,
                    LABEL_MODEL_UID: spec.model.uid,
                    LABEL_NAMESPACE: spec.model.namespace,
                    LABEL_MONTH: spec.month,
                    LABEL_CLOSED: str(spec.closed).lower(),
                    LABEL_ENDED: str(spec.ended).lower(),
                },
            },
            "spec": spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        }
        if known is None:
            answer = await create_in(self._client, "CostStatement", self._namespace, body)
        else:
            body["metadata"]["resourceVersion"] = known.resource_version
            try:
                answer = await self._client.replace(path("CostStatement", self._namespace, name), body)
            except NotFound:
                # Deleted by hand: what we know is all there is, so it comes back whole.
                raise Conflict(409, "Conflict", f"CostStatement {name} was deleted") from None
        return Stored(name, version_of(answer), spec)

    async def _list(self, selector: str, accept: str) -> list[_Statement]:
        where = path("CostStatement", self._namespace)
        query = {"labelSelector": selector} if selector else {}
        return await items(self._client, where, _Statement, accept, **query)


def _stored(item: _Statement) -> Stored:
    try:
        spec = parse(CostStatementSpec, item.spec, "spec")
    except SpecError as error:
        raise LedgerError(
            f"CostStatement {item.metadata.name} cannot be read, so nothing is written over it: {error}."
            " Was it written by a newer modelmeter? Run that one, or mend the field"
        ) from None
    return Stored(item.metadata.name, item.metadata.resource_version, spec)
