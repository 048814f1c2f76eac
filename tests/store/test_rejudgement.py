"""What came between a restore and its hand-over is judged as in a life without a restore."""

import json
import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from messages import validation_request
from store.test_restored_alarms import doubts, handle_all, kinds
from store.test_restoring import (
    LATER,
    NOT_FOUND,
    NOW,
    PAST,
    SINCE,
    Home,
    acknowledge,
    home,
    notices,
    overview,
    queue,
    response,
)
from store_values import (
    ANSWER,
    OURS,
    TERMS,
    THEIRS,
    arrival,
    attempt,
    claim_next,
    decision,
    payload,
    submission,
)

from bars_gateway.demo.messages import response as written_response
from bars_gateway.model.messages import OutboundState, Settled
from bars_gateway.model.questions import QuestionOpen
from bars_gateway.model.readings import Notice, Overview
from bars_gateway.standard import answers as our_answers
from bars_gateway.standard.bundle import read
from bars_gateway.standard.formats import Format, to_bytes
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.workflow import Move, RequestType
from bars_gateway.store.responses import response_arrival
from bars_gateway.store.store import Store

__all__ = ["home"]  # a fixture


def answers(to: str, move: Move, request_id: str, at: datetime = SINCE):
    came = response(to, move, request_id=request_id)
    return lambda store: store.responses.respond(came, NOT_FOUND, at)


def states(home: Home) -> dict[str, str]:
    """Return where each workflow is, by the Bundle.id that it began with."""
    query = (
        "SELECT m.bundle_id, w.state FROM workflows AS w JOIN messages AS m ON m.workflow_id = w.id"
        " WHERE m.move = 'request'"
    )
    with closing(sqlite3.connect(home.database)) as connection:
        return dict(connection.execute(query).fetchall())


def remarks(told: list[Notice]) -> dict[str, set[str]]:
    """Return what the EPR was told last of each message, beside that it is told once more."""
    return {n.request_id: set(n.remarks) - {"restored"} for n in told if n.kind != "outcome"}


async def lived(home: Home, first, since, after, *, restored: bool) -> tuple[object, ...]:
    """Let it all happen, with or without a restore between, and return what is so then."""
    await home.backed_up(*first)
    await home.does(*since)
    done = home.restored() if restored else None
    await home.does(*after)
    if done is not None:
        home.handed_over(done)
        home.handed_over(done)
    told, seen = await home.does(notices, overview)
    return states(home), remarks(told), seen


async def both(tmp_path: Path, first, since, after):
    """Return what is so with a restore between, and without one."""
    found = []
    for name, restored in (("restored", True), ("one", False)):
        (tmp_path / name).mkdir()
        there = Home(tmp_path / name)
        found.append(await lived(there, first, since, after, restored=restored))
    return found


ASKED = (queue(bundle_id="asked"), acknowledge)
SAYS = (Move.WAIT, Move.PROGRESS, Move.DECLINE, Move.CONCLUDE, Move.UNCLEAR)


@pytest.mark.parametrize("later", SAYS)
@pytest.mark.parametrize("earlier", SAYS)
async def test_a_response_is_judged_after_the_one_that_is_handed_over(
    tmp_path: Path, earlier: Move, later: Move
) -> None:
    """State, remarks and alarms are those of a life without a restore; none that stood is gone."""
    since, after = answers("asked", earlier, "one"), answers("asked", later, "two", LATER)
    (state, told, seen), (state_, told_, seen_) = await both(tmp_path, ASKED, [since], [after])

    assert (state_, told_) == (state, told)
    assert [] == [kind for kind in kinds(seen_) if kind not in kinds(seen)]


async def test_whoever_comes_after_a_decline_is_a_contradiction(home: Home) -> None:
    """The EPR is told of the arrival again, under a new number, after the decline."""
    await home.backed_up(*ASKED)
    await home.does(answers("asked", Move.DECLINE, "no"))
    restored = home.restored()
    await home.does(answers("asked", Move.PROGRESS, "arrived", LATER))
    home.handed_over(restored)
    told, seen = await home.does(notices, overview)

    assert {"asked": "contradicted"} == states(home)
    assert ["workflow.contradicted"] == doubts(seen)
    assert [set(), {"contradicts", "restored"}] == [
        set(n.remarks) - {"unforeseen"} for n in told if n.request_id == "arrived"
    ]


