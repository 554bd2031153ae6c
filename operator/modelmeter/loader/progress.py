"""How far a load is: said in the log in few lines, however long it takes, and kept for whoever asks."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from modelmeter.readable import size

Say = Callable[[str], None]
"""Takes one line of the loader's log."""

FETCHING: Final = "fetching"
UNPACKING: Final = "unpacking"
CHECKING: Final = "checking"
CONVERTING: Final = "converting"
PUBLISHING: Final = "publishing"

STEP_PERCENT: Final = 10
FIRST_BYTES: Final = 1 << 20
"""When a download of unknown size is first spoken of; then whenever it has doubled."""


def log(line: str) -> None:
    """Write to the container's log at once."""
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class State:
    """How far a load is.

    file: what the bytes are of, where it is one file; empty: all files together.
    total_bytes: None where the source has not said it.
    trouble: why the last attempt failed, until another succeeds.
    """

    phase: str = ""
    file: str = ""
    arrived_bytes: int = 0
    total_bytes: int | None = None
    trouble: str = ""

    @property
    def percent(self) -> int | None:
        """Whole percents of the bytes, rounded down; None where their total is not known."""
        return min(100, self.arrived_bytes * 100 // self.total_bytes) if self.total_bytes else None

    def to_mapping(self) -> dict[str, Any]:
        """Return the JSON form; bytes only while something is fetched."""
        figures = {"bytes": self.arrived_bytes, "totalBytes": self.total_bytes, "percent": self.percent}
        return {
            "phase": self.phase,
            **({"file": self.file} if self.file else {}),
            **(figures if self.phase == FETCHING else {}),
            **({"trouble": self.trouble} if self.trouble else {}),
        }


class Progress:
    """Keeps `state`, which another thread may read, and says one line each phase and each tenth of the bytes."""

    def __init__(self, say: Say = log) -> None:
        self.say = say
        self.state = State()
        self._finished_bytes = 0
        self._said_percent = 0
        self._said_bytes = 0

    def begin(self, phase: str) -> None:
        """Something else than a download is under way."""
        self.state = State(phase)
        self.say(phase)

    def fetch(self, file: str = "", total_bytes: int | None = None) -> None:
        """A download is under way: of one file, or of all files together."""
        self.state = State(FETCHING, file, 0, total_bytes)
        self._finished_bytes = 0
        self._said_percent = -STEP_PERCENT
        self._said_bytes = FIRST_BYTES // 2

    def expect(self, size_bytes: int) -> None:
        """Take a file's size into the total, where no size was known before."""
        if self.state.total_bytes is None:
            self.state = replace(self.state, total_bytes=self._finished_bytes + size_bytes)

    def at(self, position_bytes: int) -> None:
        """The file under way has arrived up to here; lower than before where it begins again."""
        arrived_bytes = self._finished_bytes + position_bytes
        state = self.state = replace(self.state, arrived_bytes=arrived_bytes, trouble="")
        of_what = f"{state.file}: " if state.file else ""
        if state.percent is None:
            if arrived_bytes >= 2 * self._said_bytes:
                self._said_bytes = arrived_bytes
                self.say(f"{of_what}{size(arrived_bytes)}, of how much the source does not say")
        elif state.percent >= self._said_percent + STEP_PERCENT:
            self._said_percent = state.percent // STEP_PERCENT * STEP_PERCENT
            self.say(f"{of_what}{size(arrived_bytes)} of {size(state.total_bytes or 0)} ({state.percent} %)")

    def finish(self, size_bytes: int) -> None:
        """The file under way is complete."""
        self._finished_bytes += size_bytes

    def fail(self, trouble: str) -> None:
        """An attempt failed; another follows."""
        self.state = replace(self.state, trouble=trouble)
