"""What a response says, whatever elements it is spread over; and what follows from it, and when."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from store_values import wording
from variants import GIVEN_ID, Bundle, a_validation, header, resource, url_of

from bars_gateway.standard.bundle import Message, read
from bars_gateway.standard.meaning import (
    MOVES,
    REASONS,
    ROWS,
    Reason,
    Said,
    Written,
    is_ahead,
    move_of,
    ordered_as,
    ours_in,
    read_alone,
    read_as,
    wording_of,
)
from bars_gateway.standard.remarks import (
    CaseSoFar,
    Remark,
    Response,
    is_alarming,
    moves_on,
    remarks_on,
)
from bars_gateway.standard.sentences import NOTHING_TO_DO, Situation, means, sentences
from bars_gateway.standard.sentences.words import Asks
from bars_gateway.standard.workflow import DOUBTS, FINAL, Move, RequestType, State, is_worse, led_on

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
INTERIM = "servicerequest-response-validation-interim"
FULL = "servicerequest-response-validation-full"
STREAM = "servicerequest-response-referral-short"
OURS = Written(url="ours", keys=frozenset({"ours"}), status="triaged", at=None, reason=None)
OWN = Written(url="own", keys=frozenset({"own"}), status="planned", at=NOW, reason=Reason.RRNA)
FOCUS = {
    "request": ("request", "ServiceRequest"),
    "responder": ("own", "Encounter"),
    "requester": ("ours", "Encounter"),
    "other": ("elsewhere", "Appointment"),
}


def _of_another_event(bundle: Bundle) -> None:
    header(bundle)["eventCoding"]["code"] = "booking-request"


def _about_no_request(bundle: Bundle) -> None:
    header(bundle)["focus"] = [{"reference": url_of(bundle, "Patient")}]


def _for_another_reason(bundle: Bundle) -> None:
    header(bundle)["reason"]["coding"][0]["code"] = "update"
    resource(bundle, "ServiceRequest")["id"] = GIVEN_ID


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda _: None, Move.REQUEST),
        (_of_another_event, None),
        (_about_no_request, None),
        (_for_another_reason, Move.UPDATE),
    ],
    ids=["as-it-is", "event", "focus", "reason"],
)
def test_event_reason_and_focus_decide_what_is_asked(
    change: Callable[[Bundle], None], expected: Move | None
) -> None:
    """CS-120: the same content, and another of the three is another process, or none."""
    bundle = a_validation()
    change(bundle)

    assert expected is move_of(read(json.dumps(bundle).encode()))


def said(  # noqa: PLR0917
    use_case: str,
    encounter: str,
    request: str = "active",
    plan: str = "",
    definition: str = "",
    focus: str = "responder",
    before: Said | None = None,
) -> Said:
    """Return what two Encounters say, ours and the Responder's own."""
    reference, kind = FOCUS[focus]
    usual = STREAM if use_case.startswith("a6") else FULL if plan else INTERIM
    words = wording(
        encounter,
        use_case=use_case,
        request_type=RequestType.VALIDATION if use_case.startswith("a4") else RequestType.REFERRAL,
        request=request,
        plan=plan,
        definition=definition or usual,
        focus=reference,
        focus_type=kind,
        encounters=(OURS, replace(OWN, status=encounter)),
    )
    return read_as(words, frozenset({"ours"}), use_case=use_case, before=before).said


REJECTIONS = [  # the three published forms of it
    pytest.param("cancelled", "active", id="pages-and-examples"),
    pytest.param("cancelled", "revoked", id="pseudo-code-of-6"),
]


@pytest.mark.parametrize("focus", ["request", "responder"])
@pytest.mark.parametrize("use_case", ["a4t1", "a4t2", "a6t2", "a6t3"])
@pytest.mark.parametrize(("encounter", "request_status"), REJECTIONS)
def test_a_rejection_is_one_whatever_its_focus(
    use_case: str, encounter: str, request_status: str, focus: str
) -> None:
    """The payload tables make the ServiceRequest the focus, the pages the Encounter."""
    assert Said.REJECTED is said(use_case, encounter, request_status, focus=focus)


