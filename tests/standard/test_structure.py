"""What is no R4, and how it is said: every problem, with its path and without its content."""

from typing import Any

import pytest
from generated import a_resource
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from messages import referral, validation_request

from bars_gateway.standard.bundle import from_json, objects_in
from bars_gateway.standard.formats import Format, to_bytes
from bars_gateway.standard.structure import MOST_PROBLEMS, check, problems, sound, sound_in
from bars_gateway.standard.tree import Number

EXTENSION = {"url": "https://example.org/why", "valueCode": "unknown"}


def found_in(content: dict[str, Any], kind: str = "Patient") -> dict[str, str]:
    found = check({"resourceType": kind, **content}, path=kind)
    return {issue.path: issue.text for issue in found}


@pytest.mark.parametrize("body", [referral(), validation_request()], ids=["referral", "validation"])
def test_nothing_is_wrong_with_a_proper_message(body: bytes) -> None:
    """Seven-digit instants, codes and references as BaRS writes them."""
    assert [] == check(from_json(body))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({"gender": "female"}, id="code"),
        pytest.param({"birthDate": "1970"}, id="part-of-a-date"),
        pytest.param({"_birthDate": {"extension": [EXTENSION]}}, id="extension-without-value"),
        pytest.param({"multipleBirthInteger": Number("2")}, id="one-choice"),
        pytest.param(
            {"deceasedBoolean": False, "_deceasedBoolean": {"id": "a"}}, id="choice-with-extension"
        ),
        pytest.param(
            {"name": [{"given": ["A", None], "_given": [None, {"extension": [EXTENSION]}]}]},
            id="null-for-an-extended-value",
        ),
        pytest.param(
            {"contained": [{"resourceType": "Organization", "id": "o", "name": "A\u00a0B"}]},
            id="contained",
        ),
        pytest.param({"meta": {"lastUpdated": "2026-03-02T09:00:00.1234567+00:00"}}, id="instant"),
        pytest.param(
            {
                "text": {
                    "status": "generated",
                    "div": '<div xmlns="http://www.w3.org/1999/xhtml">a</div>',
                }
            },
            id="narrative",
        ),
        pytest.param(
            {"extension": [{"url": "https://x", "valueDecimal": Number("-1.10e+3")}]}, id="decimal"
        ),
    ],
)
def test_what_r4_allows_is_allowed(content: dict[str, Any]) -> None:
    """Strictness beyond R4 would refuse patients."""
    assert {} == found_in(content)


