"""Names that appear on objects in the cluster: group, labels, annotations, finalizers."""

from __future__ import annotations

GROUP = "modelmeter.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

MANAGED_BY = {"app.kubernetes.io/managed-by": "modelmeter"}
"""On all that the operator makes, and on nothing that somebody labelled by hand."""

LABEL_MODEL = f"{GROUP}/model"
"""On every metered pod and claim: the name of its ModelDeployment."""

LABEL_STAGE = f"{GROUP}/stage"
"""On pods and claims: the stage of the model's life that they serve; without it: SERVING."""
SERVING = "serving"

LABEL_MODEL_UID = f"{GROUP}/model-uid"
"""The UID of the ModelDeployment: a new one of the same name is another model."""

LABEL_NAMESPACE = f"{GROUP}/namespace"
LABEL_MONTH = f"{GROUP}/month"

METERING_FINALIZER = f"{GROUP}/metering"
"""On metered pods and claims: nothing that costs money vanishes uncounted."""

LEDGER_FINALIZER = f"{GROUP}/ledger"
"""On ModelDeployments: leaves when the last statement is written."""

TEMPLATE_HASH = f"{GROUP}/template-hash"
"""Annotation on a model's Deployments and their pods, its revision: what their spec was made of, but for the loader's
image."""

PRICE_PROFILE = f"{GROUP}/price-profile"
"""Annotation on pods: what decides the pod's price, captured from its node while it runs; JSON with `uid` and `node`,
so that a copy on another pod says nothing."""

HELD_AT_FIRST = f"{GROUP}/held-at-first"
"""Annotation on pods: what the pod held when it was first seen, for it may be resized in place; JSON with its `uid`."""

CONFIG_HASH = f"{GROUP}/config-hash"
"""Annotation on benchmark Jobs: what is measured, see provision/benchmark.py."""

GPU_PRODUCT = f"{GROUP}/gpu-product"
"""Annotation on benchmark Jobs: the GPU product of the replicas that are measured; empty without GPUs."""

BENCHMARK_OUTCOME = f"{GROUP}/benchmark-outcome"
"""Annotation on benchmark Jobs: what came of it, as JSON (`Outcome`); the status is made of this."""

LABEL_TUNE_OF = f"{GROUP}/tune-of"
"""On a ModelDeployment that `modelmeter tune` made for a while: the name of the model that it is a copy of."""

LABEL_TUNE_RUN = f"{GROUP}/tune-run"
"""On the same: which run made it; no other deletes it."""

FIELD_MANAGER = "modelmeter"

LONGEST_NAME = 50
"""Characters of a ModelDeployment's name: its children's are longer, and have 63 at the most."""


def bert_name(model: str) -> str:
    """The step of a model's ensemble that runs BERT; it carries the ensemble's name, for a server may have several."""
    return f"{model}-bert"
