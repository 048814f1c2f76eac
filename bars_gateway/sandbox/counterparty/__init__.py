"""
The other side of a conversation, for whoever has one gateway and no partner to try it with.

    your gateway ──► proxy ──► Receiver ──► holdings        checks, acknowledges, answers reads
          ▲                       │ sentinel? table? script?
          └───── proxy ◄── correspondence ◄── plan          interim and final responses
          └───── proxy ◄── Requester ◄── admin port         requests, updates, cancellations

It stands behind the sandbox's proxy with services of its own, one for each Application, and
with those of the official test service. All that it holds is in memory, and gone at the end.
It knows the standard, and nothing of the gateway: what both get wrong in one way is in
`standard`, and is what the tests against the published messages are for.

Here its parts are made, its services registered, and its tasks run.

Its part of the admin port is plain HTTP:

    GET    /counterparty                    its services, and the official values
    GET    /counterparty/held               ids and states, and what happened: never a payload
    DELETE /counterparty/held               begin again
    GET, POST, DELETE /counterparty/scripts what it does otherwise
    POST   /counterparty/requests           {"use_case": "a4t1", "to": "2000000202", "xml": true}
    POST   /counterparty/reads              {"to": "2000000202", "read": "Appointment/ID"}
    POST   /counterparty/held/ID/respond    {"encounter": "in-progress"}
    POST   /counterparty/held/ID/update, /cancel    of what it sent
    POST   /counterparty/held/ID/act        it was dealt with, and is no longer current

And what an EPR would hand to its gateway, for whoever has none at hand:

    GET    /counterparty/messages?use_case=a4t1&from=2000000101     a new request to it
    GET    /counterparty/held/ID/update, /cancel                    of what it received
"""

import asyncio
import ssl
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from bars_gateway.frozen import frozen
from bars_gateway.listeners import body_of
from bars_gateway.sandbox.bodies import as_document
from bars_gateway.sandbox.counterparty import correspondence
from bars_gateway.sandbox.counterparty.correspondence import Correspondence, Sender, open_session
from bars_gateway.sandbox.counterparty.message_handler import (
    Direction,
    Held,
    Holdings,
    SandboxMessageHandler,
)
from bars_gateway.sandbox.counterparty.receiver import BASE, Receiver, SandboxReadHandler
from bars_gateway.sandbox.counterparty.replies import NHS_NUMBERS, READ_IDS, STATEFUL, Stateful
from bars_gateway.sandbox.counterparty.services import (
    REJECTIONS,
    SERVICES,
    ScriptedResponse,
    ScriptProblem,
    Scripts,
    own_service,
)
from bars_gateway.sandbox.registry import DOS_SERVICE
from bars_gateway.standard.applications import USE_CASE_NAMES
from bars_gateway.standard.formats import Format
from bars_gateway.standard.timing import application_of
from bars_gateway.standard.workflow import RequestType, State

NAME = "counterparty"
_READ = ("Appointment", "MessageDefinition", "ServiceRequest", "Slot", "metadata")
ENCOUNTERS = ("planned", "in-progress", "arrived", "finished", "cancelled")


@frozen(kw_only=True)
class Surroundings:
    """What the counterparty needs of the national side."""

    proxy_url: Callable[[], str]
    token: Callable[[], str]
    ca_file: Path  # of the proxy
    pause_seconds: float  # before each response
    now: Callable[[], datetime]


class SandboxCounterparty:
    """The Receiver and the Requester behind the sandbox's proxy."""

    def __init__(self, around: Surroundings) -> None:
        self.holdings = Holdings()
        self.scripts = Scripts()
        self.stateful = Stateful()
        self.correspondence: Correspondence
        self.url = ""
        self._around = around

    async def open(self, opened: AsyncExitStack) -> web.Application:
        """Begin to correspond, until *opened* is closed; return what the proxy is to call."""
        around = self._around
        session = await opened.enter_async_context(open_session(around.ca_file))
        first_pause = min(around.pause_seconds, 1.0)
        sender = Sender(session, around.proxy_url, around.token, first_pause_seconds=first_pause)
        self.correspondence = Correspondence(
            self.holdings,
            self.scripts,
            sender,
            pause_seconds=around.pause_seconds,
            now=around.now,
        )
        group: asyncio.TaskGroup = await opened.enter_async_context(asyncio.TaskGroup())
        opened.callback(group.create_task(self.correspondence.run()).cancel)
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", BASE + "{path:.*}", self._receiver().handle)
        return application

    def _receiver(self) -> Receiver:
        around = self._around
        messages = SandboxMessageHandler(
            self.holdings,
            self.scripts,
            self.stateful,
            self.correspondence.begin,
            now=around.now,
            new_id=_new_id,
        )
        reads = SandboxReadHandler(
            self.holdings, url=lambda: self.url, since=around.now(), new_id=_new_id
        )
        return Receiver(messages, reads)

    def forget(self) -> None:
        """Begin again, as the official test service does every night."""
        self.holdings.forget()
        self.stateful.forget()


