"""The exposition as Prometheus reads it."""

from __future__ import annotations

import socket
import urllib.request
from datetime import UTC, datetime
from typing import cast

import pytest
from prometheus_client import generate_latest

from modelmeter.api.cost_statement import ModelRef
from modelmeter.cluster.client import Client
from modelmeter.cluster.clock import Clock
from modelmeter.control.accounts import Account
from modelmeter.control.metrics import registry_of, serve
from modelmeter.control.operator import Operator
from modelmeter.settings import Settings


@pytest.mark.parametrize(("pod", "asked"), [("10.0.0.7", "127.0.0.1"), ("", "127.0.0.1"), ("fd00::7", "[::1]")])
def test_the_metrics_are_answered_in_the_pod_s_own_family_of_addresses(pod: str, asked: str) -> None:
    operator = Operator(cast(Client, None), Clock(), Settings(pod_ip=pod))
    family = socket.AF_INET6 if ":" in asked else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.bind((asked.strip("[]"), 0))
            port = probe.getsockname()[1]
    except OSError:
        pytest.skip("this machine has no IPv6")
    serve(operator, Settings(pod_ip=pod).listen_host, port)
    with urllib.request.urlopen(f"http://{asked}:{port}/metrics", timeout=10) as answer:
        assert b"modelmeter_models 0.0" in answer.read()


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
        "modelmeter_unread_pods 0.0",
        "modelmeter_metering_queue_models 1.0",
    ]
