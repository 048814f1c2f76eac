"""
Makes the parts of a gateway from its settings: what each is given.

The parts take plain values, so that each can be tested alone; here the settings are
taken apart for them.

    store.calls ─► ages ─► Budget of a key ─┬─► messages of its providers
                                            └─► their tokens and reads, each noted first

Each application key has one budget, loaded with what was asked in the last minute. Providers that
share a key share its quota, for the platform counts by key (D-quota).
"""

import asyncio
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from functools import partial

import aiohttp
from prometheus_client import CollectorRegistry

from bars_gateway import __version__
from bars_gateway.config import Environment, Provider, Settings
from bars_gateway.inbound.asking import Asking, Patience
from bars_gateway.inbound.connection import Callers, InboundLimits
from bars_gateway.inbound.exchange import ByName
from bars_gateway.inbound.message_handler import MessageHandler
from bars_gateway.inbound.providers import Hosted
from bars_gateway.inbound.read_handler import Publications, ReadHandler
from bars_gateway.inbound.server import PROCESS_MESSAGE, InboundServer
from bars_gateway.outbound.budget import NOTE_HOLDS, Budget, NotedTurns, Turns
from bars_gateway.outbound.cache import Cache
from bars_gateway.outbound.dispatcher import Dispatcher, Policy
from bars_gateway.outbound.egress import Egress, egress_proxy_of, open_session
from bars_gateway.outbound.proxy import Proxy, ProxyReads, ReadLimits
from bars_gateway.outbound.record_reads import CancelReader, Reconciler
from bars_gateway.outbound.token import (
    Credentials,
    NoToken,
    SigningKey,
    Tokens,
    TokenSource,
    load_signing_key,
)
from bars_gateway.standard.applications import Offer
from bars_gateway.standard.headers import SenderIdentity, normalised
from bars_gateway.standard.publications import About
from bars_gateway.standard.rule import EVERYBODY, IN_PRODUCTION, Overrides, Side
from bars_gateway.store.asides import Aside
from bars_gateway.store.pacing import EGRESS, token_service_of
from bars_gateway.store.store import Store
from bars_gateway.tls.contexts import CurrentIdentity, Identity, client_context, load_identity

Clock = Callable[[], datetime]
_VARIANT = {f"{digit:x}": "89ab"[digit & 3] for digit in range(16)}  # RFC 9562, of version 4
_DRAWN: list[str] = []
_DRAWN_AT_ONCE = 256
_READS_AT_ONCE = 64  # over all providers; the others wait for a connection within their own time
_LIMITS = (
    "max_connections max_body_bytes handshake_seconds header_seconds body_seconds"
    " answer_within_seconds idle_seconds"
).split()


def new_id() -> str:
    """
    Return a UUID of this moment: its milliseconds, and 74 random bits.

    Those of one moment lie side by side in an index, which grows at its end: a message would else
    rewrite a page for each. It is version 7 of RFC 9562 but for that digit, for there are checks
    that know no version above 5. An acknowledgement takes a dozen, so many are drawn at once.
    """
    try:
        drawn = _DRAWN.pop()  # of which each is given once, whichever thread asks
    except IndexError:
        more = os.urandom(10 * _DRAWN_AT_ONCE).hex()
        drawn, *others = (more[start : start + 20] for start in range(0, len(more), 20))
        _DRAWN.extend(others)
    now = f"{time.time_ns() // 1_000_000:012x}"
    return f"{now[:8]}-{now[8:]}-4{drawn[:3]}-{_VARIANT[drawn[3]]}{drawn[4:7]}-{drawn[8:]}"


def offer_of(provider: Provider) -> Offer:
    """Return what a provider answers to."""
    return Offer(
        services=frozenset(map(normalised, provider.services)),
        applications=provider.applications,
        refused_use_cases=frozenset(provider.refused_use_cases),
        booking_required=provider.booking_required,
    )


def overrides_of(settings: Settings, provider: Provider, side: Side) -> Overrides:
    """Return what is agreed; in production, what never leaves for it is an error on sending."""
    if side is Side.SENDING and settings.environment is Environment.PROD:
        return in_production(provider)
    return Overrides({**provider.rules, EVERYBODY: provider.rules.get(EVERYBODY, {})})


def in_production(provider: Provider) -> Overrides:
    """Return what is agreed on sending where the environment is production (D-strict-on-send)."""
    everybody = {**IN_PRODUCTION, **provider.rules.get(EVERYBODY, {})}
    return Overrides({**provider.rules, EVERYBODY: everybody})


def sender_identity(provider: Provider) -> SenderIdentity:
    """Return who a provider says that it is."""
    software = provider.software
    return SenderIdentity(
        ods_code=provider.ods_code,
        organisation=provider.name,
        software_name=software.name,
        software_version=software.version,
        software_system=software.identifier_system,
        software_value=software.identifier_value,
        core_version=provider.core_version,
    )


