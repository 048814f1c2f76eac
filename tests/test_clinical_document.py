"""
docs/clinical.md is printed from the tables of sentences, responses and times, exactly.

    .venv/bin/python tests/test_clinical_document.py      prints it again
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from pydantic import BaseModel
from situations import (
    ABOUT,
    DUE,
    ENDS,
    IN_OTHER_WORDS,
    MOVED_ON,
    REQUESTS,
    RESPONSES,
    everything,
)
from test_documentation import alarms, comments
from test_workflow_document import responses as read
from test_workflow_document import table

from bars_gateway.config.outbound import TimingSettings
from bars_gateway.config.provider import Provider
from bars_gateway.config.settings import Settings
from bars_gateway.config.sources import purpose
from bars_gateway.epr.inbox import file_of
from bars_gateway.model import messages
from bars_gateway.model.messages import NoticeKind, OutboundState
from bars_gateway.standard.applications import USE_CASE_NAMES
from bars_gateway.standard.findings import ReadProgress, Reconciliation
from bars_gateway.standard.meaning import MOVES, REASONS, Said
from bars_gateway.standard.remarks import OF_ENDS, OF_SILENCE, Remark
from bars_gateway.standard.sentences import Asks, Matter, Sentence, Situation, means, sentences
from bars_gateway.standard.sentences.outcomes import LOST_BESIDE_ANOTHER
from bars_gateway.standard.sentences.received import (
    BY_WORD,
    DECIDED,
    DECIDED_TOO_LATE,
    OF_ANSWERS,
    OF_PLANS,
    OF_VALIDATIONS,
    resource_request,
)
from bars_gateway.standard.sentences.turned_away import OF_CANCELLATIONS
from bars_gateway.standard.sentences.words import WORDS, clock, matter_of, parts
from bars_gateway.standard.timing import TIMINGS, shipped_timing
from bars_gateway.standard.workflow import ANSWERS, Move, State

PAGE = Path(__file__).parent.parent / "docs" / "clinical.md"

INTRODUCTION = """\
# What people are told

For the clinical safety officer who approves it, the duty manager who reads it at night, and the
developer who puts it on a screen. All of this page is printed from the code that says it
(`standard/sentences/`, `standard/meaning.py`, `standard/timing.py`):
`python tests/test_clinical_document.py` prints it again.

Every notice, every question and every message that is looked at (`bars-gateway show`,
`bars-gateway queue`, `GET /messages/REQUEST_ID`) has `means`: what is so, and what to do. Show
it to people whole and as it is. Software never reads it, for its wording may change with any
version: it looks at `kind`, `state`, `says`, `remarks` and `reason_code`. "You" is the
organisation that reads; "telephone" is always the other side, unless another is named.
"""
ASKED = {
    Asks.NOTHING: "nothing: it ends in “There is nothing to do now.”",
    Asks.WAIT: "to wait: how it ends will be told",
    Asks.WORK: "the ordinary next step: read, answer, see to the patient",
    Asks.CHECK: "to look at something, and to act if what it names is so",
    Asks.TELEPHONE: "to telephone: nobody can know otherwise",
    Asks.ACT: "to act now: the patient is yours",
}
SAMPLES = dict(reversed([(matter_of(about, code), (about, code)) for code, about in ABOUT]))
MATTERS = [matter for matter in Matter if matter in SAMPLES]


@dataclass(frozen=True, slots=True)
class Told:
    """One line of a table: what is told, by what, and to whom it is so."""

    labels: tuple[str, ...]
    situation: Situation


def begun(**said: object) -> Situation:
    """Return a situation of ours; *said* is what is so."""
    told = {"direction": "outbound", "state": "queued", "move": Move.REQUEST} | said
    request_type, use_case = SAMPLES[Matter.TRANSFER]
    return Situation(
        **told,  # type: ignore[arg-type]
        request_type=request_type,
        use_case=use_case,
        due_at=DUE,
        ends_at=ENDS,
    )


def came(**said: object) -> Situation:
    """Return a situation in which others have sent something."""
    return begun(**({"direction": "inbound", "state": "received", "kind": "message"} | said))


PRINTED: set[Sentence] = set()


def rows(told: Iterable[Told]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each sentence, with the matters that it is said of."""
    for each in told:
        groups: dict[tuple[object, ...], list[Matter]] = {}
        for matter in MATTERS:
            situation = about(each.situation, matter)
            found = tuple(sentences(situation))
            own = parts(matter, situation.move, situation.says) if "{" in found[0].text else None
            groups.setdefault((found, own), []).append(matter)
        for matters in sorted(groups.values(), key=lambda found: len(found) > len(MATTERS) / 2):
            yield (*each.labels, named(matters, groups), written(about(each.situation, matters[0])))


