"""The rules of the ServiceRequest: asked for, changed, taken back or answered (R01 to R16)."""

from collections.abc import Iterator

from bars_gateway.standard.applications import USE_CASE_NAMES, Offer, is_withdrawn
from bars_gateway.standard.bundle import (
    CATEGORIES,
    USE_CASES,
    Message,
    edge_or_instant,
    map_of,
    maps_of,
    text_of,
)
from bars_gateway.standard.issues import NOT_SUPPORTED, Severity
from bars_gateway.standard.rule import (
    CODES,
    HEADER,
    INTERIM,
    TAKEN_BACK,
    asks,
    cites_cancellation,
    codings,
    has_request_event,
    is_answer,
    is_booking,
    is_cancelled_request,
    is_change,
    is_coded,
    is_full_answer,
    is_new_referral,
    is_new_request,
    is_new_transfer,
    is_new_validation,
    is_of,
    not_in,
    request_status,
    rule,
    statuses,
)
from bars_gateway.standard.timing import FAR_AWAY, application_of, is_clinical
from bars_gateway.standard.tree import Resource

_WARN = Severity.WARNING
_BOTH_ENDS = ("start", "end")
_KINDS = frozenset({"referral", "validation"})
_CHANGEABLE = frozenset({"active", "on-hold"})


@rule(
    "R01",
    f"category must hold referral or validation of {CODES}message-category-servicerequest",
    source="profile BARSServiceRequest; tests: ChangeCategory",
    when=has_request_event,
    of="ServiceRequest",
)
def no_category(message: Message, _offer: Offer) -> Iterator[str]:
    for path, resource in message.all("ServiceRequest"):
        if not is_coded(maps_of(resource, "category"), CATEGORIES, _KINDS):
            yield f"{path}.category"


@rule(
    "R02",
    "category must hold a code of usecases-categories-bars",
    source="Core: Use-Case-Categories; tests: NoUseCaseCategory",
    of="ServiceRequest",
)
def no_use_case(message: Message, _offer: Offer) -> Iterator[str]:
    """Codings are told apart by system, never by position."""
    if message.event.startswith("servicerequest") and not message.use_case:
        yield from _categories(message)


@rule(
    "R02T",
    "category may hold one code of usecases-categories-bars only",
    source="Core: Use-Case-Categories",
    receiving=_WARN,
    of="ServiceRequest",
)
def two_use_cases(message: Message, _offer: Offer) -> Iterator[str]:
    """Nobody could tell which of them is meant."""
    for path, resource in message.all("ServiceRequest"):
        systems = [text_of(each, "system") for each in codings(maps_of(resource, "category"))]
        if systems.count(USE_CASES) > 1:
            yield f"{path}.category"


@rule(
    "R03",
    "the use case is not in usecases-categories-bars 1.5.0",
    source="tests: InvalidUseCaseCategory",
    of="ServiceRequest",
)
def unknown_use_case(message: Message, _offer: Offer) -> Iterator[str]:
    if message.use_case and message.use_case not in USE_CASE_NAMES:
        yield from _categories(message)


@rule(
    "R03R",
    "this use case is not offered here",
    source="Core: Use-Case-Categories",
    sending=None,
    **NOT_SUPPORTED,
)
def use_case_is_not_offered(message: Message, offer: Offer) -> Iterator[str]:
    """Known, and not switched on. What was taken before may still be changed."""
    if not application_of(message.use_case) or offer.takes(message.use_case):
        return
    if is_new_request(message):
        yield from (f"{path}.category" for path, _ in message.all("ServiceRequest"))
    if is_booking(message, called_off=False) and message.reason == "new":
        yield from (f"{path}.serviceCategory" for path, _ in message.all("Appointment"))


@rule(
    "R03W",
    "the standard has withdrawn this use case: refer under another one, or by other means",
    source="Application 5, 1.2.0: Index; Core: Use-Case-Categories",
    receiving=_WARN,
    when=is_new_request,
    of="ServiceRequest",
    **NOT_SUPPORTED,
)
def withdrawn_use_case(message: Message, _offer: Offer) -> Iterator[str]:
    """What was asked for before may still be cancelled."""
    if is_withdrawn(message.use_case):
        yield from _categories(message)


@rule(
    "R04",
    "intent must be plan; a referral needs authoredOn, a validation occurrencePeriod with"
    " both ends",
    source="profile BARSServiceRequest",
    receiving=_WARN,
    when=asks,
    of="ServiceRequest",
)
def no_plan_or_time(message: Message, _offer: Offer) -> Iterator[str]:
    """A validation without the time of its breach could be waited for for ever."""
    for path, resource in message.all("ServiceRequest"):
        if text_of(resource, "intent") != "plan":
            yield f"{path}.intent"
        if message.category == "referral" and not text_of(resource, "authoredOn"):
            yield f"{path}.authoredOn"
        period = map_of(resource, "occurrencePeriod")
        if message.category == "validation" and not (period.get("start") and period.get("end")):
            yield f"{path}.occurrencePeriod"


