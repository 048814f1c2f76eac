"""
Keeps what a release leaves behind, small, so that every later one is tried on it.

    python tests/support/kept_release.py       make tests/upgrades/VERSION, with the version of now
    kept_world(tests/upgrades/0.2.0, folder)   both its gateways, begun by the program of now;
                                               where tests run on a server, in a database of there

Everything in it was done by gateways in a world of their own (`world`), by their doors and by the
commands of an operator. Two days and a morning of spring 2026, by a clock that stands where it is
told to: two starts, so that days are sealed, and then the moment at which both machines lose their
power. The names are always the same; the ids are not.

    NAME.tar.xz    settings with @…@ for what each world has of its own, keys, state and spool
    kept.json      the version, the moment, and what went under which X-Request-Id
    promised.json  the names that other people's programs hold it to (`promised`)

A day's work of another year goes by the same clock, so nothing kept here grows too old to be sent.
"""

import asyncio
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).parent.parent.parent
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests")]

import engines  # noqa: E402
from bookings import booking  # noqa: E402
from dying_migration import up_to  # noqa: E402
from messages import referral, validation_request  # noqa: E402
from promised import promised  # noqa: E402
from world import (  # noqa: E402
    SYSTEM,
    Node,
    World,
    _with_signing_key,
    eventually,
    headers,
    in_time,
    post,
)

from bars_gateway import __version__  # noqa: E402
from bars_gateway.config import describe  # noqa: E402
from bars_gateway.daemon import gateway  # noqa: E402
from bars_gateway.demo.messages import response  # noqa: E402
from bars_gateway.onboarding.encryption import add_key  # noqa: E402
from bars_gateway.sandbox import registry  # noqa: E402
from bars_gateway.sandbox.server import Sandbox, SandboxSettings  # noqa: E402

KEPT = ROOT / "tests" / "upgrades"
BEGAN = datetime(2026, 3, 2, 9, tzinfo=UTC)
NAMES = {"ambulance": "2000000101", "hospital": "2000000202"}
NOWHERE = "00000000-0000-4000-8000-000000000000"
DOWN = {"kind": "status", "status": 503, "count": 100_000}
_LATER = ("-wal", "-shm")  # of a copy that was made whole
ORDER = ("--why", "INC-7", "--by", "jo")


class Clock:
    """The time, which goes on from where it was set, and leaps where it is told to."""

    def __init__(self, at: datetime) -> None:
        self._at, self._since = at, time.monotonic()

    def __call__(self) -> datetime:
        """Return what it is."""
        return self._at + timedelta(seconds=time.monotonic() - self._since)

    def leap(self, to: datetime) -> None:
        """Let it be *to*."""
        self._at, self._since = to, time.monotonic()


class KeptNode(Node):
    """A gateway whose settings are those of its release, once it has any."""

    written: str | None = None

    def _toml(self) -> str:
        if self.written is None:
            return super()._toml()
        text = self.written
        for name, value in self._own().items():
            text = text.replace(name, value)
        if engines.on_server():
            text = text.replace("[store]\n", f'[store]\nurl = "{engines.url_of(self.database)}"\n')
        return text

    def _own(self) -> Mapping[str, str]:
        """Return what is this world's own, by what stands for it."""
        return {
            "@WORLD@": str(self.folder.parent),
            "@TOKEN_URL@": self._sandbox.token_url,
            "@PROXY_URL@": self._sandbox.proxy_url,
            "@LISTEN@": f"127.0.0.1:{self._port}",
        }

    def settings_to_keep(self) -> str:
        """Return its settings, with what stands for this world's own."""
        text = self._toml()
        for name, value in self._own().items():
            text = text.replace(value, name)
        return text


@contextmanager
def going_by(clock: Clock) -> Iterator[None]:
    """Let gateways go by *clock*, and certificates hold until nobody reads this any more."""
    with (
        mock.patch.object(gateway, "now", clock),
        mock.patch.object(registry, "_LIFETIME", timedelta(days=36_500)),
    ):
        yield


@contextmanager
def _in_files() -> Iterator[None]:
    """Let gateways keep everything in a file, whatever the test around this has in mind."""
    on_server = engines.on_server()
    engines.use(engines.SQLITE)
    try:
        yield
    finally:
        engines.use(engines.POSTGRESQL if on_server else engines.SQLITE)


@asynccontextmanager
async def _world(folder: Path, clock: Clock) -> AsyncIterator[tuple[World, asyncio.TaskGroup]]:
    """Yield a world whose gateways are not begun, and the group to begin them in."""
    settings = SandboxSettings(folder=folder / "sandbox", key_bits=2048, now=clock)
    async with Sandbox(settings) as sandbox, asyncio.TaskGroup() as group:
        nodes = [KeptNode(name, code, folder / name, sandbox) for name, code in NAMES.items()]
        try:
            yield World(sandbox, *nodes, folder), group
        finally:
            for node in nodes:
                await node.stop()