@pytest.mark.parametrize(
    ("content", "path", "words"),
    [
        pytest.param({"status": "active"}, "status", "no such element", id="unknown"),
        pytest.param({"birthdate": "1970"}, "?[0]", "perhaps birthDate", id="misspelt"),
        pytest.param({"birthDate": ["1970"]}, "birthDate", "only once", id="list"),
        pytest.param({"birthDate": None}, "birthDate", "null", id="null"),
        pytest.param({"birthDate": ""}, "birthDate", "empty", id="empty-text"),
        pytest.param({"birthDate": Number("1970")}, "birthDate", "a text", id="number-for-text"),
        pytest.param(
            {"birthDate": "1970-02-30"}, "birthDate", "not a valid date", id="no-such-day"
        ),
        pytest.param({"active": "true"}, "active", "true or false", id="text-for-boolean"),
        pytest.param(
            {"extension": [{"url": "https://x", "valueDecimal": "53.8008"}]},
            "extension[0].valueDecimal",
            "a decimal number, and no text",
            id="text-for-decimal",
        ),
        pytest.param({"gender": "banana"}, "gender", "one of: female", id="code"),
        pytest.param({"id": "a_b"}, "id", "not a valid id", id="id"),
        pytest.param({"id": "a\ufeff"}, "id", "not a valid id", id="id-unseen"),
        pytest.param({"implicitRules": "\ufeffurn:a"}, "implicitRules", "U+FEFF", id="uri-unseen"),
        pytest.param(
            {"generalPractitioner": [{"reference": "urn:uuid:\ufeffa"}]},
            "generalPractitioner[0].reference",
            "U+FEFF",
            id="reference-unseen",
        ),
        pytest.param({"name": {"family": "A"}}, "name", "a list", id="no-list"),
        pytest.param({"name": []}, "name", "empty", id="empty-list"),
        pytest.param({"name": [{}]}, "name[0]", "empty", id="empty-object"),
        pytest.param({"name": ["A"]}, "name[0]", "an object", id="text-for-object"),
        pytest.param({"name": [{"given": [None]}]}, "name[0].given[0]", "null", id="null-in-list"),
        pytest.param({"name": [{"_given": [None]}]}, "name[0].given[0]", "null", id="null-alone"),
        pytest.param({"name": [{"_family": {}}]}, "name[0].family", "empty", id="empty-under"),
        pytest.param(
            {"name": [{"_family": {"x": "y"}}]}, "name[0].family.?[0]", "no such", id="under"
        ),
        pytest.param(
            {"name": [{"given": ["A"], "_given": [None, {"id": "b"}]}]},
            "name[0].given",
            "same length",
            id="lists-of-two-lengths",
        ),
        pytest.param({"_name": [{"id": "a"}]}, "name", "no such", id="under-an-object"),
        pytest.param(
            {"deceasedBoolean": True, "deceasedDateTime": "2026"}, "deceased[x]", "one type", id="2"
        ),
        pytest.param(
            {"communication": [{"preferred": True}]},
            "communication[0].language",
            "missing",
            id="required",
        ),
        pytest.param(
            {"contained": [{"id": "a"}]}, "contained[0].resourceType", "name a", id="no-type"
        ),
        pytest.param(
            {"contained": [{"resourceType": ["Patient"]}]},
            "contained[0].resourceType",
            "name a",
            id="type-no-text",
        ),
        pytest.param({"contained": ["a"]}, "contained[0]", "a resource", id="no-resource"),
        pytest.param(
            {"contained": [{"resourceType": "Patient", "name": [{"use": "x"}]}]},
            "contained[0].name[0].use",
            "one of",
            id="contained",
        ),
        pytest.param(
            {"text": {"status": "generated", "div": "<div>a<br></div>"}},
            "text.div",
            "div",
            id="div",
        ),
        pytest.param(
            {
                "text": {
                    "status": "generated",
                    "div": '<!DOCTYPE div><div xmlns="http://www.w3.org/1999/xhtml"/>',
                }
            },
            "text.div",
            "div",
            id="div-with-doctype",
        ),
        pytest.param(
            {"multipleBirthInteger": Number("2147483648")},
            "multipleBirthInteger",
            "31 bits",
            id="large",
        ),
        pytest.param({"photo": [{"data": "QUJDR"}]}, "photo[0].data", "Base64", id="base64"),
        pytest.param({"photo": [{"title": "a\x07"}]}, "photo[0].title", "control", id="control"),
    ],
)
def test_each_problem_has_its_path(content: dict[str, Any], path: str, words: str) -> None:
    """One defect, one report, and it says where."""
    found = found_in(content)

    assert [f"Patient.{path}"] == list(found)
    assert words in found[f"Patient.{path}"]


def test_all_problems_are_listed_in_their_order() -> None:
    """Nobody corrects a message one refusal at a time."""
    found = found_in({"id": "a b", "name": [{"use": "x", "family": ""}], "gender": True})

    assert [
        "Patient.id",
        "Patient.name[0].use",
        "Patient.name[0].family",
        "Patient.gender",
    ] == list(found)


