"""The rules of the Appointment and its Slot (K01 to K08)."""

from collections.abc import Iterator

from bars_gateway.standard.applications import Offer
from bars_gateway.standard.bundle import USE_CASES, Message, instant, maps_of, text_of
from bars_gateway.standard.issues import Severity
from bars_gateway.standard.rule import (
    CALLED_OFF,
    CANCELLED,
    HEADER,
    has_booking_event,
    is_booked,
    is_booking,
    is_called_off,
    is_coded,
    missing,
    references_of,
    rule,
    statuses,
)

_WARN = Severity.WARNING
_PARTS = ("Patient", "Slot", "Schedule", "HealthcareService")


@rule(
    "K01",
    "a booking has one Appointment with Patient, Slot, Schedule and HealthcareService",
    source="MessageDefinitions; tests: BookTwoAppointments",
    when=has_booking_event,
)
def booking_incomplete(message: Message, _offer: Offer) -> Iterator[str]:
    yield from (path for path, _ in list(message.all("Appointment"))[1:])
    if is_booking(message, called_off=False):
        held = {entry.type for entry in message.entries}
        yield from (missing(part) for part in _PARTS if part not in held)


@rule(
    "K02",
    "a new Appointment is booked, refers to a Slot in the Bundle, and its Patient has accepted",
    source="Application 1: Booking-Request-Payload",
    when=is_booked,
    of="Appointment",
)
def new_booking_not_ready(message: Message, _offer: Offer) -> Iterator[str]:
    if message.reason != "new":
        return
    for path, appointment in message.all("Appointment"):
        if text_of(appointment, "status") != "booked":
            yield f"{path}.status"
        slots = references_of(appointment, "slot")
        entries = [message.resolve(reference) for _, reference in slots]
        if not any(entry and entry.type == "Slot" for entry in entries):
            yield f"{path}.slot"
        if not _patient_accepted(message, appointment):
            yield f"{path}.participant"


def _patient_accepted(message: Message, appointment: object) -> bool:
    for participant in maps_of(appointment, "participant"):
        for _, reference in references_of(participant, "actor"):
            entry = message.resolve(reference)
            if entry and entry.type == "Patient" and text_of(participant, "status") == "accepted":
                return True
    return False


@rule(
    "K02I",
    "a new Appointment has no id: the Receiver gives it one",
    source="Application 1: Booking-Request-Payload",
    sending=_WARN,
    receiving=None,
    when=is_booked,
    of="Appointment",
)
def new_booking_has_id(message: Message, _offer: Offer) -> Iterator[str]:
    """The Receiver gives its own, whatever was sent."""
    if message.reason == "new":
        for path, appointment in message.all("Appointment"):
            if "id" in appointment:
                yield f"{path}.id"


@rule(
    "K02a",
    "the Appointment begins or ends outside of its Slot",
    source="this project",
    sending=_WARN,
    receiving=_WARN,
    when=is_booked,
    of="Appointment",
)
def outside_of_the_slot(message: Message, _offer: Offer) -> Iterator[str]:
    """The guide's own booking is six days off."""
    for path, appointment in message.all("Appointment"):
        for _, reference in references_of(appointment, "slot"):
            entry = message.resolve(reference)
            slot = entry.resource if entry else {}
            for name, before in (("start", True), ("end", False)):
                here, there = instant(text_of(appointment, name)), instant(text_of(slot, name))
                if here and there and here != there and (here < there) is before:
                    yield f"{path}.{name}"


@rule(
    "K04",
    "a booking is cancelled with reason update and the Appointment's id that the Receiver gave",
    source="Core: Cancellation",
    receiving=_WARN,
    when=is_called_off,
)
def bad_booking_cancel(message: Message, _offer: Offer) -> Iterator[str]:
    """A published cancellation says `new` and names no id; nobody could act on it."""
    if message.reason == "new":
        yield f"{HEADER}.reason.coding.code"
    if not message.focus_id:
        for path, _ in message.all("Appointment"):
            yield f"{path}.id"


@rule(
    "K04S",
    "a cancelled booking has the status cancelled or entered-in-error",
    source="Core: Cancellation",
    when=has_booking_event,
    of="Appointment",
)
def booking_still_stands(message: Message, _offer: Offer) -> Iterator[str]:
    """A message that says it cancels, and an Appointment that says otherwise."""
    if message.definition.endswith(CANCELLED):
        for path, status in statuses(message, "Appointment"):
            if status not in CALLED_OFF:
                yield path


@rule(
    "K06",
    "serviceCategory must hold a code of usecases-categories-bars",
    source="Core: Use-Case-Categories",
    receiving=_WARN,
    when=has_booking_event,
    of="Appointment",
)
def no_use_case(message: Message, _offer: Offer) -> Iterator[str]:
    for path, appointment in message.all("Appointment"):
        if not is_coded(maps_of(appointment, "serviceCategory"), USE_CASES):
            yield f"{path}.serviceCategory"


@rule(
    "K07",
    "basedOn must name the referral as ServiceRequest/id",
    source="Application 1: Payloads",
    sending=_WARN,
    receiving=_WARN,
    of="Appointment",
)
def referral_not_named(message: Message, _offer: Offer) -> Iterator[str]:
    """What it is based on is named by the id that the Receiver gave."""
    for path, appointment in message.all("Appointment"):
        for at, reference in references_of(appointment, "basedOn"):
            entry = message.resolve(reference)
            inside = entry is not None and entry.type == "ServiceRequest"
            if not inside and not reference.startswith("ServiceRequest/"):
                yield f"{path}.{at}"


@rule(
    "K08",
    "a booked Patient has one official name, one home address with postcode, birthDate"
    " and a telephone",
    source="tests: booking_request_payload",
    receiving=_WARN,
    when=is_booked,
    of="Patient",
)
def patient_not_reachable(message: Message, _offer: Offer) -> Iterator[str]:
    """Who comes must be known by name, and be told of changes."""
    for path, patient in message.all("Patient"):
        names = [n for n in maps_of(patient, "name") if text_of(n, "use") == "official"]
        if len(names) != 1 or not (names[0].get("family") and names[0].get("given")):
            yield f"{path}.name"
        homes = [a for a in maps_of(patient, "address") if text_of(a, "use") == "home"]
        if len(homes) != 1 or not homes[0].get("postalCode"):
            yield f"{path}.address"
        if not text_of(patient, "birthDate"):
            yield f"{path}.birthDate"
        telecoms = [t for c in maps_of(patient, "contact") for t in maps_of(c, "telecom")]
        if not any(text_of(telecom, "system") == "phone" for telecom in telecoms):
            yield f"{path}.contact"
