"""
What has been said in a workflow, what falls due with it, and what a person says of one in doubt.

    in_reply_to ──about──► Conversation ──► what a composed message rests on
    submission_id ──submitted_as──► the receipt that it was given
    warn_at ──► due_soon, once          answer_due_at ──► overdue, once, with an event
    what is owed ──► Debt, the longest overdue first, and what is due latest last
    unclear, contradicted ──confirm──► where it stands in truth, with the audit trail

The clock of an answer that is owed runs whatever became of the messages, and most of all where
the request is unconfirmed: it may never have arrived. It ends with the workflow. The notice
names the message that asked, in either role: its direction says who owes the answer.

Nothing that comes by itself settles a contradiction, for that would be guessing which of two
is true. Somebody telephones, and says so. What comes after that is read as ever.

Decisions: D-answers-owed, D-contradicted.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from bars_gateway.errors import PayloadDamaged
from bars_gateway.frozen import frozen
from bars_gateway.keyring import Vault
from bars_gateway.model.interventions import NOT_CONFIRMED
from bars_gateway.model.messages import Accepted, Actor, Change, NoticeKind, Objection, Payload
from bars_gateway.model.readings import Debt, WorkflowRow
from bars_gateway.standard.bundle import Message
from bars_gateway.standard.remarks import OF_SILENCE
from bars_gateway.standard.workflow import DOUBTS, FINAL, Move, Role, State
from bars_gateway.store.asides import Aside, Failed, Look, Rounds, each_alone
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.outcomes import seen
from bars_gateway.store.records import EventAbout, add_event, links, notify, read_kept
from bars_gateway.store.rows import instant, payload_of, text, workflow_of
from bars_gateway.store.submissions import accepted_of, submitted_as, workflow_about
from bars_gateway.store.work import Noun, Shared, reads, writes

_PARTS = ("message_id", "part", "media_type", "headers", "encoding", "body", "digest")


@frozen(kw_only=True)
class SharedMessage:
    """One message of a workflow that both sides have, or will have."""

    move: Move
    request: Payload
    answer: Payload | None
    arrived: bool  # the other side has it, and no doubt about it


@frozen(kw_only=True)
class Conversation:
    """A workflow with all that was said in it, oldest first."""

    workflow: WorkflowRow
    focus_id: str | None  # by which its Receiver knows it, however that was told, and nobody else
    said: Sequence[SharedMessage]


class Conversations(Noun):
    """What has been said in workflows, and what falls due with them."""

    def __init__(self, shared: Shared, rounds: Rounds) -> None:
        super().__init__(shared)
        self._rounds = rounds

    async def tell_due(self, now: datetime) -> tuple[int, int]:
        """Write what falls due with answers that are owed; return how many soon, and overdue."""
        overdue = await self._rounds.go(tell_overdue, Aside.NOTICE, now)
        soon = await self._rounds.go(tell_due_soon, Aside.NOTICE, now)
        if soon or overdue:
            self._wake_ups.wake_all_notices()
        return soon, overdue

    @reads
    def about(
        self, connection: Connection, provider: str, key: str, role: Role
    ) -> Conversation | None:
        """Return the workflow that *key* numbers, or a message of it has as X-Request-Id."""
        if key.isdigit():
            row = connection.one("workflow_numbered", id=int(key), provider=provider, role=role)
        else:
            values = {"request_id": key, "provider": provider, "role": role}
            row = connection.one("workflow_with_message", **values)
        if row is None:
            return None
        found = connection.rows("exchanged", workflow_id=row["id"])
        return Conversation(
            workflow=workflow_of(row, links(connection, row["id"])),
            focus_id=row["focus_id"],
            said=[_said(each, connection.vault) for each in found],
        )

    @reads
    def exchanged(
        self,
        connection: Connection,
        provider: str,
        *keys: str,
        role: Role,
        counterparty: str,
        change: Change | None,
    ) -> list[Message]:
        """Return what can be read of the workflow that *keys*, or the *change*, belong to."""
        found = workflow_about(
            connection, provider, *keys, role=role, counterparty=counterparty, change=change
        )
        said = connection.rows("exchanged", workflow_id=found["id"]) if found else []
        read = (read_kept(each, connection.vault) for each in said)
        return [message for message in read if message is not None]

    @reads
    def submitted_as(
        self, connection: Connection, provider: str, submission_id: str
    ) -> Accepted | None:
        """Return the receipt for what was composed under the EPR's own key, or None."""
        row = submitted_as(connection, provider, submission_id)
        return None if row is None else accepted_of(row)


