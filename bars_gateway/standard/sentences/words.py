"""
The words that sentences are put together from: matters, moves, times; and how a table is made.

    use case ──matter_of──► Matter        matter + move ──slots──► {what} {so} {doubt} {they} {by} …

A matter is what a use case means for whoever reads: who is responsible after an
acknowledgement, whether an answer is owed, whether a vehicle is sent. What differs between
two of them in a word only is a slot; what asks something else is a sentence of its own.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from enum import IntEnum, StrEnum

from bars_gateway.frozen import frozen
from bars_gateway.standard.meaning import Said
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.timing import application_of
from bars_gateway.standard.workflow import Move, RequestType


class Asks(IntEnum):
    """What a sentence asks of its reader; of several together the most severe counts."""

    NOTHING = 0  # nothing now
    WAIT = 1  # nothing yet: its outcome will be told
    WORK = 2  # the ordinary next step: read it, answer it
    CHECK = 3  # look, and act if what the sentence names is so
    TELEPHONE = 4  # telephone: nobody can know it otherwise
    ACT = 5  # act now: the patient is this organisation's


@frozen
class Sentence:
    """What is so and what to do about it, with slots such as {it} and {by}."""

    text: str
    asks: Asks


class Matter(StrEnum):
    """What a request is, for whoever reads about it."""

    TRANSFER = "referral"  # A1, A2, A3, A5, A8: responsibility goes with it
    VALIDATION = "validation"  # A4: the ambulance service stays responsible
    OUT_OF_AREA = "out-of-area referral"  # a6t1: it may not be turned down
    CALL_ASSIST = "call assist"  # a6t2
    MUTUAL_AID = "mutual aid"  # a6t3
    BOOKING = "booking"
    UNKNOWN = "unknown use case"


CONTROL_ROOMS = (Matter.OUT_OF_AREA, Matter.CALL_ASSIST, Matter.MUTUAL_AID)
HELP = (Matter.CALL_ASSIST, Matter.MUTUAL_AID)


@frozen(kw_only=True)
class Words:
    """How the parts of a matter are called."""

    it: str  # the request
    they: str  # who was asked
    asker: str
    nobody: str  # what is so if the request has not arrived
    until_then: str  # and what to reckon with as long as that is not known
    stands: str  # what may be so if a cancellation has not arrived
    answer: str  # what is owed


_ROOM = "the other control room"
_YOURS = "you remain responsible"
_ON_THE_WAY = "somebody may be on the way"
_TRANSFER = Words(
    it="referral",
    they="the receiving service",
    asker="the referring service",
    nobody="nobody has taken this patient on",
    until_then=_YOURS,
    stands=_ON_THE_WAY,
    answer="answer",
)


def _help(it: str) -> Words:
    return Words(
        it=it,
        they=_ROOM,
        asker=_ROOM,
        nobody=f"nobody has agreed to help, and {_YOURS}",
        until_then=_YOURS,
        stands=_ON_THE_WAY,
        answer="yes or no",
    )


WORDS: Mapping[Matter, Words] = {
    Matter.TRANSFER: _TRANSFER,
    Matter.VALIDATION: Words(
        it="request for validation",
        they="the validating service",
        asker="the ambulance service",
        nobody=f"nobody validates this, and {_YOURS}",
        until_then=_YOURS,
        stands="a clinician may be at work on it",
        answer="final answer",
    ),
    Matter.OUT_OF_AREA: Words(
        it="out-of-area referral",
        they=_ROOM,
        asker=_ROOM,
        nobody="nobody has taken this patient on",
        until_then=_YOURS,
        stands=_ON_THE_WAY,
        answer="status",
    ),
    Matter.CALL_ASSIST: _help("request for call assist"),
    Matter.MUTUAL_AID: _help("request for mutual aid"),
    Matter.BOOKING: Words(
        it="booking",
        they="the receiving service",
        asker="the service that booked",
        nobody="the patient has no appointment",
        until_then="do not count on the appointment",
        stands="the patient is expected",
        answer="answer",
    ),
    Matter.UNKNOWN: Words(
        it="request",
        they="the receiving service",
        asker="the service that asked",
        nobody="nobody has taken this patient on",
        until_then=_YOURS,
        stands=_ON_THE_WAY,
        answer="answer",
    ),
}
_CONTROL_ROOM_CODES = dict(zip(("a6t1", "a6t2", "a6t3"), CONTROL_ROOMS, strict=True))


def matter_of(request_type: RequestType, use_case: str) -> Matter:
    """Return what a workflow about *request_type* in *use_case* is to whoever reads of it."""
    if request_type is RequestType.BOOKING:
        return Matter.BOOKING
    if request_type is RequestType.VALIDATION:
        return Matter.VALIDATION
    if use_case in _CONTROL_ROOM_CODES:
        return _CONTROL_ROOM_CODES[use_case]
    return Matter.TRANSFER if application_of(use_case) else Matter.UNKNOWN


@frozen
class Parts:
    """How a message of ours is called, and what is so as long as it has not arrived."""

    what: str
    so: str
    do: str
    asks: Asks


_OLD = "{they} works from the old information"
PARTS: Mapping[Move, Parts] = {
    Move.REQUEST: Parts("the {it}", "{nobody}", "Act now.", Asks.ACT),
    Move.UPDATE: Parts("the change to the {it}", _OLD, "Telephone.", Asks.TELEPHONE),
    Move.CANCEL: Parts(
        "the cancellation",
        "the {it} still stands, and {stands}",
        "Telephone now.",
        Asks.TELEPHONE,
    ),
    Move.WAIT: Parts(
        "your message that no resource is assigned",
        "{asker} may believe that one is on the way",
        "Telephone now.",
        Asks.TELEPHONE,
    ),
    Move.PROGRESS: Parts(
        "your message of how far you are",
        "{asker} does not know it",
        "Telephone.",
        Asks.TELEPHONE,
    ),
    Move.DECLINE: Parts(
        "your rejection",
        "{asker} believes that you have this patient",
        "Telephone now.",
        Asks.TELEPHONE,
    ),
    Move.CONCLUDE: Parts(
        "your message that you have finished",
        "{asker} believes that you are still at work",
        "Telephone.",
        Asks.TELEPHONE,
    ),
    # Nobody composes one; but what was submitted ready-made may read so.
    Move.UNCLEAR: Parts(
        "your unclear response",
        "{asker} does not know how far you are",
        "Telephone now.",
        Asks.TELEPHONE,
    ),
}
_OF_VALIDATION: Mapping[Move, Parts] = {
    Move.PROGRESS: Parts(
        "your message that you have started",
        "{asker} does not know it",
        "Telephone.",
        Asks.TELEPHONE,
    ),
    Move.CONCLUDE: Parts(
        "your final answer",
        "{asker} still waits for it{by}",
        "Telephone now.",
        Asks.TELEPHONE,
    ),
}
# By what a response says, where its move alone would tell another story.
_BY_WORD: Mapping[Said, Parts] = {
    Said.ACCEPTED: Parts(
        "your message that you accept this",
        "{asker} does not know that you do",
        "Telephone now.",
        Asks.TELEPHONE,
    ),
    Said.NOT_ATTENDED: Parts(
        "your message that the patient did not come",
        "{asker} believes that you have this patient",
        "Telephone now.",
        Asks.TELEPHONE,
    ),
}


@frozen
class GoesBy:
    """What is so of an answer of ours that has not arrived, where they have another one."""

    so: str
    do: str
    asks: Asks


GOES_BY: Mapping[Remark, GoesBy] = {
    Remark.SAID_BEFORE: GoesBy(
        "{asker} goes by another one of yours, which says the same",
        "Telephone if this one says more.",
        Asks.CHECK,
    ),
    Remark.SAID_SINCE: GoesBy(
        "{asker} goes by newer word of yours", "Telephone if the two disagree.", Asks.CHECK
    ),
    Remark.SAID_OTHERWISE: GoesBy(
        "{asker} goes by another one of yours; this one may say otherwise",
        "Telephone now.",
        Asks.TELEPHONE,
    ),
}


def parts(
    matter: Matter, move: Move, says: str | None = None, goes_by: GoesBy | None = None
) -> Parts:
    """Return the words for a message of ours."""
    if goes_by is not None:
        own = parts(matter, move, says)
        return replace(own, so=goes_by.so, do=goes_by.do, asks=goes_by.asks)
    if says and says in _BY_WORD:
        return _BY_WORD[Said(says)]
    if matter is Matter.VALIDATION and move in _OF_VALIDATION:
        return _OF_VALIDATION[move]
    return PARTS[move]


@frozen(kw_only=True)
class Details:
    """What only the message at hand can tell; without it, what names it is left out."""

    due_at: datetime | None = None  # when an answer is owed
    ends_at: datetime | None = None  # when the gateway stops trying
    says: str | None = None  # what a response means
    reason: str | None = None  # of a rejection, as the standard displays it
    shown: str | None = None  # how the record has ended there: a FHIR status
    goes_by: GoesBy | None = None  # what of ours they have in place of this


def filled(text: str, matter: Matter, move: Move, details: Details) -> str:
    """Return *text* with its slots filled."""
    words = WORDS[matter]
    told = _told(details) | {each.name: str(getattr(words, each.name)) for each in fields(Words)}
    own = parts(matter, move, details.says, details.goes_by)
    told |= {"what": own.what.format(**told), "so": own.so.format(**told), "do": own.do}
    large = {name.capitalize(): each[:1].upper() + each[1:] for name, each in told.items()}
    return text.format(**told, **large)


_ENDED = {
    "revoked": "cancelled",
    "entered-in-error": "entered in error",
    "fulfilled": "attended",
    "noshow": "not attended",
}


def _told(details: Details) -> dict[str, str]:
    due, ends, reason, shown = details.due_at, details.ends_at, details.reason, details.shown
    return {
        "by": f" by {clock(due)}" if due else "",
        "due": f"due by {clock(due)}" if due else "due soon",
        "owed": f", which is owed by {clock(due)}" if due else "",
        "until": f" until {clock(ends)}" if ends else "",
        "after": f"after {clock(ends)}" if ends else "when its time has passed",
        "shown": f" It is shown as {_ENDED.get(shown, shown)}." if shown else "",
        "reason": f" Reason given: {reason}." if reason else "",
    }


def clock(at: datetime) -> str:
    """Return an instant as people read it."""
    utc = at.astimezone(UTC)
    return f"{utc:%H:%M} UTC on {utc.day} {utc:%B}"


# A row under None is for every matter that has none of its own. What a row asks of its reader is
# the name of the function that makes it.
Rows = Mapping[Matter | None, Sentence]
ByMove = Mapping[Move, Rows]


def nothing(text: str) -> Sentence:
    """Return a sentence that asks nothing."""
    return Sentence(text, Asks.NOTHING)


def work(text: str) -> Sentence:
    """Return a sentence that asks for the ordinary next step."""
    return Sentence(text, Asks.WORK)


def check(text: str) -> Sentence:
    """Return a sentence that asks to look, and to act if it is so."""
    return Sentence(text, Asks.CHECK)


def telephone(text: str) -> Sentence:
    """Return a sentence that asks for a telephone call."""
    return Sentence(text, Asks.TELEPHONE)


def act(text: str) -> Sentence:
    """Return a sentence that alarms."""
    return Sentence(text, Asks.ACT)


def of_each_move(text: str, asks: Asks | None = None) -> ByMove:
    """Return *text* for each move; it asks what a message asks that has not arrived."""
    return {
        move: {None: Sentence(text, own.asks if asks is None else asks)}
        for move, own in PARTS.items()
    }


def found(rows: Rows, matter: Matter) -> Sentence:
    """Return the sentence for *matter*."""
    return rows[matter] if matter in rows else rows[None]
