import asyncio
import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from unittest.mock import Mock

import messages
import pytest
from epr_side import OWNER, PROVIDER, Hospital, at_work, eventually, utc_now
from store_values import ANSWER, NOW, arrival, attempt, claim_next, submission
from structlog.testing import capture_logs

from bars_gateway.epr.drop import DropFolder
from bars_gateway.epr.folders import SpoolRoot
from bars_gateway.epr.inbox import Deliveries
from bars_gateway.epr.questions import QuestionFolder
from bars_gateway.epr.spool import Spool
from bars_gateway.errors import DatabaseHeld, StorageFull
from bars_gateway.model.messages import OutboundState, Settled
from bars_gateway.store.sqlite.database import SqliteDatabase
from bars_gateway.store.store import Store


async def acknowledged(store: Store) -> None:
    await store.outbound.submit(submission(provider=PROVIDER), NOW)
    claim = await claim_next(store, NOW, [PROVIDER])
    assert claim is not None
    settled = Settled(state=OutboundState.ACKNOWLEDGED)
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=settled)


async def test_a_message_comes_byte_for_byte(
    folder: DropFolder, hospital: Hospital, store: Store
) -> None:
    """The EPR gets the Bundle as it came, with a notice and our acknowledgement beside it."""
    body = b'{"resourceType": "Bundle",  "odd": 1.10}'
    await store.inbound.receive(arrival(provider=PROVIDER, body=body), NOW)
    async with at_work(folder.stop, folder.deliver()):
        await hospital.sees("inbox/new/000000000001.message.json")

    assert [
        "000000000001.answer.json",
        "000000000001.message.json",
        "000000000001.notice.json",
    ] == hospital.listing("inbox/new")
    assert body == (hospital.inbox / "new/000000000001.message.json").read_bytes()


async def test_a_notice_tells_the_fingerprint(
    folder: DropFolder, hospital: Hospital, store: Store
) -> None:
    """The EPR can prove that it has the bytes that the notice is about."""
    await store.inbound.receive(arrival(provider=PROVIDER), NOW)
    async with at_work(folder.stop, folder.deliver()):
        await hospital.sees("inbox/new/000000000001.message.json")

    body = (hospital.inbox / "new/000000000001.message.json").read_bytes()
    notice = json.loads((hospital.inbox / "new/000000000001.notice.json").read_bytes())
    assert hashlib.sha256(body).hexdigest() == notice["fingerprint"]


async def test_an_outcome_comes_with_its_answer(
    folder: DropFolder, hospital: Hospital, store: Store
) -> None:
    """The fate of a sent message comes as a document, with the Receiver's answer beside it."""
    await acknowledged(store)
    async with at_work(folder.stop, folder.deliver()):
        await hospital.sees("inbox/new/000000000001.outcome.json")

    outcome = json.loads((hospital.inbox / "new/000000000001.outcome.json").read_bytes())
    assert ("outcome", "acknowledged") == (outcome["kind"], outcome["state"])
    assert ANSWER.body == (hospital.inbox / "new/000000000001.answer.json").read_bytes()


async def test_what_is_delivered_is_collected(
    folder: DropFolder, hospital: Hospital, store: Store
) -> None:
    """A notice that lies in the folder is not pending any more."""
    for _ in range(70):
        await store.inbound.receive(arrival(provider=PROVIDER), NOW)
    async with at_work(folder.stop, folder.deliver()):
        await eventually(lambda: len(hospital.listing("inbox/new")) == 210)

    assert [] == await store.notices.pending(PROVIDER, 1)
    assert [] == hospital.listing("inbox/tmp")


async def test_a_new_notice_wakes_the_delivery(
    folder: DropFolder, hospital: Hospital, store: Store
) -> None:
    """A message that comes while the delivery sleeps is delivered at once."""
    async with at_work(folder.stop, folder.deliver()), asyncio.timeout(5):
        await asyncio.sleep(0.05)
        await store.inbound.receive(arrival(provider=PROVIDER), NOW)
        await hospital.sees("inbox/new/000000000001.message.json")

    assert [] == await store.notices.pending(PROVIDER, 1)


async def test_another_providers_notices_stay(
    folder: DropFolder, hospital: Hospital, store: Store
) -> None:
    """A folder gets the notices of its own provider only."""
    await store.inbound.receive(arrival(provider="other"), NOW)
    await store.inbound.receive(arrival(provider=PROVIDER), NOW)
    async with at_work(folder.stop, folder.deliver()):
        await hospital.sees("inbox/new/000000000002.message.json")

    assert 3 == len(hospital.listing("inbox/new"))


