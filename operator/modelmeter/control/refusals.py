"""What is said of children that the API server does not take, and how often they are tried again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from modelmeter.cluster.paths import kind_and_name
from modelmeter.errors import ClusterError

REFUSED_RETRY_SECONDS: Final = 15.0


def said(failures: Sequence[ClusterError], again: bool) -> str | None:
    """What to say of failures; nothing of what may well succeed the next time, unless it has failed before: `again`."""
    lasting = [failure for failure in failures if not failure.passing or again]
    texts = (f"{failure.reason}: {failure.message}" if failure.reason else failure.message for failure in lasting)
    return "; ".join(texts) or None


def taken(manifest: dict[str, Any], so: str) -> ClusterError:
    """The failure of a child whose name is somebody else's; `so` says what follows."""
    kind, name = kind_and_name(manifest)
    return ClusterError(
        422,
        "NameTaken",
        f"{kind} {name} exists and belongs to somebody else, {so};"
        f" give the ModelDeployment another name, or, if the {kind} is yours and nobody needs it, delete it",
    )


class Refused(Exception):
    """The API server does not let us do something, and that does not pass by itself; says what, and why."""


@contextmanager
def refusal_of(what: str) -> Iterator[None]:
    """Say by Refused what it is that is refused inside the block."""
    try:
        yield
    except ClusterError as failure:
        if failure.passing:
            raise
        raise Refused(f"{what}: {failure.reason}: {failure.message}") from None
