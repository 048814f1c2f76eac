"""When a purge begins by itself, when it is late, and how much it does at a time."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from store.test_purges import collected
from store_values import arrival

from bars_gateway.config.retention import (
    ProviderRetention,
    RetentionOverrides,
    RetentionSettings,
    rules_of,
)
from bars_gateway.epr.inbox import LeftCopies
from bars_gateway.model.messages import Actor
from bars_gateway.model.retention import PURGED, RecordClass, RetentionRule, RetentionRules
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.store import Store
from bars_gateway.upkeep.purging import (
    LATE_AFTER,
    OwnFolders,
    Portion,
    Purger,
    PurgeState,
    Purging,
    latest,
)

NIGHT = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
JO = Actor(role="operator", who="jo", why="IG-7")
FOR_GOOD = RetentionRules([RetentionRule(record_class=each, days=0) for each in PURGED])


class Time:
    """A clock that a test sets."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_database(tmp_path / "gateway.db") as database:
        yield Store(database, node="here")


def purger_at(store: Store, clock: Time, nightly_at: str | None = "01:30") -> Purger:
    def purging(stopping: asyncio.Event) -> Purging:
        return Purging(
            store.purges, {}, now=clock, monotonic=lambda: 0.0, stopping=stopping, rests=0.0
        )

    return Purger(
        store.purges,
        purging,
        FOR_GOOD,
        nightly_at=nightly_at,
        wait=store.wait_for_purge,
        wake=store.wake_purger,
        now=clock,
    )


async def number_of(store: Store) -> int:
    last = await store.purges.last_ended()
    return last.purge.number if last else 0


@pytest.mark.parametrize(
    ("hours", "purges"),
    [
        pytest.param(-0.1, 0, id="before it"),
        pytest.param(0, 1, id="at that time"),
        pytest.param(4.9, 1, id="in the same night"),
        pytest.param(5.1, 0, id="by day"),
    ],
)
async def test_a_purge_begins_at_night(store: Store, hours: float, purges: int) -> None:
    """One that was missed is not made up for by day, when messages are many."""
    await purger_at(store, Time(NIGHT + timedelta(hours=hours))).look()

    assert purges == await number_of(store)


async def test_one_purge_a_night_is_enough(store: Store) -> None:
    """The next one begins a day later."""
    clock = Time(NIGHT)
    purger = purger_at(store, clock)
    await purger.look()
    clock.at = NIGHT + timedelta(hours=1)
    await purger.look()
    same_night = await number_of(store)
    clock.at = NIGHT + timedelta(days=1)
    await purger.look()

    assert (1, 2) == (same_night, await number_of(store))


async def test_none_begins_where_nobody_wants_it(store: Store) -> None:
    """Somebody else starts it, or nobody does."""
    await purger_at(store, Time(NIGHT), nightly_at=None).look()

    assert 0 == await number_of(store)


@pytest.mark.parametrize(("days", "begun"), [(1, True), (7, True), (8, False), (365 * 3, False)])
async def test_a_clock_that_leapt_begins_no_purge(store: Store, days: int, begun: bool) -> None:  # noqa: FBT001
    """By one that is years ahead everything is old enough, and what has left comes back no more."""
    clock = Time(NIGHT)
    purger = purger_at(store, clock)
    await purger.look()
    clock.at = NIGHT + timedelta(days=days)
    await purger.look()

    assert begun == (await number_of(store) == 2)
    assert begun == (purger.state.late_since(clock()) is None)


async def test_the_first_night_doubts_the_clock_as_well(store: Store) -> None:
    """A gateway of yesterday has nothing old enough, whatever the clock says."""
    await store.inbound.receive(arrival(), NIGHT - timedelta(hours=3))
    clock = Time(NIGHT + timedelta(days=365))
    purger = purger_at(store, clock)
    await purger.look()

    assert (0, clock()) == (await number_of(store), purger.state.doubted)


async def test_a_person_who_is_sure_of_the_clock_ends_the_doubt(store: Store) -> None:
    """After a month without power the clock is right, and somebody has looked at it."""
    clock = Time(NIGHT)
    purger = purger_at(store, clock)
    await purger.look()
    clock.at = NIGHT + timedelta(days=30)
    await purger.look()
    await store.purges.begin_purge("trust", JO, FOR_GOOD, clock())
    await purger.look()
    await purger.look()
    last = await store.purges.last_ended()

    assert last is not None
    assert (3, None, None) == (last.purge.number, last.purge.provider, purger.state.doubted)


