"""
Stands on the socket between the EPR and its gateway: passes everything on, and notes what it was.

    EPR ──► relay ──► gateway's own socket        the answer goes back as it came
              └─► EprSightings

It does what cannot be seen otherwise in ten minutes: it gives a notice a second time, as a crash
would, and it cuts off the answer to a submission, which the gateway has taken by then. It holds
back that a notice is collected, so that the EPR may be killed between the two, and then hangs up:
the gateway has not heard of it. It answers for notices that the check has made up. While the
gateway is gone, whoever connects here is hung up on.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from yarl import URL

from bars_gateway import listeners
from bars_gateway.epr.socket import bound
from bars_gateway.epr_check.sightings import EprSightings, SeenNotice

_ONE_HOP = frozenset(
    "connection content-length date host keep-alive server transfer-encoding".split()
)
_LOOK_SECONDS = 0.1
_LONGEST_WAIT = 1.0  # seconds that a question for notices may wait: so a repeat soon comes
_COLLECTED = re.compile(r"/notices/(\d{1,18})/collected")
_PART = re.compile(r"/notices/(\d{1,18})/(message|answer)")
_ANSWERED = re.compile(r"/questions/(\d{1,18})/answer")
_ASKED_ABOUT = re.compile(r"/questions/(\d{1,18})/request")
_BUILT_ANEW = "L11"  # the rule that such a request was submitted before
_ACTS = re.compile(r"/messages/[^/]+/\w+|/moves|/interventions|/alarms/handled")
_MAX_BYTES = 64 * 1024 * 1024
_OK, _CREATED, _NO_CONTENT, _REFUSED = 200, 201, 204, range(400, 500)


class SocketRelay:
    """Serves an EPR at a socket of its own."""

    def __init__(self, gateway: Path, sightings: EprSightings) -> None:
        self._gateway = gateway
        self._sightings = sightings
        self._again: dict[int, Mapping[str, Any]] = {}  # notices to be given once more
        self._made_up: set[int] = set()  # those of them that the gateway does not have
        self.cuts = False  # whether the answer to the next submission is cut off
        self.holds_seconds = 0.0  # how long the next message's collection is held back; 0: not
        self._session: aiohttp.ClientSession

    @asynccontextmanager
    async def serving(self, path: Path) -> AsyncIterator[None]:
        """Serve at *path* in the block."""
        connector = aiohttp.UnixConnector(str(self._gateway), limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            trust_env=False,
            auto_decompress=False,
        ) as self._session:
            application = web.Application(client_max_size=_MAX_BYTES)
            application.router.add_route("*", "/{path:.*}", self._pass_on)
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
            await runner.setup()
            listening = await listeners.serve(runner, bound(path))
            try:
                yield
            finally:
                await listening.close()
                _gone(path)

    async def give_again(self, notice: SeenNotice) -> None:
        """Let a notice be in the next answers until it is collected again."""
        self._again[notice.number] = notice.document

    async def give_made_up(self, notice: SeenNotice) -> None:
        """Let a notice that the gateway does not have be in the next answers, as if it had."""
        self._made_up.add(notice.number)
        await self.give_again(notice)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        collects = _COLLECTED.fullmatch(request.path) if request.method == "POST" else None
        if collects is not None and int(collects[1]) in self._made_up:
            self._again.pop(int(collects[1]), None)
            self._sightings.collected(int(collects[1]))
            return web.Response(status=_NO_CONTENT)
        if collects is not None and self._may_hold(int(collects[1])):
            await self._hold(int(collects[1]), request)
            return _hung_up(request)
        try:
            status, headers, answer = await self._asked(request, body)
        except aiohttp.ClientError:
            return _hung_up(request)
        if (request.method, request.path) == ("GET", "/notices") and status == _OK:
            answer = self._with_repeats(answer)
        if self._note(request, body, status, answer):
            return _hung_up(request)
        return web.Response(status=status, headers=headers, body=answer)

    def _may_hold(self, number: int) -> bool:
        known = self._sightings.notices.get(number)
        return bool(self.holds_seconds and known and known.says(kind="message", move="request"))

    async def _hold(self, number: int, request: web.Request) -> None:
        """Keep it from the gateway until the EPR is gone, or has had its time to be killed."""
        seconds, self.holds_seconds = self.holds_seconds, 0.0
        self._sightings.seen()
        notice = self._sightings.held_back(number)
        for _ in range(round(seconds / _LOOK_SECONDS)):
            if request.transport is None or request.transport.is_closing():
                break
            await asyncio.sleep(_LOOK_SECONDS)
        self._sightings.crashed(notice)

    async def _asked(self, request: web.Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        self._sightings.seen()
        url = URL(f"http://gateway{request.raw_path}", encoded=True)  # as the EPR wrote it
        if request.path == "/notices" and _is_long(request.query.get("wait", "")):
            url = url.update_query(wait="0" if self._again else str(_LONGEST_WAIT))
        async with self._session.request(
            request.method,
            url,
            data=body or None,
            headers=_kept(request.headers),
            skip_auto_headers=("Content-Type", "User-Agent"),
            allow_redirects=False,
        ) as answer:
            return answer.status, _kept(answer.headers), await answer.read()

    def _with_repeats(self, answer: bytes) -> bytes:
        found = orjson.loads(answer)
        both = [*self._again.values(), *found["notices"]]
        found["notices"] = sorted(both, key=lambda each: int(each["notice_id"]))
        for each in found["notices"]:
            self._sightings.offered(each)
        return orjson.dumps(found)

    def _note(self, request: web.Request, body: bytes, status: int, answer: bytes) -> bool:
        """Note what was asked and how it ended; tell whether the answer is to be cut off."""
        seen, path = self._sightings, request.path
        if request.method == "GET":
            if status == _OK:
                self._note_read(path)
            return False
        if (collected := _COLLECTED.fullmatch(path)) and status == _NO_CONTENT:
            self._again.pop(int(collected[1]), None)
            seen.collected(int(collected[1]))
        elif path == "/messages":
            cut, self.cuts = self.cuts, False
            seen.submitted(hashlib.sha256(body).hexdigest(), None if cut else status)
            if status == _CREATED and _BUILT_ANEW in _warned_of(answer):
                seen.built_anew_at.append(seen.seconds)
            return cut
        elif (given := _ANSWERED.fullmatch(path)) and status in _REFUSED:
            seen.refused_answer(given[1], why_in(answer))
        elif _ACTS.fullmatch(path):
            seen.acted(f"{request.method} {path}", body.decode("utf-8", "replace"))
        return False

    def _note_read(self, path: str) -> None:
        if part := _PART.fullmatch(path):
            self._sightings.part_read(int(part[1]), part[2])
        if asked := _ASKED_ABOUT.fullmatch(path):
            self._sightings.requests_read.add(int(asked[1]))


def _warned_of(receipt: bytes) -> set[str]:
    """Return the rules of which *receipt* says that they are not kept."""
    return {str(each.get("rule")) for each in _issues_in(receipt, "warnings")}


def why_in(refusal: bytes) -> str:
    """Return what a refusal of the gateway says is wrong."""
    issues = _issues_in(refusal, "issues")
    return "; ".join(f"{each.get('rule')} {each.get('problem')}" for each in issues) or "no reason"


def _issues_in(document: bytes, member: str) -> list[Mapping[str, Any]]:
    try:
        found = orjson.loads(document)
    except orjson.JSONDecodeError:
        return []
    return list(found.get(member) or []) if isinstance(found, dict) else []


def _hung_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()  # nobody is there to get it


def _gone(path: Path) -> None:
    path.unlink(missing_ok=True)


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that go beyond one connection."""
    return {name: each for name, each in headers.items() if name.lower() not in _ONE_HOP}


def _is_long(wait: str) -> bool:
    try:
        return float(wait) > _LONGEST_WAIT
    except ValueError:
        return False  # the gateway says what is wrong with it
