"""What happens to a question, up to the EPR's decision about it.

    ask_about ──► ledger: processing + question ──decide──► ledger: done    + message + workflow
                                                       └──► ledger: refused + answer
    ask_about_response ─► the same, in the workflow that it answers, or quarantine
    ask ────────► question ─────────────────────decide────► question: answered

    cancel, and no EPR is asked (501) or there (503) ─turn_away─► notice + alarm, on its workflow
    the same cancel comes to the EPR after all ────────asked────► the alarm is settled

If we die before `ask_about` is on disk, nobody was asked and the retry asks. After it, the
question is there for the EPR, and the retry meets 425. If we die before `decide` is on
disk, the EPR got no receipt for its answer and gives it again. After it, the retry meets
409 *duplicate*, or the refusal; and the EPR that gives the same answer again, its receipt.

The Sender of a cancellation that is turned away is told no, or to try again, and may give up:
then what it no longer wants goes on here, and nobody knows. So the EPR and the page are told
that it tried; by ids alone, for the message itself was not taken. Once for a workflow: a
Sender's retries under one X-Request-Id are one attempt, and only another cancellation is told
again.

Decisions: D-turned-away.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from typing import TypeVar

from bars_gateway.model.messages import (
    Arrival,
    Met,
    NoticeKind,
    Part,
    Payload,
    Processing,
    RefusedBefore,
)
from bars_gateway.model.questions import (
    ATTENDED,
    PROCESS_MESSAGE,
    READ_LIVES,
    Answered,
    Decided,
    Decision,
    OpenQuestion,
    Question,
    QuestionOpen,
    ResourceRequest,
    Terms,
    Unattended,
)
from bars_gateway.standard.answers import Minted
from bars_gateway.standard.patients import Sameness
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.workflow import FINAL, Move
from bars_gateway.store import decisions, links
from bars_gateway.store.asides import Aside, Rounds, Spoilt, each, log_set_aside
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.guards import (
    doubts_turned_away,
    mixed_up,
    refuse_change,
    remarks_on_change,
    tell_of_another,
    tell_of_ended,
    whose,
)
from bars_gateway.store.inbound import (
    already_met,
    as_given,
    changed_workflow,
    named_workflows,
    refused_links,
    tell_of_doubts,
)
from bars_gateway.store.modified import KnownModifiers
from bars_gateway.store.records import (
    EventAbout,
    add_event,
    note_subjects,
    notify,
    read_payload,
)
from bars_gateway.store.responses import answered_workflow, tell
from bars_gateway.store.rows import instant, packed, payload_of, place_of, question_of, text
from bars_gateway.store.work import Noun, Shared, WakeUp, promises, reads

T = TypeVar("T")

TURNED_AWAY = "cancel.turned_away"
ASKED = "cancel.asked"
_LOOK_AGAIN = 5.0  # seconds; a net below the wake-up
_LOOK_ELSEWHERE = 1.0  # likewise, where another node may have to wake us: a proxy waits no longer
_LISTED = ("provider", "operation", "request_id", "correlation_id")
_ABOUT = (  # of an Arrival, what the EPR is shown and the message is made of
    *("move", "request_type", "use_case", "sender", "receiver", "bundle_id", "focus_id"),
    *("responds_to", "reference"),
)


class Questions(Noun):
    """
    What the EPR is asked while the proxy waits.

        ask ──commit──► wake-up of the provider ──► the EPR's door
        decide ─commit─► wake-up of the question ──► who waits for the answer

    Each proxy that waits has a wake-up of its own, for as long as it waits.
    """

    def __init__(self, shared: Shared, rounds: Rounds) -> None:
        super().__init__(shared)
        self._rounds = rounds
        self._attended: dict[str, datetime] = {}
        self._spoilt: set[int] = set()  # questions that cannot be read
        self._modifiers = KnownModifiers()
        self._nodes = shared.database.nodes
        self._doors_are_closed = False

    async def ask_about(
        self, arrival: Arrival, minted: Minted | None, terms: Terms, now: datetime
    ) -> Met | QuestionOpen | Unattended:
        """Put the question whether to take that message, or say what the message met."""
        arrival = await self._searched(arrival)
        work = partial(ask_about, arrival=arrival, minted=minted, terms=terms)
        return await self._put(work, arrival.provider, now)

    async def ask_about_response(
        self, arrival: Arrival, not_found: Payload, terms: Terms, now: datetime
    ) -> Met | QuestionOpen | Unattended:
        """Put the question whether to take that response; quarantined, it gets *not_found*."""
        arrival = await self._searched(arrival)
        work = partial(ask_about_response, arrival=arrival, not_found=not_found, terms=terms)
        return await self._put(work, arrival.provider, now)

    async def ask(
        self, request: ResourceRequest, terms: Terms, now: datetime
    ) -> Met | QuestionOpen | Answered | Unattended:
        """Put the question, or say what the request met."""
        work = partial(ask, request=request, terms=terms)
        return await self._put(work, request.provider, now)

    async def _put(self, work: Callable[..., T], provider: str, now: datetime) -> T:
        self._shared.refuse_when_full()
        attended = self._is_attended(provider, now)
        met = await self._database.write(partial(work, now=now, attended=attended))
        if isinstance(met, QuestionOpen):
            self._wake_ups.askers[provider].wake()
        else:  # of who was turned away, or has been answered at last, the EPR is told
            self._wake_ups.notices[provider].wake()
        return met

    @promises
    async def turn_away(self, arrival: Arrival, now: datetime) -> None:
        """Tell EPR and operator of a cancellation that is refused because nobody is asked here."""
        await self._database.write(partial(turn_away, arrival=arrival, now=now))
        self._wake_ups.notices[arrival.provider].wake()

    async def answer_to(self, question_id: int) -> Answered:
        """
        Return the answer once it is on disk; cancel it when nobody waits any more.

        Raises TimeoutError where there is none, and no EPR can give one any more.
        """
        waking = self._wake_ups.answers[question_id] = WakeUp()
        net = _LOOK_ELSEWHERE if self._nodes.several else _LOOK_AGAIN
        try:
            look = partial(decision, question_id=question_id)
            while True:
                last = self._doors_are_closed  # an answer of the last moment is on disk by then
                found = await self._database.read(look)
                if found is not None:
                    return found
                if last:
                    raise TimeoutError
                await waking.wait(net)
        finally:
            del self._wake_ups.answers[question_id]

    def end_waiting(self) -> None:
        """Let nobody wait for an answer here that no EPR can give any more: we stop."""
        if not self._nodes.several:  # where there are others, it may give it to them
            self._doors_are_closed = True
            for each in self._wake_ups.answers.values():
                each.wake_here()

    def attend(self, provider: str, now: datetime) -> None:
        """Note that *provider*'s EPR has just asked for questions."""
        self._attended[provider] = now
        self._nodes.attend(provider, now)

    def _is_attended(self, provider: str, now: datetime) -> bool:
        asked = (self._attended.get(provider), self._nodes.attended(provider))
        # Ahead: the clock was set back.
        return any(last is not None and abs(now - last) < ATTENDED for last in asked)

    async def open_questions(self, provider: str, *, after: int, limit: int) -> Sequence[Question]:
        """Return what waits for *provider*'s EPR beyond the number *after*, oldest first."""
        found = await self._open_questions(provider, after=after, limit=limit)
        for one in found:
            if isinstance(one, Spoilt) and one.number not in self._spoilt:
                self._spoilt.add(one.number)  # told once, as a question that nobody answers
                log_set_aside(Aside.ANSWER, one.error, provider=provider, question_id=one.number)
        return [one for one in found if not isinstance(one, Spoilt)]

    @reads
    def _open_questions(
        self, connection: Connection, provider: str, *, after: int, limit: int
    ) -> list[Question | Spoilt]:
        found = connection.rows("open_questions", provider=provider, after=after, limit=limit)
        return each(found, partial(self._question, connection))

    @reads
    def questions_listed(self, connection: Connection, limit: int) -> list[OpenQuestion]:
        """Return what waits for any EPR, the oldest first."""
        return [
            OpenQuestion(
                number=row["id"],
                asked_at=instant(row["asked_at"]),
                answer_by=instant(row["answer_by"]),
                **{name: row[name] for name in _LISTED},
                **_sent_by(row),
            )
            for row in connection.rows("questions_listed", limit=limit)
        ]

    @reads
    def question(self, connection: Connection, provider: str, question_id: int) -> Question | None:
        """Return that question, or None if *provider* has no such (any more)."""
        row = connection.one("question", provider=provider, id=question_id)
        return None if row is None else self._question(connection, row)

    def _question(self, connection: Connection, row: Row) -> Question:
        found = question_of(row, connection.vault)
        if found.request is None or not found.is_message:
            return found
        came = partial(read_payload, found.request)
        modifiers = self._modifiers.of(found.question_id, found.remarks, came)
        return replace(found, modifiers=modifiers) if modifiers else found

    async def decide(
        self, provider: str, question_id: int, decision: Decision, now: datetime
    ) -> Decided | None:
        """Do what the EPR has decided, with ledger, message, workflow and notice."""
        work = partial(
            decisions.decide,
            provider=provider,
            question_id=question_id,
            decision=decision,
            now=now,
        )
        decided = await self._database.write(work)
        self._wake_ups.wake_answer(question_id)
        self._wake_ups.notices[provider].wake()
        if decided and not decided.again:
            self._shared.measures.answered((now - decided.question.asked_at).total_seconds())
        return decided

    async def tell_unanswered(self, now: datetime) -> int:
        """Raise an alarm for each question that nobody answers, and forget old reads."""
        told = await self._rounds.go(decisions.tell_unanswered, Aside.ANSWER, now)
        await self._database.write(partial(decisions.forget_reads, now=now))
        return told

    async def question_work(self, provider: str, seconds: float) -> None:
        """Return when *provider* may have a new question, after *seconds* at the latest."""
        net = min(seconds, _LOOK_ELSEWHERE) if self._nodes.several else seconds
        await self._wake_ups.askers[provider].wait(net)


