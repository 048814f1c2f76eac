"""FHIR's XML: read without losing a value, refused where nobody could read it, written in order."""

import dataclasses
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from generated import a_resource
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from messages import referral, validation_request
from oracles import as_json

from bars_gateway.standard import bundle, structure, xml
from bars_gateway.standard.tree import MalformedBundle, Number

FHIR = 'xmlns="http://hl7.org/fhir"'
XHTML = 'xmlns="http://www.w3.org/1999/xhtml"'


def patient(inner: str, attributes: str = "") -> bytes:
    return f"<Patient {FHIR}{attributes}>{inner}</Patient>".encode()


def tree_of(inner: str) -> dict[str, Any]:
    tree = dict(xml.to_tree(patient(inner)).tree)
    assert "Patient" == tree.pop("resourceType")
    return tree


def told_of(body: bytes) -> dict[str, int | None]:
    """Return path → line of everything that the structure checker finds."""
    document = xml.to_tree(body)
    found = structure.check(document.tree, path=str(document.tree["resourceType"]))
    return {issue.path: document.lines.get(issue.path) for issue in found}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_a_line_is_where_its_writer_ended_the_one_before(end: str) -> None:
    """However lines end: the line that is told is looked up in an editor."""
    gender = '<gender value="x"/>'
    body = patient(f'{end}{end}<active value="true"/>{end}  {gender}{end}')

    assert {"Patient.gender": 4} == told_of(body)


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        pytest.param('<active value="true"/>', {"active": True}, id="boolean"),
        pytest.param(
            '<multipleBirthInteger value="2"/>', {"multipleBirthInteger": Number("2")}, id="number"
        ),
        pytest.param(
            '<extension url="u"><valueDecimal value="1.10"/></extension>',
            {"extension": [{"url": "u", "valueDecimal": Number("1.10")}]},
            id="decimal-as-written",
        ),
        pytest.param(
            '<meta><lastUpdated value="2026-03-02T09:00:00.1234567+00:00"/></meta>',
            {"meta": {"lastUpdated": "2026-03-02T09:00:00.1234567+00:00"}},
            id="seven-digits",
        ),
        pytest.param(
            '<name id="n"><given value="A"/><given value="B"/></name>',
            {"name": [{"id": "n", "given": ["A", "B"]}]},
            id="lists",
        ),
        pytest.param(
            '<name><given value="A"/><given id="x"/></name>',
            {"name": [{"given": ["A", None], "_given": [None, {"id": "x"}]}]},
            id="null-padding",
        ),
        pytest.param(
            '<address><line id="x"/><line value="B"/></address>',
            {"address": [{"line": [None, "B"], "_line": [{"id": "x"}, None]}]},
            id="null-in-front",
        ),
        pytest.param(
            '<name><given id="x"/></name>',
            {"name": [{"_given": [{"id": "x"}]}]},
            id="only-extended",
        ),
        pytest.param(
            '<birthDate id="b" value="1970"/>',
            {"birthDate": "1970", "_birthDate": {"id": "b"}},
            id="extended",
        ),
        pytest.param(
            "<contained><Organization><id value='o'/></Organization></contained>",
            {"contained": [{"resourceType": "Organization", "id": "o"}]},
            id="contained",
        ),
        pytest.param("<!-- a --><?b c?>\n <id value='a'/> <!-- d -->", {"id": "a"}, id="comments"),
        pytest.param(
            "<id value='&lt;&amp;&#10;&quot;'/>", {"id": '<&\n"'}, id="characters-that-are-escaped"
        ),
    ],
)
def test_xml_becomes_what_json_would_be(inner: str, expected: dict[str, Any]) -> None:
    """One tree, whatever the format."""
    assert expected == tree_of(inner)


