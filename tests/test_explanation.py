"""What is said of how a message stands: something in every case, and never more than is proved."""

import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
import typer
from typer.exceptions import TyperException

from bars_gateway.cli.main import app
from bars_gateway.console.hands import place_of
from bars_gateway.model.alarms import ALARMS
from bars_gateway.model.explanation import (
    FAULTS,
    TURNS,
    Ahead,
    Case,
    Explanation,
    Stall,
    Turn,
    explain,
)
from bars_gateway.model.interventions import (
    DOES,
    FROM,
    OBJECTIONS,
    Candidate,
    Quarantine,
    Verb,
)
from bars_gateway.model.messages import Attempt, NoticeKind, OutboundState
from bars_gateway.model.readings import Event, MessageHistory, MessageRow, Notice, WorkflowRow
from bars_gateway.model.standing_alarms import Alarm
from bars_gateway.model.timeline import ANSWERS, Party, attempt_in_words, event_in_words
from bars_gateway.standard.findings import ReadProgress
from bars_gateway.standard.sentences.words import Asks
from bars_gateway.standard.verdict import KEPT_OUT, ROWS, SILENCE, FaultSide, Verdict, VerdictRow
from bars_gateway.standard.workflow import FINAL, Move, RequestType, Role, State, role_of

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
OURS = "https://fhir.nhs.uk/Id/dos-service-id|2000000101"
THEIRS = "https://fhir.nhs.uk/Id/dos-service-id|2000000202"
TABLE = (*ROWS, SILENCE)
OPEN = {OutboundState.QUEUED, OutboundState.HELD, OutboundState.SENDING}
NEVER_LEFT = {OutboundState.NOT_SENT, OutboundState.WITHDRAWN}
ABOUT = [
    ("a3t1", RequestType.REFERRAL),
    ("a4t1", RequestType.VALIDATION),
    ("a6t2", RequestType.REFERRAL),
    ("a1t1", RequestType.BOOKING),
]
NO_PROOF = re.compile("may have arrived|not prove|not known")
# Nobody can know these from an answer: what would say so is a lie sooner or later.
TOO_MUCH = re.compile(
    "did not arrive|never arrived|has not arrived|has been read|have read|does not have it"
)


def row(**changes: object) -> MessageRow:
    values: dict[str, object] = {
        "message_id": 7,
        "workflow_id": 3,
        "provider": "trust",
        "direction": "outbound",
        "request_id": "6f1d0c52-0000-4000-8000-000000000001",
        "correlation_id": "6f1d0c52-0000-4000-8000-000000000002",
        "bundle_id": "6f1d0c52-0000-4000-8000-000000000003",
        "move": Move.REQUEST,
        "request_type": RequestType.REFERRAL,
        "use_case": "a3t1",
        "sender": OURS,
        "receiver": THEIRS,
        "state": "queued",
        "attempts": 0,
        "next_attempt_at": NOW,
        "give_up_at": NOW + timedelta(minutes=15),
        "answer_due_at": None,
        "created_at": NOW - timedelta(minutes=5),
        "settled_at": None,
        "says": None,
        "reason_code": None,
        "target_unchecked": None,
        "stands": State.REQUESTED,
    }
    return MessageRow(**(values | changes))  # type: ignore[arg-type]


def workflow(message: MessageRow, role: Role, state: State) -> WorkflowRow:
    return WorkflowRow(
        workflow_id=3,
        provider="trust",
        correlation_id=message.correlation_id,
        counterparty=THEIRS,
        role=role,
        request_type=message.request_type,
        use_case=message.use_case,
        state=state,
        opened_at=NOW - timedelta(minutes=5),
        closed_at=NOW if state in FINAL else None,
        answer_due_at=message.answer_due_at,
        told_status=None,
        links=(),
    )


def attempt(judged: VerdictRow, number: int = 1, **changes: object) -> Attempt:
    values: dict[str, object] = {
        "number": number,
        "started_at": NOW - timedelta(minutes=4),
        "ended_at": NOW - timedelta(minutes=3),
        "verdict": judged.verdict,
        "row": judged.name,
        "fault": None if judged.verdict is Verdict.ACKNOWLEDGED else FaultSide.PROXY,
        "http_status": None if judged is SILENCE else 500,
        "code": None,
        "issue": None,
        "ids_echoed": False,
    }
    return Attempt(**(values | changes))  # type: ignore[arg-type]


