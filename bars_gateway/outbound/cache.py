"""
Keeps what others publish about themselves: CapabilityStatements and MessageDefinitions.

    answer ──keep──► cache/KEY: one line of JSON, then the bytes ──kept──► the same answer

They change with a release and are asked for before every first message, so an answer is
given again for some hours, and never beyond a day. Only what proves to be what was asked for
is kept: junk that is kept would switch a check off for as long. Nothing of a patient is in
them. A file that cannot be read, or lies ahead of the clock, counts as none. Slots are never
kept.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from bars_gateway import permissions
from bars_gateway.frozen import frozen
from bars_gateway.standard.reads import BarsAnswer, BarsRequest, shown

LONGEST = timedelta(hours=24)
_OK = 200
_MEMBERS = {"provider", "resource", "target", "media_type", "kept_at"}


@frozen(kw_only=True)
class CachedAnswer:
    """One answer that is kept, for the operator's list."""

    file: Path
    provider: str
    resource: str
    target: str  # system|value; empty: the proxy's own
    kept_at: datetime
    bytes: int


class Cache:
    """A folder of answers."""

    def __init__(self, folder: Path, lifetime: timedelta) -> None:
        self._folder = folder
        self._lifetime = min(lifetime, LONGEST)

    def find(self, request: BarsRequest, now: datetime) -> BarsAnswer | None:
        """Return the answer that was kept for *request*, or None if there is none or it is old."""
        read = _read(self._file(request))
        if read is None:
            return None
        head, body = read
        kept_at = datetime.fromisoformat(head["kept_at"])
        if not timedelta(0) <= now - kept_at < self._lifetime:
            return None
        answer = BarsAnswer(
            http_status=_OK,
            media_type=head["media_type"],
            body=body,
            headers={},
            kept_since=kept_at,
        )
        return answer if shown(request, answer) else None

    def keep(self, request: BarsRequest, answer: BarsAnswer, now: datetime) -> None:
        """Keep *answer* if it is what was asked for, while keeping is switched on."""
        if not self._lifetime or not shown(request, answer):
            return
        head = {
            "provider": request.provider,
            "resource": request.resource,
            "target": request.target.text if request.target else "",
            "media_type": answer.media_type,
            "kept_at": now.isoformat(),
        }
        self._folder.mkdir(mode=0o700, exist_ok=True)
        file = self._file(request)
        half = file.with_suffix(".half")
        half.write_bytes(json.dumps(head).encode() + b"\n" + answer.body)
        half.replace(file)

    def _file(self, request: BarsRequest) -> Path:
        target = request.target.text if request.target else ""
        key = "\n".join((request.provider, target, request.path, request.headers["Accept"]))
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}.answer"


def listed(folder: Path) -> Iterator[CachedAnswer]:
    """Yield everything that is kept in *folder*, in the order of its files."""
    for file in permissions.files_in(folder, "*.answer"):
        permissions.require(file)
        read = _read(file)
        if read is not None:
            head, body = read
            yield CachedAnswer(
                file=file,
                provider=head["provider"],
                resource=head["resource"],
                target=head["target"],
                kept_at=datetime.fromisoformat(head["kept_at"]),
                bytes=len(body),
            )


def clear(folder: Path, target: str | None) -> int:
    """Forget what is kept, or what is kept of *target*; return how many answers."""
    found = [each for each in listed(folder) if target in {None, each.target}]
    for each in found:
        each.file.unlink(missing_ok=True)
    return len(found)


def _read(file: Path) -> tuple[dict[str, str], bytes] | None:
    try:
        head, _, body = file.read_bytes().partition(b"\n")
        found = json.loads(head)
        if not isinstance(found, dict) or not found.keys() >= _MEMBERS:
            return None
        datetime.fromisoformat(found["kept_at"])
    except (OSError, ValueError, TypeError):
        return None
    return found, body