async def test_a_clock_that_was_set_right_is_doubted_no_more(store: Store) -> None:
    """By day as well: what the page says of it ends then."""
    clock = Time(NIGHT)
    purger = purger_at(store, clock)
    await purger.look()
    clock.at = NIGHT + timedelta(days=900)
    await purger.look()
    doubted = purger.state.doubted
    clock.at = NIGHT + timedelta(hours=9)
    await purger.look()

    assert (NIGHT + timedelta(days=900), None) == (doubted, purger.state.doubted)


async def test_a_purge_by_a_clock_that_was_ahead_stops_no_later_night(store: Store) -> None:
    """Its time is years to come: neither would another begin till then, nor be told to be late."""
    await store.purges.begin_purge(None, JO, FOR_GOOD, NIGHT + timedelta(days=900))
    clock = Time(NIGHT)
    purger = purger_at(store, clock)
    purger.state = PurgeState(nightly=True, since=NIGHT - timedelta(days=4))
    clock.at = NIGHT + timedelta(days=900)
    await purger.look()
    clock.at = NIGHT
    late = purger.state.late_since(clock())
    await purger.look()

    assert (NIGHT - timedelta(days=4), 2) == (late, await number_of(store))


async def test_what_has_not_ended_goes_on_by_day_too(store: Store) -> None:
    """A kill stops no purge, and whoever asks for one need not wait for the night."""
    clock = Time(NIGHT + timedelta(hours=9))
    from bars_gateway.store.purges import BY_ITSELF

    await store.purges.begin_purge(None, BY_ITSELF, FOR_GOOD, NIGHT)
    await purger_at(store, clock).look()

    assert 1 == await number_of(store)


def test_the_time_of_day_that_was_last() -> None:
    """Today's, or yesterday's while that is to come."""
    assert NIGHT == latest("01:30", NIGHT)
    assert NIGHT - timedelta(days=1) == latest("01:30", NIGHT - timedelta(seconds=1))


@pytest.mark.parametrize(
    ("nightly", "days", "late"), [(True, 3.1, True), (True, 2.9, False), (False, 30, False)]
)
def test_a_purge_is_late_after_days(nightly: bool, days: float, late: bool) -> None:  # noqa: FBT001
    """A weekend without one is no news."""
    state = PurgeState(nightly=nightly, since=NIGHT)

    assert late == (state.late_since(NIGHT + timedelta(days=days)) is not None)
    assert timedelta(days=3) == LATE_AFTER


def test_a_slow_disk_makes_the_next_portion_smaller() -> None:
    """And a fast one larger, up to a bound."""
    portion = Portion(8, 12)
    portion.took(0.02)
    slow = portion.size
    for _ in range(20):
        portion.took(0.001)

    assert (4, 12) == (slow, portion.size)


@pytest.mark.parametrize(
    ("provider", "use_case", "days"),
    [
        ("trust", "a4t1", 1),
        ("trust", "a4t2", 2),
        ("trust", "a1t1", 3),
        ("other", "a4t1", 4),
        ("other", "a4t2", 5),
        ("other", "a1t1", 30),
    ],
)
def test_the_most_particular_time_holds(provider: str, use_case: str, days: int) -> None:
    """A provider's for a use case or Application, a provider's, the use case's, everybody's."""
    everybody = RetentionSettings(
        use_cases={
            "a4t1": RetentionOverrides(payload_days=4),
            "a4": RetentionOverrides(payload_days=5),
        }
    )
    own = ProviderRetention(
        payload_days=3,
        use_cases={
            "a4t1": RetentionOverrides(payload_days=1),
            "a4": RetentionOverrides(payload_days=2),
        },
    )
    rules = rules_of(everybody, {"trust": own, "other": ProviderRetention()})

    assert days == rules.rule_for(RecordClass.PAYLOADS, provider, use_case).days


COPIES_ALONE = RetentionRules(
    [
        RetentionRule(record_class=each, days=30 if each is RecordClass.INBOX else 0)
        for each in PURGED
    ]
)


async def with_copies(store: Store, folder: Path) -> OwnFolders:
    """Store three notices, two of which the EPR has, and leave a copy of each in *folder*."""
    for _ in range(2):
        await store.inbound.receive(arrival(), NIGHT - timedelta(days=40))
    await collected(store)
    await store.inbound.receive(arrival(), NIGHT - timedelta(days=40))
    leave(folder, range(1, 4), NIGHT - timedelta(days=40))
    copies = {"trust": LeftCopies(folder)}
    return OwnFolders(store.purges, copies, node="south", now=lambda: NIGHT)


