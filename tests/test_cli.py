"""
The operator's verbs: what they print, and how they exit.

They are typed in this process; what only a process of its own shows is `started`.
"""

import asyncio
import contextlib
import errno
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

import pytest
from json_lines import LINES
from store_values import ANSWER, NOW, SILENCE, attempt, claim_next, owed, submission
from typed import Done, settings_text, typed

from bars_gateway import __version__
from bars_gateway.cli import listings, messages, trail
from bars_gateway.config import load
from bars_gateway.model.messages import OutboundState, Settled, TryAgain
from bars_gateway.sandbox.server import Sandbox, SandboxSettings
from bars_gateway.standard.verdict import Verdict
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.store import Store

NONE_RUNS = (
    "No gateway runs here: nothing of this is sent or received until one is started"
    " (systemctl start bars-gateway).\n"
)
NOBODY = "00000000-0000-4000-8000-000000000000"


def bars_gateway(*arguments: str, environ: Mapping[str, str] | None = None) -> Done:
    """Type a command where nothing but *environ* is set."""
    return typed(*arguments, environ={"PATH": "/usr/bin:/bin", "COLUMNS": "80", **(environ or {})})


def started(*arguments: str) -> Done:
    """Run a command as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bars_gateway", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "80"},
    )
    return Done(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Home:
    """Settings that nothing is wrong with, and a database with one settled and one late message."""

    settings: Path
    settled: str  # the X-Request-Id of each
    talk: str  # the X-Correlation-Id of that
    waiting: str


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("cli")
    for name in ("state", "run", "spool", "spool-of-other"):
        (folder / name).mkdir()
    return asyncio.run(furnished(folder))


async def furnished(folder: Path) -> Home:
    settings = SandboxSettings(folder=folder / "sandbox", key_bits=2048)
    async with Sandbox(settings) as sandbox:
        registered = await sandbox.register("trust", ["2000000101"], "https://127.0.0.1:1/")
        file = folder / "bars-gateway.toml"
        file.write_text(
            f"""\
environment = "local"
state_dir = "{folder}/state"

[providers.trust]
ods_code = "ZX901"
name = "Northshire Ambulance Service"
services = ["https://fhir.nhs.uk/Id/dos-service-id|2000000101"]
key_id = "{registered.key_id}"
api_key = "{registered.api_key}"
private_key_file = "{registered.private_key_file}"
spool_dir = "{folder}/spool"

[providers.other]
ods_code = "ZX902"
name = "Northshire General Hospital"
services = ["https://fhir.nhs.uk/Id/dos-service-id|2000000202"]
key_id = "{registered.key_id}"
api_key = "{registered.api_key}"
private_key_file = "{registered.private_key_file}"
spool_dir = "{folder}/spool-of-other"

[outbound]
token_url = "{sandbox.token_url}"
proxy_url = "{sandbox.proxy_url}"
ca_file = "{sandbox.ca_file}"

[inbound]
enabled = false

