"""The messages that the benchmarks send: sound ones, of any size."""

import json
from functools import cache
from typing import Any
from uuid import uuid4

from bars_gateway.demo.messages import referral
from bars_gateway.standard import bundle, xml

AS_IT_IS = 0  # in bytes: as the demo writes a referral, about 12.9 kB
_OBSERVATION_URL = "urn:uuid:{:08d}-0000-4000-8000-000000000001"


def body_of(size: int, receiver: str) -> bytes:
    """Return a new referral to *receiver* of about *size* bytes."""
    if size == AS_IT_IS:
        return referral(receiver=receiver)
    written, own_id = _pattern(size, receiver)
    return written.replace(own_id, str(uuid4()).encode())


def xml_of(size: int, receiver: str) -> bytes:
    """Return the same as XML; *size* is that of the JSON that it is made from."""
    return xml.from_tree(bundle.from_json(_pattern(size, receiver)[0]))


@cache
def _pattern(size: int, receiver: str) -> tuple[bytes, bytes]:
    document = json.loads(referral(receiver=receiver))
    if size < len(json.dumps(document)):
        return _written(document), document["id"].encode()
    each = len(json.dumps(_observation(document, 0))) + 2
    for number in range(max(0, (size - len(json.dumps(document))) // each)):
        document["entry"].append(_observation(document, number))
    return json.dumps(document).encode(), document["id"].encode()


def _written(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _observation(document: dict[str, Any], number: int) -> dict[str, Any]:
    patient = next(
        e["fullUrl"] for e in document["entry"] if e["resource"]["resourceType"] == "Patient"
    )
    return {
        "fullUrl": _OBSERVATION_URL.format(number),
        "resource": {
            "resourceType": "Observation",
            "meta": {
                "lastUpdated": document["meta"]["lastUpdated"],
                "profile": ["https://fhir.hl7.org.uk/StructureDefinition/UKCore-Observation"],
            },
            "status": "final",
            "code": {
                "coding": [{"system": "http://snomed.info/sct", "code": "75367002", "display": "x"}]
            },
            "subject": {"reference": patient},
            "effectiveDateTime": "2026-11-23T09:00:00+00:00",
            "valueQuantity": {
                "value": 120.0,
                "unit": "mmHg",
                "system": "http://unitsofmeasure.org",
            },
        },
    }
