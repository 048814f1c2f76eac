"""
Cancellations that wait until somebody has read whether there is still something to cancel.

    queued, to be read ─confirm──► queued, may be sent
                       ├─refuse───► refused: nothing to cancel, and nothing was sent
                       ├─unshown──► read again; the second time within a minute it may be sent
                       ├─belongs_to_another─► read again; told at once, and never sent so
                       └─postpone─► read again later; after a minute the EPR is told, once
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from bars_gateway.model.messages import NoticeKind, Part, Payload
from bars_gateway.standard.bundle import Message
from bars_gateway.standard.findings import Current
from bars_gateway.standard.headers import same_service
from bars_gateway.standard.patients import ONE_PATIENT, Patient, compare, patient_of
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.workflow import Role
from bars_gateway.store.asides import Aside, Asides, Spoilt, each
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.opening_request import began, read_payload
from bars_gateway.store.records import add_message_event, notify
from bars_gateway.store.replacements import known_before
from bars_gateway.store.rounds import Failed, Look, Rounds, each_alone
from bars_gateway.store.rows import payload_of, text
from bars_gateway.store.wake_ups import WakeUps
from bars_gateway.store.work import Noun, Shared, reads, wakes, writes

OTHER_PATIENT = "cancel.other_patient"
WITHIN = timedelta(seconds=60)  # to be shown nothing twice, or to tell the EPR that it waits


@dataclass(frozen=True, slots=True, kw_only=True)
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

    async def to_read(self, now: datetime, limit: int) -> Sequence[Cancellation]:
        """Return those that a read is due for, the first in its conversation each."""
        found = await self._to_read(now, limit)
        for each_one in found:
            if isinstance(each_one, Spoilt):
                await self._asides.hold(each_one.number, each_one.error, now)
        return [each_one for each_one in found if not isinstance(each_one, Spoilt)]

    @reads
    def _to_read(
        self, connection: Connection, now: datetime, limit: int
    ) -> list[Cancellation | Spoilt]:
        found = connection.rows("cancellations_to_read", now=text(now), limit=limit)
        return each(found, partial(_cancellation, connection))

    @wakes(WakeUps.wake_everybody)
    @writes
    def confirm(self, connection: Connection, message_id: int, now: datetime) -> None:
        """Let it be sent: there is something to cancel."""
        for row in connection.rows("confirm_cancellation", id=message_id, shown=None):
            about = (row["provider"], row["id"], row["request_id"])
            add_message_event(connection, about, "cancel.confirmed", now)

    @wakes(WakeUps.wake_everybody)
    @writes
    def refuse(self, connection: Connection, message_id: int, status: str, now: datetime) -> None:
        """Settle it as refused: what it is about is over, and has that *status*."""
        values = {"shown": status, "now": text(now)}
        for row in connection.rows("refuse_cancellation", id=message_id, **values):
            notify(connection, NoticeKind.OUTCOME, row, now, known_before(connection, row["id"]))
            about = (row["provider"], row["id"], row["request_id"])
            detail = {"status": status}
            add_message_event(connection, about, "cancel.nothing_to_cancel", now, detail)

    @wakes(WakeUps.wake_everybody)
    @writes
    def unshown(self, connection: Connection, message_id: int, at: datetime, now: datetime) -> bool:
        """
        Read again at *at*, or where nothing was shown before, let it be sent: return that.

        The Receiver judges by itself whether what is cancelled is current.
        """
        before = connection.one("unshown_before", id=message_id, since=text(now - WITHIN))
        if before is None:
            connection.run("note_unshown", id=message_id, at=text(at), now=text(now))
            return False
        for row in connection.rows("confirm_cancellation", id=message_id, shown=Current.UNSHOWN):
            about = (row["provider"], row["id"], row["request_id"])
            add_message_event(connection, about, "cancel.sent_unshown", now)
        return True

    @reads
    def is_contested(self, connection: Connection, message_id: int, focus_id: str) -> bool:
        """Tell whether a workflow of another patient has that id of the same Receiver, too."""
        message = connection.one("message", id=message_id)
        request = connection.one("payload", message_id=message_id, part=Part.REQUEST)
        assert message is not None
        assert request is not None
        whose = patient_of(read_payload(payload_of(request)))
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
        about = (message["provider"], message_id, message["request_id"])
        add_message_event(connection, about, OTHER_PATIENT, now)
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
    connection.run("postpone_cancellations", **values)


def _cancellation(connection: Connection, row: Row) -> Cancellation:
    payload = connection.one("payload", message_id=row["id"], part=Part.REQUEST)
    assert payload is not None
    return Cancellation(
        message_id=row["id"],
        provider=row["provider"],
        request_id=row["request_id"],
        correlation_id=row["correlation_id"],
        receiver=row["receiver"],
        request=payload_of(payload),
    )


def _is_of(whose: Patient, first: Message | None) -> bool:
    return first is not None and compare(whose, patient_of(first)) in ONE_PATIENT


def tell_unread(connection: Connection, look: Look) -> list[Failed | None]:
    """Write a notice for each that has waited long enough: once."""
    found = connection.rows("unread_cancellations", before=text(look.now - WITHIN), **look.values)
    tell = partial(_tell_unread, connection, look.now)
    return each_alone(connection, found, tell)


def _tell_unread(connection: Connection, now: datetime, row: Row) -> None:
    about = (row["provider"], row["id"], row["request_id"])
    add_message_event(connection, about, "cancel.not_sent", now)
    notify(connection, NoticeKind.CANCEL_NOT_SENT, row, now, known_before(connection, row["id"]))