def about(situation: Situation, matter: Matter) -> Situation:
    request_type, use_case = SAMPLES[matter]
    return replace(situation, request_type=request_type, use_case=use_case)


def named(matters: list[Matter], groups: Mapping[tuple[object, ...], list[Matter]]) -> str:
    if len(groups) == 1:
        return "all"
    return "every other" if len(matters) > len(MATTERS) / 2 else ", ".join(matters)


def written(situation: Situation) -> str:
    """Return a sentence, with the places of its times."""
    PRINTED.update(sentences(situation))
    text = means(situation)
    return re.sub(f"{re.escape(clock(DUE))}|{re.escape(clock(ENDS))}", "*time*", text)


def outcomes(state: str) -> str:
    told = [
        Told((_worded(move, says),), begun(kind="outcome", state=state, move=move, says=says))
        for move in (*REQUESTS, *RESPONSES)
        for says in (None, *IN_OTHER_WORDS.get(move, ()))
    ]
    return table(("Move", "About", "What is said"), rows(told))


def _worded(move: Move, says: Said | None) -> str:
    return f"`{move}`, `{says}`" if says else f"`{move}`"


_READ_LATE = "`delayed`, `held`, `released` or `retried`, settled since"


def unsettled() -> str:
    stages = (
        ("`queued`, never tried", begun(attempts=0)),
        ("`queued` and tried before, `sending`", begun()),
        ("`delayed`", begun(kind="delayed")),
        ("`held`, never tried", begun(kind="held", state="held", attempts=0)),
        ("`held`, tried before", begun(kind="held", state="held", attempts=1)),
        ("`delayed` and held", begun(kind="delayed", state="held")),
        ("`released`", begun(kind="released")),
        ("`retried`", begun(kind="retried")),
        ("`resent`", begun(kind="resent")),
        (_READ_LATE, begun(kind="delayed", state="not_sent")),
        ("`resent`, settled since", begun(kind="resent", state="not_sent")),
    )
    told = [
        Told((kind, f"`{move}`"), replace(situation, move=move))
        for kind, situation in stages
        for move in (*REQUESTS, Move.DECLINE)
    ]
    return table(("Kind or state", "Move", "About", "What is said"), rows(told))


