"""What stands where prometheus-adapter would: the aggregated API of custom metrics, read from real Tritons.

Its value is what the adapter's rule of docs/autoscaling.md computes: the mean queue time of a pod's BERT step, from the
counters of that pod's own /metrics, over the time since it was asked last.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
import urllib.request
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.cluster.cluster import Cluster

GROUP_VERSION = "custom.metrics.k8s.io/v1beta2"
METRIC = "triton_queue_microseconds"
NAMESPACE = "metrics-adapter"
API_SERVICE = "v1beta2.custom.metrics.k8s.io"
ASKED = re.compile(rf"^/apis/{GROUP_VERSION}/namespaces/([^/]+)/pods/\*/{METRIC}$")
COUNTER = re.compile(r'^nv_inference_(queue_duration_us|request_success)\{.*model="[^"]+-bert".*\} (\d+)', re.MULTILINE)


class MetricsAdapter:
    """Serves until it is closed; the API server reaches it as it reaches any other extension."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._before: dict[str, dict[str, int]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificates = cluster.directory / "certificates"
        context.load_cert_chain(certificates / "apiserver.crt", certificates / "apiserver.key")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        for manifest in self._manifests():
            cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest))
        cluster.kubectl("wait", "--for=condition=Available", "apiservice", API_SERVICE, "--timeout=30s")

    def close(self) -> None:
        """Take the API away again: while one is there that nobody serves, no namespace can be deleted."""
        self._cluster.kubectl("delete", "apiservice", API_SERVICE)
        self._cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
        self._server.shutdown()
        self._server.server_close()

    def values(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """The items of a MetricValueList."""
        found = self._cluster.kubectl("get", "pods", f"--namespace={namespace}", f"--selector={selector}", "-o", "json")
        return [
            {
                "describedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": name},
                "metric": {"name": METRIC},
                "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "value": str(self._mean_queue_microseconds(name, address)),
            }
            for pod in json.loads(found)["items"]
            if (name := pod["metadata"]["name"]) and (address := pod["status"].get("podIP"))
        ]

    def _mean_queue_microseconds(self, pod: str, address: str) -> int:
        with urllib.request.urlopen(f"http://{address}:8002/metrics", timeout=5) as answer:
            counters = {name: int(value) for name, value in COUNTER.findall(answer.read().decode())}
        before, self._before[pod] = self._before.get(pod, counters), counters
        waited, answered = (counters[name] - before[name] for name in ("queue_duration_us", "request_success"))
        return waited // answered if answered else 0

    def _manifests(self) -> tuple[dict[str, Any], ...]:
        port = self._server.server_address[1]
        service = {"namespace": NAMESPACE, "name": "adapter", "port": port}
        group, _, version = GROUP_VERSION.partition("/")
        return (
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"namespace": NAMESPACE, "name": "adapter"},
                "spec": {"type": "ExternalName", "externalName": "localhost"},
            },
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": API_SERVICE},
                "spec": {
                    "group": group,
                    "version": version,
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                    "insecureSkipTLSVerify": True,
                    "service": service,
                },
            },
        )


def _handler(adapter: MetricsAdapter) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            where = urlsplit(self.path)
            if where.path == f"/apis/{GROUP_VERSION}":
                resource = {"name": f"pods/{METRIC}", "singularName": "", "namespaced": True}
                resource |= {"kind": "MetricValueList", "verbs": ["get"]}
                body = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP_VERSION}
                self._answer(200, {**body, "resources": [resource]})
            elif asked := ASKED.match(unquote(where.path)):
                selector = parse_qs(where.query).get("labelSelector", [""])[0]
                items = adapter.values(asked[1], selector)
                self._answer(
                    200, {"kind": "MetricValueList", "apiVersion": GROUP_VERSION, "metadata": {}, "items": items}
                )
            else:
                self._answer(404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404})

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            return None

    return Handler
