"""
What every scene is played on: the sandbox, one gateway, its EPR, and who calls it.

    counterparty ◄──► proxy ◄──► gateway under test ◄──socket──► EPR, which is played here
                                       ▲
              as the proxy, or as somebody who may not ────────── callers

The national side runs in this process, so that the tape can stand beside it; the gateway is a
process of its own, as in life.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp

from bars_gateway.demo.stage import (
    Organisation,
    SocketEpr,
    end,
    free_ports,
    socket_session,
    start_gateway,
)
from bars_gateway.evidence.tape import RecordedExchange, Tape
from bars_gateway.sandbox.proxy import open_session
from bars_gateway.sandbox.registry import DOS_SERVICE, Authority
from bars_gateway.sandbox.server import Sandbox, SandboxSettings
from bars_gateway.standard.applications import VERSIONS
from bars_gateway.standard.headers import TargetIdentifier

Document = dict[str, Any]
JSON = "application/fhir+json"
SERVICE = f"{DOS_SERVICE}|2000000202"  # of the gateway under test
UNWELCOME = "ZX905"  # the organisation from which it takes nothing
NOT_OFFERED = "a8"  # the Application that it does not take
ANSWER_SECONDS = 2.0  # the gateway's limit: a question that nobody answers takes so long
YES: Document = {"accept": True}
_PROXY_SECONDS = 2.0
_OFFERED = "\n".join(  # all but the last Application: requests of that one are not supported
    f"applications.{name} = {json.dumps(list(versions))}"
    for name, versions in VERSIONS.items()
    if name != NOT_OFFERED
)
# Short waits, so that a run takes seconds; and no answer is owed while it lasts.
_MORE = {
    "provider": f'refused_organisations = ["{UNWELCOME}"]\n{_OFFERED}\n',
    "inbound": f"answer_within_seconds = {ANSWER_SECONDS}\n",
    "": "".join(
        f"[timing.{name}]\nfirst_retry_seconds = 0.2\nlongest_retry_seconds = 1.0\n"
        for name in ("a1", "a4", "a6")
    ),
}


class WatchedEpr(SocketEpr):
    """An EPR that keeps what it was told."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        super().__init__(session)
        self.told: dict[int, Document] = {}  # notices, by number

    async def get(self, path: str) -> Document:
        """Return the JSON document at *path*."""
        document = await super().get(path)
        self.told |= {each["notice_id"]: each for each in document.get("notices", ())}
        return document


@dataclass(slots=True, kw_only=True)
class ProvingGround:
    """Those who take part, and the tape."""

    tape: Tape
    sandbox: Sandbox
    hospital: Organisation
    epr: WatchedEpr
    folder: Path
    callers: Mapping[str, aiohttp.ClientSession]  # "proxy", and who may not call
    process: asyncio.subprocess.Process
    # What the EPR says to a question; None: nothing, so that the time passes.
    says: Callable[[Document], Document | None] = lambda _: YES
    asked: list[Document] = field(default_factory=list)  # the questions, in order

    @property
    def log_file(self) -> Path:
        """Return where the gateway logs."""
        return self.folder / self.hospital.name / "gateway.log"

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        caller: str = "proxy",
        **changes: str | None,
    ) -> RecordedExchange:
        """Call the gateway's Receiver; *changes* are headers, None: without it."""
        headers = sent_headers(**changes)
        session = self.callers[caller]
        return await self.tape.ask(session, method, self.hospital.url + path, headers, body)

    async def outcome(self, receipt: Document) -> Document:
        """Wait for what became of a message of the EPR's; return the Receiver's answer to it."""
        notice = await self.notice(receipt["request_id"], "outcome")
        answer: Document = json.loads(await self.epr.read(f"/notices/{notice['notice_id']}/answer"))
        return answer

    async def notice(self, request_id: str, kind: str) -> Document:
        """Wait for a notice of that kind about a message."""
        return await self.epr.notice(
            lambda found: found["request_id"] == request_id and found["kind"] == kind
        )

    async def answer_questions(self) -> None:
        """Answer each question with what the EPR `says`, until cancelled."""
        number = 0
        while True:
            question = await self.epr.question(number)
            number = question["question_id"]
            self.asked.append(question)
            said = self.says(question)
            if said is not None:
                await self.epr.answer(number, said)


