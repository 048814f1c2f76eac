"""Scenarios about the course of a workflow, each by its number, between real gateways."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asked_epr import answering
from bookings import change_of
from messages import validation_request
from moving import CHANGED, PLAN, arrived, made, move, requested, sent, state, transfer
from variants import resource
from world import World, eventually, headers, post, world_in

from bars_gateway.demo.messages import response
from bars_gateway.standard.bundle import read
from bars_gateway.standard.consistency import journey_of
from bars_gateway.standard.workflow import State

pytestmark = pytest.mark.both_engines


async def acknowledged(world: World) -> tuple[dict[str, Any], bytes]:
    """Send a validation request; return its receipt and the hospital's acknowledgement."""
    receipt, _ = await requested(world, validation_request())
    (answer,) = world.hospital.files("inbox/new/*.answer.json")
    return receipt, answer.read_bytes()


async def come_to_the_ambulance(
    world: World, body: bytes, **changes: str | None
) -> tuple[int, dict[str, Any]]:
    """Hand a response to the ambulance's gateway, as the proxy would."""
    asked = headers(world.ambulance.service, **changes)
    status, _, answer = await post(world, body, asked, node=world.ambulance)
    return status, answer


def issue(outcome: dict[str, Any]) -> str:
    found: str = outcome["issue"][0]["code"]
    return found


async def test_scenario_64_a_final_response_needs_no_interim_one(world: World) -> None:
    """Its reason is new, and it ends the workflow on both sides."""
    receipt, notice = await requested(world, validation_request())
    final = move(notice["request_id"], "conclude", outcome="action", resources=[PLAN])
    document = await sent(world.hospital, final)
    header = document["message"]["entry"][0]["resource"]

    assert "new" == header["reason"]["coding"][0]["code"]
    assert {State.COMPLETED} == {
        await state(world.ambulance, receipt["request_id"]),
        await state(world.hospital, document["request_id"]),
    }


async def test_scenario_67_what_was_begun_is_not_updated(world: World) -> None:
    """The user is told before anything is sent."""
    receipt, notice = await requested(world, validation_request())
    await sent(world.hospital, move(notice["request_id"], "progress"))
    asked = move(receipt["request_id"], "update", resources=[CHANGED])
    status, refused = await made(world.ambulance, asked)

    assert (409, ["G08"]) == (status, [each["rule"] for each in refused["issues"]])


async def test_scenario_70_a_cancellation_crosses_the_final_response(tmp_path: Path) -> None:
    """The Responder has concluded: 409 to the Sender, whose EPR has the answer already."""
    async with (
        world_in(tmp_path, asked='questions = "socket"') as world,
        answering(world.hospital.socket),
    ):
        receipt, notice = await requested(world, validation_request())
        final = move(notice["request_id"], "conclude", outcome="no_action", resources=[PLAN])
        (answer,) = world.hospital.files("inbox/new/*.answer.json")
        cancelled = change_of(json.loads(answer.read_bytes()), status="revoked")
        await sent(world.hospital, final)
        status, _, outcome = await post(world, cancelled, headers())

        assert (409, "conflict") == (status, issue(outcome))
        assert State.COMPLETED == await state(world.ambulance, receipt["request_id"])


async def test_scenario_73_the_same_interim_response_comes_twice(world: World) -> None:
    """409 duplicate, one message, one notice."""
    _, acknowledgement = await acknowledged(world)
    body = response(acknowledgement, encounter="in-progress")
    number = "00000000-0000-4000-8000-000000000073"
    first = await come_to_the_ambulance(world, body, X_Request_Id=number)
    second = await come_to_the_ambulance(world, body, X_Request_Id=number)

    assert (200, 409, "duplicate") == (first[0], second[0], issue(second[1]))
    assert 1 == len(await arrived(world.ambulance, 1))


async def test_scenario_75_the_interim_response_was_lost(world: World) -> None:
    """The final one counts, and says that something before it never came."""
    receipt, acknowledgement = await acknowledged(world)
    body = response(acknowledgement, encounter="finished", reason="update")
    status, _ = await come_to_the_ambulance(world, body)
    (notice,) = await arrived(world.ambulance, 1)

    assert (200, State.COMPLETED) == (status, await state(world.ambulance, receipt["request_id"]))
    assert ["interim_missed"] == notice["remarks"]


