"""What of the cluster one run's operators are shown: cluster-wide lists and watches become those of one namespace.

So many runs share a control plane: each has statements and a Lease of its own, for its namespace is also that of its
operators, who may do there what the chart's Role lets them. All else about the answers is the API server's own.
"""

from __future__ import annotations

import re
from typing import Final

NAMESPACED: Final = re.compile(
    r"^(?P<group>/api/v1|/apis/apps/v1|/apis/batch/v1|/apis/modelmeter\.dev/v1alpha1)"
    r"/(?P<kind>pods|persistentvolumeclaims|configmaps|services|deployments|jobs|modeldeployments)$"
)
BOOKS: Final = "/apis/modelmeter.dev/v1alpha1/pricebooks"


def scoped(path: str, query: dict[str, str], namespace: str) -> tuple[str, dict[str, str]]:
    """Path and query of a GET as it goes to the API server.

    >>> scoped("/api/v1/pods", {}, "run-1")
    ('/api/v1/namespaces/run-1/pods', {})
    """
    if found := NAMESPACED.match(path):
        return f"{found['group']}/namespaces/{namespace}/{found['kind']}", query
    if path == BOOKS:
        return path, {**query, "fieldSelector": f"metadata.name={namespace}"}
    return path, query