async def outbound_parts(
    settings: Settings, store: Store, stack: AsyncExitStack, now: Clock
) -> tuple[dict[str, Tokens], Dispatcher, ProxyReads, CancelReader]:
    """Return the token sources by provider, and the dispatcher and the readers that use them."""
    outbound = settings.outbound
    known = await store.breaks.known()  # since when, from before a restart
    egress = Egress(egress_proxy_of(outbound), now=now, known_since=known.get(EGRESS))
    pool = partial(
        open_session,
        client_context(outbound.ca_file),
        connect_seconds=outbound.connect_seconds,
        egress=egress.way,
    )
    sending = outbound.max_in_flight + len(settings.providers)  # a token for each at a time
    session = await stack.enter_async_context(pool(connections=sending))
    reading = await stack.enter_async_context(pool(connections=_READS_AT_ONCE))
    budgets = await budgets_of(settings, store, now)
    turns = turns_of(budgets, store, now)
    tokens = await _tokens(settings, session, turns, egress, known)
    proxy = _proxy(settings, session, budgets, egress)
    policy = Policy(
        timing=settings.timing_for,
        max_in_flight=outbound.max_in_flight,
        server_errors_limit=outbound.server_errors_limit,
    )
    reads = _reads(settings, reading, tokens, turns, egress)
    reconciler = Reconciler(store.reconciliations, store.asides, reads, now=now, new_id=new_id)
    rng = random.SystemRandom()
    dispatcher = Dispatcher(store, tokens, proxy, policy, reconciler=reconciler, now=now, rng=rng)
    identities = {name: sender_identity(each) for name, each in settings.providers.items()}
    cancels = CancelReader(
        store.cancellations, store.asides, reads, identities, now=now, new_id=new_id
    )
    return tokens, dispatcher, reads, cancels


async def asked_lately(store: Store, now: Clock) -> dict[str, list[float]]:
    """Return how many seconds ago each call of the last minute began, by provider."""
    moment = now() - NOTE_HOLDS  # a call may begin so long after its note: each is taken to have
    asked = await store.calls.since(moment - timedelta(minutes=1))
    return {name: [(moment - at).total_seconds() for at in each] for name, each in asked.items()}


async def budgets_of(
    settings: Settings,
    store: Store,
    now: Clock,
    monotonic: Callable[[], float] = time.monotonic,
) -> dict[str, Budget]:
    """Return each provider's budget, in which what was asked in the last minute counts."""
    asked = await asked_lately(store, now)
    ages: dict[str, list[float]] = {}
    for name, provider in settings.providers.items():
        ages.setdefault(provider.api_key, []).extend(asked.get(name, ()))
    made = {
        key: Budget(settings.outbound.requests_per_minute, monotonic=monotonic, ages=of_key)
        for key, of_key in ages.items()
    }
    return {name: made[provider.api_key] for name, provider in settings.providers.items()}


def turns_of(of: Mapping[str, Budget], store: Store, now: Clock) -> dict[str, Turns]:
    """Return each provider's way into its budget for what is not a message."""
    return {name: NotedTurns(each, partial(_note, store, name, now)) for name, each in of.items()}


async def _note(store: Store, provider: str, now: Clock) -> None:
    await store.calls.note(provider, now())


def _proxy(
    settings: Settings,
    session: aiohttp.ClientSession,
    budgets: Mapping[str, Budget],
    egress: Egress,
) -> Proxy:
    outbound = settings.outbound
    return Proxy(
        session,
        url=outbound.proxy_url,
        budgets=budgets,
        answer_seconds=outbound.answer_seconds,
        max_answer_bytes=outbound.max_answer_bytes,
        egress=egress,
    )


def _reads(
    settings: Settings,
    session: aiohttp.ClientSession,
    tokens: Mapping[str, Tokens],
    turns: Mapping[str, Turns],
    egress: Egress,
) -> ProxyReads:
    outbound = settings.outbound
    return ProxyReads(
        session,
        tokens,
        turns,
        url=outbound.proxy_url,
        cache=Cache(settings.cache_dir, timedelta(hours=outbound.cache_hours)),
        limits=ReadLimits(seconds=outbound.answer_seconds, max_bytes=outbound.max_answer_bytes),
        now=egress.now,
        egress=egress,
    )


