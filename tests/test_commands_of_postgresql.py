"""What `docs/postgresql.md` tells to type, as it stands there, at a server of the tests' own."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import engines
import psycopg
import pytest
from pages import block, quoted
from postgres_server import NOBODY, PostgresServer
from store_values import NOW, submission
from terminals import own_environment
from typed import settings_text

from bars_gateway.store.postgresql.database import open_server
from bars_gateway.store.postgresql.server import ServerAddress
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.store import Store

pytestmark = pytest.mark.needs("postgres", "psql", "bash")
PAGE = "postgresql.md"
AMCHECK = "pg_amcheck --install-missing --heapallindexed --parent-check DATABASE"
DUMP = "pg_dump --format=custom --file=FILE DATABASE"
# Nothing runs here that systemd could stop or start: what it is told is printed.
AS_SYSTEMD = 'systemctl() { echo "systemctl $*"; }\nset -eu\n'
# The index is not written to while it is not ready, as one that was damaged.
UNREADY = "UPDATE pg_index SET indisready = {} WHERE indexrelid = 'messages_due'::regclass"


@pytest.fixture(scope="module")
def server() -> PostgresServer:
    return engines.server()


async def _wait_in(url: str, count: int) -> None:
    async with open_server(ServerAddress(url=url, node="here")) as database:
        for _ in range(count):
            await Store(database, node="here").outbound.submit(submission(), NOW)


@pytest.fixture
def database(server: PostgresServer) -> Iterator[str]:
    """Return the name of a database in which two messages wait."""
    url = server.ready()
    asyncio.run(_wait_in(url, 2))
    yield url.split("/")[3].partition("?")[0]
    server.drop(url)


@pytest.fixture
def types(
    server: PostgresServer, tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return what types a script, as the superuser of the server; *more* is in the environment."""

    def type_it(script: str, **more: str) -> subprocess.CompletedProcess[str]:
        own = {**own_environment(), "PGHOST": str(server.folder), "PGUSER": "bars"}
        return subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=own | more,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return type_it


Types = Callable[..., subprocess.CompletedProcess[str]]


def test_the_servers_own_tool_finds_what_an_index_lacks(
    server: PostgresServer, types: Types, database: str
) -> None:
    """`verify` does not look there: a row that no index has is not met by whoever asks by it."""
    check = quoted(PAGE, AMCHECK).replace("DATABASE", database)
    whole = types(check)
    server.say(UNREADY.format("false"), database)
    server.say("UPDATE messages SET next_attempt_at = next_attempt_at || ' '", database)
    server.say(UNREADY.format("true"), database)
    lacking = types(check)

    assert (0, "") == (whole.returncode, whole.stdout + whole.stderr)
    assert lacking.returncode
    assert "messages_due" in lacking.stdout + lacking.stderr


def test_a_dump_comes_back_once_that_tool_has_left_nothing(
    server: PostgresServer, types: Types, database: str
) -> None:
    """The gateway's role may not make an extension, and may put back everything else."""
    if not server.say("SELECT 1 FROM pg_roles WHERE rolname = 'gateway'"):
        server.say("CREATE ROLE gateway LOGIN")
    copies = [server.empty().split("/")[3].partition("?")[0] for _ in range(2)]
    for each in copies:
        server.say(f"ALTER DATABASE {each} OWNER TO gateway")
    (_, put_back, *_) = block(PAGE, "pg_restore").splitlines()
    put_back = put_back.partition("#")[0].replace("FILE", "before.dump")
    dump = quoted(PAGE, DUMP).replace("FILE", "before.dump").replace("DATABASE", database)
    drop = quoted(PAGE, "DROP EXTENSION amcheck")

    def goes_round(name: str) -> int:
        assert 0 == types(f"rm -f before.dump; {dump}").returncode
        return types(put_back.replace("…", name), PGUSER="gateway").returncode

    assert 0 == types(quoted(PAGE, AMCHECK).replace("DATABASE", database)).returncode
    assert goes_round(copies[0])
    assert 0 == types(f"psql --dbname={database} --command='{drop}'").returncode
    assert 0 == goes_round(copies[1])


