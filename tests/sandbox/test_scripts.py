"""What the counterparty responds, and what it does otherwise when it is told to."""

import asyncio
import json
import uuid

import pytest
import pytest_asyncio
from national_side import saying
from sandbox.corresponding import (
    PATIENCE,
    SENDER,
    asking,
    corresponding,
    focus_id,
    heard,
    held,
    post,
    resource,
    steer,
    until,
)

from bars_gateway.sandbox.counterparty.correspondence import cancellation
from bars_gateway.sandbox.counterparty.services import PLANS, Deviation

VALIDATION, CONTROL_ROOM = "2000000904", "2000000906"


@pytest_asyncio.fixture
async def box(settings):
    """Return a box whose counterparty responds at once."""
    async with corresponding(settings, pause_seconds=0.0) as made:
        yield made


@pytest_asyncio.fixture
async def impatient(settings):
    """Return a box whose proxy gives up soon."""
    async with corresponding(settings, answer_seconds=0.3) as made:
        yield made


def steps(messages: list) -> list[tuple[str, str]]:
    """Return the status of the Responder's Encounter and the reason of each response."""
    return [
        (
            resource(bundle, "Encounter", 1)["status"],
            resource(bundle, "MessageHeader")["reason"]["coding"][0]["code"],
        )
        for bundle in messages
    ]


BEGUN, ENDED = ("in-progress", "new"), ("finished", "update")


@pytest.mark.parametrize(
    ("use_case", "service", "expected"),
    [
        pytest.param("a4t1", VALIDATION, [BEGUN, ENDED], id="a4"),
        pytest.param(
            "a6t1", CONTROL_ROOM, [BEGUN, ("arrived", "new"), ("finished", "new")], id="a6"
        ),
    ],
)
async def test_responses_follow_by_themselves(box, use_case, service, expected):
    """In the order and with the reasons of the Application, to the request's Bundle.id."""
    body = asking(use_case, service)
    made = await post(box, body)
    messages = await heard(box, len(expected))

    assert expected == steps(messages)
    assert {made.json["id"]} == {
        resource(each, "MessageHeader")["response"]["identifier"] for each in messages
    }


async def test_other_applications_end_with_the_acknowledgement(box):
    """A referral to an emergency department has no response: the next thing heard is another's."""
    await post(box, asking("a1t1", "2000000901"))
    await post(box, asking("a4t1", VALIDATION))

    assert [BEGUN, ENDED] == steps(await heard(box, 2))


@pytest.mark.parametrize(
    ("number", "expected"), [("9658499147", [("finished", "new")]), ("9658499155", [BEGUN])]
)
async def test_official_patients_have_responses_of_their_own(box, number, expected):
    """RS-1 and RS-2: the full response without an interim one, and the interim one alone."""
    made = await post(box, asking("a4t1", VALIDATION, nhs_number=number))

    assert expected == steps(await heard(box, len(expected)))
    await until(lambda: told(box, made, len(expected)))


@pytest.mark.parametrize("number", ["9658499163", "9658499171"])
async def test_the_withdrawn_response_is_for_two_official_patients(box, number):
    """RS-3 and RS-4: the patient did not come. What the gateway answers is its own affair."""
    await post(box, asking("a1t1", "2000000901", nhs_number=number))
    (message,) = await heard(box, 1)

    assert "noshow" == resource(message, "Appointment")["status"]
    assert "revoked" == resource(message, "ServiceRequest")["status"]


def told(box, made, count: int) -> bool:
    """Return whether what was sent is noted, so often."""
    kept = box.sandbox.counterparty.holdings.find(focus_id(made))
    return count == len([each for each in kept.happened if str(each["what"]).startswith("sent")])


async def script(box, **described: object) -> None:
    reply = await steer(box, "/scripts", described)
    assert reply.status == 201, reply.body


async def test_reject(box):
    """One rejection with its code and text, and nothing after it."""
    await script(box, verb="reject", code="OTH", text="No crew.", count=1)
    await post(box, asking("a6t2", CONTROL_ROOM))
    (message,) = await heard(box, 1)
    (reason,) = resource(message, "Encounter", 1)["reasonCode"]

    assert [("cancelled", "new")] == steps([message])
    assert ("OTH", "No crew.") == (reason["coding"][0]["code"], reason["text"])


async def test_twice(box):
    """The same bytes under the same ids: scenario 73."""
    await script(box, verb="twice", count=1)
    await post(box, asking("a4t1", VALIDATION, nhs_number="9658499155"))
    await heard(box, 2)
    first, second = box.receiver.heard

    assert first.body == second.body
    assert first.headers["X-Request-Id"] == second.headers["X-Request-Id"]


async def test_amend(box):
    """A second final response, with a Bundle.id of its own: scenario 74."""
    await script(box, verb="amend", count=1)
    await post(box, asking("a4t1", VALIDATION))
    messages = await heard(box, 3)

    assert [BEGUN, ENDED, ENDED] == steps(messages)
    assert 3 == len({each["id"] for each in messages})


async def test_disorder(box):
    """The last one first: scenarios 72 and 90."""
    await script(box, verb="disorder", count=1)
    await post(box, asking("a4t1", VALIDATION))

    assert [ENDED, BEGUN] == steps(await heard(box, 2))


async def test_never_respond(box):
    """The request is acknowledged, and that is all: what the next one gets comes first."""
    await script(box, verb="never", count=1)
    silent = await post(box, asking("a4t1", VALIDATION))
    other = await post(box, asking("a4t1", VALIDATION))
    messages = await heard(box, 2)

    assert 200 == silent.status
    assert {other.json["id"]} == {
        resource(each, "MessageHeader")["response"]["identifier"] for each in messages
    }


