"""What is wrong with a message, all of it at once, whichever format it came in."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from damages import DAMAGES, damaged, sites
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from messages import RECEIVER, referral
from oracles import as_json
from variants import (
    Bundle,
    a_booking,
    a_cancelled_booking,
    a_cancelled_referral,
    a_full_response,
    a_referral,
    add,
    an_update,
    header,
    resource,
)

from bars_gateway.standard import answers, bundle, xml
from bars_gateway.standard.applications import Offer
from bars_gateway.standard.examination import MOST_TOLD, Examined, examine
from bars_gateway.standard.issues import Severity
from bars_gateway.standard.rule import EVERYBODY, AgreedSeverity, Overrides, Side
from bars_gateway.standard.rules import RULES
from bars_gateway.standard.workflow import Move

OFFER = Offer(
    services=frozenset({RECEIVER}), applications={f"a{n}": ("2.0.0",) for n in range(1, 9)}
)
JSON, XML = "application/fhir+json", "application/fhir+xml"


def look(body: bytes | Bundle, media_type: str = JSON, side: Side = Side.RECEIVING) -> Examined:
    written = body if isinstance(body, bytes) else json.dumps(body).encode()
    return examine(written, media_type, side, OFFER)


def as_xml(body: bytes) -> bytes:
    return xml.from_tree(bundle.from_json(body))


def rules_of(examined: Examined) -> list[str]:
    return [issue.rule for issue in examined.issues]


@pytest.mark.parametrize("media_type", [JSON, XML])
def test_what_is_sound_is_a_message_with_its_move(media_type: str) -> None:
    """Nothing is wrong, and the message is there to be taken."""
    body = referral()
    examined = look(body if media_type == JSON else as_xml(body), media_type)

    assert (Move.REQUEST, ()) == (examined.move, examined.issues)
    assert examined.message is not None


def test_structure_and_rules_are_told_together() -> None:
    """One answer is enough to repair everything."""
    message = a_referral()
    resource(message, "Patient")["birthDate"] = "1.2.1951"
    message["id"] = "x"

    assert ["B01", "B04"] == rules_of(look(message))


def test_there_is_no_message_as_long_as_an_error_stands() -> None:
    """What is not there can be neither acknowledged nor converted."""
    message = a_referral()
    resource(message, "Patient")["birthDate"] = "1.2.1951"
    examined = look(message)

    assert (None, None) == (examined.message, examined.move)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("<type ", "<kind/><type ", id="unknown-element"),
        pytest.param("<type ", "<type value='batch'/><type ", id="element-twice"),
        pytest.param("<type ", "<type lang='en' ", id="unknown-attribute"),
        pytest.param("<type ", "and<type ", id="text-between"),
    ],
)
@pytest.mark.parametrize("side", list(Side))
def test_strays_of_xml_never_become_a_message(old: str, new: str, side: Side) -> None:
    """They are kept in the tree to be named, and would be mirrored or lost without it."""
    text = as_xml(referral()).decode().replace(old, new, 1)
    examined = look(text.encode(), XML, side)

    assert examined.message is None
    assert "B01" in {issue.rule for issue in examined.errors}


def test_no_agreement_lets_a_broken_structure_in() -> None:
    """Not even one that switches off all that can be."""
    agreed = Overrides(
        {EVERYBODY: {"B01": AgreedSeverity.OFF, **{r.rule: AgreedSeverity.OFF for r in RULES}}}
    )
    text = as_xml(referral()).decode().replace("<type ", "<kind/><type ", 1)

    assert examine(text.encode(), XML, Side.RECEIVING, OFFER, agreed).message is None


def test_what_cannot_be_read_is_one_error_with_its_line() -> None:
    """There is nothing that rules could look at."""
    examined = look(b'<Bundle xmlns="http://hl7.org/fhir">\n<id', XML)

    assert [("B01", 2)] == [(issue.rule, issue.line) for issue in examined.issues]


@pytest.mark.parametrize(
    "body", [b'{"resourceType": "Patient"}', b'{"resourceType": "Bundle", "entry": {}}']
)
def test_what_is_no_bundle_of_resources_is_told_with_its_structure(body: bytes) -> None:
    """It can be read, and still there is no message in it."""
    examined = look(body)

    assert examined.message is None
    assert {"B01"} == set(rules_of(examined))


def test_issues_of_xml_have_a_line() -> None:
    """Of the element, or of the nearest one around what is missing."""
    text = as_xml(referral()).decode().replace("><", ">\n<")
    broken = text.replace('value="1951-02-28"', 'value="1.2.1951"')
    line = 1 + broken[: broken.index('value="1.2.1951"')].count("\n")

    assert [line] == [issue.line for issue in look(broken.encode(), XML).issues]


MARK = b"\xef\xbb\xbf"


def test_a_byte_order_mark_before_json_is_taken_and_not_sent() -> None:
    """Bytes go as they come: whoever sends gets the cure, whoever receives a warning."""
    got, sent = (look(MARK + referral(), side=side) for side in (Side.RECEIVING, Side.SENDING))

    assert [(Severity.WARNING, "Bundle")] == [(i.severity, i.path) for i in got.issues]
    assert got.message is not None
    assert "Write UTF-8 without it" in sent.errors[0].text


@pytest.mark.parametrize("side", list(Side))
def test_a_byte_order_mark_before_xml_says_nothing(side: Side) -> None:
    """XML 1.0 allows it, and its parsers read it."""
    body = as_xml(referral())
    plain, marked = (look(mark + body, XML, side) for mark in (b"", MARK))

    assert plain == marked


@pytest.mark.parametrize("media_type", [JSON, XML])
def test_html_names_in_narrative_are_taken_and_not_sent(media_type: str) -> None:
    """Every browser shows them, and readers of XML refuse them (D-ignored-ids)."""
    div = '<div xmlns="http://www.w3.org/1999/xhtml">a&nbsp;b</div>'
    message = a_referral()
    resource(message, "Patient")["text"] = {"status": "generated", "div": div}
    body = json.dumps(message).encode()
    if media_type == XML:
        body = as_xml(body).replace(b"&#160;", b"&nbsp;")
    got, sent = (look(body, media_type, side) for side in (Side.RECEIVING, Side.SENDING))

    place = "Bundle.entry[4].resource.text.div"
    assert [(Severity.WARNING, place)] == [(i.severity, i.path) for i in got.issues]
    assert got.message is not None
    assert place in [issue.path for issue in sent.errors]


@pytest.mark.parametrize("side", list(Side))
def test_a_line_break_within_a_value_of_xml_is_a_warning(side: Side) -> None:
    """With its line, for nobody else sees that it becomes a blank."""
    text = as_xml(referral()).decode().replace('value="1951-02-28"', "\nvalue='1951-02-28'", 1)
    broken = re.sub(r'<family value="', '<family value="a\nb ', text, count=1)
    found = [i for i in look(broken.encode(), XML, side).issues if "line break" in i.text]

    assert [(Severity.WARNING, 1)] == [(i.severity, i.line) for i in found]


def test_issues_of_json_have_no_line() -> None:
    """The path is enough: every tool for JSON follows it."""
    message = a_referral()
    message["id"] = "x"

    assert [None] == [issue.line for issue in look(message).issues]


def test_a_long_list_ends_with_how_many_more() -> None:
    """A hundred are enough to begin with, and an answer stays readable."""
    message = a_referral()
    names = [{"use": "official", "family": 5} for _ in range(150)]
    resource(message, "Patient")["name"] = names
    *told, last = look(message).issues

    assert MOST_TOLD == len(told)
    assert (Severity.INFORMATION, "W02") == (last.severity, last.rule)
    assert "51 more" in last.text  # 150 texts that are numbers, and P10


STAMP = "2026-03-02T09:00:00+00:00"  # without the decimals that senders should write


def crowded(severity: Severity) -> Bundle:
    """Return a referral with a placeholder, and before it 150 problems of that severity."""
    message = a_referral()
    for number in range(150):
        fault = {"name": 5} if severity is Severity.ERROR else {"meta": {"lastUpdated": STAMP}}
        add(message, "Location", number + 100, **fault)
    patient = resource(message, "Patient")
    patient["identifier"][0]["value"] = "0000000000"
    message["entry"] = [
        *(each for each in message["entry"] if each["resource"] is not patient),
        *(each for each in message["entry"] if each["resource"] is patient),
    ]
    return message


@pytest.mark.parametrize("severity", [Severity.ERROR, Severity.WARNING])
def test_what_production_refuses_is_never_left_out(severity: Severity) -> None:
    """However much else is told: it is why nothing will leave there."""
    examined = look(crowded(severity), side=Side.SENDING)
    told = [issue.rule for issue in examined.issues if issue.refused_in_production]

    assert MOST_TOLD + 1 == len(examined.issues)
    assert ["P02P"] == told


def test_what_production_refuses_is_told_before_other_warnings() -> None:
    """After the errors, which stop the message here: the most severe first."""
    told = look(crowded(Severity.WARNING), side=Side.SENDING).issues

    assert "P02P" == next(each.rule for each in told if each.severity is Severity.WARNING)


def test_words_that_mean_nothing_together_are_told() -> None:
    """W01: each rule is kept, and still it is no move of any workflow."""
    message = a_booking()
    header(message)["reason"]["coding"][0]["code"] = "update"
    resource(message, "Appointment").update(status="pending", id="x")
    examined = look(message)

    assert ["W01"] == rules_of(examined)
    assert examined.message is None


def test_an_answer_names_path_and_line() -> None:
    """FHIRPath in `expression`; the line in the text, for R4's `location` is for XPath."""
    text = as_xml(referral()).decode().replace('value="1951-02-28"', 'value="1.2.1951"')
    issue = json.loads(answers.outcome(look(text.encode(), XML).issues))["issue"][0]

    assert ["Bundle.entry[4].resource.birthDate"] == issue["expression"]
    assert issue["diagnostics"].endswith("(line 1)")


