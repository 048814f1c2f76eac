"""What is sent in vain, or once more, is not told as if the other side knew nothing of it."""

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from store_values import (
    ANSWER,
    NOW,
    SILENCE,
    arrival,
    attempt,
    claim_next,
    payload,
    submission,
    wording,
)

from bars_gateway.model.alarms import ALARMS
from bars_gateway.model.interventions import Verb
from bars_gateway.model.messages import Accepted, Actor, OutboundState, Settled, TryAgain
from bars_gateway.model.readings import Notice
from bars_gateway.model.standing_alarms import Alarm
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.sentences import means
from bars_gateway.standard.timing import Limits
from bars_gateway.standard.verdict import Verdict
from bars_gateway.standard.workflow import Move, RequestType
from bars_gateway.store.store import Store

MINUTE = timedelta(minutes=1)
HELP = {"request_type": RequestType.REFERRAL, "use_case": "a6t2"}
VALIDATION = {"request_type": RequestType.VALIDATION, "use_case": "a4t1"}
ACKNOWLEDGED, REFUSED = OutboundState.ACKNOWLEDGED, OutboundState.REFUSED
BADLY = [REFUSED, OutboundState.UNCONFIRMED, OutboundState.NOT_SENT]
DOES_NOT_KNOW = "does not know that you do"
THE_SAME = "goes by another one of yours, which says the same"
NEWER = "goes by newer word of yours"
OTHERWISE = "goes by another one of yours; this one may say otherwise. Telephone now."
JO = Actor(role="operator", who="jo", why="INC-1")
LIMITS = Limits(give_up_at=NOW + 15 * MINUTE, delayed_at=NOW + MINUTE)


@dataclass
class Case:
    """A case of which we are one side, and what is said in it."""

    store: Store
    about: dict[str, object]
    minutes: int = 0
    sent: list[Accepted] = field(default_factory=list)

    async def says(self, encounter: str, plan: str = "", ago: timedelta | None = None) -> Accepted:
        """Submit a response of ours, stamped a minute after the one before it, or *ago*."""
        self.minutes += 1
        at = NOW - (ago or (60 - self.minutes) * MINUTE)
        words = wording(encounter, at, plan=plan, **self.about)
        return await self.submits(Move.UNCLEAR, responds_to="b1", wording=words)

    async def submits(self, move: Move, **about: object) -> Accepted:
        taken = await self.store.outbound.submit(submission(move=move, **(self.about | about)), NOW)
        self.sent.append(taken)
        return taken

    async def ends(self, state: OutboundState, *, at: datetime = NOW, **settled: object) -> None:
        """Let what is sent next end so; what never left ends by its time."""
        if state is OutboundState.NOT_SENT:
            await self.store.outbound.give_up(NOW + 15 * MINUTE)
            return
        claim = await claim_next(self.store, at, {"trust"})
        assert claim is not None
        fate = Settled(state=state, **settled)  # type: ignore[arg-type]
        await self.store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=fate)

    async def told(self, of: Accepted) -> Notice:
        """Return what the EPR was told last of a message."""
        found = await self.store.notices.pending("trust", 99)
        return [each for each in found if each.message_id == of.message_id][-1]

    async def looked_at(self, of: Accepted) -> str:
        (found,) = await self.store.messages.history("trust", of.request_id)
        return means(found.message.seen_at(NOW))


async def asked(store: Store, **about: object) -> Case:
    """Have a request come that we answer."""
    await store.inbound.receive(arrival(bundle_id="b1", **about), NOW)
    return Case(store, about)


async def asking(store: Store, **about: object) -> Case:
    """Have asked for something, and the other side has it."""
    case = Case(store, about)
    await case.submits(Move.REQUEST, bundle_id="b1")
    await case.ends(ACKNOWLEDGED, focus_id="sr-1")
    return case


async def twice(case: Case, words: Sequence[str], fate: OutboundState) -> Accepted:
    """Say it once, acknowledged, and once more, which ends badly."""
    await case.says(*words)
    await case.ends(ACKNOWLEDGED)
    again = await case.says(*words)
    await case.ends(fate)
    return again


# Said once more.


@pytest.mark.parametrize("fate", BADLY, ids=str)
@pytest.mark.parametrize(
    ("words", "about"),
    [
        (("planned",), HELP),
        (("in-progress",), HELP),
        (("arrived",), HELP),
        (("in-progress",), VALIDATION),
    ],
    ids=str,
)
async def test_what_they_have_heard_before_is_not_told_as_unknown(
    store: Store, words: tuple[str, ...], about: dict[str, object], fate: OutboundState
) -> None:
    """The first was acknowledged; the notice and whoever looks say the same."""
    case = await asked(store, **about)
    again = await twice(case, words, fate)
    told = await case.told(again)

    assert Remark.SAID_BEFORE in told.remarks
    assert THE_SAME in means(told.situation)
    assert means(told.situation) == await case.looked_at(again)
    assert "Telephone now" not in means(told.situation)


