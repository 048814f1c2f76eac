"""What is alarming: kinds of event that a person has to see, what each says, and what ends it.

    event of a kind in ALARMS ─► alarm, standing ─┬─ handled      somebody said so (`mark-handled`)
    (triggers events_alarm, alarms_supersede)     ├─ settled      what it was about came right
                                                  └─ superseded   it was raised again: a new number

An alarm stays for as long as nobody has seen to it, over restarts and backups: no clock ends
one. There is one standing alarm for each kind and thing (a message, a workflow or an
X-Request-Id). Those that stand are `standing_alarms`.

Some say another thing where their message failed while something else went on: its case went on
without it, or there may be another one with the same request. Then nobody has to act as if nobody
else knew.

To add one: write the event as ever (`add_event`), and give its kind a row
in ALARMS. Nothing else: page, metrics, lists, the verb and the database read that table; the
most severe stand first. One that is raised only when something gets worse is written only then.

Decisions: D-alarms-stay.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import StrEnum

from bars_gateway.frozen import frozen
from bars_gateway.standard.workflow import Role

_RETRIED = ("message.queued", "message.acknowledged", "operator.resent", "epr.resent")
_RETRIED_SAYS = "it is sent again"
_CANCELLED_SAYS = "what it asks for has been cancelled since"
_LET_GO_SAYS = "it is released, or ends"
_LET_GO = (
    "message.queued",
    "message.acknowledged",
    "message.refused",
    "message.unconfirmed",
    "message.not_sent",
    "message.withdrawn",
)
_CONFIRMED = ("operator.confirmed", "epr.confirmed")


class AlarmScope(StrEnum):
    """What there is one standing alarm for, of each kind."""

    MESSAGE = "message"
    WORKFLOW = "workflow"  # of the event's message
    REQUEST = "request"  # an X-Request-Id, where nothing was taken that has a number
    PLACE = "place"  # a line of ours, where it is not any one message's


class Whose(StrEnum):
    """Where to look for the cause first."""

    OURS = "here"
    THEIRS = "at the other side"
    EITHER = "here and at the other side"


class Meanwhile(StrEnum):
    """What is so beside a message that came to nothing, so that it alarms in other words."""

    GONE_ON = "gone_on"  # the case has gone on without it
    ANOTHER = "another"  # another one with the same request may be there


# How each is told where words are listed: "Where …".
MEANWHILE: Mapping[Meanwhile, str] = {
    Meanwhile.GONE_ON: "the case has gone on without it",
    Meanwhile.ANOTHER: "another one with the same request may be there",
}


@frozen(kw_only=True)
class AlarmWords:
    """What the page says of an alarm, where it sends people, and what it has them do."""

    says: str  # {n}: how many, with the noun
    whose: Whose
    advice: str  # the log has it too


@frozen(kw_only=True)
class AlarmKind:
    """What the page says of alarms of one kind, and what ends them."""

    about: AlarmScope
    severe: bool  # stands above what is wrong with the machine
    noun: str
    says: str  # {n}: how many, with the noun
    whose: Whose
    advice: str
    ends: str  # what ends it beside `mark-handled`, in words
    ended_by: Sequence[str] = ()  # kinds of event about the same thing that do
    to_responder: AlarmWords | None = None  # where we are the Responder, and it reads otherwise
    meanwhile: Mapping[Meanwhile, AlarmWords] = field(default_factory=dict)

    @property
    def ways(self) -> Sequence[AlarmWords]:
        """In which words it may be told."""
        return [*filter(None, (self.words(None), self.to_responder)), *self.meanwhile.values()]

    def words(self, role: Role | None, meanwhile: Meanwhile | None = None) -> AlarmWords:
        """Return what is said of it where that is our role in its workflow."""
        if meanwhile is not None and meanwhile in self.meanwhile:
            return self.meanwhile[meanwhile]
        if self.to_responder is not None and role is Role.RESPONDER:
            return self.to_responder
        return AlarmWords(says=self.says, whose=self.whose, advice=self.advice)


_WITHOUT_IT = AlarmWords(
    says="{n} did not leave this organisation, and the case went on regardless",
    whose=Whose.OURS,
    advice="It is over, and nothing is left to cancel or change; or they have had another answer."
    " Its notice says which. Telephone if somebody may still act on what has ended.",
)
_BESIDE_ANOTHER = AlarmWords(
    says="{n} never left this organisation, and another one with the same request may be there",
    whose=Whose.EITHER,
    advice="Telephone the Receiver now, and ask whether it has the other one. If it has not, nobody"
    " else knows what this one says: act now by other means.",
)
ALARMS: Mapping[str, AlarmKind] = {
    "workflow.contradicted": AlarmKind(
        about=AlarmScope.WORKFLOW,
        severe=True,
        noun="workflow",
        says="{n} ended, and then the other side went on",
        to_responder=AlarmWords(
            says="{n} ended, and then our EPR went on",
            whose=Whose.OURS,
            advice="The other side cannot tell whether anybody is coming. Find out here which of"
            " the two is right, and telephone them now; then bars-gateway confirm.",
        ),
        whose=Whose.THEIRS,
        advice="Somebody may be on the way, or nobody. Telephone now; then bars-gateway confirm.",
        ends="somebody confirms how it stands",
        ended_by=_CONFIRMED,
    ),
    "workflow.unclear": AlarmKind(
        about=AlarmScope.WORKFLOW,
        severe=True,
        noun="workflow",
        says="{n} got a response that does not add up",
        to_responder=AlarmWords(
            says="{n} got a response from our EPR that does not add up",
            whose=Whose.OURS,
            advice="The other side cannot tell from it how the case stands. Tell them by telephone;"
            " see that the EPR sends a clear one; then bars-gateway confirm.",
        ),
        whose=Whose.THEIRS,
        advice="Nobody was told what it means. Read it, and telephone; then bars-gateway confirm.",
        ends="somebody confirms how it stands",
        ended_by=_CONFIRMED,
    ),
    "workflow.overdue": AlarmKind(
        about=AlarmScope.WORKFLOW,
        severe=True,
        noun="answer",
        says="Overdue: {n} owed to us",
        to_responder=AlarmWords(
            says="Overdue: {n} that we owe",
            whose=Whose.OURS,
            advice="The other side may act without it. See that it is given; telephone if it cannot"
            " be.",
        ),
        whose=Whose.THEIRS,
        advice="Start your fallback now: the patient may be waiting. Then telephone.",
        ends="the workflow ends, or its time is moved",
    ),
    "workflow.unreplaced": AlarmKind(
        about=AlarmScope.MESSAGE,
        severe=True,
        noun="cancellation",
        says="{n} made for something new that came to nothing",
        whose=Whose.EITHER,
        advice="The patient has neither the old nor the new: see that somebody sends a new request,"
        " now.",
        ends="something takes its place, or is sent again",
        ended_by=_RETRIED,
    ),
    "message.foreign_ack": AlarmKind(
        about=AlarmScope.MESSAGE,
        severe=True,
        noun="message",
        says="{n} of ours answered with the record of another patient or case",
        whose=Whose.THEIRS,
        advice="Two patients may have been mixed up there: telephone that service, now. Nothing was"
        " taken from the answer.",
        ends="nothing else",
    ),
    "message.shared_id": AlarmKind(
        about=AlarmScope.MESSAGE,
        severe=True,
        noun="message",
        says="{n} of ours given the number of another patient's record by the Receiver",
        whose=Whose.THEIRS,
        advice="The number was not taken. Telephone that service before anything is cancelled: two"
        " patients may have been mixed up.",
        ends="nothing else",
    ),
    "message.no_record": AlarmKind(
        about=AlarmScope.MESSAGE,
        severe=True,
        noun="change",
        says="{n} acknowledged under a number that no request here has",
        whose=Whose.EITHER,
        advice="What is open here for this patient stays as it was. Telephone that service: ask"
        " what was changed or cancelled, and name the number of what was meant.",
        ends="nothing else",
    ),
    "message.unreconciled": AlarmKind(
        about=AlarmScope.MESSAGE,
        severe=True,
        noun="message",
        says="{n} of ours whose record has ended at the Receiver, or could not be found there",
        whose=Whose.THEIRS,
        advice="The notice says what was found. Telephone that service, and ask who is looking"
        " after this patient now.",
        ends="a response answers what was to be asked (none found: any; not shown whose: one that"
        f" names the record; over: one that says so), or {_CANCELLED_SAYS}",
        ended_by=("message.answered",),
    ),
    "message.set_aside": AlarmKind(
        about=AlarmScope.MESSAGE,
        severe=True,
        noun="message",
        says="{n} held because of an internal error in sending",
        whose=Whose.OURS,
        advice="Neither it nor what waits behind it is sent: telephone. Send us the type and place"
        " of the error; release it once that is fixed, or withdraw it.",
        ends=_LET_GO_SAYS,
        ended_by=_LET_GO,
    ),
    "payload.damaged": AlarmKind(
        about=AlarmScope.MESSAGE,
        severe=True,
        noun="message",
        says="{n} whose stored bytes the disk has damaged",
        whose=Whose.OURS,
        advice="One that was to be sent is held: telephone, have the EPR submit it again, and"
        " withdraw this. One that came in cannot be shown: ask its Sender. bars-gateway verify"
        " names them all; look at the disk.",
        ends="one that is held is released, or ends",
        ended_by=_LET_GO[1:],
    ),
    "database.damaged": AlarmKind(
        about=AlarmScope.PLACE,
        severe=True,
        noun="table",
        says="{n} of the database damaged",
        whose=Whose.OURS,
        advice="What cannot be read is set aside one by one, and the rest goes on. bars-gateway"
        " verify says what is damaged. Look at the disk; then restore the latest backup that is"
        " whole.",
        ends="nothing else",
    ),
    "index.rebuilt": AlarmKind(
        about=AlarmScope.PLACE,
        severe=True,
        noun="gap",
        says="{n} in the database's indexes: rows were hidden, and are found again",
        whose=Whose.OURS,
        advice="What was hidden goes on now, and may be late: look through what waits. See whether"
        " anything but the gateway opens the database; look at the disk.",
        ends="nothing else",
    ),
    "audit.broken": AlarmKind(
        about=AlarmScope.PLACE,
        severe=True,
        noun="place",
        says="{n} where the audit trail is not as written",
        whose=Whose.OURS,
        advice="Run bars-gateway audit verify: it says which lines, of which day. Make a backup"
        " before anything else is done; find out who had access to the database's file; tell"
        " whoever answers for information governance. It is told once for each place.",
        ends="nothing else",
    ),
    "notice.set_aside": AlarmKind(
        about=AlarmScope.MESSAGE,
        severe=True,
        noun="message",
        says="{n} that the EPR cannot be told of, because of an internal error",
        whose=Whose.OURS,
        advice="Tell whoever it is for: bars-gateway show says how it stands. It is tried again, at"
        " the next start at the latest. Send us the type and place of the error.",
        ends="nothing else",
    ),
    "message.not_sent": AlarmKind(
        about=AlarmScope.MESSAGE,
        severe=True,
        noun="message",
        says="{n} never left this organisation",
        whose=Whose.OURS,
        advice="Act now by other means: nobody else knows what it says.",
        meanwhile={Meanwhile.GONE_ON: _WITHOUT_IT, Meanwhile.ANOTHER: _BESIDE_ANOTHER},
        ends=f"{_RETRIED_SAYS}, or {_CANCELLED_SAYS}",
        ended_by=_RETRIED,
    ),
    "message.unconfirmed": AlarmKind(
        about=AlarmScope.MESSAGE,
        severe=True,
        noun="message",
        says="{n} may or may not have arrived",
        whose=Whose.EITHER,
        advice="Ask the Receiver by telephone before anything is sent again.",
        ends=f"{_RETRIED_SAYS}, or {_CANCELLED_SAYS}",
        ended_by=_RETRIED,
    ),
    "message.refused": AlarmKind(
        about=AlarmScope.MESSAGE,
        severe=True,
        noun="message",
        says="{n} got a refusal",
        whose=Whose.EITHER,
        advice="Act now: what it asks for may not be done by anybody. If an earlier attempt may"
        " have arrived, telephone before you ask again. The reason is in the notice to the EPR;"
        " bars-gateway show tells it too.",
        ends=f"{_RETRIED_SAYS}, or {_CANCELLED_SAYS}",
        ended_by=_RETRIED,
    ),
    "restore.held": AlarmKind(
        about=AlarmScope.MESSAGE,
        severe=True,
        noun="message",
        says="{n} held since a restore: perhaps sent, withdrawn or cancelled since the backup",
        whose=Whose.EITHER,
        advice="Ask the EPR, and the Receiver by telephone. Then release it with a reason, or leave"
        " it: past its time the EPR is told that it is unconfirmed.",
        ends="it is released, or ends",
        ended_by=("message.queued", "message.acknowledged", "message.unconfirmed"),
    ),
    "restore.forgotten": AlarmKind(
        about=AlarmScope.PLACE,
        severe=True,
        noun="restore",
        says="{n} of which nobody can say what was lost",
        whose=Whose.EITHER,
        advice="Ask each Sender what it has sent after the time that is named: it will not send"
        " again what we said we have. Look in the EPR for what was submitted since, and ask each"
        " Receiver before anything is submitted again.",
        ends="nothing else",
    ),
    "restore.not_handed_over": AlarmKind(
        about=AlarmScope.REQUEST,
        severe=True,
        noun="message",
        says="{n} received before a restore, and not yet given to the EPR",
        whose=Whose.OURS,
        advice="No Sender will send it again. Stop the gateway, `bars-gateway restore KEPT"
        " --hand-over` with the file that the restore has kept, and start it.",
        ends="it is handed over",
    ),
    "restore.not_taken_over": AlarmKind(
        about=AlarmScope.REQUEST,
        severe=True,
        noun="message",
        says="{n} that a restore could not take over",
        whose=Whose.OURS,
        advice="Only the database that was kept knows what became of it. Deal with it by hand, with"
        " its Sender or Receiver; what the restore printed says why.",
        ends="nothing else",
    ),
    "cancel.other_patient": AlarmKind(
        about=AlarmScope.MESSAGE,
        severe=True,
        noun="cancellation",
        says="{n} not sent: the record under the number given is another patient's",
        whose=Whose.EITHER,
        advice="Telephone the Receiver now: nothing was cancelled, and two patients may have been"
        " mixed up there.",
        ends="it is acknowledged",
        ended_by=("message.acknowledged",),
    ),
    "cancel.not_sent": AlarmKind(
        about=AlarmScope.MESSAGE,
        severe=True,
        noun="cancellation",
        says="{n} not sent yet: nobody there says what is still to be cancelled",
        whose=Whose.EITHER,
        advice="What was to be cancelled still stands: telephone that service now. The gateway goes"
        " on asking until the time of the cancellation ends; find out why nobody answers.",
        meanwhile={Meanwhile.GONE_ON: _WITHOUT_IT},
        ends="it may be sent, or ends",
        ended_by=(
            "cancel.confirmed",
            "cancel.sent_unshown",
            "cancel.nothing_to_cancel",
            *_LET_GO[1:],
        ),
    ),
    "cancel.turned_away": AlarmKind(
        about=AlarmScope.WORKFLOW,
        severe=True,
        noun="cancellation",
        says="{n} came and nobody here could be asked",
        whose=Whose.OURS,
        advice="What was to be cancelled goes on here. Telephone the Sender: it may not be wanted"
        " any more. See that the EPR is connected, and that questions is not none.",
        ends="the EPR is asked about it after all, or what was to be cancelled is over here",
        ended_by=("cancel.asked",),
    ),
    "patient.other": AlarmKind(
        about=AlarmScope.WORKFLOW,
        severe=True,
        noun="message",
        says="{n} named another patient than the rest of the case",
        whose=Whose.EITHER,
        advice="Check whose it is before anybody files it or acts on it: traced, merged, or mixed"
        " up. What the EPR is told of it has the remark other_patient.",
        ends="somebody confirms how it stands",
        ended_by=_CONFIRMED,
    ),
    "patient.two": AlarmKind(
        about=AlarmScope.MESSAGE,
        severe=True,
        noun="message",
        says="{n} came naming two patients",
        whose=Whose.THEIRS,
        advice="A part of it may be about somebody else. Check whose it is before anybody files it"
        " or acts on it, and telephone whoever sent it. What the EPR is told of it has the remark"
        " two_patients; of a cancellation of what nobody knows here it is told nothing.",
        ends="nothing else",
    ),
    "inbound.modified": AlarmKind(
        about=AlarmScope.MESSAGE,
        severe=True,
        noun="message",
        says="{n} came with what may change the meaning",
        whose=Whose.THEIRS,
        advice="It says that what it asks for is not to be done, or carries an extension or rules"
        " that nobody here knows. Have somebody read the whole message before it is acted on or"
        " passed over, and telephone whoever sent it. The EPR has it with the remark"
        " not_to_be_done or meaning_changed, and the places. Where an extension is agreed on with"
        " that Sender, set rule B01M to off for it.",
        ends="nothing else",
    ),
    "record.other": AlarmKind(
        about=AlarmScope.MESSAGE,
        severe=True,
        noun="request",
        says="{n} of a patient who has the same request already",
        whose=Whose.EITHER,
        advice="It was asked for twice: sent again as new, or built twice. Find out which record is"
        " to stand, and have the other cancelled: whoever cancels one of two believes that nobody"
        " is coming.",
        ends="one of the two is cancelled, turned down or never taken, or both are over",
    ),
    "question.unanswered": AlarmKind(
        about=AlarmScope.REQUEST,
        severe=False,
        noun="question",
        says="{n} that our EPR has not answered for a long time",
        whose=Whose.OURS,
        advice="See that the EPR answers; the Sender does not know what became of it.",
        ends="the EPR answers",
    ),
    "question.decided_late": AlarmKind(
        about=AlarmScope.REQUEST,
        severe=False,
        noun="question",
        says="{n} decided after the Sender had stopped waiting",
        whose=Whose.OURS,
        advice="The Sender may not know. If it matters to the patient, telephone.",
        ends="the Sender asks again, and gets it",
    ),
    "question.shared_id": AlarmKind(
        about=AlarmScope.REQUEST,
        severe=True,
        noun="request",
        says="{n} taken under a number that our EPR has given to another patient's before",
        whose=Whose.OURS,
        advice="Its Sender changes and cancels by that number. Have the EPR's supplier see why; ask"
        " the Sender whose record is meant before anything of it is changed.",
        ends="nothing else",
    ),
    "file.set_aside": AlarmKind(
        about=AlarmScope.REQUEST,
        severe=False,
        noun="file",
        says="{n} from the EPR refused because of an internal error",
        whose=Whose.OURS,
        advice="The reason lies beside it. Have it dropped again, and telephone if that fails too."
        " Send us the type and place of the error.",
        ends="nothing else",
    ),
    "answer.set_aside": AlarmKind(
        about=AlarmScope.REQUEST,
        severe=False,
        noun="question",
        says="{n} with an internal error in asking, or in taking the answer",
        whose=Whose.OURS,
        advice="Its Sender does not know. Find out what was decided, and telephone. Send us the"
        " type and place of the error.",
        ends="nothing else",
    ),
    "inbound.failed": AlarmKind(
        about=AlarmScope.PLACE,
        severe=False,
        noun="internal error",
        says="{n} in dealing with what came from another organisation",
        whose=Whose.OURS,
        advice="The Sender got 500 and sends it again; what was taken already is not taken twice."
        " Send us the type and place of the error.",
        ends="nothing else",
    ),
    "request.failed": AlarmKind(
        about=AlarmScope.PLACE,
        severe=False,
        noun="internal error",
        says="{n} in dealing with what the EPR asked or submitted",
        whose=Whose.OURS,
        advice="The EPR got 500, and has to ask again; what was taken already is never sent twice."
        " Send us the type and place of the error.",
        ends="nothing else",
    ),
    "work.failed": AlarmKind(
        about=AlarmScope.PLACE,
        severe=False,
        noun="internal error",
        says="{n} in what the gateway does by itself",
        whose=Whose.OURS,
        advice="It goes on with the rest; the log names what is not done. Send us the type and"
        " place of the error.",
        ends="nothing else",
    ),
    "link.refused": AlarmKind(
        about=AlarmScope.REQUEST,
        severe=False,
        noun="message",
        says="{n} named a record of another Sender or patient",
        whose=Whose.THEIRS,
        advice="The Sender was told so. Find out with them: two patients may have been mixed up.",
        ends="nothing else",
    ),
    "change.unknown": AlarmKind(
        about=AlarmScope.REQUEST,
        severe=False,
        noun="change",
        says="{n} came for a record that this Receiver never gave",
        whose=Whose.THEIRS,
        advice="The Sender was told so, and nothing changed here. Find out with them which record"
        " they mean: somebody may still be waiting, or on the way.",
        ends="nothing else",
    ),
    "response.remarked": AlarmKind(
        about=AlarmScope.MESSAGE,
        severe=False,
        noun="response",
        says="{n} came with a remark",
        whose=Whose.THEIRS,
        advice="Late, out of turn, stood down, empty or sent back: its notice says which. See that"
        " somebody looks.",
        ends="nothing else",
    ),
    "response.refused": AlarmKind(
        about=AlarmScope.REQUEST,
        severe=False,
        noun="response",
        says="{n} refused for breaking a rule: what was said about a patient is not known here",
        whose=Whose.THEIRS,
        advice="The Sender was told why. It may turn a patient down: if nothing comes in its place"
        " soon, telephone that service. The log names the rules.",
        ends="nothing else",
    ),
    "inbound.request_id_reused": AlarmKind(
        about=AlarmScope.REQUEST,
        severe=False,
        noun="inbound message",
        says="{n} came with the X-Request-Id of another message",
        whose=Whose.THEIRS,
        advice="Tell the Sender's supplier: what came second was not taken.",
        ends="nothing else",
    ),
    "inbound.quarantined": AlarmKind(
        about=AlarmScope.REQUEST,
        severe=False,
        noun="response",
        says="{n} came that no request of ours asked for",
        whose=Whose.THEIRS,
        advice="The Sender was told so. Find out with them whose patient it is about, by the ids"
        " that bars-gateway quarantine lists; then bars-gateway attach.",
        ends="it is attached to its workflow",
    ),
}
