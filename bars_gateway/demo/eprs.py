"""The two EPRs: one works with folders, the other with the socket."""

import asyncio
import hashlib
import json
from pathlib import Path

import aiohttp
import orjson

from bars_gateway.demo.responses import response as response_to
from bars_gateway.demo.timeline import Timeline

WAIT_SECONDS = 30.0
_LOOK_SECONDS = 0.02


class FolderEpr:
    """Drops files into an outbox and looks into an inbox, as most EPRs can."""

    def __init__(self, spool: Path, name: str, timeline: Timeline) -> None:
        self._spool = spool
        self._name = name
        self._timeline = timeline

    def drop(self, name: str, body: bytes) -> None:
        """Write the file beside the outbox and rename it in: it is never seen half."""
        half = self._spool / "outbox" / "tmp" / name
        half.write_bytes(body)
        half.rename(self._spool / "outbox" / "new" / name)
        self._timeline.say(
            self._name, f"drops {name} into outbox/new ({len(body):,} bytes)", "dropped"
        )

    async def receipt(self, stem: str) -> None:
        """Wait for the receipt of what was dropped."""
        document = await self._file("outbox/accepted", f"{stem}.receipt.json")
        self._timeline.say(
            self._name, f"finds its receipt: X-Request-Id {document['request_id']}", "receipt"
        )

    async def outcome(self) -> None:
        """Wait until the outcome is in the inbox, with the Receiver's answer beside it."""
        document = await self._file("inbox/new", "*.outcome.json")
        answer = await self._file("inbox/new", "*.answer.json")
        number = _case_number(answer)
        self._timeline.say(
            self._name,
            f"reads the outcome: {document['state']}; the Receiver calls it {number}",
            "outcome" if document["state"] == "acknowledged" and number else None,
        )

    async def responses(self) -> None:
        """Wait for the interim and the final response."""
        for move, step in (("progress", "interim"), ("conclude", "final")):
            notice = await self._response(move)
            self._timeline.say(
                self._name,
                f"finds the {step} response in inbox/new: {notice['move']},"
                f" in the conversation of its request",
                step,
            )

    async def _response(self, move: str) -> dict[str, object]:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                for file in sorted((self._spool / "inbox/new").glob("*.notice.json")):
                    found: dict[str, object] = json.loads(file.read_bytes())
                    if found["move"] == move:
                        return found
                await asyncio.sleep(_LOOK_SECONDS)

    async def _file(self, folder: str, pattern: str) -> dict[str, object]:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                for file in sorted((self._spool / folder).glob(pattern)):
                    found: dict[str, object] = json.loads(file.read_bytes())
                    return found
                await asyncio.sleep(_LOOK_SECONDS)


def _case_number(answer: dict[str, object]) -> str | None:
    entries = answer.get("entry")
    resources = [entry["resource"] for entry in entries] if isinstance(entries, list) else []
    planned = [r for r in resources if r.get("status") == "planned"]
    return planned[-1]["identifier"][0]["value"] if planned else None


class SocketEpr:
    """Asks its gateway for notices over HTTP on a Unix socket, and answers by the same way."""

    def __init__(self, socket: Path, name: str, timeline: Timeline) -> None:
        self._socket = socket
        self._name = name
        self._timeline = timeline

    async def play(self, expected: bytes) -> None:
        """Take the request, compare it with what was sent, and answer it twice."""
        connector = aiohttp.UnixConnector(str(self._socket))
        async with (
            asyncio.timeout(WAIT_SECONDS),
            aiohttp.ClientSession(
                "http://gateway", connector=connector, trust_env=False
            ) as session,
        ):
            acknowledgement = await self._take(session, expected)
            await self._respond(session, "interim", acknowledgement, encounter="in-progress")
            await self._respond(
                session, "final", acknowledgement, encounter="finished", reason="update"
            )

    async def _take(self, session: aiohttp.ClientSession, expected: bytes) -> bytes:
        """Return the acknowledgement that its gateway gave, with every id that a response needs."""
        notice = await self._next(session)
        number = notice["notice_id"]
        body = await _read(session, f"/notices/{number}/message")
        same = "is" if body == expected else "IS NOT"
        self._timeline.say(
            self._name,
            f"takes the {notice['use_case']} request from its socket: SHA-256"
            f" {hashlib.sha256(body).hexdigest()[:12]}… {same} the one that was dropped",
            "taken" if body == expected else None,
        )
        acknowledgement = await _read(session, f"/notices/{number}/answer")
        async with session.post(f"/notices/{number}/collected") as response:
            response.raise_for_status()
        self._timeline.say(
            self._name, f"has collected it; its case number is {notice['reference']}", "collected"
        )
        return acknowledgement

    async def _respond(
        self,
        session: aiohttp.ClientSession,
        what: str,
        acknowledgement: bytes,
        *,
        encounter: str,
        reason: str = "new",
    ) -> None:
        body = response_to(acknowledgement, encounter=encounter, reason=reason)
        self._timeline.say(self._name, f"hands in the {what} response: {encounter}")
        headers = {"Content-Type": "application/fhir+json"}
        async with session.post("/messages", data=body, headers=headers) as response:
            receipt = orjson.loads(await response.read())
            response.raise_for_status()
        outcome = await self._outcome(session, receipt["request_id"])
        self._timeline.say(
            self._name, f"is told of the {what} response: {outcome}", f"{what} {outcome}"
        )

    async def _outcome(self, session: aiohttp.ClientSession, request_id: str) -> object:
        while True:
            notice = await self._next(session)
            async with session.post(f"/notices/{notice['notice_id']}/collected") as response:
                response.raise_for_status()
            if notice["request_id"] == request_id:
                return notice["state"]

    async def _next(self, session: aiohttp.ClientSession) -> dict[str, object]:
        while True:
            body = await _read(session, "/notices?wait=30")
            notices: list[dict[str, object]] = orjson.loads(body)["notices"]
            if notices:
                return notices[0]


async def _read(session: aiohttp.ClientSession, path: str) -> bytes:
    async with session.get(path) as response:
        response.raise_for_status()
        return await response.read()
