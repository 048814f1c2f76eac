"""
What is remarkable about a response: late, out of order, stood down, empty, amended.

    Standing (before it) + Response ──remarks_on──► which sentences the EPR is told with it

No response is refused for being any of these: it is stored and delivered, and the
remark tells a person to look. Rows are data, and each is a scenario of the guide's
Applications 4 and 6.

And what a case goes by, where not all that was said in it has arrived:

    a message of ours + all words of its case ──gone_on_without──► what the case goes by instead
    all words of a further record ──────────────is_agreed_to─────► somebody has agreed to it

Both keep people from telephoning. So where anything may be otherwise, they claim nothing.

Decisions: D-newest-holds, D-never-too-late.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from bars_gateway.frozen import frozen
from bars_gateway.standard.applications import Answers, application
from bars_gateway.standard.bundle import Message
from bars_gateway.standard.consistency import NOBODY_ACTS, PROVED, matters, stands
from bars_gateway.standard.guards import GUARDS
from bars_gateway.standard.issues import Severity
from bars_gateway.standard.meaning import Said
from bars_gateway.standard.patients import (
    Sameness,
    is_nhs_number,
    is_placeholder,
    numbers_written,
    patient_of,
)
from bars_gateway.standard.workflow import (
    CAME_TO_NOTHING,
    FINAL,
    REQUESTER_MOVES,
    Move,
    RequestType,
    State,
    led_on,
)

_ANSWERED = frozenset({State.COMPLETED, State.DECLINED})
_LAST_WORDS = {State.COMPLETED: Move.CONCLUDE, State.DECLINED: Move.DECLINE}
_UNDER_WAY = frozenset({Move.WAIT, Move.PROGRESS})
_SOMEBODY_COMES = frozenset({Said.ASSIGNED, Said.ON_SCENE})
_NOBODY_COMES = frozenset({Said.REJECTED, Said.STOOD_DOWN, Said.NOT_ATTENDED, Said.UNCLEAR})
FINDS = frozenset({Said.VALIDATION_ACTS, Said.VALIDATION_CLOSES})
_MAY_COME_TO_NOTHING = _NOBODY_COMES | {Said.ACCEPTED}
_AGREES = _SOMEBODY_COMES | {Said.ACCEPTED}
_UNDER_AGREEMENT = frozenset({State.ACTIVE, State.IN_PROGRESS})
_SAY_NOTHING = frozenset({Move.REQUEST, Move.UNCLEAR})  # of what is so
_ARRIVED = frozenset({"acknowledged", "received"})


class Remark(StrEnum):
    """What a person should know about a response, or an outcome, beside what it says."""

    LATE = "late"
    AFTER_END = "after_end"
    AFTER_CANCEL = "after_cancel"
    AMENDED = "amended"
    OUT_OF_ORDER = "out_of_order"
    CLOCK_AHEAD = "clock_ahead"
    CONTRADICTS = "contradicts"
    IN_DOUBT = "in_doubt"
    STOOD_DOWN = "stood_down"
    EMPTY_PLAN = "empty_plan"
    PLAN_SENT_BACK = "plan_sent_back"
    INTERIM_MISSED = "interim_missed"
    UNFORESEEN = "unforeseen"
    ANSWERS_REFUSED = "answers_refused"
    CANCEL_OPEN = "cancel_open"
    CANCEL_UNSENT = "cancel_unsent"
    ATTACHED = "attached"  # not by a row: an operator did it
    OTHER_PATIENT = "other_patient"  # of every later message, as are the next two
    NEWLY_TRACED = "newly_traced"
    UNKNOWN_PATIENT = "unknown_patient"
    OTHER_RECORD = "other_record"  # of requests and outcomes, too
    OTHER_STANDS = "other_stands"  # of a cancellation and its outcome, and of an end
    PLACEHOLDER_NUMBER = "placeholder_number"  # of whatever comes in, as are the next two
    WRONG_NUMBER = "wrong_number"
    TWO_PATIENTS = "two_patients"
    NOT_TO_BE_DONE = "not_to_be_done"  # of whatever comes in, as are the next two
    MEANING_CHANGED = "meaning_changed"
    PARTS_DENIED = "parts_denied"
    PARTNER_STANDS = "partner_stands"  # of an outcome, as is the next
    UNREPLACED = "unreplaced"
    PAST_ITS_TIME = "past_its_time"  # of an outcome, or of word that a message is late
    HELD = "held"  # of word that a message is late, as is the next
    UNFIT = "unfit"
    INTERIM_ONLY = "interim_only"  # of what is owed and has not come, as are the next two
    ANSWER_UNCLEAR = "answer_unclear"
    ARRIVAL_UNKNOWN = "arrival_unknown"
    RESTORED = "restored"  # of anything: what a restore gives an EPR once more, as is the next
    FATE_UNKNOWN = "fate_unknown"
    NO_IDS_TAKEN = "no_ids_taken"  # of an outcome, as are the next
    FOREIGN_ACK = "foreign_ack"
    DUPLICATE_AT_FIRST = "duplicate_at_first"
    SHARED_ID = "shared_id"
    ID_USED_BEFORE = "id_used_before"
    CANCEL_AFTER_END = "cancel_after_end"
    UPDATE_AFTER_END = "update_after_end"
    NO_RECORD = "no_record"
    SAID_BEFORE = "said_before"  # of a response of ours that they do not have, as are the next two
    SAID_SINCE = "said_since"
    SAID_OTHERWISE = "said_otherwise"
    HEARD = "heard"  # of what was decided too late
    SET_ASIDE = "set_aside"  # of word that a message is held
    ARRIVED_AFTER_ALL = "arrived_after_all"  # of an outcome, and of the response that proves it


OF_PATIENT: Mapping[Sameness, Remark] = {
    Sameness.OTHER_PATIENT: Remark.OTHER_PATIENT,
    Sameness.NEWLY_TRACED: Remark.NEWLY_TRACED,
    Sameness.UNKNOWN_PATIENT: Remark.UNKNOWN_PATIENT,
}


# What an operator is told, too, for a person has to act.
REMARKABLE = frozenset(Remark) - {
    Remark.OUT_OF_ORDER,
    Remark.INTERIM_MISSED,
    Remark.ATTACHED,
    Remark.OTHER_PATIENT,  # an alarm of its own, as has the last
    Remark.NEWLY_TRACED,
    Remark.UNKNOWN_PATIENT,
    Remark.PLACEHOLDER_NUMBER,
    Remark.WRONG_NUMBER,
    Remark.TWO_PATIENTS,
    Remark.NOT_TO_BE_DONE,  # an alarm of its own, as has the next
    Remark.MEANING_CHANGED,
    Remark.PARTS_DENIED,
    Remark.CLOCK_AHEAD,
    Remark.CONTRADICTS,  # its workflow says so, until a person has settled it
    Remark.IN_DOUBT,
}
# What is said of the NHS numbers in what came, whatever sort of message it is.
OF_NUMBERS = frozenset({Remark.PLACEHOLDER_NUMBER, Remark.WRONG_NUMBER, Remark.TWO_PATIENTS})
# What is said of what changes the meaning of what came.
OF_MODIFIERS = frozenset({Remark.NOT_TO_BE_DONE, Remark.MEANING_CHANGED, Remark.PARTS_DENIED})
# What of these holds for more than the part in which it stands.
ON_ALL = frozenset({Remark.NOT_TO_BE_DONE, Remark.MEANING_CHANGED})
# What is said of what came by itself, whatever it belongs to.
OF_CONTENT = OF_NUMBERS | OF_MODIFIERS
# What is said of whose a message is, beside what it says.
OF_WHOSE = frozenset({*OF_PATIENT.values(), Remark.OTHER_RECORD, Remark.OTHER_STANDS, *OF_NUMBERS})
# What is said of a further record of the same request: it changes with what becomes of the two.
OF_RECORDS = frozenset({Remark.OTHER_RECORD, Remark.OTHER_STANDS})
# What is said of a cancellation, or an update, of what was over before.
OF_ENDS: Mapping[Move, Remark] = {
    Move.CANCEL: Remark.CANCEL_AFTER_END,
    Move.UPDATE: Remark.UPDATE_AFTER_END,
}
# What of a message of ours changes nothing for the other side, or not what it seems to: its case
# is over, or they have another word of ours.
OF_KNOWN = frozenset(
    {*OF_ENDS.values(), Remark.SAID_BEFORE, Remark.SAID_SINCE, Remark.SAID_OTHERWISE}
)
# What is no remark on a response: it is said with the outcome of what we have sent.
OF_OUTCOMES = frozenset(
    {
        Remark.PARTNER_STANDS,
        Remark.UNREPLACED,
        Remark.NO_IDS_TAKEN,
        Remark.FOREIGN_ACK,
        Remark.DUPLICATE_AT_FIRST,
        Remark.SHARED_ID,
        Remark.ID_USED_BEFORE,
        *OF_KNOWN,
        Remark.NO_RECORD,
        Remark.HEARD,
        Remark.PAST_ITS_TIME,
    }
)
# What is said with word that a message is late.
OF_DELAYS = OF_KNOWN | {Remark.HELD, Remark.UNFIT, Remark.PAST_ITS_TIME}
# What is said with word that a message is held.
OF_HOLDS = OF_KNOWN | {Remark.SET_ASIDE}
# What is said with an answer that has not come, by where its workflow is then.
OF_SILENCE: Mapping[State, Remark] = {
    State.REQUESTED: Remark.ARRIVAL_UNKNOWN,
    State.UNCONFIRMED: Remark.ARRIVAL_UNKNOWN,
    State.IN_PROGRESS: Remark.INTERIM_ONLY,
    State.UNCLEAR: Remark.ANSWER_UNCLEAR,
    State.CONTRADICTED: Remark.ANSWER_UNCLEAR,
}
# What a restore leaves open: it is said with whatever the EPR is told because of one.
OF_RESTORES = frozenset({Remark.RESTORED, Remark.FATE_UNKNOWN})


# Where these are said, nobody has to act in place of a message of ours that did not arrive.
IN_VAIN = OF_KNOWN - {Remark.SAID_OTHERWISE}


def beside_a_cancelled(others: Iterable[State]) -> tuple[Remark, ...]:
    """Return what is said with the cancellation of one record, where there are these others."""
    states = frozenset(others)
    return beside_an_ended(states, agreed=not states.isdisjoint(PROVED))


def beside_an_ended(others: Iterable[State], *, agreed: bool) -> tuple[Remark, ...]:
    """
    Return what is said with the end of one record that the Receiver has ended.

    That another one stands keeps somebody from acting now: it is said only where somebody has
    *agreed* to one of the others, and nothing speaks against it.
    """
    if agreed:
        return (Remark.OTHER_STANDS,)
    return (Remark.OTHER_RECORD,) if any(map(stands, others)) else ()


def beside_a_lost(others: Iterable[State]) -> tuple[Remark, ...]:
    """
    Return what is said with a request that came to nothing, where these others may be there.

    What was never sent is none of them, nor what was over before somebody asked again: it would
    keep people from acting now.
    """
    return (Remark.OTHER_RECORD,) if any(map(may_be_meant, others)) else ()


def may_be_meant(state: State) -> bool:
    """Tell whether who reads of one record has to ask after another, in *state*."""
    return matters(state) and state is not State.DECLINED


def seen_beside(
    told: Sequence[Remark],
    own: State,
    others: Collection[State],
    *,
    settled: bool,
    agreed: bool,
    lost: bool = False,
) -> Sequence[Remark]:
    """
    Return what was *told* of a message, with what is so now of further records of its request.

    Where one of two is over, nobody is asked any more which of them stands. What is not
    *settled* says nothing of others: it may yet end otherwise. Of a request that is *lost*
    (refused, or never sent), another one may have arrived.
    """
    rest = [each for each in told if each not in OF_RECORDS]
    if not settled:
        return rest
    if lost:
        return [*rest, *beside_a_lost(others)]
    if own is State.CANCELLED:
        return [*rest, *beside_a_cancelled(others)]
    if own in _ANSWERED:
        return [*rest, *beside_an_ended(others, agreed=agreed)]
    # What was told of a request that was built again stays so while it may be acted on.
    again = len(rest) < len(told) and own not in FINAL and any(map(may_be_meant, others))
    two = own not in NOBODY_ACTS and any(map(stands, others))
    return [*rest, Remark.OTHER_RECORD] if two or again else rest


def goes_on_beside_an_end(own: State | None, newest: Said | None, over: Collection[State]) -> bool:
    """
    Tell whether a record has no end, of whose request another record has got one.

    Where somebody is at work on this one, that another was turned down is no news; that another
    has been finished is, for this one may never be answered, or be worked on for nothing.
    """
    if own is None or own in FINAL:
        return False
    unanswered = own is State.ACTIVE and newest is None
    return State.COMPLETED in over or (unanswered and State.DECLINED in over)


def remarks_on_numbers(message: Message) -> tuple[Remark, ...]:
    """Return what a person should know of the NHS numbers in *message*: nobody's, or of two."""
    wrong = {each for each in numbers_written(message) if not is_nhs_number(each)}
    placeholders = set(filter(is_placeholder, wrong))
    said = (
        (Remark.PLACEHOLDER_NUMBER, placeholders),
        (Remark.WRONG_NUMBER, wrong - placeholders),
        (Remark.TWO_PATIENTS, patient_of(message).beside),
    )
    return tuple(remark for remark, numbers in said if numbers)


