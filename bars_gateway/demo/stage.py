"""
What every chapter is played on: organisations, their EPRs, the national side, the timeline.

The sandbox and the gateways are processes, started with files of their own, waited for, and
ended by pid.
"""

import asyncio
import ctypes
import json
import os
import pwd
import random
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any, Generic, TypeVar

import aiohttp
from rich.console import Console
from rich.text import Text

from bars_gateway.errors import SandboxError
from bars_gateway.frozen import frozen

Document = dict[str, Any]
Fits = Callable[[Document], bool]
S = TypeVar("S")
CALLER = "ambulance EPR"
DEPARTMENT = "hospital EPR"
NEIGHBOUR = "neighbour EPR"
_LOOK_SECONDS = 0.02
_SYSTEM = "https://fhir.nhs.uk/Id/dos-service-id"
_START_SECONDS = 300.0  # of one that has not ended: a busy machine takes its time
_LIBC = ctypes.CDLL(None)  # loaded before any fork
_SET_PARENT_DEATH_SIGNAL = 1  # of prctl(2)
_BLOCKS = range(20_000, 32_000, 60)  # of ports: Linux gives those above to whoever asks for any
_COLOURS = ("cyan", "magenta", "green", "yellow", "blue")


@contextmanager
def home_of(play: str, folder: Path | None) -> Iterator[Path]:
    """Yield where *play* has its files: in *folder*, else in one that is removed at its end."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.resolve()
        return
    with tempfile.TemporaryDirectory(prefix=f"bars-gateway-{play}-") as made:
        yield Path(made)


@frozen(kw_only=True)
class Organisation:
    """One of those who take part."""

    name: str  # in folders and settings
    title: str  # for people
    ods_code: str
    service: str  # value of its target identifier
    notices: str  # folder or socket
    questions: str = ""  # none, folder or socket; empty: as its notices
    node: str = ""  # of its gateway; empty: as the organisation
    sockets: str = "run"  # the folder of its gateway's own socket
    port: int
    status_port: int

    @property
    def url(self) -> str:
        """Where its Receiver answers."""
        return f"https://127.0.0.1:{self.port}/FHIR/R4"

    @property
    def status_url(self) -> str:
        """Where its status page is."""
        return f"http://127.0.0.1:{self.status_port}/"


@cache
def _own_ports() -> Iterator[int]:
    """
    Return the ports of one block, one after the other, round and round.

    The block is this process's alone: the first of its ports is bound to until the process ends.
    """
    while True:
        first = random.SystemRandom().choice(_BLOCKS)
        with suppress(OSError), socket.socket() as keeper:
            keeper.bind(("127.0.0.1", first))
            keeper.detach()  # nobody closes it any more
            return cycle(range(first + 1, first + _BLOCKS.step))


def free_ports(count: int) -> list[int]:
    """
    Return *count* free ports on 127.0.0.1 that nobody is given by chance, or finds by looking here.

    So what listens on one may end and begin again: nobody has it meanwhile.
    """
    found: list[int] = []
    for port in _own_ports():
        if len(found) == count:
            break
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
    return found


async def start_sandbox(
    folder: Path, organisations: Sequence[Organisation], log: Path, *, counterparty: bool = False
) -> tuple[asyncio.subprocess.Process, Mapping[str, str]]:
    """Start the national side, perhaps with a *counterparty*; return it, serving, and addresses."""
    told = folder / "sandbox.json"
    told.unlink(missing_ok=True)
    gateways = [f"--gateway={o.name}={o.service}@{o.url}" for o in organisations]
    process = await _start(
        # 2048 bits, which `local` allows: nobody waits for a prime in a demonstration.
        [
            *("sandbox", str(folder), "--port=0", "--admin-port=0", "--key-bits=2048"),
            "--counterparty" if counterparty else "--no-counterparty",
            *gateways,
        ],
        log,
    )
    async with starting(log):
        while not told.exists():
            still_alive(process, log)
            await asyncio.sleep(0.02)
    addresses: Mapping[str, str] = json.loads(told.read_text("utf-8"))
    return process, addresses


async def start_gateway(
    organisation: Organisation,
    folder: Path,
    sandbox: Mapping[str, str],
    more: Mapping[str, str] | None = None,
) -> asyncio.subprocess.Process:
    """
    Write the organisation's settings and start its gateway; return it once it is ready.

    *more* has further lines, by the name of their table; those of no table come at the end.
    """
    settings = _prepared(organisation, folder, sandbox, more or {})
    log = folder / "gateway.log"
    process = await _start(["run", "--config", str(settings)], log)
    async with starting(log), aiohttp.ClientSession(trust_env=False) as session:
        while not await _is_ready(session, organisation):
            still_alive(process, log)
            await asyncio.sleep(0.02)
    return process


def _prepared(
    organisation: Organisation, folder: Path, sandbox: Mapping[str, str], more: Mapping[str, str]
) -> Path:
    for name in ("state", organisation.sockets, "spool"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    settings = folder / "bars-gateway.toml"
    settings.write_text(_settings(organisation, folder, sandbox, more), "utf-8")
    return settings


async def _is_ready(session: aiohttp.ClientSession, organisation: Organisation) -> bool:
    try:
        async with session.get(f"{organisation.status_url}readyz") as response:
            return response.status == 200  # noqa: PLR2004
    except aiohttp.ClientError:
        return False


async def _start(arguments: list[str], log: Path) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "bars_gateway", *arguments]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BARS_GATEWAY_")}
    return await start_process(command, log, environment=environment)


async def start_process(
    command: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    stop_by: signal.Signals = signal.SIGTERM,
    user: int | None = None,
) -> asyncio.subprocess.Process:
    """
    Start *command*, which writes to *log*; return it.

    *stop_by* is how it is told to stop where the demo is gone, even killed: nobody else would end
    it. *user* is whose process it is to be, and of no group but theirs.
    """

    def end_with_parent() -> None:
        _LIBC.prctl(_SET_PARENT_DEATH_SIGNAL, stop_by)

    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Ctrl-C is for us: we end the others in order.
            start_new_session=True,
            preexec_fn=end_with_parent,
            env=environment,
            **as_user(user),
        )


def as_user(user: int | None) -> dict[str, Any]:
    """Return how a process is started as *user*, in no group but theirs; None: as ours."""
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwuid(user).pw_gid, "extra_groups": []}


@asynccontextmanager
async def starting(log: Path) -> AsyncIterator[None]:
    """Raise SandboxError where a process that logs there takes far too long inside the block."""
    try:
        async with asyncio.timeout(_START_SECONDS):
            yield
    except TimeoutError:
        late = f"a process of the demo is not ready after {_START_SECONDS:.0f} s"
        raise SandboxError(f"{late}; its last words are in {log}") from None


def still_alive(process: asyncio.subprocess.Process, log: Path) -> None:
    """Raise SandboxError where *process* has ended, which it should not yet have."""
    if process.returncode is not None:
        raise SandboxError(f"a process of the demo ended early; its last words are in {log}")


async def end(process: asyncio.subprocess.Process) -> None:
    """Ask *process* to stop and wait for it; it finishes what is in flight."""
    if process.returncode is None:
        process.terminate()
        await process.wait()


def _settings(
    organisation: Organisation, folder: Path, sandbox: Mapping[str, str], more: Mapping[str, str]
) -> str:
    theirs, registered = _registered(organisation, sandbox)
    return f"""\
