"""Where each thing that needs a person leads, and in which order they stand."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from bad_night import DOWN, bad_night
from console_side import SAID, STATE, Console, refused, sent, served, tried
from console_visitors import audit, person, users
from store_values import NOW, arrival, owed, payload, submission

from bars_gateway.console.leads import leads_of
from bars_gateway.console.overview import by_harm, growth
from bars_gateway.model.alarms import ALARMS
from bars_gateway.standard.workflow import Move
from bars_gateway.status.concern import Concern, ConcernKind
from bars_gateway.status.runbooks import RUNBOOKS


def plain(page: str) -> str:
    """Return what people read of it."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def concern(kind: str) -> Concern:
    return Concern(kind=kind, text="", advice="", about="trust one")


@pytest.mark.parametrize("kind", [*ALARMS, *ConcernKind])
def test_every_concern_leads_somewhere(kind: str) -> None:
    """Whatever stands there, one click shows what it speaks of."""
    places = [each.place for each in leads_of(concern(kind), NOW)]

    assert places
    assert [] == [place for place in places if not place.startswith("/")]


def test_what_somebody_is_woken_for_stands_first() -> None:
    """Among those, and among the rest, as they came: by how near a patient they are."""
    ordered = by_harm([concern(kind) for kind in reversed([*ALARMS, *ConcernKind])])
    urgent = [RUNBOOKS[each.kind].urgent for each in ordered]

    assert sorted(urgent, reverse=True) == urgent


async def test_a_workflow_has_an_address(console: Console) -> None:
    """It leads to its conversation, at its line; a number that none has says so."""
    await sent(console.store, correlation_id="talk 1")
    found = await console.get("/workflows/1")
    missing = await console.get("/workflows/2")

    assert "/conversations/talk 1" == found.path
    assert 'id="workflow-1"' in found.text
    assert 404 == missing.status


async def test_five_overdue_answers_are_five_lines(console: Console) -> None:
    """The overview counts them, and leads to each."""
    for minutes in range(5):
        due = owed(NOW - timedelta(minutes=9 + minutes))
        await sent(console.store, NOW - timedelta(hours=1), owed=due)
    await console.store.conversations.tell_due(NOW)
    overview = (await console.get("/")).text
    page = (await console.get("/alarms?kind=workflow.overdue")).text

    assert "Overdue: 5 answers owed to us" in plain(overview)
    assert "/alarms?kind=workflow.overdue" in overview
    assert 5 == len(re.findall(r'<tr role="row" id="alarm-\d+">', page))
    assert 5 == len(set(re.findall(r'href="(/workflows/\d+)"', page)))


async def test_a_kind_of_alarm_that_there_is_not_is_told(console: Console) -> None:
    """Nothing is listed as if it fitted."""
    answered = await console.get("/alarms?kind=x")

    assert 400 == answered.status
    assert "Kind must be one of the list" in plain(answered.text)


async def test_what_waits_because_of_a_silent_receiver_is_counted(console: Console) -> None:
    """Messages and workflows: two messages of one workflow are about one patient."""
    console.running = replace(STATE, silent={DOWN: NOW - timedelta(minutes=20)})
    first = await sent(console.store, receiver=DOWN, correlation_id="one", focus_id="f")
    for number in range(2):
        late = NOW - timedelta(minutes=number)
        await console.store.outbound.submit(submission(receiver=DOWN), late)
    page = plain((await console.get("/")).text)

    assert first
    assert "2 messages of 2 workflows wait , the oldest since 02 Mar 08:59:00" in page


async def test_an_alert_is_acknowledged_from_a_page(tmp_path: Path) -> None:
    """First what it is about, then a reason; it stays open, and the audit says who sees to it."""
    async with served(tmp_path, users=users(tmp_path)) as console:
        await bad_night(console)
        async with person(console, "operator") as somebody:
            listed = await somebody.get("/alarms")
            (link, *_) = re.findall(r'href="(/acknowledge\?alert=\d+)"', listed.text)
            plan = await somebody.get(link)
            before = await console.store.alerts.standing()
            form = {"csrf": plan.field("csrf"), "plan": plan.field("plan"), "why": "INC-7"}
            done = await somebody.get((await somebody.post("/do", form)).headers["Location"])
            after = (await somebody.get("/alarms")).words
        (told,) = await audit(console, "operator.acknowledged")
        standing = await console.store.alerts.standing()

    assert "Nobody is told of it again, unless it grows worse." in plan.words
    assert all(each.acknowledged_at is None for each in before)
    assert len(before) == len(standing)
    assert "1 of 1 done." in done.words
    assert "operator (console) sees to it" in after
    assert ("operator (console)", "INC-7") == (told["who"], told["why"])


async def test_an_alert_that_is_over_is_not_acknowledged(tmp_path: Path) -> None:
    """It says so, and nothing is written."""
    async with served(tmp_path, users=users(tmp_path)) as console:
        async with person(console, "operator") as somebody:
            page = await somebody.get("/acknowledge?alert=7")
        told = await audit(console, "operator.acknowledged")

    assert 400 == page.status
    assert "No alert is open under that number." in page.words
    assert [] == told