async def test_who_has_heard_nothing_still_does_not_know(store: Store) -> None:
    """A first that ended badly proves nothing, nor does another word."""
    case = await asked(store, **HELP)
    first = await case.says("planned")
    await case.ends(REFUSED)

    assert DOES_NOT_KNOW in await case.looked_at(first)
    assert () == tuple((await case.told(first)).remarks)


async def test_a_word_that_was_taken_back_between_is_not_known(store: Store) -> None:
    """Assigned, stood down, assigned again: the last is what they do not know."""
    case = await asked(store, **HELP)
    for word in ("in-progress", "planned"):
        await case.says(word)
        await case.ends(ACKNOWLEDGED)
    again = await case.says("in-progress")
    await case.ends(REFUSED)

    assert [] == list((await case.told(again)).remarks)
    assert "does not know it" in await case.looked_at(again)


# What they have was never compared: a care plan may ask for an ambulance.
FINAL = [
    (("finished", "active"), ("finished", "active"), VALIDATION),
    (("finished", "active"), ("finished", "completed"), VALIDATION),
    (("finished", "completed"), ("finished", "active"), VALIDATION),
    (("finished",), ("finished",), HELP),
]


@pytest.mark.parametrize("fate", BADLY, ids=str)
@pytest.mark.parametrize(("first", "second", "about"), FINAL, ids=str)
async def test_a_second_final_word_may_say_otherwise(
    store: Store,
    first: tuple[str, ...],
    second: tuple[str, ...],
    about: dict[str, object],
    fate: OutboundState,
) -> None:
    """They go by what they have, whatever the second says: nobody still waits for it."""
    case = await asked(store, **about)
    await case.says(*first)
    await case.ends(ACKNOWLEDGED)
    amended = await case.says(*second)
    await case.ends(fate)
    told = await case.told(amended)

    assert Remark.SAID_OTHERWISE in told.remarks
    assert Remark.SAID_BEFORE not in told.remarks
    assert OTHERWISE in means(told.situation)
    assert means(told.situation) == await case.looked_at(amended)


async def test_what_they_have_heard_since_is_told_whoever_looks(store: Store) -> None:
    """The first yes was refused; the second arrived."""
    case = await asked(store, **HELP)
    first = await case.says("planned")
    await case.ends(REFUSED)
    await case.says("planned")
    await case.ends(ACKNOWLEDGED)

    assert THE_SAME in await case.looked_at(first)


async def test_newer_word_since_is_told_whoever_looks(store: Store) -> None:
    """The yes was refused; that a resource was assigned arrived, and says more."""
    case = await asked(store, **HELP)
    first = await case.says("planned")
    await case.ends(REFUSED)
    await case.says("in-progress")
    await case.ends(ACKNOWLEDGED)

    assert NEWER in await case.looked_at(first)
    assert DOES_NOT_KNOW not in await case.looked_at(first)


async def test_a_newer_final_word_since_is_told_whoever_looks(store: Store) -> None:
    """The first final answer was refused; the second arrived."""
    case = await asked(store, **VALIDATION)
    first = await case.says("finished", "active")
    await case.ends(REFUSED)
    await case.says("finished", "active")
    await case.ends(ACKNOWLEDGED)

    assert NEWER in await case.looked_at(first)


@pytest.mark.parametrize(("minutes", "words"), [(2, NEWER), (4, OTHERWISE)], ids=str)
async def test_another_rejection_is_not_told_as_the_same(
    store: Store, minutes: int, words: str
) -> None:
    """Its reason may be another; the first was refused, and is older by its stamp, or is not."""
    case = await asked(store, **HELP)
    first = await case.says("cancelled", ago=3 * MINUTE)
    await case.ends(REFUSED)
    await case.says("cancelled", ago=minutes * MINUTE)
    await case.ends(ACKNOWLEDGED)

    assert words in await case.looked_at(first)


# What may have arrived between: nobody knows which of the two they go by.


async def left_open(case: Case) -> None:
    """Let what is sent next be tried without an answer that proves anything, and wait."""
    claim = await claim_next(case.store, NOW, {"trust"})
    assert claim is not None
    tried = attempt(claim, Verdict.RETRY)
    again = TryAgain(at=NOW + 5 * MINUTE)
    await case.store.outbound.settle(claim, SILENCE, attempt=tried, settlement=again)


