"""What `--json` prints: for each command, what one line is about, and its members."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from bars_gateway.epr_check.findings import EprFinding
from bars_gateway.evidence.gaps import EvidenceGap
from bars_gateway.model.alerts import Alert
from bars_gateway.model.explanation import Explanation, Option, Told, Waits
from bars_gateway.model.interventions import Quarantine
from bars_gateway.model.messages import Attempt, Objection
from bars_gateway.model.readings import AuditLine, Debt, Link, MessageRow, SubjectHeld, WorkflowRow
from bars_gateway.model.retention import LinkedRecord, RecordHold
from bars_gateway.model.standing_alarms import Alarm
from bars_gateway.model.timeline import TimelineStep
from bars_gateway.model.trail import Breach, Seal
from bars_gateway.outbound.cache import CachedAnswer
from bars_gateway.safety.incident import DraftedStep, IncidentDraft, IncidentMessage, ToldNotice
from bars_gateway.safety.report import CounterLine, HandlingLine, SafetyReport
from bars_gateway.store import aftermath
from bars_gateway.store.counterparties import Counterparty
from bars_gateway.store.explanations import Elsewhere
from bars_gateway.store.figures import AnswerTimes, Backlog, Flow, Traffic
from bars_gateway.store.sqlite.adopted import StandsAgain
from bars_gateway.store.timeline import Timeline


@dataclass(frozen=True)
class Line:
    """One JSON document on a line of its own."""

    of: str
    members: Sequence[str]
    kind: type | None = None  # of which these are the fields, and more


def _names(kind: type) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind))  # type: ignore[arg-type]


_MESSAGE = (*_names(MessageRow), "means")
_DONE = ("verb", "request_id", "state", "done", "objection", "may_happen", "resent_as", "also")
_HELD = ("counts", "last_change_at")
_HOLD = (
    *("hold_id", "provider", "workflow_id", "quarantine_id", "held_at", "held_by", "why"),
    *("released_at", "released_by", "released_why", "linked"),
)
LINES: Mapping[str, Line] = {
    "queue": Line("a message that is not settled", _MESSAGE, MessageRow),
    "show": Line(
        "a message with that X-Request-Id", ("message", "workflow", "attempts", "events", "held")
    ),
    "explain": Line(
        "a message with that id",
        (*_names(Explanation), "handled_in_words", "turn_in_words", "fault_in_words"),
        Explanation,
    ),
    "explain (no message)": Line(
        "where an id that is of no message was met", (*_names(Elsewhere), "in_words"), Elsewhere
    ),
    "timeline": Line("the conversation", _names(Timeline), Timeline),
    "owed": Line("an answer that is owed", (*_names(Debt), "overdue"), Debt),
    "counterparties": Line(
        "a service at the other side",
        (*_names(Counterparty), "in_words", "success", "publishes"),
        Counterparty,
    ),
    "audit": Line("a line of the audit trail", _names(AuditLine), AuditLine),
    "audit verify": Line(
        "the audit trail",
        (
            *("database", "lines", "begins_after", "removed", "line", "hash", "seals"),
            *("held_against", "forgotten", "breaches", "more"),
        ),
    ),
    "audit seals": Line("the seal of a day", _names(Seal), Seal),
    "audit export": Line("the export", ("file", "lines", "digests", "line", "hash")),
    "stats": Line(
        "what flows and waits",
        (*_names(Traffic), "at", "ages", "shares_day", "shares_month"),
        Traffic,
    ),
    "safety report": Line(
        "the whole report", (*_names(SafetyReport), "provider", "version"), SafetyReport
    ),
    "incident": Line(
        "the draft", (*_names(IncidentDraft), "at", "version", "environment", "text"), IncidentDraft
    ),
    "alarms": Line("an alarm that stands", _names(Alarm), Alarm),
    "alerts": Line("an alert that is open", _names(Alert), Alert),
    "users list": Line("a user of the console", ("name", "roles")),
    "quarantine": Line("a quarantined response", _names(Quarantine), Quarantine),
    "cache list": Line("an answer that is kept", _names(CachedAnswer), CachedAnswer),
    "cache clear": Line("what was forgotten", ("forgotten",)),
    "evidence gaps": Line("one thing that is missing", _names(EvidenceGap), EvidenceGap),
    "check": Line("a problem, or a doubt", ("severity", "text")),
    "config": Line("a setting", ("key", "value", "origin", "description")),
    "doctor": Line("the whole report", ("environment", "worst", "at", "findings")),
    "lint": Line(
        "a finding",
        ("file", "line", "severity", "rule", "path", "text", "refused_in_production"),
    ),
    "send": Line("a file", ("file", "accepted", "answer")),
    "hold": Line("a message", _DONE),
    "release": Line("a message", _DONE),
    "withdraw": Line("a message", _DONE),
    "retry": Line("a message", _DONE),
    "resend": Line("a message", _DONE),
    "mark-handled": Line("an alarm", ("name", "alarm", "objection", "done")),
    "acknowledge": Line(
        "the alert",
        ("alert_id", "code", "says", "urgent", "state", "since", "acknowledged_by"),
    ),
    "attach": Line(
        "the response",
        ("quarantine_id", "workflow_id", "dry_run", "done", "state", "objection"),
    ),
    "confirm": Line("the workflow", ("workflow_id", "dry_run", "done", "state", "objection")),
    "subject": Line(
        "what is held about that person; a file: kind, path, changed_at",
        _names(SubjectHeld),
        SubjectHeld,
    ),
    "encryption show": Line(
        "how what is stored is encrypted",
        ("key_id", "keys", "copied", "needed", "done", "place", "changed", "left_over"),
    ),
    "purge": Line(
        "what would leave of a class (--dry-run)",
        ("class", "would_leave", "kept", "open", "counts_to", "night_counts_to"),
    ),
    "purge --certificates": Line(
        "what a purge has removed",
        (
            *("purge_id", "provider", "began_by", "why", "began_at", "counts_to"),
            *("ended_at", "removed", "rules", "classes"),
        ),
    ),
    "purge --verify": Line("what was found", ("purge_id", "proven", "problems")),
    "hold-record": Line("what is held now", ("dry_run", "records", "linked_records", "holds")),
    "release-record": Line(
        "what is held no more", ("dry_run", "records", "linked_records", "holds")
    ),
    "held-records": Line("a legal hold", _HOLD),
    "epr-check": Line("what was found by one rule", _names(EprFinding), EprFinding),
    "nodes list": Line(
        "a gateway of the database",
        (
            *("name", "version", "started_at", "seen_at", "is_away"),
            *("clock_ahead_seconds", "alone_does"),
        ),
    ),
    "store copy": Line(
        "what was copied", ("from", "to", "rows", "digest", "line", "hash", "problems")
    ),
    "backup": Line("the copy", ("file", "database", "bytes", "line", "hash", *_HELD)),
    "verify": Line("the database", ("database", "schema", *_HELD, "damaged", "problems")),
    "restore": Line(
        "the restore",
        ("kept", "condition", "since", "listed", "uncollected", "messages", "alarms"),
    ),
    "restore (no FILE)": Line(
        "what was made safe", ("database", "since", "messages", "uncollected")
    ),
    "restore --hand-over": Line("what was handed over", ("listed", "messages", "alarms")),
}
# What a member is made of, where it is a document or a list of them.
PARTS: Mapping[str, Line] = {
    "workflow, workflows": Line("a workflow", _names(WorkflowRow), WorkflowRow),
    "links": Line("another workflow that belongs to it", _names(Link), Link),
    "attempts, last": Line("a POST", _names(Attempt), Attempt),
    "events": Line("a line of the audit trail of one message", ("at", "kind", "detail")),
    "happened, steps": Line("one thing that happened", _names(TimelineStep), TimelineStep),
    "waits": Line("one thing that is waited for", _names(Waits), Waits),
    "may": Line("one verb: allowed where objection is null", _names(Option), Option),
    "told": Line("a notice that the EPR was given", _names(Told), Told),
    "breaches": Line("one thing that is wrong", (*_names(Breach), "says", "advice"), Breach),
    "objection": Line("why a verb is not carried out", _names(Objection), Objection),
    "publishes": Line("what a service says about itself", ("resource", "provider", "known_since")),
    "outbound, inbound": Line("what went that way", _names(Flow), Flow),
    "day, month": Line("how fast others answered", _names(AnswerTimes), AnswerTimes),
    "backlog": Line("what waits for one Receiver", _names(Backlog), Backlog),
    "involved": Line("a message of the incident", _names(IncidentMessage), IncidentMessage),
    "course, beside": Line("one thing that happened", _names(DraftedStep), DraftedStep),
    "notices": Line("what our EPR was told", _names(ToldNotice), ToldNotice),
    "desks": Line("whom it goes to", ("desk", "name", "address", "telephone", "how", "asks")),
    "held": Line("by whom and why it is kept from every purge", _names(RecordHold), RecordHold),
    "holds": Line("a legal hold", _HOLD),
    "linked": Line("a workflow that is linked to what is held", _names(LinkedRecord), LinkedRecord),
    "findings": Line(
        "one thing that was looked at",
        ("name", "group", "title", "grade", "seen", "why", "cure", "ask"),
    ),
    "rules": Line("how long a class is kept", ("class", "provider", "use_case", "days")),
    "classes": Line(
        "what left of a class",
        ("class", "removed", "by_rule", "digest", "numbers", "ended_at"),
    ),
    "messages of restore": Line(
        "a message that is concerned", _names(aftermath.Line), aftermath.Line
    ),
    "alarms of restore": Line("an alarm that stands again", _names(StandsAgain), StandsAgain),
    "counters": Line("a counter of the hazard log", _names(CounterLine), CounterLine),
    "handling": Line("how alarms of one kind were handled", _names(HandlingLine), HandlingLine),
}
