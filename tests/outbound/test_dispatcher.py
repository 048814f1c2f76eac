"""The senders at work: a real store, a real token source, and real answers over loopback."""

import asyncio
import hashlib
import json
import random
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from unittest.mock import AsyncMock
from uuid import uuid4

import engines
import pytest
import store_values
from aiohttp import web
from egress_side import egress_side
from epr_side import eventually
from national_side import (
    FHIR,
    FOCUS_ID,
    Clock,
    acknowledgement_of,
    acknowledging,
    after,
    declining,
    granting,
    hanging_up,
    ids_of,
    refusing,
    saying,
)
from spoiling import spoil
from structlog.testing import capture_logs

from bars_gateway.errors import DatabaseAway
from bars_gateway.model.interventions import Verb
from bars_gateway.model.messages import Actor, NoticeKind, OutboundState, Part, Payload
from bars_gateway.outbound import dispatcher as dispatcher_module
from bars_gateway.outbound.budget import Budget
from bars_gateway.outbound.circuit_breaker import OUR_TROUBLE
from bars_gateway.outbound.dispatcher import Dispatcher, Policy
from bars_gateway.outbound.egress import Egress, EgressProxy, open_session
from bars_gateway.outbound.proxy import NO_ANSWER, Proxy
from bars_gateway.outbound.record_reads import Reconciler
from bars_gateway.outbound.token import Credentials, NoToken, SigningKey, TokenSource
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.timing import URGENT
from bars_gateway.store.store import Store
from bars_gateway.tls.contexts import client_context
from bars_gateway.upkeep.loops import enduring

QUICK = replace(
    URGENT, first_retry=timedelta(milliseconds=20), longest_retry=timedelta(milliseconds=40)
)
CALM = replace(QUICK, first_retry=timedelta(seconds=2), longest_retry=timedelta(seconds=30))
DUPLICATE = declining(409, "REC_CONFLICT", "duplicate")
SERVER_ERROR = declining(500, "REC_SERVER_ERROR", "exception")
UNAVAILABLE = declining(503, "REC_UNAVAILABLE", "transient")
JO = Actor(role="operator", who="jo", why="Sent by telephone.")
TOKEN_REFUSED = declining(401, "SEND_UNAUTHORIZED", "security")


def platform_fault(code):
    """Return an answering with the platform's own fault."""
    fault = {"faultstring": "refused", "detail": {"errorcode": code}}
    return saying(401, json.dumps({"fault": fault}).encode())


def utc_now():
    return datetime.now(UTC)


@pytest.fixture
async def store(tmp_path):
    async with engines.opened(tmp_path / "gateway.db") as database:
        yield Store(database, node="here", per_receiver=4)


@pytest.fixture
def tokens(session, key, clock, token_service):
    """Return the token source of one provider; its pauses pass when the test says so."""
    return TokenSource(
        session,
        Credentials(token_url=token_service.url, api_key="the-api-key"),
        [SigningKey(key_id="Trust-INT-1", key=key)],
        Budget(100_000, monotonic=clock.monotonic),
        now=utc_now,
        monotonic=clock.monotonic,
        new_id=lambda: str(uuid4()),
    )


class Unread:
    """Reads that nobody answers."""

    async def ask(self, *_arguments):
        return NO_ANSWER


@pytest.fixture
def dispatcher_with(store, session, tokens, national_proxy):
    """Return a dispatcher for a provider with tokens, and for one that needs none."""

    def make(senders=8, now=utc_now, budget=None):
        budget = budget or Budget(100_000, monotonic=time.monotonic)
        proxy = Proxy(
            session,
            url=national_proxy.url,
            budgets={"trust": budget, "other": budget},
            answer_seconds=10,
            max_answer_bytes=100_000,
        )
        policy = Policy(timing=lambda _use_case: QUICK, max_in_flight=senders)
        sources = {"trust": tokens, "other": NoToken()}
        reconciler = Reconciler(
            store.reconciliations, store.asides, Unread(), now=now, new_id=lambda: str(uuid4())
        )
        rng = random.Random(1)
        return Dispatcher(store, sources, proxy, policy, reconciler=reconciler, now=now, rng=rng)

    return make


@pytest.fixture
def dispatcher(dispatcher_with):
    return dispatcher_with()


@pytest.fixture
def one_sender(dispatcher_with):
    return dispatcher_with(senders=1)


@asynccontextmanager
async def at_work(dispatcher, seconds=20):
    """Run the dispatcher for as long as the block lasts, and until nothing is in flight."""
    async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
        group.create_task(dispatcher.run())
        try:
            yield
        finally:
            dispatcher.stop()


async def submit(store, body=b"", **changes):
    """Queue a message whose headers are those that a retry must repeat; return its receipt."""
    request_id = str(uuid4())
    correlation_id = changes.pop("correlation_id", None) or str(uuid4())
    body = body or f'{{"resourceType":"Bundle","id":"{uuid4()}"}}'.encode()
    headers = {
        "X-Request-Id": request_id,
        "X-Correlation-Id": correlation_id,
        "Content-Type": FHIR,
        "Accept": FHIR,
    }
    now = utc_now()
    submission = store_values.submission(
        request_id=request_id,
        correlation_id=correlation_id,
        fingerprint=hashlib.sha256(body).hexdigest(),
        request=Payload(media_type=FHIR, headers=headers, body=body),
        **{"give_up_at": now + timedelta(minutes=15), "delayed_at": now + QUICK.delayed_after}
        | changes,
    )
    return await store.outbound.submit(submission, now)


async def sending(store):
    """Return how many are in flight."""
    return (await store.overview(utc_now())).outbound[OutboundState.SENDING]


async def all_wait(store):
    """Tell whether nothing is in flight, and nothing due."""
    rows = await store.messages.queue("trust", 100)
    return all(row.next_attempt_at and row.next_attempt_at > utc_now() for row in rows)


async def broken_off(dispatcher, breaks):
    """Let *dispatcher* work until one of *breaks* is open."""
    async with at_work(dispatcher), asyncio.timeout(10):
        while not breaks.open:
            await asyncio.sleep(0.01)


async def outcomes(store, count=1, provider="trust"):
    """Wait for that many outcome notices and return them."""
    while True:
        notices = await store.notices.pending(provider, 2000)  # of other kinds, too
        found = [notice for notice in notices if notice.kind is NoticeKind.OUTCOME]
        if len(found) >= count:
            return found
        await store.notices.wait_for_work(provider, 10)


async def history(store, receipt):
    (found,) = await store.messages.history(None, receipt.request_id)
    return found


