"""
Whether messages can be received, and whether they can be sent: what a balancer asks.

    RuntimeState + the store's trouble ─► Readiness ─┬─► GET /readyz
                                      │              └─► GET /readyz/sending
                                      └─► Dependency of each thing that we need ─► GET /health

The two are told apart, for a balancer that takes the gateway out of service because its token
is refused would turn away every Sender, too. Reasons hold names of providers and folders, and
nothing of a message.

`/health` is for people and dashboards: it always answers 200, and decides nothing. A thing of which
nothing is known yet is `unknown`, and never said to be well.

Decisions: D-readiness.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from enum import StrEnum

from aiohttp import web

from bars_gateway.errors import StoreError
from bars_gateway.frozen import frozen
from bars_gateway.model.readings import Overview
from bars_gateway.status.concerns import LOW_TIMES, SKEW_SHOWN, UNINSPECTED
from bars_gateway.status.epr_concerns import (
    LYING_SECONDS,
    STOPPED_ASKING,
    is_one_file,
    stands_still,
)
from bars_gateway.status.running import RuntimeState
from bars_gateway.store.connection import LOOKING
from bars_gateway.store.figures import Counted
from bars_gateway.store.readings import EprCondition
from bars_gateway.store.store import Store
from bars_gateway.upkeep.housekeeping import OVER, ExpiringKind, stage


@frozen(kw_only=True)
class Readiness:
    """What stands in the way; empty where nothing does."""

    of_receiving: Sequence[str]
    of_sending: Sequence[str]
    of_neither: Sequence[str] = ()  # what somebody may want to know all the same


def readiness(running: RuntimeState, store_trouble: str | None, now: datetime) -> Readiness:
    """Return what stands in the way of receiving and of sending, as things are at *now*."""
    both = list(_of_both(running, store_trouble))
    return Readiness(
        of_receiving=[*both, *_of_receiving(running, now)],
        of_sending=[*both, *_of_sending(running)],
        of_neither=list(_of_neither(running)),
    )


def _of_both(running: RuntimeState, store_trouble: str | None) -> Iterator[str]:
    if running.stopping:
        yield "stopping"
    if store_trouble is not None:
        yield store_trouble
    if running.unavailable is not None:
        yield running.unavailable.reason


def _of_receiving(running: RuntimeState, now: datetime) -> Iterator[str]:
    for each in running.expiries:
        over = each.over(now) if each.kind in _SHUTS_THE_DOOR else None
        if over is not None:
            yield over


def _of_sending(running: RuntimeState) -> Iterator[str]:
    if running.egress is not None:
        yield f"nothing gets out: {running.egress.reason}"
    for token in running.tokens:
        if token.failing_since:
            yield f"no access token for {token.provider}: {token.reason}"
    for name in running.missing:
        yield f"provider {name} is not in the settings, and had messages under way"
    for kept_out in running.kept_out:
        yield f"the national proxy refuses {kept_out.provider}: {kept_out.reason}"
    yield from _stalled(running, one_file=False)
    yield from _left_lying(running, may_be_all=True)


def _of_neither(running: RuntimeState) -> Iterator[str]:
    inspection = running.inspection
    if inspection is not None and inspection.waits_since is not None:
        yield f"{UNINSPECTED} since {inspection.waits_since:%Y-%m-%d %H:%M} UTC"
    yield from _stalled(running, one_file=True)
    yield from _left_lying(running, may_be_all=False)


def _stalled(running: RuntimeState, *, one_file: bool) -> Iterator[str]:
    for folder, reason in running.stalled.items():
        if is_one_file(reason) is one_file:
            yield stands_still(folder, reason)


def _left_lying(running: RuntimeState, *, may_be_all: bool) -> Iterator[str]:
    for each in running.lying:
        if each.seconds >= LYING_SECONDS and each.may_be_all is may_be_all:
            yield f"{each.count} in {each.folder} not taken: {each.cure}"


class HealthState(StrEnum):
    """How it stands with something that we need."""

    OK = "ok"  # it works
    WARNING = "warning"  # it works, and a person should look
    FAILING = "failing"  # it does not work
    UNKNOWN = "unknown"  # nobody has tried yet, or nothing is known


# A chain may hold what no caller needs.
_SHUTS_THE_DOOR = frozenset({ExpiringKind.CERTIFICATE, ExpiringKind.LAST_AUTHORITY})
_WORST_FIRST = (HealthState.FAILING, HealthState.WARNING)


@frozen(kw_only=True)
class Dependency:
    """One thing that we need: names from the settings, states and times, no secrets."""

    name: str
    state: HealthState
    of: str | None = None  # a provider, a folder, a certificate
    reason: str | None = None
    details: Mapping[str, object] = field(default_factory=dict)


def dependencies(
    overview: Overview | None,
    counted: Counted | None,
    running: RuntimeState,
    trouble: str | None,
    first_days: int,
) -> list[Dependency]:
    """Return how it stands with each thing, as far as is known."""
    return [
        _database(running, trouble, overview),
        *_disk(running, overview),
        *_token_services(running),
        *_way_out(running),
        *_missing(running),
        *_kept_out(running),
        _receivers(running, counted),
        *_eprs(running, overview),
        *_folders(running),
        *_certificates(running, overview, first_days),
        _clock(running),
    ]


def _database(running: RuntimeState, trouble: str | None, overview: Overview | None) -> Dependency:
    unavailable = running.unavailable.reason if running.unavailable else None
    left = running.inspection.left if running.inspection else ()
    gaps = f"it lacks rows where it looks for them: {', '.join(left)}" if left else None
    failing = trouble or unavailable
    return Dependency(
        name="database",
        state=HealthState.FAILING if failing else HealthState.WARNING if gaps else HealthState.OK,
        reason=failing or gaps,
        details={"bytes": overview.database_bytes} if overview else {},
    )


def _disk(running: RuntimeState, overview: Overview | None) -> Iterator[Dependency]:
    if overview is None:
        yield Dependency(name="disk", state=HealthState.UNKNOWN)
        return
    free, minimum = overview.free_bytes, running.minimum_free_bytes
    if free is None:  # the database server's disk, which its own monitoring watches
        return
    low = HealthState.WARNING if free < LOW_TIMES * minimum else HealthState.OK
    yield Dependency(
        name="disk",
        state=HealthState.FAILING if free < minimum else low,
        details={"free_bytes": free, "minimum_free_bytes": minimum},
    )


def _token_services(running: RuntimeState) -> Iterator[Dependency]:
    for token in running.tokens:
        had = HealthState.WARNING if token.refused_keys else HealthState.OK
        known = had if token.expires_at else HealthState.UNKNOWN
        yield Dependency(
            name="token_service",
            of=token.provider,
            state=HealthState.FAILING if token.failing_since else known,
            reason=token.reason if token.failing_since else None,
            details={
                "since": _text(token.failing_since),
                "key_id": token.key_id,
                "keys_refused": len(token.refused_keys),
                "expires_at": _text(token.expires_at),
            },
        )


def _way_out(running: RuntimeState) -> Iterator[Dependency]:
    egress = running.egress
    if egress is not None:
        yield Dependency(
            name="way_out",
            state=HealthState.FAILING,
            reason=egress.reason,
            details={"since": _text(egress.since)},
        )


def _missing(running: RuntimeState) -> Iterator[Dependency]:
    for name, since in running.missing.items():
        yield Dependency(
            name="settings",
            of=name,
            state=HealthState.FAILING,
            reason="it is not in the settings, and had messages under way",
            details={"since": _text(since)},
        )


def _kept_out(running: RuntimeState) -> Iterator[Dependency]:
    for kept_out in running.kept_out:
        yield Dependency(
            name="proxy",
            of=kept_out.provider,
            state=HealthState.FAILING,
            reason=kept_out.reason,
            details={"since": _text(kept_out.since)},
        )


def _receivers(running: RuntimeState, counted: Counted | None) -> Dependency:
    last = counted.acknowledged_at if counted else None
    silent = {**running.silent, **running.remembered}
    away = bool(silent or running.failing)
    reached = HealthState.WARNING if away else HealthState.OK if last else HealthState.UNKNOWN
    return Dependency(
        name="receivers",
        state=HealthState.UNKNOWN if running.egress else reached,
        details={
            "silent": len(silent),
            "failing": len(running.failing),
            "last_acknowledged_at": _text(last),
        },
    )


def _eprs(running: RuntimeState, overview: Overview | None) -> Iterator[Dependency]:
    for epr in running.eprs:
        late = overview is not None and _leaves_lying(epr, overview.at)
        silent = overview is not None and _has_stopped_asking(epr, running, overview.at)
        seen = HealthState.OK if epr.seen_at else HealthState.UNKNOWN
        yield Dependency(
            name="epr",
            of=epr.provider,
            state=HealthState.FAILING if silent else HealthState.WARNING if late else seen,
            reason="it has stopped asking for questions" if silent else None,
            details={
                "seen_at": _text(epr.seen_at),
                "asked_at": _text(epr.asked_at),
                "unread": epr.lying if epr.known else None,
                "refused": sum(each.count for each in epr.refused) if epr.known else None,
            },
        )


def _folders(running: RuntimeState) -> Iterator[Dependency]:
    for folder, reason in running.stalled.items():
        state = HealthState.WARNING if is_one_file(reason) else HealthState.FAILING
        yield Dependency(name="epr_folder", of=folder, state=state, reason=reason)


def _leaves_lying(epr: EprCondition, now: datetime) -> bool:
    """Tell whether something that it was given has waited for it for too long."""
    waits = [(each.since, each.late_after) for each in epr.unread]
    waits += [(each.since, each.late_after) for each in epr.refused]
    return any(now - since >= late_after for since, late_after in waits)


def _has_stopped_asking(epr: EprCondition, running: RuntimeState, now: datetime) -> bool:
    return epr.asks and epr.since_asked(running.started_at, now) > STOPPED_ASKING


def _certificates(
    running: RuntimeState, overview: Overview | None, first_days: int
) -> Iterator[Dependency]:
    for expiry in running.expiries:
        reached = stage(expiry, overview.at, first_days) if overview else None
        near = (
            HealthState.OK
            if reached is None
            else HealthState.FAILING
            if reached == OVER
            else HealthState.WARNING
        )
        yield Dependency(
            name=expiry.kind,
            of=expiry.name,
            state=near if overview else HealthState.UNKNOWN,
            details={"ends_at": _text(expiry.ends_at)},
        )
    for name, reason in running.refused.items():
        yield Dependency(name="renewal", of=name, state=HealthState.WARNING, reason=reason)


def _clock(running: RuntimeState) -> Dependency:
    skews = [t.clock_skew_seconds for t in running.tokens if t.clock_skew_seconds is not None]
    widest = max(skews, key=abs, default=None)
    known = HealthState.OK if widest is not None else HealthState.UNKNOWN
    stepped = running.clock_step
    return Dependency(
        name="clock",
        state=HealthState.WARNING if abs(widest or 0) > SKEW_SHOWN else known,
        details={"skew_seconds": widest, "stepped_at": _text(stepped.at if stepped else None)},
    )


def _text(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None


class Health:
    """Answers who asks whether the process lives, and what it can do."""

    def __init__(
        self,
        store: Store,
        running: Callable[[], RuntimeState],
        *,
        now: Callable[[], datetime],
        first_days: int,
    ) -> None:
        self._store, self._running = store, running
        self._now, self._first_days = now, first_days

    def routes(self) -> Iterable[web.RouteDef]:
        """Return where it answers."""
        return [
            web.get("/health", self._each),
            web.get("/healthz", self._alive),
            web.get("/readyz", self._receiving),
            web.get("/readyz/sending", self._sending),
        ]

    async def _alive(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _each(self, _request: web.Request) -> web.Response:
        now, running, trouble = self._now(), self._running(), None
        overview, counted = None, None
        try:
            overview, counted = (
                await self._store.overview(now),
                await self._store.figures.counted(now),
            )
        except StoreError as error:
            trouble = str(error)
        found = dependencies(overview, counted, running, trouble, self._first_days)
        worst = next(
            (s for s in _WORST_FIRST if any(each.state is s for each in found)), HealthState.OK
        )
        document = {
            "state": worst,
            "at": _text(now),
            "version": running.version,
            "environment": running.environment,
            "node": running.node,
            "dependencies": [_document(each) for each in found],
        }
        return web.json_response(document)

    async def _receiving(self, _request: web.Request) -> web.Response:
        found = await self._readiness()
        return _told(found, ready=not found.of_receiving)

    async def _sending(self, _request: web.Request) -> web.Response:
        found = await self._readiness()
        return _told(found, ready=not found.of_sending)

    async def _readiness(self) -> Readiness:
        trouble = None
        LOOKING.set(False)  # it is to know what messages meet, and to wait behind no page
        try:
            await self._store.prove_readable()
        except StoreError as error:
            trouble = str(error)
        return readiness(self._running(), trouble, self._now())


def _document(each: Dependency) -> dict[str, object]:
    told = {"name": each.name, "of": each.of, "state": each.state, "reason": each.reason}
    return {**told, **each.details}


def _told(found: Readiness, *, ready: bool) -> web.Response:
    document = {
        "ready": ready,
        "receiving": not found.of_receiving,
        "sending": not found.of_sending,
        "reasons": list(dict.fromkeys([*found.of_receiving, *found.of_sending, *found.of_neither])),
    }
    return web.json_response(document, status=200 if ready else 503)