@frozen(kw_only=True)
class CaseSoFar:
    """Where a workflow is before a response comes into it."""

    state: State
    due_at: datetime | None
    cancel_open: bool = False  # whether we cancelled, and nobody knows whether that arrived
    cancel_unsent: bool = False  # whether we wanted to, and that never left
    says: Said | None = None  # the newest word so far


@frozen(kw_only=True)
class Response:
    """What a response says of itself."""

    move: Move
    says: Said | None
    request_type: RequestType
    use_case: str
    reason: str  # new or update
    newer: bool = True  # than everything that came before it, and than a cancellation
    clock_ahead: bool = False  # it is stamped later than it came
    says_nothing: bool = False  # its CarePlan, in words or codes
    sends_back: bool = False  # its CarePlan says only what the request's says
    came_at: datetime


_Row = Callable[[CaseSoFar, Response], bool]


def _misses_interim(before: CaseSoFar, response: Response) -> bool:
    found = application(response.use_case)
    return (
        found is not None
        and found.answers is Answers.ONE
        and response.move is Move.CONCLUDE
        and response.reason == "update"
        and before.state not in FINAL | {State.IN_PROGRESS}
    )


def _stands_down(before: CaseSoFar, response: Response) -> bool:
    """Tell whether nobody is on the way: by this word, or by a newer one, seen in its light."""
    if response.newer:
        return response.says is Said.STOOD_DOWN
    # What read as a first yes came after somebody had been sent: it was a stand-down.
    return response.says in _SOMEBODY_COMES and before.says is Said.ACCEPTED


