"""The rules of the MessageHeader (M01 to M16)."""

from collections.abc import Iterator

from bars_gateway.standard.applications import Offer
from bars_gateway.standard.bundle import REASONS, Message, map_of, maps_of, text_of
from bars_gateway.standard.definitions import ENDPOINT_SYSTEMS, EVENTS_SYSTEM, cited
from bars_gateway.standard.headers import normalised, same_service
from bars_gateway.standard.issues import NOT_SUPPORTED, Severity
from bars_gateway.standard.rule import HEADER, rule

_WARN = Severity.WARNING
# booking-response exists in the code system and has no workflow: M03.
FOCUS_TYPES = {
    "servicerequest-request": frozenset({"ServiceRequest"}),
    "servicerequest-response": frozenset({"ServiceRequest", "Encounter"}),
    "booking-request": frozenset({"Appointment"}),
}


@rule(
    "M01",
    "the first entry, and no other, must be the MessageHeader",
    source="R4: bdl-12",
    fixed=True,
)
def not_first(message: Message, _offer: Offer) -> Iterator[str]:
    if not message.entries or message.entries[0].type != "MessageHeader":
        yield "Bundle.entry[0]"
    for path, _ in message.all("MessageHeader"):
        if path != HEADER:
            yield path


@rule(
    "M02",
    "eventCoding.system must be the code system message-events-bars",
    source="profile BARSMessageHeader",
)
def wrong_event_system(message: Message, _offer: Offer) -> Iterator[str]:
    if text_of(map_of(message.header, "eventCoding"), "system") != EVENTS_SYSTEM:
        yield f"{HEADER}.eventCoding.system"


@rule(
    "M03",
    "the event must be servicerequest-request, servicerequest-response or booking-request",
    source="Core: Standard-Pattern-For-Composites; tests: InvalidEventCode",
    fixed=True,
)
def unknown_event(message: Message, _offer: Offer) -> Iterator[str]:
    if message.event not in FOCUS_TYPES:
        yield f"{HEADER}.eventCoding.code"


@rule(
    "M04",
    "reason is missing, or is not of the code system message-reason-bars",
    source="profile BARSMessageHeader",
)
def no_reason(message: Message, _offer: Offer) -> Iterator[str]:
    codings = maps_of(map_of(message.header, "reason"), "coding")
    if not any(text_of(coding, "system") == REASONS for coding in codings):
        yield f"{HEADER}.reason"


@rule(
    "M05",
    "reason must be new or update",
    source="Core: Cancellation; tests: InvalidReasonCode",
    fixed=True,
)
def unknown_reason(message: Message, _offer: Offer) -> Iterator[str]:
    """Delete is read, for the guide's own tables print it."""
    if message.reason and message.reason not in {"new", "update", "delete"}:
        yield f"{HEADER}.reason.coding.code"


@rule(
    "M05S",
    "a cancellation is sent with reason update; delete is no longer written",
    source="Core: Cancellation",
    receiving=None,
)
def reason_is_delete(message: Message, _offer: Offer) -> Iterator[str]:
    if message.reason == "delete":
        yield f"{HEADER}.reason.coding.code"


@rule(
    "M06",
    "source.endpoint must be system|value of the sending service",
    source="Core: Message-Headers",
    fixed=True,
)
def bad_source(message: Message, _offer: Offer) -> Iterator[str]:
    """It is the address of every response."""
    if not _is_service(message.source):
        yield f"{HEADER}.source.endpoint"


@rule(
    "M06S",
    "source.endpoint must be one of this provider's services, as its settings name them",
    source="this project",
    receiving=None,
    fixed=True,
)
def source_is_not_ours(message: Message, offer: Offer) -> Iterator[str]:
    """We send for our own services only."""
    if message.source and not offer.is_ours(message.source):
        yield f"{HEADER}.source.endpoint"


@rule(
    "M07",
    "there must be one destination.endpoint, written system|value",
    source="Core: Message-Headers",
    fixed=True,
)
def bad_destination(message: Message, _offer: Offer) -> Iterator[str]:
    if len(message.destinations) != 1:
        yield f"{HEADER}.destination"
    for index, destination in enumerate(message.destinations):
        if not _is_service(destination):
            yield f"{HEADER}.destination[{index}].endpoint"


@rule(
    "M07R",
    "destination.endpoint is not a service of this organisation",
    source="Core: Message-Headers",
    sending=None,
    fixed=True,
    **NOT_SUPPORTED,
)
def destination_is_not_ours(message: Message, offer: Offer) -> Iterator[str]:
    """Whatever the headers say, the message names its Receiver itself."""
    if unswapped(message, offer):
        return
    for index, destination in enumerate(message.destinations):
        if not offer.is_ours(destination):
            yield f"{HEADER}.destination[{index}].endpoint"


@rule(
    "M07U",
    "a response swaps the endpoints of its request; this one does not",
    source="Core: Message-Headers",
    sending=None,
    receiving=_WARN,
)
def endpoints_not_swapped(message: Message, offer: Offer) -> Iterator[str]:
    """Published responses name us as their source still (scenario 79)."""
    if unswapped(message, offer):
        yield f"{HEADER}.destination"


