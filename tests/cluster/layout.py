"""What a cluster keeps in its directory, and where it listens."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from tests.cluster import files
from tests.cluster.errors import ClusterError
from tests.cluster.machines import Machine
from tests.cluster.ports import free_ports


@dataclass(frozen=True, slots=True)
class Layout:
    """The settings of one cluster, the same for all processes that use its directory."""

    directory: Path
    binaries: Path
    etcd_port: int
    peer_port: int
    api_port: int
    token: str
    machines: tuple[Machine, ...] = ()
    """Real nodes; where there is one, the whole cluster lives in a network namespace of its own."""

    @classmethod
    def new(cls, directory: Path, binaries: Path, machines: Sequence[Machine] = ()) -> Self:
        """Choose ports and a secret, and write them down."""
        ports = free_ports()
        secret = secrets.token_urlsafe(24)
        layout = cls(directory, binaries, next(ports), next(ports), next(ports), secret, tuple(machines))
        values = {**asdict(layout), "binaries": str(binaries)}
        del values["directory"]
        files.write(layout._file(directory), json.dumps(values, indent=2))
        files.write(layout.tokens, f'{layout.token},admin,admin,"system:masters"\n')
        return layout

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read what `new` wrote."""
        try:
            values = json.loads(cls._file(directory).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise ClusterError(
                f"no cluster in {directory}: start one with `python -m tests.cluster up --dir {directory}`"
            ) from None
        machines = tuple(Machine(**machine) for machine in values.pop("machines"))
        return cls(directory, Path(values.pop("binaries")), **values, machines=machines)

    @staticmethod
    def _file(directory: Path) -> Path:
        return directory / "cluster.json"

    @property
    def server(self) -> str:
        """The API server's address."""
        return f"https://127.0.0.1:{self.api_port}"

    @property
    def tokens(self) -> Path:
        """The API server's list of static tokens."""
        return self.directory / "tokens.csv"

    @property
    def certificates(self) -> Path:
        """The folder where the API server makes its own certificate."""
        return self.directory / "certificates"

    @property
    def authority(self) -> Path:
        """The certificate that a client must trust: that of the authority which signed the API server's."""
        return self.certificates / "ca.crt"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's access."""
        return self.directory / "kubeconfig"

    @property
    def network_ready(self) -> Path:
        """The file that appears once the network of a cluster with real nodes is there."""
        return self.directory / "network-ready"

    @property
    def images(self) -> Path:
        """What images every real node holds, as they were when the cluster was started."""
        return self.directory / "images.json"

    @property
    def volumes(self) -> Path:
        """Where the volumes of real pods are mounted, inside the cluster's namespaces."""
        return self.directory / "volumes"

    def node(self, name: str) -> Path:
        """What a real node keeps."""
        return self.directory / "nodes" / name

    def cgroup(self, name: str) -> str:
        """The name of the cgroup that holds a real node's pods; no other cluster has it."""
        return f"modelmeter-{self.api_port}-{name}"

    def write_authority(self) -> bool:
        """Take the authority's certificate from the end of the API server's own file; False if it is not there yet."""
        try:
            text = (self.certificates / "apiserver.crt").read_text(encoding="ascii")
        except FileNotFoundError:
            return False
        begin = "-----BEGIN CERTIFICATE-----"
        _, *certificates = text.split(begin)
        if len(certificates) < 2 or not text.endswith("-----END CERTIFICATE-----\n"):
            return False
        files.write(self.authority, begin + certificates[-1])
        return True

    def write_kubeconfig(self, path: Path, user: str, token: str, namespace: str = "default") -> None:
        """Write a kubeconfig that holds all it needs, so that it can be copied."""
        authority = base64.b64encode(self.authority.read_bytes()).decode()
        config: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "harness", "cluster": {"server": self.server, "certificate-authority-data": authority}}
            ],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": user, "context": {"cluster": "harness", "user": user, "namespace": namespace}}],
            "current-context": user,
        }
        files.write(path, yaml.safe_dump(config, sort_keys=False))