def looked_for() -> str:
    told = [
        Told(
            ("`queued`, before its read",),
            begun(move=Move.CANCEL, reading=ReadProgress.WAITS),
        ),
        Told(
            ("`cancel_not_sent`; `queued` since",),
            begun(kind="cancel_not_sent", move=Move.CANCEL, reading=ReadProgress.UNREAD),
        ),
        Told(
            ("`cancel_not_sent` with `other_patient`; `queued` since",),
            begun(
                kind="cancel_not_sent",
                move=Move.CANCEL,
                reading=ReadProgress.OTHER_PATIENT,
                remarks=(Remark.OTHER_PATIENT,),
            ),
        ),
        Told(("`cancel_turned_away`",), came(kind="cancel_turned_away")),
        Told(
            ("`cancel_turned_away` with `cancel_after_end`",),
            came(
                kind="cancel_turned_away", remarks=(Remark.CANCEL_AFTER_END, Remark.OTHER_PATIENT)
            ),
        ),
        Told(
            ("`outcome`, `refused` before the first attempt",),
            begun(kind="outcome", state="refused", move=Move.CANCEL, attempts=0, shown="completed"),
        ),
        Told(
            ("`outcome`, `acknowledged`, and over there",),
            begun(kind="outcome", state="acknowledged", shown="revoked"),
        ),
        Told(
            ("the same, `arrived_after_all`",),
            begun(
                kind="outcome",
                state="acknowledged",
                shown="revoked",
                remarks=(Remark.ARRIVED_AFTER_ALL,),
            ),
        ),
        Told(
            ("`cancel_not_sent` with `other_patient`, and over by now",),
            begun(
                kind="cancel_not_sent",
                move=Move.CANCEL,
                reading=ReadProgress.OTHER_PATIENT,
                remarks=(Remark.OTHER_PATIENT,),
                stands=State.DECLINED,
            ),
        ),
        *(
            Told(
                (f"`{move}`, `acknowledged`, `no_record`",),
                begun(kind="outcome", state="acknowledged", move=move, remarks=(Remark.NO_RECORD,)),
            )
            for move in (Move.UPDATE, Move.CANCEL)
        ),
        Told(
            ("a cancellation, `acknowledged`, `other_stands`",),
            begun(
                kind="outcome",
                state="acknowledged",
                move=Move.CANCEL,
                remarks=(Remark.OTHER_STANDS,),
            ),
        ),
        *(
            Told(
                (f"a request, `{state}`, `other_record`",),
                begun(kind="outcome", state=state, remarks=(Remark.OTHER_RECORD,)),
            )
            for state in LOST_BESIDE_ANOTHER
        ),
        *(
            Told(
                (f"`{move}`, `{state}`, `{remark}`",),
                begun(kind="outcome", state=state, move=move, remarks=(remark,)),
            )
            for move, remark in OF_ENDS.items()
            for state in OutboundState
        ),
        *(
            Told(
                (f"`{move}`, `{state}`, `{remark}`",),
                begun(kind="outcome", state=state, move=move, remarks=(remark,)),
            )
            for remark, move in (
                (Remark.SAID_BEFORE, Move.WAIT),
                (Remark.SAID_SINCE, Move.PROGRESS),
                (Remark.SAID_OTHERWISE, Move.CONCLUDE),
                (Remark.SAID_OTHERWISE, Move.DECLINE),
            )
            for state in ("refused", "unconfirmed", "not_sent", "withdrawn")
        ),
        *(
            Told(
                (f"`reconciled`: {word}",),
                begun(
                    kind="reconciled",
                    state="acknowledged",
                    reconciled=word,
                    shown="revoked" if word is Reconciliation.OVER else None,
                ),
            )
            for word in Reconciliation
        ),
    ]
    return table(("Notice or state", "About", "What is said"), rows(told))


def owed() -> str:
    told = [
        Told((f"`{kind}`", known), situation)
        for kind in ("due_soon", "overdue")
        for known, situation in (
            ("others owe it", begun(kind=kind, state="acknowledged")),
            *(
                (f"others, `{remark}`", begun(kind=kind, state="acknowledged", remarks=(remark,)))
                for remark in dict.fromkeys(OF_SILENCE.values())
            ),
            ("you owe it", came(kind=kind)),
        )
    ]
    return table(("Notice", "Who owes it", "About", "What is said"), rows(told))


def requests() -> str:
    told = [
        Told((kind, f"`{move}`"), came(kind=word, move=move))
        for kind, word in (
            ("`message`", "message"),
            ("`decided_late`", "decided_late"),
            ("a question", "question"),
        )
        for move in REQUESTS
    ]
    return table(("Notice", "Move", "About", "What is said"), rows(told))


def responses() -> str:
    told = [
        Told((f"`{said}`", f"`{MOVES[said]}`"), came(move=MOVES[said], says=said)) for said in Said
    ]
    told += [
        Told(
            (f"`{said}`, `{remark}`", f"`{Move.CONCLUDE}`"),
            came(move=Move.CONCLUDE, says=said, remarks=(remark,)),
        )
        for remark, rows_ in OF_PLANS.items()
        for said in rows_
    ]
    return table(("Says", "Move", "About", "What is said"), rows(told))


def overtaken() -> str:
    told = [
        Told((f"`{said}`",), came(move=MOVES[said], says=said, remarks=(Remark.OUT_OF_ORDER,)))
        for said in Said
    ]
    return table(("Says", "About", "What is said"), rows(told))


# What is said of one that came out of its order only: else the message itself says it.
WITH = dict.fromkeys(OF_PLANS, f"`{Remark.OUT_OF_ORDER}`")


def remarks() -> str:
    told = [
        row
        for remark in Remark
        if added(remark)
        for row in [*in_other_words(remark), (f"`{remark}`", WITH.get(remark, ""), added(remark))]
    ]
    return table(("Remark", "With", "What is said, after the sentence of the message"), told)


