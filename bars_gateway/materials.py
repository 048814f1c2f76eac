"""
What can be renewed while the gateway runs: which files, and what becomes of them.

    certificate, key, authorities, lists ──► CurrentIdentity, callers
    each provider's signing key ───────────► its TokenSource

What lies there is judged as at start, so that nothing is taken now with which the next
start would fail.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from bars_gateway.config import Settings
from bars_gateway.config.problems import problems_of_inbound, problems_of_keys
from bars_gateway.config.sources import Problem
from bars_gateway.errors import IdentityError
from bars_gateway.inbound.server import InboundServer
from bars_gateway.outbound.token import Tokens, TokenSource
from bars_gateway.parts import Clock, callers_of, identity_of, keys_of
from bars_gateway.renewal import Material
from bars_gateway.tls import Identity


def materials(
    tokens: Mapping[str, Tokens],
    inbound: InboundServer | None,
    now: Clock,
    ring_outbound: Callable[[], None],
) -> list[Material]:
    """Return everything that is renewed, in the order in which it is read; a new key is tried."""
    found = [
        Material(
            name=f"the signing key of {provider}",
            files=partial(_key_files, provider),
            take=partial(_take_key, provider, source, ring_outbound),
        )
        for provider, source in tokens.items()
        if isinstance(source, TokenSource)
    ]
    if inbound is not None:
        take = partial(_take_identity, inbound, now)
        found.append(Material(name="the certificate for receiving", files=_trust_files, take=take))
    return found


def _key_files(provider: str, settings: Settings) -> Sequence[Path]:
    own = settings.providers[provider]
    return [own.private_key_file, *own.former_keys.values()]


async def _take_key(
    provider: str, source: TokenSource, ring_outbound: Callable[[], None], settings: Settings
) -> None:
    _require_none(await asyncio.to_thread(problems_of_keys, settings, provider))
    bits = settings.bundle.minimum_key_bits
    source.use(await asyncio.to_thread(keys_of, settings.providers[provider], bits))
    ring_outbound()


def _trust_files(settings: Settings) -> Sequence[Path]:
    inbound = settings.inbound
    lists = settings.callers.revocation_list_files
    return [inbound.certificate_file, inbound.private_key_file, inbound.client_ca_file, *lists]


async def _take_identity(inbound: InboundServer, now: Clock, settings: Settings) -> None:
    inbound.identity.identity = await asyncio.to_thread(_identity, settings, now)
    inbound.admission.callers = callers_of(settings)


def _identity(settings: Settings, now: Clock) -> Identity:
    _require_none(problems_of_inbound(settings, now()))
    return identity_of(settings, now())


def _require_none(problems: Sequence[Problem]) -> None:
    if problems:
        first = problems[0]
        raise IdentityError(f"{first.key} {first.cause} ({first.cure.rstrip('.')})")
