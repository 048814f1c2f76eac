"""What a restore means for each message, in both directions, and what is handed over after it."""

import asyncio
import contextlib
import hashlib
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import mortal
import pytest
from figures import AT_REST
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
from unguarded import change

from bars_gateway.errors import DatabaseDamaged, DatabaseInUse, StoreError
from bars_gateway.model.interventions import Done, Limits, Verb
from bars_gateway.model.messages import (
    Accepted,
    Actor,
    Claim,
    Objection,
    OutboundState,
    Received,
    Repeated,
    Settled,
    TryAgain,
)
from bars_gateway.model.readings import MessageHistory, Notice, Overview
from bars_gateway.standard.verdict import Verdict
from bars_gateway.standard.workflow import Move, State
from bars_gateway.status.concerns import concerns
from bars_gateway.store.aftermath import Became
from bars_gateway.store.sqlite.backup import back_up
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.sqlite.integrity import examine
from bars_gateway.store.sqlite.restore import (
    DatabaseCondition,
    HandedOver,
    Restored,
    hand_over,
    restore,
)
from bars_gateway.store.store import Store

SINCE = NOW + timedelta(minutes=1)
LATER = NOW + timedelta(minutes=5)
PAST = NOW + timedelta(hours=3)
NOT_FOUND = payload(b'{"resourceType":"OperationOutcome"}')
OPERATOR = Actor(role="operator", who="jo (uid 1000)", why="INC-7")


class Home:
    """A gateway's database that is opened and closed, and a backup of it."""

    def __init__(self, folder: Path) -> None:
        self.database, self.backup = folder / "gateway.db", folder / "copy.db"

    async def does(self, *acts):
        """Open the database, do *acts* one after the other, close it; return what they gave."""
        async with open_database(self.database) as opened:
            store = Store(opened, node="here")
            return [await act(store) for act in acts]

    async def backed_up(self, *acts):
        found = await self.does(*acts)
        back_up(self.database, self.backup)
        return found

    def restored(self) -> Restored:
        return restore(self.backup, self.database, LATER, older=True)

    def handed_over(self, restored: Restored) -> HandedOver:
        assert restored.aside is not None
        return hand_over(restored.aside, self.database, PAST)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def queue(**changes: object):
    return lambda store: store.outbound.submit(submission(**changes), NOW)


def takes(**changes: object):
    came = arrival(**changes)
    return lambda store: store.inbound.receive(came, SINCE)


def verb(verb_: Verb, of: Accepted):
    def schedule(*_of: object) -> Limits:
        return Limits(give_up_at=PAST, delayed_at=PAST)

    return lambda store: store.interventions.intervene(
        verb_, of.message_id, OPERATOR, schedule, SINCE
    )


async def next_claim(store: Store) -> Claim | None:
    return await claim_next(store, SINCE, ["trust"])


async def acknowledge(store: Store) -> Claim:
    claim = await next_claim(store)
    assert claim is not None
    settled = Settled(state=OutboundState.ACKNOWLEDGED, focus_id=f"theirs-{claim.request_id}")
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=settled)
    return claim


async def miss(store: Store) -> Claim:
    """Try to send, and hear nothing."""
    claim = await next_claim(store)
    assert claim is not None
    tried = attempt(claim, Verdict.RETRY)
    await store.outbound.settle(claim, SILENCE, attempt=tried, settlement=TryAgain(at=SINCE))
    return claim


def history(of: str):
    async def read(store: Store) -> MessageHistory:
        (found,) = await store.messages.history("trust", of)
        return found

    return read


async def notices(store: Store) -> Sequence[Notice]:
    return await store.notices.pending("trust", 100)


async def overview(store: Store) -> Overview:
    return await store.overview(LATER)


async def sent_by(store: Store) -> list[Claim]:
    """Send whatever can be sent, and return it."""
    sent: list[Claim] = []
    while (claim := await claim_next(store, LATER, ["trust"])) is not None:
        sent.append(claim)
        settled = Settled(state=OutboundState.ACKNOWLEDGED)
        await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=settled)
    return sent


def fates(done: Restored | HandedOver) -> dict[str, Became]:
    return {line.request_id: line.fate for line in done.lines}


# What is ours, where the kept database is whole.