@pytest.mark.parametrize(
    ("use_case", "encounter", "rest", "expected"),
    [
        ("a4t1", "triaged", {"request": "revoked"}, Said.REJECTED),
        ("a4t1", "triaged", {"request": "revoked", "plan": "active"}, Said.REJECTED),
        ("a4t1", "triaged", {"request": "revoked", "plan": "completed"}, Said.UNCLEAR),
        ("a4t1", "triaged", {}, Said.UNCLEAR),
        ("a4t1", "triaged", {"plan": "active"}, Said.VALIDATION_ACTS),
        ("a4t1", "triaged", {"plan": "completed"}, Said.VALIDATION_CLOSES),
        ("a4t1", "finished", {"plan": "active"}, Said.VALIDATION_ACTS),
        ("a4t1", "finished", {"plan": "active", "request": "completed"}, Said.VALIDATION_ACTS),
        ("a4t1", "finished", {"plan": "completed"}, Said.VALIDATION_CLOSES),
        ("a4t1", "finished", {"plan": "several"}, Said.UNCLEAR),
        ("a6t2", "in-progress", {"request": "several"}, Said.UNCLEAR),
        ("a4t1", "finished", {"plan": "draft"}, Said.UNCLEAR),
        ("a4t1", "finished", {}, Said.UNCLEAR),
        ("a4t1", "finished", {"plan": "completed", "request": "revoked"}, Said.UNCLEAR),
        ("a4t1", "finished", {"plan": "completed", "definition": INTERIM}, Said.UNCLEAR),
        ("a4t1", "in-progress", {}, Said.VALIDATION_STARTED),
        (
            "a4t1",
            "in-progress",
            {"plan": "active", "definition": INTERIM},
            Said.VALIDATION_STARTED,
        ),
        ("a4t1", "in-progress", {"plan": "active"}, Said.UNCLEAR),
        ("a4t1", "in-progress", {"definition": FULL}, Said.UNCLEAR),
        ("a4t1", "in-progress", {"request": "revoked"}, Said.UNCLEAR),
        ("a4t1", "arrived", {}, Said.UNCLEAR),
        ("a4t1", "planned", {}, Said.UNCLEAR),
        ("a4t1", "cancelled", {"plan": "completed"}, Said.UNCLEAR),
        ("a6t1", "planned", {}, Said.ACCEPTED),
        ("a6t1", "planned", {"before": Said.ACCEPTED}, Said.ACCEPTED),
        ("a6t1", "planned", {"before": Said.ASSIGNED}, Said.STOOD_DOWN),
        ("a6t1", "planned", {"before": Said.ON_SCENE}, Said.STOOD_DOWN),
        ("a6t1", "in-progress", {}, Said.ASSIGNED),
        ("a6t1", "in-progress", {"request": "revoked"}, Said.UNCLEAR),
        ("a6t1", "arrived", {}, Said.ON_SCENE),
        ("a6t1", "finished", {}, Said.FINISHED),
        ("a6t1", "finished", {"request": "completed"}, Said.FINISHED),
        ("a6t1", "cancelled", {}, Said.UNCLEAR),
        ("a6t1", "triaged", {}, Said.UNCLEAR),
        ("a6t2", "triaged", {"request": "revoked"}, Said.UNCLEAR),
        ("a6t2", "entered-in-error", {}, Said.UNCLEAR),
        ("a6t2", "planned", {"request": "on-hold"}, Said.UNCLEAR),
        ("a3t1", "finished", {}, Said.UNCLEAR),
        ("nothing", "finished", {}, Said.UNCLEAR),
    ],
    ids=str,
)
def test_each_form_says_one_thing(
    use_case: str, encounter: str, rest: dict[str, Any], expected: Said
) -> None:
    """Those of the pages, of the examples and of the pseudo-code; and what is none."""
    for focus in ("request", "responder"):
        assert expected is said(use_case, encounter, **rest, focus=focus)


STATUSES = ("planned", "arrived", "triaged", "in-progress", "finished", "cancelled", "onleave", "")
CELLS = list(
    product(
        ("a4t1", "a6t1", "a6t2", "a1t1", "a8t1", ""),
        STATUSES,
        ("active", "revoked", "completed", "on-hold", ""),
        ("", "active", "completed", "several"),
        (INTERIM, FULL, STREAM),
        tuple(FOCUS),
        (None, Said.ASSIGNED, Said.REJECTED),
    )
)