@pytest.mark.parametrize(
    ("known", "between", "about", "old"),
    [
        (["in-progress", "planned"], "in-progress", HELP, "may believe that one is on the way"),
        (["planned"], "cancelled", HELP, DOES_NOT_KNOW),
        (["planned"], "in-progress", HELP, "may believe that one is on the way"),
    ],
    ids=str,
)
async def test_what_another_word_may_have_replaced_is_not_known(
    store: Store, known: list[str], between: str, about: dict[str, object], old: str
) -> None:
    """Said and acknowledged; another word since may have arrived; and said once more, in vain."""
    case = await asked(store, **about)
    for word in known:
        await case.says(word)
        await case.ends(ACKNOWLEDGED)
    await case.says(between)
    await case.ends(OutboundState.UNCONFIRMED)
    again = await case.says(known[-1])
    await case.ends(REFUSED)
    told = await case.told(again)

    assert () == tuple(told.remarks)
    assert old in means(told.situation)
    assert "Telephone now." in means(told.situation)
    assert means(told.situation) == await case.looked_at(again)


async def test_what_a_word_that_was_tried_may_have_replaced_is_not_known(store: Store) -> None:
    """It is still open, and its first attempt may have arrived; before it, they knew."""
    case = await asked(store, **HELP)
    await case.says("planned")
    await case.ends(ACKNOWLEDGED)
    again = await case.says("planned")
    await case.ends(REFUSED)
    await case.says("cancelled")
    known = await case.looked_at(again)
    await left_open(case)
    doubtful = await case.looked_at(again)

    assert THE_SAME in known
    assert DOES_NOT_KNOW in doubtful
    assert "Telephone now." in doubtful


@pytest.mark.parametrize(
    ("attempts", "words"), [(1, THE_SAME), (2, DOES_NOT_KNOW)], ids=["once", "twice"]
)
async def test_only_a_word_that_was_refused_at_once_replaces_nothing(
    store: Store, attempts: int, words: str
) -> None:
    """Of two attempts the first may have arrived, and the second proves nothing of it."""
    case = await asked(store, **HELP)
    await case.says("planned")
    await case.ends(ACKNOWLEDGED)
    await case.says("cancelled")
    if attempts > 1:
        await left_open(case)
    await case.ends(REFUSED, at=NOW + 5 * MINUTE)
    again = await case.says("planned")
    await case.ends(REFUSED)

    assert words in await case.looked_at(again)


@pytest.mark.of_sqlite
async def test_a_word_that_a_restore_left_may_have_replaced_what_they_know(
    store: Store, tmp_path: Path
) -> None:
    """The backup knows of no attempt; but it may have been sent after that."""
    case = await asked(store, **HELP)
    await case.says("planned")
    await case.ends(ACKNOWLEDGED)
    again = await case.says("planned")
    await case.ends(REFUSED)
    left = await case.says("cancelled")
    known = await case.looked_at(again)
    with closing(sqlite3.connect(tmp_path / "gateway.db", timeout=10)) as connection, connection:
        values = (NOW.isoformat(), left.message_id)
        connection.execute("UPDATE messages SET restored_at = ? WHERE id = ?", values)
    doubtful = await case.looked_at(again)

    assert THE_SAME in known
    assert DOES_NOT_KNOW in doubtful


async def test_a_final_word_that_may_have_been_replaced_may_say_otherwise(store: Store) -> None:
    """They close by the first, or act by the one that nobody confirmed: they wait for none."""
    case = await asked(store, **VALIDATION)
    await case.says("finished", "completed")
    await case.ends(ACKNOWLEDGED)
    await case.says("finished", "active")
    await case.ends(OutboundState.UNCONFIRMED)
    again = await case.says("finished", "completed")
    await case.ends(REFUSED)

    assert OTHERWISE in await case.looked_at(again)


async def test_newer_word_that_another_may_have_replaced_is_not_told_as_known(
    store: Store,
) -> None:
    """They have the assignment, unless they have what came after it."""
    case = await asked(store, **HELP)
    first = await case.says("planned")
    await case.ends(REFUSED)
    await case.says("in-progress")
    await case.ends(ACKNOWLEDGED)
    await case.says("planned")
    await case.ends(OutboundState.UNCONFIRMED)

    assert DOES_NOT_KNOW in await case.looked_at(first)


async def test_what_was_lost_before_they_heard_replaces_nothing(store: Store) -> None:
    """By hand-in and by stamp it is older than what they have."""
    case = await asked(store, **HELP)
    await case.says("in-progress")
    await case.ends(OutboundState.UNCONFIRMED)
    again = await twice(case, ["planned"], REFUSED)

    assert Remark.SAID_BEFORE in (await case.told(again)).remarks