@pytest.mark.parametrize(
    ("a_day", "words"),
    [
        (None, "is not known before it has run for a day"),
        (0.0, "does not grow"),
        (2**20 * 10.0, "grows by 10 MiB a day: at that rate there is room for 100 days"),
        (2**20 * 1.0, "room for more than a year"),
    ],
)
def test_growth_is_told_with_how_long_there_is_room(a_day: float | None, words: str) -> None:
    """A disk that fills is seen before it is full."""
    assert words in growth(a_day, 2**20 * 1000)


async def test_how_long_it_was_up_is_told(console: Console) -> None:
    """Against what is promised, with since when that is known."""
    await console.store.uptimes.note_up(timedelta(), NOW - timedelta(hours=2))
    for minutes in range(119, -1, -1):
        at = NOW - timedelta(minutes=minutes)
        await console.store.uptimes.note_up(timedelta(seconds=60 if minutes != 30 else 0), at)
    page = plain((await console.get("/")).text)

    assert "Known since 02 Mar 07:00:00 , to ten seconds for each stop" in page
    assert "24 hours 99.167 % missed 99.167 % 1 min" in page


async def test_questions_that_are_open_are_listed(console: Console) -> None:
    """With their age, and whether anybody waits still."""
    await bad_night(console)
    page = plain((await console.get("/")).text)

    assert "request of a referral" in page
    assert "1 min ago" in page


class TestOwnWords:
    """What a Receiver answered may name a patient: it is hidden until somebody says why."""

    async def test_they_are_shown_with_a_reason(self, tmp_path: Path) -> None:
        """First what it says, then all of it; the message's own page has none of it."""
        said = (
            b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"processing",'
            b'"details":{"coding":[{"code":"REC_UNPROCESSABLE_ENTITY","display":"Not taken"}]},'
            b'"diagnostics":"No slot for Jane Doe"}]}'
        )
        async with served(tmp_path, users=users(tmp_path)) as console:
            await refused(console.store, answered=said)
            async with person(console, "reveal") as somebody:
                message = await somebody.get("/messages/1")
                ask = await somebody.get("/messages/1/reveal?part=answer")
                form = {"csrf": ask.field("csrf"), "part": "answer", "why": "INC-7"}
                page = await somebody.post("/messages/1/reveal", form)
            (told,) = await audit(console, "console.revealed")

        assert "/messages/1/reveal?part=answer" in message.text
        assert "Jane Doe" not in message.text
        assert '<option value="answer" selected>' in ask.text
        assert "error: REC_UNPROCESSABLE_ENTITY Not taken No slot for Jane Doe" in page.words
        assert ("answer", "INC-7", 1) == (told["part"], told["why"], told["message"])

    async def test_of_an_attempt_that_did_not_end_it_none_are_promised(
        self, console: Console
    ) -> None:
        """Only codes are kept of it."""
        await tried(console.store)
        page = (await console.get("/messages/1")).text

        assert "HTTP 408" in page
        assert "In its own words" not in page


class TestQuarantineReveal:
    """What lies in quarantine is hidden as any payload, and shown by the same rule."""

    async def test_it_is_shown_with_a_reason(self, tmp_path: Path) -> None:
        """And the audit has who, why, and which."""
        async with served(tmp_path, users=users(tmp_path)) as console:
            orphan = arrival(move=Move.CONCLUDE, responds_to="nothing", body=SAID)
            await console.store.responses.respond(orphan, payload(), NOW)
            async with person(console, "reveal") as somebody:
                listed = await somebody.get("/quarantine")
                ask = await somebody.get("/quarantine/1/reveal")
                form = {"csrf": ask.field("csrf"), "part": "request"}
                unsaid = await somebody.post("/quarantine/1/reveal", form)
                page = await somebody.post("/quarantine/1/reveal", {**form, "why": "INC-7"})
                none = await somebody.get("/quarantine/2/reveal")
            (told,) = await audit(console, "console.revealed")

        assert 'href="/quarantine/1/reveal"' in listed.text
        assert (400, 404) == (unsaid.status, none.status)
        assert SAID.decode() not in listed.text + ask.text + unsaid.text
        assert SAID.decode() in page.text
        assert ("reveal (console)", "INC-7", 1) == (told["who"], told["why"], told["quarantine"])

    @pytest.mark.parametrize("name", ["viewer", "operator"])
    async def test_not_to_others(self, tmp_path: Path, name: str) -> None:
        """Nor is there a link."""
        async with served(tmp_path, users=users(tmp_path)) as console:
            orphan = arrival(move=Move.CONCLUDE, responds_to="nothing", body=SAID)
            await console.store.responses.respond(orphan, payload(), NOW)
            async with person(console, name) as somebody:
                listed = await somebody.get("/quarantine")
                form = {"csrf": await somebody.csrf(), "part": "request", "why": "INC-7"}
                page = await somebody.post("/quarantine/1/reveal", form)
            told = await audit(console, "console.revealed")

        assert "/reveal" not in listed.text
        assert 403 == page.status
        assert [] == told
