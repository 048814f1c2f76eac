"""The ServiceRequest and what goes with it (rules R01 to R10, K04, P01)."""

from collections.abc import Iterator

from bars_gateway.standard.bundle import CATEGORIES, Message, maps_of, text_of
from bars_gateway.standard.checks.offer import Offer
from bars_gateway.standard.timing import application_of

NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
NHS_NUMBER_DIGITS = 10
_BOOKING_ENDS = frozenset({"cancelled", "entered-in-error"})

# usecases-categories-bars 1.5.0: how many codes each Application has (a1t1 to a1t12, …).
_CODES = {"a1": 12, "a2": 6, "a3": 1, "a4": 4, "a5": 3, "a6": 3, "a7": 1, "a8": 3}
USE_CASE_CODES = frozenset(
    {f"{application}t{n}" for application, last in _CODES.items() for n in range(1, last + 1)}
    | {"referraltopharmacy"}
)


def no_category(message: Message, _offer: Offer) -> Iterator[str]:
    """R01."""
    if message.event.startswith("servicerequest") and not _has_codes(
        message, CATEGORIES, {"referral", "validation"}
    ):
        yield from _categories(message)


def no_use_case(message: Message, _offer: Offer) -> Iterator[str]:
    """R02: codings are told apart by system, never by position."""
    if message.event.startswith("servicerequest") and not message.use_case:
        yield from _categories(message)


def unknown_use_case(message: Message, _offer: Offer) -> Iterator[str]:
    """R03."""
    if message.use_case and message.use_case not in USE_CASE_CODES:
        yield from _categories(message)


def new_is_not_active(message: Message, _offer: Offer) -> Iterator[str]:
    """R05."""
    if _is_new_request(message) and message.focus_status != "active":
        for path, _ in message.all("ServiceRequest"):
            yield f"{path}.status"


def new_has_id(message: Message, _offer: Offer) -> Iterator[str]:
    """R06."""
    if _is_new_request(message):
        for path, resource in message.all("ServiceRequest"):
            if "id" in resource:
                yield f"{path}.id"


def referral_not_ready(message: Message, _offer: Offer) -> Iterator[str]:
    """R07: every Application but 6."""
    if _is_new_request(message, "referral") and application_of(message.use_case) != "a6":
        yield from _not_in(message, "CarePlan", {"completed"})
        yield from _not_in(message, "Encounter", {"triaged", "finished"})


def transfer_not_ready(message: Message, _offer: Offer) -> Iterator[str]:
    """R08: Application 6."""
    if _is_new_request(message, "referral") and application_of(message.use_case) == "a6":
        yield from _not_in(message, "CarePlan", {"active"})
        yield from _not_in(message, "Encounter", {"triaged", "finished", "in-progress"})


def validation_not_ready(message: Message, _offer: Offer) -> Iterator[str]:
    """R09."""
    if _is_new_request(message, "validation"):
        yield from _not_in(message, "CarePlan", {"active"})
        yield from _not_in(message, "Encounter", {"triaged", "in-progress"})


def change_without_id(message: Message, _offer: Offer) -> Iterator[str]:
    """R10."""
    change = message.event == "servicerequest-request" and message.reason in {"update", "delete"}
    if change and not message.focus_id:
        for path, _ in message.all("ServiceRequest"):
            yield f"{path}.id"


def bad_booking_cancel(message: Message, _offer: Offer) -> Iterator[str]:
    """K04: a published cancellation says `new` and names no id; nobody could act on it."""
    if message.focus_type != "Appointment" or message.focus_status not in _BOOKING_ENDS:
        return
    if message.reason == "new":
        yield "Bundle.entry[0].resource.reason.coding.code"
    if not message.focus_id:
        for path, _ in message.all("Appointment"):
            yield f"{path}.id"


def malformed_nhs_number(message: Message, _offer: Offer) -> Iterator[str]:
    """P01. A patient without a number is accepted (P04)."""
    for path, patient in message.all("Patient"):
        for index, identifier in enumerate(maps_of(patient, "identifier")):
            number = text_of(identifier, "value")
            well_formed = number.isascii() and number.isdigit()
            if text_of(identifier, "system") == NHS_NUMBER and not (
                well_formed and len(number) == NHS_NUMBER_DIGITS
            ):
                yield f"{path}.identifier[{index}].value"


def _is_new_request(message: Message, category: str | None = None) -> bool:
    return (
        message.event == "servicerequest-request"
        and message.reason == "new"
        and category in {None, message.category}
    )


def _categories(message: Message) -> Iterator[str]:
    for path, _ in message.all("ServiceRequest"):
        yield f"{path}.category"


def _has_codes(message: Message, system: str, codes: set[str]) -> bool:
    return any(
        text_of(coding, "system") == system and text_of(coding, "code") in codes
        for _, resource in message.all("ServiceRequest")
        for concept in maps_of(resource, "category")
        for coding in maps_of(concept, "coding")
    )


def _not_in(message: Message, resource_type: str, statuses: set[str]) -> Iterator[str]:
    """Yield where no resource of that type has one of *statuses*: the first, or the Bundle."""
    found = list(message.all(resource_type))
    if not any(text_of(resource, "status") in statuses for _, resource in found):
        yield f"{found[0][0]}.status" if found else "Bundle.entry"
