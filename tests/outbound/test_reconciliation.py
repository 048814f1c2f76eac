"""Where no id came: it is found by what the Receiver shows, or a person asks."""

import asyncio
import json
import random
import time
from collections import Counter
from datetime import timedelta
from uuid import uuid4

import engines
import pytest
import store_values
from aiohttp import web
from national_side import (
    FHIR,
    FOCUS_ID,
    acknowledgement_of,
    declining,
    hanging_up,
    ids_of,
    outcome,
    saying,
)
from outbound.test_dispatcher import QUICK, at_work, utc_now
from structlog.testing import capture_logs

from bars_gateway.demo.messages import referral
from bars_gateway.model.messages import NoticeKind, OutboundState, Payload
from bars_gateway.outbound.budget import Budget
from bars_gateway.outbound.cache import Cache
from bars_gateway.outbound.dispatcher import Dispatcher, Policy
from bars_gateway.outbound.proxy import Proxy, ProxyReads, ReadLimits
from bars_gateway.outbound.record_reads import Reconciler
from bars_gateway.outbound.token import NoToken
from bars_gateway.standard.bundle import read
from bars_gateway.store.store import Store

DUPLICATE = declining(409, "REC_CONFLICT", "duplicate")


class Receiver:
    """Takes messages under ids of its own, calls a second one a duplicate, and can be searched."""

    def __init__(self):
        self.records = {}  # X-Request-Id → the record
        self.times = Counter()  # how often each was taken as new
        self.searches = []
        self.extra = []  # records of others, shown as well
        self.loses = lambda _request: False
        self.acknowledges = self._acknowledge
        self.reading = None  # what to answer to a search, instead of the records

    async def answer(self, request):
        if request.method == "GET":
            self.searches.append(request)
            return await (self.reading or self._show)(request)
        request_id = request.headers["X-Request-Id"]
        known = request_id in self.records
        if not known:
            self.records[request_id] = _record(await request.read())
            self.times[request_id] += 1
        if self.loses(request):
            return await hanging_up(request)
        if known:
            body = outcome("REC_CONFLICT", "duplicate")
            return web.Response(status=409, body=body, content_type=FHIR, headers=ids_of(request))
        return await self.acknowledges(request)

    async def _acknowledge(self, request):
        record = self.records[request.headers["X-Request-Id"]]["resource"]
        body = acknowledgement_of(await request.read()).replace(
            FOCUS_ID.encode(), record["id"].encode()
        )
        return web.Response(body=body, content_type=FHIR, headers=ids_of(request))

    async def _show(self, request):
        number = request.query["patient:identifier"].rpartition("|")[2]
        shown = [r["resource"] for r in self.records.values() if r["of"] == number]
        entries = [{"resource": resource} for resource in [*shown, *self.extra]]
        bundle = {"resourceType": "Bundle", "type": "searchset", "entry": entries}
        return web.Response(
            body=json.dumps(bundle).encode(), content_type=FHIR, headers=ids_of(request)
        )


async def without_id(request):
    """Answer as the published validation response does: nothing in it has an id."""
    body = b'{"resourceType": "Bundle", "type": "message"}'
    return web.Response(body=body, content_type=FHIR, headers=ids_of(request))


def _record(body):
    """Return what the Receiver keeps of a referral: it has given it an id."""
    resources = {e["resource"]["resourceType"]: e["resource"] for e in json.loads(body)["entry"]}
    number = resources["Patient"]["identifier"][0]["value"]
    return {"of": number, "resource": {**resources["ServiceRequest"], "id": str(uuid4())}}


@pytest.fixture
async def store(tmp_path):
    async with engines.opened(tmp_path / "gateway.db") as database:
        yield Store(database, node="here", per_receiver=16)


@pytest.fixture
def receiver(national_proxy):
    made = Receiver()
    national_proxy.otherwise = made.answer
    return made


@pytest.fixture
def dispatcher_at(store, session, national_proxy, tmp_path):
    """Return a dispatcher whose reconciler believes that it is so much later."""

    def make(later=timedelta(0)):
        budgets = {"trust": Budget(100_000, monotonic=time.monotonic)}
        proxy = Proxy(
            session,
            url=national_proxy.url,
            budgets=budgets,
            answer_seconds=10,
            max_answer_bytes=10**6,
        )
        sources = {"trust": NoToken()}
        reads = ProxyReads(
            session,
            sources,
            budgets,
            url=national_proxy.url,
            cache=Cache(tmp_path / "cache", timedelta(hours=12)),
            limits=ReadLimits(seconds=10, max_bytes=10**6),
            now=utc_now,
        )
        reconciler = Reconciler(
            store.reconciliations,
            store.asides,
            reads,
            now=lambda: utc_now() + later,
            new_id=lambda: str(uuid4()),
        )
        policy = Policy(timing=lambda _use_case: QUICK, max_in_flight=16)
        rng = random.Random(1)
        return Dispatcher(
            store, sources, proxy, policy, reconciler=reconciler, now=utc_now, rng=rng
        )

    return make


