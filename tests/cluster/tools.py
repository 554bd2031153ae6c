"""The control plane's binaries: built once from pinned Go modules, and kept in the cache outside the checkout."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.cluster.errors import ClusterError
from tests.cluster.files import locked, whole
from tests.cluster.toolchain import environment, go
from tests.cluster.triton import cache_directory

MODULES: Final = Path(__file__).parent / "go"
KUBERNETES: Final = "v1.37.2"
# Without a version the API server says v0.0.0, which kubectl and Helm refuse.
VERSION: Final = "k8s.io/component-base/version"
KUBE_FLAGS: Final = (
    f"-s -w -X {VERSION}.gitVersion={KUBERNETES} -X {VERSION}.gitMajor=1 -X {VERSION}.gitMinor=37"
    f" -X {VERSION}.gitTreeState=clean"
)
# module -> (linker flags, {binary: Go package})
TOOLS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "etcd": ("-s -w", {"etcd": "go.etcd.io/etcd/server/v3"}),
    "kwok": ("-s -w", {"kwok": "sigs.k8s.io/kwok/cmd/kwok"}),
    "helm": ("-s -w", {"helm": "helm.sh/helm/v4/cmd/helm"}),
    "kube": (
        KUBE_FLAGS,
        {
            name: f"k8s.io/kubernetes/cmd/{name}"
            for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
        },
    ),
}
# What a cluster with real nodes needs beside these.
NODE_TOOLS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "kube": (KUBE_FLAGS, {name: f"k8s.io/kubernetes/cmd/{name}" for name in ("kubelet", "kube-proxy")}),
    "containerd": (
        "-s -w",
        {
            name: f"github.com/containerd/containerd/v2/cmd/{name}"
            for name in ("containerd", "containerd-shim-runc-v2", "ctr")
        },
    ),
    "pause": ("-s -w", {"pause": "."}),
}
ASSETS: Final = ("etcd", "kube-apiserver", "kubectl")


def binaries(nodes: bool = False) -> Path:
    """Return a folder that holds all tools by name; what the cache lacks is built first (about 10 minutes, once).

    With `nodes` those of real nodes are among them.
    Those of etcd, kube-apiserver and kubectl that the folder KUBEBUILDER_ASSETS holds are used as they are.
    """
    found = _assets()
    for module, (flags, packages) in [*TOOLS.items(), *(NODE_TOOLS.items() if nodes else ())]:
        wanted = [name for name in packages if name not in found]
        found |= _built(module, flags, {name: packages[name] for name in wanted})
    key = hashlib.sha256("".join(f"{name}={path}\n" for name, path in sorted(found.items())).encode()).hexdigest()
    folder = cache_directory() / f"bin-{key[:12]}"
    with locked(folder):
        if not folder.is_dir():
            with whole(folder) as staging:
                staging.mkdir()
                for name, path in found.items():
                    (staging / name).symlink_to(path)
    return folder


def _assets() -> dict[str, Path]:
    """Return the tools that the user points at."""
    setting = os.environ.get("KUBEBUILDER_ASSETS")
    if not setting:
        return {}
    folder = Path(setting).absolute()
    if not folder.is_dir():
        raise ClusterError(f"KUBEBUILDER_ASSETS={setting} is no folder; correct or unset it")
    return {name: folder / name for name in ASSETS if os.access(folder / name, os.X_OK)}


def _built(module: str, flags: str, packages: Mapping[str, str]) -> dict[str, Path]:
    """Return the tools of one module, building those that the cache lacks, one after another."""
    source = MODULES / module
    texts = [path.read_bytes() for path in (source / "go.mod", source / "go.sum", *sorted(source.glob("*.go")))]
    key = hashlib.sha256(b"\0".join([*texts, flags.encode(), platform.machine().encode()])).hexdigest()
    folder = cache_directory() / f"bin-{module}-{key[:12]}"
    built = {name: folder / name for name in packages}
    if all(path.exists() for path in built.values()):
        return built
    with locked(folder):
        for name, path in built.items():
            if not path.exists():
                _build(source, path, [f"-ldflags={flags}", packages[name]], name)
    return built


def _build(source: Path, target: Path, arguments: Sequence[str], name: str) -> None:
    print(f"building {name} (once; Go compiles it from its pinned source)", file=sys.stderr, flush=True)
    began = time.monotonic()
    command = go()
    with whole(target) as staging:
        finished = subprocess.run(
            [command, "build", "-trimpath", "-buildvcs=false", "-o", staging, *arguments],
            cwd=source, env=environment(), stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False,
        )  # fmt: skip
        if finished.returncode:
            raise ClusterError(
                f"{name} could not be built (Go's message stands above). The build needs a Go module proxy, see "
                "`go env GOPROXY`; run the command again, and it continues where it stopped"
            )
    print(f"built {name} in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