async def _tokens(
    settings: Settings,
    session: aiohttp.ClientSession,
    turns: Mapping[str, Turns],
    egress: Egress,
    known: Mapping[str, datetime],
) -> dict[str, Tokens]:
    outbound, bits = settings.outbound, settings.preset.minimum_key_bits
    if not outbound.token_required:
        return {name: NoToken() for name in settings.providers}
    return {
        name: TokenSource(
            session,
            Credentials(token_url=outbound.token_url, api_key=provider.api_key),
            await asyncio.to_thread(keys_of, provider, bits),
            turns[name],
            now=egress.now,
            monotonic=time.monotonic,
            new_id=new_id,
            timeout_seconds=outbound.token_seconds,
            egress=egress,
            known_since=known.get(token_service_of(name)),
        )
        for name, provider in settings.providers.items()
    }


def keys_of(provider: Provider, minimum_bits: int) -> list[SigningKey]:
    """Return the keys of *provider*, best first; raise IdentityError. Slow: call it in a thread."""
    files = {provider.key_id: provider.private_key_file, **provider.former_keys}
    return [
        SigningKey(key_id=key_id, key=load_signing_key(file, minimum_bits))
        for key_id, file in files.items()
    ]


def callers_of(settings: Settings) -> Callers:
    """Return who may call, as the settings have it."""
    callers = settings.callers
    return Callers(
        names=settings.inbound.allowed_client_names,
        issuers=frozenset(callers.issuers),
        addresses=settings.caller_addresses,
        load_balancers=callers.proxy_protocol_from,
        connections_per_address=callers.max_connections_per_address,
        observe_until=callers.observe_until,
        revocation_is_required=callers.revocation == "hard",
    )


def identity_of(settings: Settings, now: datetime) -> Identity:
    """Return who we are to callers, as the files are at *now*; raise IdentityError."""
    inbound, lists = settings.inbound, settings.callers.revocation_list_files
    files = inbound.certificate_file, inbound.private_key_file, inbound.client_ca_file
    # One that has ended stops no start; a reload has refused it before (`problems_of_inbound`).
    return load_identity(*files, now=now, revocation_list_files=lists, may_be_over=True)


def inbound_server(
    settings: Settings, store: Store, registry: CollectorRegistry, now: Clock
) -> InboundServer | None:
    """Return the listener for messages from others, or None where it is switched off."""
    inbound = settings.inbound
    if not inbound.enabled:
        return None
    return InboundServer(
        _answerers(settings, store, _hosted(settings), now),
        CurrentIdentity(identity_of(settings, now())),
        host=inbound.listen.host,
        port=inbound.listen.port,
        callers=callers_of(settings),
        registry=registry,
        now=now,
        limits=InboundLimits(**{name: getattr(inbound, name) for name in _LIMITS}),
        writes=inbound.preview_writes,
        tell=partial(_tell_of_arrival, store, now),
        callers_file=settings.callers_file,
        unavailable=store.unavailable,
    )


async def _tell_of_arrival(store: Store, now: Clock, error: BaseException) -> None:
    await store.asides.tell(Aside.ARRIVAL, error, now())


def _hosted(settings: Settings) -> list[Hosted]:
    return [
        Hosted(
            provider=name,
            timing=settings.timing_for,
            ods_code=provider.ods_code,
            offer=offer_of(provider),
            case_number_system=provider.case_number_system,
            overrides=overrides_of(settings, provider, Side.RECEIVING),
            asks=provider.questions != "none",
            asked_about_all=frozenset(map(normalised, provider.acknowledged_by_epr)),
            # What a preview write made has an id of the EPR's own, too.
            earlier_records=provider.earlier_records or settings.inbound.preview_writes,
            refused_organisations=frozenset(provider.refused_organisations),
            same_organisation=provider.same_organisation,
        )
        for name, provider in settings.providers.items()
    ]


def _about(settings: Settings, since: datetime, provider: str) -> About:
    own = settings.providers[provider]
    return About(
        url=settings.inbound.public_url or f"https://{settings.inbound.listen}",
        publisher=own.name,
        software="bars_gateway",
        software_version=__version__,
        core_version=own.core_version,
        since=since,
        asks=own.questions != "none",
    )


def _answerers(settings: Settings, store: Store, hosted: Sequence[Hosted], now: Clock) -> ByName:
    """Return who answers what, by the names of `inbound.server`."""
    patience = Patience(
        proxy=timedelta(seconds=settings.inbound.answer_within_seconds),
        operator=timedelta(minutes=settings.epr.question_alarm_minutes),
    )
    asking = Asking(store.questions, patience)
    longest = timedelta(days=settings.inbound.longest_slot_search_days)
    reads = ReadHandler(hosted, asking, longest_slot_search=longest, now=now)
    publications = Publications(hosted, partial(_about, settings, now()))
    return ByName(
        {
            PROCESS_MESSAGE: MessageHandler(store, hosted, asking, now=now, new_id=new_id),
            "metadata": publications,
            "MessageDefinition": publications,
            "Slot": reads,
            "Appointment": reads,
            "ServiceRequest": reads,
        }
    )
