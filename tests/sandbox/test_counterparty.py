"""The counterparty as a Receiver: what it takes, what it refuses, what it says when it is read."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from sandbox.around import target
from sandbox.corresponding import (
    SENDER,
    asking,
    booking_of,
    corresponding,
    focus_id,
    held,
    post,
    read,
    resource,
    steer,
)

from bars_gateway.demo.messages import response
from bars_gateway.sandbox.counterparty.correspondence import cancellation, update
from bars_gateway.sandbox.counterparty.services import SERVICES
from bars_gateway.standard import structure
from bars_gateway.standard.bundle import USE_CASES
from bars_gateway.standard.formats import Format, converted, to_tree
from bars_gateway.standard.timing import application_of

POSTCODE = "patient:address-postalcode=ZZ99%203VZ"
OWN = [each for each in SERVICES.values() if not each.official]


@pytest_asyncio.fixture
async def box(settings):
    async with corresponding(settings) as made:
        yield made


@pytest.mark.parametrize("service", OWN, ids=lambda each: each.applications[0])
async def test_every_application_has_a_service_that_takes_its_request(box, service):
    """And remarks upon nothing: what the sandbox itself composes is as it should be."""
    use_case = f"{service.applications[0]}t1"
    reply = await post(box, asking(use_case, service.value))
    (kept,) = await held(box)

    assert (200, use_case, "active") == (reply.status, kept["use_case"], kept["state"])
    assert [] == kept["happened"][0]["remarks"]


async def test_a_service_takes_its_own_applications_only(box):
    """As a gateway would: 422, and nothing is held."""
    reply = await post(box, asking("a4t1", "2000000901"))

    assert (422, "not-supported", "REC_UNPROCESSABLE_ENTITY") == reply.outcome
    assert [] == await held(box)


async def test_what_it_only_remarks_upon_is_listed(box):
    """A stricter Receiver would refuse it: the Sender sees by which rule."""
    bundle = json.loads(asking("a1t1", "2000000901"))
    resource(bundle, "MessageHeader").pop("sender")
    reply = await post(box, json.dumps(bundle).encode())
    (kept,) = await held(box)

    assert 200 == reply.status
    assert kept["happened"][0]["remarks"]


async def test_an_answer_in_xml_for_who_asks_in_xml(box):
    """A message may come in either format, and its answer goes out in the one asked for."""
    body = converted(asking("a1t1", "2000000901"), Format.JSON, Format.XML)
    headers = {"Content_Type": Format.XML.value, "Accept": Format.XML.value}
    reply = await box.call(body=body, NHSD_Target_Identifier=target("2000000901"), **headers)

    assert (200, Format.XML.value) == (reply.status, reply.headers["Content-Type"])
    assert reply.body.startswith(b"<")


@pytest.mark.parametrize(("again", "issue"), [("the same", "duplicate"), ("another", "conflict")])
async def test_an_x_request_id_is_taken_once(box, again, issue):
    """The same message is a duplicate; another one under its id is a conflict."""
    body, ids = asking("a1t1", "2000000901"), {"X_Request_Id": str(uuid.uuid4())}
    await post(box, body, **ids)
    second = body if again == "the same" else asking("a1t1", "2000000901")

    assert (409, issue, "REC_CONFLICT") == (await post(box, second, **ids)).outcome
    assert 1 == len(await held(box))


async def test_a_refusal_is_repeated(box):
    """The retry of what was refused is refused in the same words."""
    body, ids = asking("a4t1", "2000000901"), {"X_Request_Id": str(uuid.uuid4())}
    first, second = [await post(box, body, **ids) for _ in range(2)]

    assert (first.status, first.body) == (second.status, second.body)


async def test_a_bundle_id_is_new_with_each_request(box):
    """B05, as the gateway itself has it."""
    body = asking("a1t1", "2000000901")
    await post(box, body)

    assert (400, "invariant", "REC_BAD_REQUEST") == (await post(box, body)).outcome


@pytest.mark.parametrize(
    ("use_case", "service", "status"),
    [("a1t1", "2000000901", 400), ("a4t1", "2000000904", 200), ("a6t1", "2000000906", 200)],
)
async def test_an_update_is_for_those_applications_that_know_it(box, use_case, service, status):
    """Scenario 54: Application 1 refers again instead."""
    made = await post(box, asking(use_case, service))

    assert status == (await post(box, update(made.body))).status


async def test_an_update_is_what_a_read_shows(box):
    """The newest word of the Sender, as a Receiver's screen would have it."""
    made = await post(box, asking("a4t1", "2000000904"))
    bundle = json.loads(update(made.body))
    resource(bundle, "ServiceRequest")["occurrencePeriod"]["end"] = "2030-01-01T12:00:00+00:00"
    await post(box, json.dumps(bundle).encode())
    shown = await read(box, f"/ServiceRequest/{focus_id(made)}")

    assert "2030-01-01T12:00:00+00:00" == shown.json["occurrencePeriod"]["end"]