environment = "local"
node = "{organisation.node or organisation.name}"
state_dir = "{folder}/state"
[providers.{organisation.name}]
ods_code = "{organisation.ods_code}"
name = "{organisation.title}"
services = ["https://fhir.nhs.uk/Id/dos-service-id|{organisation.service}"]
key_id = "{registered["key_id"]}"
api_key = "{registered["api_key"]}"
private_key_file = "{theirs}/jwt.key"
spool_dir = "{folder}/spool"
notices = "{organisation.notices}"
questions = "{organisation.questions or organisation.notices}"
{more.get("provider", "")}
[outbound]
token_url = "{sandbox["token_url"]}"
proxy_url = "{sandbox["proxy_url"]}"
ca_file = "{sandbox["ca_file"]}"
{more.get("outbound", "")}
[inbound]
listen = "127.0.0.1:{organisation.port}"
certificate_file = "{theirs}/server.pem"
private_key_file = "{theirs}/server.key"
client_ca_file = "{sandbox["client_ca_file"]}"
allowed_client_names = ["{sandbox["allowed_client_name"]}"]
{more.get("inbound", "")}
[epr]
socket_dir = "{folder}/{organisation.sockets}"
scan_seconds = 0.2
[store]
minimum_free_bytes = 0
{more.get("store", "")}
[status]
listen = "127.0.0.1:{organisation.status_port}"
{more.get("", "")}"""


def _registered(
    organisation: Organisation, sandbox: Mapping[str, str]
) -> tuple[Path, Mapping[str, str]]:
    """Return where the sandbox put the organisation's credentials, and what they are called."""
    folder = Path(sandbox["targets_file"]).parent / "gateways" / organisation.name
    return folder, json.loads((folder / "gateway.json").read_text("utf-8"))


