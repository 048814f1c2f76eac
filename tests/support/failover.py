"""
A failover, rehearsed: the primary is killed under load, and its synchronous standby is promoted.

    two nodes of one organisation ─► primary ══► standby          `make failover`
                                  └─────────────► standby, once it is promoted

Messages go both ways meanwhile, and a Sender hands over one after the other. What was acknowledged
to it, and whatever was dropped, is there once in the end, or the drill fails; how long nobody was
served is measured.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import aiohttp
from messages import referral
from postgres_server import NOBODY, PostgresServer, postgres_server
from two_nodes import (
    ARRIVED,
    Strain,
    check,
    drop_again,
    drop_all,
    rows_of,
    two_nodes,
    until_read,
    until_sent,
)
from world import World, eventually, headers, post

LOAD = Strain(conversations=60, kills=0, stops=0, cuts=0, seconds=300)
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


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What a Sender has handed over, in a conversation of its own."""

    correlation_id: str
    bundle_id: str
    taken_at: float | None  # when it was acknowledged; None: it was not


class Sender:
    """Hands over one referral after the other, and remembers what was taken, and when."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.sent: list[Sent] = []

    def taken(self, since: float = 0.0) -> list[float]:
        """Return when something was acknowledged, later than that."""
        return [each.taken_at for each in self.sent if each.taken_at and each.taken_at > since]

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            given = headers(self._world.hospital.service)
            body = referral(
                sender=self._world.ambulance.service, receiver=self._world.hospital.service
            )
            status = 0
            try:
                async with asyncio.timeout(8):
                    status, _, _ = await post(self._world, body, given)
            except (aiohttp.ClientError, TimeoutError, ValueError):
                pass  # it was told nothing
            finally:  # also of what it was cancelled over: that may be there
                self.sent.append(
                    Sent(
                        correlation_id=given["X-Correlation-Id"],
                        bundle_id=json.loads(body)["id"],
                        taken_at=time.monotonic() if status == HTTPStatus.OK else None,
                    )
                )
            await asyncio.sleep(0.02)


async def drill(folder: Path, seed: int, load: Strain = LOAD) -> Mapping[str, object]:
    """
    Kill the primary under *load*, promote the standby, and compare; return what it cost.

    Raises AssertionError where anything that was acknowledged is lost, or anything is doubled.
    """
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
                dropping = group.create_task(drop_all(rng, world, nodes[:2], load))
                again = group.create_task(drop_again(nodes, done))
                await asyncio.sleep(load.conversations * rng.uniform(0.05, 0.08))  # amid them
                await eventually(sender.taken)
                primary.stop(signal.SIGQUIT)
                killed = time.monotonic()
                await asyncio.sleep(1.0)
                standby.promote()
                promoted = time.monotonic()
                dropped, sides = await dropping, (standby.url(name), world.ambulance.database)
                await eventually(lambda: sender.taken(promoted))
                await until_sent(sides, load)
                sending.cancel()
                await until_read(sides)
                done.set()
            ends = [await each.stop() for each in mortals]
            assert ends == [0, 0, 0], ends
            there = [str(bundle_id) for _, _, bundle_id in rows_of(sides[0], ARRIVED)]
            require_each_once(sender.sent, there)
            check(sides, nodes, dropped, again.result(), _conversations(sender.sent, there))
    served = sender.taken()
    before, after = max(at for at in served if at < killed), min(sender.taken(promoted))
    return {
        "seed": seed,
        "acknowledged": len(served),
        "lost": 0,
        "doubled": 0,
        "seconds without service": round(after - before, 2),
        "of them after the promotion": round(after - promoted, 2),
    }


def require_each_once(sent: Sequence[Sent], there: Sequence[str]) -> None:
    """Fail where what was acknowledged is not *there*, or anything is there twice; say how many."""
    lost = {each.bundle_id for each in sent if each.taken_at} - set(there)
    doubled = [each for each, times in Counter(there).items() if times > 1]
    assert not lost, f"FAILED: LOST: {len(lost)} of what was acknowledged: {sorted(lost)}"
    assert not doubled, f"FAILED: DOUBLED: {len(doubled)} messages: {sorted(doubled)}"


def _conversations(sent: Sequence[Sent], there: Sequence[str]) -> Mapping[str, list[str]]:
    """Return what is to be there of the Sender's: all it was told of, and the rest if it came."""
    return {
        each.correlation_id: [each.bundle_id]
        for each in sent
        if each.taken_at or each.bundle_id in there
    }


def main() -> None:
    """Rehearse it once."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(10**6)
    with tempfile.TemporaryDirectory(prefix="over") as folder:
        print(asyncio.run(drill(Path(folder), seed)))


if __name__ == "__main__":
    main()
