"""
Faults on demand: what the national side does to us when we ask it to.

A fault is armed for the next so many calls, or with a probability, for one target or
for all. The first armed fault that fits a call and a stage is used, and counted.

A fault that names something its kind does not use is refused: it would be armed, and
not be what somebody meant.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TypeVar

from bars_gateway.sandbox.token_refusals import REFUSALS

STATUSES = frozenset({401, 429, 500, 502, 503, 504})


class FaultKind(StrEnum):
    """What goes wrong."""

    DELAY = "delay"  # wait before forwarding
    DROP_BEFORE = "drop_before"  # close the connection; nothing was forwarded
    DROP_AFTER = "drop_after"  # the Receiver answered; close the connection all the same
    STATUS = "status"  # answer that status, before forwarding or after
    NO_IDS = "no_ids"  # answer without the two echoed ids
    TOKEN_OUTAGE = "token_outage"  # the token endpoint is down  # noqa: S105
    TOKEN_UNAUTHORISED = "token_unauthorised"  # it knows no such API key  # noqa: S105
    TOKEN_RATE_LIMITED = "token_rate_limited"  # it asks to wait `seconds`  # noqa: S105
    TOKEN_REFUSED = "token_refused"  # it refuses with the words of `refusal`  # noqa: S105


class OutageMode(StrEnum):
    """How the token endpoint is down."""

    HTML = "html"  # something in front of it answers 503 with a page
    DROP = "drop"  # the connection is closed without an answer


Word = TypeVar("Word", FaultKind, OutageMode)


class FaultProblem(ValueError):
    """A fault was described wrongly; the text names what, and the cure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One armed fault."""

    fault_id: int
    kind: FaultKind
    count: int | None = None  # for the next so many calls; None: for ever
    probability: float = 1.0
    seconds: float = 0.0  # of a delay, or until the token endpoint may be asked again
    status: int = 503
    after: bool = False  # of a status: whether the Receiver sees the message first
    target: str | None = None  # value of the service; None: every one
    method: str | None = None  # POST: messages only, GET: reads; None: both
    mode: OutageMode = OutageMode.HTML
    refusal: str = "server-error"  # a name of token_refusals.REFUSALS

    def document(self) -> dict[str, object]:
        """Return what GET /faults says: what this kind uses, and nothing else."""
        used = _COMMON | _USED[self.kind]
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
_USED: Mapping[FaultKind, frozenset[str]] = {
    FaultKind.DELAY: frozenset({"target", "method", "seconds"}),
    FaultKind.DROP_BEFORE: frozenset({"target", "method"}),
    FaultKind.DROP_AFTER: frozenset({"target", "method"}),
    FaultKind.STATUS: frozenset({"target", "method", "status", "after"}),
    FaultKind.NO_IDS: frozenset({"target", "method"}),
    FaultKind.TOKEN_OUTAGE: frozenset({"mode"}),
    FaultKind.TOKEN_UNAUTHORISED: frozenset(),
    FaultKind.TOKEN_RATE_LIMITED: frozenset({"seconds"}),
    FaultKind.TOKEN_REFUSED: frozenset({"refusal"}),
}
_NEEDED: Mapping[FaultKind, str] = {
    FaultKind.DELAY: "seconds",
    FaultKind.STATUS: "status",
    FaultKind.TOKEN_REFUSED: "refusal",
}
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
TOKEN_FAULTS = tuple(kind for kind in FaultKind if kind.startswith("token_"))


class Faults:
    """The armed faults."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._armed: dict[int, Fault] = {}
        self._next = 1

    def arm(self, described: object) -> Fault:
        """Arm the fault that a JSON object describes, or raise FaultProblem."""
        fault = self._read(described)
        self._armed[fault.fault_id] = fault
        self._next += 1
        return fault

    def armed(self) -> Sequence[Fault]:
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
    ) -> Fault | None:
        """Return the fault of these kinds that this call meets, and count it."""
        for fault in self.armed():
            if fault.kind not in kinds or fault.target not in {None, target}:
                continue
            if fault.method not in {None, method}:
                continue
            if fault.kind is FaultKind.STATUS and fault.after != after:
                continue
            if self._rng.random() < fault.probability:
                self._use(fault)
                return fault
        return None

    def _use(self, fault: Fault) -> None:
        if fault.count is None:
            return
        if fault.count <= 1:
            self.clear(fault.fault_id)
        else:
            self._armed[fault.fault_id] = replace(fault, count=fault.count - 1)

    def _read(self, described: object) -> Fault:
        if not isinstance(described, dict):
            raise FaultProblem("a fault is a JSON object")
        for name, value in described.items():
            if name not in _TYPES:
                raise FaultProblem(f"unknown member {name!a}; known are {', '.join(_TYPES)}")
            wrong = not isinstance(value, _TYPES[name])
            if wrong or (isinstance(value, bool) and bool not in _TYPES[name]):
                raise FaultProblem(f"{name} has the wrong type")
        kind = _one_of(FaultKind, "kind", described.get("kind"))
        unused = sorted(described.keys() - _COMMON - _USED[kind])
        if unused:
            raise FaultProblem(f"kind {kind} does not use {', '.join(unused)}")
        if kind in _NEEDED and _NEEDED[kind] not in described:
            raise FaultProblem(f"kind {kind} needs {_NEEDED[kind]}")
        mode = _one_of(OutageMode, "mode", described.get("mode", OutageMode.HTML))
        fault = Fault(fault_id=self._next, **{**described, "kind": kind, "mode": mode})
        _check(fault)
        return fault


def _one_of(words: type[Word], name: str, found: object) -> Word:
    if not isinstance(found, str) or found not in list(words):
        raise FaultProblem(f"{name} must be one of {', '.join(words)}")
    return words(found)


def _check(fault: Fault) -> None:
    if not 0 <= fault.probability <= 1:
        raise FaultProblem("probability is between 0 and 1")
    if fault.count is not None and fault.count < 1:
        raise FaultProblem("count is 1 or more")
    if not 0 <= fault.seconds <= 600:  # noqa: PLR2004 - ten minutes
        raise FaultProblem("seconds is between 0 and 600")
    if fault.method not in {None, *_METHODS}:
        raise FaultProblem(f"method must be one of {', '.join(_METHODS)}")
    if fault.status not in STATUSES:
        raise FaultProblem(f"status must be one of {', '.join(map(str, sorted(STATUSES)))}")
    if fault.refusal not in REFUSALS:
        raise FaultProblem(f"refusal must be one of {', '.join(REFUSALS)}")
