"""
Lines of the audit trail for somebody else, who can see without us that they are as they were.

    chosen lines ─► the days that they are in, each from seal to seal
                      ├─ chosen: the whole line, and its hash
                      └─ not chosen: its digest and its hash, and nothing of what it says

Each such stretch begins with the hash before it and ends with one that a seal tells: the journal
has that, too. What is between is computed again by whoever wants to (`docs/records.md`).
"""

import json
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bars_gateway.frozen import frozen
from bars_gateway.model.numbers import number_in
from bars_gateway.model.readings import SubjectHeld
from bars_gateway.store.audit import EVER, NEVER
from bars_gateway.store.chain import COLUMNS, STEP, beginning, digest_of_line, hash_at, seals
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.rows import text

_MOST_SEALS = 100_000  # more than there are days in two centuries
_END = 2**63 - 1
Record = Mapping[str, object]


@frozen(kw_only=True)
class WantedLines:
    """Which lines of the trail: all that is given has to fit."""

    since: datetime = EVER
    until: datetime = NEVER  # before that moment
    provider: str | None = None
    actor: str | None = (
        None  # as they called themselves, or logged in; without what they became then
    )
    kind: str | None = None  # message.refused, or all of message, operator, …
    of: Collection[str] | None = None  # X-Request-Ids, Bundle.ids, numbers; None: of any
    about: Sequence[SubjectHeld] | None = None  # what names one person; None: whoever it names


@dataclass(slots=True)
class Export:
    """What is to be exported, and how far it is; `choose`, then `records`, step by step."""

    wanted: WantedLines
    bounds: Sequence[int] = ()  # where a seal ends a stretch
    begun: bool = False
    reached: int = 0
    chosen: int = 0  # lines
    stretches: list[int] = field(default_factory=list)  # which of them have a chosen line
    names: frozenset[str] = frozenset()
    numbers: frozenset[int] = frozenset()
    about: frozenset[object] = frozenset()  # numbers of messages; provider and X-Request-Id
    at: int = -1  # the stretch that is being written


def choose(connection: Connection, export: Export) -> bool:
    """Look through the next lines for those that are wanted; return whether there are more."""
    if not export.begun:
        _begin(connection, export)
    rows = connection.rows("trail_lines", after=export.reached, limit=STEP)
    for row in rows:
        if _fits(export, row):
            stretch = bisect_left(export.bounds, row["line"])
            if stretch not in export.stretches[-1:]:
                export.stretches.append(stretch)
            export.chosen += 1
    export.reached = rows[-1]["line"] if rows else export.reached
    return len(rows) == STEP


def records(connection: Connection, export: Export) -> list[Record] | None:
    """Return the next records of the stretches that have a chosen line; None: that was all."""
    found: list[Record] = []
    if export.at < 0 or export.reached >= _until(export, export.stretches[export.at]):
        if export.at + 1 >= len(export.stretches):
            return None
        export.at += 1
        found.append(_beginning(connection, export))
    until = _until(export, export.stretches[export.at])
    rows = connection.rows("trail_lines", after=export.reached, limit=STEP)
    within = [row for row in rows if row["line"] <= until]
    found += [_record(export, row) for row in within]
    export.reached = within[-1]["line"] if within else until
    if len(within) < STEP:
        export.reached = until
    return found


def _begin(connection: Connection, export: Export) -> None:
    export.begun = True
    export.bounds = sorted(each.through for each in seals(connection, limit=_MOST_SEALS))
    names = {name for each in export.wanted.of or () for name in (each, each.lower())}
    found = {
        row["id"]: row["request_id"]
        for name in names
        for row in connection.rows("messages_meant", name=name, number=number_in(name) or 0)
    }
    export.numbers = frozenset(found)
    export.names = frozenset(names | set(found.values()))
    export.about = frozenset(
        each.number if each.kind == "message" else (each.provider, each.request_id)
        for each in export.wanted.about or ()
    )


def _until(export: Export, stretch: int) -> int:
    return export.bounds[stretch] if stretch < len(export.bounds) else _END


def _beginning(connection: Connection, export: Export) -> Record:
    stretch = export.stretches[export.at]
    if not stretch:
        export.reached, hash_ = beginning(connection)
    else:
        export.reached = export.bounds[stretch - 1]
        hash_ = hash_at(connection, export.reached) or ""
    return {"after": export.reached, "hash": hash_}


def _fits(export: Export, row: Row) -> bool:
    wanted, at = export.wanted, _text(row["at"]) or ""
    if not text(wanted.since) <= at < text(wanted.until):
        return False
    if wanted.provider is not None and wanted.provider != _text(row["provider"]):
        return False
    request_id = _text(row["request_id"])
    if wanted.of is not None and not (
        row["message_id"] in export.numbers or request_id in export.names
    ):
        return False
    if wanted.about is not None and not (
        {row["message_id"], (_text(row["provider"]), request_id)} & export.about
    ):
        return False
    kind = _text(row["kind"]) or ""
    of_kind = wanted.kind is None or kind == wanted.kind or kind.startswith(f"{wanted.kind}.")
    return of_kind and (wanted.actor is None or _is_by(row, wanted.actor))


def _is_by(row: Row, actor: str) -> bool:
    try:
        who = json.loads(row["detail"]).get("who")
    except ValueError:  # a disk has spoilt it
        return False
    known_as = (f"{actor} (", f"{actor} as ")
    return isinstance(who, str) and (who == actor or who.startswith(known_as))


def _text(stored: bytes | None) -> str | None:
    return None if stored is None else stored.decode("utf-8", "replace")


def _record(export: Export, row: Row) -> Record:
    values = {
        name: _text(row[name]) if isinstance(row[name], bytes) else row[name] for name in COLUMNS
    }
    if _fits(export, row):
        return {**values, "hash": _text(row["hash"])}
    digest = digest_of_line(list(values.values()))
    return {"line": row["line"], "digest": digest, "hash": _text(row["hash"])}
