"""What an operator does from a page: first what would happen, then once, with a reason."""

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import messages
import pytest
from answered import answered
from console_side import CANARY, Console, browser, refused, sent, served
from console_visitors import PASSWORD, Page, Person, audit, person, users
from store_values import (
    NOW,
    submission,
)

from bars_gateway.model.interventions import Verb
from bars_gateway.model.messages import OutboundState
from bars_gateway.standard.workflow import Move


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Console]:
    """Serve a console with three users: viewer, operator and reveal."""
    async with served(tmp_path, users=users(tmp_path)) as found:
        yield found


async def queued(console: Console, **changes: object) -> str:
    body = json.dumps({"note": CANARY, "id": str(uuid.uuid4())}).encode()
    accepted = submission(body=body, give_up_at=NOW + timedelta(hours=1), **changes)
    await console.store.outbound.submit(accepted, NOW)
    return accepted.request_id


async def state(console: Console, number: int) -> str:
    found = await console.store.searches.message(number)
    assert found is not None
    return found.history.message.state


async def do(somebody: Person, plan: Page, why: str = "INC-7", **more: str) -> Page:
    form = {"csrf": plan.field("csrf"), "plan": plan.field("plan"), "why": why, **more}
    return await somebody.post("/do", form)


async def done(somebody: Person, path: str, **more: str) -> Page:
    """Look at what would happen, do it, and return the page that tells of it."""
    plan = await somebody.get(path)
    assert plan.status == 200, plan.words
    answer = await do(somebody, plan, **more)
    assert answer.status == 303, answer.words
    return await somebody.get(answer.headers["Location"])


@pytest.mark.parametrize(
    ("before", "verb", "after"),
    [
        ((), Verb.HOLD, OutboundState.HELD),
        ((Verb.HOLD,), Verb.RELEASE, OutboundState.QUEUED),
        ((), Verb.WITHDRAW, OutboundState.WITHDRAWN),
        ((Verb.WITHDRAW,), Verb.RETRY, OutboundState.QUEUED),
    ],
)
async def test_each_verb_is_done_from_a_page(
    guarded: Console, before: tuple[Verb, ...], verb: Verb, after: OutboundState
) -> None:
    """What would happen changes nothing; then it is done, and the audit says by whom and why."""
    request_id = await queued(guarded)
    async with person(guarded, "operator") as somebody:
        for each in before:
            await done(somebody, f"/act?verb={each}&of=1")
        was = await state(guarded, 1)
        plan = await somebody.get(f"/act?verb={verb}&of=1")
        foreseen = await state(guarded, 1)
        page = await done(somebody, f"/act?verb={verb}&of=1")
    word = {"retry": "retried", "hold": "held", "withdraw": "withdrawn"}.get(verb, f"{verb}d")
    told = (await audit(guarded, f"operator.{word}"))[-1]

    assert "1 of 1 would be done." in plan.words
    assert was == foreseen
    assert after == await state(guarded, 1)
    assert "1 of 1 done." in page.words
    assert request_id in page.text
    assert ("operator (console)", "INC-7", 1) == (told["who"], told["why"], told["message"])


async def test_a_resend_is_confirmed_first(guarded: Console) -> None:
    """What may come of it stands there, and has to be ticked."""
    await refused(guarded.store, body=messages.referral())
    path = "/act?verb=resend&of=1"
    async with person(guarded, "operator") as somebody:
        plan = await somebody.get(path)
        unread = await done(somebody, path)
        page = await done(somebody, path, confirmed="yes")
    (found,) = re.findall(r"resent as", page.text)

    assert "then the Receiver may refuse the same payload" in plan.words
    assert "0 of 1 done." in unread.words
    assert found


async def test_the_same_objection_as_on_the_command_line(guarded: Console) -> None:
    """In its words, with its cure; and there is nothing to send."""
    await sent(guarded.store)
    async with person(guarded, "operator") as somebody:
        page = await somebody.get("/act?verb=hold&of=1")

    assert "Not done: its state does not allow for that. Look at its state" in page.words
    assert "0 of 1 would be done." in page.words
    assert 'action="/do"' not in page.text


