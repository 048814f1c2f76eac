"""What a verdict leads to, and how long the pauses are."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest
from national_side import FOCUS_ID, NOW, a_claim

from bars_gateway.model.messages import OutboundState, Settled, TryAgain
from bars_gateway.outbound.dispatcher import PAUSE_FOR_OUR_TROUBLE, backoff, settlement_of, weighed
from bars_gateway.standard.timing import ROUTINE, URGENT
from bars_gateway.standard.verdict import Before, Judgement, Verdict

SECOND = timedelta(seconds=1)
PAUSE = timedelta(seconds=8)
CLAIM = a_claim()
UNCONFIRMED = Settled(state=OutboundState.UNCONFIRMED)


def settled(verdict, *, claim=CLAIM, now=NOW, pause=PAUSE, row="some-row", **more):
    judgement = Judgement(verdict=verdict, row=row, fault=None, ids_echoed=False)
    return settlement_of(judgement, claim, now, pause=pause, server_errors_limit=5, **more)


def after_server_errors(count):
    fields = {name: getattr(CLAIM, name) for name in CLAIM.__dataclass_fields__}
    return type(CLAIM)(**{**fields, "server_errors": count})


def test_an_acknowledgement_settles_with_the_receivers_id():
    """The id that the Receiver minted is what later changes will name."""
    expected = Settled(state=OutboundState.ACKNOWLEDGED, focus_id=FOCUS_ID)

    assert expected == settled(Verdict.ACKNOWLEDGED, acknowledged=expected)


def test_what_no_answer_can_prove_settles():
    """A person has to ask, and another POST would only cost time."""
    assert UNCONFIRMED == settled(Verdict.UNCONFIRMED)


AFTER_FOREIGN = replace(CLAIM, before=Before.FOREIGN)


@pytest.mark.parametrize("verdict", [Verdict.RETRY, Verdict.RETRY_LIMITED])
def test_after_an_answer_about_somebody_else_one_retry_is_all(verdict):
    """If that proves nothing either, a person asks."""
    assert UNCONFIRMED == settled(verdict, claim=AFTER_FOREIGN)


@pytest.mark.parametrize(
    ("verdict", "row"),
    [(Verdict.RETRY, "too-many-requests"), (Verdict.UNAUTHORIZED, "token-refused")],
)
def test_a_retry_that_did_not_get_there_is_none(verdict, row):
    """Our token or a quota stopped it: the one retry is still to come."""
    assert isinstance(settled(verdict, claim=AFTER_FOREIGN, row=row), TryAgain)


def test_a_refusal_settles():
    """A refusal is not asked again."""
    assert Settled(state=OutboundState.REFUSED) == settled(Verdict.REFUSED)


@pytest.mark.parametrize("verdict", [Verdict.RETRY, Verdict.RETRY_LIMITED])
def test_what_proves_nothing_is_tried_again_after_the_pause(verdict):
    """Silence, and what looks like it, leave the message in the queue."""
    assert TryAgain(at=NOW + PAUSE) == settled(verdict)


@pytest.mark.parametrize("verdict", [Verdict.UNAUTHORIZED, Verdict.FORBIDDEN])
def test_our_own_trouble_waits_longer(verdict):
    """A person must mend it, and the message is never refused for it."""
    assert TryAgain(at=NOW + PAUSE_FOR_OUR_TROUBLE) == settled(verdict)


def test_the_pause_does_not_skip_the_last_chance():
    """Where the pause would end too late, there is one more try before the deadline."""
    now = CLAIM.give_up_at - timedelta(seconds=5)

    assert TryAgain(at=CLAIM.give_up_at - SECOND) == settled(Verdict.RETRY, now=now)


@pytest.mark.parametrize("late", [-SECOND, SECOND, timedelta(hours=1)])
def test_past_its_time_a_message_is_unconfirmed(late):
    """Retries end by age, and then we say that we do not know (D-unconfirmed)."""
    assert UNCONFIRMED == settled(Verdict.RETRY, now=CLAIM.give_up_at + late)


@pytest.mark.parametrize(
    "verdict", [Verdict.RETRY, Verdict.RETRY_LIMITED, Verdict.UNAUTHORIZED, Verdict.FORBIDDEN]
)
def test_no_pause_leads_beyond_the_deadline(verdict):
    """Whoever asks at the deadline finds the message settled or due."""
    found = settled(verdict, pause=timedelta(days=400))

    assert isinstance(found, TryAgain)
    assert found.at < CLAIM.give_up_at


def test_the_fourth_500_is_asked_again():
    """A 500 may pass."""
    assert TryAgain(at=NOW + PAUSE) == settled(Verdict.RETRY_LIMITED, claim=after_server_errors(3))


def test_the_fifth_500_is_the_last():
    """A 500 proves nothing either way, so the message ends as unconfirmed, never as refused."""
    assert UNCONFIRMED == settled(Verdict.RETRY_LIMITED, claim=after_server_errors(4))


HOUR = timedelta(hours=1)


def counts(row="server-error", *, others_answered=False, since=None, cap=timedelta(hours=24)):
    """Return whether an answer counts: such were met *since* then, and *cap* is all its time."""
    judgement = Judgement(verdict=Verdict.RETRY_LIMITED, row=row, fault=None, ids_echoed=False)
    claim = replace(
        CLAIM,
        created_at=NOW - HOUR * 12,
        give_up_at=NOW - HOUR * 12 + cap,
        first_error_at=NOW - since if since else None,
    )
    found = weighed(judgement, claim, NOW, others_answered=others_answered)
    return found.verdict is Verdict.RETRY_LIMITED


@pytest.mark.parametrize("row", ["server-error", "other-5xx", "quota-as-500", "ok-with-an-error"])
def test_a_500_counts_once_the_receiver_answered_others(row):
    """The proxy says it of everything while its own store is down, and then it proves nothing."""
    assert (True, False) == (counts(row, others_answered=True), counts(row))


@pytest.mark.parametrize(
    ("since", "cap", "expected"),
    [
        (HOUR, timedelta(hours=24), True),
        (HOUR - SECOND, timedelta(hours=24), False),
        (timedelta(minutes=7.5), timedelta(minutes=15), True),
        (timedelta(minutes=7), timedelta(minutes=15), False),
    ],
)
def test_a_500_counts_after_an_hour_or_half_the_time_that_there_is(since, cap, expected):
    """Nobody else may be asking that Receiver anything, and somebody has to telephone in time."""
    assert expected == counts(since=since, cap=cap)


def test_a_no_to_what_may_have_arrived_counts_as_it_did():
    """It is no 500: somebody read the message."""
    assert counts("refused-in-doubt")


def test_other_answers_do_not_count_as_500s():
    """Silence after many 500s goes on until the deadline."""
    assert TryAgain(at=NOW + PAUSE) == settled(Verdict.RETRY, claim=after_server_errors(9))


@pytest.mark.parametrize("timing", [URGENT, ROUTINE], ids=["urgent", "routine"])
@pytest.mark.parametrize("attempt", [1, 2, 3, 10, 100, 10**6])
def test_pauses_double_up_to_the_longest(timing, attempt):
    """However often a message was tried, the pause stays within its Application's figures."""
    doubled = timing.first_retry.total_seconds() * 2.0 ** min(attempt - 1, 60)
    longest = min(doubled, timing.longest_retry.total_seconds())
    found = backoff(timing, attempt, random.Random(7)).total_seconds()

    assert longest / 2 <= found <= longest


def test_pauses_are_spread():
    """Messages that failed together do not come back together."""
    rng = random.Random(7)

    assert 50 == len({backoff(URGENT, 4, rng) for _ in range(50)})
