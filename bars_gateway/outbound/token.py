"""
Signs JWTs and keeps access tokens, one source per provider.

    KeyRing ──RS512──► client assertion ──POST──► token service ──► token, for ten minutes
       the first key that the service knows            └─► TokenUnavailable, with advice

However many senders wait, one of them asks and the others share the answer. A token is
renewed early: while one sender asks, the others go on with the old one. Its end, and
the pause after a failure, are measured on the monotonic clock, a token's from before
the request: a step of the wall clock (the cure for one kind of failure) changes nothing.

The service remembers every `jti` for thirty days, also of requests that it refused
afterwards, so each POST carries a new one (D-jwt). After a failure nobody asks until a
pause is over; meanwhile this provider's messages are left in the queue, and it costs
them no attempt.

The service keeps its copy of our public keys for an hour and does not look again for a key that it
does not know. So a key that it refused rests for an hour, and the one before it signs meanwhile:
that is how a new key comes into use without a gap. `bars-gateway keys probe` and `doctor` ask with
the same functions before the gateway runs: what is tried is what will be done.

Decisions: D-key-files.
"""

import asyncio
import json
import os
import stat
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import aiohttp
import jwt
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from bars_gateway.errors import EgressBlocked, IdentityError, unforeseen
from bars_gateway.frozen import frozen
from bars_gateway.outbound.budget import Turns
from bars_gateway.outbound.egress import Egress, body_within, moment_of, retry_after, sending
from bars_gateway.outbound.token_refusals import TokenRefused, classify
from bars_gateway.tls.certificates import private_key

log = structlog.get_logger(__name__)

_UNREADABLE_LIFETIME = 300.0  # seconds, where `expires_in` is missing or garbage
_RENEW_BELOW_SECONDS = 60.0
_RENEW_BELOW_SHARE = 0.2
ASSERTION_SECONDS = 150  # tolerates a clock that is wrong by as much, either way
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_MAX_ANSWER_BYTES = 64 * 1024
# Without O_NONBLOCK a pipe in the key's place would be waited for, for ever.
_OPENING = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
REST_SECONDS = 3600.0  # as long as the token service keeps its copy


@frozen(kw_only=True)
class SigningKey:
    """A key with the name that its public half is registered under."""

    key_id: str
    key: RSAPrivateKey


class KeyRing:
    """The keys of one provider, in the order in which they are to be tried."""

    def __init__(self, keys: Sequence[SigningKey], *, monotonic: Callable[[], float]) -> None:
        self._keys = keys
        self._monotonic = monotonic
        self._rests_until: dict[str, float] = {}

    @property
    def keys(self) -> Sequence[SigningKey]:
        """All of them, as preferred."""
        return self._keys

    @property
    def refused(self) -> Sequence[str]:
        """The ids of those that the service refused within the last hour."""
        return [key.key_id for key in self._keys if self._rests(key)]

    def in_turn(self) -> Sequence[SigningKey]:
        """Return the keys as preferred, those that rest behind the others."""
        return sorted(self._keys, key=self._rests)

    def refuse(self, key: SigningKey) -> None:
        """Let *key* rest: the service does not know it, and will not for up to an hour."""
        self._rests_until[key.key_id] = self._monotonic() + REST_SECONDS

    def accept(self, key: SigningKey) -> None:
        """Note that the service knows *key*."""
        self._rests_until.pop(key.key_id, None)

    def replace(self, keys: Sequence[SigningKey]) -> None:
        """Use *keys* from now on; what was known of the old ones is forgotten."""
        self._keys = keys
        self._rests_until.clear()

    def _rests(self, key: SigningKey) -> bool:
        return self._monotonic() < self._rests_until.get(key.key_id, 0.0)


def load_signing_key(path: Path, minimum_bits: int) -> RSAPrivateKey:
    """
    Return the RSA key in the PEM file at *path*; slow, so call it in a thread.

    Raises IdentityError where it is missing, no file, readable by others, locked, no RSA
    key, or shorter than *minimum_bits*.
    """
    try:
        descriptor = os.open(path, _OPENING)
    except OSError as error:
        raise IdentityError(f"{path}: {error.strerror}") from None
    try:
        pem = _read_private(path, descriptor)
    finally:
        os.close(descriptor)
    try:
        key = private_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise IdentityError(f"{path}: holds no private key in PEM form, or a locked one") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < minimum_bits:
        raise IdentityError(f"{path}: is not an RSA key of {minimum_bits} bits or more")
    return key


def _read_private(path: Path, descriptor: int) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise IdentityError(f"{path}: is not a file")
    # systemd grants a credential of group root by an access list, which shows as group bits.
    exposed = stat.S_IRWXO if status.st_gid == 0 else stat.S_IRWXO | stat.S_IRWXG
    if status.st_mode & exposed:
        raise IdentityError(f"{path}: others can read this key; its mode should be 0600")
    with open(descriptor, "rb", closefd=False) as file:
        return file.read()


@frozen(kw_only=True)
class Credentials:
    """As whom, and to where, one provider asks."""

    token_url: str  # also the audience, character for character
    api_key: str


@frozen(kw_only=True)
class TokenReply:
    """What came back, whatever it means; silence has no status."""

    status: int | None
    date: str | None = None  # the Date header
    retry_after: float | None = None  # seconds, from Retry-After
    blocked: EgressBlocked | None = None  # by our own network: nobody there has seen it
    body: bytes = b""


