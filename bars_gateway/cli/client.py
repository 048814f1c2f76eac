"""
The command line's way to a running gateway: who asks and why, by which door, what was not done.

    --why --by --dry-run ─► signed ─► the provider's Unix socket ─► asked: status and answer
                                                                      └─► NAME: not done: why; cure

They go through the running gateway, because it alone changes the database. The audit trail keeps
the reason, and the name of whoever typed it.
"""

import asyncio
import getpass
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from bars_gateway import permissions
from bars_gateway.config import Settings, load
from bars_gateway.errors import GatewayUnreachable

if TYPE_CHECKING:
    import aiohttp  # when it is needed: it takes longer to read than a command to answer

Why = Annotated[str, typer.Option(metavar="TEXT", help="The reason: a ticket, never a patient.")]
By = Annotated[str | None, typer.Option(metavar="NAME", help="Who asks; you, by default.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen; do nothing.")]


Ask = Callable[[str, Mapping[str, object]], tuple[HTTPStatus, Mapping[str, Any]]]
# What was typed, by the member of the order that it went into.
TYPED_AS = {
    "why": "--why",
    "by": "--by",
    "messages.states": "--state",
    "messages.receiver": "--receiver",
    "messages.use_case": "--use-case",
    "messages.correlation_id": "--correlation-id",
    "messages.taken_from": "--taken-from",
    "messages.taken_before": "--taken-before",
    "alarms": "ALARM",
    "request_ids": "ALARM",
    "kinds": "--kind",
    "up_to": "--up-to",
    "workflow_id": "WORKFLOW",
    "state": "STATE",
}
_SETS_ASIDE = {"past_its_time": "--after-its-time", "not_confirmed": "--yes"}  # by objection
_ANSWER_SECONDS = 60.0  # for one receipt
_MEDIA_TYPES = {".json": "application/fhir+json", ".xml": "application/fhir+xml"}


def signed(why: str, by: str | None, *, dry_run: bool, **wanted: object) -> Mapping[str, object]:
    """Return what is *wanted* as an order: with its reason and its author."""
    author = {"why": why, "by": by or _whoever_types(), "role": "operator", "dry_run": dry_run}
    return {**wanted, **author}


def _whoever_types() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in many a container
        return f"uid {os.getuid()}"


def socket_of(settings: Settings, provider: str | None) -> Path:
    """Return the socket of that provider, or of the only one."""
    names = list(settings.providers)
    name = names[0] if provider is None and len(names) == 1 else provider
    if name not in names:
        raise typer.BadParameter(f"it must be one of: {', '.join(names)}", param_hint="--provider")
    return settings.epr.socket_of(name)


def asked(
    config: Path, provider: str | None, path: str, order: Mapping[str, object]
) -> tuple[HTTPStatus, Mapping[str, Any]]:
    """Return what the provider's gateway answers to *order*."""
    socket = socket_of(load(config, os.environ), provider)
    status, answer = asyncio.run(_post_order(socket, path, order))
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        raise _mistyped(answer)
    return HTTPStatus(status), answer


def _mistyped(answer: Mapping[str, Any]) -> typer.BadParameter:
    """Return what is wrong with an order, under the name by which it was typed."""
    member, error = answer.get("member"), str(answer["error"])
    option = TYPED_AS.get(member or "")
    if option is None:
        return typer.BadParameter(error)
    return typer.BadParameter(error.removeprefix(f"{member} "), param_hint=option)


def rounds(
    ask: Ask, path: str, order: Mapping[str, Any], inside: str | None = None
) -> Iterator[Mapping[str, Any]]:
    """
    Yield what became of *order*, round by round: each is one bounded request.

    A report says where the next begins; that goes into the order, or into its member *inside*.
    """
    while True:
        status, report = ask(path, order)
        if status != HTTPStatus.OK:
            raise refuse_whole(report)
        yield report
        following = report["next"]
        if following is None:
            return
        order = {**order, **({inside: {**order[inside], **following}} if inside else following)}


def not_done(name: object, answer: Mapping[str, Any]) -> str:
    """Return the line that says why *name* was left as it is, and what helps."""
    against = answer.get("objection") or {"problem": answer["error"], "cure": answer["cure"]}
    option = _SETS_ASIDE.get(against.get("code", ""))
    cure = f"{against['cure']} ({option})" if option else against["cure"]
    return f"{name}: not done: {against['problem']}; {cure}"


def refuse_whole(answer: Mapping[str, Any]) -> typer.Exit:
    """Say why an order for many was not understood, and return how the command ends."""
    typer.echo(f"error: {answer['error']}", err=True)
    return typer.Exit(2)


async def submit(
    socket: Path, bundles: Mapping[Path, bytes], say: Callable[[str], None] | None
) -> Sequence[Mapping[str, Any]]:
    """Submit each file's bytes, *say* its receipt or refusal, and return them all."""
    answers = []
    async with _connected(socket) as session:
        for file, body in bundles.items():
            media_type = _MEDIA_TYPES.get(file.suffix.lower(), "application/fhir+json")
            status, document = await _post(session, "/messages", body, media_type, socket)
            accepted = status in {200, 201}
            answers.append({"file": str(file), "accepted": accepted, "answer": document})
            if say is not None:
                say(f"{file}: {_sentence(status)}")
                say(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    return answers


async def _post_order(
    socket: Path, path: str, wanted: Mapping[str, object]
) -> tuple[int, Mapping[str, Any]]:
    """Ask for something to be done with messages; return status and document of the answer."""
    async with _connected(socket) as session:
        return await _post(session, path, orjson.dumps(wanted), "application/json", socket)


def _connected(socket: Path) -> "aiohttp.ClientSession":
    import aiohttp

    connector = aiohttp.UnixConnector(str(socket))
    return aiohttp.ClientSession(connector=connector, trust_env=False)


async def _post(
    session: "aiohttp.ClientSession", path: str, body: bytes, media_type: str, socket: Path
) -> tuple[int, Any]:
    import aiohttp

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