[epr]
socket_dir = "{folder}/run"
""",
            "utf-8",
        )
    async with open_database(folder / "state" / "gateway.db") as database:
        store = Store(database, node="here")
        return Home(file, *await acknowledged(store), await late(store))


async def acknowledged(store: Store) -> tuple[str, str]:
    receipt = await store.outbound.submit(submission(owed=owed(NOW)), NOW)
    claim = await claim_next(store, NOW, ["trust"])
    assert claim is not None
    settlement = Settled(state=OutboundState.ACKNOWLEDGED, focus_id="theirs")
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=settlement)
    return receipt.request_id, receipt.correlation_id


async def late(store: Store) -> str:
    receipt = await store.outbound.submit(submission(), NOW)
    claim = await claim_next(store, NOW, ["trust"])
    assert claim is not None
    settlement = TryAgain(at=NOW + timedelta(seconds=30))
    tried = attempt(claim, Verdict.RETRY)
    await store.outbound.settle(claim, SILENCE, attempt=tried, settlement=settlement)
    return receipt.request_id


def test_the_version_is_printed() -> None:
    """An operator who is asked for the version has one command to type."""
    assert Done(0, f"{__version__}\n", "") == started("--version")


def test_settings_without_fault_are_said_to_be_so(home: Home) -> None:
    """What was looked at is named: the file, the environment and the providers."""
    expected = f"{home.settings}: nothing is wrong (local; trust, other)\n"

    assert Done(0, expected, "") == bars_gateway("check", "--config", str(home.settings))


def test_everything_that_is_wrong_is_said_at_once(home: Home, tmp_path: Path) -> None:
    """Each fault has its file and line, its key, its cause and its cure; the exit code is 2."""
    bad = tmp_path / "bad.toml"
    text = home.settings.read_text("utf-8").replace('ods_code = "ZX901"', 'ods_code = "zx 901"')
    bad.write_text(text + "scan_secconds = 1\n\n[store]\ngroup_limit = 0\n", "utf-8")
    done = bars_gateway("check", "--config", str(bad))
    faults = re.findall(rf"error: {bad}:(\d+): (\S+) .+\n   try: .+\n", done.err)
    lines = bad.read_text("utf-8").splitlines()
    expected = {
        "epr.scan_secconds": "scan_secconds = 1",
        "store.group_limit": "group_limit = 0",
        "providers.trust.ods_code": 'ods_code = "zx 901"',
    }

    assert (2, "") == (done.code, done.out)
    assert expected == {key: lines[int(number) - 1] for number, key in faults}
    assert 2 * len(expected) == len(done.err.splitlines())


def test_what_stops_no_start_is_a_warning(home: Home) -> None:
    """A placeholder is never right, and yet a gateway starts with it: the exit code is 1."""
    key = {"BARS_GATEWAY_PROVIDERS__TRUST__API_KEY": "to-be-told"}
    done = bars_gateway("check", "--config", str(home.settings), environ=key)
    expected = (
        "warning: environment variable BARS_GATEWAY_PROVIDERS__TRUST__API_KEY:"
        " providers.trust.api_key is a placeholder: no token by it\n"
        "   try: Set it to what you were told when the application was approved.\n"
    )

    assert Done(1, "", expected) == done


def test_files_that_settings_name_are_looked_at(home: Home) -> None:
    """`check` finds before the start what would otherwise be found at it."""
    wrong = {"BARS_GATEWAY_OUTBOUND__CA_FILE": "/nowhere/ca.pem"}
    done = bars_gateway("check", "--config", str(home.settings), environ=wrong)
    expected = (
        "error: environment variable BARS_GATEWAY_OUTBOUND__CA_FILE: outbound.ca_file names"
        " /nowhere/ca.pem, which cannot be read: No such file or directory\n"
        "   try: Put the file there, readable for the gateway's user.\n"
    )

    assert Done(2, "", expected) == done


def test_settings_are_printed_with_where_they_came_from(home: Home) -> None:
    """A default, a line of the file, the environment and a variable can be told apart."""
    variable = {"BARS_GATEWAY_CONFIG": str(home.settings), "BARS_GATEWAY_LOG_LEVEL": "debug"}
    done = bars_gateway("config", "--describe", environ=variable)

    assert (0, "") == (done.code, done.err)
    assert f"environment = local    # {home.settings}:1\n" in done.out
    assert "log_level = debug    # environment variable BARS_GATEWAY_LOG_LEVEL\n" in done.out
    assert "outbound.requests_per_minute = 60000    # environment\n" in done.out
    assert "epr.scan_seconds = 2.0    # default\n    How often the outbox folders" in done.out


def test_the_queue_is_listed_without_a_gateway(home: Home) -> None:
    """What is not settled is there, with ids that are whole; what is settled is not."""
    done = bars_gateway("queue", "--config", str(home.settings))
    header, *rows = done.out.splitlines()

    assert (0, NONE_RUNS) == (done.code, done.err)
    assert header.startswith("State   X-Request-Id")
    assert [["queued", home.waiting, "trust", "request"]] == [row.split()[:4] for row in rows]
    assert "We stopped trying, and do not know whether the receiving service has the" in rows[0]


def test_an_attempt_whose_time_has_come_is_due(home: Home) -> None:
    """A time that is past reads as if the gateway had stopped; the last column says why."""
    done = bars_gateway("queue", "--config", str(home.settings))
    header, row = done.out.splitlines()
    place = header.index("Next attempt")

    assert row[place:].startswith("due ")


def test_an_empty_queue_is_good_news(home: Home) -> None:
    """Nothing to list is said in words."""
    done = bars_gateway("queue", "--config", str(home.settings), "--provider", "other")

    assert Done(0, "Nothing waits: every outbound message is settled.\n", NONE_RUNS) == done


@pytest.mark.parametrize(
    ("command", "said"), [("queue", True), ("show", True), ("explain", True), ("alarms", False)]
)
def test_what_waits_is_not_said_to_move_where_no_gateway_runs(
    home: Home, command: str, *, said: bool
) -> None:
    """A queue that stands still looks as one that moves."""
    named = [home.waiting] if command in {"show", "explain"} else []
    done = bars_gateway(command, *named, "--config", str(home.settings))

    assert said is (NONE_RUNS == done.err)


def test_on_a_server_another_machines_gateway_may_send_it(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """Several nodes share one queue: whoever looks at one that is stopped is told no untruth."""
    server = {"BARS_GATEWAY_STORE__URL": "postgresql://gateway@/bars?host=/run/postgresql"}
    listings.say_if_none_runs(load(home.settings, server))

    assert "unless one on another machine works on the same database" in capsys.readouterr().err


def test_what_lies_in_the_outbox_is_said_beside_the_queue(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nothing can be stored the list is empty, and a referral lies there."""
    new = load(home.settings, {}).providers["trust"].spool_dir / "outbox" / "new"
    new.mkdir(parents=True)
    (new / "one.json").touch()
    (new / "one.envelope.json").touch()
    early = bars_gateway("queue", "--config", str(home.settings)).err
    monkeypatch.setattr(listings, "_TAKEN_WITHIN_SECONDS", 0.0)
    late = bars_gateway("queue", "--config", str(home.settings)).err

    assert NONE_RUNS == early
    assert "has dropped and that nobody has taken yet: 1." in late


