"""What `epr-check` makes of what was seen at an EPR's doors."""

import re
from pathlib import Path
from typing import Any

import pytest

from bars_gateway.epr_check.findings import CheckTerms, EprFinding, EprResult
from bars_gateway.epr_check.judging import RULES, judged
from bars_gateway.epr_check.sightings import (
    Addition,
    EprSightings,
    FileEvent,
    OthersWant,
    SeenReply,
)

PATIENCE = 10.0
INBOX, OUTBOX, ACCEPTED, REFUSED = "inbox/new", "outbox/new", "outbox/accepted", "outbox/refused"
REQUEST_ID = "7a1c3f0e-1111-4222-8333-444455556666"


class Watch:
    """A clock that goes on when it is told to, and what is seen by it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.seen = EprSightings(lambda: self.now)

    def told(self, number: int, **members: Any) -> None:
        """Let the gateway have a notice for the EPR."""
        document = {"notice_id": number, "kind": "message", "state": "received", "move": "request"}
        document |= {"workflow_id": 1, "request_id": REQUEST_ID, "fingerprint": "f", "means": "So."}
        self.seen.learn_notice(document | members)

    def files(self, number: int, event: FileEvent, part: str = "outcome") -> None:
        self.seen.note_file(INBOX, f"{number:012d}.{part}.json", event)

    def taken(self, number: int) -> None:
        """Let a notice lie there and be moved away, with a moment between."""
        self.files(number, FileEvent.RENAMED_IN)
        self.now += 1
        self.files(number, FileEvent.RENAMED_OUT)

    def dropped(self, name: str) -> None:
        self.seen.note_file(OUTBOX, name, FileEvent.RENAMED_IN)
        self.now += 1

    def found(self, rule: str, *, by_socket: bool = False, asks: bool = True) -> EprFinding:
        terms = CheckTerms(by_socket=by_socket, asks=asks, patience_seconds=PATIENCE)
        return next(each for each in judged(self.seen, terms) if each.rule == rule)

    def result(self, rule: str, **terms: bool) -> EprResult:
        return self.found(rule, **terms).result


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_nobody_came(watch: Watch) -> None:
    """That is wrong, and everything else is untried."""
    results = [watch.result(rule) for rule in RULES if rule != "came"]

    assert EprResult.WRONG is watch.result("came")
    assert {EprResult.UNTRIED} == set(results)


def test_what_was_taken_soon_is_right(watch: Watch) -> None:
    """Moved away with all its files, which keeps them."""
    watch.told(1)
    watch.taken(1)

    assert EprResult.RIGHT is watch.result("collected")
    assert EprResult.RIGHT is watch.result("kept")


def test_what_lies_there_is_wrong_once_there_was_time(watch: Watch) -> None:
    """And untried before that."""
    watch.dropped("a.json")
    watch.told(1)
    early = watch.result("collected")
    watch.now += PATIENCE + 1

    assert EprResult.UNTRIED is early
    assert "1 of 1 notices still lie there (1)" == watch.found("collected").says


def test_a_file_that_is_left_behind_is_named(watch: Watch) -> None:
    """Who has taken the one to act on believes that it has all."""
    watch.dropped("a.json")
    watch.told(1, **ENDED)
    for part in ("answer", "outcome"):
        watch.files(1, FileEvent.RENAMED_IN, part)
    watch.files(1, FileEvent.RENAMED_OUT, "outcome")
    watch.now += PATIENCE + 1
    left = "1: 000000000001.answer.json"

    assert f"1 of 1 notices still lie there ({left})" == watch.found("collected").says
    assert f"not collected in time: {left}" == watch.found("not_sent").says


@pytest.mark.parametrize(
    ("order", "result"),
    [
        (("answer", "outcome"), EprResult.RIGHT),
        (("outcome", "answer"), EprResult.WRONG),
    ],
)
def test_the_file_to_act_on_goes_last(
    watch: Watch, order: tuple[str, str], result: EprResult
) -> None:
    """Whoever stops between would find nothing that tells of it."""
    watch.told(1, **ENDED)
    for part in ("answer", "outcome"):
        watch.files(1, FileEvent.RENAMED_IN, part)
    for part in order:
        watch.files(1, FileEvent.RENAMED_OUT, part)

    assert result is watch.result("acted_last")
    assert EprResult.UNTRIED is watch.result("acted_last", by_socket=True)


def test_an_answer_that_was_not_read_is_lost_too(watch: Watch) -> None:
    """On the socket: what the Receiver said is with the notice, and goes with it."""
    watch.told(1, **ENDED, answer_media_type="application/fhir+json")
    watch.seen.collected(1)

    assert EprResult.WRONG is watch.result("kept", by_socket=True)


def test_each_door_has_its_own_clause(watch: Watch) -> None:
    """What is asked of an EPR by folder stands elsewhere."""
    assert "folder-2" == watch.found("kept").clause
    assert "socket-2" == watch.found("kept", by_socket=True).clause


def test_who_only_looks_round_is_no_epr(watch: Watch) -> None:
    """A person at a terminal reads a file, and takes none away."""
    watch.told(1)
    watch.files(1, FileEvent.RENAMED_IN)
    watch.files(1, FileEvent.READ)
    before = watch.seen.first_at
    watch.files(1, FileEvent.RENAMED_OUT)

    assert before is None
    assert watch.seen.first_at is not None


def test_the_time_of_a_restart_is_nobodys(watch: Watch) -> None:
    """Who comes as soon as the gateway is back has not waited."""
    watch.dropped("a.json")
    watch.told(1)
    watch.seen.away.append((watch.seen.seconds, watch.seen.seconds + PATIENCE))
    watch.now += PATIENCE
    watch.taken(1)

    assert EprResult.RIGHT is watch.result("collected")


def test_what_was_taken_late_is_wrong(watch: Watch) -> None:
    """Somebody waited for it."""
    watch.dropped("a.json")
    watch.told(1)
    watch.now += PATIENCE + 1
    watch.taken(1)

    assert "late: 1 after 12 s" == watch.found("collected").says


def test_time_counts_from_when_the_epr_came(watch: Watch) -> None:
    """What lay there before is no fault of it."""
    watch.told(1)
    watch.now += 600
    watch.dropped("a.json")
    watch.taken(1)

    assert EprResult.RIGHT is watch.result("collected")


def test_what_the_epr_decided_itself_is_not_given_to_it(watch: Watch) -> None:
    """A booking that it said yes to is collected from the beginning."""
    watch.dropped("a.json")
    watch.told(1, collected_at="2026-03-02T09:00:00Z")
    watch.told(2, collected_at=None)
    watch.now += PATIENCE + 1

    assert "1 of 1 notices still lie there (2)" == watch.found("collected").says


def test_what_was_deleted_unread_is_lost(watch: Watch) -> None:
    """What was read before it was deleted is not."""
    for number, read in ((1, False), (2, True)):
        watch.told(number)
        watch.files(number, FileEvent.RENAMED_IN)
        if read:
            watch.files(number, FileEvent.READ)
        watch.files(number, FileEvent.REMOVED)

    assert "deleted unread, and so lost: 1" == watch.found("kept").says


def test_what_was_collected_before_it_was_read_is_lost(watch: Watch) -> None:
    """On the socket: the message has to be here first."""
    for number in (1, 2):
        watch.told(number)
    watch.seen.part_read(2, "message")
    watch.seen.collected(1)
    watch.seen.collected(2)

    assert "collected before its message and answer were read, and so lost: 1" == (
        watch.found("kept", by_socket=True).says
    )


@pytest.mark.parametrize(
    ("order", "result"), [((1, 2), EprResult.RIGHT), ((2, 1), EprResult.WRONG)]
)
def test_one_workflow_goes_in_order(
    watch: Watch, order: tuple[int, int], result: EprResult
) -> None:
    """A cancellation must not be filed before what it cancels."""
    watch.told(1)
    watch.told(2)
    for number in order:
        watch.taken(number)

    assert result is watch.result("in_order")


def test_several_workflows_go_in_any_order(watch: Watch) -> None:
    """They have nothing to do with each other."""
    watch.told(1)
    watch.told(2, workflow_id=2)
    watch.taken(2)
    watch.taken(1)

    assert EprResult.UNTRIED is watch.result("in_order")


def repeated(watch: Watch) -> None:
    watch.told(1)
    watch.taken(1)
    watch.seen.notices[1].repeated_at = watch.seen.seconds


def test_a_repeat_is_collected_and_what_comes_after_it(watch: Watch) -> None:
    """Whether it is there twice, a person has to look for."""
    repeated(watch)
    watch.taken(1)
    watch.told(2)
    watch.taken(2)

    assert EprResult.RIGHT is watch.result("repeats")
    assert "there once?" in watch.found("repeats").look[0]


def test_a_repeat_that_stays_is_wrong(watch: Watch) -> None:
    """At least once means that it may come again."""
    repeated(watch)
    watch.files(1, FileEvent.RENAMED_IN)

    assert EprResult.WRONG is watch.result("repeats")


def test_who_stops_at_a_repeat_is_told(watch: Watch) -> None:
    """Everything behind it waits."""
    repeated(watch)
    watch.taken(1)
    watch.told(2)
    watch.now += PATIENCE + 1

    assert "nothing was collected after 1" in watch.found("repeats").says


@pytest.mark.parametrize(
    ("events", "result"),
    [
        ((FileEvent.RENAMED_IN,), EprResult.RIGHT),
        ((FileEvent.CREATED,), EprResult.RIGHT),  # a hard link is as whole
        ((FileEvent.CREATED, FileEvent.WRITTEN, FileEvent.CLOSED), EprResult.WRONG),
        ((FileEvent.RENAMED_IN, FileEvent.WRITTEN), EprResult.WRONG),
    ],
)
def test_a_file_comes_whole(watch: Watch, events: tuple[FileEvent, ...], result: EprResult) -> None:
    """What is written where it is read may be read half."""
    for event in events:
        watch.seen.note_file(OUTBOX, "a.json", event)

    assert result is watch.result("renamed")


def test_a_half_that_is_named_so_is_no_fault(watch: Watch) -> None:
    """It gets its name once it is whole."""
    for event in (FileEvent.CREATED, FileEvent.WRITTEN, FileEvent.CLOSED):
        watch.seen.note_file(OUTBOX, "a.json.part", event)
    watch.dropped("a.json")

    assert EprResult.RIGHT is watch.result("renamed")


def test_a_name_is_used_once(watch: Watch) -> None:
    """An envelope and its message share one."""
    watch.dropped("a.envelope.json")
    watch.dropped("a.json")
    once = watch.result("named_once")
    watch.dropped("a.json")

    assert EprResult.RIGHT is once
    assert EprResult.WRONG is watch.result("named_once")


@pytest.mark.parametrize(
    ("names", "result"),
    [
        (("a.envelope.json", "a.json"), EprResult.RIGHT),
        (("a.json", "a.envelope.json"), EprResult.WRONG),
    ],
)
def test_an_envelope_comes_first(watch: Watch, names: tuple[str, str], result: EprResult) -> None:
    """One that is late may belong to the next."""
    for name in names:
        watch.dropped(name)

    assert result is watch.result("envelope_first")


def test_a_reason_that_nobody_reads(watch: Watch) -> None:
    """Whoever sent the message believes that it is on its way."""
    watch.dropped("a.json")
    watch.seen.note_file(ACCEPTED, "a.receipt.json", FileEvent.RENAMED_IN)
    watch.seen.note_file(REFUSED, "b.reason.json", FileEvent.RENAMED_IN)
    watch.seen.note_file(ACCEPTED, "a.receipt.json", FileEvent.READ)
    watch.now += PATIENCE + 1

    assert "1 reasons were never read: nobody knows why" == watch.found("fates_read").says


@pytest.mark.parametrize(
    ("next_ones", "result"),
    [(("one",), EprResult.RIGHT), (("other",), EprResult.WRONG), ((), EprResult.WRONG)],
)
def test_what_is_posted_after_a_lost_answer(
    watch: Watch, next_ones: tuple[str, ...], result: EprResult
) -> None:
    """The same bytes: others would be a second referral."""
    watch.seen.submitted("one", None)
    for fingerprint in next_ones:
        watch.now += 1
        watch.seen.submitted(fingerprint, 201)

    assert result is watch.result("same_again")


@pytest.mark.parametrize(("times", "result"), [(2, EprResult.RIGHT), (3, EprResult.WRONG)])
def test_what_was_refused_is_not_repeated(watch: Watch, times: int, result: EprResult) -> None:
    """It is refused again."""
    for _ in range(times):
        watch.seen.submitted("one", 422)

    assert result is watch.result("not_hammered")


def question(number: int, decided: str | None, **more: object) -> dict[str, Any]:
    answer_by = "2026-03-02T09:00:04Z"
    return {"question_id": number, "answer_by": answer_by, "decided_at": decided} | more


@pytest.mark.parametrize(("read", "result"), [(True, EprResult.RIGHT), (False, EprResult.WRONG)])
@pytest.mark.parametrize("by_socket", [False, True])
def test_what_is_said_yes_to_was_read(
    watch: Watch, *, read: bool, by_socket: bool, result: EprResult
) -> None:
    """No notice comes of it: a booking whose request nobody read is lost."""
    watch.told(1)
    watch.taken(1)
    watch.seen.part_read(1, "message")
    if read and by_socket:
        watch.seen.requests_read.add(2)
    elif read:
        name = "000000000002.request.json"
        watch.seen.note_file("questions/new", name, FileEvent.READ)
    yes = {"move": "request", "accepted": True}
    watch.seen.learn_question(question(2, "2026-03-02T09:00:01Z", **yes))

    assert result is watch.result("kept", by_socket=by_socket)


def test_a_refused_answer_is_told_with_its_reason(watch: Watch) -> None:
    """How many there were corrects none of them."""
    watch.seen.refused_answer("2", "Q01 must be true")

    assert "refused was the answer to 2: Q01 must be true" == watch.found("usable").says


def test_questions_are_answered_in_time(watch: Watch) -> None:
    """One that was answered late, or never, is named."""
    watch.seen.learn_question(question(1, "2026-03-02T09:00:01Z"))
    good = watch.result("answered")
    watch.seen.learn_question(question(2, "2026-03-02T09:00:05Z"))
    watch.seen.learn_question(question(3, None))

    assert EprResult.RIGHT is good
    assert (
        "nothing that could be used came in answer to 3; answered when nobody waited any more: 2"
        == (watch.found("answered").says)
    )


def replied(
    watch: Watch, wants: OthersWant, http_status: int, *, ours: bool = True, **question_of: Any
) -> None:
    """Let another organisation be told something that the EPR has decided in time."""
    number = len(watch.seen.questions) + 1
    members = {"decided": "2026-03-02T09:00:01Z", "accepted": http_status == 200} | question_of
    watch.seen.learn_question(question(number, request_id=f"r{number}", **members))
    watch.seen.told_others(SeenReply(wants, f"r{number}", http_status, ours))


@pytest.mark.parametrize(
    ("http_status", "decided", "read", "result"),
    [
        (200, "2026-03-02T09:00:01Z", True, EprResult.RIGHT),
        (200, "2026-03-02T09:00:01Z", False, EprResult.WRONG),
        (422, "2026-03-02T09:00:01Z", False, EprResult.RIGHT),
        (404, "2026-03-02T09:00:01Z", True, EprResult.WRONG),
        (408, "2026-03-02T09:00:06Z", True, EprResult.WRONG),
        (408, None, False, EprResult.WRONG),
    ],
)
def test_a_change_of_what_it_has_is_decided(
    watch: Watch, http_status: int, decided: str | None, *, read: bool, result: EprResult
) -> None:
    """Yes, with what changes read; or no. What it has collected it has to find."""
    watch.seen.requests_read |= {1} if read else set()
    replied(watch, OthersWant.UPDATE, http_status, decided=decided, move="update")

    assert result is watch.result("updated")


def test_a_change_that_the_gateway_refused_was_not_tried(watch: Watch) -> None:
    """The EPR was not asked."""
    watch.seen.told_others(SeenReply(OthersWant.UPDATE, "r", 409))

    assert EprResult.UNTRIED is watch.result("updated")


@pytest.mark.parametrize(
    ("replies", "result"),
    [
        ({OthersWant.SLOTS: 200, OthersWant.RECORD: 200, OthersWant.PATIENT: 422}, EprResult.RIGHT),
        ({OthersWant.SLOTS: 422, OthersWant.PATIENT: 422}, EprResult.LOOK),
        ({OthersWant.SLOTS: 200, OthersWant.RECORD: 404}, EprResult.WRONG),
        ({OthersWant.SLOTS: 408}, EprResult.WRONG),
        ({}, EprResult.UNTRIED),
    ],
    ids=["given", "all refused", "lost", "late", "none"],
)
def test_reads_are_answered(
    watch: Watch, *, replies: dict[OthersWant, int], result: EprResult
) -> None:
    """What it has said yes to, it has; and who refuses all is asked about."""
    for wants, http_status in replies.items():
        replied(watch, wants, http_status)

    assert result is watch.result("reads")


def test_another_record_than_was_asked_for_is_wrong(watch: Watch) -> None:
    """Who reads it takes it for the patient's."""
    replied(watch, OthersWant.RECORD, 200, ours=False)

    assert EprResult.WRONG is watch.result("reads")


