"""What `docs/sending.md` has an operator type: each line, where there is what it is for."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import terminals
from answered import answered
from desks import Desk, desk_of
from epr_side import PROVIDER, utc_now
from messages import referral
from pages import block
from store_values import SILENCE, THEIRS, attempt, claim_next, submission

from bars_gateway.epr.intake import Intake
from bars_gateway.model.messages import OutboundState, Settled
from bars_gateway.standard.verdict import Verdict
from bars_gateway.standard.workflow import Move, State
from bars_gateway.store.store import Store

pytestmark = [pytest.mark.needs("curl"), pytest.mark.of_sqlite]  # typed beside it, by its file
PAGE = "sending.md"
NOTHING = "00000000-0000-4000-8000-000000000404"


@pytest.fixture
async def desk(store: Store, intake: Intake, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_of(store, intake, tmp_path / "gateway.db") as found:
        yield found


async def types(desk: Desk, line: str, **words: object) -> str:
    """Type a line with what a person would put in the place of those words; it is done."""
    for word, value in words.items():
        line, times = re.subn(rf"\b{word.lstrip('_')}\b", str(value), line)
        assert times
    there = f"cd {desk.settings.parent}; export BARS_GATEWAY_CONFIG={desk.settings}"
    code, said = await terminals.typed(f"{there}\n{line}")
    assert 0 == code, said
    return said


async def waits(store: Store) -> str:
    now = utc_now()
    asked = submission(body=referral(), receiver=THEIRS, give_up_at=now + timedelta(hours=1))
    return (await store.outbound.submit(asked, now)).request_id


async def ended(store: Store, verdict: Verdict, state: OutboundState) -> str:
    """Let a message be tried, and end like that: it raises an alarm."""
    name = await waits(store)
    claim = await claim_next(store, utc_now(), [PROVIDER])
    assert claim is not None
    tried = attempt(claim, verdict)
    await store.outbound.settle(claim, SILENCE, attempt=tried, settlement=Settled(state=state))
    return name


async def refused(store: Store) -> str:
    return await ended(store, Verdict.REFUSED, OutboundState.REFUSED)


async def states(store: Store, *names: str) -> list[str]:
    found = [await store.messages.history(PROVIDER, name) for name in names]
    return [each.message.state for (each,) in found]


async def test_verbs(desk: Desk, store: Store) -> None:
    """Each for a message in the state that it is about."""
    bad, late = await refused(store), await ended(store, Verdict.RETRY, OutboundState.UNCONFIRMED)
    by_program, by_hand = await waits(store), await waits(store)
    hold, resend, by_command, in_bulk = block(PAGE, "/hold", "retry --all").splitlines()
    await types(desk, hold, REQUEST_ID=by_program)
    resent = await types(desk, resend, REQUEST_ID=bad)
    await types(desk, by_command, REQUEST_ID=by_hand)
    foreseen = await types(desk, in_bulk)

    assert ["held", "held"] == await states(store, by_program, by_hand)
    assert "resent_as" in resent
    assert late in foreseen
    assert "would be: 1" in foreseen


async def test_what_nobody_has_seen(desk: Desk, store: Store) -> None:
    """By number, by a filter, and by a program."""
    for _ in range(4):
        await refused(store)
    one, two, three, four = [each.number for each in await store.alarms.standing(PROVIDER, 10)]
    lists, by_number, in_bulk, by_program = block(PAGE, "mark-handled 17 18").splitlines()
    listed = await types(desk, lists)
    await types(desk, by_number, _17=one, _18=two)
    foreseen = await types(desk, in_bulk, _42=max(three, four))
    await types(desk, by_program, _17=three)

    assert 4 == listed.count("message.refused")
    assert 2 == foreseen.count("would be marked as handled")
    assert [four] == [each.number for each in await store.alarms.standing(PROVIDER, 10)]


async def test_a_response_is_attached(desk: Desk, store: Store) -> None:
    """One by the command, and another by a program."""
    first = await answered(store, utc_now(), Move.CONCLUDE, NOTHING)
    other = await answered(store, utc_now(), Move.CONCLUDE, NOTHING)
    looks, by_hand, by_program = block(PAGE, "attach NUMBER").splitlines()
    before = await types(desk, looks, NUMBER=1, WORKFLOW=first)
    done = await types(desk, by_hand, NUMBER=1, WORKFLOW=first)
    await types(desk, by_program, NUMBER=2, _7=other)
    kept = [await store.quarantine.quarantined(PROVIDER, number) for number in (1, 2)]

    assert "1: would be attached" in before
    assert "1: attached" in done
    assert [first, other] == [each[0].attached_to for each in kept if each]


async def test_a_workflow_is_confirmed(desk: Desk, store: Store) -> None:
    """One by the command, and another by a program."""
    first, other = [await answered(store, utc_now(), Move.UNCLEAR) for _ in range(2)]
    looks, by_hand, by_program = block(PAGE, "confirm WORKFLOW").splitlines()
    before = await types(desk, looks, WORKFLOW=first)
    done = await types(desk, by_hand, WORKFLOW=first)
    said = await types(desk, by_program, WORKFLOW=other)

    assert f"{first}: would be {State.IN_PROGRESS}" in before
    assert f"{first}: the workflow is {State.IN_PROGRESS}" in done
    assert State.IN_PROGRESS in said
