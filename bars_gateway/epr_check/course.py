"""
What is played at the EPR: others write to it, and what it sends meets one fate after another.

    others write ─► a referral ─► the same notice again ─► another, and a crash of the EPR
                 ─► a referral in XML ─► a validation, and its update ─► bookings ─► reads
                 ─► a booking in XML ─► a cancellation
    it sends     ─► door ─► acknowledged ─► refused ─► answered twice ─► unconfirmed
                 ─► overdue ─► a change of that, refused ─► not sent
    at the end   ─► notices as a later version of the contract may have them

Both go on side by side, and then comes the end. Nobody but the EPR can send its messages: for each
fate the check says that it is time for one, and goes on where none comes, so that the fate is then
untried. Nobody but its supplier can kill it: the check says when. Faults meet the services of the
counterparty alone, for the rest goes on meanwhile. Before *not sent* the gateway is started again:
what it had of an access token is gone, and there is no other.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp

from bars_gateway.demo.messages import NHS_NUMBER
from bars_gateway.epr_check.relay import SocketRelay
from bars_gateway.epr_check.sightings import (
    Addition,
    EprSightings,
    OthersWant,
    SeenNotice,
    SeenReply,
)
from bars_gateway.errors import SandboxError
from bars_gateway.frozen import frozen
from bars_gateway.standard.patients import NHS_NUMBER_SYSTEM

SERVICES = tuple(f"20000009{number:02}" for number in range(1, 9))  # of the counterparty
UNKNOWN_SERVICE = "2000000999"  # that nobody is entered for
_OTHER_PATIENT = "9990000026"
_PATIENT = f"{NHS_NUMBER_SYSTEM}%7C{NHS_NUMBER}"  # of whom it has referrals
_OK, _UNATTENDED = 200, 503
_KILL = "Kill your EPR now (kill -9), and start it again"
_WITH_ANSWERS = frozenset({"a4", "a6"})  # Applications whose requests are answered, and changed
_SOON = 0.3  # seconds until a response comes, in what is over in half a minute
# Numbers that the gateway does not come to in a check: those of a notice may have gaps.
_LATER = {Addition.MEMBER: 900_001, Addition.KIND: 900_002}
Json = Mapping[str, Any]
Say = Callable[[str, str], None]
CHECK, OTHERS = "check", "counterparty"


@frozen(kw_only=True)
class CheckTimes:
    """How long things take in a check, in seconds."""

    whole: float
    patience: float  # for a notice to be collected
    give_up: float  # until a message that nobody answers ends, and an answer is overdue
    turn: float  # to wait for the EPR to send something
    last: float  # for people to act on what came last


def times_of(minutes: float) -> CheckTimes:
    """Return how long things take in a check of so many minutes."""
    whole = minutes * 60
    short = min(30.0, max(3.0, whole / 20))
    last = max(short, whole / 10)
    return CheckTimes(whole=whole, patience=short, give_up=short, turn=whole / 8, last=last)


@frozen(kw_only=True)
class CheckGround:
    """What a course is played on."""

    service: str  # value of the EPR's own
    admin_url: str  # of the sandbox
    session: aiohttp.ClientSession
    sightings: EprSightings
    relay: SocketRelay
    again: Callable[[SeenNotice], Awaitable[None]]  # gives a notice once more
    after_a_crash: Callable[[SeenNotice], Awaitable[None]] | None  # None: the relay holds it back
    made_up: Callable[[SeenNotice], Awaitable[None]]  # gives one that the gateway does not have
    restart: Callable[[], Awaitable[None]]  # of the gateway
    say: Say
    times: CheckTimes
    asks: bool  # questions are put to the EPR
    sends: bool  # the EPR sends messages of its own
    messages: Path  # where those lie that it may send


@frozen
class CheckTurn:
    """One fate that a message of the EPR is to meet."""

    asks: str
    arm: Callable[["CheckCourse"], Awaitable[None]]
    met: Callable[["CheckCourse", int], object]  # since notice number so and so


class CheckCourse:
    """Plays everything once."""

    def __init__(self, ground: CheckGround) -> None:
        self._ground = ground
        self._seen = ground.sightings
        self._first: Json = {}  # what the counterparty sent first
        self._calm = asyncio.Lock()  # held by who asks the gateway, and while it is started anew

    async def begin(self) -> None:
        """Let a referral come, for the EPR to find, and return once it is seen."""
        self._first = await self._request("a1t1", "sends a referral")
        await self._seen.until(lambda: self._seen.first_at is not None)
        minutes = self._ground.times.whole / 60
        self._ground.say(CHECK, f"sees your EPR; {minutes:g} minutes at most begin")

    async def run(self) -> None:
        """Play until all is played, and the EPR had its time for the last of it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._others())
            if self._ground.sends:
                group.create_task(self._own())
        await self._later()
        self._ground.say(CHECK, "all was played; waits for what is done about the last of it")
        await asyncio.sleep(self._ground.times.last)

    async def _others(self) -> None:
        """Let others write to the EPR."""
        times = self._ground.times
        notice = await self._notice_of(self._first)
        if notice is not None and await self._until(lambda: notice.taken, times.patience):
            self._ground.say(CHECK, f"gives notice {notice.number} once more, as a crash would")
            notice.repeated_at = self._seen.seconds
            await self._ground.again(notice)
            await self._until(lambda: len(notice.taken) > 1, times.patience)
        await self._crash()
        await self._in_xml()
        validation = await self._request(
            "a4t1", "sends a request for validation, and waits for the answer"
        )
        if self._ground.asks:
            await self._steer(validation, "update", "asks to change its request for validation")
            await self._bookings()
            self._reply(
                OthersWant.IN_XML,
                await self._request("a1t1", "asks for a booking, in XML", books=True, xml=True),
            )
            await self._steer(self._first, "cancel", "asks to cancel its first referral")

    async def _crash(self) -> None:
        """Let the EPR crash between having a notice and saying so, or seem to."""
        times, leave = self._ground.times, self._ground.after_a_crash
        if leave is None:
            self._ground.relay.holds_seconds = times.patience
        sent = await self._request("a1t1", "sends another referral", nhs_number=_OTHER_PATIENT)
        notice = await self._notice_of(sent)
        if notice is None or not await self._until(
            lambda: notice.taken or notice.held_at is not None, times.patience
        ):
            self._ground.relay.holds_seconds = 0.0
            return
        async with self._calm:
            if leave is not None:
                notice.crashed_at = self._seen.seconds
                self._ground.say(CHECK, f"{_KILL}. The last file of notice {notice.number} is back")
                await leave(notice)
                await self._until(lambda: len(notice.taken) > 1, times.patience)
                return
            self._ground.say(CHECK, f"holds back that notice {notice.number} is collected. {_KILL}")
            await self._seen.until(lambda: notice.crashed_at is not None)
            seen = len(notice.taken)
            await self._until(lambda: len(notice.taken) > seen, times.patience)
            assert notice.held_at is not None
            self._seen.away.append((notice.held_at, self._seen.seconds))

    async def _in_xml(self) -> None:
        """Let somebody write whose system speaks XML: the EPR gets what came, byte for byte."""
        sent = await self._request("a1t1", "sends a referral in XML", xml=True)
        notice = await self._notice_of(sent)
        if notice is not None:
            await self._until(partial(bool, notice.taken), self._ground.times.patience)

    async def _bookings(self) -> None:
        """Look for a slot, book it, read the booking, and ask for what cannot be had."""
        slot = str(uuid4())
        await self._read(OthersWant.SLOTS, "Slot")
        booked = await self._request("a1t1", "asks for a booking", books=True, slot=slot)
        record = booked["id"]
        if booked["http_status"] == _OK:
            await self._read(OthersWant.RECORD, f"Appointment/{record}", record)
            self._reply(
                OthersWant.SECOND,
                await self._request(
                    "a1t1",
                    "asks for a booking of the same slot, for another patient",
                    books=True,
                    slot=slot,
                    nhs_number=_OTHER_PATIENT,
                ),
            )
        await self._read(OthersWant.PATIENT, f"ServiceRequest?patient:identifier={_PATIENT}")
        await self._read(OthersWant.NOTHING, f"Appointment/{uuid4()}")

    async def _read(self, wants: OthersWant, path: str, record: str | None = None) -> None:
        self._ground.say(OTHERS, f"reads {wants}")
        async with self._calm:
            wanted = {"to": self._ground.service, "read": path}
            found = await self._post("/counterparty/reads", wanted)
        self._note_unattended(found)
        self._reply(wants, found, ours=record is None or found["id"] == record)
        self._ground.say(OTHERS, f"got HTTP {found['http_status']}")

    def _reply(self, wants: OthersWant, found: Json, *, ours: bool = True) -> None:
        reply = SeenReply(wants, str(found["request_id"]), found["http_status"], ours)
        self._seen.told_others(reply)

    async def _steer(self, sent: Json, verb: str, told_as: str) -> None:
        """Let the counterparty change what it sent, if that was taken."""
        if sent["http_status"] != _OK:
            return
        self._ground.say(OTHERS, told_as)
        async with self._calm:
            found = await self._post(f"/counterparty/held/{sent['id']}/{verb}", {})
        self._note_unattended(found)
        if verb == "update":
            self._reply(OthersWant.UPDATE, found)
        self._ground.say(OTHERS, f"got HTTP {found['http_status']}")

    def _note_unattended(self, found: Json) -> None:
        if found["http_status"] == _UNATTENDED and self._ground.asks:
            self._seen.unattended += 1

    async def _later(self) -> None:
        """Give notices as a later version of the contract may have them."""
        model = self._seen.notice(request_id=self._first["request_id"])
        if model is None or not model.taken:
            return
        for addition, number in _LATER.items():
            notice = self._seen.make_up(model, addition, number)
            self._ground.say(CHECK, f"gives notice {notice.number}, with {addition}")
            await self._ground.made_up(notice)
            await self._until(partial(bool, notice.taken), self._ground.times.patience)

    async def _request(self, use_case: str, told_as: str, **more: object) -> Json:
        self._ground.say(OTHERS, told_as)
        wanted = {"use_case": use_case, "to": self._ground.service, **more}
        async with self._calm:
            sent = await self._post("/counterparty/requests", wanted)
        self._note_unattended(sent)
        self._ground.say(OTHERS, f"got HTTP {sent['http_status']}")
        return sent

    async def _notice_of(self, sent: Json) -> SeenNotice | None:
        request_id = sent["request_id"]
        await self._until(
            lambda: self._seen.notice(request_id=request_id), self._ground.times.patience
        )
        return self._seen.notice(request_id=request_id)

    async def _own(self) -> None:
        """Let messages of the EPR meet one fate after another."""
        for number, turn in enumerate(TURNS, 1):
            last = max(self._seen.notices, default=0)
            await turn.arm(self)
            which = f"message {number} of {len(TURNS)}"
            self._seen.asked_at.append(self._seen.seconds)
            self._ground.say(CHECK, f"{which}: {turn.asks} (messages/{turn_file(number)})")
            if not await self._until(partial(turn.met, self, last), self._limit()):
                self._ground.say(CHECK, "none came that met this; goes on")
            await self.disarm()

    def _limit(self) -> float:
        return self._ground.times.turn + 2 * self._ground.times.give_up

    def outcome(self, state: str, since: int) -> SeenNotice | None:
        """Return a request's outcome of that *state* that was told behind notice *since*."""
        for number, notice in self._seen.notices.items():
            if number > since and notice.says(kind="outcome", state=state, move="request"):
                return notice
        return None

    def answered_late(self, since: int) -> object:
        """Tell whether an answer is overdue, or the request is one to which none is owed."""
        taken = self.outcome("acknowledged", since)
        if taken is not None and not _is_answered(taken):
            return taken
        return any(
            number > since and each.says(kind="overdue", direction="outbound")
            for number, each in self._seen.notices.items()
        )

    def refused_at_the_door(self) -> bool:
        """Tell whether a message was refused before it was taken."""
        return any(self._seen.refused_fingerprints())

    async def script(self, **members: object) -> None:
        """Let the counterparty do something otherwise."""
        await self._post("/counterparty/scripts", members)

    async def fault(self, **members: object) -> None:
        """Let the national side do something to the next calls."""
        await self._post("/faults", members)

    async def lose_answers(self) -> None:
        """Let the answers of the counterparty get lost on their way back."""
        for service in SERVICES:
            await self.fault(kind="drop_after", method="POST", target=service)

    async def lose_tokens(self) -> None:
        """Start the gateway again while no access token is available."""
        await self.fault(kind="token_outage")
        async with self._calm:
            await self._until(self._seen.is_calm, self._ground.times.patience / 3)
            self._ground.say(CHECK, "stops the gateway and starts it again")
            since = self._seen.seconds
            await self._ground.restart()
            self._seen.restarted_at = self._seen.seconds
            self._seen.away.append((since, self._seen.seconds))

    async def cut_an_answer(self) -> None:
        """Cut off the answer to the next message that is posted."""
        self._ground.relay.cuts = True

    async def refuse_a_change(self) -> None:
        """Write down a change of the last that may be changed, and let it be refused."""
        taken = [each for each in self._seen.notices.values() if _may_be_changed(each)]
        if taken:
            path = f"/counterparty/held/{taken[-1].document['focus_id']}/update"
            async with self._ground.session.get(self._ground.admin_url + path) as answer:
                if answer.ok:
                    file = self._ground.messages / turn_file(TURN_NAMES.index("change") + 1)
                    file.write_bytes(await answer.read())
        await self.script(verb="refuse", status=422)
        self._seen.change_asked = (self._seen.seconds, None)

    async def answer_twice(self) -> None:
        """Let the next request for validation be answered, and that answer be changed."""
        for verb in ({"verb": "delay", "seconds": _SOON}, {"verb": "amend"}):
            await self.script(**verb, of="responses", application="a4", count=1)

    def told(self, since: int, **members: object) -> bool:
        """Tell whether a notice came behind number *since* that says so."""
        return any(n > since and each.says(**members) for n, each in self._seen.notices.items())

    async def disarm(self) -> None:
        """Let everything be as it should be."""
        self._ground.relay.cuts = False
        if self._seen.change_asked is not None:
            begun, ended = self._seen.change_asked
            self._seen.change_asked = (begun, ended or self._seen.seconds)
        for path in ("/faults", "/counterparty/scripts"):
            async with self._ground.session.delete(self._ground.admin_url + path):
                pass

    async def _post(self, path: str, document: Json) -> Json:
        url = self._ground.admin_url + path
        async with self._ground.session.post(url, json=document) as answer:
            found: Json = await answer.json(content_type=None)
            if not answer.ok:
                raise SandboxError(f"the sandbox did not do {path}: {found.get('error')}")
            return found

    async def _until(self, condition: Callable[[], object], seconds: float) -> bool:
        """Return whether *condition* held within *seconds*."""
        try:
            async with asyncio.timeout(seconds):
                await self._seen.until(condition)
        except TimeoutError:
            return False
        return True