def in_other_words(remark: Remark) -> Iterator[tuple[str, str, str]]:
    """Yield what is said instead with some words, or of some messages."""
    by_word: dict[Sentence, list[str]] = {}
    for (each, said), sentence in BY_WORD.items():
        if each is remark:
            by_word.setdefault(sentence, []).append(f"`{said}`")
    if remark in OF_VALIDATIONS:
        by_word[OF_VALIDATIONS[remark]] = ["validation"]
    if remark in OF_ANSWERS:
        by_word[OF_ANSWERS[remark]] = ["an answer of ours"]
    if remark in OF_CANCELLATIONS:
        by_word[OF_CANCELLATIONS[remark]] = ["`cancel_turned_away`"]
    for sentence, words in by_word.items():
        PRINTED.add(sentence)
        yield f"`{remark}`", ", ".join(words), sentence.text


def added(remark: Remark) -> str:
    """Return what a remark adds; nothing where it turns the sentence into another."""
    plain = came(move=Move.PROGRESS, says=Said.ASSIGNED)
    with_it = replace(plain, remarks=(remark,))
    PRINTED.update(sentences(with_it))
    before, after = means(plain), means(with_it)
    return after.removeprefix(before).strip() if after.startswith(before) else ""


def moved_on() -> str:
    leads_to: dict[Said | None, State] = {said: ANSWERS[move] for said, move in MOVES.items()}
    told = [
        Told(
            (whose, f"`{state}`", f"`{said}`" if said else "any other"),
            replace(seen, stands=state, newest=said),
        )
        for whose, seen in (
            ("you ask", begun(state="acknowledged")),
            ("you are asked", came(kind=None)),
        )
        for state in MOVED_ON
        for said in (None, *Said)
        if leads_to.get(said, state) is state and is_row(whose, state, said)
    ]
    back = begun(state="unconfirmed", stands=State.ACTIVE)
    told.append(Told(("you ask, and it was `unconfirmed`", "`active`", "none"), back))
    return table(("Whose", "Workflow", "Newest word", "About", "What is said"), rows(told))


def is_row(whose: str, state: State, said: Said | None) -> bool:
    """Tell whether it reads otherwise than it did, and otherwise than by another word."""
    if said is None:
        return state is not State.ACTIVE
    return whose == "you ask" or state is State.ACTIVE


def seen() -> str:
    """Return what is said to whoever looks, beside or in place of what was told."""
    sent = begun(state="acknowledged", stands=State.ACTIVE)
    told = [
        Told(("late, or past its clinical time",), begun(late=True)),
        Told(("late and held",), begun(state="held", late=True)),
        Told(
            ("an answer is owed soon; told with what comes then, too",),
            replace(sent, owed="due_soon"),
        ),
        Told(("an answer is overdue; likewise",), replace(sent, owed="overdue")),
        Told(("an answer of yours is overdue",), came(kind=None, owed="overdue")),
        *(
            Told((f"`reconciled`: {word}",), replace(sent, reconciled=word))
            for word in Reconciliation
            if word not in {Reconciliation.FOUND, Reconciliation.OVER}
        ),
        Told(("there may be two records",), replace(sent, remarks=(Remark.OTHER_RECORD,))),
        Told(
            ("cancelled, and another record stands",),
            replace(sent, stands=State.CANCELLED, remarks=(Remark.OTHER_STANDS,)),
        ),
        *(
            Told(
                (f"{end}, and another record {word}",),
                replace(sent, stands=state, remarks=(remark,)),
            )
            for end, state in (("turned down", State.DECLINED), ("finished", State.COMPLETED))
            for word, remark in (
                ("stands", Remark.OTHER_STANDS),
                ("may stand", Remark.OTHER_RECORD),
            )
        ),
        Told(
            ("cancelled by who asked you, and another record stands",),
            came(kind=None, stands=State.CANCELLED, remarks=(Remark.OTHER_STANDS,)),
        ),
        Told(
            ("another record is over, and this one has no end",),
            replace(sent, one_over=True),
        ),
        Told(("an alarm of its case stands",), replace(sent, alarmed=True)),
    ]
    return table(("What is so", "About", "What is said of a request"), rows(told))


def no_more() -> str:
    said = came(kind=None, move=Move.WAIT, says=Said.ACCEPTED, stands=State.CANCELLED)
    return table(("About", "What is said"), rows([Told((), said)]))


