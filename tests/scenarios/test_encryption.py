"""Keys by a person's commands, gateways that are killed at every step of a rotation, one person."""

import asyncio
import json
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import engines
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from store_values import TERMS, arrival, payload, submission
from typed import WHY, Done, settings_text, told_by, typed

from bars_gateway.config import load
from bars_gateway.config.doubts import doubts
from bars_gateway.config.problems import problems
from bars_gateway.daemon.reload import key_ring
from bars_gateway.demo.messages import referral
from bars_gateway.demo.stage import free_ports
from bars_gateway.errors import KeyRingRefused
from bars_gateway.keyring import EncryptionRing, Vault
from bars_gateway.onboarding.files import private_pem
from bars_gateway.store.connection import Connection
from bars_gateway.store.inbound import keep_aside
from bars_gateway.store.rows import payload_of
from bars_gateway.store.sqlite.integrity import examine
from bars_gateway.store.store import Store

pytestmark = [pytest.mark.both_engines, pytest.mark.each_fact_once]
of_the_ring = pytest.mark.of_sqlite  # it looks at the file of the keys, and at no database

LAUNCHER = Path(__file__).parent.parent / "support" / "crashing_gateway.py"
NUMBER = "9434765919"
OTHER = "9990000018"
NARRATED = f'{{"resourceType":"Bundle","text":"mother of 943 476 5919, {NUMBER}"}}'.encode()


@pytest.fixture(scope="module")
def pem() -> bytes:
    return private_pem(rsa.generate_private_key(65537, 2048))


class House:
    """An installation that sends only, and may have a key ring."""

    def __init__(self, folder: Path, pem: bytes) -> None:
        self.folder = folder
        self.config, self.database = folder / "bars-gateway.toml", folder / "state" / "gateway.db"
        self.ring = folder / "keys" / "encryption.keys"
        (self.port,) = free_ports(1)
        for name in ("state", "run", "spool", "keys"):
            (folder / name).mkdir()
        key = folder / "keys" / "Northshire-LOCAL-1.pem"
        key.write_bytes(pem)
        key.chmod(0o600)
        self.write("")

    def write(self, store: str, **changes: str) -> None:
        """Write the settings, with these lines below [store]."""
        status = f'[status]\nlisten = "127.0.0.1:{self.port}"\n'
        if engines.on_server():
            store += f'\nurl = "{engines.url_of(self.database)}"'
        rest = f"{status}[inbound]\nenabled = false\n[store]\nminimum_free_bytes = 0\n{store}\n"
        self.config.write_text(settings_text(self.folder, rest=rest, **changes), "utf-8")

    def typed(self, *words: object, said: str = "") -> Done:
        return typed(*words, "--config", self.config, said=said)

    def encrypted(self) -> None:
        self.write(f'encryption_keys_file = "{self.ring}"')

    @property
    def vault(self) -> Vault:
        return Vault(EncryptionRing.read(self.ring)) if self.ring.exists() else Vault()

    def fill(self, vault: Vault) -> None:
        asyncio.run(fill(self.database, vault))

    def wrong(self) -> str:
        """Return what is wrong with the database, as the operator is told; "": nothing is."""
        return self.typed("verify").err

    def bodies(self) -> dict[tuple[int, str], bytes]:
        """Return the bytes of each message, as they were before they were encrypted."""
        keys = engines.ask(self.database, "SELECT message_id, part FROM payloads")

        def opened(connection: Connection) -> dict[tuple[int, str], bytes]:
            rows = [connection.one("payload", message_id=of, part=part) for of, part in keys]
            return {
                (row["message_id"], row["part"]): payload_of(row, connection.vault).body
                for row in rows
                if row is not None
            }

        return asyncio.run(engines.seen(self.database, opened, self.vault))

    def raw(self) -> bytes:
        """Return what is kept of payloads, whoever reads it: on a server, what is in its tables."""
        if not engines.on_server():
            beside = (self.database, self.database.with_name(f"{self.database.name}-wal"))
            return b"".join(each.read_bytes() for each in beside if each.exists())
        each = (f"SELECT body FROM {table}" for table in ("payloads", "questions", "quarantine"))
        found = engines.ask(self.database, " UNION ALL ".join(each))
        return b"".join(bytes(body) for (body,) in found)

    def live(self, point: str) -> int:
        """Start a gateway that dies at *point*; return how it ended."""
        command = [sys.executable, str(LAUNCHER), point, "run", "--config", str(self.config)]
        with (self.folder / "gateway.log").open("ab") as output:
            return subprocess.run(
                command, check=False, stdout=output, stderr=output, timeout=60
            ).returncode


