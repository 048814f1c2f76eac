"""
Reads and writes the HTTP headers that BaRS adds to FHIR.

    Message + SenderIdentity ──for_sending──► every header but Authorization
    headers of a request     ──read_ids────► Ids, or the Issues

Headers are composed once, when a message is accepted, and frozen: a retry is the
same bytes under the same headers (Core, Definition-of-a-retry). Standard Base64 with
padding, no line breaks; what others send is decoded leniently, because published
samples carry a line feed inside (proxy page, section 4).
"""

import base64
import binascii
import re
from collections.abc import Mapping
from functools import lru_cache

import orjson

from bars_gateway.frozen import frozen
from bars_gateway.standard.bundle import Message, maps_of, text_of
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.tree import unmarked

REQUEST_ID = "X-Request-Id"
CORRELATION_ID = "X-Correlation-Id"
TARGET = "NHSD-Target-Identifier"
ORGANISATION = "NHSD-End-User-Organisation"
# Of one header's value, in characters. The narrowest of the common servers read 8 KB of headers in
# all, and there are eight more and a token.
LONGEST = 4096
ODS = "https://fhir.nhs.uk/Id/ods-organization-code"

_KNOWN = 128  # headers of services and organisations, which each request has again: 16 kB at most
_OF_URLS = str.maketrans("-_", "+/")  # the other alphabet of Base64, as in JWTs
_HTTP = re.compile(r"^http://", re.IGNORECASE)
_ID = re.compile(r"/id/", re.IGNORECASE)
_ODS_CODE = re.compile(r"[A-Z0-9]{3,12}", re.ASCII)
UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_UUID = re.compile(UUID)


class HeaderProblem(ValueError):
    """A header cannot be read; the text says why, without its value."""


@frozen
class TargetIdentifier:
    """Names one service: what the proxy looks the Receiver up by."""

    system: str
    value: str

    @property
    def text(self) -> str:
        """`system|value`, as MessageHeader endpoints write it."""
        return f"{self.system}|{self.value}"

    def encode(self) -> str:
        """Return the header's value."""
        return encode({"system": self.system, "value": self.value})

    @classmethod
    def parse(cls, text: str) -> "TargetIdentifier":
        """Read `system|value`; raise HeaderProblem if either is missing."""
        system, bar, value = text.partition("|")
        if not (system and bar and value):
            raise HeaderProblem("a service is written system|value")
        return cls(system, value)

    @classmethod
    @lru_cache(_KNOWN)
    def decode(cls, header: str) -> "TargetIdentifier":
        """Read the header's value; raise HeaderProblem if it is none."""
        found = decode(header)
        system, value = text_of(found, "system"), text_of(found, "value")
        if not (system and value):
            raise HeaderProblem("the header names no system and value")
        return cls(system, value)


@frozen(kw_only=True)
class SenderIdentity:
    """Who we say that we are, in the access-control headers."""

    ods_code: str
    organisation: str  # its name, for people
    software_name: str
    software_version: str
    software_system: str  # of the identifier of this installation
    software_value: str
    core_version: str  # of BaRS Core, that we expect answers in


@frozen
class Ids:
    """
    The two ids of one request.

    The request id of one that came is in lower case: a UUID in capitals is the same UUID, and
    a retry may spell it otherwise. The correlation id is never a key, and stays as it came.
    """

    request_id: str
    correlation_id: str


def for_sending(
    message: Message,
    identity: SenderIdentity,
    *,
    ids: Ids,
    media_type: str,
    practitioner: Mapping[str, object] | None = None,
) -> dict[str, str]:
    """
    Return every header that goes with *message*, but for Authorization.

    Sources: Core 1.1 and 1.3, OpenAPI 1.4.0. The practitioner is sent when known.
    """
    headers = {
        TARGET: TargetIdentifier.parse(message.destinations[0]).encode(),
        REQUEST_ID: ids.request_id,
        CORRELATION_ID: ids.correlation_id,
        "use-context": use_context(message),
        "Accept": f"{media_type}; version={identity.core_version}",
        "Content-Type": f"{media_type}; version={identity.core_version}",
        ORGANISATION: _organisation(identity),
        "NHSD-Requesting-Software": _software(identity),
    }
    if practitioner is not None:
        headers["NHSD-Requesting-Practitioner"] = encode(practitioner)
    return headers


