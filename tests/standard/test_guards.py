"""Which moves are refused, remarked upon, or let through: the tables of Applications 1 to 8."""

import re
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from messages import NHS_NUMBER, RECEIVER, referral

from bars_gateway.standard.applications import APPLICATIONS, USE_CASE_NAMES, Answers, application
from bars_gateway.standard.bundle import read
from bars_gateway.standard.consistency import CaseDetails, case_details_of
from bars_gateway.standard.guards import (
    GUARDS,
    Guard,
    enforced,
    foreseen,
    inconsistent,
    too_late,
)
from bars_gateway.standard.links import LINK_RULES
from bars_gateway.standard.meaning import Said
from bars_gateway.standard.patients import Patient
from bars_gateway.standard.remarks import (
    OF_DELAYS,
    OF_HOLDS,
    OF_MODIFIERS,
    OF_OUTCOMES,
    OF_RESTORES,
    OF_SILENCE,
    OF_WHOSE,
    ROWS,
    CaseSoFar,
    Remark,
    Response,
    remarks_on,
)
from bars_gateway.standard.rule import EVERYBODY, AgreedSeverity, Overrides, Rule, Side
from bars_gateway.standard.rules import RULES
from bars_gateway.standard.timing import TIMINGS, application_of
from bars_gateway.standard.workflow import FINAL, REQUESTER_MOVES, Move, RequestType, State

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SENDING, RECEIVING = enforced(Side.SENDING), enforced(Side.RECEIVING)


def test_every_use_case_is_of_an_application() -> None:
    """One that were of none would be guarded and timed by nobody."""
    assert set(APPLICATIONS) == {application_of(code) for code in USE_CASE_NAMES} == set(TIMINGS)


def test_a_guard_has_an_id_of_its_own() -> None:
    """Agreements name guards as they name rules."""
    ids = [row.rule for row in (*RULES, *GUARDS, *LINK_RULES)]

    assert len(ids) == len(set(ids))
    assert [] == [guard.rule for guard in GUARDS if not guard.source]


def test_what_is_compared_is_compared_for_every_application() -> None:
    """Nobody asks a compared row which it is about: one for some alone would be for all."""
    compared = [guard for guard in GUARDS if guard.differs is not None]
    narrower = [
        guard.rule
        for guard in compared
        for use_case in USE_CASE_NAMES
        for request_type in RequestType
        if not all(guard.about(move, request_type, use_case) for move in guard.moves)
    ]

    assert compared
    assert [] == narrower


@pytest.mark.parametrize(
    ("state", "move", "use_case", "expected"),
    [
        pytest.param(State.CANCELLED, Move.UPDATE, "a4t1", {"G01"}, id="update-of-cancelled"),
        pytest.param(State.COMPLETED, Move.CANCEL, "a4t1", {"G02"}, id="49-cancel-of-completed"),
        pytest.param(State.CANCELLED, Move.CANCEL, "a1t1", {"G02"}, id="26-cancelled-twice"),
        pytest.param(State.CANCELLED, Move.CONCLUDE, "a4t1", {"G03"}, id="68-answer-to-cancelled"),
        pytest.param(State.COMPLETED, Move.PROGRESS, "a4t1", {"G04"}, id="interim-after-final"),
        pytest.param(State.COMPLETED, Move.CONCLUDE, "a4t1", set(), id="74-amended"),
        pytest.param(State.DECLINED, Move.CONCLUDE, "a6t2", {"G07"}, id="conclude-declined"),
        pytest.param(State.IN_PROGRESS, Move.UPDATE, "a4t1", {"G08"}, id="67-update-in-progress"),
        pytest.param(State.IN_PROGRESS, Move.UPDATE, "a6t1", set(), id="87-update-in-progress"),
        pytest.param(State.IN_PROGRESS, Move.DECLINE, "a6t3", {"G09"}, id="decline-of-begun"),
        pytest.param(State.IN_PROGRESS, Move.CANCEL, "a6t1", set(), id="96-cancel-under-way"),
        pytest.param(State.UNCONFIRMED, Move.CANCEL, "a3t1", set(), id="cancel-of-unconfirmed"),
    ],
)
def test_what_comes_too_late_is_refused_before_sending(
    state: State, move: Move, use_case: str, expected: set[str]
) -> None:
    """The user is still there, and reads what to do instead."""
    assert expected == {
        issue.rule for issue in too_late(state, move, RequestType.REFERRAL, use_case, SENDING)
    }


