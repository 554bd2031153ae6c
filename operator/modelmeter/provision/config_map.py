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
    backend, timeout = serving.effective_backend(), serving.batching.queue_timeout_milliseconds
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
            # The loader's own defaults are not named, so that its newer fields change no older model.json.
            **({"backend": backend} if backend != "python" else {}),
            **({"instanceCount": serving.instances} if serving.instances != 1 else {}),
            **({"sequenceBuckets": spec.sequence_buckets} if spec.sequence_buckets else {}),
            **({"queueTimeoutMilliseconds": timeout} if timeout else {}),
            **({"responseCache": True} if serving.response_cache else {}),
            **({"accelerator": serving.accelerator} if serving.accelerator != "cuda" else {}),
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
