"""JSON Schemas of a move, and of what becomes of it."""

from bars_gateway.epr.openapi.schemas import SCHEMAS, Schema, closed, list_of, one_of, or_null, text
from bars_gateway.standard.compositions import COMPOSITIONS


def _with(schema: Schema, **members: Schema) -> Schema:
    """Return the schema of an object that has further members."""
    return closed(schema["description"], **(schema["properties"] | members))


_MOVE: Schema = {
    "type": "object",
    "description": "What has happened, or is wanted; the message for it is composed here.",
    "properties": {
        "submission_id": text("your own key: the same words under it are one message"),
        "in_reply_to": text("a workflow_id, or the request_id of a message in the workflow"),
        "move": one_of({row.move for row in COMPOSITIONS}, "what to do"),
        "outcome": text("how it ended or stands", examples=["arrived", "no_action", "RRNA"]),
        "text": text("the reason in words"),
        "resources": list_of({"type": "object"}, "what only the EPR knows, as FHIR resources"),
        "patient_changed": {
            "type": "boolean",
            "description": "it names the patient otherwise than before, and that is right",
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
