"""
What speaks against a link that a new request asks for: a table, and who asks it.

    new request ──ties_of──► Ties: what it names, and which rows count
    new request + Named ──against──► the rows that it breaks; none: the two are linked
    rows ──refusing──► Issues: the request is refused for them

A link that breaks a row is not made. Whether the request is refused as well is the severity
of the row, on either side, which an agreement with a counterparty may change as any rule's
(`overrides`); that the two are of one patient is fixed. An id that is not known here is no
reason to refuse what the EPR is asked about: it may know more, and it decides. Nor is it where
bookings are not made through this gateway at all, which is so while no EPR answers questions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bars_gateway.standard.bundle import Message
from bars_gateway.standard.headers import same_service
from bars_gateway.standard.issues import BAD_REQUEST, CONFLICT, Issue, Severity
from bars_gateway.standard.links import By, journey_of, names_in
from bars_gateway.standard.overrides import NOTHING_AGREED, Overrides
from bars_gateway.standard.patients import Sameness, compare, patient_of
from bars_gateway.standard.records import likeness_of
from bars_gateway.standard.rule import Rule, Side
from bars_gateway.standard.workflow import FINAL, State, Subject, subject_of

_ERROR, _WARN = Severity.ERROR, Severity.WARNING


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """The workflow that a new request names."""

    state: State
    request: Message  # that it began with
    pairs: frozenset[State]  # the states of those that it is a pair with already


def _compared(new: Message, named: Named) -> Sameness:
    return compare(patient_of(new), patient_of(named.request))


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
    return subject_of(new) is Subject.BOOKING and State.CANCELLED in named.pairs


@dataclass(frozen=True, slots=True, kw_only=True)
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
    text="the same request was submitted before under another Bundle.id: there may be two records"
    " of this patient. If it is not meant twice, cancel one",
    source="this project: D-second-record",
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
)


@dataclass(frozen=True, slots=True, kw_only=True)
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
