"""Say how far a download is: in few lines, however long it takes."""

import sys
from collections.abc import Callable
from typing import Final

Say = Callable[[str], None]
"""Takes one line of the loader's log."""

STEP_PERCENT: Final = 10


def log(line: str) -> None:
    """Write to the container's log at once."""
    print(line, file=sys.stderr, flush=True)


class Progress:
    """Counts the bytes of all files together; one line each tenth, so 10 lines at most and the first."""

    def __init__(self, say: Say, total_bytes: int = 0) -> None:
        self._say = say
        self._planned = bool(total_bytes)
        self._total_bytes = total_bytes
        self._finished_bytes = 0
        self._said_percent = -STEP_PERCENT

    def expect(self, size_bytes: int) -> None:
        """Take a file's size into the total, where no size was known before."""
        if not self._planned:
            self._total_bytes = self._finished_bytes + size_bytes

    def at(self, position_bytes: int) -> None:
        """The file under way has arrived up to here; lower than before where it begins again."""
        arrived_bytes = self._finished_bytes + position_bytes
        percent = arrived_bytes * 100 // self._total_bytes if self._total_bytes else 0
        if percent >= self._said_percent + STEP_PERCENT:
            self._said_percent = percent // STEP_PERCENT * STEP_PERCENT
            self._say(f"{size(arrived_bytes)} of {size(self._total_bytes)} ({percent} %)")

    def finish(self, size_bytes: int) -> None:
        """The file under way is complete."""
        self._finished_bytes += size_bytes


def size(number_bytes: int) -> str:
    """Write a number of bytes as people read it.

    >>> size(2_147_483_648), size(1536), size(12)
    ('2.0 GiB', '1.5 KiB', '12 B')
    """
    for unit, bytes_each in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if number_bytes >= bytes_each:
            tenths = number_bytes * 10 // bytes_each
            return f"{tenths // 10}.{tenths % 10} {unit}"
    return f"{number_bytes} B"
