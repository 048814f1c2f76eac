"""`bars-gateway epr-check`, at the example EPRs and at some that no patient should meet."""

import asyncio
import contextlib
import io
import json
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from messages import referral
from rich.console import Console
from typed import typed_beside

from bars_gateway.epr_check.course import SERVICES, TURNS, turn_file
from bars_gateway.epr_check.findings import EprFinding, EprResult
from bars_gateway.epr_check.play import CheckSettings, check

EXAMPLES = Path(__file__).parents[2] / "examples"
SYSTEM = "https://fhir.nhs.uk/Id/dos-service-id"
Epr = Callable[["Told", Path], Awaitable[None]]


class Told(io.StringIO):
    """What the check tells whoever sits before it."""

    def __init__(self) -> None:
        super().__init__()
        self._more = asyncio.Event()

    def write(self, text: str) -> int:
        written = super().write(text)
        self._more.set()
        self._more = asyncio.Event()
        return written

    async def until(self, words: str) -> None:
        """Return once it has said so."""
        while words not in self.getvalue():
            await self._more.wait()


async def checked(
    folder: Path, epr: Epr, *, minutes: float = 0.75, **changes: Any
) -> dict[str, EprFinding]:
    """Run a check at *epr*; return what was found, by rule."""
    values: dict[str, Any] = {"by_socket": False, "asks": False, "sends": True}
    settings = CheckSettings(
        minutes=minutes,
        service="2000000101",
        ods_code="ZX901",
        folder=folder,
        **values | changes,
    )
    told = Told()

    async def lives() -> None:
        await told.until("The check begins")
        try:
            await epr(told, folder)
        except* aiohttp.ClientConnectionError:
            pass  # the check is over, and its socket is gone

    async with asyncio.TaskGroup() as group:
        living = group.create_task(lives())
        findings = await check(settings, Console(file=told, soft_wrap=True))
        living.cancel()
    return {each.rule: each for each in findings}


def results(found: dict[str, EprFinding], result: EprResult) -> dict[str, str]:
    return {rule: each.says for rule, each in found.items() if each.result is result}


