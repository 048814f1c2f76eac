"""What comes back about a ServiceRequest (rules R13 to R16)."""

from collections.abc import Iterator

from bars_gateway.standard.bundle import Message
from bars_gateway.standard.checks.kinds import RESPONSE, is_of
from bars_gateway.standard.checks.looking import not_in, statuses
from bars_gateway.standard.checks.offer import Offer

_INTERIM, _FULL = "-validation-interim", "-validation-full"


def absence_not_told(message: Message, _offer: Offer) -> Iterator[str]:
    """R13: revoked and new means that the patient did not come."""
    revoked = any(status == "revoked" for _, status in statuses(message, "ServiceRequest"))
    if message.event == RESPONSE and message.reason == "new" and revoked:
        yield from (path for path, status in statuses(message, "Appointment") if status != "noshow")
        yield from not_in(message, "Encounter", {"cancelled"})


def transfer_answered_oddly(message: Message, _offer: Offer) -> Iterator[str]:
    """R14: Application 6."""
    if message.event == RESPONSE and is_of(message, "a6"):
        yield from _unless(message, "active")
        if message.focus_type == "Encounter" and message.focus_status not in {
            "planned",
            "in-progress",
            "finished",
            "cancelled",
        }:
            yield "Bundle.entry[0].resource.focus"


def interim_answer_ended(message: Message, _offer: Offer) -> Iterator[str]:
    """R15: something is still going on, or was turned down."""
    if message.event == RESPONSE and message.definition.endswith(_INTERIM):
        yield from _unless(message, "active")
        if message.focus_status not in {"in-progress", "cancelled"}:
            yield "Bundle.entry[0].resource.focus"


def full_answer_open(message: Message, _offer: Offer) -> Iterator[str]:
    """R16: every published answer breaks it."""
    if message.event == RESPONSE and message.definition.endswith(_FULL):
        yield from _unless(message, "completed")


def _unless(message: Message, status: str) -> Iterator[str]:
    return (path for path, found in statuses(message, "ServiceRequest") if found != status)
