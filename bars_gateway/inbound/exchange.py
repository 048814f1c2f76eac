"""
What passes between the HTTP side and the one who decides about a request, and every reply.

    server ──InboundRequest──► Answerer ──Reply──► rendered: as asked for, packed ──► server

    Problem ──► problem_reply      Issues ──► refused      Fate ──► reply_to

Neither knows the other: the server of HTTP, limits and deadlines, the Answerer of BaRS
and the store. An answer that XML cannot carry leaves in the format in which it was composed: what
was decided, and is on disk, is worth more to the Sender than its format.

Replies are made here: to what HTTP alone decides, to broken rules, to a fate. Never 403, 503 or
504 for what a Sender must be able to read: the proxy replaces their bodies (D-lost-statuses). 503
is used where its meaning, try again later, is all there is to say. The guide has no code for 413
and 415, so the status says it, and the code is the one for a request that is not as it should be.
"""

import asyncio
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime
from typing import Protocol

import structlog

from bars_gateway.frozen import frozen
from bars_gateway.listeners import LONGEST_FIELD, LONGEST_LINE, MOST_HEADERS
from bars_gateway.model.messages import (
    BundleReused,
    Conflicting,
    Fate,
    Met,
    Payload,
    Processing,
    Quarantined,
    Received,
    RefusedBefore,
    Repeated,
)
from bars_gateway.standard import answers
from bars_gateway.standard.answers import Problem
from bars_gateway.standard.formats import LONG, Format, as_asked, to_tree
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.rules import as_answered

log = structlog.get_logger(__name__)

_GZIP_FROM_BYTES = 1024  # below, the packet is the same
_GZIP_LEVEL = 1
_NOT_WELCOME = frozenset({"q=0", "q=0.0", "q=0.00", "q=0.000"})


@frozen(kw_only=True)
class InboundRequest:
    """One request, complete, from a caller that may call."""

    headers: Mapping[str, str]  # names in lower case, values in ASCII, without Authorization
    written_in: Format
    answer_in: Format | Issue  # the issue: what is wrong with what was asked for (H11)
    body: bytes  # as it came
    received_at: datetime  # UTC; when its last byte had come
    peer: str  # the caller's address
    name: str = "$process-message"  # what is asked for, as `server` calls it: Slot, …
    method: str = "POST"
    resource_id: str | None = None  # of the path, as it came
    query: str = ""  # as it came, still encoded


@frozen(kw_only=True)
class Reply:
    """What goes back. The two ids are added to it, whatever it is."""

    http_status: int
    written_in: Format  # the server converts it for those who asked for the other one
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)  # beside the two ids
    code: str | None = None  # REC_CONFLICT, …: for the log line of the request


class Answerer(Protocol):
    """Decides about one request, and has that on disk before it says so."""

    async def __call__(self, request: InboundRequest) -> Reply:
        """Return the answer. Cancelled after `answer_within_seconds`: the Sender gets 408."""


class ByName:
    """Lets each request be answered by who answers for its name."""

    def __init__(self, answerers: Mapping[str, Answerer]) -> None:
        self._answerers = answerers

    async def __call__(self, request: InboundRequest) -> Reply:
        """Return the answer."""
        return await self._answerers[request.name](request)


async def rendered(reply: Reply, wanted: Format, accept_encoding: str) -> Reply:
    """Return *reply* in the format that was asked for, packed where that is welcome."""
    packs = len(reply.body) >= _GZIP_FROM_BYTES and _takes_gzip(accept_encoding)
    if len(reply.body) < LONG:
        return rendered_at_once(reply, wanted, packs=packs)
    return await asyncio.to_thread(rendered_at_once, reply, wanted, packs=packs)


def rendered_at_once(reply: Reply, wanted: Format, *, packs: bool = False) -> Reply:
    """Return *reply* in the format that was asked for; for answers that are short."""
    if reply.written_in is not wanted:
        body, written_in = as_asked(to_tree(reply.body, reply.written_in), wanted)
        reply = replace(reply, written_in=written_in, body=body)
    if packs:
        body = gzip.compress(reply.body, _GZIP_LEVEL, mtime=0)
        reply = replace(reply, body=body, headers={**reply.headers, "Content-Encoding": "gzip"})
    return reply


def _takes_gzip(accept_encoding: str) -> bool:
    choices = (choice.split(";") for choice in accept_encoding.lower().split(","))
    return any(
        name.strip() == "gzip" and "".join(parameters).replace(" ", "") not in _NOT_WELCOME
        for name, *parameters in choices
    )


