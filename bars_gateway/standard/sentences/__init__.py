"""
What a person is told of a message: one sentence for each situation, with what to do.

    Situation ──means──► the sentence of a notice, of `show` and of `queue`

The tables are data: what became of a message of ours, and of an answer that is owed (`outcomes`),
what others ask and answer, what the EPR is asked for them, and what a remark adds (`received`).
Which of them is said, and how a case stands that has moved on, is told here.
Whoever reads only the sentence never has to guess whether to act: it names what to do, or says
that there is nothing to do.

In this order they are said of a situation:

    what may make it untrue · the message's own sentence · what its remarks add
        · "there is nothing to do now", if so

For whoever looks at a message after its case has moved on, it says how that stands now.

    role, state of the workflow, newest word of the Responder ──standing──► its sentence

An outcome is true when it is told. Who looks at it the next day must not read that somebody is
yet to agree, when somebody has turned it down.

Decisions: D-sentences.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from bars_gateway.frozen import frozen
from bars_gateway.standard.findings import ENDED, ReadProgress
from bars_gateway.standard.meaning import MOVES, REASONS, Reason, Said
from bars_gateway.standard.remarks import OF_ENDS, OF_RECORDS, OF_SILENCE, ON_ALL, Remark
from bars_gateway.standard.sentences import outcomes, received
from bars_gateway.standard.sentences.overtaken import OLD
from bars_gateway.standard.sentences.received import (
    ARRIVED_IN_VAIN,
    OF_ANSWERS,
    REMARKED,
    added_by,
)
from bars_gateway.standard.sentences.turned_away import (
    CANCEL_TURNED_AWAY,
    CANCELLED_IN_VAIN,
    OF_CANCELLATIONS,
)
from bars_gateway.standard.sentences.words import (
    CONTROL_ROOMS,
    GOES_BY,
    Asks,
    ByMove,
    Details,
    GoesBy,
    Matter,
    Rows,
    Sentence,
    act,
    check,
    filled,
    found,
    matter_of,
    nothing,
    telephone,
    work,
)
from bars_gateway.standard.workflow import (
    ANSWERS,
    DOUBTS,
    FINAL,
    REQUESTER_MOVES,
    Move,
    RequestType,
    Role,
    State,
)

NOTHING_TO_DO = "There is nothing to do now."
_CLOCKS = frozenset({"due_soon", "overdue"})
# What gives the answer, or takes back what it was owed to.
_NO_PART = frozenset({Move.CANCEL, Move.DECLINE, Move.CONCLUDE})
# What says itself that the time of an answer has passed.
_PAST = frozenset({Remark.LATE, Remark.PAST_ITS_TIME})
# What nobody knows yet by the name that the Receiver has for it.
_NOT_FOUND = frozenset({"none", "several", "unnamed", "unread"})
_KNOWN = {
    Remark.INTERIM_ONLY: outcomes.Known.BEGUN,
    Remark.ARRIVAL_UNKNOWN: outcomes.Known.NOT_EVEN_ARRIVED,
    Remark.ANSWER_UNCLEAR: outcomes.Known.UNCLEAR,
}
_OF_REQUESTS = {
    "question": received.QUESTIONS,
    "decided_late": received.DECIDED_LATE,
    "cancel_turned_away": CANCEL_TURNED_AWAY,
}
_OF_RESPONSES = {
    "question": received.RESPONSE_QUESTION,
    "decided_late": received.RESPONSE_DECIDED_LATE,
}
_REJECTED = received.SAID[Said.REJECTED]
_TELL_OF_TWO = {
    outcomes.ONE_OF_TWO[None],
    *received.ONE_TURNED_DOWN.values(),
    *(rows[None] for rows in outcomes.LOST_BESIDE_ANOTHER.values()),
}
_LAST_WORDS = {State.COMPLETED: Said.FINISHED, State.DECLINED: Said.REJECTED}
# Remarks that are in the message's own sentence already.
TOLD_BY_ITSELF = frozenset({Remark.OUT_OF_ORDER, Remark.HELD, *_KNOWN, *GOES_BY})
# What another remark on the same message says in stronger words, or makes untrue.
_SAID_BY: Mapping[Remark, frozenset[Remark]] = {
    Remark.TWO_PATIENTS: frozenset({Remark.OTHER_PATIENT}),
    Remark.UNKNOWN_PATIENT: frozenset({Remark.TWO_PATIENTS}),
    Remark.INTERIM_MISSED: frozenset(received.OF_PLANS),  # nothing is whole without it
}
_TOLD_WITH = frozenset({(Remark.STOOD_DOWN, "stood_down")})
_TOLD_IN = frozenset(  # a kind of notice
    {
        (Remark.OTHER_PATIENT, "cancel_not_sent"),
        (Remark.CANCEL_AFTER_END, "cancel_turned_away"),
    }
)


@frozen(kw_only=True)
class Situation:
    """A message as somebody hears of it."""

    kind: str | None = None  # of the notice, or `question`; None: somebody looks at the message
    direction: str
    state: str  # of the message
    move: Move
    request_type: RequestType
    use_case: str
    attempts: int = 1
    says: str | None = None  # what a response means
    reason_code: str | None = None  # of a rejection
    remarks: Sequence[Remark] = ()
    reconciled: str | None = None  # where no id came: what came of looking for it
    shown: str | None = None  # of a request or a cancellation: how the record ended there
    reading: ReadProgress | None = None  # of a cancellation: the read that it waits for
    due_at: datetime | None = None  # when an answer is owed
    ends_at: datetime | None = None  # when the gateway stops trying
    owed: str | None = None  # `due_soon` or `overdue`: an answer that has not come
    stands: State | None = None  # its workflow
    # Who looks at it, and is told how it stands now:
    newest: Said | None = None  # what the Responder said last, of all that holds
    newest_plan: Remark | None = None  # and what was remarked upon its care plan
    late: bool = False  # it is not settled, and the EPR was told that it is late
    alarmed: bool = False  # an alarm of its workflow stands
    one_over: bool = False  # another record of the request is; this one has no end

    @property
    def matter(self) -> Matter:
        """What it is about, for whoever reads of it."""
        return matter_of(self.request_type, self.use_case)

    @property
    def role(self) -> Role:
        """Which side of its workflow we are on."""
        ours = (self.direction == "outbound") == (self.move in REQUESTER_MOVES)
        return Role.REQUESTER if ours else Role.RESPONDER


def means(situation: Situation) -> str:
    """Return what is so, and what to do about it."""
    said = sentences(situation)
    reason = REASONS[Reason(situation.reason_code)] if situation.reason_code else None
    details = Details(
        due_at=situation.due_at,
        ends_at=situation.ends_at,
        says=situation.says,
        reason=reason,
        shown=situation.shown,
        goes_by=_goes_by(situation),
    )
    texts = [filled(each.text, situation.matter, situation.move, details) for each in said]
    return " ".join([*texts, NOTHING_TO_DO] if _is_quiet(said) else texts)


def _is_quiet(said: Sequence[Sentence]) -> bool:
    return all(each.asks is Asks.NOTHING for each in said)


def sentences(situation: Situation) -> Sequence[Sentence]:
    """Return what is said, in order: of the message itself, and then of what is remarkable."""
    if situation.kind == "decided_late" and Remark.HEARD in situation.remarks:
        return [REMARKED[Remark.HEARD]]  # what was said before of its Sender is so no more
    now = _now(situation)
    said = [*_first(situation), *now, *_owed(situation), *_added(situation, now)]
    if situation.one_over and _is_quiet(said) and situation.role is Role.REQUESTER:
        said.append(outcomes.ONE_OVER)
    if situation.alarmed and max(each.asks for each in said) < Asks.TELEPHONE:
        said.append(outcomes.UNSEEN)
    return said


def _first(situation: Situation) -> Iterator[Sentence]:
    """Yield what may make all that follows untrue, before it is read."""
    if situation.kind is not None:
        yield from (REMARKED[each] for each in situation.remarks if each in ON_ALL)


def _now(situation: Situation) -> Sequence[Sentence]:
    """Return what is so now: of its workflow, where that has moved on since the message."""
    if situation.kind is None and situation.stands and situation.state not in outcomes.OPEN:
        if situation.move in REQUESTER_MOVES:
            moved = _moved_on(situation, situation.stands)
            return [found(moved, situation.matter) if moved else _own(situation)]
        if situation.direction == "inbound" and _is_overtaken(situation, situation.stands):
            rows = _standing(situation, situation.stands) or _BACK
            return [_OVERTAKEN, found(rows, situation.matter)]
    return [_own(situation)]


def _standing(situation: Situation, state: State) -> Rows | None:
    rows = standing(situation.role, state, situation.newest)
    if situation.newest_plan and rows is received.SAID.get(str(situation.newest)):
        rows = received.OF_PLANS[situation.newest_plan].get(str(situation.newest), rows)
    if situation.role is Role.REQUESTER and Remark.OTHER_STANDS in situation.remarks:
        if state is State.CANCELLED:
            return outcomes.ONE_OF_TWO
        return received.ONE_TURNED_DOWN if rows is _REJECTED else rows
    return rows


def _moved_on(situation: Situation, state: State) -> Rows | None:
    """Return what is so in place of a request, update or cancellation that was settled."""
    taken = situation.state in {"acknowledged", "received"}
    if Remark.NO_RECORD in situation.remarks:
        return None  # its workflow is of no request: what becomes of it says nothing of one
    if situation.move is Move.CANCEL and state is State.CANCELLED and taken:
        return None  # it says so itself
    if state is State.REFUSED and not taken:
        return None
    if situation.move is not Move.REQUEST and state not in {*FINAL, *DOUBTS}:
        return None  # it says what became of the change, and that is still so
    if state is State.ACTIVE and situation.state == "unconfirmed" and not situation.newest:
        return _BACK
    return _standing(situation, state)


def _is_overtaken(situation: Situation, state: State) -> bool:
    """Tell whether a response says something that holds no more; its remarks may say so, too."""
    if Remark.OUT_OF_ORDER in situation.remarks or Remark.OTHER_PATIENT in situation.remarks:
        return False
    if Remark.CONTRADICTS in situation.remarks and state is State.CONTRADICTED:
        return False
    return situation.says != situation.newest or not _fits(situation.newest, state)


def _owed(situation: Situation) -> Iterator[Sentence]:
    """Yield that an answer is owed and has not come, with whatever does not give it."""
    said = not _PAST.isdisjoint(situation.remarks)  # and that a fallback may be running already
    clock = situation.kind in _CLOCKS
    if situation.owed and situation.move not in _NO_PART and not said and not clock:
        known = OF_SILENCE.get(situation.stands) if situation.stands else None
        owing = situation.role is Role.RESPONDER
        yield found(_clock(situation.owed, known, owing=owing), situation.matter)


def _own(situation: Situation) -> Sentence:
    if situation.kind in _CLOCKS:
        known = next((remark for remark in situation.remarks if remark in _KNOWN), None)
        owing = situation.direction == "inbound"
        return found(_clock(str(situation.kind), known, owing=owing), situation.matter)
    if situation.direction == "inbound":
        return _received(situation)
    if _is_in_vain(situation):
        return outcomes.in_vain(situation.move, situation.state, situation.attempts)
    said = found(_ours(situation), situation.matter)
    goes_by = _goes_by(situation)
    return replace(said, asks=goes_by.asks) if goes_by and "{do}" in said.text else said


def _is_in_vain(situation: Situation) -> bool:
    """Tell whether it says by itself that the case was over before it could cancel or change it."""
    another = situation.reading is ReadProgress.OTHER_PATIENT
    return not another and OF_ENDS.get(situation.move) in situation.remarks


def _goes_by(situation: Situation) -> GoesBy | None:
    """Return what of ours the other side has, where it has not this answer."""
    found_ = (GOES_BY[each] for each in situation.remarks if each in GOES_BY)
    return None if situation.direction == "inbound" else next(found_, None)


def _clock(kind: str, remark: Remark | None, *, owing: bool) -> Rows:
    if owing:
        return outcomes.owed(kind)
    return outcomes.awaited(kind, _KNOWN[remark] if remark else outcomes.Known.NOTHING)


def _ours(situation: Situation) -> Rows:
    kind, state = situation.kind, situation.state
    if kind == "reconciled":
        # Nothing has shown that what is unconfirmed is there, whatever came of looking for it.
        unproven = state == "unconfirmed" and situation.reconciled != "unnamed"
        return outcomes.RECONCILED["none" if unproven else str(situation.reconciled)]
    late = kind == "delayed" or situation.late
    reading = None if late and situation.reading is ReadProgress.WAITS else situation.reading
    if reading and kind in {None, "cancel_not_sent"}:
        over = situation.stands in FINAL and reading is ReadProgress.OTHER_PATIENT
        return outcomes.NOT_GONE_AND_OVER if over else outcomes.NOT_GONE[reading]
    if kind in outcomes.TOLD:
        if _is_settled(situation):
            again = kind == "resent"
            return outcomes.RESENT_AND_SETTLED_SINCE if again else outcomes.SETTLED_SINCE
        return _waiting(outcomes.TOLD[str(kind)], situation, late=late)
    if state in outcomes.OPEN:
        rows = outcomes.TOLD["delayed"] if late else outcomes.OPEN[state]
        return _waiting(rows, situation, late=late)
    return _settled(situation)


def _is_settled(situation: Situation) -> bool:
    return situation.state not in outcomes.OPEN


def _settled(situation: Situation) -> Rows:
    state, move = situation.state, situation.move
    if state == "acknowledged" and move is Move.REQUEST and situation.shown in ENDED:
        return outcomes.OVER_THERE
    if state == "acknowledged" and situation.kind is None and situation.reconciled in _NOT_FOUND:
        return outcomes.RECONCILED[str(situation.reconciled)]
    named = outcomes.OF_NO_RECORD if Remark.NO_RECORD in situation.remarks else {}
    if state == "acknowledged" and move in named:
        return named[move]
    nothing_stands = situation.shown in ENDED or not situation.attempts
    of_two = _of_two(situation)
    if of_two is not None:
        return of_two
    if state == "refused" and move is Move.CANCEL and nothing_stands:
        return outcomes.NOTHING_TO_CANCEL
    return outcomes.SETTLED[state][move]


def _of_two(situation: Situation) -> Rows | None:
    """Return what says by itself that there is, or may be, another record of the request."""
    state, move = situation.state, situation.move
    if state == "acknowledged" and move is Move.CANCEL and Remark.OTHER_STANDS in situation.remarks:
        return outcomes.ONE_OF_TWO
    if move is Move.REQUEST and Remark.OTHER_RECORD in situation.remarks:
        return outcomes.LOST_BESIDE_ANOTHER.get(state)
    return None


def _waiting(rows: ByMove, situation: Situation, *, late: bool) -> Rows:
    held = situation.state == "held" or Remark.HELD in situation.remarks
    if held and late:
        rows = outcomes.LATE_AND_STOPPED
    elif rows is outcomes.STOPPED and situation.attempts:
        rows = outcomes.STOPPED_AFTER_ATTEMPTS
    elif rows is outcomes.ON_ITS_WAY and situation.state == "queued" and not situation.attempts:
        rows = outcomes.NOT_LEFT
    return rows[situation.move]


def _received(situation: Situation) -> Sentence:
    says = situation.says or received.BY_MOVE.get(situation.move)
    if situation.kind == "cancel_turned_away" and Remark.CANCEL_AFTER_END in situation.remarks:
        return found(CANCELLED_IN_VAIN, situation.matter)
    if says is None:
        table = _OF_REQUESTS.get(str(situation.kind), received.ASKED)
        return found(table[situation.move], situation.matter)
    if Remark.OUT_OF_ORDER in situation.remarks:
        return OLD[says]
    rows = received.SAID[says]
    for remark in received.OF_PLANS.keys() & set(situation.remarks):
        rows = received.OF_PLANS[remark].get(says, rows)
    if rows is _REJECTED and Remark.OTHER_STANDS in situation.remarks:
        rows = received.ONE_TURNED_DOWN
    return found(rows, situation.matter)


def _added(situation: Situation, now: Sequence[Sentence]) -> Iterator[Sentence]:
    if situation.kind in _OF_RESPONSES and situation.move not in REQUESTER_MOVES:
        yield _OF_RESPONSES[str(situation.kind)]
    for remark in situation.remarks:
        if _is_told(remark, situation):
            continue
        if remark in OF_RECORDS and not _TELL_OF_TWO.isdisjoint(now):
            continue
        if remark is Remark.ARRIVED_AFTER_ALL and situation.shown in ENDED:
            yield ARRIVED_IN_VAIN
            continue
        if remark in OF_CANCELLATIONS and situation.kind == "cancel_turned_away":
            yield OF_CANCELLATIONS[remark]
            continue
        if remark in OF_ANSWERS and situation.role is Role.RESPONDER:
            yield OF_ANSWERS[remark]
            continue
        word = _end_of(situation) if remark in OF_RECORDS else situation.says
        yield added_by(remark, word, situation.matter)


def _is_told(remark: Remark, situation: Situation) -> bool:
    """Tell whether the message's own sentence says it, or another remark in stronger words."""
    if remark in received.OF_PLANS:  # an older one is told in other words
        told = situation.says in received.OF_PLANS[remark]
        return told and Remark.OUT_OF_ORDER not in situation.remarks
    return (
        remark in TOLD_BY_ITSELF
        or (remark in ON_ALL and situation.kind is not None)  # it was said before all else
        or (remark is Remark.UNFIT and situation.kind == "delayed" and _is_settled(situation))
        or (remark, situation.says) in _TOLD_WITH
        or (remark, situation.kind) in _TOLD_IN
        or not _SAID_BY.get(remark, frozenset()).isdisjoint(situation.remarks)
        # which says itself that it is in vain, or that it has not gone
        or remark is OF_ENDS.get(situation.move)
    )


