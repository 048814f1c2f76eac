"""Starts the gateway and the national side for a check, watches the doors, and ends it all."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from functools import partial
from pathlib import Path

import aiohttp
from rich.console import Console

from bars_gateway.demo.messages import referral, validation_request
from bars_gateway.demo.stage import (
    Organisation,
    TimelinePrinter,
    end,
    free_ports,
    home_of,
    start_gateway,
    start_sandbox,
)
from bars_gateway.epr_check.course import (
    CHECK,
    SERVICES,
    TURN_NAMES,
    UNKNOWN_SERVICE,
    CheckCourse,
    CheckGround,
    CheckTimes,
    times_of,
    turn_file,
)
from bars_gateway.epr_check.findings import CheckTerms, EprFinding
from bars_gateway.epr_check.folder_watch import WATCHED, watched
from bars_gateway.epr_check.gateway_view import (
    give_again,
    give_made_up,
    give_what_a_crash_leaves,
    viewed,
)
from bars_gateway.epr_check.judging import judged
from bars_gateway.epr_check.relay import SocketRelay, why_in
from bars_gateway.epr_check.sightings import (
    EprSightings,
    FileEvent,
    SeenFate,
    SeenNotice,
    SeenQuestion,
)
from bars_gateway.frozen import frozen

_SYSTEM = "https://fhir.nhs.uk/Id/dos-service-id"
_LOOK_SECONDS = 0.1
_EPR = "your EPR"
_REASON = ".reason.json"
_HANDED_OVER = "outbox/new"
_HANDED = frozenset({FileEvent.CREATED, FileEvent.RENAMED_IN, FileEvent.CLOSED})
_GONE = frozenset({FileEvent.REMOVED, FileEvent.RENAMED_OUT})
EprNews = tuple[tuple[str, object], str, str]  # a key of its own, who, and what


@frozen(kw_only=True)
class CheckSettings:
    """What is checked, and how."""

    minutes: float
    by_socket: bool  # where notices and questions come
    asks: bool  # whether questions are put at all
    sends: bool  # whether the EPR is asked to send messages
    service: str  # value of the EPR's own
    ods_code: str
    folder: Path | None  # temporary where None


async def check(settings: CheckSettings, console: Console) -> list[EprFinding]:
    """
    Play everything at the EPR, telling *console* what goes on, and return what was found.

    It ends once everything was played, or when its minutes are over; they begin when the EPR is
    seen. Where it is interrupted, what was seen so far is judged.
    """
    times = times_of(settings.minutes)
    terms = CheckTerms(
        by_socket=settings.by_socket, asks=settings.asks, patience_seconds=times.patience
    )
    timeline = TimelinePrinter(console)
    sightings = EprSightings(time.monotonic)
    with home_of("check", settings.folder) as home, suppress(asyncio.CancelledError):
        async with _ground(home, settings, times, sightings, timeline) as ground:
            _introduce(console, home, settings)
            await _play(ground, Narrator(sightings, timeline))
    return judged(sightings, terms)


def _introduce(console: Console, home: Path, settings: CheckSettings) -> None:
    notices = "the socket" if settings.by_socket else "the folder"
    console.print(f"""
Connect your EPR, as the one of the service {_SYSTEM}|{settings.service}:
  folder   {home}/gateway/spool
  socket   {home}/epr.sock
