"""What an operator is told of messages, conversations, debts and people: read, never changed."""

import json
import re
from datetime import timedelta
from uuid import uuid4

import orjson
import pytest
from store_values import (
    ANSWER,
    NOW,
    OURS,
    SILENCE,
    THEIRS,
    arrival,
    attempt,
    claim_next,
    owed,
    refusal,
    submission,
)

from bars_gateway.demo.messages import FAMILY, GIVEN, NHS_NUMBER, referral
from bars_gateway.model.explanation import Stall, Turn
from bars_gateway.model.interventions import Verb
from bars_gateway.model.messages import (
    Accepted,
    Actor,
    Arrival,
    Objection,
    OutboundState,
    Settled,
)
from bars_gateway.standard.timing import Limits
from bars_gateway.standard.verdict import Verdict
from bars_gateway.standard.workflow import Move
from bars_gateway.store import conversations
from bars_gateway.store.audit import Sought
from bars_gateway.store.connection import Database
from bars_gateway.store.counterparties import JUDGED, STANDINGS, Counterparty, Standing
from bars_gateway.store.explanations import Where, elsewhere, explained
from bars_gateway.store.pacing import EGRESS, settings_of, token_service_of
from bars_gateway.store.statements import SQLITE, statements_of
from bars_gateway.store.store import Store

MINUTE = timedelta(minutes=1)
LATER = NOW + timedelta(hours=3)
JO = Actor(role="operator", who="jo (uid 1000)", why="INC-7")


async def queued(store: Store, **changes: object) -> Accepted:
    return await store.outbound.submit(submission(**changes), NOW)


async def act(store: Store, verb: Verb, accepted: Accepted) -> None:
    def schedule(*_: object) -> Limits:
        return Limits(give_up_at=LATER, delayed_at=LATER)

    done = await store.interventions.intervene(verb, accepted.message_id, JO, schedule, LATER)
    assert not isinstance(done, Objection)


async def ended(store: Store, state: OutboundState) -> Accepted:
    """Return a message that has ended in *state*."""
    if state is OutboundState.WITHDRAWN:
        accepted = await queued(store)
        await act(store, Verb.WITHDRAW, accepted)
    elif state is OutboundState.NOT_SENT:
        accepted = await queued(store)
        await store.outbound.give_up(LATER)
    else:
        row = "acknowledged" if state is OutboundState.ACKNOWLEDGED else "silence"
        accepted = await met(store, row, 0, state=state)
    return accepted


async def received(store: Store, **changes: object) -> Arrival:
    came = arrival(**changes)
    await store.inbound.receive(came, NOW)
    return came


async def met(store: Store, row: str, minutes: float, **changes: object) -> Accepted:
    """Return a message of which one attempt was judged by *row*, so long after the beginning."""
    at = NOW + minutes * MINUTE
    takes = STANDINGS[row] is Standing.TAKES
    state = changes.pop("state", OutboundState.ACKNOWLEDGED if takes else OutboundState.REFUSED)
    assert isinstance(state, OutboundState)
    accepted = await queued(store, **changes)
    claim = await claim_next(store, at, ["trust"])
    assert claim is not None
    verdict = Verdict.ACKNOWLEDGED if takes else Verdict.RETRY
    tried = attempt(claim, verdict, row=row, started_at=at, ended_at=at)
    await store.outbound.settle(
        claim, ANSWER if takes else SILENCE, attempt=tried, settlement=Settled(state=state)
    )
    return accepted


async def only(store: Store) -> Counterparty:
    (found,) = await store.counterparties.all(NOW + timedelta(hours=1))
    return found


@pytest.mark.parametrize("by", ["request_id", "bundle_id", "number"])
async def test_a_message_is_explained_by_any_id_that_people_have(store: Store, by: str) -> None:
    """A log has one, an EPR another, a list the third."""
    given = submission()
    accepted = await store.outbound.submit(given, NOW)
    names = {
        "request_id": given.request_id.upper(),
        "bundle_id": given.bundle_id,
        "number": str(accepted.message_id),
    }
    (found,) = await store.explanations.explained(names[by], NOW)

    assert accepted.message_id == found.message.message_id


