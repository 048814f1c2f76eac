"""Every row of the table of answers, from a Receiver through the sandbox into the audit trail."""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from messages import NHS_NUMBER, referral
from scripted import fine, outcome, receiver
from world import SYSTEM, Node, in_time, world_in

from bars_gateway.standard.headers import TARGET, TargetIdentifier
from bars_gateway.standard.verdict import ROWS, SILENCE

pytestmark = pytest.mark.both_engines

Fault = Mapping[str, object]
Saying = Callable[[bytes], web.Response]


def told(answer: Callable[[], web.Response]) -> Saying:
    """Return what says the same whatever was sent."""
    return lambda _body: answer()


def platform() -> web.Response:
    """Answer as the platform in front of the proxy does for a token that it no longer knows."""
    detail = {"errorcode": "keymanagement.service.access_token_expired"}
    body = json.dumps({"fault": {"faultstring": "Access Token expired", "detail": detail}})
    return web.Response(status=401, text=body, content_type="application/json")


def no_product() -> web.Response:
    """Answer as the platform does for an application that may not use BaRS."""
    detail = {"errorcode": "keymanagement.service.InvalidAPICallAsNoApiProductMatchFound"}
    body = json.dumps({"fault": {"faultstring": "Invalid API call", "detail": detail}})
    return web.Response(status=401, text=body, content_type="application/json")


def denied() -> web.Response:
    """Answer as the platform does in its OperationOutcome: nobody's prefix, and nobody's ids."""
    issue = {"code": "forbidden", "details": {"coding": [{"code": "ACCESS_DENIED"}]}}
    body = json.dumps({"resourceType": "OperationOutcome", "issue": [issue]})
    return web.Response(status=401, text=body, content_type="application/json")


def of_another(body: bytes) -> web.Response:
    """Acknowledge another patient's request instead."""
    return fine(body.replace(NHS_NUMBER.encode(), b"9990000026"))


def of_nobody(body: bytes) -> web.Response:
    """Answer with a Bundle that says nothing of ours."""
    bundle = {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Basic"}}]}
    return fine(json.dumps(bundle).encode())


# What the Receiver says, or what the national side does to the call, for each row.
SAID: Mapping[str, Callable[[], web.Response]] = {
    "acknowledged": fine,
    "ok-with-an-error": outcome(200, "REC_UNPROCESSABLE_ENTITY", "processing"),
    "duplicate-at-first": outcome(409, "REC_CONFLICT", "duplicate"),
    "token-refused-by-platform": platform,
    "application-refused-by-platform": no_product,
    "access-denied": denied,
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
    "intermediary": {"kind": "page", "status": 502},
    "unfit-on-the-way": {"kind": "page", "status": 413},
    "token-refused": {"kind": "status", "status": 401},
    "silence": {"kind": "drop_before"},
    "access-denied": {"kind": "no_ids"},
}
LOST = outcome(408, "REC_TIMEOUT", "timeout")
# The row that the second attempt meets, by what was said to the first.
THEN: Mapping[str, tuple[Saying, Saying]] = {
    "duplicate": (told(LOST), told(SAID["duplicate-at-first"])),
    "refused-in-doubt": (told(LOST), told(SAID["conflict"])),
    "not-implemented-in-doubt": (told(LOST), told(SAID["not-implemented"])),
    "foreign-ack-again": (of_another, of_another),
    "duplicate-after-foreign-ack": (of_another, told(SAID["duplicate-at-first"])),
}
ONCE: Mapping[str, Saying] = {
    "foreign-ack": of_another,
    "acknowledged-by-another-bundle": of_nobody,
}
NOT_ENABLED = "not-enabled"  # of an organisation: the hospital, which sends one as well
OF_A_TOKEN = {"token-refused-by-platform", "token-refused", "access-denied"}
OF_A_REGISTRATION = {"application-refused-by-platform"}
OF_THE_QUOTA = {"quota-as-500"}
# Below 200 no HTTP library hands an answer on; in place of a Receiver's 403 the proxy has its own.
NEVER = {"unknown-status", "access-forbidden"}

SERVED = [*SAID, *(row for row in DONE if row not in SAID), *THEN, *ONCE, NOT_ENABLED]
SERVICES = {row: f"90000002{number:02d}" for number, row in enumerate(SERVED)}


class Said:
    """Answers as each service is to, and to a second message otherwise."""

    def __init__(self) -> None:
        self._once: dict[str, Saying] = {SERVICES[row]: told(each) for row, each in SAID.items()}
        self._once |= {SERVICES[row]: each for row, each in ONCE.items()}
        self._next = {SERVICES[row]: list(each) for row, each in THEN.items()}

    async def answer(self, request: web.BaseRequest) -> web.Response:
        service = TargetIdentifier.decode(request.headers[TARGET]).value
        body = await request.read()
        waiting = self._next.get(service)
        say = waiting.pop(0) if waiting else self._once.get(service, told(fine))
        return say(body)


async def sent(node: Node, row: str) -> str:
    """Submit a referral to the service of that *row*; return its X-Request-Id."""
    body = referral(sender=node.service, receiver=f"{SYSTEM}|{SERVICES[row]}")
    receipt = await node.sent(f"{row}.json", body)
    return str(receipt["request_id"])


async def judged(node: Node, request_id: str, number: int) -> str:
    """Return the row by which the attempt of that *number* was judged, once it was."""

    async def attempts() -> Any:
        found = await node.history(request_id)
        return found and len(found.attempts) >= number and found.attempts

    return str((await in_time(attempts))[number - 1].row)


async def all_judged(senders: Mapping[str, Node], rows: Iterable[str]) -> dict[str, str]:
    """Submit a message for each of *rows*; return the row by which each was judged."""
    ids = {row: await sent(senders[row], row) for row in rows}
    return {row: await judged(senders[row], ids[row], 2 if row in THEN else 1) for row in ids}


async def test_every_row_comes_about(tmp_path: Path) -> None:
    """What `docs/answers.md` says of an answer is what the gateway does with it."""
    async with world_in(tmp_path) as world, receiver(world.hospital, Said().answer) as url:
        services = [f"{SYSTEM}|{value}" for value in SERVICES.values()]
        register = world.sandbox.registry.register
        await register("hospital", services, url, datetime.now(UTC), enabled=False)
        for row, fault in DONE.items():
            world.sandbox.faults.arm({**fault, "target": SERVICES[row]})
        senders = dict.fromkeys(SERVED, world.ambulance) | {NOT_ENABLED: world.hospital}
        seen: dict[str, str] = {}
        # What makes all messages of a Sender wait comes last; a new start knows nothing of it.
        each_alone = [{row} for row in sorted(OF_A_TOKEN | OF_A_REGISTRATION)]
        for rows in (senders.keys() - set().union(*each_alone, OF_THE_QUOTA), *each_alone):
            seen |= await all_judged(senders, rows)
            await world.ambulance.restart()
        seen |= await all_judged(senders, OF_THE_QUOTA)

    assert {row: row for row in senders} == seen
    assert {row.name for row in (*ROWS, SILENCE)} == seen.keys() | NEVER
