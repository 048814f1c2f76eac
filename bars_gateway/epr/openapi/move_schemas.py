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
        "submission_id": text(
            "your own key: the same words under it are one message, others are refused"
        ),
        "in_reply_to": text("`request_id` or `workflow_id` of a notice or receipt"),
        "move": one_of({row.move for row in COMPOSITIONS}, "what has happened, or is wanted"),
        "outcome": text(
            "how it stands: the word that goes with the move",
            examples=["arrived", "no_action", "RRNA"],
        ),
        "text": text("the reason in words, for a rejection or a cancellation; refused elsewhere"),
        "resources": list_of(
            {"type": "object"},
            "what only you know, in FHIR: a CarePlan, the clinician, a changed ServiceRequest",
        ),
        "patient_changed": {
            "type": "boolean",
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