def case(message: MessageRow, state: State = State.REQUESTED, **changes: object) -> Case:
    attempts = changes.pop("attempts", ())
    events = changes.pop("events", ())
    role = role_of(message.move)
    if message.direction == "inbound":
        role = Role.RESPONDER if role is Role.REQUESTER else Role.REQUESTER
    history = MessageHistory(
        message=message,
        workflow=workflow(message, role, state),
        attempts=attempts,  # type: ignore[arg-type]
        events=events,  # type: ignore[arg-type]
    )
    verbs = {
        verb: Candidate(
            message=message,
            objection=None if message.state in FROM[verb] else OBJECTIONS["wrong_state"],
        )
        for verb in Verb
    }
    if message.direction == "inbound":
        verbs = {}
    values: dict[str, object] = {"at": NOW, "history": history, "notices": (), "verbs": verbs}
    return Case(**(values | changes))  # type: ignore[arg-type]


def alarm(kind: str) -> Alarm:
    return Alarm(
        kind=kind,
        role=None,
        meanwhile=None,
        number=12,
        provider="trust",
        request_id=None,
        workflow_id=3,
        use_case="a3t1",
        quarantine=None,
        codes=(),
        since=NOW,
        times=1,
    )


def cases() -> Iterator[Case]:
    """Yield each state, direction, move and state of the workflow, by what it is about."""
    for (use_case, request_type), move, stands in itertools.product(ABOUT, Move, State):
        if move in {Move.REFUSE, Move.LAPSE, Move.ABANDON}:
            continue  # none of a message
        said: dict[str, object] = {
            "move": move,
            "use_case": use_case,
            "request_type": request_type,
            "stands": stands,
        }
        for state, due in itertools.product(OutboundState, (None, NOW)):
            for attempts in (0,) if state in NEVER_LEFT else (0, 1):
                message = row(
                    state=state,
                    attempts=attempts,
                    next_attempt_at=NOW if state is OutboundState.QUEUED else None,
                    settled_at=None if state in OPEN else NOW,
                    answer_due_at=due,
                    **said,
                )
                yield case(message, stands)
        came = row(direction="inbound", state="received", give_up_at=None, settled_at=NOW, **said)
        yield case(came, stands)


@cache
def explained() -> list[Explanation]:
    """Return what is said of each."""
    return [explain(each) for each in cases()]


def texts(found: Explanation) -> list[str]:
    """Return everything that is said beside the sentence of the standard."""
    return [
        *(step.text for step in found.happened),
        *(waits.text for waits in found.waits),
        *(waits.then for waits in found.waits if waits.then),
        *(option.does for option in found.may),
        found.turn_in_words,
    ]


@pytest.mark.parametrize("judged", TABLE, ids=lambda judged: judged.name)
def test_every_row_of_the_verdict_table_has_its_words(judged: VerdictRow) -> None:
    """Nobody has to look an answer up in a table to learn what it was."""
    said = attempt_in_words(attempt(judged))

    assert f": {ANSWERS[judged.name]}." in said


def test_no_words_are_left_over_of_rows_that_are_gone() -> None:
    """What is printed in the documents is what can be said."""
    assert [judged.name for judged in TABLE] == list(ANSWERS)


@pytest.mark.parametrize("judged", TABLE, ids=lambda judged: judged.name)
def test_words_say_no_more_than_their_row_proves(judged: VerdictRow) -> None:
    """Only a proof says that the Receiver has it; only what was kept out is not in doubt."""
    said = ANSWERS[judged.name]
    proved = judged.verdict is Verdict.ACKNOWLEDGED
    doubtful = not proved and judged.name not in KEPT_OUT

    assert proved == said.startswith("the Receiver has it")
    assert doubtful == bool(NO_PROOF.search(said))
    assert TOO_MUCH.search(said) is None


