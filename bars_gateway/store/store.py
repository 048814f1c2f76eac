"""
The store on SQLite: each method of the port is one work, handed to the writer or a reader.

What a method means is said in `port.py`; how it is done, in the modules of works.
This one adds what surrounds a work: the free-space guard before anything is
promised, and the bells after the commit.
"""

import os
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import partial

from bars_gateway.errors import StorageFull
from bars_gateway.standard.verdict import Answer
from bars_gateway.standard.workflow import Role
from bars_gateway.store import (
    inbound_works,
    outbound_works,
    readings,
    response_works,
    submission_works,
)
from bars_gateway.store.aside_works import Spoilt
from bars_gateway.store.asides import Aside
from bars_gateway.store.bells import Bell
from bars_gateway.store.database import Database
from bars_gateway.store.port import (
    Accepted,
    Arrival,
    Attempt,
    Change,
    Claim,
    Fate,
    MessageHistory,
    MessageRow,
    Notice,
    Overview,
    Part,
    Payload,
    Refusal,
    Settlement,
    Submission,
    Taken,
)
from bars_gateway.store.rounds import Rounds, Step
from bars_gateway.store.rows import text
from bars_gateway.store.sqlite_alarms import SqliteAlarms
from bars_gateway.store.sqlite_asides import SqliteAsides, log_set_aside
from bars_gateway.store.sqlite_breaks import SqliteBreaks
from bars_gateway.store.sqlite_calls import SqliteCalls
from bars_gateway.store.sqlite_cancellations import SqliteCancellations
from bars_gateway.store.sqlite_confirmations import SqliteConfirmations
from bars_gateway.store.sqlite_conversations import SqliteConversations
from bars_gateway.store.sqlite_interventions import SqliteInterventions
from bars_gateway.store.sqlite_quarantine import SqliteQuarantines
from bars_gateway.store.sqlite_questions import SqliteQuestions
from bars_gateway.store.sqlite_reconciliations import SqliteReconciliations
from bars_gateway.store.sqlite_soundness import SqliteSoundness
from bars_gateway.store.sqlite_unread import SqliteUnread
from bars_gateway.store.statements import collect


