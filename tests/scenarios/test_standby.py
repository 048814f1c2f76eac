"""
A primary and its standby, set up by the lines and the commands of `docs/several-nodes.md`.

Only addresses, ports and folders are other ones: both are on this machine.
"""

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

import psycopg
import pytest
import trustme
from pages import block, quoted
from postgres_server import NOBODY, PostgresServer

from bars_gateway.demo.stage import free_ports

pytestmark = pytest.mark.needs("postgres")
PAGE = "several-nodes.md"
OTHER = "postgresql.md"


class OnPage(PostgresServer):
    """A server that listens where the page lets it."""

    def __init__(self, folder: Path, port: int, authority: trustme.CA, name: str) -> None:
        super().__init__(folder, {})
        self._settings = {"port": str(port), "shared_buffers": "32MB", "fsync": "off"}
        self._name, self._authority, self.port = name, authority, port

    def url(self, name: str) -> str:
        return f"{super().url(name)}&port={self.port}"

    def configure(self, lines: str) -> None:
        """Write what the page has for its two files, and the certificate that it names."""
        certificate = self._authority.issue_cert(self._name)
        for file, pem in (
            ("server.crt", certificate.cert_chain_pems[0].bytes()),
            ("server.key", certificate.private_key_pem.bytes()),
            ("postgresql.conf", local(lines).encode()),
            ("pg_hba.conf", b"local all bars trust\n" + local(block(PAGE, "hostssl")).encode()),
        ):
            path = self.data / file
            path.write_bytes(pem)
            path.chmod(0o600)
            if os.geteuid() == 0:
                os.chown(path, NOBODY, NOBODY)

    def copy(self, primary: "OnPage", authority: Path) -> None:
        """Type the command of the page."""
        if os.geteuid() == 0:
            os.chown(self.folder, NOBODY, NOBODY)
        secret = self.folder / "pgpass"
        secret.write_text(block(PAGE, ":follower:").replace(":5432:", f":{primary.port}:"))
        secret.chmod(0o600)
        if os.geteuid() == 0:
            os.chown(secret, NOBODY, NOBODY)
        typed = block(PAGE, "pg_basebackup")
        for there, here in (
            ("/var/lib/postgresql/15/main", str(self.data)),
            ("host=db-one", f"host=db-one hostaddr=127.0.0.1 port={primary.port}"),
            ("/etc/bars-gateway/database-ca.pem", str(authority)),
        ):
            assert there in typed
            typed = typed.replace(there, here)
        done = subprocess.run(
            ["sh", "-c", typed],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={**os.environ, "PGPASSFILE": str(secret)},
            **self._who,
        )
        assert done.returncode == 0, done.stderr

    def promote(self) -> None:
        """Follow no more: take changes."""
        self._run(*quoted(PAGE, "pg_ctl promote").split(), "-D", self.data, "-w")


def local(text: str) -> str:
    """Return what the page says of its machines, of this one."""
    return re.sub(r"10\.0\.0\.\d\d", "127.0.0.1", text)


@contextmanager
def both() -> Iterator[tuple[OnPage, OnPage, Path]]:
    """Yield two servers that are not begun, and the certificate of who vouches for them."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    folder.chmod(0o755)
    authority, file = trustme.CA(), folder / "ca.pem"
    authority.cert_pem.write_to_path(file)
    servers = []
    for name, port in zip(("db-one", "db-two"), free_ports(2), strict=True):
        (folder / name).mkdir()
        servers.append(OnPage(folder / name, port, authority, name))
    try:
        yield servers[0], servers[1], file
    finally:
        for server in servers:
            server.stop(signal.SIGQUIT)
        rmtree(folder)


def gateway(server: OnPage, authority: Path, name: str) -> psycopg.Connection:
    """Return a session as a gateway has it: over TLS, by its own role and password."""
    return psycopg.connect(
        f"postgresql://gateway@{name}/bars?hostaddr=127.0.0.1&port={server.port}"
        f"&sslmode=verify-full&sslrootcert={authority}",
        password="a long one",
        autocommit=True,
    )


def test_the_standby_of_the_page_follows_and_is_promoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has what was committed; and once it is the primary, it commits without the other one."""
    lines, waits = block(PAGE, "listen_addresses ="), block(PAGE, "synchronous_standby_names =")
    reload, looked, _ = block(PAGE, "pg_stat_replication").split(";")
    monkeypatch.setenv("HOME", "/")  # as root's: who runs the servers may not look into it
    with both() as (one, two, authority):
        one.make()
        one.configure(lines)
        one.start()
        for each in f"{block(OTHER, 'CREATE ROLE gateway')};{block(PAGE, 'CREATE ROLE')}".split(
            ";"
        ):
            if each.strip():
                one.say(each)
        two.copy(one, authority)
        came = [(each.data / "server.crt").read_bytes() for each in (one, two)]
        two.configure(lines)  # and its own certificate
        two.start()
        one.configure(lines + waits)
        one.say(reload)
        until = time.monotonic() + 30
        while (seen := one.say(looked)) != [("db_two", "sync")]:
            assert time.monotonic() < until, seen
            time.sleep(0.1)
        with gateway(one, authority, "db-one") as session:
            session.execute("CREATE TABLE stored (id BIGINT)")
            session.execute("INSERT INTO stored VALUES (1)")
        one.stop(signal.SIGQUIT)
        two.promote()
        with gateway(two, authority, "db-two") as session:
            session.execute("INSERT INTO stored VALUES (2)")
            stored = session.execute("SELECT id FROM stored ORDER BY id").fetchall()

    assert [(1,), (2,)] == stored
    assert came[0] == came[1], "the copy brings the certificate of the other one, as the page says"
