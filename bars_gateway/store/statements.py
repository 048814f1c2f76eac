"""
The statements of the store, by name, for the engine that runs them.

    -- name: claim            ─► the text for SQLite, and for every engine that has none of its own
    -- postgresql: claim      ─► a second text, directly after the first, where the dialects differ
    -- part: with_a_place     ─► what texts of one file have in common: there it is {with_a_place}

Values are bound by name, as `:name`. What libpq asks for instead is made of that here, once, and
what is a hint to SQLite's planner alone is left out: INDEXED BY, +column, the order of CROSS JOIN.
"""

import re
from collections.abc import Sequence
from functools import partial
from importlib import resources

SQLITE = "name"
POSTGRESQL = "postgresql"
PART = "part"
_HEAD = re.compile(r"^-- (name|postgresql|part): (\w+)$", re.MULTILINE)
_SAID = re.compile(r"^--.*\n", re.MULTILINE)  # of a part, where it stands by itself
_PART_HERE = re.compile(r"\{([a-z_]+)\}")
# What a `:name` may stand in without being a value, the casts that look like one, and the hints.
_PARTS = re.compile(
    r"(?P<literal>'(?:[^']|'')*')|(?P<comment>--[^\n]*)|(?P<cast>::)|(?P<value>:[a-z_]\w*)"
    r"|(?P<hint> (?:NOT INDEXED|INDEXED BY \w+))|(?P<plus>(?<=[\s(])\+(?=[a-z]))"
    r"|(?P<cross>\bCROSS (?=JOIN))|CAST\((?P<bytes>[\w.]+) AS BLOB\)"
)


def statements_of(engine: str) -> dict[str, str]:
    """Return the statements by name, as they are written for *engine*."""
    texts: dict[str, str] = {}
    for beside in resources.files("bars_gateway.store").iterdir():
        if beside.name.endswith(".sql"):
            of = _texts_in(beside.read_text("utf-8"))
            texts |= of[SQLITE] | of[engine]
    return texts


def _texts_in(file: str) -> dict[str, dict[str, str]]:
    """Return the texts of a *file*, by what heads them and by name, with their parts."""
    texts: dict[str, dict[str, str]] = {SQLITE: {}, POSTGRESQL: {}, PART: {}}
    _, *found = _HEAD.split(file)
    for of, name, text in zip(found[::3], found[1::3], found[2::3], strict=True):
        texts[of][name] = text.strip()
    parts = {name: _SAID.sub("", text).strip() for name, text in texts.pop(PART).items()}
    return {
        of: {
            name: _PART_HERE.sub(lambda part: parts[part[1]], text) for name, text in those.items()
        }
        for of, those in texts.items()
    }


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
