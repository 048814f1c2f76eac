"""
Ties a workflow to others, and to the id of its record: in the transaction that takes it.

A new request is tied to the workflows that it belongs to.

    ties ─► candidates ─► what speaks against each ─┬─► refused: nothing is taken
                                                    ├─► links, written with the message
                                                    └─► not linked, and a line that says why

The patients of two workflows are compared by the Bundles that began them, as they are kept:
nothing of a patient is written down a second time. A Bundle is read for that only where a
request names another workflow, or shares its conversation with one that may be meant.

A change names its record by the Receiver's id, which may be another patient's as well:

    its patient is that of the workflow with the id ──────────────────► that one
    another's ─► open ones there, of that patient, without a known id ─┬─ one ─────► that one
                                                                       ├─ several ─► refused
                                                                       └─ none ────► the guard

A Receiver that gives two patients one id leaves the second without any. What its EPR
then cancels names that id, and must never end the first one's referral.

    an id that no workflow has ─► open ones there, of that patient and case, without a known id
                                  ─┬─ one ─► that one: somebody has asked there by telephone
                                   └─ else ► a workflow of its own, and the receipt warns

A workflow gets the id that the Receiver gave to its record, and never one of another patient's:

    id ─► held by another of that Receiver's? ─┬─ no ─────────────────► it is stored
                                               ├─ same patient and case ► both hold it, linked
                                               ├─ by what is over ─────► the newer takes it, told
                                               └─ else ────────────────► an alarm; a claim alone

Whichever provider of this gateway holds it: the number is the Receiver's, and of one patient. No
provider hears of another's workflows for that. A later cancellation names the record by that id;
one that two patients share would cancel the wrong one's. So it stays unknown, and whoever wants to
cancel has to telephone first.

Decisions: D-shared-id.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property, partial
from typing import Any

from bars_gateway.frozen import dataclass
from bars_gateway.model.messages import Arrival, Change, Received, Submission
from bars_gateway.standard.bundle import Message
from bars_gateway.standard.consistency import case_details_of, journey_of, same_case
from bars_gateway.standard.guards import named_unclearly, of_other_records
from bars_gateway.standard.headers import same_service
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.links import (
    AMBIGUOUS,
    NAMED_TYPES,
    TIES,
    UNCERTAIN,
    UNKNOWN,
    By,
    LinkKind,
    LinkRule,
    Named,
    Ties,
    against,
    refusing,
)
from bars_gateway.standard.patients import (
    ONE_PATIENT,
    Sameness,
    compare,
    compare_with,
    is_among,
    patient_of,
)
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.workflow import FINAL, Move, RequestType, Role, State, led_on
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.records import add_message_event, began, links, patients_of, read_payload
from bars_gateway.store.rows import text

_CARRIED_ON = frozenset({RequestType.REFERRAL, RequestType.VALIDATION})
_MOST = 8  # candidates of one conversation whose Bundles are read; more are no choice
_MOST_OPEN = 200  # open requests with ids of their own whose Bundles are read, the newest
_MOST_HOLDERS = (
    8  # workflows whose Bundles are read; who gives one id to more than that gives no ids
)


@dataclass(frozen=True, slots=True)
class FoundLinks:
    """What a new request belongs to, and what of it could not be linked."""

    to: Sequence[tuple[int, By]] = ()
    broken: Sequence[LinkRule] = ()


@dataclass(frozen=True)
class _Asking:
    """A new request, and the side that we are on in it."""

    role: Role
    counterparty: str
    request: Arrival | Submission

    @cached_property
    def message(self) -> Message:
        """What it says; read once, and only if there is something to compare it with."""
        return read_payload(self.request.request)


def find(
    connection: Connection, request: Arrival | Submission, seen: Row | None = None
) -> FoundLinks:
    """
    Return what the new *request* is to be linked to, and which rows speak against it.

    *seen*: which of its ids were seen before, where somebody has looked: it is tied by those alone.
    """
    if request.ties is None or request.move is not Move.REQUEST:
        return FoundLinks()
    ours = isinstance(request, Submission)
    asking = _Asking(
        role=Role.REQUESTER if ours else Role.RESPONDER,
        counterparty=request.receiver if ours else request.sender,
        request=request,
    )
    to: list[tuple[int, By]] = []
    broken: list[LinkRule] = []
    for by, focus_id in request.ties.names:
        named = _named(connection, asking, by, focus_id)
        if isinstance(named, int):
            to.append((named, by))
        else:
            broken += named
    goes_on = seen is None or seen["conversation"]
    for by, candidates in _conversation(connection, asking) if goes_on else ():
        if len(candidates) > 1:
            broken.append(AMBIGUOUS)
        to += [(each, by) for each in candidates if len(candidates) == 1]
    if seen is None or seen["likeness"]:
        to += [(each, By.ALIKE) for each in _alike(connection, asking)]
    return FoundLinks(to, list(dict.fromkeys(broken)))


def refused(
    request: Arrival | Submission, found: FoundLinks, *, asked: bool = False
) -> Sequence[Issue]:
    """Return for what the request is refused; where the EPR is *asked*, it may know more."""
    if request.ties is None:
        return []
    broken = [row for row in found.broken if not (asked and row is UNKNOWN)]
    return refusing(broken, request.ties)


def remarks_of(found: FoundLinks) -> tuple[Remark, ...]:
    """Return what the EPR is told with a request that belongs to those."""
    built_twice = any(by is By.ALIKE for _, by in found.to)
    return (Remark.OTHER_RECORD,) if built_twice else ()


def is_alarming(found: FoundLinks) -> bool:
    """Tell whether a person here has to hear of what the request named."""
    return any(row.alarming for row in found.broken)


def link(
    connection: Connection,
    request: Arrival | Submission,
    found: FoundLinks,
    taken: Received,
    now: datetime,
) -> None:
    """Write the links of a request that was taken, and why others were not made."""
    for to_id, by in found.to:
        connection.run(
            "link_workflows",
            workflow_id=taken.workflow_id,
            to_id=to_id,
            kind=TIES[by].kind,
            by=by,
            message_id=taken.message_id,
            now=text(now),
        )
    about = (request.provider, taken.message_id, request.request_id)
    alike = [to_id for to_id, by in found.to if by is By.ALIKE]
    if alike:
        add_message_event(connection, about, "record.other", now, {"workflows": alike})
    if found.broken:
        rules = [row.rule for row in found.broken]
        add_message_event(connection, about, "link.not_made", now, {"rules": rules})


def written(ties: Ties | None) -> dict[str, object] | None:
    """Return *ties* as a question keeps them until it is decided."""
    if ties is None:
        return None
    listed = {name: sorted(getattr(ties, name)) for name in ("looked_at", "refused_for")}
    single = {name: getattr(ties, name) for name in ("names", "journey_id", "likeness")}
    return {**single, **listed}


def as_written(kept: Mapping[str, Any] | None) -> Ties | None:
    """Return what `written` kept."""
    if kept is None:
        return None
    return Ties(
        names=tuple((By(by), name) for by, name in kept["names"]),
        journey_id=kept["journey_id"],
        looked_at=frozenset(kept["looked_at"]),
        refused_for=frozenset(kept["refused_for"]),
        likeness=kept["likeness"],
    )


def _named(connection: Connection, asking: _Asking, by: By, focus_id: str) -> int | list[LinkRule]:
    """Return the workflow that has the id, or what speaks against a link to it."""
    request = asking.request
    assert request.ties is not None
    found = connection.rows(
        "workflows_named",
        provider=request.provider,
        focus_id=focus_id,
        role=asking.role,
        request_types=json.dumps(sorted(NAMED_TYPES[by])),
    )
    found = _theirs(found, asking) or found
    if len(found) != 1:
        return [AMBIGUOUS if found else UNKNOWN]
    first = began(connection, found[0]["id"])
    if first is None:
        return [UNCERTAIN]
    named = Named(
        state=_reached(connection, found[0]),
        request=first,
        pairs=frozenset(
            each.state
            for each in links(connection, found[0]["id"])
            if TIES[each.by].kind is LinkKind.PAIR
        ),
    )
    return list(against(asking.message, named, request.ties)) or int(found[0]["id"])


def _conversation(connection: Connection, asking: _Asking) -> Iterator[tuple[By, list[int]]]:
    """Yield what of its conversation the request carries on, or takes the place of."""
    assert asking.request.ties is not None
    journey_id = asking.request.ties.journey_id
    if journey_id and asking.request.request_type in _CARRIED_ON:
        fits = partial(_is_same_journey, asking, journey_id)
        yield By.JOURNEY, _fitting(connection, _parents(connection, asking), fits)
    yield (
        By.CONVERSATION,
        _fitting(connection, _replaced(connection, asking), partial(_is_same, asking)),
    )


def _alike(connection: Connection, asking: _Asking) -> list[int]:
    """Return the workflows of the same request, which this one was built from a second time."""
    assert asking.request.ties is not None
    likeness = asking.request.ties.likeness
    if likeness is None:
        return []
    values = {"provider": asking.request.provider, "role": asking.role, "most": _MOST}
    found = connection.rows("workflows_alike", likeness=likeness, **values)
    return _fitting(connection, _theirs(found, asking), partial(_is_built_again, asking))


def _parents(connection: Connection, asking: _Asking) -> list[Row]:
    """Return what whoever sends the request had got from others."""
    if asking.role is Role.RESPONDER:
        found = _talked_about(connection, "workflows_to_carry_on", asking, Role.REQUESTER)
        return _theirs(found, asking)
    found = _talked_about(connection, "workflows_to_carry_on", asking, Role.RESPONDER)
    # Where two of our own services write to each other, neither carries on what it sent itself.
    return [row for row in found if not same_service(row["counterparty"], asking.request.sender)]


def _replaced(connection: Connection, asking: _Asking) -> list[Row]:
    """Return what was cancelled, and has nothing in its place yet."""
    request_type = asking.request.request_type
    found = _talked_about(
        connection, "workflows_to_replace", asking, asking.role, request_type=request_type
    )
    theirs = _theirs(found, asking)
    # What we ask again we may ask of another service; what others ask of us again is theirs.
    return theirs or found if asking.role is Role.REQUESTER else theirs


def _talked_about(
    connection: Connection, query: str, asking: _Asking, role: Role, **values: object
) -> list[Row]:
    request = asking.request
    values |= {"provider": request.provider, "correlation_id": request.correlation_id}
    return connection.rows(query, role=role, **values)


def _theirs(found: list[Row], asking: _Asking) -> list[Row]:
    return [row for row in found if same_service(row["counterparty"], asking.counterparty)]


def _fitting(
    connection: Connection, found: list[Row], fits: Callable[[Message], bool]
) -> list[int]:
    if len(found) > _MOST:
        return [row["id"] for row in found]
    read = ((row["id"], began(connection, row["id"])) for row in found)
    return [number for number, message in read if message is not None and fits(message)]


def _is_same(asking: _Asking, theirs: Message) -> bool:
    return compare(patient_of(asking.message), patient_of(theirs)) in ONE_PATIENT


def _is_built_again(asking: _Asking, theirs: Message) -> bool:
    """Tell whether it is the same; whoever had mixed up two people puts it right in a new one."""
    ours, first = patient_of(asking.message), patient_of(theirs)
    return is_among(ours, [first]) or is_among(first, [ours])


def _is_same_journey(asking: _Asking, journey_id: str, theirs: Message) -> bool:
    return journey_of(theirs) == journey_id and _is_same(asking, theirs)


def _reached(connection: Connection, workflow: Row) -> State:
    """Return where the workflow is once all that we have to say about it has arrived."""
    under_way = connection.rows("moves_under_way", workflow_id=workflow["id"])
    return led_on(State(workflow["state"]), *(Move(row["move"]) for row in under_way))


def meant(connection: Connection, change: Change, found: Row) -> Row | list[Issue]:
    """Return the workflow that *change* is of, *found* by its id, or why nobody can say."""
    if found["focus_id"] != change.focus_id:
        return found  # by the id of a Bundle, which only we gave
    sameness = compare_with(change.said.patient, patients_of(connection, found["id"]))
    if sameness in ONE_PATIENT:
        return found
    others = [each for each in _open(connection, change) if each["id"] != found["id"]]
    claimed = [each["id"] for each in others if each["claimed_id"] == change.focus_id]
    doubtful = sameness is Sameness.UNKNOWN_PATIENT and claimed
    if sameness is not Sameness.OTHER_PATIENT and not doubtful:
        return found
    fitting = [each for each in others if _may_be(change, each) and _fits(connection, change, each)]
    if len(fitting) == 1:
        meant_one = connection.one("workflow", id=fitting[0]["id"])
        assert meant_one is not None
        return meant_one
    if fitting or doubtful:
        either = [each["id"] for each in fitting] or [found["id"], *claimed]
        return [named_unclearly(either)]
    named = _with_ids(connection, change, others) if change.patient_changed else []
    return [of_other_records(named)] if named else found


def claimant(connection: Connection, change: Change) -> Row | None:
    """Return the request that an id is of which no workflow of this provider holds."""
    may_be = [each for each in _open(connection, change) if _may_be(change, each)]
    claimed = [each for each in may_be if each["claimed_id"] == change.focus_id]
    if claimed:  # it was told that id, and a workflow of another provider holds it
        found = [each for each in claimed if _fits(connection, change, each)]
    else:
        told = [each for each in may_be if each["state"] != State.REQUESTED][:_MOST_OPEN]
        found = [each for each in told if _is_its_case(connection, change, each)]
    return connection.one("workflow", id=found[0]["id"]) if len(found) == 1 else None


def open_of_patient(connection: Connection, change: Change) -> list[Row]:
    """Return the open requests of a change's patient at that Receiver, the newest first."""
    found = _open(connection, change)[:_MOST_OPEN]
    return [each for each in found if _fits(connection, change, each)]


