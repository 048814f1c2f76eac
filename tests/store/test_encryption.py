"""What is stored is encrypted, encrypted again and opened again: found in the file's own bytes."""

import sqlite3
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from own_words import said
from store_values import NOW, TERMS, arrival, decision, payload, submission

from bars_gateway.errors import KeyMissing, PayloadDamaged
from bars_gateway.keyring import EncryptionRing, RingKey, Vault, encrypted_by
from bars_gateway.model.messages import Part, Refusal
from bars_gateway.model.questions import QuestionOpen, ResourceRequest
from bars_gateway.standard.formats import LONG as LENGTHY
from bars_gateway.standard.nhs_numbers import numbers_in
from bars_gateway.standard.workflow import Move
from bars_gateway.store import records, subjects, work
from bars_gateway.store.connection import Connection, Database
from bars_gateway.store.inbound import keep_aside
from bars_gateway.store.sqlite import SqliteConnection
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.sqlite.integrity import examine
from bars_gateway.store.store import Store

FIRST = RingKey(key_id="first", secret=bytes(range(32)))
SECOND = RingKey(key_id="second", secret=bytes(range(1, 33)))
NAMESAKE = RingKey(key_id="first", secret=bytes(32))
NUMBER = "9434765919"
SHORT = f'{{"resourceType":"Bundle","name":"Planted","nhs":"{NUMBER}"}}'.encode()
LONG = b'{"resourceType":"Bundle","x":"' + b"Planted " * 200 + NUMBER.encode() + b'"}'
FRAME = b"\x28\xb5\x2f\xfd"  # how whatever zstd has compressed begins
ONE, BOTH, LATER = (EncryptionRing(keys=keys) for keys in ((FIRST,), (FIRST, SECOND), (SECOND,)))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


async def fill(store: Store) -> dict[str, object]:
    """Store something of each kind that holds what is about a patient; return its names."""
    sent = submission(body=LONG, request=payload(LONG))
    await store.outbound.submit(sent, NOW)
    taken = arrival(body=SHORT, request=payload(SHORT), answer=payload(b"ok " + SHORT))
    await store.inbound.receive(taken, NOW)
    asked = arrival(body=b"?" + LONG, request=payload(b"?" + LONG))
    store.questions.attend("trust", NOW)
    question = await store.questions.ask_about(asked, None, TERMS, NOW)
    assert isinstance(question, QuestionOpen)
    strange = arrival(body=b"!" + SHORT, request=payload(b"!" + SHORT))

    def put_aside(connection: Connection) -> None:
        keep_aside(connection, strange, "orphan", NOW)

    await store._database.write(put_aside)
    return {"sent": sent, "taken": taken, "question": question.question_id, "strange": strange}


async def encrypt_all(store: Store) -> None:
    await store.encryption.begin_encryption(NOW + timedelta(days=4000))  # after any key was taken
    while await store.encryption.step(NOW):
        pass


def raw(file: Path) -> bytes:
    log = file.with_name(file.name + "-wal")
    return file.read_bytes() + (log.read_bytes() if log.exists() else b"")


def encrypted_by_first(file: Path) -> int:
    """Return how often something encrypted by the first key stands there; once: the key's proof."""
    return raw(file).count(b"\0bg1\x05first")


def in_clear(file: Path) -> list[str]:
    """Return what can be read in the file and its log by whoever has no key."""
    found = raw(file)
    planted = [word for word in ("Planted", NUMBER) if word.encode() in found]
    return planted + (["compressed"] if FRAME in found else [])