async def submit(store, body=None):
    request_id, correlation_id = str(uuid4()), str(uuid4())
    body = body or referral()
    headers = {
        "X-Request-Id": request_id,
        "X-Correlation-Id": correlation_id,
        "Content-Type": FHIR,
        "NHSD-Target-Identifier": "the-service",
    }
    now = utc_now()
    submission = store_values.submission(
        request_id=request_id,
        correlation_id=correlation_id,
        bundle_id=str(uuid4()),
        fingerprint=request_id,
        request=Payload(media_type=FHIR, headers=headers, body=body),
        give_up_at=now + timedelta(minutes=15),
        delayed_at=now + timedelta(minutes=1),
    )
    return await store.outbound.submit(submission, now)


async def reconciled(store, count=1):
    """Wait for that many notices of what came of it."""
    while True:
        notices = await store.notices.pending("trust", 10_000)
        found = [notice for notice in notices if notice.kind is NoticeKind.RECONCILED]
        if len(found) >= count:
            return found
        await store.notices.wait_for_work("trust", 10)


async def told(store, dispatcher, receiver):
    """Return the notice after an answer that got lost."""
    lost = iter([True])
    receiver.loses = lambda _request: next(lost, False)
    async with at_work(dispatcher):
        (notice,) = await reconciled(store)
    return notice


async def test_the_one_record_that_is_ours_is_found(store, dispatcher_at, receiver):
    """Its id reaches the EPR, and a later change finds the workflow by it."""
    receipt = await submit(store)
    notice = await told(store, dispatcher_at(), receiver)
    (record,) = receiver.records.values()

    assert ("found", record["resource"]["id"]) == (notice.reconciled, notice.focus_id)
    assert receipt.correlation_id == await store.outbound.correlation_of("trust", notice.focus_id)


async def test_the_log_says_whose_record_was_looked_for(store, dispatcher_at, receiver):
    """Whoever follows one message through the log finds this step of it by its X-Request-Id."""
    receipt = await submit(store)
    with capture_logs() as logs:
        await told(store, dispatcher_at(), receiver)

    (line,) = [each for each in logs if each["event"] == "reconciliation.ended"]
    assert (receipt.request_id, "found") == (line["request_id"], line["kind"])


async def test_scenario_34_an_acknowledgement_without_ids(store, dispatcher_at, receiver):
    """It is acknowledged at once, and the id is searched for as after a duplicate."""
    receiver.acknowledges = without_id
    await submit(store)
    async with at_work(dispatcher_at()):
        (notice,) = await reconciled(store)
    (record,) = receiver.records.values()

    assert ("acknowledged", 1) == (notice.state, notice.attempts)
    assert ("found", record["resource"]["id"]) == (notice.reconciled, notice.focus_id)


async def test_the_search_is_a_request_of_its_own_to_the_same_service(
    store, dispatcher_at, receiver
):
    """The conversation is the same, the request is not, and no body is announced."""
    receipt = await submit(store)
    await told(store, dispatcher_at(), receiver)
    (search,) = receiver.searches

    assert ("GET", "/ServiceRequest") == (search.method, search.path)
    assert "the-service" == search.headers["NHSD-Target-Identifier"]
    assert receipt.correlation_id == search.headers["X-Correlation-Id"]
    assert receipt.request_id != search.headers["X-Request-Id"]
    assert "Content-Type" not in search.headers


async def test_a_record_that_does_not_say_that_it_is_ours_is_not_taken(
    store, dispatcher_at, receiver
):
    """The only one there may be another referral of the same patient."""
    await submit(store)
    other = {"resourceType": "ServiceRequest", "id": "7", "authoredOn": "2020-01-01T00:00:00Z"}
    receiver.extra.append(other)
    receiver.reading = without_ours(receiver)
    notice = await told(store, dispatcher_at(), receiver)

    assert ("none", None) == (notice.reconciled, notice.focus_id)


def without_ours(receiver):
    async def show(request):
        receiver.records = {}
        return await receiver._show(request)

    return show


async def test_of_several_that_fit_none_is_chosen(store, dispatcher_at, receiver):
    """A wrong id would cancel somebody else's referral."""
    body = referral()
    await submit(store, body)
    receiver.extra.append({**_record(body)["resource"]})
    notice = await told(store, dispatcher_at(), receiver)

    assert ("several", None) == (notice.reconciled, notice.focus_id)


async def test_a_receiver_that_cannot_be_read_is_asked_again_later(store, dispatcher_at, receiver):
    """Nothing is said to the EPR for as long as there is hope."""
    await submit(store)
    receiver.reading = saying(503)
    lost = iter([True])
    receiver.loses = lambda _request: next(lost, False)
    async with at_work(dispatcher_at()):
        while not receiver.searches or not await store.reconciliations.next():
            await asyncio.sleep(0.01)  # whoever will look again tells nobody
    waiting = await store.reconciliations.next()

    assert timedelta(seconds=30) < waiting.due_at - utc_now() <= timedelta(seconds=60)
    assert NoticeKind.RECONCILED not in {n.kind for n in await store.notices.pending("trust", 9)}


