"""A cancellation is sent once the Receiver has been read from (D-cancel-read)."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asked_epr import YES, answering
from asked_proxy import OTHER_ID, outcome
from bookings import booking
from messages import validation_request
from moving import made, move, requested
from scripted_receiver import Said, answering_reads
from structlog.testing import capture_logs
from world import World, eventually, world_in

pytestmark = [pytest.mark.both_engines, pytest.mark.each_fact_once]

ASKED = 'questions = "socket"'
READS = "target_check_seconds = 0"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path, asked=ASKED, outbound=READS) as running:
        yield running


def says(status: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return an EPR whose ServiceRequest has that status, and that takes every message."""

    def answer(question: dict[str, Any]) -> dict[str, Any]:
        if question["operation"] != "GET ServiceRequest":
            return YES
        return {
            "resourceType": "ServiceRequest",
            "id": question["resource_id"],
            "status": status,
            "intent": "order",
            "subject": {"reference": "Patient/1"},
        }

    return answer


REQUESTS = {"validation": validation_request, "booking": booking}


async def cancelled(world: World, request: bytes | None = None) -> str:
    """Submit a request, have it acknowledged, and cancel it; return the cancellation's id."""
    receipt = await world.ambulance.sent("request.json", request or validation_request())
    await world.ambulance.outcome(receipt["request_id"])
    words = move(receipt["request_id"], "cancel", text="Invented: went by car")
    status, document = await made(world.ambulance, words)
    assert 201 == status
    return str(document["request_id"])


def to_the_receiver(world: World) -> list[tuple[str, str]]:
    return [
        (call["method"], call["path"].split("/")[1])
        for call in world.sandbox.calls._listed(0)
        if call["path"].startswith(("/ServiceRequest", "/$process"))
    ]


async def test_what_is_current_is_read_and_then_cancelled(world: World) -> None:
    """In that order, and the Receiver's EPR is asked both times."""
    async with answering(world.hospital.socket, says("active")):
        request_id = await cancelled(world)
        outcome = await world.ambulance.outcome(request_id)

    assert "acknowledged" == outcome["state"]
    posted = ("POST", "$process-message")
    assert [posted, ("GET", "ServiceRequest"), posted] == to_the_receiver(world)


async def test_scenario_48_what_is_over_is_not_cancelled(world: World) -> None:
    """Nothing is sent, the EPR reads why, and the Receiver is not asked about any change."""
    async with answering(world.hospital.socket, says("completed")) as epr:
        request_id = await cancelled(world)
        outcome = await world.ambulance.outcome(request_id)
    asked = [question["operation"] for question in epr.seen]

    assert ("refused", 0, "completed") == (outcome["state"], outcome["attempts"], outcome["shown"])
    assert "no current record under that number" in outcome["means"]
    assert "It is shown as completed." in outcome["means"]
    assert [("POST", "$process-message"), ("GET", "ServiceRequest")] == to_the_receiver(world)
    assert ["GET ServiceRequest"] == asked


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read again at once, where a person would wait for ten seconds, and look whether to."""
    reads = "bars_gateway.outbound.record_reads"
    monkeypatch.setattr(f"{reads}.READ_AGAIN_AFTER", timedelta(seconds=0.1))
    monkeypatch.setattr(f"{reads}._LOOK_AGAIN", 0.1)


@pytest.mark.usefixtures("soon")
async def test_what_cannot_be_read_is_said_and_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The EPR is told once, when it has waited; once the Receiver answers, it leaves."""
    monkeypatch.setattr("bars_gateway.store.record_reads.WITHIN", timedelta(0))
    async with answering(world.hospital.socket, says("active")):
        receipt, _ = await requested(world, validation_request())
        fault = world.sandbox.faults.arm({"kind": "status", "status": 503, "method": "GET"})
        words = move(receipt["request_id"], "cancel", text="Invented: went by car")
        _, document = await made(world.ambulance, words)
        await eventually(lambda: world.ambulance.files("inbox/new/*.cancel_not_sent.json"))
        world.sandbox.faults.clear(fault.fault_id)
        outcome = await world.ambulance.outcome(document["request_id"])

    assert "acknowledged" == outcome["state"]
    assert 1 == len(world.ambulance.files("inbox/new/*.cancel_not_sent.json"))


OVER = {"ServiceRequest": "revoked", "Appointment": "cancelled"}


def shows(**change: object) -> Callable[[str, str | None], Said]:
    """Return a Receiver that shows the record that is asked for, changed."""

    def answer(kind: str, identifier: str | None) -> Said:
        return Said({"resourceType": kind, "id": identifier, "status": OVER[kind]} | change)

    return answer


