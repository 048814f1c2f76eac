"""
Measures what the gateway does a second on this machine: `make bench`, `ROUNDS=9 make bench`.

Every figure is of the product's own parts: the store, the intake, the dispatcher with a
TLS stand-in for the proxy in a process of its own, and the listener with a caller in a
process of its own, all on these cores and on the loop that the gateway runs on. What is
cold is left out: a first round, and the handshakes. The rounds turn the order of what
they measure. Absolute figures move with the machine, and most with the disk beneath the
temporary folder (TMPDIR chooses another); each ratio is taken within its round. For
scale, `bare` does the least that an honest sender may do.
"""

import asyncio
import json
import os
import platform
import random
import sqlite3
import ssl
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
from aiohttp import web
from bare import send
from prometheus_client import CollectorRegistry

from bars_gateway import log
from bars_gateway.daemon import gateway
from bars_gateway.demo.messages import RECEIVER, SENDER, referral
from bars_gateway.demo.stage import Organisation, end, free_ports, start_gateway, start_sandbox
from bars_gateway.epr.envelope import Envelope
from bars_gateway.epr.intake import Intake
from bars_gateway.inbound.asking import Asking, Patience
from bars_gateway.inbound.connection import Callers
from bars_gateway.inbound.message_handler import MessageHandler
from bars_gateway.inbound.providers import Hosted
from bars_gateway.inbound.server import InboundServer
from bars_gateway.model.messages import OutboundState
from bars_gateway.outbound.budget import Budget
from bars_gateway.outbound.dispatcher import Dispatcher, Policy
from bars_gateway.outbound.egress import open_session
from bars_gateway.outbound.proxy import NO_ANSWER, Proxy
from bars_gateway.outbound.record_reads import Reconciler
from bars_gateway.outbound.token import NoToken
from bars_gateway.standard.applications import Offer
from bars_gateway.standard.formats import Format
from bars_gateway.standard.headers import SenderIdentity
from bars_gateway.standard.reads import Unanswered
from bars_gateway.standard.timing import ROUTINE
from bars_gateway.store.sqlite.database import SqliteDatabase, open_database
from bars_gateway.store.store import Store
from bars_gateway.tls.contexts import CurrentIdentity, client_context, load_identity

ROUNDS = int(os.environ.get("ROUNDS", "5"))
CALLERS = 32
MESSAGES = int(os.environ.get("MESSAGES", "640"))
RATIOS = (
    ("grouped to single commits", "store, grouped commits", "store, one commit each"),
    ("inbound to bare server", "inbound to 200", "bare server of the same"),
    ("outbound to bare loop", "outbound to acknowledged", "bare loop of the same"),
)
HERE = Path(__file__).parent
VERSIONS = {f"a{n}": ("1.0.0", "2.0.0") for n in range(1, 9)}
IDENTITY = SenderIdentity(
    ods_code="ZX901",
    organisation="Benchmark",
    software_name="bars_gateway",
    software_version="0",
    software_system="urn:bench",
    software_value="bench",
    core_version="1.5.0",
)


@dataclass(frozen=True)
class Run:
    """One workload, once."""

    rate: float  # messages a second
    ms: Sequence[float]  # of each message


def now() -> datetime:
    return datetime.now(UTC)


def new_id() -> str:
    return str(uuid.uuid4())


@asynccontextmanager
async def store_in(folder: Path, *, group_limit: int = 100) -> AsyncIterator[Store]:
    path = folder / f"{uuid.uuid4()}.db"
    async with open_database(path, group_limit=group_limit) as database:
        yield Store(database, node="bench")


def intake_of(store: Store) -> Intake:
    return Intake(
        store,
        provider="bench",
        identity=IDENTITY,
        offer=Offer(services=frozenset({SENDER}), applications=VERSIONS),
        timing=lambda _use_case: ROUTINE,
        now=now,
        new_id=new_id,
    )


