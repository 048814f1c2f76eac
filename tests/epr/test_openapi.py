"""What the socket says of itself, held against a socket that runs."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema_rs
import messages
import pytest
import schemathesis
from drawing import alike
from epr_side import PROVIDER, utc_now
from hypothesis import given
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from store_values import ANSWER, NOW, TERMS, arrival, attempt, claim_next, decision, payload

from bars_gateway.epr import contract, openapi
from bars_gateway.epr.openapi import OPERATIONS
from bars_gateway.epr.socket import EprSocket
from bars_gateway.model.messages import OutboundState, Settled
from bars_gateway.store.store import Store


def fails_nowhere(
    context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> bool | None:
    """501 is no failure: a preview operation is switched off."""
    return response.status_code == 501 or not_a_server_error(context, response, case)


CHECKS = [
    fails_nowhere,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
FHIR = {"Content-Type": "application/fhir+json"}


def routes(door: EprSocket) -> set[tuple[str, str]]:
    """Return what is served: HEAD comes with every GET."""
    resources = door._application().router.routes()
    found = {
        (route.method.lower(), route.resource.canonical) for route in resources if route.resource
    }
    return {one for one in found if one[0] != "head"}


async def test_every_route_is_described(door: EprSocket) -> None:
    """And nothing is described that is not served."""
    assert routes(door) == set(OPERATIONS)


async def test_the_socket_serves_its_description(epr: aiohttp.ClientSession) -> None:
    """A program finds it where it finds everything else."""
    async with epr.get("/openapi.json") as answer:
        assert contract.described() == await answer.json()


# What generators of clients put behind the name of an operation, for a function beside its own.
BESIDE = "Async AsyncWithHttpInfo Call Execute Raw Request RequestOpts WithHttpInfo".split()


def test_no_function_of_a_client_has_the_name_of_another() -> None:
    """PHP loads no class in which two are called alike."""
    names = {operation["operationId"].replace("_", "").lower() for operation in OPERATIONS.values()}

    assert len(OPERATIONS) == len(names)
    assert set() == names & {f"{name}{each.lower()}" for name in names for each in BESIDE}


@pytest.mark.parametrize(
    "operation", openapi.READ_OPERATIONS.values(), ids=lambda o: o["operationId"]
)
def test_what_others_answer_may_be_anything(operation: openapi.Schema) -> None:
    """It comes as it came, with any status: whoever has a client made from this reads it all."""
    for answer in operation["responses"].values():
        assert {} == answer["content"]["*/*"]["schema"]
        assert (
            {}
            in answer["content"].get("application/json", {"schema": {"anyOf": [{}]}})["schema"][
                "anyOf"
            ]
        )
        assert {"Bars-Answered-By", "Bars-Answer-Proved"} == set(answer["headers"])


async def test_what_is_kept_and_removed_is_as_described(
    store: Store, epr: aiohttp.ClientSession
) -> None:
    """An order that is drawn hardly ever names something to hold, or begins a purge."""
    await lived(store, epr)
    order = {"why": "INC-7", "workflow_id": 1}
    wrong = []
    for method, path, asked, name in [
        ("POST", "/records/hold", order, "RecordHolds"),
        ("POST", "/records/release", order, "RecordHolds"),
        ("POST", "/purges", {"why": "INC-7"}, "PurgeBegun"),
        ("GET", "/purges/1", None, "PurgeCertificate"),
    ]:
        shape = {**openapi.document(), "$ref": f"#/components/schemas/{name}"}
        async with epr.request(method, path, json=asked) as answer:
            told = await answer.json()
        wrong += [] if answer.status in {200, 202} else [f"{path}: {answer.status}"]
        wrong += [f"{path}: {e}" for e in jsonschema_rs.validator_for(shape).iter_errors(told)]

    assert [] == wrong


@asynccontextmanager
async def reached(path: Path) -> AsyncIterator[str]:
    """Let the socket be asked at an address of 127.0.0.1, which is all that some clients know."""

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ours, theirs = await asyncio.open_unix_connection(path)
        await asyncio.gather(pour(reader, theirs), pour(ours, writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def lived(store: Store, epr: aiohttp.ClientSession) -> str:
    """Let something of every kind have happened; return a message's X-Request-Id."""
    body = payload(messages.referral())
    async with epr.post("/messages", data=messages.referral(), headers=FHIR) as answer:
        request_id = (await answer.json())["request_id"]
    claim = await claim_next(store, utc_now(), [PROVIDER])
    assert claim is not None
    settled = Settled(state=OutboundState.ACKNOWLEDGED, focus_id="x")
    await store.outbound.settle(
        claim, replace(ANSWER, body=body.body), attempt=attempt(claim), settlement=settled
    )
    await store.inbound.receive(arrival(provider=PROVIDER, request=body, answer=body), NOW)
    store.questions.attend(PROVIDER, NOW)
    for word in "one", "another":
        came = arrival(provider=PROVIDER, fingerprint=word, request=body)
        await store.questions.ask_about(came, None, TERMS, NOW)
    await store.questions.decide(PROVIDER, 1, decision(), NOW)
    async with epr.post("/messages", data=messages.referral(), headers=FHIR) as answer:
        assert 201 == answer.status
    return str(request_id)


def ask_everything(document: dict[str, Any], address: str) -> None:
    """Ask what the description allows for, and things beside it; hold each answer against it."""
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = found.ok()

        @alike(30)
        @given(case=operation.as_strategy())
        def holds(case: schemathesis.Case) -> None:
            answer = case.call(base_url=address, timeout=10)
            case.validate_response(answer, checks=CHECKS)

        holds()


_LIMITS = {"wait": 0.05, "id": 3}  # nobody waits for long, and most of what is asked for is there


@pytest.mark.long
async def test_every_answer_is_as_described(
    store: Store, epr: aiohttp.ClientSession, socket_path: Path
) -> None:
    """Whatever is asked: a status that is named, of the type and shape that go with it."""
    document = json.loads(json.dumps(openapi.document()))
    known = await lived(store, epr)
    (parameter,) = document["paths"]["/messages/{request_id}"]["get"]["parameters"]
    parameter["schema"] = {"enum": [known, "00000000-0000-4000-8000-000000000000", "nothing"]}
    for path in document["paths"].values():
        for operation in path.values():
            for one in operation.get("parameters", []):
                if one["name"] in _LIMITS:
                    one["schema"]["maximum"] = _LIMITS[one["name"]]
    async with reached(socket_path) as address:
        await asyncio.to_thread(ask_everything, document, address)
