"""
What people may do to outbound messages, and the port through which they do it.

    Selection ──candidates──► who is meant, and whether the verb fits each
    Order + ids ──act───────► hold · release · withdraw · retry · seen     one transaction
    Order + Resent ─resend──► the same payload under new ids               one transaction

A candidate is judged twice, by the same table: when it is shown, and again inside the
transaction that changes it. So a dry run counts what would happen, and what changed in
between is left alone and said. Each change is audited with who and why.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from bars_gateway.store.values import OutboundState, Payload


class Verb(StrEnum):
    """What a person may do to an outbound message."""

    HOLD = "hold"  # do not send it until it is released
    RELEASE = "release"  # send what is held
    WITHDRAW = "withdraw"  # never send it; before the first attempt only
    RETRY = "retry"  # send it now, under the ids that it has
    RESEND = "resend"  # send the same payload as another message, under new ids
    SEEN = "seen"  # somebody has dealt with how it ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be done, and for the audit trail by whom and why."""

    verb: Verb
    provider: str  # whose messages: what belongs to others is not found
    by_operator: bool  # the EPR is told of what an operator did
    who: str  # a name and the uid of the process, as far as they are known
    reason: str  # for the audit trail alone: never logged, never in a notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which outbound messages of one provider are meant; None leaves a filter out."""

    provider: str
    request_ids: tuple[str, ...] = ()  # empty: all that the filters let through
    receiver: str | None = None  # system|value, or the value alone
    use_case: str | None = None
    state: OutboundState | None = None  # None: all that the verb is for
    correlation_id: str | None = None
    taken_before: datetime | None = None
    after: int = 0  # only messages beyond this message_id: for going through many, page by page


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One message that is meant."""

    message_id: int
    request_id: str
    use_case: str
    needed_by: datetime | None
    state: OutboundState
    attempts: int
    obstacle: str | None  # why the verb does not fit; None: it does


@dataclass(frozen=True, slots=True, kw_only=True)
class Resent:
    """What a message is sent again as."""

    request_id: str
    bundle_id: str
    fingerprint: str
    request: Payload
    give_up_at: datetime
    delayed_at: datetime


Deadline = Callable[[str, datetime | None], datetime]  # use case, clinical time → when to give up


class Verbs(Protocol):
    """What the flows may ask of the store about verbs. Each method is one transaction."""

    async def candidates(self, verb: Verb, selection: Selection, limit: int) -> Sequence[Candidate]:
        """Return the messages that are meant, oldest first, and what stands in the way of each."""

    async def act(
        self, order: Order, message_ids: Sequence[int], deadline: Deadline, now: datetime
    ) -> Sequence[Candidate]:
        """Do it to each of those that it fits; return each as it was found."""

    async def resend(
        self, order: Order, message_id: int, resent: Resent, now: datetime
    ) -> Candidate:
        """Queue the payload under new ids, unless something stands in the way; return the old."""
