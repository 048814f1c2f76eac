"""Every situation that somebody can be told of: what becomes of a message, by use case."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

from bars_gateway.model.messages import OutboundState
from bars_gateway.standard.findings import ReadProgress, Reconciliation
from bars_gateway.standard.meaning import MOVES, Reason, Said
from bars_gateway.standard.remarks import OF_DELAYS, OF_SILENCE, Remark
from bars_gateway.standard.sentences import Situation
from bars_gateway.standard.sentences.turned_away import OF_CANCELLATIONS
from bars_gateway.standard.sentences.words import GOES_BY
from bars_gateway.standard.workflow import DOUBTS, FINAL, Move, RequestType, State

DUE = datetime(2026, 3, 2, 14, 5, tzinfo=UTC)
ENDS = datetime(2026, 3, 2, 13, 50, tzinfo=UTC)
REQUESTS = [Move.REQUEST, Move.UPDATE, Move.CANCEL]
RESPONSES = [Move.WAIT, Move.PROGRESS, Move.DECLINE, Move.CONCLUDE, Move.UNCLEAR]
# What a response of ours may say that its move alone does not tell.
IN_OTHER_WORDS = {Move.WAIT: [Said.ACCEPTED], Move.DECLINE: [Said.NOT_ATTENDED]}
OPEN = {OutboundState.QUEUED, OutboundState.SENDING, OutboundState.HELD}
# What a use case is about; "" is one that nobody here knows.
ABOUT = [
    *((code, RequestType.REFERRAL) for code in ("a1t1", "a2t1", "a3t1", "a5t1", "a8t1", "")),
    *((code, RequestType.VALIDATION) for code in ("a4t1", "a4t2", "a4t3", "a4t4")),
    *((code, RequestType.REFERRAL) for code in ("a6t1", "a6t2", "a6t3")),
    *((code, RequestType.BOOKING) for code in ("a1t1", "a2t1", "a7t1", "")),
]
# One of each sort: with these, everything that can be remarked upon is.
SAMPLES = {
    ("a3t1", RequestType.REFERRAL),
    ("", RequestType.REFERRAL),
    ("a4t1", RequestType.VALIDATION),
    ("a6t1", RequestType.REFERRAL),
    ("a6t2", RequestType.REFERRAL),
    ("a6t3", RequestType.REFERRAL),
    ("a7t1", RequestType.BOOKING),
}
SILENCE = tuple(dict.fromkeys(OF_SILENCE.values()))
# What is said of our own answers alone, where the other side has another one.
ELSEWHERE = tuple(GOES_BY)
REMARKS = [each for each in Remark if each not in {*SILENCE, *ELSEWHERE}]


def ours(request_type: RequestType, use_case: str) -> Iterator[Situation]:
    """Yield what can become of a message of ours."""
    for move in (*REQUESTS, *RESPONSES):
        begun = Situation(
            direction="outbound",
            state="queued",
            move=move,
            request_type=request_type,
            use_case=use_case,
            due_at=DUE,
            ends_at=ENDS,
        )
        for state in OutboundState:
            yield replace(begun, state=state)
            if state not in OPEN:
                yield from outcomes(replace(begun, kind="outcome", state=state))
        yield from in_other_words(begun)
        if move in RESPONSES:
            yield from known_elsewhere(begun)
        for kind in ("released", "retried", "resent", "delayed"):
            yield replace(begun, kind=kind)
            yield replace(begun, kind=kind, state="not_sent")
        for remark in sorted(OF_DELAYS - {*ELSEWHERE}):
            yield replace(begun, kind="delayed", remarks=(remark,))
        yield replace(begun, state="queued", attempts=0)
        for attempts in (0, 1):
            yield replace(begun, kind="held", state="held", attempts=attempts)
            yield replace(begun, kind="delayed", state="held", attempts=attempts)
        if move is Move.CANCEL:
            yield from cancellations(begun)
        if move is Move.REQUEST:
            yield from reconciliations(replace(begun, state="acknowledged"))


def in_other_words(begun: Situation) -> Iterator[Situation]:
    """Yield what a response of ours says that its move alone does not tell."""
    for said in IN_OTHER_WORDS.get(begun.move, ()):
        yield replace(begun, says=said)
        for state in OutboundState:
            if state not in OPEN:
                yield replace(begun, kind="outcome", state=state, says=said)


def known_elsewhere(begun: Situation) -> Iterator[Situation]:
    """Yield what is told of an answer of ours where the other side has another one."""
    for remark in ELSEWHERE:
        known = replace(begun, remarks=(remark,))
        yield from (replace(known, kind=kind) for kind in ("delayed", "retried", None))
        for state in set(OutboundState) - {OutboundState.ACKNOWLEDGED}:
            kind = "held" if state is OutboundState.HELD else "outcome"
            yield replace(known, state=state, kind=None if state in OPEN - {"held"} else kind)


def reconciliations(taken: Situation) -> Iterator[Situation]:
    """Yield what comes of looking for the Receiver's id."""
    for reconciled in Reconciliation:
        shown = "revoked" if reconciled is Reconciliation.OVER else None
        yield replace(taken, kind="reconciled", reconciled=reconciled, shown=shown)
    over = replace(taken, kind="outcome", shown="entered-in-error")
    yield over
    yield replace(over, remarks=(Remark.ARRIVED_AFTER_ALL,))