@pytest.mark.exhaustive
def test_no_cell_says_that_help_comes_where_it_does_not() -> None:
    """All of them: what is cancelled or revoked is never progress, nor is it concluded."""
    for cell in CELLS:
        use_case, encounter, request, plan, _, focus, _ = cell
        move = MOVES[said(*cell)]
        if encounter == "cancelled" or request == "revoked":
            assert move in {Move.DECLINE, Move.UNCLEAR}, cell
        if move is Move.DECLINE:
            assert "cancelled" == encounter or ("triaged", "revoked") == (encounter, request), cell
        if move is Move.CONCLUDE and use_case == "a4t1":
            assert plan in {"active", "completed"}, cell
        if focus in {"requester", "other"} or use_case in {"a1t1", "a8t1", ""}:
            assert move is Move.UNCLEAR, cell


@pytest.mark.exhaustive
@pytest.mark.parametrize("row", range(len(ROWS)))
def test_every_row_is_reached(row: int) -> None:
    """One that never fits first says what is not so."""
    assert row in first_that_fit()


@cache
def first_that_fit() -> frozenset[int | None]:
    """Return the number of the row that decides, of each cell there is."""
    return frozenset(next((n for n, r in enumerate(ROWS) if r.fits(c)), None) for c in cases())


def cases() -> list[Any]:
    from bars_gateway.standard import meaning

    return [
        meaning._Case(
            wording=wording(
                encounter,
                use_case=use_case,
                request=request,
                plan=plan,
                definition=definition,
                absent=use_case == "a1t1",
            ),
            application=use_case[:2],
            use_case=use_case,
            focus=meaning.Owner.REQUEST,
            status=encounter,
            before=before,
        )
        for use_case, encounter, request, plan, definition, focus, before in CELLS
        if focus == "request"
    ]


# Whose Encounter is whose.


def encounter(name: str, *keys: str, status: str = "in-progress") -> Written:
    return Written(url=name, keys=frozenset({name, *keys}), status=status, at=None, reason=None)


@pytest.mark.parametrize(
    ("encounters", "ours", "expected"),
    [
        pytest.param([encounter("a", "S1"), encounter("b", "R1")], {"S1"}, "in-progress", id="id"),
        pytest.param([encounter("b")], {"S1"}, "in-progress", id="ours-is-not-repeated"),
        pytest.param([encounter("a"), encounter("b")], {"S1"}, None, id="two-strangers"),
        pytest.param([encounter("a", "S1")], {"S1"}, None, id="ours-alone"),
        pytest.param([encounter("a", "S1"), encounter("b", "S1")], {"S1"}, None, id="both-ours"),
        pytest.param([], {"S1"}, None, id="none"),
        pytest.param(
            [encounter("a", "S1"), encounter("b"), encounter("c")], {"S1"}, None, id="two-others"
        ),
    ],
)
def test_the_responders_encounter_is_the_only_other_one(
    encounters: list[Written], ours: set[str], expected: str | None
) -> None:
    """If not exactly one remains, nobody can tell what the Responder says."""
    words = wording("", encounters=tuple(encounters), focus_type="ServiceRequest")
    reading = read_as(words, frozenset(ours), use_case="a6t2")

    assert expected == reading.status
    assert (Said.UNCLEAR if expected is None else Said.ASSIGNED) is reading.said


@pytest.mark.parametrize("reference", ["new", "Encounter/E1", "Encounter/e1/_history/2"])
def test_the_new_case_of_an_upgrade_is_not_counted(reference: str) -> None:
    """Scenario 82: the CarePlan names the third Encounter as its outcome."""
    words = wording_of(upgraded(reference))

    assert words is not None
    assert ["own"] == [e.url for e in words.encounters if e.keys.isdisjoint({"ours"})]


HEAD = '"eventCoding": {"code": "servicerequest-response"}, "focus": [{"reference": "own"}]'


def upgraded(reference: str) -> Message:
    outcome = f'{{"outcomeReference": [{{"reference": "{reference}"}}]}}'
    entries = ",".join(
        f'{{"fullUrl": "{url}", "resource": {{"resourceType": "{kind}", {rest}}}}}'
        for url, kind, rest in (
            (
                "head",
                "MessageHeader",
                HEAD,
            ),
            ("ours", "Encounter", '"status": "triaged"'),
            ("own", "Encounter", '"status": "finished"'),
            ("new", "Encounter", '"id": "e1", "status": "planned"'),
            ("plan", "CarePlan", f'"status": "active", "activity": [{outcome}]'),
        )
    )
    return read(f'{{"resourceType": "Bundle", "entry": [{entries}]}}'.encode())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("VALRESP01A", Said.VALIDATION_STARTED),
        ("VALRESP01B", Said.VALIDATION_ACTS),
        ("VALRESP05", Said.VALIDATION_ACTS),
        ("TKW-New-Interim-Validation-Response", Said.VALIDATION_STARTED),
        ("TKW-New-Validation-Response", Said.VALIDATION_ACTS),
        ("REFRESP03", Said.ACCEPTED),
        ("REFRESP01", Said.NOT_ATTENDED),
    ],
)
def test_each_published_response_is_understood(
    reference_data: Path, name: str, expected: Said
) -> None:
    """Beside its request, in which the case number was sender1234."""
    files = sorted((reference_data / "examples" / "messages").rglob(f"{name}*"))
    assert files
    for file in files:
        message = read(file.read_bytes(), file.suffix.removeprefix("."))
        words = wording_of(message)
        assert words is not None
        reading = read_as(words, frozenset({"sender1234"}), use_case=message.use_case)
        assert expected is reading.said