def questions() -> str:
    return table(
        ("What", "What is said"),
        (
            ("a question about a response", written(came(kind="question", **_rejected()))),
            (
                "a response that was taken too late",
                written(came(kind="decided_late", **_rejected())),
            ),
            ("a read or search", resource_request("GET Slot")),
            ("a preview write", resource_request("PUT Appointment")),
            ("an answer to a question, in time", DECIDED),
            ("an answer to a question, too late", DECIDED_TOO_LATE),
        ),
    )


def _rejected() -> dict[str, object]:
    return {"move": Move.DECLINE, "says": Said.REJECTED}


def words() -> str:
    return table(
        ("About", "The request", "Who was asked", "Who asked", "If it did not arrive"),
        ((matter, each.it, each.they, each.asker, each.nobody) for matter, each in WORDS.items()),
    )


def times() -> str:
    """Return every figure of every Application."""
    named = [field.name for field in fields(shipped_timing("a1t1"))]
    return table(
        ("What", "Setting", *(f"`{code}`" for code in TIMINGS)),
        (
            (*explained(name), *(figure(getattr(each, name)) for each in TIMINGS.values()))
            for name in named
        ),
    )


def explained(figure_name: str) -> tuple[str, str]:
    """Return what a figure is for, in the words of its setting, and the setting."""
    for name in TimingSettings.model_fields:
        if re.fullmatch(f"{figure_name}(_seconds|_minutes)?", name):
            return " ".join(purpose(TimingSettings, name).split("\n\n")[0].split()), f"`{name}`"
    return "Whether it goes out before what is not urgent.", "-"


def looked_at() -> str:
    """Return what software looks at, with every value."""
    return table(
        ("Member", "What it is", "Its values"),
        (
            ("`kind`", "what the notice is about", listed(NoticeKind)),
            ("`state`", "where the message is", listed([*OutboundState, "received"])),
            ("`says`", "what a response means", listed(Said)),
            ("`reason_code`", "why it was rejected", reasons()),
            ("`remarks`", "what else a person should know", listed(Remark)),
        ),
    )


def kinds() -> str:
    """Return every kind of notice, with its file in inbox/new and when there is one."""
    meanings = comments(messages, "NoticeKind")
    return table(
        ("`kind`", "Its file", "What it tells"),
        ((f"`{kind}`", f"`{file_of(kind, 'N')}`", meanings[kind]) for kind in NoticeKind),
    )


def reasons() -> str:
    return ", ".join(f"`{code}` {display}" for code, display in REASONS.items())


def listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def figure(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value.value if isinstance(value, Enum) else value)


def own_times() -> str:
    """Return what single use cases have otherwise."""
    return table(
        ("Use case", "Setting", "Shipped"),
        (
            (f"`{code}`", explained(field.name)[1], figure(own))
            for code in USE_CASE_NAMES
            for field in fields(shipped_timing(code))
            if (own := getattr(shipped_timing(code), field.name))
            != getattr(shipped_timing(f"{code.partition('t')[0]}t0"), field.name)
            and code != "referraltopharmacy"
        ),
    )


