"""
The counterparty's part of the admin port; plain HTTP.

    GET    /counterparty                    its services, and the official values
    GET    /counterparty/held               ids and states, and what happened: never a payload
    DELETE /counterparty/held               begin anew
    GET, POST, DELETE /counterparty/scripts what it does otherwise
    POST   /counterparty/requests           {"use_case": "a4t1", "to": "2000000202"}
    POST   /counterparty/held/ID/respond    {"encounter": "in-progress"}
    POST   /counterparty/held/ID/update, /cancel    of what it sent
    POST   /counterparty/held/ID/act        it was dealt with, and is no longer current
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import orjson
from aiohttp import web

from bars_gateway.sandbox.counterparty import requests
from bars_gateway.sandbox.counterparty.holdings import Direction, Held
from bars_gateway.sandbox.counterparty.party import Counterparty
from bars_gateway.sandbox.counterparty.plans import Step
from bars_gateway.sandbox.counterparty.scripts import REJECTIONS, ScriptProblem
from bars_gateway.sandbox.counterparty.sentinels import NHS_NUMBERS, READ_IDS, STATEFUL
from bars_gateway.sandbox.counterparty.services import SERVICES, own_service
from bars_gateway.sandbox.registry import DOS_SERVICE
from bars_gateway.standard.timing import application_of
from bars_gateway.standard.use_cases import USE_CASE_NAMES
from bars_gateway.standard.workflow import State

ENCOUNTERS = ("planned", "in-progress", "arrived", "finished", "cancelled")


class AdminProblem(ValueError):
    """A request to the admin port is wrong; the text names what, and the cure."""


class CounterpartyAdmin:
    """What tests and an integration engineer steer the counterparty with."""

    def __init__(self, party: Counterparty) -> None:
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
        return _json(
            {
                "services": services,
                "nhs_numbers": numbers,
                "stateful_nhs_number": STATEFUL,
                "read_ids": READ_IDS,
            }
        )

    async def _list(self, _request: web.Request) -> web.Response:
        held = self._party.holdings.listed()
        return _json({"held": [each.document() for each in held if each.happened]})

    async def _forget(self, _request: web.Request) -> web.Response:
        self._party.forget()
        return web.Response(status=204)

    async def _list_scripts(self, _request: web.Request) -> web.Response:
        scripts = self._party.scripts.listed()
        return _json({"scripts": [script.document() for script in scripts]})

    async def _add_script(self, request: web.Request) -> web.Response:
        try:
            script = self._party.scripts.add(orjson.loads(await request.read()))
        except (ScriptProblem, orjson.JSONDecodeError) as problem:
            return _json({"error": str(problem)}, status=400)
        return _json({"id": script.script_id}, status=201)

    async def _remove_script(self, request: web.Request) -> web.Response:
        number = request.match_info.get("number")
        found = self._party.scripts.remove(int(number) if number else None)
        return web.Response(status=204 if found or number is None else 404)

    async def _request(self, request: web.Request) -> web.Response:
        try:
            body = _described(await request.read())
        except AdminProblem as problem:
            return _json({"error": str(problem)}, status=400)
        sent, held = await self._party.correspondence.request(body)
        return _json(sent.document() | {"id": held.focus_id})

    async def _steer(self, request: web.Request) -> web.Response:
        verb = request.match_info["verb"]
        direction = Direction.SENT if verb in {"update", "cancel"} else Direction.RECEIVED
        held = self._party.holdings.find(request.match_info["id"].lower(), direction)
        if held is None or not held.acknowledgement:
            return _json(
                {"error": f"nothing that was {direction} is held under that id"}, status=404
            )
        try:
            return _json(await self._steered(held, verb, await request.read()))
        except AdminProblem as problem:
            return _json({"error": str(problem)}, status=400)

    async def _steered(self, held: Held, verb: str, body: bytes) -> Mapping[str, object]:
        if verb == "act":
            held.state = State.COMPLETED
            return held.document()
        if verb == "respond":
            sent = await self._party.correspondence.respond(held, _step(_object(body)))
        else:
            sent = await self._party.correspondence.change(held, cancel=verb == "cancel")
        return sent.document()


def _described(body: bytes) -> bytes:
    """Return the message that a JSON object asks for, or raise AdminProblem."""
    wanted = _object(body)
    _check(wanted, {"use_case": str, "to": str, "nhs_number": str, "books": bool})
    use_case, to = wanted.get("use_case"), wanted.get("to")
    if use_case not in USE_CASE_NAMES:
        raise AdminProblem(f"use_case must be one of {', '.join(USE_CASE_NAMES)}")
    if not to:
        raise AdminProblem("to is missing: the service that the message is for")
    application = application_of(str(use_case))
    if wanted.get("books") and application not in requests.BOOKED:
        raise AdminProblem(f"Application {application} knows no bookings")
    more = {name: wanted[name] for name in ("nhs_number", "books") if name in wanted}
    receiver = str(to) if "|" in str(to) else f"{DOS_SERVICE}|{to}"
    sender = own_service(application).identifier
    return requests.request(str(use_case), sender=sender, receiver=receiver, **more)  # type: ignore[arg-type]


def _step(wanted: Mapping[str, object]) -> Step:
    _check(wanted, {"encounter": str, "reason": str, "code": str, "text": str})
    encounter, reason = wanted.get("encounter"), wanted.get("reason", "new")
    if encounter not in ENCOUNTERS:
        raise AdminProblem(f"encounter must be one of {', '.join(ENCOUNTERS)}")
    if reason not in {"new", "update"}:
        raise AdminProblem("reason must be new or update")
    step = Step(encounter=str(encounter), reason=str(reason))
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
        raise AdminProblem("the body is no JSON object")
    return found


def _check(wanted: Mapping[str, object], types: Mapping[str, type]) -> None:
    for name, value in wanted.items():
        if name not in types:
            raise AdminProblem(f"unknown member {name!a}; known are {', '.join(types)}")
        if not isinstance(value, types[name]):
            raise AdminProblem(f"{name} has the wrong type")


def _json(document: object, *, status: int = 200) -> web.Response:
    return web.Response(
        body=orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n",
        status=status,
        content_type="application/json",
    )