def test_a_gateway_that_runs_is_not_said_to_be_away(home: Home) -> None:
    """Whichever provider's socket takes the connection."""
    path = load(home.settings, {}).epr.socket_of("other")
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))
        door.listen()
        done = bars_gateway("queue", "--config", str(home.settings))

    assert (0, "") == (done.code, done.err)


def test_a_message_is_shown_with_all_that_happened(home: Home) -> None:
    """Its ids, its workflow, each attempt with the row that judged it, and each event."""
    done = bars_gateway("show", "--config", str(home.settings), home.settled)
    first, *rest = done.out.splitlines()

    assert (0, NONE_RUNS) == (done.code, done.err)
    assert "outbound request of trust: acknowledged" == first
    assert "has the referral on its system; this does not mean that anybody has read it" in rest[0]
    assert f"  X-Request-Id     {home.settled}" in rest
    assert "  workflow         1, referral as requester: active" in rest
    assert "  attempt 1 at 2026-03-02 09:00:00: HTTP 200 → acknowledged (row acknowledged)" in rest


def test_a_message_that_nobody_knows_is_an_error(home: Home) -> None:
    """A script that asks for a message can tell that there is none."""
    done = bars_gateway("show", "--config", str(home.settings), NOBODY)

    told = "There is no message with that X-Request-Id: try bars-gateway explain.\n"
    assert Done(1, told, "") == done


def test_sending_without_a_gateway_says_what_to_do(home: Home) -> None:
    """Two lines: what happened, and what to do next."""
    done = bars_gateway("send", "-c", str(home.settings), "-p", "trust", str(home.settings))
    what, cure = done.err.splitlines()

    assert 1 == done.code
    assert f"error: no gateway answers on {home.settings.parent}/run/trust.sock" in what
    assert cure.startswith("   try: Start it")


