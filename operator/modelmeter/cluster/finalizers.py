"""Taking our finalizer off an object, and nothing else, and only off the object that we mean."""

from __future__ import annotations

from collections.abc import Sequence

from modelmeter.cluster.client import Client
from modelmeter.errors import ClusterError, NotFound


async def remove_finalizer(client: Client, path: str, uid: str, finalizers: Sequence[str], finalizer: str) -> None:
    """Remove `finalizer`, which is among `finalizers` as last seen; another object of the name is left alone.

    ClusterError where the list has changed meanwhile: the watch brings the new one, and the caller tries again.
    """
    index = list(finalizers).index(finalizer)
    operations = [
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "test", "path": f"/metadata/finalizers/{index}", "value": finalizer},
        {"op": "remove", "path": f"/metadata/finalizers/{index}"},
    ]
    try:
        await client.json_patch(path, operations)
    except NotFound:
        return
    except ClusterError as error:
        # 422: a test failed, so the object is not as we saw it; the watch tells what it is now.
        if error.status != 422:
            raise