@pytest.mark.parametrize("wants", [OthersWant.NOTHING, OthersWant.SECOND])
@pytest.mark.parametrize(
    ("http_status", "result"), [(200, EprResult.WRONG), (404, EprResult.RIGHT)]
)
def test_who_says_yes_to_everything_is_told(
    watch: Watch, wants: OthersWant, http_status: int, result: EprResult
) -> None:
    """One slot to two people; a record that nobody has."""
    replied(watch, wants, http_status)

    assert result is watch.result("said_no")


def test_what_nobody_decided_shows_no_refusal(watch: Watch) -> None:
    """The other side was told that nobody answered."""
    replied(watch, OthersWant.NOTHING, 408, decided=None)

    assert EprResult.UNTRIED is watch.result("said_no")


@pytest.mark.parametrize("by_socket", [False, True])
@pytest.mark.parametrize(("again", "result"), [(True, EprResult.RIGHT), (False, EprResult.WRONG)])
def test_what_a_crash_left_is_collected(
    watch: Watch, *, by_socket: bool, again: bool, result: EprResult
) -> None:
    """Whether the gateway did not hear of it, or the last file lies there alone."""
    watch.told(1)
    if by_socket:
        watch.seen.crashed(watch.seen.held_back(1))
    else:
        watch.taken(1)
        watch.seen.crashed(watch.seen.notices[1])
    watch.now += 1
    if again and by_socket:
        watch.seen.collected(1)
    elif again:
        watch.taken(1)

    assert EprResult.UNTRIED is Watch().result("crash")
    assert result is watch.result("crash", by_socket=by_socket)