@pytest.fixture
def house(tmp_path: Path, pem: bytes) -> House:
    return House(tmp_path, pem)


async def fill(database: Path, vault: Vault) -> None:
    now = datetime.now(UTC)
    async with engines.opened(database, vault=vault) as opened:
        store = Store(opened, node="here")
        sent = referral(nhs_number=NUMBER)
        await store.outbound.submit(submission(body=sent, request=payload(sent)), now)
        other = referral(nhs_number=OTHER)
        await store.inbound.receive(arrival(body=other, request=payload(other)), now)
        asked = referral(nhs_number=NUMBER)
        store.questions.attend("trust", now)
        question = arrival(body=asked, request=payload(asked))
        await store.questions.ask_about(question, None, TERMS, now)
        strange = arrival(body=NARRATED, request=payload(NARRATED))

        def put_aside(connection: Connection) -> None:
            keep_aside(connection, strange, "orphan", now)

        await opened.write(put_aside)


def lines(done: Done) -> list[dict[str, object]]:
    return [json.loads(line) for line in done.out.splitlines()]


@of_the_ring
def test_a_key_ring_is_made_and_said_where_to_write(house: House) -> None:
    """Mode 0600, in the folder of the other keys; the key itself is shown nowhere."""
    done = house.typed("encryption", "rotate", *WHY)
    ring = EncryptionRing.read(house.ring)

    assert (0, "") == (done.code, done.err)
    assert f'encryption_keys_file = "{house.ring}"' in done.out
    assert 0o600 == stat.S_IMODE(house.ring.stat().st_mode)
    assert ring.text.split()[-1] not in done.out


@of_the_ring
def test_a_rotation_adds_a_key_and_takes_none_out(house: House) -> None:
    """A backup may need the old one."""
    house.typed("encryption", "rotate", *WHY)
    before = EncryptionRing.read(house.ring)
    house.encrypted()
    house.typed("encryption", "rotate", *WHY)
    after = EncryptionRing.read(house.ring)

    assert before.keys == after.keys[:-1]
    assert after.current.key_id in house.typed("encryption", "show").out


@of_the_ring
def test_a_copy_is_a_whole_ring_and_noted(house: House) -> None:
    """From then on nobody is told any more that there is none."""
    house.typed("encryption", "rotate", *WHY)
    house.encrypted()
    told = [each.key for each in doubts(load(house.config, {}))]
    target = house.folder / "copy"
    done = house.typed("encryption", "copy", target, *WHY)

    assert ["store.encryption_keys_file"] == [key for key in told if key.startswith("store.")]
    assert 0 == done.code
    assert 0o600 == stat.S_IMODE(target.stat().st_mode)
    assert EncryptionRing.read(house.ring).keys == EncryptionRing.read(target).keys
    assert [] == [e for e in doubts(load(house.config, {})) if e.key.startswith("store.")]


@of_the_ring
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda ring: ring.chmod(0o640), "can be read by other users"),
        (lambda ring: ring.write_text("key\n"), "is not a key ring: line 1"),
        (lambda ring: ring.unlink(), "cannot be read"),
    ],
)
def test_a_ring_that_cannot_be_used_is_told(house: House, spoil: object, says: str) -> None:
    """By `check`, and by each start, before anything is opened."""
    house.typed("encryption", "rotate", *WHY)
    house.encrypted()
    spoil(house.ring)  # type: ignore[operator]
    found = problems(load(house.config, {}), datetime.now(UTC))

    assert ["store.encryption_keys_file"] == [each.key for each in found]
    assert says in found[0].cause
    assert found[0].cure