def test_elements_may_nest_like_those_that_they_refer_to() -> None:
    """An item of an item of an item is looked at like an item."""
    item = {"linkId": "1", "type": "banana"}
    nested = {
        "linkId": "2",
        "type": "group",
        "item": [{"linkId": "3", "type": "group", "item": [item]}],
    }
    found = found_in({"status": "draft", "item": [nested]}, "Questionnaire")

    assert ["Questionnaire.item[0].item[0].item[0].type"] == list(found)


def test_a_report_holds_nothing_of_the_message() -> None:
    """Neither values nor the names of members that R4 does not know."""
    found = found_in(
        {
            "CANARY": "CANARY",
            "canary": {"CANARY": 1},
            "id": "CANARY CANARY",
            "gender": "CANARY",
            "birthDate": "CANARY",
            "name": "CANARY",
            "_CANARY": "CANARY",
        }
    )

    assert 7 == len(found)
    assert "CANARY" not in str(found).upper().replace("PATIENT.", "")


def test_a_hostile_body_is_not_answered_at_length() -> None:
    """A thousand problems say enough."""
    bundle = {"resourceType": "Bundle", "type": "message", "entry": [{}] * 5000}

    assert MOST_PROBLEMS == len(check(bundle))


@pytest.mark.parametrize(
    "tree", [None, True, "x", Number("1"), [], {}, {"resourceType": 1}, {"": 1}]
)
def test_what_is_no_resource_is_one_problem(tree: Any) -> None:
    """Whatever it is, it is told and not raised."""
    assert 1 == len(check(tree))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(" " * 1_000_000 + "!", id="spaces"),
        pytest.param("QUJD" * 250_000 + "=====", id="padding"),
    ],
)
def test_a_long_value_takes_no_longer_than_its_length(value: str) -> None:
    """R4's own expression for Base64 would need years for these."""
    assert ["Patient.photo[0].data"] == list(found_in({"photo": [{"data": value}]}))


def test_a_bomb_in_a_narrative_is_not_set_off() -> None:
    """Entities that hold entities are refused before they are resolved."""
    levels = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    div = f'<!DOCTYPE div [<!ENTITY a0 "a">{levels}]><div xmlns="http://www.w3.org/1999/xhtml">&a11;</div>'

    assert ["Patient.text.div"] == list(found_in({"text": {"status": "generated", "div": div}}))


@pytest.mark.exhaustive
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(a_resource())
def test_any_resource_that_r4_allows_is_clean(tree: dict[str, Any]) -> None:
    """All types, all elements, awkward values."""
    assert [] == check(tree)


@pytest.mark.parametrize("body", [referral(), validation_request()], ids=["referral", "validation"])
def test_a_proper_message_needs_no_close_look(body: bytes) -> None:
    """It is read, and shown to be sound, in one walk: as nearly every message is."""
    sounded = sound_in(body)

    assert sounded is not None
    assert from_json(body) == sounded.tree


ODD = (
    *("", " x", "a\u0001", "2023-02-29", None, True, 1, Number("-0"), [], {}, ["x"], [None]),
    *({"reference": "x"}, {"id": "a b"}, {"url": "x", "valueCode": "a", "valueId": "b"}),
)


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(a_resource(), st.data())
def test_what_is_sound_has_no_problems(tree: dict[str, Any], data: st.DataObject) -> None:
    """The quick look says so of nothing that a close one would find anything wrong with."""
    places = [each for each in objects_in(tree) if each]
    place = data.draw(st.sampled_from(places))
    name = data.draw(st.sampled_from([*place, "id", "extension", "_status", "nameless"]))
    place[name] = data.draw(st.sampled_from(ODD))  # type: ignore[index]

    assert sound(tree) is None or problems(tree, path="Resource") == []


@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(a_resource())
def test_what_is_read_in_one_walk_is_what_was_written(tree: dict[str, Any]) -> None:
    """A decimal such as 1.10 among it, which is then read otherwise."""
    body = to_bytes(tree, Format.JSON)
    sounded = sound_in(body)

    assert sounded is None or from_json(body) == sounded.tree
