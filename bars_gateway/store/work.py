"""
One public method of the store is one transaction: what it does is a function over a connection.

    @reads   def queue(self, connection, …)     on a snapshot of its own, and changes nothing
    @writes  def collect(self, connection, …)   in the writer's next transaction, all or nothing

Whoever calls such a method leaves the connection out and awaits the rest. It returns after its
changes are on disk, and not before; a caller can neither begin a transaction nor forget to end
one. A caller that is cancelled stops waiting: its change is made or not made, never half.

    @promises                  above it: refused beforehand where there is too little room
    @wakes(WakeUps.…)          above it: somebody is woken afterwards

What depends on more is an async method as any other, around a private one that is decorated. Where
the function is there already, because others run it in transactions of theirs, it hands that to the
database itself: what takes a submission, a claim's settlement, the ways in which a question is put.

By wake-ups the flows learn that there is work, without polling and without calling each other:

    commit ─► wake ─► whoever waits looks into the store

It is sent after a commit, and waited for after looking. One that nobody waited for is
remembered, so that work which arrives between looking and waiting is not
left until the next timeout.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, update_wrapper
from typing import Any, Concatenate, ParamSpec, TypeVar

from bars_gateway import disk
from bars_gateway.errors import StorageFull, StoreUnavailable
from bars_gateway.model.messages import Arrival, Payload, Submission
from bars_gateway.standard.formats import LONG
from bars_gateway.standard.nhs_numbers import numbers_in
from bars_gateway.store.connection import Connection, Database, Measures, Unmeasured
from bars_gateway.store.nodes import Nodes, Tell

_ALL_NOTICES = "every notice"
_LOOKED_AT_EACH = 0.25  # seconds, how much room there is on the disk


class WakeUp:
    """Wakes one waiter each time, or all of them; on the other nodes, too."""

    def __init__(
        self, name: str = "", tell: Tell | None = None, *, wakes_all: bool = False
    ) -> None:
        """*tell* tells the other nodes of *name*; None: there are none."""
        self._name, self._tell = name, tell
        self._wakes_all = wakes_all
        self._waiting: list[asyncio.Future[None]] = []
        self._unheard = False

    def wake(self) -> None:
        """Wake whoever waits; with nobody there, the next one does not wait."""
        if self._tell is not None:
            self._tell(self._name)
        self.wake_here()

    def wake_here(self) -> None:
        """Wake whoever waits on this node."""
        self._waiting = [future for future in self._waiting if not future.done()]
        if not self._waiting:
            self._unheard = True
        for future in self._waiting[: None if self._wakes_all else 1]:
            future.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Return at the next wake-up, or after *seconds*."""
        if self._unheard:
            self._unheard = False
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await future
        except TimeoutError:
            return
        finally:
            if future in self._waiting:
                self._waiting.remove(future)


class _ByName(dict[str, WakeUp]):
    """Wake-ups of one kind, each made when it is asked for."""

    def __init__(self, kind: str, tell: Tell | None, *, wakes_all: bool = False) -> None:
        super().__init__()
        self._made = partial(WakeUp, tell=tell, wakes_all=wakes_all)
        self._kind = kind

    def __missing__(self, name: str) -> WakeUp:
        made = self[name] = self._made(f"{self._kind} {name}")
        return made


class WakeUps:
    """The wake-ups of one store: for senders, and for each provider's EPR."""

    def __init__(self, nodes: Nodes) -> None:
        """Those of *nodes* tell each other of a wake-up by its name."""
        self._tell = tell = nodes.tell
        nodes.hear(self.heard)
        self.outbound = WakeUp("outbound", tell)  # a message may have become due
        self.cancellations = WakeUp("cancellations", tell)  # one may be read for
        self.reconciliations = WakeUp("reconciliations", tell)  # ids may be looked for
        self.notices = _ByName("notices", tell, wakes_all=True)  # by provider
        self.purger = WakeUp("purger", tell)  # somebody has begun a purge
        self.couriers = _ByName("couriers", tell)  # something is to be told
        self.askers = _ByName("askers", tell, wakes_all=True)  # a provider's EPR may be asked
        self.answers: dict[int, WakeUp] = {}  # of questions whose Sender waits at this node

    def wake_outbound(self) -> None:
        """Wake a sender."""
        self.outbound.wake()

    def wake_everybody(self) -> None:
        """Wake a sender, and whoever waits for a notice."""
        self.outbound.wake()
        self.wake_all_notices()

    def wake_couriers(self) -> None:
        """Wake whoever tells people of alerts."""
        for each in self.couriers.values():
            each.wake()

    def wake_all_notices(self) -> None:
        """Wake whoever waits for a notice of any provider."""
        if self._tell is not None:
            self._tell(_ALL_NOTICES)
        for each in self.notices.values():
            each.wake_here()

    def wake_answer(self, question_id: int) -> None:
        """Wake whoever waits for the answer to that question, at whichever node."""
        waiting = self.answers.get(question_id)
        if waiting is not None:
            waiting.wake_here()
        elif self._tell is not None:
            self._tell(f"answers {question_id}")

    def heard(self, names: Sequence[str] | None) -> None:
        """Wake whoever waits here for what another node tells of; None: everybody."""
        if names is None:
            found = [*self._single.values(), *self._of_kinds(), *self.answers.values()]
        else:
            found = [each for name in names for each in self._named(name)]
        for each in found:
            each.wake_here()

    def _named(self, name: str) -> Iterable[WakeUp]:
        """Return those of a *name*; what a later release tells of, nobody waits for here."""
        kind, _, which = name.partition(" ")
        if name == _ALL_NOTICES:
            return self.notices.values()
        if kind in self._kinds:
            return [self._kinds[kind][which]]
        if kind == "answers":
            return [each for number, each in self.answers.items() if which == str(number)]
        return [self._single[name]] if name in self._single else []

    @property
    def _single(self) -> Mapping[str, WakeUp]:
        return {
            "outbound": self.outbound,
            "cancellations": self.cancellations,
            "reconciliations": self.reconciliations,
            "purger": self.purger,
        }

    @property
    def _kinds(self) -> Mapping[str, dict[str, WakeUp]]:
        return {"notices": self.notices, "couriers": self.couriers, "askers": self.askers}

    def _of_kinds(self) -> Iterator[WakeUp]:
        for of in self._kinds.values():
            yield from of.values()