async def test_a_message_of_another_provider_is_not_explained(
    store: Store, database: Database
) -> None:
    """Who may look at one organisation learns nothing of the next."""
    name = (await queued(store)).request_id

    assert [] == await database.read(lambda c: explained(c, "other", name, NOW))


@pytest.mark.parametrize("state", [*OutboundState])
async def test_what_may_be_done_is_what_the_verbs_themselves_say(
    store: Store, state: OutboundState
) -> None:
    """Nobody is told that a verb would be accepted which is then refused, nor the reverse."""
    if state is OutboundState.QUEUED:
        accepted = await queued(store)
    elif state is OutboundState.HELD:
        accepted = await queued(store)
        await act(store, Verb.HOLD, accepted)
    elif state is OutboundState.SENDING:
        accepted = await queued(store)
        await claim_next(store, NOW, ["trust"])
    else:
        accepted = await ended(store, state)
    (found,) = await store.explanations.explained(accepted.request_id, LATER)
    told = {option.verb: option.objection for option in found.may if option.verb in set(Verb)}
    asked = {
        verb: candidate.objection
        for verb in Verb
        if (
            candidate := await store.interventions.candidate(
                "trust", accepted.request_id, verb, LATER
            )
        )
    }

    assert asked == told


async def test_a_message_that_waits_for_an_earlier_one_names_it(store: Store) -> None:
    """An update does not overtake its request: whoever looks is led there."""
    first = await queued(store)
    update = await queued(store, move=Move.UPDATE, correlation_id=first.correlation_id)
    (found,) = await store.explanations.explained(update.request_id, NOW)

    assert first.request_id in found.waits[0].text


@pytest.mark.parametrize(
    ("name", "stall"),
    [
        (settings_of("trust"), Stall.SETTINGS),
        (EGRESS, Stall.EGRESS),
        (token_service_of("trust"), Stall.TOKEN),
        ("trust", Stall.KEPT_OUT),
        (THEIRS, Stall.RECEIVER),
    ],
    ids=[*Stall],
)
async def test_what_keeps_everything_back_is_told_of_each_message(
    store: Store, name: str, stall: Stall
) -> None:
    """It is known from the disk, since when, and so after a restart."""
    accepted = await queued(store)
    await store.breaks.began(name, NOW - timedelta(hours=1))
    (found,) = await store.explanations.explained(accepted.request_id, NOW)

    assert found.waits[0].text.endswith("since 08:00 UTC on 2 March."), stall


async def test_an_alarm_of_the_message_is_told_and_can_be_marked(store: Store) -> None:
    """Its number is in the command that marks it."""
    accepted = await ended(store, OutboundState.REFUSED)
    (alarm,) = await store.alarms.standing("trust", 10)
    (found,) = await store.explanations.explained(accepted.request_id, LATER)
    (mark,) = [option for option in found.may if option.verb == "mark-handled"]

    assert Turn.PERSON is found.turn
    assert mark.objection is None
    assert f"bars-gateway mark-handled {alarm.number} --provider trust --why TEXT" == mark.command


async def test_nothing_of_a_payload_is_in_an_explanation(store: Store) -> None:
    """A name or a number of a patient that was stored is in none of what is told."""
    body = referral(nhs_number=NHS_NUMBER)
    sent = await met(store, "acknowledged", 0, body=body)
    came = await received(store, body=body, correlation_id=sent.correlation_id)
    found = [
        await store.explanations.explained(name, LATER)
        for name in (sent.request_id, came.request_id)
    ]
    talk = await store.timelines.timeline(sent.correlation_id)
    told = orjson.dumps([found, talk], default=str).decode()

    assert came.request_id in told
    assert [] == [word for word in (FAMILY, *GIVEN.split(), NHS_NUMBER) if word in told]


