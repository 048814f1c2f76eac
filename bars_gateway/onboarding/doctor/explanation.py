"""
Takes one request for a token apart, and names the claim that was wrong.

    what was sent, decoded ─► each part beside what is wanted ─► what came back ─► the culprit

The JWT is printed decoded and without its signature: that can be shown to the desk, and
is of no use to anybody, because its `jti` is spent.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import jwt

from bars_gateway.config import Provider, Settings
from bars_gateway.onboarding.probing import Probe

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