# Newer by hand-in, and by stamp.


@pytest.mark.parametrize("ago", [2 * MINUTE, timedelta(seconds=30)], ids=str)
async def test_who_may_still_come_does_not_replace_a_rejection(
    store: Store, ago: timedelta
) -> None:
    """The rejection was refused, and they have a word that somebody comes: of before, or since."""
    case = await asked(store, **HELP)
    await case.says("planned", ago=5 * MINUTE)
    await case.ends(ACKNOWLEDGED)
    rejection = await case.says("cancelled", ago=MINUTE)
    await case.ends(REFUSED)
    await case.says("in-progress", ago=ago)
    await case.ends(ACKNOWLEDGED)
    text = await case.looked_at(rejection)

    assert "believes that you have this patient. Telephone now." in text


async def test_who_comes_after_all_does_not_replace_a_stand_down(store: Store) -> None:
    """The stand-down was refused; that a resource is assigned was said once more."""
    case = await asked(store, **HELP)
    await case.says("in-progress")
    await case.ends(ACKNOWLEDGED)
    stand_down = await case.says("planned")
    await case.ends(REFUSED)
    await case.says("in-progress")
    await case.ends(ACKNOWLEDGED)
    text = await case.looked_at(stand_down)

    assert "may believe that one is on the way. Telephone now." in text


async def test_a_word_with_an_older_stamp_is_no_newer_word(store: Store) -> None:
    """That one was there was refused; the assignment that arrives since was written before it."""
    case = await asked(store, **HELP)
    on_scene = await case.says("arrived", ago=MINUTE)
    await case.ends(REFUSED)
    await case.says("in-progress", ago=2 * MINUTE)
    await case.ends(ACKNOWLEDGED)

    assert "does not know it. Telephone." in await case.looked_at(on_scene)


async def test_what_they_heard_out_of_order_may_have_replaced_the_newer(store: Store) -> None:
    """They have two words, and whether they go by the stamp or by when it came is not known."""
    case = await asked(store, **HELP)
    await case.says("planned", ago=2 * MINUTE)
    await case.ends(ACKNOWLEDGED)
    again = await case.says("planned", ago=MINUTE)
    await case.ends(REFUSED)
    await case.says("in-progress", ago=3 * MINUTE)
    await case.ends(ACKNOWLEDGED)

    assert DOES_NOT_KNOW in await case.looked_at(again)


@pytest.mark.parametrize("verb", [Verb.HOLD, Verb.WITHDRAW], ids=str)
async def test_what_is_stopped_is_told_in_the_same_words(store: Store, verb: Verb) -> None:
    """By hand, and to whoever looks."""
    case = await asked(store, **HELP)
    await case.says("planned")
    await case.ends(ACKNOWLEDGED)
    again = await case.says("planned")
    waiting = await case.looked_at(again)
    await store.interventions.intervene(verb, again.message_id, JO, lambda *_: LIMITS, NOW)
    told = means((await case.told(again)).situation)

    assert THE_SAME in waiting
    assert THE_SAME in told
    assert told == await case.looked_at(again)


async def test_what_is_late_is_told_in_the_same_words(store: Store) -> None:
    """Nobody is to assume that they do not know."""
    case = await asked(store, **HELP)
    await case.says("planned")
    await case.ends(ACKNOWLEDGED)
    again = await case.says("planned")
    await store.outbound.tell_delays(NOW + MINUTE)

    assert THE_SAME in means((await case.told(again)).situation)


# Changed when it was over.


async def changed_at_the_end(store: Store) -> tuple[Case, Accepted]:
    """Send a change, and have the final response come before it is settled."""
    case = await asking(store, **VALIDATION)
    update = await case.submits(Move.UPDATE, focus_id="sr-1")
    came = arrival(move=Move.CONCLUDE, responds_to="b1", **VALIDATION)
    await store.responses.respond(came, payload(b"{}"), NOW)
    return case, update


@pytest.mark.parametrize("fate", [*BADLY, ACKNOWLEDGED], ids=str)
async def test_a_change_of_what_is_over_says_so(store: Store, fate: OutboundState) -> None:
    """Nobody goes by the old information any more, nor is a final answer awaited."""
    case, update = await changed_at_the_end(store)
    await case.ends(fate)
    told = await case.told(update)

    assert [Remark.UPDATE_AFTER_END] == list(told.remarks)
    assert "over" in means(told.situation)
    assert "old information" not in means(told.situation)
    assert "until the final answer" not in means(told.situation)


