"""
What has to be said, beyond the resources that have to be there (variants of R07 to K04).

A CarePlan of four technical elements is a valid CarePlan, and tells whoever reads it nothing:
as the final word on a patient it would end the case without one. So what an Application asks
to be said is looked for by its words, codes and times, never by the type that holds them.
"""

from collections.abc import Collection, Iterable, Iterator

from bars_gateway.standard.applications import Offer
from bars_gateway.standard.bundle import Entry, Message, Resource, map_of, maps_of, text_of
from bars_gateway.standard.issues import Severity
from bars_gateway.standard.meaning import ours_in, wording_of
from bars_gateway.standard.rule import (
    CODES,
    FULL,
    RESPONSE,
    asks,
    codings,
    concept_of,
    has_words,
    is_booking,
    is_cancelled_request,
    is_coded,
    is_new_request,
    is_of,
    missing,
    rule,
)

_WARN = Severity.WARNING
_OUTCOME = "write it in activity.outcomeCodeableConcept, in text or as a code"
REJECTIONS = f"{CODES}rejected-reasons-bars"
OTHER = "OTH"  # the one rejection whose code says nothing
VALIDATED = (f"{CODES}message-reason-encounter", "validation-triage-outcome")
_HELP = frozenset({"a6t2", "a6t3"})


def says_what_was_found(plan: Resource, known: Collection[str]) -> bool:
    """
    Tell whether a CarePlan names an outcome: in words, by a code, or as a case of its own.

    *known*: how the resources beside it may be referred to. What refers to nothing says nothing.
    """
    held = {f"#{text_of(each, 'id')}" for each in maps_of(plan, "contained")}
    return any(
        is_said(maps_of(activity, "outcomeCodeableConcept"))
        or any(_leads_somewhere(r, {*known, *held}) for r in maps_of(activity, "outcomeReference"))
        for activity in maps_of(plan, "activity")
    )


def _leads_somewhere(reference: Resource, known: Collection[str]) -> bool:
    """Tell whether whoever reads it finds what it refers to, by a resource, a number or words."""
    url = text_of(reference, "reference")
    number = text_of(map_of(reference, "identifier"), "value")
    in_words = has_words(number) or has_words(text_of(reference, "display"))
    return in_words or url in known or url.startswith(("https://", "http://"))


def referred_to_by(entries: Iterable[tuple[str, Resource]]) -> set[str]:
    """Return how these may be referred to from within their Bundle: by fullUrl, or type and id."""
    return {
        name
        for url, each in entries
        for name in (url, f"{text_of(each, 'resourceType')}/{text_of(each, 'id')}")
        if name and not name.endswith("/")
    }


def is_said(concepts: Iterable[Resource]) -> bool:
    """Tell whether one of *concepts* holds words, or a code."""
    found = list(concepts)
    words = [text_of(each, "text") for each in found]
    codes = [text_of(each, name) for each in codings(found) for name in ("code", "display")]
    return any(map(has_words, (*words, *codes)))


@rule(
    "R07P",
    f"the CarePlan of a new referral must say what was found: {_OUTCOME}",
    source="Applications: payload tables; every published referral, but of a live call",
    receiving=_WARN,
)
def referral_finds_nothing(message: Message, _offer: Offer) -> Iterator[str]:
    """In Application 6 the call may still be live, and nothing be known."""
    if is_new_request(message, "referral") and not is_of(message, "a6"):
        yield from _empty_plans(message)


@rule(
    "R08T",
    "a call for assistance or mutual aid should say in category.text what is asked for",
    source="Application 6: Referral-Payload",
    sending=_WARN,
    receiving=_WARN,
)
def help_is_not_described(message: Message, _offer: Offer) -> Iterator[str]:
    """The other control room may turn such a call down."""
    if asks(message, "referral") and message.use_case in _HELP:
        for path, request in message.all("ServiceRequest"):
            if not any(has_words(text_of(c, "text")) for c in maps_of(request, "category")):
                yield f"{path}.category[0].text"


