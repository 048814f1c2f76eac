"""
Real gateways for the benchmarks: each a process of a build, reached by its own doors alone.

    load.py ──EPR's socket──► gateway ──TLS──► sink.py            out
    load.py ──mutual TLS────► gateway                            in

Everything is on 127.0.0.1 and in one temporary folder, with keys and certificates of the sandbox.
What a gateway costs is what the kernel says of its process: processor time, memory, bytes written.
"""

import asyncio
import json
import os
import shutil
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from builds import HERE, ROOT, Build

from bars_gateway.demo.stage import Organisation, end, free_ports, start_sandbox

CALLERS = 32
_TICKS = os.sysconf("SC_CLK_TCK")
_SECONDS = 120
_QUIET_SECONDS = 0.2
_PROBES = 0.3  # of a processor, at most: a tick of the kernel's clock each few looks
OURS = "2000000201"
THEIRS = tuple(f"20000099{n:02}" for n in range(40))  # so many that no Receiver is the limit
_SYSTEM = "https://fhir.nhs.uk/Id/dos-service-id|"


@dataclass(frozen=True)
class Ground:
    """What every gateway needs: keys, certificates and a folder to write in."""

    folder: Path
    client_name: str

    @property
    def made(self) -> Path:
        """Where the sandbox has put its keys and certificates."""
        return self.folder / "sandbox"

    @property
    def proxy(self) -> dict[str, Any]:
        """What the proxy shows when it calls, and whom it trusts."""
        own = self.made / "national" / "proxy-client"
        return {
            "authority": str(self.made / "authorities" / "receivers.pem"),
            "certificate": str(own.with_suffix(".pem")),
            "key": str(own.with_suffix(".key")),
        }


@asynccontextmanager
async def ground(folder: Path) -> AsyncIterator[Ground]:
    """Make keys and certificates, once for all that is measured."""
    hospital = Organisation(
        name="hospital",
        title="Benchmark",
        ods_code="ZX902",
        service=OURS,
        notices="socket",
        port=free_ports(1)[0],
        status_port=free_ports(1)[0],
    )
    sandbox, told = await start_sandbox(folder / "sandbox", [hospital], folder / "sandbox.log")
    await end(sandbox)
    yield Ground(folder, told["allowed_client_name"])


class Sink:
    """The stand-in for the national side."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    async def do(self, word: str) -> dict[str, float]:
        """Let it do that; return what it has answered."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{word}\n".encode())
        found: dict[str, float] = json.loads(await self._process.stdout.readline())
        return found

    async def answered(self, count: int) -> dict[str, float]:
        """Wait until it has answered so many."""
        async with asyncio.timeout(_SECONDS):
            while (seen := await self.do("seen"))["count"] < count:
                await asyncio.sleep(0.02)
        return seen


