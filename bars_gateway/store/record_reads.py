"""
What waits until a Receiver was asked for one record: cancellations, and ids that are not known.

Cancellations wait until somebody has read whether there is still something to cancel:

    queued, to be read ─confirm──► queued, may be sent
                       ├─refuse───► refused: nothing to cancel, and nothing was sent
                       ├─unshown──► read again; the second time within a minute it may be sent
                       ├─belongs_to_another─► read again; told at once, and never sent so
                       └─postpone─► read again later; after a minute the EPR is told, once

What is looked for where the Receiver has a message under ids that are not known here.

    settle: acknowledged, no id ─► wanted ──► what came of it (`findings`), and a notice
                                                │ a response answers what is asked by it
                                                └─► the alarm ends; if it came first, none is raised

Who answers has the request: that it could not be found is no question any more. A response that
names the record says which one it is, where what was shown may have been somebody else's. Where
several are shown, there may be two of them, and a record that is over there while somebody is said
to be at work contradicts that: whoever is to ask still has to.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial

from bars_gateway.errors import StaleState, unforeseen
from bars_gateway.frozen import frozen
from bars_gateway.model.messages import NoticeKind, Part, Payload
from bars_gateway.standard.bundle import Message
from bars_gateway.standard.findings import ENDED, Current, Matched, Reconciliation
from bars_gateway.standard.headers import same_service
from bars_gateway.standard.patients import ONE_PATIENT, Patient, compare, patient_of
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.workflow import Move, Role, State
from bars_gateway.store.asides import (
    Aside,
    Asides,
    Failed,
    Look,
    Rounds,
    Spoilt,
    each,
    each_alone,
    kind_of,
    log_set_aside,
)
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.outcomes import known_before
from bars_gateway.store.record_ids import name_focus
from bars_gateway.store.records import (
    EventAbout,
    add_event,
    began,
    move_workflow,
    notify,
    read_payload,
)
from bars_gateway.store.rows import instant, payload_of, text
from bars_gateway.store.work import Noun, Shared, WakeUps, reads, wakes, writes

UNRECONCILED = "message.unreconciled"
ANSWERED = "message.answered"
# Somebody has to telephone there, whatever the EPR means to do with its message.
_TO_ASK_ABOUT = frozenset(
    {Reconciliation.OVER, Reconciliation.NONE, Reconciliation.SEVERAL, Reconciliation.UNNAMED}
)
# What nobody has to ask any more once a response has named the record.
_ANSWERED_BY_NAME = frozenset({Reconciliation.UNNAMED, Reconciliation.UNREAD})
_NOTHING_TO_ASK = frozenset({Reconciliation.FOUND, Reconciliation.NONE, Reconciliation.UNREAD})
OTHER_PATIENT = "cancel.other_patient"
WITHIN = timedelta(seconds=60)  # to be shown nothing twice, or to tell the EPR that it waits


@frozen(kw_only=True)
class Cancellation:
    """A cancellation that is to be read for."""

    message_id: int
    provider: str
    request_id: str
    correlation_id: str
    receiver: str
    request: Payload


class Cancellations(Noun):
    """What waits to be read for before it is sent."""

    def __init__(self, shared: Shared, rounds: Rounds, asides: Asides) -> None:
        super().__init__(shared)
        self._rounds = rounds
        self._asides = asides

    async def to_read(
        self, now: datetime, limit: int, providers: Collection[str], left_out: Collection[int] = ()
    ) -> Sequence[Cancellation]:
        """Return of *providers* what a read is due for, one for each Receiver."""
        found = await self._to_read(now, limit, providers, left_out)
        for each_one in found:
            if isinstance(each_one, Spoilt):
                await self._asides.hold(each_one.number, each_one.error, now)
        return [each_one for each_one in found if not isinstance(each_one, Spoilt)]

    @reads
    def _to_read(
        self,
        connection: Connection,
        now: datetime,
        limit: int,
        providers: Collection[str],
        left_out: Collection[int],
    ) -> list[Cancellation | Spoilt]:
        found = connection.rows(
            "cancellations_to_read",
            now=text(now),
            providers=json.dumps(sorted(providers)),
            left_out=json.dumps(sorted(left_out)),
            limit=limit,
        )
        return each(found, partial(_cancellation, connection))

    @wakes(WakeUps.wake_everybody)
    @writes
    def confirm(self, connection: Connection, message_id: int, now: datetime) -> None:
        """Let it be sent: there is something to cancel."""
        for row in connection.rows("confirm_cancellation", id=message_id, shown=None):
            add_event(connection, EventAbout.message(row), "cancel.confirmed", now)

    @wakes(WakeUps.wake_everybody)
    @writes
    def refuse(self, connection: Connection, message_id: int, status: str, now: datetime) -> None:
        """Settle it as refused: what it is about is over, and has that *status*."""
        values = {"shown": status, "now": text(now)}
        for row in connection.rows("refuse_cancellation", id=message_id, **values):
            notify(connection, NoticeKind.OUTCOME, row, now, known_before(connection, row["id"]))
            about = EventAbout.message(row)
            detail = {"status": status}
            add_event(connection, about, "cancel.nothing_to_cancel", now, detail)

    @wakes(WakeUps.wake_everybody)
    @writes
    def unshown(self, connection: Connection, message_id: int, at: datetime, now: datetime) -> bool:
        """
        Read again at *at*, or where nothing was shown before, let it be sent: return that.

        The Receiver judges by itself whether what is cancelled is current.
        """
        before = connection.one("unshown_before", id=message_id, since=text(now - WITHIN))
        if before is None:
            connection.put("note_unshown", id=message_id, at=text(at), now=text(now))
            return False
        for row in connection.rows("confirm_cancellation", id=message_id, shown=Current.UNSHOWN):
            add_event(connection, EventAbout.message(row), "cancel.sent_unshown", now)
        return True

    @reads
    def is_contested(self, connection: Connection, message_id: int, focus_id: str) -> bool:
        """Tell whether a workflow of another patient has that id of the same Receiver, too."""
        message = connection.one("message", id=message_id)
        assert message is not None
        whose = patient_of(read_payload(_request_of(connection, message_id)))
        holders = connection.rows("focus_holders", focus_id=focus_id, role=Role.REQUESTER)
        claimants = connection.rows("focus_claimants", focus_id=focus_id)
        return any(
            other["id"] != message["workflow_id"]
            and same_service(other["counterparty"], message["receiver"])
            and not _is_of(whose, began(connection, other["id"]))
            for other in [*holders, *claimants]
        )

    @wakes(WakeUps.wake_everybody)
    @writes
    def belongs_to_another(
        self, connection: Connection, message_id: int, at: datetime, now: datetime
    ) -> None:
        """Read again at *at*; the id is that of another patient's record: EPR and operator hear."""
        _postpone(connection, message_id, at, now, alike=False)
        message = connection.one("message", id=message_id)
        told = {"message_id": message_id, "kind": OTHER_PATIENT, "detail": "{}"}
        if message is None or connection.one("event_told", **told):
            return
        add_event(connection, EventAbout.message(message), OTHER_PATIENT, now)
        notify(connection, NoticeKind.CANCEL_NOT_SENT, message, now, [Remark.OTHER_PATIENT])

    @writes
    def postpone(
        self, connection: Connection, message_id: int, at: datetime, now: datetime, *, alike: bool
    ) -> None:
        """Read again at *at*; *alike*: all of its Receiver that are due."""
        _postpone(connection, message_id, at, now, alike=alike)

    async def tell_unread(self, now: datetime) -> int:
        """Tell each EPR once of what has waited for its read for a minute; return how many."""
        told = await self._rounds.go(tell_unread, Aside.NOTICE, now)
        if told:
            self._wake_ups.wake_everybody()
        return told

    async def cancel_work(self, seconds: float) -> None:
        """Return when a cancellation may have come, after *seconds* at the latest."""
        await self._wake_ups.cancellations.wait(seconds)

    def wake(self) -> None:
        """Wake whoever waits for `cancel_work`."""
        self._wake_ups.cancellations.wake()