async def test_an_id_that_is_of_no_message_is_looked_for_elsewhere(store: Store) -> None:
    """Who asks after what was refused is not told that it is unknown."""
    came = arrival()
    await store.inbound.refuse(refusal(came), NOW)
    find = await store.explanations._database.read(
        lambda connection: elsewhere(connection, ["other", "trust"], came.request_id.upper())
    )

    assert [(Where.REFUSED, "trust", NOW, 400)] == [
        (each.where, each.provider, each.at, each.http_status) for each in find
    ]


async def test_a_conversation_is_told_in_order_and_in_both_directions(store: Store) -> None:
    """What we sent, what came, and what the EPR was told of both."""
    sent = await met(store, "acknowledged", 1)
    came = await received(store, correlation_id=sent.correlation_id, sender=THEIRS, receiver=OURS)
    talk = await store.timelines.timeline(sent.correlation_id.upper())

    assert talk is not None
    assert sorted(talk.steps, key=lambda step: step.at) == list(talk.steps)
    assert [sent.request_id, came.request_id] == [each.request_id for each in talk.messages]
    assert {"taken", "attempt", "received", "notice"} <= {step.kind for step in talk.steps}


async def test_a_conversation_that_nobody_had_is_none(store: Store) -> None:
    """A mistyped id is told as such, and not as an empty conversation."""
    assert await store.timelines.timeline(str(uuid4())) is None


async def test_what_is_owed_in_a_conversation_stands_with_it(store: Store) -> None:
    """Whoever reads how it went sees what has yet to come."""
    due = NOW + timedelta(hours=1)
    accepted = await queued(store, owed=owed(due))
    talk = await store.timelines.timeline(accepted.correlation_id)

    assert talk is not None
    assert [(False, due)] == [(debt.ours, debt.due_at) for debt in talk.owed]


async def test_debts_are_told_overdue_first_whoever_owes_them(
    store: Store, database: Database
) -> None:
    """Each with the message that asked, so that it can be looked up."""
    soon, late = NOW + timedelta(hours=2), NOW + timedelta(hours=1)
    theirs = await queued(store, owed=owed(soon))
    ours = await received(store, owed=owed(late))
    found = await store.debts.owed(10)

    assert [(True, late, ours.request_id), (False, soon, theirs.request_id)] == [
        (debt.ours, debt.due_at, debt.request.request_id) for debt in found
    ]
    assert [True, False] == [debt.is_overdue(late) for debt in found]
    assert [] == await database.read(lambda c: conversations.owed(c, "other", 10))


async def test_what_has_been_answered_is_owed_no_more(store: Store) -> None:
    """A workflow that has ended owes nothing."""
    accepted = await queued(store, owed=owed(NOW + timedelta(hours=1)))
    await act(store, Verb.WITHDRAW, accepted)

    assert [] == await store.debts.owed(10)


def test_every_row_of_the_verdict_table_says_how_a_service_stands() -> None:
    """A new row cannot be forgotten here."""
    assert list(JUDGED) == list(STANDINGS)


async def test_a_service_that_gives_no_answer_does_so_since_the_first_time(store: Store) -> None:
    """Silence and errors are one trouble; what was refused before that was an answer."""
    await met(store, "acknowledged", 0)
    await met(store, "refused", 1)
    await met(store, "silence", 2)
    await met(store, "server-error", 3)
    await met(store, "timeout", 4)
    found = await only(store)

    assert (Standing.SILENT, NOW + 2 * MINUTE) == (found.standing, found.since)
    assert NOW == found.last_taken_at
    assert (5, 1, 0.2) == (found.attempts, found.acknowledged, found.success)
    assert found.last is not None
    assert "timeout" == found.last.row


async def test_a_service_that_takes_messages_again_does_so_since_then(store: Store) -> None:
    """The end of an outage is told by its first success, not by the last."""
    await met(store, "silence", 1)
    await met(store, "duplicate", 2)
    await met(store, "acknowledged", 3)
    found = await only(store)

    assert (Standing.TAKES, NOW + 2 * MINUTE) == (found.standing, found.since)


