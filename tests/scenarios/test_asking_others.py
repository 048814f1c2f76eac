"""What an EPR asks of another organisation: through its gateway, BaRS and the other gateway."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from asked_epr import answering
from bookings import searchset, slot_query
from messages import RECEIVER, referral
from moving import socket_of
from scripted_receiver import Said, answering_reads
from world import JSON, World, world_in
from yarl import URL

from bars_gateway.standard.xml import to_tree

pytestmark = [pytest.mark.both_engines, pytest.mark.each_fact_once]

ID = "95e58add-0b10-4a8c-817c-2729eb0cab75"
TO = f"to={quote(RECEIVER)}"
XML = "application/fhir+xml"
PATIENT = "patient:identifier=https://fhir.nhs.uk/Id/nhs-number%7C9990000018"
SLOT = {
    "resourceType": "Slot",
    "schedule": {"reference": f"urn:uuid:{ID}"},
    "status": "free",
    "start": "2026-03-02T09:00:00.0000001+00:00",
    "end": "2026-03-02T09:20:00+00:00",
}
PREVIEWS = "preview_operations = true"


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path, asked='questions = "socket"') as running:
        yield running


@asynccontextmanager
async def epr_of(world: World) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.UnixConnector(path=str(world.ambulance.socket))
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


async def ask(
    world: World, path: str, method: str = "GET", body: bytes | None = None, **sent: str
) -> tuple[int, Mapping[str, str], bytes]:
    """Ask the ambulance service's own gateway; the query goes as it is written."""
    url = URL(f"http://gateway/bars/{path}", encoded=True)
    headers = {name.replace("_", "-"): value for name, value in sent.items()}
    async with (
        epr_of(world) as session,
        session.request(method, url, headers=headers, data=body) as answer,
    ):
        return answer.status, answer.headers, await answer.read()


async def test_slots_come_from_the_other_side_as_they_are(asked: World) -> None:
    """The whole way there and back, with every digit of an instant."""
    slots = searchset(SLOT)
    async with answering(asked.hospital.socket, lambda _: slots) as epr:
        status, headers, body = await ask(asked, f"Slot?{TO}&{slot_query()}")
    (question,) = epr.seen

    assert (200, "bars", slots) == (status, headers["Bars-Answered-By"], json.loads(body))
    assert "2000000202" == question["parameters"]["service"]


@pytest.mark.parametrize(
    ("said", "proved"),
    [
        pytest.param(Said(searchset(SLOT)), "yes", id="slots"),
        pytest.param(Said(searchset(SLOT), echoes=False), "no", id="without-our-ids"),
        pytest.param(Said(SLOT), "no", id="another-type"),
        pytest.param(Said(b"<html>"), "no", id="unreadable"),
        pytest.param(Said(b"", 204), "no", id="nothing-at-all"),
        pytest.param(Said(searchset(SLOT), 206), "no", id="a-part"),
        pytest.param(Said({"resourceType": "OperationOutcome"}, 404), "yes", id="a-refusal"),
        pytest.param(Said({}, 404, echoes=False), "no", id="somebody-in-between"),
    ],
)
async def test_what_an_answer_proves_is_said_beside_it(
    world: World, said: Said, proved: str
) -> None:
    """It is handed on as it came, and marked: slots of another search book the wrong clinic."""
    async with answering_reads(world, lambda _kind, _of: said):
        status, headers, body = await ask(world, f"Slot?{TO}&{slot_query()}")
    came = said.document if isinstance(said.document, bytes) else json.dumps(said.document).encode()

    assert (said.status, came) == (status, body)
    assert ("bars", proved) == (headers["Bars-Answered-By"], headers["Bars-Answer-Proved"])


async def test_slots_are_never_kept(asked: World) -> None:
    """CS-172: whoever asks again gets what is free now."""
    async with answering(asked.hospital.socket, lambda _: searchset(SLOT)) as epr:
        for _ in range(2):
            await ask(asked, f"Slot?{TO}&{slot_query()}")

    assert 2 == len(epr.seen)


async def test_no_cache_on_the_way_keeps_an_appointment(world: World) -> None:
    """Known by its last change alone, a client may keep it for a day: cancelled since, maybe."""
    changed = {"Last-Modified": "Fri, 20 Nov 2026 09:00:00 GMT", "ETag": 'W/"1"'}
    booked = {"resourceType": "Appointment", "id": ID, "status": "booked"}
    async with answering_reads(world, lambda _kind, _of: Said(booked, beside=changed)):
        _, headers, _ = await ask(world, f"Appointment/{ID}?{TO}")

    assert changed == {name: headers[name] for name in changed}
    assert "no-store" == headers["Cache-Control"]