# What a provider may change, and what its safety officer asks before it does.
MAY_CHANGE: Mapping[str, str] = {
    "environment": "Real patients are in prod, and in prod alone: does everybody who sends know"
    " where they are?",
    "state_dir": "With another database nothing is known of what is under way: who sees to each"
    " open case? The same goes for `store.path` and `store.url`.",
    "store.path": "As for `state_dir`.",
    "store.url": "As for `state_dir`.",
    "store.several_nodes": "What a node was sending when it died is sent again once"
    " `outbound.lease_seconds` have passed. Does the EPR look into the folders of each node, and do"
    " its users know where to telephone where both are gone?",
    "retention.payload_days": "An update that comes later finds nothing to compare its patient"
    " with. After how many days do changes of a referral still come? The same goes for"
    " `providers.NAME.retention`.",
    "retention.inbox_days": "What the EPR has not read by then is gone from its folder. Is it one"
    " that copies files and leaves them?",
    "retention.use_cases": "As for `retention.payload_days`.",
    "providers.NAME.retention": "As for `retention.payload_days`.",
    "providers.NAME.services": "Taken out: who is still sent to it, and where do those patients go?"
    " Added: who reads what comes for it, at every hour?",
    "providers.NAME.applications": "Switched off: do those who send them know where else the"
    " patient goes? Switched on: is the organisation assured for it, and who answers?",
    "providers.NAME.refused_use_cases": "Do those who send them know where else the patient goes?",
    "providers.NAME.booking_required": "A referral that names no booking is refused. Does every"
    " referrer book first, and where does a patient go for whom no slot is free?",
    "providers.NAME.refused_organisations": "Do they know, and where do their patients go?",
    "providers.NAME.same_organisation": "A message whose two names of its organisation differ is"
    " refused. Has the log shown none (`inbound.organisations_differ`), and who hears of the"
    " patient whose message is refused?",
    "providers.NAME.rules": "For each row that is softened: which wrong message gets through by it,"
    " and who notices? For each that is hardened: who hears of the patient whose message is"
    " refused?",
    "providers.NAME.core_version": "Does every counterparty understand it? Who does not refuses"
    " what is sent.",
    "providers.NAME.questions": "Without one (`none`) nobody can cancel or change anything here:"
    " they are told to telephone. Is somebody there at every hour who answers the telephone?",
    "providers.NAME.acknowledged_by_epr": "While that EPR is away, nobody can refer to the service."
    " Do its referrers know what to do then?",
    "providers.NAME.earlier_records": "Left out while records from before the gateway still stand,"
    " their Senders cannot cancel them: they get 404. Set, who finds the patient by an id"
    " alone?",
    "providers.NAME.notices": "Does the EPR collect them the new way from the first one on? Until"
    " it does, nobody there reads what comes.",
    "providers.NAME.spool_dir": "What lies in the old folders is neither sent nor read: are they"
    " empty?",
    "outbound.read_before_cancel": "Off, a cancellation goes out though somebody may have acted on"
    " what it cancels, and though the record under that number may be another patient's. Which"
    " Receiver cannot be read, and who telephones it?",
    "outbound.target_check_seconds": "At 0, that a service does not take such a request is learnt"
    " from its refusal alone, when whoever referred may have gone. Who reads that?",
    "outbound.cache_hours": "The longer, the later it is seen that a service takes something no"
    " more: its refusal comes first.",
    "outbound.server_errors_limit": "Higher, *unconfirmed* is told later; lower, the telephone"
    " rings more often.",
    "outbound.answer_seconds": "Below the 32 s of the proxy, messages that arrived look lost.",
    "outbound.max_answer_bytes": "A longer answer counts as none: what it acknowledged ends"
    " *unconfirmed*.",
    "outbound.preview_operations": "Which records are written by them, and who has assured that?",
    "inbound.enabled": "Off, no answer comes, and no rejection. How does whoever sends learn that a"
    " patient was turned down?",
    "inbound.answer_within_seconds": "Lower, the EPR has less time for its answer, and more Senders"
    " are told that none came.",
    "inbound.allowed_client_names": "Who is not on it cannot send: neither a patient nor a"
    " rejection. Does the page show nobody who would not get in any more?",
    "inbound.client_ca_file": "As for `inbound.allowed_client_names`.",
    "inbound.max_body_bytes": "What is longer is refused. Which message is so long, and who hears"
    " of its patient?",
    "inbound.longest_slot_search_days": "Whoever looks further ahead is told no slot at all.",
    "inbound.preview_writes": "Others may then change a record by an id alone: who says no?",
    "callers.*": "As for `inbound.allowed_client_names`: whom it shuts out cannot send.",
    "store.minimum_free_bytes": "Below it nothing is received, and nothing taken from the EPR. At"
    " 0, a full disk stops everything. Who makes room, at every hour?",
    "epr.scan_seconds": "What the EPR drops waits as long before it leaves.",
    "epr.max_submission_bytes": "As for `inbound.max_body_bytes`: the EPR is told.",
    "epr.question_alarm_minutes": "Until then nobody but the EPR knows that a Sender was left"
    " without an answer.",
    "timing.CODE.at_its_time": "`goes_on`: who is told twice of one patient? `stops` and `ends`:"
    " who acts when it has ended?",
    "timing.CODE.unread_after_minutes": "How long may what came for a patient lie unread before"
    " anybody else knows?",
    "timing.CODE.answer_within_minutes": "Left out, silence is told by nobody. Is there another"
    " way to notice it?",
    "timing.CODE.*": "Who waits longer for the word that something is late, or has ended?",
}
# What changes nothing of what comes, or of when somebody is told: how the gateway is reached, runs
# and signs. What is wrong with it stops everything, and the page and the log say so.
OF_NO_WEIGHT = frozenset(
    {
        *(
            "node",
            "log_level",
            "status.*",
            "alerts.*",
            "console.*",
            "onboarding.*",
            "store.encrypt*",
            "store.group_limit",
            "store.password_file",
            "retention.answer_days",
            "retention.message_days",
            "retention.conversation_days",
            "retention.quarantine_days",
            "retention.refusal_days",
            "retention.alarm_days",
            "retention.audit_days",
            "retention.nightly",
            "retention.nightly_at",
            "epr.socket_dir",
        ),
        *(f"providers.NAME.{each}" for each in ("ods_code", "name", "software", "key_id")),
        *(f"providers.NAME.{each}" for each in ("api_key", "private_key_file", "former_keys")),
        "providers.NAME.case_number_system",
        *(f"outbound.{each}" for each in ("token_url", "proxy_url", "hosts", "ca_file")),
        *(f"outbound.egress_{each}" for each in ("proxy", "user", "password_file")),
        *(f"outbound.{each}" for each in ("token_required", "requests_per_minute")),
        *(f"outbound.{each}" for each in ("max_in_flight", "max_in_flight_per_receiver")),
        *(f"outbound.{each}_seconds" for each in ("connect", "token", "lease")),
        *(f"inbound.{each}" for each in ("listen", "public_url", "certificate_file")),
        *(f"inbound.{each}" for each in ("private_key_file", "max_connections")),
        *(f"inbound.{each}_seconds" for each in ("handshake", "header", "body", "idle")),
    }
)