def test_what_fhirpath_cannot_name_is_named_by_its_owner() -> None:
    """An element that R4 does not know has no path; the one that holds it has."""
    message = a_referral()
    resource(message, "Patient")["CANARY"] = "CANARY"
    body = answers.outcome(look(message).issues)

    assert ["Bundle.entry[4].resource"] == json.loads(body)["issue"][0]["expression"]
    assert b"CANARY" not in body


@pytest.mark.parametrize("kind", ["ServiceRequest", "Organization", "Location", "MessageHeader"])
def test_the_form_of_an_id_in_a_new_request_is_a_warning(kind: str) -> None:
    """D-ignored-ids: a Receiver ignores the ids of what is new; what is no id is not even read."""
    message = a_referral()
    resource(message, kind)["id"] = "__ORG1_ID__"
    examined = look(message)
    read = examined.message

    assert [("B01", Severity.WARNING)] == [(each.rule, each.severity) for each in examined.issues]
    assert read is not None
    assert "id" not in next(resource for _, resource in read.all(kind))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        pytest.param(an_update, "Location", id="update"),
        pytest.param(a_cancelled_referral, "Organization", id="cancellation"),
        pytest.param(a_full_response, "CarePlan", id="response"),
    ],
)
def test_so_is_that_of_what_a_later_message_brings(make: Callable[[], Bundle], kind: str) -> None:
    """Only the record has an id by then."""
    message = make()
    resource(message, kind)["id"] = "__ORG1_ID__"

    assert look(message).message is not None


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        pytest.param(an_update, "ServiceRequest", id="update"),
        pytest.param(a_cancelled_booking, "Appointment", id="cancellation"),
        pytest.param(a_full_response, "ServiceRequest", id="response"),
        pytest.param(a_booking, "Slot", id="slot"),
    ],
)
def test_an_id_that_must_name_something_has_its_form(make: Callable[[], Bundle], kind: str) -> None:
    """A record, or the slot of a booking, is found by it."""
    message = make()
    resource(message, kind)["id"] = "__ID__"

    assert look(message).message is None