async def test_what_was_withdrawn_since_is_not_sent(home: Home) -> None:
    """It waited in the backup. The EPR hears once more that it was withdrawn."""
    (accepted,) = await home.backed_up(queue())
    await home.does(verb(Verb.WITHDRAW, accepted))
    restored = home.restored()
    sent, found, told = await home.does(sent_by, history(accepted.request_id), notices)

    assert [] == sent
    assert {accepted.request_id: Became.SETTLED} == fates(restored)
    assert ("withdrawn", State.ABANDONED) == (found.message.state, found.workflow.state)
    assert [("outcome", "withdrawn", ["restored"])] == [
        (n.kind, n.state, list(n.remarks)) for n in told
    ]
    assert "restore.settled" in [event.kind for event in found.events]


async def test_what_was_acknowledged_since_is_not_sent_again(home: Home) -> None:
    """Its workflow knows the Receiver's id, its attempt is there, and so is the answer."""
    (accepted,) = await home.backed_up(queue())
    await home.does(acknowledge)
    home.restored()
    sent, found, told = await home.does(sent_by, history(accepted.request_id), notices)

    assert [] == sent
    assert ("acknowledged", State.ACTIVE) == (found.message.state, found.workflow.state)
    assert ["acknowledged"] == [each.verdict for each in found.attempts]
    assert [(f"theirs-{accepted.request_id}", True)] == [
        (n.focus_id, n.answer_media_type is not None) for n in told
    ]


async def test_the_number_of_a_notice_is_the_one_that_the_epr_knows(home: Home) -> None:
    """It was given to the EPR before, and is given again under its name."""
    await home.backed_up(queue())
    _, before = await home.does(acknowledge, notices)
    number = before[0].notice_id
    await home.does(lambda store: store.notices.collect("trust", [number], SINCE))
    home.restored()
    (told,) = await home.does(notices)

    assert [number] == [notice.notice_id for notice in told]


async def test_what_was_held_since_stays_held(home: Home) -> None:
    """Somebody had a reason, and only a release ends it."""
    (accepted,) = await home.backed_up(queue())
    await home.does(verb(Verb.HOLD, accepted))
    restored = home.restored()
    sent, _, after = await home.does(sent_by, verb(Verb.RELEASE, accepted), sent_by)

    assert {accepted.request_id: Became.HELD} == fates(restored)
    assert [] == sent
    assert [accepted.request_id] == [claim.request_id for claim in after]


async def test_what_was_cancelled_since_is_not_sent_and_its_cancellation_is(home: Home) -> None:
    """The request had an attempt of unknown fate: nobody is told that it never left."""
    (accepted,) = await home.backed_up(queue(correlation_id="talk"))
    cancel = await cancelled(home, accepted)
    restored = home.restored()
    sent, found, told = await home.does(sent_by, history(accepted.request_id), notices)

    assert Became.CANCELLED is fates(restored)[accepted.request_id]
    assert [cancel] == [claim.request_id for claim in sent]
    assert ("unconfirmed", State.CANCELLED) == (found.message.state, found.workflow.state)
    assert ("outcome", "unconfirmed", ["fate_unknown"]) in [
        (n.kind, n.state, list(n.remarks)) for n in told
    ]


async def cancelled(home: Home, of: Accepted) -> str:
    """Submit a cancellation of *of*, which names the id that the Receiver gave to it."""
    change(home.database, "UPDATE workflows SET focus_id = 'theirs'")
    change(home.backup, "UPDATE workflows SET focus_id = 'theirs'")
    made = submission(correlation_id="talk", move=Move.CANCEL, focus_id="theirs")
    (accepted,) = await home.does(lambda store: store.outbound.submit(made, SINCE))
    assert accepted.workflow_id == of.workflow_id
    return accepted.request_id


async def test_what_was_handed_in_since_is_there_with_its_state(home: Home) -> None:
    """One was acknowledged and one waits: the first stays so, and the second goes out."""
    await home.backed_up()
    first, _, second = await home.does(queue(), acknowledge, queue())
    restored = home.restored()
    found, sent = await home.does(history(first.request_id), sent_by)

    assert {first.request_id: Became.ENTERED, second.request_id: Became.WAITS} == fates(restored)
    assert ("acknowledged", State.ACTIVE) == (found.message.state, found.workflow.state)
    assert first.workflow_id == found.workflow.workflow_id
    assert [second.request_id] == [claim.request_id for claim in sent]
    assert [] == examine(home.database).problems


