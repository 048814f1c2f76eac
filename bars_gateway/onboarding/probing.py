"""
Asks for one access token with one key, and says in words what came of it.

    key, key id ──► sign ──► token service ──► granted, or refused with the cure

    what was sent, decoded ─► each part beside what is wanted ─► what came back ─► the culprit

For people who are about to use a key, and for `doctor`. Nothing is kept: the token is
thrown away, and a gateway that runs is not touched, but for one request of its quota.
The JWT is printed decoded and without its signature: that can be shown to others, and
is of no use to anybody, because its `jti` is spent.
"""

import asyncio
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt

from bars_gateway.config import Provider, Settings
from bars_gateway.outbound.egress import Egress, egress_proxy_of, open_session
from bars_gateway.outbound.token import (
    Credentials,
    SigningKey,
    TokenReply,
    load_signing_key,
    request_token,
    sign_assertion,
    skew_seconds,
)
from bars_gateway.outbound.token_refusals import Refused, classify
from bars_gateway.tls.contexts import client_context

_OK = 200
_LONGEST_AHEAD = 300  # seconds
# What a refusal's description begins with or holds → the part of the JWT, and its setting.
_CULPRITS = (
    ("'exp'", "exp", "the clock of this machine (timedatectl)"),
    ("'iss'/'sub'", "iss, sub", "api_key: it is not known in this environment"),
    ("'aud'", "aud", "outbound.token_url: it is not this environment's"),
    ("'kid'", "kid", "key_id: it is not in the registered JWKS (which is kept for an hour)"),
    ("'jti'", "jti", "something in between repeats requests"),
    ("signature", "signature", "private_key_file: it is not the key of this key id"),
    ("register a public key", "kid", "nothing is registered: bars-gateway letters key"),
    ("JWKS endpoint", "kid", "onboarding.jwks_url: the token service cannot read it"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What was sent, and what came back."""

    assertion: str
    reply: TokenReply
    token: str | None  # None: refused
    refused: Refused | None
    skew_seconds: float | None  # our clock less theirs


def credentials_of(settings: Settings, provider: Provider) -> tuple[Credentials, SigningKey]:
    """Return what *provider* signs with; raise IdentityError. Slow: call it in a thread."""
    key = load_signing_key(provider.private_key_file, settings.bundle.minimum_key_bits)
    credentials = Credentials(token_url=settings.outbound.token_url, api_key=provider.api_key)
    return credentials, SigningKey(key_id=provider.key_id, key=key)


async def probe(
    settings: Settings, credentials: Credentials, key: SigningKey, now: datetime
) -> Probe:
    """Ask for a token once."""
    assertion = await asyncio.to_thread(
        sign_assertion, credentials, key, new_id=str(uuid.uuid4()), now=now
    )
    outbound = settings.outbound
    context = client_context(outbound.ca_file)
    way = egress_proxy_of(outbound)
    session = open_session(
        context,
        connections=1,
        connect_seconds=outbound.connect_seconds,
        egress=way,
    )
    async with session:
        reply = await request_token(
            session,
            credentials.token_url,
            assertion,
            outbound.token_seconds,
            Egress(way, now=lambda: now),
        )
    token = _token(reply)
    return Probe(
        assertion=assertion,
        reply=reply,
        token=token,
        refused=None if token else classify(reply.status, reply.body, now, reply.blocked),
        skew_seconds=skew_seconds(reply.date, now),
    )


def _token(reply: TokenReply) -> str | None:
    try:
        token = json.loads(reply.body)["access_token"] if reply.status == _OK else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return token if isinstance(token, str) and token else None


def explained(settings: Settings, provider: Provider, probe: Probe, now: datetime) -> Iterator[str]:
    """Yield what was sent, what came back, and which part was wrong."""
    header = jwt.get_unverified_header(probe.assertion)
    claims = jwt.decode(probe.assertion, options={"verify_signature": False})
    yield f"POST {settings.outbound.token_url}"
    for name, value, wanted in _parts(settings, provider, header, claims, now):
        yield f"  {name:4}  {value}    {wanted}"
    yield from _answer(probe)
    culprit = _culprit(probe)
    if culprit is not None:
        part, setting = culprit
        yield f"wrong: {part}"
        yield f"   try: {setting}"
    elif probe.refused is not None:
        yield f"wrong: {probe.refused.reason}"
        yield f"   try: {probe.refused.advice}"
    else:
        yield "nothing is wrong: a token was given"


def _parts(
    settings: Settings,
    provider: Provider,
    header: dict[str, Any],
    claims: dict[str, Any],
    now: datetime,
) -> Iterator[tuple[str, object, str]]:
    ends = datetime.fromtimestamp(claims["exp"], UTC)
    ahead = f"{(ends - now).total_seconds():.0f} s ahead; at most {_LONGEST_AHEAD}"
    yield "alg", header["alg"], "RS512, and no other"
    yield "typ", header["typ"], "JWT"
    yield "kid", header["kid"], f"key_id of {provider.ods_code}; must be in the registered JWKS"
    yield "iss", claims["iss"], "api_key"
    yield "sub", claims["sub"], "the same"
    yield "aud", claims["aud"], f"the address of {settings.environment}, exactly"
    yield "jti", claims["jti"], "new for each request"
    yield "exp", claims["exp"], f"{ends:%Y-%m-%d %H:%M:%S} UTC, {ahead}"


def _answer(probe: Probe) -> Iterator[str]:
    if probe.reply.status is None:
        yield "no answer came"
        return
    said = _said(probe)
    yield f"answered {probe.reply.status} {said.get('error', '')}".rstrip()
    for name in ("error_description", "message_id"):  # support asks for the second
        if name in said:
            yield f"  {name}: {said[name]}"
    if probe.skew_seconds is not None:
        yield f"  our clock is {probe.skew_seconds:+.0f} s off theirs"


def _culprit(probe: Probe) -> tuple[str, str] | None:
    if probe.refused is None:
        return None
    description = str(_said(probe).get("error_description", ""))
    return next(((part, cure) for mark, part, cure in _CULPRITS if mark in description), None)


def _said(probe: Probe) -> dict[str, Any]:
    try:
        found = json.loads(probe.reply.body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and probe.token is None else {}