def _end_of(situation: Situation) -> str | None:
    """Return how one of two records has ended, for whoever looks; else what the message says."""
    if situation.kind is None and situation.stands in _LAST_WORDS:
        fits = _fits(situation.newest, situation.stands)
        return situation.newest if fits else _LAST_WORDS[situation.stands]
    return situation.says


_CANCELLED = "The {it} is cancelled."

# Of what we asked: where the Responder's newest word does not say it.
_ASKED: Mapping[State, Rows] = {
    State.IN_PROGRESS: {
        None: check("{They} has begun. Telephone if you have to know how far it is."),
        Matter.VALIDATION: nothing(
            "The validation has begun. You remain responsible; the final answer is still owed{by}."
        ),
    },
    State.UNCLEAR: received.SAID[Said.UNCLEAR],
    State.CONTRADICTED: {
        None: telephone(
            "What ended the case and something newer disagree: somebody may be on the way after"
            " all, or nobody. Do not rely on either. Telephone {they} now."
        ),
        Matter.VALIDATION: telephone(
            "What ended the validation and something newer disagree: whether to act or to close"
            " cannot be told from either. Telephone {they} now. You remain responsible."
        ),
    },
    State.COMPLETED: {
        None: check("The case is finished. Check what was done before you close it."),
        Matter.VALIDATION: act(
            "The validation is finished, and may ask you to act. Act now: read its final answer."
        ),
    },
    State.DECLINED: _REJECTED,
    State.CANCELLED: {
        None: check(
            _CANCELLED + " The patient is yours. Telephone if somebody there had already begun."
        ),
        Matter.VALIDATION: nothing(_CANCELLED + " You remain responsible; no answer will come."),
        Matter.BOOKING: nothing("The appointment is cancelled: the patient has it no longer."),
        **dict.fromkeys(
            CONTROL_ROOMS,
            check(
                _CANCELLED + " The patient is yours. If a resource was on its way, telephone to"
                " hear that it has been stopped."
            ),
        ),
    },
    State.REFUSED: {None: act("The {it} was not taken: {nobody}. Act now.")},
}
# Where a person has said that it stands as it was before.
_BACK: Rows = {
    None: check("{They} has the {it}, and is not known to have begun. Telephone if it cannot wait.")
}
# What was said holds no more: what is so now is said after it.
_OVERTAKEN = nothing("This was said earlier, and is not how the case stands now.")

