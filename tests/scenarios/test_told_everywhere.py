"""
The courses of the trial, and all who are told of each: both EPRs, their pages and their logs.

    course ─► yields ─► what is said already is known   course goes on ─► what is new
                        and the page is well             at each side: EPR, page, log

Each course was one in which somebody was told something untrue, or was not told. Whoever is told
nothing new is told nothing, and their page goes on to say that nothing waits. Courses that leave
no traces share a world; afterwards somebody marks what stands as handled, and all is well again.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import courses
import pytest
import pytest_asyncio
from courses import ANOTHER, WELL, Course, marked_as_handled, page
from markupsafe import escape
from messages import FAMILY, NHS_NUMBER
from structlog.testing import capture_logs
from world import Node, World, in_time, one_for_several, world_in

from bars_gateway.standard.sentences import NOTHING_TO_DO, means


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What those at one side are told by a course; what is left out: nothing new."""

    epr: str | None = None  # in a sentence of a notice or refusal, or of what has been over since
    page: str = WELL
    alarm: str | None = None  # its kind in the log
    look: str = ""  # where its page sends people first, where the two sides are told apart


@dataclass(frozen=True, slots=True)
class Settings:
    """Of a world: how the ambulance sends, and how the hospital's EPR is asked."""

    outbound: str = "target_check_seconds = 0\nread_before_cancel = false"
    asked: str = ""
    hospital: str = ""  # further settings of its own

    def world(self, folder: Path) -> AbstractAsyncContextManager[World]:
        """Give a world of its own with them."""
        return world_in(folder, outbound=self.outbound, asked=self.asked, hospital=self.hospital)


BLIND = Settings()
READING = Settings("target_check_seconds = 0")
ASKING = Settings(asked='questions = "socket"')


