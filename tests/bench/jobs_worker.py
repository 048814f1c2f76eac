"""Defers jobs for each line of its input, and works through them into the sink (`jobs`)."""

import asyncio
import json
import logging
import ssl
import sys
import uuid
from typing import Any

import aiohttp
import procrastinate
import uvloop
from bodies import AS_IT_IS, body_of

IN_FLIGHT = 32


async def main(told: dict[str, Any]) -> None:
    """Work until the input ends; a line says that as many jobs as it asked for are there."""
    context = ssl.create_default_context(cafile=told["authority"])
    connector = aiohttp.TCPConnector(ssl=context, limit=IN_FLIGHT)
    logging.getLogger("procrastinate").setLevel(logging.ERROR)  # that it is all in one file
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=told["database"]))
    async with (
        app.open_async(),
        aiohttp.ClientSession(connector=connector, trust_env=False) as session,
    ):
        await app.schema_manager.apply_schema_async()

        @app.task(name="send")
        async def send(body: str) -> None:
            headers = {
                "Content-Type": "application/fhir+json",
                "X-Request-Id": str(uuid.uuid4()),
                "X-Correlation-Id": str(uuid.uuid4()),
            }
            async with session.post(told["url"], data=body.encode(), headers=headers) as response:
                await response.read()
                response.raise_for_status()

        working = asyncio.create_task(
            app.run_worker_async(concurrency=IN_FLIGHT, install_signal_handlers=False)
        )
        while line := await asyncio.to_thread(sys.stdin.readline):
            bodies = [body_of(AS_IT_IS, told["receiver"]).decode() for _ in range(int(line))]
            await send.batch_defer_async(*({"body": body} for body in bodies))
            print("deferred", flush=True)
        working.cancel()


uvloop.run(main(json.loads(sys.argv[1])))
