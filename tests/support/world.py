"""
A world in one folder: the sandbox and two organisations, each with a whole gateway.

    world.ambulance ──► world.sandbox ──► world.hospital

Gateways run in this process, through the same `gateway.run` as in life; tests about
signals and kills start real processes instead (`Node.command`).
"""

import asyncio
import json
import ssl
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import aiohttp
import engines
from held_to_contract import faults_of_files
from messages import RECEIVER
from typed import Done, typed_beside
from yarl import URL

from bars_gateway.config import Settings, load
from bars_gateway.daemon import gateway
from bars_gateway.demo.stage import free_ports
from bars_gateway.keyring import CLEAR
from bars_gateway.model.messages import Part
from bars_gateway.model.readings import MessageHistory, Overview
from bars_gateway.sandbox.registry import Registered, make_signing_key
from bars_gateway.sandbox.server import Sandbox, SandboxSettings
from bars_gateway.standard.headers import TargetIdentifier
from bars_gateway.store import readings
from bars_gateway.store.connection import Connection
from bars_gateway.store.rows import payload_of

JSON = "application/fhir+json"
SYSTEM = "https://fhir.nhs.uk/Id/dos-service-id"
PATIENCE = 45.0
T = TypeVar("T")


async def eventually(condition: Callable[[], Any]) -> Any:
    """Return what *condition* gives once that is true: of files, which wake nobody."""
    async with asyncio.timeout(PATIENCE):
        while not (found := condition()):
            await asyncio.sleep(0.01)
    return found


async def in_time(condition: Callable[[], Awaitable[Any]]) -> Any:
    """Return what *condition* gives once that is true; to ask takes a third of the time at most."""
    async with asyncio.timeout(PATIENCE):
        while True:
            began = time.monotonic()
            if found := await condition():
                return found
            await asyncio.sleep(max(0.01, 2 * (time.monotonic() - began)))


async def answered_in_time(ask: Callable[[], Awaitable[tuple[int, *tuple[Any, ...]]]]) -> Any:
    """Return what *ask* gets, asked again while a busy machine takes too long for it: a 408."""

    async def answered() -> Any:
        found = await ask()
        return None if found[0] == 408 else found

    return await in_time(answered)


@cache
def _signing_key(name: str) -> Mapping[str, bytes]:
    """Return the files of a key that signs JWTs: made once, since it takes long."""
    with TemporaryDirectory() as folder:
        make_signing_key(Path(folder), f"{name}-sandbox-1", 2048)
        return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def _with_signing_key(name: str, folder: Path) -> None:
    """Put the key of a gateway where the sandbox would make one."""
    folder.mkdir(mode=0o700, parents=True)
    for file, content in _signing_key(name).items():
        (folder / file).touch(mode=0o600)
        (folder / file).write_bytes(content)