async def test_what_is_cancelled_cannot_be_cancelled_again(box):
    """Scenarios 26 and 49: 409 conflict, and a read says that it is revoked."""
    made = await post(box, asking("a1t1", "2000000901"))
    first = await post(box, cancellation(made.body))
    second = await post(box, cancellation(made.body))
    shown = await read(box, f"/ServiceRequest/{focus_id(made)}")

    assert (200, (409, "conflict", "REC_CONFLICT")) == (first.status, second.outcome)
    assert "revoked" == shown.json["status"]


async def test_what_was_dealt_with_is_no_longer_current(box):
    """Scenario 48: the read says so, and a cancellation is refused."""
    made = await post(box, asking("a1t1", "2000000901"))
    await steer(box, f"/held/{focus_id(made)}/act")
    shown = await read(box, f"/ServiceRequest/{focus_id(made)}")

    assert "completed" == shown.json["status"]
    assert 409 == (await post(box, cancellation(made.body))).status


async def test_a_cancellation_of_nothing_is_not_found(box):
    """Scenario 50."""
    made = await post(box, asking("a1t1", "2000000901"))
    await steer(box, "/held", method="DELETE")

    assert (404, "not-found", "REC_NOT_FOUND") == (await post(box, cancellation(made.body))).outcome


async def test_a_cancellation_about_another_patient_is_a_conflict(box):
    """Scenario 51: the right id, and somebody else's name."""
    made = await post(box, asking("a1t1", "2000000901"))
    bundle = json.loads(cancellation(made.body))
    resource(bundle, "Patient")["identifier"][0]["value"] = "9990000026"

    assert (409, "conflict", "REC_CONFLICT") == (
        await post(box, json.dumps(bundle).encode())
    ).outcome


async def test_a_slot_is_booked_once(box):
    """Scenario 17; once the booking is cancelled, the slot is free again."""
    first = await post(box, booking_of("slot001"))
    second = await post(box, booking_of("slot001"))
    await post(box, cancellation(first.body))
    third = await post(box, booking_of("slot001"))

    assert (409, "conflict", "REC_CONFLICT") == second.outcome
    assert [200, 200] == [first.status, third.status]


@pytest.mark.parametrize(
    ("of_whom", "status"), [("the patient", 200), ("another", 409), ("nobody", 400)]
)
async def test_a_referral_may_name_its_booking(box, of_whom, status):
    """Scenarios 21, 23 and 24: it has to be there, and the same person's."""
    booked = await post(box, booking_of("slot001"))
    known = focus_id(booked) if of_whom != "nobody" else str(uuid.uuid4())
    number = "9990000026" if of_whom == "another" else "9990000018"
    bundle = json.loads(asking("a1t1", "2000000901", nhs_number=number))
    links = [{"reference": f"Appointment/{known}"}]
    resource(bundle, "ServiceRequest")["supportingInfo"] = links

    assert status == (await post(box, json.dumps(bundle).encode())).status


async def test_a_response_to_nothing_is_not_found(box):
    """Scenario 76: the counterparty sent no such request."""
    made = await post(box, asking("a4t1", "2000000904"))
    stray = json.loads(response(made.body, encounter="in-progress"))
    header = stray["entry"][0]["resource"]
    header["source"]["endpoint"], header["destination"][0]["endpoint"] = (
        SENDER,
        "https://fhir.nhs.uk/Id/dos-service-id|2000000904",
    )
    header["response"]["identifier"] = str(uuid.uuid4())

    assert (404, "not-found", "REC_NOT_FOUND") == (
        await post(box, json.dumps(stray).encode())
    ).outcome


async def test_a_referral_is_found_by_its_patient(box):
    """By NHS number, or by name, birth date and postcode; and by nobody else's."""
    made = await post(box, asking("a1t1", "2000000901"))
    found = [
        (await read(box, f"/ServiceRequest?{query}")).json["entry"][0]["resource"].get("id")
        for query in (
            "patient:identifier=https://fhir.nhs.uk/Id/nhs-number|9990000018",
            f"patient:name=TESTCASE&patient:birthdate=1951-02-28&{POSTCODE}",
            "patient:identifier=https://fhir.nhs.uk/Id/nhs-number|9990000026",
        )
    ]

    assert [focus_id(made), focus_id(made), None] == found