async def test_scenario_77_a_response_to_nothing_in_particular(world: World) -> None:
    """400 invariant: without response.identifier nobody could say whose it is."""
    _, acknowledgement = await acknowledged(world)
    bundle = json.loads(response(acknowledgement, encounter="in-progress"))
    del bundle["entry"][0]["resource"]["response"]
    status, outcome = await come_to_the_ambulance(world, json.dumps(bundle).encode())

    assert (400, "invariant") == (status, issue(outcome))


async def test_scenario_81_a_final_response_after_its_time(world: World) -> None:
    """It is stored and delivered, and says that it is late."""
    soon = datetime.now(UTC) + timedelta(seconds=8)
    bundle = json.loads(validation_request())
    bundle["entry"][1]["resource"]["occurrencePeriod"]["end"] = soon.isoformat(timespec="seconds")
    receipt, notice = await requested(world, json.dumps(bundle).encode())
    await eventually(lambda: world.ambulance.files("inbox/new/*.overdue.json"))
    final = move(notice["request_id"], "conclude", outcome="no_action", resources=[PLAN])
    await sent(world.hospital, final)
    remarks = [each["remarks"] for each in await arrived(world.ambulance, 1)]

    assert ["late"] in remarks
    assert State.COMPLETED == await state(world.ambulance, receipt["request_id"])


async def test_scenario_84_outcome_codes_that_nobody_knows(world: World) -> None:
    """They pass as data, byte for byte: what they mean is between the two services."""
    request = validation_request().replace(b'"a4t1"', b'"a4t2"')
    receipt, _ = await requested(world, request)
    (answer,) = world.hospital.files("inbox/new/*.answer.json")
    bundle = json.loads(response(answer.read_bytes(), encounter="finished"))
    plan = resource(bundle, "CarePlan")
    unknown = [{"system": "https://nowhere.example/outcomes", "code": c} for c in ("PATLIFT", "C5")]
    plan["activity"] = [{"outcomeCodeableConcept": [{"coding": [each]} for each in unknown]}]
    body = json.dumps(bundle).encode()
    sending = await world.hospital.sent("final.json", body)
    outcome = await world.hospital.outcome(sending["request_id"])
    (file,) = await eventually(lambda: world.ambulance.files("inbox/new/*.message.json"))

    assert ("acknowledged", body) == (outcome["state"], file.read_bytes())
    assert State.COMPLETED == await state(world.ambulance, receipt["request_id"])


async def test_scenario_90_a_status_that_is_older_than_the_last(world: World) -> None:
    """The newest by the Responder's clock holds; the other is delivered and says so."""
    receipt, notice = await requested(world, transfer("a6t1"))
    asked = move(notice["request_id"], "progress", outcome="arrived")
    _, document = await made(world.hospital, asked)
    await world.hospital.outcome(document["request_id"])
    older = json.loads(json.dumps(document["message"]).replace('"arrived"', '"in-progress"'))
    older["id"] = "00000000-0000-4000-8000-000000000090"
    older["entry"][-1]["resource"]["meta"]["lastUpdated"] = "2020-01-01T00:00:00+00:00"
    status, _ = await come_to_the_ambulance(world, json.dumps(older).encode())
    history = await world.ambulance.history(receipt["request_id"])

    assert history is not None
    assert (200, "arrived") == (status, history.workflow.told_status)
    assert [[], ["out_of_order"]] == [n["remarks"] for n in await arrived(world.ambulance, 2)]


async def test_scenario_92_another_reason_needs_words(world: World) -> None:
    """OTH says nothing by itself."""
    _, notice = await requested(world, transfer("a6t2"))
    status, refused = await made(
        world.hospital, move(notice["request_id"], "decline", outcome="OTH")
    )

    assert (422, ["text"]) == (status, [each["path"] for each in refused["issues"]])


async def test_scenario_107_a_response_never_goes_to_another_case(world: World) -> None:
    """Two requests of one conversation; the Bundle.id decides."""
    conversation = "00000000-0000-4000-8000-000000000107"
    envelope = json.dumps({"correlation_id": conversation}).encode()
    numbers = []
    for name in ("first", "second"):
        world.ambulance.drop(f"{name}.json", validation_request(), envelope)
        receipt = await world.ambulance.document(f"outbox/accepted/{name}.receipt.json")
        await world.ambulance.outcome(receipt["request_id"])
        numbers.append(receipt["request_id"])
    await sent(world.hospital, move(numbers[1], "progress"))

    assert [State.ACTIVE, State.IN_PROGRESS] == [
        await state(world.ambulance, number) for number in numbers
    ]


