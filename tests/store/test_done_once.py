"""What tests of the flows alone see of the store: each work runs twice, and does it once."""

from datetime import timedelta
from pathlib import Path

import pytest
from store_values import ANSWER, NOW, TERMS, arrival, attempt, claim_next, payload, submission

from bars_gateway.model.messages import Actor, Claim, OutboundState, Part, Processing, Settled
from bars_gateway.model.questions import QuestionOpen
from bars_gateway.model.retention import PURGED, Purge, RecordClass, RetentionRule, RetentionRules
from bars_gateway.standard.workflow import Move, State
from bars_gateway.store.asides import Aside
from bars_gateway.store.audit import Sought
from bars_gateway.store.conversations import Confirmed
from bars_gateway.store.reports import DoneBeside
from bars_gateway.store.store import Store

SECOND = timedelta(seconds=1)
LONG_AGO = NOW - timedelta(days=40)
JO = Actor(role="operator", who="jo", why="IG-7")
# Of all classes, what lies in the folders of EPRs alone ever leaves.
COPIES = RetentionRules(
    [
        RetentionRule(record_class=each, days=30 if each is RecordClass.INBOX else 0)
        for each in PURGED
    ]
)


async def claimed(store: Store) -> Claim:
    await store.outbound.submit(submission(), NOW)
    claim = await claim_next(store, NOW, {"trust"})
    assert claim is not None
    return claim


async def test_a_claim_that_is_renewed_lasts_from_then_on(store: Store) -> None:
    """Its POST begins only now."""
    claim = await claimed(store)
    await store.outbound.renew(claim, NOW + 80 * SECOND)

    assert 0 == await store.outbound.release_lapsed(NOW + 100 * SECOND)
    assert 1 == await store.outbound.release_lapsed(NOW + 171 * SECOND)


async def test_what_nobody_has_in_hand_is_queued_again(store: Store) -> None:
    """By its node; and what somebody has stays claimed."""
    claim = await claimed(store)

    assert 0 == await store.outbound.release_unheld([claim.message_id], NOW)
    assert 1 == await store.outbound.release_unheld([], NOW)
    assert 0 == await store.outbound.release_unheld([], NOW)


@pytest.mark.impure  # the database says what time it is
async def test_a_notice_that_was_kept_back_is_given_after_a_start(store: Store) -> None:
    """Once; until then its EPR has the others."""
    await store.inbound.receive(arrival(), NOW)
    (notice,) = await store.notices.pending("trust", 9)
    await store.asides.keep_back("trust", notice.notice_id, ValueError())
    kept_back = await store.notices.pending("trust", 9)

    assert [] == kept_back
    assert 1 == await store.asides.begin_again()
    assert [notice] == await store.notices.pending("trust", 9)


async def test_a_pause_ends_with_a_start(store: Store) -> None:
    """What was never tried goes at once, to whomever it is for."""
    await store.waiting.put_off(NOW + 60 * SECOND, provider="trust")
    await store.outbound.submit(submission(), NOW)
    waits = await claim_next(store, NOW, {"trust"})
    await store.waiting.forget()

    assert waits is None
    assert await claim_next(store, NOW, {"trust"}) is not None


async def test_what_was_done_beside_the_gateway_is_entered_once(store: Store) -> None:
    """However often its report is found."""
    done = DoneBeside(path=Path("1-restored"), kind="store.restored", detail={"by": "jo"})
    entered = [await store.reports.enter(done, NOW) for _ in range(2)]

    assert [True, False] == entered
    assert ["store.restored"] == await kinds(store)


async def test_whoever_looks_at_a_payload_is_in_the_trail(store: Store) -> None:
    """Before the bytes are there; of what is not kept nothing is entered."""
    taken = await store.outbound.submit(submission(body=b"{}"), NOW)
    detail = {"user": "jo"}
    found = await store.visits.reveal(taken.message_id, Part.REQUEST, detail, NOW)
    none = await store.visits.reveal(taken.message_id, Part.ANSWER, detail, NOW)
    await store.visits.note("console.refused", detail, NOW)

    assert found is not None
    assert (b"{}", None) == (found.body, none)
    assert 1 == (await kinds(store)).count("console.revealed")
    assert 1 == (await kinds(store)).count("console.refused")


