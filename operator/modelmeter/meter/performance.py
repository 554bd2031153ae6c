"""What 1,000 inferences cost at the rate that one replica keeps; exact, rounded once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from fractions import Fraction
from typing import Final

from modelmeter.meter import cost
from modelmeter.meter.estimate import held_for_an_hour
from modelmeter.meter.holding import Holding
from modelmeter.meter.inference import PRICE_DIGITS, THOUSAND
from modelmeter.meter.prices import Tariff

SECONDS: Final = cost.HOUR_SECONDS


def replica_per_hour(replicas: Iterable[Holding], tariff: Tariff, now: datetime) -> Fraction | None:
    """What the compute of one replica costs an hour, the mean of these; None where there is none, or a price lacks."""
    amounts = [[term.amount for term in held_for_an_hour(held, 1, tariff, now)] for held in replicas]
    known = [amount for terms in amounts for amount in terms if amount is not None]
    if not amounts or len(known) < sum(map(len, amounts)):
        return None
    return sum(known, cost.ZERO) / len(amounts)


def cost_per_1000(per_hour: Fraction, inferences_per_second: Fraction) -> Fraction:
    """The exact cost of 1,000 inferences.

    >>> cost_per_1000(Fraction(9, 10), Fraction(100))
    Fraction(1, 400)
    """
    return per_hour / (inferences_per_second * SECONDS) * THOUSAND


def text(amount: Fraction) -> str:
    """For people, as costPer1000 is."""
    return cost.text(amount, PRICE_DIGITS)