def _is_its_case(connection: Connection, change: Change, other: Row) -> bool:
    """Tell whether the change names patient and case of a request whose id nobody here knows."""
    first = began(connection, other["id"])
    is_case = first is not None and same_case(change.said, case_details_of(first))
    return is_case and _fits(connection, change, other)


def _open(connection: Connection, change: Change) -> list[Row]:
    values = {"provider": change.provider, "request_type": change.request_type}
    return [
        row
        for row in connection.rows("requests_open", **values)
        if same_service(row["counterparty"], change.receiver)
    ]


def _may_be(change: Change, other: Row) -> bool:
    """Tell whether the Receiver may call it by that id: it is known by none, nor by another."""
    return other["focus_id"] is None and other["claimed_id"] in {None, change.focus_id}


def _fits(connection: Connection, change: Change, other: Row) -> bool:
    return compare_with(change.said.patient, patients_of(connection, other["id"])) in ONE_PATIENT


def _with_ids(connection: Connection, change: Change, others: Sequence[Row]) -> list[int]:
    """Return the patient's own requests there: a patient who changed has none beside this one."""
    apart = [each for each in others if not _may_be(change, each)][:_MOST_OPEN]
    return [each["id"] for each in apart if _fits(connection, change, each)]


def name_focus(
    connection: Connection, message: Row, focus_id: str, now: datetime
) -> Sequence[Remark]:
    """Let the workflow of *message*, its request, have that id; return what is remarkable."""
    workflow = connection.one("workflow", id=message["workflow_id"])
    assert workflow is not None
    if workflow["focus_id"] is not None:
        return []
    holders = _holders(connection, workflow, focus_id)
    if len(holders) > _MOST_HOLDERS:
        return _not_taken(connection, message, focus_id, holders[:_MOST_HOLDERS], now)
    same = [each for each in holders if _is_same_case(connection, workflow, each)]
    others = [each for each in holders if each not in same]
    if any(State(each["state"]) not in FINAL for each in others):
        return _not_taken(connection, message, focus_id, others, now)
    for each in same:
        if each["provider"] == workflow["provider"]:  # no provider hears of another's workflows
            _link(connection, message, each, now)
    for each in others:
        connection.run("lose_focus", id=each["id"])
    connection.run("name_focus", workflow_id=workflow["id"], focus_id=focus_id)
    return [Remark.ID_USED_BEFORE] if others else []


