"""How long to try, when to say that it is late, and when an answer is owed."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bars_gateway.standard.applications import answer_owed
from bars_gateway.standard.timing import (
    FARTHEST,
    TIMINGS,
    URGENT,
    AtItsTime,
    clinical_time,
    is_too_late,
    lead_of,
    limits,
    timing_for,
)
from bars_gateway.standard.workflow import Move, RequestType

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
RESPONSES = (Move.WAIT, Move.PROGRESS, Move.CONCLUDE, Move.DECLINE)
DAY = 24 * 60


def minutes(number: float | None) -> timedelta:
    return timedelta(minutes=number or 0)


def tried_for(
    application: str,
    needed: float | None,
    move: Move = Move.REQUEST,
    request_type: RequestType = RequestType.REFERRAL,
) -> float:
    """Return for how many minutes a message is tried that is needed in so many."""
    needed_by = None if needed is None else NOW + minutes(needed)
    found = limits(TIMINGS[application], move, request_type, needed_by, NOW)
    return (found.give_up_at - NOW) / minutes(1)


@pytest.mark.parametrize("application", ["a1", "a2", "a5", "a7", "a8"])
@pytest.mark.parametrize(
    ("needed", "referral", "booking"),
    [
        pytest.param(7 * DAY, 120, 15, id="days-ahead"),
        pytest.param(90, 85, 15, id="an-hour-and-a-half"),
        pytest.param(20, 15, 15, id="the-longest-lead"),
        pytest.param(8, 6, 6, id="a-quarter-of-what-is-left"),
        pytest.param(2, 1.5, 1.5, id="two-minutes"),
        pytest.param(0.5, 1, 1, id="at-least-a-minute"),
        pytest.param(-30, 1, 1, id="late-already"),
        pytest.param(None, 120, 120, id="no-clinical-time"),
    ],
)
def test_routine_requests_end_before_their_time_and_soon(
    application: str, needed: float | None, referral: float, booking: float
) -> None:
    """Bookings within 15 minutes, referrals within two hours, both less the lead."""
    found = [
        tried_for(application, needed, request_type=request_type)
        for request_type in (RequestType.REFERRAL, RequestType.BOOKING)
    ]

    assert [referral, booking] == found


@pytest.mark.parametrize("application", ["a3", "a6"])
@pytest.mark.parametrize(
    ("needed", "expected"),
    [(-60, 15), (0, 15), (2, 15), (29, 15), (30, 30), (DAY, 30), (None, 15)],
)
def test_a_transfer_of_duty_goes_on_past_its_time(
    application: str, needed: float | None, expected: float
) -> None:
    """A3 and A6 have no lead: the patient waits for it even when it is late."""
    assert expected == tried_for(application, needed)


@pytest.mark.parametrize(
    ("needed", "expected"), [(120, 115), (20, 15), (8, 6), (0.1, 0.075), (-5, 0), (None, 15)]
)
def test_a_validation_stops_before_its_breach(needed: float | None, expected: float) -> None:
    """The lead leaves somebody the time to telephone, before an ambulance goes."""
    assert expected == pytest.approx(tried_for("a4", needed, request_type=RequestType.VALIDATION))


def test_a_breach_that_is_days_away_does_not_mean_to_try_for_days() -> None:
    """A slip of the pen may not keep the ambulance service waiting for word."""
    assert DAY == tried_for("a4", 30 * DAY, request_type=RequestType.VALIDATION)


@pytest.mark.parametrize("move", [Move.REQUEST, Move.UPDATE])
@pytest.mark.parametrize("application", TIMINGS)
def test_only_validations_are_too_late_to_be_sent(application: str, move: Move) -> None:
    """For every other Application, late is better than never."""
    late = is_too_late(TIMINGS[application], move, NOW, NOW)

    assert (application == "a4") == late


def test_a_validation_is_not_too_late_before_its_breach() -> None:
    """Nor where nobody knows when that is."""
    moments = (NOW + timedelta(microseconds=1), None)

    assert not any(is_too_late(TIMINGS["a4"], Move.REQUEST, each, NOW) for each in moments)


@pytest.mark.parametrize("move", [Move.CANCEL, *RESPONSES])
@pytest.mark.parametrize(("application", "expected"), [("a1", 120), ("a4", 15), ("a6", 15)])
@pytest.mark.parametrize("needed", [-60, 1, 60, None])
def test_cancellations_and_responses_are_never_stopped_by_time(
    application: str, expected: float, move: Move, needed: float | None
) -> None:
    """They tell the truth late as well as in time; only the hand-in limits them."""
    needed_by = None if needed is None else NOW + minutes(needed)
    late = is_too_late(TIMINGS[application], move, needed_by, NOW)

    assert (expected, False) == (tried_for(application, needed, move), late)


@pytest.mark.parametrize(
    ("application", "needed", "expected"),
    [
        pytest.param("a1", 7 * DAY, 5, id="as-shipped"),
        pytest.param("a3", None, 1, id="urgent"),
        pytest.param("a1", 8, 3, id="half-of-the-time-there-is"),
        pytest.param("a4", 1, 0.375, id="with-half-to-go-before-a-breach"),
        pytest.param("a3", 0.5, 0.5, id="when-its-time-passes"),
        pytest.param("a3", -5, 1, id="late-already"),
    ],
)
def test_who_waits_is_told_while_something_can_be_done(
    application: str, needed: float | None, expected: float
) -> None:
    """Never only when it is over."""
    needed_by = None if needed is None else NOW + minutes(needed)
    found = limits(TIMINGS[application], Move.REQUEST, RequestType.REFERRAL, needed_by, NOW)

    assert NOW + minutes(expected) == found.delayed_at


LEFT = st.timedeltas(min_value=timedelta(days=-1), max_value=timedelta(days=1))
REQUEST_TYPES = st.sampled_from(RequestType)
APPLICATIONS = st.sampled_from(sorted(TIMINGS))


@given(APPLICATIONS, REQUEST_TYPES, st.lists(LEFT, min_size=2, max_size=8))
def test_limits_grow_with_the_clinical_time(
    application: str, request_type: RequestType, left: list[timedelta]
) -> None:
    """A minute more for the patient is never less patience with the Receiver."""
    found = [
        limits(TIMINGS[application], Move.REQUEST, request_type, NOW + each, NOW).give_up_at
        for each in sorted(left)
    ]

    assert all(earlier <= later for earlier, later in pairwise(found))


@given(APPLICATIONS, REQUEST_TYPES, LEFT, st.timedeltas(timedelta(0), timedelta(minutes=1)))
def test_limits_have_no_cliffs(
    application: str, request_type: RequestType, left: timedelta, more: timedelta
) -> None:
    """Where there is a lead, a second more to go is at most a second more of trying."""
    timing = TIMINGS[application]
    if timing.at_its_time is AtItsTime.GOES_ON:
        return
    one, other = (
        limits(timing, Move.REQUEST, request_type, NOW + each, NOW).give_up_at
        for each in (left, left + more)
    )

    assert other - one <= more + timedelta(microseconds=1)


@given(LEFT.filter(lambda left: left > timedelta(0)))
def test_a_lead_never_takes_more_than_a_quarter(left: timedelta) -> None:
    """Five minutes at most: what a telephone call takes."""
    lead = lead_of(URGENT, left)

    assert lead <= timedelta(minutes=5)
    assert abs(lead - min(left / 4, timedelta(minutes=5))) <= timedelta(microseconds=1)


ZONES = st.builds(lambda m: timezone(timedelta(minutes=m)), st.integers(-14 * 60, 14 * 60))


@given(
    st.datetimes(timezones=ZONES),
    st.timedeltas(timedelta(days=-9000), timedelta(days=90_000)),
    APPLICATIONS,
    st.sampled_from(Move),
    REQUEST_TYPES,
)
def test_no_date_of_the_calendar_stops_anything(
    needed_by: datetime, since: timedelta, application: str, move: Move, request_type: RequestType
) -> None:
    """Nothing overflows; nothing is tried for ever; nothing is given up before it came."""
    now = NOW + since
    timing = TIMINGS[application]
    found = limits(timing, move, request_type, needed_by, now)
    is_too_late(timing, move, clinical_time(needed_by, now), now)
    answer_owed(f"{application}t1", move, timing, needed_by, now)

    assert now <= found.delayed_at <= found.give_up_at <= now + timedelta(days=1)


@pytest.mark.parametrize(
    "edge",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-12))),
        datetime(2126, 3, 2, tzinfo=UTC),
        datetime(1900, 1, 1, tzinfo=UTC),
        NOW + FARTHEST + timedelta(seconds=1),
    ],
)
def test_a_date_at_the_edge_of_the_calendar_is_no_clinical_time(edge: datetime) -> None:
    """Software writes it for `never`: then the Application's own limit counts."""
    assert clinical_time(edge, NOW) is None
    assert limits(URGENT, Move.REQUEST, RequestType.REFERRAL, None, NOW) == limits(
        URGENT, Move.REQUEST, RequestType.REFERRAL, edge, NOW
    )


