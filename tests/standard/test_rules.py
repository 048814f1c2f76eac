"""Every rule is broken by one change, and only that change is blamed."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from breaks import BREAKS, Break, Change, drop, in_header, of, put
from messages import RECEIVER, SENDER, referral
from variants import (
    KINDS,
    Bundle,
    a_booking,
    a_cancelled_referral,
    a_referral,
    a_rejection,
    a_transfer,
    header,
    path_of,
    resource,
    url_of,
)

from bars_gateway.standard import rules, structure
from bars_gateway.standard.applications import Offer
from bars_gateway.standard.bundle import Message, read
from bars_gateway.standard.issues import Severity
from bars_gateway.standard.rule import (
    EVERYBODY,
    NOTHING_AGREED,
    AgreedSeverity,
    MessageRule,
    Overrides,
    Side,
)
from bars_gateway.standard.rules import RULES, check

ROOT = Path(__file__).parents[2]
SENDERS = Offer(services=frozenset({SENDER}), applications={})
RECEIVERS = Offer(
    services=frozenset({RECEIVER}),
    applications={f"a{n}": ("1.0.0", "2.0.0") for n in range(1, 9)},
)
ERROR, WARNING = Severity.ERROR.value, Severity.WARNING.value


@cache
def _written(make: Callable[[], Bundle]) -> bytes:
    return json.dumps(make()).encode()


def unbroken(case: Break) -> Bundle:
    """Return the message that *case* is to break: made once, read again for each."""
    return json.loads(_written(case.message))  # type: ignore[no-any-return]


def found(
    bundle: Bundle,
    side: Side,
    offer: Offer | None = None,
    overrides: Overrides = NOTHING_AGREED,
) -> set[tuple[str, str, str]]:
    return blamed(read(json.dumps(bundle).encode()), side, offer, overrides)


def blamed(
    message: Message,
    side: Side,
    offer: Offer | None = None,
    overrides: Overrides = NOTHING_AGREED,
) -> set[tuple[str, str, str]]:
    offer = offer or (SENDERS if side is Side.SENDING else RECEIVERS)
    issues = check(message, side, offer, overrides)
    return {(i.rule, i.severity.value, i.path) for i in issues}


@cache
def _broken(number: int) -> tuple[Bundle, Message]:
    case = BREAKS[number]
    bundle = unbroken(case)
    case.change(bundle)
    return bundle, read(json.dumps(bundle).encode())


@cache
def broken(number: int, side: Side) -> tuple[Bundle, set[tuple[str, str, str]]]:
    """Return the message of that case, broken, and what is found: the same for each question."""
    bundle, message = _broken(number)
    return bundle, blamed(message, side)


def severity_of(case: Break, side: Side) -> str:
    sending, receiving = case.severities.split()
    return sending if side is Side.SENDING else receiving


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("case", BREAKS, ids=str)
def test_a_broken_rule_is_named_with_its_path(case: Break, side: Side) -> None:
    """The rule, its severity on that side and the FHIR path; elsewhere it is not named."""
    bundle, issues = broken(BREAKS.index(case), side)
    severity = severity_of(case, side)
    expected = set() if severity == "-" else {(case.rule, severity, case.path_in(bundle))}

    assert expected == {hit for hit in issues if hit[0] == case.rule}


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("case", BREAKS, ids=str)
def test_nothing_else_is_blamed(case: Break, side: Side) -> None:
    """But for the rules that cannot but be broken with it, which the table names."""
    _, issues = broken(BREAKS.index(case), side)

    assert set() == {hit[0] for hit in issues} - {case.rule, *case.also.split()}


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("make", KINDS)
def test_a_valid_message_breaks_nothing(make: Any, side: Side) -> None:
    """Neither an error nor a warning, on either side, whatever kind of message it is."""
    assert set() == found(make(), side)


def test_an_application_that_is_switched_off_is_unprocessable() -> None:
    """R03R: known to the standard, not offered here: 422, so that the Sender goes elsewhere."""
    offer = Offer(services=frozenset({RECEIVER}), applications={"a4": ("2.0.0",)})
    issues = check(read(referral()), Side.RECEIVING, offer)

    assert [("R03R", 422)] == [(issue.rule, issue.http_status) for issue in issues]


ONE_OFF = Offer(
    services=RECEIVERS.services,
    applications=RECEIVERS.applications,
    refused_use_cases=frozenset({"a1t1"}),
)


@pytest.mark.parametrize("make", [a_referral, a_booking])
def test_a_use_case_that_is_switched_off_is_unprocessable(make: Any) -> None:
    """R03R, though its Application is on; of a booking, too."""
    assert {"R03R"} == {rule for rule, _, _ in found(make(), Side.RECEIVING, ONE_OFF)}


def test_what_was_taken_before_may_be_cancelled_though_its_use_case_is_off_now() -> None:
    """Else nobody could take back what the Receiver still has."""
    assert set() == found(a_cancelled_referral(), Side.RECEIVING, ONE_OFF)


def only_with_a_booking() -> Offer:
    applications = RECEIVERS.applications
    return Offer(services=frozenset({RECEIVER}), applications=applications, booking_required=True)


def test_a_service_may_ask_for_the_booking_first() -> None:
    """R23, where the provider says so: a referral without one is refused."""
    bundle = a_referral()
    path = f"{path_of(bundle, 'ServiceRequest')}.supportingInfo"

    assert {("R23", ERROR, path)} == found(bundle, Side.RECEIVING, only_with_a_booking())


@pytest.mark.parametrize(
    "reference", ["Appointment/1", "https://receiver.example/fhir/Appointment/1"]
)
def test_a_referral_that_names_its_booking_is_taken(reference: str) -> None:
    """R23: by the id that the Receiver gave to the Appointment, which is linked by it, too."""
    bundle = a_referral()
    resource(bundle, "ServiceRequest")["supportingInfo"] = [{"reference": reference}]

    assert set() == found(bundle, Side.RECEIVING, only_with_a_booking())


def test_who_is_unknown_may_be_sent() -> None:
    """P04: no NHS number, no name that is official, and nobody to call is no error at all."""
    bundle = a_transfer()
    patient = resource(bundle, "Patient")
    for name in ("identifier", "name", "contact"):
        del patient[name]

    assert set() == {hit for hit in found(bundle, Side.SENDING) if hit[1] == ERROR}


def test_an_update_may_carry_the_receivers_encounter() -> None:
    """B22: the national definition allows one, and the guide's own updates carry two."""
    bundle: Bundle = json.loads(referral(reason="update", use_case="a6t1"))
    resource(bundle, "ServiceRequest")["id"] = "0b6a2a55-5c1e-4bb6-8a57-1f2f9ac5d101"
    copy = resource(bundle, "Encounter") | {"id": "x", "status": "planned"}
    bundle["entry"].append({"fullUrl": f"urn:uuid:{copy['id'] * 8}", "resource": copy})

    assert set() == {hit for hit in found(bundle, Side.RECEIVING) if hit[0] == "B22"}