def rows(file: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


async def test_nothing_of_a_patient_can_be_read_in_the_file(file: Path) -> None:
    """Byte by byte, with the log, while it is open: neither words nor what compression made."""
    async with open_database(file, vault=Vault(ONE)) as database:
        await fill(Store(database, node="here"))

        assert [] == in_clear(file)
    assert [] == in_clear(file)


async def test_in_clear_it_can_be_read(file: Path) -> None:
    """So that the test before this one means something."""
    async with open_database(file) as database:
        await fill(Store(database, node="here"))

    assert ["Planted", NUMBER, "compressed"] == in_clear(file)


async def test_what_is_encrypted_is_read_as_it_came(file: Path) -> None:
    """By everybody who reads: the EPR, a retry, an operator who attaches."""
    async with open_database(file, vault=Vault(ONE)) as database:
        store = Store(database, node="here")
        named = await fill(store)
        (numbers,) = [rows(file, "SELECT id FROM messages ORDER BY id")]
        kept = [await store.messages.payload(int(str(n)), Part.REQUEST) for (n,) in numbers]
        question = await store.questions.question("trust", int(str(named["question"])))
        aside = await store.quarantine.quarantined("trust", 1)

    assert [LONG, SHORT] == [each.body for each in kept if each]
    assert question is not None
    assert question.request is not None
    assert b"?" + LONG == question.request.body
    assert aside is not None
    assert b"!" + SHORT == aside[1].body


async def test_what_a_read_asks_for_and_its_answer_are_encrypted(file: Path) -> None:
    """A search names the patient in its parameters, and the answer is their record."""
    search = ResourceRequest(
        provider="trust",
        request_id="r",
        correlation_id="c",
        operation="GET ServiceRequest",
        changes=False,
        fingerprint="f" * 64,
        resource_id=None,
        parameters={"patient:identifier": NUMBER},
        query=f"patient:identifier={NUMBER}",
        body=None,
    )
    async with open_database(file, vault=Vault(ONE)) as database:
        store = Store(database, node="here")
        store.questions.attend("trust", NOW)
        asked = await store.questions.ask(search, TERMS, NOW)
        assert isinstance(asked, QuestionOpen)
        shown = await store.questions.question("trust", asked.question_id)
        said = decision(answer=payload(b'{"record":"Planted"}'))
        await store.questions.decide("trust", asked.question_id, said, NOW)
        again = await store.questions.ask(search, TERMS, NOW)

        assert [] == in_clear(file)
    assert shown is not None
    assert {"patient:identifier": NUMBER} == shown.about["parameters"]
    assert b'{"record":"Planted"}' == again.answer.body  # type: ignore[union-attr]
    # And nobody can find out for whom, by trying every number.
    assert [] == rows(file, f"SELECT 1 FROM questions WHERE fingerprint = '{'f' * 64}'")


async def test_a_refusal_is_encrypted_and_said_again(file: Path) -> None:
    """What an EPR has written into it may be about anybody."""
    refusal = Refusal(
        provider="trust",
        request_id="r",
        correlation_id="c",
        fingerprint="f",
        rules=["R01"],
        http_status=422,
        answer=payload(b'{"text":"Planted"}'),
    )
    async with open_database(file, vault=Vault(ONE)) as database:
        store = Store(database, node="here")
        await store.inbound.refuse(refusal, NOW)
        again = await store.inbound.refuse(refusal, NOW)

        assert [] == in_clear(file)
    assert b'{"text":"Planted"}' == again.answer.body  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("before", "after", "encrypts"),
    [
        pytest.param(None, ONE, True, id="from-clear"),
        pytest.param(ONE, BOTH, True, id="rotated"),
        pytest.param(ONE, ONE, False, id="back-to-clear"),
    ],
)
async def test_everything_is_encrypted_as_it_is_wanted(
    file: Path, before: EncryptionRing | None, after: EncryptionRing, *, encrypts: bool
) -> None:
    """What was stored before as well: nothing is left of how it was, in the file or its log."""
    async with open_database(file, vault=Vault(before)) as database:
        store = Store(database, node="here")
        await encrypt_all(store)
        await fill(store)
    vault = Vault(after, encrypts=encrypts)
    async with open_database(file, vault=vault) as database:
        store = Store(database, node="here")
        await encrypt_all(store)
        standing = await store.encryption.standing()

        assert (in_clear(file) == []) == encrypts
    if before is not None:  # the proof of a key stays, and says nothing of anybody
        assert 1 == encrypted_by_first(file)
    assert (None, 0) == (standing.place, standing.left_over)
    assert [key.key_id for key in after.keys[-1:] if encrypts] == standing.needed
    assert [] == examine(file, vault).problems