@contextlib.asynccontextmanager
async def running(*command: object) -> AsyncIterator[asyncio.subprocess.Process]:
    started = await asyncio.create_subprocess_exec(
        *map(str, command), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.kill()
        await started.wait()


async def an_example(told: Told, folder: Path, program: str, door: Path) -> None:
    """Let an example send each message when it is asked for; begin it again where it ends early."""
    received = folder / "received"
    received.mkdir()
    interpreter = "node" if program.endswith(".mjs") else sys.executable
    messages = [folder / "messages" / turn_file(number) for number in range(1, len(TURNS) + 1)]
    for number, message in enumerate(messages, 1):
        asked = told.until(f"message {number} of {len(TURNS)}:" if number > 1 else "check begins")
        if "change" not in message.name:
            await asked
        else:  # an answer becomes overdue meanwhile: it collects, by what was taken long ago
            async with running(interpreter, EXAMPLES / program, door, messages[1], received):
                await asked
        for _ in range(1 if number == 1 else 20):  # the first is refused, and never repeated
            async with running(interpreter, EXAMPLES / program, door, message, received) as one:
                if await one.wait() == 0:
                    break
            await asyncio.sleep(0.2)
    async with running(interpreter, EXAMPLES / program, door, messages[1], received) as one:
        await one.wait()  # its outcome was told before: it collects until the check is over


async def test_the_example_by_the_socket_does_everything_right(tmp_path: Path) -> None:
    """As far as the doors can show it: what it prints, a person has to look at."""
    found = await checked(
        tmp_path,
        lambda told, folder: an_example(told, folder, "epr_by_socket.py", folder / "epr.sock"),
        by_socket=True,
        asks=True,
        minutes=1.5,  # it runs nothing between two messages: a busy machine needs the patience
    )

    assert {} == results(found, EprResult.WRONG)
    assert {"renamed", "named_once", "envelope_first", "fates_read", "acted_last"} == set(
        results(found, EprResult.UNTRIED)
    )
    acted_on = {"refused", "own_change", "amended", "not_sent", "unconfirmed", "overdue"}
    assert {"refusal_shown", "reads"} | acted_on == set(results(found, EprResult.LOOK))


async def test_the_example_by_folders_does_everything_right(tmp_path: Path) -> None:
    """It is asked nothing, for it answers nothing."""
    found = await checked(
        tmp_path,
        lambda told, folder: an_example(
            told, folder, "epr_by_folders.py", folder / "gateway" / "spool"
        ),
        minutes=1.5,
    )

    assert {} == results(found, EprResult.WRONG)
    assert {"envelope_first", "same_again"} | ASKED == set(results(found, EprResult.UNTRIED))


def dropped(spool: Path, *, in_place: bool = False) -> None:
    body = referral(sender=f"{SYSTEM}|2000000101", receiver=f"{SYSTEM}|{SERVICES[0]}")
    outbox = spool / "outbox"
    (outbox / ("new" if in_place else "tmp") / "a.json").write_bytes(body)
    if not in_place:
        (outbox / "tmp" / "a.json").rename(outbox / "new" / "a.json")


async def never_collects(_told: Told, folder: Path) -> None:
    """Send, and never look at what comes."""
    dropped(folder / "gateway" / "spool")


async def stops_at_a_repeat(_told: Told, folder: Path) -> None:
    """Write in place, and take a number that is known for a reason to stop."""
    spool = folder / "gateway" / "spool"
    dropped(spool, in_place=True)
    known: set[str] = set()
    while True:
        for last in sorted((spool / "inbox" / "new").glob("*.message.json")):
            number = last.name.partition(".")[0]
            if number in known:
                return
            known.add(number)
            for file in sorted(last.parent.glob(f"{number}.*"), key=last.__eq__):
                shutil.move(file, folder / file.name)
        await asyncio.sleep(0.1)


async def answers_late(_told: Told, folder: Path) -> None:
    """Collect as an EPR should, and ask a person before a question is answered."""
    connector = aiohttp.UnixConnector(str(folder / "epr.sock"))
    async with (
        aiohttp.ClientSession("http://gateway", connector=connector) as session,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(_answers(session))
        while True:
            for each in (await _got(session, "/notices?wait=30"))["notices"]:
                for part in ("message", "answer"):
                    await _got(session, f"/notices/{each['notice_id']}/{part}")
                with contextlib.suppress(aiohttp.ClientConnectionError):  # it comes once more
                    async with session.post(f"/notices/{each['notice_id']}/collected"):
                        pass


async def _got(session: aiohttp.ClientSession, path: str) -> Any:
    async with session.get(path) as answer:
        body = await answer.read()
        return body if "xml" in answer.content_type else json.loads(body)


async def _answers(session: aiohttp.ClientSession) -> None:
    after = 0
    while True:
        for each in (await _got(session, f"/questions?wait=30&after={after}"))["questions"]:
            after = each["question_id"]
            await asyncio.sleep(5)  # longer than anybody waits
            async with session.post(f"/questions/{after}/answer", json={"accept": True}):
                pass


ASKED = {
    "answered",
    "usable",
    "updated",
    "asked_in_xml",
    "reads",
    "said_no",
}  # what takes questions


class Surgery:
    """An EPR by the socket with a diary: it decides, keeps what it said yes to, and shows that."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.slots: set[str] = set()
        self.records: dict[str, Any] = {}

    async def live(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.decide_all())
            while True:
                for each in (await _got(self.session, "/notices?wait=30"))["notices"]:
                    await self.collect(each)

    async def collect(self, notice: dict[str, Any]) -> None:
        at = f"/notices/{notice['notice_id']}"
        for part, media_type in (("message", "media_type"), ("answer", "answer_media_type")):
            if notice[media_type] is not None:
                await _got(self.session, f"{at}/{part}")
        with contextlib.suppress(aiohttp.ClientConnectionError):  # it is there again
            async with self.session.post(f"{at}/collected"):
                pass

    async def decide_all(self) -> None:
        after = 0
        while True:
            found = await _got(self.session, f"/questions?wait=30&after={after}")
            for each in found["questions"]:
                after = each["question_id"]
                answer = await self.decide(each)
                async with self.session.post(f"/questions/{after}/answer", json=answer):
                    pass

    async def decide(self, question: dict[str, Any]) -> dict[str, Any]:
        if question["operation"] != "$process-message":
            return self.read(question["resource_id"])
        asked = await _got(self.session, f"/questions/{question['question_id']}/request")
        if isinstance(asked, bytes):  # it reads no XML
            return {"refuse": "not-supported"}
        found = {each["resource"]["resourceType"]: each["resource"] for each in asked["entry"]}
        if question["move"] == "request":
            if found["Slot"]["id"] in self.slots:
                return {"refuse": "slot-taken"}
            self.slots.add(found["Slot"]["id"])
            focus_id = question["proposed_focus_id"]
            self.records[focus_id] = found["Appointment"] | {"id": focus_id}
        return {"accept": True}

    def read(self, wanted: str | None) -> dict[str, Any]:
        if wanted is None:
            return {"resourceType": "Bundle", "type": "searchset", "total": 0}
        found: dict[str, Any] = self.records.get(wanted, {"refuse": "not-found"})
        return found


class YesMan(Surgery):
    """Says yes to everything but a change, makes up what is read, and drops what is odd."""

    async def collect(self, notice: dict[str, Any]) -> None:
        if notice["notice_id"] not in self.slots and notice["kind"] == "message":
            self.slots.add(notice["notice_id"])  # before it is known that the gateway has heard
            await super().collect(notice)

    async def decide(self, question: dict[str, Any]) -> dict[str, Any]:
        if question["operation"] != "$process-message":
            return self.read(question["resource_id"])
        return {"refuse": "not-found"} if question["move"] == "update" else {"accept": True}

    def read(self, wanted: str | None) -> dict[str, Any]:
        made_up = {
            "resourceType": "Appointment",
            "id": wanted,
            "status": "booked",
            "participant": [{"status": "accepted"}],
        }
        return made_up if wanted else super().read(wanted)


def living(kind: type[Surgery]) -> Epr:
    async def live(_told: Told, folder: Path) -> None:
        connector = aiohttp.UnixConnector(str(folder / "epr.sock"))
        async with aiohttp.ClientSession("http://gateway", connector=connector) as session:
            await kind(session).live()

    return live


NEW = {"crash", "new_member", "new_kind", "updated", "reads", "said_no", "answered", "usable"}
NEW |= {"in_xml", "asked_in_xml"}


async def test_who_decides_by_a_diary_and_collects_what_is_new_is_right(tmp_path: Path) -> None:
    """A slot once, reads of what it has, a change; and what a crash or a later version leaves."""
    found = await checked(tmp_path, living(Surgery), by_socket=True, asks=True, sends=False)

    assert {} == results(found, EprResult.WRONG)
    assert set() == NEW - results(found, EprResult.RIGHT).keys()


async def test_who_says_yes_to_everything_and_drops_what_is_odd_is_wrong(tmp_path: Path) -> None:
    """Two people in one slot, a record that nobody has, and notices that nobody reads."""
    found = await checked(tmp_path, living(YesMan), by_socket=True, asks=True, sends=False)
    wrong = results(found, EprResult.WRONG)

    assert {"crash", "new_member", "new_kind", "updated", "said_no", "collected", "kept"} <= set(
        wrong
    )
    assert "a slot that it has given to somebody else" in wrong["said_no"]
    assert "a record that nobody has" in wrong["said_no"]


async def test_who_ends_it_early_gets_what_was_seen(tmp_path: Path) -> None:
    """By Ctrl-C: the table comes, and nothing that was started is left."""
    home = tmp_path / "check"
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bars_gateway", "epr-check", "--folder", str(home)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert started.stdout is not None
    said = await started.stdout.readuntil(b"The check begins")
    named_as_usual = list(home.rglob("run/*.sock"))
    started.send_signal(signal.SIGINT)
    printed, complaint = await started.communicate()

    assert (1, b"") == (started.returncode, complaint)
    assert b"nobody came to the folder or to the socket" in said + printed
    assert [] == named_as_usual  # nobody is seen at the gateway's own
    assert not (home / "epr.sock").exists()
    assert not (home / "sandbox" / "sandbox.json").exists()


async def test_a_check_begins_in_a_folder_of_its_own(tmp_path: Path) -> None:
    """What another has left there would be taken for what came."""
    (tmp_path / "file").touch()
    done = await typed_beside("epr-check", "--folder", tmp_path)

    assert 2 == done.code
    assert "is not empty" in done.err


@pytest.mark.parametrize(
    ("epr", "by_socket", "wrong"),
    [
        (answers_late, True, {"answered", "asked_in_xml", "reads", "updated", "usable"}),
        (never_collects, False, {"collected", "fates_read", "in_xml"}),
        (
            stops_at_a_repeat,
            False,
            {"collected", "fates_read", "in_xml", "overdue", "renamed", "repeats"}
            | {"new_kind", "new_member"},
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_what_an_epr_does_wrong_is_told(
    tmp_path: Path, *, epr: Epr, by_socket: bool, wrong: set[str]
) -> None:
    """One that does not answer in time is told from one that breaks, and from one that sleeps."""
    found = await checked(tmp_path, epr, by_socket=by_socket, asks=by_socket, sends=False)

    assert wrong == set(results(found, EprResult.WRONG))