def identifiers() -> list[str]:
    """Return `system|value` of each service that is to lead to the counterparty."""
    return [service.identifier for service in SERVICES.values()]


def server_context(folder: Path, client_ca_file: Path) -> ssl.SSLContext:
    """Return what the counterparty shows, and asks for: the proxy's certificate, always."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    context.load_verify_locations(client_ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _new_id() -> str:
    return str(uuid.uuid4())


class AdminProblem(ValueError):
    """A request to the admin port is wrong; the text names what, and the cure."""


class CounterpartyAdmin:
    """What tests and an integration engineer steer the counterparty with."""

    def __init__(self, party: SandboxCounterparty) -> None:
        self._party = party

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the routes."""
        held = "/counterparty/held"
        return [
            web.get("/counterparty", self._introduce),
            web.get(held, self._list),
            web.delete(held, self._forget),
            web.post(held + "/{id}/{verb:respond|update|cancel|act}", self._steer),
            web.get("/counterparty/scripts", self._list_scripts),
            web.post("/counterparty/scripts", self._add_script),
            web.delete("/counterparty/scripts", self._remove_script),
            web.delete("/counterparty/scripts/{number:\\d+}", self._remove_script),
            web.post("/counterparty/requests", self._request),
            web.post("/counterparty/reads", self._read),
            web.get("/counterparty/messages", self._message),
            web.get(held + "/{id}/{verb:update|cancel}", self._change),
        ]

    async def _introduce(self, _request: web.Request) -> web.Response:
        services = [
            {
                "value": each.value,
                "title": each.title,
                "applications": each.applications,
                "habit": each.habit,
            }
            for each in SERVICES.values()
        ]
        numbers = {
            number: {"scenarios": each.scenarios, "refused_with": each.refused_with}
            for number, each in NHS_NUMBERS.items()
        }
        return as_document(
            {
                "services": services,
                "nhs_numbers": numbers,
                "stateful_nhs_number": STATEFUL,
                "read_ids": READ_IDS,
            }
        )

    async def _list(self, _request: web.Request) -> web.Response:
        held = self._party.holdings.listed()
        return as_document({"held": [each.document() for each in held if each.happened]})

    async def _forget(self, _request: web.Request) -> web.Response:
        self._party.forget()
        return web.Response(status=204)

    async def _list_scripts(self, _request: web.Request) -> web.Response:
        scripts = self._party.scripts.listed()
        return as_document({"scripts": [script.document() for script in scripts]})

    async def _add_script(self, request: web.Request) -> web.Response:
        try:
            script = self._party.scripts.add(orjson.loads(await body_of(request)))
        except (ScriptProblem, orjson.JSONDecodeError) as problem:
            return as_document({"error": str(problem)}, status=400)
        return as_document({"id": script.script_id}, status=201)

    async def _remove_script(self, request: web.Request) -> web.Response:
        number = request.match_info.get("number")
        found = self._party.scripts.remove(int(number) if number else None)
        return web.Response(status=204 if found or number is None else 404)

    async def _request(self, request: web.Request) -> web.Response:
        try:
            wanted = _wanted(_object(await body_of(request)), "to", xml=bool)
        except AdminProblem as problem:
            return as_document({"error": str(problem)}, status=400)
        use_case, there = str(wanted["use_case"]), _identifier(str(wanted["to"]))
        own = own_service(application_of(use_case)).identifier
        body = correspondence.request(use_case, sender=own, receiver=there, **_more(wanted))
        written_in = Format.XML if wanted.get("xml") else Format.JSON
        sent, held = await self._party.correspondence.request(body, written_in)
        return as_document(sent.document() | {"id": held.focus_id})

    async def _read(self, request: web.Request) -> web.Response:
        try:
            wanted = _read_of(_object(await body_of(request)))
        except AdminProblem as problem:
            return as_document({"error": str(problem)}, status=400)
        there = _identifier(str(wanted["to"]))
        found = await self._party.correspondence.read(str(wanted["read"]), there)
        return as_document(found.document())

    async def _message(self, request: web.Request) -> web.Response:
        try:
            wanted = _wanted(_typed(request.query), "from")
        except AdminProblem as problem:
            return as_document({"error": str(problem)}, status=400)
        use_case, there = str(wanted["use_case"]), _identifier(str(wanted["from"]))
        own = own_service(application_of(use_case)).identifier
        return _fhir(correspondence.request(use_case, sender=there, receiver=own, **_more(wanted)))

    async def _change(self, request: web.Request) -> web.Response:
        held = self._party.holdings.find(request.match_info["id"].lower())
        if held is None or not held.acknowledgement:
            return as_document(
                {"error": "nothing that was received is held under that id"}, status=404
            )
        cancels = request.match_info["verb"] == "cancel"
        make = correspondence.cancellation if cancels else correspondence.update
        return _fhir(make(held.acknowledgement))

    async def _steer(self, request: web.Request) -> web.Response:
        verb = request.match_info["verb"]
        direction = Direction.SENT if verb in {"update", "cancel"} else Direction.RECEIVED
        held = self._party.holdings.find(request.match_info["id"].lower(), direction)
        if held is None or not held.acknowledgement:
            return as_document(
                {"error": f"nothing that was {direction} is held under that id"}, status=404
            )
        try:
            return as_document(await self._steered(held, verb, await body_of(request)))
        except AdminProblem as problem:
            return as_document({"error": str(problem)}, status=400)

    async def _steered(self, held: Held, verb: str, body: bytes) -> Mapping[str, object]:
        if verb == "act":
            held.state = State.COMPLETED
            return held.document()
        if verb == "respond" and held.request_type is RequestType.BOOKING:
            raise AdminProblem("a booking has no response but its acknowledgement")
        if verb == "respond":
            sent = await self._party.correspondence.respond(held, _step(_object(body)))
        else:
            sent = await self._party.correspondence.change(held, cancel=verb == "cancel")
        return sent.document()


