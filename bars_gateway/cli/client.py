"""The command line's way to a running gateway: HTTP on the provider's Unix socket."""

import asyncio
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from bars_gateway import permissions
from bars_gateway.errors import GatewayUnreachable

_ANSWER_SECONDS = 60.0  # for one receipt
_MEDIA_TYPES = {".json": "application/fhir+json", ".xml": "application/fhir+xml"}


async def send(
    socket: Path, bundles: Mapping[Path, bytes], say: Callable[[str], None] | None
) -> Sequence[Mapping[str, Any]]:
    """Submit each file's bytes, *say* its receipt or refusal, and return them all."""
    answers = []
    connector = aiohttp.UnixConnector(str(socket))
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
        for file, body in bundles.items():
            media_type = _MEDIA_TYPES.get(file.suffix.lower(), "application/fhir+json")
            status, document = await _post(session, "/messages", body, media_type, socket)
            accepted = status in {200, 201}
            answers.append({"file": str(file), "accepted": accepted, "answer": document})
            if say is not None:
                say(f"{file}: {_sentence(status)}")
                say(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    return answers


async def order(
    socket: Path, path: str, wanted: Mapping[str, object]
) -> tuple[int, Mapping[str, Any]]:
    """Ask for something to be done with messages; return status and document of the answer."""
    connector = aiohttp.UnixConnector(str(socket))
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
        return await _post(session, path, orjson.dumps(wanted), "application/json", socket)


async def _post(
    session: aiohttp.ClientSession, path: str, body: bytes, media_type: str, socket: Path
) -> tuple[int, Any]:
    headers = {"Content-Type": media_type}
    try:
        async with (
            asyncio.timeout(_ANSWER_SECONDS),
            session.post(
                f"http://gateway{path}", data=io.BytesIO(body), headers=headers
            ) as response,
        ):
            return response.status, orjson.loads(await response.read())
    except (OSError, aiohttp.ClientError) as error:
        permissions.require(socket, write=True)
        reason = getattr(error, "strerror", None) or "no answer came"
        raise GatewayUnreachable(f"no gateway answers on {socket}: {reason}") from None


def _sentence(status: int) -> str:
    known = {201: "accepted", 200: "accepted before; this is the same receipt"}
    return known.get(status, "not accepted")
