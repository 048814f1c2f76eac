"""Whose turn it is where many cancellations wait to be read for."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import engines
import pytest
from store_values import NOW, THEIRS, payload, submission

from bars_gateway.demo.messages import referral
from bars_gateway.outbound import record_reads
from bars_gateway.outbound.record_reads import CancelReader
from bars_gateway.standard.headers import SenderIdentity
from bars_gateway.standard.reads import BarsAnswer, BarsRequest
from bars_gateway.standard.workflow import Move
from bars_gateway.store.store import Store

SILENT, GOOD = f"{THEIRS}1", f"{THEIRS}2"
IDENTITY = SenderIdentity(
    ods_code="X26",
    organisation="Invented trust",
    software_name="an EPR",
    software_version="1",
    software_system="urn:invented",
    software_value="1",
    core_version="1.5.0",
)


class Receivers:
    """One that never answers, and one that does at once."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.all_asked = asyncio.Event()
        self.stop = asyncio.Event()

    async def ask(
        self, request: BarsRequest, _seconds: float | None = None, *, fresh: bool = False
    ) -> BarsAnswer:
        assert request.target is not None
        self.asked.append(request.target.text)
        if request.target.text == SILENT:
            await self.stop.wait()
        elif self.asked.count(GOOD) == 3:
            self.all_asked.set()
        return BarsAnswer(http_status=503, media_type="text/plain", body=b"", headers={})


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with engines.opened(tmp_path / "gateway.db") as opened:
        yield Store(opened, node="here")


async def cancelled(store: Store, receiver: str, count: int, provider: str = "trust") -> None:
    """Let so many cancellations wait to be read for."""
    for _ in range(count):
        focus_id = str(uuid4())
        bundle = json.loads(referral())
        bundle["entry"][1]["resource"]["id"] = focus_id
        request = payload(json.dumps(bundle).encode())
        each = submission(
            provider=provider,
            receiver=receiver,
            request=request,
            move=Move.CANCEL,
            focus_id=focus_id,
            read_first=True,
        )
        await store.outbound.submit(each, NOW)


def reader_of(store: Store, receivers: Receivers) -> CancelReader:
    return CancelReader(
        store.cancellations,
        store.asides,
        receivers,
        {"trust": IDENTITY},
        now=lambda: NOW,
        new_id=lambda: str(uuid4()),
    )


@asynccontextmanager
async def reading(store: Store) -> AsyncIterator[Receivers]:
    receivers = Receivers()
    reader = reader_of(store, receivers)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(reader.run())
        try:
            yield receivers
        finally:
            receivers.stop.set()
            reader.stop()


async def test_a_silent_receiver_holds_up_no_cancellation_to_another(store: Store) -> None:
    """One read there is under way, and takes its twenty seconds; the other is read from at once."""
    await cancelled(store, SILENT, 3)
    await cancelled(store, GOOD, 3)
    async with reading(store) as receivers, asyncio.timeout(5):
        await receivers.all_asked.wait()

    assert 1 == receivers.asked.count(SILENT)


@pytest.mark.parametrize("provider", ["trust", "gone"])
async def test_however_many_wait_for_one_the_others_are_found(
    store: Store, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do those of a provider that is in no settings stand before anybody's."""
    monkeypatch.setattr(record_reads, "_LOOKED_AT", 2)
    await cancelled(store, SILENT, 3, provider)
    await cancelled(store, GOOD, 3)
    async with reading(store) as receivers, asyncio.timeout(5):
        await receivers.all_asked.wait()

    assert (1 if provider == "trust" else 0) == receivers.asked.count(SILENT)


async def test_a_read_that_ended_before_it_began_keeps_no_other_from_that_receiver(
    store: Store,
) -> None:
    """As where another task fails first: whoever begins again finds nothing under way."""
    await cancelled(store, GOOD, 1)
    reader = reader_of(store, Receivers())
    with contextlib.suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            begun = await reader.begin(group)
            raise ValueError
    async with asyncio.TaskGroup() as group:
        again = await reader.begin(group)

    assert (1, 1) == (begun, again)
