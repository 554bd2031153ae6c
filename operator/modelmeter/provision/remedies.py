"""What to do about a refusal, by the words of whoever refuses; in each table the first that is said holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

FIELD: Final = "change what it names, by its name in spec.serving or spec.storage"

APPLY: Final = (
    ("belongs to somebody else", ""),  # says it itself
    ("has no ScaledObject", "install KEDA, or take spec.serving.autoscaling.keda out (min then has to be 1 or more)"),
    ("exceeded quota", "raise the namespace's ResourceQuota, or ask for less in spec"),
    ("only dynamically provisioned pvc", "set spec.storage.size back, or let the StorageClass allowVolumeExpansion"),
    ("is forbidden: User ", "give the operator its ClusterRole again: helm upgrade, or kubectl apply its manifest"),
    ("denied the request", "change spec, or ask whoever keeps this cluster's admission webhook"),
    ("denied request", "change spec, or ask whoever keeps this cluster's ValidatingAdmissionPolicy"),
    ("must specify a volume type", "let the cluster mount images (feature gate ImageVolume), or use another source"),
    ("typed patch object", FIELD),
    ("404 page not found", "let the cluster serve resource.k8s.io/v1, or leave spec.serving.gpu.deviceClassName out"),
    ("Invalid: ", FIELD),
    ("BadRequest: ", FIELD),
    ("Forbidden: ", "change spec, or what forbids it in this namespace"),
)
"""Of children that the API server does not take; what is not here passes by itself."""

LOADER_START: Final = (('secret "', "create it, or change spec.model.credentialsSecret"),)
"""Of a loader that the kubelet cannot start."""

TRITON_START: Final = (
    ('secret "', "create it, or change spec.serving.env"),
    ('configmap "', "create it, or change spec.serving.env"),
    ("couldn't find key", "create it, or change spec.serving.env"),
    ("executable file not found", "name an image of Triton in spec.serving.image"),
)
"""Of a Triton that the kubelet cannot start."""


def with_remedy(said: str, table: Iterable[tuple[str, str]], otherwise: str = "") -> str:
    """What was said, and what to do about it where that is known."""
    remedy = next((remedy for words, remedy in table if words in said), otherwise)
    return f"{said}; {remedy}" if remedy else said