@pytest.mark.parametrize("statuses", [("active", "revoked"), ("revoked", "active")])
def test_several_that_disagree_are_unclear_in_whatever_order(statuses: tuple[str, str]) -> None:
    """The place in the Bundle says nothing: nobody may drive, or wait, because of it."""
    found = wording_of(responding("ServiceRequest", *statuses))

    assert found is not None
    assert Said.UNCLEAR is read_alone(found).said


def test_several_that_agree_are_read_as_one() -> None:
    """Two that say the same leave nothing open."""
    found = wording_of(responding("ServiceRequest", "active", "active"))

    assert found is not None
    assert Said.ASSIGNED is read_alone(found).said


def responding(kind: str, *statuses: str) -> Message:
    """Return an allocation of a control room, with so many of those."""
    system = "https://fhir.nhs.uk/CodeSystem/usecases-categories-bars"
    coding = [{"system": system, "code": "a6t2"}]
    said_ = {"code": "servicerequest-response"}
    resources: list[dict[str, Any]] = [
        {
            "resourceType": "MessageHeader",
            "eventCoding": said_,
            "reason": {"coding": [{"code": "new"}]},
            "focus": [{"reference": "own"}],
        },
        {"resourceType": "ServiceRequest", "status": "active", "category": [{"coding": coding}]},
        *({"resourceType": kind, "status": each} for each in statuses),
    ]
    entries = [{"resource": each} for each in resources]
    own = {"fullUrl": "own", "resource": {"resourceType": "Encounter", "status": "in-progress"}}
    return read(json.dumps({"resourceType": "Bundle", "entry": [*entries, own]}).encode())


def test_a_response_alone_is_read_by_its_focus() -> None:
    """What began before this gateway did: whoever writes it knows which Encounter is its own."""
    words = wording("finished", encounters=(OURS, replace(OWN, status="finished")))

    assert Said.FINISHED is read_alone(words).said
    assert Said.UNCLEAR is read_alone(replace(words, focus_type="ServiceRequest")).said


def test_only_codes_of_the_standard_are_reasons() -> None:
    """A code of one's own says nothing to a machine, and may hold anything."""
    for code, expected in {"RRNA": Reason.RRNA, "X1": None}.items():
        message = read(rejecting(code))
        words = wording_of(message)
        assert words is not None
        assert expected is words.encounters[0].reason
    assert set(REASONS) == set(Reason)


def rejecting(code: str) -> bytes:
    system = "https://fhir.nhs.uk/CodeSystem/rejected-reasons-bars"
    return (
        '{"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "MessageHeader",'
        ' "eventCoding": {"code": "servicerequest-response"}}}, {"fullUrl": "e", "resource":'
        ' {"resourceType": "Encounter", "reasonCode": [{"coding": [{"system":'
        f' "{system}", "code": "{code}"}}]}}]}}}}]}}'
    ).encode()


def test_what_ours_is_known_by_is_learnt_from_the_answer() -> None:
    """The request names it by fullUrl, its answer adds the id; the Responder's stays out."""
    request = bundle(("url", None, "S1"))
    answer = bundle(("url", "id-1", "S1"), ("other", "id-2", "R1"))

    assert {"url", "id-1", "s1"} == ours_in(answer, ours_in(request))


def bundle(*encounters: tuple[str, str | None, str]) -> Message:
    entries = ",".join(
        f'{{"fullUrl": "{url}", "resource": {{"resourceType": "Encounter",'
        + (f'"id": "{own_id}",' if own_id else "")
        + f'"identifier": [{{"value": "{number}"}}]}}}}'
        for url, own_id, number in encounters
    )
    return read(f'{{"resourceType": "Bundle", "entry": [{entries}]}}'.encode())


