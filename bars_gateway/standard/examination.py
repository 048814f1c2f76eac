"""
Everything that is wrong with a message, at once: what a Receiver answers, and an EPR is told.

    bytes ──read once──► tree ──structure──► Issue(B01) ──┐
                          └──► Message ──rules──► Issue ──┴─► Examined(message │ None, issues)

Only what cannot be read at all ends the look early: a body with a wrong element is also
looked at by the rules, so that whoever repairs it sees all in one answer. The list is
ordered, the most severe first, and ends after a hundred with a note of how many more there are.
Left out are the least severe; what production will refuse is kept before all else.

Structure (B01) is an error on both sides, and no agreement softens it. Receivers refuse
what is no R4 (D-structure), no published message breaks it, and acknowledging and converting
rest on it: `message` is None as long as one error stands, so that what R4 does not know
(`tree.Stray` among it) can be neither mirrored nor written in the other format. The one
exceptions are of receipt (D-ignored-ids). One is the form of an id: a Receiver ignores the ids of
what is new, and a Message does not have them. It is an error where the id must name something: the
record of an update, a cancellation or a response, and the slot of a booking. The other is
`&nbsp;` and its like in a narrative, which every browser shows. And one is of sending: JSON
that begins with a byte order mark may not leave so.

Lines of XML stand in the text of an answer, beside FHIRPath in `expression`. R4's
`location` would be the other place, but it is for XPath, and deprecated.

A fault that a later message only echoes, of those before it, is not its sender's.

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

from bars_gateway.frozen import frozen
from bars_gateway.standard import bundle, guards, meaning, rules, structure, xml
from bars_gateway.standard.applications import Offer
from bars_gateway.standard.bundle import Message
from bars_gateway.standard.issues import Issue, Severity
from bars_gateway.standard.r4 import HTML_NAMES
from bars_gateway.standard.rule import NOTHING_AGREED, PRODUCTION, Overrides, Side, in_production
from bars_gateway.standard.rules import RULES, check
from bars_gateway.standard.structure import Sound
from bars_gateway.standard.tree import BYTE_ORDER_MARK, Json, MalformedBundle, Resource
from bars_gateway.standard.workflow import Move
from bars_gateway.standard.xml import Document

MOST_TOLD = 100
_ID = re.compile(r"Bundle\.entry\[([0-9]+)\]\.resource\.id")
_RECORDS = frozenset({"Appointment", "ServiceRequest"})  # have an id once they are not new
_MARKED = (
    "the body begins with a byte order mark (U+FEFF), and it would be sent so: JSON may have none"
    " (RFC 8259), and many receivers refuse it. Write UTF-8 without it"
)
_BROKEN = (
    "has a line break or a tab within it, of which every reader of XML makes a blank: write &#10;"
)
_LATE = "stands later than R4 has it: receivers may refuse that in XML"
_LENIENT = frozenset(
    row.rule
    for row in RULES
    if row.receiving is Severity.WARNING or (row.receiving is None and not row.fixed)
)
_IN_ENTRY = re.compile(r"Bundle\.entry\[([0-9]+)\]\.(.+)")
_STEP = re.compile(r"([^.\[\]]+)|\[([0-9]+)\]")
_INDEX = re.compile(r"\[[0-9]+\]")


@frozen(kw_only=True)
class Examined:
    """What was found. There are errors, or a message with its move: never both."""

    message: Message | None
    move: Move | None
    issues: tuple[Issue, ...]  # the most severe first; without content
    is_response: bool = False  # by its event, errors or not
    stopped: Message | None = None  # a later one, for what may be no fault of its own

    @property
    def errors(self) -> list[Issue]:
        """Those that stop the message: what decides the status of the answer."""
        return rules.errors(list(self.issues))


def examine(
    body: bytes,
    media_type: str,
    side: Side,
    offer: Offer,
    overrides: Overrides = NOTHING_AGREED,
    *,
    production: Overrides = PRODUCTION,
    earlier: Sequence[Message] = (),
) -> Examined:
    """
    Return what *body* says and everything that is wrong with it; never raises.

    On sending, warnings are marked that *production* makes errors; and what is wrong in the
    *earlier* messages of its workflow as well stops no later one.
    """
    try:
        tree, sound, document = _read(body, media_type)
    except MalformedBundle as error:
        return _told([replace(error.issue, line=error.line)])
    found = [*_of_bytes(body, document, side), *_of_structure(tree, sound), *_of_writing(document)]
    try:
        message = bundle.said_by(tree, sound.by_type if sound else None)
    except MalformedBundle as error:
        return _told([*found, error.issue], document)
    move = meaning.move_of(message)
    if side is Side.RECEIVING:
        found = [_ignored(issue, message, tree, move) for issue in found]
    issues = [*found, *rules.check(message, side, offer, overrides)]
    if move is None and not rules.errors(issues):
        issues.append(rules.NO_MEANING)
    if move is not None:
        issues += guards.foreseen(message, move, side, overrides)
    if side is Side.RECEIVING:
        return _told(issues, document, message, move)
    issues = in_production([*issues, *rules.unclear(message)], message, production)
    if move is not Move.REQUEST:
        issues = as_echoed(issues, message, earlier, offer, overrides)
    stopped = message if move is not Move.REQUEST and may_echo(issues) else None
    return replace(_told(issues, document, message, move), stopped=stopped)


def use_case_said(body: bytes, media_type: str) -> str:
    """Return the use case that *body* says, as it is written there, whatever else is wrong."""
    try:
        return bundle.said_by(_read(body, media_type)[0]).use_case
    except MalformedBundle:
        return ""


def _read(body: bytes, media_type: str) -> tuple[Resource, Sound | None, Document | None]:
    if "xml" in media_type.lower():
        document = xml.to_tree(body)
        return document.tree, structure.sound(document.tree), document
    sound = structure.sound_in(body)
    if sound is not None:  # as nearly always
        return sound.tree, sound, None
    tree = bundle.from_json(body)
    return tree, structure.sound(tree), None


def _of_structure(tree: Resource, sound: Sound | None) -> list[Issue]:
    top = bundle.text_of(tree, "resourceType") or "Bundle"
    return [] if sound else structure.problems(tree, path=top)


def _of_bytes(body: bytes, document: Document | None, side: Side) -> list[Issue]:
    if document is not None or not body.startswith(BYTE_ORDER_MARK):
        return []
    severity = Severity.ERROR if side is Side.SENDING else Severity.WARNING
    return [Issue(rule="B01", path="Bundle", text=_MARKED, severity=severity, issue="structure")]


def _of_writing(document: Document | None) -> list[Issue]:
    odd = {_LATE: document.out_of_order, _BROKEN: document.broken_lines} if document else {}
    return [
        Issue(rule="B01", path=path, text=text, severity=Severity.WARNING)
        for text, paths in odd.items()
        for path in paths
    ]


def _ignored(issue: Issue, message: Message, tree: Resource, move: Move | None) -> Issue:
    """Return *issue*, as a warning where a Receiver can do without what it is about."""
    if issue.text == HTML_NAMES:
        return replace(issue, severity=Severity.WARNING)
    place = _ID.fullmatch(issue.path)
    if place is None:
        return issue
    index = int(place[1])
    written = bundle.text_of(bundle.maps_of(tree, "entry")[index]["resource"], "id")
    is_new = move in {Move.REQUEST, None}  # None: another rule says so
    named = {"Slot"} if is_new else {"Slot", *_RECORDS}
    if not written or message.entries[index].type in named:
        return issue
    return replace(issue, severity=Severity.WARNING)


def _told(
    issues: Iterable[Issue],
    document: Document | None = None,
    message: Message | None = None,
    move: Move | None = None,
) -> Examined:
    ordered = rules.in_order(issues)
    lines = document.lines if document and ordered else {}
    first = sorted(ordered, key=lambda each: not each.refused_in_production)[:MOST_TOLD]
    told = [
        replace(each, line=_line(lines, each.path) or each.line) for each in rules.in_order(first)
    ]
    if len(ordered) > MOST_TOLD:
        told.append(_and_more(len(ordered) - MOST_TOLD))
    sound = not rules.errors(ordered)
    return Examined(
        message=message if sound else None,
        move=move if sound else None,
        issues=tuple(told),
        is_response=message is not None and message.event.endswith("-response"),
    )


def _and_more(number: int) -> Issue:
    return Issue(
        rule="W02",
        path="Bundle",
        text=f"{number} more problems were found and are not listed",
        severity=Severity.INFORMATION,
        issue="informational",
    )


def _line(lines: Mapping[str, int], path: str) -> int | None:
    """Return the line of *path*, or of the nearest element around it."""
    while path:
        line = lines.get(path) or lines.get(f"{path}[0]")
        if line:
            return line
        path = path.rpartition(".")[0]
    return None


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
