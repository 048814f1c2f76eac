"""
What happens to an outbound message: each function over a connection runs in one transaction.

    submit ─► queued ─claim─► sending ─settle─► queued │ acknowledged │ refused │ unconfirmed
                 ▲               │                 └─give_up─► unconfirmed │ not_sent
                 └── put_back · release ──┘

Every change is guarded by the state that it starts from, and one row must change:
otherwise the claim has lapsed and somebody else may hold the message.

Decisions: D-fencing, D-unknown-fate, D-order.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from bars_gateway.errors import PayloadDamaged, StaleState
from bars_gateway.model.messages import (
    Accepted,
    Attempt,
    Change,
    Claim,
    NoticeKind,
    OutboundState,
    Part,
    Payload,
    Settled,
    Settlement,
    Submission,
)
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.verdict import FOREIGN, UNFIT, ProxyAnswer
from bars_gateway.standard.workflow import CHANGES, Move, Role, State, is_worse
from bars_gateway.store import claims, submissions
from bars_gateway.store.asides import (
    Aside,
    Failed,
    Look,
    Rounds,
    Spoilt,
    Step,
    each_alone,
    log_set_aside,
)
from bars_gateway.store.claims import Lease, Openings
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.outcomes import LookedFor, known_before, tell_outcome
from bars_gateway.store.pacing import forget, note
from bars_gateway.store.record_ids import name_focus
from bars_gateway.store.records import (
    EventAbout,
    WorkflowStanding,
    add_event,
    keep,
    move_due,
    move_workflow,
    notify,
    standing,
)
from bars_gateway.store.rows import instant, payload_of, text
from bars_gateway.store.work import Noun, Shared, WakeUps, promises, reads, wakes, writes

# What the fate of a request means for the workflow that it opened. The fate of later
# messages says nothing about the workflow: a refused update leaves the referral alive.
_FATE_OF_REQUEST = {
    OutboundState.REFUSED: Move.REFUSE,
    OutboundState.UNCONFIRMED: Move.LAPSE,
    OutboundState.NOT_SENT: Move.ABANDON,
}


# What came back is kept for a person to look at, and is nobody's answer.
_UNPROVEN = FOREIGN | {"ok-without-our-ids", "ok-with-an-error"}
_MOST_IN_FLIGHT = 256  # of one node, whatever its settings say
DUPLICATE_AT_FIRST = "duplicate-at-first"
_REMARKS: Mapping[str, Sequence[Remark]] = {
    "acknowledged-by-another-bundle": [Remark.NO_IDS_TAKEN],
    DUPLICATE_AT_FIRST: [Remark.DUPLICATE_AT_FIRST],
}


class Outbound(Noun):
    """Messages that go out: submitted, claimed for a POST, and settled."""

    def __init__(
        self, shared: Shared, rounds: Rounds, *, node: str, lease: timedelta, per_receiver: int
    ) -> None:
        super().__init__(shared)
        self._rounds = rounds
        self._node = node
        self._lease = lease
        self._per_receiver = per_receiver
        self._own = partial(release_own, node=node)

    @promises
    @wakes(WakeUps.wake_outbound)
    async def submit(self, submission: Submission, now: datetime) -> Accepted:
        """
        Queue the message, or return the receipt that the same bytes were given before.

        Raises MoveRefused where its workflow is past such a move: nothing was taken then.
        """
        searched = await self._searched(submission)
        accepted = await self._database.write(
            partial(submissions.submit, submission=searched, now=now)
        )
        if submission.read_first:
            self._wake_ups.cancellations.wake()
        return accepted

    @reads
    def submitted(self, connection: Connection, provider: str, fingerprint: str) -> Accepted | None:
        """Return the receipt that these bytes were given, or None."""
        return submissions.submitted(connection, provider, fingerprint)

    @reads
    def taken_before(
        self, connection: Connection, provider: str, request: Payload
    ) -> Accepted | None:
        """Return the receipt that these bytes were given, or what they say under their id."""
        return submissions.taken_before(connection, provider, request)

    @reads
    def correlation_of(
        self,
        connection: Connection,
        provider: str,
        *keys: str,
        role: Role | None = None,
        counterparty: str | None = None,
        change: Change | None = None,
    ) -> str | None:
        """Return the X-Correlation-Id of the workflow that *keys*, or the *change*, belong to."""
        found = submissions.workflow_about(
            connection, provider, *keys, role=role, counterparty=counterparty, change=change
        )
        return None if found is None else str(found["correlation_id"])

    async def claim(self, wanted: int, openings: Openings) -> list[Claim]:
        """
        Take up to *wanted* messages for us alone, the first to leave first.

        What is urgent goes first, and of that what has been due longest.
        """
        until = openings.at + self._lease
        lease = Lease(
            node=self._node,
            until=until,
            per_receiver=self._per_receiver,
            dead=self._database.nodes.dead(),
        )
        work = partial(claims.claim, wanted=wanted, openings=openings, lease=lease)
        while any(openings.places.values()):
            found = await self._database.write(work)
            taken = [each for each in found if isinstance(each, Claim)]
            spoilt = [each for each in found if isinstance(each, Spoilt)]
            for each in spoilt:
                log_set_aside(Aside.MESSAGE, each.error, message_id=each.number)
            if spoilt:
                self._wake_ups.wake_everybody()  # they are held, and their EPRs are told
            if taken or not spoilt:
                return taken
        return []

    async def settle(
        self, claim: Claim, answer: ProxyAnswer, *, attempt: Attempt, settlement: Settlement
    ) -> None:
        """Record the attempt and what it led to; raise StaleState if the claim has lapsed."""
        work = partial(
            settle,
            claim=claim,
            answer=answer,
            attempt=attempt,
            settlement=settlement,
            node=self._node,
        )
        await self._database.write(work)
        self._shared.measures.attempted(attempt)
        self._wake_ups.outbound.wake()
        self._wake_ups.notices[claim.provider].wake()

    @wakes(WakeUps.wake_outbound)
    @writes
    def put_back(self, connection: Connection, claim: Claim, retry_at: datetime) -> None:
        """Undo the claim: no POST began, so it was no attempt."""
        changed = connection.run(
            "put_back",
            id=claim.message_id,
            node=self._node,
            claim=claim.claim,
            retry_at=text(retry_at),
        )
        _exactly_one(changed, claim)
        if claim.claimed_at is not None:
            forget(connection, claim.provider, claim.claimed_at)

    @writes
    def renew(self, connection: Connection, claim: Claim, now: datetime) -> None:
        """
        Let *claim* last for a POST that begins only now, and note that one does.

        Raises StaleState where it has lapsed, so that the message may be another's, or stopped.
        """
        values = {"id": claim.message_id, "node": self._node, "claim": claim.claim}
        changed = connection.run("renew", lease_until=text(now + self._lease), **values)
        _exactly_one(changed, claim)
        note(connection, {claim.provider: 1}, now)

    async def release_own(self, now: datetime) -> int:
        """Queue again what this node was sending when it died; return how many."""
        return await self._release(self._own, now)

    async def release_lapsed(self, now: datetime) -> int:
        """Queue again what a lease ran out on; return how many."""
        return await self._release(release_lapsed, now)

    @wakes(WakeUps.wake_outbound)
    @writes
    def release_unheld(
        self, connection: Connection, in_hand: Collection[int], now: datetime
    ) -> int:
        """Queue again what this node has claimed but for those *in_hand*; return how many."""
        left_out = json.dumps(sorted(in_hand))
        found = connection.rows(
            "own_leases", node=self._node, left_out=left_out, limit=_MOST_IN_FLIGHT
        )
        for row in found:
            connection.run("release", id=row["id"], now=text(now))
        return len(found)

    async def _release(self, step: Step, now: datetime) -> int:
        released = await self._rounds.go(step, Aside.MESSAGE, now)
        for _ in range(released):
            self._wake_ups.outbound.wake()
        return released

    async def give_up(self, now: datetime) -> int:
        """Settle what is queued and past its time as unconfirmed or not_sent; return how many."""
        return self._woken(await self._rounds.go(give_up, Aside.NOTICE, now))

    async def tell_delays(self, now: datetime) -> int:
        """Write a delayed notice for each open message that is late; return how many."""
        return self._woken(await self._rounds.go(tell_delays, Aside.NOTICE, now))

    def _woken(self, changed: int) -> int:
        if changed:
            self._wake_ups.wake_everybody()
        return changed

    @reads
    def next_due(
        self, connection: Connection, now: datetime, providers: Collection[str]
    ) -> datetime | None:
        """
        Return when, after *now*, the next queued message of *providers* is due, or None.

        Pass the *now* of the claim that found nothing: what was due then and not
        claimable waits for another message, and the wake-up comes when that is settled.
        """
        row = connection.one("next_due", now=text(now), providers=json.dumps(sorted(providers)))
        return instant(row["at"]) if row else None

    async def wait_for_work(self, seconds: float) -> None:
        """Return when a message may have become due, after *seconds* at the latest."""
        await self._wake_ups.outbound.wait(seconds)

    def wake(self) -> None:
        """Wake one sender of this node: there may be more to claim."""
        self._wake_ups.outbound.wake_here()


def settle(  # noqa: PLR0917
    connection: Connection,
    claim: Claim,
    answer: ProxyAnswer,
    attempt: Attempt,
    settlement: Settlement,
    node: str,
) -> None:
    """Record the attempt and what it led to."""
    if attempt.row in FOREIGN:
        about = EventAbout(claim.provider, claim.message_id, claim.request_id)
        add_event(connection, about, "message.foreign_ack", attempt.ended_at)
    if isinstance(settlement, Settled):
        _settle_for_good(connection, claim, answer, attempt, settlement, node)
    else:
        changed = connection.run(
            "settle_for_retry",
            id=claim.message_id,
            node=node,
            claim=claim.claim,
            retry_at=text(settlement.at),
        )
        _exactly_one(changed, claim)
        if attempt.row == UNFIT:
            at = text(attempt.ended_at)
            connection.put("late_at_once", id=claim.message_id, row=UNFIT, now=at)
        if attempt.row in _UNPROVEN and answer.body:
            keep(connection, claim.message_id, Part.UNPROVEN, _payload(answer))
        _record(connection, claim, attempt)


def _settle_for_good(  # noqa: PLR0917
    connection: Connection,
    claim: Claim,
    answer: ProxyAnswer,
    attempt: Attempt,
    settlement: Settled,
    node: str,
) -> None:
    at = attempt.ended_at
    row = connection.one(
        "settle_for_good",
        id=claim.message_id,
        node=node,
        claim=claim.claim,
        state=settlement.state,
        now=text(at),
        reconcile_at=text(at) if _is_unnamed(claim, attempt, settlement) else None,
        focus_id=settlement.focus_id,
    )
    if row is None:
        raise StaleState(f"message {claim.message_id} is no longer ours to settle")
    _record(connection, claim, attempt)
    if settlement.by_earlier:
        _let_unproven_be_answer(connection, claim.message_id)
    elif answer.body:
        part = Part.UNPROVEN if attempt.row in _UNPROVEN else Part.ANSWER
        keep(connection, claim.message_id, part, _payload(answer))
    _lead_on_and_tell(connection, row, attempt, settlement)


def _let_unproven_be_answer(connection: Connection, message_id: int) -> None:
    """Let the answer without our ids be the Receiver's (D-duplicate), encrypted as that."""
    kept = None
    if connection.vault.has_ring:
        kept = connection.one("payload", message_id=message_id, part=Part.UNPROVEN)
    connection.put("unproven_becomes_answer", message_id=message_id)
    if kept is not None:
        with suppress(PayloadDamaged):  # whoever wants to read it will meet that
            keep(connection, message_id, Part.ANSWER, payload_of(kept, connection.vault))