def test_what_is_sent_has_no_such_id() -> None:
    """Strict on send (D-strict-on-send)."""
    message = a_referral()
    resource(message, "Organization")["id"] = "__ORG1_ID__"

    assert "B01" in {each.rule for each in look(message, side=Side.SENDING).errors}


def every_text(node: Any, canary: str) -> Any:
    """Return a copy in which no text is what it was, but for the types of resources."""
    if isinstance(node, dict):
        return {
            name: value if name == "resourceType" else every_text(value, canary)
            for name, value in node.items()
        }
    return [every_text(each, canary) for each in node] if isinstance(node, list) else canary


def test_nothing_of_the_content_is_told() -> None:
    """Whatever is wrong with a message, an answer can be shown to anybody."""
    message = every_text(a_referral(), "CANARY")
    examined = look(message)

    assert examined.issues
    assert b"CANARY" not in answers.outcome(examined.issues)


TREE = bundle.from_json(referral())
PLACES = list(sites(TREE))


@pytest.mark.exhaustive
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_damage_makes_it_fail(data: st.DataObject) -> None:
    """Rules meet every kind of wrong structure, and none of them raises."""
    damage = data.draw(st.sampled_from(sorted(DAMAGES)))
    fitting = [site for site in PLACES if DAMAGES[damage].applies(site)]
    if fitting:
        examined = look(as_json(damaged(TREE, damage, data.draw(st.sampled_from(fitting)))))

        assert examined.message is None
