"""
What is looked for where the Receiver has a message under ids that are not known here.

    settle: acknowledged, no id ─► wanted ──► what came of it (`findings`), and a notice
                                                │ a response answers what is asked by it
                                                └─► the alarm ends; if it came first, none is raised

Who answers has the request: that it could not be found is no question any more. A response that
names the record says which one it is, where what was shown may have been somebody else's. Where
several are shown, there may be two of them, and a record that is over there while somebody is said
to be at work contradicts that: whoever is to ask still has to.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from bars_gateway.errors import StaleState, unforeseen
from bars_gateway.model.messages import NoticeKind, Part, Payload
from bars_gateway.standard.findings import ENDED, Matched, Reconciliation
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.workflow import Move, State
from bars_gateway.store.asides import Aside, Spoilt, each, kind_of, log_set_aside
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.focus import name_focus
from bars_gateway.store.records import add_message_event, move_workflow, notify
from bars_gateway.store.rows import instant, payload_of, text
from bars_gateway.store.wake_ups import WakeUp, WakeUps
from bars_gateway.store.work import Noun, Shared, wakes, writes

if TYPE_CHECKING:
    from collections.abc import Sequence

UNRECONCILED = "message.unreconciled"
ANSWERED = "message.answered"
# Somebody has to telephone there, whatever the EPR means to do with its message.
_TO_ASK_ABOUT = frozenset(
    {Reconciliation.OVER, Reconciliation.NONE, Reconciliation.SEVERAL, Reconciliation.UNNAMED}
)
# How a record is shown whose case has ended, as the EPR was told: nobody has to ask about it.
_ENDED_AS_TOLD: Mapping[State, frozenset[str]] = {
    State.COMPLETED: frozenset({"completed", "fulfilled"}),
    State.DECLINED: ENDED,
    State.CANCELLED: frozenset({"revoked", "cancelled", "entered-in-error"}),
}
# What nobody has to ask any more once a response has named the record.
_ANSWERED_BY_NAME = frozenset({Reconciliation.UNNAMED, Reconciliation.UNREAD})
_NOTHING_TO_ASK = frozenset({Reconciliation.FOUND, Reconciliation.NONE, Reconciliation.UNREAD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreconciled:
    """A message that the Receiver has, under ids that we do not know."""

    message_id: int
    provider: str
    request_id: str
    correlation_id: str
    receiver: str  # system|value of the service that has it
    due_at: datetime  # when to look
    settled_at: datetime  # since when the Receiver is known to have it
    request: Payload


class Reconciliations(Noun):
    """What is to be found out after a duplicate. Nothing is claimed: to look twice does no harm."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._wake_up = WakeUp()

    async def next(self) -> Unreconciled | None:
        """Return the message that is to be looked for first, due or not."""
        while True:
            found = await self._database.read(_next)
            if not isinstance(found, Spoilt):
                return found
            unreadable = partial(_unreadable, message_id=found.number, error=found.error)
            await self._database.write(unreadable)
            log_set_aside(Aside.WORK, found.error, message_id=found.number)
            self._wake_ups.wake_all_notices()

    @writes
    def later(self, connection: Connection, message_id: int, at: datetime) -> None:
        """Look again at *at*."""
        connection.run("reconcile_later", id=message_id, at=text(at))

    @wakes(WakeUps.wake_all_notices)
    @writes
    def settle(
        self,
        connection: Connection,
        message_id: int,
        matched: Matched,
        now: datetime,
    ) -> None:
        """
        Keep what came of it, and tell the EPR, unless it knows; raise StaleState if done before.

        Where the case has ended meanwhile, a record that is over, or gone, is as it should be.
        """
        row = _reconciled(connection, message_id, matched)
        if row is None:
            raise StaleState(f"message {message_id} wants no reconciliation any more")
        remarks: Sequence[Remark] = ()
        if matched.focus_id is not None:
            _prove(connection, row, now)
            remarks = name_focus(connection, row, matched.focus_id, now)
        if Remark.SHARED_ID in remarks:
            connection.run("reconciled_as", id=message_id, reconciliation=Reconciliation.SEVERAL)
        elif _is_no_news(connection, row["workflow_id"], matched.result, matched.status):
            return
        notify(connection, NoticeKind.RECONCILED, row, now, remarks)
        if matched.result in _TO_ASK_ABOUT:
            about = (row["provider"], row["id"], row["request_id"])
            add_message_event(connection, about, UNRECONCILED, now, {"result": matched.result})

    async def work(self, seconds: float) -> None:
        """Return when there may be one more, after *seconds* at the latest."""
        await self._wake_up.wait(seconds)

    def wake(self) -> None:
        """Wake whoever waits for work."""
        self._wake_up.wake()