class TimelinePrinter:
    """Prints one line for each thing that happened, and remembers which were seen."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self._colours: dict[str, str] = {}
        self._seen: set[str] = set()
        self._more = asyncio.Event()
        self._patience: tuple[asyncio.Timeout, float] | None = None

    @property
    def seconds(self) -> float:
        """How long ago the demo began."""
        return time.monotonic() - self._started

    def begin(self, title: str) -> None:
        """Print the head of a chapter; nothing of it has been seen yet."""
        self._seen.clear()
        self._console.print(Text(f"\n{title}", style="bold"))

    def say(self, who: str, what: str, step: str | None = None) -> None:
        """Print a line; *step*: which step of the chapter has been seen with it."""
        colour = self._colours.setdefault(who, _COLOURS[len(self._colours) % len(_COLOURS)])
        line = Text(f"{self.seconds:7.2f} s  ")
        line.append(f"{who:<22}", style=colour)
        line.append(what)
        self._console.print(line)
        if self._patience is not None:
            timeout, seconds = self._patience
            if not timeout.expired():  # it is being given up, and what ends with it says so
                timeout.reschedule(asyncio.get_running_loop().time() + seconds)
        if step is not None:
            self._seen.add(step)
            self._more.set()

    @asynccontextmanager
    async def going_on(self, seconds: float) -> AsyncIterator[None]:
        """Raise TimeoutError where no line is printed for *seconds* inside the block."""
        async with asyncio.timeout(seconds) as timeout:
            self._patience = timeout, seconds
            try:
                yield
            finally:
                self._patience = None

    def missing(self, steps: frozenset[str]) -> frozenset[str]:
        """Return those of *steps* that were not seen in this chapter."""
        return steps - self._seen

    async def until(self, steps: frozenset[str]) -> None:
        """Return once all *steps* were seen."""
        while self.missing(steps):
            self._more.clear()
            await self._more.wait()


class FolderEpr:
    """Drops files into an outbox and looks into an inbox, as most EPRs can."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool

    def drop(self, name: str, body: bytes) -> None:
        """Write the file beside the outbox and rename it in: it is never seen half."""
        half = self._spool / "outbox" / "tmp" / name
        half.write_bytes(body)
        half.rename(self._spool / "outbox" / "new" / name)

    async def receipt(self, name: str) -> Document:
        """Wait for the receipt of what was dropped as *name*."""
        receipt = Path(name).with_suffix(".receipt.json").name
        _, document = await self._found("outbox/accepted", receipt, lambda _: True)
        return document

    async def is_accepted(self, name: str) -> bool:
        """Wait until what was dropped as *name* is accepted, or refused; tell which."""
        stem = Path(name).stem
        while not (self._spool / f"outbox/accepted/{stem}.receipt.json").exists():
            if (self._spool / f"outbox/refused/{stem}.reason.json").exists():
                return False
            await asyncio.sleep(_LOOK_SECONDS)
        return True

    async def notice(self, fits: Fits, kind: str = "notice") -> tuple[int, Document]:
        """Wait for a notice that fits; return its number with it."""
        file, document = await self._found("inbox/new", f"*.{kind}.json", fits)
        return int(file.name.partition(".")[0]), document

    def answer(self, number: int) -> Document:
        """Return the Receiver's acknowledgement that lies beside that notice."""
        return _read(self._spool / f"inbox/new/{number:012d}.answer.json")

    async def _found(self, folder: str, pattern: str, fits: Fits) -> tuple[Path, Document]:
        while True:
            for file in sorted((self._spool / folder).glob(pattern)):
                document = _read(file)
                if fits(document):
                    return file, document
            await asyncio.sleep(_LOOK_SECONDS)


