"""What the EPR and operators have done to messages, on the socket."""

import json
import uuid
from typing import Any

import aiohttp
import messages
import pytest
from epr_side import PROVIDER, utc_now
from store_values import ANSWER, attempt
from structlog.testing import capture_logs

from bars_gateway.standard.bundle import read
from bars_gateway.standard.verdict import Verdict
from bars_gateway.store.port import NoticeKind, OutboundState, Part, Settled
from bars_gateway.store.sqlite import SqliteStore

FHIR = {"Content-Type": "application/fhir+json"}
WHY = {"reason": "a drill"}


async def sent(epr: aiohttp.ClientSession, **changes: object) -> str:
    """Hand in a message and return its X-Request-Id."""
    async with epr.post("/messages", data=messages.referral(**changes), headers=FHIR) as answer:
        return str((await answer.json())["request_id"])


async def refused(store: SqliteStore, epr: aiohttp.ClientSession) -> str:
    request_id = await sent(epr)
    claim = await store.claim_next(utc_now(), [PROVIDER])
    assert claim is not None
    settlement = Settled(state=OutboundState.REFUSED)
    await store.settle(
        claim, ANSWER, attempt=attempt(claim, Verdict.REFUSED), settlement=settlement
    )
    return request_id


async def asked(
    epr: aiohttp.ClientSession, path: str, body: object = WHY, **headers: str
) -> tuple[int, dict[str, Any]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with epr.post(path, data=json.dumps(body), headers=named) as answer:
        return answer.status, await answer.json()


async def state(epr: aiohttp.ClientSession, request_id: str) -> str:
    async with epr.get(f"/messages/{request_id}") as answer:
        return str((await answer.json())["state"])


async def test_the_epr_withdraws_its_message(epr: aiohttp.ClientSession) -> None:
    """Before the first attempt, one request is enough."""
    request_id = await sent(epr)
    status, report = await asked(epr, f"/messages/{request_id}/withdraw")

    assert (200, 1, 0) == (status, report["done"], report["left"])
    assert "withdrawn" == await state(epr, request_id)


async def test_what_does_not_fit_says_why(epr: aiohttp.ClientSession) -> None:
    """409, with a sentence for a screen, and the message is as it was."""
    request_id = await sent(epr)
    status, report = await asked(epr, f"/messages/{request_id}/release")

    assert 409 == status
    assert "it is queued: release is for what is held" == report["messages"][0]["obstacle"]
    assert "queued" == await state(epr, request_id)


@pytest.mark.parametrize("name", [str(uuid.uuid4()), "nothing"])
async def test_what_is_not_there_is_404(epr: aiohttp.ClientSession, name: str) -> None:
    """Whatever is asked to be done to it."""
    status, _ = await asked(epr, f"/messages/{name}/hold")

    assert 404 == status


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="no-reason"),
        pytest.param({"reason": " "}, id="blank-reason"),
        pytest.param({"reason": "x" * 501}, id="long-reason"),
        pytest.param([], id="no-object"),
        pytest.param(WHY, id="nobody-is-meant"),
        pytest.param(WHY | {"all": "yes"}, id="all-is-no-yes"),
        pytest.param(WHY | {"recever": "2000000202"}, id="misspelt-filter"),
        pytest.param(WHY | {"state": "lost"}, id="no-state"),
        pytest.param(WHY | {"taken_before": "2026-03-02T09:00:00"}, id="no-offset"),
        pytest.param(WHY | {"request_ids": ["x"]}, id="no-id"),
        pytest.param(WHY | {"request_ids": [str(uuid.uuid4())] * 201}, id="too-many"),
        pytest.param(WHY | {"request_ids": [str(uuid.uuid4())], "state": "held"}, id="both"),
        pytest.param(WHY | {"all": True, "after": -1}, id="odd-after"),
    ],
)
async def test_a_slip_of_the_pen_means_nobody(epr: aiohttp.ClientSession, body: object) -> None:
    """What cannot be read for certain is not done to anything."""
    request_id = await sent(epr)
    status, problem = await asked(epr, "/verbs/hold", body)

    assert 422 == status
    assert {"error", "cure"} == problem.keys()
    assert "queued" == await state(epr, request_id)


