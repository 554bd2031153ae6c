"""The errors of modelmeter, a small tree.

    ModelmeterError
    ├── SpecError         a field of a resource cannot work; names the field
    ├── LoadError         a model could not be fetched, read or converted
    ├── BenchmarkError    a server could not be measured
    ├── LedgerError       an invariant of the ledger would be broken; nothing is written
    │   └── UnmeterableError  an object says something that the ledger does not understand
    └── ClusterError      the API server refused or did not answer
        ├── Conflict          409: somebody wrote in between; read again
        ├── NotFound          404
        └── Expired           410: the watch must list again

Messages say what is wrong and what to do. Only the shell turns them into conditions and events.
"""

from __future__ import annotations

PASSING = (0, 409, 429, 500, 502, 503, 504)
"""HTTP statuses of what passes by itself; 0: no answer."""


class ModelmeterError(Exception):
    """The root of all errors raised on purpose."""


class SpecError(ModelmeterError):
    """A field of a resource cannot work.

    `path` is the field's path (`spec.pricing.labour[0].price`), `message` what to do about it.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


class LoadError(ModelmeterError):
    """A model could not be fetched, read or converted; `remedy` says what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}; {remedy}")
        self.message = message
        self.remedy = remedy


class BenchmarkError(ModelmeterError):
    """A server could not be measured; `remedy` says what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}; {remedy}")
        self.message = message
        self.remedy = remedy


class LedgerError(ModelmeterError):
    """An invariant of the ledger would be broken by a write; the write is not made."""


class UnmeterableError(LedgerError):
    """An object says something that the ledger does not understand; named in the message."""


class ClusterError(ModelmeterError):
    """The API server refused a request (`status` is its HTTP status) or did not answer (`status` 0)."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message

    @property
    def passing(self) -> bool:
        """Whether the same request may well succeed a moment later."""
        return self.status in PASSING


class Conflict(ClusterError):
    """409: the object was written by somebody else since it was read."""


class NotFound(ClusterError):
    """404: the object, or its kind, does not exist."""


class Expired(ClusterError):
    """410: the resource version is too old to watch from."""
