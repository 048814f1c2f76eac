"""
The JSON that the EPR reads: receipts, refusals, notices, states, questions. Here only.

    Accepted ──receipt──►     NAME.receipt.json,  201 of POST /messages
    Issues ───refusal──►      NAME.reason.json,   422 of POST /messages
    Notice ───notice──►       N.outcome.json, N.notice.json
      └───────told────►       GET /notices
    MessageHistory ──state──► GET /messages/{request_id}
    Question ─question──►     N.question.json,    GET /questions
    Decided ──decided───►     N.decided.json,     200 of POST /questions/{id}/answer
    Issues ───answer_refusal► N.reason.json,      422 of it
    EprWays ──contract──►     contract.json,      GET /contract

Names are those of the glossary and of the store. Instants are UTC with a `Z`. A
member that has no value is there as `null`, so that a reader need not ask whether it
may be missing. `means` says in a sentence what is so and whether to act (the tables of
`standard.sentences`): it is text for people, and its wording may change at any time.
Software looks at `kind`, `state`, `says`, `remarks` and `reason_code`.

`docs/epr-contract.md` says what an EPR may rely on. Whoever adds a member, or a value to a list
that may grow, raises the second number of CONTRACT_VERSION; nothing else is ever changed.

What is the same twice reads the same twice: a receipt or a refusal holds nothing that
changes later, so a file that is written again after a crash is the same file.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import orjson
from aiohttp import web

from bars_gateway import __version__
from bars_gateway.epr.cures import OF_A_MOVE, cure_of
from bars_gateway.frozen import frozen
from bars_gateway.model.messages import Accepted, Attempt, Warned
from bars_gateway.model.questions import Decided, Question
from bars_gateway.model.readings import Link, MessageHistory, MessageRow, Notice
from bars_gateway.standard.issues import Issue, Severity
from bars_gateway.standard.sentences import Situation, means
from bars_gateway.standard.sentences.received import DECIDED, DECIDED_TOO_LATE, resource_request
from bars_gateway.standard.workflow import Move, RequestType

Document = dict[str, object]
CONTRACT_VERSION = "1.2"  # what was promised to EPRs, and what has been added since
_TOLD_ELSEWHERE = {
    "folder": (
        "This gateway writes its notices into inbox/new of the spool folder (notices = folder):"
        " they do not come here. Collect them there, or set notices to socket."
    ),
}
_ELSEWHERE = {
    "none": (
        "This gateway asks its EPR nothing any more (questions = none); what is here was asked"
        " before, and can still be answered."
    ),
    "folder": "This gateway puts its questions into the spool folder (questions = folder).",
}


@frozen(kw_only=True)
class EprWays:
    """By which door an EPR is told and asked, by the settings."""

    provider: str
    tells: str  # the setting `notices`
    asks: str  # the setting `questions`


def contract(ways: EprWays) -> Document:
    """Return which contract an EPR may rely on here, whose software keeps it, and by which door."""
    return {
        "contract": CONTRACT_VERSION,
        "software": "bars_gateway",
        "version": __version__,
        "provider": ways.provider,
        "tells": ways.tells,
        "asks": ways.asks,
    }


def receipt(accepted: Accepted) -> Document:
    """Return what tells the EPR that the message is on disk and will be sent."""
    return {
        "request_id": accepted.request_id,
        "correlation_id": accepted.correlation_id,
        "receiver": accepted.receiver,
        "fingerprint": accepted.fingerprint,
        "message_id": accepted.message_id,
        "workflow_id": accepted.workflow_id,
        "accepted_at": instant(accepted.accepted_at),
        "target_unchecked": accepted.target_unchecked,
        "warnings": [_warning(each) for each in accepted.warnings],
    }


def made(accepted: Accepted, message: bytes) -> Document:
    """Return the receipt for a move, with the message that was composed for it."""
    return {**receipt(accepted), "message": orjson.Fragment(message)}


def move_refusal(
    issues: Sequence[Issue],
    message: bytes | None,
    *,
    request_id: str | None = None,
    code: str | None = None,
) -> Document:
    """Return why a move is not made, with what was composed for it, if it came so far."""
    shown = None if message is None else orjson.Fragment(message)
    told = refusal(issues, request_id=request_id, code=code)
    return {**told, "cure": cure_of(_errors(issues), OF_A_MOVE), "message": shown}


def refusal(
    issues: Sequence[Issue], *, request_id: str | None = None, code: str | None = None
) -> Document:
    """Return why a submission is not taken: every issue with its rule, place and cure."""
    errors = _errors(issues)
    others = [issue for issue in issues if issue.severity is not Severity.ERROR]
    return {
        "error": _taken_before(errors, request_id)
        or f"the message was not taken, for {len(errors)} reason(s): nothing was sent",
        "cure": cure_of(errors),
        "request_id": request_id,
        "code": code,
        "issues": [_issue(issue) for issue in errors],
        "warnings": [_issue(issue) for issue in others],
    }


def _errors(issues: Sequence[Issue]) -> list[Issue]:
    return [issue for issue in issues if issue.severity is Severity.ERROR]


def _taken_before(errors: Sequence[Issue], request_id: str | None) -> str | None:
    """Return what is said of a message, or of a key, that was taken once: it may have been sent."""
    rules = {issue.rule for issue in errors}
    known = f" as {request_id}" if request_id else ""
    if "E04" in rules:
        return f"this message was taken before{known}, and is not taken a second time"
    if "E11" in rules:
        return f"a move with this submission_id was taken before{known}; this one was not"
    return None


def unknown(issues: Sequence[Issue]) -> Document:
    """Return the internal error with a submission, of which all may have been taken."""
    return {
        **refusal(issues),
        "error": "the gateway hit an internal error with this file, and does not know whether it"
        " was taken",
        "cure": "Drop it again: what was taken is never sent twice, and then has its receipt.",
    }


def problem(error: str, cure: str) -> Document:
    """Return what went wrong with a request, and what to do."""
    return {"error": error, "cure": cure}


def notice(value: Notice) -> Document:
    """Return everything that a notice tells."""
    return {
        "notice_id": value.notice_id,
        "kind": value.kind,
        "means": means(value.situation),
        "remarks": list(value.remarks),
        "modifiers": [_issue(each) for each in value.modifiers],
        "created_at": instant(value.created_at),
        "collected_at": instant(value.collected_at),
        "provider": value.provider,
        "direction": value.direction,
        "state": value.state,
        "move": value.move,
        "use_case": value.use_case,
        "sender": value.sender,
        "receiver": value.receiver,
        "request_id": value.request_id,
        "correlation_id": value.correlation_id,
        "bundle_id": value.bundle_id,
        "message_id": value.message_id,
        "workflow_id": value.workflow_id,
        "reference": value.reference,
        "attempts": value.attempts,
        "http_status": value.http_status,
        "code": value.code,
        "issue": value.issue,
        "fault": value.fault,
        "media_type": value.media_type,
        "fingerprint": value.fingerprint,
        "answer_media_type": value.answer_media_type,
        "says": value.says,
        "reason_code": value.reason_code,
        "resend_of": value.resend_of,
        "reconciled": value.reconciled,
        "focus_id": value.focus_id,
        "shown": value.shown,
        "links": [_link(link) for link in value.links],
    }


def told(notices: Sequence[Document], ways: EprWays) -> Document:
    """Return notices, and why there are never any where they are not told here."""
    return {
        "notices": list(notices),
        "tells": ways.tells,
        "means": _TOLD_ELSEWHERE.get(ways.tells),
    }


def state(history: MessageHistory, now: datetime) -> Document:
    """Return how far a message is: its state, its attempts, and the workflow it belongs to."""
    workflow = history.workflow
    return {
        **row(history.message, now),
        "attempts": [_attempt(attempt) for attempt in history.attempts],
        "workflow": {
            "workflow_id": workflow.workflow_id,
            "request_type": workflow.request_type,
            "role": workflow.role,
            "counterparty": workflow.counterparty,
            "state": workflow.state,
            "opened_at": instant(workflow.opened_at),
            "closed_at": instant(workflow.closed_at),
            "answer_due_at": instant(workflow.answer_due_at),
            "told_status": workflow.told_status,
            "links": [_link(link) for link in workflow.links],
        },
        "events": [{"at": instant(event.at), "kind": event.kind} for event in history.events],
    }


def _link(link: Link) -> Document:
    return {
        "relation": link.relation,
        "by": link.by,
        "workflow_id": link.workflow_id,
        "request_type": link.request_type,
        "role": link.role,
        "state": link.state,
        "focus_id": link.focus_id,
    }


def row(message: MessageRow, now: datetime) -> Document:
    """Return one line of the queue, as it is *now*."""
    return {
        "request_id": message.request_id,
        "correlation_id": message.correlation_id,
        "bundle_id": message.bundle_id,
        "message_id": message.message_id,
        "workflow_id": message.workflow_id,
        "direction": message.direction,
        "state": message.state,
        "means": means(message.seen_at(now)),
        "move": message.move,
        "use_case": message.use_case,
        "sender": message.sender,
        "receiver": message.receiver,
        "attempts": message.attempts,
        "next_attempt_at": instant(message.next_attempt_at),
        "give_up_at": instant(message.give_up_at),
        "created_at": instant(message.created_at),
        "settled_at": instant(message.settled_at),
        "target_unchecked": message.target_unchecked,
    }


def encode(document: Document) -> bytes:
    """Return *document* as JSON that people can read too, with a line feed at its end."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def json_answer(document: Document, status: int = 200) -> web.Response:
    """Return *document* as an answer on the socket."""
    return web.Response(body=encode(document), status=status, content_type="application/json")


