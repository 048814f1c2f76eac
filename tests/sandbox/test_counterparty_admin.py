"""The counterparty's part of the admin port: what it sends, and what it says that it holds."""

import json
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
import pytest_asyncio
from national_side import saying
from sandbox.around import SERVICE, opened
from sandbox.corresponding import (
    SENDER,
    asking,
    booking_of,
    corresponding,
    focus_id,
    heard,
    held,
    mirroring,
    post,
    resource,
    steer,
)
from structlog.testing import capture_logs

from bars_gateway.demo.messages import FAMILY, NHS_NUMBER
from bars_gateway.errors import SandboxError
from bars_gateway.sandbox.server import Sandbox
from bars_gateway.standard import reads

VALIDATION = "2000000904"
OUTCOME = b'{"resourceType": "OperationOutcome", "issue": [{"code": "not-supported"}]}'


@pytest_asyncio.fixture
async def box(settings):
    async with corresponding(settings) as made:
        yield made


async def requested(box, **described: object):
    return await steer(box, "/requests", {"use_case": "a4t1", "to": SENDER} | described)


async def test_it_says_who_it_is(box):
    """Its services with their Applications, and the official values."""
    told = (await steer(box, "", method="GET")).json
    titles = {each["value"]: each["applications"] for each in told["services"]}

    assert ["a4"] == titles[VALIDATION]
    assert 404 == told["nhs_numbers"]["9658499015"]["refused_with"]
    assert 408 == told["read_ids"]["9e595424-9d67-45db-9a90-03259653cd37"]


async def test_it_sends_a_request(box):
    """From its own service of that Application, and tells what became of it."""
    reply = await requested(box, to="2000000202", nhs_number="9990000026")
    (message,) = await heard(box, 1)
    header = resource(message, "MessageHeader")

    assert (200, 200, "acknowledged") == (
        reply.status,
        reply.json["http_status"],
        reply.json["verdict"],
    )
    assert header["source"]["endpoint"].endswith(f"|{VALIDATION}")
    assert SENDER == header["destination"][0]["endpoint"]
    assert "9990000026" == resource(message, "Patient")["identifier"][0]["value"]


async def test_it_writes_xml_where_it_is_told_to(box):
    """And understands the answer in it: what was taken can be changed."""
    came = []

    async def note(call):
        came.append((call.content_type, (await call.read())[:1]))
        return await mirroring(call)

    box.receiver.otherwise = note
    reply = await requested(box, xml=True)
    changed = await steer(box, f"/held/{reply.json['id']}/update")

    assert (200, "acknowledged") == (reply.json["http_status"], reply.json["verdict"])
    assert 200 == changed.status
    assert [("application/fhir+xml", b"<"), ("application/fhir+json", b"{")] == came


async def test_it_sends_a_booking(box):
    """Where the Application knows bookings."""
    await requested(box, use_case="a7t1", books=True)
    (message,) = await heard(box, 1)

    assert "booking-request" == resource(message, "MessageHeader")["eventCoding"]["code"]


async def test_it_books_the_slot_that_it_is_told(box):
    """So that a slot can be asked for a second time."""
    slot = str(uuid.uuid4())
    await requested(box, use_case="a7t1", books=True, slot=slot)
    (message,) = await heard(box, 1)

    assert slot == resource(message, "Slot")["id"]


async def read(box, **described: object):
    return await steer(box, "/reads", {"to": SENDER, "read": "Slot?status=free"} | described)


async def test_it_reads(box):
    """By the proxy, as a Sender does before it books; and tells what it was told, in few words."""
    searchset = b'{"resourceType": "Bundle", "type": "searchset", "entry": [{}, {}]}'
    box.receiver.otherwise = saying(200, searchset)
    reply = await read(box)
    (call,) = box.receiver.heard
    told = {"http_status": 200, "resource_type": "Bundle", "id": None, "entries": 2}

    assert call.target.endswith("/Slot?status=free")
    assert told == {name: reply.json[name] for name in told}
    assert reply.json["request_id"] == call.headers["X-Request-Id"]


async def test_a_slot_that_it_is_told_begins_when_it_did(box):
    """Who knows a slot by its time, and not by its id, sees that it is asked for again."""
    slot = str(uuid.uuid4())
    for _ in range(2):
        await requested(box, use_case="a7t1", books=True, slot=slot)
    first, second = (resource(message, "Slot") for message in await heard(box, 2))

    assert (first["start"], first["end"]) == (second["start"], second["end"])
    assert first["start"][14:19] in {"00:00", "30:00"}  # whatever second it is asked for