async def test_a_change_that_waits_while_it_ends_says_so_whoever_looks(store: Store) -> None:
    """It is not settled, and nothing is left to change."""
    case, update = await changed_at_the_end(store)
    await store.outbound.tell_delays(NOW + MINUTE)
    told, seen = means((await case.told(update)).situation), await case.looked_at(update)

    assert "nothing is left to change" in told
    assert told == seen


async def test_a_change_of_what_stands_is_told_as_ever(store: Store) -> None:
    """They work from the old information."""
    case = await asking(store, **VALIDATION)
    update = await case.submits(Move.UPDATE, focus_id="sr-1")
    await case.ends(REFUSED)

    assert "works from the old information. Telephone." in await case.looked_at(update)


async def test_a_change_behind_a_request_that_was_refused_says_that_it_is_over(
    store: Store,
) -> None:
    """They have nothing that it could change."""
    case = Case(store, dict(HELP))
    await case.submits(Move.REQUEST, bundle_id="b1", correlation_id="c-1")
    update = await case.submits(Move.UPDATE, bundle_id="b1", correlation_id="c-1")
    await case.ends(REFUSED)
    await case.ends(REFUSED)

    assert [Remark.UPDATE_AFTER_END] == list((await case.told(update)).remarks)


async def test_a_cancellation_that_has_not_gone_is_not_said_to_have_been_received(
    store: Store,
) -> None:
    """The record under that number is another patient's, and the case is over since."""
    case = await asking(store, **HELP)
    cancel = await case.submits(Move.CANCEL, focus_id="sr-1", read_first=True)
    await store.cancellations.belongs_to_another(cancel.message_id, NOW + MINUTE, NOW)
    came = arrival(move=Move.DECLINE, responds_to="b1", **HELP)
    await store.responses.respond(came, payload(b"{}"), NOW)
    text = await case.looked_at(cancel)

    assert "has been received" not in text
    assert "stands" not in text
    assert "is over by now: read how it ended" in text
    assert "Two patients may have been mixed up there. Telephone now." in text


async def test_what_was_over_before_that_is_read_is_not_said_to_stand(store: Store) -> None:
    """The notice itself comes after the end: it sends nobody to stop what has ended."""
    case = await asking(store, **HELP)
    cancel = await case.submits(Move.CANCEL, focus_id="sr-1", read_first=True)
    came = arrival(move=Move.DECLINE, responds_to="b1", **HELP)
    await store.responses.respond(came, payload(b"{}"), NOW)
    await store.cancellations.belongs_to_another(cancel.message_id, NOW + MINUTE, NOW)
    text = means((await case.told(cancel)).situation)

    assert text == await case.looked_at(cancel)
    assert "stands" not in text
    assert "still stands" not in (await alarm(store, "cancel.other_patient")).words.advice


# The page beside what the EPR reads.


@pytest.mark.parametrize("kind", ["message.not_sent", "cancel.not_sent"])
async def test_the_page_sends_nobody_to_act_where_nothing_is_left(store: Store, kind: str) -> None:
    """The EPR reads that nothing is left to cancel: so does whoever reads the page."""
    case = await asking(store, **HELP)
    cancel = await case.submits(Move.CANCEL, focus_id="sr-1", read_first=True)
    await store.cancellations.postpone(cancel.message_id, NOW + MINUTE, NOW, alike=False)
    await store.cancellations.tell_unread(NOW + 2 * MINUTE)
    if kind == "message.not_sent":
        await store.outbound.give_up(NOW + 15 * MINUTE)
    before = (await alarm(store, kind)).words
    came = arrival(move=Move.DECLINE, responds_to="b1", **HELP)
    await store.responses.respond(came, payload(b"{}"), NOW)
    after = await alarm(store, kind)

    assert before == ALARMS[kind].words(after.role)
    assert "nothing is left" in after.words.advice
    assert "stands" not in after.words.advice
    assert not re.search(r"\b[Aa]ct now|[Tt]elephone .*\bnow\b", after.words.advice)


async def test_the_page_knows_what_they_have_heard_before(store: Store) -> None:
    """A second yes that never left: they know of the first."""
    case = await asked(store, **HELP)
    await twice(case, ["planned"], OutboundState.NOT_SENT)

    assert "Act now" not in (await alarm(store, "message.not_sent")).words.advice


async def alarm(store: Store, kind: str) -> Alarm:
    """Return the alarm of a kind that stands, as the page has it."""
    overview = await store.overview(NOW)
    (counted,) = [each for each in overview.standing if each.kind == kind]
    (found,) = [each for each in overview.alarms if each.kind == kind]
    assert counted.words == found.words
    return found
