"""A night on which eight things are wrong at once, as a gateway finds it, and after a restart."""

import os
import uuid
from dataclasses import replace
from datetime import datetime, timedelta

from console_side import CANARY, SAID, STATE, THIRD, Console, refused, sent
from store_values import (
    NOW,
    SILENCE,
    TERMS,
    arrival,
    attempt,
    claim_next,
    owed,
    payload,
    submission,
)

from bars_gateway.model.alerts import Channel, StandingConditions, Telling
from bars_gateway.model.messages import TryAgain
from bars_gateway.outbound.circuit_breaker import CircuitBreakers
from bars_gateway.outbound.token_refusals import KeyUnknown
from bars_gateway.standard.timing import timing_for
from bars_gateway.standard.verdict import Verdict, judge
from bars_gateway.standard.workflow import Move
from bars_gateway.status.alerts import Silences, Snapshot, conditions
from bars_gateway.status.running import TokenState
from bars_gateway.store.pacing import token_service_of
from bars_gateway.store.readings import EprCondition
from bars_gateway.upkeep.housekeeping import ExpiringKind, Expiry

DOWN = "https://fhir.nhs.uk/Id/dos-service-id|2000000404"
REFUSING = THIRD
OWING = "https://fhir.nhs.uk/Id/dos-service-id|2000000505"
WAITING, OVERDUE, REFUSED = 30, 5, 3
MINUTE = timedelta(minutes=1)
CERTIFICATE = Expiry(
    kind=ExpiringKind.CERTIFICATE,
    name="The certificate for receiving",
    begins_at=NOW - timedelta(days=360),
    ends_at=NOW + timedelta(days=5, hours=3),
)


async def bad_night(console: Console) -> None:
    """Let everything go wrong, and let the running parts know of it as they would."""
    store = console.store
    for minutes in range(OVERDUE):
        due = owed(NOW - (10 + minutes) * MINUTE)
        named = {"bundle_id": f"b{minutes}", "correlation_id": f"talk {minutes}"}
        await sent(store, NOW - timedelta(hours=3), receiver=OWING, owed=due, **named)
    for _ in range(REFUSED):
        await refused(store, NOW - 15 * MINUTE, receiver=REFUSING)
    await store.conversations.tell_due(NOW)
    orphan = arrival(move=Move.CONCLUDE, responds_to="nothing", body=SAID)
    await store.responses.respond(orphan, payload(SAID), NOW - 12 * MINUTE)
    for _ in range(2):
        await store.inbound.receive(arrival(body=CANARY.encode()), NOW - 40 * MINUTE)
    store.questions.attend("trust", NOW - MINUTE)
    await store.questions.ask_about(arrival(body=SAID), None, TERMS, NOW - MINUTE)
    store.questions.attend("trust", NOW)
    silent = await _silence(console)
    await store.breaks.began(token_service_of("trust"), NOW - 4 * MINUTE)
    await _know(console, silent, started_at=NOW - timedelta(days=3))
    await _open_alerts(console)


async def after_a_restart(console: Console) -> None:
    """Let the running parts of a new process know what they know before anything is tried."""
    breakers = CircuitBreakers(console.store, now=lambda: console.at)
    await breakers.remember()
    await _know(console, breakers, started_at=console.at)


async def _silence(console: Console) -> CircuitBreakers:
    """Let one Receiver say nothing to five of thirty messages, 20 minutes ago."""
    store, began = console.store, NOW - 20 * MINUTE
    breakers = CircuitBreakers(store, now=lambda: began)
    judgement = judge(SILENCE, request_id="r", correlation_id="c")
    for number in range(WAITING):
        body = f'{{"note":"{CANARY} {uuid.uuid4()}"}}'.encode()
        given_up = NOW + timedelta(hours=1)
        accepted = submission(receiver=DOWN, body=body, give_up_at=given_up)
        await store.outbound.submit(accepted, began - (WAITING - number) * timedelta(seconds=1))
    for _ in range(5):
        claim = await claim_next(store, began, ["trust"])
        assert claim is not None
        values = {"row": judgement.row, "started_at": began, "ended_at": began}
        came = attempt(claim, Verdict.RETRY, fault=judgement.fault, **values)
        later = TryAgain(at=NOW + 5 * MINUTE)
        await store.outbound.settle(claim, SILENCE, attempt=came, settlement=later)
        await breakers.judged(claim, judgement, began=began, timing=timing_for("a3t1", {}))
    return breakers


async def _know(console: Console, breakers: CircuitBreakers, *, started_at: datetime) -> None:
    store, at = console.store, console.at
    disk = os.statvfs(console.database.path.parent)
    numbers = (await store.unread.uncollected("trust", 1000))[-2:]
    known = await store.breaks.known()
    token = TokenState(
        provider="trust",
        key_id="int-1",
        refused_keys=("int-1",),
        expires_at=None,
        failing_since=known[token_service_of("trust")],
        reason="the token service does not know our key",
        advice=KeyUnknown.advice,
        clock_skew_seconds=-0.4,
    )
    epr = EprCondition(
        provider="trust",
        asks=True,
        asked_at=None if started_at == at else NOW - 40 * MINUTE,
        seen_at=None if started_at == at else NOW - 40 * MINUTE,
        unread=await store.unread.by_use_case("trust", numbers, lambda _use_case: 5 * MINUTE),
        known=True,
    )
    console.running = replace(
        STATE,
        started_at=started_at,
        tokens=[token],
        expiries=[CERTIFICATE],
        silent=breakers.receivers.silent,
        remembered=breakers.remembered,
        eprs=[epr],
        minimum_free_bytes=disk.f_bavail * disk.f_frsize // 2,
    )


async def _open_alerts(console: Console) -> None:
    store, at = console.store, console.at
    seen = Snapshot(
        overview=await store.watched(at),
        counted=await store.figures.counted(at),
        running=console.running,
        waiting=await store.figures.waiting(),
        known=await store.breaks.known(),
    )
    telling = Telling(channels=[Channel.JOURNAL], digest=timedelta(), remind=timedelta())
    standing = StandingConditions(conditions=conditions(seen, Silences(), 90))
    await store.alerts.review(standing, telling, NOW - MINUTE)