async def back_in_the_queue(store, receipt):
    """Wait until an attempt is on record and return the message with it."""
    while not (found := await history(store, receipt)).attempts:
        await store.notices.wait_for_work("trust", 10)
    return found


async def a_conversation(store, number):
    """Queue two messages of one conversation and return their ids."""
    receiver = f"{store_values.THEIRS}{number % 20}"
    first = await submit(store, receiver=receiver)
    second = await submit(store, receiver=receiver, correlation_id=first.correlation_id)
    return first.request_id, second.request_id


async def open_messages(store):
    """Return how many messages are not settled."""
    counts = (await store.overview(utc_now())).outbound
    return counts[OutboundState.QUEUED] + counts[OutboundState.SENDING]


async def answered_before(national_proxy, store, dispatcher, receipt, answer):
    """Answer so, until that message is settled."""
    national_proxy.otherwise = answer
    async with at_work(dispatcher, seconds=30):
        while "queued" == (state := (await history(store, receipt)).message.state) or (
            state == "sending"
        ):
            await asyncio.sleep(0.02)


async def on_a_break(store, dispatcher):
    """Wait until we back off from the Receiver, and nothing is under way."""
    async with asyncio.timeout(20):
        while not dispatcher.breakers.receivers.open or await sending(store):
            await asyncio.sleep(0.01)


async def without_ids(request):
    return web.Response(body=acknowledgement_of(await request.read()), content_type=FHIR)


class TestFates:
    """What becomes of a message, answer by answer."""

    async def test_a_message_arrives_and_is_acknowledged(self, store, dispatcher, national_proxy):
        """The whole way: claim, token, POST, verdict, settlement, notice."""
        receipt = await submit(store, b'{"n":1.10}')
        async with at_work(dispatcher):
            (notice,) = await outcomes(store)

        assert ("acknowledged", receipt.request_id) == (notice.state, notice.request_id)
        assert [b'{"n":1.10}'] == [heard.body for heard in national_proxy.heard]
        assert "Bearer token-1" == national_proxy.heard[0].headers["Authorization"]

    async def test_the_receivers_answer_is_kept_as_it_came(self, store, dispatcher, national_proxy):
        """The EPR gets the Receiver's own bytes."""
        receipt = await submit(store)
        async with at_work(dispatcher):
            await outcomes(store)
        kept = await store.messages.payload(receipt.message_id, Part.ANSWER)
        sent = national_proxy.heard[0].body

        assert (FHIR, acknowledgement_of(sent)) == (kept.media_type, kept.body)

    async def test_the_receivers_id_leads_to_the_workflow(self, store, dispatcher):
        """A later change names the ServiceRequest by the id that the Receiver minted."""
        receipt = await submit(store)
        async with at_work(dispatcher):
            await outcomes(store)

        assert receipt.correlation_id == await store.outbound.correlation_of("trust", FOCUS_ID)

    @pytest.mark.parametrize(
        "answering",
        [
            pytest.param(hanging_up, id="silence"),
            pytest.param(saying(502, b"<html>", "text/html"), id="intermediary"),
            pytest.param(declining(503, "REC_SERVICE_UNAVAILABLE", "transient"), id="unavailable"),
            pytest.param(declining(408, "REC_TIMEOUT", "timeout"), id="timeout"),
            pytest.param(declining(425, "REC_TOO_EARLY", "transient"), id="too-early"),
            pytest.param(without_ids, id="ok-without-our-ids"),
        ],
    )
    async def test_what_proves_nothing_is_tried_again(
        self, store, dispatcher, national_proxy, answering
    ):
        """Until the Receiver's own answer comes."""
        national_proxy.answers.extend([answering, answering])
        await submit(store)
        async with at_work(dispatcher):
            (notice,) = await outcomes(store)

        assert ("acknowledged", 3) == (notice.state, notice.attempts)

    async def test_a_retry_is_the_same_request(self, store, dispatcher, national_proxy):
        """Same bytes, same headers, same ids: that is what makes it a retry."""
        national_proxy.answers.extend([hanging_up, declining(503, "REC_UNAVAILABLE", "transient")])
        await submit(store)
        async with at_work(dispatcher):
            await outcomes(store)
        first, *others = [(h.target, h.headers, h.body) for h in national_proxy.heard]

        assert [first, first] == others

    async def test_a_lost_answer_resolves_itself(self, store, dispatcher, national_proxy):
        """The Receiver took it, its answer was lost, and the retry is told `duplicate`."""
        national_proxy.answers.extend([hanging_up, DUPLICATE])
        await submit(store)
        async with at_work(dispatcher):
            (notice,) = await outcomes(store)

        assert ("acknowledged", 2) == (notice.state, notice.attempts)

    async def test_a_duplicate_gives_weight_to_the_answer_before(
        self, store, dispatcher, national_proxy
    ):
        """A 200 without our ids was the Receiver's after all, and its ids count (D-duplicate)."""
        national_proxy.answers.extend([without_ids, DUPLICATE])
        receipt = await submit(store)
        async with at_work(dispatcher):
            await outcomes(store)
        kept = await store.messages.payload(receipt.message_id, Part.ANSWER)
        sent = national_proxy.heard[0].body

        assert acknowledgement_of(sent) == kept.body
        assert receipt.correlation_id == await store.outbound.correlation_of("trust", FOCUS_ID)

    @pytest.mark.of_sqlite
    async def test_a_spoilt_answer_before_a_duplicate_holds_nothing(
        self, store, dispatcher, national_proxy, tmp_path
    ):
        """The Receiver has the message: that is told, its ids are looked for, a person hears."""

        async def spoiling(request):
            spoil(tmp_path / "gateway.db", "body", "unproven")
            return await DUPLICATE(request)

        national_proxy.answers.extend([without_ids, spoiling])
        await submit(store)
        async with at_work(dispatcher):
            (notice,) = await outcomes(store)
            await submit(store)
            both = await outcomes(store, 2)
        alarms = (await store.overview(utc_now())).standing

        assert ("acknowledged", 2) == (notice.state, notice.attempts)
        assert ["payload.damaged"] == [alarm.kind for alarm in alarms]
        assert ["acknowledged"] * 2 == [each.state for each in both]

    async def test_a_refusal_is_final(self, store, dispatcher, national_proxy):
        """The EPR learns of it at once, with the code."""
        national_proxy.answers.append(declining(422, "REC_UNPROCESSABLE_ENTITY", "invariant"))
        await submit(store)
        async with at_work(dispatcher):
            (notice,) = await outcomes(store)

        assert ("refused", 422, "REC_UNPROCESSABLE_ENTITY", 1) == (
            notice.state,
            notice.http_status,
            notice.code,
            notice.attempts,
        )

    async def test_the_fifth_500_ends_it_unconfirmed(self, store, dispatcher, national_proxy):
        """Others are answered meanwhile: it may have arrived, so it is not refused."""
        poison = await submit(store)

        async def answer(request):
            if request.headers["X-Request-Id"] != poison.request_id:
                return await acknowledging(request)
            await submit(store)  # another is taken before this one is asked again
            return await SERVER_ERROR(request)

        await answered_before(national_proxy, store, dispatcher, poison, answer)
        found = await history(store, poison)

        counted = [a.number for a in found.attempts if a.verdict == "retry_limited"]
        assert ("unconfirmed", 5) == (found.message.state, len(counted))

    async def test_500s_to_everybody_count_for_nobody(self, store, dispatcher, national_proxy):
        """The proxy's own targets store is down: all of it goes out once it is back."""
        national_proxy.otherwise = SERVER_ERROR
        receipts = [await submit(store) for _ in range(4)]
        async with at_work(dispatcher, seconds=60):
            while len(national_proxy.heard) < 40:
                await asyncio.sleep(0.02)
            national_proxy.otherwise = acknowledging
            found = await outcomes(store, 4)
        attempts = (await history(store, receipts[0])).attempts

        assert {"acknowledged"} == {notice.state for notice in found}
        assert {"retry"} == {a.verdict for a in attempts if a.row == "server-error"}

    async def test_past_its_time_it_ends_unconfirmed(
        self, store, dispatcher_with, national_proxy, monkeypatch
    ):
        """After one last try: somebody must telephone, and is told so (D-unconfirmed)."""
        national_proxy.otherwise = saying(503)
        given_up_at = utc_now() + timedelta(minutes=1)
        now, settle = given_up_at - timedelta(seconds=1.2), store.outbound.settle

        async def settle_and_wait(*arguments, **named):
            nonlocal now
            await settle(*arguments, **named)
            now = given_up_at - timedelta(milliseconds=1)  # too late for any pause

        monkeypatch.setattr(store.outbound, "settle", settle_and_wait)
        receipt = await submit(store, give_up_at=given_up_at)
        async with at_work(dispatcher_with(now=lambda: now)):
            (notice,) = await outcomes(store)
        first, last = (await history(store, receipt)).attempts

        assert "unconfirmed" == notice.state
        assert first.started_at < given_up_at - timedelta(seconds=1) <= last.started_at

    async def test_what_waited_past_its_time_does_not_leave(
        self, store, dispatcher_with, national_proxy, monkeypatch
    ):
        """A token or a turn may take long; a validation may not go out after its breach."""
        waited = timedelta()
        claim = store.outbound.claim

        async def claim_and_wait(*arguments):
            nonlocal waited
            claims = await claim(*arguments)
            waited = timedelta(hours=1) if claims else waited
            return claims

        put_back, back = store.outbound.put_back, asyncio.Event()

        async def put_back_and_tell(*arguments):
            await put_back(*arguments)
            back.set()

        monkeypatch.setattr(store.outbound, "claim", claim_and_wait)
        monkeypatch.setattr(store.outbound, "put_back", put_back_and_tell)
        receipt = await submit(store)
        async with at_work(dispatcher_with(now=lambda: utc_now() + waited)):
            await back.wait()
        found = await history(store, receipt)

        assert ([], "queued", 0) == (
            national_proxy.heard,
            found.message.state,
            found.message.attempts,
        )

    async def test_the_receiver_says_when_to_come_back(self, store, dispatcher, national_proxy):
        """A Retry-After that is longer than our own pause counts."""
        national_proxy.answers.append(saying(503, Retry_After="300"))
        receipt = await submit(store, give_up_at=utc_now() + timedelta(hours=2))
        async with at_work(dispatcher):
            found = await back_in_the_queue(store, receipt)
        wait = found.message.next_attempt_at - found.attempts[0].ended_at

        assert timedelta(seconds=299) < wait <= timedelta(seconds=301)

    async def test_a_page_that_asks_to_come_back_later_costs_no_more_than_a_quarter_of_the_time(
        self, store, dispatcher, national_proxy
    ):
        """It says an hour, whatever for; an ambulance that is asked for cannot wait that long."""
        national_proxy.answers.append(saying(503, Retry_After="3600"))
        receipt = await submit(store, give_up_at=utc_now() + timedelta(minutes=10))
        async with at_work(dispatcher):
            found = await back_in_the_queue(store, receipt)
        wait = found.message.next_attempt_at - found.attempts[0].ended_at

        assert timedelta(seconds=140) < wait <= timedelta(seconds=150)

    async def test_each_attempt_is_on_record(self, store, dispatcher, national_proxy):
        """With the row of the verdict table that was chosen, and whose fault it was."""
        national_proxy.answers.append(declining(503, "REC_UNAVAILABLE", "transient"))
        receipt = await submit(store)
        async with at_work(dispatcher):
            await outcomes(store)
        attempts = (await history(store, receipt)).attempts

        assert [(1, 503, "unavailable", "REC"), (2, 200, "acknowledged", None)] == [
            (a.number, a.http_status, a.row, a.fault) for a in attempts
        ]