def _lead_on_and_tell(
    connection: Connection, row: Row, attempt: Attempt, settlement: Settled
) -> None:
    """Move the workflow on as its message was settled, and tell the EPR what that leads to."""
    at = attempt.ended_at
    workflow = WorkflowStanding(state=State(row["stands"]), use_case=row["asked_for"])
    move = lead_on(connection, row, settlement.state, at, workflow)
    named: Sequence[Remark] = ()
    if move is Move.REQUEST and settlement.focus_id is not None:
        free = not row["named"]  # and so is the id
        named = name_focus(connection, row, settlement.focus_id, at, free=free)
        if Remark.SHARED_ID in named:
            connection.put("want_reconciliation", id=row["id"], now=text(at))
    taken = settlement.state is OutboundState.ACKNOWLEDGED
    first = [*_REMARKS.get(attempt.row, ()), *named]
    last = _past_its_time(row, at) if taken else []
    looked_for = LookedFor(
        foreign_answers=attempt.row in FOREIGN or row["attempts"] > 1,
        words_since=not taken or move in CHANGES,
        warnings=bool(row["warned"]),
        links=bool(row["linked"]),
    )
    tell_outcome(connection, row, at, before=first, after=last, looked_for=looked_for)


def _is_unnamed(claim: Claim, attempt: Attempt, settlement: Settled) -> bool:
    """Tell whether a later change lacks the id to name: there is none, or it is a duplicate's."""
    if claim.move is not Move.REQUEST:
        return False
    acknowledged = settlement.state is OutboundState.ACKNOWLEDGED
    return attempt.row == DUPLICATE_AT_FIRST or (acknowledged and settlement.focus_id is None)


