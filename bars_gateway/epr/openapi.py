"""
The socket in the words of OpenAPI 3.1: what can be asked, and what every answer holds.

    OPERATIONS ──────┐
                     ├─► document() ──► contract.described() ──► GET /openapi.json
    openapi_schemas ─┘

The documents in the folders are the same as those on the socket, so their schemas are too.
The lists of values come from the code. A test asks a running gateway all of this and holds
its answers against the schemas, in which no member may be missing and none may be extra.
"""

from collections.abc import Mapping

from bars_gateway import __version__
from bars_gateway.epr.documents import CONTRACT_VERSION
from bars_gateway.epr.envelope import (
    NEEDED_BY_HEADER,
    PATIENT_CHANGED_HEADER,
    PRACTITIONER_HEADER,
)
from bars_gateway.epr.openapi_orders import ORDER_SCHEMAS
from bars_gateway.epr.openapi_records import RECORD_SCHEMAS
from bars_gateway.epr.openapi_schemas import (
    MOVE_SCHEMAS,
    SCHEMAS,
    Schema,
    instant,
    one_of,
    ref,
    text,
    uuid,
)
from bars_gateway.epr.read_requests import ANSWERED_BY, METHODS, PATHS, PROVED, TO
from bars_gateway.model.interventions import Verb
from bars_gateway.standard.headers import CORRELATION_ID
from bars_gateway.standard.reads import PREVIEW, READABLE, TEMPLATE

_ANY: Schema = {"*/*": {"schema": {}}}
_WHOSE: Schema = {
    ANSWERED_BY: {
        "description": "whose answer it is",
        "schema": {"enum": ["bars", "cache", "gateway"]},
    },
    PROVED: {
        "description": "whether it says itself that it answers what was asked",
        "schema": {"enum": ["yes", "no"]},
    },
}
_OF = {"": "", "/{id}": "_one", f"/{{id}}/{TEMPLATE}": "_template"}
_FHIR = ("application/fhir+json", "application/fhir+xml")
_BODY: Schema = {name: {"schema": {}} for name in _FHIR}
_TO_EVERYTHING = (
    (500, "the gateway hit an internal error", "Problem"),
    (503, "try again later", "Problem"),
)
_NOT_THERE = (404, "there is no such thing", "Problem")
_NO_NUMBER = (400, "a parameter is not a number", "Problem")
_NOBODY_ASKED = (501, "by the settings this EPR is asked nothing", "Problem")
_PACKED = (415, "its Content-Encoding is not read here", "Problem")
_ORDER_ANSWERS = (
    (408, "the body did not arrive in time", "Problem"),
    (413, "it is too large", "Problem"),
    _PACKED,
    (422, "the order cannot be understood: nothing was done", "OrderProblem"),
)
_DESCRIBE: Schema = {
    "operationId": "describe",
    "summary": "What can be asked, for people",
    "responses": {"200": {"description": "a list"}},
}
_OPENAPI: Schema = {
    "operationId": "openapi",
    "summary": "This document",
    "responses": {"200": {"description": "OpenAPI 3.1"}},
}


def _parameter(name: str, where: str, schema: Schema) -> Schema:
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "description": schema.pop("description"),
        "schema": schema,
    }


def _own_or_theirs(meaning: str) -> Schema:
    """Ours is a Problem; theirs may be anything, JSON among it: a header says whose it is."""
    schema = {"anyOf": [ref("Problem"), {}]}
    return {
        "description": meaning,
        "headers": _WHOSE,
        "content": {"application/json": {"schema": schema}, **_ANY},
    }


