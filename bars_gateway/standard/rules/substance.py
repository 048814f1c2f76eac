"""
What has to be said, beyond the resources that have to be there (variants of R07 to K04).

A CarePlan of four technical elements is a valid CarePlan, and tells whoever reads it nothing:
as the final word on a patient it would end the case without one. So what an Application asks
to be said is looked for by its words, codes and times, never by the type that holds them.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from html import unescape

from bars_gateway.frozen import frozen
from bars_gateway.standard.applications import Offer
from bars_gateway.standard.bundle import (
    Entry,
    Json,
    Message,
    Resource,
    bare_id,
    map_of,
    maps_of,
    text_of,
)
from bars_gateway.standard.issues import Severity
from bars_gateway.standard.meaning import ours_in, wording_of
from bars_gateway.standard.rule import (
    CODES,
    RESPONSE,
    asks_to_refer,
    asks_to_validate,
    codings,
    concept_of,
    has_words,
    is_answer,
    is_booked,
    is_called_off,
    is_cancelled_request,
    is_coded,
    is_full_answer,
    is_new_referral,
    is_of,
    missing,
    objects_at,
    rule,
)

_WARN = Severity.WARNING
_OUTCOME = "write it in activity.outcomeCodeableConcept, in text or as a code"
REJECTIONS = f"{CODES}rejected-reasons-bars"
OTHER = "OTH"  # the one rejection whose code says nothing
VALIDATED = (f"{CODES}message-reason-encounter", "validation-triage-outcome")
_HELP = frozenset({"a6t2", "a6t3"})

# What an outcome may be written in: not who or where somebody is, nor what was asked for.
_FINDINGS = frozenset(
    {
        *("AllergyIntolerance", "Appointment", "ClinicalImpression", "Communication"),
        *("Composition", "Condition", "DetectedIssue", "DiagnosticReport", "DocumentReference"),
        *("Encounter", "Goal", "Immunization", "MedicationAdministration", "MedicationDispense"),
        *("MedicationRequest", "MedicationStatement", "Observation", "Procedure"),
        *("QuestionnaireResponse", "RiskAssessment", "Task"),
    }
)
# What every resource has, or may have, and that tells nobody what was found.
_TECHNICAL = frozenset(
    {
        *("resourceType", "id", "meta", "implicitRules", "language", "text"),
        *("extension", "modifierExtension", "contained", "status", "intent", "class", "category"),
        *("subject", "patient", "encounter", "basedOn", "partOf", "episodeOfCare", "author"),
        *("participant", "performer", "serviceProvider", "location", "recorder", "asserter"),
        *("careTeam", "contributor", "supportingInfo", "addresses", "goal"),
    }
)
# What words and codes stand in.
_WORDY = (
    *("text", "display", "code", "value", "valueString", "title", "description", "note"),
    *("comment", "conclusion", "summary", "scheduledString"),
)
# Of a CarePlan, what tells of neither whom nor when: words in it are read.
_READ_BESIDE = ("addresses", "supportingInfo", "goal", "extension", "modifierExtension")
# What differs between a plan and the same one in an answer: it tells nothing of what was found.
_OF_WHOM_AND_WHEN = (
    *("resourceType", "id", "meta", "implicitRules", "language", "text", "identifier", "status"),
    *("intent", "subject", "encounter", "period", "created", "author", "contributor", "careTeam"),
    *("basedOn", "partOf", "replaces"),
)
_OF_CODES = frozenset({"id", "system", "version", "userSelected", "url"})
_TAG = re.compile("<[^>]*>")


@frozen(kw_only=True)
class Around:
    """What stands beside a CarePlan, by how it may be referred to from there."""

    outcomes: Collection[str]  # what may be an outcome, and says something
    others: Collection[str]
    asked: Collection[str]  # what the Requester's own Encounter is known by


def around(entries: Iterable[tuple[str, Resource]], asked: Collection[str]) -> Around:
    """Return what a CarePlan may refer to among *entries*; none of it is what was *asked*."""
    outcomes: set[str] = set()
    others: set[str] = set()
    for url, each in entries:
        kind, known = text_of(each, "resourceType"), text_of(each, "id")
        names = {name for name in (url, f"{kind}/{known}") if name and not name.endswith("/")}
        own = kind == "Encounter" and any(_is_of(name, asked) for name in names)
        (outcomes if _tells(each) and not own else others).update(names)
    return Around(outcomes=outcomes - others, others=others, asked=asked)


def says_what_was_found(plan: Resource, beside: Around) -> bool:
    """
    Tell whether a CarePlan names an outcome: in words, by a code, or as a case of its own.

    What refers to nothing, to a person, or back to the case that was asked about, says nothing.
    """
    held = [(f"#{text_of(each, 'id')}", each) for each in maps_of(plan, "contained")]
    within = around(held, beside.asked)
    known = Around(
        outcomes={*beside.outcomes, *within.outcomes},
        others={*beside.others, *within.others},
        asked=beside.asked,
    )
    return _says_it_itself(plan) or any(
        _leads_to_one(each, known)
        for activity in maps_of(plan, "activity")
        for each in maps_of(activity, "outcomeReference")
    )


def _says_it_itself(plan: Resource) -> bool:
    activities = maps_of(plan, "activity")
    return any(is_said(maps_of(each, "outcomeCodeableConcept")) for each in activities)


def _leads_to_one(reference: Resource, known: Around) -> bool:
    """Tell whether whoever reads it finds an outcome: a resource, or a number or words for one."""
    url = text_of(reference, "reference")
    if url in known.outcomes or url in known.others:
        return url in known.outcomes
    number = text_of(map_of(reference, "identifier"), "value")
    kind = text_of(reference, "type") or _type_in(url)
    if _is_of(url, known.asked) or _is_of(number, known.asked) or kind not in {"", *_FINDINGS}:
        return False
    return has_words(number) or has_words(text_of(reference, "display"))


def _is_of(name: str, known: Collection[str]) -> bool:
    """Tell whether a fullUrl, a reference or a number is one of what something is *known* by."""
    return bare_id(name) in known or bare_id(name).rpartition("/")[2] in known


def _type_in(url: str) -> str:
    """Return the type that a reference names: Patient of `Patient/1`; empty where it names none."""
    kind = url.rpartition("/")[0].rpartition("/")[2]
    return kind if kind.isalpha() and kind[:1].isupper() else ""


def _tells(resource: Resource) -> bool:
    """Tell whether it may be an outcome, and holds words or a code of its own."""
    return text_of(resource, "resourceType") in _FINDINGS and _has_content(resource)


def _has_content(resource: Resource) -> bool:
    rest = _without(resource, *_TECHNICAL)
    return any(
        has_words(text_of(each, name)) for _, each in objects_at(rest, "") for name in _WORDY
    )


def _without(node: Resource, *names: str) -> dict[str, Json]:
    return {name: value for name, value in node.items() if name not in names}


def says_nothing(message: Message) -> bool:
    """
    Tell whether a message has a CarePlan, and nothing can be read in any.

    One that names no outcome may yet say something in a note: that is looked for here, too.
    """
    beside = _beside_plans(message)
    plans = [plan for _, plan in message.all("CarePlan")]
    return bool(plans) and not any(_has_words(plan, beside) for plan in plans)


def _has_words(plan: Resource, beside: Around) -> bool:
    activities = maps_of(plan, "activity")
    rest = _without(plan, "identifier", "activity")
    details = [_without(each, "outcomeReference", "reference") for each in activities]
    return (
        says_what_was_found(plan, beside)
        or any(_leads_to_one(map_of(each, "reference"), beside) for each in activities)
        or _has_content({**rest, "activity": details})
        or _has_words_beside(plan)
    )


def _has_words_beside(plan: Resource) -> bool:
    """
    Tell whether there is something to read where no finding belongs.

    A person who reads it sees it all the same, also what a program has written by itself: who
    is told that a plan says nothing must not find that it does.
    """
    narrative = map_of(plan, "text")
    written = "" if text_of(narrative, "status") == "empty" else text_of(narrative, "div")
    beside = {name: plan[name] for name in _READ_BESIDE if name in plan}
    return (
        has_words(unescape(_TAG.sub(" ", written)))
        or any(has_words(text_of(each, "text")) for each in maps_of(plan, "category"))
        or any(map(_tells, maps_of(plan, "contained")))
        or any(
            has_words(text_of(each, name))
            for _, each in objects_at(beside, "")
            for name in ("text", "display", "valueString", "valueMarkdown")
        )
    )


def plans_said(message: Message) -> tuple[frozenset[str], ...]:
    """Return what each CarePlan of a message says, as it is held against another's."""
    return tuple(_said_in(plan) for _, plan in message.all("CarePlan"))


