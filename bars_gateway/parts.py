"""
Makes the parts of a gateway from its settings: what each is given, and nothing else.

The parts take plain values, so that each can be tested alone; here the settings are
taken apart for them.
"""

import asyncio
import random
import time
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import aiohttp
from prometheus_client import CollectorRegistry

from bars_gateway.config import Provider, Settings
from bars_gateway.epr.drop import DropFolder
from bars_gateway.epr.intake import Intake
from bars_gateway.epr.socket import EprSocket
from bars_gateway.inbound.connection import Limits
from bars_gateway.inbound.reception import Hosted, Reception
from bars_gateway.inbound.server import InboundServer
from bars_gateway.outbound.budget import Budget
from bars_gateway.outbound.dispatcher import Dispatcher, Policy
from bars_gateway.outbound.proxy import Proxy, open_session
from bars_gateway.outbound.signing_key import load_signing_key
from bars_gateway.outbound.token import NoToken, Tokens, TokenSource
from bars_gateway.outbound.token_request import Credentials
from bars_gateway.standard.headers import SenderIdentity, normalised
from bars_gateway.standard.rules import Offer
from bars_gateway.standard.timing import timing_for
from bars_gateway.store.port import Store
from bars_gateway.tls import CurrentIdentity, client_context, load_identity

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """How one provider's EPR comes in and is served."""

    provider: str
    folder: DropFolder
    socket: EprSocket
    delivers: bool  # whether notices go into the folder


def new_id() -> str:
    """Return a random UUID."""
    return str(uuid.uuid4())


def offer_of(provider: Provider) -> Offer:
    """Return what a provider answers to."""
    return Offer(
        services=frozenset(map(normalised, provider.services)),
        applications={
            application: frozenset(int(version.partition(".")[0]) for version in versions)
            for application, versions in provider.applications.items()
        },
    )


def _sender_identity(provider: Provider) -> SenderIdentity:
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
) -> tuple[dict[str, Tokens], Dispatcher]:
    """Return the token sources by provider, and the dispatcher that uses them."""
    outbound = settings.outbound
    session = await stack.enter_async_context(
        open_session(
            client_context(outbound.ca_file),
            connections=outbound.max_in_flight + len(settings.providers),
            connect_seconds=outbound.connect_seconds,
        )
    )
    budgets = await _budgets(settings, store, now)
    tokens = {
        name: await _tokens(settings, provider, session, budgets[name], now)
        for name, provider in settings.providers.items()
    }
    proxy = Proxy(
        session,
        url=outbound.proxy_url,
        budgets=budgets,
        answer_seconds=outbound.answer_seconds,
        max_answer_bytes=outbound.max_answer_bytes,
    )
    policy = Policy(
        timing=partial(timing_for, overrides=settings.timing_overrides),
        max_in_flight=outbound.max_in_flight,
        server_errors_limit=outbound.server_errors_limit,
    )
    return tokens, Dispatcher(store, tokens, proxy, policy, now=now, rng=random.SystemRandom())


async def _budgets(settings: Settings, store: Store, now: Clock) -> dict[str, Budget]:
    """Return a budget per application key, loaded with what was sent in the last minute (M7)."""
    moment = now()
    sent = await store.attempts_since(moment - timedelta(minutes=1))
    keys: dict[str, list[float]] = {}
    for name, provider in settings.providers.items():
        ages = [(moment - at).total_seconds() for at in sent.get(name, ())]
        keys.setdefault(provider.api_key, []).extend(ages)
    budgets = {
        key: Budget(settings.outbound.requests_per_minute, monotonic=time.monotonic, ages=ages)
        for key, ages in keys.items()
    }
    return {name: budgets[provider.api_key] for name, provider in settings.providers.items()}


async def _tokens(
    settings: Settings,
    provider: Provider,
    session: aiohttp.ClientSession,
    budget: Budget,
    now: Clock,
) -> Tokens:
    if not settings.outbound.token_required:
        return NoToken()
    key = await asyncio.to_thread(
        load_signing_key, provider.private_key_file, settings.bundle.minimum_key_bits
    )
    credentials = Credentials(
        token_url=settings.outbound.token_url,
        api_key=provider.api_key,
        key_id=provider.key_id,
        key=key,
    )
    return TokenSource(
        session,
        credentials,
        budget,
        now=now,
        monotonic=time.monotonic,
        new_id=new_id,
        timeout_seconds=settings.outbound.token_seconds,
    )


async def open_doors(
    settings: Settings, store: Store, stack: AsyncExitStack, now: Clock
) -> list[Door]:
    """Open the folders and the socket of every provider."""
    doors = []
    for name, provider in settings.providers.items():
        intake = Intake(
            store,
            provider=name,
            identity=_sender_identity(provider),
            offer=offer_of(provider),
            timing=partial(timing_for, overrides=settings.timing_overrides),
            now=now,
            new_id=new_id,
            max_bytes=settings.epr.max_submission_bytes,
        )
        folder = stack.enter_context(
            DropFolder(
                store,
                intake,
                provider=name,
                folder=provider.spool_dir,
                now=now,
                new_id=new_id,
                scan_seconds=settings.epr.scan_seconds,
            )
        )
        path = settings.epr.socket_of(name)
        socket = EprSocket(store, intake, provider=name, path=path, now=now)
        await socket.open()
        stack.push_async_callback(socket.close)
        delivers = provider.notices == "folder"
        doors.append(Door(provider=name, folder=folder, socket=socket, delivers=delivers))
    return doors


def inbound_server(
    settings: Settings, store: Store, registry: CollectorRegistry, now: Clock
) -> InboundServer | None:
    """Return the listener for messages from others, or None where it is switched off."""
    inbound = settings.inbound
    if not inbound.enabled:
        return None
    hosted = [
        Hosted(
            provider=name,
            ods_code=provider.ods_code,
            offer=offer_of(provider),
            case_number_system=provider.case_number_system,
        )
        for name, provider in settings.providers.items()
    ]
    identity = load_identity(
        inbound.certificate_file, inbound.private_key_file, inbound.client_ca_file, now=now()
    )
    limits = Limits(
        max_connections=inbound.max_connections,
        max_body_bytes=inbound.max_body_bytes,
        handshake_seconds=inbound.handshake_seconds,
        header_seconds=inbound.header_seconds,
        body_seconds=inbound.body_seconds,
        answer_within_seconds=inbound.answer_within_seconds,
        idle_seconds=inbound.idle_seconds,
    )
    return InboundServer(
        Reception(store, hosted, now=now, new_id=new_id),
        CurrentIdentity(identity),
        host=inbound.listen.host,
        port=inbound.listen.port,
        allowed_client_names=inbound.allowed_client_names,
        registry=registry,
        now=now,
        limits=limits,
    )
