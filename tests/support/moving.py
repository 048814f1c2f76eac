"""Moves on the socket of a gateway, and what comes of them: shared by scenarios."""

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from variants import a_transfer
from world import Node, World, eventually

from bars_gateway.standard.workflow import State

PLAN = {
    "resourceType": "CarePlan",
    "activity": [{"outcomeCodeableConcept": [{"text": "Seen by an invented clinician."}]}],
}

CHANGED = {
    "resourceType": "ServiceRequest",
    "occurrencePeriod": {"start": "2030-03-02T09:00:00+00:00", "end": "2030-03-02T10:00:00+00:00"},
}


@asynccontextmanager
async def socket_of(node: Node) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.UnixConnector(path=str(node.socket))
    async with aiohttp.ClientSession("http://gateway", connector=connector) as session:
        yield session


def move(of: str | int, name: str, **more: object) -> dict[str, Any]:
    return {"submission_id": str(uuid.uuid4()), "in_reply_to": of, "move": name, **more}


async def made(node: Node, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Ask for a move on the socket; return the status and the document."""
    async with socket_of(node) as session, session.post("/moves", json=asked) as answer:
        return answer.status, await answer.json()


async def sent(node: Node, asked: dict[str, Any]) -> dict[str, Any]:
    """Ask for a move, and wait for the outcome of the message that was composed."""
    status, document = await made(node, asked)
    assert 201 == status, document
    outcome = await node.outcome(document["request_id"])
    assert "acknowledged" == outcome["state"]
    return document


async def requested(world: World, body: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Send a request; return its receipt, and the notice that the hospital got."""
    receipt = await world.ambulance.sent("request.json", body)
    await world.ambulance.outcome(receipt["request_id"])
    await eventually(lambda: world.hospital.files("inbox/new/*.message.*"))  # the last of its files
    (file,) = world.hospital.files("inbox/new/*.notice.json")
    return receipt, json.loads(file.read_bytes())


async def state(node: Node, request_id: str) -> State:
    history = await node.history(request_id)
    assert history is not None
    return history.workflow.state


async def arrived(node: Node, count: int) -> list[dict[str, Any]]:
    files = await eventually(lambda: len(f := node.files("inbox/new/*.notice.json")) >= count and f)
    return [json.loads(file.read_bytes()) for file in files]


def transfer(use_case: str) -> bytes:
    bundle = json.dumps(a_transfer()).replace("a6t1", use_case)
    found = json.loads(bundle)
    found["meta"]["versionId"] = "1.0.0"
    return json.dumps(found).encode()
