"""
Which workflows belong together: a booking and its referral, what is carried on, what takes a place.

    new request ──names_in, journey_of──► candidates
    new request + candidate ──patients.compare──► the same, another's, or nobody can tell

Nothing is guessed. A booking and a referral are tied by the id that the Receiver gave to the
one, in the other; `LINK_RULES` has what speaks against that. Where the standard has no such
element (what is referred onward, what is booked again) only workflows of the same
X-Correlation-Id are looked at, the patient has to be the same, and where several fit none is
linked.

What speaks against a link that a new request asks for is a table, too.

    new request ──ties_of──► Ties: what it names, and which rows count
    new request + Named ──against──► the rows that it breaks; none: the two are linked
    rows ──refusing──► Issues: the request is refused for them

A link that breaks a row is not made. Whether the request is refused as well is the severity
of the row, on either side, which an agreement with a counterparty may change as any rule's;
that the two are of one patient is fixed. An id that is not known here is no
reason to refuse what the EPR is asked about: it may know more, and it decides. Nor is it where
bookings are not made through this gateway at all, which is so while no EPR answers questions.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum

from bars_gateway.frozen import frozen
from bars_gateway.standard.bundle import Message, maps_of, text_of
from bars_gateway.standard.consistency import journey_of, likeness_of
from bars_gateway.standard.headers import same_service
from bars_gateway.standard.issues import BAD_REQUEST, CONFLICT, Issue, Severity
from bars_gateway.standard.patients import Sameness, patient_of, sameness_among
from bars_gateway.standard.rule import NOTHING_AGREED, Overrides, Rule, Side
from bars_gateway.standard.workflow import FINAL, RequestType, State, request_type_of

_REFERENCE = re.compile(r"(?:.*/)?([A-Za-z]+)/([A-Za-z0-9.-]{1,64})(?:/_history/.*)?", re.ASCII)
_ERROR, _WARN = Severity.ERROR, Severity.WARNING


class LinkKind(StrEnum):
    """What sort of link there is between two workflows."""

    PAIR = "pair"  # a booking and the referral that it is made for
    ONWARD = "onward"  # a referral that came, and the one that carries it on
    REPLACEMENT = "replacement"  # what was cancelled, and what takes its place
    RECORD = "record"  # two records of one patient's request at one service
    ONE_RECORD = "one_record"  # two requests that the Receiver keeps as one


class By(StrEnum):
    """What says that two workflows belong together."""

    SUPPORTING_INFO = "ServiceRequest.supportingInfo"
    BASED_ON = "Appointment.basedOn"
    JOURNEY = "Encounter.episodeOfCare"
    CONVERSATION = "X-Correlation-Id"
    RESEND = "resend"  # somebody had it sent again as a new message
    ALIKE = "likeness"  # built twice: the same patient, case numbers and instants
    FOCUS_ID = "focus_id"  # the Receiver has given both the same id


class Relation(StrEnum):
    """What the other workflow is to the one that is looked at."""

    BOOKING = "booking"
    REFERRAL = "referral"
    PARENT = "parent"  # it came to us, or left us, and this one carries it on
    CHILD = "child"
    REPLACED = "replaced"  # it was cancelled, and this one takes its place
    REPLACEMENT = "replacement"
    OTHER_RECORD = "other_record"  # there may be two records of one patient's request
    SAME_RECORD = "same_record"  # the Receiver keeps both as one


@frozen(kw_only=True)
class Tie:
    """One row: how a new request is tied to an earlier workflow."""

    kind: LinkKind
    there: Relation  # what the earlier one is to the new one
    back: Relation  # and the new one to the earlier
    text: str


TIES: Mapping[By, Tie] = {
    By.SUPPORTING_INFO: Tie(
        kind=LinkKind.PAIR,
        there=Relation.BOOKING,
        back=Relation.REFERRAL,
        text="a new referral names its booking as `Appointment/id`",
    ),
    By.BASED_ON: Tie(
        kind=LinkKind.PAIR,
        there=Relation.REFERRAL,
        back=Relation.BOOKING,
        text="a new booking names its referral as `ServiceRequest/id`",
    ),
    By.JOURNEY: Tie(
        kind=LinkKind.ONWARD,
        there=Relation.PARENT,
        back=Relation.CHILD,
        text="a new referral of whoever had got the other one; the same journey, patient and"
        " X-Correlation-Id",
    ),
    By.CONVERSATION: Tie(
        kind=LinkKind.REPLACEMENT,
        there=Relation.REPLACED,
        back=Relation.REPLACEMENT,
        text="a new request after one of its kind was cancelled; the same patient and"
        " X-Correlation-Id",
    ),
    By.RESEND: Tie(
        kind=LinkKind.RECORD,
        there=Relation.OTHER_RECORD,
        back=Relation.OTHER_RECORD,
        text="a request that was sent again as a new one, under a Bundle.id of its own",
    ),
    By.ALIKE: Tie(
        kind=LinkKind.RECORD,
        there=Relation.OTHER_RECORD,
        back=Relation.OTHER_RECORD,
        text="a new request that was built twice: the same patient, services, use case, case"
        " numbers and instants; another Bundle.id",
    ),
    By.FOCUS_ID: Tie(
        kind=LinkKind.ONE_RECORD,
        there=Relation.SAME_RECORD,
        back=Relation.SAME_RECORD,
        text="a request that the Receiver has given the id of an earlier one; the same patient and"
        " case number",
    ),
}
_NAMES: Mapping[RequestType, tuple[By, str, str]] = {
    RequestType.REFERRAL: (By.SUPPORTING_INFO, "supportingInfo", "Appointment"),
    RequestType.BOOKING: (By.BASED_ON, "basedOn", "ServiceRequest"),
}
NAMED_TYPES: Mapping[By, frozenset[RequestType]] = {
    By.SUPPORTING_INFO: frozenset({RequestType.BOOKING}),
    By.BASED_ON: frozenset({RequestType.REFERRAL, RequestType.VALIDATION}),
}


def names_in(message: Message) -> tuple[tuple[By, str], ...]:
    """Return what a new request names of others: by which element, and the Receiver's id."""
    return tuple(_named(message, request_type_of(message)))