def is_sent_back(answer: Collection[frozenset[str]], asked: Collection[frozenset[str]]) -> bool:
    """
    Tell whether the CarePlans of an answer say only what those that were *asked* about say.

    An id or a fullUrl tells nothing: the published answers number theirs as the request does.
    """
    return bool(answer) and all(each and each in asked for each in answer)


def _said_in(plan: Resource) -> frozenset[str]:
    narrative = map_of(plan, "text")
    written = unescape(_TAG.sub(" ", text_of(narrative, "div")))
    said = frozenset(_leaves(_without(plan, *_OF_WHOM_AND_WHEN)))
    told = text_of(narrative, "status") == "additional" or not said
    return said | {_plain(written)} if told and has_words(written) else said


def _leaves(node: Json) -> Iterator[str]:
    """Yield every value, in plain letters: of a code, not how it is displayed."""
    if isinstance(node, dict):
        known = {*_OF_CODES, "display"} if "code" in node else _OF_CODES
        yield from (x for name, each in node.items() if name not in known for x in _leaves(each))
    elif isinstance(node, list):
        yield from (x for each in node for x in _leaves(each))
    else:
        yield _plain(str(node))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def is_said(concepts: Iterable[Resource]) -> bool:
    """Tell whether one of *concepts* holds words, or a code."""
    found = list(concepts)
    return any(has_words(text_of(each, "text")) for each in found) or any(
        has_words(text_of(each, name)) for each in codings(found) for name in ("code", "display")
    )


