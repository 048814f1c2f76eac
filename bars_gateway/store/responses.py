"""
Finds the workflow that a response is about, and draws from it what it proves.

    response.identifier ─► workflows with that Bundle.id ─► one ───────────► its move
                                                         └► none, several ─► quarantine

Every Bundle.id of a workflow counts, in both directions: a final response may point
back to the interim one instead of the request (D-correlation). X-Correlation-Id, case number and
journey only narrow a choice down: none is a key. Where that leaves none or several, or
the ServiceRequest.id is of another workflow of that Responder, nothing is guessed: the
Sender gets 404, the bytes are kept aside, a person is told. One that names another
patient than its workflow is delivered, for it may be the only word that there is, and a
person is told to check whose it is; it proves nothing, and makes its workflow unclear.

A response proves that the request arrived, whatever we believed until then: what still
waits for its retry is acknowledged now (scenario 71). What it says is read beside that
request, and the newest holds, by the Responder's clock: one that is older
than what came before it is delivered all the same, and changes nothing (scenarios 72 and
90). A newer one that speaks against the end of its workflow opens it again, as
`contradicted`; the same final word again is an amendment (scenario 74).

A response is read beside the request that it answers, in the transaction that takes it:

    wording + request, its answer, updates ──► whose Encounter is whose ──► Reading
            + what was said before ──────────► Word, and whether it is the newest

The Requester's Encounter is looked for in the Bundles of the workflow, oldest first, and no
further than is needed. Bytes that are kept no more, or that the disk has spoilt, tell nothing:
what then cannot be told apart is unclear.

A stamp that is kept and lies ahead of now is as little use as one that came so: our own clock was
ahead, too, and has been set right since. What bears it is put where it came, once and for all:
else what comes for an hour would be older, and nobody would hear of a stand-down.

Decisions: D-other-patient, D-newest-holds, D-contradicted.
"""

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from bars_gateway.errors import PayloadDamaged
from bars_gateway.frozen import frozen
from bars_gateway.model.messages import (
    Arrival,
    Fate,
    Met,
    Names,
    NoticeKind,
    OutboundState,
    Payload,
    Quarantined,
    Received,
    Refusal,
    Word,
)
from bars_gateway.standard import workflow
from bars_gateway.standard.answers import acknowledge_response
from bars_gateway.standard.appointments import appointment_until
from bars_gateway.standard.bundle import MalformedBundle, Message
from bars_gateway.standard.consistency import (
    CaseDetails,
    case_details_of,
    same_case,
    same_journey,
)
from bars_gateway.standard.formats import Format
from bars_gateway.standard.headers import same_service, spellings
from bars_gateway.standard.meaning import (
    Place,
    Reading,
    Said,
    Spoken,
    Wording,
    is_ahead,
    ordered_as,
    ours_in,
    placed,
    read_alone,
    read_as,
)
from bars_gateway.standard.patients import Sameness
from bars_gateway.standard.remarks import (
    FINDS,
    OF_PATIENT,
    CaseSoFar,
    Remark,
    Response,
    beside_an_ended,
    is_alarming,
    may_be_meant,
    moves_on,
    remarks_on,
    renews_doubt,
)
from bars_gateway.standard.rules.modifiers import heard_in
from bars_gateway.standard.rules.substance import is_sent_back, plans_said, says_nothing
from bars_gateway.standard.workflow import Move, RequestType, Role, State, is_worse
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.guards import tell_of_another, whose
from bars_gateway.store.inbound import already_met, keep_aside, remember, take, tell_of_doubts
from bars_gateway.store.outcomes import is_one_agreed_to, tell_outcome
from bars_gateway.store.record_reads import answer_alarms
from bars_gateway.store.records import (
    EventAbout,
    add_event,
    began,
    move_workflow,
    other_records,
    read_kept,
    read_payload,
)
from bars_gateway.store.rows import instant, payload_of, text
from bars_gateway.store.work import Noun, promises, writes

# By these a record is over at the other side.
_ENDS = frozenset({Move.DECLINE, Move.CONCLUDE})