async def test_what_was_said_of_its_numbers_is_told_again(home: Home) -> None:
    """It is as true as it was, and whoever reads the newer notice has to check it, too."""
    await home.backed_up(*ASKED)
    await home.does(answers("asked", Move.DECLINE, "no"))
    restored = home.restored()
    came = response("asked", Move.PROGRESS, request_id="arrived")
    doubted = replace(came, doubts=(Remark.WRONG_NUMBER,))
    await home.does(lambda store: store.responses.respond(doubted, NOT_FOUND, LATER))
    home.handed_over(restored)
    (told,) = await home.does(notices)

    assert [{"wrong_number"}, {"contradicts", "wrong_number", "restored"}] == [
        set(n.remarks) - {"unforeseen"} for n in told if n.request_id == "arrived"
    ]


@pytest.mark.parametrize(
    ("doubts", "state"),
    [((), "completed"), ((Remark.MEANING_CHANGED,), "unclear")],
    ids=["agreed", "not-agreed"],
)
async def test_what_was_agreed_on_when_it_came_is_no_doubt_now(
    home: Home, doubts: tuple[Remark, ...], state: str
) -> None:
    """An extension that its Sender and we know changes no word, before a restore or after."""
    validation = {"use_case": "a4t1", "request_type": RequestType.VALIDATION}
    sent = queue(bundle_id="asked", body=validation_request(), **validation)
    await home.backed_up(sent, acknowledge)
    await home.does(answers("asked", Move.PROGRESS, "begun"))
    restored = home.restored()
    ids = iter(range(99))
    minted = our_answers.Minted(
        focus_id="there", encounter_id="theirs", reference="RAE-1", reference_system="urn:number"
    )
    asked = read(validation_request())
    acknowledged = our_answers.acknowledge(asked, minted, lambda: str(next(ids)), SINCE)
    said = json.loads(written_response(to_bytes(acknowledged, Format.JSON), encounter="finished"))
    body = json.dumps(said | {"implicitRules": "https://gateway.example/x"}).encode()
    named = {"provider": "trust", "request_id": "done", "correlation_id": "talk"}
    ends = {"sender": THEIRS, "receiver": OURS, "came_at": LATER, "doubts": doubts}
    came = response_arrival(read(body), Move.CONCLUDE, payload(body), **named, **ends)
    came = replace(came, responds_to="asked", focus_id=None)
    await home.does(lambda store: store.responses.respond(came, NOT_FOUND, LATER))
    before = states(home)
    home.handed_over(restored)

    assert ({"asked": state}, {"asked": state}) == (before, states(home))


async def test_what_is_judged_the_same_is_told_once(home: Home) -> None:
    """Nobody is told twice of what nothing is new about."""
    await home.backed_up(*ASKED)
    await home.does(answers("asked", Move.WAIT, "waits"))
    restored = home.restored()
    await home.does(answers("asked", Move.PROGRESS, "arrived", LATER))
    home.handed_over(restored)
    (told,) = await home.does(notices)

    assert ["arrived"] == [n.request_id for n in told if n.request_id == "arrived"]
    assert {"asked": "in_progress"} == states(home)


def cancels(at: datetime):
    """Let the Requester cancel what it asked of us, and our EPR say yes."""

    async def act(store: Store) -> None:
        store.questions.attend("trust", at)
        came = arrival(move=Move.CANCEL, focus_id="given", request_id="cancels")
        terms = replace(TERMS, answer_by=at + timedelta(seconds=5))
        asked = await store.questions.ask_about(came, None, terms, at)
        assert isinstance(asked, QuestionOpen)
        await store.questions.decide("trust", asked.question_id, decision(), at)

    return act


REQUESTED = (
    lambda store: store.inbound.receive(
        arrival(request_id="request", bundle_id="asked", focus_id="given"), NOW
    ),
)


