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