def test_what_comes_again_may_be_deleted_unread(watch: Watch) -> None:
    """It was read the first time, and is known by its number."""
    watch.told(1)
    for event in (FileEvent.RENAMED_IN, FileEvent.READ, FileEvent.REMOVED):
        watch.files(1, event, "message")
    for event in (FileEvent.RENAMED_IN, FileEvent.REMOVED):
        watch.files(1, event, "message")

    assert EprResult.RIGHT is watch.result("kept")


@pytest.mark.parametrize(
    ("rule", "addition"), [("new_member", Addition.MEMBER), ("new_kind", Addition.KIND)]
)
@pytest.mark.parametrize(("taken", "result"), [(True, EprResult.RIGHT), (False, EprResult.WRONG)])
def test_what_a_later_version_adds_is_collected(
    watch: Watch, rule: str, addition: Addition, *, taken: bool, result: EprResult
) -> None:
    """And shown to a person, which no door can see; by itself it is no notice that was left."""
    watch.told(1)
    watch.taken(1)
    watch.seen.make_up(watch.seen.notices[1], addition, 900)
    if taken:
        watch.taken(900)
    watch.now += PATIENCE + 1

    assert EprResult.UNTRIED is Watch().result(rule)
    assert (result, 1) == (watch.result(rule), len(watch.found(rule).look))
    assert EprResult.RIGHT is watch.result("collected")