def ask_about(
    connection: Connection,
    arrival: Arrival,
    minted: Minted | None,
    terms: Terms,
    now: datetime,
    *,
    attended: bool,
) -> Met | QuestionOpen | Unattended:
    """Put the question whether to take the message, or say what it met."""
    arrival = as_given(connection, arrival)
    met = (
        already_met(connection, arrival, now)
        or refuse_change(connection, arrival, now)
        or _unlinkable(connection, arrival, now)
    )
    if met is not None:
        return met
    if not attended:
        if arrival.move is Move.CANCEL:
            turn_away(connection, arrival, now)
        return Unattended()
    asked(connection, arrival, now)
    remarks = (*_remarks_on(connection, arrival, now), *arrival.doubts)
    tell_of_doubts(connection, arrival, remarks, now)
    about = {
        "minted": asdict(minted) if minted else None,
        "answer_due_at": text(arrival.owed.due_at) if arrival.owed else None,
        "warn_at": text(arrival.owed.warn_at) if arrival.owed else None,
        "ties": links.written(arrival.ties),
        "remarks": remarks,
        "known": _is_known(connection, arrival),
    }
    return _put(connection, arrival, about, terms, now)


def _is_known(connection: Connection, arrival: Arrival) -> bool | None:
    """Tell whether we know what the change is about; None: the message is new."""
    is_new = arrival.move is Move.REQUEST
    return None if is_new else changed_workflow(connection, arrival) is not None