async def test_a_response_that_names_two_cases_goes_to_neither(world: World) -> None:
    """The Bundle.id of the one, the ServiceRequest.id of the other: a person looks at it."""
    receipts = [
        await world.ambulance.sent(f"{name}.json", validation_request()) for name in ("a", "b")
    ]
    outcomes = [await world.ambulance.outcome(each["request_id"]) for each in receipts]
    answers = await eventually(
        lambda: len(f := world.hospital.files("inbox/new/*.answer.json")) == len(receipts) and f
    )
    bundles = [json.loads(file.read_bytes()) for file in answers]
    body = response(answers[0].read_bytes(), encounter="finished", responds_to=bundles[1]["id"])
    status, _ = await come_to_the_ambulance(world, body)
    overview = await world.ambulance.overview()

    assert ["acknowledged"] * 2 == [each["state"] for each in outcomes]
    assert (404, 1) == (status, overview.alarmed("inbound.quarantined"))
    assert [State.ACTIVE] * 2 == [
        await state(world.ambulance, each["request_id"]) for each in receipts
    ]


@pytest.mark.parametrize("use_case", ["a1t1", "a5t1"])
async def test_scenario_100_the_withdrawn_response_is_told(world: World, use_case: str) -> None:
    """Applications without responses have none; one that says no is never kept from people."""
    receipt, acknowledgement = await acknowledged(world)
    bundle = json.loads(response(acknowledgement, encounter="cancelled"))
    bundle["meta"]["versionId"] = "1.0.0"
    changed = json.dumps(bundle).replace("a4t1", use_case).encode()
    status, _ = await come_to_the_ambulance(world, changed)

    assert (200, State.DECLINED) == (status, await state(world.ambulance, receipt["request_id"]))


async def test_scenario_95_assistance_that_is_given(world: World) -> None:
    """Acceptance has no code: the first status that is no refusal says it."""
    receipt, notice = await requested(world, transfer("a6t2"))
    await sent(world.hospital, move(notice["request_id"], "progress"))

    assert State.IN_PROGRESS == await state(world.ambulance, receipt["request_id"])


async def test_scenario_94_mutual_aid_is_accepted_and_the_case_shared(tmp_path: Path) -> None:
    """The update goes to the service that has begun; the case stays open on both sides."""
    asked = 'questions = "socket"'
    async with (
        world_in(tmp_path, asked=asked) as world,
        answering(world.hospital.socket) as epr,
    ):
        receipt, notice = await requested(world, transfer("a6t3"))
        await sent(world.hospital, move(notice["request_id"], "progress"))
        shared = await sent(world.ambulance, move(receipt["request_id"], "update"))
        states = [
            await state(world.ambulance, receipt["request_id"]),
            await state(world.hospital, shared["request_id"]),
        ]

    assert ["update"] == [each["move"] for each in epr.seen]
    assert [State.IN_PROGRESS, State.IN_PROGRESS] == states


async def test_scenario_104_one_install_asks_and_is_asked_about_one_patient(world: World) -> None:
    """Same patient and journey, other conversations: what is said of the one leaves the other."""
    body = validation_request()
    asked = validation_request(sender=world.hospital.service, receiver=world.ambulance.service)
    ours, theirs = (journey_of(read(each)) or "" for each in (body, asked))
    first, _ = await requested(world, body)
    second = await world.hospital.sent("own.json", asked.replace(theirs.encode(), ours.encode()))
    await world.hospital.outcome(second["request_id"])
    await sent(world.ambulance, move(second["request_id"], "progress"))
    overview = await world.hospital.overview()

    assert {("responder", "active"), ("requester", "in_progress")} == {
        (row.role, row.state) for row in overview.last_workflows
    }
    assert State.ACTIVE == await state(world.ambulance, first["request_id"])
    assert first["correlation_id"] != second["correlation_id"]


async def test_scenario_103_one_organisation_asks_itself(world: World) -> None:
    """Two workflows, one in either role; request and responses go out and come back."""
    own = world.ambulance.service.replace("2000000101", "2000000303")
    world.ambulance.more = (own,)
    await world.ambulance.restart()
    receipt = await world.ambulance.sent("request.json", validation_request(receiver=own))
    await world.ambulance.outcome(receipt["request_id"])
    await sent(world.ambulance, move(receipt["request_id"], "progress"))
    final = move(receipt["request_id"], "conclude", outcome="no_action", resources=[PLAN])
    await sent(world.ambulance, final)
    overview = await world.ambulance.overview()

    assert [("responder", "completed"), ("requester", "completed")] == [
        (row.role, row.state) for row in overview.last_workflows
    ]