def test_a_row_of_a_later_release_is_told_as_such() -> None:
    """A database may have met a newer release before: that is said, and nothing is guessed."""
    said = attempt_in_words(replace(attempt(SILENCE), row="of-next-year"))

    assert "a row of the table that this release does not have" in said


def test_each_case_is_explained_in_whole_sentences() -> None:
    """Whatever has become of a message, nothing is left out, and no slot is left unfilled."""
    wrong = [
        (found.message.state, found.message.move, said)
        for found in explained()
        for said in (found.means, *texts(found))
        if not said.strip() or re.search(r"[{}]|None|\w+\.\w+State", said)
    ]

    assert [] == wrong


def test_nothing_says_more_than_is_proved() -> None:
    """No answer tells that a message did not arrive, and none that somebody has read it."""
    assert [] == [said for each in explained() for said in texts(each) if TOO_MUCH.search(said)]


def test_what_no_attempt_was_made_of_has_not_arrived() -> None:
    """That it may have arrived is said where an attempt was begun, and only there."""
    wrong = [
        each.message
        for each in explained()
        for waits in each.waits
        if waits.then and each.message.state in OPEN
        if ("it may have arrived" in waits.then) != bool(each.message.attempts)
    ]

    assert [] == wrong


def test_it_is_a_persons_turn_wherever_the_sentence_asks_for_one() -> None:
    """Nobody is told to wait by one line, and to telephone by another."""
    urgent = [each for each in explained() if each.asks >= Asks.TELEPHONE]

    assert {Turn.PERSON} == {each.turn for each in urgent}
    assert set(TURNS) == {each.turn for each in explained()}


def test_it_is_a_persons_turn_as_long_as_an_alarm_stands() -> None:
    """An alarm is told with what it says and what to do, and takes the turn."""
    for kind, words in ALARMS.items():
        found = explain(case(row(), alarms=[alarm(kind)]))

        assert Turn.PERSON is found.turn
        assert any(words.advice in waits.text for waits in found.waits)


def marked(minutes: float) -> Event:
    return Event(
        at=NOW - timedelta(minutes=minutes),
        provider="trust",
        kind="operator.marked_handled",
        request_id=None,
        detail='{"who": "jo (uid 1000)", "why": "telephoned"}',
    )


def test_what_somebody_has_dealt_with_is_no_persons_turn_any_more() -> None:
    """The sentence is what the EPR was told; that it was seen to stands below it."""
    ended = row(state="unconfirmed", attempts=3, settled_at=NOW - timedelta(minutes=4))
    before = explain(case(ended))
    after = explain(case(ended, events=[marked(1)]))

    assert (Turn.PERSON, None) == (before.turn, before.handled_in_words)
    assert Turn.NOBODY is after.turn
    assert "Somebody has marked its alarms as handled since" in (after.handled_in_words or "")


def test_what_was_told_since_somebody_dealt_with_it_is_a_persons_turn_again() -> None:
    """A later notice, or another alarm, was not in anybody's sight then."""
    ended = row(state="unconfirmed", attempts=3, settled_at=NOW - timedelta(minutes=4))
    told = notice(ended)
    later = explain(case(ended, events=[marked(1)], notices=[told]))
    another = explain(case(ended, events=[marked(1)], alarms=[alarm("message.unconfirmed")]))

    assert [(Turn.PERSON, None)] * 2 == [(e.turn, e.handled_in_words) for e in (later, another)]


@pytest.mark.parametrize("fault", FaultSide)
def test_whose_fault_it_was_is_said_in_words(fault: FaultSide) -> None:
    """The last answer tells where to look first."""
    failed = attempt(SILENCE, fault=fault)
    found = explain(case(row(attempts=1), attempts=[failed]))

    assert FAULTS[fault] == found.fault_in_words


def test_what_arrived_is_nobodys_fault() -> None:
    """An attempt that failed before says nothing once another has succeeded."""
    (arrived,) = (each for each in ROWS if each.name == "acknowledged")
    tries = [attempt(SILENCE), attempt(arrived, number=2)]
    taken = row(state="acknowledged", attempts=2, settled_at=NOW, next_attempt_at=None)

    assert explain(case(taken, State.ACTIVE, attempts=tries)).fault_in_words is None


