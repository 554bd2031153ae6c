"""The two Deployments that a model may have at once: its own, and the canary of a new revision.

What the loader is told and where it writes is each one's own, so that a pod that starts again, or whose Triton does,
comes back with its own revision, whatever the other's loader did meanwhile.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from modelmeter.api.names import GROUP

TRACK_LABEL: Final = f"{GROUP}/track"
"""On the pods of a canary, and in what its Deployment selects by; a model's own pods carry none."""


class Track(NamedTuple):
    """What one of the two has for itself."""

    suffix: str
    """Of the names of its Deployment and ConfigMap."""
    repository: str
    """Triton's model repository, on the models' volume."""
    labels: tuple[tuple[str, str], ...] = ()
    """Of its pods, beside those of all."""


STABLE: Final = Track("", "/models/repository")
CANARY: Final = Track("-canary", "/models/canary", ((TRACK_LABEL, "canary"),))
