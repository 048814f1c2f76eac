"""What was refused to an EPR, and that nobody has taken away."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import messages
import pytest
from epr_side import Hospital, at_work

from bars_gateway.epr import refusals
from bars_gateway.epr.drop import DropFolder
from bars_gateway.epr.refusals import RefusedFiles
from bars_gateway.standard.formats import Format, converted

REFUSED = Path("outbox/refused")


def looking(root: Path, **changes: int) -> RefusedFiles:
    return RefusedFiles(root / REFUSED, **{"max_bytes": 1_000_000, **changes})


def unsendable(use_case: str) -> bytes:
    """Return a referral of that use case to nobody, which is refused."""
    text = messages.referral().decode()
    return text.replace('"a1t1"', f'"{use_case}"').replace(messages.RECEIVER, "nowhere").encode()


def lay(root: Path, name: str, body: bytes, minutes: float = 0) -> None:
    """Put a file there that was refused, as the gateway does."""
    folder = root / REFUSED
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(body)
    reason = folder / f"{Path(name).stem}.reason.json"
    reason.write_text("{}")
    at = (datetime.now(UTC) - timedelta(minutes=minutes)).timestamp()
    os.utime(reason, (at, at))


def found(files: RefusedFiles) -> dict[str, int]:
    return {each.use_case: each.count for each in files.look() or ()}


async def test_what_was_refused_lies_there_by_its_use_case(
    folder: DropFolder, hospital: Hospital
) -> None:
    """What can still be read of it says whom it is for; what cannot be read at all, nothing."""
    async with at_work(folder.stop, folder.collect()):
        hospital.drop("one.json", unsendable("a3t1"))
        hospital.drop("two.json", b"{not json")
        await hospital.sees("outbox/refused/one.reason.json", "outbox/refused/two.reason.json")

    assert {"a3t1": 1, "": 1} == found(looking(hospital.root))


def test_since_when_is_known_after_a_restart_too(tmp_path: Path) -> None:
    """The files say it, and whoever looks for the first time sees it."""
    lay(tmp_path, "late.json", unsendable("a1t1"), minutes=3)
    lay(tmp_path, "early.json", unsendable("a1t1"), minutes=40)
    (lying,) = looking(tmp_path).look() or ()

    assert ("a1t1", 2) == (lying.use_case, lying.count)
    assert 40 == round((datetime.now(UTC) - lying.since).total_seconds() / 60)


def test_a_refusal_that_was_taken_away_is_over(tmp_path: Path) -> None:
    """Whoever takes the reason away has it; the message may stay where it lies."""
    lay(tmp_path, "one.json", unsendable("a1t1"))
    files = looking(tmp_path)
    before = found(files)
    (tmp_path / REFUSED / "one.reason.json").unlink()

    assert ({"a1t1": 1}, {}) == (before, found(files))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<Bundle/>", id="other-format"),
        pytest.param(b'{"resourceType": "Bundle", "entry": [7]}', id="no-resource"),
        pytest.param(json.dumps({"about": "1", "says": "started"}).encode(), id="move"),
        pytest.param(b"x" * 50_000, id="too-large"),
    ],
)
def test_what_says_nothing_of_a_use_case_is_counted_all_the_same(
    tmp_path: Path, body: bytes
) -> None:
    """And is told as soon as what is urgent."""
    lay(tmp_path, "one.json", body)

    assert {"": 1} == found(looking(tmp_path, max_bytes=40_000))


def test_a_use_case_that_nobody_knows_is_never_shown(tmp_path: Path) -> None:
    """It is what somebody has written: it may be anything, a patient's name too."""
    lay(tmp_path, "one.json", unsendable("a3tMary"))

    assert {"": 1} == found(looking(tmp_path))


def test_a_message_of_xml_says_its_use_case(tmp_path: Path) -> None:
    """By the ending of its name, in whatever letters."""
    lay(tmp_path, "one.XML", converted(messages.referral(), Format.JSON, Format.XML))

    assert {"a1t1": 1} == found(looking(tmp_path))


def test_a_message_that_is_named_like_a_reason_is_none(tmp_path: Path) -> None:
    """An EPR may call its files anything."""
    lay(tmp_path, "one.reason.json", unsendable("a1t1"))

    assert {"a1t1": 1} == found(looking(tmp_path))


def test_no_file_is_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies there for days costs a look at names, four times a minute."""
    lay(tmp_path, "one.json", unsendable("a1t1"))
    files = looking(tmp_path)
    before = found(files)
    (tmp_path / REFUSED / "one.json").write_bytes(b"gone")

    assert before == found(files) == {"a1t1": 1}


def test_many_are_read_in_turns(tmp_path: Path) -> None:
    """The oldest first: a folder full of them holds nobody up."""
    for number in range(5):
        lay(tmp_path, f"{number}.json", unsendable("a1t1"), minutes=5 - number)
    files = looking(tmp_path, at_once=2)

    assert [2, 4, 5] == [sum(found(files).values()) for _ in range(3)]


def test_a_file_over_which_the_gateway_fails_is_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And hides no other: what nobody can read counts as urgent from then on."""

    def failing(body: bytes, _: str) -> str:
        if body == b"poison":
            raise AssertionError
        return "a1t1"

    monkeypatch.setattr(refusals, "use_case_said", failing)
    lay(tmp_path, "one.json", b"poison", minutes=2)
    lay(tmp_path, "two.json", b"{}")
    files = looking(tmp_path)
    with pytest.raises(AssertionError):
        files.look()

    assert {"": 1, "a1t1": 1} == found(files)


def test_a_folder_that_cannot_be_read_is_not_said_to_be_empty(tmp_path: Path) -> None:
    """A folder that is not there holds nothing; of one that cannot be read nothing is known."""
    (tmp_path / "outbox").mkdir()
    missing = looking(tmp_path).look()
    (tmp_path / REFUSED).touch()

    assert ([], None) == (missing, looking(tmp_path).look())
