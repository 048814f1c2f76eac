"""
What many would build on PostgreSQL instead: jobs of procrastinate, each a POST with aiohttp.

    deferred, committed ──► procrastinate_jobs ──► 32 under way ──POST──► sink.py ──► finished

It looks at nothing, answers nobody, keeps no record of what was said and tries nothing again. It
has a database of its own on the same server, its defaults, and the driver that the gateway has.
Where it cannot be installed (`jobs.lock`) a loud line says that this was left out; `PEER=none`
leaves it out.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from builds import HERE, ROOT
from peer import installed
from postgres_server import PostgresServer
from staging import OURS, Ground, Sink

_LEFT = "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
Drain = Callable[[], Awaitable[float]]


@asynccontextmanager
async def jobs(
    at: Ground, there: Sink, server: PostgresServer, count: int
) -> AsyncIterator[Drain | None]:
    """Yield what defers and works through *count* jobs, and returns the seconds from there."""
    folder = at.folder / "jobs"
    folder.mkdir()
    why = "PEER=none says so" if os.environ.get("PEER") == "none" else None
    if why is None and not installed(HERE / "jobs.lock", folder):
        why = "It cannot be installed"
    if why:
        print(f"\n*** LEFT OUT: the jobs of procrastinate. {why}. ***\n", file=sys.stderr)
        yield None
        return
    database = server.empty()
    told = {
        "database": database,
        "url": f"https://127.0.0.1:{there.port}/$process-message",
        "authority": str(at.made / "authorities" / "national.pem"),
        "receiver": OURS,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(HERE / "jobs_worker.py"), json.dumps(told)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=dict(os.environ) | {"PYTHONPATH": f"{folder}:{ROOT}"},
    )

    async def drain() -> float:
        """Count from where the sink opens, behind which 32 of them wait already."""
        await there.do("shut")
        process.stdin.write(f"{count}\n".encode())
        if not await process.stdout.readline():
            raise SystemExit("The worker of procrastinate ended early: see above.")
        opened = await there.do("open")
        seen = await there.answered(count)
        name = database.split("/")[3].partition("?")[0]
        while server.say(_LEFT, name) != [(0,)]:
            await asyncio.sleep(0.05)
        return seen["last"] - opened["now"]

    try:
        yield drain
    finally:
        process.stdin.close()
        await process.wait()
