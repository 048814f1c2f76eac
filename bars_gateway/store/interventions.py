"""
What a person does to a message: each function over a connection runs in one transaction.

    objection ─none─► the change, guarded by the state ─► workflow ─► notice ─► audit trail

What stands against a verb is looked up in the same transaction as the change, so nothing
can come in between. The EPR gets a notice where somebody else acted on its message.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from bars_gateway.model.interventions import (
    FROM,
    IN_FLIGHT,
    OBJECTIONS,
    OTHER_STANDS,
    PAST_ITS_TIME,
    WRONG_STATE,
    Candidate,
    Done,
    Resent,
    Schedule,
    Selection,
    Verb,
)
from bars_gateway.model.messages import Actor, NoticeKind, Objection, OutboundState, Part
from bars_gateway.model.readings import Link
from bars_gateway.standard.consistency import PROVED, matters
from bars_gateway.standard.links import TIES, By, Relation
from bars_gateway.standard.timing import ENDED_BY_TIME, Limits
from bars_gateway.standard.workflow import CAME_TO_NOTHING, Move, RequestType, State
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.outcomes import known_before, seen, tell_outcome
from bars_gateway.store.records import EventAbout, add_event, keep, links, move_workflow, notify
from bars_gateway.store.rows import instant, text
from bars_gateway.store.work import Noun, WakeUps, promises, reads, wakes, writes

# A workflow that ended because of its request's fate may live again with the request.
_SENDS = frozenset({Verb.RELEASE, Verb.RETRY, Verb.RESEND})
_RECORDS = frozenset({Relation.OTHER_RECORD, Relation.SAME_RECORD})
_ENDED = frozenset({State.COMPLETED, State.DECLINED, State.CANCELLED})
_DONE_WORD = {
    Verb.HOLD: "held",
    Verb.RELEASE: "released",
    Verb.WITHDRAW: "withdrawn",
    Verb.RETRY: "retried",
    Verb.RESEND: "resent",
}
_NOTICES = {
    Verb.HOLD: NoticeKind.HELD,
    Verb.RELEASE: NoticeKind.RELEASED,
    Verb.RETRY: NoticeKind.RETRIED,
}


class Interventions(Noun):
    """What a person may do to an outbound message."""

    @reads
    def candidate(
        self, connection: Connection, provider: str, request_id: str, verb: Verb, now: datetime
    ) -> Candidate | None:
        """Return *provider*'s outbound message and what stands against *verb*, changing nothing."""
        row = connection.one("message_sent", provider=provider, request_id=request_id)
        return None if row is None else candidate_for(connection, row, verb, now)

    @reads
    def candidates(  # noqa: PLR0917
        self,
        connection: Connection,
        provider: str,
        selection: Selection,
        verb: Verb,
        limit: int,
        now: datetime,
    ) -> list[Candidate]:
        """Return what *verb* would meet, oldest first, changing nothing."""
        found = connection.rows(
            "select_messages",
            provider=provider,
            states=json.dumps(sorted(selection.states)),
            receiver=selection.receiver,
            use_case=selection.use_case,
            correlation_id=selection.correlation_id,
            taken_from=text(selection.taken_from),
            taken_before=text(selection.taken_before),
            after=selection.after,
            up_to=selection.up_to,
            limit=limit,
        )
        return [candidate_for(connection, row, verb, now) for row in found]

    @reads
    def chosen(  # noqa: PLR0917
        self,
        connection: Connection,
        provider: str,
        numbers: Sequence[int],
        states: Collection[OutboundState],
        verb: Verb,
        now: datetime,
    ) -> list[Candidate]:
        """Return *provider*'s outbound messages of those numbers, as `candidates` does."""
        found = connection.rows(
            "chosen_messages",
            provider=provider,
            numbers=json.dumps(list(numbers)),
            states=json.dumps(sorted(states)),
        )
        return [candidate_for(connection, row, verb, now) for row in found]

    @reads
    def newest(self, connection: Connection) -> int:
        """Return the number of the last message that there is; 0: there is none."""
        found = connection.one("newest_message")
        return 0 if found is None else int(found["id"])

    @wakes(WakeUps.wake_everybody)
    @writes
    def intervene(  # noqa: PLR0917
        self,
        connection: Connection,
        verb: Verb,
        message_id: int,
        actor: Actor,
        schedule: Schedule,
        now: datetime,
    ) -> Done | Objection:
        """Hold, release, withdraw or retry, with workflow, notice and audit trail."""
        assert verb is not Verb.RESEND
        row = _message(connection, message_id)
        objection = _objection(connection, row, verb, now, actor)
        if objection is not None:
            return objection
        also: list[str] = []
        match verb:
            case Verb.HOLD:
                state = OutboundState.HELD
                connection.put("hold_message", id=message_id)
            case Verb.RELEASE:
                state = OutboundState.QUEUED
                connection.put("release_message", id=message_id, now=text(now))
            case Verb.WITHDRAW:
                state = OutboundState.WITHDRAWN
                also = _withdraw(connection, row, actor, now)
            case _:
                state = OutboundState.QUEUED
                _retry(connection, row, schedule, now)
        _conclude(connection, row, verb, actor, now)
        return Done(state=state, also=also)

    @promises
    @wakes(WakeUps.wake_everybody)
    @writes
    def resend(  # noqa: PLR0917
        self,
        connection: Connection,
        message_id: int,
        resent: Resent,
        actor: Actor,
        schedule: Schedule,
        now: datetime,
    ) -> Done | Objection:
        """Queue the payload once more under its new ids, with workflow, notice and audit trail."""
        row = _message(connection, message_id)
        objection = _objection(connection, row, Verb.RESEND, now, actor)
        if objection is not None:
            return objection
        opened = _opened(connection, row, now)
        new_id = connection.inserted(
            "queue_resent",
            id=message_id,
            workflow_id=opened or row["workflow_id"],
            request_id=resent.request_id,
            bundle_id=resent.bundle_id,
            fingerprint=resent.fingerprint,
            **_times(_limits(connection, row, schedule)),
            now=text(now),
        )
        keep(connection, new_id, Part.REQUEST, resent.request)
        if opened:
            _link_records(connection, new_id, opened, row["workflow_id"], now)
        _audit(connection, row, Verb.RESEND, actor, now, {"resent_as": resent.request_id})
        if actor.role != "epr":
            copy = _message(connection, new_id)
            notify(connection, NoticeKind.RESENT, copy, now, known_before(connection, copy["id"]))
        return Done(state=OutboundState(row["state"]), resent_as=resent.request_id)


