"""Every situation has a sentence of its own, and each sentence says whether to act."""

import re
from collections import defaultdict
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from situations import ABOUT, DUE, REMARKS, everything

from bars_gateway.model.messages import NoticeKind, OutboundState
from bars_gateway.standard.applications import USE_CASE_NAMES
from bars_gateway.standard.findings import ReadProgress
from bars_gateway.standard.meaning import MOVES, REASONS, Reason, Said
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.sentences import (
    NOTHING_TO_DO,
    TOLD_BY_ITSELF,
    Asks,
    Situation,
    means,
    sentences,
)
from bars_gateway.standard.sentences.outcomes import ONE_OVER, TOLD
from bars_gateway.standard.sentences.received import REMARKED
from bars_gateway.standard.sentences.turned_away import OF_CANCELLATIONS
from bars_gateway.standard.sentences.words import Matter, matter_of
from bars_gateway.standard.workflow import Move, RequestType, Role, State

told = cache(means)
said = cache(sentences)


def asks_of(situation: Situation) -> Asks:
    return max(each.asks for each in said(situation))


def test_the_use_cases_here_are_of_every_matter() -> None:
    """What were left out would be tested by nobody; and each use case has a matter."""
    assert set(Matter) == {matter_of(request_type, use_case) for use_case, request_type in ABOUT}
    assert Matter.UNKNOWN not in {matter_of(RequestType.REFERRAL, code) for code in USE_CASE_NAMES}


def test_how_what_was_to_be_cancelled_ended_is_named() -> None:
    """A cancellation that is tried again after an attempt may find that it is over, too."""
    texts = {
        attempts: means(
            Situation(
                kind="outcome",
                direction="outbound",
                state="refused",
                move=Move.CANCEL,
                request_type=RequestType.VALIDATION,
                use_case="a4t1",
                attempts=attempts,
                shown="completed",
            )
        )
        for attempts in (0, 1)
    }

    assert texts[0] == texts[1]
    assert "no current record under that number. It is shown as completed." in texts[0]


@pytest.mark.parametrize("remarks", [(), (Remark.CANCEL_AFTER_END,)])
def test_what_was_never_tried_is_not_on_its_way(remarks: tuple[Remark, ...]) -> None:
    """Nobody waits, for a token or a held message before it, in the belief that it has left."""
    texts = [
        means(
            Situation(
                direction="outbound",
                state="queued",
                move=Move.CANCEL if remarks else Move.REQUEST,
                request_type=RequestType.REFERRAL,
                use_case="a3",
                attempts=attempts,
                remarks=remarks,
            )
        )
        for attempts in (0, 1)
    ]

    assert ["has not left yet" in text for text in texts] == [True, False]
    assert ["on its way," in text for text in texts] == [False, True]


@pytest.mark.parametrize("state", ["acknowledged", "not_sent", "withdrawn"])
@pytest.mark.parametrize("kind", ["delayed", "held", "released", "retried", "resent"])
def test_what_is_read_once_its_message_is_settled_says_so(kind: str, state: str) -> None:
    """Nobody waits for what has ended: the notice of how it did lies beside this one."""
    read = Situation(
        kind=kind,
        direction="outbound",
        state=state,
        move=Move.REQUEST,
        request_type=RequestType.REFERRAL,
        use_case="a3",
        remarks=(Remark.UNFIT,) if kind == "delayed" else (),
    )
    settled = "The referral has been settled since. Check how it ended: another notice says so."
    twice = " If the earlier one arrived after all, two records of it are there: ask which stands."

    assert settled + (twice if kind == "resent" else "") == means(read)


@pytest.mark.exhaustive
def test_every_kind_and_state_is_told() -> None:
    """A new one has a sentence before anybody hears of it."""
    assert set(NoticeKind) <= {situation.kind for situation in everything()}
    assert {*OutboundState, "received"} == {situation.state for situation in everything()}


@pytest.mark.exhaustive
def test_every_sentence_is_whole() -> None:
    """No slot is left open, nothing is said twice, and it reads as sentences."""
    bad = [
        text
        for text in map(told, everything())
        if re.search(r"[{}]|\s{2}|^ | $|\.\.|[,:] \.", text) or not re.match(r"[A-Z].*\.$", text)
    ]

    assert [] == bad


