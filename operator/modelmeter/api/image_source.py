"""The source image://HOST/REPOSITORY:TAG/folder: an image that the kubelet mounts, and a folder in it."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_TAG: Final = ":[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
REFERENCE: Final = f"[^/@?# ]+/[a-z0-9][a-z0-9._/-]*({_TAG}|({_TAG})?@sha256:[0-9a-f]{{64}})"
"""HOST/REPOSITORY:TAG or @sha256:DIGEST, as a pattern."""
PATTERN: Final = f"^image://({REFERENCE})(/[^?#]*)?$"


class ImageSource(NamedTuple):
    """`reference` is the image as a registry and the kubelet know it; `folder` begins with / or is empty."""

    reference: str
    folder: str


def image_source(source: str) -> ImageSource | None:
    """The parts of an image:// source; None of another one, and of one without tag and digest.

    >>> image_source("image://registry.example/models/bert:v1/minilm")
    ImageSource(reference='registry.example/models/bert:v1', folder='/minilm')
    """
    found = re.match(PATTERN, source)
    return ImageSource(found[1], found[found.re.groups] or "") if found else None
