"""What a person may ask of the socket to be done with messages."""

import asyncio
from typing import Any

import aiohttp
import messages
import orjson
import pytest
from epr_side import PROVIDER, utc_now
from store_values import SILENCE, attempt, claim_next, payload, submission
from structlog.testing import capture_logs

from bars_gateway.epr import interventions
from bars_gateway.epr.interventions import GROUP, resent_of
from bars_gateway.errors import StorageFull
from bars_gateway.model.interventions import Verb
from bars_gateway.model.messages import OutboundState, Part, Settled
from bars_gateway.standard.bundle import read
from bars_gateway.standard.verdict import Verdict
from bars_gateway.store.connection import Unmeasured
from bars_gateway.store.store import Store

FHIR = {"Content-Type": "application/fhir+json"}
WHY = {"why": "INC-7", "by": "jo"}
NOBODY = "00000000-0000-4000-8000-000000000000"


async def handed_in(epr: aiohttp.ClientSession, **changes: Any) -> str:
    async with epr.post("/messages", data=messages.referral(**changes), headers=FHIR) as answer:
        return str((await answer.json())["request_id"])


async def ask(epr: aiohttp.ClientSession, path: str, order: object) -> tuple[int, dict[str, Any]]:
    async with epr.post(path, json=order) as answer:
        return answer.status, await answer.json()


async def state(epr: aiohttp.ClientSession, request_id: str) -> str:
    async with epr.get(f"/messages/{request_id}") as answer:
        return str((await answer.json())["state"])


async def refused(store: Store, epr: aiohttp.ClientSession, body: bytes = b"") -> str:
    async with epr.post("/messages", data=body or messages.referral(), headers=FHIR) as answer:
        request_id = str((await answer.json())["request_id"])
    claim = await claim_next(store, utc_now(), [PROVIDER])
    assert claim is not None
    tried = attempt(claim, Verdict.REFUSED)
    settled = Settled(state=OutboundState.REFUSED)
    await store.outbound.settle(claim, SILENCE, attempt=tried, settlement=settled)
    return request_id


async def test_a_message_is_held_and_released(epr: aiohttp.ClientSession) -> None:
    """One POST each, and the answer says where the message is now."""
    request_id = await handed_in(epr)
    answers = [
        await ask(epr, f"/messages/{request_id}/{verb}", WHY) for verb in ("hold", "release")
    ]

    assert [(200, "held"), (200, "queued")] == [(status, one["state"]) for status, one in answers]


async def test_an_objection_says_what_to_do_instead(epr: aiohttp.ClientSession) -> None:
    """409, and nothing was done."""
    request_id = await handed_in(epr)
    status, answer = await ask(epr, f"/messages/{request_id}/release", WHY)

    assert (409, False, "wrong_state") == (status, answer["done"], answer["objection"]["code"])


@pytest.mark.parametrize(
    ("path", "order", "status"),
    [
        (f"/messages/{NOBODY}/hold", WHY, 404),
        ("/messages/nothing/hold", WHY, 404),
        (f"/messages/{NOBODY}/burn", WHY, 404),
        (f"/messages/{NOBODY}/hold", {}, 422),
        (f"/messages/{NOBODY}/hold", [], 422),
        (f"/messages/{NOBODY}/hold", WHY | {"dryrun": True}, 422),
        (f"/messages/{NOBODY}/hold", {"why": " "}, 422),
        (f"/messages/{NOBODY}/hold", {"why": "x" * 201}, 422),
        (f"/messages/{NOBODY}/hold", {"why": "two\nlines"}, 422),
        (f"/messages/{NOBODY}/hold", WHY | {"dry_run": "yes"}, 422),
        (f"/messages/{NOBODY}/hold", WHY | {"role": ["epr"]}, 422),
        (f"/messages/{NOBODY}/hold", {"why": "for NHS9434765919"}, 422),
        (f"/messages/{NOBODY}/hold", WHY | {"by": "943 476 5919"}, 422),
        ("/quarantine/1/attach", {"why": "943.476.5919", "workflow_id": 1}, 422),
        ("/workflows/1/confirm", {"why": "9434765919", "state": "active"}, 422),
        ("/alarms/handled", {"why": "9434765919", "up_to": 1}, 422),
        ("/alerts/1/acknowledge", {"why": "9434765919"}, 422),
        ("/interventions", {"why": "9434765919", "verb": "hold"}, 422),
        ("/interventions", WHY, 422),
        ("/interventions", WHY | {"verb": "burn"}, 422),
        ("/interventions", WHY | {"verb": "hold", "messages": []}, 422),
        ("/interventions", WHY | {"verb": "hold", "messages": {"state": "x"}}, 422),
        ("/interventions", WHY | {"verb": "hold", "messages": {"states": ["held"]}}, 422),
        ("/interventions", WHY | {"verb": "resend", "messages": {"states": ["acknowledged"]}}, 422),
        ("/interventions", WHY | {"verb": "hold", "messages": {"taken_from": "now"}}, 422),
        (
            "/interventions",
            WHY | {"verb": "hold", "messages": {"taken_from": "0001-01-01T00:00+14:00"}},
            422,
        ),
        ("/interventions", WHY | {"verb": "hold", "messages": {"correlation_id": "x"}}, 422),
        ("/interventions", WHY | {"verb": "hold", "messages": {"after": "x"}}, 422),
    ],
)
async def test_what_is_not_understood_is_not_done(
    epr: aiohttp.ClientSession, path: str, order: object, status: int
) -> None:
    """A misspelt member would otherwise be the real thing."""
    found, answer = await ask(epr, path, order)

    also = {"member"} if status == 422 else set()
    assert (status, {"error", "cure"} | also) == (found, answer.keys())


