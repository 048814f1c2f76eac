"""
A disk with a volatile cache, for a virtual machine: what was written and not flushed can be lost.

    QEMU ──NBD, a Unix socket──► writes, in memory ──FLUSH, FUA──► the file of the image
                                        └──cut──► each block of 4 KiB: lost, or written by chance

Where QEMU is killed, what it wrote stays in the memory of the machine that it runs on, as if the
guest's disk had no cache at all: a power cut that loses something needs a disk of its own.

A disk that *lies* says FLUSH is done, and does it some seconds later: what a proof has to notice.
"""

import asyncio
import os
import random
import struct
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

BLOCK = 4096  # what is written whole or not at all
_MAGIC, _OPTION, _REPLY = 0x4E42444D41474943, 0x49484156454F5054, 0x3E889045565A9
_REQUEST, _SIMPLE = 0x25609513, 0x67446698
_FIXED, _NO_ZEROES = 1, 2
_EXPORT_NAME, _ABORT, _INFO, _GO = 1, 2, 6, 7
_ACK, _INFO_REPLY, _UNSUPPORTED = 1, 3, 0x80000001
_HAS_FLAGS, _SEND_FLUSH, _SEND_FUA = 1, 4, 8
_FLAGS = _HAS_FLAGS | _SEND_FLUSH | _SEND_FUA
_READ, _WRITE, _DISCONNECT, _FLUSH = range(4)
_FUA = 1  # of a request: on disk before it is answered
_NOT_SUPPORTED = 95

Blocks = dict[int, bytes]  # by number


@dataclass
class Cache:
    """What is in the file, and what was written since and is not."""

    file: int  # descriptor
    size: int  # bytes
    lies: float = 0.0  # seconds after which what was flushed is on disk; 0: at once
    unflushed: Blocks = field(default_factory=dict)
    flushed: deque[tuple[float, Blocks]] = field(default_factory=deque)  # said to be on disk
    flushes: int = 0

    def read(self, offset: int, length: int) -> bytes:
        """Return what was written there last."""
        self._let_pass()
        first, last = offset // BLOCK, (offset + length - 1) // BLOCK
        data = bytearray(os.pread(self.file, (last - first + 1) * BLOCK, first * BLOCK))
        for blocks in (*(each for _, each in self.flushed), self.unflushed):
            if blocks:
                for number in range(first, last + 1):
                    if (block := blocks.get(number)) is not None:
                        at = (number - first) * BLOCK
                        data[at : at + BLOCK] = block
        at = offset - first * BLOCK
        return bytes(data[at : at + length])

    def write(self, offset: int, data: bytes) -> None:
        """Keep *data* in memory."""
        at, end = offset, offset + len(data)
        while at < end:
            number, within = divmod(at, BLOCK)
            part = data[at - offset : at - offset + BLOCK - within]
            if len(part) < BLOCK:
                whole = bytearray(self.read(number * BLOCK, BLOCK))
                whole[within : within + len(part)] = part
                part = bytes(whole)
            self.unflushed[number] = part
            at += BLOCK - within

    def flush(self) -> None:
        """Write everything into the file; a disk that lies does so later."""
        self.flushes += 1
        if self.lies:
            self.flushed.append((time.monotonic(), self.unflushed))
            self._let_pass()
        else:
            self._store(self.unflushed)
        self.unflushed = {}

    def cut(self, rng: random.Random) -> tuple[int, int]:
        """
        Lose power: each block that was not flushed is lost, or by chance written all the same.

        In a fifth of the cuts all of them are lost, in another fifth none. Returns how many blocks
        were lost, of how many.
        """
        waiting, kept = self._outlive(rng)
        self._store(kept)
        self.unflushed, self.flushed = {}, deque()
        return waiting - len(kept), waiting

    def keep(self, to: Path, rng: random.Random) -> tuple[int, int]:
        """Write into *to* what a cut of this moment would leave, and lose nothing; as `cut`."""
        waiting, kept = self._outlive(rng)
        own = f"/proc/{os.getpid()}/fd/{self.file}"
        subprocess.run(["cp", "--sparse=always", own, to], check=True)
        with to.open("r+b") as image:
            _store(kept, image.fileno())
        return waiting - len(kept), waiting

    def _outlive(self, rng: random.Random) -> tuple[int, Blocks]:
        """Return how many blocks are not on disk, and those that get there all the same."""
        share = rng.choice([0.0, 0.2, 0.5, 0.8, 1.0])
        kept = {n: b for n, b in self.unflushed.items() if rng.random() < share}
        if self.flushed:  # something older is missing, which a disk would not lose first
            kept = {}
        return sum(len(blocks) for _, blocks in self.flushed) + len(self.unflushed), kept

    def _let_pass(self) -> None:
        while self.flushed and self.flushed[0][0] + self.lies < time.monotonic():
            self._store(self.flushed.popleft()[1])

    def _store(self, blocks: Blocks) -> None:
        _store(blocks, self.file)


