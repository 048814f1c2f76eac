import asyncio
import hashlib
import json
import os
import re
import stat
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import messages
import pytest
from epr_side import PROVIDER, Hospital, at_work, eventually, open_folder
from structlog.testing import capture_logs

from bars_gateway.epr.drop import DropFolder
from bars_gateway.epr.envelope import Envelope
from bars_gateway.epr.intake import Intake
from bars_gateway.errors import ConfigurationError, FolderInUse
from bars_gateway.standard.formats import Format, converted
from bars_gateway.store.store import Store


def read(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(path.read_bytes())
    return found


async def test_a_drop_gets_a_receipt(folder: DropFolder, hospital: Hospital) -> None:
    """A message that is taken lies in accepted/, with its receipt beside it."""
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("one.json", messages.referral())
        await hospital.sees("outbox/accepted/one.json")

    assert ["one.json", "one.receipt.json"] == hospital.listing("outbox/accepted")
    assert messages.RECEIVER == read(hospital.outbox / "accepted/one.receipt.json")["receiver"]


async def test_the_file_is_kept_as_it_was(folder: DropFolder, hospital: Hospital) -> None:
    """The EPR's file comes back byte for byte."""
    body = messages.referral()
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("one.json", body)
        await hospital.sees("outbox/accepted/one.json")

    assert body == (hospital.outbox / "accepted/one.json").read_bytes()


async def test_the_same_file_twice_is_sent_once(
    folder: DropFolder, hospital: Hospital, store: Store
) -> None:
    """A file that is dropped twice gets the same receipt, warnings included, and one message."""
    body = messages.referral(nhs_number="0000000000")
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("one.json", body)
        await hospital.sees("outbox/accepted/one.json")
        hospital.drop("one.json", body)
        await hospital.sees("outbox/accepted/one.2.json")

    accepted = hospital.outbox / "accepted"
    first, second = (accepted / f"{name}.receipt.json" for name in ("one", "one.2"))
    assert first.read_bytes() == second.read_bytes()
    assert [
        {
            "rule": "P02P",
            "path": "Bundle.entry[4].resource.identifier[0].value",
            "problem": "the NHS number is a placeholder, one digit ten times: leave the identifier"
            " out where there is no number",
            "refused_in_production": True,
        }
    ] == read(first)["warnings"]
    assert 1 == len(await store.messages.queue(PROVIDER, 9))


async def test_a_bad_file_is_explained(folder: DropFolder, hospital: Hospital) -> None:
    """A file that cannot be sent ends in refused/ beside a reason that a person understands."""
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("bad.json", b'{"resourceType": "Bundle", "type": "message"}')
        await hospital.sees("outbox/refused/bad.json")

    reason = read(hospital.outbox / "refused/bad.reason.json")
    issues = reason["issues"]
    assert isinstance(issues, list)
    assert {
        "rule": "B04",
        "path": "Bundle.id",
        "problem": "Bundle.id must be a UUID",
    } in issues


async def test_a_bad_file_disturbs_nothing(folder: DropFolder, hospital: Hospital) -> None:
    """A good file goes through in the midst of bad ones."""
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("a.json", b"no json")
        hospital.drop("b.json", messages.referral())
        hospital.drop("c.json", b"[1]")
        await hospital.sees(
            "outbox/refused/a.json", "outbox/accepted/b.json", "outbox/refused/c.json"
        )

    assert [] == hospital.listing("outbox/claimed")


async def test_a_refusal_holds_no_content(folder: DropFolder, hospital: Hospital) -> None:
    """A reason names rules and paths, and nothing that stood in the message."""
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("bad.json", messages.referral(version=""))
        await hospital.sees("outbox/refused/bad.json")

    text = (hospital.outbox / "refused/bad.reason.json").read_text()
    assert [] == [word for word in (messages.FAMILY, messages.NHS_NUMBER) if word in text]


async def test_xml_is_taken_by_its_name(folder: DropFolder, hospital: Hospital) -> None:
    """A file whose name ends in .xml is read as XML, and its receipt says so in JSON."""
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("one.xml", converted(messages.referral(), Format.JSON, Format.XML))
        await hospital.sees("outbox/accepted/one.receipt.json")

    assert [] == hospital.listing("outbox/refused")


@pytest.mark.parametrize("name", ["one.json.tmp", ".one.json", "one.txt", "one.envelope.json"])
async def test_other_files_are_left_alone(
    folder: DropFolder, hospital: Hospital, name: str
) -> None:
    """What is not named like a message stays where it is."""
    (hospital.outbox / "new" / name).write_bytes(messages.referral())
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("seen.json", messages.referral())
        await hospital.sees("outbox/accepted/seen.json")

    assert [name] == hospital.listing("outbox/new")


async def test_what_is_no_file_is_left_alone(
    folder: DropFolder, hospital: Hospital, tmp_path: Path
) -> None:
    """Links, pipes and folders are never opened, whatever they are called."""
    new = hospital.outbox / "new"
    (tmp_path / "elsewhere.json").write_bytes(messages.referral())
    (new / "link.json").symlink_to(tmp_path / "elsewhere.json")
    (new / "folder.json").mkdir()
    os.mkfifo(new / "pipe.json")
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("seen.json", messages.referral())
        await hospital.sees("outbox/accepted/seen.json")

    assert ["folder.json", "link.json", "pipe.json"] == hospital.listing("outbox/new")


async def test_a_half_written_file_is_waited_for(folder: DropFolder, hospital: Hospital) -> None:
    """An EPR that writes in place is given the time to finish, as long as it goes on writing."""
    body = messages.referral()
    path = hospital.outbox / "new" / "slow.json"
    async with at_work(folder.stop, folder.collect()):
        with path.open("wb", buffering=0) as file:
            for start in range(0, len(body), 500):
                file.write(body[start : start + 500])
                await asyncio.sleep(0.004)
        await hospital.sees("outbox/accepted/slow.json")

    assert body == (hospital.outbox / "accepted/slow.json").read_bytes()


async def test_an_envelope_goes_with_its_message(folder: DropFolder, hospital: Hospital) -> None:
    """The conversation that an envelope names is the message's."""
    correlation = "7f3f7c1e-3f3e-4b57-9f4c-2a2b0a3e9d10"
    envelope = json.dumps({"correlation_id": correlation}).encode()
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("one.json", messages.referral(), envelope)
        await hospital.sees("outbox/accepted/one.envelope.json")

    assert correlation == read(hospital.outbox / "accepted/one.receipt.json")["correlation_id"]
    assert [] == hospital.listing("outbox/new")


ENVELOPE = b'{"correlation_id": "7f3f7c1e-3f3e-4b57-9f4c-2a2b0a3e9d10"}'


async def test_a_late_envelope_attaches_to_nothing(
    folder: DropFolder, hospital: Hospital, store: Store
) -> None:
    """It would be the next message's of that name, who may be another patient."""
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("one.json", messages.referral())
        await hospital.sees("outbox/accepted/one.json")
        (hospital.outbox / "new/one.envelope.json").write_bytes(ENVELOPE)
        await hospital.sees("outbox/refused/one.envelope.json")
        hospital.drop("one.json", messages.referral())
        await hospital.sees("outbox/refused/one.json")

    for name in ("one.envelope.reason.json", "one.reason.json"):
        assert "used a moment ago" in (hospital.outbox / "refused" / name).read_text()
    assert 1 == len(await store.messages.queue(PROVIDER, 9))


async def test_what_is_barred_is_one_message(folder: DropFolder, hospital: Hospital) -> None:
    """The one after it is taken: the EPR has been told twice by then."""
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("one.json", messages.referral())
        await hospital.sees("outbox/accepted/one.json")
        (hospital.outbox / "new/one.envelope.json").write_bytes(ENVELOPE)
        await hospital.sees("outbox/refused/one.envelope.json")
        hospital.drop("one.json", messages.referral())
        await hospital.sees("outbox/refused/one.json")
        hospital.drop("one.json", messages.referral())
        await hospital.sees("outbox/accepted/one.2.json")

    assert [] == hospital.listing("outbox/new")


async def test_a_name_is_remembered_over_a_restart(
    store: Store, intake: Intake, tmp_path: Path
) -> None:
    """The envelope that was late before a restart is late after it."""
    for name, kind in (("one.json", "accepted"), ("one.envelope.json", "refused")):
        with open_folder(store, intake, tmp_path / "spool") as folder:
            hospital = Hospital(tmp_path / "spool")
            body = messages.referral() if name == "one.json" else ENVELOPE
            (hospital.outbox / "new" / name).write_bytes(body)
            async with at_work(folder.stop, folder.collect()):
                await hospital.sees(f"outbox/{kind}/{name}")

    assert [] == hospital.listing("outbox/new")


async def test_an_envelope_of_a_name_in_use_goes_with_nothing(
    store: Store, intake: Intake, tmp_path: Path
) -> None:
    """Whether it is late for the first message, or early for the second, nobody can tell."""
    with open_folder(store, intake, tmp_path / "spool") as folder:
        hospital = Hospital(tmp_path / "spool")
        hospital.drop("one.json", messages.referral())
        async with at_work(folder.stop, folder.collect()):
            await hospital.sees("outbox/accepted/one.json")
    with open_folder(store, intake, tmp_path / "spool") as folder:
        hospital.drop("one.json", messages.referral(), ENVELOPE)
        async with at_work(folder.stop, folder.collect()):
            await hospital.sees("outbox/refused/one.json", "outbox/refused/one.envelope.json")

    assert "used a moment ago" in (hospital.outbox / "refused/one.reason.json").read_text()
    assert 1 == len(await store.messages.queue(PROVIDER, 9))


async def test_an_envelope_that_names_its_message_is_not_mistaken(
    folder: DropFolder, hospital: Hospital
) -> None:
    """Whatever its name was used for before."""
    body = messages.referral()
    envelope = json.dumps({"sha256": hashlib.sha256(body).hexdigest()}).encode()
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("one.json", messages.referral())
        await hospital.sees("outbox/accepted/one.json")
        hospital.drop("one.json", body, envelope)
        await hospital.sees("outbox/accepted/one.2.json", "outbox/accepted/one.2.envelope.json")

    assert [] == hospital.listing("outbox/refused")


@pytest.mark.parametrize("before", ["", "urn:uuid:"])
async def test_an_envelope_may_name_its_message_in_capitals(
    folder: DropFolder, hospital: Hospital, before: str
) -> None:
    """A database that keeps UUIDs writes them so, and the EPR copies that into both."""
    number = "6F1D0C52-0000-4000-8000-00000000000A"
    body = messages.referral(bundle_id=number)
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("one.json", body, json.dumps({"bundle_id": before + number}).encode())
        await hospital.sees("outbox/accepted/one.json")

    assert [] == hospital.listing("outbox/refused")


@pytest.mark.parametrize("named", [{"bundle_id": "another"}, {"sha256": "0" * 64}])
async def test_an_envelope_fits_no_other_message_than_it_names(
    folder: DropFolder, hospital: Hospital, store: Store, named: dict[str, str]
) -> None:
    """Neither is sent."""
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("one.json", messages.referral(), json.dumps(named).encode())
        await hospital.sees("outbox/refused/one.json", "outbox/refused/one.envelope.json")

    assert "names another message" in (hospital.outbox / "refused/one.reason.json").read_text()
    assert 0 == len(await store.messages.queue(PROVIDER, 9))


@pytest.mark.parametrize(
    "name",
    ["two words.json", "(1).json", "é ß 患.json", "UPPER.JSON", "_one.json", "new\nline.json"],
)
async def test_a_message_is_taken_whatever_its_name(
    folder: DropFolder, hospital: Hospital, name: str
) -> None:
    """A file is only ever renamed, so nothing in its name can do harm."""
    stem, _, _ = name.rpartition(".")
    async with at_work(folder.stop, folder.collect()):
        hospital.drop(name, messages.referral())
        await hospital.sees(f"outbox/accepted/{name}", f"outbox/accepted/{stem}.receipt.json")

    assert [] == hospital.listing("outbox/new")


async def test_capital_letters_make_no_other_envelope(
    folder: DropFolder, hospital: Hospital
) -> None:
    """Old systems write everything in them."""
    (hospital.outbox / "new/ONE.ENVELOPE.JSON").write_bytes(ENVELOPE)
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("ONE.JSON", messages.referral())
        await hospital.sees("outbox/accepted/ONE.JSON")

    receipt = read(hospital.outbox / "accepted/ONE.receipt.json")
    assert json.loads(ENVELOPE)["correlation_id"] == receipt["correlation_id"]


async def test_a_name_that_is_too_long_is_cut(folder: DropFolder, hospital: Hospital) -> None:
    """The longest names that a system allows for go out too, with their envelope."""
    stem = "x" * (255 - len(".envelope.json"))
    async with at_work(folder.stop, folder.collect()):
        hospital.drop(f"{stem}.json", messages.referral(), ENVELOPE)
        await eventually(lambda: len(hospital.listing("outbox/accepted")) == 3)

    message, envelope, receipt = sorted(hospital.listing("outbox/accepted"), key=len)
    document = read(hospital.outbox / "accepted" / envelope)
    assert json.loads(ENVELOPE)["correlation_id"] == document.get("correlation_id")
    assert message.startswith("x" * 150 + "~")
    assert [] == hospital.listing("outbox/new")
    assert receipt


async def test_what_is_refused_again_is_told_as_a_move(
    folder: DropFolder, hospital: Hospital
) -> None:
    """A move that is refused under a NAME in use is still named as one, as its document is."""
    async with at_work(folder.stop, folder.collect()):
        for seen in ("one.move.json", "one.2.move.json", "one.3.move.json"):
            hospital.drop("one.move.json", b"{}")
            await hospital.sees(f"outbox/refused/{seen}")

    listing = hospital.listing("outbox/refused")
    assert ["one.2.move.reason.json", "one.3.move.reason.json", "one.move.reason.json"] == sorted(
        name for name in listing if "reason" in name
    )


async def test_a_name_that_is_too_long_stays_that_of_a_move(
    folder: DropFolder, hospital: Hospital
) -> None:
    """A move whose NAME is cut is read as a move, and answered as one."""
    stem = "x" * (255 - len(".move.json"))
    async with at_work(folder.stop, folder.collect()):
        hospital.drop(f"{stem}.move.json", b"{}")
        await eventually(lambda: len(hospital.listing("outbox/refused")) == 2)

    (reason,) = (name for name in hospital.listing("outbox/refused") if "reason" in name)
    assert reason.endswith(".move.reason.json")
    assert "message" in read(hospital.outbox / "refused" / reason)


async def test_a_bad_envelope_stops_its_message(
    folder: DropFolder, hospital: Hospital, store: Store
) -> None:
    """A message whose envelope cannot be read is not sent without it."""
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("one.json", messages.referral(), b'{"needed_bye": 1}')
        await hospital.sees("outbox/refused/one.json", "outbox/refused/one.envelope.json")

    assert "needed_bye" in (hospital.outbox / "refused/one.reason.json").read_text()
    assert 0 == len(await store.messages.queue(PROVIDER, 9))


async def test_what_was_claimed_is_taken_up_again(
    store: Store, intake: Intake, tmp_path: Path
) -> None:
    """A file that a crash left in claimed/ is sent after the next start, with its envelope."""
    correlation = "7f3f7c1e-3f3e-4b57-9f4c-2a2b0a3e9d10"
    with open_folder(store, intake, tmp_path / "spool") as folder:
        hospital = Hospital(tmp_path / "spool")
        (hospital.outbox / "claimed/ticket.e.one.json").write_bytes(messages.referral())
        envelope = json.dumps({"correlation_id": correlation})
        (hospital.outbox / "new/one.envelope.json").write_text(envelope)
        async with at_work(folder.stop, folder.collect()):
            await hospital.sees("outbox/accepted/one.json")

    assert correlation == read(hospital.outbox / "accepted/one.receipt.json")["correlation_id"]


async def test_a_lost_envelope_stops_its_message(folder: DropFolder, hospital: Hospital) -> None:
    """A message that had an envelope is never sent without it."""
    (hospital.outbox / "claimed/ticket.e.one.json").write_bytes(messages.referral())
    async with at_work(folder.stop, folder.collect()):
        await hospital.sees("outbox/refused/one.json")

    assert "envelope" in (hospital.outbox / "refused/one.reason.json").read_text()


async def test_a_receipt_is_written_again_in_its_place(
    folder: DropFolder, hospital: Hospital, store: Store
) -> None:
    """After a crash between receipt and message, the next start uses the same name."""
    body = messages.referral()
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("one.json", body)
        await hospital.sees("outbox/accepted/one.json")
        (hospital.outbox / "accepted/one.json").rename(
            hospital.outbox / "claimed/ticket.m.one.json"
        )
        await hospital.sees("outbox/accepted/one.json")

    assert ["one.json", "one.receipt.json"] == hospital.listing("outbox/accepted")


async def test_an_envelope_without_a_message_is_cleared(
    folder: DropFolder, hospital: Hospital
) -> None:
    """What a crash left in claimed/ of a message that is done is taken away."""
    (hospital.outbox / "claimed/ticket.v.one.envelope.json").write_bytes(b"{}")
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("seen.json", messages.referral())
        await hospital.sees("outbox/accepted/seen.json")

    assert [] == hospital.listing("outbox/claimed")


async def test_files_are_taken_in_the_order_of_writing(
    store: Store, intake: Intake, tmp_path: Path
) -> None:
    """The order in which the EPR wrote is the order in which messages are queued."""
    with open_folder(store, intake, tmp_path / "spool") as folder:
        hospital = Hospital(tmp_path / "spool")
        names = [f"{number:02d}.json" for number in range(40, 0, -1)]
        for age, name in enumerate(names):
            hospital.drop(name, messages.referral())
            os.utime(hospital.outbox / "new" / name, (1_000_000 + age, 1_000_000 + age))
        async with at_work(folder.stop, folder.collect()):
            await hospital.sees(*(f"outbox/accepted/{name}" for name in names))

    receipts = [hospital.outbox / "accepted" / f"{name[:2]}.receipt.json" for name in names]
    queued = [row.request_id for row in await store.messages.queue(PROVIDER, 99)]
    assert queued == [read(receipt)["request_id"] for receipt in receipts]


async def test_a_full_store_leaves_files_in_the_outbox(
    folder: DropFolder, hospital: Hospital, store: Store
) -> None:
    """What the store has no room for is taken once there is room again."""
    store._shared.minimum_free_bytes = 1 << 62
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("one.json", messages.referral())
        await eventually(lambda: bool(hospital.listing("outbox/claimed")))
        before = hospital.listing("outbox/accepted"), hospital.listing("outbox/refused")
        store._shared.minimum_free_bytes = 0
        await hospital.sees("outbox/accepted/one.json")

    assert ([], []) == before


async def test_too_large_a_file_is_refused_unread(
    store: Store, intake: Intake, tmp_path: Path
) -> None:
    """A file above the limit is refused and says so."""
    intake.max_bytes = 1000
    with open_folder(store, intake, tmp_path / "spool") as folder:
        hospital = Hospital(tmp_path / "spool")
        async with at_work(folder.stop, folder.collect()):
            hospital.drop("big.json", messages.referral())
            await hospital.sees("outbox/refused/big.json")

    assert "1000 bytes" in (hospital.outbox / "refused/big.reason.json").read_text()


async def test_one_gateway_holds_a_folder(
    folder: DropFolder, store: Store, intake: Intake, tmp_path: Path
) -> None:
    """A second gateway on the same folder is turned away."""
    with pytest.raises(FolderInUse):
        open_folder(store, intake, tmp_path / "spool")


async def test_a_folder_that_cannot_be_is_a_setting_to_correct(
    store: Store, intake: Intake, tmp_path: Path
) -> None:
    """Where the folders cannot be made, the setting is named."""
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigurationError, match="spool_dir"):
        open_folder(store, intake, tmp_path / "file" / "spool")


