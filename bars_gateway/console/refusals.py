"""
What was refused at the console, for the audit trail: each kind at once, many of a kind as a count.

    refused ─► first of its kind in a minute? ─ yes ─► console.refused, now
                                              └ no ──► counted ─► one line when it is over

RefusalKind: why, on which route, by whom. No address line, no form and no header of a request is
kept, for a stranger chose them. However many kinds there are in a minute, a bounded number is
written.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

import structlog

from bars_gateway.frozen import frozen
from bars_gateway.store.audit import Visits

log = structlog.get_logger(__name__)
_MINUTE = timedelta(minutes=1)
_KINDS = 100  # in one minute; beyond them, only why


class RefusalReason(StrEnum):
    """Why a request was refused."""

    OTHER_NAME = "other_name"  # asked for under a host name that is not ours: rebinding
    CROSS_SITE = "cross_site"  # another site's page sent it
    NO_TOKEN = "no_token"  # a form without what our own forms carry  # noqa: S105
    NO_SESSION = "no_session"  # nobody has logged in
    STALE_SESSION = "stale_session"  # it has ended
    UNKNOWN_SESSION = "unknown_session"  # there never was one: guessed, or from before a restart
    MISSING_ROLE = "missing_role"
    UNKNOWN_ID = "unknown_id"  # a number or form that is not there, or not theirs
    WRONG_PASSWORD = "wrong_password"  # noqa: S105
    TOO_OFTEN = "too_often"  # tried to log in too often within a minute
    PROXY_SECRET = "proxy_secret"  # names a user, and is not the server that may  # noqa: S105


@frozen(kw_only=True)
class RefusalKind:
    """What is counted together."""

    why: RefusalReason
    route: str | None = None  # as it is declared, never as it was asked for
    who: str | None = None  # somebody who is known

    @property
    def detail(self) -> Mapping[str, object]:
        """What the audit trail says of it."""
        told = {"reason": self.why.value, "route": self.route, "who": self.who}
        return {name: value for name, value in told.items() if value is not None}


class Refusals:
    """Writes down what was refused."""

    def __init__(self, visits: Visits) -> None:
        self._visits = visits
        self._counted: dict[RefusalKind, int] = {}  # beyond the one that was written
        self._since: datetime | None = None

    async def note(self, kind: RefusalKind, now: datetime) -> None:
        """Write it down, or count it."""
        await self.flush(now)
        if kind not in self._counted and len(self._counted) >= _KINDS:
            kind = RefusalKind(why=kind.why)
        if kind in self._counted:
            self._counted[kind] += 1
            return
        self._since = self._since or now
        self._counted[kind] = 0
        log.warning("console.refused", reason=kind.why.value, route=kind.route)
        await self._visits.note("console.refused", kind.detail, now)

    async def flush(self, now: datetime, *, whole: bool = False) -> None:
        """Write down what was counted in a minute that is over; *whole*: in this one, too."""
        if self._since is None or not (whole or not self._since <= now < self._since + _MINUTE):
            return
        counted, self._counted, self._since = self._counted, {}, None
        for kind, count in counted.items():
            if count:
                told = {**kind.detail, "count": count}
                await self._visits.note("console.refused", told, now)
