"""One message that a restore cannot take is listed; the rest is restored, and nothing half."""

import pytest
from poison import SECRET, Injector, PoisonError, Step, steps_of
from store.test_restoring import (
    Home,
    acknowledge,
    alarmed,
    cancelled,
    change,
    fates,
    history,
    home,
    overview,
    queue,
    sent_by,
    takes,
)

from bars_gateway.cli.backup import meaning
from bars_gateway.model.messages import Accepted
from bars_gateway.store.aftermath import Became
from bars_gateway.store.sqlite.restore import Restored

__all__ = ["home"]  # a fixture
NOT_TAKEN = "restore.not_taken_over"
STEPS = [
    step
    for name in ("sqlite.adoption", "sqlite.adopted", "sqlite.rejudgement", "aftermath")
    for step in steps_of(f"store.{name}")
]


async def _two_acknowledged_since(home: Home) -> list[Accepted]:
    """Back up two messages that wait; then both arrive, and others come."""
    both = await home.backed_up(queue(), queue())
    await home.does(
        acknowledge, acknowledge, queue(request_id="since"), takes(request_id="received")
    )
    return both


@pytest.mark.parametrize("column", ["created_at", "settled_at", "state"])
async def test_a_row_of_the_kept_database_that_is_spoilt_stops_no_other(
    home: Home, column: str
) -> None:
    """It goes nowhere by itself, and the other is settled as it was."""
    bad, good = await _two_acknowledged_since(home)
    change(
        home.database,
        "PRAGMA ignore_check_constraints = 1",
        f"UPDATE messages SET {column} = '2026-0' WHERE id = {bad.message_id}",
    )
    restored = home.restored()
    sent, found = await home.does(sent_by, history(good.request_id))

    assert (Became.SETTLED, "acknowledged") == (
        fates(restored)[good.request_id],
        found.message.state,
    )
    assert bad.request_id not in {claim.request_id for claim in sent}
    assert all(list(meaning(restored)))


async def test_what_cannot_be_taken_over_is_listed_held_and_an_alarm(home: Home) -> None:
    """The message that waits here may have ended there: a person asks before it leaves."""
    bad, good = await _two_acknowledged_since(home)
    restored = with_poison(home, Step("store.sqlite.adoption", "Adoption", "_let_agree"))
    sent, seen = await home.does(sent_by, overview)
    failed = next(line for line in restored.lines if line.fate is Became.FAILED)

    assert bad.request_id == failed.request_id
    assert f"could not be taken over: {PoisonError.__name__} at " in str(failed.why)
    assert [bad.request_id] == alarmed(seen, NOT_TAKEN) == alarmed(seen, "restore.held")
    assert Became.SETTLED is fates(restored)[good.request_id]
    assert {bad.request_id} & {claim.request_id for claim in sent} == set()
    assert "Could not be taken over: 1 message." in "\n".join(meaning(restored))


async def test_a_cancellation_that_cannot_be_taken_over_stops_what_it_cancels(home: Home) -> None:
    """Its request waits in the backup, and would bring somebody to a patient who needs nobody."""
    (asked,) = await home.backed_up(queue())
    await home.does(acknowledge)
    await cancelled(home, asked)
    with_poison(home, Step("store.sqlite.adoption", "Adoption", "_try_to_enter"))
    (sent,) = await home.does(sent_by)

    assert [] == [claim.request_id for claim in sent]


def with_poison(home: Home, step: Step) -> Restored:
    injector = Injector()
    injector.arm(step)
    try:
        return home.restored()
    finally:
        injector.disarm()


@pytest.mark.parametrize("step", STEPS, ids=str)
async def test_a_restore_is_whole_but_for_one_or_not_begun(home: Home, step: Step) -> None:
    """Whatever fails in it: the old database is there, or the new one with the others in it."""
    both = await _two_acknowledged_since(home)
    before = home.database.read_bytes()
    try:
        restored = with_poison(home, step)
    except PoisonError:
        assert before == home.database.read_bytes()
        restored = home.restored()
    told = "\n".join(meaning(restored))
    (seen,) = await home.does(overview)
    lines = {line.request_id for line in restored.lines}

    assert {*(each.request_id for each in both), "since", "received"} <= lines
    assert len([line for line in restored.lines if line.fate is Became.FAILED]) <= 1
    assert SECRET not in told
    assert alarmed(seen, NOT_TAKEN) == [
        line.request_id for line in restored.lines if line.fate is Became.FAILED
    ]
