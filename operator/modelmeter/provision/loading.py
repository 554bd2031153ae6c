"""How far the loader of a pod is, in words."""

from __future__ import annotations

from dataclasses import dataclass

from modelmeter.readable import size


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """What a pod's loader answered.

    phase: what it does, in its own word. file: what the bytes are of, where it is one file.
    arrived_bytes: None where nothing is fetched just now. total_bytes: None where the source has not said it.
    trouble: why the last attempt at a download failed, while the next has not succeeded.
    """

    pod: str
    phase: str
    file: str = ""
    arrived_bytes: int | None = None
    total_bytes: int | None = None
    trouble: str = ""

    @property
    def percent(self) -> int | None:
        """Whole percents, rounded down; None where they are not known."""
        if self.arrived_bytes is None or not self.total_bytes:
            return None
        return min(100, self.arrived_bytes * 100 // self.total_bytes)

    def step(self) -> tuple[object, ...]:
        """What is worth a write when it changes: a tenth of the bytes, or of what has no total a doubling."""
        tenth = None if self.percent is None else self.percent // 10
        doubled = (self.arrived_bytes or 0).bit_length() if tenth is None else 0
        return self.pod, self.phase, self.file, tenth, doubled, bool(self.trouble)


def in_words(load: LoadProgress) -> str:
    """How far it is, without the pod's name.

    >>> in_words(LoadProgress("a", "fetching", "model.onnx", 3 << 29, 2 << 30))
    'fetching model.onnx, 1.5 GiB of 2.0 GiB (75 %)'
    """
    said = " ".join(filter(None, (load.phase, load.file)))
    if load.percent is not None:
        said += f", {size(load.arrived_bytes or 0)} of {size(load.total_bytes or 0)} ({load.percent} %)"
    elif load.arrived_bytes:
        said += f", {size(load.arrived_bytes)} so far (the source does not say of how much)"
    return f"{said}; {load.trouble}, it tries again" if load.trouble else said
