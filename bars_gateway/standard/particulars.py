"""
What every later message of a workflow has to agree in with the one that began it.

    message ──particulars_of──► Particulars ──┬─ other_patient, other_use_case: it is refused
                                              └─ same_case, same_journey: where several fit

The right id with the wrong patient is how one patient's booking is cancelled for another's.
Who is who is decided in `patients`, and nowhere else. Where one message names no use case,
nothing is said against it. (Guide: Cancellation; the Receiver cross-checks.)

Case numbers and the journey never find a workflow: they tell apart those that ids have found.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from bars_gateway.standard.bundle import Message, maps_of, text_of
from bars_gateway.standard.links import journey_of
from bars_gateway.standard.patients import ONE_PATIENT, Patient, Sameness, compare, patient_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Particulars:
    """Whom a message is about, and in which use case."""

    patient: Patient
    use_case: str  # a4t1; empty where the message names none
    case_numbers: frozenset[str] = field(default=frozenset(), repr=False)  # of its Encounters
    journey_id: str | None = None


def particulars_of(message: Message) -> Particulars:
    """Return what *message* says of itself."""
    return Particulars(
        patient=patient_of(message),
        use_case=message.use_case,
        case_numbers=frozenset(_case_numbers(message)),
        journey_id=journey_of(message),
    )


def _case_numbers(message: Message) -> Iterator[str]:
    # By the value alone: published examples have one organisation's under the other's system.
    for _, encounter in message.all("Encounter"):
        values = (text_of(each, "value") for each in maps_of(encounter, "identifier"))
        yield from filter(None, values)


def other_patient(one: Particulars, other: Particulars) -> bool:
    """Tell whether what they say of the patient speaks of two."""
    return compare(one.patient, other.patient) is Sameness.OTHER_PATIENT


def other_use_case(one: Particulars, other: Particulars) -> bool:
    """Tell whether both name a use case, and not the same."""
    return bool(one.use_case and other.use_case) and one.use_case != other.use_case


def same_case(one: Particulars, other: Particulars) -> bool:
    """Tell whether they have a case number in common."""
    return not one.case_numbers.isdisjoint(other.case_numbers)


def same_journey(one: Particulars, other: Particulars) -> bool:
    """Tell whether both name the same journey, of the same patient."""
    journey = one.journey_id is not None and one.journey_id == other.journey_id
    return journey and compare(one.patient, other.patient) in ONE_PATIENT