# Of what others ask of us.
_OURS: Mapping[State, Rows] = {
    State.IN_PROGRESS: {
        None: work("You have begun. See it through, and send word of its end."),
        Matter.VALIDATION: work(
            "You have begun. The final answer is still owed{by}. Answer as soon as you can."
        ),
    },
    State.UNCLEAR: {
        None: telephone(
            "What you sent last does not add up: {asker} cannot tell from it how the case stands."
            " Telephone."
        )
    },
    State.CONTRADICTED: {
        None: telephone(
            "The case had ended, and something newer of yours says otherwise: {asker} cannot tell"
            " which of the two holds. Telephone now."
        )
    },
    State.COMPLETED: {None: nothing("You have finished with this.")},
    State.DECLINED: {
        None: nothing("You have turned this down: the patient is with {asker} again.")
    },
    State.CANCELLED: received.ASKED[Move.CANCEL],
    State.REFUSED: {
        None: check("The {it} was not taken here. See that nobody here is still at work on it.")
    },
}
# Of what others ask of us, while it is ours to begin: by what we have said of it.
_OURS_TO_BEGIN: Mapping[Said, Rows] = {
    Said.ACCEPTED: {
        None: work("You have accepted this, and sent nobody yet. Send word when somebody goes."),
        Matter.CALL_ASSIST: work(
            "You have agreed to take the call on, and sent nobody yet. Send somebody, and report"
            " each change of status."
        ),
        Matter.MUTUAL_AID: work(
            "You have agreed to send a resource, and sent none yet. Send it, and report each"
            " change of status; {asker} stays responsible."
        ),
    },
    Said.STOOD_DOWN: {
        None: work(
            "You have stood your resource down: nobody is on the way from here. Send another, or"
            " see that {asker} knows that none will come."
        )
    },
}


def _fits(said: Said | None, state: State) -> bool:
    """Tell whether *said* is a word that leads to where the workflow is."""
    return said is not None and ANSWERS.get(MOVES[said]) is state


def standing(role: Role, state: State, newest: Said | None) -> Rows | None:
    """Return what is said of a workflow that is at *state*; None where it has not moved on."""
    holds = newest if _fits(newest, state) else None
    if role is Role.REQUESTER:
        return received.SAID[holds] if holds else _ASKED.get(state)
    if state is State.ACTIVE and holds:
        return _OURS_TO_BEGIN[holds]
    return _OURS.get(state)