def _contradicts(before: CaseSoFar, response: Response) -> bool:
    """Tell whether it speaks against an end: a refusal is none, whenever it was written."""
    told = response.newer or before.state in CAME_TO_NOTHING
    return (
        before.state in FINAL and told and led_on(before.state, response.move) is State.CONTRADICTED
    )


def _is_unforeseen(before: CaseSoFar, response: Response) -> bool:
    return any(
        guard.receiving is Severity.WARNING
        and before.state in guard.states
        and guard.about(response.move, response.request_type, response.use_case)
        for guard in GUARDS
    )


ROWS: Mapping[Remark, _Row] = {
    Remark.LATE: lambda before, response: (
        before.state not in FINAL and before.due_at is not None and before.due_at < response.came_at
    ),
    Remark.AFTER_END: lambda before, response: (
        before.state in _ANSWERED and response.move in _UNDER_WAY and not response.newer
    ),
    Remark.AFTER_CANCEL: lambda before, _: before.state is State.CANCELLED,
    Remark.AMENDED: lambda before, response: _LAST_WORDS.get(before.state) is response.move,
    Remark.OUT_OF_ORDER: lambda _, response: not response.newer,
    Remark.CLOCK_AHEAD: lambda _, response: response.clock_ahead,
    Remark.CONTRADICTS: _contradicts,
    Remark.IN_DOUBT: lambda before, _: before.state is State.CONTRADICTED,
    Remark.STOOD_DOWN: _stands_down,
    # The case ends by it all the same: it is the last word, and only a telephone tells more.
    Remark.EMPTY_PLAN: lambda _, response: response.says_nothing and response.says in FINDS,
    Remark.PLAN_SENT_BACK: lambda _, response: (
        response.sends_back and response.says in FINDS and not response.says_nothing
    ),
    Remark.INTERIM_MISSED: _misses_interim,
    Remark.ARRIVED_AFTER_ALL: lambda before, _: before.state is State.UNCONFIRMED,
    Remark.ANSWERS_REFUSED: lambda before, _: before.state in CAME_TO_NOTHING,
    Remark.CANCEL_OPEN: lambda before, response: (
        before.cancel_open and response.move is not Move.DECLINE
    ),
    Remark.CANCEL_UNSENT: lambda before, response: (
        before.cancel_unsent and response.move is not Move.DECLINE
    ),
    Remark.UNFORESEEN: _is_unforeseen,
}