async def test_it_reads_the_slots_of_the_next_day(box):
    """With everything that a search for slots must have."""
    await read(box, read="Slot")
    (call,) = box.receiver.heard
    found = reads.slots(call.target.partition("?")[2], services=[SERVICE], longest=timedelta(2))

    assert (timedelta(days=1), ["free"]) == (found.begins_until - found.begins_from, found.statuses)


async def test_a_read_that_is_refused_is_told_with_its_code(box):
    """Nothing of what stands in the answer is told."""
    box.receiver.otherwise = saying(422, OUTCOME)
    reply = await read(box, read=f"Appointment/{uuid.uuid4()}")

    assert (422, "not-supported") == (reply.json["http_status"], reply.json["issue"])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"to": ""}, "to is missing"),
        ({"read": ""}, "read is missing"),
        ({"read": 1}, "read has the wrong type"),
        ({"read": "$process-message"}, "read must begin with one of Appointment"),
    ],
)
async def test_a_wrong_read_is_refused(box, change, named):
    """With 400 and what is wrong; nothing is asked."""
    reply = await read(box, **change)

    assert (400, []) == (reply.status, box.receiver.heard)
    assert named in reply.json["error"]


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (saying(422, OUTCOME), "refused"),
        (saying(503), "unconfirmed"),
    ],
)
async def test_it_holds_what_was_not_taken(box, answer, state):
    """Under its Bundle.id, for there is no other."""
    box.receiver.otherwise = answer
    await requested(box)
    (kept,) = await held(box)

    assert (state, "sent", [kept["id"]]) == (kept["state"], kept["direction"], kept["bundle_ids"])


@pytest.mark.parametrize("body", [b"taken", b"{}"])
async def test_it_holds_what_was_taken_without_a_bundle(box, body):
    """Under its Bundle.id: no other was told."""

    async def terse(call):
        answer = await mirroring(call)
        answer.body = body
        return answer

    box.receiver.otherwise = terse
    await requested(box)
    (kept,) = await held(box)

    assert ("active", [kept["id"]]) == (kept["state"], kept["bundle_ids"])


async def test_a_response_may_overtake_the_answer(box):
    """Scenario 71: the request is known before it leaves."""
    responded = []

    async def hasty(call):
        bundle = json.loads(await call.read())
        responded.append(box.sandbox.counterparty.holdings.answered_by(bundle["id"]))
        return await mirroring(call)

    box.receiver.otherwise = hasty
    await requested(box)

    assert [True] == [found is not None for found in responded]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"use_case": "a9t1"}, "use_case must be one of a1t1"),
        ({"use_case": 1}, "use_case has the wrong type"),
        ({"to": ""}, "to is missing: the service"),
        ({"books": True}, "Application a4 has no bookings"),
        ({"patient": "x"}, "unknown member 'patient'"),
        ({"slot": "x"}, "slot goes with a booking only"),
    ],
)
async def test_a_wrong_request_is_refused(box, change, named):
    """With 400 and what is wrong; nothing is sent."""
    reply = await requested(box, **change)

    assert 400 == reply.status
    assert named in reply.json["error"]
    assert [] == await held(box)


@pytest.mark.parametrize("path", ["/requests", "/scripts"])
@pytest.mark.parametrize("body", [b"{", b"[]"])
async def test_what_is_no_json_object_is_refused(box, path, body):
    """With 400, and not with a failure of ours."""
    url = f"{box.sandbox.admin_url}/counterparty{path}"

    assert 400 == (await box.ask("POST", url, data=body)).status


async def test_a_response_can_be_sent_by_hand(box):
    """To what was received; its Encounter's status, its reason and its code are given."""
    made = await post(box, asking("a4t1", VALIDATION))
    step = {"encounter": "cancelled", "code": "FC", "text": "Busy."}
    reply = await steer(box, f"/held/{focus_id(made)}/respond", step)
    (message,) = await heard(box, 1)
    (kept,) = await held(box)

    assert "acknowledged" == reply.json["verdict"]
    assert "FC" == resource(message, "Encounter", 1)["reasonCode"][0]["coding"][0]["code"]
    assert "declined" == kept["state"]


@pytest.mark.parametrize(
    ("step", "named"),
    [
        ({}, "encounter must be one of planned"),
        ({"encounter": "finished", "reason": "delete"}, "reason must be new or update"),
        ({"encounter": "cancelled", "code": "NO"}, "code must be one of RRNA"),
        ({"encounter": "cancelled", "because": "x"}, "unknown member 'because'"),
    ],
)
async def test_a_wrong_response_is_refused(box, step, named):
    """With 400 and what is wrong; nothing is sent."""
    made = await post(box, asking("a4t1", VALIDATION))
    reply = await steer(box, f"/held/{focus_id(made)}/respond", step)

    assert 400 == reply.status
    assert named in reply.json["error"]
    assert [] == box.receiver.heard


