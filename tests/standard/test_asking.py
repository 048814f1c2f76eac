"""What is asked of others, what of their answers is taken, and what we answer ourselves."""

import json
from dataclasses import replace

import orjson
import pytest
from messages import RECEIVER

from bars_gateway.standard.answers import OwnWords, no_matches, own_words, removed
from bars_gateway.standard.formats import Format, as_asked, converted, to_tree
from bars_gateway.standard.guards import MoveRefused, named_unclearly, of_other_records
from bars_gateway.standard.headers import (
    HeaderProblem,
    Ids,
    SenderIdentity,
    TargetIdentifier,
    decode,
    for_asking,
)
from bars_gateway.standard.reads import (
    BarsRequest,
    accept_of,
    is_preview,
    methods_of,
    without,
)
from bars_gateway.standard.verdict import FaultSide, Judgement, Verdict

REQUEST = BarsRequest(
    provider="trust",
    method="GET",
    resource="metadata",
    resource_id=None,
    query="",
    target=TargetIdentifier.parse(RECEIVER),
    headers={},
)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({}, "/metadata"),
        ({"resource": "Slot", "query": "status=free"}, "/Slot?status=free"),
        ({"resource": "Appointment", "resource_id": "7"}, "/Appointment/7"),
        (
            {"resource": "MessageDefinition", "resource_id": "7", "is_template": True},
            "/MessageDefinition/7/$template",
        ),
    ],
)
def test_a_request_has_one_path(changes: dict[str, object], path: str) -> None:
    """As the proxy is asked, below its address."""
    assert path == replace(REQUEST, **changes).path  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "resource", "kept"),
    [
        ("GET", "metadata", True),
        ("GET", "MessageDefinition", True),
        ("GET", "Slot", False),
        ("GET", "Appointment", False),
        ("DELETE", "MessageDefinition", False),
    ],
)
def test_only_what_a_service_says_of_itself_is_kept(
    method: str, resource: str, *, kept: bool
) -> None:
    """Slots and records change by the minute, and are of patients."""
    assert kept == replace(REQUEST, method=method, resource=resource).is_kept


def test_a_path_that_the_api_lacks_has_no_methods() -> None:
    """Who asks for it hears so, and nobody else is asked."""
    assert methods_of("Slot", has_id=False)
    assert () == methods_of("Slot", has_id=True)
    assert () == methods_of("Patient", has_id=False)


def test_what_only_changes_is_a_preview() -> None:
    """The guide only announces it."""
    assert is_preview("DELETE", "Appointment")
    assert not is_preview("GET", "Appointment")


@pytest.mark.parametrize(
    ("asked", "accepted"),
    [
        ("", "application/fhir+json; version=1.2.0"),
        ("application/fhir+xml, */*", "application/fhir+xml; version=1.2.0"),
        ("text/html", "application/fhir+json; version=1.2.0"),
        ("application/fhir+json; version=1.0.0", "application/fhir+json; version=1.0.0"),
    ],
)
def test_what_is_accepted_names_our_version(asked: str, accepted: str) -> None:
    """JSON where nothing else is asked for; who names a version means it."""
    assert accepted == accept_of(asked, "1.2.0")


def test_a_parameter_of_ours_is_taken_out_and_the_rest_left_as_it_was() -> None:
    """Whatever is written in it, and however often it stands there."""
    query = "a=1%20&to=x%7Cy&b=&to=z&&c"

    assert ("a=1%20&b=&c", ["x|y", "z"]) == without(query, "to")


IDENTITY = SenderIdentity(
    ods_code="RAE",
    organisation="Example NHS Trust",
    software_name="gateway",
    software_version="1",
    software_system="urn:example",
    software_value="1",
    core_version="1.2.0",
)


def test_who_asks_is_named_in_each_request() -> None:
    """The organisation, the software, the service that is asked, and both ids."""
    ids = Ids(request_id="r", correlation_id="c")
    target = TargetIdentifier.parse(RECEIVER)
    headers = for_asking(
        target,
        IDENTITY,
        ids=ids,
        accept="application/fhir+json",
        media_type="application/fhir+json",
        practitioner={"resourceType": "Practitioner"},
    )

    assert ("r", "c") == (headers["X-Request-Id"], headers["X-Correlation-Id"])
    assert target == TargetIdentifier.decode(headers["NHSD-Target-Identifier"])
    assert "RAE" in json.dumps(decode(headers["NHSD-End-User-Organisation"]))
    assert "application/fhir+json; version=1.2.0" == headers["Content-Type"]
    assert "Authorization" not in headers


def test_what_is_nobodys_is_not_said() -> None:
    """The proxy's own metadata are of no service, and a question without a body has no type."""
    headers = for_asking(None, IDENTITY, ids=Ids(request_id="r", correlation_id="c"), accept="x")

    assert set() == headers.keys() & {
        "NHSD-Target-Identifier",
        "Content-Type",
        "NHSD-Requesting-Practitioner",
    }