async def by_callers(work: Sequence[object], do) -> Run:
    """Let 32 callers share the work; return the rate and the time that each piece took."""
    waiting = list(work)
    spent: list[float] = []

    async def caller() -> None:
        while waiting:
            piece = waiting.pop()
            started = time.perf_counter()
            await do(piece)
            spent.append((time.perf_counter() - started) * 1000)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(caller())
    return Run(len(work) / (time.perf_counter() - started), spent)


async def intake(folder: Path) -> Run:
    """Bytes checked and on disk."""
    async with store_in(folder) as store:
        door = intake_of(store)
        bodies = [referral() for _ in range(MESSAGES)]
        return await by_callers(bodies, lambda body: door.submit(body, Format.JSON, Envelope()))


async def commits(folder: Path, group_limit: int) -> Run:
    """Submissions on disk, everything before the store left out."""
    async with store_in(folder, group_limit=group_limit) as store:
        door = intake_of(store)
        ready = [await door.prepare(referral(), Format.JSON, Envelope()) for _ in range(MESSAGES)]
        return await by_callers(ready, lambda submission: store.outbound.submit(submission, now()))


class TimedStore(Store):
    """Remembers how long each message took from its claim to its settlement on disk."""

    def __init__(self, database: SqliteDatabase, *, expected: int) -> None:
        super().__init__(database, node="bench")
        self.expected = expected
        self._claim_next, self.outbound.claim_next = self.outbound.claim_next, self._timed_claim
        self._settle, self.outbound.settle = self.outbound.settle, self._timed_settle
        self.claimed: dict[int, float] = {}
        self.ms: list[float] = []
        self.done = asyncio.Event()

    async def _timed_claim(self, *arguments):
        claim = await self._claim_next(*arguments)
        if claim is not None:
            self.claimed[claim.message_id] = time.perf_counter()
        return claim

    async def _timed_settle(self, claim, *arguments, **named):
        await self._settle(claim, *arguments, **named)
        self.ms.append((time.perf_counter() - self.claimed[claim.message_id]) * 1000)
        if len(self.ms) == self.expected:
            self.done.set()


async def outbound(folder: Path, port: int, authority: Path) -> Run:
    """From the queue to acknowledged, each attempt and its settlement on disk."""
    async with open_session(
        client_context(authority), connections=CALLERS, connect_seconds=10
    ) as session:
        proxy = Proxy(
            session,
            url=f"https://127.0.0.1:{port}",
            budgets={"bench": Budget(10**6, monotonic=time.monotonic)},
            answer_seconds=45,
            max_answer_bytes=2**20,
        )
        await drained(folder, proxy, CALLERS)  # opens every connection
        return await drained(folder, proxy, MESSAGES)


async def bare(folder: Path, port: int, authority: Path) -> Run:
    """Do the least that an honest sender may do (`bare`), with the same sink."""
    connector = aiohttp.TCPConnector(ssl=client_context(authority), limit=CALLERS)
    url = f"https://127.0.0.1:{port}/$process-message"
    async with aiohttp.ClientSession(connector=connector) as session:
        for count in (CALLERS, MESSAGES):  # the first opens every connection
            bodies = [referral() for _ in range(count)]
            path = folder / f"{uuid.uuid4()}.db"
            seconds, spent = await send(session, url, path, bodies, CALLERS)
        return Run(MESSAGES / seconds, spent)


class Unread:
    """Reads that nobody answers: no duplicate comes from this sink."""

    async def ask(self, *_arguments: object) -> Unanswered:
        return NO_ANSWER