class TestTokens:
    """Trouble with a token is ours, and costs a message nothing."""

    async def test_a_refused_token_is_replaced_within_the_attempt(
        self, store, dispatcher, national_proxy
    ):
        """The same message goes out again at once, under a new token."""
        national_proxy.answers.append(TOKEN_REFUSED)
        await submit(store)
        async with at_work(dispatcher):
            (notice,) = await outcomes(store)
        sent = [heard.headers["Authorization"] for heard in national_proxy.heard]

        assert ["Bearer token-1", "Bearer token-2"] == sent
        assert ("acknowledged", 1) == (notice.state, notice.attempts)

    @pytest.mark.parametrize(
        ("answers", "verdict"),
        [
            pytest.param([TOKEN_REFUSED, TOKEN_REFUSED], "unauthorized", id="two-401"),
            pytest.param([declining(403, "SEND_FORBIDDEN", "forbidden")], "forbidden", id="403"),
        ],
    )
    async def test_our_own_trouble_is_never_a_refusal(
        self, store, dispatcher, national_proxy, answers, verdict
    ):
        """The message waits a minute in the queue while somebody mends the registration."""
        national_proxy.answers.extend(answers)
        receipt = await submit(store)
        async with at_work(dispatcher):
            found = await back_in_the_queue(store, receipt)
        wait = found.message.next_attempt_at - found.attempts[0].ended_at

        assert ("queued", verdict) == (found.message.state, found.attempts[0].verdict)
        assert timedelta(seconds=59) < wait <= timedelta(seconds=65)

    async def test_a_second_post_within_an_attempt_counts_for_the_next_start(
        self, store, dispatcher, national_proxy
    ):
        """The platform has counted it, and so must a gateway that starts now (D-quota)."""
        national_proxy.answers += [TOKEN_REFUSED]
        await submit(store)
        async with at_work(dispatcher):
            await outcomes(store)
        calls = await store.calls.since(utc_now() - timedelta(minutes=1))

        assert 2 == len(national_proxy.heard)
        assert 2 == len(calls["trust"])

    async def test_no_place_is_taken_before_there_is_a_token(
        self, store, dispatcher_with, token_service
    ):
        """Or what waited for one would leave in a heap, long after its places were counted."""
        token_service.otherwise = saying(503)
        budget = Budget(1, monotonic=time.monotonic)
        receipt = await submit(store)
        async with at_work(dispatcher_with(budget=budget)):
            while (
                not token_service.heard or "queued" != (await history(store, receipt)).message.state
            ):
                await asyncio.sleep(0.005)  # a message that goes back tells nobody

        assert 0 == budget.seconds_to_turn()

    async def test_without_a_token_nothing_is_sent_and_nothing_counted(
        self, store, dispatcher, token_service, national_proxy
    ):
        """No POST began, so it was no attempt; who waits for a deadline sees `not_sent`."""
        token_service.otherwise = saying(503)
        receipt = await submit(store)
        async with at_work(dispatcher):
            while (
                not token_service.heard
                or "queued" != (found := (await history(store, receipt)).message).state
            ):
                await asyncio.sleep(0.005)  # a message that goes back tells nobody

        assert ([], 0) == (national_proxy.heard, found.attempts)

    async def test_where_one_provider_has_no_token_the_others_go_on(
        self, store, dispatcher, token_service
    ):
        """One hospital's expired key is not its neighbour's trouble."""
        token_service.otherwise = refusing(401, "public_key error", "signature")
        await submit(store)
        await submit(store, provider="other")
        async with at_work(dispatcher):
            (notice,) = await outcomes(store, provider="other")

        assert "acknowledged" == notice.state
        assert [] == await store.notices.pending("trust", 10)

    async def test_a_provider_without_tokens_is_left_alone_until_the_pause_is_over(
        self, store, dispatcher, tokens, token_service, clock: Clock
    ):
        """Its messages stay in the queue, unclaimed; then the first of them asks again."""
        token_service.answers.append(saying(503))
        await submit(store)
        async with at_work(dispatcher):
            while tokens.closed_until is None:
                await asyncio.sleep(0.005)  # a token source tells nobody of its failures
            await submit(store)
            asked = len(token_service.heard)
            clock.advance(60)
            store.outbound.wake()
            await outcomes(store)

        assert (1, 2) == (asked, len(token_service.heard))

    async def test_an_outage_after_the_401_is_still_an_attempt(
        self, store, dispatcher, token_service, national_proxy
    ):
        """That POST began: whatever came of it is on record."""
        national_proxy.answers.append(TOKEN_REFUSED)

        async def granting_once(request):
            token_service.otherwise = saying(503)
            return await first(request)

        first, token_service.otherwise = token_service.otherwise, granting_once
        receipt = await submit(store)
        async with at_work(dispatcher):
            found = await back_in_the_queue(store, receipt)

        assert ["unauthorized"] == [attempt.verdict for attempt in found.attempts]

    async def test_an_outage_after_the_401_is_the_token_services_pause(  # noqa: PLR0917
        self, store, dispatcher, tokens, token_service, national_proxy, clock
    ):
        """One hiccup of it closes no provider: when its pause is over, all of it goes out."""
        national_proxy.answers.append(TOKEN_REFUSED)

        async def granting_once(request):
            token_service.answers.append(saying(503))
            token_service.otherwise = granting
            return await granting(request)

        granting, token_service.otherwise = token_service.otherwise, granting_once
        receipt = await submit(store)
        async with at_work(dispatcher, seconds=30):
            await back_in_the_queue(store, receipt)
            kept_out = dispatcher.breakers.kept_out
            clock.advance(5.1)
            store.outbound.wake()
            (notice,) = await outcomes(store)

        assert [] == list(kept_out)
        assert ("acknowledged", 2) == (notice.state, notice.attempts)

    @pytest.mark.parametrize(
        ("answer", "row"),
        [
            (declining(401, "ACCESS_DENIED", "forbidden"), "access-denied"),
            (platform_fault("oauth.v2.InvalidAccessToken"), "token-refused-by-platform"),
            (platform_fault("oauth.v2.InvalidApiKey"), "application-refused-by-platform"),
        ],
    )
    async def test_a_refusal_in_the_platforms_own_shape_is_a_concern_within_one_attempt(
        self, store, dispatcher, national_proxy, answer, row
    ):
        """It is ours, and not the Receiver's: the message waits, and a person is told."""
        national_proxy.otherwise = answer
        receipt = await submit(store)
        async with at_work(dispatcher):
            found = await back_in_the_queue(store, receipt)
            while not (kept_out := dispatcher.breakers.kept_out):
                await asyncio.sleep(0.005)

        assert ("queued", row) == (found.message.state, found.attempts[0].row)
        assert [("trust", OUR_TROUBLE[row])] == [(k.provider, k.trouble) for k in kept_out]


