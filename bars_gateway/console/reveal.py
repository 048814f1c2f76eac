"""
A payload, for somebody who may have it shown, and says why.

    GET  /messages/NUMBER/reveal   what is kept, and a form that asks for the reason
    POST /messages/NUMBER/reveal   the audit trail has it ─► the text, once

The text is in that one answer and nowhere else: not in the session, not in an address, and no
browser keeps it. Loaded again, it is asked for again, and is in the audit trail again. It is broken
into lines to be read; what is kept stays as it came.
"""

import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus

import orjson
from aiohttp import web

from bars_gateway.config.values import is_hidden
from bars_gateway.console.desk import Desk, missing, shown
from bars_gateway.console.visitor import VISITING, UserRole
from bars_gateway.model.interventions import LONGEST_REASON
from bars_gateway.model.messages import Part, Payload

_BETWEEN = re.compile(r">\s*<")
_PIECES = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


class RevealPage:
    """The page that shows a payload."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> Sequence[web.RouteDef]:
        """Return what can be asked for."""
        place = r"/messages/{number:\d{1,18}}/reveal"
        return [web.get(place, self._ask), web.post(place, self._reveal)]

    async def _ask(self, request: web.Request) -> web.Response:
        return await self._form(int(request.match_info["number"]))

    async def _form(self, number: int, problem: str = "") -> web.Response:
        found = await self._desk.store.searches.message(number)
        if found is None or not found.kept:
            return self._nothing(number)
        status = HTTPStatus.BAD_REQUEST if problem else HTTPStatus.OK
        frame = self._desk.frame("/messages")
        parts = [each.part for each in found.kept]
        return shown("reveal.html", frame, status, number=number, parts=parts, problem=problem)

    async def _reveal(self, request: web.Request) -> web.Response:
        number, form = int(request.match_info["number"]), await request.post()
        why, part = str(form.get("why", "")).strip(), str(form.get("part", ""))
        if not (0 < len(why) <= LONGEST_REASON and why.isprintable()):
            problem = f"The reason must be a text of 1 to {LONGEST_REASON} characters on one line."
            return await self._form(number, problem)
        if part not in list(Part):
            return await self._form(number, "Say which part is to be shown.")
        detail = {"who": VISITING.get().who, "role": UserRole.REVEAL.value, "why": why}
        now = self._desk.now()
        payload = await self._desk.store.visits.reveal(number, Part(part), detail, now)
        if payload is None:
            return self._nothing(number)
        frame = self._desk.frame("/messages")
        text = as_came(payload) if "as_came" in form else in_lines(payload)
        return shown("revealed.html", frame, number=number, part=part, why=why, payload=text)

    def _nothing(self, number: int) -> web.Response:
        why = "There is no such message, or its payload is kept no more."
        return missing(self._desk.frame("/messages"), f"payload of message {number}", why)


def as_came(payload: Payload) -> str:
    """Return the bytes as text; what nobody could see in it stands as its number."""
    text = payload.body.decode("utf-8", "replace")
    return "".join(_seen(each) for each in text)


def _seen(character: str) -> str:
    if character in "\n\t" or not is_hidden(character):
        return character
    return f"[U+{ord(character):04X}]"


def in_lines(payload: Payload) -> str:
    """Return the text with a line for each thing, every value as it is written."""
    text = as_came(payload)
    if "json" in payload.media_type.lower():
        try:
            orjson.loads(payload.body)
        except orjson.JSONDecodeError:
            return text
        return "".join(_json(text))
    return "\n".join(_xml(text))


def _json(text: str) -> Iterator[str]:
    depth, before = 0, ""
    for piece in _PIECES.findall(text):
        if piece in "}]":
            depth -= 1
            if before not in {"{", "["}:
                yield "\n" + "  " * depth
        elif before in {"{", "[", ","} and before:
            yield "\n" + "  " * depth
        yield ": " if piece == ":" else piece
        depth += piece in "{["
        before = piece


def _xml(text: str) -> Iterator[str]:
    depth = 0
    for line in _BETWEEN.sub(">\n<", text).split("\n"):
        if line.startswith("</"):
            depth -= 1
        yield "  " * max(0, depth) + line
        opens = re.match(r"<[A-Za-z]", line) and not line.rstrip().endswith("/>")
        if opens and not re.search(r"</[^<]*>\s*$", line):
            depth += 1
