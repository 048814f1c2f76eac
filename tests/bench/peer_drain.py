"""Publishes messages to a quorum queue, drains it into the sink, prints the seconds (`peer`)."""

import asyncio
import json
import ssl
import sys
import time
import uuid
from typing import Any

import aio_pika
import aiohttp
import uvloop
from bodies import AS_IT_IS, body_of

IN_FLIGHT = 32
QUEUE = "referrals"


async def published(channel: aio_pika.abc.AbstractChannel, told: dict[str, Any]) -> None:
    """Put them into the queue; each is confirmed."""
    for start in range(0, told["count"], IN_FLIGHT):
        await asyncio.gather(
            *(
                channel.default_exchange.publish(
                    aio_pika.Message(
                        body_of(AS_IT_IS, told["receiver"]),
                        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                    ),
                    routing_key=QUEUE,
                )
                for _ in range(start, min(start + IN_FLIGHT, told["count"]))
            )
        )


async def drained(
    queue: aio_pika.abc.AbstractQueue, session: aiohttp.ClientSession, told: dict[str, Any]
) -> float:
    """Send them all; return the seconds."""
    left = told["count"]
    done = asyncio.Event()

    async def send(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        nonlocal left
        headers = {
            "Content-Type": "application/fhir+json",
            "X-Request-Id": str(uuid.uuid4()),
            "X-Correlation-Id": str(uuid.uuid4()),
        }
        async with session.post(told["url"], data=message.body, headers=headers) as response:
            await response.read()
            response.raise_for_status()
        await message.ack()
        left -= 1
        if not left:
            done.set()

    started = time.perf_counter()
    tag = await queue.consume(send)
    await done.wait()
    spent = time.perf_counter() - started
    await queue.cancel(tag)
    return spent


async def main(told: dict[str, Any]) -> None:
    """Publish and drain for each line of the input."""
    context = ssl.create_default_context(cafile=told["authority"])
    connector = aiohttp.TCPConnector(ssl=context, limit=IN_FLIGHT)
    async with (
        await aio_pika.connect(told["amqp"]) as connection,
        aiohttp.ClientSession(connector=connector, trust_env=False) as session,
    ):
        channel = await connection.channel(publisher_confirms=True)
        await channel.set_qos(prefetch_count=IN_FLIGHT)
        queue = await channel.declare_queue(
            QUEUE, durable=True, arguments={"x-queue-type": "quorum"}
        )
        while await asyncio.to_thread(sys.stdin.readline):
            await published(channel, told)
            print(await drained(queue, session, told), flush=True)


uvloop.run(main(json.loads(sys.argv[1])))
