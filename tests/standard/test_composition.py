"""What the gateway composes for an EPR: valid, addressed, and found again by the other side."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import oracles
import pytest
from composed_moves import (
    CARE_PLAN,
    CHANGED,
    MINTED,
    REQUESTER,
    RESPONDER,
    TEXT,
    Case,
    asked,
    case,
    exchanged,
    json_tree,
    problems,
    wanted_for,
    wants,
)
from messages import RECEIVER, SENDER
from variants import a_booking, a_referral, a_validation

from bars_gateway.standard import structure, xml
from bars_gateway.standard.bundle import said_by
from bars_gateway.standard.composition import Wanted
from bars_gateway.standard.compositions import COMPOSITIONS, Composition
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.meaning import move_of
from bars_gateway.standard.workflow import Move

RESPONSES = [
    pytest.param(row, use_case, id=f"{use_case}-{row.move}-{row.outcome}")
    for row in COMPOSITIONS
    for use_case in ("a4t1", "a6t2")
    if row.is_response and use_case[:2] in row.applications
]


@pytest.mark.parametrize(("row", "use_case"), RESPONSES)
def test_a_composed_response_passes_our_own_rules(row: Composition, use_case: str) -> None:
    """Every move of Applications 4 and 6: strict, element by element, and the move it was for."""
    made = case(use_case).make(wanted_for(row))

    assert [] == problems(made, RESPONDER)
    assert [] == structure.check(made)
    assert row.move is move_of(said_by(made))


NO_PLACE = {"resourceType": "Location", "address": {}, "position": {}, "extension": []}


@pytest.mark.parametrize(
    ("use_case", "emptied", "rule"),
    [
        ("a4t1", {"resourceType": "ServiceRequest", "occurrencePeriod": {}}, "R04"),
        ("a4t1", NO_PLACE, "R19L"),
        ("a6t2", {"resourceType": "ServiceRequest", "authoredOn": None}, "R04"),
        ("a6t2", NO_PLACE, "R21L"),
    ],
)
def test_an_update_lacks_nothing_that_its_request_must_have(
    use_case: str, emptied: dict[str, Any], rule: str
) -> None:
    """It takes the place of the whole: what it leaves out, its Receiver has no more."""
    made = case(use_case).make(wants(Move.UPDATE, None, emptied))

    assert rule in {found for found, _ in problems(made, REQUESTER)}


@pytest.mark.reference_data
@pytest.mark.parametrize(("row", "use_case"), RESPONSES)
def test_others_find_a_composed_response_to_be_r4(
    row: Composition, use_case: str, reference_data: Path
) -> None:
    """HL7's schema and fhir.resources, of each resource and of the Bundle."""
    made = json_tree(case(use_case).make(wanted_for(row)))
    valid = oracles.schema(reference_data / "fhir-r4" / "fhir.schema.json")

    assert valid(made)
    assert oracles.models(made)


@pytest.mark.parametrize(("row", "use_case"), RESPONSES)
def test_a_composed_response_can_be_written_in_xml(row: Composition, use_case: str) -> None:
    """A Receiver may want it so."""
    made = json_tree(case(use_case).make(wanted_for(row)))

    assert made == xml.to_tree(xml.from_tree(made)).tree


def resource(made: Any, kind: str, number: int = 0) -> Any:
    found = [e["resource"] for e in made["entry"] if e["resource"]["resourceType"] == kind]
    return found[number]


def test_a_response_goes_back_where_the_request_came_from() -> None:
    """Section 2.4: endpoints and organisations swapped, response.identifier the request's id."""
    given = case("a4t1")
    made = said_by(given.make(wants(Move.PROGRESS)))

    assert (RECEIVER, (SENDER,)) == (made.source, made.destinations)
    assert given.request.bundle["id"] == made.responds_to
    assert given.request.bundle["id"] != made.bundle_id
    assert MINTED.focus_id == made.request_id


