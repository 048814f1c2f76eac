"""What a Sender meets on its way, scenario by scenario, between real gateways."""

import json
import re
import ssl
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from certs import Chain, key_pem, pem
from messages import RECEIVER, SENDER, referral, validation_request
from moving import socket_of
from world import World, headers, in_time

OTHER = SENDER.replace("2000000101", "2000000303")
FAILED = re.compile(r"bars_tls_handshake_failures_total\{.+\} 1\.0")
CONVERSATION = json.dumps({"correlation_id": "00000000-0000-4000-8000-000000000119"}).encode()


async def test_scenario_113_not_enabled_at_the_platform(world: World) -> None:
    """It is our trouble and not the message's: it waits, the page says so, and then it goes."""
    own, services = world.ambulance.registered, list(world.ambulance.registered.services)
    register = world.sandbox.registry.register
    await register(own.name, services, own.url, enabled=False, now=datetime.now(UTC))
    receipt = await world.ambulance.sent("waits.json", referral())
    number = receipt["request_id"]

    async def was_tried() -> bool:
        history = await world.ambulance.history(number)
        return history is not None and bool(history.attempts)

    await in_time(was_tried)
    history = await world.ambulance.history(number)
    await register(own.name, services, own.url, now=datetime.now(UTC))
    async with socket_of(world.ambulance) as session:
        await session.post(f"/messages/{number}/retry", json={"why": "it is enabled now"})
    outcome = await world.ambulance.outcome(number)

    assert history is not None
    assert ("queued", 403, "SEND_FORBIDDEN") == (
        history.message.state,
        history.attempts[0].http_status,
        history.attempts[0].code,
    )
    assert "acknowledged" == outcome["state"]


async def test_scenario_116_a_client_certificate_that_is_not_trusted(
    world: World, tmp_path: Path
) -> None:
    """The connection ends in the handshake, and the operator sees why."""
    stranger = Chain.of()
    (tmp_path / "own.pem").write_bytes(pem(stranger.leaf("bars-proxy.sandbox.local")))
    (tmp_path / "own.key").write_bytes(key_pem())
    context = ssl.create_default_context(cafile=str(world.sandbox.client_ca_file))
    context.load_cert_chain(tmp_path / "own.pem", tmp_path / "own.key")
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.post(
                f"{world.hospital.url}/$process-message", data=referral(), headers=headers()
            )

    async def is_seen() -> bool:
        page = f"http://127.0.0.1:{world.hospital.gateway.status.port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(page) as answer:
            lines = (await answer.text()).splitlines()
        return any(FAILED.fullmatch(line) for line in lines)

    await in_time(is_seen)
    assert 0 == await world.hospital.rows("messages")


async def test_scenario_119_the_head_of_a_queue_is_stuck(world: World) -> None:
    """What is for another Receiver flows by; within the conversation the order is kept."""
    world.ambulance.more = (OTHER,)
    await world.ambulance.restart()
    world.sandbox.faults.arm(
        {"kind": "status", "status": 503, "target": RECEIVER.partition("|")[2], "method": "POST"}
    )
    numbers = []
    for name in ("head", "next"):
        world.ambulance.drop(f"{name}.json", validation_request(), CONVERSATION)
        receipt = await world.ambulance.document(f"outbox/accepted/{name}.receipt.json")
        numbers.append(receipt["request_id"])
    other = await world.ambulance.sent("other.json", validation_request(receiver=OTHER))
    flowed = await world.ambulance.outcome(other["request_id"])
    waiting = [await world.ambulance.history(number) for number in numbers]
    world.sandbox.faults.clear()
    for number in numbers:
        await world.ambulance.outcome(number)
    arrived = [call["request_id"] for call in world.forwarded() if call["method"] == "POST"]

    assert "acknowledged" == flowed["state"]
    assert None not in waiting
    assert {"queued", "sending"} >= {each.message.state for each in waiting if each is not None}
    assert numbers == [number for number in arrived if number in numbers]