async def test_an_interrupted_delivery_keeps_its_name(
    folder: DropFolder, hospital: Hospital, store: Store
) -> None:
    """What was written and not yet collected is written again under the same number."""
    await store.inbound.receive(arrival(provider=PROVIDER), NOW)
    (hospital.inbox / "tmp/000000000001.message.json").write_bytes(b"half")
    (hospital.inbox / "new/000000000001.notice.json").write_bytes(b"before the crash")
    async with at_work(folder.stop, folder.deliver()):
        await hospital.sees("inbox/new/000000000001.message.json")

    assert 3 == len(hospital.listing("inbox/new"))


async def test_a_folder_that_was_removed_is_made_again(
    folder: DropFolder, hospital: Hospital, store: Store
) -> None:
    """Who clears the spool away while the gateway runs loses no notice."""
    shutil.rmtree(hospital.inbox)
    await store.inbound.receive(arrival(provider=PROVIDER), NOW)
    async with at_work(folder.stop, folder.deliver()):
        await hospital.sees("inbox/new/000000000001.message.json")

    assert 3 == len(hospital.listing("inbox/new"))


async def test_trouble_with_the_folder_ends_nothing(
    folder: DropFolder, hospital: Hospital, store: Store
) -> None:
    """A folder that cannot be written is reported once, and keeps the notice pending."""
    (hospital.inbox / "new").rmdir()
    (hospital.inbox / "new").write_text("in the way")
    await store.inbound.receive(arrival(provider=PROVIDER), NOW)
    with capture_logs() as lines:
        async with at_work(folder.stop, folder.deliver()):
            await eventually(lambda: bool(lines))

    assert [("epr.delivery_failed", "ENOTDIR")] == [
        (line["event"], line["reason"]) for line in lines
    ]
    assert 1 == len(await store.notices.pending(PROVIDER, 9))


async def test_a_spool_folder_that_is_gone_is_not_made_again(
    folder: DropFolder, hospital: Hospital, store: Store, tmp_path: Path
) -> None:
    """A share that was lost leaves its mount point: what would lie there the EPR never sees."""
    away = tmp_path / "away"
    hospital.root.rename(away)
    hospital.root.mkdir()
    await store.inbound.receive(arrival(provider=PROVIDER), NOW)
    with capture_logs() as lines:
        async with at_work(folder.stop, folder.deliver(), folder.collect()):
            await eventually(lambda: len(lines) > 1)
            left = [each.name for each in hospital.root.iterdir()]
            trouble = folder.trouble

    assert ("ESTALE", []) == (trouble, left)
    assert {("epr.delivery_failed", "ESTALE"), ("epr.folder_stalled", "ESTALE")} == {
        (line["event"], line["reason"]) for line in lines
    }
    assert 1 == len(await store.notices.pending(PROVIDER, 9))


@contextmanager
def question_folder(store: Store, path: Path) -> Iterator[QuestionFolder]:
    with closing(SpoolRoot(path, OWNER)) as root:
        opened = QuestionFolder(
            store.questions,
            store.asides,
            Mock(max_bytes=100),
            provider=PROVIDER,
            root=root,
            now=lambda: NOW,
            monotonic=time.monotonic,
        )
        with closing(opened):
            yield opened


async def test_no_question_is_put_where_the_spool_folder_was(store: Store, tmp_path: Path) -> None:
    """Nothing is made there, so that the folder can come back; then questions go on."""
    root, away = tmp_path / "spool", tmp_path / "away"
    with question_folder(store, root) as questions:
        root.rename(away)
        async with at_work(questions.stop, questions.run()):
            await eventually(lambda: questions.trouble is not None or root.exists())
            trouble, made = questions.trouble, root.exists()
            if not made:
                away.rename(root)
            await eventually(lambda: questions.trouble is None)

    assert ("ESTALE", False) == (trouble, made)


async def test_folders_of_questions_that_were_removed_let_the_epr_in_again(
    store: Store, tmp_path: Path
) -> None:
    """Whatever the umask says, which is 077 under the unit."""
    made = ("questions", "questions/new", "answers", "answers/tmp", "answers/new")
    root, umask = tmp_path / "spool", os.umask(0o077)
    try:
        with question_folder(store, root) as questions:
            for name in ("questions", "answers"):
                shutil.rmtree(root / name)
            async with at_work(questions.stop, questions.run()):
                await eventually(lambda: all((root / name).exists() for name in made))
    finally:
        os.umask(umask)

    assert {0o2770} == {stat.S_IMODE((root / name).stat().st_mode) for name in made}


