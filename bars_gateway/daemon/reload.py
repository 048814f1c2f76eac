"""
What can be renewed while the gateway runs: which files, and what becomes of them.

    certificate, key, authorities, lists ──► CurrentIdentity, callers
    each provider's signing key ───────────► its TokenSource

What lies there is judged as at start, so that nothing is taken now with which the next
start would fail; and by what it would do: whoever called lately, and whose name is still on
the list, has to get in with it. Else the old stays, until a restart takes what lies there.

Decisions: D-renewal.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

import structlog

from bars_gateway.config import Settings
from bars_gateway.config.problems import problems_of_inbound, problems_of_keys
from bars_gateway.config.sources import Problem
from bars_gateway.daemon.parts import Clock, callers_of, identity_of, keys_of
from bars_gateway.errors import CallersShutOut, IdentityError
from bars_gateway.inbound.admission import Callers
from bars_gateway.inbound.server import InboundServer
from bars_gateway.outbound.token import Tokens, TokenSource
from bars_gateway.tls.certificates import names_of, rootless
from bars_gateway.tls.contexts import Identity, allowed
from bars_gateway.tls.sightings import Trust, shut_out
from bars_gateway.upkeep.renewal import Material

log = structlog.get_logger(__name__)


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
    identity, callers = await asyncio.to_thread(_identity, settings, now), callers_of(settings)
    known = rootless(inbound.identity.identity.authorities)
    orphans = [each for each in rootless(identity.authorities) if each not in known]
    if orphans:
        raise CallersShutOut(f"inbound.client_ca_file lacks the root of {names_of(orphans)}")
    before, after = _in_force(inbound), _trust(identity, callers)
    lost = [
        each
        for each in shut_out(inbound.sightings.lately, after, now())
        if before.refusal(each.seen, now()) is None
    ]
    if lost:
        raise CallersShutOut(f"inbound.client_ca_file would shut out {lost[0]}")
    for seen in inbound.sightings.lately:
        names = seen.caller.names
        if allowed(names, before.names) and not allowed(names, after.names):
            log.warning("tls.caller_taken_off", name=seen.name)
    inbound.identity.identity, inbound.admission.callers = identity, callers


def callers_shut_out(inbound: InboundServer, now: datetime) -> list[str]:
    """Return who called lately, is on the list, and would not get in with what is in force."""
    return [str(each) for each in shut_out(inbound.sightings.lately, _in_force(inbound), now)]


def _in_force(inbound: InboundServer) -> Trust:
    return _trust(inbound.identity.identity, inbound.admission.callers)


def _trust(identity: Identity, callers: Callers) -> Trust:
    return Trust(
        names=callers.names,
        issuers=callers.issuers,
        authorities=identity.authorities,
        revocations=identity.revocations,
        revocation_is_required=callers.revocation_is_required,
    )


def _identity(settings: Settings, now: Clock) -> Identity:
    _require_none(problems_of_inbound(settings, now()))
    return identity_of(settings, now())


def _require_none(problems: Sequence[Problem]) -> None:
    if problems:
        first = problems[0]
        raise IdentityError(f"{first.key} {first.cause} ({first.cure.rstrip('.')})")
