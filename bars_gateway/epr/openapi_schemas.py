"""
JSON Schemas of all that the EPR reads, and of what it writes: moves and answers.

They say what this version writes, member by member. What a later one may add is in `contract`: a
list of values may grow unless it is `fixed`.
"""

from collections.abc import Iterable
from typing import Any

from bars_gateway.model.messages import NoticeKind, OutboundState
from bars_gateway.standard.answers import REFUSALS
from bars_gateway.standard.applications import USE_CASE_NAMES
from bars_gateway.standard.compositions import COMPOSITIONS
from bars_gateway.standard.findings import SHOWN, Reconciliation
from bars_gateway.standard.links import By, Relation
from bars_gateway.standard.meaning import Reason, Said
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.verdict import FaultSide, Verdict
from bars_gateway.standard.workflow import Move, RequestType, State

Schema = dict[str, Any]

_UUID = r"^ *[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12} *$"
_INBOUND_STATES = ("received",)


def text(description: str, **more: object) -> Schema:
    """Return the schema of a string."""
    return {"type": "string", "description": description, **more}


def number(description: str) -> Schema:
    """Return the schema of a whole number that is not negative."""
    return {"type": "integer", "minimum": 0, "description": description}


def instant(description: str) -> Schema:
    """Return the schema of an instant in UTC."""
    return text(description, format="date-time")


def uuid(description: str) -> Schema:
    """Return the schema of a UUID."""
    return text(description, format="uuid")


def one_of(values: Iterable[str], description: str) -> Schema:
    """Return the schema of a code."""
    return text(description, enum=sorted(values))


def fixed(values: Iterable[str], description: str) -> Schema:
    """Return the schema of a code to which no version of the contract adds another."""
    return one_of(values, description) | {"x-fixed": True}


def or_null(schema: Schema) -> Schema:
    """Return *schema*, or null where there is no value."""
    description = schema.pop("description", None)
    nullable: Schema = {"anyOf": [schema, {"type": "null"}]}
    return nullable if description is None else nullable | {"description": description}


def list_of(schema: Schema, description: str) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": schema, "description": description}


