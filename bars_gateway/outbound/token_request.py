"""
One request for an access token, as it is signed and as it goes over the wire.

    Credentials ──RS512──► client assertion ──POST──► TokenReply: status, Date, body

`TokenSource` asks so while the gateway runs, and `bars-gateway keys probe` and `doctor`
before it does: what is tried is what will be done.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime

import aiohttp
import jwt

from bars_gateway.errors import EgressBlocked
from bars_gateway.outbound.egress import Crossing, Egress
from bars_gateway.outbound.proxy import body_within, moment_of, retry_after
from bars_gateway.outbound.signing_key import SigningKey

ASSERTION_SECONDS = 150  # tolerates a clock that is wrong by as much, either way
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_MAX_ANSWER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """As whom, and to where, one provider asks."""

    token_url: str  # also the audience, character for character
    api_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
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
    crossing = Crossing()
    try:
        async with (
            asyncio.timeout(timeout_seconds),
            session.post(
                token_url,
                data=form,
                proxy_headers=egress.login if egress else None,
                trace_request_ctx=crossing,
                allow_redirects=False,
            ) as response,
        ):
            if egress is not None:
                egress.passed()
            body = await body_within(response, _MAX_ANSWER_BYTES)
            return TokenReply(
                status=response.status,
                date=response.headers.get("Date"),
                retry_after=retry_after(response.headers),
                body=body or b"",
            )
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        blocked = egress.blocked(error, crossing) if egress is not None else None
        return TokenReply(status=None, blocked=blocked)


def skew_seconds(date: str | None, now: datetime, before: float | None = None) -> float | None:
    """Return our clock less theirs, from their Date header; *before* where that says nothing."""
    theirs = moment_of(date)
    return before if theirs is None else round((now - theirs).total_seconds(), 1)
