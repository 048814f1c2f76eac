"""What a later message only repeats of an earlier one's faults is no reason to keep it back."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from breaks import BREAKS, Break
from composed_moves import REQUESTER, RESPONDER, Case, asked, wanted_for
from variants import Bundle, a_transfer, a_validation, resource

from bars_gateway.standard.applications import Offer
from bars_gateway.standard.bundle import read, said_by
from bars_gateway.standard.compositions import COMPOSITIONS, Composition
from bars_gateway.standard.examination import Examined, examine
from bars_gateway.standard.formats import Format, to_bytes
from bars_gateway.standard.issues import Severity
from bars_gateway.standard.rule import NOTHING_AGREED, PRODUCTION, Overrides, Side
from bars_gateway.standard.workflow import Move, request_type_of

NARRATIVE = '<div xmlns="http://www.w3.org/1999/xhtml">an&nbsp;invented note</div>'
PLACEHOLDER, WRONG_DIGIT, RIGHT = "0000000000", "9990000019", "9990000026"
# Who the message is from and to is another matter: these requests cannot be answered, or come.
ELSEWHERE = frozenset({"M06S", "M07U", "R03W"})


def a_call() -> Bundle:
    bundle: Bundle = json.loads(json.dumps(a_transfer()).replace("a6t1", "a6t2"))
    return bundle


def narrated(bundle: Bundle) -> None:
    resource(bundle, "Patient")["text"] = {"status": "generated", "div": NARRATIVE}


def looked_at(
    body: bytes, side: Side, offer: Offer, overrides: Overrides = NOTHING_AGREED, **more: Any
) -> Examined:
    return examine(body, Format.JSON, side, offer, overrides, **more)


def taken(sound: str) -> Iterator[tuple[Break, bytes]]:
    """Yield that request with each fault with which its Receiver takes it all the same."""
    narrative = Break("B01", "error warning", "Patient.text.div", narrated)
    for each in (*BREAKS, narrative):
        bundle: Bundle = json.loads(sound)
        try:
            each.change(bundle)
        except (LookupError, StopIteration):
            continue  # of a resource that such a request has not
        body = json.dumps(bundle).encode()
        found = looked_at(body, Side.RECEIVING, RESPONDER)
        answered = found.message is not None and found.message.use_case[:2] in {"a4", "a6"}
        if found.move is Move.REQUEST and answered and each.rule not in ELSEWHERE:
            yield each, body


def rows_for(case: Case) -> list[Composition]:
    message = said_by(case.request.bundle)
    return [
        row
        for row in COMPOSITIONS
        if message.use_case[:2] in row.applications
        and request_type_of(message) in row.request_types
        and row.move is not Move.UPDATE
    ]


@pytest.mark.exhaustive
@pytest.mark.parametrize("make", [a_call, a_validation])
def test_whatever_was_taken_can_be_answered_and_cancelled(make: Callable[[], Bundle]) -> None:
    """In production, too: a rejection that may not leave would stay untold."""
    kept_back = {
        (each.rule, each.path, row.move, row.outcome, *(issue.rule for issue in found.errors))
        for each, body in taken(json.dumps(make()))
        for case in [Case("", asked(body))]
        for row in rows_for(case)
        for found in (
            looked_at(
                to_bytes(case.make(wanted_for(row)), Format.JSON),
                Side.SENDING,
                RESPONDER if row.is_response else REQUESTER,
                PRODUCTION,
                earlier=[read(body)],
            ),
        )
        if found.message is None
    }

    assert set() == kept_back


def numbered(number: str) -> bytes:
    bundle = a_call()
    resource(bundle, "Patient")["identifier"][0]["value"] = number
    return json.dumps(bundle).encode()


def declined(number: str, *, about: str, earlier: bool = True, in_production: bool) -> Examined:
    """Look at a rejection with *number* as the answer to a request *about* another."""
    case = Case("", asked(numbered(number)))
    row = next(row for row in rows_for(case) if row.move is Move.DECLINE)
    return looked_at(
        to_bytes(case.make(wanted_for(row)), Format.JSON),
        Side.SENDING,
        RESPONDER,
        PRODUCTION if in_production else NOTHING_AGREED,
        earlier=[read(numbered(about))] if earlier else [],
    )


@pytest.mark.parametrize("number", [PLACEHOLDER, WRONG_DIGIT])
@pytest.mark.parametrize("in_production", [True, False])
def test_the_number_that_came_is_a_warning(number: str, *, in_production: bool) -> None:
    """Told, and not said to be refused anywhere: neither here nor there."""
    found = declined(number, about=number, in_production=in_production)

    assert [(Severity.WARNING, False)] == [
        (each.severity, each.refused_in_production)
        for each in found.issues
        if each.rule in {"P02", "P02P"}
    ]


@pytest.mark.parametrize("about", [RIGHT, PLACEHOLDER])
def test_another_number_that_is_nobodys_may_not_leave(about: str) -> None:
    """It is the answer's own fault, and its sender can mend it."""
    found = declined(WRONG_DIGIT, about=about, in_production=True)

    assert ["P02"] == [each.rule for each in found.errors]
    assert found.stopped is not None


def test_what_production_will_refuse_is_looked_for_before() -> None:
    """Where it is a warning only, whoever asks for what came before learns whether it is new."""
    found = declined(WRONG_DIGIT, about=RIGHT, earlier=False, in_production=False)

    assert found.message is not None
    assert found.stopped is not None


def test_what_no_receiver_takes_stops_an_answer() -> None:
    """The fault of the earlier message excuses none that would be refused there as well."""
    body = numbered(RIGHT)
    broken = replace(read(body), use_case="")
    case = Case("", asked(body))
    bundle = json.loads(to_bytes(case.make(wanted_for(rows_for(case)[0])), Format.JSON))
    bundle["entry"][1]["resource"]["category"] = []
    found = looked_at(json.dumps(bundle).encode(), Side.SENDING, RESPONDER, earlier=[broken])

    assert "R02" in {each.rule for each in found.errors}
    assert "R02" not in {each.rule for each in found.issues if each.severity is Severity.WARNING}
