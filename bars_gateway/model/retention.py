"""
How long each kind of record is kept, and what a purge has to show for what it removed.

    provider's use case ─► provider's ─► the use case's ─► everybody's   the first that is set holds
          └─────────────── days since a record came to rest ──────────────┘

A record comes to rest with its whole conversation: when the last of its messages was settled. So an
update that comes after weeks finds the request that it changes, with its bytes.

What a purge has removed is named by number, for numbers are given once. Over their X-Request-Ids
goes one hash, an id after the other, so that a list of ids, or a backup that still has them, proves
the certificate, and nothing else does.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from bars_gateway.frozen import frozen
from bars_gateway.standard.timing import application_of
from bars_gateway.standard.workflow import RequestType, State


class RecordClass(StrEnum):
    """What is kept for a time of its own."""

    PAYLOADS = "payloads"  # the Bundles, as they were sent or came
    ANSWERS = "answers"  # what was answered to them
    MESSAGES = "messages"  # ids and states, with attempts, notices and decided questions
    CONVERSATIONS = "conversations"  # workflows, and what ties them together
    QUARANTINE = "quarantine"  # what belonged to no workflow, once somebody has looked at it
    REFUSALS = "refusals"  # what a Sender was refused, by a rule or by the EPR, with its answer
    ALARMS = "alarms"  # alarms that have ended
    INBOX = "inbox"  # copies that the EPR has left in its folder
    AUDIT = "audit"  # the audit trail, which is removed by whole days: see store.audit


# What a purge goes through, in this order: bytes first; a copy before what is known of it; a
# workflow after its messages; and last what was said about it.
PURGED: Sequence[RecordClass] = (
    RecordClass.PAYLOADS,
    RecordClass.ANSWERS,
    RecordClass.QUARANTINE,
    RecordClass.INBOX,
    RecordClass.MESSAGES,
    RecordClass.CONVERSATIONS,
    RecordClass.REFUSALS,
    RecordClass.ALARMS,
)
APPOINTMENT, OPEN = "appointment", "open"
# Why something is kept whatever its age, in the words of the database's view `kept`.
KEPT_BECAUSE: Mapping[str, str] = {
    "held": "under legal hold",
    OPEN: "open: nobody knows how it ends, or an answer is owed",
    "unsettled": "not settled, or its Receiver's ids are looked for",
    "uncollected": "not collected by the EPR yet",
    "alarmed": "an alarm about it stands",
    "asked": "the EPR is asked about it",
    "quarantined": "something in quarantine may belong to it",
    "linked": "linked to what is open",
    "resent": "sent again, and that message is kept",
    "attached": "something from quarantine is attached to it",
    "told_once": "it tells of a place of the audit trail, which is told of once",
    APPOINTMENT: "its appointment, or that of what it is linked to, is yet to come",
}
# How an open workflow comes to an end, so that its records can leave in their time.
ENDED_BY: Mapping[State, str] = {
    State.REQUESTED: "the outcome of its request; bars-gateway queue has it",
    State.UNCONFIRMED: "telephone, then bars-gateway retry: a duplicate proves that it arrived; or"
    " the EPR cancels it",
    State.ACTIVE: "the answer that is owed (bars-gateway owed), or a cancellation",
    State.IN_PROGRESS: "the Responder's final response, or a cancellation",
    State.UNCLEAR: "telephone, then bars-gateway confirm",
    State.CONTRADICTED: "telephone, then bars-gateway confirm",
}
START = hashlib.sha256(b"").hexdigest()


@frozen(kw_only=True)
class RetentionRule:
    """How long one class is kept, and whose."""

    record_class: RecordClass
    days: int  # since it came to rest; 0: for good
    provider: str | None = None  # None: every provider's
    use_case: str | None = None  # or a whole Application, such as a4; None: every one

    @property
    def name(self) -> str:
        """As the certificate has it: what it is about, and the days."""
        about = " ".join(filter(None, (self.provider, self.use_case))) or "all"
        return f"{about}: {self.days} days" if self.days else f"{about}: for good"


@frozen
class RetentionRules:
    """Every rule of one gateway."""

    rules: Sequence[RetentionRule]

    def rule_for(self, record_class: RecordClass, provider: str, use_case: str) -> RetentionRule:
        """Return the rule that holds for such a record."""
        of_class = [each for each in self.rules if each.record_class is record_class]
        known = {(each.provider, each.use_case): each for each in of_class}
        use_cases = (use_case, application_of(use_case), None)
        for key in [(whose, one) for whose in (provider, None) for one in use_cases]:
            if key in known:
                return known[key]
        raise KeyError(record_class)

    def last_moment(self, record_class: RecordClass, now: datetime) -> datetime | None:
        """Return before when anything of that class may be due at all; None: nothing is."""
        days = [each.days for each in self.rules if each.record_class is record_class and each.days]
        return now - timedelta(days=min(days)) if days else None

    def written(self) -> str:
        """Return them as a purge keeps them."""
        return json.dumps(
            [
                {
                    "class": each.record_class,
                    "days": each.days,
                    "provider": each.provider,
                    "use_case": each.use_case,
                }
                for each in self.rules
            ]
        )


def rules_written(text: str) -> RetentionRules:
    """Return the rules that a purge has kept."""
    return RetentionRules(
        [
            RetentionRule(
                record_class=RecordClass(each["class"]),
                days=each["days"],
                provider=each["provider"],
                use_case=each["use_case"],
            )
            for each in json.loads(text)
        ]
    )


def is_due(rule: RetentionRule, rested_at: datetime, now: datetime) -> bool:
    """Tell whether what came to rest at *rested_at* has been kept for long enough."""
    return rule.days > 0 and rested_at < now - timedelta(days=rule.days)


def digest_after(digest: str, ids: Iterable[str]) -> str:
    """Return the hash over all that *digest* is of, and then *ids*, one after the other."""
    for each in ids:
        digest = hashlib.sha256(f"{digest} {each}".encode()).hexdigest()
    return digest


def spans(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Return *numbers*, which ascend, as first and last of those that follow each other."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] + 1 == number:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


@frozen(kw_only=True)
class Purge:
    """One purge, begun by somebody and perhaps not at its end."""

    number: int
    provider: str | None  # None: every provider's
    began_by: str
    why: str
    rules: RetentionRules
    began_at: datetime  # by the clock
    counts_to: datetime  # ages are counted to this moment; earlier, where the clock may be ahead
    ended_at: datetime | None


@frozen(kw_only=True)
class PurgedClass:
    """What one purge has removed of a class, or how far it is with it."""

    record_class: RecordClass
    reached: int = 0  # the last number that was judged
    count: int = 0
    by_rule: Mapping[str, int]
    digest: str = START
    ended_at: datetime | None = None


@frozen(kw_only=True)
class Certificate:
    """What a purge shows for itself."""

    purge: Purge
    classes: Sequence[PurgedClass]
    spans: Mapping[RecordClass, Sequence[tuple[int, int]]]

    @property
    def count(self) -> int:
        """How many records of any class it has removed."""
        return sum(each.count for each in self.classes)

    @property
    def told(self) -> Mapping[str, object]:
        """What the audit trail has of it: all but the numbers, for which the hashes stand."""
        purge = self.purge
        classes = {str(each.record_class): each for each in self.classes}
        left = {name: each for name, each in classes.items() if each.count}
        return {
            "who": purge.began_by,
            "why": purge.why,
            "purge": purge.number,
            "of": purge.provider,
            "began_at": purge.began_at.isoformat(),
            "counts_to": purge.counts_to.isoformat(),
            "rules": json.loads(purge.rules.written()),
            "removed": {name: each.count for name, each in classes.items()},
            "by_rule": {name: dict(each.by_rule) for name, each in left.items()},
            "digests": {name: each.digest for name, each in left.items()},
        }


@frozen(kw_only=True)
class LinkedRecord:
    """A conversation that is linked to one that is held, if only through others."""

    workflow_id: int
    request_type: RequestType
    role: str  # ours in it
    state: State
    is_held: bool  # by a hold of its own: one does not hold what it is linked to


@frozen(kw_only=True)
class RecordHold:
    """That something is kept from every purge, by whom and why; perhaps until it was released."""

    number: int
    provider: str
    workflow_id: int | None  # with all its messages
    quarantine_id: int | None
    held_at: datetime
    held_by: str
    why: str
    released_at: datetime | None = None
    released_by: str | None = None
    released_why: str | None = None
    linked: Sequence[LinkedRecord] = ()  # where somebody has looked for them
