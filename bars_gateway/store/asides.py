"""
What was set aside because of an internal error, and what a person hears of it.

    outbound message ─► held: nothing of it leaves until somebody releases it   alarm, notice
    notice           ─► not given to the EPR until the next start               alarm
    file, answer     ─► refused beside, with a reason                           alarm
    request          ─► 500; asked again, it is taken once                      alarm
    what fell due ─► left as it was, and tried again after five minutes         alarm
    what goes on by itself ─► it goes on with the next                          alarm

What dies between a failure and its being told has told nothing: the unit is as it was, is met
again, and is told then. What cannot be told, because the database takes nothing, is in the log.

What falls due for many rows at once is done for each by itself, so that one that fails stops no
other (`Rounds`):

    due, at most 100 ─► one transaction, a savepoint for each ─┬─► done
          ▲                                                    └─► failed: undone, alarm, left out
          └── and the next hundred, at once                        for five minutes

After a long stop a million may be due. So whoever stores something waits for a hundred of them,
never for all; what is done stays done when the gateway dies; and after some hundreds the other
steps of housekeeping have their turn, and the service manager hears of us (`more`).

A step of housekeeping is a statement that lists what is due, as many as are asked for and without
what is left out, and what is done for each row. A row says whose it is: `id`, `provider`,
`message_id` and `request_id`, for whoever hears of a failure.

A row that fails is as it was, and falls due again: it may have been the moment. So it is tried
again after a while, and at the next start; the log has every time, and the alarm is raised once.
A disk that is full fails the whole round instead, for it is nobody's fault.

Decisions: D-set-aside.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

import structlog

from bars_gateway.errors import (
    DatabaseDamaged,
    PayloadDamaged,
    StoreError,
    StoreUnavailable,
    Unforeseen,
    unforeseen,
)
from bars_gateway.frozen import frozen
from bars_gateway.model.alarms import ALARMS, AlarmScope
from bars_gateway.model.messages import Claim, NoticeKind
from bars_gateway.standard.remarks import Remark
from bars_gateway.store.connection import Connection, Database, Row
from bars_gateway.store.outcomes import known_before
from bars_gateway.store.records import EventAbout, add_event, notify
from bars_gateway.store.rows import instant, text
from bars_gateway.store.work import Noun, Shared, writes

T = TypeVar("T")
log = structlog.get_logger(__name__)
TOLD_AGAIN_AFTER = timedelta(minutes=1)
_MOST_PLACES = 1000  # remembered at a time
FAILED_AGAIN_AFTER = timedelta(minutes=5)
MOST_AT_ONCE = 100  # rows of one transaction: every other write may wait for it
MOST_GROUPS = 10  # such transactions, until other steps have their turn
MOST_REMEMBERED = 10_000  # of a step


class Aside(StrEnum):
    """What failed: each is a kind of event, with a row in ALARMS."""

    MESSAGE = "message.set_aside"
    DAMAGED = "payload.damaged"  # the stored bytes of a message are not those that were stored
    NOTICE = "notice.set_aside"
    FILE = "file.set_aside"
    ANSWER = "answer.set_aside"  # the EPR's to a question, or a question that it cannot be asked
    REQUEST = "request.failed"  # the EPR's, on the socket
    ARRIVAL = "inbound.failed"
    WORK = "work.failed"  # what the gateway does by itself


@frozen
class Spoilt:
    """A row that cannot be read, and why."""

    number: int  # of the row
    error: Exception


class Asides(Noun):
    """
    What may be done with a unit that failed. None of it raises: it is the last resort.

    A place that fails again and again, such as an answer that the EPR asks for every second, is
    written down once a minute. The log has every time.
    """

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._last: dict[tuple[str, str | None, str], datetime] = {}

    async def tell(
        self,
        kind: Aside,
        error: BaseException,
        now: datetime,
        *,
        provider: str | None = None,
        request_id: str | None = None,
        message_id: int | None = None,
    ) -> None:
        """Raise an alarm, and log type and place of *error*; the same place once a minute."""
        if message_id is not None:
            kind = kind_of(error, kind)
        about = {"provider": provider, "request_id": request_id}
        log_set_aside(kind, error, message_id=message_id, **about)
        what = unforeseen(error)
        if ALARMS[kind].about is AlarmScope.PLACE and self._was_told(
            kind, provider, what.place, now
        ):
            return
        await self._write(lambda c: tell(c, kind, what, now, message_id=message_id, **about))

    async def hold(
        self,
        message_id: int,
        error: BaseException,
        now: datetime,
        *,
        claim: Claim | None = None,
        began: bool = False,
    ) -> None:
        """
        Hold an outbound message that waits, or that *claim* is for; tell EPR and operator.

        *began*: a POST of this claim may have left, so that it stays an attempt.
        """
        request_id = claim.request_id if claim else None
        log_set_aside(Aside.MESSAGE, error, message_id=message_id, request_id=request_id)
        number = claim.claim if claim else None
        await self._write(lambda c: hold(c, message_id, error, now, number, began=began))
        self._wake_ups.wake_everybody()

    async def keep_back(self, provider: str, notice_id: int, error: BaseException) -> None:
        """Give the EPR that notice no more until the next start, and tell the operator."""
        log_set_aside(Aside.NOTICE, error, provider=provider, notice_id=notice_id)
        await self._write(lambda c: keep_back(c, provider, notice_id, error))

    @writes
    def begin_again(self, connection: Connection) -> int:
        """Try again each notice that was kept back; return how many: the gateway has started."""
        return connection.run("begin_notices_again")

    def _was_told(self, kind: str, provider: str | None, place: str, now: datetime) -> bool:
        if len(self._last) >= _MOST_PLACES:
            self._last.clear()
        key = (kind, provider, place)
        last = self._last.get(key)
        if last is not None and last <= now < last + TOLD_AGAIN_AFTER:
            return True
        self._last[key] = now
        return False

    async def _write(self, work: Callable[[Connection], object]) -> None:
        try:
            await self._database.write(work)
        except Exception as error:  # unit of work
            what = unforeseen(error)
            log.error("unit.not_told", exception=what.exception, place=what.place)


def kind_of(error: BaseException, otherwise: Aside) -> Aside:
    """Return the kind of event: whatever failed, spoilt bytes are told as such."""
    damaged = isinstance(error, PayloadDamaged | DatabaseDamaged)
    return Aside.DAMAGED if damaged else otherwise


def each(found: Iterable[Row], read: Callable[[Row], T]) -> list[T | Spoilt]:
    """Read each row by itself: one that cannot be read must not stand before the others."""
    return [_read(row, read) for row in found]


def _read(row: Row, read: Callable[[Row], T]) -> T | Spoilt:
    try:
        return read(row)
    except Exception as error:  # unit of work
        if not is_of_one_row(error):
            raise
        return Spoilt(row["id"], error)


def is_of_one_row(error: Exception) -> bool:
    """Tell whether it may be one row that failed, and not the database as a whole."""
    return type(error) is not StoreError and not isinstance(error, StoreUnavailable)


def tell(
    connection: Connection,
    kind: Aside,
    what: Unforeseen,
    now: datetime,
    *,
    provider: str | None,
    request_id: str | None,
    message_id: int | None,
) -> None:
    """Add the line of the audit trail that raises the alarm."""
    add_event(connection, EventAbout(provider, message_id, request_id), kind, now, asdict(what))


def hold(
    connection: Connection,
    message_id: int,
    error: BaseException,
    now: datetime,
    claim: int | None,
    *,
    began: bool,
) -> str | None:
    """Hold the message, with notice and alarm; return its X-Request-Id, or None: it is settled."""
    values = {"id": message_id, "claim": claim, "began": int(began)}
    row = connection.one("set_aside", **values)
    if row is None:
        return None
    remarks = [Remark.SET_ASIDE, *known_before(connection, row["id"])]
    notify(connection, NoticeKind.HELD, row, now, remarks)
    kind = kind_of(error, Aside.MESSAGE)
    add_event(connection, EventAbout.message(row), kind, now, asdict(unforeseen(error)))
    return str(row["request_id"])


def keep_back(
    connection: Connection,
    provider: str,
    notice_id: int,
    error: BaseException,
) -> None:
    """Give the EPR the notice no more, with an alarm about its message."""
    values = {"provider": provider, "notice_id": notice_id}
    row = connection.one("keep_notice_back", **values)
    if row is None:
        return
    found = connection.one("request_of_message", id=row["message_id"])
    request_id = found["request_id"] if found else None
    kind = kind_of(error, Aside.NOTICE)
    tell(
        connection,
        kind,
        unforeseen(error),
        instant(row["kept_back_at"]),
        provider=provider,
        request_id=request_id,
        message_id=row["message_id"],
    )


def log_set_aside(kind: Aside, error: BaseException, **about: Any) -> None:
    """Log type and place of an error, and what it was about; nothing that it says."""
    what = unforeseen(error)
    known = {name: value for name, value in about.items() if value is not None}
    advice = ALARMS[kind].advice
    log.error(
        "unit.set_aside",
        kind=kind.value,
        exception=what.exception,
        place=what.place,
        advice=advice,
        **known,
    )


@frozen
class Look:
    """What a step looks for: what is due now, but for what hit an internal error a moment ago."""

    now: datetime
    left_out: Sequence[int]
    most: int

    @property
    def values(self) -> dict[str, object]:
        """The values of a statement that lists what is due."""
        left_out = json.dumps(list(self.left_out))
        return {"now": text(self.now), "left_out": left_out, "limit": self.most}


@frozen
class Failed:
    """A row that something fell due for and could not be done, and why: it is as it was."""

    number: int  # of the row
    provider: str
    message_id: int | None
    request_id: str | None
    error: Exception


def each_alone(
    connection: Connection, found: Iterable[Row], do: Callable[[Row], T]
) -> list[T | Failed]:
    """Do something for each row by itself: what fails is undone, and the others are done."""
    return [_alone(connection, row, do) for row in found]


def _alone(connection: Connection, row: Row, do: Callable[[Row], T]) -> T | Failed:
    try:
        with connection.savepoint():
            return do(row)
    except Exception as error:  # unit of work
        if not is_of_one_row(error):
            raise
        about = (row["provider"], row["message_id"], row["request_id"])
        return Failed(row["id"], *about, error)


Step = Callable[[Connection, Look], Sequence[object | Failed]]


class Rounds:
    """Does steps, and remembers what hit an internal error in each."""

    def __init__(self, database: Database, asides: Asides) -> None:
        self._database = database
        self._asides = asides
        self._again_at: dict[Step, dict[int, datetime]] = {}
        self._more = False

    async def go(self, step: Step, kind: Aside, now: datetime) -> int:
        """Do *step* for what is due, and tell of what fails as *kind*; return how much is done."""
        done = 0
        for _ in range(MOST_GROUPS):
            ended = await self._group(step, kind, now)
            failed = sum(isinstance(each, Failed) for each in ended)
            done += len(ended) - failed
            if failed or len(ended) < MOST_AT_ONCE:  # where some fail, all of them may
                return done
        self._more = True
        return done

    def more(self) -> bool:
        """Tell whether, since this was last asked, a step has left something due for its next."""
        more, self._more = self._more, False
        return more

    async def _group(self, step: Step, kind: Aside, now: datetime) -> Sequence[object | Failed]:
        again_at = self._again_at.setdefault(step, {})
        _forget(again_at, now)
        left_out = [number for number, at in again_at.items() if _is_ahead(at, now)]
        look = Look(now, left_out, MOST_AT_ONCE)
        ended = await self._database.write(lambda connection: step(connection, look))
        for each in ended:
            if isinstance(each, Failed):
                is_new = each.number not in again_at
                again_at[each.number] = now + FAILED_AGAIN_AFTER
                await self._tell(each, kind, now, is_new=is_new)
        return ended

    async def _tell(self, failed: Failed, kind: Aside, now: datetime, *, is_new: bool) -> None:
        about = {"provider": failed.provider, "request_id": failed.request_id}
        if is_new:
            message_id = failed.message_id
            await self._asides.tell(kind, failed.error, now, message_id=message_id, **about)
        else:
            log_set_aside(kind, failed.error, message_id=failed.message_id, **about)


def _forget(again_at: dict[int, datetime], now: datetime) -> None:
    """Forget what has not failed since it was due again, and all where it is too much."""
    if len(again_at) > MOST_REMEMBERED:
        again_at.clear()
    for number in [one for one, at in again_at.items() if at + FAILED_AGAIN_AFTER < now]:
        del again_at[number]


def _is_ahead(at: datetime, now: datetime) -> bool:
    """Tell whether *at* is to come; further ahead than a pause, and the clock was set back."""
    return now < at <= now + FAILED_AGAIN_AFTER
