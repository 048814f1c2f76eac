"""
What somebody asks to be done with messages that they submitted before.

    {"why": "INC-7", "by": "jo"} ──► Order            POST /messages/{request_id}/hold
    {"verb": "hold", "why": …, "messages": {…}}       POST /interventions
                 └──► Order + Selection
    {"why": …, "alarms": [17, 18]}                    POST /alarms/handled
                 └──► Handling

A reason is asked for every time, because the audit trail is read years later. A member
that nobody knows is refused by name: a misspelt `dry_run` would otherwise be the real thing.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from bars_gateway.frozen import frozen
from bars_gateway.model.alarms import ALARMS
from bars_gateway.model.interventions import IN_BULK, LONGEST_REASON, Selection, Verb
from bars_gateway.model.messages import Actor, OutboundState
from bars_gateway.model.standing_alarms import MOST_AT_ONCE, Chosen
from bars_gateway.standard.headers import is_uuid
from bars_gateway.standard.nhs_numbers import NUMBER_IN_TEXT, holds_nhs_number
from bars_gateway.standard.timing import typed_instant
from bars_gateway.standard.tree import MalformedBundle, plain_object
from bars_gateway.standard.workflow import CONFIRMABLE, State

LONGEST_NAME = 64
_LONGEST_SERVICE = 300
_LARGEST = 2**63  # what SQLite can number
OF_MESSAGES = frozenset({"confirmed", "after_its_time"})  # what no other order has


class OrderProblem(ValueError):
    """The order cannot be understood; the text says what is wrong, without its values."""

    def __init__(self, text: str, member: str | None = None) -> None:
        """Say what is wrong with *member*, in words that go on from its name; None: with all."""
        super().__init__(text if member is None else f"{member} {text}")
        self.member = member


@frozen(kw_only=True)
class SignedOrder:
    """What every order says of whoever gives it."""

    why: str
    by: str | None = None  # as they call themselves
    role: str = "epr"

    def actor(self, via: str) -> Actor:
        """Return whose order it is, as the audit trail has it; *via* says how it came."""
        return Actor(role=self.role, who=f"{self.by or self.role} ({via})", why=self.why)


@frozen(kw_only=True)
class Order(SignedOrder):
    """What is to be done with messages."""

    verb: Verb
    confirmed: bool = False  # what may come of a resend was read
    after_its_time: bool = False  # that its clinical time has passed was read, too
    dry_run: bool = False


@frozen(kw_only=True)
class Attachment(SignedOrder):
    """To which workflow a quarantined response belongs."""

    workflow_id: int
    dry_run: bool = False


@frozen(kw_only=True)
class Confirmation(SignedOrder):
    """How a workflow in doubt stands."""

    state: State
    dry_run: bool = False


@frozen(kw_only=True)
class Handling(SignedOrder):
    """Which alarms somebody has dealt with."""

    chosen: Chosen
    dry_run: bool = False


@frozen(kw_only=True)
class AlertAcknowledgement(SignedOrder):
    """That somebody sees to an alert."""


@frozen(kw_only=True)
class RecordOrder(SignedOrder):
    """What is to become of a record: one thing, or none for a purge."""

    dry_run: bool = False
    request_id: str | None = None
    message_id: int | None = None
    workflow_id: int | None = None
    quarantine_id: int | None = None
    linked: bool = False  # what it is linked to as well; of a hold alone


def read_hold_order(body: bytes) -> RecordOrder:
    """Return which record is to be held, or raise OrderProblem."""
    return _record_order(body, _HOLD)


def read_release_order(body: bytes) -> RecordOrder:
    """Return which record is to be released, or raise OrderProblem."""
    return _record_order(body, _RECORD)


def _record_order(body: bytes, members: Mapping[str, Callable[[Any], Any]]) -> RecordOrder:
    found = _object(body)
    _refuse_unknown(found, members)
    if "why" not in found:
        raise OrderProblem("is missing: a reason, such as the number of a case", "why")
    if len(found.keys() & _NAMING_RECORDS.keys()) != 1:
        raise OrderProblem(f"name one of {', '.join(_NAMING_RECORDS)}")
    return RecordOrder(**{name: members[name](value) for name, value in found.items()})


def read_purge_order(body: bytes) -> RecordOrder:
    """Return who begins a purge and why, or raise OrderProblem."""
    found = _object(body)
    _refuse_unknown(found, _ACKNOWLEDGEMENT)
    if "why" not in found:
        raise OrderProblem("is missing: a reason, such as the number of a case", "why")
    return RecordOrder(**{name: _ACKNOWLEDGEMENT[name](value) for name, value in found.items()})


def read_acknowledgement(body: bytes) -> AlertAcknowledgement:
    """Return who sees to an alert, or raise OrderProblem."""
    found = _object(body)
    _refuse_unknown(found, _ACKNOWLEDGEMENT)
    if "why" not in found:
        raise OrderProblem("is missing: what is done about it, or the number of a ticket", "why")
    values = {name: _ACKNOWLEDGEMENT[name](value) for name, value in found.items()}
    return AlertAcknowledgement(**values)


def read_handling(body: bytes) -> Handling:
    """Return which alarms are handled, or raise OrderProblem."""
    found = _object(body)
    _refuse_unknown(found, {*_ATTACHMENT.keys() - {"workflow_id"}, *_CHOOSING})
    if "why" not in found:
        raise OrderProblem("is missing: a reason, such as the number of a ticket", "why")
    named = {name: _CHOOSING[name](found[name]) for name in found if name in _CHOOSING}
    if "kinds" in named and "up_to" not in named:
        raise OrderProblem("needs up_to: the highest number that was seen", "kinds")
    if "after" in named and "up_to" not in named:
        raise OrderProblem("needs up_to: the highest number that was seen", "after")
    if not named:
        raise OrderProblem("name alarms or request_ids, or give up_to: the highest that was seen")
    rest = {name: _ATTACHMENT[name](found[name]) for name in found if name not in _CHOOSING}
    numbers = named.pop("alarms", ())
    return Handling(chosen=Chosen(numbers=numbers, **named), **rest)


def read_order(body: bytes, verb: str) -> Order:
    """Return the order for one message, or raise OrderProblem."""
    found = _object(body)
    _refuse_unknown(found, _MEMBERS)
    return _order({**found, "verb": verb})


def read_attachment(body: bytes) -> Attachment:
    """Return what is to be attached to which workflow, or raise OrderProblem."""
    found = _object(body)
    _refuse_unknown(found, _ATTACHMENT)
    for name in ("why", "workflow_id"):
        if name not in found:
            raise OrderProblem("is missing", name)
    values = {name: _ATTACHMENT[name](value) for name, value in found.items()}
    return Attachment(**values)


def read_confirmation(body: bytes) -> Confirmation:
    """Return how a workflow stands that is in doubt, or raise OrderProblem."""
    found = _object(body)
    _refuse_unknown(found, _CONFIRMATION)
    for name in ("why", "state"):
        if name not in found:
            raise OrderProblem("is missing", name)
    values = {name: _CONFIRMATION[name](value) for name, value in found.items()}
    return Confirmation(**values)


def read_bulk_order(body: bytes) -> tuple[Order, Selection]:
    """Return the order and which messages it is for, or raise OrderProblem."""
    found = _object(body)
    _refuse_unknown(found, {*_MEMBERS, "verb", "messages"})
    order = _order(found)
    return order, _selection(found.get("messages", {}), order.verb)


def _object(body: bytes) -> dict[str, Any]:
    try:
        return plain_object(body)
    except MalformedBundle as error:
        raise OrderProblem(str(error)) from None


def _refuse_unknown(found: Mapping[str, Any], known: Collection[str]) -> None:
    if found.keys() - set(known):
        raise OrderProblem(f"there is a member that is none of {', '.join(sorted(known))}")


def _order(found: Mapping[str, Any]) -> Order:
    if "why" not in found:
        raise OrderProblem("is missing: a reason, such as the number of a ticket", "why")
    if "verb" not in found:
        raise OrderProblem(f"is missing: one of {', '.join(Verb)}", "verb")
    readers = {**_MEMBERS, "verb": _verb}
    values = {name: readers[name](value) for name, value in found.items() if name in readers}
    return Order(**values)  # type: ignore[arg-type]


def _selection(found: Any, verb: Verb) -> Selection:
    wanted = _filter(found)
    _refuse_unknown(wanted, _FILTERS)
    values = {name: _FILTERS[name](value) for name, value in wanted.items()}
    states = values.pop("states", IN_BULK[verb])
    if not states <= IN_BULK[verb]:
        allowed = ", ".join(sorted(IN_BULK[verb]))
        raise OrderProblem(f"for {verb} by a filter are {allowed}", "messages.states")
    return Selection(states=states, **values)


def _text(name: str, longest: int) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if isinstance(value, str) and 0 < len(value.strip()) <= longest and value.isprintable():
            return value.strip()
        raise OrderProblem(f"must be a text of 1 to {longest} characters on one line", name)

    return read


def _kept_text(name: str, longest: int) -> Callable[[Any], str]:
    """Read what is kept in clear for years, and so must not name a patient."""

    def read(value: Any) -> str:
        found = _text(name, longest)(value)
        if holds_nhs_number(found):
            raise OrderProblem(NUMBER_IN_TEXT, name)
        return found

    return read


def _flag(name: str) -> Callable[[Any], bool]:
    def read(value: Any) -> bool:
        if isinstance(value, bool):
            return value
        raise OrderProblem("must be true or false", name)

    return read


def _instant(name: str) -> Callable[[Any], datetime]:
    def read(value: Any) -> datetime:
        moment = typed_instant(value, unzoned=None) if isinstance(value, str) else None
        if moment is None:
            raise OrderProblem("must be an instant such as 2026-03-02T09:00:00Z", name)
        return moment

    return read


def _number(name: str, of: str) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if _is_number(value):
            return int(value)
        raise OrderProblem(f"must be the number of {of}", name)

    return read


def _some(name: str, of: str, fits: Callable[[Any], bool]) -> Callable[[Any], tuple[Any, ...]]:
    def read(value: Any) -> tuple[Any, ...]:
        if isinstance(value, list) and 0 < len(value) <= MOST_AT_ONCE and all(map(fits, value)):
            return tuple(value)
        raise OrderProblem(f"must be a list of 1 to {MOST_AT_ONCE} {of}", name)

    return read


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LARGEST


def _state(value: Any) -> State:
    if isinstance(value, str) and value in CONFIRMABLE:
        return State(value)
    raise OrderProblem(f"must be one of {', '.join(sorted(CONFIRMABLE))}", "state")


def _role(value: Any) -> str:
    if value in ("epr", "operator"):
        return str(value)
    raise OrderProblem("must be epr or operator", "role")


def _verb(value: Any) -> Verb:
    if isinstance(value, str) and value in list(Verb):
        return Verb(value)
    raise OrderProblem(f"must be one of {', '.join(Verb)}", "verb")


def _filter(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise OrderProblem("must be an object of filters", "messages")


def _states(value: Any) -> frozenset[OutboundState]:
    if isinstance(value, list) and all(each in list(OutboundState) for each in value):
        return frozenset(map(OutboundState, value))
    raise OrderProblem(f"must be a list of {', '.join(OutboundState)}", "messages.states")


def _correlation_id(value: Any) -> str:
    if isinstance(value, str) and is_uuid(value):
        return value.strip()
    raise OrderProblem("must be a UUID", "messages.correlation_id")


def _request_id(value: Any) -> str:
    if isinstance(value, str) and is_uuid(value):
        return value.strip()
    raise OrderProblem("must be a UUID", "request_id")


def _request_ids(value: Any) -> tuple[str, ...]:
    """Read ids of messages, in whatever letters, as they are kept."""
    read = _some(
        "request_ids", "X-Request-Ids", lambda each: isinstance(each, str) and is_uuid(each)
    )
    return tuple(each.strip().lower() for each in read(value))


_MEMBERS: Mapping[str, Callable[[Any], object]] = {
    "why": _kept_text("why", LONGEST_REASON),
    "by": _kept_text("by", LONGEST_NAME),
    "role": _role,
    "confirmed": _flag("confirmed"),
    "after_its_time": _flag("after_its_time"),
    "dry_run": _flag("dry_run"),
}
_FILTERS: Mapping[str, Callable[[Any], Any]] = {
    "states": _states,
    "receiver": _text("messages.receiver", _LONGEST_SERVICE),
    "use_case": _text("messages.use_case", LONGEST_NAME),
    "correlation_id": _correlation_id,
    "taken_from": _instant("messages.taken_from"),
    "taken_before": _instant("messages.taken_before"),
    "after": _number("messages.after", "a message: see next"),
    "up_to": _number("messages.up_to", "a message: see next"),
}
_ATTACHMENT: Mapping[str, Callable[[Any], Any]] = {
    "workflow_id": _number("workflow_id", "a workflow"),
    **{name: reader for name, reader in _MEMBERS.items() if name not in OF_MESSAGES},
}
_ACKNOWLEDGEMENT: Mapping[str, Callable[[Any], Any]] = {
    name: reader for name, reader in _ATTACHMENT.items() if name not in {"workflow_id", "dry_run"}
}
_CHOOSING: Mapping[str, Callable[[Any], Any]] = {
    "alarms": _some("alarms", "numbers of alarms", _is_number),
    "request_ids": _request_ids,
    "kinds": _some(
        "kinds", "kinds of alarm", lambda value: isinstance(value, str) and value in ALARMS
    ),
    "up_to": _number("up_to", "an alarm"),
    "after": _number("after", "an alarm: see next"),
}
_CONFIRMATION: Mapping[str, Callable[[Any], Any]] = {
    "state": _state,
    **{name: reader for name, reader in _MEMBERS.items() if name not in OF_MESSAGES},
}
_NAMING_RECORDS: Mapping[str, Callable[[Any], Any]] = {
    "request_id": _request_id,
    "message_id": _number("message_id", "a message"),
    "workflow_id": _number("workflow_id", "a workflow"),
    "quarantine_id": _number("quarantine_id", "what lies in quarantine"),
}
_RECORD: Mapping[str, Callable[[Any], Any]] = {
    **_NAMING_RECORDS,
    **{name: reader for name, reader in _MEMBERS.items() if name not in OF_MESSAGES},
}
# A release has no such thing: what is linked may be held for another reason.
_HOLD: Mapping[str, Callable[[Any], Any]] = {**_RECORD, "linked": _flag("linked")}
