"""What stood unseen before a restore stands after it; what somebody had seen to does not."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from store.test_restoring import (
    LATER,
    NOT_FOUND,
    NOW,
    OPERATOR,
    PAST,
    PLACES,
    SINCE,
    Home,
    acknowledge,
    alarmed,
    fates,
    home,
    killed,
    named,
    notices,
    overview,
    queue,
    response,
    steps_of,
)
from store_values import arrival, owed

from bars_gateway.cli.backup import handed_over, meaning
from bars_gateway.model.readings import Overview
from bars_gateway.model.standing_alarms import Chosen
from bars_gateway.standard.workflow import Move
from bars_gateway.store.aftermath import Became
from bars_gateway.store.sqlite.restore import hand_over, restore
from bars_gateway.store.store import Store

__all__ = ["home"]  # a fixture
DUE = NOW + timedelta(minutes=3)  # after what comes, and before it is late


def answers(to: str, move: Move, request_id: str):
    came = response(to, move, request_id=request_id)
    return lambda store: store.responses.respond(came, NOT_FOUND, SINCE)


def orphan(request_id: str):
    return answers("nothing", Move.PROGRESS, request_id)


async def overdue(store: Store) -> None:
    await store.conversations.tell_due(LATER)


async def turned_away(store: Store) -> None:
    came = arrival(move=Move.CANCEL, focus_id="given", request_id="cancels")
    await store.questions.turn_away(came, SINCE)


async def handle_all(store: Store) -> None:
    up_to = max((alarm.number for alarm in (await store.overview(LATER)).alarms), default=0)
    await store.alarms.handle("trust", Chosen(up_to=up_to), OPERATOR, SINCE, dry_run=False)


def standing(seen: Overview) -> set[tuple[str, str | None, str]]:
    """Return each alarm with the message that it is about, and since when it stands."""
    return {(a.kind, a.request_id, a.since.isoformat()) for a in seen.alarms}


def kinds(seen: Overview) -> list[str]:
    return sorted(alarm.kind for alarm in seen.alarms)


def doubts(seen: Overview) -> list[str]:
    """Return what stands beside that a response has remarks."""
    return [kind for kind in kinds(seen) if kind != "response.remarked"]


BEFORE = (
    queue(bundle_id="asked", owed=owed(DUE)),
    acknowledge,
    lambda store: store.inbound.receive(arrival(request_id="request", focus_id="given"), NOW),
)
COURSES = {
    "contradicted": (
        answers("asked", Move.DECLINE, "no"),
        answers("asked", Move.PROGRESS, "arrived"),
    ),
    "unclear": (answers("asked", Move.UNCLEAR, "unclear"),),
    "quarantined": (orphan("orphan"),),
    "overdue": (overdue,),
    "turned away": (turned_away,),
    "given up": (queue(), lambda store: store.outbound.give_up(PAST)),
    "shared id": (
        *(queue(bundle_id="second"), named("theirs")),
        *(queue(bundle_id="third"), named("theirs")),
    ),
}
EVERY = pytest.mark.parametrize("course", COURSES.values(), ids=COURSES)


@EVERY
async def test_what_nobody_has_seen_stands_after_a_restore(home: Home, course) -> None:
    """Of the same kind, about the same, since the same time; before and after the hand-over."""
    await home.backed_up(*BEFORE)
    await home.does(*course)
    (there,) = await home.does(overview)
    restored = home.restored()
    (here,) = await home.does(overview)
    home.handed_over(restored)
    (after,) = await home.does(overview)

    assert standing(there)
    assert set() == standing(there) - standing(here)
    assert standing(there) == standing(after)
    assert sorted(a.times for a in there.alarms) == sorted(a.times for a in after.alarms)


@EVERY
async def test_what_stands_again_is_printed(home: Home, course) -> None:
    """Whoever restores is told that nothing was forgotten, and what is to be looked at."""
    await home.backed_up(*BEFORE)
    await home.does(*course)
    (there,) = await home.does(overview)
    restored = home.restored()
    printed = "\n".join(meaning(restored))

    assert [] == [a.kind for a in there.alarms if f"{a.request_id}  {a.kind}, since" not in printed]


@EVERY
async def test_what_was_marked_as_handled_there_is_handled_here(home: Home, course) -> None:
    """Whether it was raised before the backup, or after it; and also when it is handed over."""
    await home.backed_up(*BEFORE, *course)
    await home.does(handle_all)
    restored = home.restored()
    (here,) = await home.does(overview)
    home.handed_over(restored)
    (after,) = await home.does(overview)

    assert ([], []) == (kinds(here), kinds(after))


@EVERY
async def test_what_was_raised_and_handled_since_does_not_stand(home: Home, course) -> None:
    """There is nothing to do but to hand over what has come."""
    await home.backed_up(*BEFORE)
    await home.does(*course, handle_all)
    restored = home.restored()
    (here,) = await home.does(overview)
    home.handed_over(restored)
    (after,) = await home.does(overview)

    assert set() == set(kinds(here)) - {"restore.not_handed_over"}
    assert [] == kinds(after)


@EVERY
async def test_what_is_handled_after_the_restore_stays_handled(home: Home, course) -> None:
    """It is handed over twice, as by somebody who is not sure."""
    await home.backed_up(*BEFORE)
    await home.does(*course)
    restored = home.restored()
    await home.does(handle_all)
    home.handed_over(restored)
    again = home.handed_over(restored)
    (after,) = await home.does(overview)

    assert ([], []) == (kinds(after), list(again.alarms))


async def test_what_is_raised_anew_stands_under_a_new_number(home: Home) -> None:
    """It stood in the backup, and came again since: whoever saw the first has not seen it."""
    await home.backed_up(*BEFORE, answers("asked", Move.UNCLEAR, "one"), handle_all)
    await home.does(
        answers("asked", Move.DECLINE, "no"), answers("asked", Move.PROGRESS, "arrived")
    )
    restored = home.restored()
    home.handed_over(restored)
    (after,) = await home.does(overview)

    assert ["workflow.contradicted"] == doubts(after)


async def test_what_was_handled_in_quarantine_is_not_asked_for(home: Home) -> None:
    """Its copy is handed over with the rest, if somebody does."""
    await home.backed_up(*BEFORE)
    await home.does(orphan("orphan"), handle_all)
    restored = home.restored()
    (here,) = await home.does(overview)

    assert [Became.QUARANTINED] == list(fates(restored).values())
    assert [] == kinds(here)


async def test_an_alarm_of_what_is_handed_over_is_about_that_message(home: Home) -> None:
    """Until then it has the X-Request-Id alone; its number stays the same."""
    await home.backed_up(*BEFORE)
    await home.does(*COURSES["contradicted"], answers("asked", Move.WAIT, "waits"))
    restored = home.restored()
    (here,) = await home.does(overview)
    home.handed_over(restored)
    (after,) = await home.does(overview)

    assert {a.number for a in here.alarms if a.kind != "restore.not_handed_over"} == {
        a.number for a in after.alarms
    }
    assert [] == nowhere(home)


def nowhere(home: Home) -> list[object]:
    query = "SELECT kind FROM alarms WHERE ended_at IS NULL AND message_id IS NULL"
    with closing(sqlite3.connect(home.database)) as connection:
        return connection.execute(query).fetchall()


async def test_where_nothing_was_lost_nothing_is_said_of_alarms(home: Home) -> None:
    """A restore of the latest state."""
    await home.backed_up(*BEFORE, *COURSES["contradicted"])
    restored = home.restored()
    (here,) = await home.does(overview)

    assert ["workflow.contradicted"] == doubts(here)
    assert [] == list(restored.alarms)


async def test_what_could_not_be_read_at_first_stands_once_it_is_handed_over(home: Home) -> None:
    """And what is printed then names it."""
    await home.backed_up(*BEFORE)
    await home.does(*COURSES["contradicted"], *COURSES["quarantined"])
    mended = home.database.with_name("mended.db")
    mended.write_bytes(home.database.read_bytes())
    home.database.write_bytes(b"this is no database" * 1000)
    home.restored()
    done = hand_over(mended, home.database, PAST)
    (after,) = await home.does(overview)

    assert ["inbound.quarantined", "restore.forgotten", "workflow.contradicted"] == doubts(after)
    assert "arrived  workflow.contradicted, since" in "\n".join(handed_over(done, mended))


async def test_the_epr_is_told_what_it_had_not_been_told(home: Home) -> None:
    """Of a message that the backup has, too: that a cancellation was turned away."""
    await home.backed_up(*BEFORE)
    await home.does(turned_away)
    home.restored()
    (told,) = await home.does(notices)

    assert ["cancel_turned_away"] == [n.kind for n in told if n.request_id == "request"][1:]


@PLACES
async def test_a_restore_that_is_killed_forgets_no_alarm(home: Home, place: int) -> None:
    """Whoever types it again sees each once."""
    await home.backed_up(*BEFORE)
    await home.does(*COURSES["contradicted"], *COURSES["quarantined"])
    (there,) = await home.does(overview)
    at = steps_of("restore", home.backup, home.database, place)
    killed("restore", home.backup, home.database, at, LATER)
    restore(home.backup, home.database, PAST, older=True)
    (here,) = await home.does(overview)

    assert kinds(there) == [k for k in kinds(here) if k != "restore.not_handed_over"]


@PLACES
async def test_a_hand_over_that_is_killed_forgets_no_alarm(home: Home, place: int) -> None:
    """Everything or nothing, and then everything once."""
    await home.backed_up(*BEFORE)
    await home.does(*COURSES["contradicted"], *COURSES["quarantined"])
    (there,) = await home.does(overview)
    restored = home.restored()
    assert restored.aside is not None
    at = steps_of("hand-over", restored.aside, home.database, place)
    killed("hand-over", restored.aside, home.database, at, PAST)
    home.handed_over(restored)
    (after,) = await home.does(overview)

    assert standing(there) == standing(after)
    assert Path(restored.aside).exists()
    assert [1] * len(after.alarms) == [a.times for a in after.alarms]
    assert [] == alarmed(after, "restore.not_handed_over")
