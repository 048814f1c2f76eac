"""
What others know of the audit trail: the hash of a line, in a file beside the database or elsewhere.

    head, seal ─► state_dir/audit-heads.jsonl      one line of JSON each, synced, never rewritten
               └► the journal, a backup's report   copied off this machine by whoever keeps logs

    any of these, read again ─► witnesses ─► held against the trail

A text is searched for objects with a `line` and a `hash`, whatever else is on their line: so what
`journalctl` prints is taken as it is.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from bars_gateway.disk import sync_folder
from bars_gateway.model.trail import MOST_LINES, TrailHead, Witness

_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)


def is_hash(text: str) -> bool:
    """Tell whether it is the hash of a line, as it is printed."""
    return _HASH.fullmatch(text) is not None


def keep_head(path: Path, told: Mapping[str, object]) -> None:
    """Add a line to the file of heads; return once it is on disk. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    is_new = not path.exists()
    descriptor = os.open(path, flags, 0o600)
    try:
        # One that a power cut broke off is ended first; an empty line means nothing.
        os.write(descriptor, f"\n{json.dumps(dict(told))}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        sync_folder(path.parent)


def witnesses_in(path: Path, of: str) -> list[Witness]:
    """Return what the file at *path* knows of the trail; raises OSError."""
    text = path.read_text("utf-8", "replace")
    return _dated(list(_witnesses(text, of)))


def last_told(path: Path) -> TrailHead | None:
    """
    Return the last line of which the file at *path* tells; None: of none, or unreadable.

    A failover that lost a line gives its number again: as it was told last, it is there.
    """
    try:
        told = witnesses_in(path, "")
    except OSError:
        return None
    heads = (TrailHead(line=each.line, hash=each.hash) for each in reversed(told) if each.line)
    return max(heads, key=lambda each: each.line, default=None)


def _dated(found: list[Witness]) -> list[Witness]:
    """Let no witness be younger than one below it: then the clock was wrong, and was set back."""
    youngest, dated = None, []
    for each in reversed(found):
        if each.at is not None:
            youngest = each.at if youngest is None else min(youngest, each.at)
            dated.append(replace(each, at=youngest))
        else:
            dated.append(each)
    return dated[::-1]


def _witnesses(text: str, of: str) -> Iterator[Witness]:
    for number, line in enumerate(text.splitlines(), 1):
        begins = line.find("{")
        if begins < 0:
            continue
        try:
            told, _ = json.JSONDecoder().raw_decode(line[begins:])
        except (ValueError, RecursionError):
            continue
        where, hash_ = told.get("line"), told.get("hash")
        if not isinstance(where, int) or not 0 < where <= MOST_LINES:
            continue
        if isinstance(hash_, str) and is_hash(hash_):
            yield Witness(line=where, hash=hash_, of=f"{of}, line {number}", at=_at(told))


def _at(told: Mapping[str, object]) -> datetime | None:
    """Return when the line was there; a seal may be told of much later than its line is from."""
    at = told.get("at", told.get("timestamp"))
    if "day" in told or not isinstance(at, str):
        return None
    try:
        found = datetime.fromisoformat(at)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
