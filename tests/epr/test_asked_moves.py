"""What the EPR writes when it asks for a move."""

import hashlib
import json

import pytest
from epr_side import PROVIDER, intake_of
from store_values import ANSWER, NOW, SILENCE, attempt, claim_next, submission

from bars_gateway.epr import documents
from bars_gateway.epr.moves import AskedMove, MoveNotMade, Moves, read_asked, said
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
    asked = read_asked(words)
    assert isinstance(asked, AskedMove)
    await taken_as(store, said(asked), state, verdict)
    return words


async def taken_as(store: Store, asked_as: str, state: OutboundState, verdict: Verdict) -> None:
    """Have a message taken that was composed for what has that digest, and end in *state*."""
    await store.outbound.submit(submission(submission_id="1", asked_as=asked_as, body=b"{}"), NOW)
    claim = await claim_next(store, NOW, {PROVIDER})
    assert claim is not None
    answer = ANSWER if verdict is Verdict.ACKNOWLEDGED else SILENCE
    tried, ended = attempt(claim, verdict), Settled(state=state)
    await store.outbound.settle(claim, answer, attempt=tried, settlement=ended)


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


RESOURCE = {"resourceType": "Flag", "status": "active"}
WORDS = MOVE | {"resources": [RESOURCE | {"id": "1"}]}


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(json.dumps(WORDS, indent=2), id="white-space"),
        pytest.param(json.dumps(dict(reversed(WORDS.items()))), id="members-in-another-order"),
        pytest.param(
            json.dumps(WORDS | {"resources": [{"id": "1"} | RESOURCE]}), id="of-a-resource-too"
        ),
        pytest.param(json.dumps(WORDS | {"text": None}), id="none-is-left-out"),
        pytest.param(json.dumps(WORDS | {"patient_changed": False}), id="what-is-so-anyway"),
        pytest.param(json.dumps(WORDS).replace("Flag", "\\u0046lag"), id="another-escape"),
        pytest.param("\ufeff" + json.dumps(WORDS), id="byte-order-mark"),
    ],
)
def test_the_same_words_are_the_same_however_they_are_written(written: str) -> None:
    """A program that asks again after a lost answer writes its JSON anew."""
    one, other = read_asked(json.dumps(WORDS).encode()), read_asked(written.encode())

    assert isinstance(one, AskedMove)
    assert isinstance(other, AskedMove)
    assert said(one) == said(other)


@pytest.mark.parametrize(
    "other",
    [
        WORDS | {"in_reply_to": "4712"},
        WORDS | {"move": "conclude"},
        WORDS | {"outcome": "arrived"},
        WORDS | {"text": "arrived"},
        WORDS | {"patient_changed": True},
        WORDS | {"resources": [RESOURCE]},
        WORDS | {"resources": [RESOURCE | {"id": "1"}] * 2},
    ],
    ids=json.dumps,
)
def test_other_words_are_others(other: dict[str, object]) -> None:
    """Each member counts, and a number as it was written."""
    asked = [read_asked(json.dumps(each).encode()) for each in (WORDS, other)]

    assert 2 == len({said(each) for each in asked if isinstance(each, AskedMove)})


def test_a_number_counts_as_it_is_written() -> None:
    """37.0 says more than 37."""
    written = json.dumps(MOVE | {"resources": [RESOURCE | {"valueDecimal": 37.0}]})
    asked = [read_asked(each.encode()) for each in (written, written.replace("37.0", "37"))]

    assert 2 == len({said(each) for each in asked if isinstance(each, AskedMove)})


async def test_what_1_0_0_took_has_its_receipt(store: Store) -> None:
    """It kept the digest of the bytes: the same bytes are known after the upgrade."""
    words = json.dumps(MOVE).encode()
    before = hashlib.sha256(words).hexdigest()
    await taken_as(store, before, OutboundState.ACKNOWLEDGED, Verdict.ACKNOWLEDGED)
    made = await Moves(store, intake_of(store), provider=PROVIDER).make(words)

    assert not made.is_new


async def test_other_words_are_told_what_was_taken_under_their_key(store: Store) -> None:
    """Who believes that nothing was sent, or takes another key, has it done twice."""
    await asked_before(store, OutboundState.ACKNOWLEDGED, Verdict.ACKNOWLEDGED)
    with pytest.raises(MoveNotMade) as refused:
        await Moves(store, intake_of(store), provider=PROVIDER).make(
            json.dumps(MOVE | {"outcome": "arrived"}).encode()
        )
    told = documents.move_refusal(
        refused.value.issues, refused.value.message, request_id=refused.value.request_id
    )

    assert [("E11", "submission_id")] == [(i.rule, i.path) for i in refused.value.issues]
    assert 409 == refused.value.http_status
    assert refused.value.request_id is not None
    assert str(refused.value.request_id) in str(told["error"])
    assert "nothing was" not in str(told["error"]) + str(told["cure"])


def test_a_message_may_be_named_in_capitals() -> None:
    """A database that keeps UUIDs writes the id of the receipt so."""
    named = "6F1D0C52-0000-4000-8000-00000000000A"
    asked = read_asked(json.dumps(MOVE | {"in_reply_to": named}).encode())

    assert named.lower() == getattr(asked, "in_reply_to", None)
