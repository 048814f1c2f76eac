"""
What a later message only echoes of those before it: a fault in that is not its sender's.

    later message ──its problems──► in an earlier one as well ─┬─ lenient on receipt ─► a warning
    what was exchanged before it ──its problems──┘             └─ else ───────────────► as they are

A Receiver takes a request with a placeholder for an NHS number, and warns. Its answer has to
name the same patient: held to all that a sender has to keep it could never leave, and a
rejection would stay untold. So a rule that is lenient on receipt is lenient on what is sent back
of it, or said again of what was sent. What a message says again, a new NHS number above all, is
held to every rule.

Decisions: D-strict-on-send.
"""

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace

from bars_gateway.standard import structure
from bars_gateway.standard.bundle import Message
from bars_gateway.standard.issues import Issue, Severity
from bars_gateway.standard.offer import Offer
from bars_gateway.standard.overrides import Overrides
from bars_gateway.standard.primitives import HTML_NAMES
from bars_gateway.standard.rule import Side
from bars_gateway.standard.rules import RULES, check
from bars_gateway.standard.tree import Json

_LENIENT = frozenset(
    row.rule for row in RULES if row.receiving is not Severity.ERROR and not row.fixed
)
_IN_ENTRY = re.compile(r"Bundle\.entry\[([0-9]+)\]\.(.+)")
_STEP = re.compile(r"([^.\[\]]+)|\[([0-9]+)\]")
_INDEX = re.compile(r"\[[0-9]+\]")


def as_echoed(
    issues: Sequence[Issue],
    message: Message,
    earlier: Iterable[Message],
    offer: Offer,
    overrides: Overrides,
) -> list[Issue]:
    """Return *issues*, of which those that an *earlier* message has as well stop nothing."""
    had = {
        _fault(issue, each)
        for each in earlier
        for issue in (
            *check(each, Side.SENDING, offer, overrides),
            *structure.check(each.root, path="Bundle"),
        )
    }
    return [
        replace(issue, severity=Severity.WARNING, refused_in_production=False)
        if may_echo([issue]) and _fault(issue, message) in had
        else issue
        for issue in issues
    ]


def may_echo(issues: Iterable[Issue]) -> bool:
    """Tell whether what stops a later message may be no fault of its own."""
    return any(_stops(issue) and _is_taken(issue) for issue in issues)


def _stops(issue: Issue) -> bool:
    """Tell whether it keeps a message from leaving, here or in production."""
    return issue.severity is Severity.ERROR or issue.refused_in_production


def _is_taken(issue: Issue) -> bool:
    """Tell whether a Receiver takes what has such a fault."""
    return issue.rule in _LENIENT or issue.text == HTML_NAMES


def _fault(issue: Issue, message: Message) -> Hashable:
    """Return what is wrong, in whatever entry it stands: which rule, and what is written there."""
    found = _IN_ENTRY.fullmatch(issue.path)
    if found is None or int(found[1]) >= len(message.entries):
        return issue.rule, issue.path  # not in an entry, or in one that is missing
    entry = message.entries[int(found[1])]
    here: Json = {"fullUrl": entry.full_url, "resource": entry.resource}
    written = _written(here, found[2]) if found[2] != "resource" else None
    # Where it is missing, or is a whole resource too many, the place says it.
    return issue.rule, entry.type, _INDEX.sub("", found[2]) if written is None else written


def _written(node: Json, path: str) -> Hashable:
    for name, index in _STEP.findall(path):
        if name:
            node = node.get(name) if isinstance(node, Mapping) else None
        elif isinstance(node, Sequence) and not isinstance(node, str):
            node = node[int(index)] if int(index) < len(node) else None
        else:
            node = None
    return _hashable(node)


def _hashable(node: Json) -> Hashable:
    """Return what can be compared, whatever the order in which members are written."""
    if isinstance(node, Mapping):
        return frozenset((name, _hashable(value)) for name, value in node.items())
    if isinstance(node, Sequence) and not isinstance(node, str):
        return tuple(map(_hashable, node))
    return node