async def test_a_booking_has_no_response(box):
    """Nothing in the standard says one: 400, and nothing is sent."""
    made = await post(box, booking_of("slot001"))
    reply = await steer(box, f"/held/{focus_id(made)}/respond", {"encounter": "finished"})

    assert (400, []) == (reply.status, box.receiver.heard)


@pytest.mark.parametrize(("verb", "state"), [("update", "active"), ("cancel", "cancelled")])
async def test_what_it_sent_can_be_changed(box, verb, state):
    """With the ids that the Receiver gave, as an update is."""
    box.receiver.otherwise = acknowledging
    made = await requested(box)
    reply = await steer(box, f"/held/{made.json['id']}/{verb}")
    _, message = await heard(box, 2)
    (kept,) = await held(box)

    assert ("acknowledged", state) == (reply.json["verdict"], kept["state"])
    assert made.json["id"] == resource(message, "ServiceRequest")["id"]
    assert "update" == resource(message, "MessageHeader")["reason"]["coding"][0]["code"]


async def acknowledging(call):
    """Answer as a Receiver that takes a request: with an id for it."""
    bundle = json.loads(await call.read())
    resource(bundle, "ServiceRequest").setdefault("id", str(uuid.uuid4()))
    answer = await mirroring(call)
    answer.body = json.dumps(bundle).encode()
    return answer


@pytest.mark.parametrize("verb", ["respond", "update", "cancel", "act"])
async def test_what_it_does_not_hold_cannot_be_steered(box, verb):
    """404, and what there would have to be."""
    reply = await steer(box, f"/held/{uuid.uuid4()}/{verb}", {})

    assert 404 == reply.status
    assert "is held under that id" in reply.json["error"]


async def example(box, query: str):
    return await steer(box, f"/messages?{query}", method="GET")


@pytest.mark.parametrize("query", ["use_case=a4t1", "use_case=a1t1&books=true"])
async def test_it_has_a_message_for_who_has_none(box, query):
    """From the service that asks for it, to its own of that Application; it takes it."""
    made = await example(box, f"{query}&from=2000000202&nhs_number=9990000026")
    header = resource(made.json, "MessageHeader")

    assert SENDER == header["source"]["endpoint"]
    assert ("books" in query) == header["eventCoding"]["code"].startswith("booking")
    assert 200 == (await post(box, made.body)).status


@pytest.mark.parametrize("verb", ["update", "cancel"])
async def test_it_has_a_change_of_what_it_received(box, verb):
    """With the ids that it gave; it takes it."""
    made = await post(box, asking("a4t1", VALIDATION))
    change = await steer(box, f"/held/{focus_id(made)}/{verb}", method="GET")
    unknown = await steer(box, f"/held/{uuid.uuid4()}/{verb}", method="GET")

    assert (200, 404) == ((await post(box, change.body)).status, unknown.status)
    assert verb == (await held(box))[0]["happened"][-1]["what"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("from=1", "use_case must be one of a1t1"),
        ("use_case=a4t1", "from is missing"),
        ("use_case=a1t1&from=1&books=perhaps", "books has the wrong type"),
    ],
)
async def test_a_message_that_nobody_can_make_is_refused(box, query, named):
    """With 400 and what is wrong."""
    reply = await example(box, query)

    assert 400 == reply.status
    assert named in reply.json["error"]


async def test_nothing_of_a_payload_is_listed_or_logged(box):
    """Ids, states and rules: a sandbox may be shown on a screen in a meeting."""
    with capture_logs() as events:
        await post(box, asking("a4t1", VALIDATION))
        await requested(box)
    told = json.dumps([events, await held(box), (await box.calls())])

    assert [] == [text for text in (FAMILY, NHS_NUMBER, "Invented Row") if text in told]


async def test_without_a_counterparty_there_is_no_such_path(settings):
    """A sandbox between two gateways needs none."""
    async with opened(replace(settings, counterparty=False)) as box:
        assert 404 == (await steer(box, "/held", method="GET")).status


def test_a_script_needs_somebody_to_follow_it(settings):
    """Without a counterparty it would be there, and nothing would come of it."""
    with pytest.raises(SandboxError, match="no counterparty to follow it"):
        Sandbox(replace(settings, scripts=[{"verb": "never"}]))


def test_a_wrong_script_ends_the_sandbox_before_it_begins(settings):
    """What is wrong with it stands in the error."""
    wrong = replace(settings, counterparty=True, scripts=[{"verb": "sing"}])
    with pytest.raises(SandboxError, match="verb must be one of delay"):
        Sandbox(wrong)