def settings() -> Iterator[str]:
    """Yield every setting, by table and name."""
    for name, field in Settings.model_fields.items():
        if name in {"providers", "timing"}:
            continue
        of = field.annotation
        if isinstance(of, type) and issubclass(of, BaseModel):
            yield from (f"{name}.{each}" for each in of.model_fields)
        else:
            yield name
    yield from (f"providers.NAME.{name}" for name in Provider.model_fields)
    yield from (f"timing.CODE.{name}" for name in TimingSettings.model_fields)


def checklist() -> str:
    return table(
        ("Setting", "Before it is changed"),
        ((f"`{name}`", ask) for name, ask in MAY_CHANGE.items()),
    )


CHECKLIST = """\
The sentences are the same for every provider. What a provider changes in its settings changes when
they are said, or whether something comes to it at all. For each row: what is in force
(`bars-gateway config`), who decided it, when, and against which hazard?

Read it through once more whenever the version changes: `CHANGELOG.md` says which sentences did.

- [ ] Each sentence is shown whole on the EPR's screen, to somebody who can act, at every hour.
- [ ] What asks to act now, or to telephone, cannot be missed there, and says whom to telephone.
- [ ] There is a fallback for silence, and whoever reads *overdue* can start it.
- [ ] The telephone numbers of every counterparty are where the sentences are read.
- [ ] Each time that differs from the shipped one has a reason and a name; longer than shipped is a
      patient who waits longer before anybody is told, shorter is a telephone that rings more often.
- [ ] Somebody looks at the status page at least as often as the shortest time above.
"""


KINDS_READ = """\
Every kind, and how the file is called that tells it, where notices come as files (`N` is the
notice's number). Beside a message that came lies `N.message.json`, or `.xml`, as it came; beside
what was answered, `N.answer.json`.
"""
WORDS_READ = """\
What differs between use cases in a word only is printed once below, in the words of one of them.
These are the words of each.
"""
READ = """\
A response says one thing with several elements at once, and its Sender may write them in several
ways. The first row that fits says what it means (`says`). What fits none is *unclear*: it is
delivered, it alarms, and nothing is guessed. `docs/workflows.md` has what it does to a workflow.
"""
TIMES_READ = """\
What follows from them, in words: `docs/timing.md`. A provider may change each for an Application or
a use case (`[timing.a4]`, `[timing.a4t3]`).
"""
OVERTAKEN = """\
A message that is marked with an earlier time than one that came before it (`out_of_order`) is told
in other words, for nobody must act upon it as if it were new.
"""


MOVED_READ = """\
Whoever looks at a request is told how its case stands now, as soon as that differs from what its
outcome, or its notice, told. A change and a cancellation say so once the case is over or in doubt.
What is not in this table reads as it did.
"""
OVERRULED = """\
A response that holds no more says so, and then how the case stands. Here is one by which the other
side had agreed, to what was cancelled since:
"""


