"""What operators type beside a running gateway: the real command, at the real socket."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from desks import Desk, desk_of
from epr_side import (
    PROVIDER,
    utc_now,
)
from json_lines import LINES
from messages import referral
from store_values import NOW, SILENCE, attempt, claim_next, submission

from bars_gateway.cli.messages import TYPED_AS
from bars_gateway.epr.intake import Intake
from bars_gateway.model.alerts import Channel, Condition, StandingConditions, Telling
from bars_gateway.model.messages import OutboundState, Settled
from bars_gateway.standard.verdict import Verdict
from bars_gateway.store.store import Store

WHY = ("--why", "INC-7")
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def desk(store: Store, intake: Intake) -> AsyncIterator[Desk]:
    async with desk_of(store, intake) as found:
        yield found


async def test_who_sees_to_an_alert_says_so_once(desk: Desk, store: Store) -> None:
    """It is told of no more; under a number that is not open nothing is done."""
    silent = Condition(code="receiver.silent", says="A Receiver does not answer", urgent=True)
    telling = Telling(channels=[Channel.JOURNAL], digest=timedelta(), remind=timedelta())
    await store.alerts.review(StandingConditions(conditions=[silent]), telling, NOW)
    done = await desk.types("acknowledge", "1", "--why", "INC-7", "--by", "jo")
    none = await desk.types("acknowledge", "2", "--why", "INC-7")
    (alert,) = await store.alerts.standing()

    assert (0, ["1: acknowledged; A Receiver does not answer"]) == done
    assert 1 == none[0]
    assert "acknowledged" == alert.state
    assert str(alert.acknowledged_by).startswith("jo (uid ")


async def queued(store: Store, count: int) -> None:
    for _ in range(count):
        await store.outbound.submit(submission(body=referral()), NOW)


async def refused(store: Store, count: int, now: datetime = NOW) -> None:
    for _ in range(count):
        claim = await claim_next(store, now, [PROVIDER])
        assert claim is not None
        tried = attempt(claim, Verdict.REFUSED)
        settled = Settled(state=OutboundState.REFUSED)
        await store.outbound.settle(claim, SILENCE, attempt=tried, settlement=settled)


async def states(store: Store) -> Counter[str]:
    found = await store.messages.queue(PROVIDER, 100)
    return Counter(each.state for each in found)


async def test_rounds_go_on_past_what_is_objected_to(desk: Desk, store: Store) -> None:
    """The first two rounds do nothing, for each was refused before its confirmation."""
    await queued(store, 5)
    await refused(store, 5)
    code, lines = await desk.types("resend", "--all", *WHY)

    assert (1, "done: 0, 5 not (not_confirmed)") == (code, lines[-1])
    assert 5 == len({line.split(":")[0] for line in lines[:-1]})


async def test_a_resend_reaches_each_once(desk: Desk, store: Store) -> None:
    """What was resent stays in its state, and is not met again; nor is its copy."""
    await queued(store, 5)
    await refused(store, 5)
    code, lines = await desk.types("resend", "--all", "--yes", *WHY)

    assert (0, "done: 5", {"queued": 5}) == (code, lines[-1], await states(store))


async def test_a_dry_run_looks_at_all(desk: Desk, store: Store) -> None:
    """What would be done is counted as far as what is done."""
    await queued(store, 5)
    code, lines = await desk.types("hold", "--all", "--dry-run", *WHY)

    assert (0, "would be: 5", {"queued": 5}) == (code, lines[-1], await states(store))


async def test_what_comes_between_rounds_is_not_meant(desk: Desk, store: Store) -> None:
    """The copies are refused before the second round begins, and are resent no second time."""
    await queued(store, 3)
    await refused(store, 3)
    order = {"why": "INC-7", "verb": "resend", "confirmed": True}
    connector = aiohttp.UnixConnector(path=str(desk.settings.parent / "run" / f"{PROVIDER}.sock"))
    async with aiohttp.ClientSession("http://epr", connector=connector) as session:
        async with session.post("/interventions", json=order) as answer:
            first = await answer.json()
        await refused(store, first["possible"], utc_now())
        following = order | {"messages": first["next"]}
        async with session.post("/interventions", json=following) as answer:
            second = await answer.json()

    assert (2, 1, None) == (first["possible"], second["possible"], second["next"])


async def test_alarms_are_marked_round_by_round(desk: Desk, store: Store) -> None:
    """Up to the number that was seen, and no further."""
    await queued(store, 6)
    await refused(store, 6)
    numbers = sorted(alarm.number for alarm in await store.alarms.standing(PROVIDER, 100))
    code, lines = await desk.types("mark-handled", "--all", "--up-to", str(numbers[4]), *WHY)

    assert (0, 5) == (code, len(lines))
    assert numbers[5:] == [alarm.number for alarm in await store.alarms.standing(PROVIDER, 100)]


async def test_a_dry_run_names_all_alarms_once(desk: Desk, store: Store) -> None:
    """Nothing is marked, and the second round begins behind the first all the same."""
    await queued(store, 5)
    await refused(store, 5)
    numbers = sorted(alarm.number for alarm in await store.alarms.standing(PROVIDER, 100))
    code, lines = await desk.types("mark-handled", "--all", "--up-to", "99", "--dry-run", *WHY)

    assert (0, numbers) == (code, [int(line.split()[0]) for line in lines])
    assert 5 == len(await store.alarms.standing(PROVIDER, 100))


async def test_receipts_are_given_to_programs(desk: Desk, tmp_path: Path) -> None:
    """A document for each file, with its receipt or refusal and nothing else beside it."""
    bodies = {tmp_path / "good.json": referral(), tmp_path / "bad.json": b"{}"}
    for file, body in bodies.items():
        file.write_bytes(body)
    code, lines = await desk.types("send", "--json", *map(str, bodies))
    good, bad = map(json.loads, lines)

    found = [(each["file"], each["accepted"]) for each in (good, bad)]

    assert (1, [(str(tmp_path / "good.json"), True), (str(tmp_path / "bad.json"), False)]) == (
        code,
        found,
    )
    assert good["answer"]["request_id"]
    assert bad["answer"]["issues"]


async def test_what_became_of_orders_is_told_to_programs(desk: Desk, store: Store) -> None:
    """A document for each message or alarm, named or met by a filter, and no sum after them."""
    await queued(store, 3)
    (first, *_) = await store.messages.queue(PROVIDER, 3)
    one = await desk.types("hold", first.request_id, NOBODY, "--json", *WHY)
    many = await desk.types("hold", "--all", "--json", *WHY)
    none = await desk.types("retry", "--all", "--json", *WHY)
    found = [list(map(json.loads, lines)) for _, lines in (one, many, none)]

    assert [1, 0, 1] == [code for code, _ in (one, many, none)]
    assert [2, 2, 0] == [len(each) for each in found]
    assert set(LINES["hold"].members) == set(found[0][0]) == set(found[1][0])
    assert (NOBODY, True) == (found[0][1]["request_id"], "error" in found[0][1])


async def test_what_became_of_alarms_is_told_to_programs(desk: Desk, store: Store) -> None:
    """A document for each alarm that was named."""
    await queued(store, 1)
    await refused(store, 1)
    (alarm,) = await store.alarms.standing(PROVIDER, 100)
    code, lines = await desk.types("mark-handled", str(alarm.number), "--json", *WHY)
    (found,) = map(json.loads, lines)

    assert (0, True) == (code, found["done"])
    assert set(LINES["mark-handled"].members) == set(found)


@pytest.mark.parametrize(
    "command", [("attach", "1", "1"), ("confirm", "1", "active")], ids=lambda typed: typed[0]
)
async def test_what_cannot_be_found_is_told_to_programs(
    desk: Desk, command: tuple[str, ...]
) -> None:
    """A document with the error, and the exit code of the command."""
    code, lines = await desk.types(*command, "--json", *WHY)
    (found,) = map(json.loads, lines)

    assert (1, True) == (code, "error" in found)


MISTYPED = {
    "--why": (("retry", "--all", "--why", "x" * 201), "1 to 200 characters"),
    "--by": (("retry", "--all", *WHY, "--by", "x" * 65), "1 to 64 characters"),
    "--state": (("retry", "--all", *WHY, "--state", "gone"), "not_sent"),
    "--receiver": (("retry", "--all", *WHY, "--receiver", "x" * 301), "1 to 300 characters"),
    "--use-case": (("retry", "--all", *WHY, "--use-case", "x" * 65), "1 to 64 characters"),
    "--correlation-id": (("retry", "--all", *WHY, "--correlation-id", "x"), "must be a UUID"),
    "--taken-from": (("retry", "--all", *WHY, "--taken-from", "x"), "must be an instant such as"),
    "--taken-before": (("hold", "--all", *WHY, "--taken-before", "x"), "must be an instant such"),
    "ALARM": (("mark-handled", "x", *WHY), "the number of an alarm, or an X-Request-Id"),
    "--kind": (("mark-handled", "--all", "--up-to", "1", "--kind", "x", *WHY), "there are"),
    "--up-to": (("mark-handled", "--all", "--up-to", str(2**63), *WHY), "number of an alarm"),
    "WORKFLOW": (("attach", "1", str(2**63), *WHY), "must be the number of a workflow"),
    "STATE": (("confirm", "1", "x", *WHY), "must be one of"),
}


@pytest.mark.parametrize("name", MISTYPED)
async def test_what_was_mistyped_is_told_by_the_name_that_was_typed(desk: Desk, name: str) -> None:
    """And by no member of the order that was made of it, which nobody has seen."""
    typed, words = MISTYPED[name]
    code, complaint = await desk.is_told(*typed)

    assert 2 == code
    assert f"Invalid value for {name}: " in complaint
    assert words in complaint
    assert not any(f"{member} " in complaint for member in TYPED_AS if "." in member)


def test_whatever_can_be_mistyped_is_looked_at() -> None:
    """A member that is given another option has its complaint here."""
    assert MISTYPED.keys() == set(TYPED_AS.values())


async def test_what_sets_an_objection_aside_is_told_as_it_is_typed(
    desk: Desk, store: Store
) -> None:
    """`--yes`, and not the member of an order that says so."""
    await queued(store, 1)
    await refused(store, 1)
    (line, _) = (await desk.types("resend", "--all", *WHY))[1]

    assert line.endswith("(--yes)")


ONE, OTHER = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
LATER = NOW + timedelta(hours=2)
BETWEEN = (NOW + timedelta(hours=1)).isoformat()
# What each leaves of two messages: the first or the second.
FILTERS = {
    "--receiver": ("https://fhir.nhs.uk/Id/dos-service-id|2", 1),
    "--use-case": ("a1t1", 1),
    "--correlation-id": (ONE, 0),
    "--taken-from": (BETWEEN, 1),
    "--taken-before": (BETWEEN, 0),
}


async def two_for(verb: str, desk: Desk, store: Store) -> tuple[str, str]:
    """Let there be two that the verb is for, alike in nothing; return their X-Request-Ids."""
    first = submission(correlation_id=ONE, body=referral())
    other = {"receiver": "https://fhir.nhs.uk/Id/dos-service-id|2", "use_case": "a1t1"}
    ends = {"give_up_at": LATER + timedelta(hours=1)}
    second = submission(correlation_id=OTHER, body=referral(), **other, **ends)
    for each, at in ((first, NOW), (second, LATER)):
        await store.outbound.submit(each, at)
        if verb in {"retry", "resend"}:
            await refused(store, 1, at)
    if verb == "release":
        await desk.types("hold", "--all", *WHY)
    return first.request_id, second.request_id


async def meant(desk: Desk, verb: str, *filters: str) -> set[str]:
    """Return which messages it would be done to, or would be told why not."""
    _, lines = await desk.types(verb, "--all", *filters, "--dry-run", "--json", *WHY)
    return {json.loads(line)["request_id"] for line in lines}


@pytest.mark.parametrize("option", FILTERS)
@pytest.mark.parametrize("verb", ["hold", "release", "withdraw", "retry", "resend"])
async def test_a_filter_leaves_what_fits_it(
    desk: Desk, store: Store, verb: str, option: str
) -> None:
    """One of two that the verb is for, and without the filter it is both."""
    both = await two_for(verb, desk, store)
    value, fits = FILTERS[option]

    assert set(both) == await meant(desk, verb)
    assert {both[fits]} == await meant(desk, verb, option, value)


STATES = {"hold": "queued", "release": "held", "withdraw": "queued", "resend": "refused"}


@pytest.mark.parametrize("verb", [*STATES, "retry"])
async def test_a_state_is_a_filter_too(desk: Desk, store: Store, verb: str) -> None:
    """`--state`: of another state there is none here."""
    both = await two_for(verb, desk, store)

    assert set(both) == await meant(desk, verb, "--state", STATES.get(verb, "refused"))
    assert set() == await meant(desk, verb, "--state", "unconfirmed")


@pytest.mark.parametrize("verb", [*STATES, "retry"])
async def test_a_verb_is_for_one_provider(desk: Desk, store: Store, verb: str) -> None:
    """`--provider`: its gateway is asked, and one that the settings have not is refused."""
    both = await two_for(verb, desk, store)
    code, complaint = await desk.is_told(verb, "--all", "--provider", "nobody", *WHY)

    assert set(both) == await meant(desk, verb, "--provider", PROVIDER)
    assert 2 == code
    assert "--provider" in complaint
