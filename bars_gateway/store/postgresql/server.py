"""
Where the server is, how it is reached, and whether it is as the gateway needs it.

    store.url ─► who, where, TLS ─► password: a file of its own ─► a session, set up ─► looked at

The URL never holds a password. One that is on another machine must prove who it is (`verify-full`),
by the authority that the URL names and by no other: what the machine trusts for its web browsers
may not speak for a database of patients.

A session is set up so that what was committed is on the server's disk, and on its synchronous
standby's where it has one, whatever the server's own settings say; and that a node which stands
still in the middle of a transaction holds up the others for seconds and not for good.

Decisions: D-durable.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import structlog
from psycopg.conninfo import conninfo_to_dict

from bars_gateway.errors import DatabaseAway, DatabaseInUse, DatabaseUnfit
from bars_gateway.frozen import frozen
from bars_gateway.store.postgresql import Raw, adapted, is_lost, row, row_of, say, told

T = TypeVar("T")
log = structlog.get_logger(__name__)
OLDEST = 15  # PostgreSQL's major version
CONNECT_SECONDS = 5
STATEMENT_SECONDS = 30  # the longest that one statement may take
TURN_SECONDS = 15  # the longest that a node waits for another's transaction
STILL_SECONDS = 5  # the longest that a node may stand still within one
_HERE = frozenset({"", "localhost", "127.0.0.1", "::1"})
_SESSION: Mapping[str, object] = {
    "synchronous_commit": "on",
    "timezone": "UTC",
    "search_path": "public",
    "jit": "off",  # it compiles for longer than any statement here runs
    "random_page_cost": 1.1,  # or whole tables are walked where an index would do
    "plan_cache_mode": "force_generic_plan",  # planning takes longer than most statements
    "default_transaction_read_only": "off",
    "statement_timeout": STATEMENT_SECONDS * 1000,
    "lock_timeout": TURN_SECONDS * 1000,
    "idle_in_transaction_session_timeout": STILL_SECONDS * 1000,
}
# Either side notices after some ten seconds that the other has gone without a word. By its own
# settings the server would believe in a session for two hours more, and keep its locks.
_WATCHED_THERE: Mapping[str, object] = {
    "tcp_keepalives_idle": 3,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_WATCHED = {
    "keepalives": 1,
    "keepalives_idle": 3,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_POOLED = "a pooler before the database server does not pass on how a session is set"
_UNPOOLED = (
    "Name the server itself in `store.url`, and no PgBouncer. To have it ignore the settings"
    " (ignore_startup_parameters) is no cure: what is committed need not be on the disk then."
)
# What the server or the driver says to who cannot come in: it has no code of its own by then.
_REFUSALS: tuple[tuple[str, str, str], ...] = (
    (
        r"password authentication failed|no password supplied|SCRAM",
        "the database server refuses the password",
        "Put that user's password into the file (0600) that `store.password_file` names.",
    ),
    (
        r'role ".*" does not exist|Peer authentication failed|Ident authentication failed',
        "the database server does not know that user",
        "Name the gateway's own role in `store.url`. To make it: CREATE ROLE NAME LOGIN PASSWORD.",
    ),
    (
        r'database ".*" does not exist',
        "the database server has no such database",
        "Make it: CREATE DATABASE bars OWNER ROLE ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0.",
    ),
    (
        r"no pg_hba.conf entry",
        "the database server lets nobody in from here",
        "Add machine, user and database to its pg_hba.conf (hostssl, scram-sha-256); reload it.",
    ),
    (
        r"root certificate|certificate verify failed|server certificate for|support SSL|SSL error",
        "the database server could not prove who it is",
        "Give it a certificate for its host; name who signed it in `store.url`: &sslrootcert=FILE.",
    ),
    (
        r"could not translate host name|Name or service not known|failed to resolve host",
        "the name of the database server cannot be resolved",
        "Correct the host in `store.url`, or the name service of this machine.",
    ),
    (r"unsupported startup parameter", _POOLED, _UNPOOLED),
)


@frozen(kw_only=True)
class ServerAddress:
    """A database on a server, as `store.url` names it."""

    url: str  # without a password
    node: str  # which of the gateway's nodes this is
    password_file: Path | None = None

    def __post_init__(self) -> None:
        """Raise DatabaseUnfit where the URL cannot be used as it is."""
        self._parts()

    @property
    def name(self) -> str:
        """How people call it: host and database, and nothing that is secret."""
        parts = self._parts()
        return f"{parts.get('host') or 'this machine'}/{parts.get('dbname', '')}"

    def _parts(self) -> dict[str, Any]:
        try:
            parts = dict(conninfo_to_dict(self.url))
        except psycopg.Error as error:
            raise DatabaseUnfit(
                f"store.url cannot be read: {str(error).strip()}",
                "Write it as postgresql://USER@HOST:5432/DATABASE.",
            ) from None
        if parts.pop("password", None) is not None:
            raise DatabaseUnfit(
                "store.url holds a password",
                "Take it out, and put it into the file (0600) that `store.password_file` names.",
            )
        return parts

    def parameters(self) -> dict[str, Any]:
        """Return what a session is opened with."""
        settings = {**_SESSION, **_WATCHED_THERE}
        session = " ".join(f"-c {name}={value}" for name, value in settings.items())
        parts = {
            "connect_timeout": CONNECT_SECONDS,
            "target_session_attrs": "read-write",  # of several hosts the one that is no standby
            **_WATCHED,
            **self._parts(),
        }
        if not self._is_here(parts):
            parts.setdefault("sslmode", "verify-full")
        if self.password_file is not None:
            parts["password"] = _password(self.password_file)
        parts["options"] = f"{parts.get('options', '')} {session}".strip()
        parts["application_name"] = f"bars-gateway {self.node}"
        parts["client_encoding"] = "UTF8"
        return parts

    @staticmethod
    def _is_here(parts: Mapping[str, Any]) -> bool:
        hosts = str(parts.get("host") or parts.get("hostaddr") or "").split(",")
        return all(host in _HERE or host.startswith("/") for host in hosts)


def _password(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DatabaseUnfit(
            f"the password of the database cannot be read: {file}: {type(error).__name__}",
            "Put it there, as one line, in a file of the gateway's user with mode 0600.",
        ) from None


def connect(address: ServerAddress) -> Raw:
    """
    Open a session; raise DatabaseAway where the server does not answer.

    Raises DatabaseUnfit where it answers and does not let us in. Nothing of that is a secret.
    """
    parameters = address.parameters()
    try:
        raw: Raw = psycopg.connect(
            "", autocommit=True, row_factory=row_of, prepare_threshold=2, **parameters
        )
    except psycopg.Error as error:
        raise _refusal(error, address) from None
    raw.prepared_max = 1000  # every statement of the store has room
    return adapted(raw)


def _refusal(error: psycopg.Error, address: ServerAddress) -> Exception:
    says = str(error)
    for pattern, cause, cure in _REFUSALS:
        if re.search(pattern, says):
            return DatabaseUnfit(f"{cause} ({address.name})", cure)
    return DatabaseAway(
        f"the database server does not answer ({address.name}): {told(error).strip()}"
    )


_FOUND = """
    SELECT current_setting('server_version_num')::int / 10000 AS version,
           current_setting('server_version') AS release,
           current_setting('server_encoding') AS encoding,
           current_setting('fsync') AS fsync, current_setting('full_page_writes') AS whole_pages,
           current_setting('plan_cache_mode') AS plans,
           has_schema_privilege('public', 'CREATE') AS may_create