HASTY = Settings(hospital="[timing.a6]\nunread_after_minutes = 0.05")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One course, and what is said of it where."""

    course: Course
    requester: Told
    responder: Told = Told()
    settings: Settings = BLIND
    leaves_traces: bool = False  # of faults, holds or restarts: it needs a world of its own
    puts_a_file_back: bool = False  # a server's database goes back by other tools


TELEPHONE_FIRST = "Do not send it again as new before you have telephoned"
MAY_HAVE = "may or may not have arrived"
WITH_REMARK = "came with a remark"
REFERRED = "A patient has been referred to this service"
ASKED_FOR_HELP = "Another control room asks you to take a call on."
TWO_RECORDS = "There may be two records of this patient's request."
HAS_ONE_THERE = "who has the same request already"
LOOKED_FOR = "whose record has ended at the Receiver, or could not be found there"
ABOUT_NO_MESSAGE = {
    None,
    "restore.not_handed_over",
    "inbound.quarantined",
    "question.decided_late",
}

ROWS = (
    # What the Receiver answers, and what its answer is about.
    Row(
        course=courses.an_answer_about_another_patient,
        requester=Told(
            epr="two patients may have been mixed up there",
            page="answered with the record of another patient",
            alarm="message.foreign_ack",
        ),
        responder=Told(epr=ASKED_FOR_HELP),
        leaves_traces=True,
    ),
    Row(
        course=courses.a_duplicate_of_what_was_sent_once,
        requester=Told(
            epr="though it was sent only once", page=MAY_HAVE, alarm="message.unconfirmed"
        ),
    ),
    Row(
        course=courses.a_service_that_is_not_found_after_a_lost_answer,
        requester=Told(epr=TELEPHONE_FIRST, page=MAY_HAVE, alarm="message.unconfirmed"),
        responder=Told(epr=REFERRED),
    ),
    Row(
        course=courses.a_conflict_after_a_lost_answer,
        requester=Told(epr=TELEPHONE_FIRST, page=MAY_HAVE, alarm="message.unconfirmed"),
        responder=Told(epr=REFERRED),
    ),
    Row(
        course=courses.an_answer_after_nobody_could_confirm,
        requester=Told(
            epr="the call about that is no longer needed",
            page=WITH_REMARK,
            alarm="response.remarked",
        ),
    ),
    # What a search shows of a request that was acknowledged without an id.
    Row(
        course=courses.a_record_that_is_over_there,
        requester=Told(
            epr="but the record is over. It is shown as completed. Telephone: ask who sees to",
            page=LOOKED_FOR,
            alarm="message.unreconciled",
        ),
    ),
    Row(
        course=courses.no_record_there,
        requester=Told(
            epr="we cannot find it there. Telephone: nobody there may know of it.",
            page=LOOKED_FOR,
            alarm="message.unreconciled",
        ),
    ),
    Row(
        course=courses.several_records_there,
        requester=Told(
            epr="several of its records fit. Telephone: ask which one it is",
            page=LOOKED_FOR,
            alarm="message.unreconciled",
        ),
    ),
    Row(
        course=courses.a_record_of_nobody_who_is_shown,
        requester=Told(
            epr="shows a record that may be it, but not whose it is. Telephone",
            page=LOOKED_FOR,
            alarm="message.unreconciled",
        ),
    ),
    # What the Responder says, and by whose clock.
    Row(
        course=courses.an_acceptance_that_is_refused,
        requester=Told(),
        responder=Told(
            epr="Your message that you accept this was refused: the other control room does not"
            " know that you do.",
            page="got a refusal",
            alarm="message.refused",
        ),
    ),
    Row(
        course=courses.a_second_acceptance_that_is_refused,
        requester=Told(),
        responder=Told(
            epr="the other control room goes by another one of yours, which says the same.",
            page="got a refusal",
            alarm="message.refused",
        ),
    ),
    Row(
        course=courses.a_second_stand_down_that_is_refused,
        requester=Told(),
        responder=Told(
            epr="the other control room may believe that one is on the way. Telephone now.",
            page="got a refusal",
            alarm="message.refused",
        ),
        leaves_traces=True,
    ),
    Row(
        course=courses.a_corrected_final_answer_that_is_refused,
        requester=Told(),
        responder=Told(
            epr="goes by another one of yours; this one may say otherwise. Telephone now.",
            page="got a refusal",
            alarm="message.refused",
        ),
    ),
    Row(
        course=courses.a_rejection,
        requester=Told(epr="has turned this down. The patient is your responsibility again: act"),
    ),
    Row(
        course=courses.a_validation_that_asks_to_act,
        requester=Told(epr="The validation is finished and asks you to act. Read the care plan"),
    ),
    Row(
        course=courses.a_validation_that_asks_nothing_more,
        requester=Told(epr="asks nothing more of you. Read it before you close the case."),
    ),
    Row(
        course=courses.a_validation_that_asks_to_act_and_says_nothing,
        requester=Told(
            epr="asks you to act, but its care plan says nothing of what was found. Act now:"
            " telephone the validating service, and ask",
            page=WITH_REMARK,
            alarm="response.remarked",
        ),
    ),
    Row(
        course=courses.a_validation_that_asks_nothing_more_and_says_nothing,
        requester=Told(
            epr="Do not close the case on this: telephone the validating service now.",
            page=WITH_REMARK,
            alarm="response.remarked",
        ),
    ),
    Row(
        course=courses.a_validation_that_sends_our_own_care_plan_back,
        requester=Told(
            epr="may be the one that you sent, and nothing of theirs. Do not close the case on",
            page=WITH_REMARK,
            alarm="response.remarked",
        ),
    ),
    Row(
        course=courses.an_older_final_answer_that_says_nothing,
        requester=Told(
            epr="Its care plan says nothing of what was found: telephone the other service",
            page=WITH_REMARK,
            alarm="response.remarked",
        ),
    ),
    Row(
        course=courses.an_end_of_the_requesters_own_encounter,
        requester=Told(
            epr="its answer does not add up",
            page="got a response that does not add up",
            alarm="workflow.unclear",
        ),
    ),
    Row(
        course=courses.a_wrong_clock,
        requester=Told(
            epr="The resource has been stood down. Nobody is on the way now",
            page=WITH_REMARK,
            alarm="response.remarked",
        ),
    ),
    Row(
        course=courses.one_stamp_for_two,
        requester=Told(
            epr="The resource has been stood down. Nobody is on the way now",
            page=WITH_REMARK,
            alarm="response.remarked",
        ),
    ),
    Row(
        course=courses.activity_after_a_rejection,
        requester=Told(
            epr="says otherwise: somebody may be on the way after all",
            page="ended, and then the other side went on",
            alarm="workflow.contradicted",
        ),
    ),
    Row(
        course=courses.an_older_rejection,
        requester=Told(
            epr="do not act on this one, nor pass over it, until you have",
            page=WITH_REMARK,
            alarm="response.remarked",
        ),
    ),
    Row(
        course=courses.an_older_end,
        requester=Told(epr="It says that the other side had finished; but what you had already"),
    ),
    Row(
        course=courses.words_that_do_not_add_up,
        requester=Told(
            epr="its answer does not add up",
            page="got a response that does not add up",
            alarm="workflow.unclear",
        ),
    ),
    Row(
        course=courses.a_response_about_another_patient,
        requester=Told(epr="before you file it", page="another patient", alarm="patient.other"),
    ),
    Row(
        course=courses.a_response_that_names_another_patient_beside_ours,
        requester=Told(epr="before you file it", page="another patient", alarm="patient.other"),
    ),
    Row(
        course=courses.a_rejection_with_another_patient_beside_ours,
        requester=Told(epr="before you file it", page="another patient", alarm="patient.other"),
    ),
    Row(
        course=courses.a_request_about_two_patients,
        requester=Told(),
        responder=Told(
            epr="This names two patients",
            page="came naming two patients",
            alarm="patient.two",
            look="Look first at the other side.",
        ),
    ),
    Row(
        course=courses.a_response_that_nobody_asked_for,
        requester=Told(page="came that no request of ours asked for", alarm="inbound.quarantined"),
    ),
    Row(
        course=courses.another_final_answer,
        requester=Told(
            epr="This is not the first final response", page=WITH_REMARK, alarm="response.remarked"
        ),
    ),
    Row(
        course=courses.the_same_final_answer_in_another_bundle,
        requester=Told(
            epr="This is not the first final response", page=WITH_REMARK, alarm="response.remarked"
        ),
    ),
    # Two records of one patient.
    Row(
        course=courses.the_same_case_built_anew,
        requester=Told(epr=TWO_RECORDS, page=HAS_ONE_THERE, alarm="record.other"),
        responder=Told(epr=TWO_RECORDS, page=HAS_ONE_THERE, alarm="record.other"),
    ),
    Row(
        course=courses.a_case_built_anew_after_its_end,
        requester=Told(epr=TWO_RECORDS, page=HAS_ONE_THERE, alarm="record.other"),
        responder=Told(epr=TWO_RECORDS, page=HAS_ONE_THERE, alarm="record.other"),
    ),
    Row(
        course=courses.a_rejection_of_one_of_two_whose_other_was_stood_down,
        requester=Told(
            epr="is your responsibility again: act", page=WITH_REMARK, alarm="response.remarked"
        ),
    ),
    Row(
        course=courses.a_cancellation_of_one_of_two_that_stand,
        requester=Told(epr="Another one stands there, and somebody may be on the way."),
        settings=ASKING,
    ),
    Row(
        course=courses.a_request_that_is_sent_again_as_new,
        requester=Told(epr=TWO_RECORDS),
        responder=Told(epr=TWO_RECORDS, page=HAS_ONE_THERE, alarm="record.other"),
        leaves_traces=True,
    ),
    Row(
        course=courses.a_request_that_is_sent_again_and_withdrawn,
        requester=Told(
            epr="withdrawn here before it left. Another one with the same request may be there:"
            " telephone the validating service now"
        ),
        responder=Told(epr=REFERRED),  # by the one that it waited behind
        leaves_traces=True,
    ),
    Row(
        course=courses.a_request_that_is_sent_again_and_never_leaves,
        requester=Told(
            epr="never left this organisation, and we have stopped trying. Another one with the"
            " same request may be there: telephone the validating service now",
            page="never left this organisation, and another one with the same request may be there",
            alarm="message.not_sent",
        ),
        leaves_traces=True,
    ),
    # What is cancelled.
    Row(
        course=courses.a_cancellation_that_nobody_is_asked_about,
        requester=Told(epr="Telephone", page="got a refusal", alarm="message.refused"),
        responder=Told(
            epr="has tried to cancel the request for validation and could not",
            page="cancellation came and nobody here could be asked",
            alarm="cancel.turned_away",
            look="Look first here.",
        ),
    ),
    Row(
        course=courses.a_cancellation_for_another_patient_that_nobody_is_asked_about,
        requester=Told(),
        responder=Told(
            epr="The cancellation names another patient than this.",
            page="named another patient than the rest of the case",
            alarm="patient.other",
        ),
    ),
    Row(
        course=courses.a_cancellation_that_is_refused_after_the_end,
        requester=Told(
            epr="was refused; but the final response has come already, and nothing is left to",
            page="got a refusal",
            alarm="message.refused",
        ),
        settings=ASKING,
    ),
    Row(
        course=courses.an_allocation_after_a_cancellation_that_nobody_confirms,
        requester=Told(
            epr="nobody knows whether that arrived: the other service goes on",
            page=WITH_REMARK,
            alarm="response.remarked",
        ),
        leaves_traces=True,
    ),
    Row(
        course=courses.a_cancellation_by_a_number_that_is_another_patients,
        requester=Told(
            epr="is the record of another patient, and nothing was cancelled",
            page="the record under the number given is another patient",
            alarm="cancel.other_patient",
        ),
        settings=READING,
        leaves_traces=True,
    ),
    Row(
        course=courses.a_cancellation_by_a_number_that_is_unknown_here,
        requester=Told(
            epr="has been received there. No request here is known by the number in it",
            page="acknowledged under a number that no request here has",
            alarm="message.no_record",
        ),
        leaves_traces=True,
    ),
    Row(
        course=courses.a_cancellation_of_what_is_over,
        requester=Told(
            epr="no current record under that number. It is shown as completed.",
            page="got a refusal",
            alarm="message.refused",
        ),
        settings=READING,
        leaves_traces=True,
    ),
    Row(
        course=courses.a_cancellation_that_comes_after_the_end,
        requester=Told(epr="but the final response had come before that: it changes nothing of it"),
        settings=ASKING,  # its Responder's EPR said yes to it, and is told no more
        leaves_traces=True,
    ),
    Row(
        course=courses.the_bytes_of_what_was_cancelled_once_more,
        requester=Told(epr="what it asked for has been cancelled since"),
        settings=ASKING,
    ),
    # What is owed, and too late.
    Row(
        course=courses.silence,
        requester=Told(
            epr="Start your fallback now",
            page="owed to us",
            alarm="workflow.overdue",
            look="Look first at the other side.",
        ),
        responder=Told(
            epr="You have not given your final answer in time",
            page="that we owe",
            alarm="workflow.overdue",
            look="Look first here.",
        ),
    ),
    Row(
        course=courses.a_silence_that_somebody_has_seen_to,
        requester=Told(
            epr="its answer does not add up",
            page="got a response that does not add up",
            alarm="workflow.unclear",
        ),
    ),
    Row(
        course=courses.a_validation_that_nobody_confirms_before_its_breach,
        requester=Told(epr=TELEPHONE_FIRST, page=MAY_HAVE, alarm="message.unconfirmed"),
        responder=Told(
            epr="You have not given your final answer in time",
            page="that we owe",
            alarm="workflow.overdue",
        ),
        leaves_traces=True,
    ),
    Row(
        course=courses.a_retry_after_its_breach,
        requester=Told(epr="Its clinical time has passed"),
        leaves_traces=True,
    ),
    Row(
        course=courses.a_nearer_time_that_nobody_has_heard_of,
        requester=Told(epr="Start your fallback now", page="owed to us", alarm="workflow.overdue"),
        leaves_traces=True,
    ),
    Row(
        course=courses.a_later_time_that_both_have,
        requester=Told(epr="You remain responsible until the final answer, which is owed by"),
        settings=ASKING,
    ),
    Row(
        course=courses.a_nearer_time_after_one_that_is_put_back,
        requester=Told(epr="Start your fallback now", page="owed to us", alarm="workflow.overdue"),
        responder=Told(page="The Sender may not know", alarm="question.decided_late"),
        settings=ASKING,
        leaves_traces=True,
    ),
    Row(
        course=courses.a_rejection_after_its_time,
        requester=Told(epr="Avoid sending twice", page=WITH_REMARK, alarm="response.remarked"),
        responder=Told(epr="Its clinical time has passed"),
        leaves_traces=True,
    ),
    # Who is not there: nothing has happened that the log could tell of, but the page does.
    Row(
        course=courses.a_notice_that_nobody_takes,
        requester=Told(epr="It has not agreed yet: you remain responsible until it has."),
        responder=Told(
            epr=ASKED_FOR_HELP, page="The EPR of hospital has not taken 1 notice of a6t2"
        ),
        settings=HASTY,
        leaves_traces=True,
    ),
    Row(
        course=courses.an_epr_that_stops_asking,
        requester=Told(),
        responder=Told(page="The EPR of hospital has stopped asking for questions"),
        settings=ASKING,
        leaves_traces=True,
    ),
    # What an operator does: a hold, a restore.
    Row(
        course=courses.a_message_that_somebody_holds,
        requester=Told(epr="The clock runs on", page="1 message held, by hand or set aside"),
        leaves_traces=True,
    ),
    Row(
        course=courses.a_restore_of_what_was_withdrawn_since,
        requester=Told(epr="was restored from a backup"),
        responder=Told(epr=REFERRED),
        leaves_traces=True,
        puts_a_file_back=True,
    ),
    Row(
        course=courses.a_restore_without_the_database,
        requester=Told(
            epr="nobody here knows whether this was sent before that",
            page="held since a restore",
            alarm="restore.held",
        ),
        leaves_traces=True,
        puts_a_file_back=True,
    ),
    Row(
        course=courses.a_restore_that_forgets_what_was_received,
        requester=Told(),
        responder=Told(page="nobody can say what was lost"),
        leaves_traces=True,
        puts_a_file_back=True,
    ),
    Row(
        course=courses.a_restore_that_lacks_what_was_received,
        requester=Told(),
        responder=Told(
            page="received before a restore, and not yet given to the EPR",
            alarm="restore.not_handed_over",
        ),
        leaves_traces=True,
        puts_a_file_back=True,
    ),
    Row(
        course=courses.a_hand_over_of_what_was_received,
        requester=Told(),
        responder=Told(epr="was restored from a backup"),
        leaves_traces=True,
        puts_a_file_back=True,
    ),
)


WorldOf = Callable[[Settings], Awaitable[World]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorldOf]:
    """Give the world of some settings; the first who asks for it starts it."""

    def made(settings: Settings) -> AbstractAsyncContextManager[World]:
        return settings.world(tmp_path_factory.mktemp("world"))

    async with one_for_several(made) as of:
        yield of


@asynccontextmanager
async def world_for(row: Row, shared: WorldOf, folder: Path) -> AsyncIterator[World]:
    """Give a world in which all is well; one that is shared is left so."""
    if row.leaves_traces:
        async with row.settings.world(folder) as world:
            yield world
        return
    world = await shared(row.settings)
    try:
        yield world
    finally:
        await world.hospital.register()
        for node in (world.ambulance, world.hospital):
            await marked_as_handled(node)
            for file in node.files("inbox/new/*"):
                file.unlink()
    for node in (world.ambulance, world.hospital):
        assert await in_time(lambda n=node: page(n, WELL))


def _of_what(line: Any) -> tuple[str, str | None]:
    return line["kind"], line["request_id"]


@dataclass(slots=True)
class Side:
    """One organisation in a course: what it is to be told, and what it knew before."""

    node: Node
    told: Told
    lines: list[Any]
    known: set[tuple[Path, int]] = field(default_factory=set)
    before: int = 0
    last: int = 0  # the alarm that was raised last before the course
    late: Counter[tuple[str, str | None]] = field(default_factory=Counter)  # not in the log yet

    async def begins(self) -> None:
        """Note which alarms were raised before."""
        self.last = await self._asked("SELECT coalesce(max(id), 0) FROM alarms")

    async def knows(self, *, is_well: bool) -> None:
        """Take what is said up to now as known; the page says nothing yet of what is to come."""
        await in_time(self._has_told_all)
        if is_well:
            await in_time(self._has_logged_all)
        logged = Counter(map(_of_what, self._logged("alarm.raised")))
        standing = {line["kind"] for line in self._logged("alarm.standing")}  # at a start
        self.known, self.before = self._files(), len(self.lines)
        query = (
            f"SELECT kind, request_id FROM alarms WHERE provider IS NOT NULL AND id > {self.last}"
        )
        raised = await asyncio.to_thread(self.node.ask, query)
        self.late = Counter((kind, of) for kind, of in raised if kind not in standing) - logged
        shown = await in_time(lambda: page(self.node, WELL if is_well else ""))
        assert self.told.page == WELL or self.told.page not in shown

    async def is_told(self) -> str:
        """Wait until everything is said that is to be; return the page."""
        try:
            await in_time(self._epr)
            await in_time(self._log)
        except TimeoutError:
            pytest.fail(f"{self.told}; but told: {self._sentences()}, {self._alarms()}")
        try:
            return str(await in_time(lambda: page(self.node, self.told.page)))
        except TimeoutError:
            pytest.fail(f"{self.told}; but the page says: {await page(self.node, '')}")

    async def is_told_no_more(self, *, runs_on: bool) -> None:
        """Whoever is to be told nothing is told nothing; nor is whoever comes next, later on."""
        await in_time(self._has_told_all)
        if runs_on:
            await in_time(self._has_logged_all)
        sentences, alarms = self._sentences(), self._alarms()
        assert self.told.epr is not None or [] == sentences
        assert self.told.alarm is not None or set() == alarms

    async def looks(self) -> list[str]:
        """Return what whoever looks at a message of a case with an alarm is told of it now."""
        query = (
            "SELECT DISTINCT m.request_id FROM alarms AS a"
            " JOIN messages AS m ON m.workflow_id = a.workflow_id WHERE a.ended_at IS NULL"
        )
        found = await asyncio.to_thread(self.node.ask, query)
        histories = [await self.node.history(request_id) for (request_id,) in found]
        now = datetime.now(UTC)
        return [means(each.message.seen_at(now)) for each in histories if each is not None]

    async def _epr(self) -> bool:
        wanted = self.told.epr
        return wanted is None or any(wanted in each for each in self._sentences())

    async def _log(self) -> bool:
        return self.told.alarm is None or self.told.alarm in self._alarms()

    async def _has_told_all(self) -> bool:
        return not await self._asked("SELECT count(*) FROM notices WHERE collected_at IS NULL")

    async def _has_logged_all(self) -> bool:
        """Tell whether the log has every alarm of the course: it is a moment behind the page."""
        query = f"SELECT count(*) FROM alarms WHERE provider IS NOT NULL AND id > {self.last}"
        raised = [line for line in self.lines if line["event"] == "alarm.raised"]
        logged = sum(line["provider"] == self.node.name for line in raised)
        return logged >= await self._asked(query)

    async def _asked(self, query: str) -> int:
        ((count,),) = await asyncio.to_thread(self.node.ask, query)
        return int(count)

    def _files(self) -> set[tuple[Path, int]]:
        """Return what lies there, by name and time: a restore gives what it had once more."""
        places = ("inbox/new/*.json", "outbox/refused/*.json", "outbox/accepted/*.receipt.json")
        found = [file for place in places for file in self.node.files(place)]
        return {(file, file.stat().st_mtime_ns) for file in found}

    def _sentences(self) -> list[str]:
        """Return what its EPR was told since: notices, reasons, and that something is over."""
        new = [json.loads(file.read_bytes()) for file, _ in sorted(self._files() - self.known)]
        reasons = [issue["problem"] for each in new for issue in each.get("issues", ())]
        warnings = [warning for each in new for warning in each.get("warnings", ())]
        over = [each["problem"] for each in warnings if each["rule"] == "E04"]
        return [each["means"] for each in new if "means" in each] + reasons + over

    def _alarms(self) -> set[str]:
        """Return the kinds that its log tells of since: also at a start."""
        return {line["kind"] for line in [*self._raised(), *self._logged("alarm.standing")]}

    def advice(self) -> list[str]:
        """Return what its log has people do about the alarm that was raised."""
        return [line["advice"] for line in self._raised() if line["kind"] == self.told.alarm]

    def _raised(self) -> list[Any]:
        """Return what its log says was raised since: it is a moment behind, also with the rest."""
        late, since = self.late.copy(), []
        for line in self._logged("alarm.raised"):
            if late[_of_what(line)]:
                late[_of_what(line)] -= 1
            else:
                since.append(line)
        return since

    def _logged(self, *events: str) -> list[Any]:
        return [
            line
            for line in self.lines[self.before :]
            if line["event"] in events and line["provider"] == self.node.name
        ]


@pytest.mark.both_engines
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "row",
    [
        pytest.param(
            row,
            id=row.course.__name__,
            marks=[pytest.mark.of_sqlite] if row.puts_a_file_back else [],
        )
        for row in ROWS
    ],
)
async def test_everybody_is_told(tmp_path: Path, shared: WorldOf, row: Row) -> None:
    """The two EPRs in a sentence each, the operators on the page and in the log."""
    with capture_logs() as lines:
        async with world_for(row, shared, tmp_path) as world:
            requester = Side(world.ambulance, row.requester, lines)
            responder = Side(world.hospital, row.responder, lines)
            for side in (requester, responder):
                await side.begins()
            course = row.course(world)
            await anext(course)
            for side in (requester, responder):
                await side.knows(is_well=not row.leaves_traces)
            assert [] == [each async for each in course]
            shown = [await side.is_told() for side in (requester, responder)]
            for side in (requester, responder):
                await side.is_told_no_more(runs_on=not row.leaves_traces)
            looks = [text for side in (requester, responder) for text in await side.looks()]

    assert [] == [text for text in looks if NOTHING_TO_DO in text]
    for each, side in zip(shown, (requester, responder), strict=True):
        told = side.told
        assert told.look in re.sub("</?strong>", "", each)
        assert [] == [advice for advice in side.advice() if str(escape(advice)) not in each]
        assert told.alarm in ABOUT_NO_MESSAGE or re.search("The EPR was told(?: of each)?: “", each)
    secret = [word for word in (NHS_NUMBER, ANOTHER, FAMILY) if word in str([*shown, *lines])]
    assert [] == secret
