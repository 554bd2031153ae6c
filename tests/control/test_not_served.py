"""A kind that the API server does not know: it says "404 page not found", and we which, and what to do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from modelmeter.cluster.paths import path
from modelmeter.errors import NotFound
from tests.meter.builders import START
from tests.simulation.client import Connection, Faults, SimulatedClient, _Response
from tests.simulation.server import Server


class WithoutKinds(SimulatedClient):
    """An API server that serves nothing."""

    def __init__(self) -> None:
        super().__init__(Connection(Server(START, lambda kind, now: 0), Faults(), lambda: None))

    async def _send(self, *arguments: Any) -> _Response:  # type: ignore[override]
        return _Response(404, b"404 page not found\n")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            "ModelDeployment",
            "404 page not found (no such kind in modelmeter.dev/v1alpha1); apply the CRDs of modelmeter.dev",
        ),
        ("ResourceSlice", "404 page not found (no such kind in resource.k8s.io/v1)"),
    ],
)
def test_a_kind_that_is_not_served_is_named(kind: str, said: str) -> None:
    with pytest.raises(NotFound) as refused:
        asyncio.run(WithoutKinds().get(path(kind)))
    assert refused.value.message == said
