"""What is not on a ledger, and why, in words that say what to do."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from modelmeter.api.names import METERING_FINALIZER
from modelmeter.api.scalars import rfc3339
from modelmeter.cluster.statements import statement_name
from modelmeter.control.accounts import Account
from modelmeter.errors import ClusterError, LedgerError, UnmeterableError
from modelmeter.meter.page import month_of

REMEDIES: Final = {
    0: "see whether the API server can be reached from the operator",
    403: "let the operator's ServiceAccount create and update coststatements, and patch pods and claims",
    404: "apply the CRDs of modelmeter.dev",
    413: "the statement is too large: remove finished pods that are still listed",
    422: "the CRDs are of another version than the operator: apply those that came with it",
}


def refused(error: ClusterError) -> str:
    """What a statement's write was refused for, and what to do."""
    remedy = REMEDIES.get(error.status, "see the API server's own log")
    said = f"HTTP {error.status}: {error.message}" if error.status else error.message
    return f"the ledger cannot be written ({said}); no usage is lost, it is posted later; {remedy}"


def broken(account: Account, error: LedgerError) -> str:
    """Which invariant does not hold, and what to do."""
    if isinstance(error, UnmeterableError):
        return f"{error}; nothing is written or released until it is mended or gone. Please report it"
    name = account.stored.name if account.stored else statement_name(account.ref, month_of(account.created))
    return f"{error}; nothing is written or released until CostStatement {name} is mended: see `modelmeter verify`"


def vanished(uid: str, posted_through: datetime) -> str:
    """That somebody let go of a pod or claim before it was counted."""
    return (
        f"pod or claim {uid} vanished uncounted, for its finalizer {METERING_FINALIZER} was taken off (by hand, or by"
        " `modelmeter release`);"
        f" what it used after {rfc3339(posted_through)} is not on the ledger"
    )
