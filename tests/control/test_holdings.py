"""One object that cannot be understood stops its model's ledger, names itself, and stops no other's."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from modelmeter.control.accounts import Accounts
from modelmeter.control.belongings import Belongings
from modelmeter.control.holdings import Holdings
from modelmeter.control.profiling import Profiling
from modelmeter.control.sharing import Sharing
from modelmeter.control.view import View
from modelmeter.errors import UnmeterableError
from modelmeter.meter.holding import Profile
from modelmeter.meter.profiles import Captured
from tests.control.test_sharing import Lists, account
from tests.meter.builders import at
from tests.meter.objects import node, pod

KNOWN = Captured(Profile("NVIDIA-L4"))


def now() -> datetime:
    return at(3600)


def test_an_odd_pod_is_named_and_stops_its_own_model_only() -> None:
    odd = pod("odd").of("a").on("n", at(0)).asks(cpu="a few").noted(KNOWN).build()
    good = pod("good").of("b").on("n", at(0)).asks(cpu="129e-3").noted(KNOWN).build()
    accounts = Accounts()
    first, second = account("a"), account("b")
    accounts.add(first)
    accounts.add(second)
    view = View(Lists(node("n"), odd, good), lambda *_: None, lambda *_: None)  # type: ignore[arg-type]
    asyncio.run(view.list())
    belongings = Belongings(view, accounts)
    holdings = Holdings(belongings, Sharing(view, belongings, Profiling(view, now), now))
    with pytest.raises(
        UnmeterableError, match=r"Pod team/odd cannot be metered: .*'a few' is not a Kubernetes quantity"
    ):
        list(holdings.of(first, now()))
    (held,) = holdings.of(second, now())
    assert held.amounts["cpu"] == 129


@pytest.mark.parametrize(("namespace", "name"), [("other", "a"), ("team", "b")])
def test_a_copy_of_what_is_a_models_is_nobodys(namespace: str, name: str) -> None:
    accounts = Accounts()
    accounts.add(account("a"))
    accounts.add(account("b"))
    assert accounts.owner("team", "a", "a") is accounts.get("a")
    assert accounts.owner(namespace, name, "a") is None
