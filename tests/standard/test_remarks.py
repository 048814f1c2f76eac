"""What a case goes by where not all that was said in it arrived: every cell, and what must hold."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import permutations, product

import pytest

from bars_gateway.standard.meaning import MOVES, Said
from bars_gateway.standard.remarks import (
    IN_VAIN,
    CaseWord,
    Remark,
    gone_on_without,
    is_agreed_to,
)
from bars_gateway.standard.workflow import FINAL, REQUESTER_MOVES, Move, State

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
BEFORE, SINCE, OTHERWISE = Remark.SAID_BEFORE, Remark.SAID_SINCE, Remark.SAID_OTHERWISE
ENDS = frozenset({Move.DECLINE, Move.CONCLUDE})


def word(
    number: int, says: Said, state: str, minute: int | None = None, **more: object
) -> CaseWord:
    """Return a response of ours, written in that minute: by its number, where none is named."""
    at = NOON + timedelta(minutes=number if minute is None else minute)
    values = {"ours": True, "move": MOVES[says], "says": says, "written": (at, at)}
    return CaseWord(number=number, state=state, **(values | more))  # type: ignore[arg-type]


# Beside one word that they have: what was lost, what was heard, and which of the two is newer.

# What each stands for. Of the ends, a rejection and a final response are two.
SORTS = {
    "comes": (Said.ACCEPTED, Said.ASSIGNED, Said.ON_SCENE, Said.VALIDATION_STARTED),
    "stands down": (Said.STOOD_DOWN,),
    "declines": (Said.REJECTED, Said.NOT_ATTENDED),
    "concludes": (Said.FINISHED, Said.VALIDATION_ACTS, Said.VALIDATION_CLOSES),
}
# The lost one, the heard one: the remark where what was heard is older, and where it is newer.
TWO_WORDS = {
    ("comes", "comes"): (None, SINCE),
    ("comes", "stands down"): (None, SINCE),
    ("comes", "declines"): (None, SINCE),
    ("comes", "concludes"): (None, SINCE),
    ("stands down", "comes"): (None, None),
    ("stands down", "declines"): (None, SINCE),
    ("stands down", "concludes"): (None, SINCE),
    ("declines", "comes"): (None, None),
    ("declines", "stands down"): (None, None),
    ("declines", "declines"): (OTHERWISE, SINCE),
    ("declines", "concludes"): (None, SINCE),
    ("concludes", "comes"): (None, None),
    ("concludes", "stands down"): (None, None),
    ("concludes", "declines"): (None, SINCE),
    ("concludes", "concludes"): (OTHERWISE, SINCE),
}
PAIRS = [
    (lost, heard, remarks)
    for (sort, other), remarks in TWO_WORDS.items()
    for lost, heard in product(SORTS[sort], SORTS[other])
    if lost is not heard or MOVES[lost] in ENDS
]


@pytest.mark.parametrize(("lost", "heard", "remarks"), PAIRS, ids=str)
def test_what_is_said_beside_another_word(
    lost: Said, heard: Said, remarks: tuple[Remark | None, Remark | None]
) -> None:
    """Which of the two is newer decides, and what they stand for."""
    older, newer = word(1, heard, "acknowledged"), word(3, heard, "acknowledged")
    message = word(2, lost, "refused", attempts=1)
    found = [gone_on_without(message, State.ACTIVE, [message, each]) for each in (older, newer)]

    assert list(remarks) == found


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("says", [*SORTS["comes"], Said.STOOD_DOWN], ids=str)
def test_what_is_no_end_and_was_heard_is_the_same(says: Said, number: int) -> None:
    """Whichever of the two is the newer."""
    message, heard = word(2, says, "refused", attempts=1), word(number, says, "acknowledged")

    assert BEFORE is gone_on_without(message, State.ACTIVE, [message, heard])


# Beside two: what must hold in every cell.

# What became of the third, and whether they may go by it.
FATES: dict[str, tuple[str, dict[str, object], bool]] = {
    "acknowledged": ("acknowledged", {"attempts": 1}, True),
    "unconfirmed": ("unconfirmed", {"attempts": 1}, True),
    "refused at once": ("refused", {"attempts": 1}, False),
    "refused later": ("refused", {"attempts": 2}, True),
    "not sent": ("not_sent", {}, False),
}
REST: dict[str, tuple[str, dict[str, object], bool]] = {
    "queued": ("queued", {}, False),
    "tried": ("queued", {"attempts": 1}, True),
    "sending": ("sending", {"attempts": 1}, True),
    "held": ("held", {}, False),
    "held after an attempt": ("held", {"attempts": 1}, True),
    "held by a restore": ("held", {"restored": True}, True),
    "refused before a restore": ("refused", {"attempts": 1, "restored": True}, True),
    "withdrawn": ("withdrawn", {}, False),
}


@pytest.mark.parametrize("fate", (FATES | REST).values(), ids=FATES | REST)
def test_what_may_have_arrived_is_what_was_tried(fate: tuple[str, dict[str, object], bool]) -> None:
    """But for a refusal of the only attempt that there was."""
    state, more, arrives = fate
    third = word(3, Said.REJECTED, state, None, **more)
    lost, heard = word(1, Said.ACCEPTED, "not_sent"), word(2, Said.ASSIGNED, "acknowledged")
    found = gone_on_without(lost, State.ACTIVE, [lost, heard, third])

    assert arrives == third.may_have_arrived
    assert found is (SINCE if state == "acknowledged" or not arrives else None)


@dataclass(frozen=True)
class Cell:
    """One of ours that did not arrive, one that did, and a third of which it depends."""

    lost: CaseWord
    heard: CaseWord
    third: CaseWord
    arrives: bool  # the third may have
    remark: Remark | None

    @property
    def may_go_by_the_third(self) -> bool:
        """Whether it may have come after what was heard, whichever way they order them."""
        older = self.third.number < self.heard.number
        return self.arrives and not (older and self.third.written <= self.heard.written)  # type: ignore[operator]


# Each behaves as another one of its sort.
_ALIKE = {Said.ON_SCENE, Said.VALIDATION_STARTED, Said.VALIDATION_CLOSES}


def _cells() -> Iterator[Cell]:
    said = [each for each in Said if each not in _ALIKE]
    thirds = (Said.ACCEPTED, Said.STOOD_DOWN, Said.REJECTED, Said.FINISHED)
    for lost, heard, third in product(said, said, thirds):
        for (state, more, arrives), (places, minutes) in product(FATES.values(), ORDERS):
            words = (
                word(places[0], lost, "refused", minutes[0], attempts=1),
                word(places[1], heard, "acknowledged", minutes[1]),
                word(places[2], third, state, minutes[2], **more),
            )
            yield Cell(*words, arrives, gone_on_without(words[0], State.ACTIVE, words))


# In which order they were handed in (lost, heard, third), and in which minute each was written.
ORDERS = [
    (places, minutes)
    for places in permutations((1, 2, 3))
    for minutes in {places, (3, 2, 1), (2, 2, 2)}
]


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    """Return every one: which words, what became of the third, and in which order."""
    return list(_cells())


@pytest.mark.exhaustive
def test_a_final_word_is_never_called_the_same(cells: list[Cell]) -> None:
    """Nobody has compared the plans and the reasons."""
    assert [] == [c for c in cells if c.lost.move in ENDS and c.remark is BEFORE]


@pytest.mark.exhaustive
def test_an_end_is_never_made_good_by_word_that_somebody_comes(cells: list[Cell]) -> None:
    """Nor is a stand-down: they would wait for nobody."""
    ends = [c for c in cells if c.lost.move in ENDS or c.lost.says is Said.STOOD_DOWN]
    since = [c for c in ends if c.remark is SINCE]
    made_good = [c for c in since if {c.heard.move, c.third.move}.isdisjoint(ENDS)]

    assert since
    assert [] == made_good


@pytest.mark.exhaustive
def test_where_another_word_may_have_come_after_nothing_is_claimed(cells: list[Cell]) -> None:
    """Nobody knows which they go by: at most that they wait for no final one, and to telephone."""
    others = [c for c in cells if not c.third.says_the_same(c.heard)]
    open_ = [c for c in others if c.may_go_by_the_third and not c.third.arrived]

    assert open_
    assert [] == [c for c in open_ if c.remark in IN_VAIN]
    assert {None, OTHERWISE} == {c.remark for c in open_}


@pytest.mark.exhaustive
def test_of_two_that_they_have_in_no_clear_order_nothing_is_claimed(cells: list[Cell]) -> None:
    """The one was handed in later, the other is newer by its stamp."""
    both = [c for c in cells if c.third.arrived and not c.third.says_the_same(c.heard)]
    crossed = [
        c for c in both if not (c.third.came_before(c.heard) or c.heard.came_before(c.third))
    ]

    assert crossed
    assert [] == [c for c in crossed if c.remark in IN_VAIN]


@pytest.mark.exhaustive
def test_newer_is_only_what_is_newer_by_hand_in_and_by_stamp(cells: list[Cell]) -> None:
    """By the one alone, the other side may order them otherwise."""
    since = [c for c in cells if c.remark is SINCE]
    newer = [c.lost.came_before(c.heard) or c.lost.came_before(c.third) for c in since]

    assert since
    assert all(newer)


@pytest.mark.exhaustive
def test_the_same_is_only_what_says_the_same(cells: list[Cell]) -> None:
    """Of what they have, whichever they go by."""
    same = [c for c in cells if c.remark is BEFORE]

    assert same
    assert [] == [
        c
        for c in same
        if not c.lost.says_the_same(c.heard)
        and not (c.third.arrived and c.lost.says_the_same(c.third))
    ]


@pytest.mark.exhaustive
def test_only_an_end_of_the_same_sort_is_told_to_say_otherwise(cells: list[Cell]) -> None:
    """They wait for no other one, which is all that it says; it sends people to the telephone."""
    otherwise = [c for c in cells if c.remark is OTHERWISE]

    assert otherwise
    assert {True} == {c.lost.move in ENDS for c in otherwise}
    assert {True} == {c.lost.move in {c.heard.move, c.third.move} for c in otherwise}


@pytest.mark.exhaustive
def test_what_is_not_known_to_have_arrived_is_not_what_they_go_by(cells: list[Cell]) -> None:
    """Without a word that was acknowledged there is none."""
    said = [
        gone_on_without(
            c.lost, State.ACTIVE, [c.lost, replace(c.heard, state="unconfirmed"), c.third]
        )
        for c in cells
        if not c.third.arrived
    ]

    assert {None} == {*said}


@pytest.mark.exhaustive
def test_what_has_arrived_is_not_gone_on_without(cells: list[Cell]) -> None:
    """Whatever else was said."""
    said = [
        gone_on_without(replace(c.lost, state="acknowledged"), State.ACTIVE, [c.heard, c.third])
        for c in cells
    ]

    assert {None} == {*said}


@pytest.mark.exhaustive
def test_what_says_nothing_of_itself_is_never_gone_on_without(cells: list[Cell]) -> None:
    """A response that nobody could read, and a request, for which its case is there."""
    unclear = {c.remark for c in cells if c.lost.says is Said.UNCLEAR}
    heard = word(2, Said.ACCEPTED, "acknowledged")
    request = replace(heard, number=1, move=Move.REQUEST, says=None, written=None, state="refused")

    assert {None} == unclear
    assert gone_on_without(request, State.REFUSED, [request, heard]) is None


@pytest.mark.exhaustive
def test_what_nobody_could_read_makes_nothing_good(cells: list[Cell]) -> None:
    """It is the newest that they have: nobody knows what they go by."""
    lost = word(1, Said.ACCEPTED, "refused", attempts=1)
    unclear = word(2, Said.UNCLEAR, "acknowledged")
    newest = [c for c in cells if c.heard.says is Said.UNCLEAR and not c.third.arrived]

    assert gone_on_without(lost, State.ACTIVE, [unclear]) is None
    assert {None} == {c.remark for c in newest}


def test_a_word_whose_stamps_are_not_known_orders_nothing() -> None:
    """Nothing newer is claimed of it, and what it may have replaced is not known."""
    lost = word(1, Said.ACCEPTED, "refused", attempts=1)
    heard = word(2, Said.ASSIGNED, "acknowledged")
    doubtful = word(0, Said.REJECTED, "unconfirmed", attempts=1, written=None)

    assert gone_on_without(replace(lost, written=None), State.ACTIVE, [heard]) is None
    assert gone_on_without(lost, State.ACTIVE, [heard, doubtful]) is None


def test_what_the_other_side_says_is_no_word_of_ours() -> None:
    """They do not go by what they said themselves."""
    lost = word(1, Said.ACCEPTED, "refused", attempts=1)
    theirs = word(2, Said.ACCEPTED, "received", ours=False)

    assert gone_on_without(lost, State.ACTIVE, [lost, theirs]) is None


@pytest.mark.parametrize("state", State, ids=str)
def test_a_change_is_gone_on_without_where_its_case_is_over(state: State) -> None:
    """A cancellation, once it was answered; whatever became of either."""
    heard = word(2, Said.ACCEPTED, "acknowledged")
    ours = replace(heard, number=1, says=None, written=None)
    found = {
        move: {
            gone_on_without(replace(ours, move=move, state=each), state, [heard])
            for each in ("queued", "held", "acknowledged", "refused", "unconfirmed", "not_sent")
        }
        for move in (Move.CANCEL, Move.UPDATE)
    }
    answered = state in {State.COMPLETED, State.DECLINED}

    assert {Remark.CANCEL_AFTER_END if answered else None} == found[Move.CANCEL]
    assert {Remark.UPDATE_AFTER_END if state in FINAL else None} == found[Move.UPDATE]


# Whether somebody has agreed to a further record.

YES = (Said.ACCEPTED, Said.ASSIGNED, Said.ON_SCENE)
NO = [each for each in Said if each not in YES]
UNDER_WAY = [State.ACTIVE, State.IN_PROGRESS]


def theirs(number: int, says: Said, minute: int | None = None, **more: object) -> CaseWord:
    return word(number, says, "received", minute, ours=False, **more)


@pytest.mark.parametrize("says", YES, ids=str)
def test_a_record_is_agreed_to_by_word_that_came(says: Said) -> None:
    """And goes on."""
    agreed = {state for state in State if is_agreed_to(state, [theirs(2, says)])}

    assert {*UNDER_WAY} == agreed


def test_what_nobody_has_said_yes_to_is_not_agreed_to() -> None:
    """However far it is."""
    request = replace(word(1, Said.ACCEPTED, "acknowledged"), move=Move.REQUEST, says=None)

    assert not any(is_agreed_to(state, words) for state in State for words in ([], [request]))


AGAINST: dict[str, CaseWord] = {
    **{f"says {each}": theirs(3, each) for each in NO},
    **{f"said {each}": theirs(1, each) for each in NO},
    **{f"says {each}, in vain": word(3, each, "refused", attempts=1) for each in NO},
    "another patient": theirs(3, Said.ASSIGNED, of_another=True),
    "its end was seen": replace(
        word(1, Said.ACCEPTED, "acknowledged"), move=Move.REQUEST, says=None, shows_end=True
    ),
    **{
        f"cancel, {state}": replace(
            word(3, Said.ACCEPTED, state), move=Move.CANCEL, says=None, written=None
        )
        for state in ("queued", "held", "acknowledged", "refused", "unconfirmed", "not_sent")
    },
    **{
        f"stands down by {by}, after {sent}": each
        for sent in (Said.ASSIGNED, Said.ON_SCENE)
        for by, each in {
            "hand-in": theirs(1, sent, 9),
            "stamp": theirs(9, sent, 1),
            "both": theirs(1, sent, 1),
        }.items()
    },
}


@pytest.mark.parametrize("against", AGAINST.values(), ids=AGAINST)
@pytest.mark.parametrize("state", UNDER_WAY, ids=str)
def test_an_agreement_never_holds_where_anything_speaks_against_it(
    state: State, against: CaseWord
) -> None:
    """Whoever reads that another record stands does not act: so it has to be beyond doubt."""
    yes = theirs(2, Said.ACCEPTED)

    assert is_agreed_to(state, [yes])
    assert not is_agreed_to(state, [yes, against])


@pytest.mark.parametrize("state", ["queued", "held", "refused", "unconfirmed", "not_sent"])
def test_a_yes_of_ours_that_is_not_known_to_have_arrived_is_no_agreement(state: str) -> None:
    """Where we are asked twice: nobody there counts on it."""
    assert not is_agreed_to(State.ACTIVE, [word(2, Said.ACCEPTED, state)])
    assert is_agreed_to(State.ACTIVE, [word(2, Said.ACCEPTED, "acknowledged")])


def test_more_that_agrees_takes_nothing_away() -> None:
    """A first yes, then somebody is sent, and is there; a change of ours between."""
    words: Sequence[CaseWord] = [
        theirs(2, Said.ACCEPTED),
        replace(word(3, Said.ACCEPTED, "refused"), move=Move.UPDATE, says=None, written=None),
        theirs(4, Said.ASSIGNED),
        theirs(5, Said.ON_SCENE),
    ]

    assert {True} == {is_agreed_to(State.ACTIVE, each) for each in permutations(words)}


def test_each_word_is_of_a_sort_or_says_nothing() -> None:
    """No cell is left out."""
    named = {says for each in SORTS.values() for says in each}

    assert {*Said} == named | {Said.UNCLEAR}
    assert REQUESTER_MOVES.isdisjoint(MOVES.values())
