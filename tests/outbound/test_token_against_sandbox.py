"""The token source before the strict token service of the sandbox, over TLS."""

import asyncio
import json
import re
from datetime import timedelta
from uuid import uuid4

import pytest
from sandbox.around import loaded

from bars_gateway.errors import TokenUnavailable
from bars_gateway.outbound.budget import Budget
from bars_gateway.outbound.egress import open_session
from bars_gateway.outbound.token import Credentials, SigningKey, TokenSource
from bars_gateway.outbound.token_refusals import (
    SERVER_ERROR,
    TABLE,
    ApplicationUnknown,
    AudienceRefused,
    ClockRefused,
    KeySetRefused,
    KeyUnknown,
)
from bars_gateway.sandbox.bodies import REFUSALS
from bars_gateway.tls.contexts import client_context


@pytest.fixture
async def source_with(box):
    """Return a token source with the right credentials but for what is named."""
    trusted = client_context(box.sandbox.ca_file)
    async with open_session(trusted, connections=4, connect_seconds=5) as session:

        def make(new_id=lambda: str(uuid4()), fast=timedelta(0), **changes):
            right = {
                "token_url": box.sandbox.token_url,
                "api_key": box.trust.api_key,
                "key_id": box.trust.key_id,
                "key": loaded(box.trust.private_key_file),
            } | changes
            signing = {name: right.pop(name) for name in ("key_id", "key")}
            return TokenSource(
                session,
                Credentials(**right),
                [SigningKey(**signing)],
                Budget(100_000, monotonic=box.clock.monotonic),
                now=lambda: box.clock.now() + fast,
                monotonic=box.clock.monotonic,
                new_id=new_id,
            )

        yield make


async def refusal(source):
    with pytest.raises(TokenUnavailable) as caught:
        await source.token()
    return type(caught.value)


async def test_our_jwt_is_accepted(box, source_with):
    """Signature, claims, form and media type, each checked as the live service does."""
    token = await source_with().token()
    reply = await box.call(Authorization=f"Bearer {token}")

    assert 200 == reply.status


async def test_twenty_senders_ask_once(box, source_with):
    """However many start at the same moment, the service is asked for one token."""
    source = source_with()
    async with asyncio.TaskGroup() as group:
        senders = [group.create_task(source.token()) for _ in range(20)]

    assert 1 == len({sender.result() for sender in senders})
    assert 1 == len(await box.calls())


async def test_after_an_outage_a_new_jwt_is_accepted(box, source_with):
    """A JWT that was sent once is spent, whatever came of it."""
    await box.arm(kind="token_outage", mode="drop", count=1)
    source = source_with()
    await refusal(source)
    box.clock.advance(60)

    assert await source.token()


async def test_a_repeated_jti_would_be_refused(source_with):
    """That is why each POST carries a new one."""
    source = source_with(new_id=lambda: "the-same-each-time")
    source.discard(await source.token())

    with pytest.raises(TokenUnavailable, match="used twice"):
        await source.token()


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        pytest.param({"api_key": "of-nobody"}, ApplicationUnknown, id="api-key"),
        pytest.param({"key_id": "not-registered"}, KeyUnknown, id="key-id"),
    ],
)
async def test_a_wrong_setting_is_named(source_with, changes, kind):
    """The operator learns which of the settings it is."""
    assert kind is await refusal(source_with(**changes))


async def test_a_foreign_key_is_named(source_with, key):
    """The private key in the file is not the one that was registered."""
    assert KeyUnknown is await refusal(source_with(key=key))


async def test_a_wrong_audience_is_named(box, source_with):
    """The address is compared letter by letter: another spelling of the same one will not do."""
    shouted = box.sandbox.token_url.replace("https", "HTTPS")

    assert AudienceRefused is await refusal(source_with(token_url=shouted))


@pytest.mark.parametrize("minutes", [-10, 10])
async def test_a_wrong_clock_is_named(source_with, minutes):
    """Ours is wrong by ten minutes, and the cure for that is another than for a wrong key."""
    assert ClockRefused is await refusal(source_with(fast=timedelta(minutes=minutes)))


@pytest.mark.parametrize("minutes", [-2, 2])
async def test_a_clock_that_is_a_little_wrong_will_do(source_with, minutes):
    """Neither iat nor nbf is there to be refused, and exp leaves room either way (D-jwt)."""
    assert await source_with(fast=timedelta(minutes=minutes)).token()


# These the sandbox answers for what was sent, or for what is registered, and not on demand.
_BY_ITSELF = {"verb", "jwks", "not-yet-valid"}


@pytest.mark.parametrize("name", REFUSALS)
async def test_every_refusal_is_met_by_its_row(box, source_with, name):
    """The words of the live service, all the way over TLS, lead to the row with our advice."""
    row = next(row for row in (*TABLE, SERVER_ERROR) if row.name == name)
    await box.arm(kind="token_refused", refusal=name, count=1)
    source = source_with()
    with pytest.raises(row.kind, match=re.escape(row.reason)):
        await source.token()

    assert row.kind.advice == source.status.advice


async def test_a_registration_that_is_no_key_set_is_named(box, source_with):
    """The platform fails with a body of its own, which is read too."""
    file = box.trust.folder / "jwks.json"
    before = file.read_bytes()
    file.write_text(json.dumps(json.loads(before)["keys"][0]))
    try:
        assert KeySetRefused is await refusal(source_with())
    finally:
        file.write_bytes(before)


def test_the_sandbox_knows_every_row():
    """A row that nothing can produce would be a guess."""
    assert {row.name for row in (*TABLE, SERVER_ERROR)} == {*REFUSALS, *_BY_ITSELF}