def candidate_for(connection: Connection, row: Row, verb: Verb, now: datetime) -> Candidate:
    """Return the message in *row*, and what stands against *verb* now."""
    others = [each for each in _records(connection, row, verb) if matters(each.state)]
    return Candidate(
        message=seen(connection, row),
        objection=_objection(connection, row, verb, now),
        others=_named(others) if others else None,
    )


def _opened(connection: Connection, row: Row, now: datetime) -> int | None:
    """Open a workflow for a request that is sent as new: what its Receiver says is of its own."""
    if row["move"] != Move.REQUEST:
        return None
    return connection.inserted("open_resent", id=row["workflow_id"], now=text(now))


def _link_records(
    connection: Connection, message_id: int, opened: int, first: int, now: datetime
) -> None:
    values = {"workflow_id": opened, "message_id": message_id, "now": text(now)}
    connection.put("link_as_before", of=first, **values)
    tie = {"kind": TIES[By.RESEND].kind, "by": By.RESEND}
    connection.put("link_workflows", to_id=first, **tie, **values)


def _message(connection: Connection, message_id: int) -> Row:
    row = connection.one("message", id=message_id)
    assert row is not None
    return row


def _objection(
    connection: Connection,
    row: Row,
    verb: Verb,
    now: datetime,
    actor: Actor | None = None,
) -> Objection | None:
    others = _others_that_stand(connection, row, verb)
    code = _against(connection, row, verb) or (OTHER_STANDS if others else None)
    accepted = actor is not None and actor.after_its_time
    if code is None and not accepted and _is_past(row, verb, now):
        code = PAST_ITS_TIME
    if code is None:
        return None
    objection = OBJECTIONS[code]
    if code != OTHER_STANDS:
        return objection
    return replace(objection, text=objection.text.format(others=_named(others)))


