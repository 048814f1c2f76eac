"""Legal holds and purges by an operator's command, through the socket of a provider."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import aiohttp
import pytest
from desks import desk_of
from epr_side import PROVIDER, utc_now
from store.test_links import booked, referral_for, to_send, with_journey
from store_values import NOW, arrival
from typed import Done, typed_beside

from bars_gateway.epr.intake import Intake
from bars_gateway.model.retention import RecordClass
from bars_gateway.standard.links import By
from bars_gateway.store.connection import Connection
from bars_gateway.store.rows import text
from bars_gateway.store.sqlite.database import SqliteDatabase
from bars_gateway.store.store import Store

pytestmark = pytest.mark.of_sqlite  # commands are typed beside it, by its file

OTHER_TALK = "00000000-0000-4000-8000-0000000000c3"


@dataclass(frozen=True)
class Operator:
    """Somebody who types, beside a gateway with its database."""

    settings: str

    async def types(self, command: str) -> Done:
        """Type that."""
        return await typed_beside(*command.split(), "--config", self.settings)


@pytest.fixture
async def desk(store: Store, intake: Intake, database: SqliteDatabase) -> AsyncIterator[Operator]:
    async with desk_of(store, intake, database.path) as found:
        yield Operator(str(found.settings))


@pytest.fixture
async def named(store: Store) -> str:
    """Take a referral; return its X-Request-Id."""
    message = arrival()
    await store.inbound.receive(message, utc_now())
    return message.request_id


async def test_a_record_is_held_and_listed_with_its_reason(desk: Operator, named: str) -> None:
    """Whoever looks at it sees by whom and why."""
    held = await desk.types(f"hold-record {named} --why INC-7 --by jo")
    listed = await desk.types("held-records")
    shown = await desk.types(f"show {named}")
    told = await desk.types(f"explain {named}")

    assert "workflow 1: held since" in held.out
    assert "by jo (uid" in listed.out
    assert "INC-7" in listed.out
    assert "under legal hold since" in shown.out
    assert "under legal hold since" in told.out


async def test_a_record_is_held_by_the_number_of_its_message(desk: Operator, named: str) -> None:
    """As pages and `explain` tell it."""
    held = await desk.types("hold-record 1 --why INC-7")
    shown = await desk.types(f"show {named}")

    assert "workflow 1: held since" in held.out
    assert "under legal hold since" in shown.out


async def test_a_hold_is_released_once(desk: Operator, named: str) -> None:
    """The second time there is nothing to release, and the command says so."""
    await desk.types(f"hold-record {named} --why INC-7")
    first = await desk.types(f"release-record {named} --why closed")
    second = await desk.types(f"release-record {named} --why closed")

    assert (0, 1) == (first.code, second.code)
    assert "closed" in first.out
    assert "It was not held." in second.out


async def test_a_dry_run_holds_nothing(desk: Operator, named: str) -> None:
    """It says how many records are meant."""
    dry = await desk.types(f"hold-record {named} --why INC-7 --dry-run")
    listed = await desk.types("held-records")

    assert "1 record is meant" in dry.out
    assert "Nothing is under legal hold." in listed.out


async def test_what_is_not_here_is_not_held(desk: Operator) -> None:
    """A mistyped id is no hold, and whoever typed it is told how things are named."""
    done = await desk.types("hold-record --workflow 99 --why INC-7")

    assert 1 == done.code
    assert "nothing of trust has that name or number; see that it is written as" in done.err


async def test_one_record_is_named_at_a_time(desk: Operator, named: str) -> None:
    """Neither two, nor none."""
    done = await desk.types(f"hold-record {named} --workflow 1 --why INC-7")

    assert 2 == done.code


@pytest.fixture
async def paired(store: Store) -> None:
    """Send a booking, the referral that belongs to it, and a referral that carries that on."""
    first = await booked(store)
    second = await store.outbound.submit(to_send(referral_for("ap-1")), NOW)
    third = await store.outbound.submit(to_send(with_journey(1), correlation_id=OTHER_TALK), NOW)
    assert (1, 2, 3) == (first.workflow_id, second.workflow_id, third.workflow_id)
    await store._database.write(carry_on)


def carry_on(connection: Connection) -> None:
    connection.run(
        "link_workflows",
        workflow_id=3,
        to_id=2,
        kind="onward",
        by=By.CONVERSATION,
        message_id=None,
        now=text(NOW),
    )


LINKED = "  linked to it and not held: workflow {0} ({1}): bars-gateway hold-record --workflow {0}"


async def test_a_hold_tells_what_is_linked_and_not_held(desk: Operator, paired: None) -> None:
    """A booking is another workflow than its referral: each is held, or leaves, by itself."""
    held = await desk.types("hold-record --workflow 1 --why INC-7")
    listed = await desk.types("held-records")

    for told in (held.out, listed.out):
        assert LINKED.format(2, "referral, requested") in told
        assert LINKED.format(3, "referral, requested") in told  # through the other


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_what_is_linked_is_held_at_once(desk: Operator, paired: None, number: int) -> None:
    """Whichever of them is named; a later look has nothing more to tell."""
    dry = await desk.types(f"hold-record --workflow {number} --why INC-7 --linked --dry-run")
    held = await desk.types(f"hold-record --workflow {number} --why INC-7 --linked")
    listed = await desk.types("held-records")

    assert "3 records are meant\n" == dry.out
    for each in (held.out, listed.out):
        assert 3 == each.count("held since")
        assert "linked to it" not in each


async def test_a_release_tells_what_is_linked_and_still_held(desk: Operator, paired: None) -> None:
    """It may be held for another claim: so it is released by its own name alone."""
    await desk.types("hold-record --workflow 1 --why INC-7 --linked")
    await desk.types("release-record --workflow 3 --why closed")
    released = await desk.types("release-record --workflow 1 --why closed")
    refused = await desk.types("release-record --workflow 2 --why closed --linked")

    assert "linked to it and still held: workflow 2 (referral, requested)" in released.out
    assert "bars-gateway release-record --workflow 2 --provider trust --why TEXT" in released.out
    assert "workflow 3" not in released.out
    assert 2 == refused.code


async def test_a_dry_run_says_what_is_linked(desk: Operator, paired: None) -> None:
    """Before anything is held."""
    dry = await desk.types("hold-record --workflow 1 --why INC-7 --dry-run")

    assert "2 more are linked to what is meant: --linked holds that as well" in dry.out


async def test_a_purge_that_is_asked_for_is_begun_with_its_reason(
    epr: aiohttp.ClientSession, store: Store
) -> None:
    """For the provider whose socket it is, and nobody else's."""
    asked = {"why": "IG-7", "by": "jo", "role": "operator"}
    async with epr.post("/purges", json=asked) as response:
        status, answer = response.status, await response.json()
    begun = await store.purges.unfinished()

    assert 202 == status
    assert begun is not None
    assert (begun.number, PROVIDER) == (answer["purge_id"], answer["provider"])
    assert (PROVIDER, "IG-7") == (begun.provider, begun.why)
    assert begun.began_by.startswith("jo (uid")