@of_the_ring
@pytest.mark.parametrize("environment", ["int", "prod"])
def test_where_patients_are_encryption_that_is_off_is_told(house: House, environment: str) -> None:
    """It is nothing that stops a gateway that has been in use for long."""
    from typed import settings_text as text

    changes = {"environment": environment, "key_id": f"Northshire-{environment.upper()}-1"}
    urls = ("token_url", "proxy_url")
    written = text(house.folder, **changes)
    kept = [line for line in written.splitlines() if not line.startswith(urls)]
    house.config.write_text("\n".join(kept), "utf-8")
    found = [each for each in doubts(load(house.config, {})) if each.key.startswith("store.")]

    assert ["store.encryption_keys_file"] == [each.key for each in found]
    assert "in clear" in found[0].cause
    assert "encryption rotate" in found[0].cure


def test_a_gateway_without_its_key_says_which_and_where(house: House) -> None:
    """And begins with it again, whole."""
    house.typed("encryption", "rotate", *WHY)
    house.encrypted()
    house.fill(house.vault)
    key = EncryptionRing.read(house.ring).current.key_id
    house.write("")
    done = house.typed("run")
    house.encrypted()

    assert 1 == done.code
    assert key in done.err
    assert "encryption_keys_file" in done.err
    assert "copy" in done.err
    assert 0 == house.typed("verify").code


@pytest.mark.of_sqlite
def test_a_backup_stays_encrypted_and_goes_back(house: House) -> None:
    """Verified with the ring; without it, it says so of every row."""
    house.typed("encryption", "rotate", *WHY)
    house.encrypted()
    house.fill(house.vault)
    backup = house.folder / "backup.db"
    made, verified = house.typed("backup", backup), house.typed("verify", backup)
    house.database.unlink()
    back = house.typed("restore", backup, "--older")
    without = examine(backup)

    assert [0, 0, 0] == [made.code, verified.code, back.code], back.err
    assert NUMBER.encode() not in backup.read_bytes()
    assert b"\x28\xb5\x2f\xfd" not in backup.read_bytes()
    assert [] == examine(house.database, house.vault).problems
    assert 4 == sum("is not in the ring" in each for each in without.problems)


@pytest.mark.long
def test_kills_at_every_step_of_a_rotation_lose_nothing(house: House) -> None:
    """From clear to the first key, and on to the second: before each commit, and after it."""
    house.fill(Vault())
    expected = house.bodies()
    # Two commits for each of the four tables: its rows, and that there are no more.
    batches = ["before:encrypt_batch", *["after:encrypt_batch"] * 8]
    first = ["before:begin_encryption", "after:begin_encryption", *batches, "before:end_encryption"]
    second = ["after:begin_encryption", "after:encrypt_batch"]
    if engines.on_server() and engines.WANTED == engines.SQLITE:  # told once more, in short
        first, second = ["before:encrypt_batch", "before:end_encryption"], second[1:]
    for points in (first, second):
        house.typed("encryption", "rotate", *WHY)
        house.encrypted()
        for point in points:
            assert -signal.SIGKILL == house.live(point), (house.folder / "gateway.log").read_text()
            assert not house.wrong()
        assert -signal.SIGKILL == house.live("after:end_encryption")
        shown = lines(house.typed("encryption", "show", "--json"))[0]

        assert expected == house.bodies()
        assert (True, [shown["key_id"]]) == (shown["done"], shown["needed"])
        found = house.raw()
        assert [] == [word for word in (NUMBER, OTHER) if word.encode() in found]
        assert b"\x28\xb5\x2f\xfd" not in found


