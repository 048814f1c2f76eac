"""
What makes a message unacceptable: every rule of the table, run over one message.

    Message ──check(SENDING │ RECEIVING)──► every Issue, errors and warnings

Strict before sending, lenient on receipt (D-strict-on-send): on receipt a rule stops a message
only where the guide's receiver rules or the official receiver tests demand it, and
otherwise warns. Many MUSTs of the guide are broken by its own examples; a gateway
that refused on every one of them would, in the end, refuse patients.

One module a resource: each row stands above the function that looks for it, which yields
the FHIR paths at which it is broken. What is answered, and how severely, is data in the
row; with single counterparties another severity may be agreed (`rule.Overrides`).

Ids are those of the rule list that assessors use; a letter behind one tells a variant
that holds otherwise, or on one side only (S sending, R receiving, U unswapped, …).
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from functools import lru_cache

from bars_gateway.standard.applications import Offer
from bars_gateway.standard.bundle import Message
from bars_gateway.standard.issues import Issue, Severity
from bars_gateway.standard.meaning import INSTEAD, Reading, Said, read_alone, wording_of
from bars_gateway.standard.rule import (
    HEADER,
    NOTHING_AGREED,
    Agreement,
    MessageRule,
    Overrides,
    Side,
    When,
)
from bars_gateway.standard.rules import (
    booking,
    bundle,
    content,
    header,
    modifiers,
    patient,
    request,
    substance,
)
from bars_gateway.standard.timing import application_of

# In the order in which they are told, and printed.
RULES: tuple[MessageRule, ...] = tuple(
    row
    for resource in (bundle, header, request, content, booking, substance, modifiers, patient)
    for row in vars(resource).values()
    if isinstance(row, MessageRule)
)

# What none of the rows says on its own: the words together mean nothing in the standard.
NO_MEANING = Issue(
    rule="W01",
    path=HEADER,
    text="event, reason, category and status together are not a move that the standard knows",
)


def unclear(message: Message) -> list[Issue]:
    """Return why an EPR may not send a response that nobody could act upon."""
    wording = wording_of(message)
    if wording is None or application_of(message.use_case) not in INSTEAD:
        return []  # where nothing is answered, G11 says so
    reading = read_alone(wording)
    # Where which Encounter is whose does not show, it is read beside its request.
    return said_unclearly(reading) if reading.status is not None else []


def said_unclearly(reading: Reading) -> list[Issue]:
    """Return what to write instead, where a response reads as nothing."""
    if reading.said is not Said.UNCLEAR:
        return []
    return [Issue(rule=reading.rule, path=NO_MEANING.path, text=reading.instead)]


_MOST_SEVERE_FIRST = {severity: place for place, severity in enumerate(Severity)}


def check(
    message: Message, side: Side, offer: Offer, overrides: Overrides = NOTHING_AGREED
) -> list[Issue]:
    """Return everything that is wrong with *message*, errors first."""
    agreed = overrides.with_the_other_side(message, side)
    kinds = frozenset(when for when in _KINDS if when(message))
    types = _TYPES.intersection(message.by_type)
    taken = _taken(side, agreed, kinds, types) if agreed else _usually_taken(side, kinds, types)
    issues = [
        rule.at(found, severity)
        for rule, severity in taken
        for found in rule.broken(message, offer)
    ]
    return in_order(issues)


_KINDS = frozenset(rule.when for rule in RULES if rule.when is not None)
_TYPES = frozenset(rule.of for rule in RULES if rule.of)


def _taken(
    side: Side, agreed: Agreement, kinds: AbstractSet[When], types: AbstractSet[str]
) -> tuple[tuple[MessageRule, Severity], ...]:
    """Return the rules that such a message can break, and how severely each is taken."""
    return tuple(
        (rule, severity)
        for rule in RULES
        if (severity := rule.severity(side, agreed)) is not None
        if (rule.when is None or rule.when in kinds) and (not rule.of or rule.of in types)
    )


@lru_cache(maxsize=256)
def _usually_taken(
    side: Side, kinds: frozenset[When], types: frozenset[str]
) -> tuple[tuple[MessageRule, Severity], ...]:
    return _taken(side, {}, kinds, types)


def in_order(issues: Iterable[Issue]) -> list[Issue]:
    """Return *issues*, the most severe first, each once; of warnings, what production refuses."""
    return sorted(
        dict.fromkeys(issues),
        key=lambda found: (_MOST_SEVERE_FIRST[found.severity], not found.refused_in_production),
    )


def as_answered(issues: Iterable[Issue]) -> list[Issue]:
    """Return *issues* as they are answered, by the status of the first: malformed goes first."""
    return sorted(issues, key=lambda found: (_MOST_SEVERE_FIRST[found.severity], found.http_status))


def errors(issues: list[Issue]) -> list[Issue]:
    """Return those of *issues* that stop the message."""
    return [found for found in issues if found.severity is Severity.ERROR]