def test_a_clinical_time_is_kept_in_utc() -> None:
    """It is compared as text in the database."""
    summer = datetime(2026, 7, 1, 10, tzinfo=timezone(timedelta(hours=1)))
    found = clinical_time(summer, NOW)

    assert "2026-07-01T09:00:00+00:00" == (found and found.isoformat())


def test_a_safety_officers_figure_replaces_the_shipped_one() -> None:
    """For one Application, and the others keep theirs."""
    overrides = {"a4": {"lead_minutes": 10.0, "lead_share": 0.5, "at_its_time": "ends"}}
    found = timing_for("a4t1", overrides)

    assert (minutes(10), 0.5, AtItsTime.ENDS) == (found.lead, found.lead_share, found.at_its_time)
    assert URGENT.lead == timing_for("a3t1", overrides).lead


def test_a_message_without_a_use_case_is_urgent() -> None:
    """To tell too early does less harm."""
    assert URGENT == timing_for("", {})


def test_every_application_has_figures() -> None:
    """One to eight."""
    assert {f"a{n}" for n in range(1, 9)} == set(TIMINGS)


@pytest.mark.parametrize(
    ("use_case", "needed", "overrides", "expected"),
    [
        pytest.param("a4t1", 20, {}, 20, id="80-by-the-clinical-time"),
        pytest.param("a4t1", None, {}, None, id="no-time-is-known"),
        pytest.param("a4t1", 200 * 366 * DAY, {}, None, id="no-time-is-meant"),
        pytest.param("a4t3", None, {}, 120, id="two-hours-for-a-community-service"),
        pytest.param("a4t3", 20, {}, 20, id="the-clinical-time-comes-first"),
        pytest.param("a4t3", None, {"a4": {"answer_within_minutes": 60}}, 60, id="application"),
        pytest.param(
            "a4t3",
            None,
            {"a4": {"answer_within_minutes": 60}, "a4t3": {"answer_within_minutes": 30}},
            30,
            id="the-use-case-wins",
        ),
        pytest.param("a6t1", 20, {}, None, id="a-stream-has-no-end-to-be-late-for"),
        pytest.param("a6t1", 20, {"a6t1": {"answer_within_minutes": 9}}, 9, id="unless-agreed"),
        pytest.param("a6t2", 20, {}, 5, id="silence-about-mutual-aid"),
        pytest.param("a6t3", None, {}, 5, id="silence-about-a-transfer"),
        pytest.param("a1t1", 20, {"a1": {"answer_within_minutes": 5}}, None, id="nothing-is-owed"),
    ],
)
def test_an_answer_is_owed_by_its_time(
    use_case: str,
    needed: int | None,
    overrides: dict[str, dict[str, float | str]],
    expected: int | None,
) -> None:
    """The Application says whether; the message, the guide and the provider say when."""
    needed_by = None if needed is None else NOW + timedelta(minutes=needed)
    timing = timing_for(use_case, overrides)
    found = answer_owed(use_case, Move.REQUEST, timing, needed_by, NOW)

    assert (None if expected is None else NOW + minutes(expected)) == (found and found.due_at)


