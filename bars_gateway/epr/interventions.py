"""
Does what a person asks for: with messages, a quarantined response, a workflow in doubt.

    Order        ─► candidates ─► objection? ─► store, each undone alone ─► Intervention
    Attachment   ─► its bytes are read again ─► objection? ─► store ─► AttachedResponse
    Confirmation ─► objection? ─► store ─► ConfirmedWorkflow

A dry run ends before the store is asked to change anything: it says what would happen.

Many are looked up, and acted on, twenty-five at a time: these share a transaction and a bell, and
no other read or write waits for more. Where the process dies, what was done is done and audited,
and what was not stands where it stood.

A resend is prepared here, from the stored bytes: new ids, and a new Bundle.id where the message is
a new one. It happens only once somebody has confirmed what may come of it. A quarantined response
that is attached to its workflow is judged as when it came: which move it makes, about what, for
whom. Whoever sends it again gets 409 from then on.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from bars_gateway.epr.orders import Attachment, Confirmation, Order
from bars_gateway.frozen import frozen
from bars_gateway.model.interventions import (
    IN_BULK,
    IN_FLIGHT,
    OBJECTIONS,
    PAST_ITS_TIME,
    WRONG_STATE,
    Attached,
    Candidate,
    Done,
    Quarantine,
    Resent,
    Selection,
    Verb,
    may_happen,
)
from bars_gateway.model.messages import Actor, Objection, OutboundState, Part, Payload
from bars_gateway.model.readings import MessageRow
from bars_gateway.standard.bundle import MalformedBundle, read, renewed
from bars_gateway.standard.headers import REQUEST_ID
from bars_gateway.standard.rule import Overrides
from bars_gateway.standard.timing import Limits, Timing, limits
from bars_gateway.standard.workflow import Move, RequestType, State
from bars_gateway.store.conversations import Confirmed
from bars_gateway.store.quarantine import arrival_of
from bars_gateway.store.store import Store

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 500  # messages of one round
GROUP = 25  # of them, looked up together, and changed in one transaction


@frozen(kw_only=True)
class Intervention:
    """What became, or would become, of a verb on one message."""

    verb: Verb
    request_id: str
    message_id: int
    state: str  # of the message, afterwards
    done: bool
    objection: Objection | None
    may_happen: str | None  # of a resend
    resent_as: str | None = None
    also: Sequence[str] = ()


@frozen(kw_only=True)
class Report:
    """What became, or would become, of a verb on everything that a filter found."""

    verb: Verb
    dry_run: bool
    interventions: Sequence[Intervention]
    following: Selection | None  # of the next round; None: this was the last

    @property
    def possible(self) -> int:
        """How many were done, or would be."""
        return sum(each.objection is None for each in self.interventions)

    @property
    def objections(self) -> Mapping[str, int]:
        """How many were not, by the code of the objection."""
        return Counter(each.objection.code for each in self.interventions if each.objection)


class Verbs:
    """Acts on one provider's outbound messages."""

    def __init__(
        self,
        store: Store,
        *,
        provider: str,
        timing: Callable[[str], Timing],
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        at_once: int = MOST_AT_ONCE,
    ) -> None:
        self._store = store
        self._provider = provider
        self._timing = timing
        self._now = now
        self._new_id = new_id
        self._at_once = at_once

    async def act(self, order: Order, request_id: str, via: str) -> Intervention | None:
        """Do it with that message; None if there is none."""
        found = await self._store.interventions.candidate(
            self._provider, request_id, order.verb, self._now()
        )
        return None if found is None else await self._act(order, found, via)

    async def act_on_all(self, order: Order, selection: Selection, via: str) -> Report:
        """
        Do it with each message that fits, oldest first: one round, and where the next begins.

        What comes while the rounds go on is not meant: a copy that a resend makes may be refused
        before they end, and would be resent itself. Nor is what has moved on between the look and
        the act, by itself or because somebody else asks for the same at the same time.
        """
        if selection.up_to is None:
            newest = await self._store.interventions.newest()
            selection = replace(selection, up_to=newest)
        size = min(GROUP, self._at_once)
        done: list[Intervention] = []
        looked, more = 0, True
        while more and looked + size <= self._at_once:
            found = await self._store.interventions.candidates(
                self._provider, selection, order.verb, size + 1, self._now()
            )
            these, more = found[:size], len(found) > size
            looked += len(these)
            done += filter(_was_meant, await self._act_together(order, these, via))
            if more:
                selection = replace(selection, after=these[-1].message.message_id)
        return Report(
            verb=order.verb,
            dry_run=order.dry_run,
            interventions=done,
            following=selection if more else None,
        )

    async def act_on_these(
        self, order: Order, numbers: Sequence[int], states: Collection[OutboundState], via: str
    ) -> Report:
        """Do it with each of these messages, by number, that is in one of the states."""
        found = await self._store.interventions.chosen(
            self._provider, numbers, states, order.verb, self._now()
        )
        done: list[Intervention] = []
        for first in range(0, len(found), GROUP):
            done += await self._act_together(order, found[first : first + GROUP], via)
        return Report(verb=order.verb, dry_run=order.dry_run, interventions=done, following=None)

    async def _act_together(
        self, order: Order, these: Sequence[Candidate], via: str
    ) -> list[Intervention]:
        """Do it with each, in that order; what is asked of the store at once shares a commit."""
        if order.verb is Verb.RESEND:  # each is read before: the copies would lose their order
            return [await self._act(order, each, via) for each in these]
        try:
            async with asyncio.TaskGroup() as group:
                acts = [group.create_task(self._act(order, each, via)) for each in these]
        except BaseExceptionGroup as errors:  # the group is our doing and says nothing to a reader
            raise errors.exceptions[0] from None
        return [each.result() for each in acts]

    async def _act(self, order: Order, candidate: Candidate, via: str) -> Intervention:
        message = candidate.message
        objection = _standing(order, candidate) or _unconfirmed(order, candidate)
        if order.dry_run or objection is not None:
            return _told(order, candidate, objection)
        actor = replace(order.actor(via), after_its_time=order.after_its_time)
        done = await self._do(order.verb, message, actor)
        objection = done if isinstance(done, Objection) else None
        log.info(
            "epr.intervention_ended",
            provider=self._provider,
            operation=order.verb,
            request_id=message.request_id,
            message_id=message.message_id,
            kind=order.role,
            reason=objection.code if objection else "done",
        )
        return _told(order, candidate, done)

    async def _do(self, verb: Verb, message: MessageRow, actor: Actor) -> Done | Objection:
        now, interventions = self._now(), self._store.interventions
        if verb is not Verb.RESEND:
            return await interventions.intervene(verb, message.message_id, actor, self._limits, now)
        payload = await self._store.messages.payload(message.message_id, Part.REQUEST)
        if payload is None:
            return OBJECTIONS["bytes_gone"]
        try:
            resent = await asyncio.to_thread(resent_of, message, payload, self._new_id)
        except MalformedBundle:
            return OBJECTIONS["id_fixed"]
        return await interventions.resend(message.message_id, resent, actor, self._limits, now)

    def _limits(
        self, use_case: str, move: Move, request_type: RequestType, needed_by: datetime | None
    ) -> Limits:
        """Return how long to try from now; whoever has it sent after its time wants it tried."""
        now = self._now()
        still = needed_by if needed_by is not None and needed_by > now else None
        return limits(self._timing(use_case), move, request_type, still, now)


