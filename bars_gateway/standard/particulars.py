"""
What every later message of a workflow has to agree in with the one that began it.

    message ──particulars_of──► Particulars ──┬─ other_patient
                                              └─ other_use_case

The right id with the wrong patient is how one patient's booking is cancelled for another's.
Only NHS numbers are held against each other: names are corrected, and whoever was unknown
when the ambulance was called has a name an hour later. Where one message has none, or names
no use case, nothing is said against it. (Guide: Cancellation; the Receiver cross-checks.)
"""

from dataclasses import dataclass, field

from bars_gateway.standard.bundle import Message
from bars_gateway.standard.matching import nhs_numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Particulars:
    """Whom a message is about, and in which use case."""

    nhs_numbers: frozenset[str] = field(repr=False)
    use_case: str  # a4t1; empty where the message names none


def particulars_of(message: Message) -> Particulars:
    """Return what *message* says of itself."""
    return Particulars(nhs_numbers=frozenset(nhs_numbers(message)), use_case=message.use_case)


def other_patient(one: Particulars, other: Particulars) -> bool:
    """Tell whether both have NHS numbers, and none in common."""
    both = bool(one.nhs_numbers and other.nhs_numbers)
    return both and one.nhs_numbers.isdisjoint(other.nhs_numbers)


def other_use_case(one: Particulars, other: Particulars) -> bool:
    """Tell whether both name a use case, and not the same."""
    return bool(one.use_case and other.use_case) and one.use_case != other.use_case
