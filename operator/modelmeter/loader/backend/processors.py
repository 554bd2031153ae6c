"""How many processors this container may use."""

import os
from pathlib import Path
from typing import Final

QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")


def available(quota: Path = QUOTA) -> int:
    """Return the processors of the container's CPU limit, rounded up; without one, those it may run on.

    quota: the control group's cpu.max, "QUOTA PERIOD" in microseconds; QUOTA is max without a limit.
    """
    allowed = len(os.sched_getaffinity(0))
    try:
        limit, period = quota.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return allowed  # a machine without control groups of version 2
    return allowed if limit == "max" else max(1, min(allowed, -(-int(limit) // int(period))))


def per_instance(instances: int) -> int:
    """Return the threads of one of several instances that share the container."""
    return max(1, available() // instances)
