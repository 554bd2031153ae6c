"""Whose a pod or claim is: by the UID on it, else by who has the name now. One rule, in one place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from modelmeter.api.cost_statement import ModelRef
from modelmeter.api.names import LABEL_MODEL, LABEL_MODEL_UID, MANAGED_BY
from modelmeter.api.resources import ModelDeployment
from modelmeter.control.accounts import Account, Accounts
from modelmeter.control.view import View
from modelmeter.meter.objects import Bare, Claim, Deployment, Metadata, Pod

T = TypeVar("T", Pod, Claim, Bare)
M = TypeVar("M", Pod, Claim, Bare, covariant=True)


class ByModel(Protocol[M]):
    """Objects of a kind as the view has them."""

    def of(self, namespace: str, name: str, uid: str) -> Iterator[M]:
        """Those labelled with a model's name and UID."""


def is_child(metadata: Metadata) -> bool:
    """Whether we made it for a model; everything else that is metered was labelled by hand."""
    return MANAGED_BY.items() <= metadata.labels.items()


def children(index: ByModel[T], whose: ModelRef | ModelDeployment) -> Iterator[T]:
    """Those of a kind that we made for a model."""
    found = index.of(whose.namespace, whose.name, whose.uid)
    return (child for child in found if is_child(child.metadata))


def deployments(view: View, whose: ModelRef | ModelDeployment) -> Iterator[Deployment]:
    """The Deployments that we made for a model."""
    found = children(view.children["Deployment"], whose)
    return (child for child in found if isinstance(child, Deployment))


def owner(accounts: Accounts, metadata: Metadata) -> Account | None:
    """Whose something is by its labels; None where there is no such model."""
    labels = metadata.labels
    return accounts.owner(metadata.namespace, labels.get(LABEL_MODEL, ""), labels.get(LABEL_MODEL_UID, ""))


class Belongings:
    """What belongs to each model, and what belongs to none."""

    def __init__(self, view: View, accounts: Accounts) -> None:
        self._view = view
        self._accounts = accounts

    def owner(self, metadata: Metadata) -> Account | None:
        """Whose it is; None where there is no such model."""
        return owner(self._accounts, metadata)

    def pods(self, account: Account) -> Iterator[Pod]:
        """The model's pods, those that were labelled by hand among them."""
        return self._of(account, self._view.pods.named(account.ref.namespace, account.ref.name))

    def claims(self, account: Account) -> Iterator[Claim]:
        """The model's claims, those that were labelled by hand among them."""
        return self._of(account, self._view.claims.named(account.ref.namespace, account.ref.name))

    def objects(self, account: Account) -> Iterator[tuple[str, Pod | Claim]]:
        """Both, with their kind."""
        yield from (("Pod", pod) for pod in self.pods(account))
        yield from (("PersistentVolumeClaim", claim) for claim in self.claims(account))

    def _of(self, account: Account, items: Iterable[T]) -> Iterator[T]:
        return (item for item in items if self.owner(item.metadata) is account)