@pytest.mark.parametrize("written", [NUMBER, "943 476 5919\n", " 943-476-5919"])
@pytest.mark.parametrize("ways", [(), ("--read-everything",)], ids=["index", "read"])
def test_one_person_is_found_wherever_they_are_named(
    house: House, written: str, ways: tuple[str, ...]
) -> None:
    """In messages, questions, quarantine and files; and nobody else is listed."""
    house.typed("encryption", "rotate", *WHY)
    house.encrypted()
    house.fill(house.vault)
    copy = house.folder / "spool" / "inbox" / "new" / "1.message.json"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(referral(nhs_number=NUMBER))
    copy.with_name("2.message.json").write_bytes(referral(nhs_number=OTHER))
    done = house.typed("subject", "--why", "request 17", "--json", *ways, said=written)
    found = lines(done)

    assert 0 == done.code, done.err
    assert [
        ("message", "patient", "outbound"),
        ("question", "patient", "inbound"),
        ("quarantine", "text", "inbound"),
    ] == [(each["kind"], each["named"], each["direction"]) for each in found[:-1]]
    assert str(copy) == found[-1]["path"]
    assert NUMBER not in done.out


@pytest.mark.parametrize(
    ("ways", "said"),
    [(("-",), f"{NUMBER}\n"), ((NUMBER,), ""), (("-", "--read-everything"), NUMBER)],
    ids=["unseen", "typed", "read"],
)
def test_what_the_trail_has_of_one_person_is_exported(
    house: House, ways: tuple[str, ...], said: str
) -> None:
    """Of what names them, and nobody else; that it was one person is told, and not whom."""
    house.typed("encryption", "rotate", *WHY)
    house.encrypted()
    house.fill(house.vault)
    file = house.folder / "lines.jsonl"
    done = house.typed("audit", "export", file, "--subject", *ways, "--why", "access 17", said=said)
    of_one = [json.loads(line) for line in file.read_text().splitlines()]
    listed = lines(house.typed("audit", "--json"))
    held = lines(house.typed("subject", "--why", "x", "--json", said=NUMBER))
    named = {each["request_id"] for each in held}
    (told,) = [each for each in told_by(house.folder / "state") if each["kind"] == "audit.exported"]

    assert 0 == done.code, done.err
    chosen = [each for each in of_one if "kind" in each]
    assert [each["kind"] for each in reversed(listed) if each["request_id"] in named] == [
        each["kind"] for each in chosen
    ]
    assert 0 < len(chosen) < len(listed)
    assert (len(held), "access 17") == (told["about_one_person"], told["why"])
    assert NUMBER not in done.out + done.err + file.read_text() + json.dumps(told)


@pytest.mark.parametrize(
    "words",
    [
        ("lines.jsonl", "--subject", "9434765918"),
        (f"of-{NUMBER}.jsonl", "--subject", "-"),
        ("lines.jsonl", "--actor", NUMBER),
        ("lines.jsonl", "--by", f"NHS{NUMBER}"),
    ],
)
def test_an_export_about_one_person_names_them_nowhere(
    house: House, words: tuple[str, ...]
) -> None:
    """Neither its file nor the trail does; a wrong number is refused, and not repeated."""
    house.typed("encryption", "rotate", *WHY)
    house.encrypted()
    house.fill(house.vault)
    file, *rest = words
    done = house.typed("audit", "export", house.folder / file, *rest, "--why", "x", said=NUMBER)

    assert 2 == done.code
    assert rest[-1] not in done.err.replace("-", "") or rest[-1] == "-"
    assert not (house.folder / file).exists()
    assert "audit.exported" not in {each["kind"] for each in told_by(house.folder / "state")}


def test_a_number_that_was_typed_as_an_argument_is_said_to_be_in_the_history(house: House) -> None:
    """And is not repeated there."""
    house.typed("encryption", "rotate", *WHY)
    house.encrypted()
    house.fill(house.vault)
    done = house.typed("subject", NUMBER, "--why", "x")
    unseen = house.typed("subject", "--why", "x", said=NUMBER)

    assert "history" in done.err
    assert NUMBER not in done.out + done.err
    assert "history" not in unseen.err