async def test_an_answer_finds_what_was_acknowledged_since(home: Home) -> None:
    """It would be quarantined otherwise, and the patient's case forgotten."""
    await home.backed_up()
    _, claim = await home.does(queue(bundle_id="asked"), acknowledge)
    home.restored()
    fate, found = await home.does(
        lambda store: store.responses.respond(response("asked"), NOT_FOUND, LATER),
        history(claim.request_id),
    )

    assert isinstance(fate, Received)
    assert State.COMPLETED is found.workflow.state


def response(to: str, move: Move = Move.CONCLUDE, **changes: object):
    """Return a response to the Bundle *to*."""
    return arrival(
        move=move, responds_to=to, reference=None, focus_id=None, answer=payload(b""), **changes
    )


async def test_what_ended_before_the_backup_stays_ended(home: Home) -> None:
    """An older file that somebody has put there says nothing against it."""
    accepted, *_ = await home.does(queue())
    older = home.database.with_name("older.db")
    back_up(home.database, older)
    await home.backed_up(acknowledge)
    home.database.write_bytes(older.read_bytes())
    restored = home.restored()
    (found,) = await home.does(history(accepted.request_id))

    assert DatabaseCondition.INCOMPLETE is restored.condition
    assert "acknowledged" == found.message.state


async def test_what_was_retried_since_waits_again(home: Home) -> None:
    """It had ended badly in the backup."""
    accepted, _ = await home.backed_up(queue(), lambda store: store.outbound.give_up(PAST))
    await home.does(verb(Verb.RETRY, accepted))
    home.restored()
    found, sent = await home.does(history(accepted.request_id), sent_by)

    assert ("queued", State.REQUESTED) == (found.message.state, found.workflow.state)
    assert [accepted.request_id] == [claim.request_id for claim in sent]


async def test_what_waits_has_had_an_attempt_of_unknown_fate(home: Home) -> None:
    """Nothing is *not sent* after a restore, and nothing can be withdrawn as if it were."""
    (accepted,) = await home.backed_up(queue())
    home.restored()
    objection, _, found = await home.does(
        verb(Verb.WITHDRAW, accepted),
        lambda store: store.outbound.give_up(PAST),
        history(accepted.request_id),
    )

    assert isinstance(objection, Objection)
    assert "attempted" == objection.code
    assert "unconfirmed" == found.message.state


# Where nobody can say what happened since.


def gone(database: Path) -> None:
    for file in database.parent.glob("gateway.db*"):
        file.unlink()


def overwritten(database: Path) -> None:
    database.write_bytes(b"this is no database" * 1000)


def torn(database: Path) -> None:
    content = bytearray(database.read_bytes())
    content[2 * 8192 : 30 * 8192] = b"\x55" * (28 * 8192)
    database.write_bytes(content)


def emptied(database: Path) -> None:
    gone(database)
    asyncio.run(_opened(database))


async def _opened(database: Path) -> None:
    async with open_database(database):
        pass


UNKNOWN = pytest.mark.parametrize(
    ("damage", "condition"),
    [
        (gone, DatabaseCondition.ABSENT),
        (overwritten, DatabaseCondition.UNREADABLE),
        (torn, DatabaseCondition.UNREADABLE),
        (emptied, DatabaseCondition.INCOMPLETE),
    ],
)


@UNKNOWN
async def test_where_nobody_can_say_everything_is_held(home: Home, damage, condition) -> None:
    """Each has a concern of its own, the EPR hears of it, and only a release sends it."""
    accepted, tried = await home.backed_up(queue(), miss)
    await asyncio.to_thread(damage, home.database)
    restored = home.restored()
    sent, told, seen = await home.does(sent_by, notices, overview)
    released, after = await home.does(verb(Verb.RELEASE, accepted), sent_by)

    assert condition is restored.condition
    assert {tried.request_id: Became.HELD} == fates(restored)
    assert [] == sent
    assert [("held", ["fate_unknown"])] == [(n.kind, list(n.remarks)) for n in told]
    assert [accepted.request_id] == alarmed(seen, "restore.held")
    assert isinstance(released, Done)
    assert [accepted.request_id] == [claim.request_id for claim in after]


@UNKNOWN
async def test_the_clock_of_what_is_held_runs_on(home: Home, damage, condition) -> None:
    """The EPR is told that it is late, and then that it is unconfirmed."""
    await home.backed_up(queue())
    await asyncio.to_thread(damage, home.database)
    home.restored()
    _, _, told, seen = await home.does(
        lambda store: store.outbound.tell_delays(LATER),
        lambda store: store.outbound.give_up(PAST),
        notices,
        overview,
    )

    assert ["held", "delayed", "outcome"] == [notice.kind for notice in told]
    assert "unconfirmed" == told[-1].state
    assert [] == alarmed(seen, "restore.held")