@asynccontextmanager
async def kept_world(
    kept: Path, folder: Path
) -> AsyncIterator[tuple[World, dict[str, Any], Clock]]:
    """Begin both gateways of *kept* in *folder*; yield them, what is known, and the time."""
    known = json.loads((kept / "kept.json").read_bytes())
    clock = Clock(datetime.fromisoformat(known["at"]) + timedelta(minutes=1))
    with going_by(clock):
        async with _world(folder, clock) as (world, group):
            for node in (world.ambulance, world.hospital):
                unpacked(kept, node, folder)
                await node.register()
                if engines.on_server():
                    await _moved_to_server(node)
            for node in (world.ambulance, world.hospital):
                await node.start(group)
            yield world, known, clock


async def _moved_to_server(node: KeptNode) -> None:
    """Let a server's database hold what is in its file, as that release would have left it."""
    url = engines.url_of_empty(node.database)
    with _in_files():
        ((schema,),) = node.ask("PRAGMA user_version")
        with up_to(schema):
            await node.ran("store", "copy", "--to", url)


def released() -> list[str]:
    """Return the versions that are kept, the latest last."""
    found = [folder.name for folder in KEPT.iterdir() if (folder / "kept.json").exists()]
    return sorted(found, key=lambda name: [int(part) for part in name.split(".")])


def take_out(archive: tarfile.TarFile, folder: Path) -> None:
    """Unpack it, without what could harm where Python knows how: 3.11.2, Debian 12's, does not."""
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
    else:
        archive.extractall(folder)


def unpacked(kept: Path, node: KeptNode, folder: Path) -> None:
    """Put into *folder* what *kept* holds of *node*."""
    with tarfile.open(kept / f"{node.name}.tar.xz") as archive:
        take_out(archive, folder)
    registered = folder / "sandbox" / "gateways" / node.name
    registered.mkdir(mode=0o700, parents=True)
    for file in ("jwt.key", "jwks.json"):  # its certificate and address are the new world's
        (node.folder / "registered" / file).rename(registered / file)
    shutil.rmtree(node.folder / "registered")
    settings = node.folder / "settings.kept"
    node.written = settings.read_text("utf-8")
    settings.unlink()


async def make(target: Path) -> None:
    """Live two days and a morning, and keep in *target* what they have left."""
    with tempfile.TemporaryDirectory(prefix="kept") as name:
        folder, clock = Path(name), Clock(BEGAN)
        with going_by(clock), _in_files():
            async with _world(folder, clock) as (world, group):
                known = await _life(world, group, clock, folder)
        target.mkdir(parents=True)
        for node in NAMES:
            (target / f"{node}.tar.xz").write_bytes(_packed(folder / "kept", node, BEGAN))
        for file, kept in (
            ("kept.json", {"version": __version__, **known}),
            ("promised.json", promised()),
        ):
            (target / file).write_text(f"{json.dumps(kept, indent=1)}\n", "utf-8")


async def _life(
    world: World, group: asyncio.TaskGroup, clock: Clock, folder: Path
) -> dict[str, Any]:
    ambulance, hospital = world.ambulance, world.hospital
    for node in (ambulance, hospital):
        _with_signing_key(node.name, folder / "sandbox" / "gateways" / node.name)
        await node.register()
    ring = hospital.folder / "keys" / "encryption.keys"
    ring.parent.mkdir(mode=0o700)
    add_key(ring, clock())
    hospital.store += f'encryption_keys_file = "{ring}"\n'
    hospital.asked = 'questions = "folder"'
    ambulance.outbound = "target_check_seconds = 0\nread_before_cancel = false"
    for node in (ambulance, hospital):
        await node.start(group)
    ids = await _first_day(world)
    clock.leap(BEGAN + timedelta(days=40))
    for node in (ambulance, hospital):
        await node.restart()
    await ambulance.outcome(ids["unconfirmed"])
    world.sandbox.faults.clear()
    await _second_day(world, ids)
    clock.leap(BEGAN + timedelta(days=41))
    for node in (ambulance, hospital):
        await node.restart()
    return await _last_morning(world, ids, clock, folder)


async def _first_day(world: World) -> dict[str, str]:
    """Leave one that arrived, one in quarantine, one refused, and one without an answer."""
    ambulance, hospital = world.ambulance, world.hospital
    ids = {}
    for name, body, state in (
        ("acknowledged", referral(), "acknowledged"),
        ("answered", validation_request(), "acknowledged"),
        ("refused", referral(receiver=f"{SYSTEM}|2000000999"), "refused"),
    ):
        ids[name] = (await ambulance.sent(f"{name}.json", body))["request_id"]
        outcome = await ambulance.outcome(ids[name])
        _require(outcome["state"] == state, f"{name} is {outcome['state']}")
    ambulance.drop("malformed.json", b"{")
    await ambulance.document("outbox/refused/malformed.reason.json")
    answers = await eventually(lambda: hospital.files("inbox/new/*.answer.json"))
    orphan = response(answers[-1].read_bytes(), encounter="finished", responds_to=NOWHERE)
    status, _, _ = await post(world, orphan, headers(ambulance.service), node=ambulance)
    _require(status == 404, f"the orphan was answered with {status}")
    world.sandbox.faults.arm({"kind": "drop_before", "count": 100_000})
    ids["unconfirmed"] = (await ambulance.sent("unconfirmed.json", referral()))["request_id"]
    await in_time(lambda: _attempted(ambulance, ids["unconfirmed"]))
    return ids


