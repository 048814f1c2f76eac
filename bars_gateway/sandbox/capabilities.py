"""
What the proxy says of itself at /metadata, where no service is named: canned, as in life.

It is not quite FHIR: `security` is a list, and `vread` is claimed where nothing has
versions. Whoever reads it has to bear both.
"""

import json
from collections.abc import Iterable

_READ = ("read", "vread")
_WRITE = ("create", "update", "delete")
_SEARCH = "search-type"
# Type of resource → what may be done, and what may be searched for.
_SERVED = {
    "CapabilityStatement": (_READ, ()),
    "MessageDefinition": ((_SEARCH,), (("useContext:identifier", "token"),)),
    "Appointment": (
        (*_READ, _SEARCH, *_WRITE),
        (("_id", "token"), ("date", "date"), ("patient:identifier", "token")),
    ),
    "DocumentReference": (
        ("read", _SEARCH, *_WRITE),
        (
            ("_id", "token"),
            ("type", "token"),
            ("custodian:identifier", "token"),
            ("patient:identifier", "token"),
            ("next-page-token", "token"),
        ),
    ),
    "ServiceRequest": ((*_READ, _SEARCH), (("_id", "token"), ("patient:identifier", "token"))),
    "Slot": (
        (_SEARCH,),
        (("start", "date"), ("status", "token"), ("Schedule.actor:HealthcareService", "token")),
    ),
}
_CALLED = ("Appointment", "DocumentReference", "ServiceRequest", "Slot")  # at a Receiver
_MESSAGES = {
    "name": "$process-message",
    "definition": "http://hl7.org/fhir/OperationDefinition/MessageHeader-process-message",
}


def statement(url: str) -> bytes:
    """Return the CapabilityStatement of the proxy that is reached at *url*."""
    return json.dumps(
        {
            "resourceType": "CapabilityStatement",
            "id": "BaRS-FHIR-Server",
            "url": url,
            "name": "BaRS FHIR Server CapabilityStatement",
            "status": "active",
            "version": "1.2.0",
            "experimental": False,
            "date": "2022-09-16T15:00:00+01:00",
            "publisher": "bars_gateway sandbox",
            "kind": "instance",
            "software": {"name": "BaRS API", "version": "1.1.0"},
            "implementation": {"description": "BaRS FHIR Server", "url": url},
            "fhirVersion": "4.0.1",
            "format": ["xml", "json"],
            "rest": [_rest("server", "OAuth", _SERVED), _rest("client", "Certificates", _CALLED)],
        }
    ).encode()


def _rest(mode: str, security: str, kinds: Iterable[str]) -> dict[str, object]:
    system = "http://terminology.hl7.org/CodeSystem/restful-security-service"
    return {
        "mode": mode,
        "interaction": [{"code": "transaction"}, {"code": "search-system"}],
        "security": [{"service": {"coding": [{"system": system, "code": security}]}}],
        "resource": [_resource(kind) for kind in kinds],
        "operation": [_MESSAGES],
    }


def _resource(kind: str) -> dict[str, object]:
    interactions, searched = _SERVED[kind]
    return {
        "type": kind,
        "interaction": [{"code": code} for code in interactions],
        "searchParam": [{"name": name, "type": type_} for name, type_ in searched],
        "versioning": "no-version",
    }