@frozen(kw_only=True)
class Heard:
    """A response as it was read, and where it stands among those of its workflow."""

    reading: Reading
    word: Word
    newest: bool  # nothing that was said later came before it
    clock_ahead: bool  # it is stamped later than it came, or one before it is ahead of now
    before: Said | None  # the newest word that came before it


def hear(
    connection: Connection,
    workflow: Row | None,
    wording: Wording,
    came_at: datetime,
    now: datetime,
    *,
    is_ours: bool = False,
) -> Heard:
    """
    Return what the response says, by what was asked and said before in its workflow.

    *is_ours*: our own EPR writes it. Where its request came before this gateway was there, it
    knows which Encounter is its own, and its focus is trusted.
    """
    read = partial(read_alone, wording)
    if workflow is not None:
        ours = requesters_encounter(connection, workflow["id"], wording)
        if ours or not is_ours:
            read = partial(read_as, wording, ours, use_case=workflow["use_case"])
    at = read().at
    said_at, sent_at = ordered_as(at, came_at), ordered_as(wording.sent_at, came_at)
    said, doubted = _said(connection, workflow, (said_at, sent_at), now)
    place = _place(said, said_at, sent_at)
    reading = read(before=place.follows)
    return Heard(
        reading=reading,
        word=Word(
            says=reading.said,
            reason_code=reading.reason_code,
            status=reading.status,
            said_at=said_at,
            sent_at=sent_at,
        ),
        newest=place.newest,
        clock_ahead=doubted or is_ahead(at, came_at),
        before=Said(said[0]["says"]) if said else None,
    )


def _said(
    connection: Connection, workflow: Row | None, key: tuple[datetime, datetime], now: datetime
) -> tuple[list[Row], bool]:
    """Return what was said before, the newest first, and whether any stamp of it is doubted now."""
    if workflow is None:
        return [], False
    said = connection.rows("words_said", id=workflow["id"])
    ahead = [row["id"] for row in said if is_ahead(instant(row["said_at"]), now)]
    for word in ahead:
        before = [row for row in said if row["id"] < word and row["id"] not in ahead]
        at = (before[0]["said_at"], before[0]["sent_at"]) if before else map(text, key)
        connection.put("doubt_word", id=word, **dict(zip(("said_at", "sent_at"), at, strict=True)))
    return (connection.rows("words_said", id=workflow["id"]) if ahead else said), bool(ahead)


def _place(said: list[Row], said_at: datetime, sent_at: datetime) -> Place:
    """Return where a word stands among what was *said*: with the stamps as they are kept."""
    if not said:
        return Place(newest=True, follows=None)
    so_far = [
        Spoken(
            says=Said(row["says"]),
            said_at=instant(row["said_at"]),
            sent_at=instant(row["sent_at"]),
            came_at=instant(row["created_at"]),
        )
        for row in said
    ]
    asked_at = instant(said[0]["opened_at"])
    return placed(so_far, instant(text(said_at)), instant(text(sent_at)), asked_at)


def requesters_encounter(
    connection: Connection, workflow_id: int, wording: Wording
) -> frozenset[str]:
    """Return what the Requester's Encounter is known by, as far as it takes to tell it apart."""
    found: frozenset[str] = frozenset()
    for row in connection.rows("asked_for", id=workflow_id):
        try:
            found = ours_in(read_payload(payload_of(row, connection.vault)), found)
        except (MalformedBundle, PayloadDamaged):
            continue
        if wording.tells_apart(found):
            break
    return found


def sends_plans_back(
    connection: Connection, workflow_id: int, answer: Collection[frozenset[str]]
) -> bool:
    """Tell whether the CarePlans of an answer say only what those of the request say."""
    if not answer:
        return False
    asked_about = connection.rows("plans_asked_about", id=workflow_id)
    kept = (read_kept(row, connection.vault) for row in asked_about)
    asked = {plan for message in kept if message is not None for plan in plans_said(message)}
    return is_sent_back(answer, asked)


@frozen(kw_only=True)
class JudgedResponse:
    """A response, read beside its workflow, and what is to be told of it."""

    arrival: Arrival  # with its move and its word
    remarks: Sequence[Remark]
    moves: bool  # whether its workflow follows it

    @property
    def notice(self) -> NoticeKind:
        """What kind of notice the EPR gets."""
        return NoticeKind.AMENDED if Remark.AMENDED in self.remarks else NoticeKind.MESSAGE