async def test_a_share_that_comes_back_is_used_again(
    folder: DropFolder, hospital: Hospital, store: Store, tmp_path: Path
) -> None:
    """Nobody has to restart anything: what waited is delivered, and what lies there is taken."""
    away = tmp_path / "away"
    hospital.drop("one.json", messages.referral())
    hospital.root.rename(away)
    await store.inbound.receive(arrival(provider=PROVIDER), NOW)
    folder._deliveries._pause_seconds = 0.02
    async with at_work(folder.stop, folder.deliver(), folder.collect()):
        await eventually(lambda: folder.trouble is not None)
        away.rename(hospital.root)
        await hospital.sees("inbox/new/000000000001.message.json", "outbox/accepted/one.json")
        await eventually(lambda: folder.trouble is None)

    assert 0 == len(await store.notices.pending(PROVIDER, 9))


class NoRoom(Store):
    """A store that has no room until it is told."""

    def __init__(self, database: SqliteDatabase, *, node: str) -> None:
        super().__init__(database, node=node)
        self.refused = asyncio.Event()
        self.full = True
        self._collect, self.notices.collect = self.notices.collect, self._collect_if_room

    async def _collect_if_room(self, *arguments) -> int:
        if self.full:
            self.refused.set()
            raise StorageFull("no room")
        return await self._collect(*arguments)


async def test_a_store_without_room_delivers_nothing_twice(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    """What the EPR has taken away is written down later, and the loop goes on."""
    store = NoRoom(database, node="here")
    spool = Spool(tmp_path / "spool", OWNER)
    loop = Deliveries(store, spool, provider=PROVIDER, now=utc_now, pause_seconds=0.01)
    epr = Hospital(spool.root.path)
    await store.inbound.receive(arrival(provider=PROVIDER), NOW)
    async with at_work(loop.stop, loop.run()):
        await store.refused.wait()
        for name in epr.listing("inbox/new"):
            (epr.inbox / "new" / name).unlink()
        trouble = loop.trouble
        store.full = False
        await store.inbound.receive(arrival(provider=PROVIDER), NOW)
        await epr.sees("inbox/new/000000000002.message.json")
    spool.close()

    assert ("the store takes nothing more", None) == (trouble, loop.trouble)
    assert 3 == len(epr.listing("inbox/new"))
    assert [] == await store.notices.pending(PROVIDER, 9)


@pytest.mark.parametrize("part", ["request", "answer"])
@pytest.mark.of_sqlite
async def test_a_notice_with_spoilt_bytes_stands_before_no_other(
    folder: DropFolder, hospital: Hospital, store: Store, database: SqliteDatabase, part: str
) -> None:
    """One bit of what came, or of our answer to it: a person is told, and the next is delivered."""
    await store.inbound.receive(arrival(provider=PROVIDER), NOW)
    await store.inbound.receive(arrival(provider=PROVIDER), NOW)
    spoilt = "UPDATE payloads SET body = x'00' WHERE message_id = 1 AND part = ?"
    await database.write(lambda connection: connection.raw.execute(spoilt, [part]).rowcount)
    async with at_work(folder.stop, folder.deliver()):
        await hospital.sees("inbox/new/000000000002.message.json")
    standing = (await store.overview(NOW)).standing

    assert not [name for name in hospital.listing("inbox/new") if name.startswith("000000000001")]
    assert ["payload.damaged"] == [each.kind for each in standing]


class Unreadable(Store):
    """A store whose payloads cannot be read until it is told."""

    def __init__(self, database: SqliteDatabase, *, node: str) -> None:
        super().__init__(database, node=node)
        self.refused = asyncio.Event()
        self.held = True
        self._payload, self.messages.payload = self.messages.payload, self._payload_if_free

    async def _payload_if_free(self, *arguments):
        if self.held:
            self.refused.set()
            raise DatabaseHeld("another program holds the database")
        return await self._payload(*arguments)


async def test_a_database_that_cannot_be_read_keeps_no_notice_back(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    """It is delivered once it can, and not after the next start only; nobody is told of a fault."""
    store = Unreadable(database, node="here")
    spool = Spool(tmp_path / "spool", OWNER)
    loop = Deliveries(store, spool, provider=PROVIDER, now=utc_now, pause_seconds=0.01)
    epr = Hospital(spool.root.path)
    await store.inbound.receive(arrival(provider=PROVIDER), NOW)
    async with at_work(loop.stop, loop.run()):
        await store.refused.wait()
        store.held = False
        await epr.sees("inbox/new/000000000001.message.json")
    spool.close()

    assert [] == (await store.overview(NOW)).standing