@pytest.mark.parametrize(("use_case", "expected"), [("a4t1", 10), ("a6t2", 3.75)])
def test_an_answer_is_warned_of_in_time(use_case: str, expected: float) -> None:
    """A4: at half of what was left; else with a quarter to go."""
    needed_by = NOW + timedelta(minutes=20)
    found = answer_owed(use_case, Move.REQUEST, timing_for(use_case, {}), needed_by, NOW)

    assert NOW + minutes(expected) == (found and found.warn_at)


@pytest.mark.parametrize(
    ("use_case", "move", "owed"),
    [
        pytest.param("a4t1", Move.UPDATE, True, id="an-update-moves-the-time-of-a-validation"),
        pytest.param("a6t2", Move.UPDATE, False, id="it-does-not-prolong-silence"),
        pytest.param("a4t1", Move.CANCEL, False, id="nothing-is-owed-to-a-cancellation"),
        pytest.param("a4t1", Move.CONCLUDE, False, id="nor-to-a-response"),
    ],
)
def test_what_else_is_owed_an_answer(use_case: str, move: Move, *, owed: bool) -> None:
    """Beside the request."""
    needed_by = NOW + timedelta(minutes=20)
    found = answer_owed(use_case, move, timing_for(use_case, {}), needed_by, NOW)

    assert owed == (found is not None)
