"""What nobody has seen stays, however long it takes; what somebody has dealt with goes."""

import json
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from own_words import said
from store_values import (
    ANSWER,
    NOW,
    SILENCE,
    arrival,
    attempt,
    claim_next,
    owed,
    payload,
    submission,
)

from bars_gateway.model.alarms import ALARMS
from bars_gateway.model.interventions import Limits, Verb
from bars_gateway.model.messages import Accepted, Actor, OutboundState, Settled
from bars_gateway.model.standing_alarms import Alarm, Chosen, Handled
from bars_gateway.standard.verdict import Verdict
from bars_gateway.standard.workflow import Move, RequestType
from bars_gateway.store.sqlite.database import SqliteDatabase, open_database
from bars_gateway.store.statements import SQLITE, statements_of
from bars_gateway.store.store import Store

OPERATOR = Actor(role="operator", who="jo (uid 1000)", why="INC-7")
NOT_FOUND = payload(b'{"resourceType":"OperationOutcome"}')
LONG_AFTER = NOW + timedelta(days=400)
DUE = NOW + timedelta(minutes=20)
OWED = {"request_type": RequestType.VALIDATION, "use_case": "a4t1", "owed": owed(DUE)}


async def standing(store: Store) -> list[str]:
    return [alarm.kind for alarm in (await store.overview(LONG_AFTER)).alarms]


async def only(store: Store) -> Alarm:
    (alarm,) = (await store.overview(LONG_AFTER)).alarms
    return alarm


async def ended(
    store: Store, state: OutboundState = OutboundState.UNCONFIRMED, **changes: object
) -> Accepted:
    accepted = await store.outbound.submit(submission(**changes), NOW)
    claim = await claim_next(store, NOW, ["trust"])
    assert claim is not None
    tried = attempt(claim, Verdict.RETRY)
    await store.outbound.settle(claim, SILENCE, attempt=tried, settlement=Settled(state=state))
    return accepted


async def mark(
    store: Store, chosen: Chosen, *, provider: str = "trust", dry_run: bool = False
) -> Sequence[Handled]:
    return await store.alarms.handle(provider, chosen, OPERATOR, LONG_AFTER, dry_run=dry_run)


def codes(done: Sequence[Handled]) -> list[str | None]:
    return [each.objection.code if each.objection else None for each in done]


async def test_what_nobody_has_seen_outlives_days_and_restarts(tmp_path: Path) -> None:
    """An orphan response and an A3 referral of which nobody knows whether it arrived."""
    async with open_database(tmp_path / "gateway.db") as database:
        store = Store(database, node="here")
        await store.responses.respond(arrival(move=Move.CONCLUDE), NOT_FOUND, NOW)
        await ended(store, use_case="a3t1")
    async with open_database(tmp_path / "gateway.db") as database:
        reopened = Store(database, node="here")
        found, page = await standing(reopened), await reopened.overview(LONG_AFTER)

    both = ["message.unconfirmed", "inbound.quarantined"]
    assert both == found
    assert set(both) == {each.kind for each in page.standing} == {a.kind for a in page.alarms}


async def test_an_alarm_names_what_it_speaks_of(store: Store) -> None:
    """By ids that an operator can type."""
    came = arrival(move=Move.CONCLUDE)
    await store.responses.respond(came, NOT_FOUND, NOW)
    sent = await ended(store)
    first, second = (await store.overview(NOW)).alarms

    assert (sent.request_id, sent.workflow_id, "a3t1") == (
        first.request_id,
        first.workflow_id,
        first.use_case,
    )
    assert (came.request_id, 1, NOW) == (second.request_id, second.quarantine, second.since)


async def test_a_marked_alarm_stands_no_more(store: Store) -> None:
    """By its number or by the message's id, one as good as the other."""
    await ended(store)
    other = await ended(store, OutboundState.REFUSED)
    number = next(
        a.number for a in (await store.overview(NOW)).alarms if a.kind == "message.unconfirmed"
    )
    done = await mark(store, Chosen(numbers=[number], request_ids=[other.request_id]))

    assert ([None, None], []) == (codes(done), await standing(store))