def remarks_on(before: CaseSoFar, response: Response) -> tuple[Remark, ...]:
    """Return what is remarkable about *response*, in the order of the table."""
    return tuple(remark for remark, row in ROWS.items() if row(before, response))


def moves_on(before: CaseSoFar, response: Response) -> bool:
    """
    Tell whether the workflow follows the response: the newest holds.

    What was never taken cannot have been answered before: there the response is the news.
    """
    return response.newer or before.state in CAME_TO_NOTHING


def renews_doubt(says: Said | None) -> bool:
    """Tell whether a word about what is in doubt makes it worse: then it alarms again."""
    return says in _NOBODY_COMES


def is_alarming(remarks: Collection[Remark], says: Said | None) -> bool:
    """
    Tell whether an operator hears of a response for its remarks.

    That nobody comes is told even where something newer has come before it: who waits
    for help must not be the one to find out. So is an acceptance that is older than an
    allocation: a desk with a slow clock stands down in the same word.
    """
    old_refusal = Remark.OUT_OF_ORDER in remarks and says in _MAY_COME_TO_NOTHING
    return old_refusal or not REMARKABLE.isdisjoint(remarks)


@frozen(kw_only=True)
class CaseWord:
    """One message of a case, of either side, and what is known of it."""

    number: int  # in the order in which they were submitted, and came
    ours: bool
    move: Move
    says: Said | None = None
    written: tuple[datetime, datetime] | None = None  # by its two stamps, where it has them
    state: str  # acknowledged, refused, …; received, where it is theirs
    attempts: int = 0
    restored: bool = False  # it may have been sent before a restore, which forgets that
    of_another: bool = False  # it names another patient
    shows_end: bool = False  # somebody looked for its record there, and that was over

    @property
    def is_answer(self) -> bool:
        """Whether it is a response of ours."""
        return self.ours and self.move not in REQUESTER_MOVES

    @property
    def arrived(self) -> bool:
        """Whether the other side is known to have it, or we have it from them."""
        return self.state in _ARRIVED

    @property
    def may_have_arrived(self) -> bool:
        """Whether they may go by it; of several attempts, only the last is known to have failed."""
        return self.arrived or self.restored or self.attempts > (self.state == "refused")

    def says_the_same(self, other: "CaseWord") -> bool:
        """Tell whether it says what *other* says; no care plan and no reason is compared."""
        return (self.says or self.move) == (other.says or other.move)

    def came_before(self, other: "CaseWord") -> bool:
        """Tell whether it is the older of the two whichever way the other side orders them."""
        if self.written is None or other.written is None:
            return False
        return self.number < other.number and self.written <= other.written


