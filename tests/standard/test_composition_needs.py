"""A composed message says what the move says, or names what the EPR has to say for it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from composed_moves import (
    CARE_PLAN,
    CHANGED,
    MINTED,
    REQUESTER,
    RESPONDER,
    TEXT,
    Bundle,
    Case,
    asked,
    case,
    exchanged,
    json_tree,
    wanted_for,
    wants,
)
from variants import a_booking, a_broker_referral, a_pharmacy_referral, a_referral

from bars_gateway.standard.applications import USE_CASE_NAMES
from bars_gateway.standard.bundle import said_by
from bars_gateway.standard.composition import Wanted
from bars_gateway.standard.compositions import COMPOSITIONS, Composition
from bars_gateway.standard.definitions import DEFINITIONS, cited
from bars_gateway.standard.examination import examine
from bars_gateway.standard.formats import Format, to_bytes
from bars_gateway.standard.issues import Issue, Severity
from bars_gateway.standard.meaning import MOVES, Said, move_of, ours_in, read_as, wording_of
from bars_gateway.standard.rule import Side
from bars_gateway.standard.workflow import Move, RequestType

Change = Callable[[Bundle], object]
EMPTY_PLAN = {
    "resourceType": "CarePlan",
    "status": "completed",
    "intent": "plan",
    "subject": {"reference": "Patient/1"},
}
OWN = {"resourceType": "Encounter", "id": MINTED.encounter_id}
MAKE: Mapping[str, Callable[[], Bundle]] = {
    "a1": a_referral,
    "a2": a_referral,
    "a3": a_referral,
    "a5": a_pharmacy_referral,
    "a7": a_booking,
    "a8": a_broker_referral,
}


def of(use_case: str, request_type: RequestType | None = None) -> Case:
    """Return a request in that use case, taken by its Receiver."""
    application = use_case[:2]
    if application in {"a4", "a6"}:
        given = case("a4t1" if application == "a4" else use_case)
        text = to_bytes(given.request.bundle, Format.JSON).decode()
    else:
        make = a_booking if request_type is RequestType.BOOKING else MAKE[application]
        text = json.dumps(make())
    for code in ("a1t1", "a4t1", "a5t1", "a8t1"):
        text = text.replace(f'"{code}"', f'"{use_case}"')
    return Case(use_case, asked(text.encode()))


EACH = [
    pytest.param(row, use_case, id=f"{use_case}-{row.move}-{row.outcome or 'alone'}-{row.status}")
    for row in COMPOSITIONS
    for use_case in USE_CASE_NAMES
    if use_case[:2] in row.applications
    if (RequestType.BOOKING in row.request_types) <= (use_case[:2] in {"a1", "a2", "a7"})
    if row.move is not Move.UPDATE or use_case[:2] in {"a4", "a6"}  # others are not updated
    if use_case[:2] != "a7" or row.request_types == {RequestType.BOOKING}
    if row.move is not Move.CANCEL or use_case[:2] != "a8"  # cancelled by telephone (G12)
]
RESPONSES = [each for each in EACH if each.values[0].is_response]


def request_type(row: Composition) -> RequestType | None:
    return RequestType.BOOKING if row.request_types == {RequestType.BOOKING} else None


def composed(row: Composition, use_case: str) -> tuple[Case, Any]:
    given = of(use_case, request_type(row))
    return given, given.make(wanted_for(row))


def found(tree: Any, row: Composition) -> list[Issue]:
    offer = RESPONDER if row.is_response else REQUESTER
    return list(examine(to_bytes(tree, Format.JSON), Format.JSON, Side.SENDING, offer).issues)


def reading(given: Case, made: Any) -> Said:
    wording = wording_of(said_by(made))
    assert wording is not None
    ours = ours_in(said_by(given.request.bundle))
    return read_as(wording, ours, use_case=given.use_case).said


@pytest.mark.exhaustive
@pytest.mark.parametrize(("row", "use_case"), RESPONSES)
def test_a_composed_response_reads_as_what_was_asked_for(row: Composition, use_case: str) -> None:
    """By the table of meanings, as its Requester reads it: each move, in each use case."""
    given, made = composed(row, use_case)
    turned_down_out_of_area = row.move is Move.DECLINE and use_case == "a6t1"

    said = reading(given, made)

    assert {said} <= ({Said.UNCLEAR} if turned_down_out_of_area else row.says)
    assert turned_down_out_of_area or row.move is MOVES[said]


@pytest.mark.exhaustive
@pytest.mark.parametrize(("row", "use_case"), EACH)
def test_a_composed_message_is_the_move_that_was_asked_for(row: Composition, use_case: str) -> None:
    """Updates and cancellations too, in every Application that has them."""
    _, made = composed(row, use_case)

    assert isinstance(made, dict)
    if row.move is not Move.DECLINE or use_case != "a6t1":
        assert row.move is move_of(said_by(made))


def test_a_wait_after_an_allocation_reads_as_stood_down() -> None:
    """The one word whose meaning hangs on what came before it."""
    given = case("a6t2")
    allocated = exchanged(given.make(wants(Move.PROGRESS)))
    made = given.make(wants(Move.WAIT), allocated)
    wording = wording_of(said_by(made))
    assert wording is not None
    ours = ours_in(said_by(given.request.bundle))

    assert Said.STOOD_DOWN is read_as(wording, ours, use_case="a6t2", before=Said.ASSIGNED).said


@pytest.mark.exhaustive
@pytest.mark.parametrize(("row", "use_case"), EACH)
def test_a_composed_message_has_no_error_of_substance(row: Composition, use_case: str) -> None:
    """Nor a warning: what the payload tables ask for is there, in every use case."""
    _, made = composed(row, use_case)
    substance = {"R07P", "R09P", "R16P", "R16E", "R16S", "R19F", "R15R", "R15O", "R15V", "R24R"}

    assert [] == [
        issue.rule
        for issue in found(made, row)
        if issue.rule in substance | {"R11Y", "K04Y", "B22", "R10", "K04"}
    ]


def mandatory() -> Iterator[Any]:
    """Yield each composed move with each type of resource that its definition cannot do without."""
    for row in COMPOSITIONS:
        for use_case in ("a4t1", "a6t2", "a1t1", "a3t1", "a5t1", "a7t1"):
            name = row.definition or {
                "a4t1": "servicerequest-request-validation",
                "a6t2": "servicerequest-request-referral",
            }.get(use_case)
            if name and any(each.values == (row, use_case) for each in EACH):
                for focus in DEFINITIONS[name].focuses[2:]:
                    if focus.least:
                        label = f"{use_case}-{row.move}-{row.outcome}-{row.status}-{focus.type}"
                        yield pytest.param(row, use_case, focus.type, id=label)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("row", "use_case", "kind"), list(mandatory()))
def test_a_resource_that_is_left_out_is_named(row: Composition, use_case: str, kind: str) -> None:
    """Whatever the MessageDefinition of a composed move cannot do without."""
    _, made = composed(row, use_case)
    bundle = json.loads(to_bytes(made, Format.JSON))
    bundle["entry"] = [e for e in bundle["entry"] if e["resource"]["resourceType"] != kind]

    errors = [each for each in found(bundle, row) if each.severity is Severity.ERROR]

    assert cited(said_by(json_tree(bundle)).definition) is not None
    assert f"Bundle.entry.resource.ofType({kind})" in {each.path for each in errors} or {"M12"} <= {
        each.rule for each in errors
    }


def in_own(bundle: Bundle) -> Bundle:
    """Return the focus of the message."""
    url = bundle["entry"][0]["resource"]["focus"][0]["reference"]
    return next(e["resource"] for e in bundle["entry"] if e["fullUrl"] == url)  # type: ignore[no-any-return]


def in_plan(bundle: Bundle) -> Bundle:
    return next(  # type: ignore[no-any-return]
        e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "CarePlan"
    )


PROGRESS, OTHER = wants(Move.PROGRESS), wants(Move.DECLINE, "OTH", text=TEXT)
CLOSE, ACT = (wants(Move.CONCLUDE, word, CARE_PLAN) for word in ("no_action", "action"))
CANCEL = wants(Move.CANCEL, text=TEXT)
ELEMENTS: Sequence[tuple[str, str, Any, Change, str]] = (
    ("interim-reason", "a4t1", PROGRESS, lambda b: in_own(b).pop("reasonCode"), "R15V"),
    ("interim-case", "a4t1", PROGRESS, lambda b: in_own(b).pop("identifier"), "R24R"),
    ("reject-reason", "a4t1", OTHER, lambda b: in_own(b).pop("reasonCode"), "R15R"),
    ("reject-words", "a4t1", OTHER, lambda b: in_own(b)["reasonCode"][0].pop("text"), "R15O"),
    ("close-findings", "a4t1", CLOSE, lambda b: in_plan(b).pop("activity"), "R16P"),
    ("act-findings", "a4t1", ACT, lambda b: in_plan(b).pop("activity"), "R16P"),
    ("act-encounter", "a4t1", ACT, lambda b: in_plan(b).pop("encounter"), "R16E"),
    ("act-clock", "a4t1", ACT, lambda b: in_plan(b).pop("period"), "R16S"),
    ("act-reason", "a4t1", ACT, lambda b: in_own(b).pop("reasonCode"), "R15V"),
    ("aid-reason", "a6t2", OTHER, lambda b: in_own(b).pop("reasonCode"), "R15R"),
    ("aid-words", "a6t2", OTHER, lambda b: in_own(b)["reasonCode"][0].pop("text"), "R15O"),
    ("aid-case", "a6t2", PROGRESS, lambda b: in_own(b).pop("identifier"), "R24R"),
    (
        "response-to-what",
        "a6t2",
        PROGRESS,
        lambda b: b["entry"][0]["resource"].pop("response"),
        "M16",
    ),
    ("update-id", "a4t1", wants(Move.UPDATE, None, CHANGED), lambda b: in_own(b).pop("id"), "R10"),
    (
        "update-findings",
        "a4t1",
        wants(Move.UPDATE, None, CHANGED),
        lambda b: in_plan(b).pop("activity"),
        "R09P",
    ),
    (
        "transfer-id",
        "a6t1",
        wants(Move.UPDATE, None, CHANGED),
        lambda b: in_own(b).pop("id"),
        "R10",
    ),
    ("cancel-id", "a1t1", CANCEL, lambda b: in_own(b).pop("id"), "R10"),
    ("cancel-reason", "a1t1", CANCEL, lambda b: in_own(b).pop("reasonCode"), "R11Y"),
    ("cancel-validation", "a4t1", CANCEL, lambda b: in_own(b).pop("id"), "R10"),
    ("booking-id", "a7t1", CANCEL, lambda b: in_own(b).pop("id"), "K04"),
    ("booking-reason", "a7t1", CANCEL, lambda b: in_own(b).pop("cancelationReason"), "K04Y"),
)


@pytest.mark.parametrize(
    ("use_case", "wanted", "change", "rule"),
    [each[1:] for each in ELEMENTS],
    ids=[e[0] for e in ELEMENTS],
)
def test_an_element_that_is_left_out_is_named(
    use_case: str, wanted: Any, change: Change, rule: str
) -> None:
    """Of a message that an EPR writes itself: what a composed one has is asked of it, too."""
    made = json.loads(to_bytes(of(use_case).make(wanted), Format.JSON))
    row = next(r for r in COMPOSITIONS if r.move is wanted.move and use_case[:2] in r.applications)
    before = {each.rule for each in found(made, row)}
    change(made)

    assert {rule} == {each.rule for each in found(made, row)} & {rule} - before


@pytest.mark.parametrize(
    ("use_case", "wanted", "rules", "paths"),
    [
        pytest.param(
            "a4t1",
            wants(Move.CONCLUDE, "no_action", EMPTY_PLAN),
            ["C03"],
            ["resources[0].activity"],
            id="empty-plan-closes",
        ),
        pytest.param(
            "a4t1",
            wants(Move.CONCLUDE, "action", EMPTY_PLAN | {"status": "active"}),
            ["C03"],
            ["resources[0].activity"],
            id="empty-plan-acts",
        ),
        pytest.param(
            "a4t1",
            wants(
                Move.CONCLUDE,
                "action",
                {
                    "resourceType": "CarePlan",
                    "activity": [{"outcomeCodeableConcept": [{"text": " "}]}],
                },
            ),
            ["C03"],
            ["resources[0].activity"],
            id="blank-words",
        ),
        pytest.param(
            "a4t1", wants(Move.DECLINE, "OTH", text=" "), ["C03"], ["text"], id="blank-reason"
        ),
        pytest.param(
            "a4t1",
            wants(Move.DECLINE, "OTH", text="\u3164\u2800"),
            ["C03"],
            ["text"],
            id="reason-that-nobody-can-see",
        ),
        pytest.param("a4t1", wants(Move.UPDATE), ["C03"], ["resources"], id="update-of-nothing"),
        pytest.param(
            "a4t1",
            wants(Move.UPDATE, None, {"resourceType": "ServiceRequest"}),
            ["C03"],
            ["resources"],
            id="update-that-changes-nothing",
        ),
        pytest.param(
            "a4t1",
            wants(
                Move.UPDATE,
                None,
                {"resourceType": "ServiceRequest", "id": MINTED.focus_id, "meta": {}},
                {"resourceType": "Patient"},
                {"resourceType": "Observation", "id": "o1"},
            ),
            ["C03"],
            ["resources"],
            id="updates-that-change-nothing",
        ),
        pytest.param(
            "a4t1",
            wants(Move.CONCLUDE, "action", CARE_PLAN, CARE_PLAN),
            ["C05"],
            ["resources[1]"],
            id="two-plans",
        ),
        pytest.param(
            "a4t1",
            wants(Move.CONCLUDE, "no_action", CARE_PLAN, text=TEXT),
            ["C06"],
            ["text"],
            id="words-that-would-be-lost",
        ),
        pytest.param(
            "a6t2", wants(Move.WAIT, text=TEXT), ["C06"], ["text"], id="words-with-a-status"
        ),
        pytest.param(
            "a4t1",
            wants(Move.UPDATE, None, CHANGED, text=TEXT),
            ["C06"],
            ["text"],
            id="words-over-the-reason-of-the-request",
        ),
        pytest.param(
            "a4t1",
            wants(Move.CONCLUDE, "no_action", CARE_PLAN | {"status": "active"}),
            ["C06"],
            ["resources[0].status"],
            id="plan-says-act",
        ),
        pytest.param(
            "a6t2",
            wants(Move.PROGRESS, "arrived", OWN | {"status": "finished"}),
            ["C06"],
            ["resources[0].status"],
            id="encounter-says-finished",
        ),
        pytest.param(
            "a6t2",
            wants(
                Move.PROGRESS, "arrived", {"resourceType": "ServiceRequest", "status": "revoked"}
            ),
            ["C06"],
            ["resources[0].status"],
            id="request-says-revoked",
        ),
        pytest.param(
            "a6t2",
            wants(Move.DECLINE, "FC", OWN | {"reasonCode": [{"text": "Invented"}]}),
            ["C06"],
            ["resources[0].reasonCode"],
            id="another-reason",
        ),
    ],
)
def test_what_a_move_needs_is_named_with_its_cure(
    use_case: str, wanted: Any, rules: Sequence[str], paths: Sequence[str]
) -> None:
    """The member of the move, so that the EPR finds it; nothing is composed."""
    issues = of(use_case).make(wanted)

    assert isinstance(issues, list)
    assert (rules, paths) == ([i.rule for i in issues], [i.path for i in issues])


def test_an_update_may_not_say_again_what_they_have() -> None:
    """Whoever gets it would look for what has changed, and find nothing."""
    given = of("a4t1")
    update = wants(Move.UPDATE, None, CHANGED)
    made = given.make(update)
    (issue,) = given.make(update, exchanged(made))

    assert ("C03", "resources") == (issue.rule, issue.path)
    assert "if nothing has, send no update" in issue.text


def test_an_update_may_be_said_again_where_nobody_knows_whether_they_have_it() -> None:
    """It is nothing new to us, and may be all that they do not know."""
    given = of("a4t1")
    update = wants(Move.UPDATE, None, CHANGED)
    unconfirmed = replace(exchanged(given.make(update)), arrived=False)

    assert isinstance(given.make(update, unconfirmed), dict)


def test_what_was_changed_may_be_changed_back() -> None:
    """It is what they had before, and not what they have now."""
    given = of("a4t1")
    moved = {"start": "2026-03-02T09:30:00+00:00", "end": "2026-03-02T10:30:00+00:00"}
    first = exchanged(given.make(wants(Move.UPDATE, None, CHANGED)))
    second = given.make(
        wants(Move.UPDATE, None, CHANGED | {"occurrencePeriod": moved}),
        first,
    )

    assert isinstance(given.make(wants(Move.UPDATE, None, CHANGED), first, exchanged(second)), dict)


@pytest.mark.parametrize("text", [" ", "\u200b", "\u3164", "\n"])
@pytest.mark.parametrize(
    ("use_case", "wanted"),
    [
        pytest.param("a4t1", wants(Move.CANCEL), id="cancel"),
        pytest.param("a7t1", wants(Move.CANCEL), id="cancel-a-booking"),
        pytest.param("a4t1", wants(Move.DECLINE, "FC"), id="decline"),
        pytest.param("a6t2", wants(Move.PROGRESS), id="a-move-without-words"),
    ],
)
def test_a_text_in_which_nothing_can_be_read_is_none(
    use_case: str, wanted: Wanted, text: str
) -> None:
    """A cancellation is not stopped for it, and nobody gets an empty reason."""
    given = of(use_case)
    blank = given.make(replace(wanted, text=text))

    assert to_bytes(given.make(wanted), Format.JSON) == to_bytes(blank, Format.JSON)


def test_a_case_may_be_shared_as_it_stands() -> None:
    """Application 6: an update need not change anything to tell who has the patient now."""
    assert isinstance(of("a6t3").make(wants(Move.UPDATE)), dict)


@pytest.mark.parametrize(
    "activity",
    [
        {"outcomeReference": [{"reference": "Encounter/does-not-exist"}]},
        {"outcomeReference": [{"reference": "#held-nowhere"}]},
        {"outcomeReference": [{"reference": "Encounter/no-name", "display": "-"}]},
        {"outcomeCodeableConcept": [{"text": "."}]},
        {"outcomeCodeableConcept": [{"text": "\u200b"}]},
        {"outcomeCodeableConcept": [{"coding": [{"code": "-"}]}]},
    ],
)
def test_an_outcome_that_nobody_can_read_is_none(activity: Bundle) -> None:
    """The Requester would close the case by it, and find nothing."""
    plan = {"resourceType": "CarePlan", "activity": [activity]}
    (issue,) = of("a4t1").make(wants(Move.CONCLUDE, "no_action", plan))

    assert ("C03", "resources[0].activity") == (issue.rule, issue.path)


@pytest.mark.parametrize(
    "activity",
    [
        {"outcomeCodeableConcept": [{"text": "Seen by an invented clinician."}]},
        {"outcomeCodeableConcept": [{"coding": [{"system": "urn:x", "code": "Dx02"}]}]},
        {"outcomeReference": [{"identifier": {"value": "ZX902-9876"}}]},
        {"outcomeReference": [{"display": "The case of an invented clinician"}]},
    ],
    ids=["words", "code", "case", "display"],
)
def test_an_outcome_may_be_words_a_code_or_a_case(activity: Bundle) -> None:
    """Any one of them tells the Requester what was found."""
    plan = {"resourceType": "CarePlan", "activity": [{}, activity]}

    assert isinstance(of("a4t1").make(wants(Move.CONCLUDE, "action", plan)), dict)
