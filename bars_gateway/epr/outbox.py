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

A file that does not parse may be one that is still being written, by an EPR that does
not rename. It is left alone until it has not changed for a scan, and then refused.

The names of the EPR's files are never logged: some EPRs put patients into them.
"""

import errno
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final

import orjson
import structlog

from bars_gateway.epr.spool import ENVELOPES, Folder, Sheet, Spool, envelope_of, is_message

log = structlog.get_logger(__name__)

BATCH: Final = 32  # files that share a commit in the store
_BATCH_BYTES = 8 * 1024 * 1024  # of bodies in memory at a time
_PAGE = 1024  # names remembered from one listing, oldest first
_ENVELOPE_BYTES = 64 * 1024

_ALONE, _WITH_ENVELOPE, _ENVELOPE, _FATE = "m", "e", "v", "f"
_TICKET = re.compile(r"([^.]+)\.([mevf])\.(.+)")


@dataclass(frozen=True, slots=True)
class Ticket:
    """The name of a file in claimed/: unique, and saying what it is."""

    token: str
    mark: str
    name: str  # as the EPR called it

    @property
    def text(self) -> str:
        """The file's name."""
        return f"{self.token}.{self.mark}.{self.name}"

    def beside(self, mark: str) -> str:
        """Return the name of another file of the same claim."""
        name = envelope_of(self.name) if mark == _ENVELOPE else self.name
        return Ticket(self.token, mark, name).text


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """A message that the EPR dropped, and that is ours now."""

    ticket: Ticket
    body: bytes | None  # None: larger than a message may be
    envelope: bytes | None  # None: there is none
    envelope_lost: bool = False  # there was one, and it can no longer be read


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
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
        new_id: Callable[[], str],
        max_bytes: int,
        settle_seconds: float,
    ) -> None:
        self._spool = spool
        self._monotonic = monotonic  # a step of the wall clock must not make a file look finished
        self._new_id = new_id
        self._max_bytes = max_bytes
        self._settle_seconds = settle_seconds  # how long a file that does not parse must not change
        self._page: deque[str] = deque()
        self._watched: dict[str, tuple[tuple[int, int], float]] = {}
        self._unreadable: set[str] = set()
        self._ignored = 0
        self._numbers: dict[tuple[str, str], int] = {}

    def take(self) -> list[Drop]:
        """Return the next few messages, oldest first; what a crash or trouble left comes first."""
        spool = self._spool
        for folder in (spool.new, spool.claimed, spool.accepted, spool.refused):
            folder.refresh()
        drops: list[Drop] = []
        size = 0
        for drop in self._claims():
            drops.append(drop)
            size += len(drop.body or b"")
            if len(drops) >= BATCH or size >= _BATCH_BYTES:
                break
        return drops

    def finish(self, fates: Sequence[Fate]) -> None:
        """Put each message and its document where the EPR looks, on disk when this returns."""
        claimed = self._spool.claimed
        for fate in fates:
            claimed.write(fate.drop.ticket.beside(_FATE), fate.document)
        claimed.flush([fate.drop.ticket.beside(_FATE) for fate in fates])
        for fate in fates:
            self._place(fate)
        for folder in {self._folder(fate) for fate in fates}:
            folder.sync()

    def _claims(self) -> Iterator[Drop]:
        yield from self._leftovers()
        if not self._page:
            self._list()
        while self._page:
            drop = self._claim(self._page.popleft())
            if drop is not None:
                yield drop

    def _leftovers(self) -> Iterator[Drop]:
        names = [name for _, name in sorted(self._spool.claimed.files())]
        tickets = [Ticket(*found.groups()) for name in names if (found := _TICKET.fullmatch(name))]
        messages = [ticket for ticket in tickets if ticket.mark in {_ALONE, _WITH_ENVELOPE}]
        tokens = {ticket.token for ticket in messages}
        for ticket in tickets:
            if ticket.token not in tokens:  # its message is in its final place
                self._spool.claimed.remove(ticket.text)
        for ticket in messages:
            drop = self._read(ticket)
            if drop is not None:
                yield drop

    def _list(self) -> None:
        others = 0

        def messages() -> Iterator[tuple[tuple[int, str], str]]:
            nonlocal others
            for item in self._spool.new.files():
                if is_message(item[1]):
                    yield item
                elif not item[1].startswith(".") and not item[1].endswith((".tmp", ENVELOPES)):
                    others += 1

        names = [name for _, name in nsmallest(_PAGE, messages())]
        self._page.extend(names)
        self._watched = {name: self._watched[name] for name in names if name in self._watched}
        if others > self._ignored:
            log.warning("epr.files_ignored", count=others, path=str(self._spool.new.path))
        self._ignored = others

    def _claim(self, name: str) -> Drop | None:
        new = self._spool.new
        try:
            sheet = new.read(name, self._max_bytes)
            if not self._is_whole(name, sheet):
                return None
            mark = _WITH_ENVELOPE if new.has(envelope_of(name)) else _ALONE
            ticket = Ticket(self._new_id(), mark, name)
            new.move(name, self._spool.claimed, ticket.text)
        except FileNotFoundError:  # the EPR took it back
            return None
        except OSError as error:
            self._leave(name, error)
            return None
        return self._read(ticket, sheet)

    def _is_whole(self, name: str, sheet: Sheet) -> bool:
        if sheet.body is None or not name.endswith(".json") or _parses(sheet.body):
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
        except OSError as error:
            self._leave(ticket.text, error)
            return None
        envelope = self._envelope(ticket) if ticket.mark == _WITH_ENVELOPE else None
        return Drop(
            ticket=ticket,
            body=sheet.body,
            envelope=envelope,
            envelope_lost=ticket.mark == _WITH_ENVELOPE and envelope is None,
        )

    def _envelope(self, ticket: Ticket) -> bytes | None:
        claimed, own = self._spool.claimed, ticket.beside(_ENVELOPE)
        try:
            if not claimed.has(own):
                self._spool.new.move(envelope_of(ticket.name), claimed, own)
            return claimed.read(own, _ENVELOPE_BYTES).body
        except OSError:
            return None

    def _leave(self, name: str, error: OSError) -> None:
        """Say once that a file cannot be read; the next scan tries again."""
        if name not in self._unreadable:
            self._unreadable.add(name)
            reason = errno.errorcode.get(error.errno or 0, "not a regular file")
            log.warning("epr.file_unreadable", path=str(self._spool.new.path), reason=reason)

    def _folder(self, fate: Fate) -> Folder:
        return self._spool.accepted if fate.accepted else self._spool.refused

    def _place(self, fate: Fate) -> None:
        claimed, folder, ticket = self._spool.claimed, self._folder(fate), fate.drop.ticket
        stem, extension, suffix = self._free_name(fate)
        claimed.move(ticket.beside(_FATE), folder, stem + suffix)
        claimed.move(ticket.text, folder, f"{stem}.{extension}")
        if claimed.has(ticket.beside(_ENVELOPE)):
            claimed.move(ticket.beside(_ENVELOPE), folder, stem + ENVELOPES)

    def _free_name(self, fate: Fate) -> tuple[str, str, str]:
        """Return the first of NAME, NAME.2, NAME.3 … under which nothing would be replaced."""
        folder = self._folder(fate)
        stem, _, extension = fate.drop.ticket.name.rpartition(".")
        suffix = ".receipt.json" if fate.accepted else ".reason.json"
        key = (suffix, stem)
        number = self._numbers.get(key, 1)
        while True:
            name = stem if number == 1 else f"{stem}.{number}"
            if not folder.has(f"{name}.{extension}") and self._may_write(
                folder, name + suffix, fate.document
            ):
                break
            number += 1
        if number > 1:
            self._numbers[key] = number
        return name, extension, suffix

    def _may_write(self, folder: Folder, name: str, document: bytes) -> bool:
        """Tell whether the name is free, or a crash left this very document there."""
        return not folder.has(name) or folder.read(name, len(document)).body == document


def _parses(body: bytes) -> bool:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True