class Responses(Noun):
    """Responses that come in, to what was asked before."""

    async def respond(self, arrival: Arrival, not_found: Payload, now: datetime) -> Fate:
        """Take a response into its workflow, or quarantine it; *not_found* is then its answer."""
        fate = await self._respond(await self._searched(arrival), not_found, now)
        if isinstance(fate, Received):
            self._wake_ups.outbound.wake()  # what it proves may let the next of its conversation go
            self._wake_ups.notices[arrival.provider].wake()
        return fate

    @promises
    @writes
    def _respond(
        self, connection: Connection, arrival: Arrival, not_found: Payload, now: datetime
    ) -> Fate:
        """Take the response into its workflow, or quarantine it with *not_found* as its answer."""
        workflow = answered_workflow(connection, arrival, not_found, now)
        if isinstance(workflow, Met):
            return workflow
        told = tell(connection, workflow, arrival, now, now)
        taken = take(
            connection,
            told.arrival,
            workflow["id"],
            told.notice,
            now,
            remarks=told.remarks,
            names=named_by(told.remarks),
        )
        follow(connection, workflow, told, now)
        return taken


def answered_workflow(
    connection: Connection, arrival: Arrival, not_found: Payload, now: datetime
) -> Row | Met:
    """Return the workflow that the response is about, or what it met; 71: it has arrived."""
    met = already_met(connection, arrival, now)
    if met is not None:
        return met
    found = _workflows(connection, arrival)
    if len(found) != 1:
        return _quarantine(connection, arrival, not_found, found, now)
    (workflow,) = found
    # What is about somebody else proves nothing about our request, though it names it.
    if whose(connection, arrival, workflow["id"]) is not Sameness.OTHER_PATIENT:
        prove_arrival(connection, workflow, arrival, now)
    return workflow


def tell(
    connection: Connection, workflow: Row, arrival: Arrival, came_at: datetime, now: datetime
) -> JudgedResponse:
    """Return what the response says, and what a person should know about it beside that."""
    heard = None
    if arrival.wording is not None:
        heard = hear(connection, workflow, arrival.wording, came_at, now)
        arrival = replace(arrival, move=heard.reading.move, word=heard.word)
    before = CaseSoFar(
        state=State(workflow["state"]),
        due_at=instant(workflow["answer_due_at"]),
        cancel_open=workflow["cancellation"] == OutboundState.UNCONFIRMED,
        cancel_unsent=workflow["cancellation"] == OutboundState.NOT_SENT,
        says=heard.before if heard else None,
    )
    response = Response(
        move=arrival.move,
        says=heard.word.says if heard else None,
        request_type=RequestType(workflow["request_type"]),
        use_case=workflow["use_case"],
        reason=arrival.reason,
        newer=heard is None or (heard.newest and _is_after_the_end(heard.word, workflow, now)),
        clock_ahead=heard is not None and heard.clock_ahead,
        says_nothing=arrival.says_nothing,
        sends_back=heard is not None
        and heard.word.says in FINDS
        and sends_plans_back(connection, workflow["id"], arrival.plans),
        came_at=came_at,
    )
    remarks = remarks_on(before, response)
    ends = response.newer and arrival.move in _ENDS and Remark.CONTRADICTS not in remarks
    of_whose = _whose_remarks(connection, workflow["id"], arrival, ends=ends)
    return JudgedResponse(
        arrival=arrival,
        remarks=(*remarks, *of_whose),
        moves=Remark.OTHER_PATIENT in of_whose or moves_on(before, response),
    )


def _whose_remarks(
    connection: Connection, workflow_id: int, arrival: Arrival, *, ends: bool
) -> tuple[Remark, ...]:
    """
    Return what a person should know of whose the response is: which patient, which record.

    *ends*: by it the record is over, and it may be known that another one stands.
    """
    whose_it_is = whose(connection, arrival, workflow_id)
    of_patient = (OF_PATIENT[whose_it_is],) if whose_it_is in OF_PATIENT else ()
    records = other_records(connection, workflow_id)
    others = [each.state for each in records]
    if ends and not of_patient:
        return beside_an_ended(others, agreed=is_one_agreed_to(connection, records))
    return (*of_patient, Remark.OTHER_RECORD) if any(map(may_be_meant, others)) else of_patient


