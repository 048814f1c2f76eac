"""
Questions on SQLite: the works of `question_works`, and the bells around them.

    ask ──commit──► bell of the provider ──► the EPR's door
    decide ─commit─► bell of the question ──► who waits for the answer

Bells are rung after the commit. Each proxy that waits has a bell of its own, for as long
as it waits.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

from bars_gateway.standard.answers import Minted
from bars_gateway.store import decision_works, question_works, turned_away_works
from bars_gateway.store.aside_works import Spoilt
from bars_gateway.store.asides import Aside
from bars_gateway.store.bells import Bell
from bars_gateway.store.database import Database
from bars_gateway.store.questions import (
    ATTENDED,
    Answered,
    Asked,
    Decided,
    Decision,
    Enquiry,
    Question,
    Terms,
    Unattended,
)
from bars_gateway.store.rounds import Rounds
from bars_gateway.store.sqlite_asides import log_set_aside
from bars_gateway.store.values import Arrival, Met, Payload

T = TypeVar("T")

_LOOK_AGAIN = 5.0  # seconds; a net below the bell


class SqliteQuestions:
    """The `Questions` of one node over one open database."""

    def __init__(
        self,
        database: Database,
        rounds: Rounds,
        *,
        refuse_when_full: Callable[[], None],
        ring_notices: Callable[[str], None],
    ) -> None:
        self._database = database
        self._rounds = rounds
        self._refuse_when_full = refuse_when_full
        self._ring_notices = ring_notices
        self._attended: dict[str, datetime] = {}
        self._spoilt: set[int] = set()  # questions that cannot be read
        self._askers: dict[str, Bell] = {}  # by provider
        self._waiting: dict[int, Bell] = {}  # by question

    async def ask_about(
        self, arrival: Arrival, minted: Minted | None, terms: Terms, now: datetime
    ) -> Met | Asked | Unattended:
        """Put the question whether to take that message, or say what the message met."""
        work = partial(question_works.ask_about, arrival=arrival, minted=minted, terms=terms)
        return await self._put(work, arrival.provider, now)

    async def ask_about_response(
        self, arrival: Arrival, not_found: Payload, terms: Terms, now: datetime
    ) -> Met | Asked | Unattended:
        """Put the question whether to take that response; quarantined, it gets *not_found*."""
        work = partial(
            question_works.ask_about_response, arrival=arrival, not_found=not_found, terms=terms
        )
        return await self._put(work, arrival.provider, now)

    async def ask(
        self, enquiry: Enquiry, terms: Terms, now: datetime
    ) -> Met | Asked | Answered | Unattended:
        """Put the question, or say what the request met."""
        work = partial(question_works.ask, enquiry=enquiry, terms=terms)
        return await self._put(work, enquiry.provider, now)

    async def _put(self, work: Callable[..., T], provider: str, now: datetime) -> T:
        self._refuse_when_full()
        attended = self._is_attended(provider, now)
        met = await self._database.write(partial(work, now=now, attended=attended))
        if isinstance(met, Asked):
            self._asker(provider).ring()
        if isinstance(met, Unattended):
            self._ring_notices(provider)
        return met

    async def turn_away(self, arrival: Arrival, now: datetime) -> None:
        """Tell EPR and operator of a cancellation that is refused because nobody is asked here."""
        self._refuse_when_full()
        await self._database.write(partial(turned_away_works.turn_away, arrival=arrival, now=now))
        self._ring_notices(arrival.provider)

    async def answer_to(self, question_id: int) -> Answered:
        """Return the answer once it is on disk; cancel it when nobody waits any more."""
        bell = self._waiting[question_id] = Bell()
        look = partial(question_works.decision, question_id=question_id)
        try:
            while (found := await self._database.read(look)) is None:
                await bell.wait(_LOOK_AGAIN)
            return found
        finally:
            del self._waiting[question_id]

    def attend(self, provider: str, now: datetime) -> None:
        """Note that *provider*'s EPR has just asked for questions."""
        self._attended[provider] = now

    def _is_attended(self, provider: str, now: datetime) -> bool:
        last = self._attended.get(provider)
        return last is not None and now - last < ATTENDED

    async def open_questions(self, provider: str, *, after: int, limit: int) -> Sequence[Question]:
        """Return what waits for *provider*'s EPR beyond the number *after*, oldest first."""
        found = await self._database.read(
            partial(question_works.open_questions, provider=provider, after=after, limit=limit)
        )
        for each in found:
            if isinstance(each, Spoilt) and each.number not in self._spoilt:
                self._spoilt.add(each.number)  # it is told once, and as one that nobody answers
                log_set_aside(Aside.ANSWER, each.error, provider=provider, question_id=each.number)
        return [each for each in found if not isinstance(each, Spoilt)]

    async def question(self, provider: str, question_id: int) -> Question | None:
        """Return that question, or None if *provider* has no such (any more)."""
        return await self._database.read(
            partial(question_works.question, provider=provider, question_id=question_id)
        )

    async def decide(
        self, provider: str, question_id: int, decision: Decision, now: datetime
    ) -> Decided | None:
        """Do what the EPR has decided, with ledger, message, workflow and notice."""
        decided = await self._database.write(
            partial(
                decision_works.decide,
                provider=provider,
                question_id=question_id,
                decision=decision,
                now=now,
            )
        )
        if question_id in self._waiting:
            self._waiting[question_id].ring()
        self._ring_notices(provider)
        return decided

    async def tell_unanswered(self, now: datetime) -> int:
        """Raise an alarm for each question that nobody answers, and forget old reads."""
        told = await self._rounds.go(decision_works.tell_unanswered, Aside.ANSWER, now)
        await self._database.write(partial(decision_works.forget_reads, now=now))
        return told

    async def question_work(self, provider: str, seconds: float) -> None:
        """Return when *provider* may have a new question, after *seconds* at the latest."""
        await self._asker(provider).wait(seconds)

    def _asker(self, provider: str) -> Bell:
        return self._askers.setdefault(provider, Bell(wakes_all=True))
