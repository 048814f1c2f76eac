"""
The Applications of BaRS as a table, their use cases, and which of them a provider offers.

    use case ──► Application ──► subjects · answers ──► guards, clocks, composition

Nothing elsewhere asks which Application a message is of: what differs between them is a
column here, a row of `guards`, or a row of `compositions`. Versions are those that the
guide publishes; which of them a provider has switched on stands in its settings.

The first half of a use case's code is the Application. Names (usecases-categories-bars 1.5.0) are
for documents that machines exchange; the guide forbids showing them to end users.

Decisions: D-versions.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from bars_gateway.frozen import frozen
from bars_gateway.standard.headers import normalised
from bars_gateway.standard.timing import Timing, application_of, clinical_time, warning_at
from bars_gateway.standard.workflow import Move, RequestType

VERSIONS: Mapping[str, tuple[str, ...]] = {
    "a1": ("1.0.0", "2.0.0"),
    "a2": ("1.0.0", "2.0.0"),
    "a3": ("1.0.0", "2.0.0"),
    "a4": ("1.0.0", "2.0.0"),
    "a5": ("1.0.0",),
    "a6": ("1.0.0",),
    "a7": ("1.0.0",),
    "a8": ("1.0.0",),
}
USE_CASE_NAMES: Mapping[str, str] = {
    "a1t1": "111 to ED",
    "a1t2": "111 to UTC",
    "a1t3": "IUC CAS to ED",
    "a1t4": "IUC CAS to UTC",
    "a1t5": "999 to ED",
    "a1t6": "999 to UTC",
    "a1t7": "111 to SDEC",
    "a1t8": "IUC CAS to SDEC",
    "a1t9": "999 to SDEC",
    "a1t10": "111 to UEC",
    "a1t11": "IUC CAS to UEC",
    "a1t12": "999 to UEC",
    "a2t1": "111 Online to ED",
    "a2t2": "111 Online to UTC",
    "a2t3": "S and R to ED",
    "a2t4": "S and R to UTC",
    "a2t5": "111 Online to UEC",
    "a2t6": "S and R to UEC",
    "a3t1": "999 to CAS Referral",
    "a4t1": "999 to CAS Validation",
    "a4t2": "999 to Falls",
    "a4t3": "999 to Community Services",
    "a4t4": "999 to UEC Validation",
    "a5t1": "Primary Care to Community Pharmacy",
    "a5t2": "Primary Care to Pharmacy Contraception",
    "a5t3": "Primary Care to Pharmacy Blood Pressure Check Service",
    "referraltopharmacy": "Primary Care to Pharmacy to Deprecated",
    "a6t1": "CAD to CAD Out of Area Referral",
    "a6t2": "CAD to CAD Call Assist Request",
    "a6t3": "CAD to CAD Mutual Aid Request",
    "a7t1": "Patient Facing Services to Primary Care",
    "a8t1": "AG to e-RS",
    "a8t2": "111 Online to e-RS",
    "a8t3": "nhs.uk to e-RS",
}
_REFERRAL = frozenset({RequestType.REFERRAL})
_BOTH = frozenset({RequestType.REFERRAL, RequestType.BOOKING})
EVERYTHING: Mapping[str, tuple[str, ...]] = {f"a{number}": () for number in range(1, 9)}


class Answers(StrEnum):
    """What the Responder sends later, by itself."""

    NONE = "none"  # the acknowledgement is all
    ONE = "one"  # one final response, perhaps after an interim one
    STREAM = "stream"  # a response each time that things have moved


@frozen(kw_only=True)
class Application:
    """One Application of the guide."""

    code: str  # the first half of its use cases: a4 of a4t1
    name: str
    version: str  # published
    phase: str  # live, beta or alpha
    request_types: frozenset[RequestType]
    answers: Answers
    withdrawn: frozenset[str] = frozenset()  # use cases that have codes, and are not built (R03W)


_ALL = (
    Application(
        code="a1",
        name="Bookings and referrals into urgent care",
        version="2.1.0",
        phase="live",
        request_types=_BOTH,
        answers=Answers.NONE,
    ),
    Application(
        code="a2",
        name="Bookings and referrals into urgent care, online",
        version="2.1.0",
        phase="live",
        request_types=_BOTH,
        answers=Answers.NONE,
    ),
    Application(
        code="a3",
        name="Referrals from ambulance to assessment service",
        version="2.0.0",
        phase="live",
        request_types=_REFERRAL,
        answers=Answers.NONE,
    ),
    Application(
        code="a4",
        name="Validation of ambulance calls",
        version="2.0.0",
        phase="live",
        request_types=frozenset({RequestType.VALIDATION}),
        answers=Answers.ONE,
    ),
    Application(
        code="a5",
        name="Referrals into pharmacy",
        version="1.2.0",
        phase="live",
        request_types=_REFERRAL,
        answers=Answers.NONE,
        withdrawn=frozenset({"a5t2", "a5t3", "referraltopharmacy"}),
    ),
    Application(
        code="a6",
        name="Referrals between ambulance control rooms",
        version="1.0.0-beta.8",
        phase="beta",
        request_types=_REFERRAL,
        answers=Answers.STREAM,
    ),
    Application(
        code="a7",
        name="Bookings into general practice",
        version="1.0.0-alpha.4",
        phase="alpha",
        request_types=frozenset({RequestType.BOOKING}),
        answers=Answers.NONE,
    ),
    Application(
        code="a8",
        name="Referrals into a broker",
        version="1.0.0-alpha.3",
        phase="alpha",
        request_types=_REFERRAL,
        answers=Answers.NONE,
    ),
)

APPLICATIONS: Mapping[str, Application] = {each.code: each for each in _ALL}


@frozen(kw_only=True)
class Owed:
    """An answer that is owed: until when, and when to say that this comes near."""

    due_at: datetime
    warn_at: datetime


def answer_owed(
    use_case: str, move: Move, timing: Timing, needed_by: datetime | None, now: datetime
) -> Owed | None:
    """
    Return when an answer is owed to a request or update, or None where nothing is.

    One final response is owed by the clinical time, or by the use case's own limit where
    that comes first. A stream of them has no end to be late for: there the limit ends the
    silence after a request, and an update neither begins nor prolongs that.
    """
    answers = answers_of(use_case)
    moves = {Move.REQUEST} if answers is Answers.STREAM else {Move.REQUEST, Move.UPDATE}
    if answers is Answers.NONE or move not in moves:
        return None
    within = None if timing.answer_within is None else now + timing.answer_within
    clinical = clinical_time(needed_by, now) if answers is Answers.ONE else None
    due_at = min((moment for moment in (clinical, within) if moment is not None), default=None)
    if due_at is None:
        return None
    return Owed(due_at=due_at, warn_at=warning_at(timing, due_at, now))


def answers_of(use_case: str) -> Answers:
    """Return what is answered to a request of *use_case*, beside its acknowledgement."""
    found = application(use_case)
    return Answers.NONE if found is None else found.answers


def is_withdrawn(use_case: str) -> bool:
    """Tell whether *use_case* is one that its Application has taken back."""
    found = application(use_case)
    return found is not None and use_case in found.withdrawn


def application(use_case: str) -> Application | None:
    """Return the Application of *use_case*, or None where it names none that we know."""
    return APPLICATIONS.get(application_of(use_case))


@frozen(kw_only=True)
class Offer:
    """
    The services that a provider answers to, and what it has switched on.

    The same value is enforced by the rules and advertised by `publications`.
    """

    services: frozenset[str]  # system|value, normalised
    applications: Mapping[str, tuple[str, ...]]  # a4 → the versions switched on; none: any will do
    refused_use_cases: frozenset[str] = frozenset()  # a4t3, …: off, though their Application is on
    for_anybody: bool = False  # whether whatever service a message names is taken for ours
    booking_required: bool = False  # whether a new referral must name the booking made for it

    def is_ours(self, service: str) -> bool:
        """Tell whether *service* is one of them."""
        return self.for_anybody or normalised(service) in self.services

    def takes(self, use_case: str) -> bool:
        """Tell whether a new request of a known *use_case* is taken."""
        return application_of(use_case) in self.applications and (
            use_case not in self.refused_use_cases
        )

    def majors(self, application: str) -> frozenset[int]:
        """Return the major versions accepted of *application*."""
        versions = self.applications.get(application, ())
        return frozenset(int(version.partition(".")[0]) for version in versions)