def _wanted(wanted: Mapping[str, object], other: str, **more: type) -> Mapping[str, object]:
    """Return what is said of a request to or from *other*, or raise AdminProblem."""
    members = {"use_case": str, other: str, "nhs_number": str, "books": bool, "slot": str, **more}
    _check(wanted, members)
    use_case = wanted.get("use_case")
    if use_case not in USE_CASE_NAMES:
        raise AdminProblem(f"use_case must be one of {', '.join(USE_CASE_NAMES)}")
    if not wanted.get(other):
        raise AdminProblem(f"{other} is missing: the service at the other end")
    application = application_of(str(use_case))
    if wanted.get("books") and application not in correspondence.BOOKED:
        raise AdminProblem(f"Application {application} has no bookings")
    if "slot" in wanted and not (wanted.get("books") or application in correspondence.ONLY_BOOKED):
        raise AdminProblem("slot goes with a booking only")
    return wanted


def _read_of(wanted: Mapping[str, object]) -> Mapping[str, object]:
    """Return what is to be read, and of whom, or raise AdminProblem."""
    _check(wanted, {"to": str, "read": str})
    for name, what in (("to", "the service that is asked"), ("read", "Slot?…, Appointment/ID")):
        if not wanted.get(name):
            raise AdminProblem(f"{name} is missing: {what}")
    if not str(wanted["read"]).startswith(_READ):
        raise AdminProblem(f"read must begin with one of {', '.join(_READ)}")
    return wanted


def _more(wanted: Mapping[str, object]) -> dict[str, Any]:
    return {name: wanted[name] for name in ("nhs_number", "books", "slot") if name in wanted}


def _identifier(service: str) -> str:
    return service if "|" in service else f"{DOS_SERVICE}|{service}"


def _typed(query: Mapping[str, str]) -> Mapping[str, object]:
    """Return a query as the members of an object would be: `books` is true or false."""
    words = {"true": True, "false": False}
    return {n: words.get(text, text) if n == "books" else text for n, text in query.items()}


def _step(wanted: Mapping[str, object]) -> ScriptedResponse:
    _check(wanted, {"encounter": str, "reason": str, "code": str, "text": str})
    encounter, reason = wanted.get("encounter"), wanted.get("reason", "new")
    if encounter not in ENCOUNTERS:
        raise AdminProblem(f"encounter must be one of {', '.join(ENCOUNTERS)}")
    if reason not in {"new", "update"}:
        raise AdminProblem("reason must be new or update")
    step = ScriptedResponse(encounter=str(encounter), reason=str(reason))
    if "code" not in wanted:
        return step
    if wanted["code"] not in REJECTIONS:
        raise AdminProblem(f"code must be one of {', '.join(REJECTIONS)}")
    return replace(step, rejection=(str(wanted["code"]), str(wanted.get("text", "Invented."))))


def _object(body: bytes) -> Mapping[str, object]:
    try:
        found = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as problem:
        raise AdminProblem(str(problem)) from None
    if not isinstance(found, dict):
        raise AdminProblem("the body is not a JSON object")
    return found


def _check(wanted: Mapping[str, object], types: Mapping[str, type]) -> None:
    for name, value in wanted.items():
        if name not in types:
            raise AdminProblem(f"unknown member {name!a}; known are {', '.join(types)}")
        if not isinstance(value, types[name]):
            raise AdminProblem(f"{name} has the wrong type")


def _fhir(body: bytes) -> web.Response:
    return web.Response(body=body + b"\n", content_type="application/fhir+json")