async def test_each_message_of_unknown_fate_is_a_concern(home: Home) -> None:
    """With its id, for somebody has to telephone about it."""
    first, second = await home.backed_up(queue(), queue())
    gone(home.database)
    home.restored()
    (seen,) = await home.does(overview)
    (said,) = [o for o in concerns(seen, AT_REST, 90) if "since a restore" in o.text]

    assert said.text.startswith("2 messages held since a restore")
    assert {first.request_id, second.request_id} == {alarm.request_id for alarm in said.alarms}


def alarmed(seen: Overview, kind: str) -> list[str | None]:
    """Return what alarms of that kind are about."""
    return [alarm.request_id for alarm in seen.alarms if alarm.kind == kind]


async def test_what_an_incomplete_database_knows_to_have_ended_has(home: Home) -> None:
    """It lacks another message, and so is not asked about what it does not know."""
    first, second = await home.backed_up(queue(), queue())
    await home.does(verb(Verb.WITHDRAW, first))
    change(home.database, f"DELETE FROM payloads WHERE message_id = {second.message_id}")
    change(home.database, f"DELETE FROM messages WHERE id = {second.message_id}")
    restored = home.restored()

    assert DatabaseCondition.INCOMPLETE is restored.condition
    assert {first.request_id: Became.SETTLED, second.request_id: Became.HELD} == fates(restored)


# What was received.


async def test_what_was_received_since_is_listed(home: Home) -> None:
    """Its Sender was told that we have it, and will not send it again."""
    await home.backed_up(takes(request_id="before"))
    await home.does(takes(request_id="after"))
    restored = home.restored()
    (seen,) = await home.does(overview)

    assert {"after": Became.TO_HAND_OVER} == fates(restored)
    assert ["after"] == alarmed(seen, "restore.not_handed_over")
    assert 1 == seen.inbound


async def test_what_is_handed_over_is_given_under_its_own_number(home: Home) -> None:
    """With its bytes and its answer; its Sender's repetition is a duplicate."""
    await home.backed_up()
    came = arrival(request_id="after")
    _, before = await home.does(lambda store: store.inbound.receive(came, SINCE), notices)
    await home.does(lambda store: store.notices.collect("trust", [before[0].notice_id], SINCE))
    done = home.handed_over(home.restored())
    told, again, seen = await home.does(
        notices, lambda store: store.inbound.receive(came, PAST), overview
    )
    (body,) = await home.does(lambda store: store.messages.payload(told[0].message_id, "request"))

    assert {"after": Became.HANDED_OVER} == fates(done)
    assert [(before[0].notice_id, "message", ["restored"])] == [
        (n.notice_id, n.kind, list(n.remarks)) for n in told
    ]
    assert came.request.body == body.body
    assert Repeated(reference=came.reference) == again
    assert [] == alarmed(seen, "restore.not_handed_over")
    assert [] == examine(home.database).problems


async def test_handing_over_twice_gives_everything_once(home: Home) -> None:
    """Whoever is not sure types it again."""
    await home.backed_up()
    await home.does(takes(), takes())
    restored = home.restored()
    first, second = home.handed_over(restored), home.handed_over(restored)
    (told,) = await home.does(notices)

    assert 2 == len(first.lines) == len(told)
    assert [] == second.lines


async def test_a_response_moves_its_workflow_once_it_is_handed_over(home: Home) -> None:
    """Until then the answer is owed, and the EPR would be told that it is late."""
    due = LATER + timedelta(minutes=1)
    accepted, _ = await home.backed_up(queue(bundle_id="asked", owed=owed(due)), acknowledge)
    await home.does(lambda store: store.responses.respond(response("asked"), NOT_FOUND, SINCE))
    restored = home.restored()
    (before,) = await home.does(history(accepted.request_id))
    home.handed_over(restored)
    (after,) = await home.does(history(accepted.request_id))

    assert [State.ACTIVE, State.COMPLETED] == [before.workflow.state, after.workflow.state]


async def test_an_answer_proves_its_request_before_it_is_handed_over(home: Home) -> None:
    """The request was sent and answered since: it is not sent again."""
    (accepted,) = await home.backed_up(queue(bundle_id="asked"))
    await home.does(
        acknowledge, lambda store: store.responses.respond(response("asked"), NOT_FOUND, SINCE)
    )
    home.restored()
    sent, found = await home.does(sent_by, history(accepted.request_id))

    assert [] == sent
    assert ("acknowledged", State.ACTIVE) == (found.message.state, found.workflow.state)


