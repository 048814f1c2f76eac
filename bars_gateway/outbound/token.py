"""
Signs JWTs and keeps access tokens, one source per provider.

    key ──RS512──► client assertion ──POST──► token service ──► token, for ten minutes
                                                   └─► TokenUnavailable, with advice

However many senders wait, one of them asks and the others share the answer. A token is
renewed early: while one sender asks, the others go on with the old one. Its end, and
the pause after a failure, are measured on the monotonic clock, a token's from before
the request: a step of the wall clock (the cure for one kind of failure) changes nothing.

The service remembers every `jti` for thirty days, also of requests that it refused
afterwards, so each POST carries a new one (S14). After a failure nobody asks until a
pause is over; meanwhile this provider's messages are left in the queue, and it costs
them no attempt.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import aiohttp
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from bars_gateway.outbound.budget import Budget
from bars_gateway.outbound.refusals import Refused, classify
from bars_gateway.outbound.token_request import (
    Credentials,
    request_token,
    sign_assertion,
    skew_seconds,
)

log = structlog.get_logger(__name__)

_UNREADABLE_LIFETIME = 300.0  # seconds, where `expires_in` is missing or garbage
_RENEW_BELOW_SECONDS = 60.0
_RENEW_BELOW_SHARE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenStatus:
    """How a provider stands with the token service, for people."""

    key_id: str
    expires_at: datetime | None  # UTC; None: no token in hand
    failing_since: datetime | None
    reason: str | None
    advice: str | None
    clock_skew_seconds: float | None  # our clock less theirs, from their Date header


class Tokens(Protocol):
    """What the dispatcher needs to know of tokens."""

    @property
    def closed_until(self) -> datetime | None:
        """When the next token may be asked for; None: now."""

    async def token(self) -> str | None:
        """Return a token that is good now (None: none is needed); raise TokenUnavailable."""

    def discard(self, token: str | None) -> None:
        """Forget *token*: the proxy has refused it."""


class NoToken:
    """For an environment that asks for none: the public sandbox."""

    closed_until: datetime | None = None

    async def token(self) -> str | None:
        """Return None: no Authorization header is sent."""
        return None

    def discard(self, token: str | None) -> None:
        """Do nothing: there is nothing to forget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    text: str
    renew_at: float  # monotonic
    ends_at: float  # monotonic
    expires_at: datetime


class TokenSource:
    """Keeps one provider's access token."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        credentials: Credentials,
        budget: Budget,
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        new_id: Callable[[], str],
        timeout_seconds: float = 30.0,
    ) -> None:
        self._session = session
        self._credentials = credentials
        self._budget = budget
        self._now, self._monotonic, self._new_id = now, monotonic, new_id
        self._timeout_seconds = timeout_seconds
        self._one_at_a_time = asyncio.Lock()
        self._held: _Token | None = None
        self._failures = 0
        self._failing_since: datetime | None = None
        self._refused: Refused | None = None
        self._reopens_at = 0.0  # monotonic; counts only where something was refused
        self._skew: float | None = None

    @property
    def closed_until(self) -> datetime | None:
        """When the next token may be asked for; None: now, or one is in hand."""
        seconds = self._reopens_at - self._monotonic()
        if self._usable() or self._refused is None or seconds <= 0:
            return None
        return self._now() + timedelta(seconds=seconds)

    @property
    def status(self) -> TokenStatus:
        """How things stand."""
        held = self._held if self._usable() else None
        return TokenStatus(
            key_id=self._credentials.key_id,
            expires_at=held.expires_at if held else None,
            failing_since=self._failing_since,
            reason=self._refused.reason if self._refused else None,
            advice=self._refused.error.advice if self._refused else None,
            clock_skew_seconds=self._skew,
        )

    async def token(self) -> str:
        """Return a token that is good now; raise TokenUnavailable where none can be had."""
        held = self._held
        if held is not None and self._monotonic() < self._good_until(held):
            return held.text
        async with self._one_at_a_time:
            held = self._held
            if held is None or self._monotonic() >= held.renew_at:
                held = await self._renewed()
            return held.text

    def _good_until(self, held: _Token) -> float:
        """Return until when nobody need wait for a new token: somebody may be asking already."""
        return held.ends_at if self._one_at_a_time.locked() else held.renew_at

    def use(self, key_id: str, key: RSAPrivateKey) -> None:
        """
        Sign with this key from the next request on, which need not wait for any pause.

        A token in hand is kept until it ends: it is as good as it was.
        """
        self._credentials = replace(self._credentials, key_id=key_id, key=key)
        self._reopens_at = self._monotonic()

    def discard(self, token: str | None) -> None:
        """Forget *token*, if it is the one in hand: the proxy has refused it."""
        if self._held is not None and self._held.text == token:
            self._held = None

    def _usable(self) -> bool:
        return self._held is not None and self._monotonic() < self._held.ends_at

    async def _renewed(self) -> _Token:
        """Return a new token, or the one in hand for as long as it lasts."""
        refused = self._refused
        if refused is None or self._monotonic() >= self._reopens_at:
            found = await self._ask()
            if isinstance(found, _Token):
                self._keep(found)
                return found
            refused = found
            self._pause(refused)
        if self._held is not None and self._usable():
            return self._held
        # A new error each time: the one that is kept would keep the frames that it passed.
        raise type(refused.error)(refused.reason)

    async def _ask(self) -> _Token | Refused:
        await self._budget.take()
        credentials = self._credentials
        assertion = await asyncio.to_thread(
            sign_assertion, credentials, new_id=self._new_id(), now=self._now()
        )
        asked = self._monotonic()
        reply = await request_token(
            self._session, credentials.token_url, assertion, self._timeout_seconds
        )
        self._skew = skew_seconds(reply.date, self._now(), self._skew)
        token = self._read(reply.body, asked) if reply.status == 200 else None  # noqa: PLR2004
        return token or classify(reply.status, reply.body, self._now())

    def _keep(self, token: _Token) -> None:
        self._held = token
        self._failures, self._failing_since, self._refused = 0, None, None
        log.info("token.renewed", key_id=self._credentials.key_id)

    def _read(self, body: bytes, asked: float) -> _Token | None:
        try:
            found = json.loads(body)
            text = found["access_token"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        if not isinstance(text, str) or not _fits_in_a_header(text):
            return None
        lifetime = _lifetime(found.get("expires_in"))
        renew_before = max(lifetime * _RENEW_BELOW_SHARE, min(_RENEW_BELOW_SECONDS, lifetime / 2))
        return _Token(
            text=text,
            renew_at=asked + lifetime - renew_before,
            ends_at=asked + lifetime,
            expires_at=self._now() + timedelta(seconds=lifetime),
        )

    def _pause(self, refused: Refused) -> None:
        self._failures += 1
        self._failing_since = self._failing_since or self._now()
        self._refused = refused
        pause = refused.pause(self._failures)
        self._reopens_at = self._monotonic() + pause.total_seconds()
        log.warning(
            "token.refused",
            key_id=self._credentials.key_id,
            reason=refused.reason,
            advice=refused.error.advice,
            retry_at=(self._now() + pause).isoformat(),
        )


def _fits_in_a_header(token: str) -> bool:
    return token.isascii() and token.isprintable() and token.strip() != ""


def _lifetime(stated: object) -> float:
    try:
        seconds = float(str(stated))
    except ValueError:
        return _UNREADABLE_LIFETIME
    return seconds if 1 <= seconds < 86400 else _UNREADABLE_LIFETIME  # noqa: PLR2004
