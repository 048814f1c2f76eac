"""What every chapter is played on: organisations, their EPRs, the national side, the timeline."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.text import Text

from bars_gateway.demo.processes import Organisation
from bars_gateway.errors import SandboxError

_COLOURS = ("cyan", "magenta", "green", "yellow", "blue")
Document = dict[str, Any]
Fits = Callable[[Document], bool]
CALLER = "ambulance EPR"
DEPARTMENT = "hospital EPR"
NEIGHBOUR = "neighbour EPR"
_LOOK_SECONDS = 0.02
_SYSTEM = "https://fhir.nhs.uk/Id/dos-service-id"


class Timeline:
    """Prints one line for each thing that happened, and remembers which were seen."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self._colours: dict[str, str] = {}
        self._seen: set[str] = set()
        self._more = asyncio.Event()

    @property
    def seconds(self) -> float:
        """How long ago the demo began."""
        return time.monotonic() - self._started

    def begin(self, title: str) -> None:
        """Print the head of a chapter; nothing of it has been seen yet."""
        self._seen.clear()
        self._console.print(Text(f"\n{title}", style="bold"))

    def say(self, who: str, what: str, step: str | None = None) -> None:
        """Print a line; *step* marks it as one of those that a chapter is made of."""
        colour = self._colours.setdefault(who, _COLOURS[len(self._colours) % len(_COLOURS)])
        line = Text(f"{self.seconds:7.2f} s  ")
        line.append(f"{who:<22}", style=colour)
        line.append(what)
        self._console.print(line)
        if step is not None:
            self._seen.add(step)
            self._more.set()

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

    async def submit(self, body: bytes) -> Document:
        """Submit a message; return its receipt."""
        return await self._post("/messages", body)

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

    async def _post(self, path: str, body: bytes) -> Document:
        headers = {"Content-Type": "application/fhir+json"}
        async with self._session.post(path, data=body, headers=headers) as response:
            response.raise_for_status()
            document: Document = await response.json()
            return document


@asynccontextmanager
async def socket_epr(socket: Path) -> AsyncIterator[SocketEpr]:
    """Connect to the gateway whose socket that is."""
    connector = aiohttp.UnixConnector(str(socket))
    async with aiohttp.ClientSession(
        "http://gateway", connector=connector, trust_env=False
    ) as session:
        yield SocketEpr(session)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Those who take part, and what lies between them."""

    ambulance: Organisation
    hospital: Organisation
    neighbour: Organisation  # another ambulance service
    caller: FolderEpr
    caller_socket: SocketEpr  # where it asks others
    department: SocketEpr
    neighbour_epr: SocketEpr
    timeline: Timeline
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
        async with (
            aiohttp.ClientSession(trust_env=False) as session,
            session.post(f"{self.admin_url}/faults", json=fault) as response,
        ):
            if not response.ok:
                raise SandboxError(f"the sandbox takes no fault {fault['kind']}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """One thing that is shown."""

    name: str
    title: str
    steps: frozenset[str]  # each must be seen
    play: Callable[[Stage], Awaitable[None]]