def gone_on_without(message: CaseWord, case: State, words: Iterable[CaseWord]) -> Remark | None:
    """
    Return how the *case* has gone on without *message*, a message of ours; None: it has not.

    What has ended does not stand, and is not worked on from old information. Who has had
    another word of ours goes by that one, unless something may have come after it.
    """
    if message.move is Move.CANCEL:
        return Remark.CANCEL_AFTER_END if case in _ANSWERED else None
    if message.move is Move.UPDATE:
        return Remark.UPDATE_AFTER_END if case in FINAL else None
    if message.arrived or message.move in _SAY_NOTHING:
        return None
    others = [each for each in words if each.is_answer and each.number != message.number]
    heard = max((each for each in others if each.arrived), key=_newest, default=None)
    return None if heard is None else _beside(message, heard, others)


def _newest(word: CaseWord) -> tuple[bool, tuple[datetime, ...], int]:
    return (word.written is not None, word.written or (), word.number)


def _beside(message: CaseWord, heard: CaseWord, others: Iterable[CaseWord]) -> Remark | None:
    """Return what *message* is beside what was *heard*, which any of the *others* may replace."""
    final = message.move in _LAST_WORDS.values()
    sure = not any(_may_replace(each, heard) for each in others)
    if not final and message.says_the_same(heard):
        return Remark.SAID_BEFORE if sure else None
    if sure and message.came_before(heard) and _makes_good(heard, message):
        return Remark.SAID_SINCE
    # Of two final words, nobody has compared the plans and the reasons.
    return Remark.SAID_OTHERWISE if final and heard.move is message.move else None


