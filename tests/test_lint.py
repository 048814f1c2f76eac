"""The verb that looks at message files: what it prints, and how it exits."""

import json
from pathlib import Path

import pytest
from json_lines import LINES
from messages import referral, validation_request
from typer.testing import CliRunner

from bars_gateway.cli.main import app
from bars_gateway.standard import bundle, xml


def lint(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["lint", *map(str, arguments)])
    return result.exit_code, result.stdout


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "good.json"
    file.write_bytes(validation_request())
    return file


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    document = json.loads(referral())
    document["entry"][0]["resource"]["CANARY"] = "CANARY"
    document["type"] = "CANARY"
    del document["entry"][0]["resource"]["definition"]
    file = tmp_path / "bad.json"
    file.write_text(json.dumps(document))
    return file


def test_of_a_good_message_a_person_hears_that_nothing_is_wrong(good: Path) -> None:
    """A script finds nothing in the output, and the exit code 0."""
    result = CliRunner().invoke(app, ["lint", str(good)])

    assert (0, "") == lint(good)
    assert (0, "") == lint(good, "--strict")
    assert "nothing is wrong (1 looked at)\n" == result.stderr


def test_a_good_message_may_be_xml(good: Path) -> None:
    """The format is told by the name of the file, as everywhere else."""
    twin = good.with_suffix(".XML")
    twin.write_bytes(xml.from_tree(bundle.from_json(good.read_bytes())))

    assert (0, "") == lint(good, twin)


def test_all_that_is_wrong_is_printed_with_its_path(bad: Path) -> None:
    """Structure first, then the rules; the exit code is 1."""
    code, printed = lint(bad)
    places = [line.partition(": ")[2].rpartition(": ")[0] for line in printed.splitlines()]

    assert 1 == code
    assert "error B01 Bundle.type" in printed
    assert "error B01 Bundle.entry[0].resource.?[0]" in printed
    assert "warning M14 Bundle.entry[0].resource.definition" in printed
    assert all(place.startswith(("error", "warning")) for place in places)


def test_what_others_sent_is_looked_at_as_a_receiver_does(tmp_path: Path) -> None:
    """Lenient by default: what a Receiver takes with a warning is no failure."""
    file = tmp_path / "lenient.json"
    document = json.loads(referral())
    del document["timestamp"]
    file.write_text(json.dumps(document))

    assert (0, True) == (lint(file)[0], "warning B03" in lint(file)[1])
    assert (1, True) == (lint(file, "--strict")[0], "error B03" in lint(file, "--strict")[1])


def test_a_focus_that_points_to_nothing_is_told_as_that(tmp_path: Path) -> None:
    """And not as a status that is wrong: what stands in the ServiceRequest is right."""
    file = tmp_path / "dangling.json"
    document = json.loads(referral())
    gone = "urn:uuid:00000000-0000-4000-8000-00000000dead"
    document["entry"][0]["resource"]["focus"] = [{"reference": gone}]
    file.write_text(json.dumps(document))
    code, printed = lint(file, "--strict")

    assert (1, True, False) == (code, "error M12N" in printed, "R05" in printed)
    assert "the focus points to nothing" in printed


def test_a_date_that_is_no_moment_is_told(tmp_path: Path) -> None:
    """It gives no clinical time, and whoever wrote it may have meant one."""
    file = tmp_path / "partial.json"
    document = json.loads(validation_request())
    for each in document["entry"]:
        if each["resource"]["resourceType"] == "ServiceRequest":
            each["resource"]["occurrencePeriod"]["end"] = "9999-12-31"
    file.write_text(json.dumps(document))

    for printed in (lint(file), lint(file, "--strict")):
        assert (0, True) == (printed[0], "warning R04D" in printed[1])


def test_an_envelope_is_looked_at_as_one(tmp_path: Path) -> None:
    """By its name, as in the outbox: what would be refused, and what would be ignored."""
    unset, misspelt = tmp_path / "a.envelope.json", tmp_path / "b.envelope.json"
    unset.write_text('{"needed_by": "0001-01-01T00:00:00+00:00"}')
    misspelt.write_text('{"needed_by": "0001"}')

    assert (0, True) == (lint(unset)[0], "warning R04E envelope.needed_by" in lint(unset)[1])
    assert (1, True) == (lint(misspelt)[0], "error E01 envelope.needed_by" in lint(misspelt)[1])


def test_what_production_refuses_is_said_beforehand(tmp_path: Path) -> None:
    """A number that is nobody's is a warning here, and would keep the message back there."""
    file = tmp_path / "placeholder.json"
    file.write_bytes(referral(nhs_number="0000000000"))

    assert (0, True) == (lint(file)[0], "warning P02P" in lint(file)[1])
    assert "in prod it is refused" not in lint(file)[1]
    code, printed = lint(file, "--strict")
    assert (0, 1) == (code, printed.count("(in prod it is refused)"))


def test_content_is_never_printed(bad: Path) -> None:
    """The report can be shown to anybody: no value, no unknown name."""
    assert "CANARY" not in lint(bad)[1]
    assert "CANARY" not in lint(bad, "--json")[1]


def test_xml_is_reported_with_its_line(tmp_path: Path, bad: Path) -> None:
    """Editors jump to file:line."""
    file = tmp_path / "bad.xml"
    file.write_text(
        '<Bundle xmlns="http://hl7.org/fhir">\n<type value="message"/>\n<entry>\n<resource>'
        '<MessageHeader>\n<eventUri value="a b"/>\n</MessageHeader></resource></entry></Bundle>'
    )

    assert f"{file}:5: error B01 Bundle.entry[0].resource.eventUri: " in lint(file)[1]


def test_what_cannot_be_read_at_all_is_one_line(tmp_path: Path) -> None:
    """No traceback: a file that is no XML is an ordinary finding."""
    file = tmp_path / "cut.xml"
    file.write_text('<Bundle xmlns="http://hl7.org/fhir">\n<CANARY')
    code, printed = lint(file)

    assert 1 == code
    assert f"{file}:2: error B01 Bundle: the body is not well-formed XML: line 2\n" == printed


def test_a_warning_is_no_failure(tmp_path: Path, good: Path) -> None:
    """Elements out of order are told, and the message can still be sent."""
    text = xml.from_tree(bundle.from_json(good.read_bytes())).decode()
    kind = '<type value="message"/>'
    file = tmp_path / "late.xml"
    file.write_text(text.replace(kind, "").replace("</entry></Bundle>", f"</entry>{kind}</Bundle>"))
    code, printed = lint(file)

    assert (0, 1) == (code, printed.count("\n"))
    assert "warning B01 Bundle.type" in printed


def test_other_programs_get_one_document_for_each_finding(bad: Path, good: Path) -> None:
    """Each finding with its file, line, severity, rule, path and text."""
    code, printed = lint("--json", good, bad)
    found = [json.loads(line) for line in printed.splitlines()]

    assert 1 == code
    assert set(LINES["lint"].members) == set(found[0])
    assert {str(bad)} == {each["file"] for each in found}
    assert (0, "") == lint("--json", good)