async def _nothing(_course: CheckCourse) -> None:
    """Arm nothing."""


def _may_be_changed(notice: SeenNotice) -> bool:
    taken = notice.says(kind="outcome", state="acknowledged", move="request")
    return taken and bool(notice.document["focus_id"]) and _is_answered(notice)


def _is_answered(notice: SeenNotice) -> bool:
    return notice.document["use_case"][:2] in _WITH_ANSWERS


# What each turn is called: so is the file of a message that meets it, for an EPR without any.
TURN_NAMES = (
    *("unknown-service", "taken", "refused", "answered-twice"),
    *("unconfirmed", "overdue", "change", "not-sent"),
)


def turn_file(number: int) -> str:
    """Return what the file of a message is called that meets turn *number*."""
    return f"{number}-{TURN_NAMES[number - 1]}.json"


TURNS = (
    CheckTurn(
        f"send one to the service {UNKNOWN_SERVICE}, which BaRS does not know. It is refused",
        _nothing,
        lambda course, _: course.refused_at_the_door(),
    ),
    CheckTurn(
        "send a request. It will be taken",
        CheckCourse.cut_an_answer,
        lambda course, since: course.outcome("acknowledged", since),
    ),
    CheckTurn(
        "send another request. The Receiver will refuse it",
        lambda course: course.script(verb="refuse", status=422),
        lambda course, since: course.outcome("refused", since),
    ),
    CheckTurn(
        "send a request for validation (2000000904). Its answer comes, and then another one",
        CheckCourse.answer_twice,
        lambda course, since: course.told(since, kind="amended"),
    ),
    CheckTurn(
        "send another request. Nobody will know whether it arrived",
        CheckCourse.lose_answers,
        lambda course, since: course.outcome("unconfirmed", since),
    ),
    CheckTurn(
        "send a request for validation (2000000904). It is taken, and no answer will come",
        lambda course: course.script(verb="never", of="responses"),
        lambda course, since: course.answered_late(since),
    ),
    CheckTurn(
        "send a change (update) of that request. The Receiver refuses it: what it has stands",
        CheckCourse.refuse_a_change,
        lambda course, since: course.told(since, kind="outcome", move="update"),
    ),
    CheckTurn(
        "send another request. It will never leave",
        CheckCourse.lose_tokens,
        lambda course, since: course.outcome("not_sent", since),
    ),
)
