"""JSON Schemas of what is asked of records, and answered: holds, purges and their certificates."""

from bars_gateway.epr.openapi_orders import ORDER_MEMBERS
from bars_gateway.epr.openapi_schemas import (
    Schema,
    closed,
    flag,
    instant,
    list_of,
    number,
    one_of,
    or_null,
    ref,
    some,
    text,
    uuid,
)
from bars_gateway.epr.orders import OF_MESSAGES
from bars_gateway.model.retention import RecordClass
from bars_gateway.standard.workflow import RequestType, State

_NAMED: dict[str, Schema] = {
    "request_id": uuid("X-Request-Id of a message"),
    "message_id": {**number("of a message, as show and the pages tell it"), "minimum": 1},
    "workflow_id": {**number("of a workflow, with all its messages"), "minimum": 1},
    "quarantine_id": {**number("of what lies in quarantine"), "minimum": 1},
    **{name: schema for name, schema in ORDER_MEMBERS.items() if name not in OF_MESSAGES},
}
RECORD_SCHEMAS: dict[str, Schema] = {
    "HoldOrder": some(
        "Which record is to be held, by one of the four, and why.",
        "why",
        **_NAMED,
        linked=flag("whether what it is linked to is held as well"),
    ),
    "ReleaseOrder": some(
        "Which record is to be released, by one of the four, and why.", "why", **_NAMED
    ),
    "RecordHolds": closed(
        "What is held, or was.",
        dry_run=flag("whether nothing was done"),
        records=number("how many are named"),
        linked_records=number("how many more are linked to them; 0 for a dry run of a release"),
        holds=list_of(ref("RecordHold"), "each; empty for a dry run"),
    ),
    "RecordHold": closed(
        "A legal hold.",
        hold_id=number("its number"),
        provider=text("whose"),
        workflow_id=or_null(number("of the workflow")),
        quarantine_id=or_null(number("of what lies in quarantine")),
        held_at=instant("since when"),
        held_by=text("by whom"),
        why=text("the reason"),
        released_at=or_null(instant("until when; null: it stands")),
        released_by=or_null(text("by whom")),
        released_why=or_null(text("the reason")),
        linked=list_of(
            closed(
                "A workflow that is linked to it, if only through others.",
                workflow_id=number("of the workflow"),
                request_type=one_of(RequestType, "what it is about"),
                role=text("ours in it"),
                state=one_of(State, "how it stands"),
                is_held=flag("whether it is under a hold of its own"),
            ),
            "what the hold does not hold by itself",
        ),
    ),
    "PurgeBegun": closed(
        "A purge goes on.",
        purge_id=number("its number"),
        provider=or_null(text("whose records; null: every provider's")),
    ),
    "PurgeCertificate": closed(
        "What a purge has removed, and what proves it.",
        purge_id=number("its number"),
        provider=or_null(text("whose records; null: every provider's")),
        began_by=text("by whose word"),
        why=text("the reason"),
        began_at=instant("when it was begun"),
        counts_to=instant("to when ages are counted: earlier, where the clock may be ahead"),
        ended_at=or_null(instant("null: it goes on")),
        removed=number("how many records, of all classes"),
        rules=list_of(
            closed(
                "How long a class is kept.",
                **{"class": one_of(RecordClass, "which")},
                provider=or_null(text("whose; null: everybody's")),
                use_case=or_null(text("of which use case; null: of all")),
                days=number("0: for good"),
            ),
            "the times that were set",
        ),
        classes=list_of(
            closed(
                "What was removed of one class.",
                **{"class": one_of(RecordClass, "which")},
                removed=number("how many"),
                by_rule={
                    "type": "object",
                    "description": "how many by which rule",
                    "additionalProperties": number("how many"),
                },
                digest=text("SHA-256 over their numbers and ids, one after the other"),
                numbers=list_of(list_of(number("a number"), "first and last"), "which numbers"),
                ended_at=or_null(instant("null: it goes on")),
            ),
            "class by class",
        ),
    ),
}
