"""
Alerts: which are open, who sees to them, and what is still to be told.

    review: what stands ─► opened, reminded, resolved ─┬─ one transaction
                                    each with deliveries ┘
    deliveries due ─► told ─► delivered │ not delivered: again later

What is decided and what is to be told of it are one transaction: a crash between the two forgets
nothing and repeats nothing. A crash between telling and writing that down tells it once more.

That nothing can be stored is told from memory (`status.outage`), and joined to the rest with the
first review after it, under numbers that were reserved before.

Decisions: D-alerts.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from bars_gateway.model.alerts import (
    Alert,
    AlertStep,
    Channel,
    Condition,
    Delivery,
    ReservedNumbers,
    StandingConditions,
    Telling,
    ToldFromMemory,
)
from bars_gateway.model.messages import Actor
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.records import THE_GATEWAY, add_event
from bars_gateway.store.rows import instant, text
from bars_gateway.store.work import Noun, WakeUps, reads, wakes, writes

_AT_ONCE = 200  # of one mail
_KEPT = timedelta(days=90)  # what was told; the alert itself stays
_FORGOTTEN_AT_ONCE = 500  # more than are told at once, so that fewer are left each time


class Alerts(Noun):
    """What somebody is told of beyond this machine."""

    @reads
    def standing(self, connection: Connection) -> list[Alert]:
        """Return what is open, the oldest first."""
        return standing(connection)

    @wakes(WakeUps.wake_couriers, if_any=True)
    @writes
    def review(
        self, connection: Connection, found: StandingConditions, telling: Telling, now: datetime
    ) -> list[AlertStep]:
        """Open, remind of and resolve alerts by what stands *now*; return what was decided."""
        if found.meanwhile is not None:
            _go_on_with(connection, found.meanwhile)
        opened = {(row["code"], row["about"]): row for row in connection.rows("open_alerts")}
        done: list[AlertStep] = []
        for each in found.conditions:
            row = opened.pop((each.code, each.about), None)
            if row is not None:
                done += _go_on(connection, row, each, telling, now)
            elif each.opens:
                done += _open(connection, each, telling, now)
        for row in opened.values():
            if found.is_ours(row["about"]) and _may_end(row, found):
                done += _resolve(connection, row, telling, now)
        return done

    @writes
    def reserve(self, connection: Connection, now: datetime) -> ReservedNumbers:
        """Return numbers for an alert, and for a delivery by each channel, that are given once."""
        nothing = _columns(Condition(code="", says="", urgent=False))
        alert = connection.inserted("raise_alert", **nothing, now=text(now))
        told = {"id": alert, "step": AlertStep.OPENED, "now": text(now), "due_at": text(now)}
        numbers = {
            channel: connection.inserted("number_of_telling", channel=channel, **told)
            for channel in Channel
        }
        connection.put("forget_tellings", id=alert)
        connection.put("forget_alert", id=alert)
        return ReservedNumbers(alert=alert, deliveries=numbers)

    @writes
    def acknowledge(
        self, connection: Connection, number: int, actor: Actor, now: datetime
    ) -> Alert | None:
        """Let no more be told of it until it grows worse; return it, or None if none is open."""
        row = connection.one("open_alert", id=number)
        if row is None:
            return None
        values = {"who": actor.who, "why": actor.why}
        connection.put("acknowledge_alert", id=number, now=text(now), **values)
        told = {**values, "alert": number, "of": row["code"]}
        kind = f"{actor.role}.acknowledged"
        add_event(connection, THE_GATEWAY, kind, now, told)
        row = connection.one("open_alert", id=number)
        assert row is not None  # it was open a line above
        return alert_of(row)

    @reads
    def due(self, connection: Connection, channel: Channel, now: datetime) -> list[Delivery]:
        """Return what *channel* is to tell by now, in the order in which it was decided."""
        found = connection.rows("deliveries_due", channel=channel, now=text(now), limit=_AT_ONCE)
        return [
            Delivery(
                delivery_id=row["delivery_id"],
                channel=Channel(row["channel"]),
                step=AlertStep(row["step"]),
                decided_at=instant(row["decided_at"]),
                attempts=row["attempts"],
                alert=alert_of(row),
            )
            for row in found
        ]

    @writes
    def delivered(self, connection: Connection, ids: Sequence[int], now: datetime) -> None:
        """Write down that these were told, and forget a few that were told long ago."""
        connection.put("delivered", ids=json.dumps(list(ids)), now=text(now))
        connection.put("forget_told", before=text(now - _KEPT), limit=_FORGOTTEN_AT_ONCE)

    @writes
    def not_delivered(self, connection: Connection, ids: Sequence[int], again: datetime) -> None:
        """Let these be told later."""
        connection.put("not_delivered", ids=json.dumps(list(ids)), again_at=text(again))

    @writes
    def forget_others(self, connection: Connection, channels: Sequence[Channel]) -> None:
        """Forget what was to be told by channels that are none any more."""
        for channel in Channel:
            if channel not in channels:
                connection.put("forget_channel", channel=channel)

    def wake(self, channel: Channel) -> None:
        """Wake whoever tells by it."""
        self._wake_ups.couriers[channel].wake()

    async def wait_for_work(self, channel: Channel, seconds: float) -> None:
        """Return when *channel* may have something to tell, after *seconds* at the latest."""
        await self._wake_ups.couriers[channel].wait(seconds)


def standing(connection: Connection) -> list[Alert]:
    """Return what is open, the oldest first."""
    return [alert_of(row) for row in connection.rows("open_alerts")]


def alert_of(row: Row) -> Alert:
    """Return the alert in *row*."""
    worse = row["acknowledged_mark"] is not None and row["mark"] > row["acknowledged_mark"]
    return Alert(
        number=row["id"],
        code=row["code"],
        says=row["says"],
        urgent=bool(row["urgent"]),
        opened_at=instant(row["opened_at"]),
        acknowledged_at=None if worse else instant(row["acknowledged_at"]),
        acknowledged_by=None if worse else row["acknowledged_by"],
        resolved_at=instant(row["resolved_at"]),
    )


def _columns(condition: Condition) -> Mapping[str, object]:
    """Return what an alert about *condition* is begun with."""
    return {
        "code": condition.code,
        "about": condition.about,
        "says": condition.says,
        "urgent": int(condition.urgent),
        "mark": condition.mark,
        "kept_by": condition.kept_by,
    }


def _go_on_with(connection: Connection, told: ToldFromMemory) -> None:
    """Let an alert that was told from memory be one of ours; what is there already stays."""
    at, columns = text(told.opened_at), _columns(told.condition)
    if not connection.run("raise_told_alert", id=told.number, **columns, now=at):
        return
    for each in told.deliveries:
        connection.put(
            "telling_from_memory",
            number=each.delivery.delivery_id,
            id=told.number,
            step=each.delivery.step,
            channel=each.delivery.channel,
            now=at,
            due_at=text(each.due_at),
            attempts=each.delivery.attempts,
            delivered_at=text(each.delivered_at) if each.delivered_at else None,
        )


def _open(
    connection: Connection, condition: Condition, telling: Telling, now: datetime
) -> list[AlertStep]:
    number = connection.inserted("raise_alert", **_columns(condition), now=text(now))
    _tell(connection, number, AlertStep.OPENED, condition, telling, now)
    return [AlertStep.OPENED]


def _go_on(
    connection: Connection, row: Row, condition: Condition, telling: Telling, now: datetime
) -> list[AlertStep]:
    if (row["says"], row["mark"]) != (condition.says, condition.mark):
        connection.put("change_alert", id=row["id"], says=condition.says, mark=condition.mark)
    seen = row["acknowledged_mark"]
    if seen is not None and condition.mark <= seen:
        return []
    worse = condition.mark > row["told_mark"]
    due = telling.remind and now >= instant(row["told_at"]) + telling.remind
    if not due or not (condition.urgent or worse):
        return []
    connection.put("remind_of_alert", id=row["id"], now=text(now))
    _tell(connection, row["id"], AlertStep.REMINDED, condition, telling, now)
    return [AlertStep.REMINDED]


def _may_end(row: Row, found: StandingConditions) -> bool:
    if row["kept_by"] in found.unknown:
        return False
    return found.may_end is None or row["code"] in found.may_end


def _resolve(connection: Connection, row: Row, telling: Telling, now: datetime) -> list[AlertStep]:
    connection.put("resolve_alert", id=row["id"], now=text(now))
    for channel in telling.channels:
        told = connection.one("untold_of_alert", id=row["id"], channel=channel, now=text(now))
        if told is None or not told["begun"]:  # nobody there has heard of it
            connection.put("take_back_telling", id=row["id"], channel=channel)
            continue
        digest = None if row["urgent"] else telling.digest
        due_at = now if channel is Channel.JOURNAL or digest is None else now + digest
        _tell_by(connection, row["id"], AlertStep.RESOLVED, channel, now, due_at)
    return [AlertStep.RESOLVED]


def _tell(  # noqa: PLR0917
    connection: Connection,
    number: int,
    step: AlertStep,
    condition: Condition,
    telling: Telling,
    now: datetime,
) -> None:
    for channel in telling.channels:
        due_at = telling.due_at(channel, condition, now)
        _tell_by(connection, number, step, channel, now, due_at)


def _tell_by(  # noqa: PLR0917
    connection: Connection,
    number: int,
    step: AlertStep,
    channel: Channel,
    now: datetime,
    due_at: datetime,
) -> None:
    values: Mapping[str, object] = {"now": text(now), "due_at": text(due_at)}
    connection.put("tell_of_alert", id=number, step=step, channel=channel, **values)