async def drained(folder: Path, proxy: Proxy, count: int) -> Run:
    """Queue messages for forty Receivers, so that none of them is the limit, and send them."""
    async with open_database(folder / f"{uuid.uuid4()}.db") as database:
        store = TimedStore(database, expected=count)
        door = intake_of(store)
        await by_callers(
            [referral(receiver=f"{RECEIVER[:-4]}{n % 40:04}") for n in range(count)],
            lambda body: door.submit(body, Format.JSON, Envelope()),
        )
        policy = Policy(timing=lambda _use_case: ROUTINE, max_in_flight=CALLERS)
        sources = {"bench": NoToken()}
        reconciler = Reconciler(
            store.reconciliations, store.asides, Unread(), now=now, new_id=new_id
        )
        rng = random.Random(1)
        dispatcher = Dispatcher(
            store, sources, proxy, policy, reconciler=reconciler, now=now, rng=rng
        )
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            group.create_task(dispatcher.run())
            await store.done.wait()
            seconds = time.perf_counter() - started
            dispatcher.stop()
        acknowledged = (await store.overview(now())).outbound[OutboundState.ACKNOWLEDGED]
        assert acknowledged == count, acknowledged
        return Run(count / seconds, store.ms)


async def inbound(folder: Path, sandbox: Path, rate: float = 0) -> Run:
    """Post over mutual TLS until the 200, each message with its acknowledgement on disk."""
    certificates = sandbox / "gateways" / "hospital"
    async with store_in(folder) as store:
        offer = Offer(services=frozenset({RECEIVER}), applications=VERSIONS)
        hosted = Hosted(
            provider="bench", ods_code="ZX902", offer=offer, case_number_system="urn:bench"
        )
        patience = Patience(proxy=timedelta(seconds=4.5), operator=timedelta(minutes=15))
        asking = Asking(store.questions, patience)
        authority = sandbox / "authorities" / "receivers.pem"
        identity = load_identity(
            certificates / "server.pem", certificates / "server.key", authority, now=now()
        )
        server = InboundServer(
            MessageHandler(store, [hosted], asking, now=now, new_id=new_id),
            CurrentIdentity(identity),
            host="127.0.0.1",
            port=0,
            callers=Callers(names=("bars-proxy.sandbox.local",)),
            registry=CollectorRegistry(),
            now=now,
        )
        server.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(server.run())
            url = f"https://127.0.0.1:{server.port}/$process-message"
            run = await loaded(url, sandbox, rate)
            server.stop()
        return run


async def loaded(url: str, sandbox: Path, rate: float = 0) -> Run:
    """Let the proxy call, as fast as it can or so many times a second."""
    authority = sandbox / "authorities" / "receivers.pem"
    own = sandbox / "national" / "proxy-client"
    certificate, key = own.with_suffix(".pem"), own.with_suffix(".key")
    found = json.loads(
        await output_of(HERE / "load.py", url, authority, certificate, key, MESSAGES, rate)
    )
    return Run(MESSAGES / found["seconds"], found["ms"])


async def bare_receiver(sandbox: Path) -> Run:
    """Answer the same calls with aiohttp alone: nothing is looked at, nothing kept."""
    certificates = sandbox / "gateways" / "hospital"
    context = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cafile=sandbox / "authorities" / "receivers.pem"
    )
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(body=await request.read(), content_type="application/fhir+json")

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        return await loaded(f"https://127.0.0.1:{runner.addresses[0][1]}/", sandbox)
    finally:
        await runner.cleanup()


async def output_of(script: Path, *arguments: object) -> bytes:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), *map(str, arguments), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, script
    return output