def case_details(*nhs_numbers: str, use_case: str = "a4t1") -> CaseDetails:
    return CaseDetails(patient=Patient(nhs_numbers=frozenset(nhs_numbers)), use_case=use_case)


@pytest.mark.parametrize(
    ("move", "later", "expected"),
    [
        pytest.param(Move.CANCEL, case_details("one"), [], id="the-same"),
        pytest.param(Move.CANCEL, case_details("other"), ["G14"], id="51-cancel-of-anothers"),
        pytest.param(Move.UPDATE, case_details("other"), ["G14"], id="update-of-anothers"),
        pytest.param(Move.CONCLUDE, case_details("other"), ["G14"], id="response-about-another"),
        pytest.param(Move.CANCEL, case_details(), [], id="without-number"),
        pytest.param(Move.UPDATE, case_details("one", "other"), [], id="number-added"),
        pytest.param(Move.UPDATE, case_details("one", use_case="a4t2"), ["G15"], id="use-case"),
        pytest.param(Move.CONCLUDE, case_details("one", use_case="a4t2"), [], id="of-a-response"),
        pytest.param(Move.CANCEL, case_details("one", use_case=""), [], id="without-use-case"),
    ],
)
def test_what_comes_later_is_about_the_same_patient_and_use_case(
    move: Move, later: CaseDetails, expected: list[str]
) -> None:
    """The right id with the wrong patient would cancel one patient's booking for another's."""
    found = inconsistent(move, later, case_details("one"), SENDING)

    assert expected == [issue.rule for issue in found]


def test_an_agreement_changes_exactly_what_is_not_fixed() -> None:
    """Of whichever table the row is: whose a message is stays no matter of agreement."""
    rows: list[Rule] = [*RULES, *GUARDS, *LINK_RULES]
    agreed = {row.rule: AgreedSeverity.OFF for row in rows}
    alike = [
        row.rule
        for row in rows
        if all(row.severity(side, agreed) == row.severity(side) for side in Side)
    ]

    assert [row.rule for row in rows if row.fixed or row.rule == "B20"] == alike


def test_no_agreement_lets_another_patients_change_out() -> None:
    """The right id with the wrong patient is refused, whatever is agreed with the other side."""
    message = read(referral())
    agreed = Overrides({EVERYBODY: {"G14": AgreedSeverity.OFF}})

    assert "G14" in enforced(Side.SENDING, message, agreed)


def test_another_patient_refuses_nothing_on_receipt() -> None:
    """It may be the only word that there is: it is taken, or put to the EPR, with a remark."""
    for move in Move:
        assert [] == inconsistent(move, case_details("other"), case_details("one"), RECEIVING)


def test_nothing_shows_an_nhs_number_by_accident() -> None:
    """What is compared may end up in a traceback; the number may not."""
    assert NHS_NUMBER not in repr(case_details_of(read(referral())))


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("move", [Move.WAIT, Move.PROGRESS, Move.DECLINE, Move.CONCLUDE])
def test_no_response_is_refused_for_its_time(state: State, move: Move) -> None:
    """Scenarios 72 to 75: it may be the only word that there is about a patient."""
    assert [] == too_late(state, move, RequestType.VALIDATION, "a4t1", RECEIVING)