@asynccontextmanager
async def sink(at: Ground, token_seconds: int = 600) -> AsyncIterator[Sink]:
    """Run the stand-in."""
    national = at.made / "national"
    pair = (str(national / "server.pem"), str(national / "server.key"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(HERE / "sink.py"), *pair, str(token_seconds)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield Sink(process, int(await process.stdout.readline()))
    finally:
        await end(process)


class Caller:
    """A process that is connected and has all messages ready."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def go(self) -> tuple[float, Sequence[float]]:
        """Let it call; return the seconds, and the milliseconds of each call."""
        printed, _ = await self._process.communicate(b"\n")
        if self._process.returncode:
            raise SystemExit("A message was turned away: no figure means anything then.")
        found = json.loads(printed)
        return found["seconds"], found["ms"]


@asynccontextmanager
async def caller_of(told: dict[str, Any]) -> AsyncIterator[Caller]:
    """Start the process that calls as *told* (`load`); yield it once it is warm."""
    told = {"callers": CALLERS, "rate": 0, "bytes": 0, "warm": CALLERS, "good": []} | told
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(HERE / "load.py")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(told).encode() + b"\n")
    try:
        if await process.stdout.readline() != b"warm\n":
            raise SystemExit("The first messages were turned away: no figure means anything then.")
        yield Caller(process)
    finally:
        await end(process)


@dataclass(frozen=True)
class Spent:
    """What a piece of work took."""

    count: int
    seconds: float
    processor: float  # seconds of the gateway's process, user and system
    written: int  # bytes, to the disk
    ms: Sequence[float] = ()

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.count / self.seconds

    @property
    def ms_each(self) -> float:
        """The processor's milliseconds for each message."""
        return self.processor * 1000 / self.count

    @property
    def kb_each(self) -> float:
        """The kilobytes written for each message."""
        return self.written / 1000 / self.count

    def within(self, share: float) -> float:
        """Return the milliseconds within which that share was answered."""
        ordered = sorted(self.ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Gateway:
    """A gateway that runs."""

    def __init__(self, build: Build, at: Ground, folder: Path, sink_: Sink, **options: Any) -> None:
        self.build, self.at, self.folder, self.sink = build, at, folder, sink_
        self.providers = options.get("providers", 1)
        self.probed = options.get("probed", False)
        self.extra: Mapping[str, str] = options.get("extra", {})
        self.node = options.get("node", "bench")
        self.port, self.status_port = free_ports(2)
        self.settings = folder / "gateway.toml"
        self.process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self.process is not None
        return self.process.pid

    @property
    def database(self) -> Path:
        """Where it keeps what was promised."""
        return self.folder / "state" / "gateway.db"

    def prepare(self) -> None:
        """Make its folders and write its settings."""
        for name in ("state", "run", *(f"spool/p{n}" for n in range(self.providers))):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.settings.write_text(self._written(), "utf-8")

    async def start(self) -> tuple[float, float]:
        """Start it; return the seconds until it was ready, and the processor's."""
        arguments = ["run", "--config", str(self.settings)]
        command = self.build.command(*arguments)
        if self.probed:
            probe = [str(HERE / "probed.py"), str(self.folder / "probe")]
            command = [str(self.build.python), *probe, *arguments]
        log = (self.folder / "gateway.log").open("ab")
        began = time.monotonic()
        with log:
            self.process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=dict(self.build.environment),
            )
        await self._ready()
        return time.monotonic() - began, self.processor()

    async def _ready(self) -> None:
        url = f"http://127.0.0.1:{self.status_port}/readyz"
        async with asyncio.timeout(_SECONDS), aiohttp.ClientSession(trust_env=False) as session:
            while True:
                if self.process is None or self.process.returncode is not None:
                    words = (self.folder / "gateway.log").read_text("utf-8")[-2000:]
                    raise SystemExit(f"{self.build.name} does not start:\n{words}")
                with suppress(aiohttp.ClientError):
                    async with session.get(url) as response:
                        if response.status == 200:
                            return
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Ask it to stop, and wait for that."""
        if self.process is not None:
            await end(self.process)
            (self.folder / "probe").unlink(missing_ok=True)

    async def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        os.kill(self.pid, signal.SIGKILL)
        await self.process.wait()
        (self.folder / "probe").unlink(missing_ok=True)

    def processor(self) -> float:
        """Return the processor's seconds so far, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def written(self) -> int:
        """Return the bytes that it had the disk write so far."""
        told = Path(f"/proc/{self.pid}/io").read_text("ascii")
        return int(told.partition("\nwrite_bytes:")[2].split()[0])

    def megabytes(self, name: str = "VmRSS") -> float:
        """Return its resident memory: now, or at its most (`VmHWM`)."""
        told = Path(f"/proc/{self.pid}/status").read_text("ascii")
        return int(told.partition(f"{name}:")[2].split()[0]) / 1024

    async def quiet(self, seconds: float = _QUIET_SECONDS) -> None:
        """Wait until it has had nothing to do for so long, but for what its probes do."""
        most = seconds * _PROBES if self.probed else 0.0
        async with asyncio.timeout(_SECONDS):
            while True:
                before = self.processor()
                await asyncio.sleep(seconds)
                if self.processor() - before <= most:
                    return

    async def probe(self) -> dict[str, Any]:
        """Return what its probe has counted since it was last asked."""
        reader, writer = await asyncio.open_unix_connection(str(self.folder / "probe"))
        told: dict[str, Any] = json.loads(await reader.read())
        writer.close()
        return told

    async def run(self, *arguments: object) -> tuple[float, bytes]:
        """Run a command that asks it; return the seconds and what was printed."""
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *self.build.command(*arguments, "--config", self.settings),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(self.build.environment),
        )
        printed, _ = await process.communicate()
        if process.returncode:
            raise SystemExit(f"{arguments} of {self.build.name}: {printed.decode()}")
        return time.monotonic() - began, printed

    async def taking(self, count: int, **how: Any) -> Spent:
        """Let the EPR hand over so many messages on its socket."""
        told = {"socket": str(self.folder / "run" / "p0.sock"), "url": "http://gateway/messages"}
        return await self._loaded(told | {"services": THEIRS, "count": count} | how)

    async def receiving(self, count: int, **how: Any) -> Spent:
        """Let the proxy bring so many messages over mutual TLS."""
        return await self._loaded(self.inbound(count) | how)

    def inbound(self, count: int) -> dict[str, Any]:
        """Return what a caller is told who brings so many messages as the proxy."""
        url = f"https://127.0.0.1:{self.port}/FHIR/R4/$process-message"
        return self.at.proxy | {"url": url, "services": [OURS], "count": count}

    async def draining(self, count: int) -> Spent:
        """Open the sink, behind which so many wait; return once all are acknowledged."""
        spent, written = self.processor(), self.written()
        opened = await self.sink.do("open")
        seen = await self.sink.answered(count)
        await self.quiet()
        return Spent(
            count,
            seen["last"] - opened["now"],
            self.processor() - spent,
            self.written() - written,
        )

    async def _loaded(self, told: dict[str, Any]) -> Spent:
        async with caller_of(told) as caller:
            await self.quiet()
            spent, written = self.processor(), self.written()
            seconds, ms = await caller.go()
            await self.quiet()
            spent, written = self.processor() - spent, self.written() - written
        return Spent(told["count"], seconds, spent, written, ms)

    def _written(self) -> str:
        theirs = self.at.made / "gateways" / "hospital"
        registered = json.loads((theirs / "gateway.json").read_text("utf-8"))
        url = f"https://127.0.0.1:{self.sink.port}"
        providers = "".join(self._provider(n, theirs, registered) for n in range(self.providers))
        more = {table: self.extra.get(table, "") for table in ("outbound", "store")}
        return f"""\
environment = "local"
node = "{self.node}"
state_dir = "{self.folder}/state"
{providers}
[outbound]
{more["outbound"]}
token_url = "{self.extra.get("token", f"{url}/token")}"
proxy_url = "{url}"
ca_file = "{self.at.made}/authorities/national.pem"
requests_per_minute = 100000
target_check_seconds = 0

[inbound]
listen = "127.0.0.1:{self.port}"
certificate_file = "{theirs}/server.pem"
private_key_file = "{theirs}/server.key"
client_ca_file = "{self.at.made}/authorities/receivers.pem"
allowed_client_names = ["{self.at.client_name}"]

[epr]
socket_dir = "{self.folder}/run"

[store]
minimum_free_bytes = 0
{more["store"]}

[status]
listen = "127.0.0.1:{self.status_port}"
"""

    def _provider(self, number: int, theirs: Path, registered: Mapping[str, str]) -> str:
        key = self.folder / f"p{number}.key"
        shutil.copy(theirs / "jwt.key", key)
        services = [OURS, "2000000101"] if number == 0 else [f"2000{number:06}"]
        named = ", ".join(f'"{_SYSTEM}{value}"' for value in services)
        return f"""
[providers.p{number}]
ods_code = "ZX{number:03}"
name = "Benchmark"
services = [{named}]
key_id = "{registered["key_id"]}"
api_key = "{registered["api_key"]}{number or ""}"
private_key_file = "{key}"
spool_dir = "{self.folder}/spool/p{number}"
notices = "socket"
"""


@asynccontextmanager
async def running(
    build: Build, at: Ground, folder: Path, sink_: Sink, **options: Any
) -> AsyncIterator[Gateway]:
    """Run a gateway of *build* in *folder*, ready; stop it at the end."""
    gateway = Gateway(build, at, folder, sink_, **options)
    gateway.prepare()
    try:
        await gateway.start()
        yield gateway
    finally:
        await gateway.stop()


def middle(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)