class Node:
    """One organisation: its folder, its settings and its gateway."""

    def __init__(self, name: str, service: str, folder: Path, sandbox: Sandbox) -> None:
        self.name = name
        self.service = f"{SYSTEM}|{service}"
        self.more: tuple[str, ...] = ()  # further services of the same organisation
        self.folder = folder
        self._sandbox = sandbox
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._group: asyncio.TaskGroup | None = None
        (self._port,) = free_ports(1)
        self._notices: dict[tuple[str, int, int], dict[str, Any]] = {}
        self.registered: Registered
        self.extra = ""
        self.asked = ""  # how the EPR is asked, and about what: lines of the provider's table
        self.inbound = self.outbound = ""  # further lines of those tables
        self.store = "[store]\nminimum_free_bytes = 0\n"
        self.database = folder / "state" / "gateway.db"
        self.gateway: gateway.Gateway
        for part in ("state", "run", "spool"):
            (folder / part).mkdir(parents=True)

    @property
    def spool(self) -> Path:
        return self.folder / "spool"

    @property
    def socket(self) -> Path:
        return self.folder / "run" / f"{self.name}.sock"

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._port}/any/base"

    async def register(self) -> None:
        self.registered = await self._sandbox.register(
            self.name, [self.service, *self.more], self.url
        )

    def settings(self) -> Settings:
        return load(self.settings_file(), {})

    def settings_file(self) -> Path:
        """Write the settings as they are now and return their file."""
        file = self.folder / "bars-gateway.toml"
        file.write_text(self._toml(), "utf-8")
        return file

    def command(self, *arguments: str) -> list[str]:
        """Return the command line for a gateway of its own process."""
        return [sys.executable, "-m", "bars_gateway", *self.words(*arguments)]

    def words(self, *arguments: str) -> list[str]:
        """Return what an operator types after `bars-gateway`."""
        command = arguments[: 2 if arguments[0] in {"audit", "cache", "nodes", "store"} else 1]
        return [*command, "--config", str(self.settings_file()), *arguments[len(command) :]]

    async def typed(self, *arguments: str) -> Done:
        """Run `bars-gateway` to its end, in this process."""
        return await typed_beside(*self.words(*arguments))

    async def ran(self, *arguments: str) -> str:
        """Run `bars-gateway` to its end and return what it printed."""
        done = await self.typed(*arguments)
        assert done.code == 0, done.err
        return done.out

    async def backed_up(self, to: Path) -> None:
        """Take a backup while the gateway runs, by the tool that its engine has for that."""
        if engines.on_server():
            await asyncio.to_thread(engines.dump, self.database, to)
        else:
            await self.ran("backup", str(to))

    async def restored(self, backup: Path) -> str:
        """Stop the gateway and put *backup* back; return what that printed."""
        await self.stop()
        if engines.on_server():
            await asyncio.to_thread(engines.put_back, self.database, backup)
            return await self.ran("restore")
        return await self.ran("restore", str(backup), "--older")

    async def start(self, group: asyncio.TaskGroup) -> None:
        """Start the gateway in this process; return once every door is open."""
        self._group = group
        self._stop = asyncio.Event()
        opened = asyncio.get_running_loop().create_future()
        settings = self.settings()
        run = gateway.run(settings, self._stop, opened.set_result, reread=self.settings)
        self._task = group.create_task(run)
        try:
            async with asyncio.timeout(PATIENCE):
                self.gateway = await asyncio.shield(opened)
        except TimeoutError:
            raise TimeoutError(f"{self.name} has not opened its doors in {PATIENCE:g} s") from None
        await self.register()

    async def stop(self) -> None:
        """Stop as SIGTERM does, and wait for it."""
        self._stop.set()
        if self._task is not None:
            await self._task

    async def restart(self) -> None:
        await self.stop()
        assert self._group is not None
        await self.start(self._group)

    def drop(self, name: str, body: bytes, envelope: bytes | None = None) -> None:
        """Put a file into the outbox as an EPR should."""
        for file, content in ((f"{Path(name).stem}.envelope.json", envelope), (name, body)):
            if content is not None:
                half = self.spool / "outbox" / "tmp" / file
                half.write_bytes(content)
                half.rename(self.spool / "outbox" / "new" / file)

    async def sent(self, name: str, body: bytes) -> dict[str, Any]:
        """Drop a file and return its receipt."""
        self.drop(name, body)
        return await self.document(f"outbox/accepted/{Path(name).stem}.receipt.json")

    async def document(self, name: str) -> dict[str, Any]:
        """Wait for a file below the spool folder and return its JSON."""
        file = self.spool / name
        await eventually(file.exists)
        found: dict[str, Any] = json.loads(file.read_bytes())
        return found

    def files(self, pattern: str) -> list[Path]:
        return sorted(self.spool.glob(pattern))

    def notice(self, file: Path) -> dict[str, Any]:
        """Return what a notice says, read once: whoever waits looks at hundreds again."""
        found = file.stat()
        key = (file.name, found.st_ino, found.st_mtime_ns)
        if key not in self._notices:
            self._notices[key] = json.loads(file.read_bytes())
        return self._notices[key]

    async def outcome(self, request_id: str) -> dict[str, Any]:
        """Wait for the outcome of one message and return its notice."""

        def found() -> dict[str, Any] | None:
            for file in self.files("inbox/new/*.outcome.json"):
                notice = self.notice(file)
                if notice["request_id"] == request_id and notice["kind"] == "outcome":
                    return notice
            return None

        notice: dict[str, Any] = await eventually(found)
        return notice

    async def lapses(self, request_id: str) -> None:
        """Let the time of a message be over, once it was tried."""

        async def tried() -> bool:
            found = await self.history(request_id)
            return found is not None and bool(found.attempts)

        await in_time(tried)
        self.ends(request_id)

    def ends(self, request_id: str) -> None:
        """Let the time of a message be over, whether it was tried or not."""
        over = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
        self.ask("UPDATE messages SET give_up_at = ? WHERE request_id = ?", over, request_id)

    @property
    def at(self) -> Path | Settings:
        """What names its database to whoever looks at it: the file, or the settings."""
        return self.settings() if engines.on_server() else self.database

    async def seen(self, work: Callable[[Connection], T]) -> T:
        """Return what *work* finds in its database."""
        return await engines.seen(self.database, work)

    def ask(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Run *sql* in its database, with a `?` for each value; return its rows."""
        return engines.ask(self.database, sql, *values)

    async def overview(self) -> Overview:
        room = engines.room(self.database)
        return await self.seen(lambda c: readings.overview(c, room, gateway.now()))

    async def history(self, request_id: str) -> MessageHistory | None:
        found = await self.seen(lambda c: readings.history(c, None, request_id))
        return found[0] if found else None

    async def rows(self, table: str) -> int:
        ((count,),) = await asyncio.to_thread(self.ask, f"SELECT count(*) FROM {table}")
        return int(count)

    def _store(self) -> str:
        if not engines.on_server() or "\nurl = " in self.store:  # it names one of its own
            return self.store
        return f'{self.store}url = "{engines.url_of(self.database)}"\n'

    def _toml(self) -> str:
        mine, sandbox = self.registered, self._sandbox
        return f"""\
environment = "local"
node = "{self.name}"
state_dir = "{self.folder}/state"
log_level = "debug"

[providers.{self.name}]
ods_code = "ZX9{self.service[-2:]}"
name = "Invented {self.name}"
services = {json.dumps([self.service, *self.more])}
key_id = "{mine.key_id}"
api_key = "{mine.api_key}"
private_key_file = "{mine.private_key_file}"
spool_dir = "{self.spool}"
{self.asked}

[outbound]
token_url = "{sandbox.token_url}"
proxy_url = "{sandbox.proxy_url}"
ca_file = "{sandbox.ca_file}"
{self.outbound}

[inbound]
listen = "127.0.0.1:{self._port}"
certificate_file = "{mine.certificate_file}"
private_key_file = "{mine.certificate_key_file}"
client_ca_file = "{sandbox.client_ca_file}"
allowed_client_names = ["bars-proxy.sandbox.local"]
{self.inbound}

[epr]
socket_dir = "{self.folder}/run"
scan_seconds = 0.05

{self._store()}
[status]
listen = "127.0.0.1:0"

[timing.a1]
first_retry_seconds = 0.1
longest_retry_seconds = 0.5

[timing.a4]
first_retry_seconds = 0.1
longest_retry_seconds = 0.5
{self.extra}
"""


@asynccontextmanager
async def begun(log: Path, *command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program that writes to *log*, and that outlives no test, whatever becomes of that."""
    with log.open("ab") as output:
        running = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)
    try:
        yield running
    finally:
        with suppress(ProcessLookupError):  # it has ended
            running.kill()
        await running.wait()


