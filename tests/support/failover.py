"""
A failover, rehearsed: the primary is killed under load, and its synchronous standby is promoted.

    two nodes of one organisation ─► primary ══► standby          `make failover`
                                  └─────────────► standby, once it is promoted

Messages go both ways meanwhile, and a Sender hands over one after the other. What was acknowledged
to it, and whatever was dropped, is there once in the end; how long nobody was served is measured.
"""

import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import aiohttp
from messages import referral
from postgres_server import NOBODY, PostgresServer, postgres_server
from two_nodes import Strain, asked_of, check, drop_again, drop_all, settled, two_nodes
from world import World, headers, post

LOAD = Strain(conversations=60, kills=0, stops=0, cuts=0)
_DURABLE = {"wal_level": "replica", "max_wal_senders": "4", "fsync": "on"}
_CAUGHT_UP = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"


class Standby(PostgresServer):
    """A server that follows another one, until it is promoted."""

    def follow(self, primary: PostgresServer) -> None:
        """Copy the other one, and follow it from there."""
        if os.geteuid() == 0:
            os.chown(self.folder, NOBODY, NOBODY)
        self._run(
            *("pg_basebackup", "-D", self.data, "-h", primary.folder, "-U", "bars"),
            *("-R", "-X", "stream", "-c", "fast", "--no-sync"),
        )
        self.start()

    def promote(self) -> None:
        """Follow no more: take changes."""
        self._run("pg_ctl", "promote", "-D", self.data, "-w")


@contextmanager
def pair() -> Iterator[tuple[PostgresServer, Standby]]:
    """Serve a primary, and a standby without which nothing is committed."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    standby = Standby(folder, _DURABLE)
    with postgres_server(_DURABLE) as primary:
        try:
            standby.follow(primary)
            primary.say("ALTER SYSTEM SET synchronous_standby_names = '*'")
            primary.say("SELECT pg_reload_conf()")
            until = time.monotonic() + 30
            while primary.say(_CAUGHT_UP) != [(1,)]:
                assert time.monotonic() < until, "the standby does not follow"
                time.sleep(0.1)
            yield primary, standby
        finally:
            standby.stop(signal.SIGQUIT)
            shutil.rmtree(folder, ignore_errors=True)


class Sender:
    """Hands over one referral after the other, and remembers what was taken, and when."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.taken: list[tuple[float, str]] = []  # when, and under which X-Request-Id

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            sent = headers(self._world.hospital.service)
            body = referral(
                sender=self._world.ambulance.service, receiver=self._world.hospital.service
            )
            try:
                async with asyncio.timeout(8):
                    status, _, _ = await post(self._world, body, sent)
            except (aiohttp.ClientError, TimeoutError, ValueError):
                status = 0
            if status == 200:
                self.taken.append((time.monotonic(), sent["X-Request-Id"]))
            await asyncio.sleep(0.02)


async def drill(folder: Path, seed: int) -> Mapping[str, object]:
    """Kill the primary under load, promote the standby, and compare; return what it cost."""
    rng = random.Random(seed)
    with pair() as (primary, standby):
        name = primary.ready().split("/")[3].partition("?")[0]
        url = f"postgresql://bars@/{name}?host={primary.folder},{standby.folder}"
        async with two_nodes(folder, url, rng) as (world, mortals):
            nodes, done = [each.node for each in mortals], asyncio.Event()
            await asyncio.gather(*(each.open() for each in mortals))
            sender = Sender(world)
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(sender.run())
                dropping = group.create_task(drop_all(rng, world, nodes[:2], LOAD))
                again = group.create_task(drop_again(nodes, done))
                await asyncio.sleep(rng.uniform(3, 5))
                primary.stop(signal.SIGQUIT)
                killed = time.monotonic()
                await asyncio.sleep(1.0)
                standby.promote()
                promoted = time.monotonic()
                expected, sides = await dropping, (standby.url(name), world.ambulance.database)
                async with asyncio.timeout(300):
                    while sum(map(settled, sides)) < LOAD.conversations * LOAD.each:
                        await asyncio.sleep(0.3)
                sending.cancel()
                done.set()
            ends = [await each.stop() for each in mortals]
            assert ends == [0, 0, 0], ends
            lost, doubled = _missing(sender, sides[0])
            _expect(sides[0], expected)
            check(sides, nodes, expected, again.result())
    served = [at for at, _ in sender.taken]
    before, after = max(at for at in served if at < killed), min(a for a in served if a > promoted)
    return {
        "seed": seed,
        "acknowledged": len(served),
        "lost": lost,
        "doubled": doubled,
        "seconds without service": round(after - before, 2),
        "of them after the promotion": round(after - promoted, 2),
    }


def _missing(sender: Sender, url: str) -> tuple[int, int]:
    """Return how many that were acknowledged are not there, or there twice."""
    query = "SELECT request_id FROM messages WHERE direction = 'inbound'"
    there = [str(each) for (each,) in asked_of(url, query)]
    wanted = {request_id for _, request_id in sender.taken}
    return len(wanted - set(there)), len(there) - len(set(there))


def _expect(url: str, expected: dict[str, list[str]]) -> None:
    """Let what the Sender handed over be expected, too: also what it was told nothing of."""
    query = "SELECT correlation_id, bundle_id FROM messages WHERE direction = 'inbound' ORDER BY id"
    for correlation_id, bundle_id in asked_of(url, query):
        expected.setdefault(str(correlation_id), [str(bundle_id)])


def main() -> None:
    """Rehearse it once."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(10**6)
    with tempfile.TemporaryDirectory(prefix="over") as folder:
        print(asyncio.run(drill(Path(folder), seed)))


if __name__ == "__main__":
    main()