ALARMS_READ = """\
The status page, the log (`alarm.raised`) and `bars-gateway alarms` tell whoever operates the
gateway what a person has to see to, beside what the EPR was told of it; the most severe stand
first. Each stays until somebody marks it as handled, or what it is about comes right.
"""
SEEN_READ = """\
Whoever looks is told, too, what is late, owed or not found, by the time at which they look: also
where no gateway runs. Of two records of one request each says so for as long as both may stand, the
one that was taken first, too. And as long as an alarm of the case stands that nothing of this
tells, that somebody has to see to it; `mark-handled` ends that.
"""


def document() -> str:
    return "\n".join(
        [
            INTRODUCTION,
            "## What software looks at\n",
            f"{looked_at()}\n",
            KINDS_READ,
            f"{kinds()}\n",
            "## What a sentence asks\n",
            "Of several together, the most severe counts.\n",
            f"{table(('', 'It asks'), ((a.name.lower(), ASKED[a]) for a in Asks))}\n",
            "## The words\n",
            WORDS_READ,
            f"{words()}\n",
            "## How a response is read\n",
            READ,
            f"{read()}\n",
            "## What others say: responses\n",
            "`says` in the notice; the move is what it does to the workflow.\n",
            f"{responses()}\n",
            OVERTAKEN,
            f"{overtaken()}\n",
            "## What others ask\n",
            f"{requests()}\n",
            f"{questions()}\n",
            "## What is owed, and has not come\n",
            f"{owed()}\n",
            "## How a message of yours ended\n",
            *(
                f"### {state.replace('_', ' ').capitalize()}\n\n{outcomes(state)}\n"
                for state in ("acknowledged", "refused", "unconfirmed", "not_sent", "withdrawn")
            ),
            "### What was read or looked for\n",
            f"{looked_for()}\n",
            "## A message of yours that is not settled\n",
            "Responses of other moves read as `decline` does, in their own words.\n",
            f"{unsettled()}\n",
            "## A case that has moved on\n",
            MOVED_READ,
            f"{moved_on()}\n",
            OVERRULED,
            f"{no_more()}\n",
            SEEN_READ,
            f"{seen()}\n",
            "## What is remarked upon\n",
            "In `remarks` of the notice; said after the sentence of the message itself.\n",
            f"{remarks()}\n",
            "## Times, as shipped\n",
            TIMES_READ,
            f"{times()}\n",
            "Single use cases have their own:\n",
            f"{own_times()}\n",
            "## What the page alarms of\n",
            ALARMS_READ,
            f"{alarms()}\n",
            "## Before a provider changes something\n",
            CHECKLIST,
            f"{checklist()}\n",
        ]
    )


def test_the_page_says_what_the_tables_say() -> None:
    """Whoever approves it approves what is said."""
    assert document() == PAGE.read_text("utf-8")


@pytest.fixture(scope="module")
def printed() -> set[Sentence]:
    """Return every sentence that the page has."""
    document()
    return PRINTED


def test_every_sentence_is_on_the_page(printed: set[Sentence]) -> None:
    """None is said that nobody could have read before."""
    said = {each for situation in everything() for each in sentences(situation)}

    assert set() == {each.text for each in said - printed}


def test_the_checklist_names_settings_that_exist() -> None:
    """Each row is about one at least, and so is what was left out."""
    unknown = {
        key
        for key in (*MAY_CHANGE, *OF_NO_WEIGHT)
        if not any(fnmatchcase(setting, key) for setting in settings())
    }

    assert set() == unknown


def test_the_checklist_has_every_setting_of_clinical_weight() -> None:
    """A new one is in it, or somebody has said that it weighs nothing."""
    forgotten = {
        setting
        for setting in settings()
        if not any(fnmatchcase(setting, key) for key in (*MAY_CHANGE, *OF_NO_WEIGHT))
    }

    assert set() == forgotten


def test_no_setting_is_of_weight_and_of_none() -> None:
    """Whoever reads the list finds one answer."""
    both = {
        setting
        for setting in settings()
        if any(fnmatchcase(setting, key) for key in MAY_CHANGE)
        and any(fnmatchcase(setting, key) for key in OF_NO_WEIGHT)
    }

    assert set() == both


def test_what_a_sentence_asks_is_explained() -> None:
    """Each of them has its words."""
    assert set(Asks) == set(ASKED)


if __name__ == "__main__":
    PAGE.write_text(document(), "utf-8")