def resent_of(message: MessageRow, payload: Payload, new_id: Callable[[], str]) -> Resent:
    """Return the payload under new ids: a new message gets a new Bundle.id too (D-same-bytes)."""
    request_id, bundle_id, body = new_id(), message.bundle_id, payload.body
    if read(body, payload.media_type).reason == "new":
        bundle_id = new_id()
        body = renewed(body, payload.media_type, bundle_id)
    return Resent(
        request_id=request_id,
        bundle_id=bundle_id,
        fingerprint=hashlib.sha256(body).hexdigest(),
        request=Payload(
            media_type=payload.media_type,
            headers={**payload.headers, REQUEST_ID: request_id},
            body=body,
        ),
    )


def _was_meant(done: Intervention) -> bool:
    """Tell whether it was still what the filter is for: it may have moved on since the look."""
    elsewhere = OutboundState.SENDING not in IN_BULK[done.verb]
    moved_on = {WRONG_STATE, IN_FLIGHT} if elsewhere else {WRONG_STATE}
    return done.objection is None or done.objection.code not in moved_on


def _standing(order: Order, candidate: Candidate) -> Objection | None:
    """Return what stands against it still, once heard what whoever asks knows already."""
    found = candidate.objection
    known = found is not None and found.code == PAST_ITS_TIME and order.after_its_time
    return None if known else found


