"""
The official values on which the NHS's own test service branches, and what each gets.

    NHS number of a message ──► Sentinel: a problem, an id that is given, responses that follow
    id of a read             ──► a problem, or a resource that is always there

Restated from the page of the test service (Build, Testing and Environments, TKW) and from
the rules of its simulator; `scenarios` names the rows of the applications page, 6.2. Where
the two disagree, the page wins: a validation for the number of PATIENT408 is taken, and it
is the *read* of it that times out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bars_gateway.standard.answers import Problem
from bars_gateway.standard.workflow import Subject

STATEFUL = "9707606312"  # whose conversations go by the table of `stateful`


def _problem(http_status: int, code: str, issue: str, text: str) -> Problem:
    return Problem(http_status=http_status, code=code, issue=issue, text=text)


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

_EVERY = frozenset(Subject)
_BOOKING = frozenset({Subject.BOOKING})
_REFERRAL = frozenset({Subject.REFERRAL})
_VALIDATION = frozenset({Subject.VALIDATION})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentinel:
    """What a new request about one patient gets."""

    scenarios: tuple[str, ...]  # rows of the applications page, 6.2; none: only in the simulator
    subjects: frozenset[Subject] = _EVERY  # of the requests that it is about
    refused_with: int | None = None  # HTTP status; None: the request is taken
    read_with: int | None = None  # of a search for the patient; None: what is held
    focus_id: str | None = None  # what is acknowledged; None: an id of its own
    responses: str | None = None  # the plan of responses, by name; None: the Application's


BOOKED_ID = "ce1c4ced-2a84-4198-9982-9caf894d0bb7"
REFERRED_ID = "79120f41-a431-4f08-bcc5-1e67006fcae0"
VALIDATED_ID = "0b42eac3-0175-43c8-bbab-efaa8ca31ccf"
CANCELLED_ID = "09b53c07-2a21-4ba5-ac8b-f33e486d794d"  # what RF-3 answers in place of RF-1's

NHS_NUMBERS: Mapping[str, Sentinel] = {
    "9658499007": Sentinel(scenarios=("BK-1",), subjects=_BOOKING, focus_id=BOOKED_ID),
    "9658499015": Sentinel(scenarios=("BK-5", "VAL-7"), refused_with=404, read_with=404),
    "9658499023": Sentinel(scenarios=("BK-6",), refused_with=409, read_with=409),
    "9658499031": Sentinel(scenarios=("BK-7",), refused_with=422, read_with=422),
    "9658499058": Sentinel(scenarios=("RF-1",), subjects=_REFERRAL, focus_id=REFERRED_ID),
    "9658499066": Sentinel(scenarios=("RF-6",), refused_with=400, read_with=400),
    "9658499074": Sentinel(scenarios=("RF-7",), refused_with=500, read_with=500),
    "9658499082": Sentinel(
        scenarios=("VAL-2",),
        subjects=_VALIDATION,
        read_with=408,
        focus_id="9e595424-9d67-45db-9a90-03259653cd37",
    ),
    "9658499090": Sentinel(
        scenarios=("VAL-3",),
        subjects=_VALIDATION,
        read_with=501,
        focus_id="c337e8d8-fd5b-4a13-a8e4-0f6f4ac1bb1a",
    ),
    "9658499104": Sentinel(scenarios=()),  # listed on the page, without a scenario
    "9658499112": Sentinel(scenarios=("VAL-8",), subjects=_VALIDATION, refused_with=409),
    "9658499120": Sentinel(scenarios=("VAL-9",), subjects=_VALIDATION, refused_with=422),
    "9658499139": Sentinel(scenarios=("VAL-10",), refused_with=401, read_with=401),
    "9658499147": Sentinel(scenarios=("RS-1",), subjects=_VALIDATION, responses="full"),
    "9658499155": Sentinel(scenarios=("RS-2",), subjects=_VALIDATION, responses="interim"),
    "9658499163": Sentinel(scenarios=("RS-3",), subjects=_REFERRAL, responses="no-show"),
    "9658499171": Sentinel(scenarios=("RS-4",), subjects=_REFERRAL, responses="no-show"),
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


def sentinel_of(nhs_number: str | None, subject: Subject, *, official: bool) -> Sentinel:
    """
    Return what a request about that patient gets; an ordinary one's where it says nothing.

    A validation of somebody without a number gets the published id (VAL-1), but at the
    *official* services alone: elsewhere two such people are two.
    """
    if nhs_number is None and subject is Subject.VALIDATION and official:
        return Sentinel(scenarios=("VAL-1",), focus_id=VALIDATED_ID)
    found = NHS_NUMBERS.get(nhs_number or "", _ANYBODY)
    return found if subject in found.subjects else _ANYBODY


def read_problem(status: int | None) -> Problem | None:
    """Return what a read with that status is answered with; None where it is answered well."""
    return PROBLEMS.get(status or 200)