# Times.


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [(timedelta(hours=-3), True), (timedelta(minutes=2), True), (timedelta(minutes=3), False)],
)
def test_a_clock_that_is_ahead_counts_for_nothing(ahead: timedelta, expected: bool) -> None:  # noqa: FBT001
    """An hour of summer time, or a stamp of 2036, must not silence what comes after it."""
    stamp = NOW + ahead

    assert (stamp if expected else NOW) == ordered_as(stamp, NOW)
    assert expected is not is_ahead(stamp, NOW)


def test_what_has_no_stamp_counts_as_when_it_came() -> None:
    """There is no other time to go by."""
    assert NOW == ordered_as(None, NOW)


# What follows from it: states by moves by order, for each word.

NEWER = """
              wait          progress      decline       conclude      unclear
requested     active        in_progress   declined      completed     unclear
unconfirmed   active        in_progress   declined      completed     unclear
active        active        in_progress   declined      completed     unclear
in_progress   active        in_progress   declined      completed     unclear
unclear       active        in_progress   declined      completed     unclear
contradicted  contradicted  contradicted  contradicted  contradicted  contradicted
completed     contradicted  contradicted  contradicted  completed     contradicted
declined      contradicted  contradicted  declined      contradicted  contradicted
cancelled     cancelled     contradicted  cancelled     cancelled     contradicted
refused       contradicted  contradicted  refused       contradicted  contradicted
abandoned     contradicted  contradicted  abandoned     contradicted  contradicted
"""
LINES = [line.split() for line in NEWER.strip().splitlines()]
LEADS = {
    (State(line[0]), Move(move)): State(led)
    for line in LINES[1:]
    for move, led in zip(LINES[0], line[1:], strict=True)
}
ANSWERED = {State.COMPLETED, State.DECLINED}
UNDER_WAY = {Move.WAIT, Move.PROGRESS}
NEVER_TAKEN = {State.REFUSED, State.ABANDONED}
NOBODY_COMES = {Said.REJECTED, Said.STOOD_DOWN, Said.NOT_ATTENDED, Said.UNCLEAR}
ANSWERING = ("a4t1", "a4t2", "a4t3", "a6t1", "a6t2", "a6t3")
UNFORESEEN = ("a1t1", "a2t1", "a3t1", "a5t1", "a7t1", "a8t1")  # they know no responses at all
USE_CASES = (*ANSWERING, *UNFORESEEN)
ROWS_OF_MATRIX = list(product(State, USE_CASES))
WORDS = list(product(Said, (True, False)))  # what is said, and whether it is the newest word


def request_type_in(use_case: str) -> RequestType:
    named = {"a4": RequestType.VALIDATION, "a7": RequestType.BOOKING}
    return named.get(use_case[:2], RequestType.REFERRAL)


def came(word: Said, use_case: str, *, newer: bool) -> Response:
    return Response(
        move=MOVES[word],
        says=word,
        request_type=request_type_in(use_case),
        use_case=use_case,
        reason="new",
        newer=newer,
        came_at=NOW,
    )


matrix = pytest.mark.parametrize(("state", "use_case"), ROWS_OF_MATRIX)


@pytest.mark.exhaustive
@matrix
def test_each_word_in_each_state_leads_somewhere(state: State, use_case: str) -> None:
    """The newest holds; what is older moves nothing; what speaks against an end is in doubt."""
    for word, newer in WORDS:
        before, response = CaseSoFar(state=state, due_at=None), came(word, use_case, newer=newer)
        moves = moves_on(before, response)
        reached = led_on(state, response.move) if moves else state

        assert (newer or state in NEVER_TAKEN) is moves, word
        assert (LEADS[state, response.move] if moves else state) is reached, word
        assert state not in FINAL or reached in {state, State.CONTRADICTED}, word


