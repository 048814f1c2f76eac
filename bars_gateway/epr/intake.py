"""
The one door for what the EPR submits, by folder or by socket.

    bytes ─► size ─► bundle ─► rules ─► target ─► ids, headers ─► store.outbound.submit ─► receipt
               └────────┴────────┴───────┴─► SubmissionRefused(every issue)

Everything that a retry must repeat is decided here, once: the two ids, every header,
the moment to give up. The bytes themselves go on as they came.

The same bytes are sent once, however often they are submitted: the fingerprint finds
the first receipt again, whatever speaks against them now, and whatever became since of what they
asked for; a warning says where that is over. Whoever lost the first answer must not read that
nothing was sent. If they ended badly then, they are refused, with the verb that sends them a second
time on purpose (D-same-bytes): a receipt would promise what nobody does.

A refusal is an exception of this module and no GatewayError: it is for the EPR's
people to act on, and not for the operator.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

import structlog

from bars_gateway.epr.envelope import Envelope, doubtful
from bars_gateway.epr.target_checks import TargetCheck, Unchecked, everything_goes
from bars_gateway.frozen import frozen
from bars_gateway.libraries import undisturbed
from bars_gateway.model.messages import Accepted, Change, OutboundState, Payload, Submission, Warned
from bars_gateway.standard import workflow
from bars_gateway.standard.applications import Offer, answer_owed
from bars_gateway.standard.appointments import appointment_until
from bars_gateway.standard.bundle import Message
from bars_gateway.standard.consistency import case_details_of
from bars_gateway.standard.examination import Examined, examine
from bars_gateway.standard.formats import LONG, Format, format_of
from bars_gateway.standard.guards import OTHER_CONVERSATION, MoveRefused, enforced
from bars_gateway.standard.headers import (
    Ids,
    SenderIdentity,
    for_sending,
)
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.links import names_in, ties_of
from bars_gateway.standard.meaning import move_of, wording_of
from bars_gateway.standard.rule import NOTHING_AGREED, PRODUCTION, Overrides, Side
from bars_gateway.standard.rules.substance import plans_said
from bars_gateway.standard.timing import Timing, clinical_time, is_too_late, limits
from bars_gateway.standard.workflow import CHANGES, Move, State
from bars_gateway.store.store import Store

log = structlog.get_logger(__name__)

MAX_BYTES = 5 * 1024 * 1024
TOO_LATE = Issue(
    rule="E06",
    path="Bundle",
    text="its clinical time has passed, and nothing was sent: follow your own fallback, and"
    " telephone. Where the time is wrong, correct it and submit the message again",
    http_status=409,
    issue="business-rule",
)
# How a message ended that was taken before, and what sends it again.
_ENDED = {
    OutboundState.REFUSED: (
        "the Receiver refused it ({said}). Correct the message: it is then another one. Where"
        " the cause lay elsewhere, the verb retry or resend sends the very same bytes"
    ),
    OutboundState.UNCONFIRMED: (
        "nobody knows whether it arrived. The verb retry sends it under the same ids, which"
        " makes no second record"
    ),
    OutboundState.NOT_SENT: "it never left, and its time passed. The verb retry sends it",
    OutboundState.WITHDRAWN: "it was withdrawn before it left. The verb retry sends it",
}
# How what it asked for ended: the receipt holds, and the same again opens nothing.
_OVER = {
    State.CANCELLED: "has been cancelled since, or is being cancelled",
    State.DECLINED: "has been turned down since",
    State.COMPLETED: "has been answered in full since",
}
_ANEW = "Where a person asks for it once more, that is a new message, with a Bundle.id of its own"


class SubmissionRefused(Exception):
    """What the EPR submitted is not taken; every reason is in `issues`."""

    def __init__(
        self,
        issues: Sequence[Issue],
        *,
        http_status: int = 422,
        request_id: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(", ".join(issue.rule for issue in issues))
        self.issues = tuple(issues)
        self.http_status = http_status  # how the socket says it: 409, 413, 415 or 422
        self.request_id = request_id  # of the message that was taken before, if that is why
        self.code = code  # what the Receiver said then


@frozen
class _Examined:
    message: Message
    move: Move
    written_in: Format
    fingerprint: str  # SHA-256 of its bytes


class Intake:
    """Takes one provider's messages. Both of its doors share one of these."""

    def __init__(
        self,
        store: Store,
        *,
        provider: str,
        identity: SenderIdentity,
        offer: Offer,
        timing: Callable[[str], Timing],
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        max_bytes: int = MAX_BYTES,
        overrides: Overrides = NOTHING_AGREED,
        target_check: TargetCheck = everything_goes,
        read_before_cancel: bool = False,
        in_production: Overrides = PRODUCTION,
        refused: Callable[[], None] = lambda: None,
    ) -> None:
        """*refused* is called whenever something is refused, at whichever door."""
        self._store = store
        self._refused = refused
        self._provider = provider
        self._identity = identity
        self._offer = offer
        self._overrides = overrides
        self._in_production = in_production
        self._target_check = target_check
        self._read_before_cancel = read_before_cancel
        self._timing = timing
        self.now = now
        self.new_id = new_id
        self.max_bytes = max_bytes  # of one message

    async def submit(self, body: bytes, media_type: str, envelope: Envelope) -> Accepted:
        """
        Return the receipt for *body* once it is on disk, or raise SubmissionRefused.

        Raises StoreUnavailable where the store is; nothing was taken then, and the EPR keeps it.
        """
        found = await self.found_or_prepared(body, media_type, envelope)
        return found if isinstance(found, Accepted) else await self.commit(found)

    async def prepare(self, body: bytes, media_type: str, envelope: Envelope) -> Submission:
        """Check *body* and decide all that a retry must repeat; raise SubmissionRefused."""
        try:
            return await self._prepare(body, media_type, envelope)
        except SubmissionRefused as refused:
            self._log(refused)
            raise

    async def found_or_prepared(
        self, body: bytes, media_type: str, envelope: Envelope
    ) -> Accepted | Submission:
        """
        Return what `prepare` makes, or the receipt of what it would refuse and was taken.

        A rule, a clock or a service that speaks against them now did not when they were taken.
        """
        try:
            return await self._prepare(body, media_type, envelope)
        except SubmissionRefused as refused:
            request = Payload(media_type=media_type, headers={}, body=body)
            accepted = await self._store.outbound.taken_before(self._provider, request)
            if accepted is None:
                self._log(refused)
                raise
        return self.again(accepted)

    async def commit(self, submission: Submission) -> Accepted:
        """Queue what `prepare` made, or return the receipt that the same bytes have."""
        started = self.now()
        try:
            accepted = await self._store.outbound.submit(submission, started)
        except MoveRefused as too_late:
            raise self.refusal(too_late.issues, http_status=409) from None
        if accepted.request_id != submission.request_id:
            return self.again(accepted)
        seconds = round((self.now() - started).total_seconds(), 3)
        self._log_taken(accepted, "accepted", submission, seconds)
        return accepted

    def again(self, accepted: Accepted) -> Accepted:
        """Return the receipt that the same bytes have; raise SubmissionRefused if it is void."""
        if accepted.state in _ENDED:
            refused = _ended_before(accepted)
            self._log(refused)
            raise refused
        self._log_taken(accepted, "repeated")
        if accepted.led_to not in _OVER:
            return accepted
        return replace(accepted, warnings=(*accepted.warnings, _over_since(accepted)))

    def _log_taken(
        self,
        accepted: Accepted,
        reason: str,
        new: Submission | None = None,
        seconds: float | None = None,
    ) -> None:
        log.info(
            "epr.submission_ended",
            provider=self._provider,
            request_id=accepted.request_id,
            correlation_id=accepted.correlation_id,
            message_id=accepted.message_id,
            receiver=accepted.receiver,
            move=new and new.move,
            state=accepted.state,
            reason=reason,
            bytes=new and len(new.request.body),
            seconds=seconds,
        )

    async def taken(self, body: bytes) -> Accepted | None:
        """Return the receipt that these very bytes have, without a look into them; None: none."""
        return await self._store.outbound.submitted(
            self._provider, hashlib.sha256(body).hexdigest()
        )

    def refusal(
        self, issues: Sequence[Issue], *, http_status: int = 422, before: str | None = None
    ) -> SubmissionRefused:
        """Return, and log, a refusal of what a door would not submit; *before* it took that."""
        refused = SubmissionRefused(issues, http_status=http_status, request_id=before)
        self._log(refused)
        return refused

    def _log(self, refused: SubmissionRefused) -> None:
        self._refused()
        log.warning(
            "epr.submission_ended",
            provider=self._provider,
            request_id=refused.request_id,
            reason="refused",
            code=refused.code,
            rules=sorted({issue.rule for issue in refused.issues}),
        )

    async def _prepare(self, body: bytes, media_type: str, envelope: Envelope) -> Submission:
        self._check_size(body)
        written_in = _format_of(media_type)
        found = await self._looked_at(body, written_in)
        if found.message is None or found.move is None:
            raise SubmissionRefused(found.issues)
        fingerprint = hashlib.sha256(body).hexdigest()
        _refuse_anothers(envelope, found.message, fingerprint)
        examined = _Examined(found.message, found.move, written_in, fingerprint)
        unchecked = await self._target_of(examined)
        correlation_id = await self._correlation_id(examined, envelope)
        submission = self._submission(body, examined, envelope, correlation_id)
        return replace(
            submission,
            target_unchecked=unchecked,
            patient_changed=envelope.patient_changed,
            warnings=[_warned(issue) for issue in (*found.issues, *doubtful(envelope, self.now()))],
            wording=wording_of(examined.message),
            plans=plans_said(examined.message) if examined.message.responds_to else (),
        )

    async def _looked_at(self, body: bytes, written_in: Format) -> Examined:
        """Look at *body*, and again beside what came before it, if that may be to blame."""
        look = partial(
            examine,
            body,
            written_in,
            Side.SENDING,
            self._offer,
            self._overrides,
            production=self._in_production,
        )
        found = look() if len(body) < LONG else await asyncio.to_thread(undisturbed, look)
        earlier = await self._earlier(found.stopped) if found.stopped else []
        return await asyncio.to_thread(look, earlier=earlier) if earlier else found

    async def _earlier(self, message: Message) -> list[Message]:
        """Return what was exchanged in the workflow of *message*, as far as it is kept."""
        move = move_of(message)
        if move is None or not message.destinations:
            return []
        return await self._store.conversations.exchanged(
            self._provider,
            *_keys(message),
            role=workflow.role_of(move),
            counterparty=message.destinations[0],
            change=self._change(message, move),
        )

    async def _target_of(self, examined: _Examined) -> str | None:
        """Refuse a request that its service does not take; return why nobody could say, if so."""
        if examined.move is not Move.REQUEST:
            return None
        found = await self._target_check(examined.message)
        if isinstance(found, Unchecked):
            return found.reason
        if found is not None:
            raise SubmissionRefused([found])
        return None

    def _check_size(self, body: bytes) -> None:
        if len(body) > self.max_bytes:
            raise SubmissionRefused([too_large(self.max_bytes)], http_status=413)

    async def _correlation_id(self, examined: _Examined, envelope: Envelope) -> str:
        message, named = examined.message, envelope.correlation_id
        if examined.move is Move.REQUEST:
            # It begins a conversation, whatever ids are in it: those are the EPR's own. But a
            # booking and its referral share one, and name each other by the Receiver's id.
            keys = [] if named else [name for _, name in names_in(message)]
            found = (
                await self._store.outbound.correlation_of(self._provider, *keys) if keys else None
            )
            return named or found or self.new_id()
        about = partial(self._store.outbound.correlation_of, self._provider, *_keys(message))
        role = workflow.role_of(examined.move)
        change = self._change(message, examined.move)
        own = await about(role=role, counterparty=message.destinations[0], change=change)
        if named and own and named.lower() != own.lower():
            raise self.refusal([OTHER_CONVERSATION], http_status=409)
        # As its workflow has it, in whatever letters the EPR writes it: by that they wait in turn.
        return own or named or await about() or self.new_id()

    def _change(self, message: Message, move: Move) -> Change | None:
        """Return whose record a later request names: the Receiver may call two patients' so."""
        focus_id = message.focus_id
        if move not in CHANGES or focus_id is None:
            return None
        return Change(
            provider=self._provider,
            receiver=message.destinations[0],
            request_type=workflow.request_type_of(message),
            focus_id=focus_id,
            said=case_details_of(message),
        )

    def _needed_by(self, envelope: Envelope, message: Message, now: datetime) -> datetime | None:
        """Return the clinical time, the envelope's before the Bundle's, if one can be meant."""
        named = [moment for moment in (envelope.needed_by, message.needed_by) if moment]
        found = [moment for each in named if (moment := clinical_time(each, now))]
        if len(found) < len(named):
            log.warning("epr.clinical_time_ignored", provider=self._provider)
        return next(iter(found), None)

    def _payload(self, body: bytes, examined: _Examined, envelope: Envelope, ids: Ids) -> Payload:
        headers = for_sending(
            examined.message,
            self._identity,
            ids=ids,
            media_type=examined.written_in,
            practitioner=envelope.practitioner,
        )
        return Payload(media_type=examined.written_in, headers=headers, body=body)

    def _submission(
        self, body: bytes, examined: _Examined, envelope: Envelope, correlation_id: str
    ) -> Submission:
        message, now = examined.message, self.now()
        timing = self._timing(message.use_case)
        needed_by = self._needed_by(envelope, message, now)
        request_type, move = workflow.request_type_of(message), examined.move
        found = limits(timing, move, request_type, needed_by, now)
        ids, new = Ids(self.new_id(), correlation_id), move is Move.REQUEST
        return Submission(
            provider=self._provider,
            request_id=ids.request_id,
            correlation_id=correlation_id,
            bundle_id=message.bundle_id,
            responds_to=message.responds_to,
            move=move,
            request_type=request_type,
            use_case=message.use_case,
            sender=message.source,
            receiver=message.destinations[0],
            focus_id=message.focus_id,
            fingerprint=examined.fingerprint,
            request=self._payload(body, examined, envelope, ids),
            needed_by=needed_by,
            give_up_at=found.give_up_at,
            delayed_at=found.delayed_at,
            by_its_time=found.by_its_time,
            urgent=timing.urgent or message.is_pressing,
            read_first=self._read_before_cancel and move is Move.CANCEL,
            owed=answer_owed(message.use_case, move, timing, needed_by, now),
            too_late=[TOO_LATE] if is_too_late(timing, move, needed_by, now) else [],
            enforced=enforced(Side.SENDING, message, self._overrides),
            ties=ties_of(message, Side.SENDING, self._overrides) if new else None,
            case_details=None if new else case_details_of(message),
            appointment_until=appointment_until(message, now),
        )


