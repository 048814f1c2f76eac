"""
The rules of what changes the meaning of a message (B01M, B01N, R04N), and what a reader is told.

On receipt these are warnings: what R4 allows is not refused. Nor is it handed on as though it
were not there: each has a remark, and notices and questions name the places beside it.

Decisions: D-modifiers.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from itertools import islice

from bars_gateway.standard import modifiers
from bars_gateway.standard.applications import Offer
from bars_gateway.standard.bundle import Message
from bars_gateway.standard.issues import Issue, Severity
from bars_gateway.standard.meaning import Wording, wording_of
from bars_gateway.standard.remarks import ON_ALL, Remark, remarks_on_numbers
from bars_gateway.standard.rule import AgreedSeverity, Agreement, MessageRule, rule

_WARN = Severity.WARNING
_MOST_NAMED = 100


@rule(
    "B01M",
    "a modifier extension, or implicit rules, may change what is said around it, and BaRS knows"
    " none: who does not know it must not go by the rest. Leave it out, or agree on it",
    source="R4: Extensibility, Resource.implicitRules",
    sending=_WARN,
    receiving=_WARN,
)
def may_mean_something_else(message: Message, _offer: Offer) -> Iterator[str]:
    yield from modifiers.unknown(message)


@rule(
    "B01N",
    "this says of itself that it does not hold (an error, refuted, not done, not to be done, no"
    " longer in force, of somebody who has died): a reader who passes over it takes the rest for"
    " so. Leave out what does not hold, or see that it is read",
    source="R4: the element's definition (isModifier)",
    sending=_WARN,
    receiving=_WARN,
)
def does_not_hold(message: Message, _offer: Offer) -> Iterator[str]:
    yield from modifiers.denied(message)


@rule(
    "R04N",
    "doNotPerform asks that something is not done, and BaRS has no such request: leave it out, or"
    " cancel the request that was made",
    source="R4: ServiceRequest.doNotPerform; this project: D-modifiers",
    receiving=_WARN,
    of="ServiceRequest",
)
def is_not_to_be_done(message: Message, _offer: Offer) -> Iterator[str]:
    yield from modifiers.not_to_be_done(message)


NOTHING_AGREED_ON: Agreement = {}
_Look = Callable[[Message], tuple[str, ...]]
_TOLD: Mapping[Remark, tuple[MessageRule, _Look]] = {
    Remark.NOT_TO_BE_DONE: (is_not_to_be_done, modifiers.not_to_be_done),
    Remark.MEANING_CHANGED: (may_mean_something_else, modifiers.unknown),
    Remark.PARTS_DENIED: (does_not_hold, modifiers.denied),
}


def remarks_on_modifiers(message: Message, agreed: Agreement) -> tuple[Remark, ...]:
    """Return what a person should know of what changes its meaning, unless it is *agreed*."""
    return tuple(
        remark
        for remark, (row, look) in _TOLD.items()
        if look(message) and agreed.get(row.rule) is not AgreedSeverity.OFF
    )


def doubts_about(message: Message, agreed: Agreement = NOTHING_AGREED_ON) -> tuple[Remark, ...]:
    """Return what a person should know of whatever comes in, by itself."""
    return (*remarks_on_numbers(message), *remarks_on_modifiers(message, agreed))


def heard_in(message: Message, doubts: Collection[Remark]) -> Wording | None:
    """Return what a response says, marked where what brought these *doubts* may change it."""
    wording = wording_of(message)
    if wording is None or ON_ALL.isdisjoint(doubts):
        return wording
    return replace(wording, modified=modifiers.changes_the_word(message))


def modifiers_of(message: Message, remarks: Collection[Remark]) -> list[Issue]:
    """Return what these *remarks* are about: each rule with its places, a hundred at most."""
    found = (
        row.at(path, _WARN)
        for remark, (row, look) in _TOLD.items()
        if remark in remarks
        for path in look(message)
    )
    return list(islice(found, _MOST_NAMED))
