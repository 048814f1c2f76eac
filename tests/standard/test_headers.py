"""The headers of BaRS: composed, decoded, compared."""

import base64
import json

import pytest
from messages import RECEIVER, referral

from bars_gateway.standard.bundle import read
from bars_gateway.standard.headers import (
    HeaderProblem,
    Ids,
    SenderIdentity,
    TargetIdentifier,
    decode,
    echo,
    for_sending,
    organisation_code,
    read_ids,
    same_service,
)

IDS = Ids("c1ab3fba-6bae-4ba4-b257-5a87c44d4a91", "9562466f-c982-4bd5-bb0e-255e9f5e6689")
IDENTITY = SenderIdentity(
    ods_code="RA999",
    organisation="Example Ambulance Service",
    software_name="bars_gateway",
    software_version="0.1.0",
    software_system="https://fhir.nhs.uk/Id/product-id",
    software_value="P.TEST",
    core_version="1.5.0",
)


def composed(**changes: object) -> dict[str, str]:
    return for_sending(
        read(referral()), IDENTITY, ids=IDS, media_type="application/fhir+json", **changes
    )  # type: ignore[arg-type]


def test_every_header_that_the_guide_asks_for_is_there() -> None:
    """All but Authorization, which is added when a token is known."""
    assert {
        "NHSD-Target-Identifier",
        "X-Request-Id",
        "X-Correlation-Id",
        "use-context",
        "Accept",
        "Content-Type",
        "NHSD-End-User-Organisation",
        "NHSD-Requesting-Software",
    } == set(composed())


def test_the_practitioner_is_sent_when_known() -> None:
    """The fourth access-control header comes from the envelope."""
    role = {"resourceType": "PractitionerRole"}

    assert role == decode(composed(practitioner=role)["NHSD-Requesting-Practitioner"])


def test_use_context_names_use_case_category_event_and_reason() -> None:
    """Four values in that order, joined by bars (Core, Logging)."""
    assert "a1t1|referral|servicerequest-request|new" == composed()["use-context"]


def test_the_target_is_padded_base64_of_system_and_value() -> None:
    """The proxy decodes strictly: standard alphabet, padding, no line breaks."""
    header = composed()["NHSD-Target-Identifier"]
    system, value = RECEIVER.split("|")

    assert {"system": system, "value": value} == json.loads(base64.b64decode(header, validate=True))


def test_a_target_is_read_leniently() -> None:
    """A line feed inside and a missing padding are forgiven, as published samples need it."""
    encoded = base64.b64encode(b'{"value":"1","system":"s"}\n').decode().rstrip("=")

    assert TargetIdentifier("s", "1") == TargetIdentifier.decode(encoded)


def test_the_alphabet_of_urls_is_read_too() -> None:
    """Libraries for JWTs have no other; what it writes otherwise would be left out unseen."""
    written = json.dumps({"system": "s", "value": "1", "name": "Coé?>~"}, ensure_ascii=False)
    header = base64.urlsafe_b64encode(written.encode()).decode().rstrip("=")

    assert {"-", "_"} <= set(header)
    assert json.loads(written) == decode(header)


def test_a_header_that_is_missing_is_not_called_wrong() -> None:
    """Whoever reads it looks for what was left out, and not for a fault of Base64."""
    with pytest.raises(HeaderProblem, match="the header is missing"):
        decode("")


@pytest.mark.parametrize("header", ["", "%%%", "bm90IGpzb24=", "W10=", "eyJzeXN0ZW0iOiJzIn0="])
def test_what_is_no_target_is_a_problem(header: str) -> None:
    """Not Base64, not JSON, no object, no value."""
    with pytest.raises(HeaderProblem):
        TargetIdentifier.decode(header)


def test_the_three_spellings_of_a_service_are_one() -> None:
    """M08: http, /id/ and /Id/ all occur in the wild."""
    assert same_service(
        "http://fhir.nhs.uk/id/dos-service-id|1", "https://fhir.nhs.uk/Id/dos-service-id|1"
    )
    assert not same_service(
        "https://fhir.nhs.uk/Id/dos-service-id|1", "https://fhir.nhs.uk/Id/dos-service-id|2"
    )


def test_missing_and_malformed_ids_are_told_apart() -> None:
    """H01 is required, H02 is value."""
    issues = read_ids({"x-correlation-id": "nonsense"})

    assert isinstance(issues, list)
    assert [("H01", "required"), ("H02", "value")] == [(i.rule, i.issue) for i in issues]


def test_a_request_id_is_read_in_lower_case() -> None:
    """The same UUID in capitals is the same request; the correlation id is never compared."""
    capitals = Ids(IDS.request_id.upper(), IDS.correlation_id.upper())
    read = read_ids(
        {"x-request-id": capitals.request_id, "x-correlation-id": capitals.correlation_id}
    )

    assert Ids(IDS.request_id, capitals.correlation_id) == read


def test_only_uuids_are_echoed() -> None:
    """What is not a UUID could be anything, and goes back to nobody."""
    headers = {"x-request-id": IDS.request_id, "x-correlation-id": "<script>"}

    assert {"X-Request-Id": IDS.request_id} == echo(headers)


def test_the_senders_organisation_is_read_from_its_header() -> None:
    """By its ODS code, which is not content."""
    assert "RA999" == organisation_code(composed()["NHSD-End-User-Organisation"])
    assert organisation_code("garbage") is None