def cancellations(begun: Situation) -> Iterator[Situation]:
    """Yield what becomes of one that waits for its read."""
    yield from (replace(begun, reading=reading) for reading in ReadProgress)
    told = replace(begun, kind="cancel_not_sent")
    yield replace(told, reading=ReadProgress.UNREAD)
    yield replace(told, reading=ReadProgress.OTHER_PATIENT, remarks=(Remark.OTHER_PATIENT,))
    yield replace(begun, kind="outcome", state="refused", attempts=0)


def outcomes(settled: Situation) -> Iterator[Situation]:
    """Yield how it ended, also with what is said beside."""
    yield settled
    if (settled.use_case, settled.request_type) in SAMPLES:
        yield from (replace(settled, remarks=(remark,)) for remark in REMARKS)


def theirs(request_type: RequestType, use_case: str) -> Iterator[Situation]:
    """Yield what others may ask and answer."""
    came = Situation(
        direction="inbound",
        state="received",
        move=Move.REQUEST,
        request_type=request_type,
        use_case=use_case,
        due_at=DUE,
    )
    for kind in (None, "message", "decided_late", "question"):
        for move in REQUESTS:
            yield replace(came, kind=kind, move=move)
    over = (Remark.CANCEL_AFTER_END, Remark.OTHER_PATIENT)
    alone = ((remark,) for remark in (*OF_CANCELLATIONS, Remark.OTHER_STANDS))
    for remarks in ((), *alone, over):
        yield replace(came, kind="cancel_turned_away", remarks=remarks)
    for kind in (None, "message", "amended", "decided_late", "question"):
        for said in Said:
            answered = replace(came, kind=kind, move=MOVES[said], says=said)
            yield answered
            if said is Said.REJECTED:
                yield from (replace(answered, reason_code=reason) for reason in Reason)
            if kind == "message" and (use_case, request_type) in SAMPLES:
                yield from (replace(answered, remarks=(remark,)) for remark in REMARKS)


def owed(request_type: RequestType, use_case: str) -> Iterator[Situation]:
    """Yield what is said of answers that have not come."""
    for kind in ("due_soon", "overdue"):
        awaited = Situation(
            kind=kind,
            direction="outbound",
            state="acknowledged",
            move=Move.REQUEST,
            request_type=request_type,
            use_case=use_case,
            due_at=DUE,
        )
        yield awaited
        yield from (replace(awaited, remarks=(each,)) for each in SILENCE)
        yield replace(awaited, direction="inbound", state="received")


SETTLES = (FINAL - {State.ABANDONED}) | DOUBTS.keys() | {State.ACTIVE, State.IN_PROGRESS}
MOVED_ON = [state for state in State if state in SETTLES]
WORDS = [None, *Said]


def moved_on(request_type: RequestType, use_case: str) -> Iterator[Situation]:
    """Yield what somebody who looks at a request or a response may find become of its workflow."""
    for direction, settled in (("outbound", "acknowledged"), ("inbound", "received")):
        for state in MOVED_ON:
            for newest in WORDS:
                looked_at = Situation(
                    direction=direction,
                    state=settled,
                    move=Move.REQUEST,
                    request_type=request_type,
                    use_case=use_case,
                    due_at=DUE,
                    stands=state,
                    newest=newest,
                )
                yield looked_at
                if direction == "outbound":
                    yield replace(looked_at, state="unconfirmed")
                else:
                    yield replace(looked_at, move=Move.WAIT, says=Said.ACCEPTED)


# Where a workflow may be while its answer is owed.
OWES = [State.REQUESTED, State.UNCONFIRMED, State.ACTIVE, State.IN_PROGRESS, *DOUBTS]


def looked_at(request_type: RequestType, use_case: str) -> Iterator[Situation]:
    """Yield what somebody finds who looks while something is late, owed, not found or alarming."""
    sent = Situation(
        direction="outbound",
        state="acknowledged",
        move=Move.REQUEST,
        request_type=request_type,
        use_case=use_case,
        due_at=DUE,
        ends_at=ENDS,
        stands=State.ACTIVE,
    )
    came = replace(sent, direction="inbound", state="received")
    for move in (*REQUESTS, *RESPONSES):
        waits = replace(sent, state="queued", move=move, late=True)
        yield waits
        yield replace(waits, state="held")
        yield replace(waits, remarks=(Remark.PAST_ITS_TIME,))
    yield replace(sent, state="queued", move=Move.CANCEL, reading=ReadProgress.WAITS, late=True)
    for kind in ("due_soon", "overdue"):
        yield from (replace(sent, stands=state, owed=kind) for state in OWES)
        yield replace(came, owed=kind)
    yield from (replace(sent, reconciled=each) for each in Reconciliation)
    yield from (replace(each, alarmed=True) for each in (sent, came))
    yield replace(sent, one_over=True)
    yield replace(sent, direction="inbound", state="received", move=Move.PROGRESS, one_over=True)
    for each in (sent, came, replace(came, move=Move.WAIT, says=Said.ACCEPTED)):
        for state in (State.CANCELLED, State.DECLINED, State.COMPLETED):
            of_two = replace(each, stands=state, remarks=(Remark.OTHER_STANDS,))
            yield from (of_two, replace(of_two, remarks=(Remark.OTHER_RECORD,)))


@cache
def everything() -> tuple[Situation, ...]:
    """Return every situation: made where somebody asks, for they are many thousands."""
    return tuple(
        situation
        for use_case, request_type in ABOUT
        for part in (ours, theirs, owed, moved_on, looked_at)
        for situation in part(request_type, use_case)
    )