def named_by(remarks: Collection[Remark]) -> Names | None:
    """Return how it is kept whom a response names, which nobody has confirmed yet."""
    if Remark.OTHER_PATIENT in remarks:
        return Names.OTHER
    return Names.CHANGED if Remark.NEWLY_TRACED in remarks else None


def _is_after_the_end(word: Word, workflow: Row, now: datetime) -> bool:
    """
    Tell whether it was said after our cancellation was received: before that, it may cross.

    An end that is yet to come tells nothing: our own clock was ahead then.
    """
    if workflow["state"] != State.CANCELLED or is_ahead(instant(workflow["closed_at"]), now):
        return True
    closed_at: datetime = instant(workflow["closed_at"])
    return word.said_at > closed_at


def follow(
    connection: Connection,
    workflow: Row,
    told: JudgedResponse,
    now: datetime,
    *,
    asked: bool = False,
) -> None:
    """
    Let the workflow follow a response that was taken, and raise what alarms it is worth.

    *asked*: the EPR was asked about it, and its doubts were told then. So was that it names
    another patient, unless that has become so since.
    """
    arrival, word = told.arrival, told.arrival.word
    says = word.says if word else None
    about, which = EventAbout.request(arrival), {"workflow_id": workflow["id"]}
    somebody_else = Remark.OTHER_PATIENT in told.remarks
    if somebody_else:
        tell_of_another(connection, arrival, workflow["id"], now)
    if not asked:
        tell_of_doubts(connection, arrival, (*told.remarks, *arrival.doubts), now)
    if told.moves:
        state = make_move(connection, workflow, told, now)
        if _is_doubted(connection, workflow, state, says) and not somebody_else:
            add_event(connection, about, f"workflow.{state}", now, which)
    answer_alarms(connection, workflow["id"], now)
    if is_alarming(told.remarks, says):
        detail = {"remarks": told.remarks, "says": says}
        add_event(connection, about, "response.remarked", now, detail)


def make_move(connection: Connection, workflow: Row, told: JudgedResponse, now: datetime) -> State:
    """Let the workflow follow a response, if it does, and return where it is then."""
    if not told.moves:
        return State(workflow["state"])
    word = told.arrival.word
    if Remark.OTHER_PATIENT in told.remarks:
        return move_workflow(connection, workflow["id"], Move.UNCLEAR, now)
    focus_id = told.arrival.focus_id
    state = move_workflow(connection, workflow["id"], told.arrival.move, now, focus_id=focus_id)
    if word and word.status:
        connection.put("note_told", id=workflow["id"], status=word.status)
    return state


def _is_doubted(connection: Connection, workflow: Row, state: State, says: Said | None) -> bool:
    """
    Tell whether a person has to hear that the workflow is in doubt.

    Once: it stands on the page until somebody has settled it. Anew where it gets worse, and
    where it was marked as handled without anybody saying how it stands.
    """
    if is_worse(State(workflow["state"]), state):
        return True
    if state is not State.CONTRADICTED:
        return False
    keys = {"workflow_id": workflow["id"], "kind": f"workflow.{state}"}
    return renews_doubt(says) or connection.one("alarm_standing", **keys) is None


def _workflows(connection: Connection, arrival: Arrival) -> list[Row]:
    """Return the workflows that the response may be about; one is an answer."""
    found = _theirs(connection, arrival, "workflows_responded_to", bundle_id=arrival.responds_to)
    names = spellings(arrival.focus_id) if arrival.focus_id else [arrival.focus_id]
    found = _narrowed(found, lambda row: row["focus_id"] in names)
    found = _narrowed(found, lambda row: row["correlation_id"] == arrival.correlation_id)
    for alike in (same_case, same_journey):
        found = _narrowed(found, partial(_is_alike, connection, arrival, alike))
    # A ServiceRequest.id that nobody here knows says nothing; that of another workflow does.
    about = {"role": Role.REQUESTER}
    each = (_theirs(connection, arrival, "workflow_by_focus", key=key, **about) for key in names)
    named = next(filter(None, each), [])
    contradicts = named and not {row["id"] for row in found} & {row["id"] for row in named}
    return [*found, *named] if found and contradicts else found


