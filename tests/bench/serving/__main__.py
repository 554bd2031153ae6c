"""`python -m tests.bench.serving [--seconds S]`: requests a second and latencies, each beside its references."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

from modelmeter.loader.load import load
from modelmeter.loader.progress import Progress
from modelmeter.loader.spec import LoadSpec
from tests.bench.process import group_cpu_seconds, machine_cpu_seconds
from tests.bench.serving import model, servers
from tests.bench.serving.client import Job, Load
from tests.bench.serving.floor import Floor, label_of
from tests.bench.serving.servers import Server
from tests.bench.serving.shown import Point, floors, goals, points, together
from tests.bench.serving.texts import shown, texts
from tests.cluster import signals
from tests.cluster.triton import TritonError, minilm_directory

CLIENTS: Final = (1, 8, 32)
TEXTS: Final = 256
SEED: Final = 1
ROUNDS: Final = 3


def run(seconds: float, clients: tuple[int, ...]) -> None:
    """Measure, and print the tables."""
    given = texts(TEXTS, SEED)
    with tempfile.TemporaryDirectory(prefix="modelmeter-bench-serving-") as name:
        folder = Path(name)
        # The references run the file of padded rows, as they would get it from anybody.
        repository, padded = (converted(folder / backend, backend) for backend in ("python", "onnxruntime"))
        print(f"{len(os.sched_getaffinity(0))} CPUs; {shown(model.tokenizer(padded), given)}", flush=True)
        floor = measure_floor(padded, seconds)
        print(floors(floor), flush=True)
        with servers.ours(repository, folder / "triton") as ours, servers.usual(padded, folder / "log") as usual:
            measured = [point for n in clients for point in in_turn((usual, ours), given, floor.scores, n, seconds)]
    print(points(measured))
    print()
    print(goals(measured, floor))


def converted(folder: Path, backend: str) -> Path:
    """A repository of the real 6-layer BERT."""
    spec = LoadSpec(model.NAME, labels=model.LABELS, max_sequence_length=128, backend=backend)
    load(f"file://{minilm_directory()}", folder, spec, progress=Progress(lambda _: None))
    return folder


def measure_floor(repository: Path, seconds: float) -> Floor:
    """In a process of its own."""
    arguments = [str(repository), str(seconds), str(TEXTS), str(SEED)]
    command = [sys.executable, "-m", "tests.bench.serving.floor", *arguments]
    answer = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    per_second, cpu_ms = ({int(rows): at for rows, at in answer[key].items()} for key in ("per_second", "cpu_ms"))
    return Floor(per_second, cpu_ms, answer["scores"])


def in_turn(
    servers: tuple[Server, ...], given: list[str], scores: list[float], clients: int, seconds: float
) -> list[Point]:
    """Ask each server several times, in turn, so that what else this machine does meets all."""
    rounds = [[ask(server, given, scores, clients, seconds / ROUNDS) for server in servers] for _ in range(ROUNDS)]
    return [together(of_server) for of_server in zip(*rounds, strict=True)]


def ask(server: Server, given: list[str], scores: list[float], clients: int, seconds: float) -> Point:
    """Ask a server by so many clients."""
    bodies = [json.dumps({"text": text, "label": label_of(at)}) for at, text in enumerate(given)]
    job = Job(server.port, server.path, bodies, scores, clients, min(2.0, seconds / 4), seconds)
    before, began = used(server), time.perf_counter()
    command = [sys.executable, "-m", "tests.bench.serving.client"]
    done = subprocess.run(command, input=json.dumps(asdict(job)), stdout=subprocess.PIPE, text=True, check=True)
    wall_seconds = time.perf_counter() - began
    of_server, of_client, of_all = (after - at for after, at in zip(used(server), before, strict=True))
    others = (of_all - of_server - of_client) / (wall_seconds * (os.cpu_count() or 1))
    return Point(server.name, clients, Load(**json.loads(done.stdout)), of_server, others)


def used(server: Server) -> tuple[float, float, float]:
    """Processor seconds so far of a server, of the clients that have ended, and of the whole machine."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return group_cpu_seconds(server.group), ended.ru_utime + ended.ru_stime, machine_cpu_seconds()


def main() -> int:
    """The exit status: 0 if all was measured and all answers were right, whether a goal is met or not."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.serving", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each point, after a warm-up")
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS)
    options = parser.parse_args()
    signals.interrupt()
    try:
        run(options.seconds, tuple(options.clients))
    except KeyboardInterrupt:
        return 130
    except (TritonError, RuntimeError, subprocess.CalledProcessError) as error:
        print(f"bench-serving: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
