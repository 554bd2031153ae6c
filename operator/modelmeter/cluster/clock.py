"""The one place that reads the clock, corrected by the API server's Date header.

Pods' times come from other machines; what is compared with them must run with their clock, not ours.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

TOLERATED: Final = timedelta(seconds=2)
"""A Date header has whole seconds and travels: differences up to here are not skew."""


class Clock:
    """Whole seconds of the API server's time."""

    def __init__(self) -> None:
        self._offset = timedelta(0)

    def __call__(self) -> datetime:
        """Now, in UTC, whole seconds."""
        return (datetime.now(UTC) + self._offset).replace(microsecond=0)

    def observe(self, date_header: str) -> None:
        """Note what the API server says the time is."""
        try:
            theirs = parsedate_to_datetime(date_header)
        except ValueError:
            return
        difference = theirs + timedelta(milliseconds=500) - datetime.now(UTC)
        self._offset = difference if abs(difference) > TOLERATED else timedelta(0)
