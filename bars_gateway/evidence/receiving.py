"""
What the gateway does as a Receiver: each scene is what calls it, and what it answers.

    Asked ─► one call as the proxy makes it, with one thing that is wrong, or nothing
    plays ─► several calls, or an EPR that says something else than yes

What is refused is refused for one reason: everything else of the call is as it should be.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any
from uuid import uuid4

from bars_gateway.demo.messages import booking, change_of, focus, free_slot, searchset
from bars_gateway.evidence.ground import (
    JSON,
    NOT_OFFERED,
    SERVICE,
    UNWELCOME,
    YES,
    Document,
    ProvingGround,
    sent_headers,
)
from bars_gateway.evidence.scene import Scene
from bars_gateway.frozen import frozen
from bars_gateway.sandbox.counterparty.correspondence import cancellation, request, update
from bars_gateway.sandbox.counterparty.services import own_service
from bars_gateway.standard.headers import ODS, encode

_MESSAGES = "/$process-message"
_BAD, _TWICE = "400 REC_BAD_REQUEST", "409 REC_CONFLICT duplicate"
_CONFLICT, _UNKNOWN = "409 REC_CONFLICT conflict", "404 REC_NOT_FOUND not-found"
_NOT_SUPPORTED = "422 REC_UNPROCESSABLE_ENTITY not-supported"
_PATIENT = "patient:identifier=https://fhir.nhs.uk/Id/nhs-number%7C9990000018"
_VALUE = SERVICE.partition("|")[2]
_CONTEXT = f"/MessageDefinition?context={SERVICE.replace('|', '%7C')}"
_ACTOR = f"Schedule.actor:HealthcareService={_VALUE}"
_RANGE = "start=ge2026-03-02T09:00:00%2B00:00&start=le2026-03-05T09:00:00%2B00:00"
_INCLUDES = "_include=Slot:schedule&_include=Schedule:actor:HealthcareService"
_SLOTS = f"/Slot?{_ACTOR}&{_RANGE}&status=free&{_INCLUDES}"
_NO_UUID = "no-uuid"
_TWENTY = 20
Change = Callable[[Document], object]


def _message(use_case: str = "a1t1", change: Change = lambda _: None) -> bytes:
    """Return a new request to the gateway, changed in one thing."""
    service = own_service(use_case[:2]).identifier
    bundle = json.loads(request(use_case, sender=service, receiver=SERVICE))
    change(bundle)
    return json.dumps(bundle).encode()


def _booked() -> bytes:
    return booking(sender=own_service("a1").identifier, receiver=SERVICE)


def _header(bundle: Document) -> Document:
    header: Document = bundle["entry"][0]["resource"]
    return header


@frozen(kw_only=True)
class _Asked:
    """A scene of one call."""

    name: str
    title: str
    shows: str
    path: str = _MESSAGES
    method: str = "POST"
    headers: Mapping[str, str | None] = field(default_factory=dict)
    body: Callable[[], bytes] | None = None
    says: Document | None = None  # what the EPR answers; None: it is not asked, or says yes
    caller: str = "proxy"

    def scene(self) -> Scene:
        """Return it as a scene."""
        return Scene(name=self.name, title=self.title, shows=(self.shows,), play=self._play)

    async def _play(self, ground: ProvingGround) -> None:
        ground.says = lambda _: self.says or YES
        body = self.body() if self.body else None
        await ground.call(
            self.method, self.path, body=body, caller=self.caller, **dict(self.headers)
        )


def _read(name: str, title: str, shows: str, path: str, **more: Any) -> _Asked:
    return _Asked(name=name, title=title, shows=shows, path=path, method="GET", **more)


def _of(name: str, title: str, shows: str, change: Change, use_case: str = "a1t1") -> _Asked:
    """Return a scene about a message in which *change* makes one thing wrong."""
    return _Asked(name=name, title=title, shows=shows, body=lambda: _message(use_case, change))


def _without_version(bundle: Document) -> None:
    del bundle["meta"]["versionId"]


def _of_version_nine(bundle: Document) -> None:
    bundle["meta"]["versionId"] = "9.0.0"


def _to_nobody(bundle: Document) -> None:
    system = SERVICE.partition("|")[0]
    _header(bundle)["destination"][0]["endpoint"] = f"{system}|2000000999"


def _booking_response(bundle: Document) -> None:
    _header(bundle)["eventCoding"]["code"] = "booking-response"


def _response(bundle: Document) -> None:
    header, definition = _header(bundle), "bars-message-servicerequest-response-validation-interim"
    header["eventCoding"]["code"] = "servicerequest-response"
    header["definition"] = f"https://fhir.nhs.uk/MessageDefinition/{definition}"
    encounters = [
        each for each in bundle["entry"] if each["resource"]["resourceType"] == "Encounter"
    ]
    own = json.loads(json.dumps(encounters[0])) | {"fullUrl": f"urn:uuid:{uuid4()}"}
    system = "https://fhir.nhs.uk/CodeSystem/message-reason-encounter"
    reason = {"coding": [{"system": system, "code": "validation-triage-outcome"}]}
    own["resource"] |= {"status": "in-progress", "reasonCode": [reason], "id": str(uuid4())}
    bundle["entry"] = [
        each for each in bundle["entry"] if each["resource"]["resourceType"] not in _NOT_INTERIM
    ]
    bundle["entry"].append(own)
    for name in ("basedOn", "performer", "locationReference"):
        focus(bundle).pop(name, None)
    header["focus"] = [{"reference": own["fullUrl"]}]


_NOT_INTERIM = frozenset({"CarePlan", "Consent", "Flag", "Location", "HealthcareService"})


def _response_to_nothing(bundle: Document) -> None:
    _response(bundle)
    _header(bundle)["response"] = {"identifier": str(uuid4()), "code": "ok"}


def _other_definition(bundle: Document) -> None:
    definition = "bars-message-booking-request"
    _header(bundle)["definition"] = f"https://fhir.nhs.uk/MessageDefinition/{definition}"


def _unknown_reason(bundle: Document) -> None:
    _header(bundle)["reason"]["coding"][0]["code"] = "another"


def _with_an_offset(bundle: Document) -> None:
    bundle["timestamp"] = "2026-11-29T10:00:00.1234567+01:00"


def _without_nhs_number(bundle: Document) -> None:
    patient = next(e["resource"] for e in bundle["entry"] if "birthDate" in e["resource"])
    del patient["identifier"]


async def _twice(ground: ProvingGround) -> None:
    body, ids = _message(), _ids()
    for _ in range(2):
        await ground.call("POST", _MESSAGES, body=body, **ids)


async def _same_ids_other_bytes(ground: ProvingGround) -> None:
    ids = _ids()
    for _ in range(2):
        await ground.call("POST", _MESSAGES, body=_message(), **ids)


async def _twenty_at_once(ground: ProvingGround) -> None:
    body, ids = _message(), _ids()
    async with asyncio.TaskGroup() as group:
        for _ in range(_TWENTY):
            group.create_task(ground.call("POST", _MESSAGES, body=body, **ids))


async def _too_early(ground: ProvingGround) -> None:
    """Let the EPR say nothing in time, and no when it is late."""
    body, ids = _booked(), _ids()
    ground.says = lambda _: None
    known = len(ground.asked)
    await ground.call("POST", _MESSAGES, body=body, **ids)
    await ground.call("POST", _MESSAGES, body=body, **ids)
    (question,) = ground.asked[known:]
    await ground.epr.answer(question["question_id"], {"refuse": "slot-taken"})
    await ground.call("POST", _MESSAGES, body=body, **ids)


async def _taken_slot(ground: ProvingGround) -> None:
    ground.says = lambda _: {"refuse": "slot-taken"}
    await ground.call("POST", _MESSAGES, body=_booked())


async def _changes(ground: ProvingGround) -> None:
    """Ask for a validation, and change it."""
    ground.says = lambda _: YES
    taken = await ground.call("POST", _MESSAGES, body=_message("a4t1"))
    await ground.call("POST", _MESSAGES, body=update(taken.response), **_goes_on(taken))


async def _changed_here(ground: ProvingGround) -> None:
    taken = await ground.call("POST", _MESSAGES, body=_message("a4t1"))
    ground.says = lambda _: {"refuse": "changed-here"}
    await ground.call("POST", _MESSAGES, body=update(taken.response), **_goes_on(taken))


async def _cancels(ground: ProvingGround) -> None:
    """Cancel what is current, and then the same once more: that is not current any longer."""
    ground.says = lambda _: YES
    taken = await ground.call("POST", _MESSAGES, body=_message())
    body = cancellation(taken.response)
    await ground.call("POST", _MESSAGES, body=body, **_goes_on(taken))
    again = change_of(json.loads(body))
    await ground.call("POST", _MESSAGES, body=again, **_goes_on(taken))


async def _two_bookings(ground: ProvingGround) -> None:
    ground.says = lambda _: YES
    conversation = str(uuid4())
    for slot in ("slot001", "slot002"):
        body = booking(sender=own_service("a1").identifier, receiver=SERVICE, slot=slot)
        await ground.call("POST", _MESSAGES, body=body, X_Correlation_Id=conversation)


def _goes_on(taken: Any) -> dict[str, str]:
    """Return the conversation's id: what follows belongs to it."""
    sent = {name.lower(): value for name, value in taken.request_headers}
    return {"X_Correlation_Id": sent["x-correlation-id"]}


