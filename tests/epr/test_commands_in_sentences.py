"""
Commands of ours that sentences of pages have, and no block: each is typed, and does what it does.

At a desk where each finds something; at installations from nothing, one of them with the national
side beside it; on a server. What a sentence only names is typed alone, and says what it lacks.
"""

import os
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from itertools import chain
from pathlib import Path

import pytest
from answered import answered
from desks import desk_of
from epr_side import PROVIDER, utc_now
from furnished import TALK, files, furnish
from installation import NAME, SERVICES, Installation
from messages import referral
from pages import PAGES, ROOT, own_commands, typed_in_blocks
from typed import WHY, typed, typed_beside
from world import begun, eventually

from bars_gateway.epr.intake import Intake
from bars_gateway.onboarding.keys import NOT_RETIRED_BEFORE
from bars_gateway.standard.workflow import Move
from bars_gateway.store.store import Store

pytestmark = pytest.mark.of_sqlite  # typed beside it, by its file
NOT_UNDERSTOOD = 2  # how a command exits that lacks something
# A sentence names these, and says nothing of what goes with them.
NAMED = (
    *("acknowledge", "cache", "confirm WORKFLOW STATE", "hold ID", "lint", "lint --strict"),
    *("nodes", "release", "resend", "safety", "schemas", "show", "timeline", "withdraw"),
)
# Each of these groups is typed in this order.
AT_A_DESK = (
    *("VERB REQUEST_ID --why TEXT", "release REQUEST_ID --why TEXT", "show REQUEST_ID"),
    *("alerts", "acknowledge NUMBER --why TEXT", "audit --id ID", "backup FILE", "cache list"),
    *("cache clear", "config", "config --describe", "confirm WORKFLOW STATE --why TEXT"),
    *("counterparties", "explain ID", "incident ID", "quarantine", "queue --provider NAME"),
    *("safety report", "schemas DIR", "timeline CORRELATION", "users list"),
)
OF_A_MESSAGE = ("lint --strict FILE", "lint FILE…")
LETTERS = {
    "int": ("letters", "letters key", "letters certificate", "letters dns", "letters catalogue"),
    "prod": ("letters live",),
}
SAID_IN_LETTERS = {
    "CONTACT": "Jo Bloggs, jo.bloggs@example.org",
    "APPLICATION_ID": "00000000-0000-4000-8000-000000000000",
    "PUBLIC_ADDRESS": "192.0.2.7",
}
BEFORE_IT_RECEIVES = ("keys probe --key-id ID", "doctor token --explain", "csr new --why TEXT")
ONCE_THE_DESK_HAS_SIGNED = ("certificate check FILE", "certificate install FILE --why TEXT")
OF_KEYS = (
    *("keys new --why TEXT", "keys new --why TEXT --provider NAME"),
    *("encryption rotate --why TEXT", "encryption copy FILE --why TEXT"),
)
AN_HOUR_LATER = ("keys retire OLD --why TEXT",)
OF_THE_HEADS = ("audit verify --against FILE",)
WHEN_IT_HAS_STOPPED = (
    *("compact", "restore FILE", "restore FILE --why TEXT", "restore FILE --older --why TEXT"),
    *("restore --why TEXT", "purge --why TEXT"),
)
OF_WHAT_WAS_KEPT = ("restore KEPT --hand-over",)
HERE = (
    *(*NAMED, *AT_A_DESK, *OF_A_MESSAGE, *chain(*LETTERS.values()), *BEFORE_IT_RECEIVES),
    *(*ONCE_THE_DESK_HAS_SIGNED, *OF_KEYS, *AN_HOUR_LATER),
    *(*OF_THE_HEADS, *WHEN_IT_HAS_STOPPED, *OF_WHAT_WAS_KEPT),
)
_ON_A_SERVER = "tests/test_on_a_server.py"
ELSEWHERE = {
    "demo --nodes 2": "tests/scenarios/test_demo.py",
    "nodes list": _ON_A_SERVER,
    "nodes remove NAME --why TEXT": _ON_A_SERVER,
    "store copy --to FILE": _ON_A_SERVER,
    "store reopen --why TEXT": _ON_A_SERVER,
}


def test_each_command_of_a_sentence_is_typed() -> None:
    """In a block that is typed, or as a row here; and no row is of what no page says any more."""
    found = {each for page in PAGES for each in own_commands(page)}
    rows = [*HERE, *ELSEWHERE]

    assert sorted(set(rows)) == sorted(rows)
    assert set(rows) == {each for each in found if f"bars-gateway {each} " not in typed_in_blocks()}


@pytest.mark.parametrize("command", ELSEWHERE)
def test_whoever_types_it_is_there(command: str) -> None:
    """It takes the words from the page, or has them itself."""
    assert command in (ROOT / ELSEWHERE[command]).read_text("utf-8")


@pytest.mark.parametrize("command", NAMED)
def test_what_is_only_named_says_what_it_lacks(tmp_path: Path, command: str) -> None:
    """And does nothing."""
    words = ["1" if each.isupper() else each for each in command.split()]
    done = typed(*words, environ={"BARS_GATEWAY_CONFIG": str(tmp_path / "nowhere.toml")})
    said = done.out + done.err

    assert NOT_UNDERSTOOD == done.code
    assert any(each in said for each in ("Missing argument", "Missing option", "Commands"))


