"""
Whether there is still something to cancel, by what the Receiver says of it (S8).

    status + body of GET /ServiceRequest/{id} or /Appointment/{id} ──state_of──► Current

Only the Receiver knows. Its resource says so by its status, and a REC_NOT_FOUND that
there is none; all else proves nothing, and then nothing is guessed.
"""

from enum import StrEnum

from bars_gateway.standard.answers import read_outcome
from bars_gateway.standard.bundle import MalformedBundle, text_of
from bars_gateway.standard.formats import Format, format_of, to_tree


class Current(StrEnum):
    """What a read has shown."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


# The guide asks for `active` and `booked`; what is on hold, or waits for a yes, is not over.
_CURRENT = {
    "ServiceRequest": frozenset({"active", "on-hold"}),
    "Appointment": frozenset({"booked", "pending"}),
}
_OVER = {
    "ServiceRequest": frozenset({"revoked", "completed", "entered-in-error"}),
    "Appointment": frozenset({"cancelled", "entered-in-error", "fulfilled", "noshow"}),
}
_OK = 200
_GONE = frozenset({404, 410})


def state_of(resource_type: str, http_status: int, media_type: str, body: bytes) -> Current:
    """Return whether the resource that was read is current."""
    if http_status in _GONE:
        # NOT_FOUND alone is the proxy's, of a service that is entered twice.
        return Current.NO if read_outcome(body).code == "REC_NOT_FOUND" else Current.UNKNOWN
    if http_status != _OK:
        return Current.UNKNOWN
    try:
        found = to_tree(body, format_of(media_type) or Format.JSON)
    except MalformedBundle:
        return Current.UNKNOWN
    status = text_of(found, "status") if text_of(found, "resourceType") == resource_type else ""
    if status in _CURRENT.get(resource_type, ()):
        return Current.YES
    return Current.NO if status in _OVER.get(resource_type, ()) else Current.UNKNOWN