@pytest.mark.parametrize(
    "div",
    [
        f"<div {XHTML}>a<br/>\r\n<b class='c'>&#160;</b><!-- d --></div>",
        f"<div {XHTML}/>",
        f"<div {XHTML}>a/></div>",
        f"<div {XHTML}><br/></div>",
        f"<div {XHTML}></div>",
        "<h:div xmlns:h='http://www.w3.org/1999/xhtml'>a</h:div>",
    ],
)
def test_narrative_is_kept_to_the_letter(div: str) -> None:
    """White space, entities, comments and quotes of a div are its author's."""
    found = tree_of(f"<text><status value='generated'/>{div}</text><active value='true'/>")

    assert {"text": {"status": "generated", "div": div}, "active": True} == found


def test_narrative_brings_along_what_it_needs() -> None:
    """A prefix that is declared around the div is declared in it, so that JSON can hold it."""
    found = xml.to_tree(
        patient(
            "<text><status value='generated'/><h:div a='b'>c</h:div></text>",
            ' xmlns:h="http://www.w3.org/1999/xhtml"',
        )
    )

    assert [] == structure.check(found.tree)
    assert "xmlns:h=" in str(found.tree)


@pytest.mark.parametrize(
    ("body", "words", "path", "line"),
    [
        pytest.param(b"", "not well-formed XML", "Bundle", 1, id="empty"),
        pytest.param(b"{}", "not well-formed XML", "Bundle", 1, id="json"),
        pytest.param(
            patient("\n<name>\n<family value='a'>"),
            "well-formed",
            "Patient.name[0].family",
            3,
            id="cut",
        ),
        pytest.param(b"<Patient/>", "namespace", "Bundle", 1, id="no-namespace"),
        pytest.param(f"<Banana {FHIR}/>".encode(), "not a resource", "Bundle", 1, id="no-resource"),
        pytest.param(
            b'<!DOCTYPE a [<!ENTITY b "c">]>' + patient(""),
            "document type",
            "Bundle",
            1,
            id="entity",
        ),
        pytest.param(
            b'<!DOCTYPE a SYSTEM "file:///etc/passwd">' + patient(""),
            "document type",
            "Bundle",
            1,
            id="external",
        ),
        pytest.param(patient("\n&nbsp;"), "no such entity", "Patient", 2, id="html-entity"),
        pytest.param(
            patient(f"<text><div {XHTML}>&nbsp;</div></text>\n<id value='&nbsp;'/>"),
            "no such entity",
            "Patient",
            2,
            id="html-entity-beside-narrative",
        ),
        pytest.param(
            patient(f"<text><div {XHTML}>&x;</div></text>"),
            "no such entity",
            "Patient.text",
            1,
            id="unknown-entity-in-narrative",
        ),
        pytest.param(
            patient("\n<id value='\xff'/>").decode().encode("latin-1"),
            r"not in UTF-8 \(line 2, byte offset 49\)",
            "Bundle",
            2,
            id="latin-1",
        ),
        pytest.param(
            b'<?xml version="1.1"?>' + patient(""), "version 1.0", "Bundle", 1, id="xml-1.1"
        ),
        pytest.param(
            b'<?xml version="1.0" encoding="ISO-8859-1"?>' + patient(""),
            "UTF-8",
            "Bundle",
            1,
            id="declared",
        ),
        *(
            pytest.param(patient("").decode().encode(name), "UTF-8", "Bundle", 1, id=name)
            for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
        ),
        pytest.param(
            patient("<extension url='a'>" * 40 + "</extension>" * 40), "deeper", None, 1, id="deep"
        ),
        pytest.param(
            patient("<text><x>" + "<b>" * 90 + "</b>" * 90 + "</x></text>"),
            "deeper",
            None,
            1,
            id="deep-unknown",
        ),
        pytest.param(patient("<a>" * 100_000), "deeper", None, 1, id="very-deep"),
    ],
)
def test_what_nobody_could_read_is_refused(
    body: bytes, words: str, path: str | None, line: int
) -> None:
    """With the element that was being read, and its line."""
    with pytest.raises(MalformedBundle, match=words) as caught:
        xml.to_tree(body)

    assert f"line {line}" in str(caught.value)
    assert line == caught.value.line
    assert path in {None, caught.value.issue.path}


