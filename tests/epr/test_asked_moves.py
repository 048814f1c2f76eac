"""What the EPR writes when it asks for a move."""

import hashlib
import json

import pytest
from epr_side import PROVIDER, intake_of
from store_values import ANSWER, NOW, SILENCE, attempt, claim_next, submission

from bars_gateway.epr import documents
from bars_gateway.epr.moves import AskedMove, MoveNotMade, Moves, read_asked
from bars_gateway.model.messages import OutboundState, Settled
from bars_gateway.standard.verdict import Verdict
from bars_gateway.store.store import Store

MOVE = {"submission_id": "1", "in_reply_to": "4711", "move": "progress"}


def test_a_byte_order_mark_is_passed_over() -> None:
    """PowerShell writes one."""
    body = json.dumps(MOVE).encode()

    assert isinstance(read_asked(body), AskedMove)
    assert read_asked(body) == read_asked(b"\xef\xbb\xbf" + body)


def test_a_member_that_stands_twice_is_named() -> None:
    """By its path within the move; what is no word of FHIR's is not shown."""
    found = read_asked(b'{"resources": [{"id": "a", "id": "b"}]}')

    assert not isinstance(found, AskedMove)
    assert ["move.?[0].id"] == [issue.path for issue in found]


async def asked_before(store: Store, state: OutboundState, verdict: Verdict) -> bytes:
    """Have a move taken, and its message end in *state*; return the words that asked for it."""
    words = json.dumps(MOVE).encode()
    asked_as = hashlib.sha256(words).hexdigest()
    await store.outbound.submit(submission(submission_id="1", asked_as=asked_as, body=b"{}"), NOW)
    claim = await claim_next(store, NOW, {PROVIDER})
    assert claim is not None
    answer = ANSWER if verdict is Verdict.ACKNOWLEDGED else SILENCE
    tried, ended = attempt(claim, verdict), Settled(state=state)
    await store.outbound.settle(claim, answer, attempt=tried, settlement=ended)
    return words


async def test_the_same_words_have_their_receipt(store: Store) -> None:
    """What was acknowledged is told again as it was."""
    words = await asked_before(store, OutboundState.ACKNOWLEDGED, Verdict.ACKNOWLEDGED)
    made = await Moves(store, intake_of(store), provider=PROVIDER).make(words)

    assert (False, OutboundState.ACKNOWLEDGED) == (made.is_new, made.accepted.state)


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        (OutboundState.UNCONFIRMED, Verdict.RETRY),
        (OutboundState.REFUSED, Verdict.REFUSED),
    ],
)
async def test_the_same_words_have_no_receipt_once_they_ended_badly(
    store: Store, state: OutboundState, verdict: Verdict
) -> None:
    """As the same bytes have none: who asks again is not told that all is well."""
    words = await asked_before(store, state, verdict)
    with pytest.raises(MoveNotMade) as refused:
        await Moves(store, intake_of(store), provider=PROVIDER).make(words)

    assert ["E04"] == [issue.rule for issue in refused.value.issues]
    assert refused.value.request_id is not None
    told = documents.move_refusal(
        refused.value.issues,
        refused.value.message,
        request_id=refused.value.request_id,
        code=refused.value.code,
    )
    assert str(refused.value.request_id) in str(told["error"])
    assert told["message"] is not None