async def test_whoever_looks_into_quarantine_is_in_the_trail(store: Store) -> None:
    """As with a message that was taken."""
    await store.responses.respond(arrival(responds_to="nothing", body=b"{}"), payload(), NOW)
    found = await store.visits.reveal_quarantined(1, {"user": "jo"}, NOW)

    assert found is not None
    assert b"{}" == found.body
    assert 1 == (await kinds(store)).count("console.revealed")


async def test_what_goes_on_by_itself_is_told_of_once_a_minute(store: Store) -> None:
    """However often it fails at that place; the log has each time."""
    for seconds in (0, 59, 61):
        await store.asides.tell(Aside.WORK, ValueError(), NOW + seconds * SECOND)

    assert 2 == (await kinds(store)).count("work.failed")


async def asked_for(store: Store) -> int:
    """Have a request acknowledged, without an id of its record; return the message's number."""
    taken = await store.outbound.submit(submission(bundle_id="b-1"), NOW)
    claim = await claim_next(store, NOW, {"trust"})
    assert claim is not None
    acknowledged = Settled(state=OutboundState.ACKNOWLEDGED, focus_id=None)
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=acknowledged)
    return taken.message_id


async def test_what_was_not_found_is_looked_for_again_later(store: Store) -> None:
    """It stays the next that is looked for, and is due then."""
    number = await asked_for(store)
    await store.reconciliations.later(number, NOW + 60 * SECOND)
    wanted = await store.reconciliations.next()

    assert wanted is not None
    assert (number, NOW + 60 * SECOND) == (wanted.message_id, wanted.due_at)


async def test_a_workflow_in_doubt_stands_as_a_person_has_found_out(store: Store) -> None:
    """Once: it is in no doubt then."""
    await asked_for(store)
    unclear = arrival(move=Move.UNCLEAR, responds_to="b-1", focus_id="theirs")
    await store.responses.respond(unclear, payload(), NOW)
    found = [
        await store.confirmations.confirm("trust", 1, State.COMPLETED, JO, NOW, dry_run=False)
        for _ in range(2)
    ]

    assert Confirmed(state=State.COMPLETED) == found[0] != found[1]
    assert 1 == (await kinds(store)).count("operator.confirmed")


async def test_an_epr_is_asked_about_a_response_once(store: Store) -> None:
    """In the workflow that it answers; what the Sender repeats meets the question."""
    await asked_for(store)
    store.questions.attend("trust", NOW)
    came = arrival(move=Move.PROGRESS, responds_to="b-1", focus_id="theirs")
    met = [await store.questions.ask_about_response(came, payload(), TERMS, NOW) for _ in range(2)]
    (asked,) = await store.questions.open_questions("trust", after=0, limit=9)

    assert [QuestionOpen, Processing] == [type(each) for each in met]
    assert 1 == asked.about["workflow_id"]


async def purge_of_copies(store: Store) -> Purge:
    """Begin a purge while copies of two notices lie in a folder, of which the EPR has the first."""
    await store.inbound.receive(arrival(), LONG_AGO)
    (notice,) = await store.notices.pending("trust", 9)
    await store.notices.collect("trust", [notice.notice_id], LONG_AGO)
    await store.inbound.receive(arrival(), LONG_AGO)
    return await store.purges.begin_purge(None, JO, COPIES, NOW)


async def test_a_copy_that_leaves_a_folder_is_certified_once(store: Store) -> None:
    """However often it is removed; what the EPR does not have yet stays."""
    purge = await purge_of_copies(store)
    noted = [await store.purges.note_copies(purge, "trust", [1, 2]) for _ in range(2)]
    ended = await store.purges.end_purge(purge, NOW)

    assert [[1], [1]] == noted
    assert [(RecordClass.INBOX, 1)] == [(each.record_class, each.count) for each in ended.classes]


async def test_what_leaves_the_folders_of_another_node_has_a_certificate_of_its_own(
    store: Store,
) -> None:
    """The purge that it follows is closed."""
    purge = await purge_of_copies(store)
    await store.purges.end_purge(purge, NOW)
    gone, own = await store.purges.certify_copies(purge, "trust", [1, 2], "south", NOW)
    none = await store.purges.certify_copies(purge, "trust", [2], "south", NOW)

    assert own is not None
    assert ([1], 1) == (gone, own.classes[0].count)
    assert f"purge {purge.number}, in the folders of node south" == own.purge.why
    assert ([], None) == none


async def kinds(store: Store) -> list[str]:
    """Return of which kinds the lines of the trail are."""
    return [each.kind for each in await store.audit.lines(Sought(), 99)]