def _said(row: Row, vault: Vault) -> SharedMessage:
    return SharedMessage(
        move=Move(row["move"]),
        request=payload_of(row, vault),
        answer=_answer(row, vault),
        arrived=row["state"] in {"acknowledged", "received"},
    )


def _answer(row: Row, vault: Vault) -> Payload | None:
    """Return the answer; None where there is none, or the disk has spoilt it: it proves no more."""
    if row["answer_body"] is None:
        return None
    try:
        return payload_of({part: row[f"answer_{part}"] for part in _PARTS}, vault)
    except PayloadDamaged:
        return None


def tell_overdue(connection: Connection, look: Look) -> list[Failed | None]:
    """Tell of each answer that is overdue: to the EPR, and as an event."""
    found = connection.rows("workflows_overdue", **look.values)
    tell = partial(_tell, connection, "overdue_told", NoticeKind.OVERDUE, look.now)
    return each_alone(connection, found, tell)


def tell_due_soon(connection: Connection, look: Look) -> list[Failed | None]:
    """Warn of each answer that is due soon, and not overdue already."""
    found = connection.rows("workflows_due_soon", **look.values)
    tell = partial(_tell, connection, "warning_told", NoticeKind.DUE_SOON, look.now)
    return each_alone(connection, found, tell)


def _tell(
    connection: Connection,
    told: str,
    kind: NoticeKind,
    now: datetime,
    workflow: Row,
) -> None:
    connection.put(told, id=workflow["id"])
    request = connection.one("request_of", id=workflow["id"])
    if request is None:
        return
    known = OF_SILENCE.get(State(workflow["state"]))
    notify(connection, kind, request, now, () if known is None else (known,))
    add_event(connection, EventAbout.message(request), f"workflow.{kind}", now)


@frozen(kw_only=True)
class Confirmed:
    """The workflow stands as somebody has said."""

    state: State  # of the workflow; in a dry run, as it was


class Confirmations(Noun):
    """How workflows in doubt stand, as people have found out."""

    @writes
    def confirm(  # noqa: PLR0917
        self,
        connection: Connection,
        provider: str,
        workflow_id: int,
        state: State,
        actor: Actor,
        now: datetime,
        *,
        dry_run: bool,
    ) -> Confirmed | Objection | None:
        """
        Put a workflow in doubt into *state*, or say what stands against it.

        None: *provider* has none of that number.
        """
        workflow = connection.one("workflow", id=workflow_id)
        if workflow is None or workflow["provider"] != provider:
            return None
        before = State(workflow["state"])
        if before not in DOUBTS:
            return NOT_CONFIRMED["not_in_doubt"]
        if dry_run:
            return Confirmed(state=before)
        closed_at = text(now) if state in FINAL else None
        connection.put("confirm_workflow", id=workflow_id, state=state, closed_at=closed_at)
        message = connection.one("request_of", id=workflow_id)
        assert message is not None
        about = EventAbout.message(message)
        said = {"who": actor.who, "why": actor.why, "was": before, "state": state}
        add_event(connection, about, f"{actor.role}.confirmed", now, said)
        return Confirmed(state=state)


class Debts(Noun):
    """Answers that are owed."""

    @reads
    def owed(self, connection: Connection, limit: int) -> list[Debt]:
        """Return what is owed to and by all providers, overdue first."""
        return owed(connection, None, limit)


def owed(connection: Connection, provider: str | None, limit: int) -> list[Debt]:
    """Return what is owed, the longest overdue first."""
    found = connection.rows("owed", provider=provider, limit=limit)
    return [_debt(connection, row) for row in found]


def owed_in(connection: Connection, correlation_id: str) -> list[Debt]:
    """Return what is owed in one conversation."""
    found = connection.rows("owed_in", correlation_id=correlation_id)
    return [_debt(connection, row) for row in found]


def _debt(connection: Connection, row: Row) -> Debt:
    request = seen(connection, row)
    return Debt(
        ours=row["role"] == Role.RESPONDER,
        workflow_id=row["workflow_id"],
        counterparty=row["counterparty"],
        state=State(row["stands"]),
        since=instant(row["opened_at"]),
        due_at=instant(row["owed_at"]),
        request=request,
    )