def named(focus_id: str):
    """Return what has the next message acknowledged, with that id of the Receiver's."""

    async def act(store: Store) -> Claim:
        claim = await next_claim(store)
        assert claim is not None
        settled = Settled(state=OutboundState.ACKNOWLEDGED, focus_id=focus_id)
        await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=settled)
        return claim

    return act


def ids(home: Home) -> dict[str, tuple[str | None, str | None]]:
    """Return, by Bundle.id of the request, the id that a workflow has, and the one it claims."""
    with contextlib.closing(sqlite3.connect(home.database)) as connection:
        found = connection.execute(
            "SELECT m.bundle_id, w.focus_id, w.claimed_id FROM workflows AS w"
            "  JOIN messages AS m ON m.workflow_id = w.id WHERE m.move = 'request'"
        )
        return {bundle_id: (focus_id, claimed_id) for bundle_id, focus_id, claimed_id in found}


@pytest.mark.parametrize("answered", [False, True])
async def test_an_id_that_is_another_patients_stays_a_claim(home: Home, answered) -> None:
    """Whether or not an answer came since: a change by that id is never the other patient's."""
    first, second = queue(bundle_id="first"), queue(bundle_id="second")
    await home.backed_up(first, named("theirs"), second)
    await home.does(named("theirs"))
    if answered:
        await home.does(lambda store: store.responses.respond(response("second"), NOT_FOUND, SINCE))
    home.restored()
    (seen,) = await home.does(overview)

    assert {"first": ("theirs", None), "second": (None, "theirs")} == ids(home)
    assert 1 == len(alarmed(seen, "message.shared_id"))


@pytest.mark.parametrize("answered", [False, True])
async def test_what_is_handed_over_takes_no_id_of_another_patients(home: Home, answered) -> None:
    """The Receiver has given it to somebody else since: it is judged as one that comes now."""
    first = queue(bundle_id="first")
    await home.backed_up(first)
    await home.does(named("theirs"))
    if answered:
        await home.does(lambda store: store.responses.respond(response("first"), NOT_FOUND, SINCE))
    mended = home.database.with_name("mended.db")
    back_up(home.database, mended)
    overwritten(home.database)
    home.restored()
    await home.does(queue(bundle_id="second"), named("theirs"))
    hand_over(mended, home.database, PAST)
    told, seen = await home.does(notices, overview)
    remarks = {n.bundle_id: list(n.remarks) for n in told if n.kind == "outcome"}

    assert {"first": (None, "theirs"), "second": ("theirs", None)} == ids(home)
    assert 1 == len(alarmed(seen, "message.shared_id"))
    assert ["restored", "shared_id"] == sorted(remarks["first"])


async def test_what_comes_along_takes_no_id_of_another_patients(home: Home) -> None:
    """Sent since the backup, it brings a workflow of its own, which is judged as well."""
    await home.backed_up()
    await home.does(queue(bundle_id="first"), named("theirs"))
    mended = home.database.with_name("mended.db")
    back_up(home.database, mended)
    overwritten(home.database)
    home.restored()
    await home.does(queue(bundle_id="second"), named("theirs"))
    hand_over(mended, home.database, PAST)

    assert {"first": (None, "theirs"), "second": ("theirs", None)} == ids(home)


async def test_what_nobody_has_seen_to_stands_after_a_restore(home: Home) -> None:
    """It was raised since the backup, by a message of ours and by one that is handed over."""
    unclear = response("asked", Move.UNCLEAR, request_id="came")
    await home.backed_up(queue(bundle_id="asked"), acknowledge, queue(request_id="lost"))
    await home.does(
        lambda store: store.outbound.give_up(PAST),
        lambda store: store.responses.respond(unclear, NOT_FOUND, SINCE),
    )
    restored = home.restored()
    (before,) = await home.does(overview)
    home.handed_over(restored)
    home.handed_over(restored)
    (after,) = await home.does(overview)

    assert ["lost"] == alarmed(before, "message.not_sent")
    assert (["came"], ["came"]) == tuple(alarmed(s, "workflow.unclear") for s in (before, after))
    assert [1] == [each.times for each in after.alarms if each.kind == "workflow.unclear"]