def _operation(method: str, path: str) -> Schema:
    names = sorted(READABLE | PREVIEW) if method == "GET" else sorted(PREVIEW)
    parameters = [
        _parameter("resource", "path", text("what is asked for", enum=names)),
        _parameter(TO, "query", text("target identifier of who is asked: system|value")),
    ]
    if "{id}" in path:
        parameters.append(_parameter("id", "path", text("the id that they gave to it")))
    reading = method == "GET"
    return {
        "operationId": f"ask_{method.lower()}{_OF[path.partition('{resource}')[2]]}",
        "summary": "Ask another organisation, through BaRS"
        if reading
        else "A preview operation, where the settings let it pass",
        "description": "Every other parameter is passed on as it is written.",
        "parameters": parameters,
        **({} if reading or method == "DELETE" else {"requestBody": {"content": _BODY}}),
        "responses": {
            "default": {
                "description": "their answer, or BaRS's: status and bytes as they came",
                "headers": _WHOSE,
                "content": _ANY,
            },
            "500": _own_or_theirs("the gateway hit an internal error, or theirs"),
            "501": _own_or_theirs("it is a preview operation, and switched off; or theirs"),
            "502": _own_or_theirs("no answer came, or theirs"),
            "503": _own_or_theirs("no access token, or theirs"),
            "504": _own_or_theirs("no answer came in time, or theirs"),
        },
    }


READ_OPERATIONS: Mapping[tuple[str, str], Schema] = {
    (method.lower(), path): _operation(method, path) for path in PATHS for method in METHODS
}


def _answers(*answers: tuple[int, str, str]) -> dict[str, Schema]:
    """Return the responses: status, what it means, and which schema the body has."""
    return {
        str(status): {
            "description": meaning,
            "content": {"application/json": {"schema": ref(name)}},
        }
        for status, meaning, name in (*answers, *_TO_EVERYTHING)
    }


def _query(name: str, kind: str, default: int, description: str) -> Schema:
    schema = {"type": kind, "minimum": 0, "default": default, "description": description}
    return _parameter(name, "query", schema)


_REQUEST_ID = _parameter("request_id", "path", uuid("request_id of the receipt"))
_NUMBER = _parameter("id", "path", {"type": "integer", "minimum": 1, "description": "its number"})
_WAIT = _query("wait", "number", 0, "seconds to wait until there is one; 60 at most")

_SUBMIT: Schema = {
    "operationId": "submit",
    "summary": "Submit a message: it is on disk when this is answered with success",
    "parameters": [
        _parameter(CORRELATION_ID, "header", uuid("of a conversation to go on with")),
        _parameter(NEEDED_BY_HEADER, "header", instant("the clinical time that ends the retries")),
        _parameter(PRACTITIONER_HEADER, "header", text("a PractitionerRole: Base64 of its JSON")),
        _parameter(
            PATIENT_CHANGED_HEADER,
            "header",
            one_of(
                ("true", "false"),
                "a response, update or cancellation names the patient otherwise than what it"
                " belongs to began with, and somebody has made sure that this is right",
            ),
        ),
    ],
    "requestBody": {
        "required": True,
        "description": "a FHIR message Bundle, which is sent as these bytes; `application/json` is"
        " read as FHIR's JSON, and leaves as `application/fhir+json`",
        "content": {name: {"schema": {}} for name in (*_FHIR, "application/json")},
    },
    "responses": _answers(
        (201, "taken", "Receipt"),
        (200, "the same bytes were taken before, and not in vain: their receipt", "Receipt"),
        (408, "the body did not arrive in time", "Problem"),
        (409, "its workflow is past it: cure says what to do", "Refusal"),
        (413, "it is too large", "Refusal"),
        (415, "it is neither JSON nor XML of FHIR, or is packed otherwise", "Refusal"),
        (422, "it breaks rules; or (E04) was taken before, and ended badly", "Refusal"),
    ),
}


def _get(name: str, summary: str, *answers: tuple[int, str, str], **more: object) -> Schema:
    return {
        "operationId": name,
        "summary": summary,
        "responses": _answers(*answers),
        **more,
    }