class Store:
    """The `Store` of one node over one open database."""

    def __init__(
        self,
        database: Database,
        *,
        node: str,
        lease: timedelta = timedelta(seconds=90),
        per_receiver: int = 4,
        minimum_free_bytes: int = 0,
    ) -> None:
        self._database = database
        self._node = node
        self._lease = lease
        self._per_receiver = per_receiver
        self._minimum_free_bytes = minimum_free_bytes
        self._outbound = Bell()
        self._notices: dict[str, Bell] = {}
        self.alarms = SqliteAlarms(database)
        self.asides = SqliteAsides(database, ring=self._ring_everybody)
        self.breaks = SqliteBreaks(database)
        self.calls, self.unread = SqliteCalls(database), SqliteUnread(database)
        self._rounds = rounds = Rounds(database, self.asides)
        self._own = partial(outbound_works.release_own, node=node)
        self.cancellations = SqliteCancellations(
            database, rounds, asides=self.asides, ring=self._ring_everybody
        )
        self.interventions = SqliteInterventions(
            database, refuse_when_full=self._refuse_when_full, ring=self._ring_everybody
        )
        self.confirmations = SqliteConfirmations(database)
        self.quarantine = SqliteQuarantines(database, ring=self._ring_everybody)
        self.reconciliations = SqliteReconciliations(database, ring_notices=self._ring_all)
        self.soundness = SqliteSoundness(database, ring=self._ring_everybody)
        self.conversations = SqliteConversations(database, rounds, ring_notices=self._ring_all)
        self.questions = SqliteQuestions(
            database,
            rounds,
            refuse_when_full=self._refuse_when_full,
            ring_notices=lambda provider: self._bell(provider).ring(),
        )

    async def submit(self, submission: Submission, now: datetime) -> Accepted:
        """Queue the message, or return the receipt that the same bytes were given before."""
        self._refuse_when_full()
        accepted = await self._database.write(
            partial(submission_works.submit, submission=submission, now=now)
        )
        self._outbound.ring()
        self.cancellations.ring()
        return accepted

    async def submitted(self, provider: str, fingerprint: str) -> Accepted | None:
        """Return the receipt that these bytes were given, or None."""
        return await self._database.read(
            lambda connection: submission_works.submitted(connection, provider, fingerprint)
        )

    async def correlation_of(
        self,
        provider: str,
        *keys: str,
        role: Role | None = None,
        counterparty: str | None = None,
        change: Change | None = None,
    ) -> str | None:
        """Return the X-Correlation-Id of the workflow that *keys*, or the *change*, belong to."""
        return await self._database.read(
            lambda connection: submission_works.conversation_of(
                connection, provider, *keys, role=role, counterparty=counterparty, change=change
            )
        )

    async def claim_next(
        self, now: datetime, providers: Collection[str], not_for: Collection[str] = ()
    ) -> Claim | None:
        """Take a message of one of *providers* for us alone, for none of *not_for*."""
        claimant, most = (self._node, now + self._lease), self._per_receiver
        work = partial(outbound_works.claim_next, providers=providers, not_for=not_for)
        while True:
            found = await self._database.write(lambda c: work(c, now, claimant, most))
            if not isinstance(found, Spoilt):
                return found
            log_set_aside(Aside.MESSAGE, found.error, message_id=found.number)
            self._ring_everybody()  # it is held, and its EPR is told

    async def settle(
        self, claim: Claim, answer: Answer, *, attempt: Attempt, settlement: Settlement
    ) -> None:
        """Record the attempt and what it led to; raise StaleState if the claim has lapsed."""
        await self._database.write(
            lambda c: outbound_works.settle(c, claim, answer, attempt, settlement, self._node)
        )
        self._outbound.ring()
        self._bell(claim.provider).ring()

    async def put_back(self, claim: Claim, retry_at: datetime) -> None:
        """Undo the claim: no POST began, so it was no attempt."""
        await self._database.write(
            lambda connection: outbound_works.put_back(connection, claim, retry_at, self._node)
        )
        self._outbound.ring()

    async def put_off(
        self,
        until: datetime,
        *,
        provider: str | None = None,
        receiver: str | None = None,
        last: int | None = None,
    ) -> int:
        """
        Try nothing of that provider, or for that Receiver, before *until*; return how many.

        *last*: the message that is to go after the others.
        """
        values = {"provider": provider, "receiver": receiver, "last": last}
        return await self._pace("put_off", until=text(until), **values)

    async def hasten(
        self, now: datetime, *, provider: str | None = None, receiver: str | None = None
    ) -> int:
        """Make due what of that provider, or for that Receiver, waits; return how many."""
        return await self._pace("hasten", now=text(now), provider=provider, receiver=receiver)

    async def _pace(self, query: str, **values: str | int | None) -> int:
        changed = await self._database.write(lambda connection: connection.run(query, **values))
        if changed:
            self._outbound.ring()
        return changed

    async def release_own(self, now: datetime) -> int:
        """Queue again what this node was sending when it died; return how many."""
        return await self._release(self._own, now)

    async def release_lapsed(self, now: datetime) -> int:
        """Queue again what a lease ran out on; return how many."""
        return await self._release(outbound_works.release_lapsed, now)

    async def _release(self, step: Step, now: datetime) -> int:
        released = await self._rounds.go(step, Aside.MESSAGE, now)
        for _ in range(released):
            self._outbound.ring()
        return released

    async def reschedule(self, step: timedelta) -> int:
        """Move by *step* all that is scheduled: the clock was set; return for how many messages."""
        return self._rung(await self._database.write(partial(outbound_works.reschedule, step=step)))

    async def recall(self, now: datetime, longest: timedelta) -> int:
        """Make due what is scheduled further ahead than *longest*; return how many messages."""
        work = partial(outbound_works.recall, now=now, beyond=now + longest)
        return self._rung(await self._database.write(work))

    async def give_up(self, now: datetime) -> int:
        """Settle what is queued and past its time as unconfirmed or not_sent; return how many."""
        return self._rung(await self._rounds.go(outbound_works.give_up, Aside.NOTICE, now))

    async def tell_delays(self, now: datetime) -> int:
        """Write a delayed notice for each open message that is late; return how many."""
        return self._rung(await self._rounds.go(outbound_works.tell_delays, Aside.NOTICE, now))

    def _rung(self, changed: int) -> int:
        if changed:
            self._ring_everybody()
        return changed

    def _ring_everybody(self) -> None:
        self._outbound.ring()
        self._ring_all()

    def _ring_all(self) -> None:
        for bell in self._notices.values():
            bell.ring()

    async def next_due(self, now: datetime, providers: Collection[str]) -> datetime | None:
        """Return when, after *now*, the next queued message of *providers* is due, or None."""
        return await self._database.read(
            lambda connection: readings.next_due(connection, now, providers)
        )

    async def receive(self, arrival: Arrival, now: datetime) -> Fate:
        """Take the message with its workflow, answer and notice, or say what it met."""
        self._refuse_when_full()
        fate = await self._database.write(partial(inbound_works.receive, arrival=arrival, now=now))
        if isinstance(fate, Taken):
            self._bell(arrival.provider).ring()
        return fate

    async def respond(self, arrival: Arrival, not_found: Payload, now: datetime) -> Fate:
        """Take a response into its workflow, or quarantine it; *not_found* is then its answer."""
        self._refuse_when_full()
        fate = await self._database.write(
            lambda connection: response_works.respond(connection, arrival, not_found, now)
        )
        if isinstance(fate, Taken):
            self._outbound.ring()  # what it proves may let the next of its conversation go
            self._bell(arrival.provider).ring()
        return fate

    async def refuse(self, refusal: Refusal, now: datetime) -> Fate:
        """Remember the refusal, so that a retry gets the same, or say what it met."""
        self._refuse_when_full()
        return await self._database.write(partial(inbound_works.refuse, refusal=refusal, now=now))

    async def note(
        self, kind: str, now: datetime, *, provider: str | None, request_id: str | None
    ) -> None:
        """Add a line to the audit trail."""
        values = {"provider": provider, "kind": kind, "request_id": request_id, "detail": "{}"}
        await self._database.write(
            lambda connection: connection.run("add_event", now=text(now), **values)
        )

    async def pending_notices(self, provider: str, limit: int) -> Sequence[Notice]:
        """Return what *provider*'s EPR has not collected yet, oldest first."""
        look = partial(readings.pending_notices, provider=provider, limit=limit)
        while True:
            found = await self._database.read(look)
            spoilt = [each for each in found if isinstance(each, Spoilt)]
            notices = [each for each in found if not isinstance(each, Spoilt)]
            for each in spoilt:  # they are not found again
                await self.asides.keep_back(provider, each.number, each.error)
            if notices or not spoilt:
                return notices

    async def notice(self, provider: str, notice_id: int) -> Notice | None:
        """Return that notice, collected or not, or None if *provider* has no such."""
        return await self._database.read(
            partial(readings.notice, provider=provider, notice_id=notice_id)
        )

    async def collect(self, provider: str, notice_ids: Sequence[int], now: datetime) -> int:
        """Mark notices as collected; return how many were not before."""
        return await self._database.write(
            lambda connection: collect(connection, provider, notice_ids, now)
        )

    async def payload(self, message_id: int, part: Part) -> Payload | None:
        """Return those bytes, or None if there are none (any more)."""
        return await self._database.read(
            partial(readings.payload, message_id=message_id, part=part)
        )

    async def queue(self, provider: str | None, limit: int) -> Sequence[MessageRow]:
        """Return outbound messages that are not settled, in the order they were taken."""
        return await self._database.read(partial(readings.queue, provider=provider, limit=limit))

    async def history(self, provider: str | None, request_id: str) -> Sequence[MessageHistory]:
        """Return every message with that X-Request-Id (of *provider*), with all that happened."""
        return await self._database.read(
            partial(readings.history, provider=provider, request_id=request_id)
        )

    def no_room(self) -> str | None:
        """Return why nothing can be stored at this moment (D-free-space); None: there is room."""
        return self._too_little_room() or self._database.unwritten

    def _too_little_room(self) -> str | None:
        disk = os.statvfs(self._database.path.parent)
        free = disk.f_bavail * disk.f_frsize
        if free >= self._minimum_free_bytes:
            return None
        return (
            f"{free} bytes are free beside {self._database.path.name};"
            f" store.minimum_free_bytes asks for {self._minimum_free_bytes}"
        )

    async def prove_readable(self) -> None:
        """Return where the database answers, at a cost that never grows; else raise StoreError."""
        await self._database.read(lambda connection: connection.one("newest_message"))

    async def overview(self, now: datetime) -> Overview:
        """Return what the status page shows."""
        return await self._database.read(
            partial(readings.overview, path=self._database.path, now=now)
        )

    async def outbound_work(self, seconds: float) -> None:
        """Return when a message may have become due, after *seconds* at the latest."""
        await self._outbound.wait(seconds)

    async def notice_work(self, provider: str, seconds: float) -> None:
        """Return when *provider* may have a new notice, after *seconds* at the latest."""
        await self._bell(provider).wait(seconds)

    def ring_outbound(self) -> None:
        """Wake one sender: there may be more to claim."""
        self._outbound.ring()

    def _bell(self, provider: str) -> Bell:
        return self._notices.setdefault(provider, Bell(wakes_all=True))

    def _refuse_when_full(self) -> None:
        reason = self._too_little_room()  # what was refused lately may pass now
        if reason is not None:
            raise StorageFull(reason)