async def test_xml_is_answered_in_xml(asked: World) -> None:
    """What the EPR accepts is passed on."""
    one = {"resourceType": "ServiceRequest", "id": ID, "status": "active", "intent": "order"}
    one["subject"] = {"reference": "Patient/1"}
    async with answering(asked.hospital.socket, lambda _: one):
        status, headers, body = await ask(asked, f"ServiceRequest/{ID}?{TO}", Accept=XML)

    assert (200, XML) == (status, headers["Content-Type"].partition(";")[0])
    assert ID == to_tree(body).tree["id"]


async def test_an_outcome_of_the_other_side_is_handed_on(asked: World) -> None:
    """Its status and its words, for software that knows what to do with them."""
    async with answering(asked.hospital.socket, lambda _: {"refuse": "not-found"}):
        status, headers, body = await ask(asked, f"ServiceRequest/{ID}?{TO}")

    assert (404, "bars") == (status, headers["Bars-Answered-By"])
    assert "OperationOutcome" == json.loads(body)["resourceType"]


async def test_an_outcome_of_the_proxy_is_handed_on(world: World) -> None:
    """A service that BaRS does not know is no matter of the gateway's."""
    nobody = quote("https://fhir.nhs.uk/Id/dos-service-id|2000000999")
    status, headers, body = await ask(world, f"metadata?to={nobody}")
    (issue,) = json.loads(body)["issue"]

    assert (404, "bars") == (status, headers["Bars-Answered-By"])
    assert "PROXY_NOT_FOUND" == issue["details"]["coding"][0]["code"]


async def test_what_others_say_of_themselves_is_kept(world: World) -> None:
    """From the disk, also after a restart; no-cache asks again, and junk is not kept."""
    async with answering_reads(world, lambda _kind, _of: Said(b"<html>")):
        await ask(world, f"metadata?{TO}")
    first = await ask(world, f"metadata?{TO}")
    await world.ambulance.restart()
    second = await ask(world, f"metadata?{TO}")
    third = await ask(world, f"metadata?{TO}", Cache_Control="no-cache")

    assert ["bars", "cache", "bars"] == [
        one[1]["Bars-Answered-By"] for one in (first, second, third)
    ]
    assert first[2] == second[2]


async def test_the_operator_sees_and_forgets_what_is_kept(world: World) -> None:
    """By the service that said it."""
    await ask(world, f"metadata?{TO}")
    await ask(world, f"MessageDefinition?{TO}&context={quote(RECEIVER)}")
    said = [
        (await world.ambulance.ran("cache", *words)).splitlines()
        for words in (["list"], ["clear", "--of", RECEIVER], ["list"])
    ]

    assert [2, ["forgotten: 2"], ["Nothing is kept."]] == [len(said[0]), *said[1:]]
    assert all(RECEIVER in line for line in said[0])


async def test_silence_is_said_to_be_the_gateways_word(world: World) -> None:
    """An answer that did not come is no answer of the Receiver's."""
    world.sandbox.faults.arm({"kind": "drop_before"})
    status, headers, body = await ask(world, f"metadata?{TO}")

    assert (502, "gateway") == (status, headers["Bars-Answered-By"])
    assert {"error", "cure"} == json.loads(body).keys()


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("metadata", "GET", 400),
        ("metadata?to=x", "GET", 400),
        (f"metadata?{TO}&{TO}", "GET", 400),
        (f"Patient?{TO}", "GET", 404),
        (f"Slot/{ID}?{TO}", "GET", 404),
        (f"Appointment/%2E%2E%2Fx?{TO}", "GET", 400),
        (f"Slot?{TO}", "POST", 405),
        (f"DocumentReference/{ID}?{TO}", "PATCH", 405),
        (f"Endpoint/{ID}/$template", "PUT", 501),
        (f"Appointment?{TO}", "POST", 501),
        (f"Appointment/{ID}?{TO}", "DELETE", 501),
        ("DocumentReference", "GET", 501),
        ("Endpoint/$template", "GET", 501),
        (f"ServiceRequest?{TO}", "POST", 501),
    ],
)
async def test_what_is_not_passed_on_says_why(
    world: World, path: str, method: str, status: int
) -> None:
    """And reaches nobody."""
    before = len(world.sandbox.calls._listed(0))
    found, headers, body = await ask(world, path, method)

    assert (status, "gateway") == (found, headers["Bars-Answered-By"])
    assert {"error", "cure"} == json.loads(body).keys()
    assert before == len(world.sandbox.calls._listed(0))