async def failed(commands: Iterable[str], names: Mapping[str, str]) -> dict[str, str]:
    """Type them one after the other, each word of *names* replaced; return what was not done."""
    found = {}
    for command in commands:
        words = (names.get(each.rstrip("…"), each) for each in command.split())
        done = await typed_beside(*words)
        if done.code:
            found[command] = f"{done.code}: {done.out}{done.err}"
    return found


async def test_what_is_typed_at_a_desk_is_done(
    store: Store, intake: Intake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a gateway that has one of everything."""
    async with desk_of(store, intake, tmp_path / "gateway.db") as desk:
        monkeypatch.setenv("BARS_GATEWAY_CONFIG", str(desk.settings))
        in_doubt = await answered(store, utc_now(), Move.UNCLEAR)
        named = await furnish(store) | files(tmp_path, desk.settings.parent)
        names = {
            "ID": named["ID"],
            "REQUEST_ID": named["ID"],
            "CORRELATION": TALK,
            "NUMBER": named["ALERT"],
            "WORKFLOW": str(in_doubt),
            "STATE": "active",
            "VERB": "hold",
            "NAME": PROVIDER,
            "TEXT": "INC-7",
            "DIR": str(tmp_path / "schemas"),
            "FILE": str(tmp_path / "copy.db"),
        }
        wrong = await failed(AT_A_DESK, names)
        wrong |= await failed(OF_A_MESSAGE, {"FILE": named["M.JSON"]})

    assert {} == wrong


@pytest.mark.parametrize("environment", LETTERS)
async def test_there_is_a_letter_to_whoever_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: str
) -> None:
    """Once the settings have what it says of us, and the request is there that it is about."""
    site = Installation.in_folder(tmp_path)
    monkeypatch.setenv("BARS_GATEWAY_CONFIG", str(site.config))
    for name, value in SAID_IN_LETTERS.items():
        monkeypatch.setenv(f"BARS_GATEWAY_ONBOARDING__{name}", value)
    fqdn = f"BaRS-{environment.upper()}-ZX901.northshire.nhs.uk"
    whose = ("--ods-code", "ZX901", "--name", NAME, "--service", SERVICES[0], "--fqdn", fqdn)
    where = ("--folder", site.folder, "--environment", environment)
    made = [await typed_beside("init", *where, *whose), await typed_beside("csr", "new", *WHY)]

    assert [0, 0] == [done.code for done in made], made
    assert {} == await failed(LETTERS[environment], {})


@asynccontextmanager
async def national_side(site: Installation, folder: Path) -> AsyncIterator[None]:
    """Run the sandbox, which knows the installation."""
    known = [f"--gateway={NAME}={service}@{site.url}" for service in SERVICES]
    words = ("sandbox", str(site.national), "--port=0", "--admin-port=0", "--key-bits=2048")
    command = (sys.executable, "-m", "bars_gateway", *words, *known)
    async with begun(folder / "sandbox.log", *command):
        await eventually((site.national / "sandbox.json").exists)
        yield


async def one_is_sent(site: Installation, folder: Path) -> None:
    """Let the gateway run until it has sent a message."""
    async with begun(folder / "log", sys.executable, "-m", "bars_gateway", "run") as gateway:
        await eventually((site.folder / "run" / f"{NAME}.sock").exists)
        (folder / "referral.json").write_bytes(referral())
        assert {} == await failed(["send FILE"], {"FILE": str(folder / "referral.json")})
        await eventually(lambda: list(site.spool.glob("inbox/new/*.outcome.json")))
        gateway.terminate()
        await gateway.wait()


@pytest.mark.long
async def test_what_is_typed_on_the_way_to_live_and_back_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From nothing to a message that was sent, and to a backup from before."""
    site = Installation.in_folder(tmp_path)
    monkeypatch.setenv("BARS_GATEWAY_CONFIG", str(site.config))
    names = {"ID": "Northshire-LOCAL-1", "OLD": "Northshire-LOCAL-2", "NAME": NAME, "TEXT": "INC-7"}
    monkeypatch.setenv("BARS_GATEWAY_STORE__ENCRYPTION_KEYS_FILE", str(tmp_path / "ring"))
    async with national_side(site, tmp_path):
        site.begin(typed, "--key-bits", "2048")
        site.register_key()
        wrong = await failed(BEFORE_IT_RECEIVES, names)
        wrong |= await failed(ONCE_THE_DESK_HAS_SIGNED, names | {"FILE": str(site.sign())})
        wrong |= await failed(OF_KEYS, names | {"FILE": str(tmp_path / "copied.keys")})
        an_hour_ago = time.time() - NOT_RETIRED_BEFORE.total_seconds() - 1
        os.utime(site.config, (an_hour_ago, an_hour_ago))
        wrong |= await failed(AN_HOUR_LATER, names)
        await one_is_sent(site, tmp_path)
    heads = str(site.folder / "state" / "audit-heads.jsonl")
    wrong |= await failed(OF_THE_HEADS, {"FILE": heads})
    for number, command in enumerate(WHEN_IT_HAS_STOPPED):
        backup = str(tmp_path / f"{number}.db")
        wrong |= await failed(["backup FILE", command], names | {"FILE": backup})
    *_, kept = sorted((site.folder / "state").glob("gateway.db.before-restore-*Z"))
    wrong |= await failed(OF_WHAT_WAS_KEPT, {"KEPT": str(kept)})

    assert {} == wrong
