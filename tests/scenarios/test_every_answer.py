"""Every row of the table of answers, from a Receiver through the sandbox into the audit trail."""

import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from aiohttp import web
from messages import referral
from world import SYSTEM, Node, in_time, world_in

from bars_gateway.standard.headers import TARGET, TargetIdentifier
from bars_gateway.standard.verdict import ROWS, SILENCE

JSON = "application/fhir+json"
Fault = Mapping[str, object]


def outcome(status: int, code: str, issue: str, **headers: str) -> Callable[[], web.Response]:
    """Make answers of a Receiver that says *code* and *issue*."""
    coding = {"system": "https://fhir.nhs.uk/CodeSystem/http-error-codes", "code": code}
    said = {"severity": "error", "code": issue, "details": {"coding": [coding]}}
    body = json.dumps({"resourceType": "OperationOutcome", "issue": [said]}).encode()
    return partial(web.Response, status=status, body=body, content_type=JSON, headers=headers)


def platform() -> web.Response:
    """Answer as the platform in front of the proxy does for a token that it no longer knows."""
    detail = {"errorcode": "keymanagement.service.access_token_expired"}
    body = json.dumps({"fault": {"faultstring": "Access Token expired", "detail": detail}})
    return web.Response(status=401, text=body, content_type="application/json")


def fine() -> web.Response:
    return web.Response(body=b'{"resourceType": "Bundle"}', content_type=JSON)


# What the Receiver says, or what the national side does to the call, for each row.
SAID: Mapping[str, Callable[[], web.Response]] = {
    "acknowledged": fine,
    "duplicate": outcome(409, "REC_CONFLICT", "duplicate"),
    "token-refused-by-platform": platform,
    "conflict": outcome(409, "REC_CONFLICT", "conflict"),
    "too-early": outcome(425, "REC_TOO_EARLY", "duplicate"),
    "timeout": outcome(504, "REC_TIMEOUT", "timeout"),
    "too-many-requests": outcome(429, "REC_TOO_MANY_REQUESTS", "throttled"),
    "unavailable": outcome(503, "REC_SERVICE_UNAVAILABLE", "transient"),
    "quota-as-500": outcome(500, "PROXY_TOO_MANY_REQUESTS", "throttled"),
    "server-error": outcome(500, "REC_SERVER_ERROR", "exception"),
    "not-implemented": outcome(501, "REC_NOT_IMPLEMENTED", "not-supported"),
    "other-5xx": outcome(505, "REC_SERVER_ERROR", "exception"),
    "receiver-unauthorized": outcome(401, "REC_UNAUTHORIZED", "forbidden"),
    "refused": outcome(422, "REC_UNPROCESSABLE_ENTITY", "processing"),
    "redirect": outcome(307, "REC_MOVED", "processing", Location="https://127.0.0.1:1/elsewhere"),
}
DONE: Mapping[str, Fault] = {
    "ok-without-our-ids": {"kind": "no_ids"},
    "intermediary": {"kind": "status", "status": 502},
    "token-refused": {"kind": "status", "status": 401},
    "silence": {"kind": "drop_before"},
}
NOT_ENABLED = "not-enabled"  # of an organisation: the hospital, which sends one as well
OF_A_TOKEN = {"token-refused-by-platform", "token-refused"}
OF_THE_QUOTA = {"quota-as-500"}
NEVER = {"unknown-status"}  # below 200: no HTTP library hands that on as an answer

SERVICES = {row: f"90000002{number:02d}" for number, row in enumerate([*SAID, *DONE, NOT_ENABLED])}


@asynccontextmanager
async def receiver(node: Node) -> AsyncIterator[str]:
    """Answer over mutual TLS as each service is to; yield the address."""
    by_service = {SERVICES[row]: answer for row, answer in SAID.items()}

    async def answer(request: web.BaseRequest) -> web.Response:
        target = TargetIdentifier.decode(request.headers[TARGET])
        response = by_service.get(target.value, fine)()
        for name in ("X-Request-Id", "X-Correlation-Id"):
            response.headers[name] = request.headers[name]
        return response

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    folder = node.registered.folder
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def sent(node: Node, row: str) -> str:
    """Hand in a referral to the service of that *row*; return its X-Request-Id."""
    body = referral(sender=node.service, receiver=f"{SYSTEM}|{SERVICES[row]}")
    receipt = await node.sent(f"{row}.json", body)
    return str(receipt["request_id"])


async def first_row(node: Node, request_id: str) -> str:
    """Return the row by which the first attempt was judged, once it was."""

    async def attempts() -> object:
        found = await node.history(request_id)
        return found and found.attempts

    (first, *_) = await in_time(attempts)
    return str(first.row)


async def test_every_row_comes_about(tmp_path: Path) -> None:
    """What `docs/answers.md` says of an answer is what the gateway does with it."""
    async with world_in(tmp_path) as world, receiver(world.hospital) as url:
        services = [f"{SYSTEM}|{value}" for value in SERVICES.values()]
        register = world.sandbox.registry.register
        await register("hospital", services, url, datetime.now(UTC), enabled=False)
        for row, fault in DONE.items():
            world.sandbox.faults.arm({**fault, "target": SERVICES[row]})
        senders = dict.fromkeys([*SAID, *DONE], world.ambulance) | {NOT_ENABLED: world.hospital}
        seen: dict[str, str] = {}
        # What makes all messages of a Sender wait comes last.
        for rows in (senders.keys() - OF_A_TOKEN - OF_THE_QUOTA, OF_A_TOKEN, OF_THE_QUOTA):
            ids = {row: await sent(senders[row], row) for row in rows}
            seen |= {row: await first_row(senders[row], ids[row]) for row in rows}

    assert {row: row for row in senders} == seen
    assert {row.name for row in (*ROWS, SILENCE)} == seen.keys() | NEVER