async def test_folders_and_files_have_their_modes(folder: DropFolder, hospital: Hospital) -> None:
    """The group can use what is shared, and nobody else can; the rest is ours alone."""
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("one.json", messages.referral())
        await hospital.sees("outbox/accepted/one.json")

    names = ("outbox/new", "outbox/claimed", "outbox/accepted/one.receipt.json")
    assert [0o2770, 0o700, 0o640] == [
        stat.S_IMODE((hospital.root / name).stat().st_mode) for name in names
    ]


async def test_names_of_files_are_not_logged(folder: DropFolder, hospital: Hospital) -> None:
    """Some EPRs put patients into file names, so that no name reaches a log."""
    with capture_logs() as lines:
        async with at_work(folder.stop, folder.collect()):
            hospital.drop("TESTCASE-9990000018.json", messages.referral())
            hospital.drop("TESTCASE-bad.json", b"[]")
            (hospital.outbox / "new/TESTCASE.txt").write_text("")
            await hospital.sees("outbox/accepted/TESTCASE-9990000018.json")
            await hospital.sees("outbox/refused/TESTCASE-bad.json")

    assert "TESTCASE" not in str(lines)


async def test_a_failed_finish_is_repeated(
    folder: DropFolder, hospital: Hospital, store: Store
) -> None:
    """Where the receipt cannot be written, the message is kept, and sent once when it can."""
    accepted = hospital.outbox / "accepted"
    accepted.rmdir()
    accepted.write_text("in the way")
    with capture_logs() as lines:
        async with at_work(folder.stop, folder.collect()):
            hospital.drop("one.json", messages.referral())
            await eventually(lambda: any(line["event"] == "epr.folder_stalled" for line in lines))
            accepted.unlink()
            await hospital.sees("outbox/accepted/one.json")

    assert 1 == len(await store.messages.queue(PROVIDER, 9))