async def test_an_order_may_begin_with_a_byte_order_mark(epr: aiohttp.ClientSession) -> None:
    """PowerShell writes one."""
    request_id = await handed_in(epr)
    order = b"\xef\xbb\xbf" + orjson.dumps(WHY)
    async with epr.post(f"/messages/{request_id}/hold", data=order) as answer:
        assert 200 == answer.status


async def test_an_order_that_says_one_thing_twice_is_not_carried_out(
    epr: aiohttp.ClientSession,
) -> None:
    """The later would win unseen: what was meant as a dry run would be the real thing."""
    request_id = await handed_in(epr)
    order = b'{"why": "INC-7", "dry_run": true, "dry_run": false}'
    async with epr.post(f"/messages/{request_id}/hold", data=order) as answer:
        problem = await answer.json()

    assert (422, True) == (answer.status, "a member twice" in problem["error"])
    assert "queued" == await state(epr, request_id)


async def test_a_resend_asks_to_be_confirmed(store: Store, epr: aiohttp.ClientSession) -> None:
    """What may come of it is said first."""
    request_id = await refused(store, epr)
    status, answer = await ask(epr, f"/messages/{request_id}/resend", WHY)

    assert (409, "not_confirmed") == (status, answer["objection"]["code"])


async def test_a_resend_has_new_ids_throughout(store: Store, epr: aiohttp.ClientSession) -> None:
    """D-same-bytes: a new message gets a new Bundle.id too, and nothing else of it changes."""
    request_id = await refused(store, epr)
    order = WHY | {"confirmed": True}
    _, answer = await ask(epr, f"/messages/{request_id}/resend", order)
    old, new = [
        (await store.messages.history(PROVIDER, one))[0].message
        for one in (request_id, answer["resent_as"])
    ]
    before, after = [
        await store.messages.payload(one.message_id, Part.REQUEST) for one in (old, new)
    ]
    assert before is not None
    assert after is not None

    assert new.bundle_id == read(after.body).bundle_id != old.bundle_id
    assert before.body == after.body.replace(new.bundle_id.encode(), old.bundle_id.encode())
    assert {**before.headers, "X-Request-Id": new.request_id} == after.headers


async def test_a_bundle_whose_id_cannot_be_found_is_not_resent(
    epr: aiohttp.ClientSession, store: Store
) -> None:
    """JSON may write a name in more than one way; the others that were meant are resent."""
    odd = await refused(store, epr, messages.referral().replace(b'"id"', b'"\\u0069d"', 1))
    plain = await refused(store, epr)
    confirmed = WHY | {"confirmed": True}
    status, answer = await ask(epr, f"/messages/{odd}/resend", confirmed)
    _, report = await ask(epr, "/interventions", confirmed | {"verb": "resend"})
    done = {each["request_id"]: each["done"] for each in report["messages"]}

    assert (409, "id_fixed") == (status, answer["objection"]["code"])
    assert {odd: False, plain: True} == done


async def test_an_update_is_resent_as_it_is(store: Store) -> None:
    """Only what is new needs a Bundle.id of its own."""
    accepted = await store.outbound.submit(submission(), utc_now())
    (history,) = await store.messages.history(PROVIDER, accepted.request_id)
    update = payload(messages.referral(reason="update"))
    resent = resent_of(history.message, update, lambda: NOBODY)

    assert (history.message.bundle_id, update.body) == (resent.bundle_id, resent.request.body)