NOT_ALLOWED = Problem(
    http_status=401,
    code="REC_UNAUTHORIZED",
    issue="security",
    text="The certificate of this connection is not, or no longer, on the list of callers.",
)
ENCODED = Problem(
    http_status=415,
    code="REC_BAD_REQUEST",
    issue="not-supported",
    text="Send the body as it is, or with the Content-Encoding gzip.",
)
NO_GZIP = Problem(
    http_status=400,
    code="REC_BAD_REQUEST",
    issue="structure",
    text="The body is not the whole gzip stream that its Content-Encoding promises.",
)
NO_FHIR = Problem(
    http_status=415,
    code="REC_BAD_REQUEST",
    issue="not-supported",
    text="This Receiver takes messages as application/fhir+json or application/fhir+xml.",
)
TOO_LARGE = Problem(
    http_status=413,
    code="REC_BAD_REQUEST",
    issue="too-long",
    text="The message is longer than this Receiver takes.",
)
BODY_LATE = Problem(
    http_status=408,
    code="REC_TIMEOUT",
    issue="timeout",
    text="The body did not arrive in time. Send the same message again.",
)
ANSWER_LATE = Problem(
    http_status=408,
    code="REC_TIMEOUT",
    issue="timeout",
    text="The message was not dealt with in time. Send it again with the same ids.",
)
NO_HTTP = Problem(
    http_status=400,
    code="REC_BAD_REQUEST",
    issue="structure",
    text="This is not a well-formed HTTP request.",
)
LINE_TOO_LONG = Problem(
    http_status=414,
    code="REC_BAD_REQUEST",
    issue="too-long",
    text=f"The request line is longer than {LONGEST_LINE} bytes. Ask for less at once.",
)
HEADERS_TOO_LONG = Problem(
    http_status=431,
    code="REC_BAD_REQUEST",
    issue="too-long",
    text=f"A header is longer than {LONGEST_FIELD} bytes, or there are more than {MOST_HEADERS}.",
)
UNAVAILABLE = Problem(
    http_status=503,
    code="REC_SERVICE_UNAVAILABLE",
    issue="transient",
    text="The Receiver cannot store messages at the moment. Send it again with the same ids.",
)
BUSY = Problem(
    http_status=503,
    code="REC_SERVICE_UNAVAILABLE",
    issue="transient",
    text="The Receiver is busy with long messages. Send it again with the same ids.",
)
STORE_TROUBLE = Problem(
    http_status=500,
    code="REC_SERVER_ERROR",
    issue="no-store",
    text="The Receiver could not store the message. Send it again with the same ids.",
)
UNEXPECTED = Problem(
    http_status=500,
    code="REC_SERVER_ERROR",
    issue="exception",
    text="The Receiver failed in a way that it did not foresee. Its operator has been told.",
)
NOT_OFFERED = Problem(
    http_status=501,
    code="REC_NOT_IMPLEMENTED",
    issue="not-supported",
    text="this Receiver takes new referrals, new validation requests and responses, and no more",
)
TOO_EARLY = Problem(
    http_status=425,
    code="REC_TOO_EARLY",
    issue="duplicate",
    text="the Receiver has not finished processing the previous attempt; send it again later",
)
UNATTENDED = Problem(
    http_status=503,
    code="REC_SERVICE_UNAVAILABLE",
    issue="transient",
    text="the system that decides about this is not connected; send it again with the same ids",
)
BUNDLE_REUSED = Issue(
    rule="B05",
    path="Bundle.id",
    text="was used by another message; a new message needs a new one",
)
NO_WORKFLOW = Problem(
    http_status=404,
    code="REC_NOT_FOUND",
    issue="not-found",
    text="MessageHeader.response.identifier names no message of this Receiver",
)
CONFLICT = Problem(
    http_status=409,
    code="REC_CONFLICT",
    issue="conflict",
    text="this X-Request-Id was used for another message; a new message needs a new one",
)


def refused(issues: Sequence[Issue]) -> Reply:
    """Return the answer that names every one of *issues*; malformed goes before unsupported."""
    first, *others = as_answered(issues)
    return Reply(
        http_status=first.http_status,
        written_in=Format.JSON,
        body=answers.outcome([first, *others]),
        code=first.code,
    )


def problem_reply(problem: Problem) -> Reply:
    """Return the answer that says what *problem* says."""
    return Reply(
        http_status=problem.http_status,
        written_in=Format.JSON,
        body=answers.problem_outcome(problem),
        code=problem.code,
    )


def reply_to(fate: Fate, answer: Payload) -> Reply:
    """Return what *fate* is answered with; *answer* is what a message that was taken gets."""
    if isinstance(fate, Received):
        return Reply(http_status=200, written_in=Format(answer.media_type), body=answer.body)
    return met_reply(fate)


def met_reply(met: Met) -> Reply:
    """Return the answer to a request that was not taken."""
    match met:
        case Repeated(reference=reference):
            return problem_reply(_duplicate(reference))
        case Conflicting():
            log.error("inbound.request_id_reused")
            return problem_reply(CONFLICT)
        case RefusedBefore(http_status=status, answer=before):
            return Reply(http_status=status, written_in=Format(before.media_type), body=before.body)
        case Quarantined(reason=reason, answer=not_found):
            log.error("inbound.quarantined", reason=reason)
            return Reply(http_status=404, written_in=Format.JSON, body=not_found.body)
        case Processing():
            return problem_reply(TOO_EARLY)
        case BundleReused():
            return refused([BUNDLE_REUSED])


def _duplicate(reference: str | None) -> Problem:
    known_as = f"; it is known here as {reference}" if reference else ""
    return Problem(
        http_status=409,
        code="REC_CONFLICT",
        issue="duplicate",
        text=f"this message has already been received and processed{known_as}",
    )