TICKET = "0b0e0c9e-5d9b-4a53-9a3e-6b1c0a1d2f33"


def left_over(hospital: Hospital, name: str, body: bytes) -> None:
    """Let a file lie there that the gateway has died over twice."""
    (hospital.outbox / "claimed" / f"{TICKET}.M.{name}").write_bytes(body)


async def test_what_ended_us_twice_and_was_taken_has_its_receipt(
    folder: DropFolder, intake: Intake, hospital: Hospital, store: Store
) -> None:
    """It is sent: whoever read that nothing was would refer the patient a second time."""
    body = messages.referral()
    taken = await intake.submit(body, Format.JSON, Envelope())
    left_over(hospital, "one.json", body)
    async with at_work(folder.stop, folder.collect()):
        await hospital.sees("outbox/accepted/one.json")

    receipt = read(hospital.outbox / "accepted/one.receipt.json")
    assert taken.request_id == receipt["request_id"]
    assert 1 == len(await store.messages.queue(PROVIDER, 9))


async def test_what_ended_us_twice_and_was_not_taken_is_refused(
    folder: DropFolder, hospital: Hospital, store: Store
) -> None:
    """Nothing of it is read but its bytes; and nothing was sent, as its reason says."""
    left_over(hospital, "one.json", messages.referral())
    async with at_work(folder.stop, folder.collect()):
        await hospital.sees("outbox/refused/one.json")

    reason = read(hospital.outbox / "refused/one.reason.json")
    assert "the message was not taken, for 1 reason(s): nothing was sent" == reason["error"]
    assert [] == await store.messages.queue(PROVIDER, 9)


