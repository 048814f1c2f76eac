"""R4 as a table: what it says of types that everybody knows, and what it knows nothing of."""

import json
from datetime import date
from pathlib import Path

import pytest

from bars_gateway.standard.r4 import elements, fit, matcher, members, resources, vocabulary


def test_elements_come_in_the_order_of_r4() -> None:
    """XML is written in this order."""
    names = [each.name for each in elements("Narrative")]

    assert ["id", "extension", "status", "div"] == names


def test_a_choice_is_one_element_with_many_names() -> None:
    """deceased[x] stands in a Patient as deceasedBoolean or deceasedDateTime."""
    deceased = next(each for each in elements("Patient") if each.name == "deceased[x]")

    assert ("deceasedBoolean", "deceasedDateTime") == deceased.names
    assert members("Patient")["deceasedDateTime"].position == deceased.position


def test_a_member_says_what_may_stand_there() -> None:
    """The type, whether it is a list, and the codes that R4 fixes."""
    gender = members("Patient")["gender"]

    assert ("code", False, True) == (gender.type, gender.many, gender.is_primitive)
    assert {"male", "female", "other", "unknown"} == gender.codes
    assert ("HumanName", True) == (
        members("Patient")["name"].type,
        members("Patient")["name"].many,
    )


def test_a_backbone_may_have_the_elements_of_another() -> None:
    """An item of a questionnaire holds items."""
    assert "Questionnaire.item" == members("Questionnaire.item")["item"].type
    assert "Bundle.link" == members("Bundle.entry")["link"].type


def test_only_ids_of_elements_and_urls_of_extensions_are_attributes() -> None:
    """In XML everything else is an element of its own."""
    found = {
        (name, member.name)
        for name in ("Extension", "HumanName", "Patient", "Bundle.link")
        for member in members(name).values()
        if member.is_attribute
    }

    assert {
        ("Extension", "id"),
        ("Extension", "url"),
        ("HumanName", "id"),
        ("Bundle.link", "id"),
    } == found


def test_the_vocabulary_holds_names_and_nothing_else() -> None:
    """What may be repeated in a report: no value of anybody."""
    assert {"birthDate", "valueQuantity", "resourceType", "Patient"} <= vocabulary()
    assert "Smith" not in vocabulary()


def test_the_table_agrees_with_hl7s_schema(reference_data: Path) -> None:
    """Every resource has the members that the JSON schema gives it, and no others."""
    schema = json.loads((reference_data / "fhir-r4" / "fhir.schema.json").read_bytes())
    differing = {}
    for name in sorted(resources()):
        known = {n for n in schema["definitions"][name]["properties"] if not n.startswith("_")}
        difference = known ^ {"resourceType", *members(name)}
        if difference:
            differing[name] = difference

    assert {} == differing
    assert set(schema["discriminator"]["mapping"]) == resources()


@pytest.mark.exhaustive
def test_a_date_is_one_of_the_calendar() -> None:
    """Every day from 1896 to 2104 that there was or will be, with the leap years that are none."""
    matches = matcher("date")
    written = [
        f"{year:04}-{month:02}-{day:02}"
        for year in (*range(1896, 2105), 0, 1, 4, 400, 9996)
        for month in range(14)
        for day in range(33)
    ]

    assert [each for each in written if is_a_day(each)] == [e for e in written if matches(e)]


def is_a_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def test_of_the_values_that_were_met_few_are_kept() -> None:
    """None that is long, or given once, or does not fit; and no more of the others than so many."""
    known = fit("uri").__self__  # type: ignore[attr-defined]
    known.clear()
    values = ["https://a/b", "urn:uuid:7c0cf4d6-9a4e-4e0b-8f3a-0a3c3f6d7d11", "a" * 500, "a b"]

    assert [True, True, True, False] == [bool(fit("uri")(each)) for each in values]
    assert {"https://a/b": True} == known
    assert all(fit("uri")(f"https://a/{number}") for number in range(3000))
    assert len(known) <= 1024