@pytest.mark.parametrize("stall", Stall)
def test_what_keeps_a_message_from_going_is_said_with_its_beginning(stall: Stall) -> None:
    """Whoever looks at one message learns that it is not the message."""
    found = explain(case(row(), stall=stall, stalled_since=NOW - timedelta(hours=1)))

    assert found.waits[0].text.endswith(" since 08:00 UTC on 2 March.")


def test_what_is_behind_another_names_it() -> None:
    """An update waits for its request, and says so with its id."""
    ahead = Ahead(message_id=6, request_id="the-one-before", state="held")
    found = explain(case(row(move=Move.UPDATE), ahead=ahead))

    assert "the-one-before, which is held" in found.waits[0].text
    assert Turn.PERSON is found.waits[0].turn


@pytest.mark.parametrize("reading", ReadProgress)
def test_a_cancellation_says_which_read_it_waits_for(reading: ReadProgress) -> None:
    """It has not gone, and why is told."""
    found = explain(case(row(move=Move.CANCEL, reading=reading)))

    assert re.search("before it goes|been answered yet|does not go", found.waits[0].text)


def test_an_attempt_that_nobody_knows_the_end_of_is_told() -> None:
    """A gateway that was killed over an attempt has not made none."""
    found = explain(case(row(attempts=1)))

    assert any(
        step.text.startswith("Attempt 1 began after this, and how it ended is not known")
        for step in found.happened
    )


def test_the_attempt_of_this_moment_is_told() -> None:
    """What is being sent has begun, and is no attempt whose end got lost."""
    sending = row(state="sending", attempts=1, next_attempt_at=None)
    (told,) = [each for each in explain(case(sending)).happened if each.kind == "attempt"]

    assert "Attempt 1 has begun, and how it ended is not known yet." == told.text


def test_every_verb_is_told_with_what_stands_against_it() -> None:
    """What may be done, and what may not and why, is the same list for every message of ours."""
    message = row()
    verbs = {verb: Candidate(message=message, objection=OBJECTIONS["wrong_state"]) for verb in Verb}
    found = explain(replace(case(message), verbs=verbs))

    assert [*DOES, "confirm", "attach", "mark-handled"] == [each.verb for each in found.may]
    assert all(each.objection is not None for each in found.may)


def quarantined(number: int) -> Quarantine:
    return Quarantine(
        number=number,
        provider="trust",
        request_id="r",
        correlation_id="c",
        bundle_id="b",
        responds_to=None,
        sender=THEIRS,
        receiver=OURS,
        reason="orphan",
        fingerprint="",
        came_at=NOW,
        attached_to=None,
    )


def parsed(command: str) -> None:
    """Read a command as it would be at a prompt, and run nothing; raise where it is mistyped."""
    program, *words = shlex.split(command)
    assert program == "bars-gateway"
    group = typer.main.get_command(app)
    with group.make_context(program, words) as context:
        name, verb, rest = group.resolve_command(context, words)  # type: ignore[attr-defined]
        verb.make_context(name, rest, parent=context).close()


def test_each_command_that_may_be_typed_is_one() -> None:
    """In every state of a message and its case, it is taken as it stands, with nothing added."""
    one = next(cases())
    alarmed = explain(replace(one, alarms=[alarm("message.refused")]))
    near = explain(replace(one, quarantined=[(quarantined(9), None)]))
    found = [*explained(), alarmed, near]
    told = [option for each in found for option in each.may if option.objection is None]
    typed = {(each.verb, each.command.replace("STATE", "active")) for each in told}
    for _, command in sorted(typed):
        parsed(command)

    assert {*DOES, "confirm", "attach", "mark-handled"} == {verb for verb, _ in typed}
    assert all(" --provider trust " in command for _, command in typed)


def test_a_provider_that_is_called_by_a_number_is_no_workflow() -> None:
    """Some are: the console attaches a response to the workflow of the message that is shown."""
    one = case(row(provider="4711"), quarantined=[(quarantined(9), None)])
    (attach,) = [each for each in explain(one).may if each.verb == "attach"]

    assert "/attach?quarantine=9&workflow=3" == place_of(attach, one.message.message_id)


