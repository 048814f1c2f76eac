"""
Which paths and methods there are, and what the others are answered.

The proxy may call below any base path, so what counts is the end of the path. What the
guide has and this release has not is 501, so that a Sender learns that the Receiver is
there and the function is not; everything else is 404, the proxy's own health paths
included, for they are nobody's business without a token.
"""

from dataclasses import dataclass

from bars_gateway.standard.answers import Problem

PROCESS_MESSAGE = "$process-message"
_OTHER = "other"

_NOT_IMPLEMENTED = frozenset(
    ["metadata", "MessageDefinition", "Slot", "Appointment", "ServiceRequest"]
)
_WITH_IDS = _NOT_IMPLEMENTED - {"metadata"}
_METHODS = frozenset("GET HEAD POST PUT PATCH DELETE OPTIONS".split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What a request asks for, in words of ours that may be logged."""

    name: str  # $process-message, Slot, …, or other
    method: str  # one of HTTP's usual ones, or other
    problem: Problem | None  # None: the message is to be processed
    allow: str | None = None  # the methods that there are, for a 405


def route(method: str, path: str) -> Route:
    """Return what *method* on the decoded *path* leads to."""
    known = method if method in _METHODS else _OTHER
    name = _name_of(path)
    if name == PROCESS_MESSAGE:
        wrong = method != "POST"
        return Route(
            name=name,
            method=known,
            problem=_WRONG_METHOD if wrong else None,
            allow="POST" if wrong else None,
        )
    problem = _NOT_FOUND if name == _OTHER else _LATER
    return Route(name=name, method=known, problem=problem)


def _name_of(path: str) -> str:
    *before, last = path.split("/")
    if last == PROCESS_MESSAGE or last in _NOT_IMPLEMENTED:
        return last
    if last and before and before[-1] in _WITH_IDS:
        return before[-1]
    return _OTHER


_WRONG_METHOD = Problem(
    http_status=405,
    code="REC_METHOD_NOT_ALLOWED",
    issue="not-supported",
    text="$process-message takes POST and nothing else.",
)
_LATER = Problem(
    http_status=501,
    code="REC_NOT_IMPLEMENTED",
    issue="not-supported",
    text="This Receiver does not offer this operation.",
)
_NOT_FOUND = Problem(
    http_status=404,
    code="REC_NOT_FOUND",
    issue="not-found",
    text="There is nothing at this path. Messages are posted to $process-message.",
)