def lead_on(
    connection: Connection,
    row: Row,
    settled: OutboundState,
    now: datetime,
    workflow: WorkflowStanding | None = None,
) -> Move | None:
    """
    Let the workflow follow the message in *row*; return the move that this is, if one.

    *workflow*: where that stands, for whoever knows it.
    """
    acknowledged = settled is OutboundState.ACKNOWLEDGED
    move: Move | None = Move(row["move"])
    if not acknowledged:
        move = _FATE_OF_REQUEST.get(settled) if move is Move.REQUEST else None
    if move is None:
        return None
    before = workflow or standing(connection, row["workflow_id"])
    state = move_workflow(connection, row["workflow_id"], move, now, found=before)
    if is_worse(before.state, state):  # our EPR went on with what had ended
        message = connection.one("message", id=row["id"])
        assert message is not None
        add_event(connection, EventAbout.message(message), f"workflow.{state}", now)
    if acknowledged and move is Move.UPDATE and row["answer_due_at"]:
        _count_update(connection, row)
    return move


def _count_update(connection: Connection, row: Row) -> None:
    """Set the clock by an update that has arrived, and by what was submitted after it."""
    due, warn_at = row["answer_due_at"], row["warn_at"]
    for later in connection.rows("updates_after", id=row["id"], workflow_id=row["workflow_id"]):
        # A nearer time counts from its submission, whatever comes of it there.
        if later["state"] == OutboundState.ACKNOWLEDGED or later["answer_due_at"] < due:
            due, warn_at = later["answer_due_at"], later["warn_at"]
    move_due(connection, row["workflow_id"], instant(due), instant(warn_at))


