"""What the loader is told, as a ConfigMap."""

from __future__ import annotations

import json
from typing import Any, Final

from modelmeter.api.resources import ModelDeployment
from modelmeter.provision.labels import metadata
from modelmeter.provision.track import STABLE, Track

FILE: Final = "model.json"
SOURCE_DIRECTORY: Final = "/source"
"""Where the claim of a pvc:// source is mounted, or the image of an image:// source."""


def config_map_name(model: ModelDeployment, track: Track = STABLE) -> str:
    """Name of the ConfigMap."""
    return f"{model.name}-model{track.suffix}"


def model_json(model: ModelDeployment) -> str:
    """The loader's spec, as loader/spec.py reads it."""
    spec, serving = model.spec.model, model.spec.serving
    backend = serving.effective_backend()
    return json.dumps(
        {
            "name": model.name,
            "task": spec.task,
            "labels": spec.labels,
            "maxSequenceLength": spec.max_sequence_length,
            "precision": spec.precision,
            "maxBatchSize": serving.batching.max_batch_size,
            "maxQueueDelayMicroseconds": serving.batching.max_queue_delay_microseconds,
            "instanceKind": "KIND_GPU" if serving.gpu.count else "KIND_CPU",
            "claimDirectory": SOURCE_DIRECTORY,
            # The loader's own default is not named.
            **({"backend": backend} if backend != "python" else {}),
        },
        indent=2,
        ensure_ascii=False,
    )


def config_map(model: ModelDeployment, track: Track = STABLE) -> dict[str, Any]:
    """The ConfigMap with model.json."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(model, config_map_name(model, track)),
        "data": {FILE: model_json(model)},
    }
