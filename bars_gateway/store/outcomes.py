"""
What an outcome leaves a patient with: told with the notice, and to the operator.

    cancelled, and what was to take its place came to nothing ─► unreplaced, an alarm
    cancelled, and what it was linked to stands               ─► partner_stands
    cancelled or asked for, and another record of it may stand ─► other_record, other_stands
    to be cancelled or changed, and over before               ─► cancel_after_end, update_after_end
    changed or cancelled by a number that nothing has here    ─► no_record, an alarm
    answered, and they have another word of ours              ─► said_before, said_since, …

What has been said in a case is read here, too, for whoever looks at one of its messages.

A rebooking is two messages. Where the first was done and the second was not, the patient
has nothing, and nobody but us knows it (scenario 29).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from bars_gateway.frozen import frozen
from bars_gateway.model.messages import NoticeKind, OutboundState
from bars_gateway.model.readings import Link, MessageRow
from bars_gateway.standard.consistency import matters, stands
from bars_gateway.standard.links import NO_RECORD, TIES, By, LinkKind, Relation
from bars_gateway.standard.remarks import (
    Remark,
    beside_a_cancelled,
    beside_a_lost,
    gone_on_without,
    is_agreed_to,
)
from bars_gateway.standard.verdict import FOREIGN
from bars_gateway.standard.workflow import CAME_TO_NOTHING, FINAL, Move, State
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.records import EventAbout, add_event, links, notify, other_records
from bars_gateway.store.rows import message_of, word_of

_ALARMS: Mapping[Remark, str] = {
    Remark.NO_RECORD: "message.no_record",
    Remark.UNREPLACED: "workflow.unreplaced",
}


@frozen(kw_only=True)
class LookedFor:
    """What has to be looked for, to be told with an outcome; whoever knows better leaves it out."""

    foreign_answers: bool = True  # an answer to it may have been about somebody else's
    words_since: bool = True  # its case may have gone on without it
    warnings: bool = True  # its receipt may have warned of something
    links: bool = True  # its workflow may belong to another


_ALL = LookedFor()


def tell_outcome(
    connection: Connection,
    message: Row,
    now: datetime,
    *,
    before: Sequence[Remark] = (),
    after: Sequence[Remark] = (),
    looked_for: LookedFor = _ALL,
) -> None:
    """Tell the EPR of the outcome of *message*, whose workflow has moved, and raise its alarms."""
    left = _left_with(connection, message, looked_for)
    for remark in _ALARMS.keys() & set(left):
        _alarm(connection, message, _ALARMS[remark], now)
    notify(connection, NoticeKind.OUTCOME, message, now, [*before, *left, *after])


def _left_with(connection: Connection, message: Row, looked_for: LookedFor) -> Sequence[Remark]:
    number, found = message["id"], list[Remark]()
    if looked_for.foreign_answers and _was_mixed_up(connection, number):
        found.append(Remark.FOREIGN_ACK)
    if looked_for.words_since:
        found += known_before(connection, number)
    if looked_for.warnings and _is_of_no_record(connection, number):
        found.append(Remark.NO_RECORD)
    if looked_for.links:
        found += _left_without(connection, message)
    return found


def _was_mixed_up(connection: Connection, message_id: int) -> bool:
    foreign = json.dumps(sorted(FOREIGN))
    return connection.one("foreign_attempt", message_id=message_id, foreign=foreign) is not None


def _is_of_no_record(connection: Connection, message_id: int) -> bool:
    """Tell whether it changed something, and the receipt warned that nothing known is meant."""
    values = {"id": message_id, "rule": NO_RECORD.rule}
    return connection.one("changed_no_record", **values) is not None


def _left_without(connection: Connection, message: Row) -> Sequence[Remark]:
    if message["move"] == Move.CANCEL:
        cancelled = [message["workflow_id"]]
    elif message["move"] == Move.REQUEST:
        cancelled = [
            each.workflow_id
            for each in links(connection, message["workflow_id"])
            if each.relation is Relation.REPLACED
        ]
    else:
        return ()
    remarks = _beside(connection, message)
    if message["move"] == Move.CANCEL and _has_a_standing_partner(connection, cancelled[0]):
        remarks.append(Remark.PARTNER_STANDS)
    if any(_is_unreplaced(connection, each) for each in cancelled):
        remarks.append(Remark.UNREPLACED)
    return remarks


def _beside(connection: Connection, message: Row) -> list[Remark]:
    """Return what is said of other records of what *message* asks for, or ends."""
    others = other_records(connection, message["workflow_id"])
    if message["move"] == Move.CANCEL and _is_cancelled(connection, message["workflow_id"]):
        return list(beside_a_cancelled(each.state for each in others))
    if _state(connection, message["workflow_id"]) in CAME_TO_NOTHING:
        return list(beside_a_lost(_may_be_there(others)))
    two = any(_is_a_second(message, each) for each in others)
    return [Remark.OTHER_RECORD] if two else []


def is_beside_another(connection: Connection, message_id: int) -> bool:
    """Tell whether that request came to nothing, and another one may be there."""
    message = connection.one("message", id=message_id)
    if message is None or message["move"] != Move.REQUEST:
        return False
    return message["stands"] in CAME_TO_NOTHING and bool(_beside(connection, message))


def _may_be_there(records: Iterable[Link]) -> list[State]:
    """Return how those records stand that may be there in place of one that came to nothing."""
    return [each.state for each in records if each.may_be_there and not each.followed]


def _is_a_second(message: Row, other: Link) -> bool:
    """Tell whether *other* may stand; a request built again may be acted on beside its end, too."""
    built_again = message["move"] == Move.REQUEST and other.by is By.ALIKE
    return matters(other.state) if built_again else stands(other.state)


def known_before(connection: Connection, message_id: int) -> list[Remark]:
    """
    Return what is said of a message of ours whose case has gone on without it.

    However it ends: what has ended does not stand, and is not worked on from old information;
    and who has had another word of ours goes by that one.
    """
    found = connection.rows("words_beside", id=message_id)
    words = {row["id"]: word_of(row) for row in found}
    remark = gone_on_without(words[message_id], State(found[0]["stands"]), words.values())
    return [] if remark is None else [remark]


def is_one_agreed_to(connection: Connection, records: Iterable[Link]) -> bool:
    """Tell whether somebody has agreed to one of these, and nothing at all speaks against it."""
    return any(
        is_agreed_to(each.state, [word_of(row) for row in _words_in(connection, each)])
        for each in records
    )


def _words_in(connection: Connection, record: Link) -> list[Row]:
    return connection.rows("words_in", workflow_id=record.workflow_id)


def seen(connection: Connection, row: Row) -> MessageRow:
    """Return a message as it is shown, with how its case stands now."""
    lost = row["direction"] == "outbound" and row["state"] != OutboundState.ACKNOWLEDGED
    known = known_before(connection, row["id"]) if lost else []
    records = other_records(connection, row["workflow_id"]) if row["others"] else ()
    return replace(
        message_of(row),
        known=next(iter(known), None),
        others=[each.state for each in records],
        others_there=_may_be_there(records),
        others_over=[each.state for each in records if each.state in FINAL and not each.followed],
        other_agreed=is_one_agreed_to(connection, records),
    )


def _is_cancelled(connection: Connection, workflow_id: int) -> bool:
    return _state(connection, workflow_id) is State.CANCELLED


def _state(connection: Connection, workflow_id: int) -> State | None:
    found = connection.one("workflow_state", id=workflow_id)
    return None if found is None else State(found["state"])


def _has_a_standing_partner(connection: Connection, workflow_id: int) -> bool:
    return _is_cancelled(connection, workflow_id) and any(
        TIES[each.by].kind is LinkKind.PAIR and each.state not in FINAL
        for each in links(connection, workflow_id)
    )


def _is_unreplaced(connection: Connection, workflow_id: int) -> bool:
    """Tell whether all that was to take the place of what is cancelled came to nothing."""
    states = {
        each.state
        for each in links(connection, workflow_id)
        if each.relation is Relation.REPLACEMENT
    }
    return bool(states) and states <= CAME_TO_NOTHING and _is_cancelled(connection, workflow_id)


def _alarm(connection: Connection, message: Row, kind: str, now: datetime) -> None:
    found = connection.one("message", id=message["id"])
    assert found is not None
    add_event(connection, EventAbout.message(found), kind, now)
