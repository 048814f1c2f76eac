"""
Encrypts what is stored as is wanted now, a few rows at a time, while messages flow.

    wanted: the keys that encrypt and hash ─┬─ as before ─► nothing to do, or on from where it was
                                            └─ others ────► every table once, from its beginning

    look (reader) ─► decrypt, encrypt, hash ─► write (a small transaction): rows, how far it came
                                               ▲ a kill loses this step alone: it is done again
    all done ─► the log emptied ─► keys that nothing needs any more are noted ─► an event

What is written meanwhile is encrypted as is wanted already. So one walk through the tables is
enough, and whoever is behind it needs no index. A row that changed between the look and the write
has been written by now as is wanted; it is left alone.

By the same walk rows are encrypted that were stored in clear before there was a key, decrypted
once nothing is to be encrypted any more, and hashes made by which a patient's messages are found.
What cannot be decrypted stays as it is, and so the key that it may need is needed.

Decisions: D-encryption, D-subject-hash.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bars_gateway.errors import KeyMissing, PayloadDamaged
from bars_gateway.frozen import frozen
from bars_gateway.keyring import EncryptionRing, Vault, encrypted_by, unarmoured
from bars_gateway.model.questions import PROCESS_MESSAGE
from bars_gateway.model.readings import EncryptionStanding
from bars_gateway.standard.nhs_numbers import numbers_in
from bars_gateway.store.connection import LOOKING, Connection, Row
from bars_gateway.store.nodes import others_live
from bars_gateway.store.records import THE_GATEWAY, add_event, note_subjects
from bars_gateway.store.rows import (
    decrypted,
    encrypted,
    instant,
    place_of,
    text,
    unpacked,
)
from bars_gateway.store.work import Noun, reads, writes

ROWS = 20  # looked at in one step
BYTES = 512 * 1024  # of what is written in one: so it holds up nobody
COMPLETED = "encryption.completed"
_LOG = "log"


def wanted_by(vault: Vault) -> str:
    """Return the keys that encrypt and that hash, as they are kept; "" where there are none."""
    return f"{vault.key_id or '-'} {vault.hash_id}" if vault.has_ring else ""


def require(needed: Iterable[tuple[str, bytes]], vault: Vault, where: str) -> None:
    """Raise KeyMissing where *vault* lacks one of the *needed* keys: id and proof of each."""
    needed = list(needed)
    missing = [key_id for key_id, _ in needed if not vault.has(key_id)]
    if missing:
        raise KeyMissing(
            f"{where} has rows that are encrypted by the key {', '.join(missing)}, and"
            f" {_ring_of(vault)}"
        )
    for key_id, proof in needed:
        if not vault.proves(key_id, proof):
            raise KeyMissing(
                f"the key {key_id} in {vault.file} is not the one by which rows of {where} are"
                " encrypted, though it has the same id"
            )


def _ring_of(vault: Vault) -> str:
    if not vault.has_ring:
        return "store.encryption_keys_file names no key ring"
    return f"the key ring {vault.file} does not have it"


@dataclass(slots=True)
class _Batch:
    """What one step has found, and is to write."""

    reached: Sequence[object] | None = None  # the key of the last row; None: there was none
    changes: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    named: list[tuple[str, int, bytes]] = field(default_factory=list)  # of, number, the text
    left: int = 0  # rows that cannot be opened
    size: int = 0


class Encryption(Noun):
    """How what is stored is encrypted, and how it comes to be encrypted otherwise."""

    @reads
    def standing(self, connection: Connection) -> EncryptionStanding:
        """Return how far that has come, and which keys are needed."""
        return standing(connection)

    @writes
    def begin_encryption(self, connection: Connection, now: datetime) -> bool:
        """Begin where something else is wanted than before; tell whether there is work."""
        wanted = wanted_by(connection.vault)
        row = _state(connection)
        if row["wanted"] == wanted:
            return row["place"] is not None
        place = next(iter(_PLACES)) if wanted else None
        connection.put("begin_encryption", wanted=wanted, place=place, now=text(now))
        return place is not None

    async def step(self, now: datetime) -> bool:
        """Do a little more; tell whether anything is left to do."""
        place = (await self.standing()).place
        if place is None:
            return False
        if place == _LOG:
            await self._database.empty_log()
            await self._end_encryption(now)
            return False
        token = LOOKING.set(True)  # it waits behind pages, and no message behind it
        try:
            batch = await self._next_batch(place)
        finally:
            LOOKING.reset(token)
        await self._encrypt_batch(place, batch)
        return True

    @reads
    def _next_batch(self, connection: Connection, place: str) -> _Batch:
        table = _PLACES[place]
        reached = json.loads(_state(connection)["reached"]) or table.before
        keys = dict(zip(table.key, reached, strict=True))
        batch = _Batch()
        for row in connection.rows(table.statement, limit=ROWS, **keys):
            batch.reached = [row[name] for name in table.key]
            try:
                table.look(connection.vault, row, batch)
            except PayloadDamaged:
                batch.left += 1
            if batch.size > BYTES:
                break
        return batch

    @writes
    def _encrypt_batch(self, connection: Connection, place: str, batch: _Batch) -> None:
        if batch.reached is None:
            following = [*list(_PLACES)[1:], _LOG]
            after = dict(zip(_PLACES, following, strict=True))[place]
            connection.put("encryption_reached", place=after, reached="[]", changed=0, left_over=0)
            return
        changed = sum(connection.run(statement, **values) for statement, values in batch.changes)
        for of, number, body in batch.named:
            note_anew(connection, of, number, body)
        connection.put(
            "encryption_reached",
            place=place,
            reached=json.dumps(batch.reached),
            changed=changed,
            left_over=batch.left,
        )

    @writes
    def _end_encryption(self, connection: Connection, now: datetime) -> None:
        found = standing(connection)
        key_id = found.wanted.split()[0]
        if not found.left_over:
            connection.put("keys_done", key_id=key_id, now=text(now))
        connection.put("end_encryption", now=text(now))
        detail = {"key_id": key_id, "changed": found.changed, "left": found.left_over}
        add_event(connection, THE_GATEWAY, COMPLETED, now, detail)

    async def use(self, ring: EncryptionRing, *, encrypts: bool) -> None:
        """Go on with *ring*; raise KeyMissing where it lacks a key, or has another of its name."""
        present = self._database.vault
        vault = Vault(ring, encrypts=encrypts, file=present.file)
        # Made here, for no two are the same: in a transaction, it would be another the second time.
        proof = vault.proof(vault.key_id) if vault.key_id is not None else b""
        await self._enter_key(vault, proof)
        present.use(ring, encrypts=encrypts)

    @writes
    def _enter_key(self, connection: Connection, vault: Vault, proof: bytes) -> None:
        """Enter the key that encrypts from now on, and its *proof*, before it encrypts anything."""
        needed = {row["key_id"]: bytes(row["proof"]) for row in connection.rows("keys_needed")}
        missing = [key_id for key_id in needed if not vault.has(key_id)]
        if missing:
            raise KeyMissing(f"{vault.file} lacks the key {', '.join(missing)}, which is needed")
        other = [key_id for key_id, kept in needed.items() if not vault.proves(key_id, kept)]
        if other:
            raise KeyMissing(
                f"the key {', '.join(other)} in {vault.file} is not the one by which rows are"
                " encrypted, though it has the same id"
            )
        if vault.key_id is not None and vault.key_id not in needed:
            if others_live(self._database.nodes):
                raise KeyMissing(
                    f"other nodes are at work without the key {vault.key_id}, and could not read"
                    f" what it encrypts: put {vault.file} on each of them, stop all, and start them"
                )
            connection.put("enter_key", key_id=vault.key_id, proof=proof)


def standing(connection: Connection) -> EncryptionStanding:
    """Return how far encryption has come, and which keys are needed."""
    row = _state(connection)
    return EncryptionStanding(
        wanted=row["wanted"],
        place=row["place"],
        changed=row["changed"],
        left_over=row["left_over"],
        began_at=instant(row["began_at"]),
        ended_at=instant(row["ended_at"]),
        needed=[each["key_id"] for each in connection.rows("keys_needed")],
    )


def note_anew(connection: Connection, of: str, number: int, body: bytes) -> None:
    """Let it be found by today's hashes of whom *body* names; of others it named, by the old."""
    vault = connection.vault
    if vault.hash_id is not None:
        hashes = [each for named in numbers_in(body) for each in vault.every_hash_of(named)]
        values = {"key_id": vault.hash_id, "hashes": json.dumps(hashes)}
        connection.put(_FORGET[of], number=number, **values)
    note_subjects(connection, of, number, body)


