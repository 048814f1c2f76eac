"""A Bundle under a new id is otherwise the same, to the byte."""

import pytest
from messages import referral

from bars_gateway.standard.bundle import MalformedBundle, from_json, read
from bars_gateway.standard.formats import Format, to_bytes
from bars_gateway.standard.renewal import renewed

NEW = "0b0f3c1e-8a55-4b0a-9d4e-5f7a5f3f1d11"
XML = "application/fhir+xml"
JSON = "application/fhir+json"


def in_xml(body: bytes) -> bytes:
    return to_bytes(from_json(body), Format.XML)


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        pytest.param(referral(), JSON, id="json"),
        pytest.param(in_xml(referral()), XML, id="xml"),
        pytest.param(
            b'{ "entry" : [ {"resource": {"id": "inner", "n": 1.10}} ],\n'
            b'  "x": "\\"id\\": {", "id" : "outer", "resourceType": "Bundle" }',
            JSON,
            id="id-after-others",
        ),
    ],
)
def test_nothing_but_the_id_changes(body: bytes, media_type: str) -> None:
    """The old id put back gives the bytes that there were."""
    before = read(body, media_type).root["id"]
    changed = renewed(body, media_type, NEW)

    assert NEW == read(changed, media_type).root["id"]
    assert body == changed.replace(NEW.encode(), str(before).encode(), 1)


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        pytest.param(b'{"resourceType":"Bundle","entry":[{"id":"x"}]}', JSON, id="none"),
        pytest.param(b'{"resourceType":"Bundle","id":7}', JSON, id="no-text"),
        pytest.param(
            b'<Bundle xmlns="http://hl7.org/fhir"><!-- <id value="a"/> --><id value="b"/></Bundle>',
            XML,
            id="comment",
        ),
    ],
)
def test_an_id_that_cannot_be_told_is_left_alone(body: bytes, media_type: str) -> None:
    """Rather no resend than one with something else replaced."""
    with pytest.raises(MalformedBundle):
        renewed(body, media_type, NEW)