def of_another_type(kind: str, identifier: str | None) -> Said:
    other = next(each for each in OVER if each != kind)
    return Said({"resourceType": other, "id": identifier, "status": OVER[other]})


def answering_another(kind: str, identifier: str | None, *names: str) -> Said:
    """Show the very record, but with the ids of another request."""
    return Said(shows()(kind, identifier).document, ids=dict.fromkeys(names, OTHER_ID))


UNSHOWN = {
    "another-record": shows(id=OTHER_ID),
    "another-type": of_another_type,
    "without-our-ids": lambda kind, of: Said(shows()(kind, of).document, echoes=False),
    "anothers-request-id": lambda kind, of: answering_another(kind, of, "X-Request-Id"),
    "anothers-correlation-id": lambda kind, of: answering_another(kind, of, "X-Correlation-Id"),
    "unreadable": lambda _kind, _of: Said(b"<html>"),
    "outcome": lambda _kind, _of: Said(outcome("REC_NOT_FOUND")),
    "404": lambda _kind, _of: Said(outcome("REC_NOT_FOUND"), 404),
    "405": lambda _kind, _of: Said(outcome("REC_METHOD_NOT_ALLOWED"), 405),
    "410": lambda _kind, _of: Said(outcome("REC_NOT_FOUND"), 410),
    "501": lambda _kind, _of: Said(outcome("REC_NOT_IMPLEMENTED"), 501),
}


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("request_of", REQUESTS.values(), ids=REQUESTS.keys())
@pytest.mark.parametrize("unshown", UNSHOWN.values(), ids=UNSHOWN.keys())
async def test_what_shows_nothing_of_the_record_keeps_no_cancellation_back(
    world: World, unshown: Callable[[str, str | None], Said], request_of: Callable[[], bytes]
) -> None:
    """After two such reads the Receiver decides by itself; the log says why it was asked to."""
    with capture_logs() as lines:
        async with (
            answering(world.hospital.socket) as epr,
            answering_reads(world, unshown) as script,
        ):
            request_id = await cancelled(world, request_of())
            outcome = await world.ambulance.outcome(request_id)
        asked = [question["move"] for question in epr.seen]
    told = [line["request_id"] for line in lines if line["event"] == "outbound.cancel_sent_unshown"]
    history = await world.ambulance.history(request_id)

    assert ("acknowledged", "unshown") == (outcome["state"], outcome["shown"])
    assert ("cancel", 2) == (asked[-1], len(script.heard))
    assert [request_id] == told
    assert history
    assert "cancel.sent_unshown" in {event.kind for event in history.events}
    assert "cancelled" == history.workflow.state


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("status", ["active", "revoked"])
async def test_another_patients_record_under_that_number_is_not_touched(
    world: World, status: str
) -> None:
    """The EPR and the page hear at once; nothing is sent, and nobody there is asked."""
    number = {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9434765919"}
    named: dict[str, Any] = {"status": status, "subject": {"identifier": number}}
    async with (
        answering(world.hospital.socket) as epr,
        answering_reads(world, shows(**named)) as script,
    ):
        request_id = await cancelled(world)
        await eventually(lambda: len(script.heard) > 2)
        (file,) = world.ambulance.files("inbox/new/*.cancel_not_sent.json")
        alarms = (await world.ambulance.overview()).alarms
    history = await world.ambulance.history(request_id)

    assert request_id == json.loads(file.read_bytes())["request_id"]
    assert ["cancel.other_patient"] == [alarm.kind for alarm in alarms]
    assert history is not None
    assert ("queued", 0, []) == (history.message.state, history.message.attempts, epr.seen)


@pytest.mark.parametrize("request_of", REQUESTS.values(), ids=REQUESTS.keys())
async def test_the_very_record_that_is_over_is_not_cancelled(
    world: World, request_of: Callable[[], bytes]
) -> None:
    """A Receiver of another make says by its status how it ended; nobody at it is asked."""
    async with answering(world.hospital.socket) as epr, answering_reads(world, shows()):
        request_id = await cancelled(world, request_of())
        outcome = await world.ambulance.outcome(request_id)
    asked = [question["move"] for question in epr.seen]

    assert ("refused", 0) == (outcome["state"], outcome["attempts"])
    assert outcome["shown"] in OVER.values()
    assert "It is shown as cancelled." in outcome["means"]
    assert "cancel" not in asked