def _read(name: str, summary: str, *answers: tuple[int, str, str]) -> Schema:
    """Return a GET of bytes as they came."""
    operation = _get(name, summary, _NOT_THERE, *answers, parameters=[_NUMBER])
    operation["responses"]["200"] = {
        "description": "byte for byte as it came",
        "content": {name: {"schema": {}} for name in _FHIR},
    }
    return operation


_COLLECT: Schema = {
    "operationId": "collect",
    "summary": "Say that a notice is here, so that it is not told again",
    "parameters": [_NUMBER],
    "responses": {"204": {"description": "it is remembered"}, **_answers(_NOT_THERE)},
}
_DECIDE: Schema = {
    "operationId": "answer_question",
    "summary": "Answer a question; the same answer may be given again",
    "parameters": [_NUMBER],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": ref("Answer")}}
        | {name: {"schema": {}} for name in _FHIR},
    },
    "responses": _answers(
        (200, "this is what the other side gets", "Decided"),
        _NOT_THERE,
        (408, "the body did not arrive in time", "Problem"),
        (409, "it was answered before, in other words: those stand", "AnswerRefusal"),
        (413, "it is too large", "AnswerRefusal"),
        _PACKED,
        (422, "it cannot be used, and the question stays open", "AnswerRefusal"),
        _NOBODY_ASKED,
    ),
}
_VERB = _parameter("verb", "path", one_of(Verb, "what to do"))


def _order(name: str, summary: str, schema: str, *answers: tuple[int, str, str]) -> Schema:
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": ref(schema)}},
        },
        "responses": _answers(*answers, *_ORDER_ANSWERS),
    }


_MAKE: Schema = {
    "operationId": "make_move",
    "summary": "Say what has happened: the message for it is composed, checked and queued",
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": ref("Move")}},
    },
    "responses": _answers(
        (201, "composed and taken", "Made"),
        (200, "the same was composed before: its receipt", "Made"),
        (404, "there is no such workflow", "MoveRefusal"),
        (408, "the body did not arrive in time", "Problem"),
        (409, "the workflow is past it, or submission_id was used", "MoveRefusal"),
        (413, "it is too large", "Problem"),
        _PACKED,
        (422, "something is missing or wrong: nothing was sent", "MoveRefusal"),
    ),
}