def test_sending_for_nobody_in_particular_says_what_to_add(home: Home) -> None:
    """There are two providers here; of a wrong name nothing is said, for none was given."""
    done = bars_gateway("send", "-c", str(home.settings), str(home.settings))

    assert 2 == done.code
    assert "--provider: it is missing, and must be one of: trust, other" in done.err


def test_a_provider_that_nobody_knows_is_refused(home: Home) -> None:
    """A misspelt name would otherwise list nothing, and nothing looks like good news."""
    done = bars_gateway("queue", "--config", str(home.settings), "--provider", "trsut")

    assert (2, "") == (done.code, done.out)
    assert done.err.endswith("--provider: it must be one of: trust, other\n")


@pytest.mark.parametrize("command", ["queue", "alarms", "quarantine"])
def test_a_database_that_is_not_there_is_an_error(home: Home, command: str) -> None:
    """No database is not an empty queue."""
    elsewhere = {"BARS_GATEWAY_STORE__PATH": "/nowhere/gateway.db"}
    done = bars_gateway(command, "--config", str(home.settings), environ=elsewhere)
    what, cure = done.err.splitlines()

    assert (1, "") == (done.code, done.out)
    assert what.startswith("error: there is no database at /nowhere/gateway.db")
    assert what.endswith(": no gateway ran with these settings, or it was moved")
    assert cure.startswith("   try: ")


def test_a_file_that_is_no_database_is_an_error(home: Home) -> None:
    """What cannot be read is said in two lines, and not in a traceback."""
    wrong = {"BARS_GATEWAY_STORE__PATH": str(home.settings)}
    done = bars_gateway("queue", "--config", str(home.settings), environ=wrong)
    what, cure = done.err.splitlines()

    assert (1, "") == (done.code, done.out)
    assert what.startswith("error: ")
    assert what.endswith("file is not a database")
    assert "`bars-gateway verify`" in cure
    assert "`bars-gateway restore FILE --older`" in cure


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("alarms",), 0),
        (("quarantine",), 0),
        (("cache", "list"), 0),
        (("show", NOBODY), 1),
        (("explain", NOBODY), 1),
        (("incident", NOBODY), 1),
        (("incident", "9", "--of", "alarm"), 1),
        (("timeline", NOBODY), 1),
        (("audit", "--actor", "nobody"), 0),
        (("owed", "--provider", "other"), 0),
    ],
    ids=lambda typed: " ".join(typed) if isinstance(typed, tuple) else str(typed),
)
def test_what_is_not_there_is_no_line(home: Home, command: tuple[str, ...], code: int) -> None:
    """No word beside it, and the exit code is that of the command."""
    done = bars_gateway(*command, "--json", "--config", str(home.settings))

    assert (code, "", "") == (done.code, done.out, done.err)


@pytest.mark.parametrize(
    "command",
    [
        "queue",
        "show ID",
        "explain ID",
        "timeline TALK",
        "owed",
        "counterparties",
        "audit",
        "stats",
        "safety report",
        "incident ID",
        "config",
        "verify",
        "cache clear",
    ],
)
def test_a_program_reads_one_document_on_each_line(home: Home, command: str) -> None:
    """With the members that are documented, and nothing else on standard output."""
    typed = command.replace("ID", home.waiting).replace("TALK", home.talk).split()
    done = bars_gateway(*typed, "--json", "--config", str(home.settings))
    found = [json.loads(line) for line in done.out.splitlines()]

    assert (0, "") == (done.code, done.err)
    assert [set(LINES[re.sub(" [A-Z]+", "", command)].members)] * len(found) == list(
        map(set, found)
    )
    assert found


def test_a_period_has_a_length(home: Home) -> None:
    """Whoever mixes its ends up is told, and reads no report of nothing."""
    typed = ("--since", "2026-03-03", "--until", "2026-03-02", "--config", str(home.settings))
    done = bars_gateway("safety", "report", *typed)

    assert (2, "") == (done.code, done.out)
    assert "--since: it must be before --until" in " ".join(done.err.split())