def ref(name: str) -> Schema:
    """Return a reference to another of these schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def closed(description: str, **members: Schema) -> Schema:
    """Return the schema of an object that has these members, all of them, and no other."""
    return {
        "type": "object",
        "description": description,
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


def _ids() -> dict[str, Schema]:
    return {
        "request_id": uuid("X-Request-Id: the same at every attempt"),
        "correlation_id": uuid("X-Correlation-Id of the conversation"),
        "bundle_id": text("Bundle.id"),
        "message_id": number("the gateway's number of the message"),
        "workflow_id": number("the gateway's number of the workflow"),
    }


def _about() -> dict[str, Schema]:
    return {
        "move": one_of(Move, "what the message does to its workflow"),
        "use_case": text("code of the use case", examples=sorted(USE_CASE_NAMES)[:2]),
        "sender": text("target identifier: system|value"),
        "receiver": text("target identifier: system|value"),
    }


def _state() -> Schema:
    return fixed({*OutboundState, *_INBOUND_STATES}, "where the message is; software looks here")


def _last_answer() -> dict[str, Schema]:
    return {
        "http_status": or_null(number("of the last attempt")),
        "code": or_null(text("the standard's code")),
        "issue": or_null(text("FHIR's issue type")),
        "fault": or_null(one_of(FaultSide, "on whose side the cause lies")),
    }


_ISSUE = closed(
    "One rule that is broken.",
    rule=text("its id"),
    path=text("where: a FHIR path, or the name of a header or member"),
    problem=text("what is wrong and what to do, without content"),
)
_WARNING = closed(
    "What is not as it should be; the message was taken all the same.",
    **_ISSUE["properties"],
    refused_in_production={
        "type": "boolean",
        "description": "whether the message would not be taken where environment is prod",
    },
)


def _unchecked() -> Schema:
    meaning = "why nobody knew, when it came, whether its service takes it"
    return or_null(text(f"{meaning}; null: it does, or this is not a new request"))


_RECEIPT = closed(
    "The message is on disk and will be sent.",
    **{name: schema for name, schema in _ids().items() if name != "bundle_id"},
    receiver=text("target identifier: system|value"),
    fingerprint=text("SHA-256 of the bytes that were submitted"),
    accepted_at=instant("when"),
    target_unchecked=_unchecked(),
    warnings=list_of(ref("Warning"), "what lint --strict warns of, as it was when it was taken"),
)

_REFUSAL = closed(
    "The message was not taken, and why.",
    error=text("what happened"),
    cure=text("what to do"),
    request_id=or_null(uuid("of the message that was taken before, if it is refused for that")),
    code=or_null(text("the standard's code, where the Receiver or BaRS has refused it")),
    issues=list_of(ref("Issue"), "every reason"),
    warnings=list_of(ref("Issue"), "what else is not as it should be"),
)

_PROBLEM = closed("What went wrong.", error=text("what happened"), cure=text("what to do"))

_NOTICE = closed(
    "Something that the gateway owes the EPR until it is collected.",
    notice_id=number("the EPR's key: a notice that comes twice keeps it"),
    kind=one_of(NoticeKind, "what it tells"),
    means=text("what is so and whether to act: for a screen, never for software"),
    remarks=list_of(one_of(Remark, ""), "what a person should know beside what it tells"),
    modifiers=list_of(ref("Issue"), "of a message that came: what may change its meaning"),
    created_at=instant("when it was written"),
    collected_at=or_null(instant("when the EPR took it; by folder, when it was written for it")),
    provider=text("as in the settings"),
    direction=fixed(("inbound", "outbound"), "of the message"),
    state=_state(),
    **_about(),
    **_ids(),
    reference=or_null(text("the case number that this gateway gave to it")),
    attempts=number("how often it was posted"),
    **_last_answer(),
    media_type=text("of the Bundle"),
    fingerprint=text("SHA-256 of the Bundle"),
    answer_media_type=or_null(text("of the answer; null: there is none to read")),
    says=or_null(one_of(Said, "what the Responder says with it, of a response")),
    reason_code=or_null(one_of(Reason, "why it was rejected, where a code says so")),
    resend_of=or_null(uuid("of the message whose payload this one sends again")),
    reconciled=or_null(one_of(Reconciliation, "what came of looking for the Receiver's id")),
    focus_id=or_null(text("what the Receiver calls the record, where that is known")),
    shown=or_null(one_of(SHOWN, "what was read there: the status that ended the record")),
    links=list_of(ref("Link"), "what belongs to its workflow, oldest first"),
)

_ROW: dict[str, Schema] = {
    **_ids(),
    "direction": fixed(("inbound", "outbound"), "of the message"),
    "state": _state(),
    "means": text("what is so and whether to act: for a screen, never for software"),
    **_about(),
    "attempts": number("how often it was posted"),
    "next_attempt_at": or_null(instant("when it is due to be posted")),
    "give_up_at": or_null(instant("when the gateway stops asking")),
    "created_at": instant("when it was taken"),
    "settled_at": or_null(instant("when its fate was known")),
    "target_unchecked": _unchecked(),
}

_ATTEMPT = closed(
    "One POST of a message.",
    number=number("counted from 1"),
    started_at=instant("when it began"),
    ended_at=instant("when its answer was there, or was given up"),
    verdict=one_of(Verdict, "what it led to"),
    row=text("the row of the table of answers that fitted"),
    **_last_answer(),
)

_WORKFLOW = closed(
    "One referral, validation or booking.",
    workflow_id=number("the gateway's number"),
    request_type=one_of(RequestType, "what it is about"),
    role=fixed(("requester", "responder"), "ours"),
    counterparty=text("target identifier of the other side"),
    state=one_of(State, "where it is"),
    opened_at=instant("when it began"),
    closed_at=or_null(instant("when it ended")),
    answer_due_at=or_null(instant("when the Responder owes an answer")),
    told_status=or_null(text("how far the Responder says it is: its Encounter.status")),
    links=list_of(ref("Link"), "what belongs to it, oldest first"),
)

_LINK = closed(
    "Another workflow that belongs to this one.",
    relation=one_of(Relation, "what the other is to this one"),
    by=one_of(By, "what says that they belong together"),
    workflow_id=number("the gateway's number of the other"),
    request_type=one_of(RequestType, "what the other is about"),
    role=fixed(("requester", "responder"), "ours in the other"),
    state=one_of(State, "where the other is"),
    focus_id=or_null(text("what the Receiver calls the other, where that is known")),
)

_MESSAGE = closed(
    "One message with all that happened to it.",
    **_ROW | {"attempts": list_of(ref("Attempt"), "every POST, in order")},
    workflow=ref("Workflow"),
    events=list_of(
        closed("A line of the audit trail.", at=instant("when"), kind=text("what")), "in order"
    ),
)

_QUESTION = closed(
    "What another organisation waits to hear from the EPR.",
    question_id=number("the EPR's key: a question that is shown again keeps it"),
    operation=text("$process-message, or a method and a resource type"),
    means=text("what is asked: a sentence for a screen"),
    state=fixed(("open", "answered"), "whether it waits for an answer"),
    asked_at=instant("when the request was there"),
    answer_by=instant("when the other side stops waiting"),
    decided_at=or_null(instant("when it was answered")),
    accepted=or_null({"type": "boolean", "description": "yes or no"}),
    provider=text("as in the settings"),
    request_id=uuid("X-Request-Id"),
    correlation_id=uuid("X-Correlation-Id"),
    media_type=or_null(text("of the Bundle or resource; null: there is none to read")),
    known=or_null(
        {
            "type": "boolean",
            "description": "whether this gateway knows the record that is to be changed: where it"
            " does not, the EPR alone can; null: nothing is changed",
        }
    ),
    proposed_focus_id=or_null(text("the id that a yes gives to what is new")),
    proposed_reference=or_null(text("the case number that goes with it")),
)
# The parameters of a read: all of one search, or of the other, or none.
_SLOT_SEARCH: dict[str, Schema] = {
    "service": text("of slots: the id of the service, without its system"),
    "begins_from": instant("of slots: the earliest that one may begin"),
    "begins_until": instant("of slots: the latest that one may begin"),
    "statuses": list_of(one_of(("free", "busy"), ""), "of slots: which are asked for"),
    "includes": list_of(text(""), "of slots: what is to be given with them, as it was asked"),
}
_PATIENT_SEARCH: dict[str, Schema] = {
    "identifier_system": or_null(text("of a patient: the system of the number; null: not given")),
    "identifier_value": or_null(text("of a patient: the number; null: asked by name")),
    "name": or_null(text("of a patient")),
    "birth_date": or_null(text("of a patient", format="date")),
    "postcode": or_null(text("of a patient")),
    "reference": or_null(text("of a ServiceRequest: its identifier, such as a case number")),
}
# What a question has besides: of a message what it is, of a request for a resource what is asked.
QUESTION_ABOUT: dict[str, Schema] = {
    **_about(),
    "request_type": one_of(RequestType, "what it is about"),
    "bundle_id": text("Bundle.id"),
    "focus_id": or_null(text("the id of the record that is to be changed")),
    "responds_to": or_null(text("of a response: the Bundle.id of the request that it answers")),
    "appointment_until": or_null(instant("when the appointment in it ends")),
    "answer_due_at": or_null(instant("when an answer to it is owed, if it is taken")),
    "warn_at": or_null(instant("when the EPR is told that it is due soon")),
    "remarks": list_of(one_of(Remark, ""), "what a person should know before deciding"),
    "modifiers": list_of(ref("Issue"), "of a message: what may change its meaning"),
    "workflow_id": number("of a response: the gateway's number of the workflow"),
    "says": or_null(one_of(Said, "of a response: what the Responder says with it")),
    "reason_code": or_null(one_of(Reason, "of a response: why it was rejected")),
    "reason": text("of a response: code of MessageHeader.reason"),
    "resource_id": or_null(text("of a resource: the id in the path; null: all that fit")),
    "parameters": {
        "type": "object",
        "description": "of a resource: the parameters of the search, as they were understood;"
        " none where one resource is asked for",
        "properties": {**_SLOT_SEARCH, **_PATIENT_SEARCH},
        "additionalProperties": False,
    },
    "query": text("of a resource: the query as it came"),
}
_QUESTION["properties"] |= QUESTION_ABOUT

_DECIDED = closed(
    "How a question was decided.",
    question_id=number("which"),
    request_id=uuid("X-Request-Id"),
    accepted={"type": "boolean", "description": "yes or no"},
    http_status=number("what the other side gets"),
    decided_at=instant("when"),
    late={"type": "boolean", "description": "whether the other side had stopped waiting"},
    means=text("what the Sender knows of it: a sentence for a screen"),
)

_ANSWER: Schema = {
    "description": "The EPR's answer: yes, no, or the FHIR resource that was asked for.",
    "anyOf": [
        {
            "type": "object",
            "properties": {
                "accept": {"const": True, "description": "yes, it may be so"},
                "focus_id": text("the EPR's own id for what is new: a UUID", pattern=_UUID),
                "reference": text(
                    "the EPR's own case number for it: letters and digits of ASCII, blanks, and"
                    " . _ / -, 64 at most; never a patient's",
                    pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/-]{0,63}$",
                ),
            },
            "required": ["accept"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"refuse": one_of(REFUSALS, "why not")},
            "required": ["refuse"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"resourceType": text("that of the FHIR resource that was asked for")},
            "required": ["resourceType"],
            "additionalProperties": True,
        },
    ],
}

_CONTRACT = closed(
    "Which contract this gateway keeps with its EPR: docs/epr-contract.md.",
    contract=text("its version: two numbers", pattern=r"^[0-9]+\.[0-9]+$"),
    software={"const": "bars_gateway", "description": "who writes these documents"},
    version=text("of the software"),
    provider=text("whose EPR this is for, as in the settings"),
    tells=one_of(("socket", "folder"), "where notices come"),
    asks=one_of(("none", "socket", "folder"), "where questions come"),
)

SCHEMAS: dict[str, Schema] = {
    "Contract": _CONTRACT,
    "Receipt": _RECEIPT,
    "Refusal": _REFUSAL,
    "Problem": _PROBLEM,
    "Issue": _ISSUE,
    "Warning": _WARNING,
    "AnswerRefusal": closed(
        "The EPR's answer was not taken, and the question is as it was.",
        error=text("what happened"),
        cure=text("what to do"),
        issues=list_of(ref("Issue"), "every reason"),
    ),
    "Notice": _NOTICE,
    "Notices": closed(
        "Notices.",
        notices=list_of(ref("Notice"), "oldest first"),
        tells=one_of(("socket", "folder"), "where the settings have notices told"),
        means=or_null(text("why there are never any here, where they are told elsewhere")),
    ),
    "Row": closed("One line of the queue.", **_ROW),
    "Queue": closed("What is not settled.", messages=list_of(ref("Row"), "oldest first")),
    "Message": _MESSAGE,
    "Attempt": _ATTEMPT,
    "Workflow": _WORKFLOW,
    "Link": _LINK,
    "Question": _QUESTION,
    "Questions": closed(
        "Questions.",
        questions=list_of(ref("Question"), "oldest first"),
        asks=one_of(("none", "socket", "folder"), "where the settings have questions put"),
        means=or_null(text("why there are never any here, where they are put elsewhere")),
    ),
    "Answer": _ANSWER,
    "Decided": _DECIDED,
}


def _with(schema: Schema, **members: Schema) -> Schema:
    """Return the schema of an object that has further members."""
    return closed(schema["description"], **(schema["properties"] | members))


# What the door holds these to, and no more: what it refuses no EPR can have written before.
_ONE_LINE = r"^[^\u0000-\u001f\u007f-\u009f]*$"
_UUID_OR_NUMBER = r"^ *[0-9A-Fa-f-]{36} *$|^[0-9]{1,18}$"
_A_TEXT = {"minLength": 1, "maxLength": 4000}


def _may_be_null(schema: Schema) -> Schema:
    """Return *schema*, or null, which says as much as to leave it out."""
    return {**schema, "type": [schema["type"], "null"]}


_MOVE: Schema = {
    "type": "object",
    "description": "What has happened, or is wanted; the message for it is composed here.",
    "properties": {
        "submission_id": text(
            "your own key: the same words under it, however their JSON is written, are one message;"
            " others are refused. What was refused took none: it may be used again",
            minLength=1,
            maxLength=200,
            pattern=_ONE_LINE,
        ),
        "in_reply_to": {
            "anyOf": [
                {"type": "string", "pattern": _UUID_OR_NUMBER},
                {"type": "integer", "minimum": 0},
            ],
            "description": "`request_id` or `workflow_id` of a notice or receipt",
        },
        "move": one_of({row.move for row in COMPOSITIONS}, "what has happened, or is wanted"),
        "outcome": _may_be_null(
            text(
                "how it stands: the word that goes with the move",
                examples=["arrived", "no_action", "RRNA"],
                **_A_TEXT,
            )
        ),
        "text": _may_be_null(
            text(
                "the reason in words, for a rejection or a cancellation; refused elsewhere",
                **_A_TEXT,
            )
        ),
        "resources": _may_be_null(
            list_of(
                {
                    "type": "object",
                    "properties": {"resourceType": text("that of the FHIR resource")},
                    "required": ["resourceType"],
                    "additionalProperties": True,
                },
                "what only you know, in FHIR: a CarePlan, the clinician, a changed ServiceRequest",
            )
        ),
        "patient_changed": {
            "type": ["boolean", "null"],
            "description": "`true` where it names the patient otherwise than what it belongs to"
            " began with, and somebody has made sure that this is right; else it is refused",
        },
    },
    "required": ["submission_id", "in_reply_to", "move"],
    "additionalProperties": False,
}


def _bundle() -> Schema:
    return {"type": "object", "description": "the Bundle that was composed, as it is sent"}


MOVE_SCHEMAS: dict[str, Schema] = {
    "Move": _MOVE,
    "Made": _with(SCHEMAS["Receipt"], message=_bundle()),
    "MoveRefusal": _with(SCHEMAS["Refusal"], message=or_null(_bundle())),
}


def flag(description: str) -> Schema:
    """Return the schema of true or false."""
    return {"type": "boolean", "description": description}


def some(description: str, *required: str, **members: Schema) -> Schema:
    """Return the schema of an object of which only some members are required."""
    return {**closed(description, **members), "required": list(required)}