async def test_never_answer(impatient):
    """The message was taken, the proxy gives up, and a retry is a duplicate."""
    await script(impatient, verb="never", of="answer", count=1)
    body, ids = asking("a1t1", "2000000901"), {"X_Request_Id": str(uuid.uuid4())}
    first = await post(impatient, body, **ids)
    await until(
        lambda: impatient.sandbox.counterparty.holdings.used(json.loads(body)["id"], SENDER)
    )
    second = await post(impatient, body, **ids)

    assert (408, "timeout", "REC_TIMEOUT") == first.outcome
    assert (409, "duplicate", "REC_CONFLICT") == second.outcome


async def test_delay_of_the_answer(impatient):
    """Longer than the proxy waits: 408, and a retry meanwhile comes too early (scenario 36)."""
    await script(impatient, verb="delay", seconds=600, count=1)
    body, ids = asking("a1t1", "2000000901"), {"X_Request_Id": str(uuid.uuid4())}
    first = await post(impatient, body, **ids)
    second = await post(impatient, body, **ids)

    assert (408, 425) == (first.status, second.status)


async def test_delay_of_the_responses(box):
    """The delay is before each of them: while one waits, a later request has had its own."""
    await script(box, verb="delay", of="responses", seconds=600, count=1)
    await post(box, asking("a4t1", VALIDATION))
    other = await post(box, asking("a4t1", VALIDATION))
    (first, *_) = await heard(box, 1)

    assert other.json["id"] == resource(first, "MessageHeader")["response"]["identifier"]


async def test_refuse(box):
    """With the status that was asked for, and nothing is held."""
    await script(box, verb="refuse", status=422, count=1)
    refused, taken = [await post(box, asking("a1t1", "2000000901")) for _ in range(2)]

    assert (422, 200) == (refused.status, taken.status)
    assert 1 == len(await held(box))


async def test_a_script_may_be_about_one_application(box):
    """The others go on as ever."""
    await script(box, verb="refuse", status=501, application="a4")
    statuses = [
        (await post(box, asking(use_case, service))).status
        for use_case, service in (("a1t1", "2000000901"), ("a4t1", VALIDATION))
    ]

    assert [200, 501] == statuses


async def test_scripts_are_listed_and_taken_away(box):
    """Each has a number, and says no more than its verb uses."""
    number = (await steer(box, "/scripts", {"verb": "reject", "count": 2})).json["id"]
    listed = (await steer(box, "/scripts", method="GET")).json["scripts"]
    taken = await steer(box, f"/scripts/{number}", method="DELETE")
    again = await steer(box, f"/scripts/{number}", method="DELETE")

    assert (204, 404) == (taken.status, again.status)
    assert [
        {
            "id": number,
            "verb": "reject",
            "of": "responses",
            "count": 2,
            "application": None,
            "code": "RRNA",
            "text": "Invented reason.",
        }
    ] == listed


@pytest.mark.parametrize(
    ("described", "named"),
    [
        ([], "JSON object"),
        ({}, "verb is missing"),
        ({"verb": "sing"}, "verb must be one of delay, refuse"),
        ({"verb": ["delay"]}, "verb has the wrong type"),
        ({"verb": "delay", "status": 422}, "delay does not use status"),
        ({"verb": "delay", "seconds": 601}, "between 0 and 600"),
        ({"verb": "delay", "seconds": True}, "seconds has the wrong type"),
        ({"verb": "reject", "of": "answer"}, "reject is of responses"),
        ({"verb": "reject", "code": "NO"}, "code must be one of RRNA, FC, OTH"),
        ({"verb": "refuse", "status": 418}, "status must be one of 400"),
        ({"verb": "never", "count": 0}, "count is 1 or more"),
        ({"verb": "never", "application": "a9"}, "application must be one of a1"),
        ({"verb": "never", "times": 1}, "unknown member 'times'"),
    ],
)
async def test_a_wrong_script_is_refused(box, described, named):
    """With 400, what is wrong, and nothing in force."""
    reply = await steer(box, "/scripts", described)

    assert 400 == reply.status
    assert named in reply.json["error"]
    assert [] == (await steer(box, "/scripts", method="GET")).json["scripts"]


async def test_every_verb_is_tried_here():
    """A new one needs its own test."""
    names = " ".join(name for name in globals() if name.startswith("test_"))

    assert [] == [verb for verb in Deviation if verb not in names]


async def test_a_cancelled_request_gets_no_response(settings):
    """Scenario 68: what waited to be sent stays where it is."""
    async with corresponding(settings) as box:
        made = await post(box, asking("a4t1", VALIDATION))
        await post(box, cancellation(made.body))
        kept = box.sandbox.counterparty.holdings.find(focus_id(made))
        await box.sandbox.counterparty.correspondence._follow(kept, PLANS["a4"], 0.0)

    assert [] == box.receiver.heard


async def test_a_response_is_repeated_until_it_arrives(box):
    """Under the same ids, as any Sender does: nobody has to be there when it is due."""
    box.receiver.answers.append(saying(503))
    await post(box, asking("a4t1", VALIDATION, nhs_number="9658499155"))
    await heard(box, 2)
    first, second = box.receiver.heard

    assert (first.body, first.headers["X-Request-Id"]) == (
        second.body,
        second.headers["X-Request-Id"],
    )


async def test_it_stops_in_the_middle_of_a_conversation(settings):
    """What waits does not hold up the end of the sandbox."""
    async with asyncio.timeout(PATIENCE), corresponding(settings, pause_seconds=600) as box:
        reply = await post(box, asking("a4t1", VALIDATION))

    assert 200 == reply.status
