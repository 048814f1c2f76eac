"""JSON Schemas of what is ordered of messages, alarms and workflows, and of what becomes of it."""

from collections.abc import Iterable

from bars_gateway.epr.openapi_schemas import (
    Schema,
    closed,
    fixed,
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
from bars_gateway.epr.orders import LONGEST_NAME, OF_MESSAGES
from bars_gateway.model.alarms import ALARMS
from bars_gateway.model.interventions import (
    AGAINST,
    HANDLING_OBJECTIONS,
    LONGEST_REASON,
    NOT_CONFIRMED,
    OBJECTIONS,
    Verb,
)
from bars_gateway.model.messages import OutboundState
from bars_gateway.model.standing_alarms import MOST_AT_ONCE
from bars_gateway.standard.workflow import CONFIRMABLE, Role, State

_WORD = r"^[!-~]+( [!-~]+)*$"

ORDER_MEMBERS: dict[str, Schema] = {
    "why": text(
        "the reason, for the audit trail: a ticket, and never a patient. Other printable letters"
        " than those of ASCII are taken too",
        maxLength=LONGEST_REASON,
        pattern=_WORD,
    ),
    "by": text("who asks, as they call themselves", maxLength=LONGEST_NAME, pattern=_WORD),
    "role": one_of(("epr", "operator"), "as whom: an EPR is not told what it did itself"),
    "confirmed": flag("what may come of a resend was read, and is wanted"),
    "after_its_time": flag(
        "its clinical time has passed, and it is to be sent all the same: release, retry, resend"
    ),
    "dry_run": flag("say what would happen, and do nothing"),
}
_FILTER = some(
    "Which messages: all that is given has to fit.",
    states=list_of(one_of(OutboundState, "a state"), "only those that the verb leads on from"),
    receiver=text("target identifier: system|value", maxLength=300, pattern=_WORD),
    use_case=text("code of the use case", maxLength=LONGEST_NAME, pattern=_WORD),
    correlation_id=uuid("X-Correlation-Id of the conversation"),
    taken_from=instant("submitted then or later"),
    taken_before=instant("submitted before then"),
    after={**number("only behind that number: from next"), "minimum": 1},
    up_to={**number("only up to that number: from next"), "minimum": 1},
)


def _objection(codes: Iterable[str]) -> Schema:
    return or_null(
        {
            **closed(
                "Why it is not done.",
                code=one_of(codes, "for software"),
                problem=text("what stands against it"),
                cure=text("what to do instead"),
            ),
            "description": "why it is not done; null: nothing stands against it",
        }
    )


def _at_least_one(items: Schema, description: str) -> Schema:
    return {**list_of(items, description), "minItems": 1, "maxItems": MOST_AT_ONCE}


ORDER_SCHEMAS: dict[str, Schema] = {
    "Order": some("What to do with one message, and why.", "why", **ORDER_MEMBERS),
    "BulkOrder": some(
        "What to do with every message that fits, and why.",
        "verb",
        "why",
        verb=one_of(Verb, "what to do"),
        messages=_FILTER,
        **ORDER_MEMBERS,
    ),
    "OrderProblem": closed(
        "Why an order cannot be understood.",
        error=text("what is wrong"),
        cure=text("what to do"),
        member=or_null(text("where in the order, as messages.taken_from; null: with all of it")),
    ),
    "Attachment": some(
        "To which workflow a response belongs, and why.",
        "workflow_id",
        "why",
        workflow_id={**number("its number"), "minimum": 1},
        **{name: schema for name, schema in ORDER_MEMBERS.items() if name not in OF_MESSAGES},
    ),
    "Attached": closed(
        "What became, or would become, of a quarantined response.",
        quarantine_id=number("its number"),
        workflow_id=number("of the workflow that was named"),
        dry_run=flag("whether nothing was asked for but the look"),
        done=flag("whether it was done"),
        state=or_null(one_of(State, "of the workflow; null: nothing was done")),
        objection=_objection(AGAINST),
    ),
    "Confirmation": some(
        "How a workflow stands that is unclear or contradicted, and why.",
        "state",
        "why",
        state=one_of(sorted(CONFIRMABLE), "how it stands in truth"),
        **{name: schema for name, schema in ORDER_MEMBERS.items() if name not in OF_MESSAGES},
    ),
    "Confirmed": closed(
        "What became, or would become, of a workflow in doubt.",
        workflow_id=number("its number"),
        dry_run=flag("whether nothing was asked for but the look"),
        done=flag("whether it was done"),
        state=or_null(one_of(State, "of the workflow; null: nothing was done")),
        objection=_objection(NOT_CONFIRMED),
    ),
    "Intervention": closed(
        "What became, or would become, of one message.",
        verb=one_of(Verb, "what was asked for"),
        request_id=uuid("X-Request-Id of the message"),
        state=fixed(OutboundState, "where it is now"),
        done=flag("whether it was done"),
        objection=_objection({*OBJECTIONS, "not_confirmed"}),
        may_happen=or_null(text("what a resend may lead to")),
        resent_as=or_null(uuid("X-Request-Id of the new message, after a resend")),
        also=list_of(uuid("X-Request-Id"), "what was withdrawn with its request"),
    ),
    "Report": closed(
        "What became, or would become, of each.",
        verb=one_of(Verb, "what was asked for"),
        dry_run=flag("whether nothing was done"),
        possible=number("how many it was done with, or would be"),
        objections={
            "type": "object",
            "description": "how many it was not, by the code of the objection",
            "additionalProperties": {"type": "integer"},
        },
        more=flag("there were more than are done at once: ask for the next round"),
        next=or_null(
            closed(
                "Where the next round begins.",
                after=number("the last that this one looked at"),
                up_to=number("the last that there was when the first round began"),
            )
            | {"description": "give these with the same filter in messages; null: all is done"}
        ),
        messages=list_of(ref("Intervention"), "each, oldest first"),
    ),
    "Alarm": closed(
        "What a person has to see, until somebody has.",
        alarm_id=number("its number: raised again, it has another"),
        kind=one_of(ALARMS, "what has happened"),
        role=or_null(fixed(Role, "ours in its workflow")),
        request_id=or_null(text("X-Request-Id of what it is about")),
        workflow_id=or_null(number("of its workflow")),
        use_case=or_null(text("code of the use case")),
        quarantine_id=or_null(number("where a response lies that belongs to no workflow")),
        codes=list_of(text("a remark or rule"), "what its event names"),
        since=instant("when it was first raised"),
        times=number("how often it was raised since, and nobody had handled it"),
    ),
    "Acknowledgement": some(
        "That somebody sees to an alert, and why.",
        "why",
        **{
            name: schema
            for name, schema in ORDER_MEMBERS.items()
            if name not in {*OF_MESSAGES, "dry_run"}
        },
    ),
    "Alert": closed(
        "One condition that people are told of while it stands.",
        alert_id=number("its number"),
        code=text("by which docs/runbooks.md says what to do"),
        says=text("counts, and names from the settings; nothing of a message"),
        urgent=flag("whether somebody is woken for it"),
        state=one_of(("open", "acknowledged", "resolved"), "how it stands"),
        since=instant("when it was opened"),
        acknowledged_by=or_null(text("who sees to it")),
    ),
    "Alarms": closed("What stands.", alarms=list_of(ref("Alarm"), "newest first")),
    "Handling": some(
        "Which alarms somebody has dealt with, and why.",
        "why",
        alarms=_at_least_one(number("its number"), "by number"),
        request_ids=_at_least_one(uuid("X-Request-Id"), "by what they are about"),
        kinds=_at_least_one(one_of(ALARMS, "a kind"), "all of these kinds, with up_to"),
        up_to={
            **number("all up to this number, which is the highest that was seen"),
            "minimum": 1,
        },
        after={**number("of those, only behind this number: from next"), "minimum": 1},
        **{name: schema for name, schema in ORDER_MEMBERS.items() if name not in OF_MESSAGES},
    ),
    "Handled": closed(
        "What became, or would become, of each.",
        dry_run=flag("whether nothing was done"),
        possible=number("how many were marked as handled, or would be"),
        more=flag("there may be more than are done at once: ask for the next round"),
        next=or_null(
            closed("Where the next round begins.", after=number("the last that this one marked"))
            | {"description": "give this beside up_to and the same kinds; null: all is done"}
        ),
        alarms=list_of(
            closed(
                "One of them.",
                name=text("its number, or the X-Request-Id that was given"),
                done=flag("whether it was marked as handled"),
                objection=_objection(HANDLING_OBJECTIONS),
                alarm=or_null(ref("Alarm")),
            ),
            "each",
        ),
    ),
}
