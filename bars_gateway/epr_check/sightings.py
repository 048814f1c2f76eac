"""
What was seen at the EPR's doors, and when: in seconds since the check began.

    folder_watch ──note_file──┐
    relay ─────────offered, collected, submitted, acted──► EprSightings ──► judging
    the gateway ──learn_notice, learn_question──┘

The gateway says which notices and questions there were; only the doors say what the EPR did with
them. Everything here is remembered, and nothing is judged.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bars_gateway.epr.spool import Sort, sort_of, stem_of
from bars_gateway.frozen import frozen

_OF_A_NOTICE = re.compile(r"(\d{12,18})\.(\w+)\.(?:json|xml)", re.ASCII)
_FATES = {"outbox/accepted": ".receipt.json", "outbox/refused": ".reason.json"}
_WRITTEN_BY_EPR = frozenset({"outbox/new", "answers/new"})
_OF_A_REQUEST = re.compile(r"(\d{12,18})\.request\.(?:json|xml)", re.ASCII)
_LEAVES = frozenset({"renamed out", "removed"})
_GOT = frozenset({"read", "renamed out"})
_BEFORE_THE_LAST = frozenset({"notice", "answer"})  # parts of a notice that are not acted on
_REFUSED = range(400, 500)
# What a notice says that stands for those of a later version; everything else is its model's.
_LATER_NOTICE: Mapping[str, Any] = {
    "kind": "due_soon",
    "means": "The check has made this up: show it to a person as it is, and collect it.",
    "remarks": [],
    "collected_at": None,
    "media_type": None,
    "answer_media_type": None,
}


class FileEvent(StrEnum):
    """What happened to a file."""

    CREATED = "created"
    WRITTEN = "written"
    CLOSED = "closed after writing"
    RENAMED_IN = "renamed in"
    RENAMED_OUT = "renamed out"
    REMOVED = "removed"
    READ = "read"


class Addition(StrEnum):
    """What a later version of the contract may add to a notice."""

    MEMBER = "a member that it does not know"
    KIND = "a kind that it does not know"


class OthersWant(StrEnum):
    """What another organisation asked of the EPR, to see what it decides."""

    SLOTS = "free slots"
    RECORD = "the record that it said yes to"
    PATIENT = "what it has of a patient"
    NOTHING = "a record that nobody has"
    UPDATE = "to change what it has collected"
    SECOND = "a slot that it has given to somebody else"
    IN_XML = "a booking that is written in XML"


@dataclass(slots=True)
class SeenNotice:
    """A notice, and what the EPR did with it."""

    number: int
    document: Mapping[str, Any] = field(default_factory=dict)  # as the gateway tells it
    told_at: float = 0.0  # when it was there for the EPR
    given: list[float] = field(default_factory=list)  # when it lay there, or was in an answer
    taken: list[float] = field(default_factory=list)  # when it was collected; again for a repeat
    read: set[str] = field(default_factory=set)  # of its parts
    lost: set[str] = field(default_factory=set)  # parts that it did away with unread
    lying: set[str] = field(default_factory=set)  # files
    acted_first: bool = False  # the file to act on was taken away before the others
    repeated_at: float | None = None  # when it was given once more, to see what comes of it
    held_at: float | None = None  # from when its collection was held back, for the EPR to crash
    crashed_at: float | None = None  # when a crash before its collection was played
    addition: Addition | None = None  # the check has made it up, to stand for a later version

    @property
    def is_known(self) -> bool:
        """Whether it is of what the EPR has decided itself, and so is never given to it."""
        given = self.given or self.taken
        return not given and self.document.get("collected_at") is not None

    def says(self, **members: object) -> bool:
        """Tell whether its document has all those *members*."""
        return all(self.document.get(name) == value for name, value in members.items())


@dataclass(slots=True)
class SeenQuestion:
    """A question, and what became of it."""

    number: int
    document: Mapping[str, Any]
    in_time: bool | None = None  # None: not answered

    @property
    def is_kept_by_the_epr(self) -> bool:
        """Whether the EPR alone has what it said yes to: no notice comes of that (questions-9)."""
        wants = self.document.get("move") in {"request", "update"}
        return bool(self.in_time and wants and self.document.get("accepted"))


@dataclass(slots=True)
class SeenDrop:
    """A file that the EPR wrote for the gateway."""

    folder: str
    name: str
    at: float
    in_place: bool = False  # written where the gateway may read it half
    fingerprint: str = ""  # SHA-256; empty where it was gone before it could be read


@dataclass(slots=True)
class SeenFate:
    """A receipt or a reason, as a file."""

    name: str
    refused: bool
    at: float
    read: bool = False


@frozen
class SeenSubmission:
    """A message that was posted to the socket."""

    at: float
    fingerprint: str
    http_status: int | None  # None: the answer was cut off, to see what comes of it


@frozen
class SeenRefusedAnswer:
    """An answer to a question that the gateway did not take."""

    question: str  # its number, as the EPR wrote it
    why: str  # the rules and what is wrong, as the EPR was told


@frozen
class SeenReply:
    """What another organisation was told, by the EPR or for it."""

    wants: OthersWant
    request_id: str
    http_status: int | None
    ours: bool = True  # the record that it was given is the one that it asked for


@frozen
class SeenAct:
    """Something that the EPR did about a message, through the socket."""

    at: float
    what: str  # method and path
    names: str  # its body, in which a request_id may stand


class EprSightings:
    """Everything that was seen."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._ended: float | None = None
        self.notices: dict[int, SeenNotice] = {}
        self.questions: dict[int, SeenQuestion] = {}
        self.drops: list[SeenDrop] = []
        self.fates: list[SeenFate] = []
        self.submissions: list[SeenSubmission] = []
        self.acts: list[SeenAct] = []
        self.refused_answers: list[SeenRefusedAnswer] = []
        self.replies: list[SeenReply] = []
        self.requests_read: set[int] = set()  # of questions, by number
        self.asked_at: list[float] = []  # when the check asked for a message
        self.change_asked: tuple[float, float | None] | None = None  # from when until when
        self.built_anew_at: list[float] = []  # when one came that was submitted before (L11)
        self.away: list[tuple[float, float]] = []  # from when until when the gateway was gone
        self.unattended = 0  # who asked and was told that no EPR is there
        self.first_at: float | None = None  # when the EPR was seen first
        self.last_at: float | None = None
        self.restarted_at: float | None = None  # when the gateway was there again
        self._more = asyncio.Event()

    @property
    def seconds(self) -> float:
        """How long ago the check began, or how long it took."""
        now = self._clock() if self._ended is None else self._ended
        return now - self._began

    def is_calm(self) -> bool:
        """Tell whether the EPR has nothing in hand: no notice, and no question."""
        told = [each for each in self.notices.values() if not each.is_known]
        if any(each.held_at is not None and each.crashed_at is None for each in told):
            return False
        return all(len(each.taken) >= max(1, len(each.given)) for each in told) and all(
            each.in_time is not None for each in self.questions.values()
        )

    def open_for(self, since: float, until: float) -> float:
        """Return for how many of these seconds the gateway was there."""
        gone = (min(until, end) - max(since, start) for start, end in self.away)
        return until - since - sum(each for each in gone if each > 0)

    def end(self) -> None:
        """Let the check be over: what it takes to end everything is nobody's time to collect."""
        self._ended = self._clock()

    async def until(self, condition: Callable[[], object]) -> None:
        """Return once *condition* holds: it is looked at whenever something was seen."""
        while not condition():
            await self._more.wait()

    def _tell(self) -> None:
        self._more.set()
        self._more = asyncio.Event()

    def seen(self) -> float:
        """Note that the EPR has done something; return when."""
        now = self.seconds
        if self.first_at is None:
            self.first_at = now
        self.last_at = now
        self._tell()
        return now

    def learn_notice(self, document: Mapping[str, Any]) -> SeenNotice:
        """Remember a notice that the gateway has for the EPR."""
        known = self._numbered(int(document["notice_id"]))
        known.document = document
        self._tell()
        return known

    def learn_question(self, document: Mapping[str, Any]) -> SeenQuestion:
        """Remember a question, or how it was answered."""
        number = int(document["question_id"])
        known = self.questions.setdefault(number, SeenQuestion(number, document))
        known.document = document
        if document["decided_at"] is not None:
            known.in_time = document["decided_at"] <= document["answer_by"]
        self._tell()
        return known

    def question_of(self, request_id: str) -> SeenQuestion | None:
        """Return the question that another organisation's request became, or None."""
        asked = self.questions.values()
        return next((q for q in asked if q.document.get("request_id") == request_id), None)

    def notice(self, **members: object) -> SeenNotice | None:
        """Return the first notice whose document has all those *members*, or None."""
        return next((each for each in self.notices.values() if each.says(**members)), None)

    # By folder.

    def note_file(self, folder: str, name: str, event: FileEvent) -> None:
        """Note what happened to a file that either side may touch."""
        if folder in _WRITTEN_BY_EPR:
            self._note_drop(folder, name, event)
        elif folder in _FATES:
            self._note_fate(folder, name, event)
        elif folder == "inbox/new" and (found := _OF_A_NOTICE.fullmatch(name)):
            self._note_part(self._numbered(int(found[1])), found[2], name, event)
        elif folder == "questions/new" and (asked := _OF_A_REQUEST.fullmatch(name)):
            self.requests_read |= {int(asked[1])} if event in _GOT else set()
        self._tell()

    def _numbered(self, number: int) -> SeenNotice:
        known = self.notices.setdefault(number, SeenNotice(number))
        known.told_at = known.told_at or self.seconds
        return known

    def _note_drop(self, folder: str, name: str, event: FileEvent) -> None:
        if sort_of(name) is Sort.UNFINISHED:
            return
        if event in {FileEvent.CREATED, FileEvent.RENAMED_IN}:
            self.drops.append(SeenDrop(folder, name, self.seen()))
        elif event in {FileEvent.WRITTEN, FileEvent.CLOSED}:
            drop = self.last_drop(folder, name)
            if drop is not None:
                drop.in_place = drop.in_place or event is FileEvent.WRITTEN

    def last_drop(self, folder: str, name: str) -> SeenDrop | None:
        """Return the newest file of that name that the EPR wrote there, or None."""
        named = (each for each in self.drops[::-1] if (each.folder, each.name) == (folder, name))
        return next(named, None)

    def _note_fate(self, folder: str, name: str, event: FileEvent) -> None:
        if not name.endswith(_FATES[folder]):
            return
        if event is FileEvent.RENAMED_IN:
            self.fates.append(SeenFate(name, folder == "outbox/refused", self.seconds))
            return
        fate = next((each for each in self.fates if each.name == name), None)
        if fate is not None and event in {FileEvent.READ, FileEvent.RENAMED_OUT}:
            fate.read = True
            self.seen()

    def _note_part(self, notice: SeenNotice, part: str, name: str, event: FileEvent) -> None:
        if event is FileEvent.RENAMED_IN:
            notice.lying.add(name)
            notice.read.discard(part)
            if part not in _BEFORE_THE_LAST:
                notice.given.append(self.seconds)
            return
        if event is FileEvent.READ:
            notice.read.add(part)
            if self.first_at is None:  # somebody who looks round is no EPR
                return
        if event is FileEvent.REMOVED and part not in notice.read and not notice.taken:
            notice.lost.add(part)
        self.seen()
        if event in _LEAVES:
            notice.lying.discard(name)
            if notice.lying and part not in _BEFORE_THE_LAST:
                notice.acted_first = True
            if not notice.lying and len(notice.taken) < len(notice.given):
                notice.taken.append(self.seconds)

    # By socket.

    def offered(self, document: Mapping[str, Any]) -> None:
        """Note that a notice was in an answer to the EPR."""
        known = self.learn_notice(document)
        if not known.given or (known.taken and len(known.given) == len(known.taken)):
            known.given.append(self.seen())

    def part_read(self, number: int, part: str) -> None:
        """Note that the EPR has got the bytes of a part."""
        self._numbered(number).read.add(part)

    def collected(self, number: int) -> None:
        """Note that the EPR said that it has a notice."""
        known = self._numbered(number)
        known.taken.append(self.seen())
        wanted = {"message"} if known.document.get("kind") in {"message", "amended"} else set()
        if known.document.get("answer_media_type") is not None:
            wanted.add("answer")
        known.lost |= wanted - known.read if len(known.taken) == 1 else set()
        self._tell()

    def held_back(self, number: int) -> SeenNotice:
        """Note that it is not passed on that the EPR has a notice: here it may crash."""
        known = self._numbered(number)
        known.held_at = self.seconds
        self._tell()
        return known

    def crashed(self, notice: SeenNotice) -> None:
        """Note that a crash before *notice* was collected has been played."""
        notice.crashed_at = self.seconds
        self._tell()

    def make_up(self, model: SeenNotice, addition: Addition, number: int) -> SeenNotice:
        """Return a notice that the gateway does not have, about what *model* is about."""
        known = self._numbered(number)
        known.addition = addition
        known.document = {
            **model.document,
            **_LATER_NOTICE,
            "notice_id": number,
            **({"kind": "added_later"} if addition is Addition.KIND else {"added_later": ["…"]}),
        }
        return known

    def told_others(self, reply: SeenReply) -> None:
        """Note what another organisation was told."""
        self.replies.append(reply)
        self._tell()

    def refused_answer(self, question: str, why: str) -> None:
        """Note that an answer of the EPR was not taken, and why."""
        self.refused_answers.append(SeenRefusedAnswer(question, why))
        self._tell()

    def submitted(self, fingerprint: str, http_status: int | None) -> None:
        """Note that a message was posted."""
        self.submissions.append(SeenSubmission(self.seen(), fingerprint, http_status))
        self._tell()

    def acted(self, what: str, names: str) -> None:
        """Note that the EPR did something about a message."""
        self.acts.append(SeenAct(self.seen(), what, names))
        self._tell()

    # Of both doors.

    def handed(self) -> Iterator[tuple[float, str]]:
        """Yield when each message was handed over, and its fingerprint."""
        yield from ((each.at, each.fingerprint) for each in self.submissions)
        yield from ((each.at, each.fingerprint) for each in self.drops if each.fingerprint)

    def refused_fingerprints(self) -> Iterator[str]:
        """Yield the fingerprint of each message that was refused at the door, each time."""
        for each in self.submissions:
            if each.http_status is not None and each.http_status in _REFUSED:
                yield each.fingerprint
        for fate in self.fates:
            if fate.refused:
                stem = fate.name.removesuffix(".reason.json")
                dropped = (each for each in self.drops if stem_of(each.name) == stem)
                yield next((each.fingerprint or each.name for each in dropped), fate.name)