async def test_a_dry_run_does_nothing(epr: aiohttp.ClientSession) -> None:
    """It counts what would happen."""
    request_id = await handed_in(epr)
    order = WHY | {"verb": "withdraw", "dry_run": True}
    _, report = await ask(epr, "/interventions", order)

    assert (1, [False]) == (report["possible"], [each["done"] for each in report["messages"]])
    assert "queued" == await state(epr, request_id)


async def test_a_filter_reaches_all_that_fits(epr: aiohttp.ClientSession) -> None:
    """And nothing else."""
    held = [await handed_in(epr) for _ in range(3)]
    other = await handed_in(epr, use_case="a3t1")
    order = WHY | {"verb": "hold", "messages": {"use_case": "a1t1", "receiver": messages.RECEIVER}}
    _, report = await ask(epr, "/interventions", order)

    assert held == [each["request_id"] for each in report["messages"]]
    assert "queued" == await state(epr, other)


class Commits(Unmeasured):
    """Counts the transactions that reach the disk."""

    def __init__(self) -> None:
        self.count = 0

    def committed(self, seconds: float, flush_seconds: float) -> None:
        self.count += 1


async def test_many_share_a_transaction_and_never_all_of_them(
    store: Store, epr: aiohttp.ClientSession
) -> None:
    """Some at a time: one by one takes minutes, and all at once lets everybody else wait."""
    for _ in range(2 * GROUP + 1):
        await store.outbound.submit(submission(provider=PROVIDER), utc_now())
    commits = Commits()
    store.measure(commits)
    _, report = await ask(epr, "/interventions", WHY | {"verb": "hold"})

    assert (2 * GROUP + 1, 3) == (report["possible"], commits.count)


@pytest.mark.parametrize("verb", ["hold", "withdraw"])
async def test_what_is_being_sent_is_told_of_all_that_is_to_be_stopped(
    store: Store, epr: aiohttp.ClientSession, verb: str
) -> None:
    """It may come back to the queue, and would leave again while everybody thinks it is held."""
    await handed_in(epr)
    assert await claim_next(store, utc_now(), [PROVIDER]) is not None
    await handed_in(epr)
    _, report = await ask(epr, "/interventions", WHY | {"verb": verb})

    assert (1, {"in_flight": 1}) == (report["possible"], report["objections"])


async def test_two_who_hold_all_at_once_hold_each_once(epr: aiohttp.ClientSession) -> None:
    """What the other has held in between is done, and no objection of the second."""
    for _ in range(GROUP + 2):
        await handed_in(epr)
    order = WHY | {"verb": "hold"}
    both = await asyncio.gather(*(ask(epr, "/interventions", order) for _ in "12"))

    assert GROUP + 2 == sum(report["possible"] for _, report in both)
    assert [{}, {}] == [report["objections"] for _, report in both]