async def test_our_own_word_on_what_was_cancelled_is_a_contradiction(home: Home) -> None:
    """Our EPR did not know of it: somebody may be on the way for nobody."""
    await home.backed_up(*REQUESTED)
    await home.does(cancels(SINCE))
    restored = home.restored()
    await home.does(sends(Move.PROGRESS, responds_to="asked"))
    (before,) = await home.does(overview)
    home.handed_over(restored)
    (seen,) = await home.does(overview)

    assert [] == [kind for kind in kinds(before) if kind != "restore.not_handed_over"]
    assert {"asked": "contradicted"} == states(home)
    assert ["workflow.contradicted"] == kinds(seen)


async def test_our_own_word_that_crosses_a_cancellation_is_told(home: Home) -> None:
    """Without any restore: it was on its way when the cancellation came."""
    await home.does(*REQUESTED)
    made = submission(move=Move.PROGRESS, responds_to="asked", give_up_at=PAST)
    await home.does(lambda store: store.outbound.submit(made, NOW), cancels(SINCE), acknowledge)
    (seen,) = await home.does(overview)

    assert {"asked": "contradicted"} == states(home)
    assert ["workflow.contradicted"] == kinds(seen)


def sends(move: Move, at: datetime = LATER, **changes: object):
    """Hand a message in and have it acknowledged *at* that time."""

    async def act(store: Store) -> None:
        made = submission(move=move, correlation_id="talk", give_up_at=PAST, **changes)
        await store.outbound.submit(made, at)
        claim = await claim_next(store, at, ["trust"])
        assert claim is not None
        settled = Settled(state=OutboundState.ACKNOWLEDGED)
        done = replace(attempt(claim), ended_at=at)
        await store.outbound.settle(claim, ANSWER, attempt=done, settlement=settled)

    return act


async def test_a_cancellation_that_came_after_the_end_is_told(home: Home) -> None:
    """It was acknowledged here, and nobody here knew that the case had ended."""
    await home.backed_up(*ASKED)
    await home.does(answers("asked", Move.CONCLUDE, "done"))
    restored = home.restored()
    await home.does(sends(Move.CANCEL, focus_id=focus(home)))
    home.handed_over(restored)
    (told,) = await home.does(notices)
    (last,) = [n for n in told if n.move == "cancel" and "restored" in n.remarks]

    assert {"asked": "completed"} == states(home)
    assert {"cancel_after_end", "restored"} == set(last.remarks)


def focus(home: Home) -> str:
    with closing(sqlite3.connect(home.database)) as connection:
        (found,) = connection.execute("SELECT focus_id FROM workflows").fetchone()
        return str(found)


class Life:
    """A random life of a Requester, which can be lived twice."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.count = 0

    def phase(self, at: datetime, most: int) -> list[object]:
        return [self.act(at) for _ in range(self.rng.randrange(most))]

    def act(self, at: datetime):
        self.count += 1
        to = self.rng.choice(("a", "b", "c"))
        if self.rng.random() < 0.1:
            return handle_all
        if self.rng.random() < 0.1:
            return answers("nothing", Move.PROGRESS, f"orphan-{self.count}", at)
        return answers(to, self.rng.choice(SAYS), f"m-{self.count}", at)


@pytest.mark.parametrize("seed", range(25))
async def test_any_life_that_was_restored_ends_as_one_that_was_not(
    tmp_path: Path, seed: int
) -> None:
    """States and remarks are the same, and no alarm of the one is missing in the other."""
    print("seed", seed)
    life = Life(seed)
    asked = [act for to in "abc" for act in (queue(bundle_id=to), acknowledge)]
    phases = [*asked, *life.phase(NOW, 4)], life.phase(SINCE, 8), life.phase(LATER, 8)
    (state, told, seen), (state_, told_, seen_) = await both(tmp_path, *phases)

    assert state_ == state
    assert told_ == told
    assert set() == alarms(seen_) - alarms(seen)


def alarms(seen: Overview) -> set[tuple[str, int | str | None]]:
    by_workflow = {"workflow.contradicted", "workflow.unclear"}
    return {(a.kind, a.workflow_id if a.kind in by_workflow else a.request_id) for a in seen.alarms}