async def keys_of(database: Database) -> set[str | None]:
    """Return by which keys bodies are encrypted; None: they are in clear."""
    query = "SELECT body FROM payloads UNION ALL SELECT body FROM quarantine"
    found = await said(database, f"{query} UNION ALL SELECT body FROM questions")
    return {encrypted_by(bytes(body)) for (body,) in found}


async def test_all_there_is_is_encrypted_by_the_key_that_is_taken(empty_database) -> None:
    """While it runs: what was in clear by the first, and all of that by the next."""
    async with empty_database(vault=Vault()) as database:
        store = Store(database, node="here")
        await fill(store)
        keys = [await keys_of(database)]
        for ring in (ONE, BOTH):
            await store.encryption.use(ring, encrypts=True)
            await encrypt_all(store)
            keys.append(await keys_of(database))
        needed = (await store.encryption.standing()).needed

    assert [{None}, {"first"}, {"second"}] == keys
    assert ["second"] == needed


async def test_an_old_key_may_go_once_nothing_needs_it(file: Path) -> None:
    """After a rotation that has ended, the new key alone opens everything."""
    async with open_database(file, vault=Vault(ONE)) as database:
        await fill(Store(database, node="here"))
    async with open_database(file, vault=Vault(BOTH)) as database:
        await encrypt_all(Store(database, node="here"))
    async with open_database(file, vault=Vault(LATER)) as database:
        found = await Store(database, node="here").messages.payload(1, Part.REQUEST)

    assert found is not None
    assert LONG == found.body
    assert 1 == encrypted_by_first(file)


@pytest.mark.parametrize("steps", range(8))
async def test_a_rotation_goes_on_where_it_was_stopped(file: Path, steps: int) -> None:
    """However often: what was encrypted again is, and what was not is readable meanwhile."""
    async with open_database(file, vault=Vault(ONE)) as database:
        await fill(Store(database, node="here"))
    async with open_database(file, vault=Vault(BOTH)) as database:
        store = Store(database, node="here")
        await store.encryption.begin_encryption(NOW + timedelta(days=4000))
        for _ in range(steps):
            await store.encryption.step(NOW)
    assert [] == examine(file, Vault(BOTH)).problems
    async with open_database(file, vault=Vault(BOTH)) as database:
        store = Store(database, node="here")
        await encrypt_all(store)

        assert ["second"] == (await store.encryption.standing()).needed
    assert [] == examine(file, Vault(LATER)).problems


async def test_what_is_stored_meanwhile_is_encrypted_by_the_new_key(file: Path) -> None:
    """Behind the walk, or before it."""
    async with open_database(file, vault=Vault(ONE)) as database:
        await fill(Store(database, node="here"))
    async with open_database(file, vault=Vault(BOTH)) as database:
        store = Store(database, node="here")
        await store.encryption.begin_encryption(NOW + timedelta(days=4000))
        await store.encryption.step(NOW)
        await store.inbound.receive(arrival(body=b"late", request=payload(b"late")), NOW)
        await encrypt_all(store)

    assert [] == examine(file, Vault(LATER)).problems


async def test_a_key_that_is_added_while_it_runs_is_taken(file: Path) -> None:
    """And is written down before anything is encrypted by it, whatever happens then."""
    async with open_database(file, vault=Vault(ONE)) as database:
        store = Store(database, node="here")
        await fill(store)
        await store.encryption.use(BOTH, encrypts=True)
        await store.inbound.receive(arrival(body=b"new", request=payload(b"new")), NOW)

        assert {"first", "second"} == set((await store.encryption.standing()).needed)
    with pytest.raises(KeyMissing, match="second"):
        async with open_database(file, vault=Vault(ONE)):
            pass


