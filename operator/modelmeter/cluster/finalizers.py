"""Taking our finalizer off an object, and nothing else, and only off the object that we mean."""

from __future__ import annotations

from collections.abc import Sequence

from modelmeter.cluster.client import Client
from modelmeter.cluster.present import present
from modelmeter.cluster.versions import version_of
from modelmeter.errors import ClusterError, NotFound


async def remove_finalizer(client: Client, path: str, uid: str, finalizers: Sequence[str], finalizer: str) -> int:
    """Remove `finalizer`, which is among `finalizers` as last seen; another object of the name is left alone.

    Answers the version of the object without it; 0 where it is gone, or not as last seen: then the watch brings
    it as it is, and the caller tries again.
    """
    index = list(finalizers).index(finalizer)
    operations = [
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "test", "path": f"/metadata/finalizers/{index}", "value": finalizer},
        {"op": "remove", "path": f"/metadata/finalizers/{index}"},
    ]
    try:
        patched = await client.json_patch(path, operations)
    except NotFound:
        return 0
    except ClusterError as error:
        # 422: a test failed, or somebody's admission policy refuses it.
        if error.status != 422 or await _is_as_seen(client, path, uid, index, finalizer):
            raise
        return 0
    return int(version_of(patched))


async def _is_as_seen(client: Client, path: str, uid: str, index: int, finalizer: str) -> bool:
    there = await present(client, path)
    return there is not None and there.uid == uid and there.finalizers[index : index + 1] == [finalizer]
