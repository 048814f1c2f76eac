"""The disk of a machine whose power is cut: what it keeps, and what it loses."""

import asyncio
import random
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from volatile_disk import BLOCK, VolatileDisk

SIZE = 64 * BLOCK
GO, READ, WRITE, FLUSH, FUA = 7, 0, 1, 3, 1


class Guest:
    """Speaks NBD as QEMU does."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def agree(self) -> int:
        """Choose the export; return its size."""
        assert b"NBDMAGICIHAVEOPT" == (await self._reader.readexactly(18))[:16]
        self._writer.write(struct.pack(">I", 3))
        self._writer.write(b"IHAVEOPT" + struct.pack(">IIIH", GO, 6, 0, 0))
        size = 0
        while True:
            _, _, kind, length = struct.unpack(">QIII", await self._reader.readexactly(20))
            data = await self._reader.readexactly(length)
            if kind == 1:
                return size
            if data[:2] == b"\0\0":
                (size,) = struct.unpack(">Q", data[2:10])

    async def ask(
        self, command: int, offset: int = 0, length: int = 0, data: bytes = b"", flags: int = 0
    ) -> bytes:
        head = struct.pack(">IHHQQI", 0x25609513, flags, command, 7, offset, length or len(data))
        self._writer.write(head + data)
        assert (0x67446698, 0, 7) == struct.unpack(">IIQ", await self._reader.readexactly(16))
        return await self._reader.readexactly(length)

    async def read(self, offset: int, length: int) -> bytes:
        return await self.ask(READ, offset, length)

    async def write(self, offset: int, data: bytes, flags: int = 0) -> None:
        await self.ask(WRITE, offset, data=data, flags=flags)


class LosesAll(random.Random):
    """Chance that keeps nothing of what was not flushed."""

    def choice(self, seq):
        return seq[0]


@asynccontextmanager
async def attached(disk: VolatileDisk) -> AsyncIterator[Guest]:
    reader, writer = await asyncio.open_unix_connection(disk.at)
    guest = Guest(reader, writer)
    assert SIZE == await guest.agree()
    yield guest
    writer.transport.abort()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "image"
    file.write_bytes(bytes(SIZE))
    return file


async def test_what_was_written_is_read_again(image: Path) -> None:
    """Also in the middle of blocks, and across several."""
    async with VolatileDisk(image, image.with_name("nbd")) as disk, attached(disk) as guest:
        await guest.write(BLOCK - 100, b"a" * (2 * BLOCK))
        seen = await guest.read(BLOCK - 200, 2 * BLOCK + 400)

        assert bytes(100) + b"a" * (2 * BLOCK) + bytes(300) == seen
        assert bytes(SIZE) == image.read_bytes()


@pytest.mark.parametrize("how", ["flush", "fua"])
async def test_a_cut_keeps_what_was_flushed(image: Path, how: str) -> None:
    """By a flush, or by a write that asks for it; what came later is lost."""
    async with VolatileDisk(image, image.with_name("nbd")) as disk:
        async with attached(disk) as guest:
            await guest.write(0, b"a" * BLOCK, FUA if how == "fua" else 0)
            if how == "flush":
                await guest.ask(FLUSH)
            await guest.write(BLOCK, b"b" * BLOCK)
        lost = await disk.cut(LosesAll(1))
        async with attached(disk) as guest:
            seen = await guest.read(0, 2 * BLOCK)

    assert (1, 1) == lost
    assert b"a" * BLOCK + bytes(BLOCK) == seen


async def test_a_cut_may_keep_any_part_of_what_was_not_flushed(image: Path) -> None:
    """Block by block, each whole: the order of the writes is nobody's promise."""
    kept = set()
    async with VolatileDisk(image, image.with_name("nbd")) as disk:
        for seed in range(20):
            image.write_bytes(bytes(SIZE))
            async with attached(disk) as guest:
                await guest.write(0, b"a" * SIZE)
            await disk.cut(random.Random(seed))
            blocks = [image.read_bytes()[at : at + BLOCK] for at in range(0, SIZE, BLOCK)]
            assert {bytes(BLOCK), b"a" * BLOCK} >= set(blocks)
            kept.add(tuple(map(any, blocks)))

    assert {(False,) * 64, (True,) * 64} < kept


async def test_a_disk_that_lies_loses_what_was_flushed(image: Path) -> None:
    """It says that it is done, and reads it back, and a cut shows that it was not."""
    async with VolatileDisk(image, image.with_name("nbd"), lies=1000) as disk:
        async with attached(disk) as guest:
            await guest.write(0, b"a" * BLOCK)
            await guest.ask(FLUSH)
            assert b"a" * BLOCK == await guest.read(0, BLOCK)
        lost = await disk.cut(random.Random(1))

    assert (1, 1) == lost
    assert bytes(SIZE) == image.read_bytes()


async def test_power_is_lost_in_a_write(image: Path) -> None:
    """In the second from now on: nobody hears of it, nor of anything later."""
    async with VolatileDisk(image, image.with_name("nbd")) as disk:
        async with attached(disk) as guest:
            standing = asyncio.create_task(disk.stand_still(2, seconds=20))
            await asyncio.sleep(0)
            await guest.write(0, b"a" * BLOCK)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(guest.write(BLOCK, b"b" * BLOCK), 0.1)
            await standing
        lost = await disk.cut(LosesAll(1))
        async with attached(disk) as guest:
            seen = await guest.read(0, 2 * BLOCK)

    assert (2, 2) == lost
    assert bytes(2 * BLOCK) == seen


async def test_a_moment_is_kept_in_a_write_and_nothing_is_lost(image: Path) -> None:
    """The copy is what a cut would have left, before the write is answered; the disk goes on."""
    kept: list[tuple[int, int]] = []
    copy = image.with_name("copy")
    async with VolatileDisk(image, image.with_name("nbd")) as disk, attached(disk) as guest:
        await guest.write(0, b"a" * BLOCK)
        await guest.ask(FLUSH)
        disk.at_a_write(2, lambda: kept.append(disk.cache.keep(copy, LosesAll(1))))
        await guest.write(BLOCK, b"b" * BLOCK)
        assert [] == kept
        await guest.write(2 * BLOCK, b"c" * BLOCK)
        assert [(2, 2)] == kept
        await guest.write(3 * BLOCK, b"d" * BLOCK)
        seen = await guest.read(0, 4 * BLOCK)

    assert b"a" * BLOCK + bytes(SIZE - BLOCK) == copy.read_bytes()
    assert b"".join(each * BLOCK for each in (b"a", b"b", b"c", b"d")) == seen


async def test_power_is_lost_also_where_nobody_writes(image: Path) -> None:
    """Once the time is over: what is asked later is not answered."""
    async with VolatileDisk(image, image.with_name("nbd")) as disk:
        async with attached(disk) as guest:
            await disk.stand_still(1, seconds=0.01)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(guest.ask(FLUSH), 0.1)
        assert (0, 0) == await disk.cut(random.Random(1))