def _named(message: Message, request_type: RequestType) -> Iterator[tuple[By, str]]:
    if request_type not in _NAMES:
        return
    by, element, kind = _NAMES[request_type]
    references = (text_of(each, "reference") for each in maps_of(message.focus, element))
    found = (_id_in(message, reference, kind) for reference in references)
    yield from ((by, each) for each in dict.fromkeys(found) if each)


def _id_in(message: Message, reference: str, kind: str) -> str:
    """Return the id that the Receiver gave to what *reference* names, or an empty text."""
    entry = message.resolve(reference)
    if entry is not None:
        return text_of(entry.resource, "id") if entry.type == kind else ""
    match = _REFERENCE.fullmatch(reference)
    return match[2] if match and match[1] == kind else ""


@frozen(kw_only=True)
class Named:
    """The workflow that a new request names."""

    state: State
    request: Message  # that it began with
    pairs: frozenset[State]  # the states of those that it is a pair with already


def _compared(new: Message, named: Named) -> Sameness:
    return sameness_among(patient_of(new), [patient_of(named.request)])


def _other_patient(new: Message, named: Named) -> bool:
    return _compared(new, named) is Sameness.OTHER_PATIENT


def _unknown_patient(new: Message, named: Named) -> bool:
    return _compared(new, named) is Sameness.UNKNOWN_PATIENT


def _other_sender(new: Message, named: Named) -> bool:
    return not same_service(new.source, named.request.source)


def _other_receiver(new: Message, named: Named) -> bool:
    here, there = new.destinations[:1], named.request.destinations[:1]
    return not all(same_service(one, other) for one, other in zip(here, there, strict=False))


def _other_use_case(new: Message, named: Named) -> bool:
    return bool(named.request.use_case) and named.request.use_case != new.use_case


def _is_over(_new: Message, named: Named) -> bool:
    return named.state in FINAL


def _is_taken(_new: Message, named: Named) -> bool:
    return not named.pairs <= FINAL


def _was_booked_before(new: Message, named: Named) -> bool:
    return request_type_of(new) is RequestType.BOOKING and State.CANCELLED in named.pairs


@frozen(kw_only=True)
class LinkRule(Rule):
    """One row of the table."""

    broken: Callable[[Message, Named], bool] | None = None  # None: there is nothing to compare
    http_status: int = CONFLICT["http_status"]
    code: str = CONFLICT["code"]
    issue: str = CONFLICT["issue"]
    alarming: bool = False  # whether a person here is told, too: two cases may be mixed up