async def test_what_happened_after_the_restore_is_not_undone(home: Home) -> None:
    """The gateway ran before somebody handed over: its workflow has gone on."""
    await home.backed_up(queue(bundle_id="asked"), acknowledge)
    interim = response("asked", Move.PROGRESS, request_id="interim")
    await home.does(lambda store: store.responses.respond(interim, NOT_FOUND, SINCE))
    restored = home.restored()
    final = response("asked", request_id="final")
    await home.does(lambda store: store.responses.respond(final, NOT_FOUND, LATER))
    home.handed_over(restored)
    (found,) = await home.does(history("final"))

    assert State.COMPLETED is found.workflow.state


async def test_what_was_quarantined_since_is_brought_along(home: Home) -> None:
    """A person has yet to say where it belongs."""
    await home.backed_up()
    orphan = response("nothing", request_id="orphan")
    await home.does(lambda store: store.responses.respond(orphan, NOT_FOUND, SINCE))
    restored = home.restored()
    done = home.handed_over(restored)
    (seen,) = await home.does(overview)

    assert {"orphan": Became.QUARANTINED} == fates(restored) == fates(done)
    assert ["orphan"] == quarantined(home)
    assert [] == alarmed(seen, "restore.not_handed_over")


def quarantined(home: Home) -> list[object]:
    return [row[0] for row in rows(home.database, "SELECT request_id FROM quarantine")]


async def test_bytes_that_are_not_those_that_came_are_not_handed_over(home: Home) -> None:
    """A disk has turned a bit: somebody has to ask the Sender."""
    await home.backed_up()
    await home.does(takes(request_id="bad"), takes(request_id="good"))
    restored = home.restored()
    change(
        restored.aside,
        "UPDATE payloads SET body = x'00' WHERE part = 'request'"
        " AND message_id = (SELECT id FROM messages WHERE request_id = 'bad')",
    )
    done = home.handed_over(restored)

    assert {"bad": Became.LEFT, "good": Became.HANDED_OVER} == fates(done)
    assert "its request does not match its fingerprint" == done.lines[0].why
    assert [] == examine(home.database).problems


async def test_numbers_that_are_taken_are_not_given_twice(home: Home) -> None:
    """Somebody had begun again: number 1 is another message there, and gets a new number here."""
    await home.backed_up(takes(request_id="first"))
    gone(home.database)
    await home.does(takes(request_id="second"))
    restored = home.restored()
    home.handed_over(restored)
    (told,) = await home.does(notices)

    assert ["first", "second"] == [notice.request_id for notice in told]
    assert [] == examine(home.database).problems


async def test_what_nobody_could_read_at_first_is_handed_over_once_it_is_mended(
    home: Home,
) -> None:
    """Then what was held is settled as that database knows, and sent messages come along."""
    accepted, _ = await home.backed_up(queue(), miss)
    await home.does(acknowledge, takes(request_id="came"), queue(request_id="handed-in"))
    mended = home.database.with_name("mended.db")
    back_up(home.database, mended)
    overwritten(home.database)
    home.restored()
    done = hand_over(mended, home.database, PAST)
    sent, found = await home.does(sent_by, history(accepted.request_id))

    assert {
        accepted.request_id: Became.SETTLED,
        "came": Became.HANDED_OVER,
        "handed-in": Became.ENTERED,
    } == fates(done)
    assert ([], "acknowledged") == (sent, found.message.state)


async def test_what_an_earlier_restore_left_is_not_forgotten_by_the_next(home: Home) -> None:
    """It would be gone with the database that remembered it."""
    await home.backed_up()
    await home.does(takes(request_id="after"))
    home.restored()
    restore(home.backup, home.database, PAST, older=True)
    (seen,) = await home.does(overview)

    assert ["after"] == alarmed(seen, "restore.not_handed_over")


@pytest.mark.parametrize(
    ("spoil", "error"),
    [(overwritten, DatabaseDamaged), (Path.unlink, StoreError)],
)
async def test_what_cannot_be_handed_over_is_said(home: Home, spoil, error) -> None:
    """And nothing has changed."""
    await home.backed_up()
    await home.does(takes())
    restored = home.restored()
    spoil(restored.aside)
    before = home.database.read_bytes()
    with pytest.raises(error):
        home.handed_over(restored)

    assert before == home.database.read_bytes()