@pytest.mark.parametrize("verb", ["hold-record 1", "release-record 1", "purge"])
@pytest.mark.parametrize("number", ["9434765919", "943-476-5919"])
async def test_a_reason_names_no_patient(
    desk: Operator, named: str, verb: str, number: str
) -> None:
    """It is kept in clear for years, and read by whoever reads the audit trail."""
    done = await desk.types(f"{verb} --why about-{number}")
    listed = await desk.types("audit")

    assert named
    assert 2 == done.code
    assert "NHS number" in done.err
    assert number not in done.err + listed.out


async def test_a_look_tells_to_when_a_night_counts(desk: Operator, store: Store) -> None:
    """By the clock more time has passed than the gateway was up: it may be ahead."""
    await store.inbound.receive(arrival(), utc_now() - timedelta(days=3))
    told = await desk.types("purge --dry-run")

    assert "A night counts them to" in told.out


async def test_a_purge_needs_a_reason(desk: Operator) -> None:
    """It is read years later."""
    done = await desk.types("purge")

    assert 2 == done.code
    assert "--why" in done.err


async def test_a_look_says_what_stays_and_why(desk: Operator, named: str) -> None:
    """In words, and as a document of each class."""
    told = await desk.types("purge --dry-run")
    printed = (await desk.types("purge --dry-run --json")).out
    documents = [json.loads(line) for line in printed.splitlines()]

    assert "payloads: 0 records would leave" in told.out
    assert "Ages are counted to" in told.out
    assert set(RecordClass) - {RecordClass.INBOX, RecordClass.AUDIT} == {
        each["class"] for each in documents
    }