@pytest.mark.exhaustive
def test_nobody_is_said_to_have_the_wrong_clock() -> None:
    """Two clocks differ, and which of them is wrong cannot be told from here."""
    of_clocks = {text for text in map(told, everything()) if re.search(r"\bclock is wrong\b", text)}

    assert of_clocks
    assert set() == {text for text in of_clocks if not re.search(r"\b[Aa] clock is wrong", text)}


@pytest.mark.exhaustive
def test_without_times_it_is_whole_too() -> None:
    """Not every message has a time: what names one is left out then."""
    without = [replace(each, due_at=None, ends_at=None) for each in everything()]
    bad = [text for text in map(means, without) if re.search(r"None|\d\d:\d\d|  | [.,:]", text)]

    assert [] == bad


SAYS_SO = {
    Asks.NOTHING: re.compile(re.escape(NOTHING_TO_DO) + "$"),
    Asks.WAIT: re.compile(r"\bWait: "),
    Asks.WORK: re.compile(r"\b(See|[Aa]nswer|Read|Say|Send|Give|[Dd]o not expect|You still owe)\b"),
    Asks.CHECK: re.compile(
        r"\b([Tt]elephone|Check|Ask|ask|Cancel|send it|send a new request|compare|released"
        r"|[Ss]ee that|start|Stop)\b"
    ),
    Asks.TELEPHONE: re.compile(r"\b[Tt]elephone\b"),
    Asks.ACT: re.compile(r"\b([Aa]ct now|act now|act\. Read|Telephone now|fallback now|out now)\b"),
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("asks", Asks, ids=lambda asks: asks.name)
def test_every_sentence_says_whether_to_act(asks: Asks) -> None:
    """Who has only the sentence does not have to guess."""
    texts = [told(each) for each in everything() if asks_of(each) is asks]

    assert texts != []
    assert [] == [text for text in texts if not SAYS_SO[asks].search(text)]


@pytest.mark.exhaustive
def test_nothing_to_do_is_said_where_nothing_is_asked_and_nowhere_else() -> None:
    """A sentence that asks for a call never ends with the word that nothing is to be done."""
    quiet = [each for each in everything() if NOTHING_TO_DO in told(each)]

    assert {Asks.NOTHING} == {asks_of(each) for each in quiet}


@pytest.mark.exhaustive
def test_no_text_asks_two_different_things() -> None:
    """What is asked can be told from the words alone."""
    asked = defaultdict(set)
    for situation in everything():
        asked[told(situation)].add(asks_of(situation))

    assert {} == {text: levels for text, levels in asked.items() if len(levels) > 1}


def told_as(situation: Situation) -> tuple[object, ...]:
    """Return what makes a situation another one for whoever hears of it."""
    state: object = situation.state
    kind: object = situation.kind
    if situation.direction == "inbound":
        kind = {None: "message", "amended": "message"}.get(situation.kind, situation.kind)
    elif situation.kind in {None, "outcome"}:
        kind = "outcome"
        state = "queued" if state == "sending" else state
        kind = "held" if state == "held" else kind
    if situation.reading and situation.kind is None and situation.reading is not ReadProgress.WAITS:
        kind = "cancel_not_sent"  # whoever looks reads what was told
    if kind in {"delayed", "released", "retried"} and state == "not_sent":
        kind = "read late"
    attempts = situation.attempts
    if kind not in {"held", "outcome"} or state not in {"held", "refused", "queued"}:
        attempts = 1
    if state == "refused" and situation.move is not Move.CANCEL:
        attempts = 1
    word = situation.says or situation.move
    return (
        situation.matter,
        kind,
        state,
        attempts,
        word,
        situation.reason_code,
        situation.reconciled,
        situation.shown,
        situation.reading,
        tuple(situation.remarks),
    )


@pytest.mark.exhaustive
def test_every_situation_has_a_sentence_of_its_own() -> None:
    """Two situations never share one; what is remarked upon is told by the remark."""
    plain = [each for each in everything() if not each.remarks and each.stands is None]
    meant = defaultdict(set)
    for situation in plain:
        meant[situation.matter, told(situation)].add(told_as(situation))

    assert {} == {key: whose for key, whose in meant.items() if len(whose) > 1}


NOT_AGREED = re.compile(r"not agreed yet|until (it|you) (has|agree)|until the final answer")
MOVED_ON = [State.DECLINED, State.COMPLETED, State.CANCELLED, State.UNCLEAR, State.CONTRADICTED]
MOST_SEVERE = {
    (Role.REQUESTER, State.DECLINED): {Asks.ACT},
    (Role.REQUESTER, State.COMPLETED): {Asks.CHECK, Asks.ACT},
    (Role.REQUESTER, State.CANCELLED): {Asks.CHECK, Asks.NOTHING},
    (Role.REQUESTER, State.UNCLEAR): {Asks.TELEPHONE},
    (Role.REQUESTER, State.CONTRADICTED): {Asks.TELEPHONE},
    (Role.RESPONDER, State.DECLINED): {Asks.NOTHING},
    (Role.RESPONDER, State.COMPLETED): {Asks.NOTHING},
    (Role.RESPONDER, State.CANCELLED): {Asks.CHECK, Asks.WORK},
    (Role.RESPONDER, State.UNCLEAR): {Asks.TELEPHONE},
    (Role.RESPONDER, State.CONTRADICTED): {Asks.TELEPHONE},
}


def looked_at(role: Role, use_case: str, request_type: RequestType, **now: object) -> Situation:
    ours = role is Role.REQUESTER
    return Situation(
        direction="outbound" if ours else "inbound",
        state="acknowledged" if ours else "received",
        move=Move.REQUEST,
        request_type=request_type,
        use_case=use_case,
        due_at=DUE,
        **now,  # type: ignore[arg-type]
    )


@pytest.mark.exhaustive
@pytest.mark.parametrize(("use_case", "request_type"), ABOUT)
@pytest.mark.parametrize(("role", "state"), MOST_SEVERE, ids=str)
def test_a_request_that_is_looked_at_says_how_its_case_stands(
    role: Role, state: State, use_case: str, request_type: RequestType
) -> None:
    """What was so when it was acknowledged, or came, is not told once it has moved on."""
    moved = looked_at(role, use_case, request_type, stands=state)
    before = replace(moved, stands=State.ACTIVE)

    assert asks_of(moved) in MOST_SEVERE[role, state]
    assert means(moved) != means(before)
    assert not NOT_AGREED.search(means(moved))


@pytest.mark.parametrize(("use_case", "request_type"), ABOUT)
@pytest.mark.parametrize("role", Role)
def test_a_request_that_nobody_has_answered_reads_as_it_did(
    role: Role, use_case: str, request_type: RequestType
) -> None:
    """As long as nothing was said of it, it is as its outcome told."""
    still = looked_at(role, use_case, request_type, stands=State.ACTIVE)

    assert means(replace(still, stands=None)) == means(still)


@pytest.mark.parametrize("use_case", ["a6t1", "a6t2", "a6t3"])
def test_a_stand_down_is_told_with_the_request_too(use_case: str) -> None:
    """Whoever looks at the request must not believe that somebody comes."""
    now = {"stands": State.ACTIVE, "newest": Said.STOOD_DOWN}
    ours, theirs = (looked_at(role, use_case, RequestType.REFERRAL, **now) for role in Role)

    assert "Nobody is on the way now" in means(ours)
    assert "nobody is on the way from here" in means(theirs)


@pytest.mark.parametrize("state", MOVED_ON)
def test_a_response_that_holds_no_more_says_how_the_case_stands(state: State) -> None:
    """What was so when it came is not told as if it were so now."""
    response = replace(
        looked_at(Role.RESPONDER, "a6t2", RequestType.REFERRAL, stands=state),
        move=Move.PROGRESS,
        says=Said.ON_SCENE,
    )

    assert "A resource is with the patient." not in means(response)
    assert asks_of(response) in MOST_SEVERE[Role.REQUESTER, state]


def test_a_word_that_somebody_has_overruled_is_not_the_newest() -> None:
    """Declined, says the Responder; a person has found out that it has begun."""
    ours = looked_at(
        Role.REQUESTER,
        "a6t2",
        RequestType.REFERRAL,
        stands=State.IN_PROGRESS,
        newest=Said.REJECTED,
    )

    assert "turned this down" not in means(ours)
    assert "has begun" in means(ours)


@pytest.mark.parametrize("remark", sorted(OF_CANCELLATIONS))
def test_what_is_wrong_with_a_cancellation_is_not_said_of_its_request(remark: Remark) -> None:
    """Nobody here has the cancellation: its notice is about the request, whose number is right."""
    turned_away = Situation(
        kind="cancel_turned_away",
        direction="inbound",
        state="received",
        move=Move.REQUEST,
        request_type=RequestType.REFERRAL,
        use_case="a3t1",
    )
    plain, doubted = means(turned_away), means(replace(turned_away, remarks=(remark,)))
    added = doubted.removeprefix(plain)

    assert doubted.startswith(plain)
    assert "he cancellation" in added
    assert "before you stop anything" in added
    assert not re.search(r"\bin this\b|\bThis\b", added)


def test_every_remark_is_told() -> None:
    """It adds words of its own, or turns the sentence into another."""
    assert set(Remark) == set(REMARKED) | TOLD_BY_ITSELF
    assert set() == set(REMARKED) & TOLD_BY_ITSELF


@pytest.mark.exhaustive
def test_every_remark_adds_something_that_no_other_adds() -> None:
    """A remark that is not in the words might as well not be there."""
    for use_case, request_type in ABOUT:
        for word in (Said.ASSIGNED, Said.REJECTED, Said.VALIDATION_CLOSES):
            plain = Situation(
                kind="message",
                direction="inbound",
                state="received",
                move=MOVES[word],
                says=word,
                request_type=request_type,
                use_case=use_case,
            )
            texts = [means(replace(plain, remarks=(each,))) for each in REMARKS if each != "held"]

            assert len({means(plain), *texts}) == len(texts) + 1


def answered(says: Said, use_case: str, remark: Remark) -> Situation:
    """Return a response with a remark."""
    return Situation(
        kind="message",
        direction="inbound",
        state="received",
        move=MOVES[says],
        says=says,
        request_type=RequestType.VALIDATION if use_case.startswith("a4") else RequestType.REFERRAL,
        use_case=use_case,
        remarks=(remark,),
    )


@pytest.mark.exhaustive
@pytest.mark.parametrize("says", [Said.REJECTED, Said.NOT_ATTENDED, Said.STOOD_DOWN])
@pytest.mark.parametrize("remark", [*Remark], ids=str)
def test_who_gives_a_patient_back_is_never_said_to_act_on_it(remark: Remark, says: Said) -> None:
    """A fallback that is stopped for that leaves the patient with nobody."""
    text = means(answered(says, "a6t2", remark))

    assert not re.search("[Ss]top what was begun|service goes on|acts on it all the same", text)


@pytest.mark.parametrize("says", [Said.ASSIGNED, Said.ON_SCENE, Said.ACCEPTED])
def test_what_goes_on_after_a_refusal_may_be_done_twice(says: Said) -> None:
    """Both sides send somebody: one of them is not needed."""
    text = means(answered(says, "a6t2", Remark.ANSWERS_REFUSED))

    assert "acts on it all the same. Telephone, and stop what was begun in its place" in text


@pytest.mark.exhaustive
@pytest.mark.parametrize("remark", [*Remark], ids=str)
@pytest.mark.parametrize(
    "says", [Said.REJECTED, Said.VALIDATION_STARTED, Said.VALIDATION_ACTS, Said.VALIDATION_CLOSES]
)
def test_of_a_validation_nobody_is_on_the_way(remark: Remark, says: Said) -> None:
    """A clinician telephones the patient: nobody drives."""
    assert "on the way" not in means(answered(says, "a4t1", remark))
    assert "on its way" not in means(answered(says, "a4t1", remark))
    assert "on the way" not in means(
        looked_at(Role.REQUESTER, "a4t1", RequestType.VALIDATION, stands=State.CONTRADICTED)
    )


def test_a_cancellation_that_came_after_the_end_cancels_nothing() -> None:
    """It was received, and is not said to have given the patient back."""
    text = means(
        Situation(
            kind="outcome",
            direction="outbound",
            state="acknowledged",
            move=Move.CANCEL,
            request_type=RequestType.REFERRAL,
            use_case="a6t2",
            remarks=(Remark.CANCEL_AFTER_END,),
        )
    )

    assert text.startswith("The cancellation has been received, but the final response had come")
    assert "is cancelled" not in text
    assert 1 == text.count("final response had come before")


@pytest.mark.parametrize("state", ["refused", "unconfirmed", "not_sent", "acknowledged"])
@pytest.mark.parametrize("use_case", ["a6t1", "a6t2", "a6t3"])
def test_an_acceptance_is_not_told_as_a_stand_down(use_case: str, state: str) -> None:
    """They know of no yes: nobody there believes that a resource is on the way."""
    stood_down = Situation(
        kind="outcome",
        direction="outbound",
        state=state,
        move=Move.WAIT,
        says=Said.STOOD_DOWN,
        request_type=RequestType.REFERRAL,
        use_case=use_case,
    )
    accepted = replace(stood_down, says=Said.ACCEPTED)

    assert "our message that no resource is assigned" in means(stood_down)
    assert "our message that you accept this" in means(accepted)
    assert "resource" not in means(accepted)
    assert asks_of(accepted) is asks_of(stood_down)


def rejected(use_case: str, **more: Any) -> Situation:
    """Return that a rejection came in, as an answer to a validation or a referral."""
    return Situation(
        kind="message",
        direction="inbound",
        state="received",
        move=Move.DECLINE,
        says=Said.REJECTED,
        request_type=RequestType.VALIDATION if use_case == "a4t1" else RequestType.REFERRAL,
        use_case=use_case,
        **more,
    )


@pytest.mark.parametrize("use_case", ["a4t1", "a6t3"])
def test_where_one_of_two_is_turned_down_nothing_comes_back_that_never_went(use_case: str) -> None:
    """Whoever asked is responsible all the time, and is told to act, whatever the other says."""
    text = means(rejected(use_case, remarks=(Remark.OTHER_STANDS,)))

    assert "You remain responsible: act now. Another one stands there" in text
    assert "again" not in text


@pytest.mark.parametrize("use_case", ["a3t1", "a6t2", "a7t1"])
def test_where_one_of_two_is_cancelled_nothing_has_come_back(use_case: str) -> None:
    """The other record stands, and somebody may be acting on it."""
    text = means(
        Situation(
            kind="outcome",
            direction="outbound",
            state="acknowledged",
            move=Move.CANCEL,
            request_type=RequestType.BOOKING if use_case == "a7t1" else RequestType.REFERRAL,
            use_case=use_case,
            remarks=(Remark.OTHER_STANDS,),
        )
    )

    assert "Another one stands there" in text
    assert "is yours again" not in text
    assert "There may be two records" not in text


@pytest.mark.exhaustive
def test_a_rejection_alarms_whoever_asked() -> None:
    """It never reads as a message that merely came."""
    rejected = [
        each
        for each in everything()
        if each.says is Said.REJECTED and each.kind == "message" and not each.remarks
    ]

    assert {Asks.ACT} == {asks_of(each) for each in rejected}
    assert all("The patient is your responsibility again: act now." in means(e) for e in rejected)


@pytest.mark.parametrize("reason", Reason)
def test_a_rejection_says_why_in_the_words_of_the_standard(reason: Reason) -> None:
    """A code is displayed; free text is nowhere."""
    text = means(rejected("a4t1", reason_code=reason))

    assert text.endswith(f" Reason given: {REASONS[reason]}.")


def test_an_older_rejection_is_not_told_as_a_new_one() -> None:
    """Nobody stands by a newer word if the old one says to act; nor passes over the old."""
    text = means(rejected("a6t3", remarks=(Remark.OUT_OF_ORDER,)))

    assert "act now" not in text
    assert "Telephone now" in text


def test_a_care_plan_that_asks_to_act_reads_otherwise_than_one_that_does_not() -> None:
    """The one alarms, the other is read before the case is closed."""
    acts, closes = (
        Situation(
            kind="message",
            direction="inbound",
            state="received",
            move=Move.CONCLUDE,
            says=word,
            request_type=RequestType.VALIDATION,
            use_case="a4t1",
        )
        for word in (Said.VALIDATION_ACTS, Said.VALIDATION_CLOSES)
    )

    assert (Asks.ACT, Asks.WORK) == (asks_of(acts), asks_of(closes))


def test_who_is_responsible_is_said_by_application() -> None:
    """An acknowledged referral has passed it on, an acknowledged validation has not."""
    taken = Situation(
        kind="outcome",
        direction="outbound",
        state="acknowledged",
        move=Move.REQUEST,
        request_type=RequestType.REFERRAL,
        use_case="a3t1",
    )
    validation = replace(taken, request_type=RequestType.VALIDATION, use_case="a4t1", due_at=DUE)

    assert "Responsibility has passed to it." in means(taken)
    assert "remain responsible until the final answer, which is owed by 14:05 UTC" in means(
        validation
    )


@pytest.mark.exhaustive
def test_nothing_that_was_refused_says_that_nobody_is_on_the_way() -> None:
    """A refused cancellation leaves what it would have ended; its outcome says so, at the least."""
    cancels = [
        each
        for each in everything()
        if each.move is Move.CANCEL
        and each.state in {"refused", "unconfirmed", "not_sent"}
        and each.kind not in TOLD
    ]

    assert {Asks.TELEPHONE} == {asks_of(each) for each in cancels}


@pytest.mark.parametrize(
    ("stronger", "same"),
    [
        pytest.param(Remark.OTHER_PATIENT, Remark.TWO_PATIENTS, id="another-beside-ours"),
        pytest.param(Remark.TWO_PATIENTS, Remark.UNKNOWN_PATIENT, id="one-of-whom-little-is-said"),
    ],
)
def test_whose_a_message_is_is_asked_once(stronger: Remark, same: Remark) -> None:
    """Another patient beside ours is two patients, too: both asked for the same check."""
    came = Situation(
        kind="message",
        direction="inbound",
        state="received",
        move=Move.CONCLUDE,
        request_type=RequestType.VALIDATION,
        use_case="a4t1",
        says=Said.VALIDATION_ACTS,
        remarks=(stronger, same),
    )

    assert means(replace(came, remarks=(stronger,))) == means(came)
    assert means(replace(came, remarks=(same, stronger))) == means(came)


LOOKED_AT = Situation(
    direction="inbound",
    state="received",
    move=Move.PROGRESS,
    request_type=RequestType.VALIDATION,
    use_case="a4t1",
    says=Said.VALIDATION_STARTED,
    stands=State.IN_PROGRESS,
    newest=Said.VALIDATION_STARTED,
    owed="overdue",
    due_at=DUE,
)


@pytest.mark.parametrize(
    "situation",
    [
        pytest.param(replace(LOOKED_AT, remarks=(Remark.LATE,)), id="a-late-interim"),
        pytest.param(
            replace(
                LOOKED_AT,
                direction="outbound",
                state="queued",
                move=Move.REQUEST,
                says=None,
                stands=State.REQUESTED,
                newest=None,
                late=True,
                remarks=(Remark.PAST_ITS_TIME,),
            ),
            id="a-late-request",
        ),
    ],
)
def test_a_fallback_that_may_be_running_is_not_to_be_started(situation: Situation) -> None:
    """One text said both: start it now, and it may be running already."""
    text = means(situation)

    assert "your fallback may already be running" in text
    assert "Start your fallback" not in text


@pytest.mark.parametrize("use_case", ["a3t1", "a4t1", "a6t1", "a6t2", "a6t3", "a1t1", "x9"])
def test_what_goes_on_beside_one_that_is_over_is_not_quiet(use_case: str) -> None:
    """In every Application: what it says of responsibility stays, and there is something to do."""
    sent = replace(
        LOOKED_AT,
        direction="outbound",
        state="acknowledged",
        move=Move.REQUEST,
        request_type=RequestType.REFERRAL,
        use_case=use_case,
        says=None,
        stands=State.ACTIVE,
        newest=None,
        owed=None,
    )
    alone, beside = means(sent), means(replace(sent, one_over=True))

    assert alone.endswith(NOTHING_TO_DO)
    assert beside == alone.replace(NOTHING_TO_DO, ONE_OVER.text)


def test_whoever_answers_is_not_told_of_a_fallback_of_theirs() -> None:
    """The fallback is of whoever asked; the answer that is late is asked for once."""
    ours = replace(LOOKED_AT, direction="outbound", state="acknowledged")
    text = means(replace(ours, remarks=(Remark.PAST_ITS_TIME,)))

    assert "your fallback" not in text
    assert "whoever asked may have acted without it. Telephone" in text


def test_whoever_owes_an_answer_is_asked_for_it_once() -> None:
    """The request read: give it, answer as soon as you can, give it."""
    asked = replace(LOOKED_AT, move=Move.REQUEST, says=None)

    assert 1 == means(asked).lower().count("give it")


@pytest.mark.exhaustive
@pytest.mark.parametrize("use_case", ["a4t1", "a6t1", "a6t2", "a6t3"])
def test_a_rejection_that_gives_the_patient_back_says_nothing_to_the_contrary(
    use_case: str,
) -> None:
    """Also where responsibility had never passed: not in one text that it is there, and stays."""
    of_use_case = [each for each in everything() if each.use_case == use_case]
    rejections = [each for each in of_use_case if each.says == Said.REJECTED]
    remarked = {replace(each, remarks=(remark,)) for each in rejections for remark in REMARKS}
    texts = [told(each) for each in (*rejections, *remarked)]
    given_back = [each for each in texts if "The patient is your responsibility again" in each]

    assert given_back
    assert [] == [
        each
        for each in given_back
        if re.search(
            r"(remain|stays?) responsible|patient is not yours|passed to|nothing to do", each
        )
    ]