def _postpone(
    connection: Connection, message_id: int, at: datetime, now: datetime, *, alike: bool
) -> None:
    values = {"id": message_id, "at": text(at), "now": text(now), "alike": int(alike)}
    connection.put("postpone_cancellations", **values)


def _cancellation(connection: Connection, row: Row) -> Cancellation:
    return Cancellation(
        message_id=row["id"],
        provider=row["provider"],
        request_id=row["request_id"],
        correlation_id=row["correlation_id"],
        receiver=row["receiver"],
        request=_request_of(connection, row["id"]),
    )


def _request_of(connection: Connection, message_id: int) -> Payload:
    payload = connection.one("payload", message_id=message_id, part=Part.REQUEST)
    assert payload is not None
    return payload_of(payload, connection.vault)


def _is_of(whose: Patient, first: Message | None) -> bool:
    return first is not None and compare(whose, patient_of(first)) in ONE_PATIENT


def tell_unread(connection: Connection, look: Look) -> list[Failed | None]:
    """Write a notice for each that has waited long enough: once."""
    found = connection.rows("unread_cancellations", before=text(look.now - WITHIN), **look.values)
    tell = partial(_tell_unread, connection, look.now)
    return each_alone(connection, found, tell)


def _tell_unread(connection: Connection, now: datetime, row: Row) -> None:
    add_event(connection, EventAbout.message(row), "cancel.not_sent", now)
    notify(connection, NoticeKind.CANCEL_NOT_SENT, row, now, known_before(connection, row["id"]))