@rule(
    "R09P",
    "the CarePlan of a validation request must say what was found, and is to be validated:"
    f" {_OUTCOME}",
    source="Application 4: payload tables; every published request",
    receiving=_WARN,
)
def validation_finds_nothing(message: Message, _offer: Offer) -> Iterator[str]:
    """A new request, and what changes it."""
    if asks(message, "validation"):
        yield from _empty_plans(message)


@rule(
    "R16P",
    "the CarePlan of a full response must say what was found, for nobody else knows it:"
    f" {_OUTCOME}; or name the case that came of it in activity.outcomeReference",
    source="Application 4: Validation-Response-Payload; every published response",
    receiving=_WARN,
)
def answer_finds_nothing(message: Message, _offer: Offer) -> Iterator[str]:
    """It is the last word, and the Requester ends the case by it."""
    if _is_full_answer(message):
        yield from _empty_plans(message)


def _empty_plans(message: Message) -> Iterator[str]:
    known = referred_to_by((each.full_url, each.resource) for each in message.entries)
    for path, plan in message.all("CarePlan"):
        if not says_what_was_found(plan, known):
            yield f"{path}.activity"


def _is_full_answer(message: Message) -> bool:
    return message.event == RESPONSE and message.definition.endswith(FULL)


@rule(
    "R16E",
    "the CarePlan of a full response must be the Responder's: encounter refers to the"
    " Responder's Encounter, which is the focus, or is not the one of the ServiceRequest",
    source="Application 4: Validation-Response-Payload",
    receiving=_WARN,
)
def answer_plans_for_another(message: Message, _offer: Offer) -> Iterator[str]:
    """A CarePlan of the Requester's own, sent back, is no answer."""
    if _is_full_answer(message):
        theirs = _responders(message)
        for path, plan in message.all("CarePlan"):
            if text_of(map_of(plan, "encounter"), "reference") not in theirs:
                yield f"{path}.encounter"


@rule(
    "R16S",
    "the CarePlan of a full response should say in period.start from when its time counts:"
    " from the first call as before, or from now if it has become more urgent",
    source="Application 4: Payloads-for-Responders",
    sending=_WARN,
    receiving=_WARN,
)
def answer_starts_no_clock(message: Message, _offer: Offer) -> Iterator[str]:
    """What the Requester counts its time from."""
    if _is_full_answer(message):
        for path, plan in message.all("CarePlan"):
            if not text_of(map_of(plan, "period"), "start"):
                yield f"{path}.period.start"


@rule(
    "R19F",
    "a full response should repeat the Flag of the category SS (scene safety)",
    source="Application 4: Scope-and-Requirements",
    sending=_WARN,
    receiving=_WARN,
)
def scene_not_told_back(message: Message, _offer: Offer) -> Iterator[str]:
    """Whoever is sent on the strength of it must know whether it is safe."""
    if _is_full_answer(message):
        system = f"{CODES}flag-categories-bars"
        flags = [each for _, each in message.all("Flag")]
        if not any(is_coded(maps_of(each, "category"), system, {"SS"}) for each in flags):
            yield missing("Flag")


@rule(
    "R15R",
    "a rejection must say why: reasonCode of the Responder's Encounter holds RRNA, FC or"
    " OTH of rejected-reasons-bars",
    source="Applications 4 and 6: How-does-it-work",
    receiving=_WARN,
)
def rejection_gives_no_reason(message: Message, _offer: Offer) -> Iterator[str]:
    """The code tells whoever has the patient again what to try next."""
    ended = list(_rejections(message))
    if any(is_coded(maps_of(each.resource, "reasonCode"), REJECTIONS) for _, each in ended):
        return  # of one Encounter: which of them is the Responder's may not show
    theirs = _responders(message)
    yield from (f"{path}.reasonCode" for path, each in ended if each.full_url in theirs)


@rule(
    "R15O",
    "a rejection for another reason (OTH) must say in words which",
    source="Application 6: How-does-it-work",
    receiving=_WARN,
)
def other_reason_is_not_told(message: Message, _offer: Offer) -> Iterator[str]:
    for path, each in _rejections(message):
        for index, concept in enumerate(maps_of(each.resource, "reasonCode")):
            other = is_coded([concept], REJECTIONS, {OTHER})
            if other and not has_words(text_of(concept, "text")):
                yield f"{path}.reasonCode[{index}].text"


