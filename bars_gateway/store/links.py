"""
Ties a new request to the workflows that it belongs to, in the transaction that takes it.

    ties ─► candidates ─► what speaks against each ─┬─► refused: nothing is taken
                                                    ├─► links, written with the message
                                                    └─► not linked, and a line that says why

The patients of two workflows are compared by the Bundles that began them, as they are kept:
nothing of a patient is written down a second time. A Bundle is read for that only where a
request names another workflow, or shares its conversation with one that may be meant.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property, partial
from typing import Any

from bars_gateway.frozen import frozen
from bars_gateway.model.messages import Arrival, Received, Submission
from bars_gateway.standard.bundle import Message
from bars_gateway.standard.consistency import journey_of
from bars_gateway.standard.headers import same_service, spellings
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
from bars_gateway.standard.patients import ONE_PATIENT, compare, is_among, patient_of
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.workflow import Move, RequestType, Role, State, led_on
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.records import EventAbout, add_event, began, links, read_payload
from bars_gateway.store.rows import text

_CARRIED_ON = frozenset({RequestType.REFERRAL, RequestType.VALIDATION})
_MOST = 8  # candidates of one conversation whose Bundles are read; more are no choice


@frozen
class FoundLinks:
    """What a new request belongs to, and what of it could not be linked."""

    to: Sequence[tuple[int, By]] = ()
    broken: Sequence[LinkRule] = ()


@frozen(slots=False)
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
        connection.put(
            "link_workflows",
            workflow_id=taken.workflow_id,
            to_id=to_id,
            kind=TIES[by].kind,
            by=by,
            message_id=taken.message_id,
            now=text(now),
        )
    about = EventAbout(request.provider, taken.message_id, request.request_id)
    alike = [to_id for to_id, by in found.to if by is By.ALIKE]
    if alike:
        add_event(connection, about, "record.other", now, {"workflows": alike})
    if found.broken:
        rules = [row.rule for row in found.broken]
        add_event(connection, about, "link.not_made", now, {"rules": rules})


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
    found = _with_id(connection, asking, by, focus_id)
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


def _with_id(connection: Connection, asking: _Asking, by: By, focus_id: str) -> list[Row]:
    """Return the workflows that have the id, in the first of its spellings that any of them has."""
    types = json.dumps(sorted(NAMED_TYPES[by]))
    about = {"provider": asking.request.provider, "role": asking.role, "request_types": types}
    each = (
        connection.rows("workflows_named", focus_id=name, **about) for name in spellings(focus_id)
    )
    return next(filter(None, each), [])


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