_FORGET = {
    "message": "forget_old_subjects_of_message",
    "question": "forget_old_subjects_of_question",
    "quarantine": "forget_old_subjects_of_quarantined",
}


def _state(connection: Connection) -> Row:
    row = connection.one("encryption")
    assert row is not None
    return row


def _body(vault: Vault, table: str, row: Row, batch: _Batch) -> dict[str, object] | None:
    """Return body and encoding of *row* as they are to be; None: they are so."""
    before = bytes(row["body"])
    if _is_as_wanted(vault, before if row["encoding"] == "encrypted" else b""):
        return None
    place = place_of(table, row)
    inner, encoding = decrypted(before, row["encoding"], vault, place)
    after, encoding = encrypted(inner, encoding, vault, place)
    batch.size += len(after)
    return {"body": after, "encoding": encoding, "before": before}


def _words(vault: Vault, table: str, row: Row) -> bytes:
    """Return what is looked through for numbers; nothing, of what a disk has spoilt."""
    try:
        return unpacked(row, vault, table)
    except PayloadDamaged:
        return b""


def _is_as_wanted(vault: Vault, stored: bytes) -> bool:
    """Tell whether it is encrypted by today's key: then it was hashed by that as well."""
    return vault.key_id is not None and encrypted_by(stored) == vault.key_id