# How a record is shown whose case has ended, as the EPR was told: nobody has to ask about it.
_ENDED_AS_TOLD: Mapping[State, frozenset[str]] = {
    State.COMPLETED: frozenset({"completed", "fulfilled"}),
    State.DECLINED: ENDED,
    State.CANCELLED: frozenset({"revoked", "cancelled", "entered-in-error"}),
}


@frozen(kw_only=True)
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

    async def next(self) -> Unreconciled | None:
        """Return the message that is to be looked for first, due or not."""
        while True:
            found = await self._next()
            if not isinstance(found, Spoilt):
                return found
            await self._unreadable(found)
            log_set_aside(Aside.WORK, found.error, message_id=found.number)
            self._wake_ups.wake_all_notices()

    @reads
    def _next(self, connection: Connection) -> Unreconciled | Spoilt | None:
        found = each(connection.rows("next_unreconciled"), partial(_unreconciled, connection))
        return found[0] if found else None

    @writes
    def _unreadable(self, connection: Connection, spoilt: Spoilt) -> None:
        """Say that nobody can look for the ids of a message that is not to be read any more."""
        row = _reconciled(connection, spoilt.number, Matched(result=Reconciliation.UNREAD))
        if row is not None:
            at, kind = instant(row["settled_at"]), kind_of(spoilt.error, Aside.NOTICE)
            notify(connection, NoticeKind.RECONCILED, row, at)
            detail = asdict(unforeseen(spoilt.error))
            add_event(connection, EventAbout.message(row), kind, at, detail)

    @writes
    def later(self, connection: Connection, message_id: int, at: datetime) -> None:
        """Look again at *at*."""
        connection.put("reconcile_later", id=message_id, at=text(at))

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
            connection.put("reconciled_as", id=message_id, reconciliation=Reconciliation.SEVERAL)
        elif _is_no_news(connection, row["workflow_id"], matched.result, matched.status):
            return
        notify(connection, NoticeKind.RECONCILED, row, now, remarks)
        if matched.result in _TO_ASK_ABOUT:
            detail = {"result": matched.result}
            add_event(connection, EventAbout.message(row), UNRECONCILED, now, detail)

    async def wait_for_work(self, seconds: float) -> None:
        """Return when there may be one more, after *seconds* at the latest."""
        await self._wake_ups.reconciliations.wait(seconds)

    def wake(self) -> None:
        """Wake whoever waits for work."""
        self._wake_ups.reconciliations.wake()


def _unreconciled(connection: Connection, row: Row) -> Unreconciled:
    return Unreconciled(
        message_id=row["id"],
        provider=row["provider"],
        request_id=row["request_id"],
        correlation_id=row["correlation_id"],
        receiver=row["receiver"],
        due_at=instant(row["reconcile_at"]),
        settled_at=instant(row["settled_at"]),
        request=_request_of(connection, row["id"]),
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
            add_event(connection, EventAbout.message(row), ANSWERED, now)


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


def _prove(connection: Connection, row: Row, now: datetime) -> None:
    """Acknowledge what a duplicate alone could not prove, and say that no call is needed now."""
    proven = connection.one("prove_by_read", id=row["id"], now=text(now))
    if proven is None:
        return
    move_workflow(connection, proven["workflow_id"], Move.REQUEST, now)
    notify(connection, NoticeKind.OUTCOME, proven, now, [Remark.ARRIVED_AFTER_ALL])
