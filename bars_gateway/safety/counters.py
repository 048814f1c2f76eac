"""
What `safety report` counts, and in which hazards it shows that a control has failed or has worked.

    CounterName ──COUNTERS──► kinds of event in the audit trail · rows of the verdict table

Everything is read from the database afterwards, so that a counter exists for the time before
anybody wanted it, over restarts and restores. Kinds and rows alone are counted: nothing of a
message.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from bars_gateway.frozen import frozen


class CounterName(StrEnum):
    """One thing that is counted."""

    RECEIVED = "received"
    ACKNOWLEDGED = "acknowledged"
    NOT_SENT = "not_sent"
    UNCONFIRMED = "unconfirmed"
    REFUSED = "refused"
    REPEATS_SENT = "repeats_sent"
    REPEATS_RECEIVED = "repeats_received"
    SECOND_RECORDS = "second_records"
    WRONG_PATIENT = "wrong_patient"
    UNRECONCILED = "unreconciled"
    OVERDUE = "overdue"
    QUARANTINED = "quarantined"
    REFUSED_INBOUND = "refused_inbound"
    RESPONSES_REFUSED = "responses_refused"
    MODIFIED = "modified"
    REMARKED = "remarked"
    IN_DOUBT = "in_doubt"
    CANCELLATIONS = "cancellations"
    UNANSWERED = "unanswered"
    DECIDED_LATE = "decided_late"
    SET_ASIDE = "set_aside"
    DAMAGED = "damaged"
    RESTORED = "restored"
    PURGES = "purges"
    BY_HAND = "by_hand"


@frozen(kw_only=True)
class Counter:
    """What one counter counts."""

    says: str
    events: Sequence[str] = ()  # kinds of event
    rows: Sequence[str] = ()  # rows of the verdict table, of attempts
    works: bool = False  # it shows that a control has worked, and not that one has failed


def _by_hand() -> tuple[str, ...]:
    acts = ("held", "released", "withdrawn", "retried", "resent", "attached", "confirmed")
    return tuple(f"{role}.{act}" for role in ("operator", "epr") for act in acts)


COUNTERS: Mapping[CounterName, Counter] = {
    CounterName.ACKNOWLEDGED: Counter(
        says="messages of ours that their Receivers have",
        events=("message.acknowledged",),
        works=True,
    ),
    CounterName.RECEIVED: Counter(
        says="messages received", events=("message.received",), works=True
    ),
    CounterName.NOT_SENT: Counter(
        says="messages that never left this organisation", events=("message.not_sent",)
    ),
    CounterName.UNCONFIRMED: Counter(
        says="messages of which nobody knows whether they arrived",
        events=("message.unconfirmed",),
    ),
    CounterName.REFUSED: Counter(
        says="messages of ours that were refused", events=("message.refused",)
    ),
    CounterName.REPEATS_SENT: Counter(
        says="repeats of ours that their Receivers knew again, so that no second record was made",
        rows=("duplicate", "duplicate-after-foreign-ack"),
        works=True,
    ),
    CounterName.REPEATS_RECEIVED: Counter(
        says="repeats of others that were known again here, and made no second record",
        events=("inbound.repeated",),
        works=True,
    ),
    CounterName.SECOND_RECORDS: Counter(
        says="requests of a patient who has the same request already", events=("record.other",)
    ),
    CounterName.WRONG_PATIENT: Counter(
        says="messages, answers and numbers that named another patient than they should",
        events=(
            "patient.other",
            "patient.two",
            "message.foreign_ack",
            "message.shared_id",
            "question.shared_id",
            "cancel.other_patient",
            "link.refused",
        ),
    ),
    CounterName.UNRECONCILED: Counter(
        says="messages whose record at the Receiver is over, or could not be found",
        events=("message.unreconciled", "message.no_record", "change.unknown"),
    ),
    CounterName.OVERDUE: Counter(
        says="answers that were owed, by others or by us, and had not come in time",
        events=("workflow.overdue",),
    ),
    CounterName.QUARANTINED: Counter(
        says="responses that no request of ours had asked for", events=("inbound.quarantined",)
    ),
    CounterName.REFUSED_INBOUND: Counter(
        says="requests of others that were refused", events=("inbound.refused",)
    ),
    CounterName.RESPONSES_REFUSED: Counter(
        says="responses, and messages under another's X-Request-Id, that were refused: what they"
        " say of a patient is not known here",
        events=("response.refused", "inbound.request_id_reused"),
    ),
    CounterName.MODIFIED: Counter(
        says="messages that came with what may change their meaning",
        events=("inbound.modified",),
    ),
    CounterName.REMARKED: Counter(
        says="responses that came late, out of turn, stood down, empty or sent back",
        events=("response.remarked",),
    ),
    CounterName.IN_DOUBT: Counter(
        says="workflows whose sides did not agree, or whose response did not add up",
        events=("workflow.contradicted", "workflow.unclear"),
    ),
    CounterName.CANCELLATIONS: Counter(
        says="cancellations that were not made, were turned away, or left the patient with nothing",
        events=("cancel.not_sent", "cancel.turned_away", "workflow.unreplaced"),
    ),
    CounterName.UNANSWERED: Counter(
        says="questions that our EPR did not answer for long", events=("question.unanswered",)
    ),
    CounterName.DECIDED_LATE: Counter(
        says="questions decided after their Sender had stopped waiting",
        events=("question.decided_late",),
    ),
    CounterName.SET_ASIDE: Counter(
        says="messages, notices, files and rounds with an internal error of the gateway",
        events=(
            "message.set_aside",
            "notice.set_aside",
            "file.set_aside",
            "answer.set_aside",
            "inbound.failed",
            "request.failed",
            "work.failed",
        ),
    ),
    CounterName.DAMAGED: Counter(
        says="damages to what is stored, and to the trail of it",
        events=("payload.damaged", "database.damaged", "index.rebuilt", "audit.broken"),
    ),
    CounterName.RESTORED: Counter(
        says="restores, and messages that one left in doubt",
        events=(
            "operator.restored",
            "restore.held",
            "restore.forgotten",
            "restore.not_handed_over",
            "restore.not_taken_over",
        ),
    ),
    CounterName.PURGES: Counter(
        says="purges that came to their end, and certify what they removed",
        events=("records.purged",),
        works=True,
    ),
    CounterName.BY_HAND: Counter(
        says="acts of people, or of the EPR, on messages that the gateway would have seen to",
        events=_by_hand(),
    ),
}
