"""Requests that were taken, and what may be composed about them: shared by tests of moves."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

from messages import RECEIVER, SENDER
from variants import a_referral, a_transfer, a_validation

from bars_gateway.standard import answers
from bars_gateway.standard.answers import Minted
from bars_gateway.standard.applications import EVERYTHING, Offer
from bars_gateway.standard.bundle import from_json, read, said_by
from bars_gateway.standard.composition import Exchanged, Wanted, compose
from bars_gateway.standard.compositions import Composition, Need
from bars_gateway.standard.examination import examine
from bars_gateway.standard.formats import Format, to_bytes
from bars_gateway.standard.meaning import move_of
from bars_gateway.standard.rule import Side
from bars_gateway.standard.workflow import Move, request_type_of

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
REQUESTER = Offer(services=frozenset({SENDER}), applications=EVERYTHING)
RESPONDER = Offer(services=frozenset({RECEIVER}), applications=EVERYTHING)
MINTED = Minted(
    focus_id="11111111-0000-4000-8000-000000000001",
    encounter_id="11111111-0000-4000-8000-000000000002",
    reference="ZX902-1234-5678",
    reference_system="https://gateway.example/Id/case-number",
)
CARE_PLAN = {
    "resourceType": "CarePlan",
    "period": {"start": "2026-03-02T09:00:00+00:00"},
    "activity": [{"outcomeCodeableConcept": [{"text": "Seen by an invented clinician."}]}],
}
TEXT = "Invented reason"
Bundle = dict[str, Any]
PERIOD = {"start": "2026-03-02T09:00:00+00:00", "end": "2026-03-02T10:00:00+00:00"}
CHANGED = {"resourceType": "ServiceRequest", "occurrencePeriod": PERIOD}
GIVEN: dict[Need | None, tuple[Bundle, ...]] = {
    Need.FINDINGS: (CARE_PLAN,),
    Need.CHANGE: (CHANGED,),
}


def new_ids() -> Any:
    numbers = count(1)
    return lambda: f"22222222-0000-4000-8000-{next(numbers):012d}"


def asked(body: bytes, move: Move = Move.REQUEST) -> Exchanged:
    """Return the request as both sides have it: with the ids that its Receiver gave."""
    message = read(body)
    answer = answers.acknowledge(message, MINTED, new_ids(), NOW)
    return Exchanged(move=move, bundle=from_json(body), answer=json_tree(answer))


def json_tree(tree: Any) -> Any:
    return from_json(to_bytes(tree, Format.JSON))


@dataclass(frozen=True)
class Case:
    """A request that was taken, and what may be composed about it."""

    use_case: str
    request: Exchanged
    focus_id: str | None = MINTED.focus_id

    def make(self, wanted: Wanted, *later: Exchanged) -> Any:
        request = said_by(self.request.bundle)
        return compose(
            wanted,
            use_case=request.use_case,
            request_type=request_type_of(request),
            exchanged=[self.request, *later],
            focus_id=self.focus_id,
            new_id=new_ids(),
            now=NOW,
        )


def case(use_case: str) -> Case:
    make = {"a4": a_validation, "a6": a_transfer, "a1": a_referral}[use_case[:2]]
    body = json.dumps(make()).replace("a6t1", use_case).encode()
    return Case(use_case, asked(body))


def wants(
    move: Move, outcome: str | None = None, *resources: Bundle, text: str | None = None
) -> Wanted:
    trees = tuple(from_json(json.dumps(each).encode()) for each in resources)
    return Wanted(move=move, outcome=outcome, text=text, resources=trees)


def wanted_for(row: Composition) -> Wanted:
    text = TEXT if row.takes_words else None
    return wants(row.move, row.outcome or None, *GIVEN.get(row.need, ()), text=text)


def problems(tree: Any, offer: Offer) -> list[tuple[str, str]]:
    body = to_bytes(tree, Format.JSON)
    found = examine(body, Format.JSON, Side.SENDING, offer)
    return [(issue.rule, issue.path) for issue in found.errors]


def exchanged(made: Any) -> Exchanged:
    tree = json_tree(made)
    move = move_of(said_by(tree))
    assert move is not None
    return Exchanged(move=move, bundle=tree, answer={})