async def test_a_ring_without_a_key_that_is_needed_is_not_taken(file: Path) -> None:
    """The gateway goes on with what it has."""
    async with open_database(file, vault=Vault(ONE)) as database:
        store = Store(database, node="here")
        await fill(store)
        with pytest.raises(KeyMissing, match="first"):
            await store.encryption.use(LATER, encrypts=True)
        found = await store.messages.payload(1, Part.REQUEST)

    assert found is not None


async def test_a_ring_whose_key_is_another_of_that_name_is_not_taken(file: Path) -> None:
    """What came from then on could be opened by neither ring, once the right one was put back."""
    async with open_database(file, vault=Vault(ONE)) as database:
        store = Store(database, node="here")
        await fill(store)
        for keys in ((NAMESAKE,), (NAMESAKE, SECOND), (SECOND, NAMESAKE)):
            with pytest.raises(KeyMissing, match=r"first .* is not the one"):
                await store.encryption.use(EncryptionRing(keys=keys), encrypts=True)
        await store.inbound.receive(arrival(body=b"new", request=payload(b"new")), NOW)
    async with open_database(file, vault=Vault(ONE)) as database:
        found = await Store(database, node="here").messages.payload(3, Part.REQUEST)

    assert found is not None


@pytest.mark.parametrize(
    ("vault", "says"),
    [
        pytest.param(Vault(), "encryption_keys_file names no key ring", id="no-ring"),
        pytest.param(Vault(LATER, file=Path("/k")), "/k does not have it", id="other-ring"),
        pytest.param(
            Vault(
                EncryptionRing(keys=(RingKey(key_id="first", secret=bytes(32)),)), file=Path("/k")
            ),
            "the key first in /k is not the one",
            id="same-name",
        ),
    ],
)
async def test_without_its_key_no_database_is_opened(file: Path, vault: Vault, says: str) -> None:
    """Nor changed: it names the key, the file that lacks it, and the cure."""
    async with open_database(file, vault=Vault(ONE)) as database:
        await fill(Store(database, node="here"))
    before = raw(file)
    with pytest.raises(KeyMissing, match=says) as caught:
        async with open_database(file, vault=vault):
            pass

    assert "first" in str(caught.value)
    assert "copy" in caught.value.advice
    assert before == raw(file)


async def test_bytes_that_were_moved_to_another_row_are_told_as_spoilt_ones(file: Path) -> None:
    """With all else that stands beside them: another patient's are never believed."""
    async with open_database(file, vault=Vault(ONE)) as database:
        store = Store(database, node="here")
        await fill(store)
        await database.write(_swap)
        with pytest.raises(PayloadDamaged):
            await store.messages.payload(1, Part.REQUEST)
    found = examine(file, Vault(ONE)).problems

    assert 2 == sum("cannot be decrypted" in each for each in found)


def _swap(connection: SqliteConnection) -> None:
    columns = ("media_type", "headers", "encoding", "body", "digest")
    kept = connection.raw.execute(
        f"SELECT {', '.join(columns)} FROM payloads WHERE part = 'request' ORDER BY message_id"
    ).fetchall()
    for number, values in zip((2, 1), kept, strict=True):
        connection.raw.execute(
            f"UPDATE payloads SET ({', '.join(columns)}) = (?, ?, ?, ?, ?)"
            " WHERE part = 'request' AND message_id = ?",
            [*values, number],
        )