def leave(folder: Path, numbers: range, at: datetime) -> None:
    for number in numbers:
        left = folder / f"{number:012}.message.json"
        left.write_text("{}")
        os.utime(left, (at.timestamp(), at.timestamp()))


async def purge_elsewhere(
    store: Store, rules: RetentionRules = COPIES_ALONE, provider: str | None = None
) -> None:
    """Let another node carry out a purge: this one's folders are not its own."""
    await store.purges.begin_purge(provider, JO, rules, NIGHT)
    await purger_at(store, Time(NIGHT), nightly_at=None).look()


async def test_each_node_clears_its_own_folders_after_a_purge(store: Store, tmp_path: Path) -> None:
    """By its rules; what was not collected stays, and a certificate has the rest."""
    own = await with_copies(store, tmp_path)
    await own.look()
    before = len([*tmp_path.glob("*.json")])
    await purge_elsewhere(store)
    await own.look()
    newest, first = await store.purges.newest(9)
    (copies,) = newest.classes

    assert 3 == before
    assert ["000000000003.message.json"] == [each.name for each in tmp_path.glob("*.json")]
    assert ("trust", "purge 1, in the folders of node south") == (
        newest.purge.provider,
        newest.purge.why,
    )
    assert (RecordClass.INBOX, 2) == (copies.record_class, copies.count)
    assert first.purge.counts_to == newest.purge.counts_to
    assert [] == await store.purges.flaws(newest.purge.number)
    assert [] == await store.purges.flaws(first.purge.number)


async def test_a_purge_is_followed_once(store: Store, tmp_path: Path) -> None:
    """What comes to lie there later waits for the next; no certificate of copies moves that."""
    own = await with_copies(store, tmp_path)
    await purge_elsewhere(store)
    known = await store.purges.last_moment()
    await own.look()
    leave(tmp_path, range(1, 2), NIGHT - timedelta(days=40))
    await own.look()
    same = sorted(each.name for each in tmp_path.glob("*.json"))
    await purge_elsewhere(store)
    await own.look()

    assert ["000000000001.message.json", "000000000003.message.json"] == same
    assert ["000000000003.message.json"] == [each.name for each in tmp_path.glob("*.json")]
    assert known == await store.purges.last_moment()


@pytest.mark.parametrize(("provider", "left"), [("trust", 1), ("other", 3)])
async def test_a_purge_of_one_provider_is_followed_in_its_folders(
    store: Store, tmp_path: Path, provider: str, left: int
) -> None:
    """And in no other's; what was certified of a node's folders is followed by nobody."""
    own = await with_copies(store, tmp_path)
    await purge_elsewhere(store, FOR_GOOD)
    await purge_elsewhere(store, provider=provider)
    await own.look()
    done = await store.purges.newest(9)
    again = OwnFolders(store.purges, {}, node="west", now=lambda: NIGHT)
    await again.look()

    assert left == len([*tmp_path.glob("*.json")])
    assert [1, 2] == [each.number for each in await store.purges.to_follow(0)]
    assert len(done) == (3 if provider == "trust" else 2)


async def test_what_a_later_purge_of_everything_does_again_is_not_followed(
    store: Store, tmp_path: Path
) -> None:
    """A node that was off for long begins with the last of them."""
    await with_copies(store, tmp_path)
    await purge_elsewhere(store)
    await purge_elsewhere(store, provider="trust")
    await purge_elsewhere(store)

    assert [3] == [each.number for each in await store.purges.to_follow(0)]


async def test_copies_that_were_entered_by_a_start_that_died_are_removed(
    store: Store, tmp_path: Path
) -> None:
    """The next start follows the last purge once more."""
    own = await with_copies(store, tmp_path)
    await purge_elsewhere(store)
    last = await store.purges.last_ended()
    assert last is not None
    await store.purges.certify_copies(last.purge, "trust", [1, 2], "south", NIGHT)
    await own.look()

    assert ["000000000003.message.json"] == [each.name for each in tmp_path.glob("*.json")]


async def test_where_copies_stay_for_good_no_node_removes_any(store: Store, tmp_path: Path) -> None:
    """Which is so unless somebody sets a time."""
    own = await with_copies(store, tmp_path)
    await purge_elsewhere(store, FOR_GOOD)
    await own.look()

    assert 3 == len([*tmp_path.glob("*.json")])
    assert 1 == len(await store.purges.newest(9))
