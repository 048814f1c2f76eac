"""What an EPR decides as Receiver, named by the number of the scenario in the guide's list."""

import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from asked_epr import YES, answering
from bookings import booking, change_of
from world import World, headers, post, world_in


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path, asked='questions = "socket"') as running:
        yield running


def issue(outcome: Mapping[str, Any]) -> tuple[str, str]:
    (found, *_) = outcome["issue"]
    return found["details"]["coding"][0]["code"], found["code"]


async def test_scenario_50_a_cancellation_of_an_unknown_id(world: World) -> None:
    """The EPR knows no such booking: 404, and nothing is recorded."""
    says = {"request": YES, "cancel": {"refuse": "not-found"}}
    async with answering(world.hospital.socket, lambda asked: says[asked["move"]]) as epr:
        _, _, booked = await post(world, booking(), headers())
        body = change_of(booked, status="cancelled", id=str(uuid.uuid4()))
        status, _, outcome = await post(world, body, headers())

    assert (404, ("REC_NOT_FOUND", "not-found")) == (status, issue(outcome))
    assert ["request", "cancel"] == [each["move"] for each in epr.seen]
    assert 1 == await world.hospital.rows("messages")