def _ids() -> dict[str, str]:
    sent = sent_headers()
    return {name.replace("-", "_"): sent[name] for name in ("X-Request-Id", "X-Correlation-Id")}


async def _no_http(ground: ProvingGround) -> None:
    """Say something over mutual TLS that is no HTTP: a method that nobody knows."""
    await ground.call("NONSENSE", _MESSAGES)


async def _strangers(ground: ProvingGround) -> None:
    """Call without a certificate, with one of another authority, and with another name."""
    for caller in ("no certificate", "another authority", "another name"):
        await ground.call("GET", "/metadata", caller=caller)


async def _unwelcome(ground: ProvingGround) -> None:
    """Let an organisation that is refused ask for everything."""
    code = {"system": ODS, "value": UNWELCOME}
    header = encode({"resourceType": "Organization", "identifier": [code]})
    await ground.call("GET", "/metadata", NHSD_End_User_Organisation=header)
    await ground.call("GET", _SLOTS, NHSD_End_User_Organisation=header)
    body = _message()
    await ground.call("POST", _MESSAGES, body=body, NHSD_End_User_Organisation=header)


async def _nobody_to_ask(ground: ProvingGround) -> None:
    await ground.call("POST", _MESSAGES, body=_booked())


# Before the EPR has asked for the first time.
BEFORE_THE_EPR = (
    Scene(
        name="receive-epr-not-there",
        title="Only the EPR can decide, and it is not there: try again later",
        shows=("503",),
        play=_nobody_to_ask,
    ),
)
_PLAYED = (
    Scene(
        name="receive-duplicate",
        title="The same request twice: it is taken once",
        shows=("200", _TWICE),
        play=_twice,
    ),
    Scene(
        name="receive-same-ids-other-message",
        title="Another message under the same ids is a conflict, and no duplicate",
        shows=("200", _CONFLICT),
        play=_same_ids_other_bytes,
    ),
    Scene(
        name="receive-twenty-at-once",
        title="The same request twenty times at once: one record",
        shows=("200",),
        play=_twenty_at_once,
    ),
    Scene(
        name="receive-too-early",
        title="The EPR is slow: 408, the retry 425, and then the EPR's own answer",
        shows=("408 REC_TIMEOUT", "425 REC_TOO_EARLY", _CONFLICT),
        play=_too_early,
    ),
    Scene(
        name="receive-slot-taken",
        title="A booking of a slot that is taken",
        shows=(_CONFLICT,),
        play=_taken_slot,
    ),
    Scene(
        name="receive-update",
        title="A validation request, and its update, to which the EPR says yes",
        shows=("200", "200"),
        play=_changes,
    ),
    Scene(
        name="receive-update-of-what-changed-here",
        title="An update of what the EPR has changed itself",
        shows=("200", _CONFLICT),
        play=_changed_here,
    ),
    Scene(
        name="receive-cancellation",
        title="A cancellation, and one of what is not current any longer",
        shows=("200", "200", "4"),
        play=_cancels,
    ),
    Scene(
        name="receive-two-bookings",
        title="Two bookings are open at once, in one conversation",
        shows=("200", "200"),
        play=_two_bookings,
    ),
    Scene(
        name="receive-no-http",
        title="What is no HTTP that anybody knows is answered all the same",
        shows=("4",),
        play=_no_http,
    ),
    Scene(
        name="receive-strangers",
        title="No certificate, another authority, another name: no connection",
        shows=("none", "none", "none"),
        play=_strangers,
    ),
    Scene(
        name="receive-refused-organisation",
        title="An organisation from which nothing is taken, whatever it asks",
        shows=("401 REC_UNAUTHORIZED security",) * 3,
        play=_unwelcome,
    ),
)
_ONE_CALL: Sequence[_Asked] = (
    _Asked(
        name="receive-referral",
        title="A referral is taken: the Receiver's ids, and a planned Encounter with a reference",
        shows="200",
        body=_message,
    ),
    _Asked(
        name="receive-booking",
        title="A booking is taken after the EPR has said yes",
        shows="200",
        body=_booked,
    ),
    _of(
        "receive-without-nhs-number",
        "Somebody without an NHS number is taken",
        "200",
        _without_nhs_number,
    ),
    _of(
        "receive-times-with-an-offset",
        "Times with an offset and seven decimals are read",
        "200",
        _with_an_offset,
    ),
    _Asked(
        name="receive-nonsense-use-context",
        title="A use-context of nonsense changes nothing",
        shows="200",
        headers={"use-context": "x|y"},
        body=_message,
    ),
    _Asked(
        name="receive-without-ids",
        title="A message without the two ids",
        shows=_BAD,
        headers={"X_Request_Id": None, "X_Correlation_Id": None},
        body=_message,
    ),
    _Asked(
        name="receive-ids-that-are-none",
        title="Ids that are no UUIDs are refused, and not repeated",
        shows=_BAD,
        headers={"X_Request_Id": _NO_UUID, "X_Correlation_Id": _NO_UUID},
        body=_message,
    ),
    _Asked(
        name="receive-other-resource",
        title="A body that is no Bundle",
        shows=_BAD,
        body=lambda: b'{"resourceType": "Basic"}',
    ),
    _Asked(
        name="receive-other-method",
        title="A GET of the door for messages",
        shows="405",
        method="GET",
    ),
    _Asked(
        name="receive-other-media-type",
        title="A body of another media type",
        shows="415",
        headers={"Content_Type": "text/plain"},
        body=_message,
    ),
    _of("receive-without-version", "Bundle.meta.versionId is missing", _BAD, _without_version),
    _of(
        "receive-other-version",
        "Bundle.meta.versionId is one that is not taken",
        _NOT_SUPPORTED,
        _of_version_nine,
    ),
    _of("receive-for-another-service", "The destination is not a service of ours", "4", _to_nobody),
    _of("receive-unknown-event", "The event is booking-response", _BAD, _booking_response),
    _of("receive-unknown-reason", "The reason is none that there is", _BAD, _unknown_reason),
    _of(
        "receive-other-definition",
        "The message is not what the definition that it cites says: all of it is refused",
        _BAD,
        _other_definition,
    ),
    _Asked(
        name="receive-other-application",
        title="A use case that the service does not take",
        shows=_NOT_SUPPORTED,
        body=lambda: _message(f"{NOT_OFFERED}t1"),
    ),
    _of(
        "receive-response-without-response",
        "A response that does not say to what",
        _BAD,
        _response,
        "a4t1",
    ),
    _of(
        "receive-response-to-nothing",
        "A response to what was never asked",
        _UNKNOWN,
        _response_to_nothing,
        "a4t1",
    ),
    _read("receive-metadata", "The CapabilityStatement", "200", "/metadata"),
    _read("receive-definitions", "The MessageDefinitions of a service", "200", _CONTEXT),
    _read(
        "receive-definitions-without-context",
        "MessageDefinitions without a context",
        f"{_BAD} required",
        "/MessageDefinition",
    ),
    _read(
        "receive-definitions-malformed-context",
        "MessageDefinitions of a context that is none",
        f"{_BAD} value",
        "/MessageDefinition?context=nonsense",
    ),
    _read(
        "receive-definitions-unknown-context",
        "MessageDefinitions of a service that is not ours",
        _UNKNOWN,
        f"{_CONTEXT}9",
    ),
    _read(
        "receive-other-major-version",
        "A major version of Core that is not ours",
        "406 REC_NOT_ACCEPTABLE",
        "/metadata",
        headers={"Accept": f"{JSON}; version=2.0.0"},
    ),
    _read(
        "receive-higher-minor-version",
        "A higher minor version is answered as ours",
        "200",
        "/metadata",
        headers={"Accept": f"{JSON}; version=1.9.0"},
    ),
    _read(
        "receive-lower-minor-version",
        "A lower minor version is answered as ours",
        "200",
        "/metadata",
        headers={"Accept": f"{JSON}; version=1.0.0"},
    ),
    _read(
        "receive-slots",
        "Slots come from the EPR",
        "200",
        _SLOTS,
        says=searchset(free_slot("slot001")),
    ),
    _read("receive-no-slots", "There are none, and that is said", "200", _SLOTS, says=searchset()),
    _read(
        "receive-slots-without-includes",
        "A search for slots without its includes",
        f"{_BAD} required",
        f"/Slot?{_ACTOR}&{_RANGE}&status=free",
    ),
    _read(
        "receive-slots-without-range",
        "A search for slots without a range",
        f"{_BAD} required",
        f"/Slot?{_ACTOR}&status=free&{_INCLUDES}",
    ),
    _read(
        "receive-slots-of-no-date",
        "A search for slots from a date that is none",
        f"{_BAD} value",
        f"/Slot?{_ACTOR}&start=geX&start=leY&status=free&{_INCLUDES}",
    ),
    _read(
        "receive-slots-without-status",
        "A search for slots without a status",
        f"{_BAD} required",
        f"/Slot?{_ACTOR}&{_RANGE}&{_INCLUDES}",
    ),
    _read(
        "receive-slots-of-no-status",
        "A search for slots of a status that is none",
        f"{_BAD} value",
        f"/Slot?{_ACTOR}&{_RANGE}&status=x&{_INCLUDES}",
    ),
    _read(
        "receive-slots-of-years",
        "A search for slots over years",
        "422 REC_UNPROCESSABLE_ENTITY too-costly",
        f"/Slot?{_ACTOR}&start=ge2020-01-01T00:00:00Z&start=le2026-01-01T00:00:00Z"
        f"&status=free&{_INCLUDES}",
    ),
    _read(
        "receive-slots-of-another-service",
        "A search for slots of a service that is not ours",
        _UNKNOWN,
        f"/Slot?Schedule.actor:HealthcareService=2000000999&{_RANGE}&status=free&{_INCLUDES}",
    ),
    _read(
        "receive-search",
        "A patient's appointments come from the EPR",
        "200",
        f"/Appointment?{_PATIENT}",
        says=searchset(),
    ),
    _read(
        "receive-search-without-patient",
        "A search that names no patient",
        f"{_BAD} required",
        "/ServiceRequest",
    ),
    _read(
        "receive-search-malformed-patient",
        "A search whose patient is not an identifier",
        f"{_BAD} value",
        "/Appointment?patient:identifier=%7C",
    ),
    _read(
        "receive-read-of-no-uuid",
        "A read by an id that is no UUID",
        f"{_BAD} value",
        "/Appointment/XXXXXXXXX",
    ),
    _read(
        "receive-read-of-nothing",
        "A read by an id that the EPR does not know",
        _UNKNOWN,
        "/ServiceRequest/95e58add-0b10-4a8c-817c-2729eb0cab75",
        says={"refuse": "not-found"},
    ),
    _Asked(
        name="receive-not-implemented",
        title="A function that is not here",
        shows="501 REC_NOT_IMPLEMENTED not-supported",
        path="/Appointment",
        body=lambda: b'{"resourceType": "Appointment"}',
    ),
)
RECEIVING = (*(each.scene() for each in _ONE_CALL), *_PLAYED)
