"""Values for tests of the store: a submission, an arrival, an attempt, each with changes."""

import hashlib
import uuid
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from bars_gateway.model.messages import Arrival, Attempt, Claim, Payload, Refusal, Submission
from bars_gateway.model.questions import Decision, Terms
from bars_gateway.standard.applications import Owed
from bars_gateway.standard.links import Ties
from bars_gateway.standard.meaning import Wording, Written
from bars_gateway.standard.verdict import FaultSide, ProxyAnswer, Verdict
from bars_gateway.standard.workflow import Move, RequestType

if TYPE_CHECKING:
    from bars_gateway.store.store import Store

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
OURS = "https://fhir.nhs.uk/Id/dos-service-id|2000000101"
THEIRS = "https://fhir.nhs.uk/Id/dos-service-id|2000000202"

# What a new request says that names no other workflow, and may belong to some all the same.
NEW = Ties(
    names=(), journey_id="j", looked_at=frozenset(), refused_for=frozenset(), likeness="alike"
)


def owed(due_at: datetime, now: datetime = NOW) -> Owed:
    """Return an answer that is owed by then, with a warning when a quarter of the time is left."""
    return Owed(due_at=due_at, warn_at=due_at - max(due_at - now, timedelta()) / 4)


TERMS = Terms(answer_by=NOW + timedelta(seconds=4.5), alarm_at=NOW + timedelta(minutes=15))


def payload(body: bytes = b'{"resourceType":"Bundle"}') -> Payload:
    return Payload(media_type="application/fhir+json", headers={"Accept": "x"}, body=body)


def submission(**changes: object) -> Submission:
    body = changes.pop("body", uuid.uuid4().bytes)
    assert isinstance(body, bytes)
    values: dict[str, object] = {
        "provider": "trust",
        "request_id": str(uuid.uuid4()),
        "correlation_id": str(uuid.uuid4()),
        "bundle_id": str(uuid.uuid4()),
        "responds_to": None,
        "move": Move.REQUEST,
        "request_type": RequestType.REFERRAL,
        "use_case": "a3t1",
        "sender": OURS,
        "receiver": THEIRS,
        "focus_id": None,
        "fingerprint": hashlib.sha256(body).hexdigest(),
        "request": payload(body),
        "needed_by": None,
        "give_up_at": NOW + timedelta(minutes=15),
        "delayed_at": NOW + timedelta(minutes=1),
    }
    return Submission(**(values | changes))  # type: ignore[arg-type]


def arrival(**changes: object) -> Arrival:
    body = changes.pop("body", uuid.uuid4().bytes)
    assert isinstance(body, bytes)
    values: dict[str, object] = {
        "provider": "trust",
        "request_id": str(uuid.uuid4()),
        "correlation_id": str(uuid.uuid4()),
        "bundle_id": str(uuid.uuid4()),
        "move": Move.REQUEST,
        "request_type": RequestType.REFERRAL,
        "use_case": "a3t1",
        "sender": THEIRS,
        "receiver": OURS,
        "focus_id": str(uuid.uuid4()),
        "reference": "RAE-000001",
        "responds_to": None,
        "fingerprint": hashlib.sha256(body).hexdigest(),
        "request": payload(body),
        "answer": payload(b'{"acknowledged":true}'),
        "owed": None,
    }
    return Arrival(**(values | changes))  # type: ignore[arg-type]


def wording(encounter: str, at: datetime | None = NOW, **changes: object) -> Wording:
    """Return the words of a response whose Responder's Encounter is *encounter*."""
    own = Written(url="own", keys=frozenset({"own"}), status=encounter, at=at, reason=None)
    values: dict[str, object] = {
        "use_case": "a6t2",
        "request_type": RequestType.REFERRAL,
        "reason": "new",
        "definition": "servicerequest-response-referral-short",
        "focus": "own",
        "focus_type": "Encounter",
        "request": "active",
        "plan": "",
        "absent": False,
        "encounters": (own,),
        "sent_at": at,
    }
    return Wording(**(values | changes))  # type: ignore[arg-type]


def refusal(of: Arrival, http_status: int = 400) -> Refusal:
    return Refusal(
        provider=of.provider,
        request_id=of.request_id,
        correlation_id=of.correlation_id,
        fingerprint=of.fingerprint,
        rules=["B07"],
        http_status=http_status,
        answer=payload(b'{"refused":true}'),
    )


def decision(**changes: object) -> Decision:
    values: dict[str, object] = {
        "accepted": True,
        "word": None,
        "http_status": 200,
        "code": None,
        "answer": payload(b'{"yes":true}'),
        "focus_id": None,
        "reference": None,
        "answered_with": "first",
        "answered_in": "bytes of the first",
    }
    return Decision(**(values | changes))  # type: ignore[arg-type]


def attempt(claim: Claim, verdict: Verdict = Verdict.ACKNOWLEDGED, **changes: object) -> Attempt:
    acknowledged = verdict is Verdict.ACKNOWLEDGED
    values: dict[str, object] = {
        "number": claim.attempt,
        "started_at": NOW,
        "ended_at": NOW + timedelta(seconds=1),
        "verdict": verdict,
        "row": "acknowledged" if acknowledged else "silence",
        "fault": None if acknowledged else FaultSide.PROXY,
        "http_status": 200 if acknowledged else None,
        "code": None,
        "issue": None,
        "ids_echoed": acknowledged,
    }
    return Attempt(**(values | changes))  # type: ignore[arg-type]


ANSWER = ProxyAnswer(status=200, media_type="application/fhir+json", body=b'{"id":"theirs"}')
SILENCE = ProxyAnswer(status=None)


async def claim_next(
    store: "Store", now: datetime, providers: Collection[str], not_for: Collection[str] = ()
) -> Claim | None:
    """Take the first message of one of *providers*, for none of the Receivers *not_for*."""
    from bars_gateway.store.claims import Openings  # the standard's tests do without the store

    openings = Openings(at=now, places=dict.fromkeys(providers, 1), not_for=not_for)
    return next(iter(await store.outbound.claim(1, openings)), None)
