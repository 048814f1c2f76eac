"""What is sent in vain, or once more, is not told as if the other side knew nothing of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from store_values import ANSWER, NOW, arrival, attempt, payload, submission, wording

from bars_gateway.model.alarms import ALARMS, Alarm
from bars_gateway.model.interventions import Verb
from bars_gateway.model.messages import Accepted, Actor, OutboundState, Settled
from bars_gateway.model.readings import Notice
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.sentences import means
from bars_gateway.standard.timing import Limits
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
OTHERWISE = "goes by your earlier one, which says otherwise"
JO = Actor(role="operator", who="jo", why="INC-1")
LIMITS = Limits(give_up_at=NOW + 15 * MINUTE, delayed_at=NOW + MINUTE)


@dataclass
class Case:
    """A case of which we are one side, and what is said in it."""

    store: Store
    about: dict[str, object]
    minutes: int = 0
    sent: list[Accepted] = field(default_factory=list)

    async def says(self, encounter: str, plan: str = "") -> Accepted:
        """Submit a response of ours."""
        self.minutes += 1
        at = NOW - (60 - self.minutes) * MINUTE
        words = wording(encounter, at, plan=plan, **self.about)
        return await self.submits(Move.UNCLEAR, responds_to="b1", wording=words)

    async def submits(self, move: Move, **about: object) -> Accepted:
        taken = await self.store.outbound.submit(submission(move=move, **(self.about | about)), NOW)
        self.sent.append(taken)
        return taken

    async def ends(self, state: OutboundState, **settled: object) -> None:
        """Let what is sent next end so; what never left ends by its time."""
        if state is OutboundState.NOT_SENT:
            await self.store.outbound.give_up(NOW + 15 * MINUTE)
            return
        claim = await self.store.outbound.claim_next(NOW, {"trust"})
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
        (("finished",), HELP),
        (("in-progress",), VALIDATION),
        (("finished", "active"), VALIDATION),
        (("finished", "completed"), VALIDATION),
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


@pytest.mark.parametrize("plan", ["active", "completed"])
async def test_another_final_word_is_not_told_as_the_first(store: Store, plan: str) -> None:
    """They close by what they have, or act by it: nobody still waits for it."""
    case = await asked(store, **VALIDATION)
    (first,) = {"active", "completed"} - {plan}
    await case.says("finished", first)
    await case.ends(ACKNOWLEDGED)
    amended = await case.says("finished", plan)
    await case.ends(REFUSED)
    told = await case.told(amended)

    assert [Remark.SAID_OTHERWISE] == list(told.remarks)
    assert OTHERWISE in means(told.situation)
    assert "Telephone now." in means(told.situation)
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
    assert "two patients may have been mixed up there. Telephone now." in text


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