"""


def require_fit(raw: Raw, name: str) -> None:
    """Raise DatabaseUnfit where the server, or the database, is not as the gateway needs it."""
    found = row(raw, _FOUND)
    if found["plans"] != _SESSION["plan_cache_mode"]:  # so the others are not in force, either
        raise DatabaseUnfit(f"{_POOLED} ({name})", _UNPOOLED)
    if found["version"] < OLDEST:
        raise DatabaseUnfit(
            f"{name} is PostgreSQL {found['release']}, which is too old",
            f"Take PostgreSQL {OLDEST} or later.",
        )
    if found["encoding"] != "UTF8":
        raise DatabaseUnfit(
            f"{name} keeps text as {found['encoding']}",
            "Create the database again, with: ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0.",
        )
    if not found["may_create"]:
        raise DatabaseUnfit(
            f"the gateway's user may not make tables in {name}",
            "Let its role own the database: ALTER DATABASE NAME OWNER TO ROLE.",
        )
    if found["fsync"] != "on" or found["whole_pages"] != "on":
        log.error("store.server_forgets", name=name, advice=_FORGETS)


_FORGETS = "Set fsync and full_page_writes to on in the server's postgresql.conf, and restart it."


def found_by(address: ServerAddress) -> str:
    """Return what answers there, in words; raise StoreError where it is not as we need it."""
    raw = connect(address)
    try:
        require_fit(raw, address.name)
        version = row(raw, "SELECT current_setting('server_version') AS release")["release"]
        return f"PostgreSQL {version} answers, and lets the gateway in ({address.name})"
    finally:
        raw.close()


class SessionThread:
    """What one session is used by."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        """Run *work* there, after what it is at."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def end(self) -> None:
        """Return once it has ended."""
        self._executor.shutdown()


class ServerSession:
    """One session with the server, which is opened again where it was lost."""

    def __init__(self, opened: Callable[[], Raw]) -> None:
        """Nothing is opened yet: *opened* does that, and raises as `connect` does."""
        self._opened = opened
        self._raw: Raw | None = None

    def begin(self, sql: str) -> Raw:
        """
        Begin a transaction by *sql*, on a new session where the old one has gone.

        Nothing has run by then, so that nothing is done twice. Raises DatabaseAway, too where
        another gateway has taken our place; psycopg's errors where a server that answers does not
        let it begin.
        """
        if self._raw is not None:
            try:
                say(self._raw, sql)
            except psycopg.Error:
                if not is_lost(self._raw):
                    raise
                self.drop()
            else:
                return self._raw
        try:
            raw = self.opened()
        except (DatabaseUnfit, DatabaseInUse) as error:
            # It was fit, and ours, when we began: that is for somebody to mend, and we wait.
            raise DatabaseAway(str(error)) from None
        say(raw, sql)
        return raw

    @property
    def is_open(self) -> bool:
        """Whether it was opened, and not dropped since."""
        return self._raw is not None

    def opened(self) -> Raw:
        """Open it, unless it is; raise DatabaseAway or DatabaseUnfit."""
        if self._raw is None:
            self._raw = self._opened()
        return self._raw

    def drop(self) -> None:
        """Close it, whatever it is in the middle of: the server undoes that."""
        if self._raw is not None:
            self._raw.close()
            self._raw = None