def next_days(service: str, status: str = "free") -> str:
    begin = (datetime.now(UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0)
    bounds = [begin, begin + timedelta(days=2)]
    starts = [
        f"start={word}{bound:%Y-%m-%dT%H:%M:%S}%2B00:00"
        for word, bound in zip(("ge", "le"), bounds, strict=True)
    ]
    includes = "_include=Slot:schedule&_include=Schedule:actor:HealthcareService"
    return (
        f"/Slot?Schedule.actor:HealthcareService={service}&status={status}"
        f"&{'&'.join(starts)}&{includes}"
    )


def kinds(searchset) -> set[str]:
    return {entry["resource"]["resourceType"] for entry in searchset["entry"]}


@pytest.mark.parametrize(
    ("service", "status", "expected"),
    [
        pytest.param("2000072489", "free", {"free"}, id="SLOT-1"),
        pytest.param("2000072489", "free,busy", {"free", "busy"}, id="SLOT-2"),
        pytest.param("2000000901", "free", {"free"}, id="its own"),
    ],
)
async def test_slots_are_offered(box, service, status, expected):
    """Of the statuses that were asked for, at times with a numeric offset."""
    reply = await read(box, next_days(service, status))
    found = [e["resource"] for e in reply.json["entry"] if e["resource"]["resourceType"] == "Slot"]

    assert expected == {slot["status"] for slot in found}
    assert {True} == {slot["start"].endswith("+00:00") for slot in found}


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        pytest.param("2000073917", {"OperationOutcome"}, id="SLOT-3"),
        pytest.param("1503499715", {"Slot", "Schedule", "HealthcareService"}, id="SLOT-4"),
    ],
)
async def test_some_services_offer_less(box, service, expected):
    """No slots, which the answer says; or none but the resources that there must be."""
    reply = await read(box, next_days(service))

    assert (200, expected) == (reply.status, kinds(reply.json))


async def test_some_slots_time_out(box):
    """SLOT-5."""
    reply = await read(box, next_days("2000081230"))

    assert (408, "timeout", "REC_TIMEOUT") == reply.outcome


async def test_a_slot_that_is_booked_is_offered_no_more(box):
    """What was offered can be booked, and then is busy."""
    offered = (await read(box, next_days("2000000901"))).json["entry"][0]["resource"]["id"]
    await post(box, booking_of(offered))
    found = (await read(box, next_days("2000000901"))).json["entry"]

    assert offered not in [entry["resource"]["id"] for entry in found]


@pytest.mark.parametrize("service", OWN, ids=lambda each: each.applications[0])
async def test_it_publishes_what_it_takes(box, service):
    """Capabilities and definitions are those of the service's own Application."""
    context = f"https://fhir.nhs.uk/Id/dos-service-id|{service.value}"
    statement = await read(box, "/metadata", service.value)
    reply = await read(box, f"/MessageDefinition?context={context}", service.value)
    definitions = [entry["resource"] for entry in reply.json["entry"]]
    cases = {
        coding["code"]
        for definition in definitions
        for use in definition["useContext"]
        for coding in use["valueCodeableConcept"]["coding"]
        if coding["system"] == USE_CASES
    }

    assert "CapabilityStatement" == statement.json["resourceType"]
    assert {service.applications[0]} == {application_of(case) for case in cases}


@pytest.mark.parametrize(
    ("value", "status"),
    [
        pytest.param("FAIL0401", 401, id="MD-8"),
        pytest.param("FAIL0404", 404, id="MD-9"),
        pytest.param("2000071898", 200, id="MD-10"),
        pytest.param("2000159909", 200, id="MD-6"),
    ],
)
async def test_official_definitions(box, value, status):
    """Two refuse, and one has definitions of what BaRS knows nothing of."""
    context = f"https://fhir.nhs.uk/Id/dos-service-id|{value}"
    reply = await read(box, f"/MessageDefinition?context={context}", "2000011147")

    assert status == reply.status
    assert (value == "2000071898") == (b"Invoice" in reply.body)


@pytest.mark.parametrize("written_in", Format)
@pytest.mark.parametrize(
    "path",
    [
        "/metadata",
        "/MessageDefinition?context=https://fhir.nhs.uk/Id/dos-service-id|2000000901",
        "/ServiceRequest/79120f41-a431-4f08-bcc5-1e67006fcae0",
        "/Appointment/ce1c4ced-2a84-4198-9982-9caf894d0bb7",
        "/Appointment?patient:identifier=https://fhir.nhs.uk/Id/nhs-number|9990000018",
        "/Slot",
    ],
)
async def test_what_is_read_is_r4(box, path, written_in):
    """In either format: whoever tries a strict reader finds no fault of the sandbox's."""
    await post(box, booking_of("slot001"))
    asked = next_days("2000072489") if path == "/Slot" else path
    reply = await read(box, asked, Accept=written_in.value)
    found = to_tree(reply.body, written_in)

    assert (200, written_in.value) == (reply.status, reply.headers["Content-Type"])
    assert [] == structure.check(found, path=str(found["resourceType"]))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/$process-message", 405), ("DELETE", "/Slot", 405), ("GET", "/Patient/1", 404)],
)
async def test_other_paths_and_methods(box, method, path, status):
    """405 for what a path has not, 404 for what there is not."""
    reply = await box.call(path, method, b"", NHSD_Target_Identifier=target("2000000901"))

    assert status == reply.status


async def test_a_gateway_keeps_a_service_that_is_its_own(settings):
    """Who registered one of the numbers gets what is sent to it."""
    async with corresponding(settings) as box:
        await box.sandbox.register("trust", ["2000000901"], f"{box.receiver.url}/mine")
    async with corresponding(settings) as box:
        targets = box.sandbox.registry.targets()["https://fhir.nhs.uk/Id/dos-service-id"]

    assert targets["2000000901"].endswith("/mine")
    assert targets["2000000902"].endswith("/FHIR/R4")