async def _second_day(world: World, ids: Mapping[str, str]) -> None:
    """Put a record under legal hold, and purge the rest of a month ago."""
    await world.ambulance.ran("hold-record", ids["answered"], *ORDER)
    for node in (world.ambulance, world.hospital):
        await node.ran("purge", *ORDER)


async def _last_morning(
    world: World, ids: dict[str, str], clock: Clock, folder: Path
) -> dict[str, Any]:
    """Leave one unread, one held, one that waits, one on its way, and an open question."""
    ambulance, hospital = world.ambulance, world.hospital
    ids["unread"] = (await ambulance.sent("unread.json", referral()))["request_id"]
    await ambulance.outcome(ids["unread"])
    asked, body = headers(), booking()
    posted = asyncio.create_task(post(world, body, asked))
    (question, *_) = await eventually(lambda: hospital.files("questions/new/*.question.json"))
    world.sandbox.faults.arm({"kind": "delay", "seconds": 5, "count": 1})
    ids["sending"] = (await ambulance.sent("sending.json", referral()))["request_id"]
    await in_time(lambda: _is(ambulance, ids["sending"], "sending"))
    world.sandbox.faults.clear()
    world.sandbox.faults.arm(DOWN)
    for name in ("queued", "held"):
        ids[name] = (await ambulance.sent(f"{name}.json", referral()))["request_id"]
        await in_time(lambda name=name: _attempted(ambulance, ids[name]))
    while (await ambulance.typed("hold", ids["held"], *ORDER)).code:  # on its way at the moment
        await asyncio.sleep(0.05)
    at = clock()
    for node in (ambulance, hospital):
        await asyncio.to_thread(_photograph, node, folder / "kept" / node.name)
    _require(await _is(ambulance, ids["sending"], "sending"), "the proxy has answered too soon")
    # What its EPR renames in while nobody is there to collect it.
    dropped = folder / "kept" / ambulance.name / "spool" / "outbox" / "new" / "dropped.json"
    dropped.write_bytes(referral())
    world.sandbox.faults.clear()
    posted.cancel()
    with suppress(asyncio.CancelledError):
        await posted
    return {
        "at": at.isoformat(timespec="milliseconds"),
        "question": int(question.name.partition(".")[0]),
        "settings": sorted(
            {each.key for node in (ambulance, hospital) for each in describe(node.settings())}
        ),
        "asked": asked["X-Request-Id"],
        "asked_about": body.decode(),
        "request_ids": ids,
    }


async def _attempted(node: Node, request_id: str) -> bool:
    found = await node.history(request_id)
    return found is not None and bool(found.attempts)


async def _is(node: Node, request_id: str, state: str) -> bool:
    found = await node.history(request_id)
    return found is not None and found.message.state == state


def _require(holds: object, otherwise: str) -> None:
    if not holds:
        raise SystemExit(f"Nothing is kept: {otherwise}.")


def _photograph(node: KeptNode, target: Path) -> None:
    """Copy what is on its disk at this moment, as a power cut leaves it."""
    target.mkdir(parents=True)
    with (
        closing(sqlite3.connect(node.database)) as source,
        closing(sqlite3.connect(target / "gateway.db")) as copy,
    ):
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    left_out = shutil.ignore_patterns(node.database.name, *(f"*{end}" for end in _LATER), "*.sock")
    shutil.copytree(node.registered.folder, target / "registered", ignore=left_out)
    for part in ("state", "spool", "keys"):
        if (node.folder / part).is_dir():
            shutil.copytree(node.folder / part, target / part, ignore=left_out)
    (target / "gateway.db").rename(target / "state" / node.database.name)
    (target / "settings.kept").write_text(node.settings_to_keep(), "utf-8")


def _packed(folder: Path, name: str, at: datetime) -> bytes:
    """Return the archive of *name* below *folder*, in an order and with times of its own."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz", preset=9) as archive:
        for file in [folder / name, *sorted((folder / name).rglob("*"))]:
            entry = archive.gettarinfo(file, str(file.relative_to(folder)))
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            entry.mtime = int(at.timestamp())
            with file.open("rb") if file.is_file() else io.BytesIO() as content:
                archive.addfile(entry, content)
    return packed.getvalue()


def main() -> None:
    """Keep this version, unless it has been tagged: what is out is as it was."""
    target = KEPT / __version__
    tags = subprocess.run(
        ["git", "tag", "--list", f"v{__version__}"], cwd=ROOT, capture_output=True, check=False
    ).stdout
    if tags.strip():
        raise SystemExit(f"{__version__} is tagged: {target} stays as it is.")
    shutil.rmtree(target, ignore_errors=True)
    os.umask(0o022)
    asyncio.run(make(target))
    size = sum(file.stat().st_size for file in target.iterdir())
    print(
        f"{target.relative_to(ROOT)}: {size / 1000:.0f} kB. Add it, and commit it with the version."
    )


if __name__ == "__main__":
    main()
