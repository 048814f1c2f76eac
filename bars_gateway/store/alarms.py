"""Alarms: how they are read, and how a person's word ends them. Triggers raise and settle them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from bars_gateway.model.alarms import ALARMS, Meanwhile
from bars_gateway.model.interventions import HANDLING_OBJECTIONS
from bars_gateway.model.messages import Actor
from bars_gateway.model.standing_alarms import MOST_AT_ONCE, Alarm, Chosen, Handled, StandingAlarms
from bars_gateway.standard.remarks import IN_VAIN
from bars_gateway.standard.sentences import means
from bars_gateway.standard.workflow import Role
from bars_gateway.store.asides import each as as_far_as_read
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.outcomes import is_beside_another, known_before
from bars_gateway.store.records import EventAbout, add_event
from bars_gateway.store.rows import instant, notice_of, text
from bars_gateway.store.work import Noun, reads, writes

# Of which something else is said where something else went on meanwhile.
_ONE_BY_ONE = frozenset(kind for kind, each in ALARMS.items() if each.meanwhile)
_ENDED = {"handled": "handled_before", "settled": "settled", "superseded": "superseded"}


class Alarms(Noun):
    """What a person has to see, until somebody has."""

    @reads
    def standing(self, connection: Connection, provider: str | None, limit: int) -> list[Alarm]:
        """Return what stands, of *provider* or of all, newest first."""
        return standing(connection, provider, limit)

    @reads
    def listed(self, connection: Connection, kind: str | None, limit: int) -> list[Alarm]:
        """Return the newest that stand, of *kind* or of every kind, with what the EPR was told."""
        return newest(connection, limit, [kind] if kind else ALARMS)

    @reads
    def newest(self, connection: Connection) -> int:
        """Return the number of the last that was raised; 0: none was."""
        found = connection.one("newest_alarm")
        return 0 if found is None or found["id"] is None else int(found["id"])

    @reads
    def raised(self, connection: Connection, after: int, limit: int) -> list[Alarm]:
        """Return what was raised after the alarm of that number, oldest first, ended or not."""
        found = connection.rows("alarms_raised", after=after, limit=limit)
        return [alarm_of(connection, row) for row in found]

    @writes
    def handle(
        self,
        connection: Connection,
        provider: str,
        chosen: Chosen,
        actor: Actor,
        now: datetime,
        *,
        dry_run: bool,
        at_once: int = MOST_AT_ONCE,
    ) -> list[Handled]:
        """Mark what is chosen as handled, at most *at_once*, and say what stands against others."""
        found = list(_found(connection, provider, chosen, at_once))
        for each in found:
            if each.objection is None and each.alarm is not None and not dry_run:
                _end(connection, each.alarm, actor, now)
        return found


def counted(connection: Connection) -> list[StandingAlarms]:
    """Return how many alarms stand, by kind, provider, our role, and how their case goes on."""
    found: dict[tuple[object, ...], StandingAlarms] = {}
    for row in connection.rows("count_alarms", one_by_one=json.dumps(sorted(_ONE_BY_ONE))):
        some = StandingAlarms(
            kind=row["kind"],
            provider=row["provider"],
            role=_role(row),
            meanwhile=_meanwhile(connection, row["one"]),
            count=row["n"],
            oldest_at=instant(row["oldest"]),
            newest=row["newest"],
        )
        key = (some.kind, some.provider, some.role, some.meanwhile)
        found[key] = _joined(found[key], some) if key in found else some
    return list(found.values())


def _joined(one: StandingAlarms, other: StandingAlarms) -> StandingAlarms:
    return replace(
        one,
        count=one.count + other.count,
        oldest_at=min(one.oldest_at, other.oldest_at),
        newest=max(one.newest, other.newest),
    )


def _meanwhile(connection: Connection, message_id: int | None) -> Meanwhile | None:
    """Return what is so beside that message, where nobody has to act as if nobody else knew."""
    if message_id is None:
        return None
    if not IN_VAIN.isdisjoint(known_before(connection, message_id)):
        return Meanwhile.GONE_ON
    return Meanwhile.ANOTHER if is_beside_another(connection, message_id) else None


def newest(connection: Connection, each: int, kinds: Iterable[str] = ALARMS) -> list[Alarm]:
    """Return the newest of each kind, at most *each* of them."""
    return [
        replace(alarm_of(connection, row), told=_told(connection, row))
        for kind in kinds
        for row in connection.rows("newest_alarms", kind=kind, limit=each)
    ]


def _told(connection: Connection, alarm: Row) -> str | None:
    """Return what the EPR was told last of the message that is meant, if it was told anything."""
    if alarm["message_id"] is None:
        return None
    message = connection.one("notice_message", message_id=alarm["message_id"])
    found = connection.rows("newest_notice", message_id=alarm["message_id"])
    if message is None:
        return None
    told = as_far_as_read(found, lambda row: means(notice_of(row, message, ()).situation))
    return next((text_ for text_ in told if isinstance(text_, str)), None)


def standing(connection: Connection, provider: str | None, limit: int) -> list[Alarm]:
    """Return what stands, newest first."""
    found = connection.rows("standing_alarms", provider=provider, limit=limit)
    return [alarm_of(connection, row) for row in found]


def _found(
    connection: Connection, provider: str, chosen: Chosen, at_once: int
) -> Iterator[Handled]:
    for number in dict.fromkeys(chosen.numbers):
        yield _numbered(connection, provider, number)
    for request_id in dict.fromkeys(chosen.request_ids):
        yield from _named(connection, provider, request_id)
    if chosen.up_to is not None:
        values = {"provider": provider, "limit": at_once}
        values |= {"after": chosen.after, "up_to": chosen.up_to}
        kinds = json.dumps(sorted(chosen.kinds or ALARMS))
        for row in connection.rows("alarms_of_kinds", kinds=kinds, **values):
            yield Handled(name=str(row["id"]), alarm=alarm_of(connection, row), objection=None)


def _numbered(connection: Connection, provider: str, number: int) -> Handled:
    row = connection.one("alarm", id=number, provider=provider)
    if row is None:
        return Handled(name=str(number), alarm=None, objection=HANDLING_OBJECTIONS["no_alarm"])
    ended = row["ended_how"]
    against = HANDLING_OBJECTIONS[_ENDED[ended]] if ended else None
    return Handled(name=str(number), alarm=alarm_of(connection, row), objection=against)


def _named(connection: Connection, provider: str, request_id: str) -> Iterator[Handled]:
    found = connection.rows("alarms_named", request_id=request_id, provider=provider)
    for row in found:
        yield Handled(name=request_id, alarm=alarm_of(connection, row), objection=None)
    if not found:
        yield Handled(name=request_id, alarm=None, objection=HANDLING_OBJECTIONS["no_alarm"])


def _end(connection: Connection, alarm: Alarm, actor: Actor, now: datetime) -> None:
    values = {"now": text(now), "who": actor.who, "why": actor.why}
    ended = connection.one("handle_alarm", id=alarm.number, **values)
    if ended is None:  # named twice
        return
    detail = {"who": actor.who, "why": actor.why, "alarm": alarm.number, "of": alarm.kind}
    about = EventAbout(alarm.provider, ended["message_id"], alarm.request_id)
    add_event(connection, about, f"{actor.role}.marked_handled", now, detail)


def alarm_of(connection: Connection, row: Row) -> Alarm:
    """Return the alarm in *row*, as its case stands."""
    one = row["message_id"] if row["kind"] in _ONE_BY_ONE else None
    detail = json.loads(row["detail"])
    return Alarm(
        number=row["id"],
        kind=row["kind"],
        provider=row["provider"],
        role=_role(row),
        request_id=row["request_id"],
        workflow_id=row["workflow_id"],
        use_case=row["use_case"],
        quarantine=row["quarantine_id"],
        codes=[*detail.get("remarks", ()), *detail.get("rules", ()), *_failure(detail)],
        since=instant(row["since"]),
        meanwhile=_meanwhile(connection, one),
        times=row["times"],
    )


def _failure(detail: Mapping[str, str]) -> list[str]:
    """Return type and place of an error that nobody foresaw, or where the database failed."""
    named = ("exception", "place", "index", "table")
    return [detail[name] for name in named if name in detail]


def _role(row: Row) -> Role | None:
    return Role(row["role"]) if row["role"] else None
