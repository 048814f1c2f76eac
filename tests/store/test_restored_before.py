"""A kept database that has not lived through everything is believed no more than a lost one."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from figures import AT_REST
from store.test_restored_questions import YES, asks, says, still_open
from store.test_restoring import (
    NOT_FOUND,
    OPERATOR,
    PAST,
    SINCE,
    UNKNOWN,
    Home,
    change,
    fates,
    gone,
    home,
    overview,
    overwritten,
    queue,
    response,
    sent_by,
    takes,
    verb,
)
from store_values import arrival, refusal

from bars_gateway.cli.backup import meaning
from bars_gateway.model.interventions import Verb
from bars_gateway.model.readings import Overview
from bars_gateway.model.standing_alarms import Alarm, Chosen
from bars_gateway.standard.remarks import Remark
from bars_gateway.status.concerns import concerns
from bars_gateway.store.aftermath import Became
from bars_gateway.store.sqlite.backup import back_up
from bars_gateway.store.sqlite.restore import DatabaseCondition, Restored, restore
from bars_gateway.store.store import Store

__all__ = ["home"]  # a fixture

Act = Callable[[Store], Awaitable[object]]


def again(home: Home) -> Restored:
    """Put the same backup back a second time, as somebody does who wants to read it once more."""
    return restore(home.backup, home.database, PAST, older=True)


def copied(home: Home) -> Path:
    """Return a copy of the database as it is: a backup, or a snapshot of the machine."""
    copy = home.database.with_name("older.db")
    back_up(home.database, copy)
    return copy


# What an earlier restore has left.


@UNKNOWN
async def test_what_a_restore_has_left_is_not_whole(home: Home, damage, condition) -> None:
    """It never saw what was acknowledged after the backup, and nobody can ask it about that."""
    await home.backed_up(takes(request_id="before"))
    await home.does(takes(request_id="lost"))
    await asyncio.to_thread(damage, home.database)
    first, second, third = home.restored(), again(home), restored_later(home)
    printed = ["\n".join(meaning(each)) for each in (first, second, third)]

    assert condition is first.condition
    assert [DatabaseCondition.INCOMPLETE] * 2 == [second.condition, third.condition]
    assert [True] * 3 == ["Forgotten after 2026-03-02 09:01:00 UTC" in each for each in printed]
    assert [False] * 3 == ["Forgotten: no message" in each for each in printed]


def restored_later(home: Home) -> Restored:
    return restore(home.backup, home.database, PAST.replace(hour=13), older=True)


async def test_it_is_not_whole_once_it_has_run(home: Home) -> None:
    """A day of new messages does not bring back what was forgotten before."""
    (waits,) = await home.backed_up(queue())
    overwritten(home.database)
    home.restored()
    await home.does(takes(), takes(request_id="since"))
    restored = again(home)
    (sent,) = await home.does(sent_by)

    assert DatabaseCondition.INCOMPLETE is restored.condition
    assert Became.HELD is fates(restored)[waits.request_id]
    assert Became.TO_HAND_OVER is fates(restored)["since"]
    assert [] == sent


async def test_an_older_backup_put_back_by_mistake_does_not_make_it_whole(home: Home) -> None:
    """The newer one is put in its place at once: what was lost with the disk stays lost."""
    older = (await home.does(takes()), copied(home))[1]
    await home.backed_up(takes())
    await home.does(takes(request_id="lost"))
    overwritten(home.database)
    restore(older, home.database, SINCE, older=True)
    restored = home.restored()

    assert (DatabaseCondition.INCOMPLETE, False) == (restored.condition, restored.listed)


async def test_what_was_restored_over_a_whole_one_is_whole(home: Home) -> None:
    """That restore could say what it had forgotten, and has taken over how messages ended."""
    (accepted,) = await home.backed_up(queue())
    await home.does(verb(Verb.WITHDRAW, accepted))
    home.restored()
    restored = again(home)

    assert (DatabaseCondition.WHOLE, True) == (restored.condition, restored.listed)
    assert {accepted.request_id: Became.SETTLED} == fates(restored)


async def test_a_backup_that_was_made_after_a_restore_is_all_there_is(home: Home) -> None:
    """It has forgotten the same: the database goes on from it, and knows what came since."""
    await home.does(takes())
    copied(home)
    overwritten(home.database)
    restore(home.database.with_name("older.db"), home.database, SINCE, older=True)
    (accepted,) = await home.backed_up(queue())
    await home.does(verb(Verb.WITHDRAW, accepted))
    restored = home.restored()

    assert (DatabaseCondition.WHOLE, True) == (restored.condition, restored.listed)


async def test_nothing_is_called_remembered_while_something_is_to_be_handed_over(
    home: Home,
) -> None:
    """The first restore has listed it; the second says that its alarm stands again."""
    await home.backed_up()
    await home.does(takes(request_id="after"))
    home.restored()
    printed = "\n".join(meaning(again(home)))

    assert "    after  restore.not_handed_over, since" in printed
    assert "Forgotten: no message" not in printed


# What has begun again, or went back to an earlier day.


async def test_one_that_only_receives_and_has_begun_again_is_incomplete(home: Home) -> None:
    """It has more messages than the backup, and later ones; none of them is the backup's."""
    await home.backed_up(takes(request_id="before"))
    await asyncio.to_thread(gone, home.database)
    await home.does(*(takes(request_id=f"new-{number}") for number in range(3)))
    restored = home.restored()

    assert (DatabaseCondition.INCOMPLETE, False) == (restored.condition, restored.listed)
    assert dict.fromkeys(("new-0", "new-1", "new-2"), Became.TO_HAND_OVER) == fates(restored)