async def test_a_refused_token_says_nothing_of_the_service(store: Store) -> None:
    """What the platform kept out neither ends nor begins anything of theirs."""
    await met(store, "silence", 1)
    await met(store, "token-refused", 2)
    await met(store, "silence", 3)
    found = await only(store)

    assert (Standing.SILENT, NOW + MINUTE) == (found.standing, found.since)

    await met(store, "not-enabled", 4)
    found = await only(store)

    assert (Standing.KEPT_OUT, NOW + 4 * MINUTE) == (found.standing, found.since)


async def test_what_does_not_pass_for_its_size_says_nothing_of_the_service(store: Store) -> None:
    """It takes what is smaller, until the next answer says otherwise."""
    await met(store, "acknowledged", 1)
    await met(store, "unfit-on-the-way", 2)
    found = await only(store)

    assert (Standing.TAKES, NOW + MINUTE) == (found.standing, found.since)


async def test_a_service_that_only_writes_to_us_is_listed(store: Store) -> None:
    """With when it last did, and nothing that we cannot know."""
    await received(store)
    found = await only(store)

    assert (THEIRS, Standing.UNTRIED, None) == (found.service, found.standing, found.since)
    assert NOW == found.last_received_at
    assert found.success is None


async def test_what_waits_for_a_service_is_counted_with_its_age(store: Store) -> None:
    """Also what is held; and whether it is backed off from."""
    first = await queued(store)
    second = await store.outbound.submit(submission(), NOW + MINUTE)
    await act(store, Verb.HOLD, second)
    await store.breaks.began(THEIRS, NOW)
    found = await only(store)

    assert (2, NOW, NOW) == (found.waiting, found.oldest_at, found.backed_off_since)
    assert first.receiver == found.service


async def test_of_two_attempts_at_one_moment_the_worse_counts(store: Store) -> None:
    """Nobody is told that all is well because two clocks showed the same."""
    await met(store, "acknowledged", 1)
    await met(store, "silence", 1)
    found = await only(store)

    assert (Standing.SILENT, NOW + MINUTE) == (found.standing, found.since)


async def test_services_are_told_apart(store: Store) -> None:
    """One that is down does not colour another."""
    other = THEIRS.replace("202", "203")
    await met(store, "silence", 1)
    await met(store, "acknowledged", 2, receiver=other)
    found = await store.counterparties.all(NOW + timedelta(hours=1))

    assert [(THEIRS, Standing.SILENT), (other, Standing.TAKES)] == [
        (each.service, each.standing) for each in found
    ]


async def test_what_was_sent_long_ago_is_in_no_share(store: Store) -> None:
    """The share of successes is of a day; how it stands is of the last attempt, however old."""
    await met(store, "acknowledged", 0)
    (found,) = await store.counterparties.all(NOW + timedelta(days=3))

    assert (Standing.TAKES, NOW, None) == (found.standing, found.since, found.success)


async def test_the_audit_trail_says_who_did_what_and_why(store: Store) -> None:
    """With role and reason, and the message that it was done to."""
    accepted = await queued(store)
    await act(store, Verb.HOLD, accepted)
    (line,) = await store.audit.lines(Sought(actor="jo"), 10)

    assert ("operator", "jo (uid 1000)", "INC-7") == (line.role, line.who, line.why)
    assert ("operator.held", accepted.request_id) == (line.kind, line.request_id)


