"""The command line's way to a running gateway: HTTP on the provider's Unix socket."""

import asyncio
import io
from collections.abc import Callable, Mapping
from pathlib import Path

import aiohttp
import orjson

from bars_gateway.errors import GatewayUnreachable

_ANSWER_SECONDS = 60.0  # for one receipt
_MEDIA_TYPES = {".json": "application/fhir+json", ".xml": "application/fhir+xml"}


async def send(socket: Path, bundles: Mapping[Path, bytes], say: Callable[[str], None]) -> int:
    """Hand in each file's bytes, *say* its receipt or refusal, and return how many were refused."""
    refused = 0
    connector = aiohttp.UnixConnector(str(socket))
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
        for file, body in bundles.items():
            status, document = await _post(session, file, body, socket)
            refused += status not in {200, 201}
            say(f"{file}: {_sentence(status)}")
            say(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    return refused


async def intervene(
    socket: Path, verb: str, meant: Mapping[str, object], operator: str
) -> tuple[int, dict[str, object]]:
    """Have *verb* done to the messages that are *meant*; return the status and what it led to."""
    connector = aiohttp.UnixConnector(str(socket))
    headers = {"Bars-Operator": operator, "Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
        try:
            async with (
                asyncio.timeout(_ANSWER_SECONDS),
                session.post(
                    f"http://gateway/verbs/{verb}", data=orjson.dumps(meant), headers=headers
                ) as response,
            ):
                return response.status, orjson.loads(await response.read())
        except (OSError, aiohttp.ClientError) as error:
            raise _unreachable(socket, error) from None


async def _post(
    session: aiohttp.ClientSession, file: Path, body: bytes, socket: Path
) -> tuple[int, object]:
    media_type = _MEDIA_TYPES.get(file.suffix.lower(), "application/fhir+json")
    headers = {"Content-Type": media_type}
    try:
        async with (
            asyncio.timeout(_ANSWER_SECONDS),
            session.post(
                "http://gateway/messages", data=io.BytesIO(body), headers=headers
            ) as response,
        ):
            return response.status, orjson.loads(await response.read())
    except (OSError, aiohttp.ClientError) as error:
        raise _unreachable(socket, error) from None


def _unreachable(socket: Path, error: Exception) -> GatewayUnreachable:
    reason = getattr(error, "strerror", None) or "no answer came"
    return GatewayUnreachable(f"no gateway answers on {socket}: {reason}")


def _sentence(status: int) -> str:
    known = {201: "accepted", 200: "accepted before; this is the same receipt"}
    return known.get(status, "not accepted")
