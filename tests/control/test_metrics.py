"""The exposition as Prometheus reads it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

from prometheus_client import generate_latest

from modelmeter.api.cost_statement import ModelRef
from modelmeter.cluster.client import Client
from modelmeter.cluster.clock import Clock
from modelmeter.control.accounts import Account
from modelmeter.control.metrics import registry_of
from modelmeter.control.operator import Operator
from modelmeter.settings import Settings


def test_what_is_wrong_with_ledgers_is_counted() -> None:
    operator = Operator(cast(Client, None), Clock(), Settings())
    for uid, error in (("a", None), ("b", "negative"), ("c", "negative")):
        ref = ModelRef(namespace="search", name=uid, uid=uid)
        operator.accounts.add(Account(ref=ref, created=datetime(2026, 11, 1, tzinfo=UTC), metering_error=error))
    operator.metering.queue.add("a")
    text = generate_latest(registry_of(operator)).decode()
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert samples == [
        "modelmeter_models 3.0",
        "modelmeter_ledger_broken_models 2.0",
        "modelmeter_ledger_unwritten_models 0.0",
        "modelmeter_ledger_lost_models 0.0",
        "modelmeter_metering_queue_models 1.0",
    ]
