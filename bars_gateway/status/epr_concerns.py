"""What the EPRs do not take, ask or hand over as they should: their part of the status page."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from bars_gateway.model.nodes import Node
from bars_gateway.model.readings import Overview
from bars_gateway.permissions import OPEN_ELSEWHERE, cure_of_stalled
from bars_gateway.status.ages import lasting
from bars_gateway.status.concern import TELEPHONE, Concern, ConcernKind, of_provider, some
from bars_gateway.status.running import Lying, RuntimeState
from bars_gateway.store.nodes import folder_lease
from bars_gateway.store.readings import EprCondition, LyingRefusals, Unread

_Lying = TypeVar("_Lying", Unread, LyingRefusals)
STOPPED_ASKING = timedelta(minutes=2)  # longer than an EPR may wait for a question at a time
LYING_SECONDS = 30.0  # an EPR may be about to give a file its mode
_TAKE = (
    "Nobody there may have read what came, or what became of what was sent. See why the EPR does"
    " not take it, and telephone whoever it is for."
)
_CORRECT = (
    "Whoever wrote it may believe that it was sent: telephone what cannot wait. The reason beside"
    " each file says what is wrong, and whether anything was sent. Have it corrected and handed"
    " over under another name, and see why the EPR does not show refusals; take both files away"
    " once somebody has dealt with them."
)
_ASK = (
    "Whoever wants a decision from it gets 503. See whether it is running and reaches the socket."
)
_STALLED = "Whatever is to go there waits, and is kept."


def is_one_file(reason: str) -> bool:
    """Tell whether one file alone stands still for that *reason*, and all others go on."""
    return reason in OPEN_ELSEWHERE


def stands_still(folder: str, reason: str) -> str:
    """Say that a folder stands still, or one file in it."""
    return f"{'a file in ' if is_one_file(reason) else ''}{folder} stands still: {reason}"


def stalled(folders: Mapping[str, str]) -> Iterator[Concern]:
    """Yield the folders of EPRs that stand still, each with its cure."""
    for folder, reason in folders.items():
        cure = cure_of_stalled(reason)
        yield Concern(
            kind=ConcernKind.FOLDER_STALLED,
            about=folder,
            name=folder,
            text=stands_still(folder, reason),
            advice=cure if is_one_file(reason) else f"{cure} {_STALLED}",
        )


def not_taken(lying: Sequence[Lying]) -> Iterator[Concern]:
    """Yield what an EPR has dropped and the gateway cannot take, by its cause."""
    for each in lying:
        if each.seconds >= LYING_SECONDS:
            yield Concern(
                kind=ConcernKind.FILE_NOT_TAKEN,
                about=f"{each.folder} {each.means}",
                name=each.folder,
                text=f"{each.count} in {each.folder} not taken, the first for"
                f" {lasting(each.seconds)}: {each.means}",
                advice=f"{TELEPHONE} {each.cure[0].upper()}{each.cure[1:]}.",
            )


def not_attending(now: datetime, running: RuntimeState) -> list[Concern]:
    """Return what EPRs leave lying, and which of them ask no more, most severe first."""
    return [*_refused(now, running), *_unread(now, running), *_not_asking(now, running)]


def _refused(now: datetime, running: RuntimeState) -> list[Concern]:
    """Return what was refused to an EPR and lies there for too long, the oldest first."""
    return [
        Concern(
            kind=ConcernKind.REFUSAL_UNREAD,
            about=f"{provider} {each.use_case}",
            name=f"{provider}, {each.use_case}" if each.use_case else provider,
            text=f"{some(each.count, 'file')} of {each.use_case or 'no known use case'} refused to"
            f" the EPR of {provider}, and still in its outbox/refused: the oldest since"
            f" {each.since:%d %b %H:%M} UTC",
            advice=_CORRECT,
        )
        for provider, each in _late(now, ((epr.provider, epr.refused) for epr in running.eprs))
    ]


def _late(
    now: datetime, lying: Iterable[tuple[str, Sequence[_Lying]]]
) -> Sequence[tuple[str, _Lying]]:
    """Return what has lain for longer than its use case allows, and for whom, the oldest first."""
    late = [
        (provider, each)
        for provider, found in lying
        for each in found
        if now - each.since >= each.late_after
    ]
    return sorted(late, key=lambda found: found[1].since)


def _unread(now: datetime, running: RuntimeState) -> list[Concern]:
    """Return what lies for an EPR for longer than its use case allows, the oldest first."""
    return [
        Concern(
            kind=ConcernKind.NOTICE_UNREAD,
            about=f"{provider} {each.use_case}",
            name=f"{provider}, {each.use_case}" if each.use_case else provider,
            text=f"The EPR of {provider} has not taken {some(each.count, 'notice')} of"
            f" {each.use_case or 'no use case'}, the oldest since {each.since:%d %b %H:%M} UTC"
            + _nobody_writes(running.nodes, provider),
            advice=_TAKE,
            notices=each.oldest,
            more=each.count - len(each.oldest),
        )
        for provider, each in _late(now, ((epr.provider, epr.unread) for epr in running.eprs))
    ]


def _nobody_writes(nodes: Sequence[Node], provider: str) -> str:
    """Say that the gateway that had the EPR's folder is away; empty: it is not, or none had it."""
    having = [each for each in nodes if folder_lease(provider) in each.leases]
    if not having or not all(each.is_away for each in having):
        return ""
    return (
        f". No living gateway writes into its folder: {having[0].name} did, and is away. Start that"
        " one again, or let the EPR collect them from the socket of this gateway"
    )


def _not_asking(now: datetime, running: RuntimeState) -> list[Concern]:
    """Return the EPRs that are to ask for questions, and do not."""
    return [
        of_provider(
            ConcernKind.EPR_NOT_ASKING,
            epr.provider,
            f"The EPR of {epr.provider} {_since(epr, running.started_at)}",
            _ASK,
        )
        for epr in running.eprs
        if epr.asks and epr.since_asked(running.started_at, now) > STOPPED_ASKING
    ]


def _since(epr: EprCondition, started_at: datetime) -> str:
    if epr.asked_at is None:
        started = f"{started_at:%d %b %H:%M} UTC"
        return f"has not asked for questions since the gateway started, {started}"
    return f"has stopped asking for questions: last at {epr.asked_at:%d %b %H:%M} UTC"


def questions(overview: Overview) -> list[Concern]:
    """Return that Senders were told that no answer came, and the EPR has not answered yet."""
    waiting = sum(found.late for found in overview.questions_open.values())
    if not waiting:
        return []
    text = f"{some(waiting, 'question')} without an answer: the Sender was told that none came"
    advice = (
        "See that the EPR answers: nobody else can. If that takes long, find out what was done, and"
        " telephone the Sender. Below is what each asks, and of which conversation."
    )
    return [Concern(kind=ConcernKind.QUESTION_LATE, text=text, advice=advice)]