def for_asking(
    target: TargetIdentifier | None,
    identity: SenderIdentity,
    *,
    ids: Ids,
    accept: str,
    media_type: str | None = None,
    practitioner: Mapping[str, object] | None = None,
) -> dict[str, str]:
    """Return every header of a request that is not a message, but for Authorization."""
    headers = {
        REQUEST_ID: ids.request_id,
        CORRELATION_ID: ids.correlation_id,
        "Accept": accept,
        ORGANISATION: _organisation(identity),
        "NHSD-Requesting-Software": _software(identity),
    }
    if target is not None:
        headers[TARGET] = target.encode()
    if media_type is not None:
        headers["Content-Type"] = f"{media_type}; version={identity.core_version}"
    if practitioner is not None:
        headers["NHSD-Requesting-Practitioner"] = encode(practitioner)
    return headers


def use_context(message: Message) -> str:
    """Return use case, category (or booking status), event and reason, joined by bars."""
    booking = message.focus_type == "Appointment"
    what = message.focus_status if booking else message.category
    return "|".join((message.use_case, what or "", message.event, message.reason))


def read_ids(headers: Mapping[str, str]) -> Ids | list[Issue]:
    """Return the two ids of a request whose header names are lower case, or what is wrong."""
    issues = [
        problem
        for name in (REQUEST_ID, CORRELATION_ID)
        if (problem := _id_problem(name, headers.get(name.lower())))
    ]
    if issues:
        return issues
    request_id = headers[REQUEST_ID.lower()].strip().lower()
    return Ids(request_id, headers[CORRELATION_ID.lower()].strip())


def echo(headers: Mapping[str, str]) -> dict[str, str]:
    """Return those of the two ids that may be repeated in an answer: the ones that are UUIDs."""
    return {
        name: headers[name.lower()].strip()
        for name in (REQUEST_ID, CORRELATION_ID)
        if is_uuid(headers.get(name.lower(), ""))
    }


def is_uuid(text: str) -> bool:
    """Tell whether *text* has the form of a UUID."""
    return _UUID.fullmatch(text.strip()) is not None


def spellings(name: str) -> list[str]:
    """Return how an id may be written: some databases write all UUIDs in capitals, or none."""
    return list(dict.fromkeys((name, name.lower(), name.upper()))) if is_uuid(name) else [name]


def same_service(one: str, other: str) -> bool:
    """Tell whether two `system|value` name one service, however the system is spelt (M08)."""
    return normalised(one) == normalised(other)


def normalised(service: str) -> str:
    """Return `system|value` with the published spellings of the system made one."""
    system, bar, value = service.strip().partition("|")
    return _ID.sub("/Id/", _HTTP.sub("https://", system)) + bar + value


def encode(value: Mapping[str, object]) -> str:
    """Return *value* as compact JSON in standard Base64."""
    return base64.b64encode(orjson.dumps(value)).decode("ascii")


def decode(header: str) -> Mapping[str, object]:
    """Return the JSON object in a Base64 header, or raise HeaderProblem."""
    compact = "".join(header.split()).translate(_OF_URLS)
    if not compact:
        raise HeaderProblem("the header is missing")
    try:
        written = base64.b64decode(compact + "=" * (-len(compact) % 4))
        found = orjson.loads(unmarked(written))
    except (binascii.Error, ValueError):
        raise HeaderProblem("the header is not JSON in Base64") from None
    if not isinstance(found, dict):
        raise HeaderProblem("the header holds no JSON object")
    return found


@lru_cache(_KNOWN)
def organisation_code(header: str) -> str | None:
    """Return the ODS code in an NHSD-End-User-Organisation header, in capitals, or None."""
    try:
        identifiers = maps_of(decode(header), "identifier")
    except HeaderProblem:
        return None
    codes = (text_of(i, "value").upper() for i in identifiers if text_of(i, "system") == ODS)
    return next(filter(_ODS_CODE.fullmatch, codes), None)


def _id_problem(name: str, value: str | None) -> Issue | None:
    if value is None or not value.strip():
        return Issue(rule="H01", path=f"header {name}", text=f"{name} is missing", issue="required")
    if not is_uuid(value):
        return Issue(rule="H02", path=f"header {name}", text=f"{name} is not a UUID", issue="value")
    return None


@lru_cache(_KNOWN)
def _organisation(identity: SenderIdentity) -> str:
    return encode(
        {
            "resourceType": "Organization",
            "identifier": [{"system": ODS, "value": identity.ods_code}],
            "name": identity.organisation,
        }
    )


@lru_cache(_KNOWN)
def _software(identity: SenderIdentity) -> str:
    # deviceName and version are objects here, as the API's own sample has them.
    return encode(
        {
            "resourceType": "Device",
            "identifier": [{"system": identity.software_system, "value": identity.software_value}],
            "deviceName": {"name": identity.software_name, "type": "manufacturer-name"},
            "version": {"value": identity.software_version},
        }
    )