UNKNOWN = LinkRule(
    rule="L01",
    text="the booking or referral that is named is not known here: name one that is, or none",
    source="Application 1: Payloads; the official receiver tests",
    sending=None,
    **BAD_REQUEST,
)
UNCERTAIN = LinkRule(
    rule="L03",
    text="whether the booking or referral that is named is this patient's cannot be told:"
    " give the NHS number, or the name and the birth date",
    source="Application 1: Payloads",
    broken=_unknown_patient,
    sending=_WARN,
    receiving=_WARN,
)
AMBIGUOUS = LinkRule(
    rule="L10",
    text="more than one workflow fits, and none is linked",
    source="this project: D-correlation",
    sending=_WARN,
    receiving=_WARN,
    fixed=True,
)
OTHER_RECORD = LinkRule(
    rule="L11",
    text="the same request was submitted before: there may be two records of this patient. If it is"
    " not meant twice, cancel one",
    source="this project: D-second-record",
    sending=_WARN,
    receiving=_WARN,
    fixed=True,
)
NO_RECORD = LinkRule(
    rule="L12",
    text="no request here was told that id, so this changes none: an answer is still owed to each"
    " that is open. If one of these is meant, telephone, and name the id that it has there",
    source="this project: D-shared-id",
    sending=_WARN,
    receiving=None,
    fixed=True,
)
PLAN_SENT_BACK = LinkRule(
    rule="L13",
    text="the CarePlan of a full response says only what the one of the request says, word for"
    " word: whoever gets it may take it for their own, sent back. Say in it what was found here",
    source="Application 4: Validation-Response-Payload",
    sending=_WARN,
    receiving=_WARN,
    fixed=True,
)
LINK_RULES: tuple[LinkRule, ...] = (
    UNKNOWN,
    LinkRule(
        rule="L02",
        text="the booking or referral that is named is another patient's: find out whose",
        source="Application 1: Payloads",
        broken=_other_patient,
        fixed=True,
        alarming=True,
    ),
    UNCERTAIN,
    LinkRule(
        rule="L04",
        text="the booking or referral that is named was made by another Sender",
        source="Application 1: Payloads",
        broken=_other_sender,
        sending=None,
        alarming=True,
    ),
    LinkRule(
        rule="L05",
        text="the booking or referral that is named was made at another service",
        source="Application 1: Payloads",
        broken=_other_receiver,
        alarming=True,
    ),
    LinkRule(
        rule="L06",
        text="the booking or referral that is named is of another use case",
        source="Application 1: Payloads",
        broken=_other_use_case,
        alarming=True,
    ),
    LinkRule(
        rule="L07",
        text="the booking or referral that is named is over: name one that stands, or none",
        source="Application 1: How-does-it-work",
        broken=_is_over,
    ),
    LinkRule(
        rule="L08",
        text="the booking or referral that is named is linked to another one, which stands",
        source="the official receiver tests",
        broken=_is_taken,
    ),
    LinkRule(
        rule="L09",
        text="after a rebooking the new booking is never linked to the old referral: send a new"
        " referral, and revoke the old one",
        source="Application 1: How-does-it-work",
        broken=_was_booked_before,
        receiving=_WARN,
    ),
    AMBIGUOUS,
    OTHER_RECORD,
    NO_RECORD,
    PLAN_SENT_BACK,
)


@frozen(kw_only=True)
class Ties:
    """What a new request says of other workflows, and how that is taken: nothing of a patient."""

    names: tuple[tuple[By, str], ...]  # by which element, and the id that the Receiver gave
    journey_id: str | None
    looked_at: frozenset[str]  # rows that a link must not break
    refused_for: frozenset[str]  # those of them for which the request is refused
    likeness: str | None = None  # what it has in common with the same request, built twice


def ties_of(
    message: Message,
    side: Side,
    overrides: Overrides = NOTHING_AGREED,
    *,
    all_known: bool = True,
) -> Ties:
    """
    Return what the new request *message* says of other workflows.

    *all_known*: what it may name came through here, so that what is unknown is wrong.
    """
    agreed = overrides.with_the_other_side(message, side)
    severities = {row.rule: row.severity(side, agreed) for row in LINK_RULES}
    if not all_known:
        severities[UNKNOWN.rule] = _WARN
    return Ties(
        names=names_in(message),
        journey_id=journey_of(message),
        looked_at=frozenset(rule for rule, severity in severities.items() if severity is not None),
        refused_for=frozenset(rule for rule, severity in severities.items() if severity is _ERROR),
        likeness=likeness_of(message),
    )


def against(new: Message, named: Named, ties: Ties) -> Sequence[LinkRule]:
    """Return the rows that a link between them would break."""
    rows = (row for row in LINK_RULES if row.rule in ties.looked_at)
    return [row for row in rows if row.broken is not None and row.broken(new, named)]


def refusing(broken: Sequence[LinkRule], ties: Ties) -> Sequence[Issue]:
    """Return, as issues, those of the *broken* rows for which the request is refused."""
    return [row.at(ties.names[0][0]) for row in broken if row.rule in ties.refused_for]