def declaring(encoding: str, family: str) -> bytes:
    declaration = f"<?xml version='1.0' encoding='{encoding}'?>"
    return (
        f"{declaration}<Patient {FHIR}><name><family value='{family}'/></name></Patient>".encode()
    )


@pytest.mark.parametrize("encoding", ["UTF-8", "utf-8", "Utf-8", "US-ASCII", "us-ascii"])
def test_an_encoding_may_be_declared_that_it_is_in(encoding: str) -> None:
    """FHIR's one encoding, or the part of it that is ASCII; no letter case counts."""
    tree = xml.to_tree(declaring(encoding, "Smith")).tree

    assert {"resourceType": "Patient", "name": [{"family": "Smith"}]} == tree


@pytest.mark.parametrize(
    "encoding",
    [
        *("UTF8", "utf_8", "csUTF8", "unicode-1-1-utf-8", "ASCII", "ascii", "ANSI_X3.4-1968"),
        *("UTF-16", "ISO-8859-1", "Latin1", "windows-1252", "UTF-7", "x-user-defined"),
    ],
)
def test_another_encoding_is_refused_with_the_one_to_declare(encoding: str) -> None:
    """Readers stop at a name that they do not know: ours would pass on what the EPR's refuses."""
    with pytest.raises(MalformedBundle, match='write encoding="UTF-8"') as caught:
        xml.to_tree(declaring(encoding, "Smith"))

    assert 1 == caught.value.line


def test_what_declares_ascii_is_ascii() -> None:
    """A reader that believes it would stop at the first other character, or show it as another."""
    with pytest.raises(MalformedBundle, match="declares US-ASCII"):
        xml.to_tree(declaring("US-ASCII", "Zo\u00eb"))

    assert "Zo\u00eb" == xml.to_tree(declaring("UTF-8", "Zo\u00eb")).tree["name"][0]["family"]


@pytest.mark.parametrize("name", ["&nbsp;", "&eacute;", "&Mu;"])
def test_narrative_may_name_characters_as_html_does(name: str) -> None:
    """It is kept exactly, and written with the number, which every reader of XML knows."""
    div = f"<div {XHTML}><p title='{name}'>a{name}b</p></div>"
    body = patient(f"<text><status value='generated'/>{div}</text><active value='true'/>")
    tree = xml.to_tree(body).tree
    written = xml.from_tree(tree)

    assert {"status": "generated", "div": div} == tree["text"]
    assert ["Patient.text.div"] == [issue.path for issue in structure.check(tree, path="Patient")]
    assert xml.to_tree(written).tree["active"] is True
    assert name.encode() not in written


@pytest.mark.parametrize("blank", ["\n", "\r\n", "\t"])
def test_a_line_break_within_a_value_is_found(blank: str) -> None:
    """XML makes a blank of it, so only the bytes tell; what is written as &#10; stays one."""
    document = xml.to_tree(
        patient(
            f"<name>\n<text id='a'\nvalue='a{blank}b'/>\n<family\nvalue='a b'/>"
            "<given value='a&#10;b c'/></name>"
        )
    )

    assert ["Patient.name[0].text"] == document.broken_lines


