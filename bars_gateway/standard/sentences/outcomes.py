"""
What became of a message of ours, in a sentence: ended, not settled, or an answer is owed.

What it says of responsibility is the Application's: an acknowledged referral has passed it
on, an acknowledged validation has not. *Unconfirmed* never says that something did not
arrive, and *acknowledged* never that somebody has read it.

One that is not settled is on its way, late, stopped, or sent again. Until an acknowledgement has
come nobody can count on it. What the sentence adds is whether the gateway still tries, and until
when.

An answer that is owed and has not come is told by kind, who owes it, and matter. The clock runs
whatever became of the request. So the sentence says what is known of it: whether they have begun,
and whether it ever arrived.
"""

from collections.abc import Mapping
from enum import StrEnum

from bars_gateway.standard.findings import ReadProgress
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.sentences.received import REMARKED
from bars_gateway.standard.sentences.words import (
    CONTROL_ROOMS,
    HELP,
    Asks,
    ByMove,
    Matter,
    Rows,
    Sentence,
    act,
    check,
    nothing,
    of_each_move,
    telephone,
    work,
)
from bars_gateway.standard.workflow import Move

_UNREAD = "this does not mean that anybody has read it"
_HAS = "{They} has {what} on its system; " + _UNREAD + "."
_TOLD = "{Asker} has {what} on its system; " + _UNREAD + "."
_FINAL = " You remain responsible until the final answer{owed}."
_CANCELLED = "The cancellation has been received: the {it} is cancelled."

_REQUEST_TAKEN: Rows = {
    None: nothing(
        _HAS + " You remain responsible until you hear that somebody has taken the patient on."
    ),
    Matter.TRANSFER: nothing(_HAS + " Responsibility has passed to it."),
    Matter.VALIDATION: nothing(_HAS + _FINAL),
    Matter.OUT_OF_AREA: nothing(
        _HAS + " Responsibility has passed to it, but no resource is assigned yet."
    ),
    Matter.CALL_ASSIST: nothing(
        _HAS + " It has not agreed yet: you remain responsible until it has."
    ),
    Matter.MUTUAL_AID: nothing(
        _HAS + " It has not agreed yet, and you remain responsible even when it has."
    ),
    Matter.BOOKING: nothing("{They} has made the appointment on its system; " + _UNREAD + "."),
}
_CANCEL_TAKEN: Rows = {
    None: check(
        _CANCELLED + " The patient is yours again. Telephone if somebody there had already begun."
    ),
    Matter.VALIDATION: nothing(_CANCELLED + " You remain responsible, and no answer will come."),
    Matter.BOOKING: nothing("The cancellation has been received: the appointment is cancelled."),
    **dict.fromkeys(
        CONTROL_ROOMS,
        check(
            _CANCELLED + " The patient is yours again. If a resource was on its way, telephone to"
            " hear that it has been stopped."
        ),
    ),
}
# Another record of it is known to stand: then nothing has come back to whoever asked.
ONE_OF_TWO: Rows = {
    None: telephone(
        "The cancellation has been received: this record of the {it} is cancelled. Another one"
        " stands there, and {stands}. If that is not wanted, either, cancel it, too; telephone if"
        " you cannot tell which of the two is meant."
    )
}
# By a number that no request here has: nothing is known to have ended or changed.
OF_NO_RECORD: ByMove = {
    Move.UPDATE: {None: nothing("{What} has been received there.")},
    Move.CANCEL: {None: nothing("The cancellation has been received there.")},
}
_ACKNOWLEDGED: ByMove = {
    Move.REQUEST: _REQUEST_TAKEN,
    Move.UPDATE: {None: nothing(_HAS), Matter.VALIDATION: nothing(_HAS + _FINAL)},
    Move.CANCEL: _CANCEL_TAKEN,
    Move.WAIT: {None: nothing(_TOLD)},
    Move.UNCLEAR: {None: check(_TOLD + " Say by telephone what is so.")},
    Move.PROGRESS: {
        None: nothing(_TOLD),
        Matter.VALIDATION: work(_TOLD + " You still owe the final answer{by}."),
    },
    Move.DECLINE: {
        None: check(
            _TOLD + " The patient is not yours any more. Telephone if it could do harm that nobody"
            " reads it at once."
        )
    },
    Move.CONCLUDE: {
        None: nothing(_TOLD),
        Matter.VALIDATION: check(_TOLD + " Telephone if you asked for something urgent in it."),
    },
}