def test_a_report_says_since_when_anything_was_counted(home: Home) -> None:
    """A month of noughts before the first message is no month in which nothing went wrong."""
    begins = f"The audit trail begins {NOW:%Y-%m-%d %H:%M:%S} UTC"
    early, late = (
        bars_gateway("safety", "report", "--until", str(until), "--config", str(home.settings))
        for until in (NOW.date(), NOW.date() + timedelta(days=90))
    )

    assert begins in early.out
    assert begins not in late.out


def test_a_message_is_shown_to_programs(home: Home) -> None:
    """All that a person is shown, with the sentence."""
    named = (home.waiting, "--json", "--config", str(home.settings))
    row = json.loads(bars_gateway("queue", *named[1:]).out)
    found = json.loads(bars_gateway("show", *named).out)
    told = json.loads(bars_gateway("explain", *named).out)

    assert home.waiting == row["request_id"] == found["message"]["request_id"]
    assert row["means"] == found["message"]["means"] == told["means"]
    assert ["retry"] == [attempt["verdict"] for attempt in found["attempts"]]
    assert found["events"][0]["kind"]


def test_a_message_is_explained_to_people(home: Home) -> None:
    """What happened, what it waits for, whose turn it is, what may be done, what was told."""
    done = bars_gateway("explain", home.waiting, "--config", str(home.settings))

    assert 0 == done.code
    assert "Attempt 1 (no answer, 1.0 s): nothing came back: the message may have" in done.out
    assert "Nothing: nobody tries any more. When the gateway runs again, it ends" in done.out
    assert "it ends as unconfirmed, for it may have arrived" in done.out
    assert "Whose turn it is: " in done.out
    assert "Where to look first: between here and the Receiver" in done.out
    typing = f"  bars-gateway hold {home.waiting} --provider trust --why TEXT"
    assert f"{typing} --config {home.settings}\n" in done.out
    assert "  withdraw: a POST of it has begun, so the Receiver may have it; " in done.out


def test_an_id_that_nobody_knows_is_said_to_be_so(home: Home) -> None:
    """A mistyped id is no message that all is well with."""
    done = bars_gateway("explain", NOBODY, "--config", str(home.settings))

    assert (1, "There is no message with that X-Request-Id, Bundle.id or number.\n") == (
        done.code,
        done.out,
    )


def test_debts_services_trail_and_figures_are_lists_for_people(home: Home) -> None:
    """Plain where they are piped: columns, and no id is cut."""
    owing, services, trail, figures = (
        bars_gateway(command, "--config", str(home.settings)).out
        for command in ("owed", "counterparties", "audit", "stats")
    )

    assert "owed to us" in owing
    assert home.settled in owing
    assert "2000000202" in services
    assert "gives no answer" in services
    assert home.waiting in trail
    assert "Answered, of " in figures


@pytest.mark.parametrize("typed", ["yesterday", "0001-01-01T00:00+14:00", "9999-12-31T23:00-05:00"])
def test_a_period_that_is_none_is_a_mistyped_command(home: Home, typed: str) -> None:
    """What was typed, and how it is to be written; also of what has no time in UTC."""
    done = bars_gateway("audit", "--from", typed, "--config", str(home.settings))

    assert 2 == done.code
    assert "is not an instant such as 2026-03-02T09:00Z" in " ".join(done.err.split())


def test_options_of_the_list_are_none_of_what_looks_at_the_trail(home: Home) -> None:
    """Settings that are named before the command would be those of the list alone: another file."""
    settings = ("--config", str(home.settings))
    before, after = (
        bars_gateway("audit", *settings, "verify"),
        bars_gateway("audit", "verify", *settings),
    )

    assert (2, 0) == (before.code, after.code)
    assert "write options after the command: audit verify" in " ".join(before.err.split())
    assert "Nothing is wrong with it.\n" == after.out.splitlines(keepends=True)[-1]


def test_a_trail_that_was_changed_is_told_with_the_line_and_the_cure(home: Home) -> None:
    """On standard error, as every error; and whoever has a head of it hears whether it is in it."""
    settings = ("--config", str(home.settings))
    well = bars_gateway("audit", "verify", "--against", "0" * 64, *settings)
    wrong = bars_gateway("audit", "verify", "--against", "nothing.txt", *settings)

    assert (1, 2) == (well.code, wrong.code)
    assert "error: no line has the hash that --against tells" in well.err
    assert "   try: Make a copy of the database" in well.err