def _named(others: Sequence[Link]) -> str:
    """Name records as the page and the lists do."""
    return ", ".join(f"workflow {each.workflow_id} ({each.state})" for each in others)


def _records(connection: Connection, row: Row, verb: Verb) -> list[Link]:
    """
    Return the other records of a request that *verb* would add one to.

    A copy does, and so does a request that is itself one and has not arrived. What was built
    again by the EPR may be meant, and is held up by nobody; to copy it needs a reason, though.
    """
    if row["move"] != Move.REQUEST or row["state"] == OutboundState.QUEUED or verb not in _SENDS:
        return []
    found = links(connection, row["workflow_id"])
    if verb is Verb.RESEND:
        return [each for each in found if each.relation in _RECORDS]
    return [each for each in found if each.by is By.RESEND]


def _others_that_stand(connection: Connection, row: Row, verb: Verb) -> list[Link]:
    return [
        each
        for each in _records(connection, row, verb)
        if each.state in PROVED and not _is_stood_down(connection, each.workflow_id, each.state)
    ]


def _is_past(row: Row, verb: Verb, now: datetime) -> bool:
    """Tell whether the verb would begin to send what a person may by now have done otherwise."""
    if verb not in _SENDS or row["state"] == OutboundState.QUEUED or row["needed_by"] is None:
        return False
    return row["move"] in ENDED_BY_TIME and row["needed_by"] <= text(now)


def _against(connection: Connection, row: Row, verb: Verb) -> str | None:
    """Return the code of what stands against the verb."""
    state = row["state"]
    if state == OutboundState.SENDING:
        return IN_FLIGHT
    if state not in FROM[verb]:
        return WRONG_STATE
    if verb is Verb.WITHDRAW:
        behind = connection.one("later_that_left", id=row["id"], workflow_id=row["workflow_id"])
        return "attempted" if row["attempts"] else _if_any(behind, "overtaken")
    if verb in {Verb.RETRY, Verb.RESEND} and state != OutboundState.QUEUED:
        return _against_reviving(connection, row, verb) or _against_a_copy(connection, row, verb)
    return None


def _against_a_second_record(connection: Connection, row: Row, state: State | None) -> str | None:
    """Return what stands against asking again: a record that is proved, and open."""
    over = state in _ENDED or _is_stood_down(connection, row["workflow_id"], state)
    left = connection.one("later_that_left", id=row["id"], workflow_id=row["workflow_id"])
    return (
        _if_any(connection.one("resent_message", id=row["id"]), "resent")
        or ("stands" if state in PROVED and not over else None)
        or (None if over else _if_any(left, "overtaken"))
        or (None if connection.one("has_request", id=row["id"]) else "bytes_gone")
    )


def _is_stood_down(connection: Connection, workflow_id: int, state: State | None) -> bool:
    """Tell whether nobody is on the way any more, as whoever looks reads it."""
    found = connection.one("stood_down", workflow_id=workflow_id)
    return state is State.ACTIVE and found is not None