def test_a_byte_order_mark_is_passed_over() -> None:
    """Some editors write one; it says nothing, and moves nothing."""
    div = f"<div {XHTML}>\u00e9</div>"
    body = patient(f"<text><status value='generated'/>{div}</text>")

    assert xml.to_tree(body).tree == xml.to_tree(b"\xef\xbb\xbf" + body).tree


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        pytest.param("\n<status value='a'/>", {"Patient.status": 2}, id="unknown"),
        pytest.param(
            "\n<CANARY/>\n<CANARY/>", {"Patient.?[0]": 2, "Patient.?[1]": 3}, id="unknown-to-r4"
        ),
        pytest.param(
            "<gender value='male'/>\n<gender value='male'/>", {"Patient.gender": 1}, id="twice"
        ),
        pytest.param(
            "\n<name CANARY='a'><family value='b'/></name>",
            {"Patient.name[0].?[0]": 2},
            id="attribute",
        ),
        pytest.param("<id value='a'/>\nCANARY", {"Patient": 1}, id="text"),
        pytest.param("\n<birthDate/>", {"Patient.birthDate": 2}, id="no-value"),
        pytest.param("\n<name/>", {"Patient.name[0]": 2}, id="nothing-in-it"),
        pytest.param("\n<active value='yes'/>", {"Patient.active": 2}, id="no-boolean"),
        pytest.param(
            "\n<multipleBirthInteger value='+2'/>",
            {"Patient.multipleBirthInteger": 2},
            id="no-number",
        ),
        pytest.param(
            "\n<extension><url value='a'/></extension>",
            {"Patient.extension[0].url": 2},
            id="url-element",
        ),
        pytest.param("\n<_birthDate><id/></_birthDate>", {"Patient.?[0]": 2}, id="name-of-json"),
        pytest.param(
            "\n<resourceType value='Bundle'/>", {"Patient.resourceType": 2}, id="type-of-json"
        ),
        pytest.param(
            "\n<contained><CANARY/></contained>",
            {"Patient.contained[0].resourceType": None},
            id="resource",
        ),
        pytest.param(
            "<contained><Patient><id value='a'/></Patient>\n<Patient/></contained>",
            {"Patient.contained[0].Patient": 2},
            id="two-resources",
        ),
        pytest.param("\n<x:a xmlns:x='urn:CANARY'/>", {"Patient.?[0]": 2}, id="other-namespace"),
        pytest.param(
            "<text><status value='empty'/>\n<div>a</div></text>", {"Patient.text.div": 2}, id="div"
        ),
    ],
)
def test_what_is_no_r4_is_told_with_its_line(inner: str, expected: dict[str, int]) -> None:
    """Well-formed XML goes to the structure checker whole, so that all its faults are listed."""
    found = told_of(patient(inner))

    assert expected == {path: line for path, line in found.items() if path in expected}
    assert "CANARY" not in str(found)


def test_an_element_out_of_order_is_read_and_noted() -> None:
    """Official test messages hold some: nothing is lost by it."""
    document = xml.to_tree(patient("<active value='true'/><id value='a'/>"))

    assert ["Patient.id"] == document.out_of_order
    assert {"resourceType": "Patient", "active": True, "id": "a"} == document.tree
    assert [] == structure.check(document.tree)


def test_a_schema_location_is_no_content() -> None:
    """Tools write it at the root."""
    instance = ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="a b"'

    assert {"resourceType": "Patient"} == xml.to_tree(patient("", instance)).tree