@pytest.mark.parametrize(
    ("use_case", "sending", "receiving"),
    [
        pytest.param("a1t1", {"G06": "error"}, {"G06": "error"}, id="54-application-1"),
        pytest.param("a5t1", {"G06": "error"}, {"G06": "error"}, id="54-application-5"),
        pytest.param("a3t1", {"G05": "error"}, {"G05": "warning"}, id="57-application-3"),
        pytest.param("a6t1", {}, {}, id="87-application-6"),
    ],
)
def test_only_some_applications_know_updates(
    use_case: str, sending: dict[str, str], receiving: dict[str, str]
) -> None:
    """Strict before sending; on receipt as the guide has it."""
    message = read(referral(use_case=use_case, reason="update"))

    def found(side: Side) -> dict[str, str]:
        return {i.rule: i.severity for i in foreseen(message, Move.UPDATE, side)}

    assert (sending, receiving) == (found(Side.SENDING), found(Side.RECEIVING))


def test_an_agreement_lets_an_update_through() -> None:
    """Scenario 57: strict or lenient is a switch, by counterparty."""
    message = read(referral(use_case="a1t1", reason="update"))
    agreed = Overrides(
        {RECEIVER.lower(): {"G06": AgreedSeverity.OFF}, EVERYBODY: {"G06": AgreedSeverity.OFF}}
    )

    assert [] == list(foreseen(message, Move.UPDATE, Side.SENDING, agreed))


def test_an_agreement_hardens_what_is_only_remarked_upon() -> None:
    """A counterparty may be held to the guide's word, too."""
    agreed = Overrides({EVERYBODY: {"G08": AgreedSeverity.ERROR, "G01": AgreedSeverity.WARNING}})
    message = read(referral())

    assert {"G02", "G08", "G15"} == enforced(Side.RECEIVING, message, agreed)


def response(move: Move, use_case: str = "a4t1", **more: Any) -> Response:
    values: dict[str, Any] = {"says": None, "reason": "new", "came_at": NOW} | more
    return Response(move=move, request_type=RequestType.VALIDATION, use_case=use_case, **values)


def standing(state: State, due: int = 60, **more: Any) -> CaseSoFar:
    return CaseSoFar(state=state, due_at=NOW + timedelta(minutes=due), **more)


OLDER: dict[str, Any] = {"newer": False}


@pytest.mark.parametrize(
    ("before", "came", "expected"),
    [
        (standing(State.ACTIVE), response(Move.PROGRESS), ()),
        (standing(State.IN_PROGRESS), response(Move.CONCLUDE, reason="update"), ()),
        (standing(State.COMPLETED), response(Move.PROGRESS), (Remark.CONTRADICTS,)),
        (
            standing(State.COMPLETED),
            response(Move.PROGRESS, **OLDER),
            (Remark.AFTER_END, Remark.OUT_OF_ORDER),
        ),
        (standing(State.COMPLETED), response(Move.CONCLUDE), (Remark.AMENDED,)),
        (standing(State.CANCELLED), response(Move.CONCLUDE), (Remark.AFTER_CANCEL,)),
        (
            standing(State.ACTIVE),
            response(Move.CONCLUDE, reason="update"),
            (Remark.INTERIM_MISSED,),
        ),
        (standing(State.ACTIVE, due=-1), response(Move.CONCLUDE), (Remark.LATE,)),
        (
            standing(State.IN_PROGRESS),
            response(Move.WAIT, "a6t1", says=Said.STOOD_DOWN),
            (Remark.STOOD_DOWN,),
        ),
        (
            standing(State.IN_PROGRESS),
            response(Move.PROGRESS, "a6t1", **OLDER),
            (Remark.OUT_OF_ORDER,),
        ),
        (
            standing(State.IN_PROGRESS),
            response(Move.PROGRESS, "a6t1", clock_ahead=True),
            (Remark.CLOCK_AHEAD,),
        ),
        (standing(State.ACTIVE), response(Move.DECLINE, "a6t2"), ()),
        (standing(State.IN_PROGRESS), response(Move.DECLINE, "a6t2"), (Remark.UNFORESEEN,)),
        (
            standing(State.UNCONFIRMED),
            response(Move.PROGRESS, "a6t1"),
            (Remark.ARRIVED_AFTER_ALL,),
        ),
        (
            standing(State.REFUSED),
            response(Move.PROGRESS, "a6t1"),
            (Remark.CONTRADICTS, Remark.ANSWERS_REFUSED),
        ),
        (
            standing(State.ABANDONED),
            response(Move.WAIT, "a6t1"),
            (Remark.CONTRADICTS, Remark.ANSWERS_REFUSED),
        ),
        (
            standing(State.ACTIVE, cancel_open=True),
            response(Move.PROGRESS, "a6t1"),
            (Remark.CANCEL_OPEN,),
        ),
        (standing(State.ACTIVE, cancel_open=True), response(Move.DECLINE, "a6t2"), ()),
        (
            standing(State.ACTIVE, cancel_unsent=True),
            response(Move.PROGRESS, "a6t1"),
            (Remark.CANCEL_UNSENT,),
        ),
        (standing(State.ACTIVE, cancel_unsent=True), response(Move.DECLINE, "a6t2"), ()),
    ],
    ids=str,
)
def test_what_is_remarkable_is_told(
    before: CaseSoFar, came: Response, expected: tuple[Remark, ...]
) -> None:
    """Scenarios 72, 74, 75, 81, 89, 90 and 93."""
    assert expected == remarks_on(before, came)