@pytest.mark.parametrize("name", ["one.move.json", "one.json"])
async def test_where_nobody_knows_whether_it_was_taken_nothing_else_is_said(
    folder: DropFolder, intake: Intake, hospital: Hospital, monkeypatch: Any, name: str
) -> None:
    """A move has no bytes of its own to find it by, and a store that fails finds nothing."""
    monkeypatch.setattr(intake, "taken", AsyncMock(side_effect=ZeroDivisionError))
    left_over(hospital, name, b"{}")
    async with at_work(folder.stop, folder.collect()):
        await hospital.sees(f"outbox/refused/{name}")

    text = (hospital.outbox / f"refused/{name.removesuffix('.json')}.reason.json").read_text()
    assert "does not know whether it was taken" in text
    assert not re.search("nothing was sent|was not taken|was not sent", text)


async def test_a_receipt_that_cannot_be_written_stops_nobody_else(
    folder: DropFolder, hospital: Hospital, monkeypatch: Any
) -> None:
    """The message goes out, and its file says that nobody knows; the next has its reason."""
    failing = Mock(side_effect=ZeroDivisionError)
    monkeypatch.setattr("bars_gateway.epr.drop.documents.receipt", failing)
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("one.json", messages.referral())
        hospital.drop("two.json", b"no json")
        await hospital.sees("outbox/refused/one.json", "outbox/refused/two.json")

    reason = read(hospital.outbox / "refused/one.reason.json")
    assert "does not know whether it was taken" in str(reason["error"])


async def test_a_failure_after_it_was_taken_is_no_refusal(
    folder: DropFolder, hospital: Hospital, store: Store, monkeypatch: Any
) -> None:
    """An internal error comes after the store has it: the message goes out."""
    monkeypatch.setattr("bars_gateway.epr.intake.log.info", Mock(side_effect=ZeroDivisionError))
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("one.json", messages.referral())
        await hospital.sees("outbox/accepted/one.json")

    assert 1 == len(await store.messages.queue(PROVIDER, 9))