def _is_alike(
    connection: Connection,
    arrival: Arrival,
    alike: Callable[[CaseDetails, CaseDetails], bool],
    row: Row,
) -> bool:
    first = began(connection, row["id"])
    ours = arrival.case_details
    return first is not None and ours is not None and alike(ours, case_details_of(first))


def _theirs(connection: Connection, arrival: Arrival, query: str, **keys: object) -> list[Row]:
    """Return what the Responder of *arrival* was asked, of the workflows that *query* finds."""
    found = connection.rows(query, provider=arrival.provider, **keys)
    return [row for row in found if same_service(row["counterparty"], arrival.sender)]


def _narrowed(found: list[Row], fits: Callable[[Row], bool]) -> list[Row]:
    """Return those that fit, where there is a choice and some of them do."""
    return [row for row in found if fits(row)] or found if len(found) > 1 else found


def prove_arrival(connection: Connection, workflow: Row, arrival: Arrival, now: datetime) -> None:
    """
    Let what waits for its retry, or could not be confirmed, be acknowledged: it is answered (71).

    Where somebody had been told that nobody knew, they are told that no call is needed now.
    """
    found = connection.rows("requests_unconfirmed", workflow_id=workflow["id"])
    unconfirmed = {row["id"] for row in found}
    move_workflow(connection, workflow["id"], Move.REQUEST, now)
    values = {"workflow_id": workflow["id"], "bundle_id": arrival.responds_to}
    for row in connection.rows("acknowledge_by_response", now=text(now), **values):
        after_all = [Remark.ARRIVED_AFTER_ALL] if row["id"] in unconfirmed else []
        tell_outcome(connection, row, now, after=after_all)


def _quarantine(
    connection: Connection,
    arrival: Arrival,
    not_found: Payload,
    found: list[Row],
    now: datetime,
) -> Quarantined:
    reason = "ambiguous" if found else "orphan"
    keep_aside(connection, arrival, reason, now)
    refusal = Refusal(
        provider=arrival.provider,
        request_id=arrival.request_id,
        correlation_id=arrival.correlation_id,
        fingerprint=arrival.fingerprint,
        rules=["M17"],
        http_status=404,
        answer=not_found,
    )
    remember(connection, refusal, "inbound.quarantined", now)
    return Quarantined(reason=reason, answer=not_found)


def response_arrival(
    message: Message,
    move: Move,
    request: Payload,
    *,
    provider: str,
    request_id: str,
    correlation_id: str,
    sender: str,
    receiver: str,
    came_at: datetime,
    doubts: Sequence[Remark],
) -> Arrival:
    """Return the response *message*, whose bytes are *request*; *doubts*: as of its content."""
    return Arrival(
        provider=provider,
        request_id=request_id,
        correlation_id=correlation_id,
        bundle_id=message.bundle_id,
        move=move,
        request_type=workflow.request_type_of(message),
        use_case=message.use_case,
        sender=sender,
        receiver=receiver,
        focus_id=message.request_id,
        reference=None,
        responds_to=message.responds_to,
        fingerprint=fingerprint(request.body),
        request=request,
        answer=_acknowledged(message, request),
        owed=None,
        reason=message.reason,
        wording=heard_in(message, doubts),
        says_nothing=says_nothing(message),
        plans=plans_said(message),
        case_details=case_details_of(message),
        doubts=tuple(doubts),
        appointment_until=appointment_until(message, came_at),
    )


def _acknowledged(message: Message, request: Payload) -> Payload:
    """Return what a response is acknowledged with, in the format that it is in."""
    body = acknowledge_response(message, request.body, Format(request.media_type))
    return Payload(media_type=request.media_type, headers={}, body=body)


def fingerprint(body: bytes) -> str:
    """Return what tells these bytes from others: SHA-256, in hex."""
    return hashlib.sha256(body).hexdigest()