@pytest.mark.parametrize("why", ["", " ", "x" * 201, "two\nlines"])
async def test_nothing_is_done_without_a_reason(guarded: Console, why: str) -> None:
    """In the words of the command line; the form can be sent again."""
    await queued(guarded)
    async with person(guarded, "operator") as somebody:
        plan = await somebody.get("/act?verb=hold&of=1")
        page = await do(somebody, plan, why)
        before = await state(guarded, 1)
        await do(somebody, page)

    assert 400 == page.status
    assert "must be a text of 1 to 200 characters on one line" in page.words
    assert ("queued", "held") == (before, await state(guarded, 1))


async def test_a_reason_names_no_patient(guarded: Console) -> None:
    """It would stand in the audit trail for years; the page says what to write instead."""
    await queued(guarded)
    async with person(guarded, "operator") as somebody:
        plan = await somebody.get("/act?verb=hold&of=1")
        page = await do(somebody, plan, "for 943 476 5919")

    assert 400 == page.status
    assert "holds what may be an NHS number" in page.words
    assert "name a ticket" in page.words
    assert "queued" == await state(guarded, 1)


async def test_a_form_that_is_sent_twice_is_done_once(guarded: Console) -> None:
    """At the same moment, too: both lead to what became of it."""
    await refused(guarded.store, body=messages.referral())
    async with person(guarded, "operator") as somebody:
        plan = await somebody.get("/act?verb=resend&of=1")
        both = await asyncio.gather(
            *(do(somebody, plan, confirmed="yes") for _ in range(3))  # a new message each time
        )
        page = await somebody.get(both[0].headers["Location"])
    told = await audit(guarded, "operator.resent")

    assert {303} == {each.status for each in both}
    assert 1 == len({each.headers["Location"] for each in both})
    assert "resent as" in page.words
    assert 1 == len(told)


async def test_all_that_fits_a_search_is_acted_on_at_once(guarded: Console) -> None:
    """Those that were shown, and none that came since."""
    for use_case in ("a1t1", "a1t1", "a3t1"):
        await queued(guarded, use_case=use_case)
    async with person(guarded, "operator") as somebody:
        listed = await somebody.get("/messages?use_case=a1t1")
        plan = await somebody.get("/act?verb=hold&use_case=a1t1")
        await queued(guarded, use_case="a1t1")
        answer = await do(somebody, plan)
        page = await somebody.get(answer.headers["Location"])

    assert '/act?verb=hold&amp;use_case=a1t1"' in listed.text
    assert "Hold 2 messages that fit a search?" in plan.words
    assert "2 of 2 done." in page.words
    assert ["held", "held", "queued", "queued"] == [await state(guarded, n) for n in (1, 2, 3, 4)]