def test_a_backup_is_not_cut_off_where_more_was_told_later(home: Home, tmp_path: Path) -> None:
    """What the file of heads knows of later lines is wrong with the database alone."""
    settings, heads = ("--config", str(home.settings)), home.settings.parent / "state"
    heads /= "audit-heads.jsonl"
    backup = str(tmp_path / "copy.db")
    bars_gateway("backup", backup, *settings)
    without = bars_gateway("audit", "verify", *settings)
    heads.write_text(json.dumps({"line": 99_999, "hash": "0" * 64}))
    of_the_backup, of_the_database = (
        bars_gateway("audit", "verify", *file, *settings) for file in ([backup], [])
    )
    heads.write_text(json.dumps({"line": 1, "hash": "0" * 64}))
    forged = bars_gateway("audit", "verify", backup, *settings)
    heads.unlink()

    assert (0, 0, 1, 1) == (
        without.code,
        of_the_backup.code,
        of_the_database.code,
        forged.code,
    )
    assert f"warning: {heads} is not there" in without.err
    assert "" == of_the_backup.err


def test_a_backup_whose_trail_was_wiped_is_no_older_one(home: Home, tmp_path: Path) -> None:
    """With SQLite's counter as well, so that nothing in it tells of a line."""
    settings, heads = ("--config", str(home.settings)), home.settings.parent / "state"
    backup = tmp_path / "copy.db"
    bars_gateway("backup", str(backup), *settings)
    (heads / "audit-heads.jsonl").write_text(json.dumps({"line": 2, "hash": "0" * 64}))
    with closing(sqlite3.connect(backup, isolation_level=None)) as connection:
        query = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name IN (?, ?)"
        guards = connection.execute(query, ("events", "chain")).fetchall()
        wiped = ("events", "chain", "sqlite_sequence")
        for sql in (
            *(f"DROP TRIGGER {name}" for name, _ in guards),
            *(f"DELETE FROM {table}" for table in wiped),
            *(sql for _, sql in guards),
        ):
            connection.execute(sql)
    found = bars_gateway("audit", "verify", str(backup), *settings)

    assert 1 == found.code
    assert "error: the lines after 0 are cut off: there were 2" in found.err


def test_an_api_key_is_never_printed(home: Home) -> None:
    """What `config` prints is mailed about: that it is set, and where, is enough."""
    done = bars_gateway("config", "--config", str(home.settings))
    key = re.search('api_key = "(.*)"', home.settings.read_text("utf-8"))

    assert key is not None
    assert key[1] not in done.out
    assert f"providers.trust.api_key = (set, not shown)    # {home.settings}:" in done.out


@pytest.mark.parametrize("command", [(), ("queue",), ("keys",), ("doctor", "token")])
def test_help_is_one_letter_away(command: tuple[str, ...]) -> None:
    """`-h` is what fingers type."""
    assert bars_gateway(*command, "--help") == bars_gateway(*command, "-h")


@pytest.mark.parametrize(
    "command",
    [
        ["queue"],
        ["show", NOBODY],
        ["quarantine"],
        ["alarms"],
        ["verify"],
        ["backup", "FOLDER/copy.db"],
        ["restore", "/dev/null", "--older"],
        ["run"],
    ],
    ids=lambda command: command[0],
)
def test_a_folder_in_the_place_of_the_database_is_one_clear_line(
    home: Home, tmp_path: Path, command: list[str]
) -> None:
    """And one cure; no traceback of SQLite, and the folder stays where it is."""
    there = tmp_path / "folder"
    there.mkdir()
    settings = tmp_path / "gateway.toml"
    settings.write_text(
        home.settings.read_text("utf-8") + f'\n[store]\npath = "{there}"\n', "utf-8"
    )
    run = started if command == ["run"] else bars_gateway
    words = [word.replace("FOLDER", str(tmp_path)) for word in command]
    what, cure = run(*words, "--config", str(settings)).err.splitlines()

    assert what.startswith("error: ")
    assert str(there) in what
    assert cure.startswith("   try: ")
    assert there.is_dir()


