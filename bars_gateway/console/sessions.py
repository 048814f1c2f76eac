"""
Who is logged in, for how long, and how often somebody may try to.

    log-in ─► token, in the browser's cookie alone ─► Session ─┬─ idle, or too long ─► ended
              (here: what SHA-256 makes of it)                 └─ logged out, shut out ─► ended

Sessions are kept in memory: a restart logs everybody out. One that has ended is remembered for a
while, so that whoever comes with it hears that, and the audit trail does, too. Nobody has more than
a few at a time: the oldest ends.

Too many tries in a minute are refused unread, by name and over all, and nobody is locked out:
whoever is logged in stays so, and the minute passes.
"""

import hashlib
import secrets
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar

Plan = TypeVar("Plan")
_MINUTE = timedelta(minutes=1)
_EACH = 10  # sessions of one user
_MOST = 1_000
_REMEMBERED = 1_000  # that have ended
_PLANS = 20  # of one session
_TRIES_EACH = 10  # in a minute, under one name
_TRIES_OF_ALL = 30  # in a minute, under all names together


@dataclass(slots=True, kw_only=True)
class Session(Generic[Plan]):
    """Somebody who has logged in, in one browser."""

    user: str
    mark: object  # what the user's entry was then: another one ends the session
    began_at: datetime
    seen_at: datetime
    by_proxy: bool
    csrf: str = field(repr=False)
    plans: OrderedDict[str, Plan] = field(default_factory=OrderedDict)  # by their random name

    def keep(self, plan: Plan) -> str:
        """Remember what was shown and may now be done; return by what name."""
        name = secrets.token_urlsafe(16)
        self.plans[name] = plan
        while len(self.plans) > _PLANS:
            self.plans.popitem(last=False)
        return name


class Sessions(Generic[Plan]):
    """Everybody who is logged in."""

    def __init__(self, *, idle: timedelta, longest: timedelta) -> None:
        self._idle, self._longest = idle, longest
        self._open: OrderedDict[str, Session[Plan]] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()

    def begin(
        self, user: str, mark: object, now: datetime, *, by_proxy: bool = False
    ) -> tuple[str, Session[Plan]]:
        """Log somebody in; return the token for their cookie, and their session."""
        own = [name for name, each in self._open.items() if each.user == user]
        for name in own[: max(0, len(own) - _EACH + 1)]:
            self._end(name)
        while len(self._open) >= _MOST:
            self._end(next(iter(self._open)))
        token, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        session = Session[Plan](
            user=user, mark=mark, began_at=now, seen_at=now, by_proxy=by_proxy, csrf=csrf
        )
        self._open[_name(token)] = session
        return token, session

    def find(self, token: str, now: datetime, *, in_use: bool = True) -> Session[Plan] | None:
        """Return the session of that cookie, and note that it was *in_use*; None: it has none."""
        found = self._open.get(_name(token))
        if found is None:
            return None
        since_begin, since_seen = now - found.began_at, now - found.seen_at
        if since_begin >= self._longest or since_seen >= self._idle:
            self.end(token)
            return None
        if in_use:
            found.seen_at = now
        return found

    def has_ended(self, token: str) -> bool:
        """Tell whether that cookie had a session once: it is old, and was not guessed."""
        return _name(token) in self._ended

    def end(self, token: str) -> None:
        """Log somebody out."""
        self._end(_name(token))

    def _end(self, name: str) -> None:
        if self._open.pop(name, None) is not None:
            self._ended[name] = None
        while len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)


class Tries:
    """How often somebody tried to log in within the last minute."""

    def __init__(self) -> None:
        self._of: dict[str | None, deque[datetime]] = {}
        self._any: deque[datetime] = deque()

    def allow(self, name: str | None, now: datetime) -> bool:
        """Tell whether one more may be looked at, and count it; None: of no user's name."""
        own = self._of.setdefault(name, deque())  # users alone have one: it cannot grow
        for each in (own, self._any):
            while each and not now - _MINUTE < each[0] <= now:
                each.popleft()
        if len(own) >= _TRIES_EACH or len(self._any) >= _TRIES_OF_ALL:
            return False
        own.append(now)
        self._any.append(now)
        return True


def _name(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