async def test_more_than_the_command_line_takes_at_once_is_refused(
    guarded: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing newer is done before what it has to follow."""
    monkeypatch.setattr("bars_gateway.daemon.console.ProvidersHands.at_once", 2)
    for _ in range(3):
        await queued(guarded)
    async with person(guarded, "operator") as somebody:
        page = await somebody.get("/act?verb=hold&direction=outbound")

    assert 400 == page.status
    assert "More than 2 messages fit" in page.words


async def test_what_the_receiver_has_is_resent_one_by_one(guarded: Console) -> None:
    """By a search it is not: somebody has to look at each."""
    await sent(guarded.store)
    async with person(guarded, "operator") as somebody:
        page = await somebody.get("/act?verb=resend&state=acknowledged")

    assert "Nothing fits: by a search, resend is for outbound messages that are" in page.words


async def test_a_provider_that_is_called_by_a_number_is_no_alarm(guarded: Console) -> None:
    """Some are: a message leads to its own alarms, and to no other that happens to have it."""
    await refused(guarded.store, provider="4711")
    (alarm,) = await guarded.store.alarms.standing(None, 10)
    async with person(guarded, "operator") as somebody:
        page = await somebody.get("/messages/1")

    assert [str(alarm.number)] == re.findall(r"/handle\?alarm=([^\"]+)", page.text)


async def test_an_alarm_is_marked_as_handled(guarded: Console) -> None:
    """From the overview, with a reason."""
    await refused(guarded.store)
    (alarm,) = await guarded.store.alarms.standing(None, 10)
    async with person(guarded, "operator") as somebody:
        before = await somebody.get("/")
        page = await done(somebody, f"/handle?alarm={alarm.number}")
    (told,) = await audit(guarded, "operator.marked_handled")

    assert f'href="/handle?alarm={alarm.number}"' in before.text
    assert "1 of 1 done." in page.words
    assert ("operator (console)", "INC-7") == (told["who"], told["why"])
    assert [] == await guarded.store.alarms.standing(None, 10)


async def test_a_quarantined_response_is_attached(guarded: Console) -> None:
    """Which workflow it is, a person says; then the audit has it."""
    workflow = await answered(
        guarded.store, NOW, Move.CONCLUDE, "00000000-0000-4000-8000-000000000404"
    )
    async with person(guarded, "operator") as somebody:
        listed = await somebody.get("/quarantine")
        page = await done(somebody, f"/attach?quarantine=1&workflow={workflow}")
        kept = await guarded.store.quarantine.quarantined("trust", 1)
    (told,) = await audit(guarded, "operator.attached")

    assert 'href="/attach?quarantine=1"' in listed.text
    assert "1 of 1 done." in page.words
    assert kept is not None
    assert workflow == kept[0].attached_to
    assert ("operator (console)", "INC-7") == (told["who"], told["why"])


async def test_a_workflow_in_doubt_is_confirmed(guarded: Console) -> None:
    """A person has telephoned, and says how it stands."""
    workflow = await answered(guarded.store, NOW, Move.UNCLEAR)
    async with person(guarded, "operator") as somebody:
        page = await done(somebody, f"/confirm?workflow={workflow}&state=declined")
    (told,) = await audit(guarded, "operator.confirmed")

    assert "1 of 1 done." in page.words
    assert "declined" in page.words
    assert ("operator (console)", "INC-7") == (told["who"], told["why"])


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/act?verb=hold&of=99", "There is no such thing."),
        ("/act?verb=explode&of=1", "There is nothing called that"),
        ("/act?verb=hold&of=abc", "a filter is none that there is"),
        ("/act?verb=hold&receiver=2000000906", "a filter is none that there is"),
        ("/attach?quarantine=99&workflow=1", "Nothing in quarantine has that number."),
        ("/confirm?workflow=99&state=completed", "No workflow has that number."),
        ("/confirm?workflow=1&state=completed", "Not done"),
        ("/handle?alarm=99", "No alarm has such a number."),
        ("/handle", "Name 1 to 500 alarms"),
    ],
)
async def test_what_is_not_there_is_said(guarded: Console, path: str, says: str) -> None:
    """Whatever was asked for: nothing is done."""
    await sent(guarded.store)
    async with person(guarded, "operator") as somebody:
        page = await somebody.get(path)

    assert says in page.words
    assert 'action="/do"' not in page.text


@pytest.mark.parametrize(
    ("path", "field"), [("/attach?quarantine=1", "workflow"), ("/confirm?workflow=1", "state")]
)
async def test_what_only_a_person_knows_is_asked_for(
    guarded: Console, path: str, field: str
) -> None:
    """Which workflow, or how it stands."""
    await answered(guarded.store, NOW, Move.CONCLUDE, "00000000-0000-4000-8000-000000000404")
    async with person(guarded, "operator") as somebody:
        page = await somebody.get(path)

    assert f'name="{field}"' in page.text


async def test_a_plan_is_its_sessions_alone(guarded: Console) -> None:
    """A name that was guessed, or is somebody else's, does nothing, and is told."""
    await queued(guarded)
    async with person(guarded, "operator") as one, person(guarded, "operator") as other:
        plan = await one.get("/act?verb=hold&of=1")
        form = {"csrf": await other.csrf(), "plan": plan.field("plan"), "why": "INC-7"}
        page = await other.post("/do", form)
    told = await audit(guarded, "console.refused")

    assert 404 == page.status
    assert "queued" == await state(guarded, 1)
    assert {"unknown_id"} == {each["reason"] for each in told}


@pytest.mark.parametrize("name", ["viewer", "reveal"])
async def test_others_see_no_verbs_and_may_do_none(guarded: Console, name: str) -> None:
    """Who may only look, or only have payloads shown."""
    await queued(guarded)
    async with person(guarded, name) as somebody:
        pages = [
            await somebody.get(path) for path in ("/", "/messages?state=queued", "/messages/1")
        ]
        tried = await somebody.get("/act?verb=hold&of=1")
        form = {"csrf": await somebody.csrf(), "plan": "x", "why": "INC-7"}
        posted = await somebody.post("/do", form)

    assert not any("/act?" in page.text or "/handle?" in page.text for page in pages)
    assert (403, 403) == (tried.status, posted.status)
    assert "queued" == await state(guarded, 1)
    told = await audit(guarded, "console.refused")
    assert {("missing_role", f"{name} (console)")} == {(e["reason"], e["who"]) for e in told}


class TestReveal:
    """A payload is shown to whoever may have it, with a reason, once."""

    async def test_it_is_shown_there_and_nowhere_else(self, guarded: Console) -> None:
        """No other page has it; no browser keeps it; the audit says who, why, which and what."""
        await queued(guarded)
        async with person(guarded, "reveal") as somebody:
            paths = ("/", "/messages", "/messages/1", "/messages/1/reveal", "/audit")
            others = [(await somebody.get(path)).text for path in paths]
            form = {"csrf": await somebody.csrf(), "part": "request", "why": "INC-7"}
            page = await somebody.post("/messages/1/reveal", form)
            again = await somebody.get("/messages/1/reveal")
        (told,) = await audit(guarded, "console.revealed")

        assert not any(CANARY in text for text in (*others, again.text))
        assert f"&#34;note&#34;: &#34;{CANARY}&#34;" in page.text
        assert "no-store" == page.headers["Cache-Control"]
        assert ("reveal (console)", "reveal", "INC-7", "request", 1) == tuple(
            told[name] for name in ("who", "role", "why", "part", "message")
        )
        assert CANARY not in json.dumps(told)

    @pytest.mark.parametrize("why", ["", " ", "x" * 201, "two\nlines", "for 943 476 5919"])
    async def test_not_without_a_reason(self, guarded: Console, why: str) -> None:
        """Nothing is shown, and the audit has nothing."""
        await queued(guarded)
        async with person(guarded, "reveal") as somebody:
            form = {"csrf": await somebody.csrf(), "part": "request", "why": why}
            page = await somebody.post("/messages/1/reveal", form)

        assert 400 == page.status
        assert CANARY not in page.text
        assert [] == await audit(guarded, "console.revealed")

    @pytest.mark.parametrize("name", ["viewer", "operator"])
    async def test_not_to_others(self, guarded: Console, name: str) -> None:
        """Nor is there a link."""
        await queued(guarded)
        async with person(guarded, name) as somebody:
            message = await somebody.get("/messages/1")
            form = {"csrf": await somebody.csrf(), "part": "request", "why": "INC-7"}
            page = await somebody.post("/messages/1/reveal", form)

        assert "/reveal" not in message.text
        assert 403 == page.status
        assert CANARY not in page.text
        assert [] == await audit(guarded, "console.revealed")

    @pytest.mark.parametrize(
        ("number", "part", "status"), [(99, "request", 404), (1, "answer", 404), (1, "x", 400)]
    )
    async def test_what_is_not_kept_is_not_shown(
        self, guarded: Console, number: int, part: str, status: int
    ) -> None:
        """And nothing is in the audit as shown."""
        await queued(guarded)
        async with person(guarded, "reveal") as somebody:
            form = {"csrf": await somebody.csrf(), "part": part, "why": "INC-7"}
            page = await somebody.post(f"/messages/{number}/reveal", form)

        assert status == page.status
        assert [] == await audit(guarded, "console.revealed")


@pytest.mark.needs("chromium")
async def test_the_whole_way_without_javascript(guarded: Console) -> None:
    """Log in, see what would happen, say why, do it, and see it in the audit."""
    await queued(guarded)
    async with browser() as chromium:
        context = await chromium.new_context(java_script_enabled=False)
        page = await context.new_page()
        await page.goto(f"{guarded.url}/messages/1")
        await page.fill("#user", "operator")
        await page.fill("#password", PASSWORD)
        await page.click("main button")
        await page.click("text=Hold…")
        would = await page.text_content("#would + p")
        await page.fill("#why", "INC-7")
        await page.click("main button")
        did = await page.text_content("#did + p")
        await page.click("text=audit trail")
        trail = await page.text_content("main")
        await page.click("text=Log out")
        end = await page.text_content("h1")

    assert ("1 of 1 would be done.", "1 of 1 done.") == (would, did)
    assert trail is not None
    assert "operator (console)" in trail
    assert "INC-7" in trail
    assert "Log in" == end
    assert "held" == await state(guarded, 1)