def _remarks_on(connection: Connection, arrival: Arrival, now: datetime) -> tuple[Remark, ...]:
    """Return what the EPR is told before it decides; another patient is told to a person, too."""
    if arrival.move is Move.REQUEST:
        return links.remarks_of(links.find(connection, arrival))
    workflow = changed_workflow(connection, arrival)
    named = named_workflows(connection, arrival)
    if workflow is None and not named:
        return ()
    # Where several have that id, and none of this patient's: so it stands to each of them.
    about = workflow or named[0]
    return _remarks_on_change(connection, arrival, about["id"], now)


def _remarks_on_change(
    connection: Connection, arrival: Arrival, workflow_id: int, now: datetime
) -> tuple[Remark, ...]:
    whose_it_is = whose(connection, arrival, workflow_id)
    if whose_it_is is Sameness.OTHER_PATIENT:
        tell_of_another(connection, arrival, workflow_id, now)
    return remarks_on_change(connection, arrival.move, workflow_id, whose_it_is)


def ask_about_response(
    connection: Connection,
    arrival: Arrival,
    not_found: Payload,
    terms: Terms,
    now: datetime,
    *,
    attended: bool,
) -> Met | QuestionOpen | Unattended:
    """Put the question whether to take the response, unless it is about no one workflow."""
    workflow = answered_workflow(connection, arrival, not_found, now)
    if isinstance(workflow, Met):
        return workflow
    if not attended:
        return Unattended()
    told = tell(connection, workflow, arrival, now, now)
    word, remarks = told.arrival.word, (*told.remarks, *arrival.doubts)
    if Remark.OTHER_PATIENT in remarks:  # whatever the EPR decides: they have mixed up two
        tell_of_another(connection, arrival, workflow["id"], now)
    tell_of_doubts(connection, arrival, remarks, now)
    about = {
        "workflow_id": workflow["id"],
        "remarks": remarks,
        "says": word.says if word else None,
        "reason_code": word.reason_code if word else None,
        "reason": arrival.reason,
    }
    return _put(connection, told.arrival, about, terms, now)


