"""Background processes that outlive their starter, and a record by which anyone ends exactly these."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.cluster import files
from tests.cluster.errors import ClusterError

# What each signal is given to work. Nothing here has a state that a kill could hurt; an API server with open watches
# would take a minute to end by itself.
PATIENCE_SECONDS: Final = {signal.SIGTERM: 2.0, signal.SIGKILL: 10.0}


class Processes:
    """The processes of one directory: logs in `logs/NAME.log`, numbers and start times in `processes.json`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._record_file = directory / "processes.json"
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str | Path], cwd: Path | None = None) -> None:
        """Start a process in a session of its own: neither Ctrl-C nor the end of this process reaches it."""
        log = self.log(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            child = subprocess.Popen(
                list(map(str, command)), cwd=cwd or self.directory, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, start_new_session=True,
            )  # fmt: skip
        self._children[name] = child
        self._write(self._record() | {name: {"pid": child.pid, "started": _start_ticks(child.pid) or 0}})

    def stop(self, names: Iterable[str] | None = None, kill: bool = False) -> None:
        """End these processes (all by default) and wait until they are gone; those that do not heed are killed."""
        record = self._record()
        names = list(record) if names is None else [name for name in names if name in record]
        handles = {name: handle for name in names if (handle := _open(**record[name])) is not None}
        try:
            for number in [signal.SIGKILL] if kill else [signal.SIGTERM, signal.SIGKILL]:
                for handle in handles.values():
                    with suppress(ProcessLookupError):
                        signal.pidfd_send_signal(handle, number)
                handles = {
                    name: handle for name, handle in handles.items() if not _ended(handle, PATIENCE_SECONDS[number])
                }
        finally:
            for handle in handles.values():
                os.close(handle)
        if handles:
            raise ClusterError(f"{', '.join(handles)} did not end; see {self.directory / 'logs'}")
        for name in names:
            self._reap(name)
        rest = {name: entry for name, entry in record.items() if name not in names}
        if rest:
            self._write(rest)
        else:
            self._record_file.unlink(missing_ok=True)

    def pids(self) -> dict[str, int]:
        """Return the numbers of the recorded processes that still run."""
        for name in self._children:
            self._reap(name, wait=False)
        return {name: entry["pid"] for name, entry in self._record().items() if _runs(**entry)}

    def recorded(self) -> list[str]:
        """Return the names of all that were started and not stopped, whether they run or not."""
        return list(self._record())

    def check(self) -> None:
        """Raise if one ended by itself, with the end of its log."""
        dead = sorted(set(self.recorded()) - set(self.pids()))
        if dead:
            raise ClusterError(f"{dead[0]} ended by itself; the end of {self.log(dead[0])}:\n{self.tail(dead[0])}")

    def log(self, name: str) -> Path:
        """Return where a process writes what it says."""
        return self.directory / "logs" / f"{name}.log"

    def tail(self, name: str, size_bytes: int = 2000) -> str:
        """Return the end of a log."""
        try:
            return self.log(name).read_bytes()[-size_bytes:].decode(errors="replace")
        except OSError:
            return ""

    def _reap(self, name: str, wait: bool = True) -> None:
        """Let a child of this very process leave the process table."""
        child = self._children.get(name)
        if child is not None:
            child.wait() if wait else child.poll()

    def _record(self) -> dict[str, dict[str, int]]:
        try:
            return json.loads(self._record_file.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
        except (OSError, ValueError):
            return {}

    def _write(self, record: dict[str, dict[str, int]]) -> None:
        files.write(self._record_file, json.dumps(record, indent=2))


def _runs(pid: int, started: int) -> bool:
    return _start_ticks(pid) == started


def _open(pid: int, started: int) -> int | None:
    """Return a handle of this very process, which no later user of its number shares; None if it is gone."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return None
    if _runs(pid, started):
        return handle
    os.close(handle)
    return None


def _ended(handle: int, patience_seconds: float) -> bool:
    """Wait for the end of a process; its handle is closed when it is gone."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    if not poll.poll(patience_seconds * 1000):
        return False
    os.close(handle)
    return True


def _start_ticks(pid: int) -> int | None:
    """Return when a process started, so that a number used again is not mistaken; None if it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    state, *rest = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(rest[18])