OPERATIONS: Mapping[tuple[str, str], Schema] = {
    ("get", "/"): _DESCRIBE,
    ("get", "/openapi.json"): _OPENAPI,
    ("get", "/contract"): _get(
        "contract",
        "Which contract the gateway keeps with its EPR",
        (200, "its version", "Contract"),
    ),
    ("post", "/messages"): _SUBMIT,
    ("post", "/moves"): _MAKE,
    ("get", "/messages/{request_id}"): _get(
        "message",
        "State, attempts and workflow of a message",
        (200, "the message", "Message"),
        _NOT_THERE,
        parameters=[_REQUEST_ID],
    ),
    ("post", "/messages/{request_id}/{verb}"): {
        **_order(
            "intervene",
            "Hold, release, withdraw, retry or resend a message",
            "Order",
            (200, "it is done, or would be", "Intervention"),
            _NOT_THERE,
            (409, "it is not done, and why", "Intervention"),
        ),
        "parameters": [_REQUEST_ID, _VERB],
    },
    ("post", "/interventions"): _order(
        "intervene_in_bulk",
        "The same with every message that fits a filter; a dry run says what would happen",
        "BulkOrder",
        (200, "what became of each, or would", "Report"),
    ),
    ("post", "/quarantine/{id}/attach"): {
        **_order(
            "attach",
            "Say to which workflow a response belongs that answered none",
            "Attachment",
            (200, "it is done, or would be", "Attached"),
            _NOT_THERE,
            (409, "it is not done, and why", "Attached"),
        ),
        "parameters": [_NUMBER],
    },
    ("get", "/alarms"): _get(
        "alarms", "What a person has to see, until somebody has", (200, "what stands", "Alarms")
    ),
    ("post", "/alarms/handled"): _order(
        "mark_handled",
        "Say that alarms were dealt with; a dry run says what would happen",
        "Handling",
        (200, "what became of each, or would", "Handled"),
    ),
    ("post", "/alerts/{id}/acknowledge"): {
        **_order(
            "acknowledge",
            "Say that somebody sees to an alert: it is told of again only if it grows worse",
            "Acknowledgement",
            (200, "it is done", "Alert"),
            _NOT_THERE,
        ),
        "parameters": [_NUMBER],
    },
    ("post", "/records/hold"): _order(
        "hold_record",
        "Keep a record from every purge: a legal hold",
        "HoldOrder",
        (200, "what is held, or would be", "RecordHolds"),
        _NOT_THERE,
    ),
    ("post", "/records/release"): _order(
        "release_record",
        "End a legal hold",
        "ReleaseOrder",
        (200, "what is held no more", "RecordHolds"),
        _NOT_THERE,
        (409, "it was not held", "RecordHolds"),
    ),
    ("post", "/purges"): _order(
        "purge",
        "Begin to remove records whose time is over; it goes on by itself",
        "Acknowledgement",
        (202, "it has begun, or goes on since before", "PurgeBegun"),
    ),
    ("get", "/purges/{id}"): {
        **_get(
            "purged",
            "How far a purge is, and what it has removed",
            (200, "its certificate", "PurgeCertificate"),
            _NOT_THERE,
        ),
        "parameters": [_NUMBER],
    },
    ("post", "/workflows/{id}/confirm"): {
        **_order(
            "confirm",
            "Say how a workflow stands that is unclear or contradicted",
            "Confirmation",
            (200, "it is done, or would be", "Confirmed"),
            _NOT_THERE,
            (409, "it is not done, and why", "Confirmed"),
        ),
        "parameters": [_NUMBER],
    },
    ("get", "/queue"): _get("queue", "What is not settled", (200, "the queue", "Queue")),
    ("get", "/notices"): _get(
        "notices",
        "What is to be told, oldest first",
        (200, "notices that are not collected", "Notices"),
        _NO_NUMBER,
        parameters=[_WAIT, _query("limit", "integer", 50, "how many at most, up to 500")],
    ),
    ("get", "/notices/{id}"): _get(
        "notice", "One notice", (200, "the notice", "Notice"), _NOT_THERE, parameters=[_NUMBER]
    ),
    ("get", "/notices/{id}/message"): _read("notice_message", "The Bundle that it is about"),
    ("get", "/notices/{id}/answer"): _read("notice_answer", "What was answered to it"),
    ("post", "/notices/{id}/collected"): _COLLECT,
    ("get", "/questions"): _get(
        "questions",
        "What is to be decided, oldest first",
        (200, "open questions", "Questions"),
        _NO_NUMBER,
        _NOBODY_ASKED,
        parameters=[_WAIT, _query("after", "integer", 0, "only those beyond this number")],
    ),
    ("get", "/questions/{id}"): _get(
        "question",
        "One question",
        (200, "it", "Question"),
        _NOT_THERE,
        _NOBODY_ASKED,
        parameters=[_NUMBER],
    ),
    ("get", "/questions/{id}/request"): _read(
        "question_content", "What the question is about", _NOBODY_ASKED
    ),
    ("post", "/questions/{id}/answer"): _DECIDE,
    **READ_OPERATIONS,
}


def document() -> Schema:
    """Return the whole description, as JSON objects."""
    paths: dict[str, Schema] = {}
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "bars_gateway: the EPR's socket",
            "version": __version__,
            "x-epr-contract": CONTRACT_VERSION,
            "description": "HTTP on a Unix socket, one for each provider. Instants are UTC. A"
            " member without a value is there as null.",
        },
        "servers": [{"url": "http://gateway", "description": "the Unix socket of the provider"}],
        "paths": paths,
        "components": {"schemas": SCHEMAS | MOVE_SCHEMAS | ORDER_SCHEMAS | RECORD_SCHEMAS},
    }
