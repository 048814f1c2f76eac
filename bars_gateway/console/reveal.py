"""
A payload, for somebody who may have it shown, and says why.

    GET  /messages/NUMBER/reveal     what is kept, and a form that asks for the reason
    POST /messages/NUMBER/reveal     the audit trail has it ─► the text, once
    …    /quarantine/NUMBER/reveal   the same, of what lies in quarantine

Where it is an OperationOutcome, what it says stands first, in the words of whoever wrote it: those
may name a patient, and so they are shown here alone. The text is in that one answer and nowhere
else: not in the session, not in an address, and no browser keeps it. Loaded again, it is asked for
again, and is in the audit trail again. It is broken into lines to be read; what is kept stays as it
came.
"""

import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus

import orjson
from aiohttp import web

from bars_gateway.config.values import is_hidden
from bars_gateway.console.desk import Desk, missing, shown
from bars_gateway.console.visitor import VISITING, UserRole
from bars_gateway.frozen import frozen
from bars_gateway.model.interventions import LONGEST_REASON
from bars_gateway.model.messages import Part, Payload
from bars_gateway.standard.answers import own_words
from bars_gateway.standard.nhs_numbers import NUMBER_IN_TEXT, holds_nhs_number

_OF_ONE = r"/{number:\d{1,18}}/reveal"
_BETWEEN = re.compile(r">\s*<")
_PIECES = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


class RevealPage:
    """The page that shows a payload."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> Sequence[web.RouteDef]:
        """Return what can be asked for."""
        places = [f"{register}{_OF_ONE}" for register in ("/messages", "/quarantine")]
        return [
            *(web.get(place, self._ask) for place in places),
            *(web.post(place, self._reveal) for place in places),
        ]

    async def _ask(self, request: web.Request) -> web.Response:
        return await self._form(_Kept.of(request), chosen=request.query.get("part", ""))

    async def _form(self, kept: "_Kept", problem: str = "", chosen: str = "") -> web.Response:
        parts = await self._parts(kept)
        if not parts:
            return self._nothing(kept)
        status = HTTPStatus.BAD_REQUEST if problem else HTTPStatus.OK
        frame = self._desk.frame(kept.place)
        named = {"parts": parts, "chosen": chosen, "problem": problem}
        return shown("reveal.html", frame, status, kept=kept, **named)

    async def _parts(self, kept: "_Kept") -> Sequence[str]:
        if kept.in_quarantine:
            waiting = await self._desk.store.quarantine.holds(kept.number)
            return [Part.REQUEST] if waiting else []
        found = await self._desk.store.searches.message(kept.number)
        return [each.part for each in found.kept] if found else []

    async def _reveal(self, request: web.Request) -> web.Response:
        kept, form = _Kept.of(request), await request.post()
        why, part = str(form.get("why", "")).strip(), str(form.get("part", ""))
        if not (0 < len(why) <= LONGEST_REASON and why.isprintable()):
            problem = f"The reason must be a text of 1 to {LONGEST_REASON} characters on one line."
            return await self._form(kept, problem, part)
        if holds_nhs_number(why):
            return await self._form(kept, f"The reason {NUMBER_IN_TEXT}.", part)
        if part not in list(Part):
            return await self._form(kept, "Say which part is to be shown.")
        payload = await self._revealed(kept, Part(part), why)
        if payload is None:
            return self._nothing(kept)
        return shown(
            "revealed.html",
            self._desk.frame(kept.place),
            kept=kept,
            part=part,
            why=why,
            words=own_words(payload.body),
            seen=seen,
            payload=as_came(payload) if "as_came" in form else in_lines(payload),
        )

    async def _revealed(self, kept: "_Kept", part: Part, why: str) -> Payload | None:
        """Return those bytes, once the audit trail has who sees them."""
        visits, now = self._desk.store.visits, self._desk.now()
        detail = {"who": VISITING.get().who, "role": UserRole.REVEAL.value, "why": why}
        if kept.in_quarantine:
            return await visits.reveal_quarantined(kept.number, detail, now)
        return await visits.reveal(kept.number, part, detail, now)

    def _nothing(self, kept: "_Kept") -> web.Response:
        why = "There is no such thing, or its payload is kept no more."
        return missing(self._desk.frame(kept.place), f"payload of {kept.name}", why)


@frozen(kw_only=True)
class _Kept:
    """What has a payload: a message, or what lies in quarantine."""

    register: str
    number: int

    @classmethod
    def of(cls, request: web.Request) -> "_Kept":
        """Return what a request is about."""
        register = request.path.split("/")[1]
        return cls(register=register, number=int(request.match_info["number"]))

    @property
    def in_quarantine(self) -> bool:
        """Whether it lies in quarantine."""
        return self.register == "quarantine"

    @property
    def place(self) -> str:
        """Where it is listed."""
        return f"/{self.register}"

    @property
    def name(self) -> str:
        """What people call it."""
        return f"quarantine {self.number}" if self.in_quarantine else f"message {self.number}"

    @property
    def page(self) -> str:
        """Where it is told of."""
        return f"{self.place}#q{self.number}" if self.in_quarantine else f"/messages/{self.number}"


def as_came(payload: Payload) -> str:
    """Return the bytes as text; what nobody could see in it stands as its number."""
    return seen(payload.body.decode("utf-8", "replace"))


def seen(text: str) -> str:
    """Return *text* with a number for whatever nobody could see in it."""
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
        elif before in {"{", "[", ","}:
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
