"""Moves and states."""

import pytest
from messages import referral, validation_request

from bars_gateway.standard.bundle import read
from bars_gateway.standard.workflow import (
    FINAL,
    TRANSITIONS,
    Move,
    MoveNotAllowed,
    RequestType,
    State,
    after,
    classify,
    led_on,
    request_type_of,
)

RESPONDERS = frozenset({Move.WAIT, Move.PROGRESS, Move.DECLINE, Move.CONCLUDE, Move.UNCLEAR})


def test_an_answer_revives_what_we_gave_up_on() -> None:
    """Our retries ran out, yet the Receiver had it: its answer must count."""
    assert State.COMPLETED == after(State.REQUESTED, Move.LAPSE, Move.CONCLUDE)


def test_a_validation_runs_from_request_to_conclusion() -> None:
    """The way that Application 4 draws."""
    assert State.COMPLETED == after(State.REQUESTED, Move.REQUEST, Move.PROGRESS, Move.CONCLUDE)


@pytest.mark.parametrize("state", sorted(FINAL))
@pytest.mark.parametrize("move", sorted(set(Move) - RESPONDERS))
def test_a_final_state_is_final_for_the_requester(state: State, move: Move) -> None:
    """Nothing that it does, and nothing that becomes of that, leads out of it."""
    with pytest.raises(MoveNotAllowed):
        after(state, move)


@pytest.mark.parametrize("state", sorted(FINAL))
@pytest.mark.parametrize("move", sorted(RESPONDERS))
def test_a_final_state_never_becomes_another_one(state: State, move: Move) -> None:
    """What speaks against it is not believed instead: a person has to settle which holds."""
    assert led_on(state, move) in {state, State.CONTRADICTED}


def test_every_state_has_a_row() -> None:
    """An absent row would be an accident; an empty one is a statement."""
    assert set(State) == set(TRANSITIONS)


@pytest.mark.parametrize(
    ("body", "move", "request_type"),
    [
        (referral(), Move.REQUEST, RequestType.REFERRAL),
        (validation_request(), Move.REQUEST, RequestType.VALIDATION),
        (referral(reason="update"), Move.UPDATE, RequestType.REFERRAL),
        (referral(reason="update", status="revoked"), Move.CANCEL, RequestType.REFERRAL),
        (referral(reason="delete", status="entered-in-error"), Move.CANCEL, RequestType.REFERRAL),
        (referral(reason="new", status="revoked"), None, RequestType.REFERRAL),
    ],
)
def test_a_message_makes_the_move_that_its_words_mean(
    body: bytes, move: Move | None, request_type: RequestType
) -> None:
    """Event, reason, category and status together, and nothing else."""
    message = read(body)

    assert (move, request_type) == (classify(message), request_type_of(message))