def _store(blocks: Blocks, file: int) -> None:
    for first, data in _runs(blocks):
        os.pwrite(file, data, first * BLOCK)


def _runs(blocks: Blocks) -> Iterator[tuple[int, bytes]]:
    """Yield what belongs together: the first block's number, and the bytes of all."""
    run: list[bytes] = []
    first = 0
    for number in sorted(blocks):
        if run and number != first + len(run):
            yield first, b"".join(run)
            run = []
        if not run:
            first = number
        run.append(blocks[number])
    if run:
        yield first, b"".join(run)


class VolatileDisk:
    """Serves the image *file* at the socket *at*, to one machine at a time."""

    def __init__(self, file: Path, at: Path, *, lies: float = 0.0) -> None:
        self._file, self.at, self._lies = file, at, lies
        self.cache: Cache
        self._writes_left: int | None = None
        self._at_a_write: tuple[int, Callable[[], None]] | None = None
        self._stands = asyncio.Event()
        self._attached: asyncio.StreamWriter | None = None
        self._detached = asyncio.Event()

    async def __aenter__(self) -> Self:
        descriptor = os.open(self._file, os.O_RDWR)
        self.cache = Cache(descriptor, os.fstat(descriptor).st_size, self._lies)
        self._detached.set()
        self._server = await asyncio.start_unix_server(self._serve, self.at, limit=1 << 26)
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()
        if self._attached is not None:
            self._attached.transport.abort()
        await self._detached.wait()
        self.at.unlink(missing_ok=True)
        os.close(self.cache.file)

    async def stand_still(self, writes: int, seconds: float) -> None:
        """
        Return once nothing is done or answered any more: power is lost in that moment.

        It is lost with the last of so many writes from now on, which nobody hears of; or after
        those seconds, if nobody writes.
        """
        self._writes_left = writes
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stands.wait()
        self._writes_left = 0

    def at_a_write(self, writes: int, look: Callable[[], None]) -> None:
        """Call *look* with the last of so many writes from now on, before anybody hears of it."""
        self._at_a_write = writes, look

    async def cut(self, rng: random.Random) -> tuple[int, int]:
        """Lose power once the machine is dead; return how many blocks were lost, of how many."""
        await self._detached.wait()
        self._writes_left = None
        self._stands.clear()
        return self.cache.cut(rng)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._attached = writer
        self._detached.clear()
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                if await self._agreed(reader, writer):
                    await self._transmit(reader, writer)
        finally:
            writer.close()
            self._attached = None
            self._detached.set()

    async def _agreed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Agree on the one export that there is; False: they went away instead."""
        writer.write(struct.pack(">QQH", _MAGIC, _OPTION, _FIXED | _NO_ZEROES))
        await reader.readexactly(4)
        while True:
            _, option, length = struct.unpack(">QII", await reader.readexactly(16))
            await reader.readexactly(length)

            def reply(kind: int, data: bytes = b"", option: int = option) -> None:
                writer.write(struct.pack(">QIII", _REPLY, option, kind, len(data)) + data)

            if option == _EXPORT_NAME:
                writer.write(struct.pack(">QH", self.cache.size, _FLAGS))
                return True
            if option in {_INFO, _GO}:
                reply(_INFO_REPLY, struct.pack(">HQH", 0, self.cache.size, _FLAGS))
                reply(_INFO_REPLY, struct.pack(">HIII", 3, 512, BLOCK, 1 << 25))
                reply(_ACK)
            else:
                reply(_ACK if option == _ABORT else _UNSUPPORTED)
            if option in {_GO, _ABORT}:
                return option == _GO

    async def _transmit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Do what is asked, one request after the other."""
        cache = self.cache
        while True:
            head = await reader.readexactly(28)
            _, flags, command, handle, offset, length = struct.unpack(">IHHQQI", head)
            found, error = b"", 0
            if self._writes_left == 0:
                await self._ignore(reader)
                return
            if command == _READ:
                found = cache.read(offset, length)
            elif command == _WRITE:
                cache.write(offset, await reader.readexactly(length))
                if self._writes_left is not None:
                    self._writes_left -= 1
                    if self._writes_left == 0:
                        await self._ignore(reader)
                        return
                self._looked_at()
                if flags & _FUA:
                    cache.flush()
            elif command == _FLUSH:
                cache.flush()
            elif command == _DISCONNECT:
                return
            else:
                error = _NOT_SUPPORTED
            writer.write(struct.pack(">IIQ", _SIMPLE, error, handle) + found)
            await writer.drain()

    def _looked_at(self) -> None:
        if self._at_a_write is not None:
            left, look = self._at_a_write
            self._at_a_write = (left - 1, look) if left > 1 else None
            if left == 1:
                look()

    async def _ignore(self, reader: asyncio.StreamReader) -> None:
        """Do nothing any more, until they are gone."""
        self._stands.set()
        while await reader.read(1 << 20):
            pass
