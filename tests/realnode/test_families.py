"""A classifier of each family and the 6-layer BERT in real containers: any text is answered as by the reference."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.images.archive import Image
from tests.cluster.images.layers import key, tar
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
IN_AN_IMAGE = "xlm-roberta"
"""Its checkpoint is not in the claim but in an image, which the kubelet mounts."""
ABSENT = "absent"
MISSING = "registry.example/models/none:1"
IMAGE = "registry.example/models/xlm-roberta:1"
NODE = "real-gpu"
# A long delay, so that requests do share batches.
BATCHING = {"maxQueueDelayMicroseconds": 20_000}


@pytest.fixture(scope="module")
def families(installed: Cluster, tenants: dict[str, Tenant]) -> Iterator[dict[str, Model]]:
    """A ModelDeployment of each, all applied at once; their checkpoints are in a claim and in an image."""
    folder = installed.directory / "checkpoints"
    models = {model.name: model for model in (encoders()[0], *(classifier(name, folder) for name in CLASSIFIERS))}
    load_image(installed, models[IN_AN_IMAGE].checkpoint)
    for name, model in models.items():
        place = "minilm" if model.checkpoint == minilm_directory() else name
        source = f"image://{IMAGE}/models/{name}" if name == IN_AN_IMAGE else f"pvc://models/{place}"
        spec = {"source": source, "labels": list(model.labels)}
        tenants[name] = Tenant(installed, name, model=spec, serving={"batching": BATCHING})
    tenants[ABSENT] = Tenant(installed, ABSENT, model={"source": f"image://{MISSING}/bert"})
    yield models
    for name in (*models, ABSENT):
        tenants[name].kubectl("delete", MODELS, name, "--wait=false")


def load_image(cluster: Cluster, checkpoint: Path) -> None:
    """Give the node an image with a checkpoint, for no registry can be reached."""
    name = key("models", checkpoint.name, *(path.read_bytes() for path in sorted(checkpoint.iterdir())))
    image = Image((IMAGE,), (tar(checkpoint, name, f"models/{checkpoint.name}/", owner=0),), {})
    archive = cluster.directory / "models.tar"
    with archive.open("wb") as output:
        image.write(output)
    inner.ctr(cluster, NODE, "images", "import", str(archive))


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


def test_an_image_of_a_source_that_cannot_be_pulled(families: dict[str, Model], tenants: dict[str, Tenant]) -> None:
    message = tenants[ABSENT].wait_reason("SourceImageNotPulled")
    assert MISSING in message
    assert "check spec.model.source and spec.serving.imagePullSecrets" in message
    assert tenants[ABSENT].condition(ABSENT, "ModelAvailable")["status"] == "False"
