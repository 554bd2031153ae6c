"""The spec of a ModelDeployment: which model, how it is served, what it may cost."""

from __future__ import annotations

from modelmeter.api.base import Struct
from modelmeter.api.benchmark import Benchmark
from modelmeter.api.model import Model
from modelmeter.api.pricing import Pricing
from modelmeter.api.serving import Serving
from modelmeter.api.storage import Storage


class ModelDeploymentSpec(Struct):
    """Desired state of a ModelDeployment; `model.source` alone is enough."""

    model: Model
    serving: Serving = Serving()
    storage: Storage = Storage()
    pricing: Pricing = Pricing()
    benchmark: Benchmark | None = None
    """What to measure of one replica, once for each configuration; not given: nothing."""