Notices and questions come by {notices}; messages may be handed over by either. Write to the
services {SERVICES[0]} to {SERVICES[-1]}, one for each Application. Messages to send, if you have
none yet, are in {home}/messages. The check begins when your EPR is seen: it hands over or takes
away a file, or calls at the socket. It ends when all was played, most often before its minutes do.
Once, it asks you to kill your EPR and to start it again: be ready for that.
""")


async def _play(ground: CheckGround, narrator: "Narrator") -> None:
    """Play the course, from when the EPR is seen, and say what the doors see."""
    course, whole = CheckCourse(ground), ground.times.whole
    async with asyncio.TaskGroup() as group:
        telling = group.create_task(narrator.run())
        try:
            async with asyncio.timeout(whole):
                await course.begin()
            async with asyncio.timeout(whole):
                await course.run()
        except TimeoutError:
            ground.say(CHECK, "the time is over")
        finally:
            ground.sightings.end()
            telling.cancel()


@asynccontextmanager
async def _ground(
    home: Path,
    settings: CheckSettings,
    times: CheckTimes,
    sightings: EprSightings,
    timeline: TimelinePrinter,
) -> AsyncIterator[CheckGround]:
    """Start everything, and end it afterwards."""
    epr, spool = _organisation(settings), home / "gateway" / "spool"
    by_socket = settings.by_socket
    own_socket = home / "gateway" / epr.sockets / f"{epr.name}.sock"
    async with AsyncExitStack() as stack:
        timeline.say(CHECK, f"starts a sandbox and a gateway below {home}")
        sandbox = await _sandbox(stack, home, epr)
        gateway = GatewayProcess(epr, home / "gateway", sandbox, {"": _timing(times)})
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        _write_messages(home / "messages", settings.service)
        session = await stack.enter_async_context(aiohttp.ClientSession(trust_env=False))
        relay = SocketRelay(own_socket, sightings)
        await stack.enter_async_context(relay.serving(home / "epr.sock"))
        door = stack.enter_context(closing(FolderDoor(spool, sightings)))
        stack.enter_context(watched(spool, WATCHED, door.note))
        view = await stack.enter_async_context(viewed(own_socket, sightings, asks=settings.asks))
        yield CheckGround(
            service=settings.service,
            admin_url=sandbox["admin_url"],
            session=session,
            sightings=sightings,
            relay=relay,
            again=relay.give_again if by_socket else partial(give_again, view, spool),
            after_a_crash=None if by_socket else partial(give_what_a_crash_leaves, view, spool),
            made_up=relay.give_made_up if by_socket else partial(give_made_up, spool),
            restart=gateway.restart,
            say=timeline.say,
            times=times,
            asks=settings.asks,
            sends=settings.sends,
            messages=home / "messages",
        )


async def _sandbox(stack: AsyncExitStack, home: Path, epr: Organisation) -> Mapping[str, str]:
    process, sandbox = await start_sandbox(
        home / "sandbox", [epr], home / "sandbox.log", counterparty=True
    )
    stack.push_async_callback(end, process)
    return sandbox


def _organisation(settings: CheckSettings) -> Organisation:
    port, status_port = free_ports(2)
    door = "socket" if settings.by_socket else "folder"
    return Organisation(
        name="epr",
        title="The organisation of the EPR under test",
        ods_code=settings.ods_code,
        service=settings.service,
        notices=door,
        questions=door if settings.asks else "none",
        sockets="behind",  # and not where one looks for it: who called there would not be seen
        port=port,
        status_port=status_port,
    )


def _timing(times: CheckTimes) -> str:
    """Return settings by which everything that takes hours is over soon."""
    minutes = times.give_up / 60
    lines = (
        "first_retry_seconds = 0.5",
        "longest_retry_seconds = 2",
        f"delayed_after_seconds = {times.give_up / 2:g}",
        f"give_up_after_minutes = {minutes:g}",
        f"give_up_with_time_after_minutes = {minutes:g}",
        f"give_up_booking_after_minutes = {minutes:g}",
        f"at_least_minutes = {minutes:g}",
    )
    owed = f"answer_within_minutes = {minutes:g}"
    tables = [(f"a{number}", lines) for number in range(1, 9)]
    return "\n".join(
        "\n".join([f"[timing.{name}]", *each, *([owed] if name in _OWING else [])])
        for name, each in tables
    )


_VALIDATIONS = ("answered-twice", "overdue")
_OWING = frozenset({"a4", "a6"})  # where a request is owed an answer


def _write_messages(folder: Path, service: str) -> None:
    """Write messages that an EPR without any may send, in the order in which they are asked for."""
    folder.mkdir(exist_ok=True)
    sender = f"{_SYSTEM}|{service}"
    receivers = {"unknown-service": UNKNOWN_SERVICE, **dict.fromkeys(_VALIDATIONS, SERVICES[3])}
    for number, name in enumerate(TURN_NAMES, 1):
        if name != "change":  # it is of what was taken, and written then
            make = validation_request if name in _VALIDATIONS else referral
            receiver = f"{_SYSTEM}|{receivers.get(name, SERVICES[0])}"
            (folder / turn_file(number)).write_bytes(make(sender=sender, receiver=receiver))


class GatewayProcess:
    """The gateway under the EPR, which may be started again."""

    def __init__(
        self,
        epr: Organisation,
        folder: Path,
        sandbox: Mapping[str, str],
        more: Mapping[str, str],
    ) -> None:
        self._epr, self._folder, self._sandbox, self._more = epr, folder, sandbox, more
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; return once it is ready."""
        self._process = await start_gateway(self._epr, self._folder, self._sandbox, self._more)

    async def stop(self) -> None:
        """End it, as SIGTERM does."""
        if self._process is not None:
            await end(self._process)

    async def restart(self) -> None:
        """End it and start it."""
        await self.stop()
        await self.start()