_NOT_AGAIN = " Do not send it again as new before you have telephoned."
_UNCONFIRMED: ByMove = {
    **of_each_move(
        "We stopped trying, and do not know whether {what} arrived: assume that {so}. {do}"
        + _NOT_AGAIN
    ),
    Move.REQUEST: {
        None: act(
            "We stopped trying, and do not know whether {they} has {what}: perhaps {nobody}."
            " Telephone now." + _NOT_AGAIN
        )
    },
}

_TAKEN_BACK = "{What} was withdrawn here before it left: {so}."
_WITHDRAWN: ByMove = {
    **of_each_move(_TAKEN_BACK + " If that is wrong, send it again.", Asks.CHECK),
    Move.REQUEST: {
        None: check(_TAKEN_BACK + " If the patient still needs it, send a new request."),
    },
}

# A request that is not there, where another one with the same request may be.
_IF_NOT = " Another one with the same request may be there: telephone {they} now, and ask."
LOST_BESIDE_ANOTHER: Mapping[str, Rows] = {
    "refused": {
        None: telephone("{What} was refused." + _IF_NOT + " If it has none, {nobody}: act now.")
    },
    "not_sent": {
        None: telephone(
            "{What} never left this organisation, and we have stopped trying."
            + _IF_NOT
            + " If it has none, {nobody}: act now."
        )
    },
    "withdrawn": {
        None: telephone(
            "{What} was withdrawn here before it left."
            + _IF_NOT
            + " If it has none, {nobody}. Do not send it again as new before you have telephoned."
        )
    },
}

# Refused before the first attempt: a read has shown that nothing stands any more.
NOTHING_TO_CANCEL: Rows = {
    None: telephone(
        "The cancellation was not sent: {they} shows no current record under that number.{shown}"
        " Somebody may have acted on it already. Telephone."
    ),
    Matter.BOOKING: telephone(
        "The cancellation was not sent: {they} shows no current appointment under that"
        " number.{shown} Telephone to hear what happened."
    ),
}

# Of a cancellation or a change, where its case was over before: whatever becomes of it, nothing
# stands that it could end or change. By its state, before the words of its move.
_IN_VAIN: Mapping[Move, str] = {
    Move.CANCEL: " but the final response has come already, and nothing is left to cancel. Read"
    " that response, and telephone if somebody may still be acting on it.",
    Move.UPDATE: " but the case is over already, and nothing is left to change. Read how it ended,"
    " and telephone if what was to be changed still matters.",
}
_NOT_CONFIRMED = "{What} is on its way, and not confirmed yet;"
_NOT_LEFT = "{What} has not left yet;"
_NEVER_LEFT = "{What} never left this organisation;"
_WITHOUT_IT: Mapping[str, str] = {
    "queued": _NOT_CONFIRMED,
    "sending": _NOT_CONFIRMED,
    "held": "{What} was stopped here;",
    "refused": "{What} was refused;",
    "unconfirmed": "We stopped trying, and do not know whether {what} arrived;",
    "not_sent": _NEVER_LEFT,
    "withdrawn": "{What} was withdrawn here before it left;",
}
_UNTRIED: Mapping[str, str] = {"queued": _NOT_LEFT, "refused": _NEVER_LEFT}  # by no attempt
_TAKEN_IN_VAIN: Mapping[Move, Sentence] = {
    Move.CANCEL: REMARKED[Remark.CANCEL_AFTER_END],
    Move.UPDATE: REMARKED[Remark.UPDATE_AFTER_END],
}

# Acknowledged, and a read has shown since that the record has ended there.
OVER_THERE: Rows = {
    None: telephone(
        "{What} has arrived, but {they} shows it as over.{shown} Nobody there may be acting on it"
        " any more. Telephone: ask who sees to this patient now."
    ),
    Matter.BOOKING: telephone(
        "{What} has arrived, but {they} shows the appointment as over.{shown} Telephone: ask"
        " whether the patient has one."
    ),
}

SETTLED: Mapping[str, ByMove] = {
    "acknowledged": _ACKNOWLEDGED,
    "refused": of_each_move("{What} was refused: {so}. {do}"),
    "unconfirmed": _UNCONFIRMED,
    "not_sent": of_each_move(
        "{What} never left this organisation, and we have stopped trying: {so}. {do}"
    ),
    "withdrawn": _WITHDRAWN,
}


def in_vain(move: Move, state: str, attempts: int) -> Sentence:
    """Return what is said of a cancellation, or a change, of what was over before."""
    if state == "acknowledged":
        return _TAKEN_IN_VAIN[move]
    begins = _WITHOUT_IT[state] if attempts else _UNTRIED.get(state, _WITHOUT_IT[state])
    return telephone(begins + _IN_VAIN[move])


