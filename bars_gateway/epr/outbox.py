"""
Takes files out of outbox/new and puts each where the EPR finds its fate.

    new/NAME.json ──claim──► claimed/TICKET ──┬─► accepted/NAME.json + NAME.receipt.json
                                              └─► refused/NAME.json  + NAME.reason.json

A claim is a rename to a name of ours that was never used before, so nothing can be
replaced by it. The message is renamed first and its envelope second, and the message's
ticket says whether there is one: whatever moment we die at, the next start knows what
belongs together. What lies in claimed/ is taken up again before anything new; the
store knows the bytes and gives the same receipt. The fate is written before the
message is moved beside it, under the same name however often that happens.

A file may be what we died of. So what lies in claimed/ at a start is worked on alone, one by
one, and bears a mark meanwhile: a capital letter in its ticket, on disk before the work begins.
One that bears it already at a start is not tried a third time: it is refused, to be dropped
again, which costs nothing where it was innocent. The mark goes where the work ends otherwise.

A file that does not parse may be one that is still being written, by an EPR that does
not rename. It is left alone until it has not changed for a scan, and then refused. What is
named like nothing that is sent, and an envelope whose message does not come, are refused
after a minute. What cannot be taken at all is counted, with its cause (`StuckFiles`).

On a share another program (a virus scanner) may have a file open that is ours already, so that
nobody can move or remove it. It is put off until it is closed, and worked on behind all others.

An envelope may come too late for its message, and would then attach to the next one of that
name. So where a name was used a moment ago, an envelope and the next message are set aside,
unless the envelope says which message it means (`Stems`).

The names of the EPR's files are never logged: some EPRs put patients into them.
"""

import contextlib
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from heapq import nsmallest
from typing import Final, TypeVar
from xml.parsers import expat

import orjson
import structlog

from bars_gateway.epr.folders import Folder, FolderEntry, Sheet, is_open_elsewhere
from bars_gateway.epr.spool import (
    CUT,
    ENVELOPES,
    Cause,
    Sort,
    Spool,
    Stems,
    Stuck,
    StuckFiles,
    is_told,
    is_xml,
    kept,
    numbered,
    sort_of,
    split,
    stem_of,
)
from bars_gateway.frozen import frozen
from bars_gateway.standard.tree import unmarked

log = structlog.get_logger(__name__)

T = TypeVar("T")

BATCH: Final = 32  # files that share a commit in the store
_BATCH_BYTES = 8 * 1024 * 1024  # of bodies in memory at a time
_PAGE = 1024  # names remembered from one listing, oldest first
_ENVELOPE_BYTES = 64 * 1024
PATIENCE_SECONDS: Final = 60.0  # for the message of an envelope, and for a better name
_UNFINISHED_SECONDS = 600.0  # until somebody hears of a file that never gets its final name
_TICKET = re.compile(r"([^.]+)\.([a-zA-Z])\.(.+)", re.DOTALL)


class Mark(StrEnum):
    """What a file in claimed/ is."""

    ALONE = "m"  # a message without an envelope
    WITH_ENVELOPE = "e"
    REUSED = "r"  # a message whose name was used a moment ago
    REUSED_WITH_ENVELOPE = "s"
    NO_MESSAGE = "n"  # an envelope for which none came
    LATE = "l"  # an envelope of a name that was used a moment ago
    NO_KIND = "k"  # named like nothing that is sent
    ENVELOPE = "v"
    FATE = "f"


_DROPPED = frozenset(Mark) - {Mark.ENVELOPE, Mark.FATE}
_ENVELOPED = frozenset({Mark.WITH_ENVELOPE, Mark.REUSED_WITH_ENVELOPE})


@frozen
class Ticket:
    """The name of a file in claimed/: unique, and saying what it is."""

    token: str
    mark: Mark
    name: str  # as the EPR called it, if that is not too long
    tried: bool = False  # it was left over, and is worked on alone

    @property
    def text(self) -> str:
        """The file's name."""
        letter = self.mark.upper() if self.tried else self.mark.value
        return f"{self.token}.{letter}.{self.name}"

    def beside(self, mark: Mark) -> str:
        """Return the name of another file of the same claim."""
        name = stem_of(self.name) + ENVELOPES if mark is Mark.ENVELOPE else self.name
        return Ticket(self.token, mark, name).text