async def test_a_dry_run_counts_and_does_nothing(epr: aiohttp.ClientSession) -> None:
    """It says what the same request without it would then do."""
    one, other = await sent(epr), await sent(epr)
    everybody = WHY | {"all": True}
    _, dry = await asked(epr, "/verbs/hold", everybody | {"dry_run": True})
    before = await state(epr, one)
    _, done = await asked(epr, "/verbs/hold", everybody)

    assert (True, 2, "queued") == (dry["dry_run"], dry["done"], before)
    assert dry | {"dry_run": False} == done
    assert ["held", "held"] == [await state(epr, one), await state(epr, other)]


async def test_what_fits_is_done_beside_what_does_not(epr: aiohttp.ClientSession) -> None:
    """Each of the messages that are named gets its own line."""
    held, queued = await sent(epr), await sent(epr)
    await asked(epr, f"/messages/{held}/hold")
    body = WHY | {"request_ids": [held, queued]}
    status, report = await asked(epr, "/verbs/release", body)

    assert (200, 1, 1) == (status, report["done"], report["left"])
    assert [None, "it is queued: release is for what is held"] == [
        each["obstacle"] for each in report["messages"]
    ]


async def test_a_resend_is_the_same_bytes_under_another_id(
    epr: aiohttp.ClientSession, store: SqliteStore
) -> None:
    """Bundle.id and X-Request-Id are new; all other bytes and headers are those of the first."""
    request_id = await refused(store, epr)
    _, report = await asked(epr, f"/messages/{request_id}/resend")
    new_id = report["messages"][0]["resent_as"]
    (old,), (new,) = [await store.history(PROVIDER, name) for name in (request_id, new_id)]
    first = await store.payload(old.message.message_id, Part.REQUEST)
    second = await store.payload(new.message.message_id, Part.REQUEST)
    assert first is not None
    assert second is not None

    ids = [read(each.body).bundle_id for each in (first, second)]
    assert [old.message.bundle_id, new.message.bundle_id] == ids
    assert first.body == second.body.replace(ids[1].encode(), ids[0].encode())
    assert {**first.headers, "X-Request-Id": new_id} == second.headers


async def test_refused_bytes_name_the_verb(epr: aiohttp.ClientSession, store: SqliteStore) -> None:
    """M11b: dropped again, they get the same refusal, which says how they can be sent after all."""
    body = messages.referral()
    async with epr.post("/messages", data=body, headers=FHIR):
        pass
    claim = await store.claim_next(utc_now(), [PROVIDER])
    assert claim is not None
    settlement = Settled(state=OutboundState.REFUSED)
    await store.settle(
        claim, ANSWER, attempt=attempt(claim, Verdict.REFUSED), settlement=settlement
    )
    async with epr.post("/messages", data=body, headers=FHIR) as answer:
        refusal = await answer.json()

    assert 422 == answer.status
    assert "resend" in refusal["issues"][0]["problem"]


async def test_an_operator_is_told_apart_by_name(
    epr: aiohttp.ClientSession, store: SqliteStore
) -> None:
    """The EPR gets a notice of what an operator did, and none of what it did itself."""
    theirs, own = await sent(epr), await sent(epr)
    await asked(epr, f"/messages/{theirs}/hold", Bars_Operator="ada")
    await asked(epr, f"/messages/{own}/hold")
    told = await store.pending_notices(PROVIDER, 10)
    (found,) = await store.history(PROVIDER, theirs)

    assert [(NoticeKind.HELD, theirs)] == [(each.kind, each.request_id) for each in told]
    assert "ada (uid" in found.events[-1].detail


async def test_a_reason_is_never_logged(epr: aiohttp.ClientSession) -> None:
    """People write into it what they should not."""
    request_id = await sent(epr)
    with capture_logs() as lines:
        await asked(epr, f"/messages/{request_id}/hold", {"reason": messages.FAMILY})

    assert ["epr.intervention_ended"] == [line["event"] for line in lines]
    assert messages.FAMILY not in str(lines)