@rule(
    "R04E",
    FAR_AWAY,
    source="this project: D-edge-of-calendar",
    sending=_WARN,
    receiving=_WARN,
)
def time_at_the_edge(message: Message, _offer: Offer) -> Iterator[str]:
    """Nobody can mean such a time: it would end, or prolong, what is tried for it."""
    written = edge_or_instant(text_of(message.root, "timestamp"))
    for path, value in _times(message):
        moment = edge_or_instant(value)
        far = moment is not None and written is not None and not is_clinical(moment, written)
        if moment is not None and (far or moment.year == 1):
            yield path


@rule(
    "R04D",
    "names no moment, such as a date without its time of day, and is taken as no clinical"
    " time: write the time with its offset, or leave it out where there is none",
    source="this project: D-edge-of-calendar",
    sending=_WARN,
    receiving=_WARN,
    of="ServiceRequest",
)
def time_without_moment(message: Message, _offer: Offer) -> Iterator[str]:
    """Of a valid dateTime that is not a clinical time: the year 1, in short, too."""
    for path, resource in message.all("ServiceRequest"):
        written = text_of(map_of(resource, "occurrencePeriod"), "end")
        if written and edge_or_instant(written) is None:
            yield f"{path}.occurrencePeriod.end"


@rule(
    "R04R",
    "ends before it begins: look at the offsets of both. Of a request the end is taken as the"
    " clinical time, of a booking the start",
    source="R4: Period, per-1",
    sending=_WARN,
    receiving=_WARN,
)
def ends_before_it_begins(message: Message, _offer: Offer) -> Iterator[str]:
    """As where local times are written with one offset for both in the hour that comes twice."""
    for path, period in _periods(message):
        begin, end = (edge_or_instant(text_of(period, name)) for name in _BOTH_ENDS)
        if begin is not None and end is not None and end < begin:
            yield f"{path}.end"


def _times(message: Message) -> Iterator[tuple[str, str]]:
    for path, period in _periods(message):
        for end in _BOTH_ENDS:
            yield f"{path}.{end}", text_of(period, end)


def _periods(message: Message) -> Iterator[tuple[str, Resource]]:
    for path, resource in message.all("ServiceRequest"):
        yield f"{path}.occurrencePeriod", map_of(resource, "occurrencePeriod")
    yield from message.all("Appointment")


@rule(
    "R05",
    "a new ServiceRequest must be active",
    source="Core: Standard-Pattern-For-Composites",
    when=is_new_request,
    of="ServiceRequest",
)
def new_is_not_active(message: Message, _offer: Offer) -> Iterator[str]:
    if request_status(message) != "active":
        found = statuses(message, "ServiceRequest")
        yield from (path for path, status in found if status != "active")


@rule(
    "R06",
    "a new ServiceRequest has no id: the Receiver gives it one",
    source="Applications: payload tables",
    sending=_WARN,
    receiving=None,
    when=is_new_request,
    of="ServiceRequest",
)
def new_has_id(message: Message, _offer: Offer) -> Iterator[str]:
    for path, resource in message.all("ServiceRequest"):
        if "id" in resource:
            yield f"{path}.id"


@rule(
    "R07",
    "CarePlan must be completed, and Encounter triaged or finished, in a new referral",
    source="Applications: How-does-it-work; tests: CarePlanNotComplete, EncounterChanged",
    when=is_new_referral,
)
def referral_not_ready(message: Message, _offer: Offer) -> Iterator[str]:
    """Every Application but 6."""
    if not is_of(message, "a6"):
        yield from not_in(message, "CarePlan", {"completed"})
        yield from not_in(message, "Encounter", {"triaged", "finished"})


@rule(
    "R08",
    "Encounter must be triaged, in-progress or finished in a new referral between control rooms",
    source="Application 6: How-does-it-work; tests: EncounterChanged",
    when=is_new_transfer,
)
def transfer_not_ready(message: Message, _offer: Offer) -> Iterator[str]:
    yield from not_in(message, "Encounter", {"triaged", "finished", "in-progress"})


@rule(
    "R08L",
    "CarePlan must be active, and a Task requested, in a new referral between control rooms",
    source="Application 6: How-does-it-work",
    receiving=_WARN,
    when=is_new_transfer,
)
def transfer_not_planned(message: Message, _offer: Offer) -> Iterator[str]:
    """The call may still be live."""
    yield from not_in(message, "CarePlan", {"active"})
    yield from (path for path, status in statuses(message, "Task") if status != "requested")


