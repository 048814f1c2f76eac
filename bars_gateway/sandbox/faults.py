"""
Faults on demand, and the list of calls: what the national side does to us, and did.

A fault is armed for the next so many calls, or with a probability, for one target or
for all. The first armed fault that fits a call and a stage is used, and counted.
"""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

KEPT_CALLS = 10_000
STATUSES = frozenset({401, 429, 500, 502, 503, 504})


class FaultKind(StrEnum):
    """What goes wrong."""

    DELAY = "delay"  # wait before forwarding
    DROP_BEFORE = "drop_before"  # close the connection; nothing was forwarded
    DROP_AFTER = "drop_after"  # the Receiver answered; close the connection all the same
    STATUS = "status"  # answer that status, before forwarding or after
    NO_IDS = "no_ids"  # answer without the two echoed ids
    TOKEN_OUTAGE = "token_outage"  # the token endpoint is down  # noqa: S105


class FaultProblem(ValueError):
    """A fault was described wrongly; the text names what, and the cure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One armed fault."""

    fault_id: int
    kind: FaultKind
    count: int | None = None  # for the next so many calls; None: for ever
    probability: float = 1.0
    seconds: float = 0.0  # of a delay
    status: int = 503
    after: bool = False  # of a status: whether the Receiver sees the message first
    target: str | None = None  # value of the service; None: every one


_TYPES: dict[str, tuple[type, ...]] = {
    "kind": (str,),
    "count": (int,),
    "probability": (int, float),
    "seconds": (int, float),
    "status": (int,),
    "after": (bool,),
    "target": (str,),
}


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
        self, *kinds: FaultKind, target: str | None = None, after: bool = False
    ) -> Fault | None:
        """Return the fault of these kinds that this call meets, and count it."""
        for fault in self.armed():
            if fault.kind not in kinds or fault.target not in {None, target}:
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
        kinds = ", ".join(FaultKind)
        if described.get("kind") not in list(FaultKind):
            raise FaultProblem(f"kind must be one of {kinds}")
        fault = Fault(fault_id=self._next, **{**described, "kind": FaultKind(described["kind"])})
        _check(fault)
        return fault


def _check(fault: Fault) -> None:
    if not 0 <= fault.probability <= 1:
        raise FaultProblem("probability is between 0 and 1")
    if fault.count is not None and fault.count < 1:
        raise FaultProblem("count is 1 or more")
    if not 0 <= fault.seconds <= 600:  # noqa: PLR2004 - ten minutes
        raise FaultProblem("seconds is between 0 and 600")
    if fault.status not in STATUSES:
        raise FaultProblem(f"status must be one of {', '.join(map(str, sorted(STATUSES)))}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that the national side answered: never with a body."""

    number: int
    at: str  # UTC
    method: str
    path: str  # below the base, without the query
    target: str | None  # value of the service; None for the token endpoint
    request_id: str | None
    correlation_id: str | None
    receiver_status: int | None  # None: it was not forwarded, or nothing came back
    answered_status: int | None  # None: the connection was closed instead
    fault: str | None


class Calls:
    """The calls that were answered, newest last."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=KEPT_CALLS)
        self._more = asyncio.Event()
        self._number = 0

    def next_number(self) -> int:
        """Return the number of the next call."""
        self._number += 1
        return self._number

    def add(self, call: Call) -> None:
        """Remember a call and wake who waits for one."""
        self._calls.append(call)
        self._more.set()
        self._more = asyncio.Event()

    async def after(self, number: int, seconds: float) -> Sequence[dict[str, object]]:
        """Return the calls after *number*; wait up to *seconds* until there is one."""
        more = self._more
        found = self._listed(number)
        if not found and seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await more.wait()
            except TimeoutError:
                return []
            found = self._listed(number)
        return found

    def _listed(self, number: int) -> list[dict[str, object]]:
        return [asdict(call) for call in self._calls if call.number > number]