def _next(connection: Connection) -> Unreconciled | Spoilt | None:
    found = each(connection.rows("next_unreconciled"), partial(_unreconciled, connection))
    return found[0] if found else None


def _unreconciled(connection: Connection, row: Row) -> Unreconciled:
    payload = connection.one("payload", message_id=row["id"], part=Part.REQUEST)
    assert payload is not None
    return Unreconciled(
        message_id=row["id"],
        provider=row["provider"],
        request_id=row["request_id"],
        correlation_id=row["correlation_id"],
        receiver=row["receiver"],
        due_at=instant(row["reconcile_at"]),
        settled_at=instant(row["settled_at"]),
        request=payload_of(payload),
    )


def _reconciled(connection: Connection, message_id: int, matched: Matched) -> Row | None:
    return connection.one(
        "reconcile", id=message_id, reconciliation=matched.result, shown=matched.status
    )


def answer_alarms(connection: Connection, workflow_id: int, now: datetime) -> None:
    """End the alarms about what could not be found, where a response has answered that."""
    for row in connection.rows("unreconciled_standing", workflow_id=workflow_id):
        result = Reconciliation(row["reconciliation"])
        if _is_no_news(connection, workflow_id, result, row["shown"]):
            about = (row["provider"], row["id"], row["request_id"])
            add_message_event(connection, about, ANSWERED, now)


def _is_no_news(
    connection: Connection, workflow_id: int, result: Reconciliation, status: str | None
) -> bool:
    """Tell whether what was found says nothing that is not known from a response, or better."""
    workflow = connection.one("workflow_state", id=workflow_id)
    assert workflow is not None
    as_told = _ENDED_AS_TOLD.get(State(workflow["state"]))
    if as_told is not None and (result in _NOTHING_TO_ASK or status in as_told):
        return True
    if connection.one("workflow_answered", id=workflow_id) is None:
        return False
    named = workflow["focus_id"] is not None
    return result is Reconciliation.NONE or (named and result in _ANSWERED_BY_NAME)


def _unreadable(connection: Connection, *, message_id: int, error: Exception) -> None:
    """Say that nobody can look for the ids of a message that is not to be read any more."""
    row = _reconciled(connection, message_id, Matched(result=Reconciliation.UNREAD))
    if row is not None:
        at, kind = instant(row["settled_at"]), kind_of(error, Aside.NOTICE)
        notify(connection, NoticeKind.RECONCILED, row, at)
        about = (row["provider"], row["id"], row["request_id"])
        add_message_event(connection, about, kind, at, asdict(unforeseen(error)))


def _prove(connection: Connection, row: Row, now: datetime) -> None:
    """Acknowledge what a duplicate alone could not prove, and say that no call is needed now."""
    proven = connection.one("prove_by_read", id=row["id"], now=text(now))
    if proven is None:
        return
    move_workflow(connection, proven["workflow_id"], Move.REQUEST, now)
    notify(connection, NoticeKind.OUTCOME, proven, now, [Remark.ARRIVED_AFTER_ALL])