async def test_marking_leaves_who_and_why_in_the_audit_trail(store: Store) -> None:
    """Years later somebody asks who had seen it."""
    sent = await ended(store)
    await mark(store, Chosen(request_ids=[sent.request_id]))
    (history,) = await store.messages.history("trust", sent.request_id)
    last = history.events[-1]

    assert "operator.marked_handled" == last.kind
    assert {"who": OPERATOR.who, "why": "INC-7", "alarm": 1, "of": "message.unconfirmed"} == (
        json.loads(last.detail)
    )


async def test_a_dry_run_marks_nothing(store: Store) -> None:
    """It says what would happen."""
    sent = await ended(store)
    done = await mark(store, Chosen(request_ids=[sent.request_id]), dry_run=True)

    assert ([None], ["message.unconfirmed"]) == (codes(done), await standing(store))


async def test_another_providers_alarm_is_none(store: Store) -> None:
    """Whoever may open a socket speaks for its provider alone."""
    sent = await ended(store)
    chosen = Chosen(numbers=[1], request_ids=[sent.request_id], up_to=99)
    done = await mark(store, chosen, provider="hospital")

    assert (["no_alarm", "no_alarm"], ["message.unconfirmed"]) == (
        codes(done),
        await standing(store),
    )


async def test_in_bulk_only_what_was_seen_is_marked(store: Store) -> None:
    """What came after the page was read stays."""
    await ended(store, OutboundState.REFUSED)
    await ended(store)
    newest = max(alarm.number for alarm in (await store.overview(NOW)).alarms)
    later = await ended(store)
    done = await mark(store, Chosen(up_to=newest))

    assert [None, None] == codes(done)
    assert later.request_id == (await only(store)).request_id


async def test_in_bulk_only_the_kinds_that_are_named_are_marked(store: Store) -> None:
    """Refusals that were read say nothing of what may not have arrived."""
    await ended(store, OutboundState.REFUSED)
    await ended(store)
    await mark(store, Chosen(kinds=["message.refused"], up_to=99))

    assert ["message.unconfirmed"] == await standing(store)


async def test_what_is_raised_anew_has_a_new_number(store: Store) -> None:
    """Whoever saw the first has not seen the second; there is one standing all the same."""
    came = arrival()
    await store.inbound.receive(came, NOW)
    for _ in range(2):
        await store.inbound.receive(arrival(request_id=came.request_id), NOW + timedelta(hours=1))
    alarm = await only(store)
    done = await mark(store, Chosen(numbers=[1]))

    assert (2, 2, NOW + timedelta(hours=1)) == (alarm.number, alarm.times, alarm.since)
    assert (["superseded"], alarm) == (codes(done), await only(store))


async def test_what_ends_badly_again_is_raised_again(store: Store) -> None:
    """It was dealt with, sent again, and is unconfirmed once more."""
    sent = await ended(store)
    await mark(store, Chosen(request_ids=[sent.request_id]))
    await retried(store, sent)
    between = await standing(store)
    await store.outbound.give_up(LONG_AFTER)

    assert ([], 2) == (between, (await only(store)).number)


async def retried(store: Store, sent: Accepted) -> None:
    def schedule(*_of: object) -> Limits:
        return Limits(give_up_at=NOW + timedelta(hours=1), delayed_at=NOW + timedelta(minutes=1))

    await store.interventions.intervene(Verb.RETRY, sent.message_id, OPERATOR, schedule, NOW)


async def test_what_is_sent_again_settles_its_alarm(store: Store) -> None:
    """Its fate is open again; nobody has to say so."""
    sent = await ended(store)
    await retried(store, sent)
    done = await mark(store, Chosen(numbers=[1]))

    assert (["settled"], []) == (codes(done), await standing(store))


async def test_overdue_can_be_marked_and_comes_back_when_it_gets_worse(store: Store) -> None:
    """Dealt with by telephone; then the time is moved by an update, and passes too."""
    sent = await store.outbound.submit(submission(**OWED), NOW)
    await acknowledged(store, focus_id="sr-1")
    await store.conversations.tell_due(DUE)
    done = await mark(store, Chosen(request_ids=[sent.request_id]))
    await store.conversations.tell_due(DUE + timedelta(hours=9))
    quiet = await standing(store)
    await moved(store, DUE + timedelta(hours=10))
    await store.conversations.tell_due(DUE + timedelta(hours=10))
    again = await only(store)

    assert ([None], []) == (codes(done), quiet)
    assert ("workflow.overdue", sent.workflow_id) == (again.kind, again.workflow_id)