def test_a_response_is_about_the_responders_encounter() -> None:
    """Both Encounters are there by their ids; the case number is the one that we gave."""
    made = case("a4t1").make(wants(Move.PROGRESS))
    message = said_by(made)
    encounters = [
        e["resource"] for e in made["entry"] if e["resource"]["resourceType"] == "Encounter"
    ]

    assert ("Encounter", MINTED.encounter_id, "in-progress") == (
        message.focus_type,
        message.focus_id,
        message.focus_status,
    )
    assert 2 == len(encounters)
    assert MINTED.reference == encounters[1]["identifier"][0]["value"]
    assert "triaged" == encounters[0]["status"]


@pytest.mark.parametrize(
    ("interims", "reason"),
    [
        pytest.param(1, "update", id="62-after-interim"),
        pytest.param(0, "new", id="64-alone"),
    ],
)
def test_a_final_response_is_an_update_after_an_interim_one(interims: int, reason: str) -> None:
    """The guide's rule of Application 4; what was sent decides."""
    given = case("a4t1")
    before = [exchanged(given.make(wants(Move.PROGRESS)))] * interims
    made = given.make(wants(Move.CONCLUDE, "no_action", CARE_PLAN), *before)

    assert reason == said_by(made).reason
    assert "completed" == resource(made, "CarePlan")["status"]


def test_a_status_between_control_rooms_is_always_new() -> None:
    """Application 6, whatever went before it."""
    given = case("a6t2")
    first = exchanged(given.make(wants(Move.PROGRESS)))
    second = exchanged(given.make(wants(Move.PROGRESS, "arrived"), first))
    made = given.make(wants(Move.CONCLUDE), first, second)

    assert ["new"] * 3 == [said_by(each.bundle).reason for each in (first, second)] + [
        said_by(made).reason
    ]


def test_what_the_responder_adds_later_is_kept() -> None:
    """Its Encounter goes on from how it was last told, under the same id."""
    given = case("a6t2")
    period = {"start": "2026-03-02T09:00:00+00:00"}
    own = {"resourceType": "Encounter", "id": MINTED.encounter_id, "period": period}
    first = exchanged(given.make(wants(Move.PROGRESS, "allocated", own)))
    made = given.make(wants(Move.PROGRESS, "arrived"), first)

    assert period == resource(made, "Encounter", 1)["period"]
    assert [] == problems(made, RESPONDER)


def test_another_encounter_joins_the_final_response() -> None:
    """Scenario 82: the ambulance request that was raised beside it, named by the CarePlan."""
    other = {
        "resourceType": "Encounter",
        "id": "33333333-0000-4000-8000-000000000001",
        "identifier": [{"system": "https://example.org/Id/incident", "value": "S2201240528"}],
        "status": "planned",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "EMER"},
    }
    plan = CARE_PLAN | {
        "activity": [{"outcomeReference": [{"reference": f"Encounter/{other['id']}"}]}]
    }
    made = case("a4t1").make(wants(Move.CONCLUDE, "action", other, plan))
    url = next(e["fullUrl"] for e in made["entry"] if e["resource"].get("id") == other["id"])

    assert url == resource(made, "CarePlan")["activity"][0]["outcomeReference"][0]["reference"]
    assert [] == problems(made, RESPONDER)


@pytest.mark.parametrize(
    ("use_case", "wanted", "paths"),
    [
        pytest.param("a4t1", wants(Move.CONCLUDE, "action"), ["resources"], id="no-care-plan"),
        pytest.param("a4t1", wants(Move.DECLINE, "OTH", text=None), ["text"], id="92-no-text"),
        pytest.param("a4t1", wants(Move.DECLINE), ["outcome"], id="no-code"),
        pytest.param("a4t1", wants(Move.CONCLUDE, "done", CARE_PLAN), ["outcome"], id="misspelt"),
        pytest.param("a1t1", wants(Move.PROGRESS), ["move"], id="no-such-move"),
        pytest.param(
            "a6t2",
            wants(Move.PROGRESS, "arrived", CARE_PLAN),
            ["resources[0]"],
            id="no-place-for-it",
        ),
    ],
)
def test_what_only_the_epr_knows_is_asked_for(
    use_case: str, wanted: Wanted, paths: Sequence[str]
) -> None:
    """Nothing clinical is made up, and each thing that is missing is named."""
    issues = case(use_case).make(wanted)

    assert all(isinstance(issue, Issue) for issue in issues)
    assert paths == [issue.path for issue in issues]