def test_an_interrupt_is_no_traceback() -> None:
    """However early it comes: while the program is still being read, too."""
    loading = "import sys, builtins, bars_gateway.__main__ as m\n"
    loading += "sys.modules['bars_gateway.cli.begin'] = None\n"
    loading += "real = builtins.__import__\n"
    loading += (
        "def stop(name, *more):\n    if name == 'bars_gateway.cli': raise KeyboardInterrupt\n"
    )
    loading += "    return real(name, *more)\n"
    loading += "builtins.__import__ = stop\nm.main()"
    done = subprocess.run(
        [sys.executable, "-c", loading], capture_output=True, text=True, check=False, timeout=60
    )

    assert (130, "", "") == (done.returncode, done.stdout, done.stderr)


def test_what_a_terminal_has_no_letter_for_is_spelt_out(home: Home, tmp_path: Path) -> None:
    """In an old locale a report goes on behind a name in Welsh, and does not end in a traceback."""
    settings = tmp_path / "bars-gateway.toml"
    text = home.settings.read_text("utf-8")
    settings.write_text(
        re.sub("^name = .*$", 'name = "Ysbyty Ŵyn"', text, flags=re.MULTILINE), "utf-8"
    )
    done = subprocess.run(
        [sys.executable, "-m", "bars_gateway", "config", "-c", str(settings)],
        check=False,
        capture_output=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "PYTHONIOENCODING": "iso-8859-1"},
    )

    assert (0, b"") == (done.returncode, done.stderr)
    assert rb".name = Ysbyty \u0174yn" in done.stdout


@pytest.mark.parametrize("pasted", ["{} ", " {}", "{}\u00a0", "{}\n"])
@pytest.mark.parametrize("words", [("show",), ("explain",), ("timeline",), ("audit", "--id")])
def test_blanks_around_an_id_do_not_count(home: Home, words: tuple[str, ...], pasted: str) -> None:
    """It was copied out of a mail: that there is no such message would not be true."""
    wanted = pasted.format(home.talk if words == ("timeline",) else home.settled)
    done = bars_gateway(*words, wanted, "--config", str(home.settings))

    assert 0 == done.code
    assert home.settled in done.out


@pytest.mark.parametrize("listing", ["alarms", "quarantine", "held-records", "queue", "owed"])
def test_a_provider_that_there_is_not_has_no_empty_list(home: Home, listing: str) -> None:
    """Of a mistyped name it is said that it is none: that no alarm stands would not be true."""
    words = (listing, "--provider", "turst", "--config", str(home.settings))
    done = bars_gateway(*words)

    assert (2, "") == (done.code, done.out)
    assert "it must be one of: trust, other" in done.err


@pytest.mark.parametrize(("listing", "limit"), [("queue", 1), ("owed", 1), ("audit", 2)])
def test_a_list_that_was_cut_says_so(home: Home, listing: str, limit: int) -> None:
    """Whoever counts its lines in an outage is to know that they are not all."""
    settings = ("--config", str(home.settings))
    cut = bars_gateway(listing, "--limit", str(limit), *settings)
    whole = bars_gateway(listing, "--limit", "500", *settings)
    told = bars_gateway(listing, "--limit", str(limit), "--json", *settings)

    assert f"No more than {limit} are listed" in cut.err
    assert "are listed" not in whole.err + told.err


