"""
When what the gateway works with will end, and how early a person hears of it.

    certificates, chains, keys, lists ─► Expiry ─stage─► 90 · 60 · 30 · 14 · 7 · 1 days · over
                                                            │ once each
                                                            └─► log; and on the status page

A stage that is more than half of a thing's whole life is none: a revocation list that
lives for a week would otherwise be news on every day of it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import structlog

log = structlog.get_logger(__name__)

STAGES = (60, 30, 14, 7, 1)  # days, below the first, which is a setting
OVER = 0
_URGENT = 7  # from here on it is an error in the log


class Kind(StrEnum):
    """What ends; its value is the label in the metrics."""

    CERTIFICATE = "certificate"
    CHAIN = "chain"
    AUTHORITIES = "authorities"
    KEY = "key"
    REVOCATION_LIST = "revocation_list"


ADVICE = {
    Kind.CERTIFICATE: "Order its successor now: bars-gateway csr new",
    Kind.CHAIN: "Fetch the new intermediate, put it below the certificate, and reload.",
    Kind.AUTHORITIES: "Fetch the new ones from pki.nhs.uk, add them to the file, and reload.",
    Kind.KEY: "Make its successor and have it registered: bars-gateway keys new",
    Kind.REVOCATION_LIST: "Look at the job that fetches it; a new one is taken without a restart.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """One thing that will end."""

    kind: Kind
    name: str  # for people, as in "… ends in 9 days"
    begins_at: datetime
    ends_at: datetime

    @property
    def advice(self) -> str:
        """What to do about it."""
        return ADVICE[self.kind]


def stage(expiry: Expiry, now: datetime, first_days: int) -> int | None:
    """Return the last stage that *expiry* has reached, in days; None while it is no news."""
    left = expiry.ends_at - now
    if left <= timedelta():
        return OVER
    life = expiry.ends_at - expiry.begins_at
    stages = [first_days, *(days for days in STAGES if days < first_days)]
    reached = [s for s in stages if left <= timedelta(days=s) and timedelta(days=2 * s) <= life]
    return min(reached, default=None)


def remaining(expiry: Expiry, now: datetime) -> str:
    """Return how much is left, as in "ends in 9 days"."""
    left = expiry.ends_at - now
    if left <= timedelta():
        return f"ended on {expiry.ends_at:%d %b %Y}"
    if left < timedelta(days=2):
        return f"ends in {left // timedelta(hours=1)} hours"
    return f"ends in {left.days} days"


class ExpiryWatch:
    """Logs each stage of each thing once."""

    def __init__(self, expiries: Callable[[], Iterable[Expiry]], first_days: int) -> None:
        self._expiries = expiries
        self._first_days = first_days
        self._told: set[tuple[Kind, str, datetime, int]] = set()

    def look(self, now: datetime) -> None:
        """Log what has reached a stage that has not been told; at the start, the last stage."""
        for expiry in self._expiries():
            reached = stage(expiry, now, self._first_days)
            told = (expiry.kind, expiry.name, expiry.ends_at, reached)
            if reached is None or told in self._told:
                continue
            self._told.add((expiry.kind, expiry.name, expiry.ends_at, reached))
            report = log.error if reached <= _URGENT else log.warning
            report(
                "expiry.stage_reached",
                kind=expiry.kind,
                name=expiry.name,
                days=reached,
                expires_at=expiry.ends_at.isoformat(),
                advice=expiry.advice,
            )