def _unsettled(begins: str, ends: str, asks: Asks) -> ByMove:
    """Return, between *begins* and *ends*, what to reckon with for each move."""
    asked: Rows = {None: Sentence(f"{begins} Until then {{until_then}}.{ends}", asks)}
    return {**of_each_move(f"{begins} Assume that {{so}}.{ends}", asks), Move.REQUEST: asked}


_STOPPED = "{What} was stopped here: it will not go until somebody releases it."
_TRYING = "the gateway goes on trying{until}."
_WAIT = "Wait: you will be told how it ends."
_PERHAPS_TWO = (
    "If the earlier one arrived after all, two records of it are there: ask which stands."
)

ON_ITS_WAY = _unsettled("{What} is on its way, and not confirmed yet.", " " + _WAIT, Asks.WAIT)
# No attempt has begun: whoever reads that it is on its way would believe that it had left.
NOT_LEFT = _unsettled(
    "{What} has not left yet, and so is not confirmed yet.", " " + _WAIT, Asks.WAIT
)
STOPPED = _unsettled(
    _STOPPED,
    " The clock runs on: {after} it ends unsent. Have it released or withdrawn.",
    Asks.CHECK,
)
# Some of its attempts may have arrived, so nobody can say that it ends unsent.
STOPPED_AFTER_ATTEMPTS = _unsettled(
    _STOPPED,
    " An earlier attempt may have arrived. The clock runs on: {after} nobody tries any more."
    " Have it released, or telephone.",
    Asks.CHECK,
)
LATE_AND_STOPPED = _unsettled(
    "{What} is late and was stopped here: it will not go until somebody releases it.",
    " Have it released or telephone, now.",
    Asks.TELEPHONE,
)

# By the state of the message, for whoever looks at it; each is told in a notice, too.
OPEN: Mapping[str, ByMove] = {"queued": ON_ITS_WAY, "sending": ON_ITS_WAY, "held": STOPPED}
TOLD: Mapping[str, ByMove] = {
    "delayed": _unsettled(
        "{What} is not confirmed yet; " + _TRYING, " Telephone if it cannot wait.", Asks.CHECK
    ),
    "held": STOPPED,
    "released": _unsettled(
        "{What} was released here, and is on its way again: " + _TRYING, " " + _WAIT, Asks.WAIT
    ),
    "retried": _unsettled(
        "{What} is sent once more, as the same message: how it ended before no longer counts, and "
        + _TRYING,
        " " + _WAIT,
        Asks.WAIT,
    ),
    "resent": _unsettled(
        "{What} is sent again, as another message: " + _TRYING, " " + _PERHAPS_TWO, Asks.CHECK
    ),
}
# A notice that is read once its message is settled; the outcome's own says more than its state.
_SINCE = "{What} has been settled since. Check how it ended: another notice says so."
SETTLED_SINCE: Rows = {None: check(_SINCE)}
RESENT_AND_SETTLED_SINCE: Rows = {None: check(f"{_SINCE} {_PERHAPS_TWO}")}
# Said to whoever looks, as long as an alarm of the case stands that what is said does not tell.
UNSEEN = telephone(
    "Something about this case asks for a person, and nobody has said yet that it was seen to: read"
    " what else came of it, and telephone before you rely on this."
)
# Said to whoever looks at one of two records that has no end, where nobody has to act.
ONE_OVER = telephone(
    "Another record of this patient's request is over: read how that one ended. No final answer to"
    " this one has come. Telephone: ask whether it goes on."
)
# A cancellation that waits until somebody has read what stands there.
NOT_GONE: Mapping[ReadProgress, Rows] = {
    ReadProgress.WAITS: {
        None: Sentence(
            "The cancellation has not gone yet: {they} is asked first what stands there. Until then"
            " the {it} stands, and {stands}. " + _WAIT,
            Asks.WAIT,
        )
    },
    ReadProgress.UNREAD: {
        None: telephone(
            "The cancellation has not gone yet: {they}, asked what stands there, gives no answer,"
            " and " + _TRYING + " Until then the {it} stands, and {stands}. Telephone now."
        )
    },
    ReadProgress.OTHER_PATIENT: {
        None: telephone(
            "The cancellation has not gone: what {they} shows under that number is the record of"
            " another patient, and nothing was cancelled. The {it} stands, and {stands}; two"
            " patients may have been mixed up there. Telephone now."
        )
    },
}