async def test_the_pauses_grow(store, dispatcher_at, receiver):
    """A Receiver that has been away for ten minutes is asked again in another ten."""
    await submit(store)
    receiver.reading = saying(503)
    lost = iter([True])
    receiver.loses = lambda _request: next(lost, False)
    later = timedelta(minutes=10)
    async with at_work(dispatcher_at(later=later)):
        while not receiver.searches or not await store.reconciliations.next():
            await asyncio.sleep(0.01)  # whoever will look again tells nobody
    waiting = await store.reconciliations.next()

    assert timedelta(minutes=19) < waiting.due_at - utc_now() <= timedelta(minutes=21)


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_receiver_that_answers_no_searches_is_asked_once(
    store, dispatcher_at, receiver, status
):
    """It would say the same for an hour, once a minute and message."""
    await submit(store)
    receiver.reading = saying(status)
    notice = await told(store, dispatcher_at(), receiver)

    assert ("unread", 1) == (notice.reconciled, len(receiver.searches))


LISTS = (
    {"total": 3},
    {"entry": [{"resource": json.loads(outcome("REC_SERVER_ERROR", "exception"))}]},
    {"link": [{"relation": "next", "url": "https://receiver.invented.example/2"}]},
)


def listing(change):
    """Return an answering with a searchset that is not all that there is."""
    body = json.dumps({"resourceType": "Bundle", "type": "searchset", **change})

    async def answer(request):
        return web.Response(text=body, content_type=FHIR, headers=ids_of(request))

    return answer


@pytest.mark.parametrize(
    "reading",
    [saying(503), saying(200, b"{}", FHIR), *map(listing, LISTS)],
    ids=["busy", "nothing", "none-of-3", "an-error", "a-page"],
)
async def test_after_an_hour_a_person_reads_it(store, dispatcher_at, receiver, reading):
    """What could not be read is told as that, and not as if nothing were there."""
    await submit(store)
    receiver.reading = reading
    notice = await told(store, dispatcher_at(later=timedelta(hours=1)), receiver)

    assert "unread" == notice.reconciled


@pytest.mark.parametrize("name", ["X-Request-Id", "X-Correlation-Id"])
async def test_the_answer_to_another_search_finds_nothing(store, dispatcher_at, receiver, name):
    """Even where a record like ours is in it: without both our ids, whose it is nobody knows."""

    async def without(request):
        shown = await receiver._show(request)
        del shown.headers[name]
        return shown

    await submit(store)
    receiver.reading = without
    notice = await told(store, dispatcher_at(later=timedelta(hours=1)), receiver)

    assert ("unread", None) == (notice.reconciled, notice.focus_id)


async def test_without_an_nhs_number_nobody_is_asked(store, dispatcher_at, receiver):
    """A search by something vaguer could show other people's records."""
    body = referral().replace(b"https://fhir.nhs.uk/Id/nhs-number", b"urn:local")
    await submit(store, body)
    notice = await told(store, dispatcher_at(), receiver)

    assert ("unread", []) == (notice.reconciled, receiver.searches)


async def test_an_answer_that_came_needs_no_search(store, dispatcher_at, receiver):
    """The ids are in it."""
    await submit(store)
    async with at_work(dispatcher_at()):
        while not (await store.overview(utc_now())).outbound[OutboundState.ACKNOWLEDGED]:
            await store.notices.wait_for_work("trust", 10)

    assert (None, []) == (await store.reconciliations.next(), receiver.searches)


async def test_processed_and_the_answer_lost(store, dispatcher_at, receiver):
    """Two thousand referrals, every fifth answer lost: one record each, and none failed."""
    rng, count = random.Random(5), 2000
    receiver.loses = lambda _request: rng.random() < 0.2
    body = referral()
    number = next(iter(read(body).all("Patient")))[1]["identifier"][0]["value"].encode()
    bodies = [body.replace(number, b"%010d" % each) for each in range(count)]
    receipts = await asyncio.gather(*(submit(store, each) for each in bodies))
    async with at_work(dispatcher_at(), seconds=240):
        while (counts := (await store.overview(utc_now())).outbound)[
            OutboundState.ACKNOWLEDGED
        ] < count or await store.reconciliations.next():
            await asyncio.sleep(0.1)  # two thousand wake-ups would each be looked at
    found = await reconciled(store)

    assert {receipt.request_id for receipt in receipts} == set(receiver.times)
    assert {1} == set(receiver.times.values())
    assert count == counts[OutboundState.ACKNOWLEDGED]
    assert {"found"} == {notice.reconciled for notice in found}
    assert count * 0.1 < len(found) < count * 0.3
