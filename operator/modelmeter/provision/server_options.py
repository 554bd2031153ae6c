"""Options of Triton's command line that the spec asks for, and the environment that they refer to."""

from __future__ import annotations

import math
from typing import Any, Final

from modelmeter.api.scalars import quantity
from modelmeter.api.serving import Serving

KEY_HEADER: Final = "modelmeter-key"
"""HTTP header that opens a restricted API; over gRPC triton-grpc-protocol-modelmeter-key."""
KEY_VARIABLE: Final = "MODELMETER_POD_UID"
"""Its value: the pod's UID, which callers of the Service do not know, and which is another for each replica."""


def server_options(serving: Serving) -> list[str]:
    """Options beside those that every server has."""
    options = []
    if serving.response_cache is not None:
        options.append(f"--cache-config=local,size={math.floor(quantity(serving.response_cache.size))}")
    if serving.restricted_apis:
        restriction = f"{','.join(serving.restricted_apis)}:{KEY_HEADER}=$({KEY_VARIABLE})"
        options += [f"--http-restricted-api={restriction}", f"--grpc-restricted-protocol={restriction}"]
    return options


def server_variables(serving: Serving) -> list[dict[str, Any]]:
    """What the kubelet puts into the options."""
    uid = {"name": KEY_VARIABLE, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    return [uid] if serving.restricted_apis else []