@rule(
    "R07P",
    f"the CarePlan of a new referral must say what was found: {_OUTCOME}",
    source="Applications: payload tables; every published referral, but of a live call",
    receiving=_WARN,
    when=is_new_referral,
    of="CarePlan",
)
def referral_finds_nothing(message: Message, _offer: Offer) -> Iterator[str]:
    """In Application 6 the call may still be live, and nothing be known."""
    if not is_of(message, "a6"):
        yield from _empty_plans(message)


@rule(
    "R08T",
    "a call for assistance or mutual aid should say in category.text what is asked for",
    source="Application 6: Referral-Payload",
    sending=_WARN,
    receiving=_WARN,
    when=asks_to_refer,
    of="ServiceRequest",
)
def help_is_not_described(message: Message, _offer: Offer) -> Iterator[str]:
    """The other control room may turn such a call down."""
    if message.use_case in _HELP:
        for path, request in message.all("ServiceRequest"):
            if not any(has_words(text_of(c, "text")) for c in maps_of(request, "category")):
                yield f"{path}.category[0].text"


@rule(
    "R09P",
    "the CarePlan of a validation request must say what was found, and is to be validated:"
    f" {_OUTCOME}",
    source="Application 4: payload tables; every published request",
    receiving=_WARN,
    when=asks_to_validate,
    of="CarePlan",
)
def validation_finds_nothing(message: Message, _offer: Offer) -> Iterator[str]:
    """A new request, and what changes it."""
    yield from _empty_plans(message)


@rule(
    "R16P",
    "the CarePlan of a full response must say what was found, for nobody else knows it:"
    f" {_OUTCOME}; or name the case that came of it in activity.outcomeReference",
    source="Application 4: Validation-Response-Payload; every published response",
    receiving=_WARN,
    when=is_full_answer,
    of="CarePlan",
)
def answer_finds_nothing(message: Message, _offer: Offer) -> Iterator[str]:
    """It is the last word, and the Requester ends the case by it."""
    yield from _empty_plans(message)


def _empty_plans(message: Message) -> Iterator[str]:
    # What stands beside the plans is read only where one does not say it in itself: few do not.
    silent = [each for each in message.all("CarePlan") if not _says_it_itself(each[1])]
    if silent:
        beside = _beside_plans(message)
        yield from (
            f"{at}.activity" for at, plan in silent if not says_what_was_found(plan, beside)
        )


