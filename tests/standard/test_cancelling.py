"""Whether there is still something to cancel."""

import json

import pytest

from bars_gateway.standard.cancelling import Current, state_of

JSON = "application/fhir+json"


def resource(kind: str, status: str) -> bytes:
    return json.dumps({"resourceType": kind, "status": status}).encode()


def outcome(code: str) -> bytes:
    issue = {"severity": "error", "code": "not-found", "details": {"coding": [{"code": code}]}}
    return json.dumps({"resourceType": "OperationOutcome", "issue": [issue]}).encode()


@pytest.mark.parametrize(
    ("kind", "status", "body", "expected"),
    [
        ("ServiceRequest", 200, resource("ServiceRequest", "active"), Current.YES),
        ("ServiceRequest", 200, resource("ServiceRequest", "revoked"), Current.NO),
        ("ServiceRequest", 200, resource("ServiceRequest", "unknown"), Current.UNKNOWN),
        ("ServiceRequest", 200, resource("Appointment", "booked"), Current.UNKNOWN),
        ("ServiceRequest", 200, b"<html>", Current.UNKNOWN),
        ("Appointment", 200, resource("Appointment", "booked"), Current.YES),
        ("Appointment", 200, resource("Appointment", "cancelled"), Current.NO),
        ("Appointment", 404, outcome("REC_NOT_FOUND"), Current.NO),
        ("Appointment", 404, outcome("PROXY_NOT_FOUND"), Current.UNKNOWN),
        ("Appointment", 404, outcome("NOT_FOUND"), Current.UNKNOWN),
        ("Appointment", 404, b"<html>", Current.UNKNOWN),
        ("Appointment", 501, outcome("REC_NOT_IMPLEMENTED"), Current.UNKNOWN),
        ("Appointment", 503, outcome("REC_UNAVAILABLE"), Current.UNKNOWN),
    ],
)
def test_nothing_is_guessed(kind: str, status: int, body: bytes, expected: Current) -> None:
    """Only the resource's own status, or the Receiver's word that there is none, says anything."""
    assert expected == state_of(kind, status, JSON, body)