async def test_what_another_has_released_and_is_being_sent_is_no_objection(
    store: Store, epr: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was held when it was looked for; meanwhile it is on its way, as whoever asks wants."""
    request_id = await handed_in(epr)
    await ask(epr, f"/messages/{request_id}/hold", WHY)
    look = store.interventions.candidates

    async def looked(*about: Any) -> object:
        found = await look(*about)
        await ask(epr, f"/messages/{request_id}/release", WHY)
        assert await claim_next(store, utc_now(), [PROVIDER]) is not None
        return found

    monkeypatch.setattr(store.interventions, "candidates", looked)
    _, report = await ask(epr, "/interventions", WHY | {"verb": "release"})

    assert (0, {}) == (report["possible"], report["objections"])


async def test_what_was_done_before_it_broke_off_stays_done(
    store: Store, epr: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is audited, the rest waits as it did, and the same order goes on with that."""
    monkeypatch.setattr(interventions, "GROUP", 2)
    taken = [await store.outbound.submit(submission(provider=PROVIDER), utc_now()) for _ in "12345"]
    intervene = store.interventions.intervene

    async def broken(verb: Verb, message_id: int, *rest: Any) -> object:
        if message_id > taken[1].message_id:
            raise StorageFull("no room")
        return await intervene(verb, message_id, *rest)

    monkeypatch.setattr(store.interventions, "intervene", broken)
    status, _ = await ask(epr, "/interventions", WHY | {"verb": "hold"})
    monkeypatch.setattr(store.interventions, "intervene", intervene)
    states = [await state(epr, each.request_id) for each in taken]
    _, report = await ask(epr, "/interventions", WHY | {"verb": "hold"})

    assert (503, ["held"] * 2 + ["queued"] * 3) == (status, states)
    assert 3 == report["possible"]


async def test_what_cannot_be_done_is_counted_by_its_reason(
    store: Store, epr: aiohttp.ClientSession
) -> None:
    """So that somebody can look at those."""
    await refused(store, epr)
    _, report = await ask(epr, "/interventions", WHY | {"verb": "resend"})

    assert (0, {"not_confirmed": 1}) == (report["possible"], report["objections"])


async def test_a_verb_is_logged_without_its_reason(epr: aiohttp.ClientSession) -> None:
    """The reason is what somebody typed: it is kept in the audit trail, and goes nowhere else."""
    request_id = await handed_in(epr)
    with capture_logs() as logs:
        await ask(epr, f"/messages/{request_id}/hold", WHY)

    assert [("hold", "done")] == [
        (line["operation"], line["reason"])
        for line in logs
        if line["event"] == "epr.intervention_ended"
    ]
    assert "INC-7" not in str(logs)


async def test_what_was_withdrawn_gets_no_receipt_again(epr: aiohttp.ClientSession) -> None:
    """It would promise that the bytes are sent; the refusal names the verb that does it."""
    body = messages.referral()
    async with epr.post("/messages", data=body, headers=FHIR) as answer:
        request_id = (await answer.json())["request_id"]
    await ask(epr, f"/messages/{request_id}/withdraw", WHY)
    async with epr.post("/messages", data=body, headers=FHIR) as answer:
        refusal = await answer.json()

    assert (422, request_id) == (answer.status, refusal["request_id"])
    assert "retry" in refusal["issues"][0]["problem"]


async def test_an_alarm_is_listed_and_marked_as_handled(
    epr: aiohttp.ClientSession, store: Store
) -> None:
    """By the number that the list gives; then it stands no more."""
    request_id = await refused(store, epr)
    async with epr.get("/alarms") as answer:
        (alarm,) = (await answer.json())["alarms"]
    status, report = await ask(epr, "/alarms/handled", WHY | {"alarms": [alarm["alarm_id"]]})
    async with epr.get("/alarms") as answer:
        after = (await answer.json())["alarms"]

    assert ("message.refused", request_id) == (alarm["kind"], alarm["request_id"])
    assert (200, 1, [True], []) == (
        status,
        report["possible"],
        [each["done"] for each in report["alarms"]],
        after,
    )


async def test_an_epr_may_write_an_id_in_capitals(store: Store, epr: aiohttp.ClientSession) -> None:
    """A database that keeps UUIDs writes the id of the receipt so: it is the same message."""
    request_id = (await refused(store, epr)).upper()
    statuses = [
        (await ask(epr, f"/messages/{request_id}/retry", WHY | {"dry_run": True}))[0],
        (await ask(epr, "/alarms/handled", WHY | {"request_ids": [request_id]}))[1]["possible"],
    ]

    assert [200, 1] == statuses


@pytest.mark.parametrize(
    ("order", "text"),
    [
        pytest.param({}, "name alarms or request_ids, or give up_to", id="nothing"),
        pytest.param({"kinds": ["message.refused"]}, "kinds needs up_to", id="kinds-alone"),
        pytest.param({"after": 1}, "after needs up_to", id="after-alone"),
        pytest.param({"kinds": ["no.such"], "up_to": 1}, "kinds must be a list", id="kind"),
        pytest.param({"alarms": ["1"]}, "alarms must be a list", id="text"),
        pytest.param({"alarms": []}, "alarms must be a list", id="empty"),
        pytest.param({"request_ids": ["x"]}, "request_ids must be a list", id="no-uuid"),
        pytest.param({"up_to": 0}, "up_to must be the number", id="zero"),
        pytest.param({"alarms": [1], "confirmed": True}, "a member that is none", id="unknown"),
        pytest.param({"up_to": 1, "kinds": [["message.refused"]]}, "kinds must be", id="listed"),
        pytest.param({"up_to": 1, "kinds": [{}]}, "kinds must be", id="object"),
    ],
)
async def test_an_order_that_names_no_alarms_marks_none(
    epr: aiohttp.ClientSession, order: dict[str, Any], text: str
) -> None:
    """What cannot be understood is refused by name, and nothing was done."""
    status, answer = await ask(epr, "/alarms/handled", WHY | order)

    assert 422 == status
    assert text in answer["error"]


async def test_marking_needs_a_reason(epr: aiohttp.ClientSession) -> None:
    """Years later somebody asks why nobody telephoned."""
    status, answer = await ask(epr, "/alarms/handled", {"alarms": [1]})

    assert (422, True) == (status, "why is missing" in answer["error"])