@pytest.mark.parametrize("text", ["", "system", "|value", "system|"])
def test_a_service_has_a_system_and_a_value(text: str) -> None:
    """Half of it would be somebody else's."""
    with pytest.raises(HeaderProblem):
        TargetIdentifier.parse(text)


def test_what_was_found_by_nobody_says_so() -> None:
    """A searchset without matches holds one outcome, which says that nothing was found."""
    found = orjson.loads(no_matches(lambda: "1"))
    (entry,) = found["entry"]

    assert ("searchset", 0) == (found["type"], found["total"])
    assert "outcome" == entry["search"]["mode"]
    assert "not-found" == entry["resource"]["issue"][0]["code"]


def test_what_was_removed_is_said_to_be_so() -> None:
    """As information, and not as an error."""
    (issue,) = orjson.loads(removed())["issue"]

    assert ("information", "informational") == (issue["severity"], issue["code"])


def test_a_receivers_own_words_are_read_as_they_were_written() -> None:
    """Each issue with what it says, for whoever is allowed to see it."""
    issue = {
        "severity": "error",
        "code": "invalid",
        "details": {"coding": [{"code": "REC_BAD_REQUEST", "display": "Bad"}], "text": "No."},
        "diagnostics": "Line 3.",
    }
    outcome = {"resourceType": "OperationOutcome", "issue": [issue]}
    (said,) = own_words(orjson.dumps(outcome))

    assert isinstance(said, OwnWords)
    assert ("error", "invalid") == (said.severity, said.issue)
    assert all(word in str(said) for word in ("Bad", "No.", "Line 3."))


@pytest.mark.parametrize("body", [b"", b"not JSON", b"[]", b'{"resourceType": "Bundle"}'])
def test_what_is_no_outcome_has_no_words(body: bytes) -> None:
    """Nothing is guessed from a page of HTML, or from a resource."""
    assert [] == list(own_words(body))


def test_what_xml_cannot_carry_is_given_in_json() -> None:
    """Who asks gets an answer, in the format that can hold it."""
    good, bad = {"resourceType": "Basic", "id": "1"}, {"resourceType": "Basic", "x": "\x00"}

    assert Format.XML is as_asked(good, Format.XML)[1]
    assert Format.JSON is as_asked(bad, Format.XML)[1]


def test_bytes_in_the_format_that_is_wanted_stay_as_they_are() -> None:
    """What is converted says the same."""
    body = b'{ "resourceType":"Basic","id":"1" }'
    written = converted(body, Format.JSON, Format.XML)

    assert body is converted(body, Format.JSON, Format.JSON)
    assert to_tree(body, Format.JSON) == to_tree(written, Format.XML)


def judged(row: str, verdict: Verdict, fault: FaultSide | None = None) -> Judgement:
    return Judgement(verdict=verdict, row=row, fault=fault, ids_echoed=True)


@pytest.mark.parametrize(
    ("judgement", "of_receiver"),
    [
        (judged("acknowledged", Verdict.ACKNOWLEDGED), True),
        (judged("refused", Verdict.REFUSED, FaultSide.REC), True),
        (judged("refused", Verdict.REFUSED, FaultSide.PROXY), False),
        (judged("refused-in-doubt", Verdict.RETRY, FaultSide.REC), True),
        (judged("timeout", Verdict.RETRY, FaultSide.REC), False),
    ],
)
def test_only_the_receivers_own_yes_or_no_is_its_word(
    judgement: Judgement, *, of_receiver: bool
) -> None:
    """What stands on the way may say no as well, and is not the Receiver."""
    assert of_receiver == judgement.is_of_receiver


def test_silence_and_errors_are_told_from_answers() -> None:
    """They are one trouble of a service; a refusal is none."""
    refused = judged("refused", Verdict.REFUSED, FaultSide.REC)
    silent = judged("silence", Verdict.RETRY)

    assert silent.is_silence
    assert not refused.is_silence
    assert not refused.is_server_error


@pytest.mark.parametrize("refusal", [named_unclearly, of_other_records])
def test_a_change_that_fits_nothing_names_what_it_does_not_fit(refusal) -> None:
    """The EPR is told which workflows it may be of, as a conflict."""
    issue = refusal([3, 7])

    assert "3, 7" in issue.text
    assert 409 == issue.http_status


def test_a_move_that_is_refused_names_its_rules() -> None:
    """Its issues are for the EPR, and its text is for the log: rules alone."""
    issue = named_unclearly([3])
    refused = MoveRefused([issue, issue])

    assert f"{issue.rule}, {issue.rule}" == str(refused)
    assert (issue, issue) == refused.issues
