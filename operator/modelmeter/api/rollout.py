"""How a new revision of a model comes into being: first on some of the replicas, and back where that goes wrong."""

from __future__ import annotations

import re
from decimal import Decimal
from math import ceil
from typing import Annotated, Final, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from modelmeter.api.base import Struct, rule, rules

SHARE_PATTERN: Final = r"^0[.][0-9]{1,6}$"
SHARE_MESSAGE: Final = 'canaryShare must be more than 0 and less than 1, as a decimal string such as "0.25"'
FORM_MESSAGE: Final = "give either canaryShare or canaryReplicas"


def _share(text: str) -> str:
    if not re.match(SHARE_PATTERN, text) or not Decimal(text):
        raise ValueError(SHARE_MESSAGE)
    return text


class Rollout(Struct):
    """A new revision is a change of the spec that replaces pods. It needs no spare GPU, and 2 replicas or more."""

    model_config = ConfigDict(
        json_schema_extra=rules(rule("has(self.canaryShare) != has(self.canaryReplicas)", FORM_MESSAGE))
    )

    canary_share: Annotated[
        str | None,
        Field(
            max_length=8,
            json_schema_extra=rules(rule(f"self.matches('{SHARE_PATTERN}') && double(self) > 0.0", SHARE_MESSAGE)),
        ),
        AfterValidator(lambda text: text if text is None else _share(text)),
    ] = None
    """Part of the replicas that gets a new revision first, rounded up: "0.25" of 5 replicas is 2."""
    canary_replicas: Annotated[int, Field(ge=1, le=499)] | None = None
    """The same as a number of replicas; one replica at least keeps the revision before."""
    ready_seconds: Annotated[int, Field(ge=0, le=86_400)] = 60
    """How long all replicas of the canary must have been ready before the others follow."""
    deadline_seconds: Annotated[int, Field(ge=10, le=86_400)] = 1800
    """How long the canary has to become ready, fetching the model included; then it is rolled back."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.canary_share is None) == (self.canary_replicas is None):
            raise ValueError(FORM_MESSAGE)
        return self

    def canaries(self, replicas: int) -> int:
        """Of so many replicas, how many get a new revision first; 0 where there are fewer than 2.

        >>> Rollout(canary_share="0.25").canaries(5)
        2
        """
        asked = self.canary_replicas or ceil(Decimal(self.canary_share or "0") * replicas)
        return but_one(asked, replicas)


def but_one(canaries: int, replicas: int) -> int:
    """So many canaries, as far as one of the replicas is left to the revision before."""
    return max(0, min(canaries, replicas - 1))