@frozen(kw_only=True)
class Drop:
    """A message that the EPR dropped, and that is ours now."""

    ticket: Ticket
    body: bytes | None  # None: larger than a message may be
    envelope: bytes | None  # None: there is none
    envelope_lost: bool = False  # there was one, and it can no longer be read
    ended_us: bool = False  # we died twice while we worked on it


@frozen(kw_only=True)
class DropOutcome:
    """What became of a drop, and the document that tells the EPR."""

    drop: Drop
    accepted: bool
    document: bytes


class Outbox:
    """The outgoing half of a spool folder. Every method blocks."""

    def __init__(
        self,
        spool: Spool,
        *,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
        new_id: Callable[[], str],
        max_bytes: int,
        settle_seconds: float,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._spool = spool
        self._monotonic = monotonic  # a step of the wall clock must not make a file look finished
        self._new_id = new_id
        self._max_bytes = max_bytes
        self._settle_seconds = settle_seconds  # how long a file that does not parse must not change
        self._patience_seconds = patience_seconds
        self._stems = Stems(spool.claimed, now=wall)
        self._page: deque[tuple[str, Mark]] = deque()
        self._watched: dict[str, tuple[tuple[int, int], float]] = {}
        self._waiting: dict[str, float] = {}  # what is not a message, and since when
        self._stuck = StuckFiles(spool.new, spool.claimed, wall=wall)
        self._numbers: dict[tuple[str, str], int] = {}
        self._left_over: frozenset[str] | None = None  # what lay there at the start, by token
        self._held: set[str] = set()  # tokens of what another program has open, in claimed/
        self._beside: dict[str, tuple[Folder, str]] = {}  # where envelopes in claimed/ are to lie
        self._failing: set[str] = set()  # files that nobody can finish before the next start
        self._failures: list[Exception] = []

    @property
    def stuck(self) -> Sequence[Stuck]:
        """What cannot be taken, by cause and folder."""
        return self._stuck.by_cause

    def take(self) -> list[Drop]:
        """Return the next few messages, oldest first; what a crash or trouble left comes first."""
        spool = self._spool
        spool.require_in_place()
        for folder in (spool.new, spool.claimed, spool.accepted, spool.refused):
            folder.refresh()
        first = self._left_at_the_start()
        if first is not None:
            return [first]
        drops: list[Drop] = []
        size = 0
        for drop in self._claims():
            drops.append(drop)
            size += len(drop.body or b"")
            if len(drops) >= BATCH or size >= _BATCH_BYTES:
                break
        self._stems.note(stem_of(drop.ticket.name) for drop in drops if drop.ticket.mark in _TAKEN)
        return drops

    def leave(self, drop: Drop) -> None:
        """Take the mark from a file that has no fate yet: it was not what ended us."""
        if drop.ticket.tried:
            plain = replace(drop.ticket, tried=False)
            with self._unless_open_elsewhere(drop.ticket):
                self._spool.claimed.move(drop.ticket.text, self._spool.claimed, plain.text)

    def failures(self) -> Sequence[Exception]:
        """Return what nobody foresaw since the last time: each about a file that is left lying."""
        found, self._failures = self._failures, []
        return found

    def finish(self, fates: Sequence[DropOutcome]) -> int:
        """
        Put each message and its document where the EPR looks, on disk when this returns.

        Return how many are there now: what another program has open waits for a later look.
        """
        written = self._flushed([fate for fate in fates if self._done(self._write, fate)])
        placed = [fate for fate in written if self._done(self._place, fate)]
        for folder in {self._folder(fate) for fate in placed}:
            folder.sync()
        return len(placed)

    def _done(self, step: Callable[[DropOutcome], bool], fate: DropOutcome) -> bool:
        ticket = fate.drop.ticket
        with self._unless_open_elsewhere(ticket):
            return bool(self._try(ticket.token, step, fate))
        return False

    def _write(self, fate: DropOutcome) -> bool:
        self._spool.claimed.write(fate.drop.ticket.beside(Mark.FATE), fate.document)
        return True

    def _flushed(self, fates: Sequence[DropOutcome]) -> Sequence[DropOutcome]:
        """Put what was written on disk; return those of which it is."""
        try:
            self._spool.claimed.flush([fate.drop.ticket.beside(Mark.FATE) for fate in fates])
        except OSError as error:
            if not is_open_elsewhere(error):
                raise
            return [fate for fate in fates if self._done(self._flush, fate)]
        return fates

    def _flush(self, fate: DropOutcome) -> bool:
        self._spool.claimed.flush([fate.drop.ticket.beside(Mark.FATE)])
        return True

    @contextlib.contextmanager
    def _unless_open_elsewhere(self, ticket: Ticket) -> Iterator[None]:
        """Put off what another program has open: no other file waits for it."""
        try:
            yield
        except OSError as error:
            if not is_open_elsewhere(error):
                raise
            self._held.add(ticket.token)
            self._stuck.note(ticket.text, Cause.OPEN_ELSEWHERE)
            if self._left_over:
                # It did not end us: left over still, its next try would count as the third.
                self._left_over -= {ticket.token}

    def _try(self, name: str, work: Callable[..., T], *arguments: object) -> T | None:
        """Do something with one file; where that fails in a way that nobody foresaw, leave it."""
        if name in self._failing:
            return None
        try:
            return work(*arguments)
        except OSError:
            raise  # of a folder or a disk, more often than of one file
        except Exception as error:  # unit of work
            self._failing.add(name)
            self._failures.append(error)
            self._stuck.note(name, Cause.FAILING)
            return None

    def _left_at_the_start(self) -> Drop | None:
        """Return the first of what lay there at the start, marked; it is to be worked on alone."""
        tickets = self._messages()
        if self._left_over is None:
            self._left_over = frozenset(ticket.token for ticket in tickets)
        for ticket in tickets:
            if ticket.token in self._left_over:
                with self._unless_open_elsewhere(ticket):
                    drop = self._try(ticket.token, self._second_try, ticket)
                    if drop is not None:
                        return drop
        self._left_over = frozenset()
        return None

    def _second_try(self, ticket: Ticket) -> Drop | None:
        claimed = self._spool.claimed
        left = self._read(ticket)
        if left is None or (ticket.tried and not claimed.has(ticket.beside(Mark.FATE))):
            return left and replace(left, ended_us=True)
        marked = replace(ticket, tried=True)
        claimed.move(ticket.text, claimed, marked.text)
        claimed.sync()
        return replace(left, ticket=marked)

    def _claims(self) -> Iterator[Drop]:
        tickets = self._messages()
        self._held &= {ticket.token for ticket in tickets}
        held = frozenset(self._held)
        yield from self._read_again(each for each in tickets if each.token not in held)
        if not self._page:
            self._list()
        while self._page:
            name, mark = self._page.popleft()
            drop = self._try(name, self._claim, name, mark)
            if drop is not None:
                yield drop
        yield from self._read_again(each for each in tickets if each.token in held)

    def _read_again(self, tickets: Iterable[Ticket]) -> Iterator[Drop]:
        for ticket in tickets:
            drop = self._try(ticket.token, self._read, ticket)
            if drop is not None:
                yield drop

    def _messages(self) -> list[Ticket]:
        """Return what lies in claimed/, oldest first, without what belongs to none any more."""
        names = [name for _, name in sorted(self._spool.claimed.files())]
        tickets = [ticket for name in names if (ticket := _ticket(name)) is not None]
        messages = [ticket for ticket in tickets if ticket.mark in _DROPPED]
        tokens = {ticket.token for ticket in messages}
        for ticket in tickets:
            if ticket.token not in tokens:  # its message is in its final place
                with self._unless_open_elsewhere(ticket):
                    self._clear(ticket.text)
        return messages

    def _clear(self, name: str) -> None:
        """Lay an envelope beside its message, which went ahead; remove all else that was left."""
        folder, beside = self._beside.get(name, (None, ""))
        if folder is None or folder.has(beside):  # of a later message, by now
            self._spool.claimed.remove(name)
        else:
            self._spool.claimed.move(name, folder, beside)
            folder.sync()
        self._beside.pop(name, None)

    def _list(self) -> None:
        entries = list(self._spool.new.entries())
        names = {entry.name for entry in entries}
        claimed = {entry.name for entry in self._spool.claimed.entries()}
        self._stuck.keep(names | claimed | self._failing)
        for known in (self._watched, self._waiting):
            for name in known.keys() - names:
                del known[name]
        stems = {stem_of(name) for name in names if sort_of(name) is Sort.MESSAGE}
        found = (self._try(entry.name, self._due, entry, stems) for entry in entries)
        due = [item for item in found if item is not None]
        self._page.extend((entry.name, mark) for entry, mark in nsmallest(_PAGE, due))

    def _due(self, entry: FolderEntry, stems: Collection[str]) -> tuple[FolderEntry, Mark] | None:
        """Return as what *entry* is to be claimed now, if it is; *stems* are those of messages."""
        sort = sort_of(entry.name)
        if not entry.is_regular:
            if is_told(entry.name):
                self._stuck.note(entry.name, Cause.IRREGULAR)
            return None
        if sort is Sort.MESSAGE:
            return entry, Mark.ALONE
        waited = self._waited(entry.name)
        if sort is Sort.ENVELOPE:
            mark = self._mark_of_stray(entry.name, waited, stems)
            return None if mark is None else (entry, mark)
        if sort is Sort.OTHER:
            return (entry, Mark.NO_KIND) if waited >= self._patience_seconds else None
        if waited >= _UNFINISHED_SECONDS and is_told(entry.name):
            self._stuck.note(entry.name, Cause.UNFINISHED)
        return None

    def _mark_of_stray(self, name: str, waited: float, stems: Collection[str]) -> Mark | None:
        """Return as what an envelope is to be claimed whose message is not there."""
        stem = stem_of(name)
        if stem in stems:
            return None
        if self._stems.is_used(stem) and not self._names_its_message(name):
            return Mark.LATE
        return Mark.NO_MESSAGE if waited >= self._patience_seconds else None

    def _waited(self, name: str) -> float:
        return self._monotonic() - self._waiting.setdefault(name, self._monotonic())

    def _claim(self, name: str, mark: Mark) -> Drop | None:
        new = self._spool.new
        try:
            sheet = new.read(name, self._max_bytes)
            if mark is Mark.ALONE:
                if not self._is_whole(name, sheet):
                    return None
                mark = self._mark_of(name)
            ticket = Ticket(self._new_id(), mark, kept(name))
            stem = stem_of(ticket.name)
            if mark is Mark.LATE:
                self._stems.bar(stem)
            new.move(name, self._spool.claimed, ticket.text)
            if mark in _OF_REUSED:  # once it is claimed as that: until then the name stays barred
                self._stems.free(stem)
        except FileNotFoundError:  # the EPR took it back
            return None
        except OSError as error:
            self._stuck.unreadable(name, error)
            return None
        self._stuck.taken(name)
        return self._read(ticket, sheet)

    def _mark_of(self, name: str) -> Mark:
        """Return what the message is: with an envelope or without, of a name that may be used."""
        stem = stem_of(name)
        envelope = self._envelope_in_new(stem)
        suspect = self._stems.is_barred(stem) or (
            envelope is not None and self._stems.is_used(stem)
        )
        if suspect and not (envelope is not None and self._names_its_message(envelope)):
            return Mark.REUSED if envelope is None else Mark.REUSED_WITH_ENVELOPE
        return Mark.ALONE if envelope is None else Mark.WITH_ENVELOPE

    def _names_its_message(self, envelope: str) -> bool:
        """Tell whether an envelope in new/ says which message it means."""
        try:
            said = orjson.loads(
                unmarked(self._spool.new.read(envelope, _ENVELOPE_BYTES).body or b"")
            )
        except (OSError, orjson.JSONDecodeError):
            return False
        return isinstance(said, dict) and bool({"bundle_id", "sha256"} & said.keys())

    def _envelope_in_new(self, stem: str) -> str | None:
        """Return what the envelope of messages called *stem* is called, if there is one."""
        for name in (stem + ENVELOPES, stem + ENVELOPES.upper()):
            if self._spool.new.has(name):
                return name
        if CUT not in stem:
            return None
        names = (name for _, name in self._spool.new.files() if sort_of(name) is Sort.ENVELOPE)
        return next((name for name in names if stem_of(name) == stem), None)

    def _is_whole(self, name: str, sheet: Sheet) -> bool:
        if sheet.body is None or _parses(sheet.body, name):
            self._watched.pop(name, None)
            return True
        stamp, since = self._watched.get(name, (None, self._monotonic()))
        if stamp != sheet.stamp:
            self._watched[name] = (sheet.stamp, self._monotonic())
            return False
        return self._monotonic() - since >= self._settle_seconds

    def _read(self, ticket: Ticket, sheet: Sheet | None = None) -> Drop | None:
        claimed = self._spool.claimed
        try:
            if sheet is None or sheet.inode != claimed.inode(ticket.text):
                sheet = claimed.read(ticket.text, self._max_bytes)
            has_one = ticket.mark in _ENVELOPED
            envelope = self._envelope(ticket) if has_one else None
        except OSError as error:
            self._stuck.unreadable(ticket.text, error)
            return None
        return Drop(
            ticket=ticket,
            body=sheet.body,
            envelope=envelope,
            envelope_lost=has_one and envelope is None,
        )

    def _envelope(self, ticket: Ticket) -> bytes | None:
        claimed, own = self._spool.claimed, ticket.beside(Mark.ENVELOPE)
        try:
            if not claimed.has(own):
                name = self._envelope_in_new(stem_of(ticket.name))
                if name is None:
                    return None
                self._spool.new.move(name, claimed, own)
            return claimed.read(own, _ENVELOPE_BYTES).body
        except OSError as error:
            if is_open_elsewhere(error):  # it is there, and can be read once it is closed
                raise
            return None

    def _folder(self, fate: DropOutcome) -> Folder:
        return self._spool.accepted if fate.accepted else self._spool.refused

    def _place(self, fate: DropOutcome) -> bool:
        """Put the message where the EPR looks, and its document beside it."""
        claimed, folder, ticket = self._spool.claimed, self._folder(fate), fate.drop.ticket
        stem, ending, suffix = self._free_name(fate)
        claimed.move(ticket.beside(Mark.FATE), folder, stem + suffix)
        claimed.move(ticket.text, folder, stem + ending)
        envelope = ticket.beside(Mark.ENVELOPE)
        if ticket.mark in _ENVELOPED and claimed.has(envelope):
            with self._unless_open_elsewhere(ticket):
                self._beside[envelope] = folder, stem + ENVELOPES
                claimed.move(envelope, folder, stem + ENVELOPES)
                del self._beside[envelope]
        return True

    def _free_name(self, fate: DropOutcome) -> tuple[str, str, str]:
        """
        Return the first of NAME, NAME.2, NAME.3 … under which nothing would be replaced.

        A move's are NAME.move, NAME.2.move …: what comes of it is told by its ending.
        """
        folder = self._folder(fate)
        ticket = fate.drop.ticket
        stem, ending = split(ticket.name)
        if ticket.mark in _STRAY:  # an envelope by itself: its message may lie there, too
            stem, ending = stem + ENVELOPES.removesuffix(".json"), ".json"
        suffix = ".receipt.json" if fate.accepted else ".reason.json"
        key = (suffix, stem)
        number = self._numbers.get(key, 1)
        while True:
            name = numbered(stem, number)
            if not folder.has(name + ending) and folder.may_write(name + suffix, fate.document):
                break
            number += 1
        if number > 1:
            self._numbers[key] = number
        return name, ending, suffix


_STRAY = frozenset({Mark.NO_MESSAGE, Mark.LATE})
_OF_REUSED = frozenset({Mark.REUSED, Mark.REUSED_WITH_ENVELOPE})
_TAKEN = frozenset({Mark.ALONE, Mark.WITH_ENVELOPE}) | _OF_REUSED


def _ticket(name: str) -> Ticket | None:
    found = _TICKET.fullmatch(name)
    if found is None or found[2].lower() not in set(Mark):
        return None
    return Ticket(found[1], Mark(found[2].lower()), found[3], tried=found[2].isupper())


def _parses(body: bytes, name: str) -> bool:
    try:
        if is_xml(name):
            expat.ParserCreate().Parse(body, True)
        else:
            orjson.loads(unmarked(body))
    except (orjson.JSONDecodeError, expat.ExpatError):
        return False
    return True
