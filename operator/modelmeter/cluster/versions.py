"""The version of an object: all that is read of many an answer."""

from __future__ import annotations

import msgspec


class _Object(msgspec.Struct):
    class Metadata(msgspec.Struct, rename="camel"):
        resource_version: str

    metadata: Metadata


def version_of(answer: bytes | msgspec.Raw) -> str:
    """The resourceVersion of an object as JSON, or of a bookmark."""
    return msgspec.json.decode(answer, type=_Object).metadata.resource_version