@pytest.mark.exhaustive
@matrix
def test_each_word_in_each_state_is_remarked_upon_truthfully(state: State, use_case: str) -> None:
    """What is old is called so; what contradicts an end, what amends one; and who hears of it."""
    for word, newer in WORDS:
        before, response = CaseSoFar(state=state, due_at=None), came(word, use_case, newer=newer)
        remarks = set(remarks_on(before, response))
        reached = led_on(state, response.move) if moves_on(before, response) else state
        ends = {State.COMPLETED: Move.CONCLUDE, State.DECLINED: Move.DECLINE}
        alarmed = is_alarming(tuple(remarks), word) or is_worse(state, reached)

        assert newer is not (Remark.OUT_OF_ORDER in remarks), word
        assert (state in FINAL and reached is State.CONTRADICTED) is (Remark.CONTRADICTS in remarks)
        assert (state is State.CONTRADICTED) is (Remark.IN_DOUBT in remarks), word
        assert (ends.get(state) is response.move) is (Remark.AMENDED in remarks), word
        assert (newer and word is Said.STOOD_DOWN) is (Remark.STOOD_DOWN in remarks), word
        assert (state is State.CANCELLED) is (Remark.AFTER_CANCEL in remarks), word
        turned_back = (state, response.move) == (State.IN_PROGRESS, Move.DECLINE)
        assert (use_case in UNFORESEEN or turned_back) is (Remark.UNFORESEEN in remarks), word
        assert alarmed or not must_be_heard_of(state, word, use_case, newer=newer), word


def must_be_heard_of(state: State, word: Said, use_case: str, *, newer: bool) -> bool:
    """Tell where silence could harm somebody: one alarm stands for what is in doubt already."""
    if use_case in UNFORESEEN:
        return True
    if not newer and (word in NOBODY_COMES or (state in ANSWERED and MOVES[word] in UNDER_WAY)):
        return True
    led = LEADS[state, MOVES[word]] if newer or state in NEVER_TAKEN else state
    return (state in FINAL and led is not state) or (led in DOUBTS and state not in DOUBTS)


def notice_of(state: State, word: Said, use_case: str, *, newer: bool) -> Situation:
    """Return what the Requester's EPR hears of: with all that is remarked upon."""
    response = came(word, use_case, newer=newer)
    remarks = remarks_on(CaseSoFar(state=state, due_at=None), response)
    return Situation(
        kind="amended" if Remark.AMENDED in remarks else "message",
        direction="inbound",
        state="received",
        move=response.move,
        request_type=request_type_in(use_case),
        use_case=use_case,
        says=word,
        remarks=remarks,
        due_at=NOW,
    )


@pytest.mark.exhaustive
@matrix
def test_nobody_has_to_guess_whether_to_act(state: State, use_case: str) -> None:
    """What is out of the ordinary reads otherwise than what is not, and asks for something."""
    for word, newer in WORDS:
        told = notice_of(state, word, use_case, newer=newer)
        ordinary = notice_of(State.ACTIVE, word, use_case, newer=True)
        if must_be_heard_of(state, word, use_case, newer=newer) or state is State.CONTRADICTED:
            assert max(each.asks for each in sentences(told)) >= Asks.CHECK, word
            assert NOTHING_TO_DO not in means(told), word
        assert means(told), word
        assert (told.remarks != ordinary.remarks) is (means(told) != means(ordinary)), word


@pytest.mark.exhaustive
@matrix
def test_nobody_is_sent_to_read_what_says_nothing(state: State, use_case: str) -> None:
    """Whatever else is so: an end whose care plan is empty asks for a telephone, and alarms."""
    before = CaseSoFar(state=state, due_at=None, cancel_open=state is State.CANCELLED)
    for word, newer in product((Said.VALIDATION_ACTS, Said.VALIDATION_CLOSES), (True, False)):
        response = replace(came(word, use_case, newer=newer), reason="update", says_nothing=True)
        remarks = remarks_on(before, response)
        told = replace(notice_of(state, word, use_case, newer=newer), remarks=remarks)

        assert Remark.EMPTY_PLAN in remarks
        assert is_alarming(remarks, word)
        assert moves_on(before, response) is moves_on(before, replace(response, says_nothing=False))
        assert max(each.asks for each in sentences(told)) >= Asks.TELEPHONE
        assert "says nothing of what was found" in means(told)
        for untrue in ("Read the care plan", "Read it before", "is whole without it"):
            assert untrue not in means(told)


NO_END = [word for word in Said if word not in {Said.VALIDATION_ACTS, Said.VALIDATION_CLOSES}]


@pytest.mark.parametrize("word", NO_END)
def test_what_ends_no_validation_owes_no_care_plan(word: Said) -> None:
    """An interim answer, a rejection and a control room's word are whole without one."""
    response = replace(came(word, "a4t1", newer=True), says_nothing=True)

    assert Remark.EMPTY_PLAN not in remarks_on(CaseSoFar(state=State.ACTIVE, due_at=None), response)
