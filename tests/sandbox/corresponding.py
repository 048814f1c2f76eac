"""A Sender before the sandbox's counterparty, and a Receiver that it writes back to."""

import asyncio
import json
import uuid
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from aiohttp import web
from national_side import FHIR
from sandbox.around import SERVICE, Box, Reply, opened, target

from bars_gateway.demo.messages import booking
from bars_gateway.sandbox.counterparty.correspondence import request
from bars_gateway.sandbox.registry import DOS_SERVICE

PATIENCE = 20.0
FAR = 600.0  # seconds before a response: none comes while a test runs
SENDER = f"{DOS_SERVICE}|{SERVICE}"
ORGANISATION = "ZX901"


@asynccontextmanager
async def corresponding(settings, *, pause_seconds=FAR, answer_seconds=PATIENCE):
    """Yield a box with a counterparty; the Receiver there takes all that it writes."""
    changed = replace(
        settings,
        counterparty=True,
        pause_seconds=pause_seconds,
        connect_seconds=PATIENCE,
        answer_seconds=answer_seconds,
    )
    async with opened(changed) as box:
        box.receiver.otherwise = mirroring
        yield box


async def mirroring(call: web.Request) -> web.Response:
    """Answer as a Receiver that takes a response: with its mirror image, and its two ids."""
    ids = {name: call.headers[name] for name in ("X-Request-Id", "X-Correlation-Id")}
    return web.Response(body=await call.read(), headers={"Content-Type": FHIR, **ids})


def asking(use_case: str, service: str, **changes: Any) -> bytes:
    """Return a request of the test's own organisation to one of the counterparty's services."""
    nhs_number = changes.pop("nhs_number", "9990000018")
    made = json.loads(
        request(
            use_case,
            sender=SENDER,
            receiver=f"{DOS_SERVICE}|{service}",
            nhs_number=nhs_number or "9990000018",
            **changes,
        )
    )
    if nhs_number is None:
        resource(made, "Patient").pop("identifier")
    return json.dumps(made).encode()


def booking_of(slot: str, service: str = "2000000901") -> bytes:
    return booking(sender=SENDER, receiver=f"{DOS_SERVICE}|{service}", slot=slot)


async def post(box: Box, body: bytes, **headers: str) -> Reply:
    """Post a message under ids of its own, to the service that it is for."""
    header = json.loads(body)["entry"][0]["resource"]
    value = header["destination"][0]["endpoint"].rpartition("|")[2]
    ids = {"X_Request_Id": str(uuid.uuid4()), "X_Correlation_Id": str(uuid.uuid4())}
    return await box.call(body=body, NHSD_Target_Identifier=target(value), **(ids | headers))


async def read(box: Box, path: str, service: str = "2000000901", **headers: str) -> Reply:
    return await box.call(path, "GET", b"", NHSD_Target_Identifier=target(service), **headers)


async def steer(box: Box, path: str, document: object = None, method: str = "POST") -> Reply:
    return await box.admin(method, f"/counterparty{path}", document)


async def held(box: Box) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await steer(box, "/held", method="GET")).json["held"]
    return found


async def heard(box: Box, count: int) -> list[dict[str, Any]]:
    """Wait until the Receiver heard so many messages; return them."""
    await until(lambda: len(box.receiver.heard) >= count)
    return [json.loads(each.body) for each in box.receiver.heard]


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


def resource(bundle: dict[str, Any], kind: str, number: int = 0) -> dict[str, Any]:
    """Return a resource of that type: the first one, or that *number*."""
    found = [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]
    return found[number]


def focus_id(reply: Reply) -> str:
    """Return the id that the counterparty gave."""
    kind = "Appointment" if b'"Appointment"' in reply.body else "ServiceRequest"
    return resource(reply.json, kind)["id"]