def _holders(connection: Connection, workflow: Row, focus_id: str) -> list[Row]:
    """Return the other workflows that have the id of that Receiver's, of whichever provider."""
    return [
        row
        for row in connection.rows("focus_holders", focus_id=focus_id, role=workflow["role"])
        if row["id"] != workflow["id"]
        and same_service(row["counterparty"], workflow["counterparty"])
        and _is_booking(row) == _is_booking(workflow)
    ]


def _is_booking(workflow: Row) -> bool:
    return bool(workflow["request_type"] == RequestType.BOOKING)


def _is_same_case(connection: Connection, one_: Row, other: Row) -> bool:
    """Tell whether one resends the other, or both began with the same case of one patient."""
    resent = {each.workflow_id for each in links(connection, one_["id"]) if each.by is By.RESEND}
    if other["id"] in resent:
        return True
    here, there = began(connection, one_["id"]), began(connection, other["id"])
    if here is None or there is None:
        return False
    ours, theirs = case_details_of(here), case_details_of(there)
    return compare(ours.patient, theirs.patient) in ONE_PATIENT and same_case(ours, theirs)


def _link(connection: Connection, message: Row, other: Row, now: datetime) -> None:
    connection.run(
        "link_as_one",
        workflow_id=message["workflow_id"],
        to_id=other["id"],
        kind=TIES[By.FOCUS_ID].kind,
        by=By.FOCUS_ID,
        message_id=message["id"],
        now=text(now),
    )


def _not_taken(
    connection: Connection,
    message: Row,
    focus_id: str,
    others: Sequence[Row],
    now: datetime,
) -> Sequence[Remark]:
    """Keep what the Receiver claims, as a claim alone, and raise the alarm."""
    connection.run("claim_focus", workflow_id=message["workflow_id"], focus_id=focus_id)
    found = connection.one("message", id=message["id"])
    assert found is not None
    about = (found["provider"], found["id"], found["request_id"])
    held_by = [each["id"] for each in others if each["provider"] == found["provider"]]
    add_message_event(connection, about, "message.shared_id", now, {"workflows": held_by})
    return [Remark.SHARED_ID]