P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", Arrival, Submission)


@dataclass(slots=True, kw_only=True)
class Shared:
    """What the nouns of one open store have in common."""

    database: Database
    wake_ups: WakeUps
    minimum_free_bytes: int
    measures: Measures = field(default_factory=Unmeasured)
    _room_until: float = field(default=0.0, init=False)  # on the monotonic clock

    def refuse_when_full(self) -> None:
        """
        Raise StoreUnavailable where there is too little room to promise anything (D-free-space).

        Where there was enough a moment ago there is: the reserve is for more than a moment's
        messages. What was refused lately may pass now.
        """
        now = time.monotonic()
        if now < self._room_until:
            return
        full = self.too_little_room()
        if full is not None:
            raise full
        self._room_until = now + _LOOKED_AT_EACH

    def too_little_room(self) -> StoreUnavailable | None:
        """Return how much room there is, and how much is asked for; None: there is enough."""
        try:
            room = self.database.room()
        except StoreUnavailable as error:
            return error
        if room.free_bytes is None or room.free_bytes >= self.minimum_free_bytes:
            return None
        return StorageFull(
            f"{disk.room(room.free_bytes)} are free beside {room.name}, and there have to be"
            f" {disk.room(self.minimum_free_bytes)} (store.minimum_free_bytes)"
        )


class Noun:
    """What can be done with one thing that the store keeps. Each method is one transaction."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._database = shared.database
        self._wake_ups = shared.wake_ups

    async def _searched(self, taken: M) -> M:
        """
        Return *taken*, looked through for the NHS numbers by which it is to be found.

        So no other write waits for that, as within the transaction, nor the loop for a long one.
        """
        if not self._database.vault.has_ring:
            return taken
        taken = replace(taken, request=await _with_numbers(taken.request))
        if isinstance(taken, Arrival):
            taken = replace(taken, answer=await _with_numbers(taken.answer))
        return taken


async def _with_numbers(payload: Payload) -> Payload:
    look = partial(numbers_in, payload.body)
    found = look() if len(payload.body) < LONG else await asyncio.to_thread(look)
    return replace(payload, numbers=frozenset(found))


N = TypeVar("N", bound=Noun)
Work = Callable[Concatenate[N, Connection, P], T]
Method = Callable[Concatenate[N, P], Coroutine[Any, Any, T]]


def reads(work: Work[N, P, T]) -> Method[N, P, T]:
    """Let *work* be a method that reads on a snapshot of its own; it raises StoreError."""

    async def method(noun: N, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await noun._database.read(  # noqa: SLF001 # the other half of Noun
            lambda connection: work(noun, connection, *args, **kwargs)
        )

    return _named_as(work, method)


def writes(work: Work[N, P, T]) -> Method[N, P, T]:
    """Let *work* be a method that returns once what it wrote is on disk; it raises StoreError."""

    async def method(noun: N, /, *args: P.args, **kwargs: P.kwargs) -> T:
        def transaction(connection: Connection) -> T:
            return work(noun, connection, *args, **kwargs)

        transaction.__name__ = work.__name__
        return await noun._database.write(transaction)  # noqa: SLF001 # the other half of Noun

    return _named_as(work, method)


def promises(method: Method[N, P, T]) -> Method[N, P, T]:
    """Let *method* raise StoreUnavailable where there is too little room to promise anything."""

    async def guarded(noun: N, /, *args: P.args, **kwargs: P.kwargs) -> T:
        noun._shared.refuse_when_full()  # noqa: SLF001 # the other half of Noun
        return await method(noun, *args, **kwargs)

    return _named_as(method, guarded)


def wakes(
    wake: Callable[[WakeUps], None], *, if_any: bool = False
) -> Callable[[Method[N, P, T]], Method[N, P, T]]:
    """Let a method wake somebody after its commit; *if_any*: where it returns a count, and some."""

    def waking(method: Method[N, P, T]) -> Method[N, P, T]:
        async def woken(noun: N, /, *args: P.args, **kwargs: P.kwargs) -> T:
            done = await method(noun, *args, **kwargs)
            if done or not if_any:
                wake(noun._wake_ups)  # noqa: SLF001 # the other half of Noun
            return done

        return _named_as(method, woken)

    return waking


def _named_as(work: Callable[..., Any], method: Method[N, P, T]) -> Method[N, P, T]:
    update_wrapper(method, work)
    del method.__wrapped__  # type: ignore[attr-defined] # its signature has the connection
    return method
