"""
By which statements each class of records is walked through, judged and removed.

They are in `purges.sql`. Copies in an EPR's folder are no rows: they have none here.

Decisions: D-retention.
"""

from collections.abc import Mapping, Sequence

from bars_gateway.frozen import frozen
from bars_gateway.model.retention import PURGED, RecordClass

_OF_MESSAGES = (
    "remember_sent",
    "forget_in_ledger",
    "forget_questions",
    "forget_notices",
    "part_resends",
    "remove_messages",
)


@frozen(kw_only=True)
class ClassStatements:
    """How one class is walked through, judged and removed, and up to where."""

    to_judge: str
    judged: str
    remove: Sequence[str]
    last: str
    left: str  # how many are there of a span of numbers
    names: str  # of a span of numbers, where they still are
    named: str | None = None  # by other ids than those that were judged
    by: Sequence[str] = ()  # which moments `last` asks for


STATEMENTS_OF: Mapping[RecordClass, ClassStatements] = {
    RecordClass.PAYLOADS: ClassStatements(
        to_judge="payloads_to_judge",
        judged="payloads_judged",
        remove=("remove_payloads",),
        last="last_message_before",
        by=("before", "now"),
        left="left_payloads",
        names="names_of_payloads",
    ),
    RecordClass.ANSWERS: ClassStatements(
        to_judge="answers_to_judge",
        judged="payloads_judged",
        remove=("remove_answers",),
        last="last_message_before",
        by=("before", "now"),
        left="left_answers",
        names="names_of_payloads",
    ),
    RecordClass.QUARANTINE: ClassStatements(
        to_judge="quarantine_to_judge",
        judged="quarantine_judged",
        remove=("remove_quarantine",),
        last="last_quarantined",
        left="left_quarantine",
        names="names_of_quarantine",
    ),
    RecordClass.MESSAGES: ClassStatements(
        to_judge="messages_to_judge",
        judged="messages_judged",
        remove=_OF_MESSAGES,
        last="last_workflow_before",
        by=("before",),
        left="left_messages",
        names="names_of_payloads",
        named="messages_in",
    ),
    RecordClass.CONVERSATIONS: ClassStatements(
        to_judge="conversations_to_judge",
        judged="conversations_judged",
        remove=("remove_conversations",),
        last="last_workflow",
        left="left_conversations",
        names="names_of_conversations",
    ),
    RecordClass.REFUSALS: ClassStatements(
        to_judge="refusals_to_judge",
        judged="refusals_judged",
        remove=("part_refusals", "forget_refused_questions", "remove_refusals"),
        last="last_refusal",
        left="left_refusals",
        names="names_of_refusals",
    ),
    RecordClass.ALARMS: ClassStatements(
        to_judge="alarms_to_judge",
        judged="alarms_judged",
        remove=("remove_alarms",),
        last="last_ended_alarm",
        left="left_alarms",
        names="names_of_alarms",
    ),
}
IN_DATABASE = tuple(each for each in PURGED if each in STATEMENTS_OF)