def _put(
    connection: Connection,
    arrival: Arrival,
    about: Mapping[str, object],
    terms: Terms,
    now: datetime,
) -> QuestionOpen:
    named = _named(arrival)
    question_id = connection.inserted(
        "put_question",
        **named,
        correlation_id=arrival.correlation_id,
        operation=PROCESS_MESSAGE,
        changes=1,
        bundle_id=arrival.bundle_id,
        about=json.dumps(
            {
                **{name: getattr(arrival, name) for name in _ABOUT},
                "appointment_until": text(arrival.appointment_until),
                **about,
            }
        ),
        **_terms(terms, now),
        **packed(arrival.request, connection.vault, "questions", named),
    )
    note_subjects(connection, "question", question_id, arrival.request)
    _enter(connection, arrival, question_id, now)
    return QuestionOpen(question_id=question_id)


def _sent_by(row: Row) -> dict[str, str]:
    """Return what kind of message the question in *row* is about, and whose; nothing of a read."""
    if row["operation"] != PROCESS_MESSAGE:
        return {}
    about = json.loads(row["about"])
    return {name: about[name] for name in ("move", "request_type", "sender")}


def _named(asked: Arrival | ResourceRequest) -> dict[str, object]:
    names = ("provider", "request_id", "fingerprint")
    return {name: getattr(asked, name) for name in names}


def _unlinkable(connection: Connection, arrival: Arrival, now: datetime) -> RefusedBefore | None:
    """Refuse a request that names another patient's record; one not known here the EPR may know."""
    found = links.find(connection, arrival)
    return refused_links(connection, arrival, found, now, asked=True)


def ask(
    connection: Connection,
    request: ResourceRequest,
    terms: Terms,
    now: datetime,
    *,
    attended: bool,
) -> Met | QuestionOpen | Answered | Unattended:
    """Put the question, or say what the request met."""
    met: Met | Answered | None
    if request.changes:
        met = already_met(connection, request, now)
    else:  # what it asks for may be a number and no more
        blinded = connection.vault.blinded(request.fingerprint)
        request = replace(request, fingerprint=blinded)
        met = _repeated(connection, request, now)
    if met is not None or not attended:
        return met or Unattended()
    body, named = request.body, _named(request)
    about = connection.vault.encrypt_text(
        _asked_for(request), *place_of("questions", named), "about"
    )
    empty = {"media_type": None, "headers": None, "encoding": None, "body": None}
    question_id = connection.inserted(
        "put_question",
        **named,
        correlation_id=request.correlation_id,
        operation=request.operation,
        changes=int(request.changes),
        bundle_id=None,
        about=about,
        **_terms(terms, now, alarmed=request.changes),
        **(packed(body, connection.vault, "questions", named) if body else empty),
    )
    if request.changes:
        _enter(connection, request, question_id, now)
    return QuestionOpen(question_id=question_id)


def _asked_for(request: ResourceRequest) -> str:
    parameters = dict(request.parameters)
    about = {"resource_id": request.resource_id, "parameters": parameters, "query": request.query}
    return json.dumps(about)


def _terms(terms: Terms, now: datetime, *, alarmed: bool = True) -> dict[str, object]:
    return {
        "now": text(now),
        "answer_by": text(terms.answer_by),
        "alarm_at": text(terms.alarm_at) if alarmed else None,
    }


