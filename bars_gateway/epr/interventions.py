"""
Carries out what a person wants done to outbound messages, one or many.

    Order + Selection ─► candidates ─┬─► dry run: what would happen
                                     └─► act, or resend one by one ─► Report

A page of messages shares a transaction, but for a resend: there each message is made
anew and is a transaction of its own. What does not fit is left alone and says why, and
the others are done.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from bars_gateway.standard.bundle import read
from bars_gateway.standard.headers import REQUEST_ID
from bars_gateway.standard.renaming import renamed
from bars_gateway.standard.timing import Timing, deadline
from bars_gateway.store.port import Part, Payload, Store
from bars_gateway.store.verbs import Candidate, Order, Resent, Selection, Verb

log = structlog.get_logger(__name__)

PAGE = 200  # messages that are looked at in one go

CONSEQUENCES: Mapping[Verb, str] = {
    Verb.HOLD: "It is not sent until it is released. Its time runs on: the EPR is told at its end.",
    Verb.RELEASE: "It is sent as soon as its turn comes.",
    Verb.WITHDRAW: "It never leaves. What was posted before cannot be withdrawn.",
    Verb.RETRY: (
        "It is sent now, under the ids that it has: a Receiver that has it says so, and takes it"
        " once."
    ),
    Verb.RESEND: (
        "It is sent as another message. Where the first one did arrive, the Receiver has it twice:"
        " ask by telephone where that is not known."
    ),
    Verb.SEEN: "It is no longer shown as a concern. Nothing is sent.",
}
_NO_BYTES = "its bytes are no longer kept: have the EPR make another message"
_NO_NEW_ID = "its Bundle.id cannot be changed safely: have the EPR make another message"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one message that was meant."""

    request_id: str
    state: str  # as it was found
    obstacle: str | None  # why it was left alone; None: it was done, or would be
    resent_as: str | None = None  # X-Request-Id of the new message


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was done, or in a dry run would be."""

    verb: Verb
    dry_run: bool
    results: Sequence[Result]
    more_after: int | None  # there may be more beyond this message_id; None: these were all


class Interventions:
    """Does what one provider's EPR and operators want done."""

    def __init__(
        self,
        store: Store,
        *,
        provider: str,
        timing: Callable[[str], Timing],
        now: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._provider = provider
        self._timing = timing
        self._now = now
        self._new_id = new_id

    async def carry_out(self, order: Order, selection: Selection, *, dry_run: bool) -> Report:
        """Do it to each message that is meant and that it fits, at most `PAGE` of them."""
        found = await self._store.verbs.candidates(order.verb, selection, PAGE)
        fitting = [each.message_id for each in found if each.obstacle is None]
        results = [_result(each) for each in found]
        if not dry_run and order.verb is Verb.RESEND:
            results = [await self._resend(order, each) for each in found]
        elif not dry_run and fitting:
            done = await self._store.verbs.act(order, fitting, self._give_up_at, self._now())
            judged = {each.message_id: each for each in done}
            results = [_result(judged.get(each.message_id, each)) for each in found]
        more = found[-1].message_id if len(found) == PAGE else None
        report = Report(verb=order.verb, dry_run=dry_run, results=results, more_after=more)
        if not dry_run:
            self._log(report)
        return report

    def _give_up_at(self, use_case: str, needed_by: datetime | None) -> datetime:
        return deadline(self._timing(use_case), needed_by, self._now())

    async def _resend(self, order: Order, candidate: Candidate) -> Result:
        if candidate.obstacle is not None:
            return _result(candidate)
        payload = await self._store.payload(candidate.message_id, Part.REQUEST)
        if payload is None:
            return replace(_result(candidate), obstacle=_NO_BYTES)
        made = await asyncio.to_thread(self._made_anew, payload, candidate)
        if made is None:
            return replace(_result(candidate), obstacle=_NO_NEW_ID)
        found = await self._store.verbs.resend(order, candidate.message_id, made, self._now())
        resent_as = made.request_id if found.obstacle is None else None
        return replace(_result(found), resent_as=resent_as)

    def _made_anew(self, payload: Payload, candidate: Candidate) -> Resent | None:
        """Return the payload under new ids: that of the Bundle too, where it asks for a record."""
        message = read(payload.body, payload.media_type)
        bundle_id, body = message.bundle_id, payload.body
        if message.reason == "new":
            bundle_id = self._new_id()
            body = renamed(payload.body, payload.media_type, bundle_id) or b""
        if not body:
            return None
        request_id, now = self._new_id(), self._now()
        return Resent(
            request_id=request_id,
            bundle_id=bundle_id,
            fingerprint=hashlib.sha256(body).hexdigest(),
            request=Payload(
                media_type=payload.media_type,
                headers={**payload.headers, REQUEST_ID: request_id},
                body=body,
            ),
            give_up_at=self._give_up_at(candidate.use_case, candidate.needed_by),
            delayed_at=now + self._timing(candidate.use_case).delayed_after,
        )

    def _log(self, report: Report) -> None:
        log.info(
            "epr.intervention_ended",
            provider=self._provider,
            operation=report.verb,
            count=sum(each.obstacle is None for each in report.results),
        )


def _result(candidate: Candidate) -> Result:
    return Result(
        request_id=candidate.request_id, state=candidate.state, obstacle=candidate.obstacle
    )
