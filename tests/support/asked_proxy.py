"""A read, and what may come back for it: shared by tests of who asks and of what is believed."""

import json
from dataclasses import replace
from typing import Any

from bars_gateway.standard.headers import TargetIdentifier
from bars_gateway.standard.reads import BarsAnswer, BarsRequest

JSON = "application/fhir+json"
ID = "95e58add-0b10-4a8c-817c-2729eb0cab75"
OTHER_ID = "00000000-0b10-4a8c-817c-2729eb0cab75"
IDS = {
    "X-Request-Id": "5b0a7a3e-4f0e-4b0c-9a1d-2f6f3c1d7e01",
    "X-Correlation-Id": "c2a6a0c4-93b1-4c77-8c55-0d1b6e0f9a02",
}


def bars_request(resource: str, resource_id: str | None = ID) -> BarsRequest:
    return BarsRequest(
        provider="trust",
        method="GET",
        resource=resource,
        resource_id=resource_id,
        query="",
        target=TargetIdentifier.parse("https://fhir.nhs.uk/Id/dos-service-id|2000000202"),
        headers={**IDS, "Accept": JSON},
    )


def answer(document: object, http_status: int = 200) -> BarsAnswer:
    """Return an answer with both ids; bytes go as they are."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return BarsAnswer(http_status=http_status, media_type=JSON, body=body, headers=IDS)


def echoing(asked: BarsRequest, given: BarsAnswer) -> BarsAnswer:
    """Return the answer with the ids of what was asked."""
    ids = {name: asked.headers[name] for name in IDS if name in asked.headers}
    return replace(given, headers={**given.headers, **ids})


def record(kind: str, status: str = "active", identifier: str = ID) -> dict[str, Any]:
    return {"resourceType": kind, "id": identifier, "status": status}


def outcome(code: str) -> dict[str, Any]:
    issue = {"severity": "error", "code": "not-found", "details": {"coding": [{"code": code}]}}
    return {"resourceType": "OperationOutcome", "issue": [issue]}