class FolderDoor:
    """
    Notes what happens to files, and the fingerprints of those that are handed over.

    A program may move a file by a second link to it, and then remove the first: .NET does. So what
    the gateway leaves is held, unread, until it goes; what has another name then was moved.
    """

    def __init__(self, spool: Path, sightings: EprSightings) -> None:
        self._spool, self._sightings = spool, sightings
        self._held: dict[tuple[str, str], int] = {}

    def close(self) -> None:
        """Let go of what lies there."""
        while self._held:
            os.close(self._held.popitem()[1])

    def note(self, folder: str, name: str, event: FileEvent) -> None:
        """Note an event."""
        if event in _GONE:
            event = self._gone(folder, name, event)
        elif event is FileEvent.RENAMED_IN and folder != _HANDED_OVER:
            self._hold(folder, name)
        self._sightings.note_file(folder, name, event)
        if folder == "answers/refused" and event is FileEvent.RENAMED_IN:
            self._note_reason(name)
        if folder == _HANDED_OVER and event in _HANDED:
            drop = self._sightings.last_drop(folder, name)
            with suppress(OSError):  # the gateway has it by now
                content = (self._spool / folder / name).read_bytes()
                if drop is not None:
                    drop.fingerprint = hashlib.sha256(content).hexdigest()

    def _hold(self, folder: str, name: str) -> None:
        self._gone(folder, name, FileEvent.REMOVED)
        with suppress(OSError):  # the EPR has taken it by now
            path = self._spool / folder / name
            self._held[folder, name] = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)

    def _gone(self, folder: str, name: str, event: FileEvent) -> FileEvent:
        """Let go of a file; return what became of it."""
        held = self._held.pop((folder, name), None)
        if held is None:
            return event
        links = os.fstat(held).st_nlink
        os.close(held)
        return FileEvent.RENAMED_OUT if links else event

    def _note_reason(self, name: str) -> None:
        if name.endswith(_REASON):
            with suppress(OSError):  # the EPR has removed it by now
                why = why_in((self._spool / "answers/refused" / name).read_bytes())
                self._sightings.refused_answer(name.removesuffix(_REASON), why)


class Narrator:
    """Says what is seen, as soon as it is."""

    def __init__(self, sightings: EprSightings, timeline: TimelinePrinter) -> None:
        self._sightings, self._timeline = sightings, timeline
        self._said: set[tuple[str, object]] = set()

    async def run(self) -> None:
        """Say what is new until cancelled."""
        while True:
            for key, who, what in self._news():
                if key not in self._said:
                    self._said.add(key)
                    self._timeline.say(who, what)
            await asyncio.sleep(_LOOK_SECONDS)

    def _news(self) -> Iterator[EprNews]:
        """Yield everything that was seen, with a key of its own."""
        seen = self._sightings
        for notice in list(seen.notices.values()):
            yield from _of_notice(notice)
        for fate in list(seen.fates):
            yield from _of_fate(fate)
        for number, post in enumerate(list(seen.submissions)):
            how = post.http_status or "taken, and its answer is cut off"
            yield ("post", number), _EPR, f"posts a message: {how}"
        for number, drop in enumerate(list(seen.drops)):
            how = "writes a file in place" if drop.in_place else "renames a file"
            yield ("drop", number), _EPR, f"{how} into {drop.folder}"
        for number, each in enumerate(list(seen.refused_answers)):
            how = f"refuses the answer to question {each.question}: {each.why}"
            yield ("refused answer", number), "gateway", how
        for number, act in enumerate(list(seen.acts)):
            yield ("act", number), _EPR, act.what
        for question in list(seen.questions.values()):
            yield from _of_question(question)


def _of_fate(fate: SeenFate) -> Iterator[EprNews]:
    kind = "reason" if fate.refused else "receipt"
    yield ("fate", fate.name), "gateway", f"writes a {kind}"
    if fate.read:
        yield ("read", fate.name), _EPR, f"reads the {kind}"


def _of_question(question: SeenQuestion) -> Iterator[EprNews]:
    number = question.number
    yield ("asked", number), "gateway", f"asks: {question.document['means']}"
    if question.in_time is not None:
        how = "in time" if question.in_time else "TOO LATE"
        yield ("answered", number), _EPR, f"answers question {number} {how}"


def _of_notice(notice: SeenNotice) -> Iterator[EprNews]:
    if notice.document and not notice.is_known:  # what it said yes to is left out (questions-9)
        kind, state = notice.document["kind"], notice.document["state"]
        what = f"{kind} ({state})" if kind == "outcome" else kind
        yield ("notice", notice.number), "gateway", f"has notice {notice.number}: {what}"
    for number, at in enumerate(notice.taken):
        again = " again" if number else ""
        since = at - (notice.given[number] if number < len(notice.given) else notice.told_at)
        key = ("taken", (notice.number, number))
        yield key, _EPR, f"collects notice {notice.number}{again}, after {since:.1f} s"
