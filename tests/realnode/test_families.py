"""A classifier of each family and the 6-layer BERT in real containers: any text is answered as by the reference."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.node import inner
from tests.cluster.triton import minilm_directory
from tests.cluster.user import MODELS
from tests.loader.checkpoints import CLASSIFIERS
from tests.realnode.tenant import Tenant
from tests.serving.cases import TEXTS, check, mixed
from tests.serving.client import Answer, Asked
from tests.serving.models import ENCODER, Model, classifier, encoders

pytestmark = pytest.mark.realnode

NAMES = [ENCODER, *CLASSIFIERS]
# A long delay, so that requests do share batches.
BATCHING = {"maxQueueDelayMicroseconds": 20_000}


@pytest.fixture(scope="module")
def families(installed: Cluster, tenants: dict[str, Tenant]) -> Iterator[dict[str, Model]]:
    """A ModelDeployment of each, all applied at once; their checkpoints are in the claim that all mount."""
    folder = installed.directory / "checkpoints"
    models = {model.name: model for model in (encoders()[0], *(classifier(name, folder) for name in CLASSIFIERS))}
    for name, model in models.items():
        source = "minilm" if model.checkpoint == minilm_directory() else name
        spec = {"source": f"pvc://models/{source}", "labels": list(model.labels)}
        tenants[name] = Tenant(installed, name, model=spec, serving={"batching": BATCHING})
    yield models
    for name in models:
        tenants[name].kubectl("delete", MODELS, name, "--wait=false")


def ask(tenant: Tenant, cases: list[Asked]) -> list[Answer]:
    """All at once, by the Service's address, from outside the pods."""
    url = f"http://{tenant.get('service', tenant.name)['spec']['clusterIP']}:8000"
    return [
        Answer(*row)
        for row in json.loads(inner.module(tenant.cluster, "tests.serving.ask", url, input=json.dumps(cases)))
    ]


@pytest.mark.parametrize("name", NAMES)
def test_any_text_and_64_at_once_are_answered_as_by_the_reference(
    families: dict[str, Model], tenants: dict[str, Tenant], name: str
) -> None:
    tenant = tenants[name]
    tenant.wait("Ready", lambda: tenant.condition(name, "Ready").get("status") == "True", 150)
    for cases in ([Asked(name, text, "cooking") for text in TEXTS], mixed(name)):
        for asked, answer in zip(cases, ask(tenant, cases), strict=True):
            check(families[name], asked, answer)
