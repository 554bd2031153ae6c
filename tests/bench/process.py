"""What a process has used, from /proc."""

from __future__ import annotations

import os
from pathlib import Path

MIB = 1024


def peak_rss_mib(pid: int) -> float:
    """The most memory that it held at once (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / MIB
    raise ProcessLookupError(pid)


def cpu_seconds(pid: int) -> float:
    """Processor time so far, of user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def group_cpu_seconds(group: int) -> float:
    """The same of all processes of a process group that still run."""
    return sum(cpu_seconds(pid) for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _group(pid) == group)


def machine_cpu_seconds() -> float:
    """Processor time that this machine has spent so far, what its host took from it included."""
    user, nice, system, _idle, _iowait, irq, softirq, stolen, *_ = map(
        int, Path("/proc/stat").read_text().partition("\n")[0].split()[1:]
    )
    return (user + nice + system + irq + softirq + stolen) / os.sysconf("SC_CLK_TCK")


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
