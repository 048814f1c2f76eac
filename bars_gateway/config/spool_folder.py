"""
What lies in a spool folder, and whose it is: the first start of a provider in it writes that down.

    SPOOL/.provider   {"provider": "north", "ods_code": "ZX901"}

    what it says of its owner       what is done at the start of *north*
    nothing: new, or from 1.0.0     it is taken, and marked
    north, ZX901                    goes on
    any other, or nothing legible   refused: somebody may have mounted another provider's

A folder that is mounted in the place of another would hand one organisation's patients to the EPR
of the next. Nothing else tells the two apart: they have the same names in them, and the lock of the
one that is away is nobody's. So name and code have both to be as they were, and a person who has
changed one of them says so by removing the file. No older release looks at it.

Decisions: D-folders, D-providers.
"""

import contextlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from bars_gateway.config.provider import Provider
from bars_gateway.config.values import Flaw
from bars_gateway.frozen import frozen

OWNER_FILE = ".provider"
LOCK_FILE = ".lock"
_OF_MESSAGES = {
    "outbox": ("tmp", "new", "accepted", "refused", "claimed"),
    "inbox": ("tmp", "new"),
}
_OF_QUESTIONS = {
    "questions": ("tmp", "new"),
    "answers": ("tmp", "new", "claimed", "accepted", "refused"),
}
_MAX_BYTES = 4096
_LEGIBLE = re.compile(r"[\w.-]{1,64}", re.ASCII)


def folders_of(provider: Provider) -> Mapping[str, tuple[str, ...]]:
    """Return the folders in its spool folder, and those in each."""
    return {**_OF_MESSAGES, **(_OF_QUESTIONS if provider.questions == "folder" else {})}


@frozen(kw_only=True)
class SpoolOwner:
    """The provider that a spool folder is for."""

    provider: str  # as its table of the settings is called
    ods_code: str

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.provider} (ODS code {self.ods_code})"

    @property
    def written(self) -> bytes:
        """The content of its mark."""
        return json.dumps(asdict(self)).encode() + b"\n"


def is_marked(folder: int) -> bool:
    """Tell whether an open folder says whose it is, legibly or not."""
    try:
        os.stat(OWNER_FILE, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def of_another(folder: int, path: Path, owner: SpoolOwner) -> Flaw | None:
    """Return why the open *folder* at *path* is not *owner*'s; None: it is. Raise OSError."""
    if not is_marked(folder):
        return None
    found = _owner_in(folder)
    if found == owner:
        return None
    whose = f"is the spool folder of {found}" if found else f"has a {OWNER_FILE} that says nothing"
    again = f"remove {path / OWNER_FILE} and start again"
    return Flaw(
        cause=f"names {path}, which {whose}, and not of {owner}",
        cure=f"Mount, or name, the folder of {owner.provider}. If this is to be its folder from now"
        " on (its name or its code has changed, or it is a copy), first see that nothing of"
        f" another's lies in outbox, inbox, questions and answers; then {again}.",
    )


def flaw_at(path: Path, owner: SpoolOwner) -> Flaw | None:
    """Return why the folder at *path* is not *owner*'s; None: it is, or that cannot be seen."""
    with contextlib.suppress(OSError):  # what cannot be opened has flaws of its own
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return of_another(folder, path, owner)
        finally:
            os.close(folder)
    return None


def _owner_in(folder: int) -> SpoolOwner | None:
    """Return whom the mark names; None where it cannot be read as one."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(OWNER_FILE, flags, dir_fd=folder), "rb") as file:
        content = file.read(_MAX_BYTES)
    try:
        written = json.loads(content)
        said = [str(written[name]) for name in ("provider", "ods_code")]
    except (ValueError, LookupError, TypeError):
        return None
    if not all(map(_LEGIBLE.fullmatch, said)):  # it is shown, and anybody may have written it
        return None
    return SpoolOwner(provider=said[0], ods_code=said[1])
