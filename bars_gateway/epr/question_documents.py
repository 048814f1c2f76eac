"""
The JSON that the EPR reads about questions: what is asked, and how it was decided.

    Question ─► GET /questions, N.question.json        Decided ─► 200 of POST, N.decided.json
    Issues   ─► 422 of POST, N.reason.json

The rules are those of `documents`: names of the glossary, instants in UTC, `null` where
there is no value, and `means` for people.
"""

from collections.abc import Sequence

from bars_gateway.epr.documents import Document, instant, problem
from bars_gateway.model.questions import Decided, Question
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.sentences import Situation, means
from bars_gateway.standard.sentences.received import DECIDED, DECIDED_TOO_LATE, enquiry
from bars_gateway.standard.workflow import Move, Subject


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
    return {"known": None, **shown}


_ELSEWHERE = {
    "none": (
        "This gateway asks its EPR nothing any more (questions = none); what is here was asked"
        " before, and can still be answered."
    ),
    "folder": "This gateway puts its questions into the spool folder (questions = folder).",
}


def not_asked(provider: str) -> Document:
    """Return that by the settings nobody is asked here, and which of them says so."""
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


def refusal(issues: Sequence[Issue]) -> Document:
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
        return enquiry(value.operation)
    return means(
        Situation(
            kind="question",
            direction="inbound",
            state="received",
            move=Move(str(about["move"])),
            subject=Subject(str(about["subject"])),
            use_case=str(about["use_case"]),
            says=_text(about.get("says")),
            reason_code=_text(about.get("reason_code")),
            remarks=value.remarks,
        )
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