def _look_at_payload(vault: Vault, row: Row, batch: _Batch) -> None:
    change = _body(vault, "payloads", row, batch)
    if change is not None:
        keys = {"message_id": row["message_id"], "part": row["part"]}
        batch.changes.append(("encrypt_payload", keys | change))
        batch.named.append(("message", row["message_id"], _words(vault, "payloads", row)))


def _look_at_quarantined(vault: Vault, row: Row, batch: _Batch) -> None:
    change = _body(vault, "quarantine", row, batch)
    if change is not None:
        batch.changes.append(("encrypt_quarantined", {"id": row["id"]} | change))
        batch.named.append(("quarantine", row["id"], _words(vault, "quarantine", row)))


def _look_at_question(vault: Vault, row: Row, batch: _Batch) -> None:
    change = _body(vault, "questions", row, batch) if row["body"] is not None else None
    if change is not None:
        batch.changes.append(("encrypt_question", {"id": row["id"]} | change))
        if row["operation"] == PROCESS_MESSAGE:
            batch.named.append(("question", row["id"], _words(vault, "questions", row)))
    place = place_of("questions", row)
    if row["operation"] != PROCESS_MESSAGE and not _is_as_wanted(vault, unarmoured(row["about"])):
        about = vault.encrypt_text(vault.open_text(row["about"], *place, "about"), *place, "about")
        values = {"id": row["id"], "about": about, "before": row["about"]}
        batch.changes.append(("encrypt_what_is_asked", values))
    _answer(vault, row, batch, ("encrypt_reply", {"id": row["id"]}), (*place, "answer"))


def _look_at_refusal(vault: Vault, row: Row, batch: _Batch) -> None:
    keys = {"provider": row["provider"], "request_id": row["request_id"]}
    _answer(vault, row, batch, ("encrypt_refusal", keys), place_of("ledger", row))


def _answer(
    vault: Vault,
    row: Row,
    batch: _Batch,
    change: tuple[str, Mapping[str, object]],
    place: tuple[object, ...],
) -> None:
    before = row["answer"] and bytes(row["answer"])
    if before and not _is_as_wanted(vault, before):
        after = vault.encrypt(vault.open(before, *place), *place)
        batch.size += len(after)
        batch.changes.append((change[0], {**change[1], "answer": after, "before": before}))


@frozen(kw_only=True)
class _Table:
    """A table that has something to encrypt, and how one walks through it."""

    key: Sequence[str]
    before: Sequence[object]  # what every key comes after
    statement: str  # its rows beyond a key
    look: Callable[[Vault, Row, _Batch], None]


_PLACES: Mapping[str, _Table] = {
    "payloads": _Table(
        key=("message_id", "part"),
        before=(0, ""),
        statement="payloads_beyond",
        look=_look_at_payload,
    ),
    "questions": _Table(
        key=("id",), before=(0,), statement="questions_beyond", look=_look_at_question
    ),
    "quarantine": _Table(
        key=("id",), before=(0,), statement="quarantine_beyond", look=_look_at_quarantined
    ),
    "ledger": _Table(
        key=("provider", "request_id"),
        before=("", ""),
        statement="refusals_beyond",
        look=_look_at_refusal,
    ),
}
