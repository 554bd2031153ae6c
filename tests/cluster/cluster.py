"""A whole cluster in one directory: start it, use it, end it."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.cluster import files, seen
from tests.cluster.api import Api
from tests.cluster.components import CHECKOUT, NETWORK, PROXY, components
from tests.cluster.errors import ClusterError
from tests.cluster.layout import Layout
from tests.cluster.machines import FAKE_TAINT, Machine
from tests.cluster.node import nodes
from tests.cluster.node.namespaces import inside
from tests.cluster.objects import Objects
from tests.cluster.pools import NodePool
from tests.cluster.processes import Processes
from tests.cluster.storage import CLASSES, STANDARD
from tests.cluster.tools import binaries

READY_SECONDS: Final = 120.0
DEFAULT_POOLS: Final = (NodePool(),)


class Cluster:
    """An API server with its controllers, scheduler, fake nodes and storage; all that it keeps is in `directory`.

    `up` starts one that lives on after this process, until `down`; as a context manager it ends with the block.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._processes = Processes(layout.directory)
        self.directory = layout.directory
        self.binaries: Path = layout.binaries
        self.kubeconfig: Path = layout.kubeconfig
        self.server: str = layout.server
        self.objects = Objects(Api(layout))

    @classmethod
    def up(cls, directory: Path, pools: Sequence[NodePool] = DEFAULT_POOLS, machines: Sequence[Machine] = ()) -> Self:
        """Start a new, empty cluster and wait until it is ready for pods; with `machines` it has real nodes, too.

        What a crashed one left running in this directory is ended first; one that works is an error. An exception or
        Ctrl-C during the start ends what was started.
        """
        directory = directory.absolute()
        if machines:
            nodes.require(directory)
        tools = binaries(nodes=bool(machines))
        images = nodes.make_images() if machines else ""
        directory.mkdir(parents=True, exist_ok=True)
        with files.locked(directory / "up"):
            if (before := cls._before(directory)) is not None:
                if before.complete:
                    end = f"python -m tests.cluster down --dir {directory}"
                    raise ClusterError(f"a cluster runs in {directory} already: end it with `{end}`")
                before.down()
            for name in ("etcd", "certificates", "logs", "kubeconfigs"):
                shutil.rmtree(directory / name, ignore_errors=True)
            cluster = cls(Layout.new(directory, tools, machines))
            if machines:
                files.write(cluster._layout.images, images)
            try:
                cluster._start(pools)
            except BaseException:
                cluster.down()
                raise
        return cluster

    @classmethod
    def attach(cls, directory: Path) -> Self:
        """Return the cluster that `up` started in this directory, in this process or another."""
        return cls(Layout.read(directory.absolute()))

    def down(self) -> None:
        """End exactly the processes that were started for this directory; logs stay. Nothing running is no error."""
        self._processes.stop(kill=True)
        nodes.clean(self._layout)
        shutil.rmtree(self.directory / "etcd", ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def kubectl(self, *arguments: str | Path, input: str | None = None, check: bool = True) -> str:
        """Return what kubectl prints, as the administrator; with `check` its failure raises, with its own words."""
        command = [self.binaries / "kubectl", f"--kubeconfig={self.kubeconfig}", *arguments]
        finished = subprocess.run(command, input=input, capture_output=True, text=True, check=False)
        if check and finished.returncode:
            raise ClusterError(f"kubectl {' '.join(map(str, arguments))}: {finished.stderr.strip()}")
        return finished.stdout

    def kubeconfig_for(self, serviceaccount: str, namespace: str = "default", duration: str = "24h") -> Path:
        """Write a kubeconfig with a new token of a ServiceAccount, so that its RBAC is what applies."""
        token = self.kubectl("create", "token", serviceaccount, f"--namespace={namespace}", f"--duration={duration}")
        path = self.directory / "kubeconfigs" / f"{namespace}-{serviceaccount}"
        self._layout.write_kubeconfig(path, serviceaccount, token.strip(), namespace)
        return path

    def add(self, pool: NodePool) -> None:
        """Add the nodes of one more pool and wait until they are Ready."""
        api = Api(self._layout)
        names = set()
        for manifest in pool.manifests():
            if self._layout.machines:
                manifest["spec"]["taints"].append(FAKE_TAINT)
            api.create("/api/v1/nodes", manifest)
            names.add(manifest["metadata"]["name"])
        self._wait(f"nodes of {pool.name}", lambda: names <= seen.ready_nodes(api))

    def pids(self) -> dict[str, int]:
        """Return the number of each component that runs."""
        return self._processes.pids()

    @property
    def complete(self) -> bool:
        """Whether every component runs."""
        return self.pids().keys() >= set(self.components)

    @property
    def components(self) -> tuple[str, ...]:
        """The names of all that runs where the cluster works."""
        return tuple(components(self._layout))

    def stop(self, name: str, kill: bool = False) -> None:
        """End one component, by SIGKILL if asked; `restart` brings it back."""
        self._known(name)
        self._processes.stop([name], kill=kill)

    def restart(self, name: str) -> None:
        """End one component if it runs, start it again on the same port, and wait until the API server answers."""
        self.stop(name)
        self._launch([name])
        self._wait_api()

    def log(self, name: str) -> Path:
        """Return the log of one component."""
        return self._processes.log(name)

    @classmethod
    def _before(cls, directory: Path) -> Self | None:
        """What a cluster that was started here, and may have crashed, left."""
        with suppress(ClusterError):
            return cls.attach(directory)
        return None

    def _start(self, pools: Sequence[NodePool]) -> None:
        names = [name for name in self.components if name not in (NETWORK, PROXY)]
        if self._layout.machines:
            self._layout.network_ready.unlink(missing_ok=True)
            self._launch([NETWORK])
            self._wait("network", self._layout.network_ready.exists)
        first, second = names[:2], names[2:]
        self._launch(first)
        # The API server makes its certificate and key itself, before it answers.
        self._wait("certificate of the API server", self._layout.write_authority)
        self._layout.write_kubeconfig(self.kubeconfig, "admin", self._layout.token)
        self._wait_api()
        self._launch(second)
        for pool in pools:
            self.add(pool)
        api = Api(self._layout)
        self._wait("default StorageClass", lambda: seen.exists(api, f"{CLASSES}/{STANDARD}"))
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self._wait("default ServiceAccount", lambda: seen.exists(api, account))
        if self._layout.machines:
            self._start_nodes(api)

    def _start_nodes(self, api: Api) -> None:
        """Wait for the real nodes, which start with the rest, and give them what a cluster's add-ons would."""
        machines = self._layout.machines
        self._wait("real nodes", lambda: {machine.name for machine in machines} <= seen.ready_nodes(api))
        for machine in machines:
            nodes.give_gpus(api, machine)
        # It ends where its node gets an address after it started.
        self._launch([PROXY])

    def _launch(self, names: Iterable[str]) -> None:
        commands = components(self._layout)
        for name in names:
            inner = bool(self._layout.machines) and name != NETWORK
            enter = inside(self.pids()[NETWORK], CHECKOUT) if inner else []
            self._processes.start(name, [*enter, *commands[name](self._layout)], cwd=CHECKOUT)

    def _wait_api(self) -> None:
        api = Api(self._layout)
        self._wait("API server", lambda: seen.answers(api))

    def _wait(self, what: str, done: Callable[[], bool]) -> None:
        """Poll until it is done; a component that ended by itself, or too long a time, raises."""
        deadline = time.monotonic() + READY_SECONDS
        while not done():
            self._processes.check()
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"{what}: not ready after {READY_SECONDS:.0f} s; the logs are in {self.directory / 'logs'}"
                )
            time.sleep(0.05)

    def _known(self, name: str) -> None:
        if name not in self.components:
            raise ClusterError(f"no component {name!r}; there are {', '.join(self.components)}")