class TestSenders:
    """Equal senders over one queue."""

    async def test_an_idle_dispatcher_wakes_when_something_is_queued(self, store, dispatcher):
        """A wake-up, not a poll: nobody waits for the next look."""
        async with at_work(dispatcher):
            for _ in range(3):
                await submit(store)
            await outcomes(store, 3)

        assert 3 == (await store.overview(utc_now())).outbound[OutboundState.ACKNOWLEDGED]

    async def test_each_message_is_sent_once_and_no_more_than_allowed_at_a_time(
        self, store, dispatcher, national_proxy
    ):
        """Eight senders, forty messages, four at a time at most to one Receiver."""
        flying = most = 0

        async def counting(request):
            nonlocal flying, most
            flying += 1
            most = max(most, flying)
            await asyncio.sleep(0.005)  # long enough for the others to come
            flying -= 1
            return await acknowledging(request)

        national_proxy.otherwise = counting
        receipts = [await submit(store) for _ in range(40)]
        async with at_work(dispatcher):
            await outcomes(store, 40)
        sent = [heard.headers["X-Request-Id"] for heard in national_proxy.heard]

        assert sorted(receipt.request_id for receipt in receipts) == sorted(sent)
        assert 1 < most <= 4

    async def test_within_a_conversation_nothing_overtakes(self, store, dispatcher, national_proxy):
        """An update waits until its request has arrived, however often that is asked again."""
        national_proxy.answers.extend([hanging_up, hanging_up])
        first = await submit(store)
        second = await submit(store, correlation_id=first.correlation_id)
        async with at_work(dispatcher):
            await outcomes(store, 2)
        sent = [heard.headers["X-Request-Id"] for heard in national_proxy.heard]

        assert [first.request_id] * 3 + [second.request_id] == sent

    async def test_one_sick_receiver_does_not_starve_the_others(
        self, store, dispatcher, national_proxy
    ):
        """Twelve messages hang at one Receiver; a later one to another goes through."""
        recovered = asyncio.Event()
        hanging = {(await submit(store)).request_id for _ in range(12)}

        async def answer(request):
            if request.headers["X-Request-Id"] in hanging:
                await recovered.wait()
            return await acknowledging(request)

        national_proxy.otherwise = answer
        healthy = await submit(store, receiver="https://fhir.nhs.uk/Id/dos-service-id|2000000303")
        async with at_work(dispatcher):
            (notice, *_) = await outcomes(store)
            recovered.set()

        assert healthy.request_id == notice.request_id

    async def test_a_receiver_that_is_away_is_asked_now_and_then(
        self, store, dispatcher, national_proxy
    ):
        """Forty messages wait for it, and after a handful of calls nobody calls any more."""
        national_proxy.otherwise = declining(503, "REC_UNAVAILABLE", "transient")
        dispatcher._policy = replace(dispatcher._policy, timing=lambda _use_case: CALM)
        for _ in range(40):
            await submit(store)
        async with at_work(dispatcher):
            async with asyncio.timeout(10):
                while not dispatcher.breakers.receivers.open:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)  # far longer than any pause of a message
        waiting = await store.messages.queue("trust", 100)

        assert 40 == len(waiting)
        assert 5 + 4 >= len(national_proxy.heard)

    async def test_a_receiver_that_is_back_gets_all_that_waited(
        self, store, dispatcher, national_proxy
    ):
        """One message gets an answer, and the others do not wait for their time."""
        national_proxy.otherwise = declining(503, "REC_UNAVAILABLE", "transient")
        dispatcher._policy = replace(dispatcher._policy, timing=lambda _use_case: CALM)
        for _ in range(20):
            await submit(store)
        async with at_work(dispatcher):
            async with asyncio.timeout(10):
                while not dispatcher.breakers.receivers.open or not await all_wait(store):
                    await asyncio.sleep(0.01)
            national_proxy.otherwise = acknowledging
            await submit(store)
            with capture_logs() as lines:
                found = await outcomes(store, 21)

        assert {"acknowledged"} == {notice.state for notice in found}
        assert 1 == [line["event"] for line in lines].count("outbound.hastened")

    async def test_what_comes_for_a_dead_receiver_waits_for_the_look(
        self, store, dispatcher, national_proxy
    ):
        """Or each new message would cost a call, and a warning."""
        national_proxy.otherwise = UNAVAILABLE
        slow = replace(CALM, first_retry=timedelta(seconds=30))
        dispatcher._policy = replace(dispatcher._policy, timing=lambda _use_case: slow)
        with capture_logs() as lines:
            async with at_work(dispatcher):
                for _ in range(8):
                    await submit(store)
                await on_a_break(store, dispatcher)
                before = len(national_proxy.heard)
                for _ in range(50):
                    await submit(store)
                while not await all_wait(store):
                    await asyncio.sleep(0.01)
        calls = await store.calls.since(utc_now() - timedelta(minutes=1))

        assert before == len(national_proxy.heard) == len(calls["trust"])
        assert 1 == [line["event"] for line in lines].count("outbound.put_off")

    async def test_what_comes_for_a_dead_receiver_still_gets_its_last_try(
        self, store, dispatcher, national_proxy
    ):
        """A break may not make a message `not_sent` whose time is nearly over."""
        national_proxy.otherwise = UNAVAILABLE
        slow = replace(CALM, first_retry=timedelta(seconds=30))
        dispatcher._policy = replace(dispatcher._policy, timing=lambda _use_case: slow)
        for _ in range(8):
            await submit(store)
        async with at_work(dispatcher):
            await on_a_break(store, dispatcher)
            receipt = await submit(store, give_up_at=utc_now() + timedelta(seconds=3))
            found = await back_in_the_queue(store, receipt)

        assert ["unavailable"] == [attempt.row for attempt in found.attempts]

    async def test_each_look_is_made_with_another_message(self, store, dispatcher, national_proxy):
        """Whichever of them is the poison, it closes the Receiver for nobody else."""
        national_proxy.otherwise = SERVER_ERROR
        for _ in range(6):
            await submit(store)
        async with at_work(dispatcher):
            await on_a_break(store, dispatcher)
            before = len(national_proxy.heard)
            while len(national_proxy.heard) < before + 8:
                await asyncio.sleep(0.01)
        looks = [heard.headers["X-Request-Id"] for heard in national_proxy.heard[before:]]

        assert all(one != other for one, other in pairwise(looks))
        assert 6 == len(set(looks))

    async def test_three_poison_messages_close_a_receiver_for_nobody(
        self, store, dispatcher, national_proxy
    ):
        """Who is new goes first at the next look, and the Receiver is open again."""
        poison = {(await submit(store)).request_id for _ in range(3)}

        async def answer(request):
            bad = request.headers["X-Request-Id"] in poison
            return await (SERVER_ERROR if bad else acknowledging)(request)

        national_proxy.otherwise = answer
        async with at_work(dispatcher):
            await on_a_break(store, dispatcher)
            fresh = [await submit(store) for _ in range(5)]
            await outcomes(store, 5)
        found = [(await history(store, each)).message for each in fresh]

        assert {("acknowledged", 1)} == {(each.state, each.attempts) for each in found}

    async def test_a_wrong_registration_costs_few_calls(self, store, dispatcher, national_proxy):
        """All of the provider's messages wait with the first that was refused."""
        national_proxy.otherwise = declining(403, "SEND_FORBIDDEN", "forbidden")
        for number in range(40):
            await submit(store, receiver=f"{store_values.THEIRS}{number}")
        async with at_work(dispatcher):
            async with asyncio.timeout(10):
                while not dispatcher.breakers.providers.open:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)

        assert 16 >= len(national_proxy.heard)
        assert 40 == len(await store.messages.queue("trust", 100))

    @pytest.mark.parametrize("answer", [hanging_up, UNAVAILABLE, SERVER_ERROR])
    async def test_since_when_outlasts_a_restart(
        self, store, dispatcher_with, national_proxy, answer
    ):
        """Whoever was silent before, and is so still, has not begun to be so at the restart."""
        national_proxy.otherwise = answer
        for _ in range(5):
            await submit(store)
        found = []
        for _ in range(2):
            dispatcher = dispatcher_with()
            await store.waiting.hasten(utc_now(), provider="trust")
            await broken_off(dispatcher, dispatcher.breakers.receivers)
            found.append(await store.breaks.known())

        assert [store_values.THEIRS] == list(found[0])
        assert found[0] == found[1] == dispatcher.breakers.receivers.told

    async def test_an_answer_ends_what_outlasts_a_restart(
        self, store, dispatcher_with, national_proxy
    ):
        """The next silence begins again, whether it was noted before a restart or after."""
        await store.breaks.began(store_values.THEIRS, store_values.NOW)
        await submit(store)
        async with at_work(dispatcher_with()):
            await outcomes(store)

        assert {} == await store.breaks.known()

    async def test_what_is_only_told_keeps_nothing_from_leaving(
        self, store, dispatcher, monkeypatch
    ):
        """A table that cannot be read is an alarm, and the messages go."""
        failing = AsyncMock(side_effect=ZeroDivisionError)
        monkeypatch.setattr(store.breaks, "known", failing)
        await submit(store)
        async with at_work(dispatcher):
            (outcome,) = await outcomes(store)

        assert "acknowledged" == outcome.state

    async def test_since_when_a_provider_is_kept_out_outlasts_a_restart(
        self, store, dispatcher_with, national_proxy
    ):
        """Somebody may be looking for what was changed at that moment."""
        national_proxy.otherwise = declining(403, "SEND_FORBIDDEN", "forbidden")
        await submit(store)
        found = []
        for _ in range(2):
            dispatcher = dispatcher_with()
            await store.waiting.hasten(utc_now(), provider="trust")
            await broken_off(dispatcher, dispatcher.breakers.providers)
            found.append(await store.breaks.known())
        kept_out = {each.provider: each.since for each in dispatcher.breakers.kept_out}

        assert found[0] == found[1] == kept_out == {"trust": kept_out["trust"]}

    async def test_a_registration_refused_for_good_is_looked_at_once_a_time(
        self, store, dispatcher_with, national_proxy, token_service
    ):
        """Forty messages fall due at once, and cost one POST and one token a look."""
        passed = timedelta()
        dispatcher = dispatcher_with(now=lambda: utc_now() + passed)
        national_proxy.otherwise = TOKEN_REFUSED
        for number in range(40):
            await submit(store, receiver=f"{store_values.THEIRS}{number}")
        async with at_work(dispatcher):
            while not dispatcher.breakers.providers.open or await sending(store):
                await asyncio.sleep(0.01)  # nobody is told that nothing is under way any more
            before = len(national_proxy.heard), len(token_service.heard)
            passed = timedelta(seconds=62)
            store.outbound.wake()
            while len(national_proxy.heard) == before[0]:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)  # time for as many more as would come
        after_one_look = len(national_proxy.heard), len(token_service.heard)

        assert (1, 1) == (after_one_look[0] - before[0], after_one_look[1] - before[1])

    async def test_to_a_receiver_that_hangs_one_message_goes_at_a_time(
        self, store, dispatcher, national_proxy
    ):
        """Otherwise a few of them would take every sender, for as long as they hang."""
        national_proxy.otherwise = declining(503, "REC_UNAVAILABLE", "transient")
        for _ in range(12):
            await submit(store)
        async with at_work(dispatcher):
            async with asyncio.timeout(10):
                while not dispatcher.breakers.receivers.open or await sending(store):
                    await asyncio.sleep(0.01)
            recovered, before = asyncio.Event(), len(national_proxy.heard)
            national_proxy.otherwise = after(recovered, acknowledging)
            await store.waiting.hasten(utc_now(), receiver=store_values.THEIRS)
            while len(national_proxy.heard) == before:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)
            at_once = len(national_proxy.heard) - before
            recovered.set()
            await outcomes(store, 12)

        assert 1 == at_once

    @pytest.mark.parametrize(
        ("answering", "sent"),
        [
            pytest.param(declining(429, "PROXY_TOO_MANY_REQUESTS", "throttled"), 1, id="platform"),
            pytest.param(saying(429, b"{}"), 1, id="spike-arrest"),
            pytest.param(declining(429, "REC_TOO_MANY_REQUESTS", "throttled"), 3, id="receiver"),
        ],
    )
    async def test_a_quota_of_the_platform_holds_everything(
        self, store, one_sender, national_proxy, answering, sent
    ):
        """What it says of one request it would say of the next; a Receiver speaks for itself."""
        national_proxy.answers.append(answering)
        for number in range(3):
            await submit(store, receiver=f"{store_values.THEIRS}{number}")
        async with asyncio.timeout(15), asyncio.TaskGroup() as group:
            task = group.create_task(one_sender.run())
            while not national_proxy.heard:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)  # time for the others, if they may go
            heard = len(national_proxy.heard)
            task.cancel()

        assert sent <= heard <= sent + (sent > 1)

    async def test_what_is_urgent_goes_first(self, store, one_sender, national_proxy):
        """An ambulance's message does not wait behind those that were there before it."""
        routine = [await submit(store) for _ in range(3)]
        urgent = await submit(store, urgent=True)
        async with at_work(one_sender):
            await outcomes(store, 4)
        sent = [heard.headers["X-Request-Id"] for heard in national_proxy.heard]

        assert [receipt.request_id for receipt in (urgent, *routine)] == sent

    async def test_what_waits_for_a_place_is_not_claimed(
        self, store, dispatcher_with, clock, national_proxy
    ):
        """So what is urgent goes before it, however many senders there are."""
        full = Budget(600, monotonic=clock.monotonic, ages=[2.9] * 30)
        routine = [await submit(store) for _ in range(8)]
        async with at_work(dispatcher_with(budget=full)):
            await asyncio.sleep(0.3)  # time to claim, if that may be
            claimed = await sending(store)
            urgent = await submit(store, urgent=True)
            clock.advance(3)
            await outcomes(store, 9)
        first, *_ = (heard.headers["X-Request-Id"] for heard in national_proxy.heard)

        assert (0, urgent.request_id) == (claimed, first)
        assert 9 == len(national_proxy.heard) == len({*routine, urgent})

    async def test_ten_minutes_without_tokens_cost_no_message_an_attempt(  # noqa: PLR0917
        self, store, dispatcher_with, tokens, clock, token_service, national_proxy
    ):
        """A thousand messages wait, hardly anybody asks, and then all arrive, each in its turn."""
        token_service.otherwise = saying(503)
        pairs = await asyncio.gather(*(a_conversation(store, number) for number in range(500)))
        clock.wall, begun, granting_again = utc_now(), clock.seconds, granting()
        async with at_work(dispatcher_with(now=clock.now), seconds=120):
            while clock.seconds < begun + 600:
                while tokens.closed_until is None:
                    await asyncio.sleep(0.005)  # a token source tells nobody of its failures
                clock.advance((tokens.closed_until - utc_now()).total_seconds() + 0.1)
                store.outbound.wake()
            asked, token_service.otherwise = len(token_service.heard), granting_again
            while await open_messages(store):
                await asyncio.sleep(0.05)  # a wake-up for each of a thousand would be looked at
            found = await outcomes(store, 1000)
        arrived = [heard.headers["X-Request-Id"] for heard in national_proxy.heard]

        assert 15 >= asked
        assert {("acknowledged", 1)} == {(notice.state, notice.attempts) for notice in found}
        assert sorted(sum(pairs, ())) == sorted(arrived)
        assert all(arrived.index(first) < arrived.index(second) for first, second in pairs)

    async def test_an_idle_dispatcher_does_not_look(self, store, dispatcher, monkeypatch):
        """Eight senders with nothing to send are woken for it, and by nothing else."""
        looked, settled_down, claim = 0, asyncio.Event(), store.outbound.claim

        async def counting(*arguments):
            nonlocal looked
            claims = await claim(*arguments)
            looked += 1
            if looked == 2:  # once for all of the eight, and once more before they wait
                settled_down.set()
            return claims

        monkeypatch.setattr(store.outbound, "claim", counting)
        async with at_work(dispatcher):
            await settled_down.wait()
            await asyncio.sleep(0.1)  # nothing happens: there is no event to wait for
            idle = looked

        assert 2 == idle

    async def test_each_step_is_a_sign_of_life(self, store, dispatcher):
        """The watchdog hears that the senders still move."""
        beats, task = [], None
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            task = group.create_task(dispatcher.run(lambda: beats.append(1)))
            await submit(store)
            await outcomes(store)
            dispatcher.stop()
            await task

        assert len(beats) > 2

    async def test_stopping_finishes_what_is_in_flight(self, store, dispatcher, national_proxy):
        """The answer to a message that has left matters; the next message can wait."""
        arrived, answer_now = asyncio.Event(), asyncio.Event()

        async def held(request):
            arrived.set()
            return await after(answer_now, acknowledging)(request)

        national_proxy.otherwise = held
        receipt = await submit(store)
        async with at_work(dispatcher):
            await arrived.wait()
            dispatcher.stop()
            waiting = await submit(store)
            answer_now.set()

        states = [(await history(store, one)).message.state for one in (receipt, waiting)]
        assert ["acknowledged", "queued"] == states

    async def test_an_idle_dispatcher_stops_at_once(self, store, dispatcher):
        """Nobody sleeps through the stop."""
        async with asyncio.timeout(2), at_work(dispatcher):
            await submit(store)
            await outcomes(store)

        assert 1 == (await store.overview(utc_now())).outbound[OutboundState.ACKNOWLEDGED]

    async def test_a_claim_that_lapsed_settles_nothing(self, store, dispatcher, national_proxy):
        """Another sender took the message over: what the first one hears comes too late."""
        arrived, answer_now = asyncio.Event(), asyncio.Event()

        async def held(request):
            arrived.set()
            return await after(answer_now, acknowledging)(request)

        national_proxy.answers.append(held)
        receipt = await submit(store)
        with capture_logs() as logs:
            async with at_work(dispatcher):
                await arrived.wait()
                await store.outbound.release_own(utc_now())
                await outcomes(store)
                answer_now.set()

        assert 1 == [line["event"] for line in logs].count("outbound.claim_lapsed")
        assert 1 == len(await outcomes(store))
        assert [2] == [attempt.number for attempt in (await history(store, receipt)).attempts]

    @pytest.mark.parametrize("method", ["put_back", "renew", "settle"])
    async def test_what_is_known_of_a_claim_is_stored_once_that_can_be(
        self, store, dispatcher_with, national_proxy, monkeypatch, method
    ):
        """The database was away over it: nobody waits for the lease, and nothing leaves twice."""
        monkeypatch.setattr(dispatcher_module, "STORED_AGAIN_AFTER", 0.02)
        original, left = getattr(store.outbound, method), [2]

        async def away_twice(*arguments, **named):
            if left[0]:
                left[0] -= 1
                raise DatabaseAway("the database server does not answer")
            return await original(*arguments, **named)

        monkeypatch.setattr(store.outbound, method, away_twice)
        if method != "settle":  # its note is of another time, so that it is made anew, or put back
            monkeypatch.setattr(dispatcher_module, "NOTE_HOLDS", timedelta(seconds=-1))
        dispatcher = dispatcher_with()
        if method == "put_back":
            monkeypatch.setattr(
                store.outbound, "renew", AsyncMock(side_effect=[DatabaseAway("away"), None])
            )
        receipt = await submit(store)
        async with at_work(dispatcher):
            await outcomes(store)
        found = await history(store, receipt)

        assert [0] == left
        assert "acknowledged" == found.message.state
        assert [1] == [attempt.number for attempt in found.attempts]
        assert 1 == len(national_proxy.heard)

    async def test_where_nothing_can_be_stored_a_second_post_does_not_leave(
        self, store, dispatcher_with, national_proxy, monkeypatch
    ):
        """Its token was refused, and its next turn could not be noted: it stays one attempt."""
        national_proxy.answers.append(TOKEN_REFUSED)
        renew = store.outbound.renew
        monkeypatch.setattr(store.outbound, "renew", AsyncMock(side_effect=DatabaseAway("away")))
        receipt = await submit(store)
        async with at_work(dispatcher_with()):
            found = await back_in_the_queue(store, receipt)
            monkeypatch.setattr(store.outbound, "renew", renew)

        assert [1] == [attempt.number for attempt in found.attempts]
        assert 1 == len(national_proxy.heard)

    async def test_what_was_stopped_while_it_waited_for_its_turn_does_not_leave(
        self, store, dispatcher_with, token_service, national_proxy
    ):
        """The platform's pause outlasts the lease, and a person holds what is queued again."""
        asked, answer_now = asyncio.Event(), asyncio.Event()

        async def granting_late(request):
            asked.set()
            return await after(answer_now, granting())(request)

        token_service.otherwise = granting_late
        budget = Budget(100_000, monotonic=time.monotonic)
        receipt = await submit(store)
        with capture_logs() as logs:
            async with at_work(dispatcher_with(budget=budget)):
                await asked.wait()
                budget.pause(1.1)  # it is too much, says the platform to another message
                answer_now.set()
                await store.outbound.release_lapsed(utc_now() + timedelta(minutes=2))
                done = await store.interventions.intervene(
                    Verb.HOLD, receipt.message_id, JO, lambda *_: None, utc_now()
                )
                while "outbound.claim_lapsed" not in [line["event"] for line in logs]:
                    await asyncio.sleep(0.01)
        found = await history(store, receipt)

        assert ("held", "held") == (done.state, found.message.state)
        assert [] == national_proxy.heard

    @pytest.mark.parametrize("late", ["lapsed", "past its time"])
    async def test_what_may_not_leave_any_more_does_not_leave_with_a_new_token(
        self, store, dispatcher_with, national_proxy, late
    ):
        """Its token was refused, and by its next turn somebody else has it, or its time is over."""
        budget = Budget(100_000, monotonic=time.monotonic)

        async def refusing_too_late(request):
            budget.pause(1.1)
            if late == "lapsed":
                await store.outbound.release_lapsed(utc_now() + timedelta(minutes=2))
                await store.interventions.intervene(
                    Verb.HOLD, receipt.message_id, JO, lambda *_: None, utc_now()
                )
            return await TOKEN_REFUSED(request)

        national_proxy.answers.append(refusing_too_late)
        lasts = timedelta(minutes=15) if late == "lapsed" else timedelta(seconds=1)
        receipt = await submit(store, give_up_at=utc_now() + lasts)
        async with at_work(dispatcher_with(budget=budget)):
            while not national_proxy.heard or budget.paused_seconds:
                await asyncio.sleep(0.01)
            while await sending(store):
                await asyncio.sleep(0.01)
        found = await history(store, receipt)

        expected = ("held", 0) if late == "lapsed" else ("unconfirmed", 1)
        assert expected == (found.message.state, len(found.attempts))
        assert 1 == len(national_proxy.heard)

    async def test_after_a_failure_that_ends_the_round_the_next_one_sends(
        self, store, dispatcher, national_proxy, monkeypatch
    ):
        """Whatever ended it: the loop begins again, and gives out claims as it did before."""
        told = AsyncMock()
        monkeypatch.setattr(
            dispatcher._reconciler, "run", AsyncMock(side_effect=[ZeroDivisionError, None])
        )
        loop = enduring(dispatcher.run, told, lambda: False, pause_seconds=0)
        await submit(store)
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(loop(lambda: None))
            await outcomes(store)
            dispatcher.stop()

        assert 1 == told.await_count

    async def test_a_message_that_a_sender_fails_over_is_held(self, store, dispatcher, session):
        """What nobody thought of ends neither the process nor the sender: a person is told."""
        receipt = await submit(store, provider="other")
        await session.close()
        async with at_work(dispatcher):
            while not (found := await store.notices.pending("other", 10)):
                await store.notices.wait_for_work("other", 10)
        (notice,) = found

        assert (NoticeKind.HELD, [Remark.SET_ASIDE]) == (notice.kind, notice.remarks)
        assert "held" == (await history(store, receipt)).message.state