async def test_the_database_is_not_handed_over_to_itself(home: Home) -> None:
    """A slip of the hand."""
    await home.backed_up()
    with pytest.raises(StoreError, match="is the database itself"):
        hand_over(home.database, home.database, PAST)


async def test_nothing_is_handed_over_under_a_running_gateway(home: Home) -> None:
    """It has to be stopped, as for a restore."""
    await home.backed_up()
    await home.does(takes())
    restored = home.restored()
    async with open_database(home.database):
        with pytest.raises(DatabaseInUse):
            home.handed_over(restored)


# Killed in the middle.


def killed(what: str, one: Path, two: Path, at: int, when: datetime) -> int:
    """Run it in a process that is killed at its step *at*; return its code."""
    command = [sys.executable, mortal.__file__, what, str(one), str(two), when.isoformat(), str(at)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode


PLACES = pytest.mark.parametrize("place", range(8))


def steps_of(what: str, one: Path, two: Path, place: int) -> int:
    """Return a step of it, early to late by *place*, by running it on copies."""
    folder = two.with_name(f"rehearsal-{what}")
    folder.mkdir()
    for file in (one, two):
        (folder / file.name).write_bytes(file.read_bytes())
    total = mortal.steps(what, folder / one.name, folder / two.name, PAST)
    return max(1, total * (2 * place + 1) // 16)


@PLACES
async def test_a_restore_that_is_killed_is_done_by_the_next(home: Home, place: int) -> None:
    """Until the end the old database is there, or the new one is whole."""
    (accepted,) = await home.backed_up(queue())
    await home.does(verb(Verb.WITHDRAW, accepted), takes(request_id="after"))
    at = steps_of("restore", home.backup, home.database, place)
    code = killed("restore", home.backup, home.database, at, LATER)
    between = examine(home.database)
    restore(home.backup, home.database, PAST, older=True)
    sent, found = await home.does(sent_by, history(accepted.request_id))
    kept = home.database.parent.glob("gateway.db.before-restore-*Z")
    known = [
        row for file in kept for row in rows(file, "SELECT request_id FROM messages WHERE id = 2")
    ]

    assert -signal.SIGKILL == code
    assert [] == between.problems
    assert ([], "withdrawn") == (sent, found.message.state)
    assert ("after",) in known


@PLACES
@pytest.mark.long
async def test_a_hand_over_that_is_killed_is_done_by_the_next(home: Home, place: int) -> None:
    """Everything or nothing: no message without its bytes, notice and ledger."""
    await home.backed_up()
    await home.does(*(takes() for _ in range(5)))
    restored = home.restored()
    assert restored.aside is not None
    at = steps_of("hand-over", restored.aside, home.database, place)
    code = killed("hand-over", restored.aside, home.database, at, PAST)
    (between,) = await home.does(notices)
    home.handed_over(restored)
    (told,) = await home.does(notices)

    assert -signal.SIGKILL == code
    assert len(between) in {0, 5}
    assert 5 == len({notice.request_id for notice in told}) == len(told)
    assert [] == examine(home.database).problems


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


# Any history, backed up at any point.


class Course:
    """A random history of one gateway."""

    def __init__(self, home: Home, rng: random.Random) -> None:
        self.home, self.rng = home, rng
        self.accepted: list[Accepted] = []
        self.talks: dict[int, str] = {}  # workflow → conversation

    async def step(self, store: Store) -> None:
        """Let one thing happen."""
        acts = (self.ask, self.ask, self.change, self.send, self.send, self.receive, self.receive)
        await self.rng.choice((*acts, self.answer, self.meddle, self.meddle))(store)

    async def ask(self, store: Store) -> None:
        talk = f"talk-{len(self.accepted)}"
        made = submission(
            request_id=self.id(), correlation_id=talk, bundle_id=talk, give_up_at=PAST
        )
        accepted = await store.outbound.submit(replace(made, focus_id=f"given-{talk}"), NOW)
        self.talks[accepted.workflow_id] = talk
        self.accepted.append(accepted)

    async def change(self, store: Store) -> None:
        """Update or cancel what the Receiver has."""
        known = [f for a in self.accepted if (f := await self.focus(store, a)) is not None]
        if not known:
            return
        talk, focus = self.rng.choice(known)
        move = self.rng.choice((Move.UPDATE, Move.CANCEL))
        made = submission(
            request_id=self.id(), correlation_id=talk, move=move, focus_id=focus, give_up_at=PAST
        )
        with contextlib.suppress(ValueError):  # its workflow is over
            self.accepted.append(await store.outbound.submit(made, NOW))

    async def focus(self, store: Store, of: Accepted) -> tuple[str, str] | None:
        found = await store._database.read(
            lambda c: c.raw.execute(
                "SELECT focus_id FROM workflows WHERE id = ?", [of.workflow_id]
            ).fetchone()
        )
        return (self.talks[of.workflow_id], found[0]) if found[0] else None

    async def send(self, store: Store) -> None:
        claim = await next_claim(store)
        if claim is None:
            return
        state = self.rng.choice([None, *[OutboundState.ACKNOWLEDGED] * 3, OutboundState.REFUSED])
        if state is None:
            again = TryAgain(at=SINCE)
            tried = attempt(claim, Verdict.RETRY)
            await store.outbound.settle(claim, SILENCE, attempt=tried, settlement=again)
            return
        focus = f"theirs-{claim.request_id}"
        verdict = Verdict.ACKNOWLEDGED if state == "acknowledged" else Verdict.REFUSED
        settled = Settled(state=state, focus_id=focus)
        await store.outbound.settle(
            claim, ANSWER, attempt=attempt(claim, verdict), settlement=settled
        )

    async def receive(self, store: Store) -> None:
        await store.inbound.receive(arrival(request_id=self.id()), SINCE)

    async def answer(self, store: Store) -> None:
        if self.talks:
            to = self.rng.choice(list(self.talks.values()))
            move = self.rng.choice((Move.PROGRESS, Move.CONCLUDE))
            came = response(to, move, request_id=self.id())
            await store.responses.respond(came, NOT_FOUND, SINCE)

    async def meddle(self, store: Store) -> None:
        if self.accepted:
            what = self.rng.choice((Verb.WITHDRAW, Verb.HOLD, Verb.RELEASE, Verb.RETRY))
            await verb(what, self.rng.choice(self.accepted))(store)

    def id(self) -> str:
        return f"{self.rng.getrandbits(64):016x}"


@pytest.mark.parametrize("seed", range(30))
async def test_whatever_happened_nothing_that_was_over_goes_out(home: Home, seed: int) -> None:
    """Nothing withdrawn, cancelled or acknowledged; and all that was received is listed."""
    print("seed", seed)
    course = Course(home, random.Random(seed))
    total = 40
    await home.backed_up(*[course.step] * course.rng.randrange(1, total))
    await home.does(*[course.step] * course.rng.randrange(1, total))
    believed = course.rng.random() < 0.7
    if not believed:
        overwritten_copy = home.database.with_name("truth.db")
        back_up(home.database, overwritten_copy)
        overwritten(home.database)
    restored = home.restored()
    truth = restored.aside if believed else home.database.with_name("truth.db")
    sent, _ = await home.does(sent_by, notices)

    over = {
        row[0]
        for row in rows(
            truth,
            "SELECT request_id FROM messages AS m WHERE direction = 'outbound'"
            " AND (settled_at IS NOT NULL OR (move IN ('request', 'update') AND EXISTS"
            "      (SELECT 1 FROM messages AS c WHERE c.workflow_id = m.workflow_id"
            "          AND c.move = 'cancel' AND c.direction = 'outbound' AND c.id > m.id"
            "          AND c.state NOT IN ('withdrawn', 'refused', 'not_sent'))))",
        )
    }
    prints = {
        row[0]
        for row in rows(
            truth,
            "SELECT fingerprint FROM messages WHERE direction = 'outbound'"
            " AND state IN ('withdrawn', 'acknowledged')",
        )
    }
    received = inbound(truth) - inbound(home.backup)

    if believed:
        assert set() == over & {claim.request_id for claim in sent}
        assert set() == prints & {hashlib.sha256(claim.request.body).hexdigest() for claim in sent}
        assert received == listed(restored)
    else:
        assert [] == sent
    hand_over(truth, home.database, PAST)
    assert inbound(truth) == inbound(home.database)
    assert [] == examine(home.database).problems
    assert [] == rows(home.database, "PRAGMA foreign_key_check")


def inbound(path: Path) -> set[object]:
    query = (
        "SELECT request_id FROM messages WHERE direction = 'inbound'"
        " UNION SELECT request_id FROM quarantine"
    )
    return {row[0] for row in rows(path, query)}


def listed(restored: Restored) -> set[object]:
    kinds = {Became.TO_HAND_OVER, Became.QUARANTINED}
    return {line.request_id for line in restored.lines if line.fate in kinds}
