"""
Asks for one access token with one key, and says in words what came of it.

    key, key id ──► sign ──► token service ──► granted, or refused with the cure

For people who are about to use a key, and for `doctor`. Nothing is kept: the token is
thrown away, and a gateway that runs is not touched, but for one request of its quota.
"""

import asyncio
import json
import uuid
from dataclasses import dataclass
from datetime import datetime

from bars_gateway.config import Provider, Settings
from bars_gateway.outbound.egress import Egress, egress_proxy_of
from bars_gateway.outbound.proxy import open_session
from bars_gateway.outbound.refusals import Refused, classify
from bars_gateway.outbound.signing_key import SigningKey, load_signing_key
from bars_gateway.outbound.token_request import (
    Credentials,
    TokenReply,
    request_token,
    sign_assertion,
    skew_seconds,
)
from bars_gateway.tls.contexts import client_context

_OK = 200


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
