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
    """In one file, one text becomes another; runs of the class `found_by` must fail."""

    file: str
    before: str
    after: str
    found_by: str


MUTATIONS: Final[Mapping[str, Mutation]] = {
    "release-before-persist": Mutation(
        "control/metering.py",
        "    async def _store(self, account: Account, page: Page) -> None:\n",
        "    async def _store(self, account: Account, page: Page) -> None:\n"
        "        account.page = page\n"
        "        await self._release(account)\n",
        "page: kill-before",
    ),
    "conflict-is-success": Mutation(
        "cluster/client.py",
        '        return await self._request("PUT", path, body, query={"fieldManager": FIELD_MANAGER})\n',
        "        try:\n"
        '            return await self._request("PUT", path, body, query={"fieldManager": FIELD_MANAGER})\n'
        "        except Conflict:\n"
        "            return msgspec.json.encode(body)\n",
        "page: 409 before",
    ),
    "settled-is-forgotten": Mutation(
        "meter/page.py",
        "instant(entry.gone_since) if entry.gone_since else None for entry in spec.settled}",
        "None for entry in spec.settled[:0]}",
        "page: kill-after",
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