def _rejections(message: Message) -> Iterator[tuple[str, Entry]]:
    """Yield the Encounters that may turn it down: any one, where the focus is none of them."""
    if not _is_answered(message):
        return
    given_back = any(
        text_of(each, "status") == "revoked" for _, each in message.all("ServiceRequest")
    )
    # The pseudo-code of Application 4 turns down with triaged and revoked.
    ends = {"cancelled", "triaged"} if given_back and is_of(message, "a4") else {"cancelled"}
    for path, entry in _encounters(message):
        named = message.focus_type != "Encounter" or entry.full_url == message.focus_url
        if named and text_of(entry.resource, "status") in ends:
            yield path, entry


def _responders(message: Message) -> frozenset[str]:
    """Return the fullUrls of the Encounters that may be the Responder's, as far as that shows."""
    wording = wording_of(message)
    if wording is None or message.focus_type == "Encounter":
        return frozenset({message.focus_url})
    theirs = wording.theirs(ours_in(message)) or wording.encounters
    return frozenset(each.url for each in theirs)


def _is_answered(message: Message) -> bool:
    return message.event == RESPONSE and (is_of(message, "a4") or is_of(message, "a6"))


@rule(
    "R15V",
    "reasonCode of the Responder's Encounter should be validation-triage-outcome of"
    " message-reason-encounter once the validation has begun",
    source="Application 4: Interim-Validation-Response-Payload",
    sending=_WARN,
    receiving=_WARN,
)
def validation_is_not_named(message: Message, _offer: Offer) -> Iterator[str]:
    """Of the Responder's Encounter, once begun or finished."""
    if message.event == RESPONSE and is_of(message, "a4"):
        system, code = VALIDATED
        theirs = _responders(message)
        for path, entry in _encounters(message):
            begun = text_of(entry.resource, "status") in {"in-progress", "finished"}
            if {entry.full_url} == theirs and begun:
                reasons = maps_of(entry.resource, "reasonCode")
                if not is_coded(reasons, system, {code}):
                    yield f"{path}.reasonCode"


@rule(
    "R24R",
    "both Encounters of a response should have their case number as identifier",
    source="Applications 4 and 6: payload tables",
    sending=_WARN,
    receiving=_WARN,
)
def answer_names_no_case(message: Message, _offer: Offer) -> Iterator[str]:
    """The case numbers by which people on both sides speak of the patient."""
    if _is_answered(message):
        for path, entry in _encounters(message):
            numbers = [text_of(n, "value") for n in maps_of(entry.resource, "identifier")]
            if not any(numbers):
                yield f"{path}.identifier"


@rule(
    "R11Y",
    "a cancellation should say why in ServiceRequest.reasonCode.text",
    source="Core: Cancellation",
    sending=_WARN,
    receiving=None,
)
def cancelled_without_reason(message: Message, _offer: Offer) -> Iterator[str]:
    if is_cancelled_request(message):
        for path, request in message.all("ServiceRequest"):
            if not is_said(maps_of(request, "reasonCode")):
                yield f"{path}.reasonCode.text"


@rule(
    "K04Y",
    "a cancelled booking should say why in Appointment.cancelationReason.text",
    source="Application 7: Booking-Request-Payload",
    sending=_WARN,
    receiving=None,
)
def called_off_without_reason(message: Message, _offer: Offer) -> Iterator[str]:
    if is_booking(message, called_off=True):
        for path, appointment in message.all("Appointment"):
            if not is_said(concept_of(appointment, "cancelationReason")):
                yield f"{path}.cancelationReason.text"


@rule(
    "K02T",
    "a booking must say from when to when: Appointment.start and end",
    source="R4: Appointment, app-3",
    receiving=_WARN,
)
def booking_at_no_time(message: Message, _offer: Offer) -> Iterator[str]:
    if is_booking(message, called_off=False):
        for path, appointment in message.all("Appointment"):
            for end in ("start", "end"):
                if not text_of(appointment, end):
                    yield f"{path}.{end}"


def _encounters(message: Message) -> Iterator[tuple[str, Entry]]:
    for index, entry in enumerate(message.entries):
        if entry.type == "Encounter":
            yield f"Bundle.entry[{index}].resource", entry