def _may_replace(other: CaseWord, heard: CaseWord) -> bool:
    otherwise = not other.says_the_same(heard)
    return otherwise and other.may_have_arrived and not other.came_before(heard)


def _makes_good(heard: CaseWord, lost: CaseWord) -> bool:
    """Tell whether a newer word takes the place: of an end, no word that somebody comes does."""
    if heard.move in _LAST_WORDS.values():
        return True
    ends = lost.move in _LAST_WORDS.values() or lost.says is Said.STOOD_DOWN
    return not ends and heard.move not in _SAY_NOTHING


def is_agreed_to(record: State, words: Collection[CaseWord]) -> bool:
    """Tell whether somebody has agreed to a *record*, and nothing at all speaks against it."""
    agreed = [each for each in words if each.says in _AGREES and each.arrived]
    against = any(_speaks_against(each) or _may_stand_down(each, words) for each in words)
    return record in _UNDER_AGREEMENT and bool(agreed) and not against


def _speaks_against(word: CaseWord) -> bool:
    otherwise = word.says is not None and word.says not in _AGREES
    return otherwise or word.of_another or word.shows_end or word.move is Move.CANCEL


def _may_stand_down(word: CaseWord, words: Iterable[CaseWord]) -> bool:
    """Tell whether it may be a first yes that came after somebody had been sent."""
    sent = (each for each in words if each.says in _SOMEBODY_COMES)
    return word.says is Said.ACCEPTED and not all(map(word.came_before, sent))