def test_an_export_that_cannot_be_written_whole_leaves_nothing(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full: half of it would be handed out as the whole."""

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    words = ("audit", "export", str(tmp_path / "trail.jsonl"), "--why", "INC-7")
    monkeypatch.setattr(trail, "report_done", lambda *_, **__: None)
    done = bars_gateway(*words, "--config", str(home.settings))

    assert f"error: {tmp_path}/trail.jsonl cannot be written: No space left on device\n" in done.err
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ("audit", "export", "{}/missing/file", "--why", "INC-7"),
        ("schemas", "{}/file"),
        ("schemas", "{}/file/below"),
    ],
)
def test_where_nothing_can_be_written_it_is_said_in_two_lines(
    home: Home, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """A folder that is missing, or a file in its place, is no traceback."""
    (tmp_path / "file").touch()
    config = () if words[0] == "schemas" else ("--config", str(home.settings))
    done = bars_gateway(*(word.format(tmp_path) for word in words), *config)
    what, cure = done.err.splitlines()

    assert 1 == done.code
    assert what.startswith(f"error: {tmp_path}/")
    assert cure.startswith("   try: ")


@pytest.mark.parametrize("content", [None, b"\x1f\x8b\x08", b"messages one\n", b"things 1 x\n"])
def test_what_is_no_list_of_names_is_no_traceback(tmp_path: Path, content: bytes | None) -> None:
    """A backup that was packed, or a file of another kind, or none."""
    for name in ("state", "run", "spool"):
        (tmp_path / name).mkdir()
    file, settings = tmp_path / "names", tmp_path / "bars-gateway.toml"
    settings.write_text(settings_text(tmp_path), "utf-8")
    asyncio.run(empty(tmp_path / "state" / "gateway.db"))
    typed("purge", "--why", "INC-7", "-c", settings)
    if content is not None:
        file.write_bytes(content)
    done = typed("purge", "--verify", 1, "--against", file, "-c", settings)

    assert 2 == done.code
    assert ("neither a backup nor a list" if content else "does not exist") in done.err


async def empty(path: Path) -> None:
    async with open_database(path):
        pass


def report(count: int, *, more: bool) -> tuple[HTTPStatus, dict[str, object]]:
    message = {"request_id": NOBODY, "objection": None, "state": "held", "done": True}
    message |= {"resent_as": None, "may_happen": None, "also": []}
    following = {"after": 7, "up_to": 9} if more else None
    answer = {"possible": count, "more": more, "next": following, "dry_run": False}
    return HTTPStatus.OK, {**answer, "messages": [message] * count, "objections": {}}


def test_a_verb_goes_on_until_all_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than fit into one round are done in several, and counted together."""
    rounds = iter([report(3, more=True), report(2, more=True), report(1, more=False)])
    monkeypatch.setattr(messages, "asked", lambda *_: next(rounds))
    done = typed("hold", "--all", "--why", "INC-7")

    assert 0 == done.code
    assert "done: 6\n" in done.out
    assert [] == list(rounds)


def test_a_filter_that_fits_nothing_says_what_the_verb_is_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing done is not all done."""
    monkeypatch.setattr(messages, "asked", lambda *_: report(0, more=False))
    done = typed("retry", "--all", "--why", "INC-7")

    assert 1 == done.code
    assert "by a filter, retry is for messages that are not_sent, refused" in done.out


UNFORESEEN = """
import sys
from bars_gateway.cli import begin
from bars_gateway.daemon import start

def fails(*_):
    raise RuntimeError("unforeseen")

start.start = fails
sys.argv[1:] = ["run"]
begin.main()
"""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(["-m", "bars_gateway", "run", "--config", "none.toml"], 2, id="refused"),
        pytest.param(["-c", UNFORESEEN], 1, id="unforeseen"),
    ],
)
def test_a_gateway_ends_though_nobody_reads_what_it_says(
    tmp_path: Path, words: list[str], code: int
) -> None:
    """Else the service manager would wait for it, and start nothing again."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, b"." * 4096)
    os.set_blocking(write, True)
    try:
        done = subprocess.run(
            [sys.executable, *words], check=False, stderr=write, timeout=60, cwd=tmp_path
        )
    finally:
        os.close(read)
        os.close(write)

    assert code == done.returncode


def test_what_nobody_foresaw_is_told_with_where_it_happened(tmp_path: Path) -> None:
    """As Python tells it, for whoever mends it."""
    done = subprocess.run(
        [sys.executable, "-c", UNFORESEEN],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )

    assert 1 == done.returncode
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert done.stderr.endswith("RuntimeError: unforeseen\n")