@rule(
    "R09",
    "CarePlan must be active, and Encounter triaged or in-progress, in a new validation request",
    source="Application 4: How-does-it-work; tests: CarePlanNotActive",
    when=is_new_validation,
)
def validation_not_ready(message: Message, _offer: Offer) -> Iterator[str]:
    yield from not_in(message, "CarePlan", {"active"})
    yield from not_in(message, "Encounter", {"triaged", "in-progress"})


@rule(
    "R10",
    "an update or cancellation must carry the id that the Receiver gave",
    source="Core: Cancellation",
    receiving=_WARN,
    when=is_change,
    of="ServiceRequest",
)
def change_without_id(message: Message, _offer: Offer) -> Iterator[str]:
    if not message.focus_id:
        for path, resource in message.all("ServiceRequest"):
            if not text_of(resource, "id"):
                yield f"{path}.id"


@rule(
    "R11",
    "a cancellation has the status revoked or entered-in-error",
    source="Core: Cancellation; tests: Cancel_InvalidStatus",
    when=is_change,
    of="ServiceRequest",
)
def cancellation_still_stands(message: Message, _offer: Offer) -> Iterator[str]:
    """A message that says it cancels, and a ServiceRequest that says otherwise."""
    if cites_cancellation(message):
        for path, status in statuses(message, "ServiceRequest"):
            if status not in TAKEN_BACK:
                yield path


@rule(
    "R11D",
    "a cancellation cites the MessageDefinition of cancellations",
    source="Core: Cancellation",
    receiving=_WARN,
    when=is_cancelled_request,
)
def cancellation_cites_another(message: Message, _offer: Offer) -> Iterator[str]:
    """The guide's older messages cite that of the request."""
    if message.definition and not cites_cancellation(message):
        yield f"{HEADER}.definition"


@rule(
    "R12",
    "an updated validation is active or on-hold; referrals are updated in Application 6 only",
    source="Applications: How-does-it-work",
    receiving=_WARN,
    when=is_change,
)
def bad_update(message: Message, _offer: Offer) -> Iterator[str]:
    """What is changed and not taken back."""
    if is_cancelled_request(message) or cites_cancellation(message):
        return
    if message.category == "validation" and request_status(message) not in _CHANGEABLE:
        found = statuses(message, "ServiceRequest")
        yield from (path for path, status in found if status not in _CHANGEABLE)
    if message.category == "referral" and not is_of(message, "a6"):
        yield f"{HEADER}.reason.coding.code"


def _categories(message: Message) -> Iterator[str]:
    for path, _ in message.all("ServiceRequest"):
        yield f"{path}.category"


@rule(
    "R13",
    "patient did not attend: the Appointment is noshow, and an Encounter cancelled",
    source="Core: Standard-Pattern-For-Composites",
    sending=_WARN,
    receiving=_WARN,
    when=is_answer,
)
def absence_not_told(message: Message, _offer: Offer) -> Iterator[str]:
    """`revoked` and `new` mean that the patient did not come."""
    revoked = any(status == "revoked" for _, status in statuses(message, "ServiceRequest"))
    if message.reason == "new" and revoked:
        yield from (path for path, status in statuses(message, "Appointment") if status != "noshow")
        yield from not_in(message, "Encounter", {"cancelled"})


@rule(
    "R14",
    "a response between control rooms: ServiceRequest active, Encounter planned, in-"
    " progress, finished or cancelled",
    source="Application 6: How-does-it-work",
    sending=_WARN,
    receiving=_WARN,
    when=is_answer,
)
def transfer_answered_oddly(message: Message, _offer: Offer) -> Iterator[str]:
    if is_of(message, "a6"):
        yield from _unless(message, "active")
        if message.focus_type == "Encounter" and message.focus_status not in {
            "planned",
            "in-progress",
            "finished",
            "cancelled",
        }:
            yield f"{HEADER}.focus"


@rule(
    "R15",
    "an interim response: ServiceRequest active, focus an Encounter in-progress or cancelled",
    source="Application 4: How-does-it-work",
    sending=_WARN,
    receiving=_WARN,
    when=is_answer,
)
def interim_answer_ended(message: Message, _offer: Offer) -> Iterator[str]:
    """Something is still going on, or was turned down."""
    if message.definition.endswith(INTERIM):
        yield from _unless(message, "active")
        if message.focus_type and message.focus_status not in {"in-progress", "cancelled"}:
            yield f"{HEADER}.focus"


@rule(
    "R16",
    "a full response: ServiceRequest completed",
    source="Application 4: How-does-it-work",
    sending=_WARN,
    receiving=_WARN,
    when=is_full_answer,
)
def full_answer_open(message: Message, _offer: Offer) -> Iterator[str]:
    """Every published answer breaks it."""
    yield from _unless(message, "completed")


def _unless(message: Message, status: str) -> Iterator[str]:
    return (path for path, found in statuses(message, "ServiceRequest") if found != status)
