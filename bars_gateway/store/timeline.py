"""
Everything under one X-Correlation-Id, in order: messages of both directions, notices, questions.

    messages, and those of their workflows ─┐
    questions to the EPR                    ├─timeline──► steps, oldest first · what is owed
    what lies in quarantine                 ┘

A workflow is told as a whole: an answer that came under another X-Correlation-Id is in it.
"""

from collections.abc import Iterator, Sequence

from bars_gateway.frozen import frozen
from bars_gateway.model.readings import Debt, MessageRow, WorkflowRow
from bars_gateway.model.timeline import Party, TimelineStep, steps
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.conversations import owed_in
from bars_gateway.store.explanations import notices_of
from bars_gateway.store.readings import history_of
from bars_gateway.store.rows import instant
from bars_gateway.store.work import Noun, reads

LONGEST = 200  # messages of one conversation that are told


@frozen(kw_only=True)
class Timeline:
    """What was exchanged in one conversation."""

    correlation_id: str
    steps: Sequence[TimelineStep]  # oldest first
    messages: Sequence[MessageRow]  # in the order in which they were taken
    workflows: Sequence[WorkflowRow]
    owed: Sequence[Debt]
    more: bool  # there are more messages than are told


class Timelines(Noun):
    """Conversations, as they went."""

    @reads
    def timeline(self, connection: Connection, correlation_id: str) -> Timeline | None:
        """Return how that conversation went, whichever provider's it is, or None: there is none."""
        return timeline(connection, None, correlation_id)

    @reads
    def correlation_of(self, connection: Connection, workflow_id: int) -> str | None:
        """Return the X-Correlation-Id of that workflow, or None: there is no such."""
        row = connection.one("workflow", id=workflow_id)
        return None if row is None else str(row["correlation_id"])


def timeline(connection: Connection, provider: str | None, correlation_id: str) -> Timeline | None:
    """Return how a conversation went, or None: nothing here has that X-Correlation-Id."""
    values = {"provider": provider, "correlation_id": correlation_id}
    rows = connection.rows("messages_of_talk", limit=LONGEST + 1, **values)
    histories = [history_of(connection, row) for row in rows[:LONGEST]]
    found = [
        *(
            step
            for row, history in zip(rows, histories, strict=False)
            for step in steps(history, notices_of(connection, row))
        ),
        *(
            step
            for row in connection.rows("questions_of_talk", limit=LONGEST, **values)
            for step in _asked(row)
        ),
        *map(_quarantined, connection.rows("quarantine_of_talk", limit=LONGEST, **values)),
    ]
    if not found:
        return None
    workflows = {history.workflow.workflow_id: history.workflow for history in histories}
    return Timeline(
        correlation_id=correlation_id,
        steps=sorted(found, key=lambda step: step.at),
        messages=[history.message for history in histories],
        workflows=list(workflows.values()),
        owed=[
            debt for debt in owed_in(connection, correlation_id) if debt.workflow_id in workflows
        ],
        more=len(rows) > LONGEST,
    )


def _asked(row: Row) -> Iterator[TimelineStep]:
    about = {
        "provider": row["provider"],
        "request_id": row["request_id"],
        "message_id": row["message_id"],
        "number": row["id"],
    }
    yield TimelineStep(
        at=instant(row["asked_at"]),
        kind="question",
        source=Party.GATEWAY,
        target=Party.EPR,
        text=f"The EPR is asked question {row['id']} ({row['operation']}).",
        **about,
    )
    if row["decided_at"] is not None:
        late = row["decided_at"] > row["answer_by"]
        when = ", after the time that its Sender waits" if late else ""
        yield TimelineStep(
            at=instant(row["decided_at"]),
            kind="answer",
            source=Party.EPR,
            target=Party.GATEWAY,
            text=f"The EPR has answered question {row['id']}{when}: HTTP {row['http_status']}.",
            **about,
        )


def _quarantined(row: Row) -> TimelineStep:
    attached = row["attached_to"]
    since = f" It was attached to workflow {attached} since." if attached else ""
    return TimelineStep(
        at=instant(row["created_at"]),
        kind="quarantined",
        source=Party.OTHER,
        target=Party.GATEWAY,
        text=f"A response that belonged to no workflow went into quarantine ({row['reason']})."
        + since,
        provider=row["provider"],
        request_id=row["request_id"],
        message_id=None,
        number=row["id"],
        other=row["sender"],
    )