def _record(connection: Connection, claim: Claim, attempt: Attempt) -> None:
    connection.put(
        "record_attempt",
        message_id=claim.message_id,
        number=attempt.number,
        started_at=text(attempt.started_at),
        ended_at=text(attempt.ended_at),
        verdict=attempt.verdict,
        verdict_row=attempt.row,
        fault=attempt.fault,
        http_status=attempt.http_status,
        code=attempt.code,
        issue=attempt.issue,
        ids_echoed=int(attempt.ids_echoed),
        table_version=attempt.table_version,
    )


def _payload(answer: ProxyAnswer) -> Payload:
    return Payload(media_type=answer.media_type, headers=answer.headers, body=answer.body)


def _exactly_one(changed: int, claim: Claim) -> None:
    if changed != 1:
        raise StaleState(f"message {claim.message_id} is no longer ours")


def give_up(connection: Connection, look: Look) -> list[Failed | None]:
    """Settle what is queued and past its time, and tell the EPR in those words."""
    found = connection.rows("messages_past_their_time", **look.values)
    return each_alone(connection, found, partial(_give_up, connection, look.now))


def _give_up(connection: Connection, now: datetime, due: Row) -> None:
    for row in connection.rows("give_up", id=due["id"], now=text(now)):
        if row["move"] == Move.REQUEST:
            fate = _FATE_OF_REQUEST[OutboundState(row["state"])]
            move_workflow(connection, row["workflow_id"], fate, now)
        tell_outcome(connection, row, now)


def tell_delays(connection: Connection, look: Look) -> list[Failed | None]:
    """Write a delayed notice for each open message that is late: once, and once its time passes."""
    found = connection.rows("late_messages", **look.values)
    return each_alone(connection, found, partial(_tell_delay, connection, look.now))


def _tell_delay(connection: Connection, now: datetime, row: Row) -> None:
    connection.put("delay_told", id=row["id"], now=text(now))
    held = [Remark.HELD] if row["state"] == OutboundState.HELD else []
    unfit = [Remark.UNFIT] if row["last_row"] == UNFIT else []
    remarks = [*held, *unfit, *known_before(connection, row["id"]), *_past_its_time(row, now)]
    notify(connection, NoticeKind.DELAYED, row, now, remarks)


def release_lapsed(connection: Connection, look: Look) -> list[Failed | None]:
    """Queue again what a lease ran out on."""
    found = connection.rows("leases_lapsed", **look.values)
    return each_alone(connection, found, partial(_release, connection, look.now))


def release_own(connection: Connection, look: Look, node: str) -> list[Failed | None]:
    """Queue again what *node* was sending when it died."""
    found = connection.rows("own_leases", node=node, **look.values)
    return each_alone(connection, found, partial(_release, connection, look.now))


def _release(connection: Connection, now: datetime, row: Row) -> None:
    connection.put("release", id=row["id"], now=text(now))


def _past_its_time(row: Row, now: datetime) -> list[Remark]:
    late = row["needed_by"] is not None and row["needed_by"] <= text(now)
    return [Remark.PAST_ITS_TIME] if late else []