async def test_a_row_that_cannot_be_opened_keeps_its_key_needed(file: Path) -> None:
    """A backup may have the bytes, and they are opened by the old key then."""
    async with open_database(file, vault=Vault(ONE)) as database:
        await fill(Store(database, node="here"))
        await database.write(_swap)
    async with open_database(file, vault=Vault(BOTH)) as database:
        store = Store(database, node="here")
        await encrypt_all(store)
        standing = await store.encryption.standing()

    assert 2 == standing.left_over
    assert {"first", "second"} == set(standing.needed)


@pytest.mark.parametrize(
    "lost", ["UPDATE payloads SET body = x'0062673105666972737400'", "DELETE FROM payloads"]
)
async def test_whom_a_lost_request_named_is_found_after_a_rotation(file: Path, lost: str) -> None:
    """Its answer is there still, names nobody, and is hashed again; the old key is in the ring."""
    async with open_database(file, vault=Vault(ONE)) as database:
        taken = arrival(body=SHORT, request=payload(SHORT), answer=payload(b"ok"))
        await Store(database, node="here").inbound.receive(taken, NOW)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DROP TRIGGER payloads_stay")
        connection.execute(f"{lost} WHERE part = 'request'")
    async with open_database(file, vault=Vault(BOTH)) as database:
        await encrypt_all(Store(database, node="here"))
        found = await database.read(lambda c: subjects.held(c, NUMBER))

    assert ["message"] == [each.kind for each in found]


async def test_everybody_is_found_by_a_keyed_hash(file: Path) -> None:
    """What was stored in clear before there was a key as well; by today's key alone."""
    async with open_database(file) as database:
        await fill(Store(database, node="here"))
    for ring in (ONE, BOTH):
        async with open_database(file, vault=Vault(ring)) as database:
            await encrypt_all(Store(database, node="here"))
        found = rows(file, "SELECT key_id, hash FROM subjects")
        (expected,) = Vault(EncryptionRing(keys=(ring.current,))).every_hash_of(NUMBER)

        assert {(ring.current.key_id, expected)} == set(found)
        assert 4 == len(found)  # two messages, a question, and what lies in quarantine


async def test_one_statement_more_finds_a_message_by_its_patient(
    file: Path, statements: list[str]
) -> None:
    """With a key ring, and without one none: nothing else on the way of a message is dearer."""
    ran = {}
    for name, ring in (("clear", None), ("encrypted", ONE)):
        async with open_database(file.with_name(name), vault=Vault(ring)) as database:
            store = Store(database, node="here")
            statements.clear()
            await store.inbound.receive(arrival(body=SHORT, request=payload(SHORT)), NOW)
            ran[name] = sorted(statements)

    assert sorted([*ran["clear"], "note_subjects_of_message"]) == ran["encrypted"]


async def test_no_write_waits_while_numbers_are_looked_for(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is done before the transaction, and beside the loop where the text is long."""
    looked: set[tuple[bool, bool]] = set()

    def noted(text: bytes) -> set[str]:
        looked.add((len(text) >= LENGTHY, threading.current_thread() is threading.main_thread()))
        return numbers_in(text)

    def too_late(_: bytes) -> set[str]:
        raise AssertionError

    monkeypatch.setattr(work, "numbers_in", noted)
    monkeypatch.setattr(records, "numbers_in", too_late)
    lengthy = payload(SHORT + b" " * LENGTHY)
    async with open_database(file, vault=Vault(ONE)) as database:
        store = Store(database, node="here")
        store.questions.attend("trust", NOW)
        for number, each in enumerate((payload(SHORT), lengthy)):
            await store.outbound.submit(submission(request=each, body=b"%d" % number), NOW)
            await store.inbound.receive(arrival(request=each, answer=each), NOW)
            await store.questions.ask_about(arrival(request=each), None, TERMS, NOW)
            orphan = arrival(request=each, move=Move.CONCLUDE)
            await store.responses.respond(orphan, payload(b"404"), NOW)

    assert {(False, True), (True, False)} == looked
    assert 8 == len(rows(file, "SELECT 1 FROM subjects"))