@asynccontextmanager
async def process(node: Node, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the node's gateway as a process of its own instead of in this one."""
    await node.stop()
    async with begun(log, *node.command("run")) as running:
        await eventually(lambda: b"daemon.started" in log.read_bytes())
        yield running


class World:
    """The sandbox and the two organisations."""

    def __init__(self, sandbox: Sandbox, ambulance: Node, hospital: Node, folder: Path) -> None:
        self.sandbox = sandbox
        self.ambulance = ambulance
        self.hospital = hospital
        self.folder = folder

    def as_proxy(self, *, auto_decompress: bool = True) -> aiohttp.ClientSession:
        """Return a client that is, to a gateway, the proxy."""
        context = ssl.create_default_context(cafile=str(self.sandbox.client_ca_file))
        own = self.folder / "sandbox" / "national"
        context.load_cert_chain(own / "proxy-client.pem", own / "proxy-client.key")
        connector = aiohttp.TCPConnector(ssl=context)
        return aiohttp.ClientSession(connector=connector, auto_decompress=auto_decompress)

    def forwarded(self) -> Sequence[dict[str, Any]]:
        """Return the calls that reached a Receiver."""
        return [call for call in self.sandbox.calls._listed(0) if call["receiver_status"]]


async def answer_of(node: Node, request_id: str) -> bytes | None:
    """Return what was answered to a message; None: there is no such message, or no answer."""
    found = await node.history(request_id)
    if found is None:
        return None
    keys = {"message_id": found.message.message_id, "part": Part.ANSWER}
    row = await node.seen(lambda c: c.one("payload", **keys))
    return None if row is None else payload_of(row, CLEAR).body


def headers(receiver: str = RECEIVER, **changes: str | None) -> dict[str, str]:
    """Return what the proxy forwards beside the body."""
    target = TargetIdentifier.parse(receiver).encode()
    values: dict[str, str | None] = {
        "X-Request-Id": str(uuid.uuid4()),
        "X-Correlation-Id": str(uuid.uuid4()),
        "NHSD-Target-Identifier": target,
        "Content-Type": JSON,
        "Accept": f"{JSON}; version=1.5.0",
    }
    values |= {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in values.items() if value is not None}


async def get(
    world: World, path: str, sent: Mapping[str, str], *, method: str = "GET"
) -> tuple[int, Mapping[str, str], dict[str, Any]]:
    """Read from the hospital; the query is sent as it is written."""
    url = URL(world.hospital.url + path, encoded=True)
    async with (
        world.as_proxy() as session,
        session.request(method, url, headers=sent) as response,
    ):
        return response.status, response.headers, json.loads(await response.read())


def issue(outcome: Mapping[str, Any]) -> tuple[str, str]:
    """Return the code of the guide and FHIR's own, of the first issue."""
    (found, *_) = outcome["issue"]
    return found["details"]["coding"][0]["code"], found["code"]


async def post(
    world: World,
    body: bytes,
    sent: Mapping[str, str],
    path: str = "/$process-message",
    *,
    node: Node | None = None,
) -> tuple[int, Mapping[str, str], dict[str, Any]]:
    async with (
        world.as_proxy() as session,
        session.post((node or world.hospital).url + path, data=body, headers=sent) as response,
    ):
        return response.status, response.headers, json.loads(await response.read())


@asynccontextmanager
async def one_for_several(
    made: Callable[..., AbstractAsyncContextManager[T]],
) -> AsyncIterator[Callable[..., Awaitable[T]]]:
    """
    Let several tests share what *made* gives for some words: the first who asks for it begins it.

    There is one for each engine, and its databases outlast the test that began it.
    """
    running: dict[tuple[object, ...], T] = {}
    async with AsyncExitStack() as stack:

        async def of(*words: object) -> T:
            which = (engines.on_server(), *words)
            if which not in running:
                running[which] = await stack.enter_async_context(made(*words))
                engines.keep()
            return running[which]

        yield of


@asynccontextmanager
async def world_in(
    folder: Path,
    *,
    ambulance: str = "",
    hospital: str = "",
    asked: str = "",
    inbound: str = "",
    outbound: str = "target_check_seconds = 0\nread_before_cancel = false",
    services: tuple[str, str] = ("2000000101", "2000000202"),
    counterparty: bool = False,
    poisoned: bool = False,
    patience: float = 32.0,
) -> AsyncIterator[World]:
    """
    Run a world in *folder*; *ambulance* and *hospital* are further settings of theirs.

    *asked* and *inbound* are lines of the hospital's own tables, *outbound* of the ambulance's.
    *counterparty*: whether the sandbox has its own services as well. *poisoned*: something is to
    fail between any two steps, so what lies in the folders is not held to the contract. *patience*
    is for how many seconds the proxy waits for a Receiver's answer.
    """
    settings = SandboxSettings(
        folder=folder / "sandbox",
        key_bits=2048,
        counterparty=counterparty,
        pause_seconds=0.05,
        answer_seconds=patience,
    )
    async with Sandbox(settings) as sandbox, asyncio.TaskGroup() as group:
        nodes = []
        for name, service, extra in (
            ("ambulance", services[0], ambulance),
            ("hospital", services[1], hospital),
        ):
            node = Node(name, service, folder / name, sandbox)
            _with_signing_key(name, settings.folder / "gateways" / name)
            node.extra = extra
            await node.register()
            nodes.append(node)
        nodes[0].outbound = outbound
        nodes[1].asked, nodes[1].inbound = asked, inbound
        for node in nodes:
            await node.start(group)
        world = World(sandbox, *nodes, folder)
        try:
            yield world
        finally:
            for node in nodes:
                await node.stop()
        wrong = [each for node in nodes for each in faults_of_files(node.spool)]
        assert poisoned or not wrong, wrong
