"""
A response as the store takes it, whether it comes from the proxy or out of quarantine.

    message, its bytes ──► Arrival, its answer the same Bundle: every id in it is its sender's
"""

import hashlib

from bars_gateway.model.messages import Arrival, Payload
from bars_gateway.standard import workflow
from bars_gateway.standard.answers import acknowledge_response
from bars_gateway.standard.bundle import Message
from bars_gateway.standard.consistency import particulars_of
from bars_gateway.standard.formats import Format
from bars_gateway.standard.meaning import wording_of
from bars_gateway.standard.remarks import remarks_on_numbers
from bars_gateway.standard.workflow import Move


def response_arrival(
    message: Message,
    move: Move,
    request: Payload,
    *,
    provider: str,
    request_id: str,
    correlation_id: str,
    sender: str,
    receiver: str,
) -> Arrival:
    """Return the response *message*, whose bytes are *request*, for the workflow it answers."""
    written_in = Format(request.media_type)
    answer = acknowledge_response(message, request.body, written_in)
    return Arrival(
        provider=provider,
        request_id=request_id,
        correlation_id=correlation_id,
        bundle_id=message.bundle_id,
        move=move,
        subject=workflow.subject_of(message),
        use_case=message.use_case,
        sender=sender,
        receiver=receiver,
        focus_id=message.request_id,
        reference=None,
        responds_to=message.responds_to,
        fingerprint=fingerprint(request.body),
        request=request,
        answer=Payload(media_type=request.media_type, headers={}, body=answer),
        owed=None,
        reason=message.reason,
        wording=wording_of(message),
        particulars=particulars_of(message),
        doubts=remarks_on_numbers(message),
    )


def fingerprint(body: bytes) -> str:
    """Return what tells these bytes from others: SHA-256, in hex."""
    return hashlib.sha256(body).hexdigest()
