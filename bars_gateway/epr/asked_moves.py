"""
What the EPR writes when it asks for a move: read strictly, member by member.

A member that nobody knows is refused by its name, as in an envelope: a misspelt
`outcome` would otherwise say something that nobody meant.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bars_gateway.standard.bundle import MalformedBundle, Number, Resource, from_json
from bars_gateway.standard.compositions import COMPOSITIONS
from bars_gateway.standard.headers import is_uuid
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.workflow import Move

_LONGEST_KEY = 200
_LONGEST_TEXT = 4000
_LONGEST_NUMBER = 18  # digits: 63 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A move as the EPR asks for it."""

    submission_id: str  # the EPR's own key
    in_reply_to: str  # a workflow_id, or the request_id of a message in the workflow
    move: Move
    outcome: str | None = None
    text: str | None = None  # the reason in words
    resources: tuple[Resource, ...] = ()
    patient_changed: bool = False  # it names the patient otherwise than before, and that is right


def read_asked(content: bytes) -> Asked | list[Issue]:
    """Return what *content* asks for, or everything that is wrong with it."""
    try:
        found = from_json(content)
    except MalformedBundle as error:
        below = error.issue.path.removeprefix("Bundle")
        return [problem(f"move{below}", str(error))]
    issues = [_unknown(key) for key in found if key not in _READERS]
    values: dict[str, Any] = {}
    for key, (reader, wanted) in _READERS.items():
        if key in found and found[key] is not None:
            values[key] = reader(found[key])
            if values[key] is None:
                issues.append(problem(key, f"must be {wanted}"))
        elif key in _REQUIRED:
            issues.append(problem(key, f"is missing: it must be {wanted}"))
    return issues or Asked(**values)


def _key(value: object) -> str | None:
    good = isinstance(value, str) and 0 < len(value) <= _LONGEST_KEY and value.isprintable()
    return str(value) if good else None


def _reference(value: object) -> str | None:
    if isinstance(value, Number):
        value = value.text
    if not isinstance(value, str):
        return None
    numbers = value.isascii() and value.isdigit() and len(value) <= _LONGEST_NUMBER
    return value.strip() if numbers or is_uuid(value) else None


def _move(value: object) -> Move | None:
    return Move(value) if isinstance(value, str) and value in _MOVES else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST_TEXT else None


def _resources(value: object) -> tuple[Resource, ...] | None:
    if not isinstance(value, list):
        return None
    good = all(
        isinstance(each, dict) and isinstance(each.get("resourceType"), str) for each in value
    )
    return tuple(value) if good else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


_MOVES = sorted({row.move.value for row in COMPOSITIONS})
_REQUIRED = frozenset({"submission_id", "in_reply_to", "move"})
_READERS: Mapping[str, tuple[Callable[[object], object], str]] = {
    "submission_id": (_key, f"a text of your own, {_LONGEST_KEY} characters at most"),
    "in_reply_to": (_reference, "a workflow_id, or the request_id of a message in it"),
    "move": (_move, f"one of {', '.join(_MOVES)}"),
    "outcome": (_text, "a word of the documentation of moves"),
    "text": (_text, f"the reason in words, {_LONGEST_TEXT} characters at most"),
    "resources": (_resources, "a list of FHIR resources"),
    "patient_changed": (_flag, "true or false"),
}


def _unknown(key: str) -> Issue:
    # The key is shown as far as it can be one; a long or odd one might be content.
    shown = key if key.isidentifier() and key.isascii() and len(key) <= 40 else "…"  # noqa: PLR2004
    return problem(shown, f"is no member of a move; there are {', '.join(_READERS)}")


def problem(path: str, text: str) -> Issue:
    """Return an issue about what the EPR has asked for."""
    return Issue(rule="E10", path=path, text=text, issue="value")
