"""
A virtual machine under QEMU, driven from outside: started, asked, and bereft of its power.

    Machine ─► qemu ─┬─ the disk ─► VolatileDisk
                     ├─ root's shell in there ─► a socket file
                     └─ its network ─► ports of 127.0.0.1, and no way anywhere else

It is emulated, which takes ten times as long; BARS_VM_ACCEL=kvm where KVM is at hand.
"""

import asyncio
import base64
import itertools
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from volatile_disk import VolatileDisk

PATIENCE = float(os.environ.get("BARS_VM_PATIENCE", "600"))  # seconds, of a start
_RELAY = Path(__file__).with_name("relay")
_OUTSIDE = "10.0.2.100"  # how the machine names what is relayed to this one


@dataclass(frozen=True)
class Ran:
    """How a command in there ended."""

    code: int
    said: str


class Machine:
    """
    One machine, of the kernel in *boot*, with *disk* as its only one.

    *inward*: port here → port in there. *outward*: the ports of 127.0.0.1 here that may be reached
    from in there, by the same number at 127.0.0.1. Set *hears* to get each line that somebody in
    there writes to the port `told`.
    """

    def __init__(
        self,
        boot: Path,
        disk: VolatileDisk,
        folder: Path,
        *,
        inward: Mapping[int, int],
        outward: Sequence[int],
        options: str = "",
    ) -> None:
        self._boot, self._disk, self._folder = boot, disk, folder
        self._inward, self._outward, self._options = inward, outward, options
        self.hears: Callable[[str], object] = len
        self._listening: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._numbers = itertools.count()
        self._one_at_a_time = asyncio.Lock()
        self.console = folder / "console.log"

    async def start(self) -> float:
        """Switch it on; return after how many seconds root's shell answers."""
        begun = time.monotonic()
        at, told = self._folder / "operator", self._folder / "told"
        for each in (at, told):
            each.unlink(missing_ok=True)
        with (self._folder / "qemu.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._words(at, told), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        async with asyncio.timeout(PATIENCE):
            while not (at.exists() and told.exists()):
                assert self._process.returncode is None, (self._folder / "qemu.log").read_text()
                await asyncio.sleep(0.05)
            self._reader, self._writer = await asyncio.open_unix_connection(at, limit=1 << 24)
            self._listening = asyncio.create_task(self._listen(told))
            await self.run("true", PATIENCE)
        return time.monotonic() - begun

    async def _listen(self, told: Path) -> None:
        """Hear every whole line, until the machine is gone."""
        reader, writer = await asyncio.open_unix_connection(told)
        with suppress(OSError):
            while (line := await reader.readline()).endswith(b"\n"):
                self.hears(line.decode().strip())
        writer.close()

    async def run(self, command: str, seconds: float = 120.0) -> Ran:
        """Let bash in there run *command* as root; return how that ended."""
        async with self._one_at_a_time:
            end = f"--end of {next(self._numbers)}: "
            script = base64.b64encode(command.encode()).decode()
            line = f'bash -c "$(echo {script} | base64 -d)" </dev/null 2>&1; echo "{end}$?"\n'
            self._writer.write(line.encode())
            await self._writer.drain()
            async with asyncio.timeout(seconds):
                said = (await self._reader.readuntil(end.encode())).decode(errors="replace")
                code = (await self._reader.readline()).decode()
        return Ran(int(code), said.removesuffix(end).strip())

    async def put(self, files: Mapping[str, bytes]) -> None:
        """Write files in there, by their paths; readable to all."""
        for path, content in files.items():
            text = base64.b64encode(content).decode()
            done = await self.run(f"mkdir -p $(dirname {path}) && echo {text} | base64 -d >{path}")
            assert done.code == 0, done.said

    async def stop(self) -> None:
        """Shut it down as its operator would."""
        assert self._process is not None
        self._writer.write(b"systemctl poweroff\n")
        async with asyncio.timeout(PATIENCE):
            await self._process.wait()
        await self._hang_up()

    async def cut(self, rng: random.Random) -> tuple[int, int]:
        """Cut its power in a write; return how many blocks were lost, of how many unflushed."""
        await self._disk.stand_still(rng.randint(1, 12), seconds=5.0)
        await self.kill()
        return await self._disk.cut(rng)

    async def kill(self) -> None:
        """End it this moment, whatever it does."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
            await self._hang_up()

    async def _hang_up(self) -> None:
        self._writer.close()
        if self._listening is not None:
            await self._listening

    async def wire(self) -> None:
        """Let 127.0.0.1 in there lead outwards, from now on and after every start."""
        for port in self._outward:
            await relay(self, f"outward-{port}", f"127.0.0.1:{port}", f"{_OUTSIDE}:{port}")

    def _words(self, at: Path, told: Path) -> list[str]:
        accel = os.environ.get("BARS_VM_ACCEL", "tcg")
        forwards = [f"hostfwd=tcp:127.0.0.1:{h}-10.0.2.15:{g}" for h, g in self._inward.items()]
        forwards += [f"guestfwd=tcp:{_OUTSIDE}:{p}-cmd:{_RELAY} {p}" for p in self._outward]
        kernel = f"root=LABEL=root rw console=ttyS0 net.ifnames=0 loglevel=5 {self._options}"
        words = {
            "accel": accel,
            # Where it is emulated, each level of the pages' tables takes its time.
            "cpu": "host" if accel == "kvm" else "max,la57=off",
            "m": "1280",
            "smp": "1",
            "kernel": str(self._boot / "vmlinuz"),
            "initrd": str(self._boot / "initrd.img"),
            "append": kernel,
            "display": "none",
            "serial": f"file:{self.console}",
            "netdev": ",".join(["user", "id=net", "restrict=on", *forwards]),
        }
        more = (
            *("-drive", f"file=nbd+unix:///?socket={self._disk.at},format=raw,if=none,id=disk"),
            *("-device", "virtio-blk-pci,drive=disk,write-cache=on"),
            *("-device", "virtio-net-pci,netdev=net"),
            *("-device", "virtio-rng-pci"),
            *("-device", "virtio-serial-pci"),
            *("-chardev", f"socket,id=operator,path={at},server=on,wait=off"),
            *("-device", "virtserialport,chardev=operator,name=operator"),
            *("-chardev", f"socket,id=told,path={told},server=on,wait=off"),
            *("-device", "virtserialport,chardev=told,name=told"),
        )
        pairs = [word for name, value in words.items() for word in (f"-{name}", value)]
        return ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", *pairs, *more]


async def relay(machine: Machine, name: str, listen: str, to: str, user: str = "nobody") -> None:
    """Let systemd in there hand on what comes at *listen*, at this and every later start."""
    units = {
        f"{name}.socket": f"[Socket]\nListenStream={listen}\nFreeBind=yes\n"
        "[Install]\nWantedBy=sockets.target\n",
        f"{name}.service": f"[Service]\nUser={user}\n"
        f"ExecStart=/usr/lib/systemd/systemd-socket-proxyd {to}\n",
    }
    await machine.put({f"/etc/systemd/system/{file}": t.encode() for file, t in units.items()})
    done = await machine.run(f"systemctl daemon-reload && systemctl enable --now {name}.socket")
    assert done.code == 0, done.said