def _keys(message: Message) -> list[str]:
    """Return by which ids the workflow of a later message is found."""
    listed = (message.responds_to, message.focus_id, message.bundle_id)
    return [key for key in listed if key]


def _warned(issue: Issue) -> Warned:
    return Warned(
        rule=issue.rule,
        path=issue.path,
        problem=issue.text,
        refused_in_production=issue.refused_in_production,
    )


def _refuse_anothers(envelope: Envelope, message: Message, fingerprint: str) -> None:
    """Refuse a message whose envelope says that it belongs to another one."""
    meant = {
        "bundle_id": envelope.bundle_id in {None, message.bundle_id},
        "sha256": envelope.sha256 in {None, fingerprint},
    }
    text = "names another message than the one that it came with: drop each with its own envelope"
    issues = [
        Issue(rule="E01", path=f"envelope.{name}", text=text, issue="conflict")
        for name, fits in meant.items()
        if not fits
    ]
    if issues:
        raise SubmissionRefused(issues, http_status=409)


def too_large(max_bytes: int) -> Issue:
    """Return the issue for a message above the limit."""
    text = f"is larger than {max_bytes} bytes; attach less, or raise the limit in the settings"
    return Issue(rule="E02", path="Bundle", text=text, http_status=413, issue="too-long")


def _format_of(media_type: str) -> Format:
    found = format_of(media_type)
    if found is None:
        text = (
            f"is sent as {Format.JSON} or {Format.XML}: name one of them as its Content-Type,"
            " or give the file a name that ends in .json or .xml"
        )
        issue = Issue(rule="E03", path="Bundle", text=text, http_status=415, issue="not-supported")
        raise SubmissionRefused([issue], http_status=415)
    return found


def _ended_before(accepted: Accepted) -> SubmissionRefused:
    how = _ENDED[accepted.state].format(said=accepted.code or "no code")
    text = f"this message was taken before, as {accepted.request_id}, and {how}"
    issue = Issue(rule="E04", path="Bundle", text=text, issue="duplicate")
    return SubmissionRefused([issue], request_id=accepted.request_id, code=accepted.code)


def _over_since(accepted: Accepted) -> Warned:
    """Return the warning for who asks again, by the same bytes, for what is over."""
    assert accepted.led_to is not None
    text = (
        f"this message was taken before, as {accepted.request_id}, and is not sent a second time;"
        f" what it asked for {_OVER[accepted.led_to]}. {_ANEW}"
    )
    return Warned(rule="E04", path="Bundle", problem=text, refused_in_production=False)