@pytest.mark.parametrize("names_its_encounter", [True, False])
@pytest.mark.parametrize("focus", ["ServiceRequest", "Encounter"])
@pytest.mark.parametrize(
    ("status", "request_status"),
    [("cancelled", "active"), ("cancelled", "revoked"), ("triaged", "revoked")],
)
def test_each_published_form_of_a_rejection_may_leave(
    status: str, request_status: str, focus: str, *, names_its_encounter: bool
) -> None:
    """The reason is the Responder's to give: the Requester's own Encounter, triaged, has none."""
    bundle = a_rejection()
    resource(bundle, "ServiceRequest")["status"] = request_status
    resource(bundle, "Encounter")["status"] = "triaged"
    resource(bundle, "Encounter", 1)["status"] = status
    if focus == "ServiceRequest":
        header(bundle)["focus"] = [{"reference": url_of(bundle, focus)}]
    if not names_its_encounter:
        del resource(bundle, "ServiceRequest")["encounter"]
    broken = {rule for rule, *_ in found(bundle, Side.SENDING)}

    assert set() == broken & {"R15R", "R15O", "R15V", "R16E"}


def test_all_problems_are_named_at_once() -> None:
    """Not one per attempt: whoever repairs the message sees them all."""
    bundle = a_referral()
    drop("timestamp")(bundle)
    put("x", "id")(bundle)
    in_header("x", "definition")(bundle)

    assert {"B03", "B04", "M14K"} == {hit[0] for hit in found(bundle, Side.SENDING)}


