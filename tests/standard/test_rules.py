"""Every rule is broken by one change, and only that change is blamed."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from messages import RECEIVER, SENDER, referral, validation_request

from bars_gateway.standard import rules
from bars_gateway.standard.bundle import read
from bars_gateway.standard.rules import RULES, Offer, Severity, Side, check

SENDERS = Offer(services=frozenset({SENDER}), applications={})
RECEIVERS = Offer(
    services=frozenset({RECEIVER}),
    applications={f"a{n}": frozenset({1, 2}) for n in range(1, 9)},
)
Bundle = dict[str, Any]
HEADER = "Bundle.entry[0].resource"


def found(bundle: Bundle, side: Side, offer: Offer | None = None) -> set[tuple[str, str, str]]:
    message = read(json.dumps(bundle).encode())
    offer = offer or (SENDERS if side is Side.SENDING else RECEIVERS)
    return {(i.rule, i.severity.value, i.path) for i in check(message, side, offer)}


def resource(bundle: Bundle, kind: str) -> dict[str, Any]:
    return next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind)  # type: ignore[no-any-return]


def path_of(bundle: Bundle, kind: str) -> str:
    kinds = [e["resource"]["resourceType"] for e in bundle["entry"]]
    return f"Bundle.entry[{kinds.index(kind)}].resource"


def header(bundle: Bundle) -> dict[str, Any]:
    return bundle["entry"][0]["resource"]  # type: ignore[no-any-return]


def drop(*names: str) -> Callable[[Bundle], None]:
    def change(bundle: Bundle) -> None:
        node: Any = bundle
        for name in names[:-1]:
            node = node[name]
        del node[names[-1]]

    return change


def put(value: Any, *names: Any) -> Callable[[Bundle], None]:
    def change(bundle: Bundle) -> None:
        node: Any = bundle
        for name in names[:-1]:
            node = node[name]
        node[names[-1]] = value

    return change


def in_header(value: Any, *names: Any) -> Callable[[Bundle], None]:
    return lambda bundle: put(value, *names)(header(bundle))


def in_resource(kind: str, value: Any, *names: Any) -> Callable[[Bundle], None]:
    return lambda bundle: put(value, *names)(resource(bundle, kind))


def without(kind: str, name: str) -> Callable[[Bundle], None]:
    return lambda bundle: drop(name)(resource(bundle, kind))


def second_header(bundle: Bundle) -> None:
    extra = dict(header(bundle)) | {"id": "x"}
    bundle["entry"].append(
        {"fullUrl": "urn:uuid:00000000-0000-4000-8000-000000000001", "resource": extra}
    )


ERROR, WARNING = Severity.ERROR.value, Severity.WARNING.value
BOTH = {Side.SENDING: ERROR, Side.RECEIVING: ERROR}
STRICT = {Side.SENDING: ERROR, Side.RECEIVING: WARNING}
WARNS = {Side.SENDING: WARNING, Side.RECEIVING: WARNING}

BREAKS: list[Any] = [
    ("B02", put("collection", "type"), "Bundle.type", BOTH),
    ("B03", drop("timestamp"), "Bundle.timestamp", STRICT),
    ("B04", put("not-a-uuid", "id"), "Bundle.id", BOTH),
    ("B07", drop("meta", "versionId"), "Bundle.meta.versionId", BOTH),
    ("B08", put("9.0.0", "meta", "versionId"), "Bundle.meta.versionId", {Side.RECEIVING: ERROR}),
    ("B09", put([], "meta", "profile"), "Bundle.meta.profile", STRICT),
    ("B10", put("2026-03-02", "meta", "lastUpdated"), "Bundle.meta.lastUpdated", STRICT),
    ("B15", drop("entry", 4, "fullUrl"), "Bundle.entry[4].fullUrl", BOTH),  # type: ignore[arg-type]
    ("B16", put("urn:uuid:nonsense", "entry", 4, "fullUrl"), "Bundle.entry[4].fullUrl", STRICT),
    ("M01", second_header, "Bundle.entry[LAST].resource", BOTH),
    ("M02", in_header("http://x", "eventCoding", "system"), f"{HEADER}.eventCoding.system", BOTH),
    (
        "M03",
        in_header("booking-response", "eventCoding", "code"),
        f"{HEADER}.eventCoding.code",
        BOTH,
    ),
    ("M04", in_header("x", "reason", "coding", 0, "system"), f"{HEADER}.reason", BOTH),
    (
        "M05",
        in_header("replace", "reason", "coding", 0, "code"),
        f"{HEADER}.reason.coding.code",
        BOTH,
    ),
    (
        "M05S",
        in_header("delete", "reason", "coding", 0, "code"),
        f"{HEADER}.reason.coding.code",
        {Side.SENDING: ERROR},
    ),
    ("M06", in_header("nobody", "source", "endpoint"), f"{HEADER}.source.endpoint", BOTH),
    (
        "M06S",
        in_header("https://fhir.nhs.uk/Id/dos-service-id|1", "source", "endpoint"),
        f"{HEADER}.source.endpoint",
        {Side.SENDING: ERROR},
    ),
    (
        "M07",
        in_header("nobody", "destination", 0, "endpoint"),
        f"{HEADER}.destination[0].endpoint",
        BOTH,
    ),
    (
        "M07R",
        in_header("https://fhir.nhs.uk/Id/dos-service-id|1", "destination", 0, "endpoint"),
        f"{HEADER}.destination[0].endpoint",
        {Side.RECEIVING: ERROR},
    ),
    (
        "M08",
        in_header(
            f"http://fhir.nhs.uk/Id/dos-service-id|{RECEIVER[-10:]}", "destination", 0, "endpoint"
        ),
        f"{HEADER}.destination[0].endpoint",
        STRICT,
    ),
    ("M09", in_header(SENDER, "destination", 0, "endpoint"), f"{HEADER}.destination", WARNS),
    (
        "M10",
        in_header({}, "destination", 0, "receiver"),
        f"{HEADER}.destination[0].receiver",
        STRICT,
    ),
    ("M11", in_header({}, "sender"), f"{HEADER}.sender", STRICT),
    ("M12", in_header([], "focus"), f"{HEADER}.focus", BOTH),
    ("M14", lambda b: drop("definition")(header(b)), f"{HEADER}.definition", STRICT),
    ("M16", in_header({"identifier": "x", "code": "ok"}, "response"), f"{HEADER}.response", BOTH),
    (
        "R01",
        in_resource("ServiceRequest", "x", "category", 0, "coding", 0, "system"),
        "ServiceRequest.category",
        BOTH,
    ),
    (
        "R02",
        in_resource("ServiceRequest", "x", "category", 0, "coding", 1, "system"),
        "ServiceRequest.category",
        BOTH,
    ),
    (
        "R03",
        in_resource("ServiceRequest", "a1t99", "category", 0, "coding", 1, "code"),
        "ServiceRequest.category",
        BOTH,
    ),
    ("R05", in_resource("ServiceRequest", "draft", "status"), "ServiceRequest.status", BOTH),
    ("R06", in_resource("ServiceRequest", "x", "id"), "ServiceRequest.id", {Side.SENDING: WARNING}),
    ("R07", in_resource("CarePlan", "active", "status"), "CarePlan.status", BOTH),
    ("R07", in_resource("Encounter", "planned", "status"), "Encounter.status", BOTH),
    (
        "P01",
        in_resource("Patient", "12", "identifier", 0, "value"),
        "Patient.identifier[0].value",
        STRICT,
    ),
]


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize(
    ("rule", "change", "path", "severities"), BREAKS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_broken_rule_is_named_with_its_path(
    rule: str, change: Callable[[Bundle], None], path: str, severities: Any, side: Side
) -> None:
    """The rule, its severity on that side and the FHIR path; elsewhere it is not named."""
    bundle = json.loads(referral())
    change(bundle)
    kind, _, rest = path.partition(".")
    if kind != "Bundle":
        path = f"{path_of(bundle, kind)}.{rest}"
    path = path.replace("LAST", str(len(bundle["entry"]) - 1))
    expected = {(rule, severities[side], path)} if side in severities else set()

    assert expected == {hit for hit in found(bundle, side) if hit[0] == rule}


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("make", [referral, validation_request])
def test_a_valid_message_breaks_nothing(make: Callable[[], bytes], side: Side) -> None:
    """Neither an error nor a warning, on either side."""
    assert set() == found(json.loads(make()), side)


def test_a_reference_to_nothing_is_named() -> None:
    """B17: a urn:uuid that no entry has."""
    bundle = json.loads(referral())
    gone = "urn:uuid:00000000-0000-4000-8000-00000000dead"
    resource(bundle, "ServiceRequest")["subject"] = {"reference": gone}
    path = f"{path_of(bundle, 'ServiceRequest')}.subject.reference"

    assert ("B17", ERROR, path) in found(bundle, Side.SENDING)


def test_the_focus_must_be_what_the_event_is_about() -> None:
    """M13: a request about a ServiceRequest cannot point to the patient."""
    bundle = json.loads(referral())
    patient = path_of(bundle, "Patient").removeprefix("Bundle.entry[").split("]", maxsplit=1)[0]
    header(bundle)["focus"] = [{"reference": bundle["entry"][int(patient)]["fullUrl"]}]

    assert ("M13", ERROR, f"{HEADER}.focus") in found(bundle, Side.RECEIVING)


def test_an_application_that_is_switched_off_is_unprocessable() -> None:
    """R03R: known to the standard, not offered here: 422, so that the Sender goes elsewhere."""
    offer = Offer(services=frozenset({RECEIVER}), applications={"a4": frozenset({2})})
    issues = check(read(referral()), Side.RECEIVING, offer)

    assert [("R03R", 422)] == [(issue.rule, issue.http_status) for issue in issues]


def test_a_validation_needs_an_active_plan() -> None:
    """R09: what is finished needs no validation."""
    bundle = json.loads(validation_request())
    resource(bundle, "CarePlan")["status"] = "completed"

    assert ("R09", ERROR, f"{path_of(bundle, 'CarePlan')}.status") in found(bundle, Side.RECEIVING)


def test_a_transfer_between_control_rooms_has_an_active_plan() -> None:
    """R08 and not R07: Application 6 is still going on."""
    bundle = json.loads(referral(use_case="a6t1"))

    assert {("R08", ERROR, f"{path_of(bundle, 'CarePlan')}.status")} == found(bundle, Side.SENDING)


def test_a_change_carries_the_receivers_id() -> None:
    """R10: without it the Receiver cannot know what is changed."""
    bundle = json.loads(referral(reason="update"))

    assert ("R10", ERROR, f"{path_of(bundle, 'ServiceRequest')}.id") in found(bundle, Side.SENDING)


def test_a_booking_is_cancelled_by_its_id_and_as_an_update() -> None:
    """K04: without either, no Receiver could tell what is meant."""
    bundle = json.loads(referral())
    header(bundle)["eventCoding"]["code"] = "booking-request"
    url = "urn:uuid:00000000-0000-4000-8000-000000000001"
    appointment = {"resourceType": "Appointment", "status": "cancelled", "meta": bundle["meta"]}
    bundle["entry"].append({"fullUrl": url, "resource": appointment})
    header(bundle)["focus"] = [{"reference": url}]
    path = path_of(bundle, "Appointment")

    assert {
        ("K04", ERROR, f"{HEADER}.reason.coding.code"),
        ("K04", ERROR, f"{path}.id"),
    } == {hit for hit in found(bundle, Side.SENDING) if hit[0] == "K04"}


def test_every_rule_is_tested() -> None:
    """A rule that no test breaks is a rule that nobody has seen work."""
    named = {row[0] for row in BREAKS} | {"B17", "M13", "R03R", "R08", "R09", "R10", "K04", "M07U"}

    assert {rule.rule for rule in RULES} == named


def test_all_problems_are_named_at_once() -> None:
    """Not one per attempt: whoever repairs the message sees them all."""
    bundle = json.loads(referral())
    drop("timestamp")(bundle)
    put("x", "id")(bundle)
    in_header({}, "sender")(bundle)

    assert {"B03", "B04", "M11"} == {hit[0] for hit in found(bundle, Side.SENDING)}


def test_errors_come_before_warnings() -> None:
    """The first line of a refusal is a reason for it."""
    bundle = json.loads(referral())
    drop("timestamp")(bundle)
    put("x", "id")(bundle)
    issues = check(read(json.dumps(bundle).encode()), Side.RECEIVING, RECEIVERS)

    assert [Severity.ERROR, Severity.WARNING] == [issue.severity for issue in issues]
    assert ["B04"] == [issue.rule for issue in rules.errors(issues)]
