"""A real node: containerd and a kubelet, as process 1 of a PID namespace with mounts of its own.

`python -m tests.cluster.node.machine --dir DIR --name NAME`. The node sees this machine's file system, except that
/run is new and /var/lib and /var/log are folders of the cluster's directory; the kernel's settings that a kubelet
changes are copies. It ends when containerd or the kubelet ends, and with it all that it started.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.cluster.images import store
from tests.cluster.layout import Layout
from tests.cluster.machines import Machine
from tests.cluster.node import cgroups, settings
from tests.cluster.node.namespaces import command
from tests.cluster.node.needs import SEARCH

KERNEL: Final = (
    "vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
)  # fmt: skip
"""What a kubelet sets, for the whole machine."""
OWN: Final = {"lib": Path("/var/lib"), "log": Path("/var/log")}


class Node:
    """The processes of one node."""

    def __init__(self, layout: Layout, machine: Machine) -> None:
        self._layout = layout
        self._machine = machine
        self._home = layout.node(machine.name)
        self._etc = self._home / "etc"
        self._children: dict[int, str] = {}

    def run(self) -> str:
        """Start everything; return the name of what ended first."""
        self._configure()
        images = self._layout.images.read_text(encoding="utf-8")
        store.link(images, self._layout.binaries, self._home / "lib" / "containerd")
        self._mount()
        cgroups.create(self._layout.cgroup(self._machine.name))
        self._start("containerd", "containerd", f"--config={self._etc}/containerd.toml")
        store.wait(self._layout.binaries)
        self._start("events", "ctr", "--namespace=k8s.io", "events")
        self._start("kubelet", *self._kubelet())
        while True:
            pid, _ = os.wait()  # and of every orphan of the node
            if (name := self._children.get(pid)) is not None:
                return name

    def _configure(self) -> None:
        network = self._etc / "net.d"
        network.mkdir(parents=True, exist_ok=True)
        runc = shutil.which("runc", path=SEARCH)
        (network / "10-harness.conflist").write_text(settings.cni(self._machine))
        (self._etc / "containerd.toml").write_text(settings.containerd(str(runc), network))
        kubelet = settings.kubelet(self._machine, self._layout.cgroup(self._machine.name))
        (self._etc / "kubelet.json").write_text(json.dumps(kubelet, indent=2))
        # The device manager forgets the GPUs that it was not told of by a plugin where it finds no checkpoint.
        checkpoint = self._home / "lib" / "kubelet" / "device-plugins" / "harness"
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.touch()

    def _mount(self) -> None:
        kernel = self._home / "kernel"
        for name in KERNEL:
            copy = kernel / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(Path("/proc/sys", name).read_text())
            command("mount", "--bind", copy, f"/proc/sys/{name}")
        for name, place in OWN.items():
            (self._home / name).mkdir(exist_ok=True)
            command("mount", "--bind", self._home / name, place)
        command("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")

    def _start(self, name: str, *words: str) -> None:
        log = self._layout.directory / "logs" / f"{self._machine.name}-{name}.log"
        with log.open("ab") as output:
            child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/")
        self._children[child.pid] = name

    def _kubelet(self) -> list[str]:
        labels = ",".join(f"{name}={value}" for name, value in self._machine.labels.items())
        return [
            "kubelet",
            f"--config={self._etc}/kubelet.json",
            f"--kubeconfig={self._layout.kubeconfig}",
            f"--hostname-override={self._machine.name}",
            f"--node-ip={self._machine.address}",
            f"--node-labels={labels}",
        ]


def main() -> int:
    """Run until something ends."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.node.machine", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="the cluster's directory")
    parser.add_argument("--name", required=True, help="the node's name")
    options = parser.parse_args()
    layout = Layout.read(options.dir)
    os.environ["PATH"] = f"{layout.binaries}:{SEARCH}"
    machine = next(entry for entry in layout.machines if entry.name == options.name)
    print(f"{Node(layout, machine).run()} ended", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
