"""The words that rules are written in: which kind of message it is, what many look for."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from bars_gateway.standard.bundle import Json, Message, Resource, map_of, maps_of, text_of
from bars_gateway.standard.timing import application_of

URN = "urn:uuid:"
HEADER = "Bundle.entry[0].resource"  # where the MessageHeader stands
CODES = "https://fhir.nhs.uk/CodeSystem/"
REQUEST = "servicerequest-request"
RESPONSE = "servicerequest-response"
BOOKING = "booking-request"
CHANGES = frozenset({"update", "delete"})
TAKEN_BACK = frozenset({"revoked", "entered-in-error"})  # a ServiceRequest
CALLED_OFF = frozenset({"cancelled", "entered-in-error"})  # an Appointment
# How the MessageDefinitions of cancellations and of answers to a validation end.
CANCELLED, INTERIM, FULL = "-cancelled", "-validation-interim", "-validation-full"


def is_new_request(message: Message, category: str | None = None) -> bool:
    """Tell whether somebody asks for the first time, for *category* where given."""
    return (
        message.event == REQUEST
        and message.reason == "new"
        and category in {None, message.category}
    )


def is_change(message: Message) -> bool:
    """Tell whether a request is changed or taken back."""
    return message.event == REQUEST and message.reason in CHANGES


def cites_cancellation(message: Message) -> bool:
    """Tell whether the MessageDefinition is that of a cancellation."""
    return message.definition.endswith(CANCELLED)


def request_status(message: Message) -> str | None:
    """
    Return the status of the request that it is about; None for none, or where nobody can tell.

    Where the focus points to nothing, or to another type, rules of their own say so (M12N, M13),
    and a ServiceRequest is judged by what it says itself.
    """
    if message.focus_type == "ServiceRequest":
        return message.focus_status
    found = [status for _, status in statuses(message, "ServiceRequest")]
    return found[0] if len(found) == 1 else None


def is_cancelled_request(message: Message) -> bool:
    """Tell whether a request is taken back."""
    return is_change(message) and request_status(message) in TAKEN_BACK


def asks(message: Message, category: str | None = None) -> bool:
    """
    Tell whether something is asked for, for the first time or otherwise than before.

    An update takes the place of the whole request: what has to be in the one has to be in the
    other.
    """
    changed = (
        is_change(message)
        and request_status(message) not in TAKEN_BACK
        and not cites_cancellation(message)
        and category in {None, message.category}
    )
    return is_new_request(message, category) or changed


def is_booking(message: Message, *, called_off: bool) -> bool:
    """Tell whether it is about an Appointment that is, or is not, called off."""
    return (
        message.event == BOOKING
        and message.focus_type == "Appointment"
        and (message.focus_status in CALLED_OFF) is called_off
    )


def is_of(message: Message, application: str) -> bool:
    """Tell whether the use case belongs to *application*, such as a6."""
    return application_of(message.use_case) == application


def objects_at(node: Json, path: str) -> Iterator[tuple[str, Resource]]:
    """Yield every object in *node* with its path: slow, for when something is wrong."""
    if isinstance(node, dict):
        yield path, node
        for name, value in node.items():
            yield from objects_at(value, f"{path}.{name}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from objects_at(value, f"{path}[{index}]")


def resources_at(message: Message) -> Iterator[tuple[str, Resource]]:
    """Yield the path and the resource of every entry."""
    for index, entry in enumerate(message.entries):
        yield f"Bundle.entry[{index}].resource", entry.resource


def extensions(resource: Resource, url: str) -> list[Resource]:
    """Return the extensions of *resource* of that URL."""
    return [each for each in maps_of(resource, "extension") if text_of(each, "url") == url]


def codings(concepts: list[Resource]) -> list[Resource]:
    """Return the codings of all *concepts*."""
    return [coding for concept in concepts for coding in maps_of(concept, "coding")]


def is_coded(concepts: list[Resource], system: str, codes: AbstractSet[str] | None = None) -> bool:
    """Tell whether one of *concepts* has a coding of *system*, and of *codes* where given."""
    return any(
        text_of(coding, "system") == system and (codes is None or text_of(coding, "code") in codes)
        for coding in codings(concepts)
    )


def concept_of(resource: Resource, element: str) -> list[Resource]:
    """Return the one concept at *element*, as a list."""
    concept = map_of(resource, element)
    return [concept] if concept else []


def references_of(resource: Resource, element: str) -> list[tuple[str, str]]:
    """Return the references at *element*, one or a list, each with where it stands in it."""
    value = resource.get(element)
    if isinstance(value, Mapping):
        return [(element, text_of(value, "reference"))]
    return [
        (f"{element}[{index}]", text_of(each, "reference"))
        for index, each in enumerate(maps_of(resource, element))
    ]


def statuses(message: Message, resource_type: str) -> list[tuple[str, str]]:
    """Return the status of each resource of that type, with its path."""
    return [
        (f"{path}.status", text_of(each, "status")) for path, each in message.all(resource_type)
    ]


def has_words(text: str) -> bool:
    """Tell whether there is anything to read: a mark, or what nobody can see, is nothing."""
    return any(each.isalnum() for each in text)


def missing(resource_type: str) -> str:
    """Return the FHIRPath of a resource that should be in the Bundle and is not."""
    return f"Bundle.entry.resource.ofType({resource_type})"


def not_in(message: Message, resource_type: str, allowed: AbstractSet[str]) -> Iterator[str]:
    """Yield where no resource of that type has one of these statuses: the first, if any."""
    found = statuses(message, resource_type)
    if not any(status in allowed for _, status in found):
        yield found[0][0] if found else missing(resource_type)