def test_errors_come_before_warnings() -> None:
    """The first line of a refusal is a reason for it."""
    bundle = a_referral()
    drop("timestamp")(bundle)
    put("x", "id")(bundle)
    issues = check(read(json.dumps(bundle).encode()), Side.RECEIVING, RECEIVERS)

    assert [Severity.ERROR, Severity.WARNING] == [issue.severity for issue in issues]
    assert ["B04"] == [issue.rule for issue in rules.errors(issues)]


# An agreement: with whom, how severely a rule is taken.
AGREED = AgreedSeverity.WARNING
NOT_DIRECT_CARE: Change = of("Consent", "OTHER", "category", 0, "coding", 0, "code")


@pytest.mark.parametrize(
    ("side", "name", "expected"),
    [
        pytest.param(Side.RECEIVING, SENDER, WARNING, id="the-sending-service"),
        pytest.param(Side.RECEIVING, "ZX901", WARNING, id="the-sending-organisation"),
        pytest.param(Side.RECEIVING, RECEIVER, ERROR, id="ourselves"),
        pytest.param(Side.SENDING, RECEIVER, WARNING, id="the-receiving-service"),
        pytest.param(Side.SENDING, "ZX902", WARNING, id="the-receiving-organisation"),
        pytest.param(Side.RECEIVING, EVERYBODY, WARNING, id="everybody"),
        pytest.param(Side.RECEIVING, "ZX999", ERROR, id="somebody-else"),
    ],
)
def test_a_severity_may_be_agreed_with_the_other_side(side: Side, name: str, expected: str) -> None:
    """By service or by ODS code; whoever is not named is judged as everybody is."""
    bundle = a_referral()
    NOT_DIRECT_CARE(bundle)
    hits = found(bundle, side, overrides=Overrides({name: {"R18": AGREED}}))

    assert {("R18", expected)} == {hit[:2] for hit in hits}


def test_the_service_wins_over_its_organisation() -> None:
    """What is agreed with one service is not undone by what holds for the others."""
    bundle = a_referral()
    NOT_DIRECT_CARE(bundle)
    agreed = Overrides(
        {"ZX901": {"R18": AgreedSeverity.ERROR}, SENDER: {"R18": AgreedSeverity.OFF}}
    )

    assert set() == found(bundle, Side.RECEIVING, overrides=agreed)


def test_what_is_off_may_be_switched_on() -> None:
    """B20: every published message breaks it, and still one may want to know."""
    bundle = a_referral()
    agreed = Overrides({EVERYBODY: {"B20": AgreedSeverity.ERROR}})
    of("CarePlan", ["https://example.org/mine"], "meta", "profile")(bundle)

    assert ("B20", ERROR, f"{path_of(bundle, 'CarePlan')}.meta.profile[0]") in found(
        bundle, Side.SENDING, overrides=agreed
    )


@pytest.mark.parametrize("rule", [rule.rule for rule in RULES if rule.fixed])
def test_no_agreement_softens_a_fixed_rule(rule: str) -> None:
    """Without these nobody could tell what a message is, or whose."""
    case = next(case for case in BREAKS if case.rule == rule)
    bundle = unbroken(case)
    case.change(bundle)
    agreed = Overrides({EVERYBODY: {rule: AgreedSeverity.OFF}})

    assert {rule} <= {hit[0] for side in Side for hit in found(bundle, side, overrides=agreed)}


