"""
What commands have done beside the gateway: reported to the audit trail, by a file each.

    bars-gateway backup · keys · users · … ─► state_dir/reports/ID.json ─────┐
    the gateway, at its start and every few seconds ◄────────────────────────┘
         └─► a line of the trail, and the id of the report: one transaction ─► the file is removed

A command that opened the database to write would be a second writer beside the gateway. So it says
what it did, and the gateway enters that, at the next start at the latest. Where it dies between
entering and removing, the id is known, and the file is removed alone.

Decisions: D-reports.
"""

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from bars_gateway.disk import put_in_place
from bars_gateway.frozen import frozen
from bars_gateway.ownership import belong
from bars_gateway.store.connection import Connection
from bars_gateway.store.records import THE_GATEWAY, add_event
from bars_gateway.store.rows import text
from bars_gateway.store.work import Noun, writes

_LARGEST = 65_536  # bytes
KEYS_COPIED = "encryption.keys_copied"
# What may be reported: kind of the line ─► what was done.
REPORTED: Mapping[str, str] = {
    "operator.backed_up": "A backup was written.",
    "audit.exported": "Lines of the audit trail were exported.",
    "key.made": "A key was made that signs for access tokens; the gateway does not use it yet.",
    "key.retired": "A key was taken out of the published keys, and its file was put away.",
    "certificate.requested": "A key, and a request for the certificate for receiving, were made.",
    "certificate.installed": "A certificate for receiving was put in place, with its key.",
    "encryption.key_added": "The key ring has another key, by which all is encrypted from now on.",
    KEYS_COPIED: "A copy of the key ring was made.",
    "operator.sought_subject": "Somebody looked up what is held about one person.",
    "nodes.removed": "A node that will never come back was taken out.",
    "users.added": "Somebody may log in to the console.",
    "users.removed": "Somebody may no longer log in to the console.",
    "users.password": "A user of the console was given another password.",
}


@frozen(kw_only=True)
class DoneBeside:
    """What somebody did beside the gateway."""

    path: Path
    kind: str
    detail: Mapping[str, object]  # who, why, which; nothing of a message


def report(folder: Path, kind: str, detail: Mapping[str, object], now: datetime) -> None:
    """Let the trail have it that *kind* was done *now*; return once that is on disk."""
    assert kind in REPORTED
    if not folder.exists():
        folder.mkdir(mode=0o700)
        belong(folder, folder.parent)
    told = json.dumps({"kind": kind, "detail": {**detail, "at": text(now)}})
    put_in_place(folder / f"{uuid.uuid4()}.json", told.encode(), belongs=True)


def reported(folder: Path) -> Iterator[DoneBeside | Path]:
    """Yield the path of each file there that is no report, then what was done, oldest first."""
    found = [(path, _read(path)) for path in sorted(folder.glob("*.json"))]
    yield from (path for path, done in found if done is None)
    yield from sorted(
        (done for _, done in found if done is not None), key=lambda done: str(done.detail.get("at"))
    )


def _read(path: Path) -> DoneBeside | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            told: dict[str, Any] = json.loads(file.read(_LARGEST))
        kind, detail = told["kind"], dict(told["detail"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return DoneBeside(path=path, kind=kind, detail=detail) if kind in REPORTED else None


class Reports(Noun):
    """What was done beside the gateway."""

    @writes
    def enter(self, connection: Connection, done: DoneBeside, now: datetime) -> bool:
        """Add it to the trail, unless it is there; return whether it was added."""
        if not connection.run("note_report", name=done.path.name):
            return False
        add_event(connection, THE_GATEWAY, done.kind, now, done.detail)
        return True