class TestTheLog:
    """One line an attempt, with all that one would ask, and nothing from a payload."""

    async def test_an_attempt_is_one_line(self, store, dispatcher, national_proxy):
        """Verdict, row, fault, status, codes, ids, duration, and where the message is now."""
        national_proxy.answers.append(declining(404, "PROXY_NOT_FOUND", "not-found"))
        receipt = await submit(store)
        with capture_logs() as logs:
            async with at_work(dispatcher):
                await outcomes(store)
        (line,) = [line for line in logs if line["event"] == "outbound.attempt_ended"]
        seconds = line.pop("seconds")

        expected = {
            "event": "outbound.attempt_ended",
            "log_level": "info",
            "provider": "trust",
            "request_id": receipt.request_id,
            "correlation_id": receipt.correlation_id,
            "attempt": 1,
            "verdict": "refused",
            "row": "refused",
            "fault": "PROXY",
            "http_status": 404,
            "code": "PROXY_NOT_FOUND",
            "issue": "not-found",
            "state": "refused",
        }
        assert expected == line
        assert 0 <= seconds < 10

    async def test_nothing_from_a_payload_is_logged(self, store, dispatcher, national_proxy):
        """Neither what we sent nor what was answered, nor the token."""

        async def prying(request):
            body = b'{"resourceType":"OperationOutcome","issue":[{"code":"canary of theirs"}]}'
            headers = {**ids_of(request), "Retry-After": "canary"}
            return web.Response(status=422, body=body, content_type=FHIR, headers=headers)

        national_proxy.answers.append(prying)
        await submit(store, b'{"notes":"canary"}')
        with capture_logs() as logs:
            async with at_work(dispatcher):
                await outcomes(store)

        assert "canary" not in str(logs)
        assert "token-1" not in str(logs)


