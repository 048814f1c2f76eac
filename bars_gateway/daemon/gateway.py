"""
Builds everything, runs it, stops it: the one place that knows all the parts.

    settings ─► store ─► what we were sending ─► doors ─► run ─► stop

Start: the store first, since nothing may be promised before it is sound; then what we
were sending when we died is queued again; then the doors open. Stop: the doors close
first and what is in flight is finished, because an answer carries ids that a later 409
would not. The store closes last.

A loop that fails in a way that nobody foresaw raises an alarm and begins again after a pause: a
restart of the process would only meet the same again, and take all others with it. What ends the
process is a database that cannot be served, and what cannot be opened at the start.

What the running parts know of themselves (`RuntimeState`) is gathered here for the status page,
the metrics and the log.

Decisions: D-one-process.
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

import structlog
from prometheus_client import CollectorRegistry

from bars_gateway import __version__, libraries
from bars_gateway.config import Settings
from bars_gateway.config.doubts import doubts
from bars_gateway.console.site import Site
from bars_gateway.daemon.alerting import Alerting
from bars_gateway.daemon.console import ProvidersHands, rules_of, users_of
from bars_gateway.daemon.doors import Door, Stoppable, open_doors
from bars_gateway.daemon.limits import longest_life, longest_wait
from bars_gateway.daemon.parts import asked_lately, inbound_server, outbound_parts
from bars_gateway.daemon.recording import (
    ReachTeller,
    Recording,
    require_not_gone_back,
    require_not_set_back,
)
from bars_gateway.daemon.reload import Reloadable, Reloader, callers_shut_out, key_ring, reloadables
from bars_gateway.daemon.retention import own_folders_of, purger_of
from bars_gateway.daemon.states import (
    budget_states,
    egress_state,
    expiries,
    kept_out_states,
    our_troubles,
    publications,
    services_of,
    token_states,
    unavailable_state,
)
from bars_gateway.engine import name_of, open_engine
from bars_gateway.errors import CallersShutOut
from bars_gateway.inbound.server import InboundServer
from bars_gateway.log_lines import LogLines
from bars_gateway.outbound.dispatcher import Dispatcher
from bars_gateway.outbound.record_reads import READ_SECONDS, CancelReader
from bars_gateway.outbound.shares import Shares
from bars_gateway.outbound.token import Tokens
from bars_gateway.status.concerns import MISSING
from bars_gateway.status.metrics import Measured
from bars_gateway.status.running import RuntimeState
from bars_gateway.status.server import StatusServer
from bars_gateway.store.asides import Aside
from bars_gateway.store.nodes import HOUSEKEEPING, folder_lease, while_held
from bars_gateway.store.readings import EprCondition
from bars_gateway.store.store import Store
from bars_gateway.upkeep.encryption import Encrypter
from bars_gateway.upkeep.housekeeping import (
    Expiry,
    ExpiryWatch,
    Housekeeper,
    Inspector,
    OurTroubles,
)
from bars_gateway.upkeep.loops import (
    Beat,
    Endless,
    Heartbeats,
    LogKeeper,
    Loop,
    LoopLag,
    Notifier,
    Presence,
    Watchdog,
    enduring,
)

log = structlog.get_logger(__name__)
Clock = Callable[[], datetime]

# How long a loop may be still before the watchdog is told no more (`loops`).
_ONE_TURN = 60.0  # the longest that the minute's budget holds up one request
_THREADS = 8  # for what is on no share
_THREADS_OF_A_DOOR = 6  # collect, deliver, attendance, ask, what a purge removes, and `.reached`
_FOLDER_SECONDS = 300.0  # a slow share takes minutes over one batch, and a restart mends no share
_DOOR_SECONDS = 30.0  # somebody knocks, there is room, and nobody opens


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


def serve(
    settings: Settings, reread: Callable[[], Settings], lines: LogLines | None = None
) -> None:
    """
    Run the gateway until SIGTERM or SIGINT; at SIGHUP it renews what *reread* names.

    *lines*: where the log is written, if that is to be looked after.
    """

    async def until_told() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        # Before the doors are open there is nothing to renew, and its default would end us.
        loop.add_signal_handler(signal.SIGHUP, _nothing)

        def opened(gateway: Gateway) -> None:
            libraries.settle()
            loop.add_signal_handler(signal.SIGHUP, gateway.reloader.ask)
            _say_doubts(settings)

        notifier = Notifier(os.environ.get("NOTIFY_SOCKET"))
        await run(settings, stop, opened, notifier=notifier, reread=reread, lines=lines)

    libraries.take_short_turns()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(until_told())


def _say_doubts(settings: Settings) -> None:
    for each in doubts(settings):
        log.warning("settings.doubtful", name=each.key, reason=each.cause, advice=each.cure)


def _nothing() -> None:
    """Let a signal pass."""


def _same(settings: Settings) -> Settings:
    return settings


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's, where the extra `speed` is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def run(
    settings: Settings,
    stop: asyncio.Event,
    ready: Callable[["Gateway"], None] | None = None,
    *,
    notifier: Notifier | None = None,
    reread: Callable[[], Settings] | None = None,
    lines: LogLines | None = None,
) -> None:
    """
    Run the gateway until *stop* is set.

    Once every door is open, *ready* is called and the service manager hears of it by *notifier*.
    *reread* gives the settings as they are written now; without it, they stay as they are. What
    waits of *lines* is written to the log.
    """
    asyncio.get_running_loop().set_default_executor(threads_for(len(settings.providers)))
    async with AsyncExitStack() as stack:
        store = await _opened(settings, stack)
        if settings.store.url is not None:
            await require_not_set_back(store, settings.heads_file, name_of(settings))
        else:  # a restore that begins with nothing is to go well, and the heads stay
            await require_not_gone_back(store, settings)
        released = await store.outbound.release_own(store.nodes.clock(now)())
        notifier = notifier or Notifier(None)
        reread = reread or partial(_same, settings)
        gateway = await Gateway.build(settings, store, stack, notifier, reread, lines=lines)
        log.info(
            "daemon.started",
            version=__version__,
            environment=settings.environment,
            count=released,
        )
        notifier.tell("READY=1", f"STATUS=every door is open, {settings.environment}")
        if ready is not None:
            ready(gateway)
        await gateway.run(stop)
        log.info("daemon.stopped")


def threads_for(providers: int) -> ThreadPoolExecutor:
    """
    Return the threads for whatever blocks: enough even where every spool folder hangs.

    A share whose server is silent holds one thread for each loop that works on it. If none were
    left, no token would be signed, and nothing sent for anybody.
    """
    return ThreadPoolExecutor(_THREADS + providers * _THREADS_OF_A_DOOR, "blocking")


async def _opened(settings: Settings, stack: AsyncExitStack) -> Store:
    alone = not settings.store.several_nodes
    database = await stack.enter_async_context(open_engine(settings, alone=alone))
    return Store(
        database,
        node=settings.node,
        lease=timedelta(seconds=settings.outbound.lease_seconds),
        per_receiver=settings.outbound.max_in_flight_per_receiver,
        minimum_free_bytes=settings.store.minimum_free_bytes,
    )


class _Slow(Stoppable, Protocol):
    """A part that takes its time, and of which nobody expects a beat."""

    async def run(self) -> None: ...


def _without_beat(run: Callable[[], Awaitable[None]]) -> Loop:
    def loop(_beat: Callable[[], None]) -> Awaitable[None]:
        return run()

    return loop


def _listening(
    settings: Settings, store: Store, registry: CollectorRegistry, clock: Clock
) -> InboundServer | None:
    """Return the open door for others, or None where there is none; say who is shut out of it."""
    inbound = inbound_server(settings, store, registry, clock)
    if inbound is not None:
        inbound.start()
        for each in callers_shut_out(inbound, clock()):
            log.error("tls.caller_shut_out", name=each, advice=CallersShutOut.advice)
    return inbound


class Gateway:
    """Every part of one running gateway."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        tokens: dict[str, Tokens],
        dispatcher: Dispatcher,
        cancels: CancelReader,
        doors: Sequence[Door],
        inbound: InboundServer | None,
        missing: Mapping[str, datetime],
        registry: CollectorRegistry,
        notifier: Notifier,
        reread: Callable[[], Settings],
        lines: LogLines | None,
    ) -> None:
        self._settings, self._notifier, self._unavailable = settings, notifier, store.unavailable
        self._now = clock = store.nodes.clock(now)
        self._doors, self._inbound, self._store = doors, inbound, store
        self._encrypter = Encrypter(store.encryption, clock, monotonic=time.monotonic)
        self.reloader = Reloader(settings, self._renewed(tokens, inbound), reread=reread)
        self._recording = Recording(self.reloader, store, tokens, inbound, clock)
        self.heartbeats = Heartbeats(time.monotonic)
        self._tokens, self._dispatcher, self._cancels = tokens, dispatcher, cancels
        self._missing, self._started_at, self._stopping = missing, clock(), False
        self._housekeeper, self._reach = self._keeps_house(), self._tells_folders()
        in_place = {door.provider: door.folder.root.is_in_place for door in doors}
        self._purger = purger_of(settings, store, clock, in_place)
        self._own_folders = own_folders_of(settings, store, clock, in_place)
        self._shares = Shares(
            dispatcher.budgets,
            settings.outbound.requests_per_minute,
            living=store.nodes.living,
            asked=partial(asked_lately, store, clock),
        )
        self._inspector = Inspector(store.soundness, clock, monotonic=time.monotonic)
        store.measure(measured := Measured(registry))
        self._lag, self._log = LoopLag(measured.lagged, time.monotonic), LogKeeper(lines)
        self._alerting = Alerting(lambda: self.reloader.settings, store, self._runtime_state, clock)
        self.status = self._operators_server(registry)

    def _tells_folders(self) -> ReachTeller:
        """Return what tells spool folders how far the database is; of a server's, nobody does."""
        roots = [door.folder.root for door in self._doors if self._settings.store.url is None]
        return ReachTeller(self._store, roots, self._now, name_of(self._settings))

    def _keeps_house(self) -> Housekeeper:
        settings, store, clock = self._settings, self._store, self._now
        leads = partial(store.nodes.holds, HOUSEKEEPING)
        return Housekeeper(
            store,
            now=clock,
            monotonic=time.monotonic,
            longest_wait=longest_wait(settings),
            longest_life=longest_life(settings),
            proven=Watchdog(self.heartbeats, self._notifier).feed,
            expiries=ExpiryWatch(self._expiries, settings.status.expiry_warning_days).look,
            troubles=OurTroubles(store.breaks, self._our_troubles).keep,
            presence=Presence(store.uptimes, clock, time.monotonic, leads).keep,
            leads=leads,
        )

    def _renewed(
        self, tokens: Mapping[str, Tokens], inbound: InboundServer | None
    ) -> list[Reloadable]:
        renewed = reloadables(tokens, inbound, self._now, self._store.outbound.wake)
        return renewed + key_ring(self._settings, self._store.encryption, self._encrypter.again)

    @classmethod
    async def build(
        cls,
        settings: Settings,
        store: Store,
        stack: AsyncExitStack,
        notifier: Notifier,
        reread: Callable[[], Settings],
        *,
        lines: LogLines | None,
    ) -> "Gateway":
        """Make every part and open every door; *stack* closes what was opened."""
        clock = store.nodes.clock(now)
        await store.asides.begin_again()
        missing = await store.breaks.without_settings(settings.providers, clock())
        for name in missing:
            log.error("settings.provider_missing", provider=name, advice=MISSING)
        registry = CollectorRegistry()
        tokens, dispatcher, reads, cancels = await outbound_parts(settings, store, stack, clock)
        doors = await open_doors(settings, store, reads, stack, clock)
        gateway = cls(
            settings,
            store,
            tokens=tokens,
            dispatcher=dispatcher,
            cancels=cancels,
            doors=doors,
            inbound=_listening(settings, store, registry, clock),
            missing=missing,
            registry=registry,
            notifier=notifier,
            reread=reread,
            lines=lines,
        )
        await gateway._shares.keep()
        await gateway._recording.started()
        await gateway._alerting.begin()
        await gateway.status.start()
        stack.push_async_callback(gateway.site.access.close)
        stack.push_async_callback(gateway.status.stop)
        return gateway

    def _operators_server(self, registry: CollectorRegistry) -> StatusServer:
        status = self._settings.status
        site = Site(
            self._store,
            self._runtime_state,
            now=self._now,
            users=users_of(self._settings),
            rules=rules_of(self._settings),
            hands=ProvidersHands(self._settings, self._store, self._now),
            first_days=status.expiry_warning_days,
            settings=lambda: self.reloader.settings,
            published=lambda: publications(self._settings),
        )
        self.site = site
        return StatusServer(
            self._store,
            self._runtime_state,
            host=status.listen.host,
            port=status.listen.port,
            now=self._now,
            registry=registry,
            pages=site.routes(),
            guard=site.guard,
            ends=site.stop,
            first_days=status.expiry_warning_days,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Run every part until *stop* is set and what is in flight is finished."""
        async with asyncio.TaskGroup() as upkeep:
            # It ends last: the watchdog is to hear of us while we finish what is in flight.
            housekeeper = self._on(lambda _beat: self._housekeeper.run())
            upkeep.create_task(housekeeper(_nothing), name="housekeeper")
            async with asyncio.TaskGroup() as group:
                self._start_flows(group)
                await stop.wait()
                log.info("daemon.stopping")
                self._notifier.tell("STOPPING=1", "STATUS=finishing what is in flight")
                self._stop()
            self._housekeeper.stop()
        await self._recording.stopped()
        await self._reach.tell()

    @property
    def _slow(self) -> Mapping[str, _Slow]:
        return {
            "inspector": self._inspector,
            "purger": self._purger,
            "encrypter": self._encrypter,
            "trail": self._recording.keeper,
            "reach": self._reach,
            **(self._beside_others if self._store.nodes.several else {}),
        }

    @property
    def _beside_others(self) -> Mapping[str, _Slow]:
        """Return what each of several nodes runs for its own part."""
        return {"shares": self._shares, "copies": self._own_folders}

    @property
    def _of_one_node(self) -> Mapping[str, str]:
        """Return the tasks that one node of several runs alone, and the lease that each takes."""
        parts = ["cancels", "purger", "encrypter", *self._alerting.couriers]
        notices = {f"deliver-{d.provider}": folder_lease(d.provider) for d in self._doors}
        return {**dict.fromkeys(parts, HOUSEKEEPING), **notices}

    def _start_flows(self, group: asyncio.TaskGroup) -> None:
        keep = self.heartbeats.keep
        # A POST and, with a fresh token, a second one, each after its turn.
        sending = 2 * (_ONE_TURN + self._settings.outbound.lease_seconds)
        dispatcher = keep("dispatcher", self._on(self._dispatcher.run), within_seconds=sending)
        group.create_task(dispatcher, name="dispatcher")
        reading = _ONE_TURN + 2 * READ_SECONDS
        cancels = keep("cancels", self._on(self._cancels.run, "cancels"), within_seconds=reading)
        group.create_task(cancels, name="cancels")
        reloader = keep("renewals", self._on(self.reloader.run), within_seconds=_FOLDER_SECONDS)
        group.create_task(reloader, name="renewals")
        # No heartbeat: SQLite's look at one table takes as long as that is large.
        for name, part in self._slow.items():
            group.create_task(self._on(_without_beat(part.run), name)(_nothing), name=name)
        group.create_task(self._lag.run(), name="lag")
        group.create_task(self._log.run(), name="log")
        for name, part in self._alerting.parts.items():
            group.create_task(self._on(part.run, name)(_nothing), name=name)
        if self._inbound is not None:
            inbound = keep(
                "inbound",
                self._inbound.run,
                within_seconds=_DOOR_SECONDS,
                rests=self._inbound.rests,
            )
            group.create_task(inbound, name="inbound")
        answering = [task for door in self._doors for task in self._serve_epr(door, group)]
        group.create_task(self._end_waiting(answering), name="questions")

    def _serve_epr(self, door: Door, group: asyncio.TaskGroup) -> Sequence[asyncio.Task[None]]:
        """Start what serves one provider's EPR; return by which it answers questions."""
        answering = [group.create_task(door.socket.run(), name=f"socket-{door.provider}")]
        loops = {f"collect-{door.provider}": door.folder.collect}
        loops[f"attendance-{door.provider}"] = door.attendance.run
        if door.delivers:
            loops[f"deliver-{door.provider}"] = door.folder.deliver
        if door.questions is not None:
            loops[f"ask-{door.provider}"] = door.questions.run
        for name, loop in loops.items():
            kept = self.heartbeats.keep(name, self._on(loop, name), within_seconds=_FOLDER_SECONDS)
            task = group.create_task(kept, name=name)
            if name.startswith("ask-"):
                answering.append(task)
        return answering

    async def _end_waiting(self, answering: Sequence[asyncio.Task[None]]) -> None:
        """Let no Sender wait for an EPR that cannot answer any more: its doors are closed."""
        if answering:
            await asyncio.wait(answering)
        self._store.questions.end_waiting()

    def _on(self, loop: Loop, task: str | None = None) -> Endless:
        """Return *loop* as one that begins again when it fails, until we stop."""
        lease = self._of_one_node.get(task) if task else None
        run = loop if lease is None else self._alone(loop, lease)
        return enduring(run, self._tell, lambda: self._stopping)

    def _alone(self, loop: Loop, lease: str) -> Loop:
        """Return *loop* as it runs on one node at a time: the one that holds *lease*."""

        async def run(beat: Beat) -> None:
            async def held() -> None:
                await loop(beat)

            await while_held(self._store.nodes, lease, held, lambda: self._stopping, beat)

        return run

    async def _tell(self, error: BaseException) -> None:
        await self._store.asides.tell(Aside.WORK, error, self._now())

    def _stop(self) -> None:
        self._stopping = True
        parts: list[Stoppable] = [self._dispatcher, self._cancels, self.reloader]
        parts += [*self._slow.values(), self._lag, self._log, self.site]
        parts += self._alerting.parts.values()
        if self._inbound is not None:
            parts.insert(0, self._inbound)
        for door in self._doors:
            parts[:0] = [door.folder, door.socket, door.attendance]
            parts += [door.questions] if door.questions else []
        for part in parts:
            part.stop()

    def _runtime_state(self) -> RuntimeState:
        inbound, leads = self._inbound, self._store.nodes.holds(HOUSEKEEPING)
        return RuntimeState(
            version=__version__,
            environment=self._settings.environment,
            node=self._settings.node,
            started_at=self._started_at,
            address=f"{self._settings.inbound.listen.host}:{inbound.port}" if inbound else None,
            stopping=self._stopping,
            tokens=token_states(self._tokens),
            expiries=self._expiries(),
            refused=self.reloader.refused,
            shut_out=callers_shut_out(inbound, self._now()) if inbound else (),
            silent=self._dispatcher.breakers.receivers.silent,
            failing=self._dispatcher.breakers.receivers.failing,
            remembered=self._dispatcher.breakers.remembered,
            egress=egress_state(self._dispatcher.egress),
            missing=self._missing,
            kept_out=kept_out_states(self._dispatcher.breakers.kept_out),
            hosted=services_of(self._settings),
            stalled={str(door.folder.path): door.trouble for door in self._doors if door.trouble},
            unavailable=unavailable_state(self._unavailable()),
            stuck_log=self._store.stuck_log(),
            lines_stuck_seconds=self._log.stuck_seconds,
            lines_lost=self._log.lost,
            lying=[each for door in self._doors for each in door.lying(self._now())],
            eprs=[self._epr(door) for door in self._doors],
            clock_step=self._housekeeper.clock_step,
            inspection=self._inspector.inspection,
            purges=self._purger.state if leads else None,
            trail=self._recording.keeper.state if leads else None,
            handshake_failures=inbound.failures if inbound else {},
            undelivered=self._alerting.undelivered,
            minimum_free_bytes=self._settings.store.minimum_free_bytes,
            budgets=budget_states(self._dispatcher.budgets),
            nodes=self._store.nodes.listed(),
            observes_until=self.reloader.settings.callers.observe_until if inbound else None,
        )

    def _epr(self, door: Door) -> EprCondition:
        """Return how that EPR stands, which may ask for questions at another node."""
        found = door.attendance.condition
        asked = [at for at in (found.asked_at, self._store.nodes.attended(door.provider)) if at]
        return replace(found, asked_at=max(asked, default=None))

    def _our_troubles(self) -> Mapping[str, datetime]:
        return our_troubles(self._dispatcher.egress, self._tokens)

    def _expiries(self) -> list[Expiry]:
        return expiries(self.reloader.settings, self._inbound)
