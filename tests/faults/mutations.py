"""Bugs planted in a copy of the product, to see that the matrix finds them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.cluster.chart import CHECKOUT


@dataclass(frozen=True, slots=True)
class Mutation:
    """In one file, one text becomes another; `found_by` is the class of faults whose runs must fail."""

    file: str
    before: str
    after: str
    found_by: str
    points: tuple[int, ...]
    """Writes of the reference run at which that class shows it."""


MUTATIONS: Final[Mapping[str, Mutation]] = {
    "release-before-persist": Mutation(
        "control/metering.py",
        "                await self._write(account, advance)\n                break\n",
        "                for kind, item in list(self._objects(account)):\n"
        "                    ended = kind == 'Pod' and item.status.phase in ('Succeeded', 'Failed')\n"
        "                    if ended and METERING_FINALIZER in item.metadata.finalizers:\n"
        "                        await self._let_go(kind, item.metadata)\n"
        "                await self._write(account, advance)\n                break\n",
        "kill-before",
        (72, 73, 74, 75, 76, 96, 98, 100, 102),
    ),
    "conflict-is-success": Mutation(
        "control/metering.py",
        "                await self._reload(account)\n",
        "                break\n",
        "409",
        (72, 73, 93, 96, 98, 102),
    ),
    "settled-is-forgotten": Mutation(
        "meter/ledger.py",
        "settled={**page.settled, held.uid: None})",
        "settled={held.uid: None})",
        "kill-before",
        (94, 97, 100, 103),
    ),
}


def plant(name: str, directory: Path) -> dict[str, str]:
    """Copy the product, plant a mutation, and return the environment in which operators run the copy."""
    mutation = MUTATIONS[name]
    shutil.copytree(CHECKOUT / "operator" / "modelmeter", directory / "modelmeter")
    file = directory / "modelmeter" / mutation.file
    text = file.read_text(encoding="utf-8")
    if text.count(mutation.before) != 1:
        raise ValueError(f"{name}: {mutation.file} does not hold the text that it replaces exactly once")
    file.write_text(text.replace(mutation.before, mutation.after), encoding="utf-8")
    return {"PYTHONPATH": str(directory)}
