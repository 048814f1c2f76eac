"""The two EPRs: one works with folders, the other with the socket."""

import asyncio
import hashlib
import json
from pathlib import Path

import aiohttp
import orjson

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
    """Asks its gateway for notices over HTTP on a Unix socket, and waits for them."""

    def __init__(self, socket: Path, name: str, timeline: Timeline) -> None:
        self._socket = socket
        self._name = name
        self._timeline = timeline

    async def take(self, expected: bytes) -> None:
        """Wait for the message, compare it with what was sent, and collect it."""
        connector = aiohttp.UnixConnector(str(self._socket))
        async with (
            asyncio.timeout(WAIT_SECONDS),
            aiohttp.ClientSession(
                "http://gateway", connector=connector, trust_env=False
            ) as session,
        ):
            notice = await self._next(session)
            number = notice["notice_id"]
            async with session.get(f"/notices/{number}/message") as response:
                body = await response.read()
            digest = hashlib.sha256(body).hexdigest()
            self._timeline.say(
                self._name,
                f"takes the {notice['use_case']} referral from its socket: SHA-256 {digest[:12]}…"
                f" {'is' if body == expected else 'IS NOT'} the one that was dropped",
                "taken" if body == expected else None,
            )
            async with session.post(f"/notices/{number}/collected") as response:
                response.raise_for_status()
            self._timeline.say(
                self._name,
                f"has collected it; its case number is {notice['reference']}",
                "collected",
            )

    async def _next(self, session: aiohttp.ClientSession) -> dict[str, object]:
        while True:
            async with session.get("/notices", params={"wait": "30"}) as response:
                notices: list[dict[str, object]] = orjson.loads(await response.read())["notices"]
            if notices:
                return notices[0]