# The last of these, where the case has ended meanwhile: nothing of it is left to cancel.
NOT_GONE_AND_OVER: Rows = {
    None: telephone(
        "The cancellation has not gone: what {they} shows under that number is the record of"
        " another patient, and nothing was cancelled. The {it} is over by now: read how it ended."
        " Two patients may have been mixed up there. Telephone now."
    )
}

# After a duplicate, or an acknowledgement without ids: whether the record was found there.
RECONCILED: Mapping[str, Rows] = {
    "found": {
        None: nothing(
            "{They} has {what}, and what it calls the record is known now: it can be changed and"
            " cancelled."
        )
    },
    "over": {
        None: telephone(
            "{They} has had {what}, and what it calls the record is known now; but the record is"
            " over.{shown} Telephone: ask who sees to this patient now."
        ),
        Matter.BOOKING: telephone(
            "{They} has had {what}, and what it calls the record is known now; but the record is"
            " over.{shown} Telephone: ask whether the patient has an appointment."
        ),
    },
    "none": {
        None: telephone(
            "{They} says that it has {what}, but we cannot find it there. Telephone: nobody there"
            " may know of it."
        )
    },
    "several": {
        None: telephone(
            "{They} has {what}, and several of its records fit. Telephone: ask which one it is"
            " before you change or cancel anything, and whether the patient is there twice."
        )
    },
    # Of what nobody could confirm, too: it shows nothing of whose the record is.
    "unnamed": {
        None: telephone(
            "{They} says that it has {what}, and shows a record that may be it, but not whose it"
            " is. Telephone: ask whether it is this patient's, and before you change or cancel"
            " anything what it is called."
        )
    },
    "unread": {
        None: check(
            "{They} has {what}, but would not tell us what it calls the record. Ask before you"
            " change or cancel anything."
        )
    },
}


class Known(StrEnum):
    """What is known of the request while its answer is awaited."""

    NOTHING = "nothing"  # acknowledged, and no more
    BEGUN = "begun"  # an interim response came
    UNCLEAR = "unclear"  # they have answered, and it does not add up
    NOT_EVEN_ARRIVED = "not even that it arrived"


_LATE = "Start your fallback now; then telephone."
_AWAITED: Mapping[tuple[str, Known], Rows] = {
    ("due_soon", Known.NOTHING): {
        None: check(
            "The {answer} to the {it} is {due}, and has not come. Be ready to start your fallback."
        )
    },
    ("due_soon", Known.BEGUN): {
        None: check(
            "They have started, but the {answer} to the {it} has not come, and is {due}. Be"
            " ready to start your fallback."
        )
    },
    ("due_soon", Known.NOT_EVEN_ARRIVED): {
        None: telephone(
            "The {answer} to the {it} is {due}, and has not come, and the request may never"
            " have arrived. Telephone now."
        )
    },
    ("due_soon", Known.UNCLEAR): {
        None: telephone(
            "What they answered to the {it} does not add up, and a clear {answer} is {due}."
            " Telephone now."
        )
    },
    ("overdue", Known.NOTHING): {
        None: act("The {answer} to the {it} has not come in time. " + _LATE),
        **dict.fromkeys(
            HELP,
            act(
                "{They} has not said whether it helps. Reckon with no help from there: act now, and"
                " telephone."
            ),
        ),
        Matter.OUT_OF_AREA: act(
            "{They} has not said what it does about the {it}: perhaps nobody was sent. Telephone"
            " now."
        ),
    },
    ("overdue", Known.BEGUN): {
        None: act("They have started, but the {answer} to the {it} has not come in time. " + _LATE)
    },
    ("overdue", Known.UNCLEAR): {
        None: act(
            "What they answered to the {it} does not add up, and no clear {answer} has come in"
            " time. " + _LATE
        )
    },
    ("overdue", Known.NOT_EVEN_ARRIVED): {
        None: act(
            "The {answer} to the {it} has not come in time, and the request may never have"
            " arrived. " + _LATE
        )
    },
}
_OWED: Mapping[str, Rows] = {
    "due_soon": {
        None: work("{Asker} waits for your {answer} to its {it}{by}. Give it."),
    },
    "overdue": {
        None: telephone(
            "You have not given your {answer} in time: {asker} may act without it. Give it, and"
            " telephone."
        ),
    },
}


def awaited(kind: str, known: Known) -> Rows:
    """Return what is said of an answer that others owe."""
    return _AWAITED[kind, known]


def owed(kind: str) -> Rows:
    """Return what is said of an answer that this organisation owes."""
    return _OWED[kind]
