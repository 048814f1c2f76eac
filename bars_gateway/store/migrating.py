"""
Which schemas there are, and how one is told from another of the same number.

What was released never changes: a later schema is a file more. Only a build that nobody released
can have made another one under a number; nothing here knows what it lacks, and a gateway that began
to work on it would fail in the middle of a message.
"""

import hashlib
import re
from collections.abc import Mapping
from importlib import resources

from bars_gateway import __version__
from bars_gateway.errors import DatabaseNewer, DatabaseUnfit

# Where an engine's are in this package. Nobody needs its driver to read them: the trail is held
# against both.
SQLITE = "migrations"
POSTGRESQL = "postgresql/migrations"
# What a database says of the last gateway that began to work on it. A later schema may lack this.
LAST_START = "SELECT detail FROM events WHERE kind = 'gateway.started' ORDER BY id DESC LIMIT 1"
_VERSION = re.compile(r'"version": ?"([0-9][0-9A-Za-z.+-]{0,30})')


def migrations(engine: str) -> Mapping[int, str]:
    """Return the text of each migration of *engine* (SQLITE, POSTGRESQL), by its number."""
    folder = resources.files("bars_gateway.store") / engine
    return {
        int(file.name.removesuffix(".sql")): file.read_text("utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    }


def newest(engine: str) -> int:
    """Return the number of the last migration that this release knows."""
    return max(migrations(engine))


def told_apart(known: Mapping[int, str], version: int) -> int:
    """Return what a database of schema *version* has to say of itself: 31 bits of a SHA-256."""
    made = "\0".join(known[number] for number in sorted(known) if number <= version)
    return int.from_bytes(hashlib.sha256(made.encode()).digest()[:4], "big") >> 1


def unreleased(name: str) -> DatabaseUnfit:
    """Return what is said of a database that no release has made."""
    return DatabaseUnfit(
        f"{name} was made by a build that was never released: its schema is another one",
        "Let that build send what waits and give its EPR what is left. Then stop it, keep the"
        " database, and begin with an empty one in its place.",
    )


def later(engine: str, name: str, schema: int, last_start: str | None) -> DatabaseNewer:
    """
    Return what is said of a database that a later release has written.

    *last_start* is what LAST_START finds there, which names that release; None: nothing.
    """
    written_by = _VERSION.search(last_start or "")
    release = f"version {written_by[1]}" if written_by else "a later version"
    return DatabaseNewer(
        f"{name} was written by {release} of the gateway (schema {schema}); this is {__version__},"
        f" which knows schema {newest(engine)} at most"
    )