def test_a_mistyped_command_would_be_noticed() -> None:
    """What the test above rests on."""
    for wrong in ("hold", "holds x --why y", "attach x 3 --why y", "hold x --hwy y"):
        with pytest.raises(TyperException):
            parsed(f"bars-gateway {wrong}")


def test_a_resend_that_is_possible_says_what_may_come_of_it() -> None:
    """Nobody makes a second record of a patient without having read that it may be one."""
    ended = row(state="unconfirmed", attempts=1, settled_at=NOW, next_attempt_at=None)
    (resend,) = [
        each for each in explain(case(ended, State.UNCONFIRMED)).may if each.verb == "resend"
    ]

    assert "second record" in str(resend.may_happen)


@pytest.mark.parametrize("state", [State.UNCLEAR, State.CONTRADICTED])
def test_what_is_in_doubt_can_be_confirmed(state: State) -> None:
    """The workflow waits for a person, and the verb for it would be accepted."""
    taken = row(state="acknowledged", settled_at=NOW, next_attempt_at=None, stands=state)
    found = explain(case(taken, state))
    (confirm,) = [each for each in found.may if each.verb == "confirm"]

    assert confirm.objection is None
    assert Turn.PERSON is found.turn


def test_the_words_of_a_person_are_told_with_their_name() -> None:
    """Who held it, and why, stands where it happened."""
    detail = '{"who": "jo (uid 1000)", "why": "INC-7"}'
    held = Event(at=NOW, provider="trust", kind="operator.held", request_id=None, detail=detail)

    assert "Held by jo (uid 1000): INC-7" == event_in_words(held)


def test_an_alarm_in_the_trail_is_told_in_its_words() -> None:
    """A line of the trail that has raised an alarm says what that said."""
    raised = Event(at=NOW, provider="trust", kind="workflow.overdue", request_id=None, detail="{}")

    assert "An alarm was raised (workflow.overdue): Overdue: 1 answer owed to us." == (
        event_in_words(raised, Role.REQUESTER)
    )


def test_what_the_epr_was_told_is_told_in_the_same_sentence() -> None:
    """Whoever telephones the ward reads what the ward was told, and whether it was."""
    message = row(state="not_sent", settled_at=NOW, next_attempt_at=None)
    found = explain(case(message, State.ABANDONED, notices=[notice(message)]))
    (told,) = found.told

    assert notice(message).notice_id == told.notice_id
    assert told.means.startswith("The referral never left this organisation")
    assert any("has not collected notice 4" in waits.text for waits in found.waits)


def test_a_notice_that_lies_in_a_folder_is_not_said_to_be_taken() -> None:
    """It counts as collected once it lies there, and nobody may have looked for days."""
    message = row(state="not_sent", settled_at=NOW, next_attempt_at=None)
    given = replace(notice(message), collected_at=NOW)
    last = explain(case(message, State.ABANDONED, notices=[given])).happened[-1]

    assert "Notice 4 (outcome) was collected by the EPR, or put into its folder." == last.text
    assert (Party.GATEWAY, Party.EPR) == (last.source, last.target)


def notice(message: MessageRow) -> Notice:
    return Notice(
        notice_id=4,
        kind=NoticeKind.OUTCOME,
        provider="trust",
        created_at=NOW,
        collected_at=None,
        message_id=message.message_id,
        workflow_id=message.workflow_id,
        direction=message.direction,
        request_id=message.request_id,
        correlation_id=message.correlation_id,
        bundle_id=message.bundle_id,
        move=message.move,
        request_type=message.request_type,
        use_case=message.use_case,
        sender=message.sender,
        receiver=message.receiver,
        state=message.state,
        attempts=message.attempts,
        give_up_at=message.give_up_at,
        answer_due_at=None,
        reference=None,
        http_status=None,
        code=None,
        issue=None,
        fault=None,
        media_type="application/fhir+json",
        fingerprint="",
        answer_media_type=None,
        says=None,
        reason_code=None,
        resend_of=None,
        reconciled=None,
        focus_id=None,
        shown=None,
        remarks=(),
        stands=State.ABANDONED,
        warned_from=None,
        links=(),
    )
