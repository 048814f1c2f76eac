"""The MessageHeader (rules M01 to M16)."""

from collections.abc import Iterator

from bars_gateway.standard.bundle import Message, map_of, maps_of, text_of
from bars_gateway.standard.checks.offer import Offer
from bars_gateway.standard.headers import same_service

_HEADER = "Bundle.entry[0].resource"
EVENTS_SYSTEM = "https://fhir.nhs.uk/CodeSystem/message-events-bars"
REASONS_SYSTEM = "https://fhir.nhs.uk/CodeSystem/message-reason-bars"

# booking-response exists in the code system and has no workflow: M03.
FOCUS_TYPES = {
    "servicerequest-request": frozenset({"ServiceRequest"}),
    "servicerequest-response": frozenset({"ServiceRequest", "Encounter"}),
    "booking-request": frozenset({"Appointment"}),
}
# The second is Application 8's; the third is what the test proxies know.
ENDPOINT_SYSTEMS = frozenset(
    {
        "https://fhir.nhs.uk/Id/dos-service-id",
        "https://fhir.nhs.uk/Id/ers-dos-service-id",
        "tests",
    }
)


def not_first(message: Message, _offer: Offer) -> Iterator[str]:
    """M01."""
    if not message.entries or message.entries[0].type != "MessageHeader":
        yield "Bundle.entry[0]"
    for path, _ in message.all("MessageHeader"):
        if path != _HEADER:
            yield path


def wrong_event_system(message: Message, _offer: Offer) -> Iterator[str]:
    """M02."""
    if text_of(map_of(message.header, "eventCoding"), "system") != EVENTS_SYSTEM:
        yield f"{_HEADER}.eventCoding.system"


def unknown_event(message: Message, _offer: Offer) -> Iterator[str]:
    """M03."""
    if message.event not in FOCUS_TYPES:
        yield f"{_HEADER}.eventCoding.code"


def no_reason(message: Message, _offer: Offer) -> Iterator[str]:
    """M04."""
    codings = maps_of(map_of(message.header, "reason"), "coding")
    if not any(text_of(coding, "system") == REASONS_SYSTEM for coding in codings):
        yield f"{_HEADER}.reason"


def unknown_reason(message: Message, _offer: Offer) -> Iterator[str]:
    """M05: delete is read, for the guide's own tables print it."""
    if message.reason and message.reason not in {"new", "update", "delete"}:
        yield f"{_HEADER}.reason.coding.code"


def reason_is_delete(message: Message, _offer: Offer) -> Iterator[str]:
    """M05, when sending."""
    if message.reason == "delete":
        yield f"{_HEADER}.reason.coding.code"


def bad_source(message: Message, _offer: Offer) -> Iterator[str]:
    """M06: it is the address of every response."""
    if not _is_service(message.source):
        yield f"{_HEADER}.source.endpoint"


def bad_destination(message: Message, _offer: Offer) -> Iterator[str]:
    """M07."""
    if len(message.destinations) != 1:
        yield f"{_HEADER}.destination"
    for index, destination in enumerate(message.destinations):
        if not _is_service(destination):
            yield f"{_HEADER}.destination[{index}].endpoint"


def unknown_endpoint_system(message: Message, _offer: Offer) -> Iterator[str]:
    """M08: the proxy looks systems up letter by letter, and fails with a 500 on another."""
    if message.source and message.source.partition("|")[0] not in ENDPOINT_SYSTEMS:
        yield f"{_HEADER}.source.endpoint"
    for index, destination in enumerate(message.destinations):
        if destination and destination.partition("|")[0] not in ENDPOINT_SYSTEMS:
            yield f"{_HEADER}.destination[{index}].endpoint"


def to_itself(message: Message, _offer: Offer) -> Iterator[str]:
    """M09."""
    if any(same_service(message.source, destination) for destination in message.destinations):
        yield f"{_HEADER}.destination"


def bad_receiver(message: Message, _offer: Offer) -> Iterator[str]:
    """M10."""
    for index, destination in enumerate(maps_of(message.header, "destination")):
        entry = message.resolve(text_of(map_of(destination, "receiver"), "reference"))
        if entry is None or entry.type != "Organization":
            yield f"{_HEADER}.destination[{index}].receiver"


def bad_sender(message: Message, _offer: Offer) -> Iterator[str]:
    """M11."""
    entry = message.resolve(text_of(map_of(message.header, "sender"), "reference"))
    if entry is None or entry.type != "Organization":
        yield f"{_HEADER}.sender"


def bad_focus(message: Message, _offer: Offer) -> Iterator[str]:
    """M12."""
    if len(maps_of(message.header, "focus")) != 1 or message.focus_type is None:
        yield f"{_HEADER}.focus"


def wrong_focus_type(message: Message, _offer: Offer) -> Iterator[str]:
    """M13."""
    expected = FOCUS_TYPES.get(message.event)
    if expected and message.focus_type and message.focus_type not in expected:
        yield f"{_HEADER}.focus"


def response_misplaced(message: Message, _offer: Offer) -> Iterator[str]:
    """M16."""
    response = map_of(message.header, "response")
    belongs = message.event == "servicerequest-response"
    complete = bool(message.responds_to) and text_of(response, "code") == "ok"
    if (belongs and not complete) or (response and not belongs):
        yield f"{_HEADER}.response"


def _is_service(endpoint: str) -> bool:
    system, _, value = endpoint.partition("|")
    return bool(system and value)