async def test_a_preview_write_passes_where_it_is_switched_on(tmp_path: Path) -> None:
    """D-preview: byte for byte, under the id of the Appointment."""
    body = json.dumps({"resourceType": "Appointment", "id": ID, "status": "cancelled"}).encode()
    body = body[:-1] + b',"participant":[{"status":"accepted"}]}'
    async with world_in(
        tmp_path,
        asked='questions = "socket"',
        inbound="preview_writes = true",
        outbound=PREVIEWS,
    ) as world:
        async with answering(world.hospital.socket, lambda _: json.loads(body)) as epr:
            status, headers, _ = await ask(
                world, f"Appointment/{ID}?{TO}", "PUT", body, Content_Type=JSON
            )
        documents = await ask(world, "DocumentReference", "GET")

    assert (200, "bars", "PUT Appointment") == (
        status,
        headers["Bars-Answered-By"],
        epr.seen[0]["operation"],
    )
    # The sandbox has no record locator: it says so in the platform's words.
    assert (503, "bars") == (documents[0], documents[1]["Bars-Answered-By"])


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("Endpoint/$template?identifier=x", "GET"),
        ("Endpoint/$template", "POST"),
        (f"Endpoint/{ID}/$template", "PUT"),
        (f"Endpoint/{ID}/$template", "DELETE"),
    ],
)
async def test_a_template_of_the_catalogue_passes_where_it_is_switched_on(
    tmp_path: Path, path: str, method: str
) -> None:
    """As the API has it: at the very path that was asked for, without a target."""
    body = b'{"resourceType":"Endpoint"}' if method in {"POST", "PUT"} else b""
    async with world_in(tmp_path, outbound=PREVIEWS) as world:
        _, headers, _ = await ask(world, path, method, body, Content_Type=JSON)
        (call,) = (each for each in world.sandbox.calls._listed(0) if "template" in str(each))

    assert "bars" == headers["Bars-Answered-By"]
    assert method in str(call)


async def test_a_search_leaves_no_trace_of_a_patient(
    asked: World, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither in the log nor in the cache."""
    async with answering(asked.hospital.socket, lambda _: searchset()):
        await ask(asked, f"ServiceRequest?{TO}&{PATIENT}")
    out, err = capfd.readouterr()

    assert "9990000018" not in out + err
    assert [] == list((asked.ambulance.folder / "state").glob("cache/*"))


async def test_a_use_case_that_is_not_taken_is_refused_at_once(tmp_path: Path) -> None:
    """While the clinician is there; what is taken goes out, and the service is asked once."""
    async with world_in(tmp_path, outbound="target_check_seconds = 5") as world:
        world.ambulance.drop("no.json", referral(version="9.9.9"))
        reason = await world.ambulance.document("outbox/refused/no.reason.json")
        receipt = await world.ambulance.sent("yes.json", referral())
        outcome = await world.ambulance.outcome(receipt["request_id"])

        assert receipt["target_unchecked"] is None
        assert ["E05"] == [issue["rule"] for issue in reason["issues"]]
        assert "acknowledged" == outcome["state"]
        assert ["/MessageDefinition", "/$process-message"] == [
            call["path"] for call in world.forwarded()
        ]


async def test_a_service_that_does_not_say_gets_the_request(tmp_path: Path) -> None:
    """No answer is no objection, and receipt and state say that there was none."""
    async with world_in(tmp_path, outbound="target_check_seconds = 0.2") as world:
        world.sandbox.faults.arm({"kind": "delay", "seconds": 0.5, "count": 1})
        receipt = await world.ambulance.sent("r.json", referral())
        outcome = await world.ambulance.outcome(receipt["request_id"])
        async with socket_of(world.ambulance) as session:
            answer = await session.get(f"/messages/{receipt['request_id']}")
            state = await answer.json()

    assert "acknowledged" == outcome["state"]
    assert receipt["target_unchecked"]
    assert receipt["target_unchecked"] == state["target_unchecked"]


async def test_tokens_and_reads_count_for_the_next_start(asked: World) -> None:
    """D-quota: the platform counts a token, a read and a message, and so does the gateway."""
    async with answering(asked.hospital.socket, lambda _: searchset(SLOT)):
        await ask(asked, f"Slot?{TO}&{slot_query()}")
    receipt = await asked.ambulance.sent("r.json", referral())
    await asked.ambulance.outcome(receipt["request_id"])

    assert 3 == await asked.ambulance.rows("calls")
