"""
Faults on demand: what the national side does to us when we ask it to.

A fault is armed for the next so many calls, or with a probability, for one target or
for all. The first armed fault that fits a call and a stage is used, and counted.

A fault that names something its kind does not use is refused: it would be armed, and
not be what somebody meant.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from bars_gateway.frozen import frozen
from bars_gateway.sandbox.bodies import REFUSALS

STATUSES = frozenset({401, 408, 429, 500, 502, 503, 504})
OF_A_DEVICE = STATUSES | {413, 414, 415, 431}  # which minds the size, or the form, of what it sees


class FaultKind(StrEnum):
    """What goes wrong."""

    DELAY = "delay"
    DROP_BEFORE = "drop_before"
    DROP_AFTER = "drop_after"
    STATUS = "status"
    PAGE = "page"
    NO_IDS = "no_ids"
    WRONG_IDS = "wrong_ids"
    OTHER_BODY = "other_body"
    TLS_FAILURE = "tls_failure"
    TOKEN_OUTAGE = "token_outage"  # noqa: S105 - no secret, as the next three
    TOKEN_UNAUTHORISED = "token_unauthorised"  # noqa: S105
    TOKEN_RATE_LIMITED = "token_rate_limited"  # noqa: S105
    TOKEN_REFUSED = "token_refused"  # noqa: S105


class OutageMode(StrEnum):
    """How the token endpoint is down."""

    HTML = "html"  # something in front of it answers 503 with a page
    DROP = "drop"  # the connection is closed without an answer


Word = TypeVar("Word", FaultKind, OutageMode)


class FaultProblem(ValueError):
    """A fault was described wrongly; the text names what, and the cure."""


@frozen(kw_only=True)
class ArmedFault:
    """One armed fault."""

    fault_id: int
    kind: FaultKind
    count: int | None = None  # for the next so many calls; None: for ever
    probability: float = 1.0
    seconds: float = 0.0  # of a delay, or until the token endpoint may be asked again
    status: int = 503
    after: bool = False  # of a status or a page: whether the Receiver sees the message first
    target: str | None = None  # value of the service; None: every one
    method: str | None = None  # POST: messages only, GET: reads; None: both
    mode: OutageMode = OutageMode.HTML
    refusal: str = "server-error"  # a name of token_refusals.REFUSALS

    def document(self) -> dict[str, object]:
        """Return what GET /faults says: what this kind uses, and nothing else."""
        used = _COMMON | KINDS[self.kind].used
        members = {name: value for name, value in asdict(self).items() if name in used}
        return {"id": self.fault_id, **members}


_TYPES: dict[str, tuple[type, ...]] = {
    "kind": (str,),
    "count": (int,),
    "probability": (int, float),
    "seconds": (int, float),
    "status": (int,),
    "after": (bool,),
    "target": (str,),
    "method": (str,),
    "mode": (str,),
    "refusal": (str,),
}
_COMMON = frozenset({"kind", "count", "probability"})
_CALL = frozenset({"target", "method"})


@frozen(kw_only=True)
class FaultBehaviour:
    """What a kind of fault does, and which members it uses besides count and probability."""

    does: str  # as docs/sandbox.md prints it
    used: frozenset[str] = frozenset()
    needed: str | None = None


KINDS: Mapping[FaultKind, FaultBehaviour] = {
    FaultKind.DELAY: FaultBehaviour(
        does="The proxy waits `seconds` before it forwards.",
        used=_CALL | {"seconds"},
        needed="seconds",
    ),
    FaultKind.DROP_BEFORE: FaultBehaviour(
        does="The connection is closed without an answer; the Receiver saw nothing.", used=_CALL
    ),
    FaultKind.DROP_AFTER: FaultBehaviour(
        does="The Receiver answered; the connection is closed all the same.", used=_CALL
    ),
    FaultKind.STATUS: FaultBehaviour(
        does="The proxy says what it says in life: 401, 408, 429, 500 and 503 with an"
        " OperationOutcome, 502 with a fault of the platform. 504 is a Receiver's, and becomes"
        " 408. With `after`, the Receiver has the message.",
        used=_CALL | {"status", "after"},
        needed="status",
    ),
    FaultKind.PAGE: FaultBehaviour(
        does="A device in front of the proxy answers `status` with a page of HTML.",
        used=_CALL | {"status", "after"},
        needed="status",
    ),
    FaultKind.NO_IDS: FaultBehaviour(
        does="The Receiver's answer comes without X-Request-Id and X-Correlation-Id.", used=_CALL
    ),
    FaultKind.WRONG_IDS: FaultBehaviour(
        does="The Receiver's answer comes with two other ids, as that to another message.",
        used=_CALL,
    ),
    FaultKind.OTHER_BODY: FaultBehaviour(
        does="The Receiver's answer comes with the body of the answer before it, under its own ids:"
        " as if two requests had been mixed up. There is nothing to mix up with the first.",
        used=_CALL,
    ),
    FaultKind.TLS_FAILURE: FaultBehaviour(
        does="A new connection to the proxy or the token service fails in the handshake; those"
        " that are open are closed first. (A *Receiver's* failure is a `status` of 503.)"
    ),
    FaultKind.TOKEN_OUTAGE: FaultBehaviour(
        does="The token service is down: a 503 with a page, or, with `mode` `drop`, no answer.",
        used=frozenset({"mode"}),
    ),
    FaultKind.TOKEN_UNAUTHORISED: FaultBehaviour(
        does="The token service does not know the API key."
    ),
    FaultKind.TOKEN_RATE_LIMITED: FaultBehaviour(
        does="The token service says 429, and asks to wait `seconds`.",
        used=frozenset({"seconds"}),
    ),
    FaultKind.TOKEN_REFUSED: FaultBehaviour(
        does="The token service refuses in the words of `refusal`, a row of `docs/answers.md`.",
        used=frozenset({"refusal"}),
        needed="refusal",
    ),
}
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
TOKEN_FAULTS = tuple(kind for kind in FaultKind if kind.startswith("token_"))


class Faults:
    """
    The armed faults.

    *hang_up* closes the connections that are open: they would outlive a failing handshake.
    """

    def __init__(self, rng: random.Random, hang_up: Callable[[], None] = lambda: None) -> None:
        self._rng = rng
        self._hang_up = hang_up
        self._armed: dict[int, ArmedFault] = {}
        self._next = 1

    def arm(self, described: object) -> ArmedFault:
        """Arm the fault that a JSON object describes, or raise FaultProblem."""
        fault = self._read(described)
        self._armed[fault.fault_id] = fault
        self._next += 1
        if fault.kind is FaultKind.TLS_FAILURE:
            self._hang_up()
        return fault

    def armed(self) -> Sequence[ArmedFault]:
        """Return what is armed, oldest first."""
        return list(self._armed.values())

    def clear(self, fault_id: int | None = None) -> bool:
        """Disarm one fault, or all; return whether there was any."""
        if fault_id is not None:
            return self._armed.pop(fault_id, None) is not None
        found = bool(self._armed)
        self._armed.clear()
        return found

    def strikes(
        self,
        *kinds: FaultKind,
        target: str | None = None,
        method: str | None = None,
        after: bool = False,
    ) -> ArmedFault | None:
        """Return the fault of these kinds that this call meets, and count it."""
        for fault in self.armed():
            if fault.kind not in kinds or fault.target not in {None, target}:
                continue
            if fault.method not in {None, method}:
                continue
            if "after" in KINDS[fault.kind].used and fault.after != after:
                continue
            if self._rng.random() < fault.probability:
                self._use(fault)
                return fault
        return None

    def another_id(self) -> str:
        """Return an id that no request has."""
        return str(UUID(int=self._rng.getrandbits(128), version=4))

    def _use(self, fault: ArmedFault) -> None:
        if fault.count is None:
            return
        if fault.count <= 1:
            self.clear(fault.fault_id)
        else:
            self._armed[fault.fault_id] = replace(fault, count=fault.count - 1)

    def _read(self, described: object) -> ArmedFault:
        if not isinstance(described, dict):
            raise FaultProblem("a fault is a JSON object")
        for name, value in described.items():
            if name not in _TYPES:
                raise FaultProblem(f"unknown member {name!a}; known are {', '.join(_TYPES)}")
            wrong = not isinstance(value, _TYPES[name])
            if wrong or (isinstance(value, bool) and bool not in _TYPES[name]):
                raise FaultProblem(f"{name} has the wrong type")
        kind = _one_of(FaultKind, "kind", described.get("kind"))
        unused = sorted(described.keys() - _COMMON - KINDS[kind].used)
        if unused:
            raise FaultProblem(f"kind {kind} does not use {', '.join(unused)}")
        needed = KINDS[kind].needed
        if needed and needed not in described:
            raise FaultProblem(f"kind {kind} needs {needed}")
        mode = _one_of(OutageMode, "mode", described.get("mode", OutageMode.HTML))
        fault = ArmedFault(fault_id=self._next, **{**described, "kind": kind, "mode": mode})
        _check(fault)
        return fault


def _one_of(words: type[Word], name: str, found: object) -> Word:
    if not isinstance(found, str) or found not in list(words):
        raise FaultProblem(f"{name} must be one of {', '.join(words)}")
    return words(found)


def _check(fault: ArmedFault) -> None:
    if not 0 <= fault.probability <= 1:
        raise FaultProblem("probability is between 0 and 1")
    if fault.count is not None and fault.count < 1:
        raise FaultProblem("count is 1 or more")
    if not 0 <= fault.seconds <= 600:  # noqa: PLR2004 - ten minutes
        raise FaultProblem("seconds is between 0 and 600")
    if fault.method not in {None, *_METHODS}:
        raise FaultProblem(f"method must be one of {', '.join(_METHODS)}")
    known = OF_A_DEVICE if fault.kind is FaultKind.PAGE else STATUSES
    if fault.status not in known:
        raise FaultProblem(f"status must be one of {', '.join(map(str, sorted(known)))}")
    if fault.refusal not in REFUSALS:
        raise FaultProblem(f"refusal must be one of {', '.join(REFUSALS)}")