def test_every_remark_has_a_row_or_is_of_something_else() -> None:
    """A word that is never said is none."""
    of_others = OF_OUTCOMES | OF_WHOSE | OF_MODIFIERS | OF_DELAYS | OF_HOLDS | OF_RESTORES
    of_others |= set(OF_SILENCE.values())

    assert set(Remark) == set(ROWS) | of_others | {Remark.ATTACHED}


def test_control_rooms_answer_in_a_stream() -> None:
    """Application 6 tells of each change; a use case that nobody knows tells of nothing."""
    found = application("a6t1")

    assert found is not None
    assert Answers.STREAM is found.answers
    assert application("nothing") is None


@pytest.mark.parametrize("move", [Move.UPDATE, Move.CANCEL, Move.WAIT, Move.PROGRESS], ids=str)
@pytest.mark.parametrize("state", sorted(FINAL - {State.REFUSED, State.ABANDONED}), ids=str)
def test_who_may_say_no_more_of_what_is_over_is_told_when_to_telephone(
    state: State, move: Move
) -> None:
    """A vehicle sent after a rejection, or a change that is too late, is somebody's patient."""
    texts = [
        each.text
        for each in GUARDS
        if each.about(move, RequestType.VALIDATION, "a4t1")
        and state in each.states
        and each.states <= FINAL
    ]

    assert texts
    assert all(re.search("[Tt]elephone", text) for text in texts)


@pytest.mark.parametrize(
    "guard",
    [each for each in GUARDS if each.moves.isdisjoint(REQUESTER_MOVES)],
    ids=lambda guard: guard.rule,
)
def test_whoever_may_not_send_an_answer_is_told_when_to_telephone(guard: Guard) -> None:
    """The other side hears nothing of it, and believes what it was told last."""
    assert re.search("[Tt]elephone", guard.text)


@pytest.mark.parametrize("rule", [guard.rule for guard in GUARDS if guard.differs is not None])
def test_what_is_compared_is_compared_everywhere(rule: str) -> None:
    """A row that compares is asked by its moves alone: nothing else that it named would count."""
    guard = next(guard for guard in GUARDS if guard.rule == rule)
    narrowing = {"states", "applications", "use_cases", "request_types"}

    assert {} == {
        each.name: getattr(guard, each.name)
        for each in fields(Guard)
        if each.name in narrowing and getattr(guard, each.name) != each.default
    }
