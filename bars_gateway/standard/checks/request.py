"""What a ServiceRequest must be when it is asked for, changed or taken back (R01 to R12)."""

from collections.abc import Iterator

from bars_gateway.standard.applications import is_withdrawn
from bars_gateway.standard.bundle import (
    CATEGORIES,
    USE_CASES,
    Message,
    edge_or_instant,
    map_of,
    maps_of,
    text_of,
)
from bars_gateway.standard.checks.kinds import (
    TAKEN_BACK,
    cites_cancellation,
    is_cancelled_request,
    is_change,
    is_new_request,
    is_of,
)
from bars_gateway.standard.checks.looking import codings, is_coded, not_in, statuses
from bars_gateway.standard.checks.offer import Offer
from bars_gateway.standard.timing import is_clinical
from bars_gateway.standard.use_cases import USE_CASE_NAMES

_KINDS = frozenset({"referral", "validation"})


def no_category(message: Message, _offer: Offer) -> Iterator[str]:
    """R01."""
    if message.event.startswith("servicerequest"):
        for path, resource in message.all("ServiceRequest"):
            if not is_coded(maps_of(resource, "category"), CATEGORIES, _KINDS):
                yield f"{path}.category"


def no_use_case(message: Message, _offer: Offer) -> Iterator[str]:
    """R02: codings are told apart by system, never by position."""
    if message.event.startswith("servicerequest") and not message.use_case:
        yield from _categories(message)


def two_use_cases(message: Message, _offer: Offer) -> Iterator[str]:
    """R02, of more than one: nobody could tell which of them is meant."""
    for path, resource in message.all("ServiceRequest"):
        systems = [text_of(each, "system") for each in codings(maps_of(resource, "category"))]
        if systems.count(USE_CASES) > 1:
            yield f"{path}.category"


def unknown_use_case(message: Message, _offer: Offer) -> Iterator[str]:
    """R03."""
    if message.use_case and message.use_case not in USE_CASE_NAMES:
        yield from _categories(message)


def withdrawn_use_case(message: Message, _offer: Offer) -> Iterator[str]:
    """R03, of what was withdrawn; what was asked for before may still be cancelled."""
    if is_new_request(message) and is_withdrawn(message.use_case):
        yield from _categories(message)


def no_plan_or_time(message: Message, _offer: Offer) -> Iterator[str]:
    """R04."""
    if not is_new_request(message):
        return
    for path, resource in message.all("ServiceRequest"):
        if text_of(resource, "intent") != "plan":
            yield f"{path}.intent"
        if message.category == "referral" and not text_of(resource, "authoredOn"):
            yield f"{path}.authoredOn"
        period = map_of(resource, "occurrencePeriod")
        if message.category == "validation" and not (period.get("start") and period.get("end")):
            yield f"{path}.occurrencePeriod"


def time_at_the_edge(message: Message, _offer: Offer) -> Iterator[str]:
    """R04, of a time that nobody can mean: it would end, or prolong, what is tried for it."""
    written = edge_or_instant(text_of(message.root, "timestamp"))
    for path, value in _times(message):
        moment = edge_or_instant(value)
        far = moment is not None and written is not None and not is_clinical(moment, written)
        if moment is not None and (far or moment.year == 1):
            yield path


def time_without_moment(message: Message, _offer: Offer) -> Iterator[str]:
    """R04, of an end that is a valid dateTime, and no clinical time: the year 1, in short, too."""
    for path, resource in message.all("ServiceRequest"):
        written = text_of(map_of(resource, "occurrencePeriod"), "end")
        if written and edge_or_instant(written) is None:
            yield f"{path}.occurrencePeriod.end"


def _times(message: Message) -> Iterator[tuple[str, str]]:
    for path, resource in message.all("ServiceRequest"):
        period = map_of(resource, "occurrencePeriod")
        for end in ("start", "end"):
            yield f"{path}.occurrencePeriod.{end}", text_of(period, end)
    for path, resource in message.all("Appointment"):
        for end in ("start", "end"):
            yield f"{path}.{end}", text_of(resource, end)


def new_is_not_active(message: Message, _offer: Offer) -> Iterator[str]:
    """R05."""
    if is_new_request(message) and message.focus_status != "active":
        yield from (path for path, _ in statuses(message, "ServiceRequest"))


def new_has_id(message: Message, _offer: Offer) -> Iterator[str]:
    """R06."""
    if is_new_request(message):
        for path, resource in message.all("ServiceRequest"):
            if "id" in resource:
                yield f"{path}.id"


def referral_not_ready(message: Message, _offer: Offer) -> Iterator[str]:
    """R07: every Application but 6."""
    if is_new_request(message, "referral") and not is_of(message, "a6"):
        yield from not_in(message, "CarePlan", {"completed"})
        yield from not_in(message, "Encounter", {"triaged", "finished"})


def transfer_not_ready(message: Message, _offer: Offer) -> Iterator[str]:
    """R08: Application 6."""
    if is_new_request(message, "referral") and is_of(message, "a6"):
        yield from not_in(message, "Encounter", {"triaged", "finished", "in-progress"})


def transfer_not_planned(message: Message, _offer: Offer) -> Iterator[str]:
    """R08: Application 6, where the call may still be live."""
    if is_new_request(message, "referral") and is_of(message, "a6"):
        yield from not_in(message, "CarePlan", {"active"})
        yield from (path for path, status in statuses(message, "Task") if status != "requested")


def validation_not_ready(message: Message, _offer: Offer) -> Iterator[str]:
    """R09."""
    if is_new_request(message, "validation"):
        yield from not_in(message, "CarePlan", {"active"})
        yield from not_in(message, "Encounter", {"triaged", "in-progress"})


def change_without_id(message: Message, _offer: Offer) -> Iterator[str]:
    """R10."""
    if is_change(message) and not message.focus_id:
        for path, _ in message.all("ServiceRequest"):
            yield f"{path}.id"


def cancellation_still_stands(message: Message, _offer: Offer) -> Iterator[str]:
    """R11: a message that says it cancels, and a ServiceRequest that says otherwise."""
    if is_change(message) and cites_cancellation(message):
        for path, status in statuses(message, "ServiceRequest"):
            if status not in TAKEN_BACK:
                yield path


def cancellation_cites_another(message: Message, _offer: Offer) -> Iterator[str]:
    """R11, of the definition: the guide's older messages cite that of the request."""
    if is_cancelled_request(message) and message.definition and not cites_cancellation(message):
        yield "Bundle.entry[0].resource.definition"


def bad_update(message: Message, _offer: Offer) -> Iterator[str]:
    """R12: what is changed and not taken back."""
    if not is_change(message) or message.focus_status in TAKEN_BACK or cites_cancellation(message):
        return
    if message.category == "validation" and message.focus_status not in {"active", "on-hold"}:
        yield from (path for path, _ in statuses(message, "ServiceRequest"))
    if message.category == "referral" and not is_of(message, "a6"):
        yield "Bundle.entry[0].resource.reason.coding.code"


def _categories(message: Message) -> Iterator[str]:
    for path, _ in message.all("ServiceRequest"):
        yield f"{path}.category"
