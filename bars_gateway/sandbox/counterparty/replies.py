"""
What the counterparty answers: a resource, or a problem in the guide's words.

To the official values on which the NHS's own test service branches, it answers as that does.

    NHS number of a message ──► Sentinel: a problem, an id that is given, responses that follow
    id of a read             ──► a problem, or a resource that is always there

Restated from the page of the test service (Build, Testing and Environments, TKW) and from
the rules of its simulator; `scenarios` names the rows of the applications page, 6.2. Where
the two disagree, the page wins: a validation for the number of PATIENT408 is taken, and it
is the *read* of it that times out.

In the official stateful scenario, the booking and referral of one patient go by a table.

    event ──► TABLE[event][state] ──► taken, and the next state │ the problem

The table is that of the applications page, 6.4. Each end-user organisation has a state of
its own, and every night all of them begin again. Where a booking is cancelled under a
referral, the page names no next state: nothing of the three but *initial* fits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from bars_gateway.frozen import frozen
from bars_gateway.standard import answers
from bars_gateway.standard.answers import Problem
from bars_gateway.standard.formats import Format, to_bytes
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.rules import as_answered
from bars_gateway.standard.tree import Json
from bars_gateway.standard.workflow import RequestType


@frozen(kw_only=True)
class SandboxReply:
    """One answer, in JSON: whoever asked for XML gets it in that."""

    http_status: int
    body: bytes
    then_wait_seconds: float = 0.0  # before it goes out, when everything is decided


def resource(tree: Json) -> SandboxReply:
    """Return the answer that is a resource."""
    return SandboxReply(http_status=200, body=to_bytes(tree, Format.JSON))


def refused(problem: Problem) -> SandboxReply:
    """Return the answer that says what *problem* says."""
    return SandboxReply(http_status=problem.http_status, body=answers.problem_outcome(problem))


def wrong(issues: Sequence[Issue]) -> SandboxReply:
    """Return the answer that names every one of *issues*; malformed goes before unsupported."""
    first, *others = as_answered(issues)
    return SandboxReply(http_status=first.http_status, body=answers.outcome([first, *others]))


def _problem(http_status: int, code: str, issue: str, text: str) -> Problem:
    return Problem(http_status=http_status, code=code, issue=issue, text=text)


TOO_EARLY = _problem(
    425, "REC_TOO_EARLY", "duplicate", "The previous attempt is not finished; send it again later."
)
BEFORE = _problem(
    409, "REC_CONFLICT", "duplicate", "This message has already been received and processed."
)
OTHER_BYTES = _problem(
    409, "REC_CONFLICT", "conflict", "This X-Request-Id was used for another message."
)
OTHER_PATIENT = _problem(
    409, "REC_CONFLICT", "conflict", "The Patient is another than that of the resource named."
)
NO_SUCH_LINK = _problem(
    400, "REC_BAD_REQUEST", "invariant", "The resource that it is linked to is not here."
)
NO_REQUEST = _problem(
    404, "REC_NOT_FOUND", "not-found", "MessageHeader.response.identifier names nothing sent here."
)
NO_FHIR = _problem(
    415, "REC_BAD_REQUEST", "not-supported", "Send application/fhir+json or application/fhir+xml."
)
NOTHING_HERE = _problem(404, "REC_NOT_FOUND", "not-found", "There is nothing at this path.")
NO_SUCH_SERVICE = _problem(
    404, "REC_NOT_FOUND", "not-found", "NHSD-Target-Identifier names no service of this Receiver."
)
WRONG_METHOD = _problem(
    405, "REC_METHOD_NOT_ALLOWED", "not-supported", "This path does not take this method."
)
BUNDLE_REUSED = Issue(
    rule="B05",
    path="Bundle.id",
    text="was used by another message; a new message needs a new one",
)
STATEFUL = "9707606312"  # whose conversations go by TABLE
PROBLEMS: Mapping[int, Problem] = {
    400: _problem(400, "REC_BAD_REQUEST", "invariant", "A test value that is answered so."),
    401: _problem(401, "REC_UNAUTHORIZED", "security", "A test value that is answered so."),
    404: _problem(404, "REC_NOT_FOUND", "not-found", "A test value that is answered so."),
    405: _problem(405, "REC_METHOD_NOT_ALLOWED", "not-supported", "A test value, answered so."),
    408: _problem(408, "REC_TIMEOUT", "timeout", "A test value that is answered so."),
    409: _problem(409, "REC_CONFLICT", "conflict", "A test value that is answered so."),
    422: _problem(422, "REC_UNPROCESSABLE_ENTITY", "not-supported", "A test value, answered so."),
    429: _problem(429, "REC_TOO_MANY_REQUESTS", "throttled", "A test value, answered so."),
    500: _problem(500, "REC_SERVER_ERROR", "exception", "A test value that is answered so."),
    501: _problem(501, "REC_NOT_IMPLEMENTED", "not-supported", "A test value, answered so."),
    503: _problem(503, "REC_SERVICE_UNAVAILABLE", "transient", "A test value, answered so."),
}

_EVERY = frozenset(RequestType)
_BOOKING = frozenset({RequestType.BOOKING})
_REFERRAL = frozenset({RequestType.REFERRAL})
_VALIDATION = frozenset({RequestType.VALIDATION})


@frozen(kw_only=True)
class Sentinel:
    """What a new request about one patient gets."""

    scenarios: tuple[str, ...]  # rows of the applications page, 6.2; none: only in the simulator
    request_types: frozenset[RequestType] = _EVERY  # of the requests that it is about
    refused_with: int | None = None  # HTTP status; None: the request is taken
    read_with: int | None = None  # of a search for the patient; None: what is held
    focus_id: str | None = None  # what is acknowledged; None: an id of its own
    responses: str | None = None  # the plan of responses, by name; None: the Application's


BOOKED_ID = "ce1c4ced-2a84-4198-9982-9caf894d0bb7"
REFERRED_ID = "79120f41-a431-4f08-bcc5-1e67006fcae0"
VALIDATED_ID = "0b42eac3-0175-43c8-bbab-efaa8ca31ccf"
CANCELLED_ID = "09b53c07-2a21-4ba5-ac8b-f33e486d794d"  # what RF-3 answers in place of RF-1's

NHS_NUMBERS: Mapping[str, Sentinel] = {
    "9658499007": Sentinel(scenarios=("BK-1",), request_types=_BOOKING, focus_id=BOOKED_ID),
    "9658499015": Sentinel(scenarios=("BK-5", "VAL-7"), refused_with=404, read_with=404),
    "9658499023": Sentinel(scenarios=("BK-6",), refused_with=409, read_with=409),
    "9658499031": Sentinel(scenarios=("BK-7",), refused_with=422, read_with=422),
    "9658499058": Sentinel(scenarios=("RF-1",), request_types=_REFERRAL, focus_id=REFERRED_ID),
    "9658499066": Sentinel(scenarios=("RF-6",), refused_with=400, read_with=400),
    "9658499074": Sentinel(scenarios=("RF-7",), refused_with=500, read_with=500),
    "9658499082": Sentinel(
        scenarios=("VAL-2",),
        request_types=_VALIDATION,
        read_with=408,
        focus_id="9e595424-9d67-45db-9a90-03259653cd37",
    ),
    "9658499090": Sentinel(
        scenarios=("VAL-3",),
        request_types=_VALIDATION,
        read_with=501,
        focus_id="c337e8d8-fd5b-4a13-a8e4-0f6f4ac1bb1a",
    ),
    "9658499104": Sentinel(scenarios=()),  # listed on the page, without a scenario
    "9658499112": Sentinel(scenarios=("VAL-8",), request_types=_VALIDATION, refused_with=409),
    "9658499120": Sentinel(scenarios=("VAL-9",), request_types=_VALIDATION, refused_with=422),
    "9658499139": Sentinel(scenarios=("VAL-10",), refused_with=401, read_with=401),
    "9658499147": Sentinel(scenarios=("RS-1",), request_types=_VALIDATION, responses="full"),
    "9658499155": Sentinel(scenarios=("RS-2",), request_types=_VALIDATION, responses="interim"),
    "9658499163": Sentinel(scenarios=("RS-3",), request_types=_REFERRAL, responses="no-show"),
    "9658499171": Sentinel(scenarios=("RS-4",), request_types=_REFERRAL, responses="no-show"),
    "9657562376": Sentinel(scenarios=(), refused_with=429, read_with=429),
    "9675199962": Sentinel(scenarios=(), refused_with=405, read_with=405),
    "9728928254": Sentinel(scenarios=()),  # the simulator's rule bears its number and no status
    "9999960529": Sentinel(scenarios=(), refused_with=503, read_with=503),
}

READ_IDS: Mapping[str, int] = {  # HTTP status; 200: a resource that is always there
    VALIDATED_ID: 200,  # VAL-1, VAL-4
    "0d440c22-7f25-4c6c-905d-2213d197d02a": 501,  # BK-8
    "4d65ddaa-4d09-41cd-87c9-aeb9c0c96352": 503,  # RF-11
    "61215702-0049-4d76-9807-2123f0a6ca15": 405,  # RF-9
    REFERRED_ID: 200,  # RF-2
    "9d280ad9-6dda-46d2-a75e-f5b47b2f4e87": 429,  # RF-10
    "9e595424-9d67-45db-9a90-03259653cd37": 408,  # VAL-11
    "c337e8d8-fd5b-4a13-a8e4-0f6f4ac1bb1a": 501,  # VAL-12
    BOOKED_ID: 200,  # BK-2
}

_ANYBODY = Sentinel(scenarios=())


def sentinel_of(nhs_number: str | None, request_type: RequestType, *, official: bool) -> Sentinel:
    """
    Return what a request about that patient gets; an ordinary one's where it says nothing.

    A validation of somebody without a number gets the published id (VAL-1), but at the
    *official* services alone: elsewhere two such people are two.
    """
    if nhs_number is None and request_type is RequestType.VALIDATION and official:
        return Sentinel(scenarios=("VAL-1",), focus_id=VALIDATED_ID)
    found = NHS_NUMBERS.get(nhs_number or "", _ANYBODY)
    return found if request_type in found.request_types else _ANYBODY


def read_problem(status: int | None) -> Problem | None:
    """Return what a read with that status is answered with; None where it is answered well."""
    return PROBLEMS.get(status or 200)


class StatefulEvent(StrEnum):
    """What a message asks for."""

    MAKE_BOOKING = "make booking"
    CANCEL_BOOKING = "cancel booking"
    CREATE_LINKED = "create linked referral"
    CREATE_MISLINKED = "create mis-linked referral"
    CANCEL_REFERRAL = "cancel referral"


class PatientStage(StrEnum):
    """How far the patient is."""

    INITIAL = "initial"
    BOOKED = "booked"
    REFERRED = "referral created"


def _no(http_status: int, text: str) -> Problem:
    code, issue = {400: ("REC_BAD_REQUEST", "invariant"), 409: ("REC_CONFLICT", "conflict")}[
        http_status
    ]
    return _problem(http_status, code, issue, text)


_NO_BOOKING = _no(400, "booking does not exist")
_NO_REFERRAL = _no(400, "no referral")
_BOOKED_BEFORE = _no(409, "booking exists")
_REFERRED_BEFORE = _no(409, "referral exists")
_NOT_LINKED = _no(409, "not linked to correct booking")

TABLE: Mapping[StatefulEvent, Mapping[PatientStage, PatientStage | Problem]] = {
    StatefulEvent.MAKE_BOOKING: {
        PatientStage.INITIAL: PatientStage.BOOKED,
        PatientStage.BOOKED: _BOOKED_BEFORE,
        PatientStage.REFERRED: _BOOKED_BEFORE,
    },
    StatefulEvent.CANCEL_BOOKING: {
        PatientStage.INITIAL: _NO_BOOKING,
        PatientStage.BOOKED: PatientStage.INITIAL,
        PatientStage.REFERRED: PatientStage.INITIAL,
    },
    StatefulEvent.CREATE_LINKED: {
        PatientStage.INITIAL: _NO_BOOKING,
        PatientStage.BOOKED: PatientStage.REFERRED,
        PatientStage.REFERRED: _REFERRED_BEFORE,
    },
    StatefulEvent.CREATE_MISLINKED: {
        PatientStage.INITIAL: _NO_BOOKING,
        PatientStage.BOOKED: _NOT_LINKED,
        PatientStage.REFERRED: _REFERRED_BEFORE,
    },
    StatefulEvent.CANCEL_REFERRAL: {
        PatientStage.INITIAL: _NO_BOOKING,
        PatientStage.BOOKED: _NO_REFERRAL,
        PatientStage.REFERRED: PatientStage.BOOKED,
    },
}


@dataclass(slots=True)
class _Patient:
    stage: PatientStage
    day: date
    booking_id: str | None = None


class Stateful:
    """The states of the one patient, by end-user organisation."""

    def __init__(self) -> None:
        self._patients: dict[str, _Patient] = {}

    def booking_id(self, organisation: str, day: date) -> str | None:
        """Return the id of the booking that a referral must be linked to, if there is one."""
        return self._patient(organisation, day).booking_id

    def problem(self, organisation: str, event: StatefulEvent, day: date) -> Problem | None:
        """Return why *event* is refused in the present state, or None."""
        found = TABLE[event][self._patient(organisation, day).stage]
        return None if isinstance(found, PatientStage) else found

    def move(self, organisation: str, event: StatefulEvent, focus_id: str, day: date) -> None:
        """Go on to the next state: *event* was taken, and is about *focus_id*."""
        patient = self._patient(organisation, day)
        found = TABLE[event][patient.stage]
        assert isinstance(found, PatientStage)
        patient.stage = found
        if event is StatefulEvent.MAKE_BOOKING:
            patient.booking_id = focus_id
        elif event is StatefulEvent.CANCEL_BOOKING:
            patient.booking_id = None

    def forget(self) -> None:
        """Begin again, as every night."""
        self._patients.clear()

    def _patient(self, organisation: str, day: date) -> _Patient:
        patient = self._patients.get(organisation)
        if patient is None or patient.day != day:
            patient = self._patients[organisation] = _Patient(PatientStage.INITIAL, day)
        return patient
