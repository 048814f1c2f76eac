"""What a disk has spoilt, or causes an internal error, is set aside; the rest goes on."""

from datetime import UTC, datetime

import pytest
import store_values
from spoiling import no_text_there, spoilt_there
from store_values import claim_next
from structlog.testing import capture_logs

from bars_gateway.errors import DatabaseDamaged, PayloadDamaged
from bars_gateway.model.messages import NoticeKind, OutboundState, Part, Repeated, Settled
from bars_gateway.standard.findings import Reconciliation
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.workflow import Role
from bars_gateway.store.sqlite.integrity import examine

pytestmark = pytest.mark.each_fact_once
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize("column", ["body", "headers", "media_type"])
@pytest.mark.parametrize("size", [10, 5000])
async def test_a_message_with_spoilt_bytes_is_held_and_the_next_is_claimed(
    store, database, column, size
):
    """Whichever bit: it never leaves, a person is told, and nothing waits behind it."""
    body = b'{"a": "' + b"x" * size + b'"}'
    request = store_values.payload(body)
    await store.outbound.submit(store_values.submission(request=request), NOW)
    good = await store.outbound.submit(store_values.submission(), NOW)
    await spoilt_there(database, column, "request")
    with capture_logs() as logs:
        claim = await claim_next(store, NOW, ["trust"])
    (held,) = await store.notices.pending("trust", 10)

    assert good.request_id == claim.request_id
    assert (NoticeKind.HELD, [Remark.SET_ASIDE], 0) == (held.kind, held.remarks, held.attempts)
    assert ["payload.damaged"] == [each.kind for each in (await store.overview(NOW)).standing]
    assert "unit.set_aside" in [line["event"] for line in logs]


@pytest.mark.parametrize("column", ["headers", "media_type"])
async def test_a_message_with_a_text_that_is_none_is_held_and_the_next_is_claimed(
    store, database, column
):
    """It stops nobody else's, and nothing of it is told."""
    await store.outbound.submit(store_values.submission(), NOW)
    good = await store.outbound.submit(store_values.submission(), NOW)
    await no_text_there(database, column, "request")
    with capture_logs() as logs:
        claim = await claim_next(store, NOW, ["trust"])
    with pytest.raises(DatabaseDamaged) as told:
        await store.messages.payload(1, Part.REQUEST)

    assert good.request_id == claim.request_id
    assert "unit.set_aside" in {line["event"] for line in logs}
    assert "fhir" not in f"{logs} {told.value}".lower()


@pytest.mark.of_sqlite
async def test_a_text_that_is_none_hides_nothing_that_is_listed_beside_it(store, database):
    """Whoever meets it first is refused; after that the notices and the page have it spoilt."""
    await store.outbound.submit(store_values.submission(), NOW)
    await no_text_there(database, "media_type", "request")
    await claim_next(store, NOW, ["trust"])
    with pytest.raises(DatabaseDamaged):
        await store.overview(NOW)
    (held,) = await store.notices.pending("trust", 10)

    found = " ".join(examine(database.path).contradictions)

    assert NoticeKind.HELD is held.kind
    assert "Could not decode to UTF-8 column 'media_type'" in found
    assert "fhir" not in found
    assert ["payload.damaged"] == [each.kind for each in (await store.overview(NOW)).standing]


async def test_a_spoilt_payload_is_never_shown(store, database):
    """Whoever asks for it hears that it is damaged."""
    await store.outbound.submit(store_values.submission(), NOW)
    await spoilt_there(database, "body", "request")

    with pytest.raises(PayloadDamaged):
        await store.messages.payload(1, Part.REQUEST)


async def test_a_spoilt_answer_is_as_none_to_what_is_composed(store, database):
    """It stops no later move: the request alone says what it was about."""
    came = store_values.arrival()
    await store.inbound.receive(came, NOW)
    await spoilt_there(database, "body", "answer")
    about = await store.conversations.about("trust", came.request_id, Role.RESPONDER)

    assert about is not None
    assert [None] == [said.answer for said in about.said]


@pytest.mark.parametrize("part", ["request", "answer"])
async def test_a_duplicate_of_what_a_disk_has_spoilt_is_answered_as_ever(store, database, part):
    """Whether it came before is known by its fingerprint, which outlives the bytes."""
    came = store_values.arrival()
    await store.inbound.receive(came, NOW)
    await spoilt_there(database, "body", part)

    assert Repeated(reference=came.reference) == await store.inbound.receive(came, NOW)


async def test_the_same_bytes_handed_in_again_get_the_receipt_of_what_is_held(store, database):
    """They are that message, and its notice has told the EPR what to do about it."""
    handed_in = store_values.submission(request=store_values.payload(b"x" * 9))
    await store.outbound.submit(handed_in, NOW)
    await spoilt_there(database, "body", "request")
    await claim_next(store, NOW, ["trust"])
    again = await store.outbound.submit(handed_in, NOW)

    assert (1, OutboundState.HELD) == (again.message_id, again.state)


async def test_ids_that_cannot_be_looked_for_are_told(store, database):
    """The request that says whom to ask about is spoilt: EPR and operator hear, the next is on."""
    for _ in range(2):
        await store.outbound.submit(store_values.submission(), NOW)
        claim = await claim_next(store, NOW, ["trust"])
        settled = Settled(state=OutboundState.ACKNOWLEDGED)
        tried = store_values.attempt(claim)
        await store.outbound.settle(claim, store_values.ANSWER, attempt=tried, settlement=settled)
    await spoilt_there(database, "body", "request")
    wanted = await store.reconciliations.next()
    notices = await store.notices.pending("trust", 9)
    told = [each for each in notices if each.kind is NoticeKind.RECONCILED]

    assert 2 == wanted.message_id
    assert [(1, Reconciliation.UNREAD)] == [(n.message_id, n.reconciled) for n in told]
    assert ["payload.damaged"] == [each.kind for each in (await store.overview(NOW)).standing]