# What the rule list has and no function here can tell: who does it instead.
ELSEWHERE = {
    "H01": "standard/headers.read_ids",
    "H02": "standard/headers.read_ids",
    "H03": "store: receive, respond, refuse",
    "H04": "outbound: the frozen headers of a submission",
    "H05": "standard/headers.echo",
    "H06": "inbound/providers",
    "H07": "inbound/message_handler: routed by the header, and M07R by the message",
    "H08": "standard/headers.for_sending; kept and not judged on receipt",
    "H09": "standard/headers.use_context",
    "H10": "inbound/server",
    "H11": "standard/formats",
    "H12": "inbound/server",
    "H13": "inbound/server",
    "H14": "inbound/server",
    "H15": "inbound/connection, standard/bundle, standard/xml",
    "B01": "standard/structure, in standard/examination",
    "B05": "store: the Bundle.id of a new message",
    "B06": "standard/answers.acknowledge",
    "B14": "EPR: what it holds may be newer",
    "M17": "store: respond",
    "M18": "store: receive; EPR",
    "M19": "off: the extension's slices are spelt in two ways, and no message is judged by it",
    "K03": "EPR: whether the slot is free",
    "K05": "EPR: what else a cancellation changes",
    "K09": "the questions to the EPR",
    "P08": "accepted: P06 asks for no relationship",
    "X01": "the questions to the EPR",
    "X02": "the questions to the EPR",
    "X03": "standard/publications",
    "X04": "standard/answers.outcome",
    "X05": "standard/answers.read_outcome",
    "X06": "standard/verdict",
}
LISTED = {
    **{f"H{n:02}": "" for n in range(1, 16)},
    **{f"B{n:02}": "" for n in range(1, 24)},
    **{f"M{n:02}": "" for n in range(1, 20)},
    **{f"R{n:02}": "" for n in range(1, 25)},
    **{f"K{n:02}": "" for n in range(1, 10)},
    "K02a": "",
    **{f"P{n:02}": "" for n in range(1, 11)},
    **{f"X{n:02}": "" for n in range(1, 7)},
}


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ("B21", "authoredOn must be here"),
        ("B22", "at least 1, and here are 0"),
    ],
)
def test_what_a_profile_or_definition_wants_is_said(rule: str, wanted: str) -> None:
    """What is missing is named as missing, and what is counted is counted."""
    bundle = a_referral()
    request = next(each["resource"] for each in bundle["entry"] if "authoredOn" in each["resource"])
    del request["authoredOn"]
    bundle["entry"] = [
        each for each in bundle["entry"] if each["resource"]["resourceType"] != "PractitionerRole"
    ]
    issues = check(read(json.dumps(bundle).encode()), Side.SENDING, SENDERS)

    assert [wanted] == [issue.text.rpartition(": ")[2] for issue in issues if issue.rule == rule]


def test_the_example_to_begin_with_breaks_no_rule() -> None:
    """Nothing is said of it on either side, and the page about it names all that is in it."""
    message = read((ROOT / "examples/referral.json").read_bytes())
    page = (ROOT / "docs/sending.md").read_text("utf-8").partition("## A whole referral")[2]

    assert [] == check(message, Side.SENDING, SENDERS)
    assert [] == check(message, Side.RECEIVING, RECEIVERS)
    assert [] == structure.check(message.root)
    assert [] == [entry.type for entry in message.entries if entry.type not in page]


def test_no_rule_of_the_list_is_forgotten() -> None:
    """Each is a row of the table, or it is said who does it instead, and never both."""
    own = {rule.rule for rule in RULES} & LISTED.keys()

    assert set(LISTED) == own | ELSEWHERE.keys()
    assert set() == (own & ELSEWHERE.keys())


def test_variants_belong_to_a_rule_of_the_list() -> None:
    """A letter behind the id tells what is different; the source stands in the guide."""
    assert {rule.rule[:3] for rule in RULES} <= LISTED.keys()
    assert [] == [rule.rule for rule in RULES if not rule.source]
    assert len(RULES) == len({rule.rule for rule in RULES})


def test_every_rule_is_tested() -> None:
    """A rule that no test breaks is a rule that nobody has seen work."""
    assert {rule.rule for rule in RULES} == {case.rule for case in BREAKS} | {"R03R", "R23"}


@cache
def without(resource_type: str) -> list[Message]:
    """Return a message of each kind that has no resource of that type: the same for each rule."""
    bundles = [kind() for kind in KINDS]
    for bundle in bundles:
        entries = bundle["entry"]
        bundle["entry"] = [e for e in entries if e["resource"]["resourceType"] != resource_type]
    return [read(json.dumps(bundle).encode()) for bundle in bundles]


@pytest.mark.parametrize("row", [row for row in RULES if row.of], ids=lambda row: row.rule)
def test_a_rule_of_one_type_says_nothing_where_there_is_none(row: MessageRule) -> None:
    """It is not asked then: so none may be about what is missing."""
    for message in without(row.of):
        assert [] == list(row.broken(message, RECEIVERS))
