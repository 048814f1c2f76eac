"""
What in a message may turn what it says into something else: R4's modifier elements.

    Message ─┬─unknown────────► where nobody here can tell what is changed
             ├─not_to_be_done─► where what is asked for is asked not to be done
             └─denied─────────► where something says of itself that it does not hold

R4 forbids to go by a resource as if its modifiers were not there. BaRS and UK Core neither define
a modifier extension nor forbid one, so whoever writes one writes what R4 allows: it is taken, and
told. Elements by which the gateway steers (the status of what a message is about, intent, the
Encounters of a response) are not among these: rules and the table of meanings read them. Nor is
what only tells more of something (a condition that has passed, a number that is a bound): that is
for the EPR to read.

Decisions: D-modifiers.
"""

from collections.abc import Callable, Iterator, Mapping

from bars_gateway.standard.bundle import Message, once
from bars_gateway.standard.r4 import MODIFIERS, vocabulary
from bars_gateway.standard.tree import Json, Resource, map_of, maps_of, text_of

# What is read of a response beside its request: what is changed in these changes what it says.
_TELLING = frozenset({"MessageHeader", "ServiceRequest", "Encounter", "CarePlan", "Appointment"})
_IN_ERROR = "entered-in-error"

_Wrong = Callable[[Json], bool]


def _code(*codes: str) -> _Wrong:
    wrong = frozenset({*codes, _IN_ERROR})
    return lambda value: isinstance(value, str) and value in wrong


def _concept(*codes: str) -> _Wrong:
    wrong = frozenset({*codes, _IN_ERROR})

    def says_so(value: Json) -> bool:
        coded = maps_of(value, "coding") if isinstance(value, dict) else ()
        return any(text_of(coding, "code") in wrong for coding in coded)

    return says_so


def _is_true(value: Json) -> bool:
    return value is True


def _is_false(value: Json) -> bool:
    return value is False


def _replaced(value: Json) -> bool:
    links = value if isinstance(value, list) else []
    return any(isinstance(each, dict) and text_of(each, "type") == "replaced-by" for each in links)


_ANY = (("status", _code()), ("doNotPerform", _is_true))
_INACTIVE = (("active", _is_false),)
# By type: the elements that may say so. Every other type has a status, if it has one.
_DENIES: Mapping[str, tuple[tuple[str, _Wrong], ...]] = {
    "AllergyIntolerance": (("verificationStatus", _concept("refuted")),),
    "CarePlan": (("status", _code("revoked")),),
    "Communication": (("status", _code("not-done")),),
    "Condition": (("verificationStatus", _concept("refuted")),),
    "Consent": (("status", _code("rejected", "inactive")),),
    "DiagnosticReport": (("status", _code("cancelled")),),
    "DocumentReference": (("status", _code("superseded")),),
    "EpisodeOfCare": (("status", _code("cancelled")),),
    "Flag": (("status", _code("inactive")),),
    "Goal": (("lifecycleStatus", _code("rejected", "cancelled")),),
    "HealthcareService": _INACTIVE,
    "Immunization": (("status", _code("not-done")), ("isSubpotent", _is_true)),
    "Location": (("status", _code("inactive")),),
    "MedicationAdministration": (("status", _code("not-done")),),
    "MedicationDispense": (("status", _code("cancelled", "declined")),),
    "MedicationRequest": (("status", _code("cancelled", "stopped")), ("doNotPerform", _is_true)),
    "MedicationStatement": (("status", _code("not-taken")),),
    "Observation": (("status", _code("cancelled")),),
    "Organization": _INACTIVE,
    "Patient": (
        *_INACTIVE,
        ("deceasedBoolean", _is_true),
        ("deceasedDateTime", bool),
        ("link", _replaced),
    ),
    "Procedure": (("status", _code("not-done")),),
    "RelatedPerson": _INACTIVE,
    "Schedule": _INACTIVE,
    "ServiceRequest": (("status", _code()),),  # an entry's doNotPerform is a matter of its own
    "Task": (("status", _code("cancelled", "failed", "rejected")),),
}
# Of one activity of a CarePlan.
_DETAIL = (("status", _code("cancelled")), ("doNotPerform", _is_true))


@once
def unknown(message: Message) -> tuple[str, ...]:
    """Return where a modifier extension or implicit rules stand: BaRS knows none of either."""
    if message.held is not None:
        return ()  # as nearly always: it is R4 without modifiers
    return tuple(_unknown(message.root, "Bundle"))


def _unknown(node: Resource, path: str) -> Iterator[str]:
    """Yield the paths in *node*; what R4 has no name for is not looked into, nor shown."""
    for name, value in node.items():
        if name in MODIFIERS:
            yield f"{path}.{name}"
        elif name.removeprefix("_") not in vocabulary():
            continue
        elif isinstance(value, dict):
            yield from _unknown(value, f"{path}.{name}")
        elif isinstance(value, list):
            for index, each in enumerate(value):
                if isinstance(each, dict):
                    yield from _unknown(each, f"{path}.{name}[{index}]")


@once
def not_to_be_done(message: Message) -> tuple[str, ...]:
    """Return where a ServiceRequest says that what it asks for is not to be done."""
    return tuple(
        f"{path}.doNotPerform"
        for path, request in message.all("ServiceRequest")
        if request.get("doNotPerform") is True
    )


@once
def denied(message: Message) -> tuple[str, ...]:
    """Return where something says that it is an error, refuted, not done, over, or of the dead."""
    return tuple(_denied_in(message))


def _denied_in(message: Message) -> Iterator[str]:
    for index, (url, kind, resource) in enumerate(message.entries):
        for element, wrong in _DENIES.get(kind, _ANY):  # written out: every entry passes through it
            if element not in resource or not wrong(resource[element]):
                continue
            if element != "status" or url != message.focus_url:  # the move says that one
                yield f"Bundle.entry[{index}].resource.{element}"
        if kind == "CarePlan":
            yield from _denied_activities(resource, f"Bundle.entry[{index}].resource")
        if "contained" in resource:
            yield from _denied_within(resource, f"Bundle.entry[{index}].resource")


def _denied_activities(plan: Resource, path: str) -> Iterator[str]:
    for number, activity in enumerate(maps_of(plan, "activity")):
        for element in _told_by(map_of(activity, "detail"), _DETAIL):
            yield f"{path}.activity[{number}].detail.{element}"


def _denied_within(resource: Resource, path: str) -> Iterator[str]:
    for number, each in enumerate(maps_of(resource, "contained")):
        kind, at = text_of(each, "resourceType"), f"{path}.contained[{number}]"
        # A request within something else is a part of that, and not what the message asks for.
        rows = _ANY if kind == "ServiceRequest" else _DENIES.get(kind, _ANY)
        yield from (f"{at}.{element}" for element in _told_by(each, rows))
        if kind == "CarePlan":
            yield from _denied_activities(each, at)


def _told_by(node: Resource, rows: tuple[tuple[str, _Wrong], ...]) -> Iterator[str]:
    return (element for element, wrong in rows if element in node and wrong(node[element]))


def changes_the_word(message: Message) -> bool:
    """Tell whether what a response says to its request may be changed by what nobody here knows."""
    entries = [f"Bundle.entry[{index}].resource." for index in range(len(message.entries))]
    others = tuple(
        at for at, each in zip(entries, message.entries, strict=True) if each.type not in _TELLING
    )
    return bool(not_to_be_done(message)) or any(
        not at.startswith(others) for at in unknown(message)
    )
