"""Pods that share a ResourceClaim: who bears what, who must advance, and who is kept until then."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
import pytest

from modelmeter.api.cost_statement import ModelRef
from modelmeter.control.accounts import Account, Accounts
from modelmeter.control.belongings import Belongings
from modelmeter.control.profiling import Profiling
from modelmeter.control.sharing import Sharing
from modelmeter.control.view import View
from modelmeter.errors import NotFound
from modelmeter.meter.devices import Devices, with_claims
from modelmeter.meter.holding import Profile
from modelmeter.meter.ledger import advance
from modelmeter.meter.objects import Node, Pod
from modelmeter.meter.page import first_page
from modelmeter.meter.prices import Tariff
from modelmeter.meter.profiles import Captured
from tests.meter.builders import at
from tests.meter.objects import PodBuilder, node, pod

HOUR = 3600
CLAIM = with_claims(Captured(Profile("NVIDIA-L4")), {"claim": Devices({"": 1})})


class Lists:
    """An API server of which only the lists matter; it does not serve resource.k8s.io."""

    def __init__(self, *objects: Node | Pod) -> None:
        self._version = 0
        self.replace(*objects)

    def replace(self, *objects: Node | Pod) -> None:
        """These are all there are now."""
        self._version += 1
        self._items: dict[str, list[Any]] = {"nodes": [], "pods": []}
        for item in objects:
            self._items["pods" if isinstance(item, Pod) else "nodes"].append(msgspec.to_builtins(item))

    async def get(self, path: str, accept: str = "", **query: str) -> bytes:
        """The list of a kind."""
        if "resource.k8s.io" in path:
            raise NotFound(404, "NotFound", "the server could not find the requested resource")
        items = self._items.get(path.rpartition("/")[2], [])
        return json.dumps({"metadata": {"resourceVersion": str(self._version)}, "items": items}).encode()


def account(name: str) -> Account:
    """A model that was made at START, its page open since."""
    ref = ModelRef(namespace="team", name=name, uid=name)
    return Account(ref, at(0), page=first_page(ref, at(0)))


def using(uid: str, model: str, since: int) -> PodBuilder:
    """A pod of a model that uses the claim from so many hours on."""
    return pod(uid).of(model).on("n", at(since * HOUR)).uses_claim("claim").noted(CLAIM)


LIVE = using("pod-a", "a", 1)
ENDED = using("pod-b", "b", 2).until(at(3 * HOUR)).build()


def sharing_of(*pods: Pod) -> tuple[Sharing, Account, Account]:
    """Two models whose pods share the claim, at 4 h."""
    first, second = account("a"), account("b")
    accounts = Accounts()
    accounts.add(first)
    accounts.add(second)
    view = View(Lists(node("n"), *pods), lambda *_: None, lambda *_: None)  # type: ignore[arg-type]
    asyncio.run(view.list())
    return Sharing(view, Belongings(view, accounts), Profiling(view, now), now), first, second


def now() -> datetime:
    """4 h after START."""
    return at(4 * HOUR)


def test_each_bears_its_part_while_both_use_it() -> None:
    sharing, _, _ = sharing_of(LIVE.build(), ENDED)
    held = sharing.holding(LIVE.build())
    assert held is not None
    assert [(part.share, part.start, part.end) for part in held.parts(at(0), at(4 * HOUR))] == [
        ("", at(HOUR), at(2 * HOUR)),
        ("1/2", at(2 * HOUR), at(3 * HOUR)),
        ("", at(3 * HOUR), at(4 * HOUR)),
    ]


def test_who_has_ended_is_kept_until_the_others_are_posted_past_its_end() -> None:
    sharing, first, _ = sharing_of(LIVE.build(), ENDED)
    assert sharing.awaited(ENDED) == {"a"}
    assert sharing.must_pass(first)
    held = sharing.holding(LIVE.build())
    assert first.page is not None
    assert held is not None
    first.page = advance(first.page, [held], at(3 * HOUR), Tariff(None))
    assert sharing.awaited(ENDED) == set()
    assert not sharing.must_pass(first)


def test_who_ended_before_t_is_kept_until_the_others_have_counted_that() -> None:
    """T of the first passed 3 h while the second was thought to run."""
    sharing, first, _ = sharing_of(LIVE.build(), using("pod-b", "b", 2).build())
    held = sharing.holding(LIVE.build())
    assert first.page is not None
    assert held is not None
    passed = advance(first.page, [held], at(4 * HOUR), Tariff(None))
    sharing, first, _ = sharing_of(LIVE.build(), ENDED)
    first.page = passed
    assert sharing.awaited(ENDED) == {"a"}
    assert sharing.must_pass(first)


def test_nobody_is_kept_for_a_pod_that_came_later() -> None:
    later = using("pod-c", "a", 3).build()
    sharing, first, _ = sharing_of(later, ENDED)
    assert sharing.awaited(ENDED) == set()
    assert not sharing.must_pass(first)


@pytest.mark.parametrize("done", [{"closed": True, "ended": True}, {"settled": {"pod-a": None}}])
def test_nobody_waits_for_a_page_that_counts_no_longer(done: dict[str, Any]) -> None:
    sharing, first, _ = sharing_of(LIVE.build(), ENDED)
    assert first.page is not None
    first.page = replace(first.page, **done)
    assert sharing.awaited(ENDED) == set()


def test_a_page_that_is_not_there_yet_is_waited_for() -> None:
    sharing, first, _ = sharing_of(LIVE.build(), ENDED)
    first.page = None
    assert sharing.awaited(ENDED) == {"a"}


def test_a_pod_whose_claim_is_its_own_waits_for_nobody() -> None:
    sharing, _, second = sharing_of(ENDED)
    assert sharing.awaited(ENDED) == set()
    assert not sharing.must_pass(second)


@pytest.mark.parametrize(("since", "posted"), [(3.99, False), (1, True)])
def test_a_pod_whose_devices_are_not_known_is_posted_later(since: float, posted: bool) -> None:
    waiting = pod("w").of("a").on("n", at(round(since * HOUR))).uses_claim("claim").build()
    sharing, _, _ = sharing_of(waiting)
    held = sharing.holding(waiting)
    assert (held is not None) == posted


def test_who_uses_a_claim_by_a_note_that_the_watch_has_yet_to_show_uses_it_until_it_is_gone() -> None:
    bare = pod("pod-a").of("a").on("n", at(HOUR)).uses_claim("claim").build()
    server = Lists(node("n"), bare)
    view = View(server, lambda *_: None, lambda *_: None)  # type: ignore[arg-type]
    asyncio.run(view.list())
    answer = msgspec.structs.replace(bare.metadata, resource_version="7")
    view.noted(answer, LIVE.build().metadata.annotations)
    assert [user.metadata.uid for user in view.devices.users("claim")] == ["pod-a"]
    server.replace(node("n"))
    asyncio.run(view.list())
    assert list(view.devices.users("claim")) == []
