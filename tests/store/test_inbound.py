"""What the store promises for an inbound request."""

import asyncio
import json
import random
import string
from collections import Counter

from store_values import NEW, NOW, arrival, refusal
from variants import a_referral

from bars_gateway.model.messages import (
    Conflicting,
    NoticeKind,
    Part,
    Received,
    RefusedBefore,
    Repeated,
)
from bars_gateway.standard.bundle import LONGEST_NAME
from bars_gateway.standard.remarks import Remark
from bars_gateway.store.connection import Connection
from bars_gateway.store.inbound import keep_aside
from bars_gateway.store.store import Store


async def test_a_message_is_taken_with_its_notice_and_answer(store: Store) -> None:
    """One transaction: message, workflow, both payloads, notice."""
    came = arrival()
    fate = await store.inbound.receive(came, NOW)
    (notice,) = await store.notices.pending("trust", 10)

    assert isinstance(fate, Received)
    assert (NoticeKind.MESSAGE, came.reference) == (notice.kind, notice.reference)
    assert came.request == await store.messages.payload(fate.message_id, Part.REQUEST)
    assert came.answer == await store.messages.payload(fate.message_id, Part.ANSWER)


async def test_nothing_is_looked_for_that_was_not_seen_before(
    store: Store, statements: list[str]
) -> None:
    """One question for all that a new message may belong to, and one statement for each table."""
    await store.inbound.receive(arrival(ties=NEW), NOW)

    assert ["seen_before", "open_workflow", "take_message"] == statements[:3]
    assert ["keep_exchange", "ledger_done", "write_notice"] == statements[3:]


async def test_what_may_change_its_meaning_is_looked_for_once(
    store: Store, statements: list[str]
) -> None:
    """What waits is looked up with every step of its delivery, and each message may be large."""
    body = json.dumps(a_referral() | {"implicitRules": "https://gateway.example/x"}).encode()
    await store.inbound.receive(arrival(body=body, doubts=(Remark.MEANING_CHANGED,)), NOW)
    told = [await store.notices.pending("trust", 10) for _ in range(3)]

    assert [["Bundle.implicitRules"]] * 3 == [
        [each.path for each in notice.modifiers] for (notice,) in told
    ]
    assert 1 == statements.count("payload")


async def test_a_repeat_is_a_duplicate_with_the_reference(store: Store) -> None:
    """The Sender learns that its first attempt arrived, and what we called it."""
    came = arrival()
    await store.inbound.receive(came, NOW)

    assert Repeated(reference=came.reference) == await store.inbound.receive(came, NOW)


async def test_twenty_at_once_make_one_record(store: Store) -> None:
    """The ledger decides inside the transaction."""
    came = arrival()
    fates = await asyncio.gather(*(store.inbound.receive(came, NOW) for _ in range(20)))

    assert {Received: 1, Repeated: 19} == Counter(type(fate) for fate in fates)
    assert 1 == (await store.overview(NOW)).inbound


async def test_the_same_id_with_other_bytes_is_a_conflict_and_an_alarm(store: Store) -> None:
    """Never a second record, nor a duplicate for what was not processed (D-same-request-id)."""
    came = arrival()
    await store.inbound.receive(came, NOW)
    fate = await store.inbound.receive(arrival(request_id=came.request_id), NOW)
    overview = await store.overview(NOW)

    assert Conflicting() == fate
    assert ["inbound.request_id_reused"] == [alarm.kind for alarm in overview.alarms]
    assert 1 == overview.inbound


async def test_the_same_id_with_the_same_words_is_a_duplicate(store: Store) -> None:
    """D-same-request-id: other bytes, but they say what was processed. There is no alarm."""
    came = arrival(said="the same")
    await store.inbound.receive(came, NOW)
    fate = await store.inbound.receive(arrival(request_id=came.request_id, said="the same"), NOW)
    overview = await store.overview(NOW)

    assert Repeated(reference=came.reference) == fate
    assert ([], 1) == (list(overview.alarms), overview.inbound)


async def test_what_was_refused_is_no_duplicate(store: Store) -> None:
    """Nobody knows what a refused message said."""
    turned = refusal(arrival())
    await store.inbound.refuse(turned, NOW)
    fate = await store.inbound.receive(arrival(request_id=turned.request_id, said="the same"), NOW)

    assert Conflicting() == fate


async def test_a_refusal_is_repeated(store: Store) -> None:
    """D-asked-once: what a rule refused is refused again with the same answer."""
    refused = refusal(arrival(), http_status=422)
    first = await store.inbound.refuse(refused, NOW)
    second = await store.inbound.refuse(refused, NOW)

    assert isinstance(first, RefusedBefore)
    assert isinstance(second, RefusedBefore)
    assert (422, refused.answer.body) == (second.http_status, second.answer.body)


async def test_another_provider_has_a_ledger_of_its_own(store: Store) -> None:
    """The same X-Request-Id to two providers is two messages."""
    came = arrival()
    await store.inbound.receive(came, NOW)

    assert isinstance(
        await store.inbound.receive(arrival(request_id=came.request_id, provider="other"), NOW),
        Received,
    )


async def test_a_collected_notice_is_not_pending(store: Store) -> None:
    """Collecting twice changes nothing the second time."""
    await store.inbound.receive(arrival(), NOW)
    (notice,) = await store.notices.pending("trust", 10)
    changed = [await store.notices.collect("trust", [notice.notice_id], NOW) for _ in range(2)]

    assert [1, 0] == changed
    assert [] == list(await store.notices.pending("trust", 10))


async def test_a_provider_cannot_collect_for_another(store: Store) -> None:
    """Every read and change is scoped to a provider."""
    await store.inbound.receive(arrival(), NOW)
    (notice,) = await store.notices.pending("trust", 10)

    assert 0 == await store.notices.collect("other", [notice.notice_id], NOW)
    assert await store.notices.notice("other", notice.notice_id) is None


async def test_the_longest_names_that_are_read_are_stored(store: Store) -> None:
    """What they are found by holds them, however little it can be made smaller."""
    rng = random.Random(7)
    sender, bundle_id, responds_to = (
        "".join(rng.choices(string.ascii_letters + string.digits, k=LONGEST_NAME)) for _ in range(3)
    )
    names = {"sender": sender, "bundle_id": bundle_id, "responds_to": responds_to}
    await store.inbound.receive(arrival(**names), NOW)
    aside = arrival(**names)

    def put_aside(connection: Connection) -> None:
        keep_aside(connection, aside, "orphan", NOW)

    await store._database.write(put_aside)
    (found,) = await store.quarantine.waiting(10)

    assert sender == found.sender