def test_what_is_made_up_has_no_order(watch: Watch) -> None:
    """Its number is above all: the gateway's next notice comes behind it."""
    watch.told(1)
    watch.taken(1)
    watch.seen.make_up(watch.seen.notices[1], Addition.KIND, 900)
    watch.taken(900)
    watch.told(2)
    watch.taken(2)

    assert EprResult.RIGHT is watch.result("in_order")


def test_who_never_asks_for_questions_is_told(watch: Watch) -> None:
    """Unless it is not to be asked."""
    watch.seen.unattended += 1

    assert EprResult.WRONG is watch.result("answered")
    assert EprResult.UNTRIED is watch.result("answered", asks=False)


ENDED = {"kind": "outcome", "state": "not_sent", "means": "It never left. Act now."}


def test_what_people_were_shown_is_to_be_looked_for(watch: Watch) -> None:
    """The doors show that it was collected, and no more."""
    watch.told(1, **ENDED)
    watch.taken(1)

    assert EprResult.LOOK is watch.result("not_sent")
    assert "It never left. Act now." in watch.found("not_sent").look[0]
    assert EprResult.UNTRIED is watch.result("unconfirmed")


def test_what_is_sent_again_at_once_was_sent_by_no_person(watch: Watch) -> None:
    """By a verb, or as the same bytes by either door."""
    for again in (
        lambda: watch.seen.acted(f"POST /messages/{REQUEST_ID}/resend", '{"why": "x"}'),
        lambda: watch.seen.submitted("f", 409),
    ):
        watch.seen.notices.clear()
        watch.told(1, **ENDED)
        watch.taken(1)
        watch.now += 1
        again()

        assert EprResult.WRONG is watch.result("not_sent")


