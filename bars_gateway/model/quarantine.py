"""
What came and could not be tied to a workflow, and an operator who says where it belongs.

    quarantine ──attach──► its workflow, with notice and audit trail
                     └──► why not

An attached response counts as one that was correlated: the EPR gets it byte for byte, with the
remark `attached`, and the workflow moves as far as its state allows. Its Sender was told 404.
Once attached, the same X-Request-Id is a duplicate (409): that tells the Sender that it is
here, and no second notice is written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from bars_gateway.model.actors import Objection

UNKNOWN_RECORD = "unknown_record"  # the reason of a change

AGAINST: Mapping[str, Objection] = {
    each.code: each
    for each in (
        Objection(
            code="attached_before",
            text="it was attached before",
            cure="there is nothing to do: its workflow has it",
        ),
        Objection(
            code="no_workflow",
            text="no request of this provider has that workflow",
            cure="take workflow_id from the receipt of the request, or GET /messages/REQUEST_ID",
        ),
        Objection(
            code="other_service",
            text="the request went to another service than the one that responds",
            cure="look for the request among those that went to the Sender of the response",
        ),
        Objection(
            code="other_use_case",
            text="the response is about another kind of request, or another use case",
            cure="look for the request whose use case the response repeats",
        ),
        Objection(
            code="other_record",
            text="the Receiver gave the request another id than the one the response is about",
            cure="look for the request whose ServiceRequest.id the response repeats",
        ),
        Objection(
            code="other_patient",
            text="the response has another NHS number than the request",
            cure="ask the Sender whose it is: nothing of it may go to this patient's record",
        ),
        Objection(
            code="no_response",
            text="it is an update or a cancellation of a record that this Receiver never gave",
            cure="telephone the Sender, and ask which record it means",
        ),
        Objection(
            code="unreadable",
            text="its bytes can no longer be read as a response",
            cure="ask the Sender for it by telephone",
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """A response or a change that belongs to no workflow yet, without what it says."""

    number: int
    provider: str
    request_id: str
    correlation_id: str
    bundle_id: str
    responds_to: str | None
    sender: str
    receiver: str
    reason: str  # orphan or ambiguous, of a response; unknown_record, of a change
    fingerprint: str
    came_at: datetime
    attached_to: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """The response is in its workflow, and the EPR will hear of it."""

    workflow_id: int
    state: str  # of the workflow, afterwards
