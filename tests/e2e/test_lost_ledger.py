"""A statement that somebody deletes while no operator runs: it is said until it is back, whoever restarts when."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from tests.cluster.chart import SYSTEM
from tests.cluster.operator import Operator
from tests.cluster.user import User, model
from tests.e2e.test_shares import uid_of

pytestmark = pytest.mark.e2e


def test_a_lost_statement_is_said_until_it_is_restored(user: User, operator: Operator) -> None:
    user.apply(model("robbed"))
    user.wait("usage", lambda: int(user.status("robbed").get("usage", {}).get("gpuSeconds", "0")) > 0)
    selector = f"--selector=modelmeter.dev/model-uid={uid_of(user, 'robbed')}"
    namespace = f"--namespace={SYSTEM}"
    (kept,) = json.loads(user.cluster.kubectl("get", "coststatements", namespace, selector, "-o", "json"))["items"]
    operator.stop()
    user.cluster.kubectl("annotate", "coststatements", namespace, selector, "modelmeter.dev/allow-deletion=true")
    user.cluster.kubectl("delete", "coststatements", namespace, selector)
    for _ in range(2):
        operator.start()
        user.wait_as_of("robbed", datetime.now(UTC))
        lost = user.condition("robbed", "Metered")
        assert (lost["status"], lost["reason"]) == ("False", "LedgerLost")
        assert "Restore it from a backup" in lost["message"]
        operator.stop()

    for field in ("resourceVersion", "uid", "creationTimestamp", "generation", "managedFields"):
        kept["metadata"].pop(field, None)
    user.cluster.kubectl("replace", "-f", "-", input=json.dumps(kept))
    operator.start()
    user.wait("a whole ledger", lambda: user.condition("robbed", "Metered").get("status") == "True")
