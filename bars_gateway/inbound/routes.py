"""
Which paths and methods there are, and what the others are answered.

    POST $process-message                       GET Slot · Appointment · ServiceRequest
    GET metadata · MessageDefinition            GET Appointment/{id} · ServiceRequest/{id}
    preview (D-preview): POST Appointment · ServiceRequest, PUT · PATCH · DELETE with {id}

The proxy may call below any base path, so what counts is the end of the path. A preview write
is 501 where it is switched off, and so is what the API has at the proxy alone: pointers and the
catalogue of Endpoints with its templates. Any other method that a path has not is 405
and names those that it has. Everything else is 404, the proxy's own health paths
included, for they are nobody's business without a token.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bars_gateway.standard.answers import Problem

PROCESS_MESSAGE = "$process-message"
_OTHER = "other"

_COLLECTIONS: Mapping[str, tuple[str, ...]] = {
    PROCESS_MESSAGE: ("POST",),
    "metadata": ("GET",),
    "MessageDefinition": ("GET",),
    "Slot": ("GET",),
    "Appointment": ("GET",),
    "ServiceRequest": ("GET",),
}
_MEMBERS: Mapping[str, tuple[str, ...]] = {"Appointment": ("GET",), "ServiceRequest": ("GET",)}
_WRITTEN = frozenset(_MEMBERS)  # what preview writes are about
_PREVIEWS: Mapping[bool, tuple[str, ...]] = {True: ("PUT", "PATCH", "DELETE"), False: ("POST",)}
_AT_THE_PROXY = frozenset({"DocumentReference", "Endpoint", "HealthcareService", "Organization"})
_TEMPLATE = "$template"
_ALIASES = {"Slots": "Slot"}  # the guide's prose
_METHODS = frozenset("GET HEAD POST PUT PATCH DELETE OPTIONS".split())
_WITH_BODY = frozenset(["POST", "PUT", "PATCH"])
_NOT_IMPLEMENTED = Problem(
    http_status=501,
    code="REC_NOT_IMPLEMENTED",
    issue="not-supported",
    text="this Receiver has nothing of that function: it is a preview, and switched off here",
)
_NOT_FOUND = Problem(
    http_status=404,
    code="REC_NOT_FOUND",
    issue="not-found",
    text="There is nothing at this path. Messages are posted to $process-message.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What a request asks for, in words of ours that may be logged."""

    name: str  # $process-message, Slot, …, or other
    method: str  # one of HTTP's usual ones, or other
    problem: Problem | None  # None: the request is to be answered by whoever has that name
    resource_id: str | None = None  # of the path, as it came: it is not for the log
    allow: str | None = None  # the methods that there are, for a 405

    @property
    def takes_body(self) -> bool:
        """Whether there must be a body, and a media type that says what it is."""
        return self.method in _WITH_BODY


def route(method: str, path: str, *, writes: bool = False) -> Route:
    """Return what *method* on the decoded *path* leads to; *writes*: with the preview ones."""
    known = method if method in _METHODS else _OTHER
    name, resource_id = _name_of(path)
    if name in _AT_THE_PROXY:
        return Route(name=name, method=known, problem=_NOT_IMPLEMENTED)
    methods = _methods(name, has_id=resource_id is not None, writes=writes)
    if not methods:
        return Route(name=_OTHER, method=known, problem=_NOT_FOUND)
    if name in _WRITTEN and not writes and method in _PREVIEWS[resource_id is not None]:
        return Route(name=name, method=known, problem=_NOT_IMPLEMENTED)
    if method not in methods:
        allow = ", ".join(methods)
        return Route(name=name, method=known, problem=_wrong_method(name, allow), allow=allow)
    return Route(name=name, method=known, problem=None, resource_id=resource_id)


def _methods(name: str, *, has_id: bool, writes: bool) -> tuple[str, ...]:
    table = _MEMBERS if has_id else _COLLECTIONS
    return table.get(name, ()) + (_PREVIEWS[has_id] if writes and name in _WRITTEN else ())


def _name_of(path: str) -> tuple[str, str | None]:
    """Return the name that *path* ends with, and the id behind it if there is one."""
    *before, last = path.split("/")
    last = _ALIASES.get(last, last)
    if last in _COLLECTIONS:
        return last, None
    if before and before[-1] in _MEMBERS:  # an empty id is one that will not do
        return before[-1], last
    ends = [*before, last] if last != _TEMPLATE else before
    return next((each for each in ends[-2:] if each in _AT_THE_PROXY), _OTHER), None


def _wrong_method(name: str, allow: str) -> Problem:
    return Problem(
        http_status=405,
        code="REC_METHOD_NOT_ALLOWED",
        issue="not-supported",
        text=f"{name} takes {allow} and nothing else here.",
    )