class TestTheEgressProxy:
    """What our own network stops has not been tried."""

    @pytest.mark.parametrize(
        "answers", [{"says": "403 Forbidden"}, {"raw": b""}, {"raw": b"SSH-2.0-x\r\n\r\n"}]
    )
    async def test_what_it_stops_costs_no_attempt_and_no_receiver(
        self, store, national_proxy, answers
    ):
        """The message waits, untried, and the Receiver has not kept silent."""
        async with AsyncExitStack() as stack:
            side = await stack.enter_async_context(egress_side(**answers))
            egress = Egress(EgressProxy(url=side.url), now=utc_now)
            opened = open_session(
                client_context(None), connections=4, connect_seconds=5, egress=egress.way
            )
            session = await stack.enter_async_context(opened)
            proxy = Proxy(
                session,
                url="https://far.example/R4",
                budgets={"other": Budget(100_000, monotonic=time.monotonic)},
                answer_seconds=10,
                max_answer_bytes=100_000,
                egress=egress,
            )
            sender = Dispatcher(
                store,
                {"other": NoToken()},
                proxy,
                Policy(timing=lambda _use_case: QUICK, max_in_flight=2),
                reconciler=Reconciler(
                    store.reconciliations, store.asides, Unread(), now=utc_now, new_id=str
                ),
                now=utc_now,
                rng=random.Random(1),
            )
            await submit(store, provider="other")
            async with at_work(sender):
                await eventually(lambda: egress.trouble is not None)
        (row,) = await store.messages.queue("other", 10)

        assert (OutboundState.QUEUED, 0) == (row.state, row.attempts)
        assert {} == sender.breakers.receivers.silent
        assert [] == national_proxy.heard
