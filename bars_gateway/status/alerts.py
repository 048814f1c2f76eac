"""
Decides of what somebody is told beyond this machine, again and again.

    concerns + standing alarms + silence ─► conditions ─► store.alerts.review ─► deliveries

One condition is one alert, however many messages it is about. What comes and goes within its
`Runbook.after` is no news, and a message that waits for a Receiver that is known to be silent is
told of with that Receiver alone.

After a start nothing is known yet of who answers, and what nobody has looked at has not ended: for
a while only alarms end, which the store has. What the store keeps of breaks holds an alert open
until the process knows better. So a restart neither forgets an alert nor tells of it again.

While nothing can be stored nothing is decided here, but for that it is so (`status.outage`).

Decisions: D-alerts.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from bars_gateway.errors import StoreUnavailable
from bars_gateway.frozen import frozen
from bars_gateway.model.alarms import ALARMS
from bars_gateway.model.alerts import ON_NODE, Condition, StandingConditions, Telling
from bars_gateway.model.readings import Overview
from bars_gateway.model.standing_alarms import by_provider
from bars_gateway.status.ages import lasting
from bars_gateway.status.concern import Concern, ConcernKind, FlowKind
from bars_gateway.status.concerns import LATE, concerns
from bars_gateway.status.outage import NOTHING_STORED, StoreOutage
from bars_gateway.status.runbooks import RUNBOOKS
from bars_gateway.status.running import RuntimeState
from bars_gateway.stopping import pause
from bars_gateway.store.connection import LOOKING
from bars_gateway.store.figures import Counted, Waiting
from bars_gateway.store.nodes import HOUSEKEEPING
from bars_gateway.store.pacing import EGRESS, settings_of, token_service_of
from bars_gateway.store.store import Store
from bars_gateway.upkeep.housekeeping import stage

log = structlog.get_logger(__name__)

EVERY_SECONDS = 10.0
AFTER_A_START = timedelta(minutes=3)  # every part has looked by then
_A_MONTH = 10_000  # beyond any stage of an expiry, in days


@frozen(kw_only=True)
class Silences:
    """How long nothing may flow, each way, until that is news; zero: for ever."""

    received: timedelta = timedelta()
    acknowledged: timedelta = timedelta()


@frozen(kw_only=True)
class Snapshot:
    """Everything that is looked at, at one moment."""

    overview: Overview
    counted: Counted
    running: RuntimeState
    waiting: Sequence[Waiting]
    known: Mapping[str, datetime]  # who did not answer, as the store has it


def conditions(seen: Snapshot, silences: Silences, first_days: int) -> list[Condition]:
    """Return the conditions of which somebody is to be told, each once."""
    found = [
        *_of_concerns(seen, first_days),
        *_of_alarms(seen.overview),
        *_of_waiting(seen),
        *_of_silence(seen, silences),
    ]
    # Files lie in one folder for several reasons: the page has each, and one alert is enough.
    return list({(each.code, each.about): each for each in reversed(found)}.values())[::-1]


def _of_concerns(seen: Snapshot, first_days: int) -> Iterator[Condition]:
    for each in concerns(seen.overview, seen.running, first_days):
        if each.kind in ALARMS or each.kind == ConcernKind.MESSAGE_WAITING:
            continue  # told of by provider, and by what explains it
        book = RUNBOOKS[each.kind]
        yield Condition(
            code=each.kind,
            about=each.about,
            says=f"{book.title} ({each.name})" if each.name else book.title,
            urgent=book.urgent,
            mark=_stage_of(each, seen, first_days),
            kept_by=_kept_by(each),
        )


def _stage_of(concern: Concern, seen: Snapshot, first_days: int) -> int:
    """Return how near the end of a thing is: each further warning is worse."""
    if concern.kind not in {ConcernKind.EXPIRY_NEAR, ConcernKind.EXPIRY_IMMINENT}:
        return 0
    reached = (
        stage(each, seen.overview.at, first_days)
        for each in seen.running.expiries
        if each.name == concern.about
    )
    return _A_MONTH - min((days for days in reached if days is not None), default=_A_MONTH)


def _kept_by(concern: Concern) -> str | None:
    """Return by which name the store keeps since when nothing comes, if it does."""
    match concern.kind:
        case ConcernKind.RECEIVER_SILENT | ConcernKind.RECEIVER_FAILING:
            return concern.about
        case ConcernKind.PROVIDER_KEPT_OUT:
            return concern.about
        case ConcernKind.PROVIDER_MISSING:
            return settings_of(concern.about)
        case ConcernKind.TOKEN_MISSING:
            return token_service_of(concern.about)
        case ConcernKind.EGRESS_BLOCKED:
            return EGRESS
        case _:
            return None


def _of_alarms(overview: Overview) -> Iterator[Condition]:
    """Yield one for each kind, provider, and way in which it is told."""
    for kind, alarm in ALARMS.items():
        for way, words in enumerate(alarm.ways):
            told = [each for each in overview.standing if (each.kind, each.words) == (kind, words)]
            for provider, of in by_provider(told).items():
                count = sum(each.count for each in of)
                says = words.says.format(n=f"{count} {alarm.noun}{'' if count == 1 else 's'}")
                yield Condition(
                    code=kind,
                    about=f"{provider} {way}",
                    says=f"{says} ({provider})" if provider else says,
                    urgent=alarm.severe,
                    mark=max(each.newest for each in of),
                    waits_for_maintenance=not alarm.severe,
                )


def _of_waiting(seen: Snapshot) -> Iterator[Condition]:
    now = seen.overview.at
    late = [each for each in seen.waiting if each.told or now - each.since >= LATE]
    if not late:
        return
    unexplained = [each for each in late if not _explained(each, seen)]
    kind = ConcernKind.MESSAGE_WAITING
    yield Condition(
        code=kind,
        says=RUNBOOKS[kind].title,
        urgent=True,
        opens=bool(unexplained),
        waits_for_maintenance=False,
    )


def _explained(waiting: Waiting, seen: Snapshot) -> bool:
    """Tell whether something else is told of that keeps it waiting."""
    running = seen.running
    away = {*running.silent, *running.failing, *seen.known}
    kept_out = {each.provider for each in running.kept_out}
    without = {each.provider for each in running.tokens if each.failing_since is not None}
    everywhere = running.egress is not None or running.unavailable is not None
    ours = waiting.provider in {*kept_out, *without, *running.missing}
    service = token_service_of(waiting.provider)
    return everywhere or ours or bool(away & {waiting.receiver, waiting.provider, service, EGRESS})


def _of_silence(seen: Snapshot, silences: Silences) -> Iterator[Condition]:
    now, begun = seen.overview.at, seen.running.started_at
    for kind, at, longest in (
        (FlowKind.NOTHING_RECEIVED, seen.counted.received_at, silences.received),
        (FlowKind.NOTHING_ACKNOWLEDGED, seen.counted.acknowledged_at, silences.acknowledged),
    ):
        if longest and now - (at or begun) >= longest:
            says = f"{RUNBOOKS[kind].title} for {lasting(longest.total_seconds())} or longer"
            yield Condition(code=kind, says=says, urgent=RUNBOOKS[kind].urgent)


# What is the same whichever of several nodes looks: the one that leads says it.
_OF_ALL_NODES = frozenset(
    {
        *ALARMS,
        *FlowKind,
        *(ConcernKind.MESSAGE_HELD, ConcernKind.QUESTION_LATE, ConcernKind.MESSAGE_WAITING),
        *(ConcernKind.EPR_NOT_ASKING, ConcernKind.PROVIDER_MISSING, ConcernKind.DISK_LOW),
        *(ConcernKind.PURGE_LATE, ConcernKind.AUDIT_LATE, ConcernKind.ALERT_UNDELIVERED),
        *(ConcernKind.CLOCK_STEPPED, ConcernKind.NODE_AWAY),
    }
)
# What any of them may find out, and the store then has for all.
_OF_ANY_NODE = frozenset(
    {
        *(ConcernKind.RECEIVER_SILENT, ConcernKind.RECEIVER_FAILING),
        ConcernKind.PROVIDER_KEPT_OUT,
    }
)


def of_node(found: Iterable[Condition], node: str, *, leads: bool) -> Iterator[Condition]:
    """
    Yield what this node may tell of what it has *found*: its own troubles, by its name.

    What is the same for all nodes is told without one, some of it by the node that *leads* alone.
    """
    for each in found:
        if each.code in _OF_ANY_NODE or (leads and each.code in _OF_ALL_NODES):
            yield each
        elif each.code not in _OF_ALL_NODES:
            about, says = f"{each.about}{ON_NODE}{node}", f"{each.says} (node {node})"
            yield replace(each, about=about, says=says)


class Watch:
    """Looks, and has the store review what is open."""

    def __init__(
        self,
        store: Store,
        running: Callable[[], RuntimeState],
        telling: Callable[[], Telling],
        silences: Silences,
        *,
        now: Callable[[], datetime],
        first_days: int,
        every_seconds: float = EVERY_SECONDS,
        after_a_start: timedelta = AFTER_A_START,
        patience: float = 1.0,
    ) -> None:
        """*patience*: the share of `Runbook.after` that a condition stands before it is told."""
        self._store, self._running, self._telling = store, running, telling
        self._silences, self._now, self._first_days = silences, now, first_days
        self._every_seconds, self._after_a_start = every_seconds, after_a_start
        self._patience = patience
        self._since: dict[tuple[str, str], datetime] = {}
        self._stopping = asyncio.Event()
        self.outage = StoreOutage(
            store.unavailable,
            self._nothing_stored,
            telling,
            now=now,
            every_seconds=every_seconds,
            patience=patience,
        )

    async def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Look until stopped."""
        LOOKING.set(True)
        while not self._stopping.is_set():
            beat()
            try:
                await self.look()
            except StoreUnavailable as error:
                log.error("store.unavailable", reason=str(error), advice=error.advice)
            await pause(self._stopping, self._every_seconds)

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()

    async def look(self) -> None:
        """Decide once; where that fails, whatever it is of, what is told from memory goes on."""
        with ExitStack() as unless_reviewed:
            unless_reviewed.callback(self.outage.failed)
            await self._review()
            unless_reviewed.pop_all()

    async def _review(self) -> None:
        seen = await self._see()
        await self._number_outage()
        found = conditions(seen, self._silences, self._first_days)
        nodes, node = self._store.nodes, seen.running.node
        leads = nodes.holds(HOUSEKEEPING)
        if nodes.several:
            found = list(of_node(found, node, leads=leads))
        if self.outage.is_being_told:  # the next look hands it over, and nobody hears it twice
            found = [each for each in found if each.code != NOTHING_STORED]
        standing = [self._lasting(each, seen.overview.at) for each in found]
        may_end = self._may_end(seen)
        await self._store.alerts.review(
            StandingConditions(
                conditions=standing,
                unknown=frozenset(_unknown(seen, found)),
                may_end=may_end,
                node=node if nodes.several else None,
                leads=leads,
                others=frozenset(each.name for each in nodes.listed() if not each.is_this),
                meanwhile=self.outage.handed_over(),
            ),
            self._telling(),
            seen.overview.at,
        )
        self.outage.reviewed(standing, may_end=may_end is None)
        self._forget(found)
        await self._number_outage()  # the next one may begin at once

    async def _number_outage(self) -> None:
        if self.outage.lacks_numbers:
            self.outage.number(await self._store.alerts.reserve(self._now()))

    def _nothing_stored(self) -> Condition:
        book = RUNBOOKS[NOTHING_STORED]
        found = Condition(code=NOTHING_STORED, says=book.title, urgent=book.urgent)
        if not self._store.nodes.several:
            return found
        return next(of_node([found], self._running().node, leads=False))

    async def _see(self) -> Snapshot:
        now = self._now()
        return Snapshot(
            overview=await self._store.watched(now),
            counted=await self._store.figures.counted(now),
            waiting=await self._store.figures.waiting(),
            known=await self._store.breaks.known(),
            running=self._running(),
        )

    def _lasting(self, condition: Condition, now: datetime) -> Condition:
        """Let it open no alert until it has lasted as long as its runbook says."""
        since = self._since.setdefault((condition.code, condition.about), now)
        soon = now - since < RUNBOOKS[condition.code].after * self._patience
        return replace(condition, opens=False) if soon else condition

    def _may_end(self, seen: Snapshot) -> frozenset[str] | None:
        young = seen.overview.at - seen.running.started_at < self._after_a_start
        return frozenset(ALARMS) if young else None

    def _forget(self, found: Iterable[Condition]) -> None:
        stands = {(each.code, each.about) for each in found}
        self._since = {key: at for key, at in self._since.items() if key in stands}


def _unknown(seen: Snapshot, found: Iterable[Condition]) -> set[str]:
    """Return what does not answer, as the store has it, and this process has not met yet."""
    return seen.known.keys() - {each.kept_by for each in found if each.kept_by}