def sign_assertion(
    credentials: Credentials, signing: SigningKey, *, new_id: str, now: datetime
) -> str:
    """Return the JWT for one POST, and no other: its `jti` *new_id* is spent with it (D-jwt)."""
    claims = {
        "iss": credentials.api_key,
        "sub": credentials.api_key,
        "aud": credentials.token_url,
        "jti": new_id,
        "exp": int(now.timestamp()) + ASSERTION_SECONDS,
    }
    return jwt.encode(claims, signing.key, algorithm="RS512", headers={"kid": signing.key_id})


async def request_token(
    session: aiohttp.ClientSession,
    token_url: str,
    assertion: str,
    timeout_seconds: float,
    egress: Egress | None = None,
) -> TokenReply:
    """Post *assertion* and return what came back."""
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": _ASSERTION_TYPE,
        "client_assertion": assertion,
    }
    try:
        async with sending(
            session, egress, "POST", token_url, seconds=timeout_seconds, data=form
        ) as response:
            body = await body_within(response, _MAX_ANSWER_BYTES)
            return TokenReply(
                status=response.status,
                date=response.headers.get("Date"),
                retry_after=retry_after(response.headers),
                body=body or b"",
            )
    except EgressBlocked as blocked:
        return TokenReply(status=None, blocked=blocked)
    except (TimeoutError, aiohttp.ClientError, OSError):
        return TokenReply(status=None)


def skew_seconds(date: str | None, now: datetime, before: float | None = None) -> float | None:
    """Return our clock less theirs, from their Date header; *before* where that says nothing."""
    theirs = moment_of(date)
    return before if theirs is None else round((now - theirs).total_seconds(), 1)


@frozen(kw_only=True)
class TokenStatus:
    """How a provider stands with the token service, for people."""

    key_id: str  # of the key that signs
    refused_keys: Sequence[str]  # before it, and not known to the token service
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


@frozen(kw_only=True)
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
        keys: Sequence[SigningKey],
        turns: Turns,
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        new_id: Callable[[], str],
        timeout_seconds: float = 30.0,
        egress: Egress | None = None,
        known_since: datetime | None = None,
    ) -> None:
        """
        *keys*: the one to sign with, and those to sign with where the service lacks it.

        *known_since*: when the trouble began that was there before a restart, if any.
        """
        self._session = session
        self._credentials = credentials
        self._keys = KeyRing(keys, monotonic=monotonic)
        self._turns = turns
        self._now, self._monotonic, self._new_id = now, monotonic, new_id
        self._timeout_seconds = timeout_seconds
        self._egress = egress
        self._one_at_a_time = asyncio.Lock()
        self._held: _Token | None = None
        self._failures = 0
        self.since = known_since  # no token could be had; kept until there is one
        self._refused: TokenRefused | None = None
        self._reopens_at = 0.0  # monotonic; counts only where something was refused
        self._skew: float | None = None

    @property
    def keys(self) -> Sequence[SigningKey]:
        """What is signed with, as preferred."""
        return self._keys.keys

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
            key_id=self._keys.in_turn()[0].key_id,
            refused_keys=self._keys.refused,
            expires_at=held.expires_at if held else None,
            failing_since=self.since if self._refused else None,
            reason=self._refused.reason if self._refused else None,
            advice=self._refused.advice if self._refused else None,
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

    def use(self, keys: Sequence[SigningKey]) -> None:
        """
        Sign with these keys from the next request on, which need not wait for any pause.

        A token in hand is kept until it ends: it is as good as it was.
        """
        self._keys.replace(keys)
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
            found = await self._ask_or_fail()
            if isinstance(found, _Token):
                return found
            refused = found
            self._pause(refused)
        if self._held is not None and self._usable():
            return self._held
        raise refused.error

    async def _ask_or_fail(self) -> _Token | TokenRefused:
        """Ask; what fails in a way that nobody foresaw is not a message's trouble, and passes."""
        try:
            return await self._ask()
        except Exception as error:  # unit of work
            what = unforeseen(error)
            log.error("token.request_failed", exception=what.exception, place=what.place)
            return classify(None, b"", self._now())

    async def _ask(self) -> _Token | TokenRefused:
        """Ask with the first key, and with the next for as long as the service lacks them."""
        first: TokenRefused | None = None
        for key in self._keys.in_turn():
            found = await self._ask_with(key)
            if isinstance(found, _Token):
                self._keys.accept(key)
                self._keep(found, key)
                return found
            first = first or found
            if not found.row.next_key:
                return found
            self._keys.refuse(key)
            log.warning("token.key_refused", key_id=key.key_id, reason=found.reason)
        assert first is not None
        return first

    async def _ask_with(self, key: SigningKey) -> _Token | TokenRefused:
        await self._turns.take(urgent=True)
        credentials = self._credentials
        assertion = await asyncio.to_thread(
            sign_assertion, credentials, key, new_id=self._new_id(), now=self._now()
        )
        asked = self._monotonic()
        reply = await request_token(
            self._session, credentials.token_url, assertion, self._timeout_seconds, self._egress
        )
        self._skew = skew_seconds(reply.date, self._now(), self._skew)
        token = self._read(reply.body, asked) if reply.status == 200 else None  # noqa: PLR2004
        return token or classify(
            reply.status, reply.body, self._now(), reply.blocked, reply.retry_after
        )

    def _keep(self, token: _Token, key: SigningKey) -> None:
        self._held = token
        self._failures, self.since, self._refused = 0, None, None
        log.info("token.renewed", key_id=key.key_id)

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

    def _pause(self, refused: TokenRefused) -> None:
        self._failures += 1
        self.since = self.since or self._now()
        self._refused = refused
        pause = refused.pause(self._failures)
        self._reopens_at = self._monotonic() + pause.total_seconds()
        log.warning(
            "token.refused",
            row=refused.row.name,
            reason=refused.reason,
            advice=refused.advice,
            support_id=refused.support_id,
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