def sent_headers(**changes: str | None) -> dict[str, str]:
    """Return what the proxy sends beside the body; *changes* with `_` for `-`, None: not sent."""
    values: dict[str, str | None] = {
        "X-Request-Id": str(uuid4()),
        "X-Correlation-Id": str(uuid4()),
        "NHSD-Target-Identifier": TargetIdentifier.parse(SERVICE).encode(),
        "Content-Type": JSON,
        "Accept": f"{JSON}; version=1.5.0",
    }
    values |= {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in values.items() if value is not None}


@asynccontextmanager
async def proving_ground(folder: Path, tape: Tape) -> AsyncIterator[ProvingGround]:
    """Start the national side and the gateway in *folder*, and end them afterwards."""
    port, status_port = free_ports(2)
    hospital = Organisation(
        name="hospital",
        title="Northshire General Hospital",
        ods_code="ZX902",
        service=SERVICE.partition("|")[2],
        notices="socket",
        port=port,
        status_port=status_port,
    )
    settings = SandboxSettings(
        folder=folder / "sandbox",
        key_bits=2048,
        counterparty=True,
        pause_seconds=0.1,
        answer_seconds=_PROXY_SECONDS,
        witnesses=[tape.witness],
    )
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox(settings))
        await sandbox.register(hospital.name, [SERVICE], hospital.url)
        told = json.loads((settings.folder / "sandbox.json").read_text("utf-8"))
        process = await start_gateway(hospital, folder / hospital.name, told, _MORE)
        stack.push_async_callback(end, process)
        socket = folder / hospital.name / "run" / f"{hospital.name}.sock"
        epr = WatchedEpr(await stack.enter_async_context(socket_session(socket)))
        callers = await _callers(stack, settings.folder)
        yield ProvingGround(
            tape=tape,
            sandbox=sandbox,
            hospital=hospital,
            epr=epr,
            folder=folder,
            callers=callers,
            process=process,
        )


@asynccontextmanager
async def epr_answering(ground: ProvingGround) -> AsyncIterator[None]:
    """Play an EPR that is there, while the block runs."""
    with suppress(asyncio.CancelledError):
        async with asyncio.TaskGroup() as group:
            answering = group.create_task(ground.answer_questions())
            await ground.epr.get("/questions?wait=0")  # from now on it counts as there
            yield
            answering.cancel()


async def _callers(stack: AsyncExitStack, sandbox: Path) -> Mapping[str, aiohttp.ClientSession]:
    """Return who calls: the proxy, another name, another authority, and nobody known."""
    now, receivers = datetime.now(UTC), sandbox / "authorities" / "receivers.pem"
    ours = Authority.at(sandbox / "authorities", "receivers", now)
    ours.issue(sandbox / "another", "proxy-client", "another.sandbox.local", "client", now)
    foreign = Authority.at(sandbox / "foreign", "foreign", now)
    foreign.issue(sandbox / "foreign", "proxy-client", "bars-proxy.sandbox.local", "client", now)
    limits = {"connect_seconds": 3.0, "answer_seconds": 10.0}
    sessions = {
        "proxy": open_session(sandbox / "national", receivers, **limits),
        "another name": open_session(sandbox / "another", receivers, **limits),
        "another authority": open_session(sandbox / "foreign", receivers, **limits),
        "no certificate": _without_certificate(receivers),
    }
    for session in sessions.values():
        await stack.enter_async_context(session)
    return sessions


def _without_certificate(receivers: Path) -> aiohttp.ClientSession:
    context = ssl.create_default_context(cafile=str(receivers))
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context), auto_decompress=False, trust_env=False
    )