def _against_reviving(connection: Connection, row: Row, verb: Verb) -> str | None:
    workflow = connection.one("workflow_state", id=row["workflow_id"])
    state = State(workflow["state"]) if workflow else None
    if verb is Verb.RESEND and row["move"] == Move.REQUEST:
        return _against_a_second_record(connection, row, state)
    ended = state in _ENDED
    return (
        _if_any(connection.one("resent_message", id=row["id"]), "resent")
        or _if_any(
            connection.one("later_that_left", id=row["id"], workflow_id=row["workflow_id"]),
            "overtaken",
        )
        or ("ended" if ended else None)
        or (None if connection.one("has_request", id=row["id"]) else "bytes_gone")
    )


def _against_a_copy(connection: Connection, row: Row, verb: Verb) -> str | None:
    """Return what stands against a copy: it goes behind what waits, where a retry goes before."""
    if verb is not Verb.RESEND:
        return None
    waits = connection.one("later_that_waits", id=row["id"], workflow_id=row["workflow_id"])
    return _if_any(waits, "outrun")


def _if_any(found: Row | None, code: str) -> str | None:
    return None if found is None else code


def _withdraw(connection: Connection, row: Row, actor: Actor, now: datetime) -> list[str]:
    """Withdraw the message; with a request, also what waits behind it in its workflow."""
    connection.put("withdraw_message", id=row["id"], now=text(now))
    if row["move"] != Move.REQUEST:
        values = {"id": row["id"], "workflow_id": row["workflow_id"]}
        connection.put("owed_as_before", **values, now=text(now))
        notify(connection, NoticeKind.OUTCOME, row, now, known_before(connection, row["id"]))
        return []
    move_workflow(connection, row["workflow_id"], Move.ABANDON, now)
    tell_outcome(connection, row, now)
    moot = connection.rows(
        "withdraw_behind",
        id=row["id"],
        workflow_id=row["workflow_id"],
        now=text(now),
    )
    for later in moot:
        notify(connection, NoticeKind.OUTCOME, later, now)
        _audit(connection, later, Verb.WITHDRAW, actor, now, {"behind": row["request_id"]})
    return [later["request_id"] for later in moot]


def _retry(connection: Connection, row: Row, schedule: Schedule, now: datetime) -> None:
    if row["state"] == OutboundState.QUEUED:
        connection.put("hasten_message", id=row["id"], now=text(now))
        return
    times = _times(_limits(connection, row, schedule))
    connection.put("revive_message", id=row["id"], now=text(now), **times)
    _revive_workflow(connection, row)


def _limits(connection: Connection, row: Row, schedule: Schedule) -> Limits:
    workflow = connection.one("workflow_state", id=row["workflow_id"])
    assert workflow is not None
    request_type = RequestType(workflow["request_type"])
    return schedule(row["use_case"], Move(row["move"]), request_type, instant(row["needed_by"]))


def _times(limits: Limits) -> dict[str, str | int]:
    return {
        "give_up_at": text(limits.give_up_at),
        "by_its_time": int(limits.by_its_time),
        "delay_due_at": text(limits.delayed_at),
    }


def _revive_workflow(connection: Connection, row: Row) -> None:
    """Undo what the fate of a request meant for its workflow: that fate is open again."""
    if row["move"] == Move.REQUEST:
        fates = json.dumps(sorted(CAME_TO_NOTHING))
        connection.put("revive_workflow", id=row["workflow_id"], fates=fates)


def _conclude(connection: Connection, row: Row, verb: Verb, actor: Actor, now: datetime) -> None:
    _audit(connection, row, verb, actor, now, {})
    if verb in _NOTICES and actor.role != "epr":
        notify(connection, _NOTICES[verb], row, now, known_before(connection, row["id"]))


def _audit(  # noqa: PLR0917
    connection: Connection,
    row: Row,
    verb: Verb,
    actor: Actor,
    now: datetime,
    more: Mapping[str, str],
) -> None:
    about = EventAbout.message(row)
    kind = f"{actor.role}.{_DONE_WORD[verb]}"
    late = {"after_its_time": "yes"} if actor.after_its_time else {}
    detail = {"who": actor.who, "why": actor.why, **late, **more}
    add_event(connection, about, kind, now, detail)
