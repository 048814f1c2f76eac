"""The replies of the reception: to a fate, to broken rules, to what this release does not do."""

from collections.abc import Sequence

import structlog

from bars_gateway.inbound.exchange import Reply
from bars_gateway.model.messages import (
    BundleReused,
    Conflicting,
    Fate,
    Met,
    Payload,
    Processing,
    Quarantined,
    RefusedBefore,
    Repeated,
    Taken,
)
from bars_gateway.standard import answers
from bars_gateway.standard.answers import Problem
from bars_gateway.standard.formats import Format
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.rules import errors

log = structlog.get_logger(__name__)

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
    return Reply(
        http_status=min(issue.http_status for issue in errors(list(issues))),
        written_in=Format.JSON,
        body=answers.outcome(issues),
        code=issues[0].code,
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
    if isinstance(fate, Taken):
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
