"""
What is asked of another organisation beside messages, and what comes back.

    Enquiry(method, path, query, headers) ──outbound──► BarsAnswer │ Unanswered

Reads, and the preview operations (D-preview), go through the proxy as they were asked: the
answer is handed on with its status and its bytes, whoever in between it came from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from urllib.parse import unquote_plus

from bars_gateway.standard.formats import Format, format_of
from bars_gateway.standard.headers import TargetIdentifier

# What a Receiver answers, and which of it may be asked for with an id.
READABLE = frozenset({"metadata", "MessageDefinition", "Slot", "Appointment", "ServiceRequest"})
WITH_ID = frozenset({"Appointment", "ServiceRequest"})
# What changes so rarely that an answer may be kept; slots never (CS-172).
KEPT = frozenset({"metadata", "MessageDefinition"})
# The preview operations: requests written one by one, pointers, the catalogue.
_POINTERS = "DocumentReference"
_CATALOGUE = frozenset({"Endpoint", "HealthcareService", "Organization"})
PREVIEW = frozenset({"Appointment", "ServiceRequest", _POINTERS, *_CATALOGUE})
TEMPLATE = "$template"  # of an Endpoint
# What the API has, below each resource: of all of them, of one, and their templates.
_OF_ALL, _OF_ONE = ("GET", "POST"), ("GET", "PUT", "DELETE")
_METHODS: Mapping[tuple[str, bool, bool], tuple[str, ...]] = {
    **{(name, False, False): ("GET",) for name in READABLE},
    **{(name, False, False): _OF_ALL for name in PREVIEW},
    **{(name, True, False): _OF_ONE for name in PREVIEW},
    **{(name, True, False): ("GET", "PUT", "PATCH", "DELETE") for name in WITH_ID},
    ("Endpoint", False, True): _OF_ALL,
    ("Endpoint", True, True): ("PUT", "DELETE"),
}
WITHOUT_TARGET = frozenset({_POINTERS, *_CATALOGUE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Enquiry:
    """One request to the proxy that is no message."""

    provider: str
    method: str
    resource: str  # the first part of the path
    resource_id: str | None
    query: str  # as it was written, without what was meant for the gateway
    target: TargetIdentifier | None  # None: the proxy needs none
    headers: Mapping[str, str]  # every header but Authorization
    body: bytes = b""
    is_template: bool = False  # whether its template is asked for, and not the resource itself
    urgent: bool = True  # somebody waits for the answer, at a screen or to send a message

    @property
    def path(self) -> str:
        """The path and query below the proxy's address."""
        path = f"/{self.resource}" + (f"/{self.resource_id}" if self.resource_id else "")
        path += f"/{TEMPLATE}" if self.is_template else ""
        return f"{path}?{self.query}" if self.query else path

    @property
    def is_kept(self) -> bool:
        """Whether an answer to it may be kept and given again."""
        return self.method == "GET" and self.resource in KEPT


@dataclass(frozen=True, slots=True, kw_only=True)
class BarsAnswer:
    """What came back, as it came."""

    http_status: int
    media_type: str
    body: bytes
    headers: Mapping[str, str]
    kept_since: datetime | None = None  # None: it is new


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """Nothing came back: a value, because a read may simply be asked again."""

    reason: str
    cure: str
    http_status: int  # how the gateway says it: 502, 503 or 504


class Reads(Protocol):
    """Whoever asks the proxy."""

    async def ask(
        self, enquiry: Enquiry, seconds: float | None = None, *, fresh: bool = False
    ) -> BarsAnswer | Unanswered:
        """Return the answer within *seconds*; *fresh*: not one that was kept."""


def methods_of(resource: str, *, has_id: bool, is_template: bool = False) -> tuple[str, ...]:
    """Return what the API has at that path; nothing: it has no such path."""
    return _METHODS.get((resource, has_id, is_template), ())


def is_preview(method: str, resource: str) -> bool:
    """Tell whether the guide only previews that operation."""
    return method != "GET" or resource not in READABLE


def accept_of(asked: str, core_version: str) -> str:
    """Return what to accept: what was asked for, JSON by default, in our version of Core."""
    first = asked.partition(",")[0].strip()
    if "version=" in first.lower():
        return first
    return f"{format_of(first) or Format.JSON}; version={core_version}"


def without(query: str, name: str) -> tuple[str, list[str]]:
    """Return *query* as it was written but for parameter *name*, and the values of that."""
    kept, values = [], []
    for part in filter(None, query.split("&")):
        key, _, value = part.partition("=")
        if unquote_plus(key) == name:
            values.append(unquote_plus(value))
        else:
            kept.append(part)
    return "&".join(kept), values