def _enter(
    connection: Connection, asked: Arrival | ResourceRequest, question_id: int, now: datetime
) -> None:
    connection.put(
        "ledger_processing",
        provider=asked.provider,
        request_id=asked.request_id,
        fingerprint=asked.fingerprint,
        said=asked.said if isinstance(asked, Arrival) else None,
        question_id=question_id,
        now=text(now),
    )


def _repeated(
    connection: Connection, request: ResourceRequest, now: datetime
) -> Processing | Answered | None:
    """Return what became of the same read a moment ago; an old one is forgotten."""
    row = connection.one(
        "question_repeated",
        provider=request.provider,
        request_id=request.request_id,
        fingerprint=request.fingerprint,
    )
    if row is None:
        return None
    if instant(row["asked_at"]) + READ_LIVES <= now:
        connection.put("forget_read", id=row["id"])
        return None
    return decision(connection, row["id"]) or Processing()


def decision(connection: Connection, question_id: int) -> Answered | None:
    """Return what the Sender of an answered question gets."""
    row = connection.one("question_decision", id=question_id)
    if row is None:
        return None
    if row["message_id"] is not None:
        kept = connection.one("payload", message_id=row["message_id"], part=Part.ANSWER)
        assert kept is not None
        answer = payload_of(kept, connection.vault)
    else:
        place = (*place_of("questions", row), "answer")
        body = connection.vault.open(bytes(row["answer"]), *place)
        answer = Payload(media_type=row["answer_type"], headers={}, body=body)
    return Answered(http_status=row["http_status"], code=row["answer_code"], answer=answer)


def turn_away(connection: Connection, arrival: Arrival, now: datetime) -> None:
    """Tell EPR and operator of a cancellation that cannot be put to anybody."""
    arrival = as_given(connection, arrival)
    workflow = changed_workflow(connection, arrival)
    if workflow is None or mixed_up(connection, arrival, workflow["id"]):
        _tell_of_unknown(connection, arrival, now)
    elif workflow["state"] in FINAL:  # nothing of it goes on here
        tell_of_ended(connection, arrival, workflow["id"], now)
    else:
        _tell_of(connection, arrival, workflow["id"], now)


def _tell_of_unknown(connection: Connection, arrival: Arrival, now: datetime) -> None:
    """Raise the alarm alone: there is nothing here that a notice could be about."""
    values = {"provider": arrival.provider, "request_id": arrival.request_id}
    if connection.one("alarm_named", kind=TURNED_AWAY, **values) is None:
        add_event(connection, EventAbout.request(arrival), TURNED_AWAY, now)
        tell_of_doubts(connection, arrival, doubts_turned_away(arrival), now)


def _tell_of(connection: Connection, arrival: Arrival, workflow_id: int, now: datetime) -> None:
    request = connection.one("request_of", id=workflow_id)
    assert request is not None
    detail = {"cancel": arrival.request_id}
    told = {"message_id": request["id"], "kind": TURNED_AWAY, "detail": json.dumps(detail)}
    if connection.one("event_told", **told):
        return
    add_event(connection, EventAbout.message(request), TURNED_AWAY, now, detail)
    of_change = _remarks_on_change(connection, arrival, workflow_id, now)
    remarks = (*of_change, *doubts_turned_away(arrival))
    tell_of_doubts(connection, arrival, remarks, now)
    kind = NoticeKind.CANCEL_TURNED_AWAY
    same = {"message_id": request["id"], "kind": kind, "remarks": " ".join(remarks)}
    if connection.one("notice_waiting", **same) is None:
        notify(connection, kind, request, now, remarks)


def asked(connection: Connection, arrival: Arrival, now: datetime) -> None:
    """Settle the alarm where the EPR is now asked about the cancellation of its workflow."""
    workflow = changed_workflow(connection, arrival) if arrival.move is Move.CANCEL else None
    if workflow is None:
        return
    values = {"kind": TURNED_AWAY, "workflow_id": workflow["id"]}
    if connection.one("alarm_standing", **values) is None:
        return
    request = connection.one("request_of", id=workflow["id"])
    assert request is not None
    add_event(connection, EventAbout.message(request), ASKED, now, {"cancel": arrival.request_id})