def _unconfirmed(order: Order, candidate: Candidate) -> Objection | None:
    if order.verb is not Verb.RESEND or order.confirmed or order.dry_run:
        return None
    return Objection(
        code="not_confirmed",
        text=may_happen(candidate),
        cure="if that is wanted, ask again and say that it is confirmed",
    )


def _told(order: Order, candidate: Candidate, what: Done | Objection | None) -> Intervention:
    message = candidate.message
    done = what if isinstance(what, Done) else None
    state = done.state if done else message.state
    resending = order.verb is Verb.RESEND and not (isinstance(what, Objection) or done)
    return Intervention(
        verb=order.verb,
        request_id=message.request_id,
        message_id=message.message_id,
        state=state,
        done=done is not None,
        objection=what if isinstance(what, Objection) else None,
        may_happen=may_happen(candidate) if resending else None,
        resent_as=done.resent_as if done else None,
        also=done.also if done else (),
    )


@frozen(kw_only=True)
class AttachedResponse:
    """What became, or would become, of an attachment."""

    number: int
    workflow_id: int
    state: str | None  # of the workflow, afterwards; None: nothing was done
    objection: Objection | None


class Attaching:
    """Attaches one provider's quarantined responses."""

    def __init__(
        self,
        store: Store,
        *,
        provider: str,
        overrides: Overrides,  # on receipt
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._provider = provider
        self._overrides = overrides
        self._now = now

    async def attach(self, order: Attachment, number: int, via: str) -> AttachedResponse | None:
        """Do it, or say what stands against it; None if there is no such response."""
        found = await self._store.quarantine.quarantined(self._provider, number)
        if found is None:
            return None
        done = await self._attach(order, *found, via)
        against = done if isinstance(done, Objection) else None
        log.info(
            "epr.intervention_ended",
            provider=self._provider,
            operation="attach",
            request_id=found[0].request_id,
            kind=order.role,
            reason=against.code if against else "dry_run" if order.dry_run else "done",
        )
        return AttachedResponse(
            number=number,
            workflow_id=order.workflow_id,
            state=done.state if isinstance(done, Attached) else None,
            objection=against,
        )

    async def _attach(
        self, order: Attachment, kept: Quarantine, payload: Payload, via: str
    ) -> Attached | Objection | None:
        arrival = await asyncio.to_thread(arrival_of, kept, payload, self._overrides)
        if isinstance(arrival, Objection):
            return arrival
        quarantine, workflow_id = self._store.quarantine, order.workflow_id
        if order.dry_run:
            return await quarantine.against(kept.number, workflow_id, arrival)
        actor = order.actor(via)
        return await quarantine.attach(kept.number, workflow_id, arrival, actor, self._now())


@frozen(kw_only=True)
class ConfirmedWorkflow:
    """What became, or would become, of a workflow in doubt."""

    workflow_id: int
    state: State | None  # of the workflow; None: nothing was done, or would be
    objection: Objection | None


class Confirming:
    """Settles one provider's workflows."""

    def __init__(self, store: Store, *, provider: str, now: Callable[[], datetime]) -> None:
        self._store = store
        self._provider = provider
        self._now = now

    async def confirm(
        self, order: Confirmation, workflow_id: int, via: str
    ) -> ConfirmedWorkflow | None:
        """Do it, or say what stands against it; None if there is no such workflow."""
        actor = order.actor(via)
        done = await self._store.confirmations.confirm(
            self._provider, workflow_id, order.state, actor, self._now(), dry_run=order.dry_run
        )
        if done is None:
            return None
        against = done if isinstance(done, Objection) else None
        log.info(
            "epr.intervention_ended",
            provider=self._provider,
            operation="confirm",
            workflow_id=workflow_id,
            kind=order.role,
            reason=against.code if against else "dry_run" if order.dry_run else "done",
        )
        return ConfirmedWorkflow(
            workflow_id=workflow_id,
            state=done.state if isinstance(done, Confirmed) else None,
            objection=against,
        )