def _attempt(attempt: Attempt) -> Document:
    return {
        "number": attempt.number,
        "started_at": instant(attempt.started_at),
        "ended_at": instant(attempt.ended_at),
        "verdict": attempt.verdict,
        "row": attempt.row,
        "fault": attempt.fault,
        "http_status": attempt.http_status,
        "code": attempt.code,
        "issue": attempt.issue,
    }


def _issue(issue: Issue) -> Document:
    return {"rule": issue.rule, "path": issue.path, "problem": issue.text}


def _warning(warned: Warned) -> Document:
    return {
        "rule": warned.rule,
        "path": warned.path,
        "problem": warned.problem,
        "refused_in_production": warned.refused_in_production,
    }


def instant(moment: datetime | None) -> str | None:
    """Return an instant as the EPR reads it."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def question(value: Question) -> Document:
    """Return everything that a question tells; the Bundle or resource is fetched apart."""
    return {
        "question_id": value.question_id,
        "operation": value.operation,
        "means": _meaning(value),
        "state": "open" if value.decided_at is None else "answered",
        "asked_at": instant(value.asked_at),
        "answer_by": instant(value.answer_by),
        "decided_at": instant(value.decided_at),
        "accepted": value.accepted,
        "provider": value.provider,
        "request_id": value.request_id,
        "correlation_id": value.correlation_id,
        "media_type": value.request.media_type if value.request else None,
        **_about(value),
        "proposed_focus_id": value.minted.focus_id if value.minted else None,
        "proposed_reference": value.minted.reference if value.minted else None,
    }


def _about(value: Question) -> Document:
    """Return what the message is, or what is read; what is new has no id of its own yet."""
    hidden = {"focus_id", "reference"} if value.minted else {"reference"}
    shown = {name: each for name, each in value.about.items() if name not in hidden}
    named = {"modifiers": [_issue(each) for each in value.modifiers]} if value.is_message else {}
    return {"known": None, **shown, **named}


def not_asked(provider: str) -> Document:
    """Return that nobody is asked here, and which setting says so."""
    return problem(
        f'providers.{provider}.questions is "none": this EPR is asked nothing. Bookings, updates,'
        " cancellations and reads of others are answered 501; a cancellation that comes is told in"
        " a notice",
        f'set providers.{provider}.questions to "socket" to be asked here, or to "folder", and'
        " restart the gateway",
    )


def listed(values: Sequence[Question], asks: str) -> Document:
    """Return open questions, and why there are never any where they are not asked here."""
    return {
        "questions": [question(each) for each in values],
        "asks": asks,
        "means": _ELSEWHERE.get(asks),
    }


def decided(value: Decided) -> Document:
    """Return how a question was decided, and what the Sender knows of it."""
    return {
        "question_id": value.question.question_id,
        "request_id": value.question.request_id,
        "accepted": value.question.accepted,
        "http_status": value.question.http_status,
        "decided_at": instant(value.question.decided_at),
        "late": value.late,
        "means": DECIDED_TOO_LATE if value.late else DECIDED,
    }


def answer_refusal(issues: Sequence[Issue]) -> Document:
    """Return why an answer was not taken."""
    return {
        "error": f"the answer was not taken, for {len(issues)} reason(s)",
        "cure": "Correct what the issues name and answer again, unless it was answered already.",
        "issues": [
            {"rule": issue.rule, "path": issue.path, "problem": issue.text} for issue in issues
        ],
    }


def _meaning(value: Question) -> str:
    about = value.about
    if not value.is_message:
        return resource_request(value.operation)
    return means(
        Situation(
            kind="question",
            direction="inbound",
            state="received",
            move=Move(str(about["move"])),
            request_type=RequestType(str(about["request_type"])),
            use_case=str(about["use_case"]),
            says=_text(about.get("says")),
            reason_code=_text(about.get("reason_code")),
            remarks=value.remarks,
        )
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
