"""
What an EPR has to say for a move, and what it may not say beside it.

    Wanted + row ──► C03: what only the EPR knows, and has not said
                 ──► C05: what the message has no place for, or only one
                 ──► C06: what would be lost, or says otherwise than the move

Whoever gets the composed message acts upon what it says. So it is not enough that a resource
of the right type is given: the CarePlan of a final response has to name an outcome. And what
is given may not turn the move into another: with an Encounter `finished` among the resources,
*arrived* would read as *finished*. Every issue names the member, and the cure.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from bars_gateway.standard import composition_parts as parts
from bars_gateway.standard.bundle import said_by, text_of
from bars_gateway.standard.composition_parts import Entries, Exchanged, Wanted
from bars_gateway.standard.compositions import Composition, Need
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.meaning import MOVES, ours_in, read_as, wording_of
from bars_gateway.standard.rules.substance import (
    has_words,
    referred_to_by,
    says_what_was_found,
)
from bars_gateway.standard.tree import Resource
from bars_gateway.standard.workflow import Move


def missing(wanted: Wanted, row: Composition, entries: Entries) -> Iterator[Issue]:
    """Yield what only the EPR can know, or look up, and has not said."""
    if row.need is not None:
        yield from _NEEDS[row.need](wanted, entries)
    if not row.is_response:
        focus = next(iter(parts.of_type(entries, "Appointment", "ServiceRequest").values()), {})
        if "id" not in focus:
            text = (
                "no id is known that the Receiver has told for this, and for nothing else: look it"
                " up with a read first, or telephone"
            )
            yield issue("C04", "in_reply_to", text)


def _words(wanted: Wanted, _known: Entries) -> Iterator[Issue]:
    if not has_words(wanted.text or ""):
        yield issue("C03", "text", "must say why, for this outcome has no code for it")


def _findings(wanted: Wanted, entries: Entries) -> Iterator[Issue]:
    given = [("", each) for each in wanted.resources]
    known = referred_to_by([*entries.items(), *given])
    plans = _given(wanted, "CarePlan")
    if not plans:
        text = "must hold the CarePlan with what was found: nobody else knows it"
        yield issue("C03", "resources", text)
    for index, plan in plans:
        if not says_what_was_found(plan, known):
            text = (
                "must say what was found: write it in outcomeCodeableConcept of an activity, in"
                " text or as a code, or name the case that came of it in outcomeReference, and"
                " give that with it"
            )
            yield issue("C03", f"resources[{index}].activity", text)


def _change(wanted: Wanted, _known: Entries) -> Iterator[Issue]:
    if not wanted.resources:
        text = "must hold what has changed, such as the ServiceRequest with the changed members"
        yield issue("C03", "resources", text)


_NEEDS: Mapping[Need, Callable[[Wanted, Entries], Iterator[Issue]]] = {
    Need.WORDS: _words,
    Need.FINDINGS: _findings,
    Need.CHANGE: _change,
}


def out_of_place(wanted: Wanted, row: Composition, counts: Mapping[str, int | None]) -> list[Issue]:
    """Return what the message has no place for: it would be dropped, or written over."""
    issues = [
        issue("C05", f"resources[{index}]", "is of a type that this message may not hold")
        for index, resource in enumerate(wanted.resources)
        if text_of(resource, "resourceType") not in counts
    ]
    # A request has one Encounter, but its update repeats the Responder's, too.
    for kind in (kind for kind, most in counts.items() if most == 1 and kind != "Encounter"):
        text = f"is another {kind}, and this message holds one: write both into one"
        issues += [issue("C05", f"resources[{i}]", text) for i, _ in _given(wanted, kind)[1:]]
    if wanted.text and not row.takes_words:
        text = (
            "must be left out: only a rejection or a cancellation sends it. Write it into a"
            " resource, such as the CarePlan of a final response"
        )
        issues.append(issue("C06", "text", text))
    return issues


def contradicted(
    wanted: Wanted, given: Sequence[str], entries: Entries, row: Composition, own: str | None
) -> Iterator[Issue]:
    """Yield what is given with another status, or reason, than the move means; *own* is ours."""
    for index, (resource, url) in enumerate(zip(wanted.resources, given, strict=True)):
        expected = row.encounter if url == own else _status(row, entries[url])
        if expected and text_of(resource, "status") not in {"", expected}:
            text = (
                f"speaks against the move, which writes {expected}: leave it out, or choose the"
                " move and outcome that mean it"
            )
            yield issue("C06", f"resources[{index}].status", text)
        if url == own and row.move is Move.DECLINE and "reasonCode" in resource:
            text = "must be left out: outcome and text say why"
            yield issue("C06", f"resources[{index}].reasonCode", text)


def _status(row: Composition, resource: Resource) -> str | None:
    kind = text_of(resource, "resourceType")
    if kind in {"ServiceRequest", "Appointment"}:
        return row.status
    return row.plan if kind == "CarePlan" else None


def misread(
    made: Resource, asked: Sequence[Exchanged], row: Composition, use_case: str
) -> Iterator[Issue]:
    """Yield why a composed response would be read otherwise than the move was meant."""
    wording = wording_of(said_by(made))
    if wording is None:
        return
    ours: frozenset[str] = frozenset()
    for each in asked:
        ours = ours_in(said_by(each.bundle), ours)
    reading = read_as(wording, ours, use_case=use_case)
    if reading.said not in row.says and MOVES[reading.said] is not Move.UNCLEAR:
        text = f"make it read as {reading.said}, which is not what the move means: correct them"
        yield issue("C06", "resources", text)


def _given(wanted: Wanted, kind: str) -> list[tuple[int, Resource]]:
    return [
        (index, resource)
        for index, resource in enumerate(wanted.resources)
        if text_of(resource, "resourceType") == kind
    ]


def issue(rule: str, path: str, text: str) -> Issue:
    """Return what is wrong with a move, by the member of it."""
    return Issue(rule=rule, path=path, text=text, issue="required")
