"""
The statements of the store, by name, for the engine that runs them.

    -- name: claim            ─► the text for SQLite, and for every engine that has none of its own
    -- postgresql: claim      ─► a second text, directly after the first, where the dialects differ

Values are bound by name, as `:name`. What libpq asks for instead is made of that here, once, and
what is a hint to SQLite's planner alone is left out: INDEXED BY, +column, the order of CROSS JOIN.
"""

import re
from collections.abc import Sequence
from functools import partial
from importlib import resources

SQLITE = "name"
POSTGRESQL = "postgresql"
_HEAD = re.compile(r"^-- (name|postgresql): (\w+)$", re.MULTILINE)
# What a `:name` may stand in without being a value, the casts that look like one, and the hints.
_PARTS = re.compile(
    r"(?P<literal>'(?:[^']|'')*')|(?P<comment>--[^\n]*)|(?P<cast>::)|(?P<value>:[a-z_]\w*)"
    r"|(?P<hint> (?:NOT INDEXED|INDEXED BY \w+))|(?P<plus>(?<=[\s(])\+(?=[a-z]))"
    r"|(?P<cross>\bCROSS (?=JOIN))|CAST\((?P<bytes>[\w.]+) AS BLOB\)"
)


def statements_of(engine: str) -> dict[str, str]:
    """Return the statements by name, as they are written for *engine*."""
    texts: dict[str, dict[str, str]] = {SQLITE: {}, POSTGRESQL: {}}
    for beside in resources.files("bars_gateway.store").iterdir():
        if beside.name.endswith(".sql"):
            _, *parts = _HEAD.split(beside.read_text("utf-8"))
            for of, name, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
                texts[of][name] = text.strip()
    return texts[SQLITE] | texts[engine]


def for_libpq(sql: str) -> tuple[str, Sequence[str]]:
    """Return *sql* as libpq binds values, `$1`, with no hint or comment, and their names."""
    places: dict[str, str] = {}
    text = _PARTS.sub(partial(_in_its_words, places), sql).strip()
    return text, list(places)


def _in_its_words(places: dict[str, str], part: re.Match[str]) -> str:
    text = part.group()
    if part["value"]:
        return places.setdefault(text[1:], f"${len(places) + 1}")
    if part["comment"] or part["hint"] or part["plus"] or part["cross"]:
        return ""
    if part["bytes"]:
        return f"convert_to({part['bytes']}, 'UTF8')"
    return text
