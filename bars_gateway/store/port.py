"""
The store as the flows see it: whole transactions, and the values they trade in.

    submit ─► claim_next ─► settle │ put_back          an outbound message
    receive │ refuse                                   an inbound request
    questions                                          one that the EPR decides
    interventions                                      what a person does to a message
    pending_notices ─► collect                         what we owe the EPR

One method is one transaction is one sentence. A method returns after its changes
are on disk, and not before; a caller can neither begin a transaction nor forget to
end one. A caller that is cancelled stops waiting: its change is made or not made,
never half.

The two bells (`outbound_work`, `notice_work`) are rung after a commit. Silence a
bell *before* looking and nothing is missed.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from bars_gateway.standard.verdict import Answer
from bars_gateway.standard.workflow import Role
from bars_gateway.store.asides import Asides
from bars_gateway.store.breaks import Breaks
from bars_gateway.store.calls import Calls
from bars_gateway.store.cancellations import Cancellations
from bars_gateway.store.confirmations import Confirmations
from bars_gateway.store.conversations import Conversations
from bars_gateway.store.handling import Alarms
from bars_gateway.store.interventions import Interventions
from bars_gateway.store.quarantine import Quarantines
from bars_gateway.store.questions import Questions
from bars_gateway.store.reconciliations import Reconciliation, Reconciliations
from bars_gateway.store.soundness import Soundness
from bars_gateway.store.unread import UnreadNotices
from bars_gateway.store.values import (
    Accepted,
    Arrival,
    Attempt,
    BundleReused,
    Change,
    Claim,
    Conflicting,
    Fate,
    Met,
    Names,
    NoticeKind,
    OutboundState,
    Part,
    Payload,
    Processing,
    Quarantined,
    Refusal,
    RefusedBefore,
    Repeated,
    Settled,
    Settlement,
    Submission,
    Taken,
    TryAgain,
    Warned,
    Word,
)
from bars_gateway.store.views import (
    Event,
    LastAttempt,
    Link,
    MessageHistory,
    MessageRow,
    Notice,
    Overview,
    WorkflowRow,
)

__all__ = [
    "Accepted",
    "Arrival",
    "Attempt",
    "BundleReused",
    "Change",
    "Claim",
    "Conflicting",
    "Event",
    "Fate",
    "LastAttempt",
    "Link",
    "MessageHistory",
    "MessageRow",
    "Met",
    "Names",
    "Notice",
    "NoticeKind",
    "OutboundState",
    "Overview",
    "Part",
    "Payload",
    "Processing",
    "Quarantined",
    "Reconciliation",
    "Refusal",
    "RefusedBefore",
    "Repeated",
    "Settled",
    "Settlement",
    "Store",
    "Submission",
    "Taken",
    "TryAgain",
    "Warned",
    "Word",
    "WorkflowRow",
]


class Store(Protocol):
    """What the flows may ask of the store. Instants are aware and in UTC."""

    @property
    def questions(self) -> Questions:
        """Return what the EPR is asked while the proxy waits."""

    @property
    def alarms(self) -> Alarms:
        """Return what a person has to see, until somebody has."""

    @property
    def asides(self) -> Asides:
        """Return what may be done with a unit of work that failed."""

    @property
    def soundness(self) -> Soundness:
        """Return what is known of the database's file itself."""

    @property
    def unread(self) -> UnreadNotices:
        """Return what EPRs were given and have not taken."""

    @property
    def breaks(self) -> Breaks:
        """Return since when those have not answered who are left in peace."""

    @property
    def calls(self) -> Calls:
        """Return what was asked of the platform in the last minute (D-quota)."""

    @property
    def reconciliations(self) -> Reconciliations:
        """Return what is to be found out after a duplicate."""

    @property
    def cancellations(self) -> Cancellations:
        """Return what waits to be read for before it is sent."""

    @property
    def quarantine(self) -> Quarantines:
        """What belongs to no workflow, until an operator says where it belongs."""

    @property
    def confirmations(self) -> Confirmations:
        """How workflows in doubt stand, as people have found out."""

    @property
    def interventions(self) -> Interventions:
        """Return what a person may do to an outbound message."""

    @property
    def conversations(self) -> Conversations:
        """Return what has been said in workflows."""

    async def submit(self, submission: Submission, now: datetime) -> Accepted:
        """
        Queue the message, or return the receipt that the same bytes were given before.

        Raises MoveRefused where its workflow is past such a move: nothing was taken then.
        """

    async def submitted(self, provider: str, fingerprint: str) -> Accepted | None:
        """Return the receipt that these bytes were given, or None."""

    async def correlation_of(
        self,
        provider: str,
        *keys: str,
        role: Role | None = None,
        counterparty: str | None = None,
        change: Change | None = None,
    ) -> str | None:
        """Return the X-Correlation-Id of the workflow that *keys*, or the *change*, belong to."""

    async def claim_next(
        self, now: datetime, providers: Collection[str], not_for: Collection[str] = ()
    ) -> Claim | None:
        """
        Take a message of one of *providers* for us alone, for none of the Receivers *not_for*.

        What is urgent goes first, and of that what has been due longest.
        """

    async def settle(
        self, claim: Claim, answer: Answer, *, attempt: Attempt, settlement: Settlement
    ) -> None:
        """Record the attempt and what it led to; raise StaleState if the claim has lapsed."""

    async def put_back(self, claim: Claim, retry_at: datetime) -> None:
        """Undo the claim: no POST began, so it was no attempt."""

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

    async def hasten(
        self, now: datetime, *, provider: str | None = None, receiver: str | None = None
    ) -> int:
        """Make due what of that provider, or for that Receiver, waits; return how many."""

    async def release_own(self, now: datetime) -> int:
        """Queue again what this node was sending when it died; return how many."""

    async def release_lapsed(self, now: datetime) -> int:
        """Queue again what a lease ran out on; return how many."""

    async def reschedule(self, step: timedelta) -> int:
        """Move by *step* all that is scheduled: the clock was set; return for how many messages."""

    async def recall(self, now: datetime, longest: timedelta) -> int:
        """Make due what is scheduled further ahead than *longest*; return how many messages."""

    async def give_up(self, now: datetime) -> int:
        """Settle what is queued and past its time as unconfirmed or not_sent; return how many."""

    async def tell_delays(self, now: datetime) -> int:
        """Write a delayed notice for each open message that is late; return how many."""

    async def next_due(self, now: datetime, providers: Collection[str]) -> datetime | None:
        """
        Return when, after *now*, the next queued message of *providers* is due, or None.

        Pass the *now* of the claim that found nothing: what was due then and not
        claimable waits for another message, and the bell rings when that is settled.
        """

    async def receive(self, arrival: Arrival, now: datetime) -> Fate:
        """Take the message with its workflow, answer and notice, or say what it met."""

    async def respond(self, arrival: Arrival, not_found: Payload, now: datetime) -> Fate:
        """Take a response into its workflow, or quarantine it; *not_found* is then its answer."""

    async def refuse(self, refusal: Refusal, now: datetime) -> Fate:
        """Remember the refusal, so that a retry gets the same, or say what it met."""

    async def note(
        self, kind: str, now: datetime, *, provider: str | None, request_id: str | None
    ) -> None:
        """Add a line to the audit trail."""

    async def pending_notices(self, provider: str, limit: int) -> Sequence[Notice]:
        """Return what *provider*'s EPR has not collected yet, oldest first."""

    async def notice(self, provider: str, notice_id: int) -> Notice | None:
        """Return that notice, collected or not, or None if *provider* has no such."""

    async def collect(self, provider: str, notice_ids: Sequence[int], now: datetime) -> int:
        """Mark notices as collected; return how many were not before."""

    async def payload(self, message_id: int, part: Part) -> Payload | None:
        """Return those bytes, or None if there are none (any more)."""

    async def queue(self, provider: str | None, limit: int) -> Sequence[MessageRow]:
        """Return outbound messages that are not settled, in the order they were taken."""

    async def history(self, provider: str | None, request_id: str) -> Sequence[MessageHistory]:
        """Return every message with that X-Request-Id (of *provider*), with all that happened."""

    def no_room(self) -> str | None:
        """Return why the free-space guard takes nothing at this moment; None: there is room."""

    async def prove_readable(self) -> None:
        """Return where the database answers, at a cost that never grows; else raise StoreError."""

    async def overview(self, now: datetime) -> Overview:
        """Return what the status page shows."""

    async def outbound_work(self, seconds: float) -> None:
        """Return when a message may have become due, after *seconds* at the latest."""

    async def notice_work(self, provider: str, seconds: float) -> None:
        """Return when *provider* may have a new notice, after *seconds* at the latest."""

    def ring_outbound(self) -> None:
        """Wake one sender: there may be more to claim."""