@pytest.mark.parametrize("told_by", ["warning", "remark", "count"])
def test_what_is_built_anew_at_once_was_sent_by_no_person(watch: Watch, told_by: str) -> None:
    """Under another Bundle.id it is a second record of the patient."""
    watch.seen.submitted("f", 201)
    if told_by == "count":
        watch.seen.asked_at.append(watch.seen.seconds)
    watch.told(1, **ENDED)
    watch.taken(1)
    watch.now += 1
    watch.seen.submitted("g", 201)
    if told_by == "warning":
        watch.seen.built_anew_at.append(watch.seen.seconds)
    elif told_by == "remark":
        watch.told(2, kind="outcome", fingerprint="g", remarks=["other_record"])

    assert "built anew at once, by no person: 1" == watch.found("not_sent").says


def test_what_the_check_asks_for_is_not_built_anew(watch: Watch) -> None:
    """The next message is asked for as soon as the fate of the last is known."""
    watch.seen.asked_at.append(watch.seen.seconds)
    watch.seen.submitted("f", 201)
    watch.told(1, **ENDED)
    watch.taken(1)
    watch.seen.asked_at.append(watch.seen.seconds)
    watch.now += 1
    watch.seen.submitted("g", 201)

    assert EprResult.LOOK is watch.result("not_sent")