def test_xml_is_written_in_the_order_of_r4() -> None:
    """Whatever the order of the JSON was."""
    tree = {
        "birthDate": "1970",
        "name": [{"given": ["A", None], "_given": [None, {"id": "g"}], "id": "n"}],
        "resourceType": "Patient",
        "id": 'a<"\n',
    }

    assert (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<Patient {FHIR}><id value="a&lt;&quot;&#10;"/>'
        '<name id="n"><given value="A"/><given id="g"/></name>'
        '<birthDate value="1970"/></Patient>'
    ) == xml.from_tree(tree).decode()


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ({"CANARY": "a"}, "Patient"),
        ({"<status#1": True}, "Patient"),
        ({"name": {"family": "CANARY"}}, "Patient.name"),
        ({"name": ["CANARY"]}, "Patient.name"),
        ({"birthDate": ["CANARY"]}, "Patient.birthDate"),
        ({"birthDate": {"CANARY": 1}}, "Patient.birthDate"),
        ({"_birthDate": "CANARY"}, "Patient.birthDate"),
        ({"_name": [{"id": "CANARY"}]}, "Patient"),
        ({"name": [{"_id": {"id": "CANARY"}}]}, "Patient.name"),
        ({"id": "CANARY\x00"}, "Patient.id"),
        ({"id": "CANARY\ud800"}, "Patient.id"),
        ({"text": {"div": "<p>CANARY"}}, "Patient.text.div"),
        ({"contained": [{"resourceType": "CANARY"}]}, "Patient.contained"),
    ],
)
def test_what_is_no_r4_cannot_be_written(content: dict[str, Any], path: str) -> None:
    """XML has no place for it; the refusal names the place and not the content."""
    with pytest.raises(MalformedBundle) as caught:
        xml.from_tree({"resourceType": "Patient", **content})

    assert path == caught.value.issue.path
    assert "CANARY" not in str(caught.value)


@pytest.mark.exhaustive
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(a_resource())
def test_every_value_survives_the_way_there_and_back(tree: dict[str, Any]) -> None:
    """JSON → tree → XML → tree → JSON, for any resource that R4 allows."""
    from_json = bundle.from_json(as_json(tree))
    written = xml.from_tree(from_json)
    document = xml.to_tree(written)

    assert tree == document.tree
    assert [] == document.out_of_order
    assert written == xml.from_tree(document.tree)


@given(st.binary(max_size=100) | st.text(max_size=100).map(patient))
def test_no_bytes_crash_the_reader(body: bytes) -> None:
    """Whatever comes, it is a tree or a refusal, and a tree can be checked."""
    with suppress(MalformedBundle):
        structure.check(xml.to_tree(body).tree)


def examples(folder: Path) -> Iterator[Path]:
    for kind in ("messages", "single-resources", "slots"):
        yield from sorted((folder / "examples" / kind).rglob("*.xml"))
        yield from sorted((folder / "examples" / kind).rglob("*.json"))


@pytest.mark.exhaustive
def test_every_example_keeps_every_value(reference_data: Path) -> None:
    """XML → tree → XML → tree, and JSON → tree → XML → tree, of all that was published."""
    lost = []
    for file in examples(reference_data):
        body = file.read_bytes()
        tree = xml.to_tree(body).tree if file.suffix == ".xml" else bundle.from_json(body)
        through_json = bundle.from_json(as_json(tree))
        if not tree == through_json == xml.to_tree(xml.from_tree(tree)).tree:
            lost.append(file.name)

    assert [] == lost


@pytest.mark.parametrize("body", [referral(), validation_request()], ids=["referral", "validation"])
def test_both_formats_say_the_same(body: bytes) -> None:
    """What BaRS steers by does not depend on the format."""
    twin = xml.from_tree(bundle.from_json(body))

    assert bundle.read(body) == bundle.read(twin, "application/fhir+xml")


@pytest.mark.exhaustive
def test_published_twins_say_the_same(reference_data: Path) -> None:
    """Where an example was published in both formats, it is one message."""
    folder = reference_data / "examples" / "messages"
    differing = {}
    for file in sorted(folder.rglob("*.xml")):
        twin = file.parent.parent / "json" / f"{file.stem}.json"
        if twin.exists():
            told = [steering(file, "application/fhir+xml"), steering(twin, "application/fhir+json")]
            differing[file.stem] = {
                name: (told[0][name], told[1][name])
                for name in told[0]
                if told[0][name] != told[1][name]
            }

    assert {} == {stem: fields for stem, fields in differing.items() if fields}


def steering(file: Path, media_type: str) -> dict[str, object]:
    message = bundle.read(file.read_bytes(), media_type)
    fields = {each.name for each in dataclasses.fields(message)} - {"entries", "root"}
    return {name: getattr(message, name) for name in sorted(fields)}
