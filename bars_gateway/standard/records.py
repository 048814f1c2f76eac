"""
Whether two new requests are one that was built twice: an EPR restored from a backup does that.

    request ──likeness_of──► digest of use case, case numbers and instants ──► candidates
    candidates ──patients.compare──► the same patient: two records of one referral

Nothing is refused for it, and nothing waits: a second referral may be meant. But two records
of one patient are worked on apart, and who cancels the one believes that nobody comes. So both
sides are told. What a likeness is made of stands in the message; of the patient it has nothing.

Decisions: D-second-record.
"""

import hashlib
from collections.abc import Iterator, Mapping

from bars_gateway.standard.bundle import Message, instant, maps_of, text_of
from bars_gateway.standard.particulars import particulars_of
from bars_gateway.standard.workflow import FINAL, State

# What an EPR writes into a record once, when somebody asks: a second asking has others.
_INSTANTS: Mapping[str, tuple[str, ...]] = {
    "ServiceRequest": ("authoredOn",),
    "Appointment": ("start", "end"),
}
# Nobody there acts on these: to ask again after them is no second record.
NOBODY_ACTS = frozenset({State.REFUSED, State.ABANDONED, State.CANCELLED})


def likeness_of(message: Message) -> str | None:
    """Return what new requests that are one have in common; None: it has no instants."""
    moments = [instant(written) for written in _written(message)]
    if not moments or None in moments:
        return None
    said = [
        message.use_case,
        message.focus_type or "",
        *sorted(particulars_of(message).case_numbers),
        *_slots(message),
        *(moment.isoformat() for moment in moments if moment),
    ]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


def stands(state: State) -> bool:
    """Tell whether somebody may be working on a record whose workflow is in *state*."""
    return state not in FINAL


def matters(state: State) -> bool:
    """Tell whether who reads of one record may mean the other, which is in *state*."""
    return state not in NOBODY_ACTS


def _written(message: Message) -> Iterator[str]:
    focus = message.focus
    for name in _INSTANTS.get(text_of(focus, "resourceType"), ()):
        yield text_of(focus, name)


def _slots(message: Message) -> list[str]:
    """Return what is booked: two at one time are two, if they are of different slots."""
    return sorted(text_of(each, "reference") for each in maps_of(message.focus, "slot"))