def test_a_mark_by_a_timer_shows_no_person(watch: Watch) -> None:
    """Nobody has read it by then, and telephoned."""
    watch.told(1, **ENDED)
    watch.taken(1)
    watch.seen.acted("POST /alarms/handled", f'{{"request_ids": ["{REQUEST_ID}"]}}')

    assert EprResult.LOOK is watch.result("not_sent")


def test_an_alarm_may_be_marked_before_its_notice_is_collected(watch: Watch) -> None:
    """Both may have waited for a restart, and come in either order."""
    watch.now += 1
    watch.told(1, **ENDED)
    watch.now += 60
    watch.seen.acted("POST /alarms/handled", f'{{"request_ids": ["{REQUEST_ID}"]}}')
    watch.seen.away.append((0.0, 45.0))
    watch.taken(1)

    assert EprResult.RIGHT is watch.result("not_sent")


def test_what_somebody_recorded_is_right(watch: Watch) -> None:
    """An EPR that says so by the socket shows that a person has acted."""
    watch.told(1, **ENDED)
    watch.taken(1)
    watch.now += 60
    watch.seen.acted("POST /alarms/handled", f'{{"request_ids": ["{REQUEST_ID}"]}}')

    assert EprResult.RIGHT is watch.result("not_sent")


@pytest.mark.parametrize(("comes", "result"), [(True, EprResult.RIGHT), (False, EprResult.WRONG)])
def test_who_goes_on_after_a_restart(watch: Watch, *, comes: bool, result: EprResult) -> None:
    """A gateway is started again at every upgrade."""
    watch.seen.seen()
    watch.now += 1
    watch.seen.restarted_at = watch.seen.seconds
    watch.now += 1
    if comes:
        watch.seen.seen()

    assert result is watch.result("back", by_socket=True)


def test_every_clause_that_is_cited_stands_in_the_contract() -> None:
    """Whoever is told that something is wrong finds what is asked."""
    page = (Path(__file__).parents[2] / "docs" / "epr-contract.md").read_text("utf-8")
    clauses = re.findall(r"^- \*\*([a-z]+-\d+)\*\* ", page, re.MULTILINE)

    assert len(set(clauses)) == len(clauses)
    assert {rule.clause for rule in RULES.values()} <= set(clauses)