async def test_there_the_epr_is_told_that_it_may_have_answered(home: Home) -> None:
    """It had said yes, and the database that knew of it is gone."""
    await home.backed_up(asks)
    await home.does(says(YES))
    await asyncio.to_thread(gone, home.database)
    await home.does(*(takes() for _ in range(5)))
    home.restored()
    (questions,) = await home.does(still_open)

    assert [[Remark.RESTORED]] == questions


def refuses(request_id: str) -> Act:
    return lambda store: store.inbound.refuse(refusal(arrival(request_id=request_id)), SINCE)


def quarantines(request_id: str) -> Act:
    orphan = response("nothing", request_id=request_id)
    return lambda store: store.responses.respond(orphan, NOT_FOUND, SINCE)


@pytest.mark.parametrize(
    "has", [takes(), asks, refuses("x"), quarantines("x")], ids=["message", "question", "no", "404"]
)
async def test_one_that_lacks_anything_of_the_backup_is_incomplete(home: Home, has: Act) -> None:
    """A message, a question, an answer that was given, a response in quarantine."""
    snapshot = (await home.does(queue()), copied(home))[1]
    await home.backed_up(has)
    shutil.copy(snapshot, home.database)
    await home.does(*(takes() for _ in range(5)))

    assert DatabaseCondition.INCOMPLETE is home.restored().condition


async def test_what_was_withdrawn_does_not_go_out_after_a_roll_back(home: Home) -> None:
    """The machine went back to a snapshot, in which it waits, and ran on from there."""
    snapshot, accepted = None, (await home.does(queue()))[0]
    snapshot = copied(home)
    await home.backed_up(verb(Verb.WITHDRAW, accepted))
    shutil.copy(snapshot, home.database)
    await home.does(*(takes() for _ in range(5)))
    restored = home.restored()
    (sent,) = await home.does(sent_by)

    assert DatabaseCondition.INCOMPLETE is restored.condition
    assert [] == sent


async def test_rows_that_are_lost_are_noticed_where_their_history_is_there(home: Home) -> None:
    """A disk loses a page, and nothing else tells that a message was there."""
    await home.backed_up(takes(request_id="lost"))
    change(
        home.database,
        *("DELETE FROM notices", "DELETE FROM ledger", "DELETE FROM payloads"),
        "DELETE FROM messages",
    )

    assert DatabaseCondition.INCOMPLETE is home.restored().condition


# What may be forgotten stands on the page.


def forgotten(seen: Overview) -> list[Alarm]:
    return [alarm for alarm in seen.alarms if alarm.kind == "restore.forgotten"]


@UNKNOWN
async def test_what_nobody_can_list_stands_on_the_page(home: Home, damage, condition) -> None:
    """Since when, and whom to ask; the terminal that said so may be closed."""
    await home.backed_up(takes())
    await asyncio.to_thread(damage, home.database)
    restored = home.restored()
    (seen,) = await home.does(overview)
    (said,) = [one for one in concerns(seen, AT_REST, 90) if one.alarms]

    assert condition is restored.condition
    assert [["after 2026-03-02 09:01:00 UTC"]] == [list(each.codes) for each in forgotten(seen)]
    assert "1 restore of which nobody can say what was lost" == said.text
    assert said.advice.startswith("Ask each Sender what it has sent after the time that is named")


async def test_it_stands_until_somebody_has_asked(home: Home) -> None:
    """Over the next restore too; and then no longer."""
    await home.backed_up(takes())
    overwritten(home.database)
    home.restored()
    again(home)
    (seen,) = await home.does(overview)
    (alarm,) = forgotten(seen)
    chosen = Chosen(numbers=[alarm.number])
    _, after = await home.does(
        lambda store: store.alarms.handle("trust", chosen, OPERATOR, PAST, dry_run=False), overview
    )

    assert 2 == alarm.times
    assert [] == forgotten(after)


async def test_a_restore_that_can_list_everything_raises_none(home: Home) -> None:
    """What is to be handed over has an alarm of its own."""
    await home.backed_up(takes())
    await home.does(takes())
    home.restored()
    (seen,) = await home.does(overview)

    assert [] == forgotten(seen)