async def acknowledged(store: Store, focus_id: str | None = None) -> None:
    claim = await claim_next(store, NOW, ["trust"])
    assert claim is not None
    settled = Settled(state=OutboundState.ACKNOWLEDGED, focus_id=focus_id)
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=settled)


async def moved(store: Store, due: datetime) -> None:
    changes = {"request_type": RequestType.VALIDATION, "use_case": "a4t1"}
    update = submission(move=Move.UPDATE, focus_id="sr-1", owed=owed(due), **changes)
    await store.outbound.submit(update, NOW)
    await acknowledged(store)


async def test_overdue_ends_with_the_answer(store: Store) -> None:
    """What came settles what was missing."""
    await store.outbound.submit(submission(bundle_id="b1", **OWED), NOW)
    await acknowledged(store, focus_id="sr-1")
    await store.conversations.tell_due(DUE)
    before = await standing(store)
    changes = {"request_type": RequestType.VALIDATION, "use_case": "a4t1", "focus_id": "sr-1"}
    await store.responses.respond(
        arrival(move=Move.DECLINE, responds_to="b1", **changes), NOT_FOUND, DUE + timedelta(hours=1)
    )

    assert ["workflow.overdue"] == before
    assert "workflow.overdue" not in await standing(store)


async def test_overdue_is_told_again_of_what_lives_again(
    store: Store, database: SqliteDatabase
) -> None:
    """A workflow that is opened again is owed its answer as before."""
    sent = await store.outbound.submit(submission(**OWED), NOW)
    await acknowledged(store)
    await store.conversations.tell_due(DUE)
    for state, closed_at in (("declined", "2026-03-02T09:30:00.000Z"), ("requested", None)):
        move = "UPDATE workflows SET state = ?, closed_at = ? WHERE id = ?"
        await said(database, move, state, closed_at, sent.workflow_id)
    before = await standing(store)
    told = await store.conversations.tell_due(DUE)

    assert ([], (0, 1), ["workflow.overdue"]) == (before, told, await standing(store))


# What fits one of them alone, or several alone.
OF_ONE_NUMBER = re.compile(
    r"^(Overdue: )?\{n\}( of ours)?( came)?( that)? (has|have|is|are|was|were|names?|does|do)\b"
    r"|^[^:,]* and (was|were|has|have|is|are) |\b(it|its|them|they|their)\b"
)


@pytest.mark.parametrize("kind", ALARMS)
def test_each_kind_reads_well_of_one_and_of_several(kind: str) -> None:
    """The page counts: a word that fits one alone makes nonsense of "2 messages"."""
    unfit = [words.says for words in ALARMS[kind].ways if OF_ONE_NUMBER.search(words.says)]

    assert [] == unfit


async def test_each_kind_is_known_to_the_database(database: SqliteDatabase) -> None:
    """The table in the code is the only one: what it has, the triggers have."""
    known = await database.read(
        lambda c: [row["kind"] for row in c.raw.execute("SELECT kind FROM alarm_kinds")]
    )

    assert sorted(ALARMS) == sorted(known)


async def test_a_kind_that_a_release_adds_is_learnt_when_the_file_is_opened(
    tmp_path: Path,
) -> None:
    """A database of an older release asks for no migration."""
    async with open_database(tmp_path / "gateway.db") as database:
        await database.write(lambda c: c.raw.execute("DELETE FROM alarm_kinds").rowcount)
    async with open_database(tmp_path / "gateway.db") as database:
        store = Store(database, node="here")
        await ended(store)

        assert ["message.unconfirmed"] == await standing(store)


@pytest.mark.of_sqlite
async def test_what_has_ended_costs_the_page_nothing(database: SqliteDatabase) -> None:
    """What stands is counted and listed by an index that has nothing else."""
    values = {"kind": "k", "limit": 1, "one_by_one": "[]"}
    plan = await database.read(
        lambda c: [
            row["detail"]
            for name in ("count_alarms", "newest_alarms")
            for row in c.raw.execute(f"EXPLAIN QUERY PLAN {statements_of(SQLITE)[name]}", values)
            if row["detail"].startswith(("SCAN a", "SEARCH a "))
        ]
    )

    assert plan
    assert [] == [step for step in plan if "alarms_counted" not in step]
