"""Reads the few instructions that our Dockerfile has; one that it does not know is an error, never skipped."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.cluster.errors import ClusterError

SETTINGS: Final = ("ENV", "USER", "ENTRYPOINT", "WORKDIR")
"""What makes no layer."""
STEPS: Final = ("RUN", "COPY")


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction with its words, as it stands."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Stage:
    """From one FROM to the next."""

    base: str
    alias: str
    steps: list[Step] = field(default_factory=list)


def read(path: Path) -> list[Stage]:
    """The stages of a Dockerfile, in their order."""
    stages: list[Stage] = []
    for step in _instructions(path.read_text(encoding="utf-8")):
        if step.name == "FROM":
            base, *rest = step.text.split()
            stages.append(Stage(base, rest[1] if rest else ""))
        elif step.name in (*SETTINGS, *STEPS) and stages:
            stages[-1].steps.append(step)
        else:
            raise ClusterError(f"{path}: this harness does not know the instruction {step.name}")
    return stages


def _instructions(text: str) -> Iterator[Step]:
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n\s*", "", lines).splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            yield Step(name.upper(), rest.strip())


def environment(text: str, before: dict[str, str]) -> dict[str, str]:
    """What an ENV instruction adds; $NAME is what it was before."""
    pairs = (word.partition("=") for word in shlex.split(text))
    return {name: re.sub(r"\$(\w+)", lambda found: before.get(found[1], ""), value) for name, _, value in pairs}


def entrypoint(text: str) -> list[str]:
    """The words of an ENTRYPOINT in its exec form."""
    return list(json.loads(text))


@dataclass(frozen=True, slots=True)
class Copy:
    """A COPY instruction; `stage` is the alias of --from, or empty for the repository."""

    stage: str
    sources: tuple[str, ...]
    target: str

    @classmethod
    def parse(cls, text: str) -> Copy:
        """Read its words."""
        words = text.split()
        options = [word for word in words if word.startswith("--")]
        *sources, target = (word for word in words if not word.startswith("--"))
        stage = ""
        for option in options:
            name, _, value = option.partition("=")
            if name != "--from":
                raise ClusterError(f"COPY {text}: this harness does not know {name}")
            stage = value
        return cls(stage, tuple(sources), target)
