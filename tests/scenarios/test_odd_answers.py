"""
What a Receiver answered in odd bytes, once it was kept, stops no later move of that case.

Each course had blocked its case on a trial: it could be changed, cancelled or ended no more.
"""

import json
import uuid
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from asked_epr import YES, answering
from messages import validation_request
from moving import CHANGED, PLAN, made, move, requested, transfer
from scripted import Scripted, another_make, fine, outcome, receiver
from store_values import NOW
from world import Node, world_in

from bars_gateway.standard.answers import Minted, acknowledge, acknowledge_change, bundle_about
from bars_gateway.standard.bundle import read
from bars_gateway.standard.formats import Format, to_bytes

pytestmark = [pytest.mark.both_engines, pytest.mark.each_fact_once]

Answering = Callable[[bytes], web.Response]


def new_id() -> str:
    return str(uuid.uuid4())


def acknowledged(body: bytes) -> bytes:
    """Return what a Receiver in good order answers."""
    message = read(body)
    if message.reason != "new":
        return to_bytes(acknowledge_change(message, new_id, NOW), Format.JSON)
    minted = Minted(
        focus_id=new_id(), encounter_id=new_id(), reference="R-1", reference_system="urn:r"
    )
    return to_bytes(acknowledge(message, minted, new_id, NOW), Format.JSON)


def with_ids_that_are_none(body: bytes) -> bytes:
    bundle = json.loads(acknowledged(body))
    for each in bundle["entry"]:
        each["resource"]["id"] = 7
    return json.dumps(bundle).encode()


def odd(status: int, media_type: str, of: Callable[[bytes], bytes]) -> Answering:
    return lambda sent: web.Response(status=status, body=of(sent), content_type=media_type)


def refusal() -> bytes:
    body = outcome(422, "REC_UNPROCESSABLE_ENTITY", "invalid")().body
    assert isinstance(body, bytes)
    return body


FHIR, XML = "application/fhir+json", "application/fhir+xml"
ODD: dict[str, Answering] = {
    "as-json": odd(200, "application/json", acknowledged),
    "as-text": odd(200, "text/plain", acknowledged),
    "cut-short": odd(200, FHIR, lambda sent: acknowledged(sent)[:-40]),
    "given-out-for-xml": odd(200, XML, acknowledged),
    "no-xml-at-all": odd(200, XML, lambda _: b"<Bundle><entry>"),
    "a-page": odd(200, "text/html", lambda _: b"<html>fine</html>"),
    "nothing": odd(200, FHIR, lambda _: b""),
    "a-list": odd(200, FHIR, lambda _: b"[]"),
    "entry-is-no-list": odd(200, FHIR, lambda _: b'{"resourceType": "Bundle", "entry": {}}'),
    "entries-are-none": odd(200, FHIR, lambda _: b'{"resourceType": "Bundle", "entry": [1]}'),
    "ids-are-none": odd(200, FHIR, with_ids_that_are_none),
    "no-utf-8": odd(200, FHIR, lambda _: b'{"resourceType": "\xff"}'),
    "refused": odd(422, "application/json", lambda _: refusal()),
}
READABLE = {"as-json", "as-text", "given-out-for-xml"}
CHANGED_AGAIN = {
    **CHANGED,
    "occurrencePeriod": {"start": "2030-03-02T10:00:00+00:00", "end": "2030-03-02T11:00:00+00:00"},
}
QUICK = "target_check_seconds = 0\nread_before_cancel = false\nserver_errors_limit = 1"


async def moved(node: Node, asked: dict[str, Any]) -> dict[str, Any]:
    """Ask for a move, which has to be taken, and return its outcome."""
    status, document = await made(node, asked)
    assert 201 == status, document.get("issues")
    return await node.outcome(document["request_id"])


async def test_no_odd_answer_stops_a_later_move_of_the_requester(tmp_path: Path) -> None:
    """An update that was answered so is followed by another, and by the cancellation."""
    async with world_in(tmp_path, outbound=QUICK) as world:
        node = world.ambulance
        for name, answer in ODD.items():
            good: Answering = lambda sent: fine(acknowledged(sent))  # noqa: E731
            async with another_make(world, world.hospital.service, good, answer, good, good):
                receipt = await node.sent(f"{name}.json", validation_request())
                of = (await node.outcome(receipt["request_id"]))["request_id"]
                first = await moved(node, move(of, "update", resources=[CHANGED]))
                again = await moved(node, move(of, "update", resources=[CHANGED_AGAIN]))
                ended = await moved(node, move(of, "cancel", text="Not needed."))

            assert first["state"] in {"acknowledged", "refused"}, name
            assert ["acknowledged"] * 2 == [again["state"], ended["state"]], name


async def test_no_odd_answer_to_the_request_itself_ends_in_a_failure(tmp_path: Path) -> None:
    """Its id is known then, and it is cancelled; or it is not, and the EPR is told to look."""
    async with world_in(tmp_path, outbound=QUICK) as world:
        node = world.ambulance
        for name, answer in ODD.items():
            if name == "refused":
                continue
            good: Answering = lambda sent: fine(acknowledged(sent))  # noqa: E731
            async with another_make(world, world.hospital.service, answer, good):
                receipt = await node.sent(f"{name}.json", validation_request())
                taken = await node.outcome(receipt["request_id"])
                status, document = await made(
                    node, move(receipt["request_id"], "cancel", text="Not needed.")
                )
                if status == 201:
                    await node.outcome(document["request_id"])

            assert "acknowledged" == taken["state"], name
            assert (201 if name in READABLE else 422) == status, name


@pytest.mark.parametrize(
    ("use_case", "first", "last"),
    [
        (
            "a4t1",
            {"name": "progress"},
            {"name": "conclude", "outcome": "no_action", "resources": [PLAN]},
        ),
        ("a6t2", {"name": "progress", "outcome": "allocated"}, {"name": "conclude"}),
    ],
)
async def test_no_odd_answer_stops_a_later_move_of_the_responder(
    tmp_path: Path, use_case: str, first: dict[str, Any], last: dict[str, Any]
) -> None:
    """The patient may still be turned down, and the case still ends."""
    async with world_in(tmp_path, asked='questions = "socket"', outbound=QUICK) as world:
        async with answering(world.hospital.socket, YES):
            body = validation_request() if use_case == "a4t1" else transfer(use_case)
            receipt, _ = await requested(world, body)
        of, script = receipt["request_id"], deque[Answering]()
        async with receiver(world.ambulance, Scripted(script).say) as url:
            register = world.sandbox.registry.register
            await register("ambulance", [world.ambulance.service], url, datetime.now(UTC))
            for answer in ODD.values():
                script.append(answer)
                begun = await moved(world.hospital, move(of, **first))
                assert begun["state"] in {"acknowledged", "refused"}
            script.append(lambda sent: fine(acknowledged(sent)))

            assert "acknowledged" == (await moved(world.hospital, move(of, **last)))["state"]


@pytest.mark.parametrize("name", ODD)
def test_only_what_speaks_of_our_message_is_rested_on(name: str) -> None:
    """It is read as what it is, and not as what its header gives it out for; else it is nothing."""
    sent = validation_request()
    response = ODD[name](sent)
    assert isinstance(response.body, bytes)
    found = bundle_about(read(sent), response.body)

    assert (name in {*READABLE, "ids-are-none"}) is bool(found)


def test_what_another_patient_was_answered_is_not_rested_on() -> None:
    """Its ids and its Encounter are somebody else's, wherever the two have a fullUrl in common."""
    body = acknowledged(validation_request()).replace(b"9990000018", b"9990000026")

    assert {} == bundle_about(read(validation_request()), body)