def _beside_plans(message: Message) -> Around:
    """Return what the CarePlans of a message may refer to."""
    entries = [(each.full_url, each.resource) for each in message.entries]
    cases = [each for each in message.entries if each.type == "Encounter"]
    # The only Encounter of a response is the Responder's, if it is the focus.
    alone = len(cases) == 1 and message.event == RESPONSE
    answered = alone and cases[0].full_url == message.focus_url
    return around(entries, frozenset() if answered else ours_in(message))


@rule(
    "R16E",
    "the CarePlan of a full response must be the Responder's: encounter refers to the"
    " Responder's Encounter, which is the focus, or is not the one of the ServiceRequest",
    source="Application 4: Validation-Response-Payload",
    receiving=_WARN,
    when=is_full_answer,
    of="CarePlan",
)
def answer_plans_for_another(message: Message, _offer: Offer) -> Iterator[str]:
    """A CarePlan of the Requester's own, sent back, is no answer."""
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
    when=is_full_answer,
    of="CarePlan",
)
def answer_starts_no_clock(message: Message, _offer: Offer) -> Iterator[str]:
    """What the Requester counts its time from."""
    for path, plan in message.all("CarePlan"):
        if not text_of(map_of(plan, "period"), "start"):
            yield f"{path}.period.start"


@rule(
    "R19F",
    "a full response should repeat the Flag of the category SS (scene safety)",
    source="Application 4: Scope-and-Requirements",
    sending=_WARN,
    receiving=_WARN,
    when=is_full_answer,
)
def scene_not_told_back(message: Message, _offer: Offer) -> Iterator[str]:
    """Whoever is sent on the strength of it must know whether it is safe."""
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
    when=is_answer,
    of="Encounter",
)
def rejection_gives_no_reason(message: Message, _offer: Offer) -> Iterator[str]:
    """The code tells whoever has the patient again what to try next."""
    ended = list(_rejections(message))
    if not ended or any(
        is_coded(maps_of(each.resource, "reasonCode"), REJECTIONS) for _, each in ended
    ):
        return  # of one Encounter: which of them is the Responder's may not show
    theirs = _responders(message)
    yield from (f"{path}.reasonCode" for path, each in ended if each.full_url in theirs)


@rule(
    "R15O",
    "a rejection for another reason (OTH) must say in words which",
    source="Application 6: How-does-it-work",
    receiving=_WARN,
    when=is_answer,
    of="Encounter",
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
    when=is_answer,
    of="Encounter",
)
def validation_is_not_named(message: Message, _offer: Offer) -> Iterator[str]:
    """Of the Responder's Encounter, once begun or finished."""
    if is_of(message, "a4"):
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
    when=is_answer,
    of="Encounter",
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
    when=is_cancelled_request,
    of="ServiceRequest",
)
def cancelled_without_reason(message: Message, _offer: Offer) -> Iterator[str]:
    for path, request in message.all("ServiceRequest"):
        if not is_said(maps_of(request, "reasonCode")):
            yield f"{path}.reasonCode.text"


@rule(
    "K04Y",
    "a cancelled booking should say why in Appointment.cancelationReason.text",
    source="Application 7: Booking-Request-Payload",
    sending=_WARN,
    receiving=None,
    when=is_called_off,
    of="Appointment",
)
def called_off_without_reason(message: Message, _offer: Offer) -> Iterator[str]:
    for path, appointment in message.all("Appointment"):
        if not is_said(concept_of(appointment, "cancelationReason")):
            yield f"{path}.cancelationReason.text"


@rule(
    "K02T",
    "a booking must say from when to when: Appointment.start and end",
    source="R4: Appointment, app-3",
    receiving=_WARN,
    when=is_booked,
    of="Appointment",
)
def booking_at_no_time(message: Message, _offer: Offer) -> Iterator[str]:
    for path, appointment in message.all("Appointment"):
        for end in ("start", "end"):
            if not text_of(appointment, end):
                yield f"{path}.{end}"


def _encounters(message: Message) -> Iterator[tuple[str, Entry]]:
    for index, entry in enumerate(message.entries):
        if entry.type == "Encounter":
            yield f"Bundle.entry[{index}].resource", entry