@pytest.mark.parametrize(
    ("make", "outcome"),
    [(a_referral, "revoked"), (a_validation, "entered-in-error"), (a_booking, "cancelled")],
)
def test_a_composed_cancellation_passes_our_own_rules(make: Any, outcome: str) -> None:
    """Id, status and reason; the person and the two organisations; nothing else (D-cancel-read)."""
    given = Case("", asked(json.dumps(make()).encode()))
    made = given.make(wants(Move.CANCEL, outcome, text=TEXT))
    kinds = {e["resource"]["resourceType"] for e in made["entry"]}

    assert [] == problems(made, REQUESTER)
    assert Move.CANCEL is move_of(said_by(made))
    assert ("update", MINTED.focus_id, outcome) == (
        said_by(made).reason,
        said_by(made).focus_id,
        said_by(made).focus_status,
    )
    assert {"MessageHeader", "Patient", "Organization"} == kinds - {"ServiceRequest", "Appointment"}
    assert [] == structure.check(made)


def test_what_is_composed_is_stamped_as_bars_writes_an_instant() -> None:
    """Seven decimals, in UTC: nobody is warned of what the gateway itself has written."""
    given = Case("", asked(json.dumps(a_referral()).encode()))
    made = given.make(wants(Move.CANCEL, "revoked", text=TEXT))
    header = made["entry"][0]["resource"]

    stamps = {made["timestamp"], made["meta"]["lastUpdated"], header["meta"]["lastUpdated"]}
    assert 1 == len(stamps)
    assert re.fullmatch(r"[-0-9]{10}T[:0-9]{8}\.\d{7}\+00:00", stamps.pop())


@pytest.mark.parametrize("use_case", ["a4t1", "a6t1"])
def test_a_composed_update_passes_our_own_rules(use_case: str) -> None:
    """Under the ids that its Receiver gave; a control room gets its Encounter echoed."""
    period = {"start": "2026-03-02T09:00:00+00:00", "end": "2026-03-02T10:00:00+00:00"}
    changed = {"resourceType": "ServiceRequest", "occurrencePeriod": period}
    made = case(use_case).make(wants(Move.UPDATE, None, changed, text=None))
    encounters = [e for e in made["entry"] if e["resource"]["resourceType"] == "Encounter"]

    assert [] == problems(made, REQUESTER)
    assert period == resource(made, "ServiceRequest")["occurrencePeriod"]
    assert MINTED.focus_id == said_by(made).focus_id
    assert {"a4t1": 1, "a6t1": 2}[use_case] == len(encounters)


@pytest.mark.parametrize("move", [Move.CANCEL, Move.UPDATE])
def test_an_id_that_no_answer_has_told_is_named(move: Move) -> None:
    """The answer was lost, and a response or a search has told since what the record is called."""
    given = case("a6t2")
    lost = replace(given, request=replace(given.request, answer={}), focus_id="told-otherwise")
    changed = [CHANGED] if move is Move.UPDATE else []
    made = lost.make(wants(move, None, *changed, text=TEXT if move is Move.CANCEL else None))

    assert "told-otherwise" == said_by(made).focus_id


def test_an_id_that_was_not_taken_from_an_answer_is_not_named() -> None:
    """It may be of another patient's record."""
    (issue,) = replace(case("a6t2"), focus_id=None).make(wants(Move.CANCEL, text=TEXT))

    assert ("C04", "in_reply_to") == (issue.rule, issue.path)


def test_nothing_is_changed_whose_id_is_not_known() -> None:
    """The Receiver's answer was lost: a read has to find the id first."""
    given = case("a4t1")
    unknown = replace(given, request=replace(given.request, answer={}), focus_id=None)
    (issue,) = unknown.make(wants(Move.CANCEL, "revoked"))

    assert "in_reply_to" == issue.path