def test_what_came_in_xml_and_was_moved_is_right(watch: Watch) -> None:
    """Whether it was read, a person has to look at."""
    watch.told(1, media_type="application/fhir+xml")
    watch.taken(1)
    found = watch.found("in_xml")

    assert (EprResult.RIGHT, 1) == (found.result, len(found.look))


def test_xml_that_is_left_lying_is_wrong(watch: Watch) -> None:
    """An EPR that takes the files away that end in .json has the notice, and no message."""
    watch.dropped("a.json")
    watch.told(1, media_type="application/fhir+xml")
    for name in ("000000000001.notice.json", "000000000001.message.xml"):
        watch.seen.note_file(INBOX, name, FileEvent.RENAMED_IN)
    watch.seen.note_file(INBOX, "000000000001.notice.json", FileEvent.RENAMED_OUT)
    watch.now += PATIENCE + 1

    assert "1: 000000000001.message.xml was not collected" == watch.found("in_xml").says


def test_xml_that_is_collected_before_it_is_read_is_lost(watch: Watch) -> None:
    """On the socket nobody can read it afterwards."""
    watch.told(1, media_type="application/fhir+xml")
    watch.seen.collected(1)

    assert EprResult.WRONG is watch.result("in_xml", by_socket=True)


@pytest.mark.parametrize(
    ("decided_at", "accepted", "read", "result"),
    [
        (None, None, True, EprResult.WRONG),
        ("2024-01-01T00:00:01Z", True, True, EprResult.RIGHT),
        ("2024-01-01T00:00:01Z", False, False, EprResult.RIGHT),
        ("2024-01-01T00:00:01Z", True, False, EprResult.WRONG),
    ],
)
def test_a_booking_in_xml_is_decided_as_any(
    watch: Watch, *, decided_at: str | None, accepted: bool | None, read: bool, result: EprResult
) -> None:
    """It may be refused, and not be left: an EPR that reads no XML says no in time."""
    times = {"answer_by": "2024-01-01T00:00:04Z", "decided_at": decided_at}
    asked = {"question_id": 1, "request_id": "r", "move": "request", "accepted": accepted}
    watch.seen.learn_question(asked | times)
    watch.seen.told_others(SeenReply(OthersWant.IN_XML, "r", 200))
    watch.seen.requests_read |= {1} if read else set()

    assert result is watch.result("asked_in_xml")


CHANGE = {"kind": "outcome", "state": "refused", "move": "update"}


def test_a_change_that_was_refused_is_looked_for_on_screens(watch: Watch) -> None:
    """Whoever sent it has to hear that the Receiver works from what it has."""
    watch.told(1, **CHANGE, answer_media_type=None)
    watch.taken(1)

    assert EprResult.LOOK is watch.result("own_change")
    assert EprResult.UNTRIED is watch.result("refused")


def test_a_change_that_goes_out_as_another_request_is_wrong(watch: Watch) -> None:
    """The Receiver would have the patient twice."""
    watch.seen.change_asked = (watch.seen.seconds, None)
    watch.now += 1
    watch.told(1, kind="outcome", state="acknowledged", remarks=["other_record"])

    assert EprResult.WRONG is watch.result("own_change")


def test_a_request_that_was_built_anew_at_another_time_is_no_change(watch: Watch) -> None:
    """It is judged where it belongs."""
    watch.told(1, kind="outcome", state="acknowledged", remarks=["other_record"])
    watch.now += 1
    watch.seen.change_asked = (watch.seen.seconds, watch.seen.seconds)

    assert EprResult.UNTRIED is watch.result("own_change")


def test_a_second_answer_that_was_never_read_is_wrong(watch: Watch) -> None:
    """It may ask for what the first did not."""
    watch.told(1, kind="amended", move="conclude")
    watch.seen.collected(1)

    assert EprResult.WRONG is watch.result("amended", by_socket=True)


def test_a_second_answer_that_was_collected_is_looked_for(watch: Watch) -> None:
    """Both are shown, for somebody to compare them."""
    watch.told(1, kind="amended", move="conclude")
    watch.taken(1)

    assert EprResult.LOOK is watch.result("amended")
