"""A gateway in which each command finds something: one of everything, stored and in files."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

from epr_side import PROVIDER, utc_now
from messages import referral
from store_values import ANSWER, SILENCE, arrival, attempt, claim_next, owed, payload, submission

from bars_gateway.console.users import User, UserFile, hashed
from bars_gateway.console.visitor import UserRole
from bars_gateway.model.alerts import Channel, Condition, StandingConditions, Telling
from bars_gateway.model.messages import Actor, OutboundState, Settled
from bars_gateway.model.retention import PURGED, RetentionRule, RetentionRules
from bars_gateway.standard.verdict import Verdict
from bars_gateway.standard.workflow import Move
from bars_gateway.store.record_holds import HeldThing
from bars_gateway.store.store import Store
from bars_gateway.upkeep.purging import Purging

TALK = "00000000-0000-4000-8000-0000000000aa"


async def furnish(store: Store) -> dict[str, str]:
    """Let there be one of everything; return what it is called."""
    now = utc_now()
    ends = {"give_up_at": now + timedelta(hours=1)}
    asked = submission(correlation_id=TALK, bundle_id="b1", owed=owed(now), body=referral(), **ends)
    await store.outbound.submit(asked, now)
    claim = await claim_next(store, now, [PROVIDER])
    assert claim is not None
    taken = Settled(state=OutboundState.ACKNOWLEDGED, focus_id="theirs")
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=taken)
    bad = await store.outbound.submit(submission(body=referral(), **ends), now)
    claim = await claim_next(store, now, [PROVIDER])
    assert claim is not None
    ended = Settled(state=OutboundState.REFUSED)
    tried = attempt(claim, Verdict.REFUSED)
    await store.outbound.settle(claim, SILENCE, attempt=tried, settlement=ended)
    waits = await store.outbound.submit(submission(body=referral(), **ends), now)
    orphan = arrival(move=Move.CONCLUDE, responds_to="nothing", correlation_id=TALK)
    await store.responses.respond(orphan, payload(), now)
    silent = Condition(code="receiver.silent", says="A Receiver does not answer", urgent=True)
    telling = Telling(channels=[Channel.JOURNAL], digest=timedelta(), remind=timedelta())
    await store.alerts.review(StandingConditions(conditions=[silent]), telling, now)
    await store.chain.seal(now)
    (alarm, *_) = await store.alarms.standing(PROVIDER, 10)
    jo = Actor(role="operator", who="jo", why="x")
    await store.record_holds.hold_record(PROVIDER, HeldThing(request_id=bad.request_id), jo, now)
    rules = RetentionRules([RetentionRule(record_class=each, days=0) for each in PURGED])
    begun = await store.purges.begin_purge(None, jo, rules, now)
    idle = asyncio.Event()
    purging = Purging(store.purges, {}, now=utc_now, monotonic=float, stopping=idle, rests=0.0)
    await purging.carry_out(begun)
    return {
        "SENT": asked.request_id,
        "BAD": bad.request_id,
        "ID": waits.request_id,
        "TALK": TALK,
        "ALARM": str(alarm.number),
        "ALERT": "1",
        "QUARANTINE": "1",
        "WORKFLOW": "1",
        "ORPHAN": orphan.request_id,
    }


def files(folder: Path, state: Path) -> dict[str, str]:
    """Write what commands read; return what each is called."""
    (folder / "m.json").write_bytes(referral())
    (folder / "wrong.json").write_bytes(b"{}")
    (state / "state" / "cache").mkdir(parents=True)
    head = {"provider": PROVIDER, "resource": "metadata", "target": "s|v"}
    head |= {"media_type": "application/fhir+json", "kept_at": utc_now().isoformat()}
    kept = state / "state" / "cache" / "0.answer"
    kept.write_text(f"{json.dumps(head)}\n{{}}")
    jo = User(name="jo", roles=frozenset(UserRole), password=hashed("x" * 12, cost=2))
    UserFile(state / "state" / "users.json").change(lambda users: users.update({"jo": jo}))
    names = ("m.json", "wrong.json", "copy.db", "export.jsonl")
    return {name.upper(): str(folder / name) for name in names}
