"""
Measures what two sick Receivers cost a third: `make bench`.

Messages to a Receiver that is well are submitted at a steady rate, first alone, and then
while one Receiver answers 503 to everything, another hangs for 45 s, and two hundred
messages wait for each of them. What counts is the time from accepted to acknowledged.
"""

import asyncio
import os
import random
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web

from bars_gateway import log
from bars_gateway.model.messages import Payload, Submission
from bars_gateway.outbound.budget import Budget
from bars_gateway.outbound.dispatcher import Dispatcher, Policy
from bars_gateway.outbound.egress import open_session
from bars_gateway.outbound.proxy import NO_ANSWER, Proxy
from bars_gateway.outbound.record_reads import Reconciler
from bars_gateway.outbound.token import NoToken
from bars_gateway.standard.reads import Unanswered
from bars_gateway.standard.timing import ROUTINE
from bars_gateway.standard.workflow import Move, RequestType
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.store import Store
from bars_gateway.tls.contexts import client_context

MESSAGES = int(os.environ.get("MESSAGES", "600"))
WAITING = 200  # for each of the sick
A_SECOND = 30
HANGS = 45.0  # seconds
REFUSING, HANGING, WELL = "service|503", "service|hangs", "service|well"
FHIR = "application/fhir+json"
UNAVAILABLE = (
    b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"transient",'
    b'"details":{"coding":[{"code":"REC_UNAVAILABLE"}]}}]}'
)


async def answer(request: web.Request) -> web.Response:
    """Answer as the Receiver that the message is for."""
    await request.read()
    receiver = request.headers["NHSD-Target-Identifier"]
    if receiver == REFUSING:
        return web.Response(status=503, body=UNAVAILABLE, content_type=FHIR)
    if receiver == HANGING:
        await asyncio.sleep(HANGS)
    ids = {name: request.headers[name] for name in ("X-Request-Id", "X-Correlation-Id")}
    return web.Response(body=b'{"resourceType":"Bundle"}', content_type=FHIR, headers=ids)


class TimedStore(Store):
    """Notes when each message of the Receiver that is well was accepted and settled."""

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)  # type: ignore[arg-type]
        self._settle, self.outbound.settle = self.outbound.settle, self._timed_settle
        self.accepted: dict[str, float] = {}
        self.spent: list[float] = []

    async def _timed_settle(self, claim, *arguments, **named):  # type: ignore[no-untyped-def]
        """Settle, and note how long ago the message was accepted."""
        await self._settle(claim, *arguments, **named)
        if claim.receiver == WELL:
            self.spent.append((time.perf_counter() - self.accepted[claim.request_id]) * 1000)


class Unread:
    """Reads that nobody answers: no duplicate comes from here."""

    async def ask(self, *_arguments: object) -> Unanswered:
        """Return silence."""
        return NO_ANSWER


async def submit(store: TimedStore, receiver: str) -> None:
    """Submit one message."""
    request_id, correlation_id = str(uuid.uuid4()), str(uuid.uuid4())
    headers = {
        "X-Request-Id": request_id,
        "X-Correlation-Id": correlation_id,
        "NHSD-Target-Identifier": receiver,
        "Content-Type": FHIR,
    }
    moment = datetime.now(UTC)
    submission = Submission(
        provider="bench",
        request_id=request_id,
        correlation_id=correlation_id,
        bundle_id=str(uuid.uuid4()),
        responds_to=None,
        focus_id=None,
        move=Move.REQUEST,
        request_type=RequestType.REFERRAL,
        use_case="a1t1",
        sender="service|bench",
        receiver=receiver,
        fingerprint=request_id,
        request=Payload(media_type=FHIR, headers=headers, body=bytes(8000)),
        needed_by=None,
        give_up_at=moment + timedelta(hours=2),
        delayed_at=moment + timedelta(minutes=5),
    )
    store.accepted[request_id] = time.perf_counter()
    await store.outbound.submit(submission, moment)


async def p99(folder: Path, url: str, *sick: str) -> float:
    """Return the 99th percentile, in ms, for the Receiver that is well."""
    async with (
        open_database(folder / f"{uuid.uuid4()}.db") as database,
        open_session(client_context(None), connections=64, connect_seconds=3) as session,
    ):
        store = TimedStore(database, node="bench")
        proxy = Proxy(
            session,
            url=url,
            budgets={"bench": Budget(10**6, monotonic=time.monotonic)},
            answer_seconds=HANGS,
            max_answer_bytes=2**20,
        )
        sources = {"bench": NoToken()}
        dispatcher = Dispatcher(
            store,
            sources,
            proxy,
            Policy(timing=lambda _use_case: ROUTINE),
            reconciler=Reconciler(
                store.reconciliations,
                store.asides,
                Unread(),
                now=lambda: datetime.now(UTC),
                new_id=str,
            ),
            now=lambda: datetime.now(UTC),
            rng=random.Random(1),
        )
        await asyncio.gather(*(submit(store, each) for each in sick for _ in range(WAITING)))
        running = asyncio.create_task(dispatcher.run())
        for _ in range(MESSAGES):
            await asyncio.sleep(1 / A_SECOND)
            await submit(store, WELL)
        while len(store.spent) < MESSAGES:
            await asyncio.sleep(0.05)
        running.cancel()  # what hangs would be waited for
        await asyncio.gather(running, return_exceptions=True)
        return sorted(store.spent)[int(MESSAGES * 0.99)]


async def main() -> None:
    """Print the figures."""
    log.configure("error")
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    with tempfile.TemporaryDirectory() as name:
        alone = await p99(Path(name), url)
        beside = await p99(Path(name), url, REFUSING, HANGING)
    await runner.cleanup()
    print(f"to acknowledged, alone        {alone:8.1f} ms p99")
    print(f"beside two that are sick      {beside:8.1f} ms p99")
    print(f"ratio of the two              {beside / alone:8.2f}")


if __name__ == "__main__":
    asyncio.run(main())
