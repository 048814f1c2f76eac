"""
How a case stands now, in a sentence: for whoever looks at a message after that has moved on.

    role, state of the workflow, newest word of the Responder ──standing──► its sentence

An outcome is true when it is told. Who looks at it the next day must not read that somebody is
yet to agree, when somebody has turned it down.
"""

from collections.abc import Mapping

from bars_gateway.standard.meaning import MOVES, Said
from bars_gateway.standard.sentences import received
from bars_gateway.standard.sentences.words import (
    CONTROL_ROOMS,
    Matter,
    Rows,
    act,
    check,
    nothing,
    telephone,
    work,
)
from bars_gateway.standard.workflow import ANSWERS, Move, Role, State

_CANCELLED = "The {it} is cancelled."

# Of what we asked: where the Responder's newest word does not say it.
ASKED: Mapping[State, Rows] = {
    State.IN_PROGRESS: {
        None: check("{They} has begun. Telephone if you have to know how far it is."),
        Matter.VALIDATION: nothing(
            "The validation has begun. You remain responsible; the final answer is still owed{by}."
        ),
    },
    State.UNCLEAR: received.SAID[Said.UNCLEAR],
    State.CONTRADICTED: {
        None: telephone(
            "What ended the case and something newer disagree: somebody may be on the way after"
            " all, or nobody. Do not rely on either. Telephone {they} now."
        ),
        Matter.VALIDATION: telephone(
            "What ended the validation and something newer disagree: whether to act or to close"
            " cannot be told from either. Telephone {they} now. You remain responsible."
        ),
    },
    State.COMPLETED: {
        None: check("The case is finished. Check what was done before you close it."),
        Matter.VALIDATION: act(
            "The validation is finished, and may ask you to act. Act now: read its final answer."
        ),
    },
    State.DECLINED: received.SAID[Said.REJECTED],
    State.CANCELLED: {
        None: check(
            _CANCELLED + " The patient is yours. Telephone if somebody there had already begun."
        ),
        Matter.VALIDATION: nothing(_CANCELLED + " You remain responsible; no answer will come."),
        Matter.BOOKING: nothing("The appointment is cancelled: the patient has it no longer."),
        **dict.fromkeys(
            CONTROL_ROOMS,
            check(
                _CANCELLED + " The patient is yours. If a resource was on its way, telephone to"
                " hear that it has been stopped."
            ),
        ),
    },
    State.REFUSED: {None: act("The {it} was not taken: {nobody}. Act now.")},
}
# Where a person has said that it stands as it was before.
BACK: Rows = {
    None: check("{They} has the {it}, and is not known to have begun. Telephone if it cannot wait.")
}
# What was said holds no more: what is so now is said after it.
OVERTAKEN = nothing("This was said earlier, and is not how the case stands now.")

# Of what others ask of us.
OURS: Mapping[State, Rows] = {
    State.IN_PROGRESS: {
        None: work("You have begun. See it through, and send word of its end."),
        Matter.VALIDATION: work(
            "You have begun. The final answer is still owed{by}: give it."
            " Answer as soon as you can."
        ),
    },
    State.UNCLEAR: {
        None: telephone(
            "What you sent last does not add up: {asker} cannot tell from it how the case stands."
            " Telephone."
        )
    },
    State.CONTRADICTED: {
        None: telephone(
            "The case had ended, and something newer of yours says otherwise: {asker} cannot tell"
            " which of the two holds. Telephone now."
        )
    },
    State.COMPLETED: {None: nothing("You have finished with this.")},
    State.DECLINED: {
        None: nothing("You have turned this down: the patient is with {asker} again.")
    },
    State.CANCELLED: received.ASKED[Move.CANCEL],
    State.REFUSED: {
        None: check("The {it} was not taken here. See that nobody here is still at work on it.")
    },
}
# Of what others ask of us, while it is ours to begin: by what we have said of it.
OURS_TO_BEGIN: Mapping[Said, Rows] = {
    Said.ACCEPTED: {
        None: work("You have accepted this, and sent nobody yet. Send word when somebody goes."),
        Matter.CALL_ASSIST: work(
            "You have agreed to take the call on, and sent nobody yet. Send somebody, and report"
            " each change of status."
        ),
        Matter.MUTUAL_AID: work(
            "You have agreed to send a resource, and sent none yet. Send it, and report each"
            " change of status; {asker} stays responsible."
        ),
    },
    Said.STOOD_DOWN: {
        None: work(
            "You have stood your resource down: nobody is on the way from here. Send another, or"
            " see that {asker} knows that none will come."
        )
    },
}


def fits(said: Said | None, state: State) -> bool:
    """Tell whether *said* is a word that leads to where the workflow is."""
    return said is not None and ANSWERS.get(MOVES[said]) is state


def standing(role: Role, state: State, newest: Said | None) -> Rows | None:
    """Return what is said of a workflow that is at *state*; None where it has not moved on."""
    holds = newest if fits(newest, state) else None
    if role is Role.REQUESTER:
        return received.SAID[holds] if holds else ASKED.get(state)
    if state is State.ACTIVE and holds:
        return OURS_TO_BEGIN[holds]
    return OURS.get(state)
