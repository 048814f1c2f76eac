"""A damaged database: no gateway starts on it or instead of it, and what is printed mends it."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from messages import referral
from world import Node, World, headers, post

pytestmark = pytest.mark.of_sqlite

PAGE = 8192


def overwritten(database: Path) -> None:
    """Put something else in the place of the file's beginning."""
    database.write_bytes(b"this is no database" * 100 + database.read_bytes()[1900:])


def torn(database: Path) -> None:
    """Lose pages in the middle, as a disk does that has gone bad."""
    content = bytearray(database.read_bytes())
    content[2 * PAGE : 40 * PAGE] = bytes(38 * PAGE)
    database.write_bytes(content)


def cut(database: Path) -> None:
    """Lose the second half."""
    database.write_bytes(database.read_bytes()[: database.stat().st_size // 2])


def emptied_beside_its_log(database: Path) -> None:
    """Lose all of the file, and have the log of what was written to it."""
    database.with_name(f"{database.name}-wal").write_bytes(b"what was promised")
    database.write_bytes(b"")


def removed_beside_its_log(database: Path) -> None:
    """Remove the file that is damaged, and forget its log."""
    emptied_beside_its_log(database)
    database.unlink()


def removed(database: Path) -> None:
    """Take the file and its log away, as somebody who wants to get rid of the damage does."""
    for file in database.parent.glob("gateway.db*"):
        if file.suffix != ".lock":
            file.unlink()


DAMAGES = pytest.mark.parametrize(
    "damage", [overwritten, torn, cut, emptied_beside_its_log, removed_beside_its_log, removed]
)


async def ran(node: Node, *arguments: str) -> tuple[int | None, str]:
    """Run `bars-gateway` to its end; return its code and what it complained of."""
    if arguments != ("run",):
        done = await node.typed(*arguments)
        return done.code, done.err
    process = await asyncio.create_subprocess_exec(
        *node.command(*arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaint = await process.communicate()
    return process.returncode, complaint.decode()


def kept(folder: Path) -> dict[str, bytes]:
    """Return the files of the database; an empty one is none."""
    files = (file for file in folder.glob("gateway.db*") if file.suffix != ".lock")
    return {file.name: body for file in files if (body := file.read_bytes())}


@DAMAGES
async def test_no_gateway_starts_on_it(world: World, damage: Callable[[Path], None]) -> None:
    """It ends with code 1 and says what to do; the files are as they were."""
    node = world.hospital
    await post(world, referral(), headers())
    await node.stop()
    damage(node.database)
    before = kept(node.database.parent)
    code, complaint = await ran(node, "run")

    assert 1 == code
    assert "bars-gateway restore FILE --older" in complaint
    assert before == kept(node.database.parent)


@DAMAGES
async def test_what_is_advised_mends_it(
    world: World, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """After the restore the gateway starts, and knows what the backup had."""
    node, body, sent = world.hospital, referral(), headers()
    await post(world, body, sent)
    backup = str(tmp_path / "backup.db")
    codes = [(await ran(node, "backup", backup))[0]]
    await node.stop()
    damage(node.database)
    codes += [(await ran(node, *step))[0] for step in (("verify",), ("verify", backup))]
    codes.append((await ran(node, "restore", backup, "--older"))[0])
    await node.restart()
    status, _, _ = await post(world, body, sent)

    assert [0, 1, 0, 0] == codes
    assert 409 == status
