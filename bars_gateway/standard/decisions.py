"""
The words in which an EPR says no, and what the guide has for each.

    slot-taken ──refusal──► 409 REC_CONFLICT conflict, and a text without content

A table, so that an EPR needs no knowledge of HTTP statuses and codes, and cannot give a
Sender one that means something else: 409 with `duplicate` would tell it that the message
was taken, and 403 and 503 lose their bodies on the way (D-lost-statuses).
"""

from collections.abc import Mapping

from bars_gateway.standard.answers import Problem


def _problem(http_status: int, code: str, issue: str, text: str) -> Problem:
    return Problem(http_status=http_status, code=code, issue=issue, text=text)


REFUSALS: Mapping[str, Problem] = {
    "slot-taken": _problem(409, "REC_CONFLICT", "conflict", "The slot is no longer free."),
    "exists": _problem(409, "REC_CONFLICT", "conflict", "The patient has one already."),
    "not-current": _problem(
        409, "REC_CONFLICT", "conflict", "It is no longer current and cannot be changed."
    ),
    "changed-here": _problem(
        409, "REC_CONFLICT", "conflict", "It was changed at the Receiver since: read it first."
    ),
    "not-found": _problem(404, "REC_NOT_FOUND", "not-found", "The Receiver has no such resource."),
    "invalid": _problem(
        400, "REC_BAD_REQUEST", "invariant", "The content does not go together at the Receiver."
    ),
    "differs": _problem(
        422,
        "REC_UNPROCESSABLE_ENTITY",
        "processing",
        "A cancellation may change nothing but the status and its reason.",
    ),
    "too-costly": _problem(
        422, "REC_UNPROCESSABLE_ENTITY", "too-costly", "Too much was asked for: narrow it down."
    ),
    "not-supported": _problem(
        422, "REC_UNPROCESSABLE_ENTITY", "not-supported", "The service does not take this."
    ),
    "not-allowed": _problem(
        401, "REC_UNAUTHORIZED", "forbidden", "The Receiver does not let this Sender do this."
    ),
    # What ends a question that nobody could answer: it was looked into, and nothing was done.
    "not-done": _problem(
        422, "REC_UNPROCESSABLE_ENTITY", "processing", "It was not done. Send a new message."
    ),
}
