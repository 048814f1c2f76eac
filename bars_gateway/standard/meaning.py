"""
What a response says of the patient: one word, whatever elements it is spread over.

    response, read with what its workflow began with ──► Said ──► Move

Whoever reads a notice acts upon this word. Where a response does not add up it is
`unclear`: a person has to look, and the gateway does not guess.
"""

from collections.abc import Mapping
from enum import StrEnum

from bars_gateway.standard.workflow import Move


class Said(StrEnum):
    """What the Responder says with a response."""

    ACCEPTED = "accepted"  # A6: the other control room has a case of it; nobody is sent yet
    ASSIGNED = "assigned"  # A6: a resource has been assigned, and is not there yet
    ON_SCENE = "on_scene"  # A6: a resource is with the patient
    STOOD_DOWN = "stood_down"  # A6: whoever was assigned or there is so no longer
    FINISHED = "finished"  # A6: the resource has finished
    VALIDATION_STARTED = "validation_started"  # A4: the clinician has begun
    VALIDATION_ACTS = "validation_acts"  # A4: finished, and the Requester has to act
    VALIDATION_CLOSES = "validation_closes"  # A4: finished, and nothing more is asked
    REJECTED = "rejected"  # the patient is the Requester's again
    NOT_ATTENDED = "not_attended"  # A1, A2: the patient did not come (withdrawn at 1.0.0)
    UNCLEAR = "unclear"  # it does not add up: a person has to look


MOVES: Mapping[Said, Move] = {
    Said.ACCEPTED: Move.WAIT,
    Said.ASSIGNED: Move.PROGRESS,
    Said.ON_SCENE: Move.PROGRESS,
    Said.STOOD_DOWN: Move.WAIT,
    Said.FINISHED: Move.CONCLUDE,
    Said.VALIDATION_STARTED: Move.PROGRESS,
    Said.VALIDATION_ACTS: Move.CONCLUDE,
    Said.VALIDATION_CLOSES: Move.CONCLUDE,
    Said.REJECTED: Move.DECLINE,
    Said.NOT_ATTENDED: Move.DECLINE,
    Said.UNCLEAR: Move.UNCLEAR,
}


class Reason(StrEnum):
    """Why a Responder rejects: the codes of `rejected-reasons-bars`."""

    RRNA = "RRNA"
    FC = "FC"
    OTH = "OTH"


REASONS: Mapping[Reason, str] = {  # as the code system displays them
    Reason.RRNA: "Requested resource not available within timescale",
    Reason.FC: "Failed Contact",
    Reason.OTH: "Other",
}
