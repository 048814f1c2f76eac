"""Courses of resources, and stamps of any clock: what each is read as, and who hears of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from store_values import wording

from bars_gateway.standard.meaning import (
    Reading,
    Said,
    Spoken,
    Written,
    ordered_as,
    placed,
    read_as,
)
from bars_gateway.standard.remarks import (
    CaseSoFar,
    Remark,
    Response,
    is_alarming,
    moves_on,
    remarks_on,
)
from bars_gateway.standard.sentences import NOTHING_TO_DO, Situation, means
from bars_gateway.standard.workflow import RequestType, State, is_worse, led_on

ASKED = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
OURS = Written(url="ours", keys=frozenset({"ours"}), status="triaged", at=None, reason=None)
NOW = 0.05  # minutes that a message takes
SLOW = (NOW, 1.1, 60)
SENT = {Said.ASSIGNED, Said.ON_SCENE}


@dataclass(frozen=True)
class Told:
    """What became of one response of a course."""

    status: str
    reading: Reading
    remarks: Sequence[Remark]
    state: State
    alarms: bool

    @property
    def is_calm(self) -> bool:
        """Tell whether its notice asks for nothing."""
        return NOTHING_TO_DO in means(self.situation)

    @property
    def situation(self) -> Situation:
        return Situation(
            kind="amended" if Remark.AMENDED in self.remarks else "message",
            direction="inbound",
            state="received",
            move=self.reading.move,
            request_type=RequestType.REFERRAL,
            use_case="a6t2",
            says=self.reading.said,
            remarks=tuple(self.remarks),
        )


def play(course: Sequence[tuple[str, float]]) -> list[Told]:
    """Let each Encounter come a minute after the last, stamped so many minutes ago."""
    state, so_far, told = State.REQUESTED, list[Spoken](), list[Told]()
    for number, (status, ago) in enumerate(course, start=1):
        came_at = ASKED + number * MINUTE
        words = wording(status, came_at - ago * MINUTE)
        words = replace(words, encounters=(OURS, *words.encounters), sent_at=came_at)
        at, ours = ordered_as(came_at - ago * MINUTE, came_at), frozenset({"ours"})
        place = placed(so_far, at, came_at, ASKED)
        reading = read_as(words, ours, use_case="a6t2", before=place.follows)
        before = CaseSoFar(state=state, due_at=None, says=so_far[0].says if so_far else None)
        response = Response(
            move=reading.move,
            says=reading.said,
            request_type=RequestType.REFERRAL,
            use_case="a6t2",
            reason="new",
            newer=place.newest,
            came_at=came_at,
        )
        remarks = remarks_on(before, response)
        reached = led_on(state, reading.move) if moves_on(before, response) else state
        alarms = is_alarming(remarks, reading.said) or is_worse(state, reached)
        told.append(Told(status, reading, remarks, reached, alarms))
        state = reached
        so_far.append(Spoken(says=reading.said, said_at=at, sent_at=came_at, came_at=came_at))
        so_far.sort(key=lambda word: (word.said_at, word.sent_at), reverse=True)
    return told


@pytest.mark.parametrize(
    "course",
    [
        pytest.param([("planned", NOW), ("in-progress", NOW), ("planned", 60)], id="an-hour"),
        pytest.param([("planned", NOW), ("in-progress", NOW), ("planned", 1.1)], id="seconds"),
        pytest.param([("planned", NOW), ("arrived", NOW), ("planned", 2.9)], id="before-the-yes"),
        pytest.param([("in-progress", NOW), ("planned", 60)], id="before-anybody-asked"),
        pytest.param(
            [("planned", NOW), ("in-progress", NOW), ("cancelled", NOW), ("planned", 2.5)],
            id="after-an-end",
        ),
    ],
)
def test_a_slow_clock_hides_no_stand_down(course: list[tuple[str, float]]) -> None:
    """It read as a yes that was overtaken: nobody was on the way, and nobody was told."""
    *_, last = play(course)

    assert Said.STOOD_DOWN is last.reading.said
    assert Remark.OUT_OF_ORDER in last.remarks
    assert last.alarms
    assert "Telephone now" in means(last.situation)


@pytest.mark.parametrize(
    "course",
    [
        pytest.param([("planned", NOW), ("planned", NOW)], id="told-twice-before-anybody-is-sent"),
        pytest.param([("in-progress", NOW), ("planned", 1.5)], id="overtaken"),
        pytest.param([("in-progress", 60), ("planned", 62)], id="overtaken-and-all-clocks-slow"),
        pytest.param([("planned", 0.5), ("in-progress", NOW), ("planned", 2.5)], id="once-more"),
    ],
)
def test_a_first_yes_stays_one(course: list[tuple[str, float]]) -> None:
    """Where it can be one by its stamps; a person hears of one that an allocation overtook."""
    *_, last = play(course)

    assert Said.ACCEPTED is last.reading.said
    assert (Remark.OUT_OF_ORDER in last.remarks) == bool(last.alarms)


COURSES = [
    list(zip(statuses, slow, strict=True))
    for statuses in product(
        ("planned", "in-progress", "arrived", "finished", "cancelled"), repeat=3
    )
    for slow in product(SLOW, repeat=3)
]


@pytest.mark.exhaustive
def test_no_order_of_resources_hides_that_nobody_comes() -> None:
    """After a first yes, and with any clocks: what may give the patient back is never calm."""
    for course in COURSES:
        told = play([("planned", NOW), *course])
        for number, last in enumerate(told):
            sent = any(each.reading.said in SENT for each in told[:number])
            if last.status == "cancelled" or (last.status == "planned" and sent):
                assert not last.is_calm, course
                assert last.alarms or last.state in {State.DECLINED, State.CONTRADICTED}, course


def test_a_second_planned_after_somebody_was_sent_is_no_first_yes() -> None:
    """Whatever the three stamps are, as long as the case has not ended."""
    for sent, *slow in product(("in-progress", "arrived"), SLOW, SLOW):
        *_, last = play([("planned", NOW), *zip((sent, "planned"), slow, strict=True)])

        assert Said.STOOD_DOWN is last.reading.said, (sent, slow)
        assert last.alarms, (sent, slow)