def test_who_keeps_a_lock_is_found_and_ended(
    server: PostgresServer, types: Types, database: str
) -> None:
    """The gateway waits behind it, and goes on once that session has ended."""
    find = quoted(
        PAGE,
        "SELECT pg_blocking_pids(pid) FROM pg_stat_activity"
        " WHERE application_name LIKE 'bars-gateway%'",
    )
    end = quoted(PAGE, "SELECT pg_terminate_backend(PID)")
    with psycopg.connect(server.url(database)) as keeper:
        keeper.execute("LOCK TABLE messages")
        waits = subprocess.Popen(
            ["psql", "--dbname", database, "--command", "SELECT count(*) FROM messages"],
            env=own_environment()
            | {
                "PGHOST": str(server.folder),
                "PGUSER": "bars",
                "PGAPPNAME": "bars-gateway of trust",
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        asks = f"psql -At --dbname={database} --command=\"{find}\" | grep -o '[0-9]\\+'"
        psql = f"until {asks}; do sleep 0.1; done"
        pid = types(psql).stdout.split()[0]
        ended = types(f"psql -At --dbname=postgres --command='{end.replace('PID', pid)}'")
        counted, _ = waits.communicate(timeout=60)
        assert int(pid) == keeper.info.backend_pid
        keeper.close()

    assert "t" == ended.stdout.strip()
    assert (0, "2") == (waits.returncode, counted.split()[2])


def test_room_is_given_back_to_the_disk(
    server: PostgresServer, types: Types, database: str
) -> None:
    """In the place of `compact`."""
    many = "SELECT x || repeat('x', 500) FROM generate_series(1, 2000) AS x"
    server.say(f"INSERT INTO reports (name) {many}", database)
    size = "SELECT pg_table_size('reports')"
    server.say("DELETE FROM reports", database)
    ((before,),) = server.say(size, database)
    done = types(f"psql --dbname={database} --command='{quoted(PAGE, 'VACUUM FULL')}'")
    ((after,),) = server.say(size, database)

    assert 0 == done.returncode, done.stderr
    assert int(str(after)) < int(str(before))


@pytest.fixture
def nobodys() -> Iterator[Path]:
    """Yield a folder of the user that a server may run as."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


def test_a_server_is_made_that_notices_a_damaged_page(nobodys: Path) -> None:
    """Data checksums: without the option there are none before PostgreSQL 18."""
    who = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    typed = quoted(PAGE, "initdb --data-checksums")
    script = f"{typed} --no-sync && pg_controldata | grep checksum"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=nobodys,
        env={**os.environ, "PGDATA": str(nobodys / "data"), "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
        **who,
    )

    assert "1" == done.stdout.split()[-1], done.stdout + done.stderr


def settings_in(folder: Path, store: str) -> dict[str, str]:
    """Write settings with those lines of [store]; return what names them."""
    for name in ("state", "spool", "run", "keys"):
        (folder / name).mkdir(mode=0o700)
    text = settings_text(folder, rest=f"[inbound]\nenabled = false\n[store]\n{store}\n")
    (folder / "bars-gateway.toml").write_text(text, "utf-8")
    return {"BARS_GATEWAY_CONFIG": str(folder / "bars-gateway.toml")}


async def _wait_in_file(path: Path) -> None:
    async with open_database(path) as database:
        await Store(database, node="here").outbound.submit(submission(), NOW)


def test_the_file_moves_to_the_server_as_it_is_written(
    server: PostgresServer, types: Types, tmp_path: Path
) -> None:
    """Stopped, copied aside, and then over: what waited is there."""
    environment = settings_in(tmp_path, "")
    asyncio.run(_wait_in_file(tmp_path / "state" / "gateway.db"))
    (tmp_path / "disk").mkdir()
    secret = tmp_path / "password"
    secret.write_text("a long one")
    secret.chmod(0o600)
    url = server.empty()
    lines = block(PAGE, "store copy --to").replace("/other/disk", str(tmp_path / "disk"))
    there = "postgresql://gateway@db.trust.example/bars?sslrootcert=…"
    assert there in lines
    done = types(AS_SYSTEMD + lines.replace(there, url).replace("FILE", str(secret)), **environment)
    moved = server.say("SELECT state FROM messages", url.split("/")[3].partition("?")[0])

    assert 0 == done.returncode, done.stdout + done.stderr
    assert done.stdout.startswith("systemctl stop bars-gateway\n")
    assert (tmp_path / "disk" / "before-the-copy.db").exists()
    assert [("queued",)] == moved


def test_a_dump_is_put_back_and_made_safe_as_it_is_written(
    server: PostgresServer, types: Types, database: str, tmp_path: Path
) -> None:
    """What waits is held, and the gateway is started last."""
    empty = server.empty()
    environment = settings_in(tmp_path, f'url = "{empty}"')
    dump = quoted(PAGE, DUMP).replace("FILE", "before.dump").replace("DATABASE", database)
    assert 0 == types(dump).returncode
    lines = block(PAGE, "pg_restore").replace("FILE ", "before.dump ")
    name = empty.split("/")[3].partition("?")[0]
    done = types(AS_SYSTEMD + lines.replace("--dbname=…", f"--dbname={name}"), **environment)

    assert 0 == done.returncode, done.stdout + done.stderr
    assert done.stdout.startswith("systemctl stop bars-gateway\n")
    assert done.stdout.endswith("systemctl start bars-gateway\n")
    assert [("held",), ("held",)] == server.say("SELECT state FROM messages", name)


PARTED = """
SET session_replication_role = replica;
ALTER TABLE payloads RENAME TO payloads_before;
CREATE TABLE payloads (LIKE payloads_before INCLUDING DEFAULTS) PARTITION BY RANGE (message_id);
CREATE TABLE payloads_7 PARTITION OF payloads FOR VALUES FROM (70000000) TO (80000000);
UPDATE payloads_before SET message_id = message_id + 70000000;
INSERT INTO payloads SELECT * FROM payloads_before;
UPDATE messages SET id = id + 70000000;
DELETE FROM workflows WHERE id = 2
"""


def test_a_month_of_payloads_leaves_as_one_table(
    server: PostgresServer, types: Types, database: str
) -> None:
    """What `docs/several-nodes.md` has tried: what is kept takes the place of the others."""
    assert 0 == types(f"psql -v ON_ERROR_STOP=1 {database} <<'END'\n{PARTED}END").returncode
    lines = block("several-nodes.md", "DETACH PARTITION")
    done = types(f"psql -v ON_ERROR_STOP=1 {database} <<'END'\n{lines}END")
    left = server.say("SELECT DISTINCT message_id FROM payloads", database)

    assert 0 == done.returncode, done.stderr
    assert [(70000001,)] == left
    assert [] == server.say("SELECT 1 FROM pg_class WHERE relname = 'payloads_7'", database)
