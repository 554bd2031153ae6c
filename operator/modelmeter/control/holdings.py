"""What each model's pods and claims hold, as the ledger takes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from modelmeter.control.accounts import Account
from modelmeter.control.belongings import Belongings
from modelmeter.control.sharing import Sharing
from modelmeter.errors import UnmeterableError
from modelmeter.meter.holding import Holding
from modelmeter.meter.objects import Claim, Pod
from modelmeter.meter.observe import claim_holding, claims_of, was_released


class Holdings:
    """Reads what exists of a model; one object that cannot be understood stops its model's ledger, and no other."""

    def __init__(self, belongings: Belongings, sharing: Sharing) -> None:
        self._belongings = belongings
        self._sharing = sharing

    def of(self, account: Account, now: datetime) -> Iterator[Holding]:
        """Every holding of a model that is on its page, or has to come there; UnmeterableError names the odd object."""
        users: dict[str, list[Holding]] = {}
        open_now = account.page.open if account.page else {}
        for pod in self._belongings.pods(account):
            if pod.metadata.uid not in open_now and was_released(pod):
                continue
            with _understood("Pod", pod):
                held = self._sharing.holding(pod, may_wait=pod.metadata.uid not in open_now)
            if held:
                yield held
                # A claim is kept for pods that have a node, not for those that wait for one.
                for name in claims_of(pod) if pod.spec.node_name else ():
                    users.setdefault(name, []).append(held)
        for claim in self._belongings.claims(account):
            with _understood("PersistentVolumeClaim", claim):
                held = claim_holding(claim, now, users.get(claim.metadata.name, ()))
            if held:
                yield held


@contextmanager
def _understood(kind: str, item: Pod | Claim) -> Iterator[None]:
    try:
        yield
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        name = f"{kind} {item.metadata.namespace}/{item.metadata.name}"
        raise UnmeterableError(f"{name} cannot be metered: {error!r}") from error
