"""What Prometheus reads: how many models there are, and what is wrong with the ledgers of how many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.core import GaugeMetricFamily

from modelmeter.control.operator import Operator


class Gauge(NamedTuple):
    """One figure of an operator, as of now."""

    name: str
    help: str
    value: Callable[[Operator], int]


GAUGES: Final = (
    Gauge("modelmeter_models", "Models that are metered.", lambda operator: len(operator.accounts)),
    Gauge(
        "modelmeter_ledger_broken_models",
        "Models whose next page would break an invariant of the ledger: nothing is written for them.",
        lambda operator: sum(account.metering_error is not None for account in operator.accounts),
    ),
    Gauge(
        "modelmeter_ledger_unwritten_models",
        "Models whose page the API server does not take: their usage is posted later.",
        lambda operator: sum(account.ledger_error is not None for account in operator.accounts),
    ),
    Gauge(
        "modelmeter_ledger_lost_models",
        "Models whose statements were deleted while no operator ran.",
        lambda operator: sum(account.ledger_lost is not None for account in operator.accounts),
    ),
    Gauge(
        "modelmeter_unread_pods",
        "Pods whose Triton did not tell its statistics when it was last asked.",
        lambda operator: operator.counting.unread_pods(),
    ),
    Gauge(
        "modelmeter_metering_queue_models",
        "Models that wait for their page to be looked at, or whose page is looked at.",
        lambda operator: len(operator.metering.queue),
    ),
)


class Gauges:
    """Collects the table above from one operator."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    def collect(self) -> Iterator[Metric]:
        """Each figure as a family without labels."""
        for gauge in GAUGES:
            yield GaugeMetricFamily(gauge.name, gauge.help, value=gauge.value(self._operator))


def registry_of(operator: Operator) -> CollectorRegistry:
    """A registry with the figures of one operator."""
    registry = CollectorRegistry()
    registry.register(Gauges(operator))
    return registry


def serve(operator: Operator, host: str, port: int) -> None:
    """Answer at /metrics, in a thread of its own, for as long as the process lives; OSError where the port is taken."""
    start_http_server(port, host, registry=registry_of(operator))
