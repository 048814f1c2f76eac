"""
A PostgreSQL server of the tests' own: in a temporary folder, on a Unix socket alone.

    postgres_server() ─► initdb ─► postgres ─► empty databases, one each time it is asked

It is the machine's own, of the newest version there is (the package `postgresql`). PostgreSQL
refuses to run as root: there it runs as `nobody`. What is on its disk is not flushed, unless a
test is about just that.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
from engines import let_go, programs

from bars_gateway.keyring import CLEAR
from bars_gateway.store.postgresql import adapted, row_of
from bars_gateway.store.postgresql.schema import prepare

NOBODY = 65534
_PR_SET_PDEATHSIG = 1
FORGETFUL = {"fsync": "off", "full_page_writes": "off"}
_SETTINGS = {
    "listen_addresses": "''",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "autovacuum": "off",
    "log_min_messages": "warning",
}


class PostgresServer:
    """A server that can be stopped and started again, with databases that are made at a word."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder, self._settings = folder, {**_SETTINGS, **settings}
        self.data = folder / "data"
        self._programs = programs()
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)

    @property
    def _who(self) -> Mapping[str, object]:
        return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}

    def make(self) -> None:
        """Make its folder, with one superuser, `bars`, who needs no password."""
        if os.geteuid() == 0:
            os.chown(self.folder, NOBODY, NOBODY)
        command = ["initdb", "-D", self.data, "-U", "bars", "--auth=trust", "-E", "UTF8"]
        command += ["--locale=C", "--no-sync", "--no-instructions"]
        self._run(*command)

    def _run(self, program: str, *arguments: object) -> None:
        subprocess.run(
            [self._programs / program, *arguments],
            check=True,
            capture_output=True,
            cwd=self.folder,
            **self._who,
        )

    def start(self) -> None:
        """Start it, and return once it lets somebody in."""
        settings = [f"-c{name}={value.strip(chr(39))}" for name, value in self._settings.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.data, "-k", self.folder, *settings],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 # before any thread of ours
                **self._who,
            )
        until = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise
                time.sleep(0.02)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT at once and in order, SIGQUIT as by a power cut (`immediate`)."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def url(self, name: str) -> str:
        """Return how database *name* is reached."""
        return f"postgresql://bars@/{name}?host={self.folder}"

    def say(self, sql: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run *sql* there, as the superuser; return its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def empty(self) -> str:
        """Make an empty database, without a table; return its URL."""
        name = f"d{next(self._numbers)}"
        self.say(f"CREATE DATABASE {name} TEMPLATE template0")
        return self.url(name)

    def ready(self) -> str:
        """Make a database with the gateway's tables, and nothing in them; return its URL."""
        if not self.say("SELECT 1 FROM pg_database WHERE datname = 'ready'"):
            self.say("CREATE DATABASE ready TEMPLATE template0")
            with psycopg.connect(
                self.url("ready"), autocommit=True, row_factory=row_of
            ) as connection:
                prepare(adapted(connection), "ready", CLEAR)
        name = f"d{next(self._numbers)}"
        self.say(f"CREATE DATABASE {name} TEMPLATE ready STRATEGY file_copy")
        return self.url(name)

    def copy_of(self, url: str) -> str:
        """Make a database that is as that one, on which nobody works; return its URL."""
        let_go()
        name = f"d{next(self._numbers)}"
        self.say(f"CREATE DATABASE {name} TEMPLATE {_name_in(url)} STRATEGY file_copy")
        return self.url(name)

    @contextmanager
    def moved(self, url: str, disk: Path) -> Iterator[None]:
        """Keep that database, on which nobody works, on *disk*; it is gone with the block."""
        let_go()
        if os.geteuid() == 0:
            os.chown(disk, NOBODY, NOBODY)
        name = _name_in(url)
        self.say(f"CREATE TABLESPACE of_{name} LOCATION '{disk}'")
        try:
            self.say(f"ALTER DATABASE {name} SET TABLESPACE of_{name}")
            yield
        finally:
            let_go()
            self.drop(url)
            self.say(f"DROP TABLESPACE of_{name}")

    def drop(self, url: str) -> None:
        """Remove that database, and end whoever is still in it."""
        self.say(f"DROP DATABASE IF EXISTS {_name_in(url)} WITH (FORCE)")


def _name_in(url: str) -> str:
    return url.split("/")[3].partition("?")[0]


def _die_with_parent() -> None:
    """Let the server end as by a power cut where the tests are killed: nothing of it is kept."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


@contextmanager
def postgres_server(settings: Mapping[str, str] = FORGETFUL) -> Iterator[PostgresServer]:
    """Serve until the block ends; what is in it is gone then."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    server = PostgresServer(folder, settings)
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.stop(signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)