async def test_a_ring_that_others_can_read_is_not_taken_by_a_running_gateway(house: House) -> None:
    """As at a start; the keys that it has go on, and it says what to do."""
    await asyncio.to_thread(house.typed, "encryption", "rotate", *WHY)
    house.encrypted()
    settings = load(house.config, {})
    taken: list[bool] = []
    async with engines.opened(house.database, vault=house.vault) as database:
        store = Store(database, node="here")
        (ring,) = key_ring(settings, store.encryption, lambda: taken.append(True))
        await ring.take(settings)
        house.ring.chmod(0o644)
        with pytest.raises(KeyRingRefused, match="other users"):
            await ring.take(settings)

    assert [True] == taken


def test_what_is_encrypted_is_purged_without_a_gateway(house: House) -> None:
    """By the ring of the settings, as a gateway would; and its certificate holds."""
    house.typed("encryption", "rotate", *WHY)
    house.encrypted()
    house.fill(house.vault)
    done = house.typed("purge", *WHY)
    verified = house.typed("purge", "--verify", "1")

    assert (0, 0) == (done.code, verified.code), done.err


def test_a_ring_that_is_lost_is_not_made_anew(house: House) -> None:
    """The database needs its keys: another ring in its place would hide that, and its copy."""
    house.typed("encryption", "rotate", *WHY)
    house.encrypted()
    house.fill(house.vault)
    house.ring.unlink()
    done = house.typed("encryption", "rotate", *WHY)

    assert (1, False) == (done.code, house.ring.exists())
    assert "copy" in done.err


def test_without_a_key_every_payload_is_read_instead(house: House) -> None:
    """Nothing is indexed then, and that is said."""
    house.fill(Vault())
    refused = house.typed("subject", "--why", "x", said=NUMBER)
    done = house.typed("subject", "--why", "x", "--read-everything", said=NUMBER)

    assert 1 == refused.code
    assert "--read-everything" in refused.err
    assert 0 == done.code
    assert "3 in the database" in done.out


@pytest.mark.parametrize("written", ["9434765918", "943", "0000000000", ""])
def test_a_number_that_is_none_is_refused_and_not_repeated(house: House, written: str) -> None:
    """A slip of one digit would show another's records, or that there are none."""
    done = house.typed("subject", "--why", "x", said=written)

    assert 2 == done.code
    assert "not an NHS number" in done.err
    assert not written or written not in done.err


def test_the_number_itself_is_nowhere_but_in_payloads(house: House) -> None:
    """Not in the database in clear, its log, the audit trail, a backup, or what commands print."""
    house.typed("encryption", "rotate", *WHY)
    house.encrypted()
    house.fill(house.vault)
    typing: tuple[tuple[object, ...], ...] = (
        ("subject", "--why", "request 17"),
        ("queue",),
        ("audit",),
        ("stats",),
        ("quarantine",),
        ("encryption", "show"),
        ("verify",),
        ("backup", house.folder / "backup.db"),
        ("check",),
    )
    printed = [house.typed(*words, said=NUMBER) for words in typing]
    kept = house.typed("subject", "--why", f"for {NUMBER}", said=NUMBER)
    # What the gateway enters in the audit trail, as it is.
    reports = [file.read_text() for file in (house.folder / "state" / "reports").iterdir()]
    files = [path for path in house.folder.rglob("*") if path.is_file()]

    assert 2 == kept.code
    (sought,) = [each for each in reports if "operator.sought_subject" in each]
    assert "request 17" in sought
    assert [] == [each for each in printed if NUMBER in each.out + each.err]
    inbox = house.folder / "spool"
    told = [path for path in files if NUMBER.encode() in path.read_bytes()]
    assert [] == [path for path in told if inbox not in path.parents]