def _read(file: Path) -> Document:
    document: Document = json.loads(file.read_bytes())
    return document


class SocketEpr:
    """Asks its gateway over HTTP on a Unix socket, and answers by the same way."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def notice(self, fits: Fits) -> Document:
        """Collect notices until one fits, and return that."""
        while True:
            for notice in (await self.get("/notices?wait=30"))["notices"]:
                await self.collect(notice["notice_id"])
                if fits(notice):
                    found: Document = notice
                    return found

    async def collect(self, number: int) -> None:
        """Say that a notice is here, so that it is not told again."""
        async with self._session.post(f"/notices/{number}/collected") as response:
            response.raise_for_status()

    async def waiting(self) -> int:
        """Return how many notices are not collected."""
        return len((await self.get("/notices"))["notices"])

    async def submit(self, body: bytes, headers: Mapping[str, str] | None = None) -> Document:
        """Submit a message, with what *headers* say of it; return its receipt."""
        return await self._post("/messages", body, headers)

    async def move(self, words: Document) -> Document:
        """Say what has happened; return the receipt of the message that was made of it."""
        return await self._post("/moves", json.dumps(words).encode())

    async def question(self, after: int) -> Document:
        """Wait for the next question beyond number *after*."""
        while True:
            for question in (await self.get(f"/questions?wait=30&after={after}"))["questions"]:
                found: Document = question
                return found

    async def answer(self, number: int, answer: Document) -> Document:
        """Answer a question; return what became of the answer."""
        return await self._post(f"/questions/{number}/answer", json.dumps(answer).encode())

    async def get(self, path: str) -> Document:
        """Return the JSON document at *path*."""
        document: Document = json.loads(await self.read(path))
        return document

    async def read(self, path: str) -> bytes:
        """Return the bytes at *path*."""
        async with self._session.get(path) as response:
            response.raise_for_status()
            return await response.read()

    async def _post(
        self, path: str, body: bytes, more: Mapping[str, str] | None = None
    ) -> Document:
        headers = {"Content-Type": "application/fhir+json", **(more or {})}
        async with self._session.post(path, data=body, headers=headers) as response:
            response.raise_for_status()
            document: Document = await response.json()
            return document


def socket_session(socket: Path) -> aiohttp.ClientSession:
    """Return a session with the gateway whose socket that is."""
    connector = aiohttp.UnixConnector(str(socket))
    return aiohttp.ClientSession("http://gateway", connector=connector, trust_env=False)


@frozen(kw_only=True)
class Stage:
    """Those who take part, and what lies between them."""

    ambulance: Organisation
    hospital: Organisation
    neighbour: Organisation  # another ambulance service
    caller: FolderEpr
    caller_socket: SocketEpr  # where it asks others
    department: SocketEpr
    neighbour_epr: SocketEpr
    timeline: TimelinePrinter
    admin_url: str  # of the sandbox

    @property
    def ends(self) -> dict[str, str]:
        """Return *sender* and *receiver* of a message from the ambulance to the hospital."""
        return self.ends_with(self.hospital)

    def ends_with(self, receiver: Organisation) -> dict[str, str]:
        """Return *sender* and *receiver* of a message from the ambulance to *receiver*."""
        return {
            "sender": f"{_SYSTEM}|{self.ambulance.service}",
            "receiver": f"{_SYSTEM}|{receiver.service}",
        }

    async def arm(self, **fault: object) -> None:
        """Let the national side do that to the next calls."""
        await arm(self.admin_url, **fault)


async def arm(admin_url: str, **fault: object) -> None:
    """Let the sandbox, whose faults are armed there, do that to the next calls."""
    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        session.post(f"{admin_url}/faults", json=fault) as response,
    ):
        if not response.ok:
            raise SandboxError(f"the sandbox takes no fault {fault['kind']}")


@frozen(kw_only=True)
class Chapter(Generic[S]):
    """One thing that is shown, on a stage of some kind."""

    name: str
    title: str
    steps: frozenset[str]  # each must be seen
    play: Callable[[S], Awaitable[None]]
