"""What the counterparty answers: a resource, or a problem in the guide's words."""

from collections.abc import Sequence
from dataclasses import dataclass

from bars_gateway.standard import answers
from bars_gateway.standard.answers import Problem
from bars_gateway.standard.formats import Format, to_bytes
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.rules import errors
from bars_gateway.standard.tree import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer, in JSON: whoever asked for XML gets it in that."""

    http_status: int
    body: bytes
    then_wait_seconds: float = 0.0  # before it goes out, when everything is decided


def resource(tree: Json) -> Reply:
    """Return the answer that is a resource."""
    return Reply(http_status=200, body=to_bytes(tree, Format.JSON))


def refused(problem: Problem) -> Reply:
    """Return the answer that says what *problem* says."""
    return Reply(http_status=problem.http_status, body=answers.problem_outcome(problem))


def wrong(issues: Sequence[Issue]) -> Reply:
    """Return the answer that names every one of *issues*; malformed goes before unsupported."""
    status = min(issue.http_status for issue in errors(list(issues)))
    return Reply(http_status=status, body=answers.outcome(issues))


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
NO_UPDATES = _problem(
    400, "REC_BAD_REQUEST", "invariant", "The Application knows no update of this."
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
