"""
What a refusal of the token service means, and when to ask again.

    status, body ──classify──► Refused: a row of the table, and the pause that it leads to

Four shapes are read: the service's own, the platform's `fault` and its OperationOutcome, and
the quota's, which says when it ends. Any of them may come with a Retry-After, which is heeded
up to the longest pause of its row. What fits no row: an unknown 4xx is our configuration,
and anything else passes by itself.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bars_gateway.errors import EgressBlocked, TokenUnavailable
from bars_gateway.outbound.refusal_table import (
    INTERMEDIARY,
    PAUSES,
    QUOTA,
    SERVER_ERROR,
    SILENCE,
    TABLE,
    UNKNOWN,
    Row,
)
from bars_gateway.standard.answers import read_outcome
from bars_gateway.standard.platform import is_fault

_MAX_DOUBLINGS = 10
_LONGEST_QUOTA = timedelta(minutes=2)
_SUPPORT_ID = re.compile(r"rrt-[0-9a-f-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why there is no token, in words of ours, and when to ask again."""

    row: Row
    status: int | None
    quota_ends: timedelta | None = None  # as the quota's own body says
    retry_after: timedelta = timedelta()  # what the service asked for
    support_id: str | None = None  # theirs, for a call to the national service desk
    blocked: EgressBlocked | None = None  # by our own network

    @property
    def reason(self) -> str:
        """What happened."""
        if self.blocked is not None:
            return str(self.blocked)
        return self.row.reason if self.status is None else f"{self.row.reason} ({self.status})"

    @property
    def advice(self) -> str:
        """What to do about it."""
        return self.row.kind.advice if self.blocked is None else self.blocked.advice

    @property
    def error(self) -> TokenUnavailable:
        """A new error each time: one that was raised keeps the frames that it passed."""
        if self.blocked is not None:
            return EgressBlocked(self.reason, self.advice)
        return self.row.kind(self.reason)

    def pause(self, failures: int) -> timedelta:
        """Return how long to wait after so many failures in a row."""
        if self.quota_ends is not None:
            return self.quota_ends
        first, longest = PAUSES[self.row.remedy]
        doublings: int = 2 ** min(failures - 1, _MAX_DOUBLINGS)
        return min(longest, max(first * doublings, self.retry_after))


def classify(
    status: int | None,
    body: bytes,
    now: datetime,
    blocked: EgressBlocked | None = None,
    retry_after: float | None = None,
) -> Refused:
    """Return what the answer means; *status* None is silence, or our own network's *blocked*."""
    if status is None:
        return Refused(row=SILENCE, status=None, blocked=blocked)
    found = _object(body)
    wait = _quota_ends(found, now) if status == 429 else None  # noqa: PLR2004
    row = _row_of(status, body, found)
    return Refused(
        row=row,
        status=status,
        quota_ends=wait,
        retry_after=timedelta(seconds=retry_after or 0),
        support_id=_support_id(found),
    )


def _row_of(status: int, body: bytes, found: Mapping[str, object]) -> Row:
    if status == 429:  # noqa: PLR2004
        return QUOTA
    if found or not body:
        error, description = _said(found)
        for row in TABLE:
            if _fits(row, status, error, description):
                return row
    if not found:
        return INTERMEDIARY
    return UNKNOWN if 400 <= status < 500 else SERVER_ERROR  # noqa: PLR2004


def _fits(row: Row, status: int, error: str, description: str) -> bool:
    return (
        row.status in {None, status}
        and row.error in {None, error}
        and (not row.platform or is_fault(error, row.platform))
        and description.startswith(row.beginning)
        and row.holding in description
    )


def _said(found: Mapping[str, object]) -> tuple[str, str]:
    """Return error and description, from the service's own shape or one of the platform's."""
    fault = found.get("fault")
    if isinstance(fault, dict):
        detail = fault.get("detail")
        code = detail.get("errorcode") if isinstance(detail, dict) else None
        return str(code or ""), str(fault.get("faultstring", ""))
    if found.get("resourceType") == "OperationOutcome":
        return (read_outcome(json.dumps(found).encode()).code or "").lower(), ""
    return str(found.get("error", "")), str(found.get("error_description", ""))


def _quota_ends(found: Mapping[str, object], now: datetime) -> timedelta | None:
    try:
        until = datetime.fromtimestamp(
            float(str(found.get("ratelimiting_expiry_time_ms"))) / 1000, UTC
        )
    except (ValueError, OverflowError, OSError):
        return None
    return min(max(until - now, timedelta(seconds=1)), _LONGEST_QUOTA)


def _support_id(found: Mapping[str, object]) -> str | None:
    """Return the id that the service desk asks for, where it has the form of one."""
    said = str(found.get("message_id", ""))
    return said if _SUPPORT_ID.fullmatch(said) else None


def _object(body: bytes) -> dict[str, object]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
