"""A cancellation is sent once the Receiver has been read from (S8)."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asked_epr import YES, answering
from messages import validation_request
from moving import made, move, requested
from world import World, eventually, world_in

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


async def cancelled(world: World) -> str:
    """Hand in a request, have it acknowledged, and cancel it; return the cancellation's id."""
    receipt, _ = await requested(world, validation_request())
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

    assert ("refused", 0) == (outcome["state"], outcome["attempts"])
    assert "nothing to cancel" in outcome["means"]
    assert [("POST", "$process-message"), ("GET", "ServiceRequest")] == to_the_receiver(world)
    assert ["GET ServiceRequest"] == asked


async def test_what_cannot_be_read_is_said_and_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The EPR is told once and soon; once the Receiver answers, the cancellation leaves."""
    monkeypatch.setattr("bars_gateway.outbound.cancel_reads.AGAIN_AFTER", timedelta(seconds=0.1))
    async with answering(world.hospital.socket, says("active")):
        receipt, _ = await requested(world, validation_request())
        world.sandbox.faults.arm({"kind": "status", "status": 503, "count": 3})
        words = move(receipt["request_id"], "cancel", text="Invented: went by car")
        _, document = await made(world.ambulance, words)
        await eventually(lambda: world.ambulance.files("inbox/new/*.cancel_not_sent.json"))
        outcome = await world.ambulance.outcome(document["request_id"])

    assert "acknowledged" == outcome["state"]
    assert 1 == len(world.ambulance.files("inbox/new/*.cancel_not_sent.json"))