@pytest.mark.parametrize(
    ("sought", "kinds"),
    [
        (Sought(), ["operator.held", "message.held", "message.queued"]),
        (Sought(kind="message"), ["message.held", "message.queued"]),
        (Sought(kind="message.queued"), ["message.queued"]),
        (Sought(kind="operator"), ["operator.held"]),
        (Sought(actor="jo (uid 1000)"), ["operator.held"]),
        (Sought(actor="j"), []),
        (Sought(since=NOW + MINUTE), ["operator.held", "message.held"]),
        (Sought(until=NOW + MINUTE), ["message.queued"]),
        (Sought(provider="other"), []),
    ],
    ids=str,
)
async def test_the_audit_trail_is_filtered(store: Store, sought: Sought, kinds: list[str]) -> None:
    """By period, actor, kind and provider; newest first."""
    accepted = await queued(store)
    await act(store, Verb.HOLD, accepted)
    found = await store.audit.lines(sought, 10)

    assert sorted(kinds) == sorted(line.kind for line in found)


@pytest.mark.parametrize("by", ["request_id", "bundle_id", "number"])
async def test_the_audit_trail_is_filtered_by_any_id(store: Store, by: str) -> None:
    """All that was done to one message, and nothing of the others."""
    given = submission()
    accepted = await store.outbound.submit(given, NOW)
    await queued(store)
    names = {
        "request_id": given.request_id,
        "bundle_id": given.bundle_id,
        "number": str(accepted.message_id),
    }
    found = await store.audit.lines(Sought(of=names[by]), 10)

    assert ["message.queued"] == [line.kind for line in found]


async def test_what_was_refused_to_others_is_in_the_trail_by_its_id(store: Store) -> None:
    """There is no message of it, and its X-Request-Id finds it all the same."""
    came = arrival()
    await store.inbound.refuse(refusal(came), NOW)
    (line,) = await store.audit.lines(Sought(of=came.request_id), 10)

    assert ("inbound.refused", {"rules": ["B07"], "http_status": 400}) == (line.kind, line.detail)


async def test_the_pages_of_the_audit_trail_have_every_line_once(store: Store) -> None:
    """Also of lines that were written in the same millisecond."""
    for _ in range(7):
        await queued(store)
    seen, last = [], None
    while page := await store.audit.lines(Sought(after=last), 2):
        seen += [line.number for line in page]
        last = page[-1]

    assert list(range(7, 0, -1)) == seen


async def test_an_attempt_is_kept_with_whom_it_was_to(store: Store) -> None:
    """It is by this that a service's last words are found without its messages."""
    await met(store, "acknowledged", 0)
    rows = await store.explanations._database.read(
        lambda connection: connection.raw.execute("SELECT receiver FROM attempts").fetchall()
    )

    assert [THEIRS] == [row["receiver"] for row in rows]


@pytest.mark.of_sqlite
@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("judged", "attempts_to"),
        ("run_began", "attempts_to"),
        ("last_attempt_to", "attempts_to"),
        ("services_met", "messages_to"),
        ("last_received_from", "messages_from"),
        ("owed", "workflows_due"),
        ("audit", "events_at"),
        ("events_by_kind", "events_at"),
        ("attempts_by_row", "attempts_started"),
        ("alarms_of_period", "alarms_since"),
        ("audit_of_acts", "events_done"),
        ("messages_of_talk", "messages_talk"),
        ("messages_of_talk", "workflows_talk"),
        ("owed_in", "workflows_talk"),
        ("numbers_named", "workflows_talk"),
        ("questions_of_talk", "questions_talk"),
        ("message_ahead", "messages_open"),
    ],
)
async def test_each_reading_goes_by_its_index(store: Store, name: str, index: str) -> None:
    """It costs the same with a million messages."""
    sql = statements_of(SQLITE)[name]
    names = dict.fromkeys(re.findall(r":(\w+)", sql))
    plan = await store.explanations._database.read(
        lambda connection: [
            row["detail"] for row in connection.raw.execute(f"EXPLAIN QUERY PLAN {sql}", names)
        ]
    )

    assert any(index in step for step in plan), json.dumps(plan, indent=1)
    assert [] == [
        step
        for step in plan
        if step.startswith("SCAN") and step.split()[1] not in _FEW and "INDEX" not in step
    ]


_FEW = {"receivers", "senders", "talk", "json_each", "r", "CONSTANT", "(subquery-3)", "newest"}