@asynccontextmanager
async def sink(sandbox: Path) -> AsyncIterator[int]:
    """Run the stand-in for the proxy; yield its port."""
    certificates = sandbox / "national"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "sink.py"),
        str(certificates / "server.pem"),
        str(certificates / "server.key"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        await end(process)


async def megabytes_of(folder: Path, organisation: Organisation, addresses) -> tuple[float, float]:
    """Resident memory of a real gateway: two seconds after it was ready, and at its most later."""
    gateway = await start_gateway(organisation, folder, addresses)
    status = Path(f"/proc/{gateway.pid}/status")
    try:
        await asyncio.sleep(2)
        idle = status.read_text("utf-8").partition("VmRSS:")[2]
        for _ in range(3):
            await loaded(f"{organisation.url}/$process-message", folder.parent / "sandbox")
        most = status.read_text("utf-8").partition("VmHWM:")[2]
    finally:
        await end(gateway)
    return int(idle.split()[0]) / 1024, int(most.split()[0]) / 1024


def organisation(ports: list[int]) -> Organisation:
    return Organisation(
        name="hospital",
        title="Benchmark",
        ods_code="ZX902",
        service=RECEIVER.rpartition("|")[2],
        notices="socket",
        port=ports[0],
        status_port=ports[1],
    )


def file_system_of(folder: Path) -> str:
    """Return the kind of the disk: on a tmpfs, durable means nothing."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    above = [mount for mount in mounts if folder.is_relative_to(mount[0])]
    return max(reversed(above), key=lambda mount: len(mount[0]))[1]  # the last covers the others


def show(name: str, runs: Sequence[Run]) -> None:
    rates = sorted(run.rate for run in runs)
    spent = sorted(ms for run in runs for ms in run.ms)
    print(
        f"{name:<28}{statistics.median(rates):8.0f}/s ({rates[0]:.0f} to {rates[-1]:.0f})"
        f"   p50 {spent[len(spent) // 2]:7.1f} ms   p99 {spent[len(spent) * 99 // 100]:7.1f} ms"
    )


def compare(name: str, one: Sequence[Run], other: Sequence[Run]) -> None:
    """Print the ratio of their rates, taken within each round."""
    ratios = sorted(a.rate / b.rate for a, b in zip(one, other, strict=True))
    middle = statistics.median(ratios)
    print(f"{name:<28}{middle:8.2f} times ({ratios[0]:.2f} to {ratios[-1]:.2f})")


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bars-gateway-bench-") as made:
        folder = Path(made)
        print(
            f"{os.cpu_count()} cores, Python {platform.python_version()} on"
            f" {type(asyncio.get_running_loop()).__module__}, SQLite {sqlite3.sqlite_version} on"
            f" {file_system_of(folder.resolve())}; {MESSAGES} messages of {len(referral()):,}"
            f" bytes, {CALLERS} callers, {ROUNDS} rounds"
        )
        hospital = organisation(free_ports(2))
        sandbox, addresses = await start_sandbox(
            folder / "sandbox", [hospital], folder / "sandbox.log"
        )
        await end(sandbox)
        idle, most = await megabytes_of(folder / "idle", hospital, addresses)
        runs: dict[str, list[Run]] = {}
        async with sink(folder / "sandbox") as port:
            await one_round(folder, port, {})  # cold, and left out
            for number in range(ROUNDS):
                await one_round(folder, port, runs, turned=bool(number % 2))
        for name, of_it in runs.items():
            show(name, of_it)
        for name, one, other in RATIOS:
            compare(name, runs[one], runs[other])
        print(f"idle memory                 {idle:8.0f} MB resident")
        print(f"memory under load           {most:8.0f} MB resident, at the most")


async def one_round(
    folder: Path, port: int, runs: dict[str, list[Run]], *, turned: bool = False
) -> None:
    sandbox = folder / "sandbox"
    authority = sandbox / "authorities" / "national.pem"
    workloads: dict[str, Callable[[], Coroutine[None, None, Run]]] = {
        "durable intake": lambda: intake(folder),
        "outbound to acknowledged": lambda: outbound(folder, port, authority),
        "bare loop of the same": lambda: bare(folder, port, authority),
        "inbound to 200": lambda: inbound(folder, sandbox),
        "inbound at 200 a second": lambda: inbound(folder, sandbox, 200),
        "bare server of the same": lambda: bare_receiver(sandbox),
        "store, grouped commits": lambda: commits(folder, 100),
        "store, one commit each": lambda: commits(folder, 1),
    }
    for name in reversed(workloads) if turned else workloads:
        runs.setdefault(name, []).append(await workloads[name]())


# The log is written as in life, but not to this terminal.
with Path(os.devnull).open("w") as nowhere:
    log.configure("info", nowhere)
    with asyncio.Runner(loop_factory=gateway._loop_factory()) as runner:
        runner.run(main())