def unswapped(message: Message, offer: Offer) -> bool:
    """Tell whether a response names its Receiver as its source, as the request did."""
    return message.event.endswith("-response") and normalised(message.source) in offer.services


@rule(
    "M08",
    "the system of an endpoint must be https://fhir.nhs.uk/Id/dos-service-id, in that"
    " spelling, or another that the endpoint catalogue knows",
    source="tests: bars_common",
    receiving=_WARN,
)
def unknown_endpoint_system(message: Message, _offer: Offer) -> Iterator[str]:
    """The proxy looks systems up letter by letter, and fails with a 500 on another."""
    if message.source and message.source.partition("|")[0] not in ENDPOINT_SYSTEMS:
        yield f"{HEADER}.source.endpoint"
    for index, destination in enumerate(message.destinations):
        if destination and destination.partition("|")[0] not in ENDPOINT_SYSTEMS:
            yield f"{HEADER}.destination[{index}].endpoint"


@rule(
    "M09",
    "source and destination are the same service",
    source="this project",
    sending=_WARN,
    receiving=_WARN,
)
def to_itself(message: Message, _offer: Offer) -> Iterator[str]:
    if any(same_service(message.source, destination) for destination in message.destinations):
        yield f"{HEADER}.destination"


@rule(
    "M10",
    "destination.receiver must reference an Organization in the Bundle",
    source="Core: Message-Headers",
    receiving=_WARN,
)
def bad_receiver(message: Message, _offer: Offer) -> Iterator[str]:
    for index, destination in enumerate(maps_of(message.header, "destination")):
        entry = message.resolve(text_of(map_of(destination, "receiver"), "reference"))
        if entry is None or entry.type != "Organization":
            yield f"{HEADER}.destination[{index}].receiver"


@rule(
    "M11",
    "sender must reference an Organization in the Bundle",
    source="profile BARSMessageHeader",
    receiving=_WARN,
)
def bad_sender(message: Message, _offer: Offer) -> Iterator[str]:
    entry = message.resolve(text_of(map_of(message.header, "sender"), "reference"))
    if entry is None or entry.type != "Organization":
        yield f"{HEADER}.sender"


@rule(
    "M12",
    "there must be one focus, with one reference",
    source="profile BARSMessageHeader",
    fixed=True,
)
def bad_focus(message: Message, _offer: Offer) -> Iterator[str]:
    focuses = maps_of(message.header, "focus")
    if len(focuses) != 1 or not text_of(focuses[0], "reference"):
        yield f"{HEADER}.focus"


@rule(
    "M12N",
    "the focus points to nothing: its reference must be the fullUrl of a resource in the"
    " Bundle, letter by letter",
    source="profile BARSMessageHeader",
    fixed=True,
)
def focus_points_nowhere(message: Message, _offer: Offer) -> Iterator[str]:
    """What it is about, nobody can tell; what stands in the Bundle may be right all the same."""
    focuses = maps_of(message.header, "focus")
    if any(text_of(each, "reference") for each in focuses[:1]) and message.focus_type is None:
        yield f"{HEADER}.focus[0].reference"


@rule(
    "M13",
    "focus must be of the type that the event is about",
    source="Applications: payload tables",
    fixed=True,
)
def wrong_focus_type(message: Message, _offer: Offer) -> Iterator[str]:
    expected = FOCUS_TYPES.get(message.event)
    if expected and message.focus_type and message.focus_type not in expected:
        yield f"{HEADER}.focus"


@rule("M14", "definition is missing", source="Core: Message-Headers", receiving=_WARN)
def no_definition(message: Message, _offer: Offer) -> Iterator[str]:
    if not message.definition:
        yield f"{HEADER}.definition"


@rule(
    "M14K",
    "definition is none that BaRS publishes",
    source="Core: Message-Headers",
    sending=_WARN,
    receiving=_WARN,
)
def unknown_definition(message: Message, _offer: Offer) -> Iterator[str]:
    """Published messages cite two that nobody publishes."""
    if message.definition and cited(message.definition) is None:
        yield f"{HEADER}.definition"


@rule("M15", "definition is of another event than eventCoding", source="MessageDefinitions")
def other_event(message: Message, _offer: Offer) -> Iterator[str]:
    definition = cited(message.definition)
    if definition and message.event != definition.event:
        yield f"{HEADER}.definition"


@rule(
    "M16",
    "response belongs to a response event, with identifier and code, and to no other",
    source="Core: Standard-Pattern-For-Composites",
    fixed=True,
)
def response_misplaced(message: Message, _offer: Offer) -> Iterator[str]:
    response = map_of(message.header, "response")
    belongs = message.event == "servicerequest-response"
    complete = bool(message.responds_to) and text_of(response, "code") == "ok"
    if (belongs and not complete) or (response and not belongs):
        yield f"{HEADER}.response"


def _is_service(endpoint: str) -> bool:
    system, _, value = endpoint.partition("|")
    return bool(system and value)
