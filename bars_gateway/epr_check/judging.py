"""
What an EPR did right and wrong, by what was seen at its doors. Pure: sightings in, findings out.

    EprSightings ──RULES, one after the other──► EprFinding: right │ wrong │ look │ untried

*Right* and *wrong* are what the doors show. *Look* is what they cannot show: a notice was taken in
time, and whether anybody was told of it stands on a screen. *Untried* is what did not come up,
for the EPR sent nothing, or goes by the other door.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

from bars_gateway.epr.spool import Sort, sort_of, stem_of
from bars_gateway.epr_check import decisions
from bars_gateway.epr_check.findings import (
    CheckTerms,
    EprFinding,
    EprResult,
    Judgement,
    right_or,
    some,
)
from bars_gateway.epr_check.sightings import Addition, EprSightings, SeenAct, SeenNotice
from bars_gateway.frozen import frozen

HASTE_SECONDS = 10.0  # in which nobody has telephoned: what is sent again by then, a program sends
_MOST_AGAIN = 2  # times that the same refused bytes may come: a person may be puzzled once


_NOTHING_CAME: Judgement = (EprResult.UNTRIED, "no notice lay there for long enough")


@frozen
class CheckRule:
    """Something that an EPR does or not."""

    clause: str
    title: str
    judge: Callable[[EprSightings, CheckTerms], Judgement]
    by_folder: str | None = None  # the clause where notices come by folder, if it is another


def judged(seen: EprSightings, terms: CheckTerms) -> list[EprFinding]:
    """Return what was found, rule by rule."""
    return list(_judged(seen, terms))


def _judged(seen: EprSightings, terms: CheckTerms) -> Iterator[EprFinding]:
    for name, rule in RULES.items():
        result, says, *look = rule.judge(seen, terms)
        clause = rule.clause if terms.by_socket else rule.by_folder or rule.clause
        yield EprFinding(
            rule=name,
            clause=clause,
            title=rule.title,
            result=result,
            says=says,
            look=look[0] if look else (),
        )


def _came(seen: EprSightings, _terms: CheckTerms) -> Judgement:
    if seen.first_at is None:
        return EprResult.WRONG, "nobody came to the folder or to the socket"
    return EprResult.RIGHT, "it was seen"


def _due(seen: EprSightings, terms: CheckTerms) -> list[SeenNotice]:
    """Return the notices that an EPR has had its time for."""
    last = seen.seconds - terms.patience_seconds
    told = [n for n in seen.notices.values() if not n.is_known and n.addition is None]
    return [each for each in told if each.taken or _since(each, seen) <= last]


def _left(notice: SeenNotice) -> str:
    """Return the number of a notice, with those of its files that still lie there."""
    files = f": {some(sorted(notice.lying))}" if notice.lying else ""
    return f"{notice.number}{files}"


def _since(notice: SeenNotice, seen: EprSightings) -> float:
    """Return from when its time to collect counts: what came before it did, waited for it."""
    return max(notice.told_at, seen.first_at or 0.0)


def _waited(notice: SeenNotice, seen: EprSightings) -> float:
    """Return how many seconds a notice that was collected had waited while the gateway ran."""
    return seen.open_for(_since(notice, seen), notice.taken[0])


def _collected(seen: EprSightings, terms: CheckTerms) -> Judgement:
    due = _due(seen, terms)
    if not due:
        return _NOTHING_CAME
    never = [_left(each) for each in due if not each.taken]
    late = [
        f"{each.number} after {_waited(each, seen):.0f} s"
        for each in due
        if each.taken and _waited(each, seen) > terms.patience_seconds
    ]
    left = f"{len(never)} of {len(due)} notices still lie there ({some(never)})"
    wrong = [left] if never else []
    wrong += [f"late: {some(late)}"] if late else []
    slowest = max((_waited(each, seen) for each in due if each.taken), default=0.0)
    return right_or(wrong, f"all {len(due)} notices, the slowest after {slowest:.1f} s")


def _kept(seen: EprSightings, terms: CheckTerms) -> Judgement:
    taken = [each for each in seen.notices.values() if each.taken]
    if not taken:
        return EprResult.UNTRIED, "nothing was collected"
    lost = [each.number for each in taken if each.lost]
    how = (
        "collected before its message and answer were read" if terms.by_socket else "deleted unread"
    )
    wrong = [f"{how}, and so lost: {some(lost)}"] if lost else []
    unread = [
        each.number
        for each in seen.questions.values()
        if each.is_kept_by_the_epr and each.number not in seen.requests_read
    ]
    if unread:
        wrong.append(
            f"question {some(unread)} was said yes to, and its request never read: what was asked"
            " for comes as no notice (questions-9), and is lost"
        )
    return right_or(
        wrong, f"all {len(taken)} were read, or moved whole; what was stored is not seen"
    )


def _acted_last(seen: EprSightings, terms: CheckTerms) -> Judgement:
    several = [each for each in seen.notices.values() if each.taken]
    if terms.by_socket or not several:
        return EprResult.UNTRIED, "nothing was taken from the folder"
    first = [each.number for each in several if each.acted_first]
    wrong = [f"taken away before the other files of its number: {some(first)}"] if first else []
    return right_or(wrong, "whoever stops between finds it again")


def _in_order(seen: EprSightings, _terms: CheckTerms) -> Judgement:
    by_workflow: dict[object, list[tuple[float, int]]] = {}
    for each in seen.notices.values():
        if each.taken and each.document and each.addition is None:
            found = by_workflow.setdefault(each.document["workflow_id"], [])
            found.append((each.taken[0], each.number))
    several = [sorted(found) for found in by_workflow.values() if len(found) > 1]
    if not several:
        return EprResult.UNTRIED, "of no workflow came two"
    wrong = [
        f"{later} was taken before {number}"
        for found in several
        for (_, later), (_, number) in pairwise(found)
        if later > number
    ]
    return right_or(wrong[:3], f"in each of {len(several)} workflows")


def _survived(seen: EprSightings, terms: CheckTerms) -> Judgement:
    again = [each for each in seen.notices.values() if each.repeated_at is not None]
    if not again:
        return EprResult.UNTRIED, "no notice was collected that could be given again"
    wrong, looks = [], []
    for each in again:
        assert each.repeated_at is not None
        if len(each.taken) < 2:  # noqa: PLR2004
            wrong.append(f"{each.number} was given again, and not collected again")
        since = [n for n in _due(seen, terms) if n.told_at > each.repeated_at and n is not each]
        if since and not any(n.taken for n in since):
            wrong.append(f"nothing was collected after {each.number} was given again")
        looks.append(f"notice {each.number} came twice: is what it says there once? {_means(each)}")
    text = f"{some([each.number for each in again])} was collected again, and what came after it"
    return (*right_or(wrong, text), tuple(looks))


def _crashed(seen: EprSightings, terms: CheckTerms) -> Judgement:
    """Judge what became of a notice that was not collected to its end."""
    found = [each for each in seen.notices.values() if each.crashed_at is not None]
    if not found:
        return EprResult.UNTRIED, "no referral came that a crash could meet"
    ways = (
        "the gateway did not hear that it was collected"
        if terms.by_socket
        else "its last file lay there alone, as whoever is killed leaves it"
    )
    wrong, looks = [], []
    for each in found:
        assert each.crashed_at is not None
        if not any(at > each.crashed_at for at in each.taken):
            wrong.append(f"notice {each.number} was not collected any more: {ways}")
        looks.append(
            f"was your EPR killed and started again at notice {each.number}, and is what it says"
            f" there once? {_means(each)}"
        )
    text = f"{some([each.number for each in found])} was collected: {ways}"
    return (*right_or(wrong, text), tuple(looks))


def _added(addition: Addition) -> Callable[[EprSightings, CheckTerms], Judgement]:
    """Return what judges how an EPR takes what a later version may add."""

    def judge(seen: EprSightings, _terms: CheckTerms) -> Judgement:
        found = [each for each in seen.notices.values() if each.addition is addition]
        if not found:
            return EprResult.UNTRIED, "the check did not come so far"
        wrong = [
            f"{each.number}, with {addition}, was not collected" for each in found if not each.taken
        ]
        looks = tuple(f"who was shown this, and where? {_means(each)}" for each in found)
        return (*right_or(wrong, f"a notice with {addition} was collected"), looks)

    return judge


def _in_xml(seen: EprSightings, terms: CheckTerms) -> Judgement:
    """Judge what became of messages whose Sender writes XML."""
    found = [n for n in _due(seen, terms) if n.document and _is_xml(n)]
    if not found:
        return EprResult.UNTRIED, "nothing came in XML for long enough"
    how = "collected before its XML was read" if terms.by_socket else "its XML was deleted unread"
    wrong = [f"{_left(each)} was not collected" for each in found if not each.taken]
    wrong += [f"{each.number}: {how}" for each in found if each.taken and each.lost]
    looks = tuple(
        f"is what stands in this XML there, or that your EPR cannot read it? {_means(each)}"
        for each in found
    )
    return (*right_or(wrong, f"{some([n.number for n in found])} was collected"), looks)


def _is_xml(notice: SeenNotice) -> bool:
    return notice.says(kind="message") and "xml" in str(notice.document.get("media_type"))


def _means(notice: SeenNotice) -> str:
    return f"“{notice.document.get('means', '')}” ({notice.document.get('request_id', '')})"


def _renamed(seen: EprSightings, _terms: CheckTerms) -> Judgement:
    if not seen.drops:
        return EprResult.UNTRIED, "no file was handed over"
    in_place = Counter(each.folder for each in seen.drops if each.in_place)
    wrong = [f"{count} written in place in {folder}" for folder, count in in_place.items()]
    return right_or(wrong, f"all {len(seen.drops)} files came by rename")


def _named_once(seen: EprSightings, _terms: CheckTerms) -> Judgement:
    names = Counter(each.name for each in seen.drops if each.folder == "outbox/new")
    if not names:
        return EprResult.UNTRIED, "no message was handed over by folder"
    twice = sum(count > 1 for count in names.values())
    wrong = [f"{twice} names were used more than once"] if twice else []
    return right_or(wrong, f"{len(names)} names, each once")


def _envelope_first(seen: EprSightings, _terms: CheckTerms) -> Judgement:
    messages: dict[str, float] = {}
    late = count = 0
    for drop in seen.drops:
        if drop.folder == "outbox/new" and sort_of(drop.name) is Sort.MESSAGE:
            messages.setdefault(stem_of(drop.name), drop.at)
        elif drop.folder == "outbox/new" and sort_of(drop.name) is Sort.ENVELOPE:
            count += 1
            late += stem_of(drop.name) in messages
    if not count:
        return EprResult.UNTRIED, "no envelope was handed over"
    return right_or([f"{late} came after their messages"] if late else [], f"all {count}")


def _fates_read(seen: EprSightings, terms: CheckTerms) -> Judgement:
    last = seen.seconds - terms.patience_seconds
    due = [each for each in seen.fates if each.read or each.at <= last]
    if not due:
        return EprResult.UNTRIED, "no message was handed over by folder"
    receipts = sum(not each.read for each in due if not each.refused)
    reasons = sum(not each.read for each in due if each.refused)
    wrong = [f"{receipts} receipts were never read"] if receipts else []
    wrong += [f"{reasons} reasons were never read: nobody knows why"] if reasons else []
    return right_or(wrong, f"all {len(due)} were read")


def _refusal_shown(seen: EprSightings, _terms: CheckTerms) -> Judgement:
    refused = len(list(seen.refused_fingerprints()))
    if not refused:
        return EprResult.UNTRIED, "no message was refused at the door"
    look = "a message was refused at the door: was its sender shown why, and what to correct?"
    return EprResult.LOOK, f"{refused} refused; who was shown why is not seen", (look,)


def _same_again(seen: EprSightings, _terms: CheckTerms) -> Judgement:
    cut = next((each for each in seen.submissions if each.http_status is None), None)
    if cut is None:
        return EprResult.UNTRIED, "no message was posted whose answer could be cut off"
    later = [each for each in seen.submissions if each.at > cut.at]
    if any(each.fingerprint == cut.fingerprint for each in later):
        return EprResult.RIGHT, "its answer was cut off, and the same bytes came again"
    if later:
        return EprResult.WRONG, (
            "its answer was cut off, and other bytes came next: there may be two of it, or the"
            " first is forgotten"
        )
    return EprResult.WRONG, "its answer was cut off, and it never came again"


def _not_hammered(seen: EprSightings, _terms: CheckTerms) -> Judgement:
    refused = Counter(seen.refused_fingerprints())
    if not refused:
        return EprResult.UNTRIED, "no message was refused at the door"
    often = max(refused.values())
    times = f"the same refused bytes came {often} times"
    wrong = [times] if often > _MOST_AGAIN else []
    once = "nothing that was refused came again unchanged"
    return right_or(wrong, once if often == 1 else f"{times}; {_MOST_AGAIN} are passed over")


def _back(seen: EprSightings, terms: CheckTerms) -> Judgement:
    again = seen.restarted_at
    if again is None:
        return EprResult.UNTRIED, "the gateway was not restarted"
    due = [each for each in _due(seen, terms) if each.told_at >= again]
    if seen.last_at is not None and seen.last_at > again:
        return EprResult.RIGHT, "it went on when the gateway was there again"
    if not terms.by_socket and not due:
        return EprResult.UNTRIED, "nothing came after the restart"
    return EprResult.WRONG, "nobody came any more when the gateway was there again"


def _told(state: str) -> Callable[[EprSightings, CheckTerms], Judgement]:
    """Return what judges how an EPR takes an outcome of that state."""
    words = state.replace("_", " ")

    def judge(seen: EprSightings, terms: CheckTerms) -> Judgement:
        ended = [each for each in seen.notices.values() if each.says(kind="outcome", state=state)]
        found = [each for each in ended if not each.says(move="update")]  # see `_own_change`
        if not found:
            return EprResult.UNTRIED, f"no message of its ended as {words}"
        return _acted_on(found, seen, terms)

    return judge


def _overdue(seen: EprSightings, terms: CheckTerms) -> Judgement:
    found = [each for each in seen.notices.values() if each.says(kind="overdue")]
    if not found:
        return EprResult.UNTRIED, "no answer was owed to it, or by it, for too long"
    return _acted_on(found, seen, terms)


def _amended(seen: EprSightings, terms: CheckTerms) -> Judgement:
    found = [each for each in seen.notices.values() if each.says(kind="amended")]
    if not found:
        return EprResult.UNTRIED, "no answer to it was followed by another"
    lost = [each.number for each in found if each.lost]
    if lost:
        return EprResult.WRONG, f"what it says now was never read: {some(lost)}"
    return _acted_on(found, seen, terms)


def _own_change(seen: EprSightings, terms: CheckTerms) -> Judgement:
    """Judge what it does about a change that it has sent: what was sent first stands."""
    if seen.change_asked is not None and _sent_anew(seen, *seen.change_asked):
        return EprResult.WRONG, (
            "asked for a change of it, it sent the request once more, under another Bundle.id: the"
            " Receiver has two of it"
        )
    found = [each for each in seen.notices.values() if each.says(kind="outcome", move="update")]
    if not found:
        return EprResult.UNTRIED, "it sent no change of what it had sent"
    return _acted_on(found, seen, terms)


def _sent_anew(seen: EprSightings, begun: float, ended: float | None) -> bool:
    """Tell whether something that was sent before came meanwhile as another record."""
    told = [
        each.told_at
        for each in seen.notices.values()
        if each.says(kind="outcome") and "other_record" in each.document.get("remarks", ())
    ]
    last = seen.seconds if ended is None else ended
    return any(begun <= at <= last for at in [*told, *seen.built_anew_at])


def _acted_on(found: Sequence[SeenNotice], seen: EprSightings, terms: CheckTerms) -> Judgement:
    """Judge what became of notices upon which a person has to act."""
    due = [each for each in _due(seen, terms) if each in found]
    late = [
        _left(each)
        for each in due
        if not each.taken or _waited(each, seen) > terms.patience_seconds
    ]
    hasty = [each.number for each in found if _sent_in_haste(each, seen)]
    anew = [each.number for each in found if _came_anew(each, seen)]
    wrong = [f"not collected in time: {some(late)}"] if late else []
    wrong += [f"sent again at once, by no person: {some(hasty)}"] if hasty else []
    wrong += [f"built anew at once, by no person: {some(anew)}"] if anew else []
    if wrong:
        return EprResult.WRONG, "; ".join(wrong)
    if not due:
        return EprResult.UNTRIED, "it came too late in the check to be judged"
    recorded = [act.what for each in due for act in _acts_upon(each, seen, HASTE_SECONDS)]
    if recorded:
        return EprResult.RIGHT, f"collected, and somebody acted: {some(recorded)}"
    looks = tuple(f"who was shown this, and where? {_means(each)}" for each in due)
    return EprResult.LOOK, f"collected in time ({len(due)}); who was shown it is not seen", looks


def _acts_upon(
    notice: SeenNotice, seen: EprSightings, not_before: float = 0.0
) -> Iterator[SeenAct]:
    """Yield what was done about it, by a person who had so many seconds to read it."""
    request_id = str(notice.document.get("request_id"))
    for act in seen.acts:
        read_for = seen.open_for(notice.told_at, act.at)
        if notice.taken and read_for >= not_before and request_id in act.what + act.names:
            yield act


def _sent_in_haste(notice: SeenNotice, seen: EprSightings) -> bool:
    """Tell whether the message went out again before anybody can have telephoned."""
    if not notice.taken or notice.document.get("kind") != "outcome":
        return False
    until = notice.taken[0] + HASTE_SECONDS
    fingerprint = notice.document.get("fingerprint")
    posted = any(
        notice.taken[0] < at <= until and given == fingerprint for at, given in seen.handed()
    )
    ordered = any(
        act.at <= until and act.what.rpartition("/")[2] in {"retry", "resend"}
        for act in _acts_upon(notice, seen)
    )
    return posted or ordered


def _came_anew(notice: SeenNotice, seen: EprSightings) -> bool:
    """Tell whether the request came under another Bundle.id, before anybody can have decided it."""
    if not notice.taken or notice.document.get("kind") != "outcome":
        return False
    since, until = notice.taken[0], notice.taken[0] + HASTE_SECONDS
    before = {given for at, given in seen.handed() if at <= since}
    new = {given for at, given in seen.handed() if since < at <= until} - before
    if any(since < at <= until for at in seen.built_anew_at) or new & _other_records(seen):
        return True
    asked = [at for at in seen.asked_at if at <= until]
    asked_since = sum(at >= notice.told_at for at in asked)
    return bool(asked) and len(new) > asked_since and len(new | before) > len(asked)


def _other_records(seen: EprSightings) -> set[str]:
    """Return the fingerprints of messages that the gateway has told of as another record."""
    told = [each.document for each in seen.notices.values()]
    return {
        str(each.get("fingerprint")) for each in told if "other_record" in each.get("remarks", ())
    }


RULES: Mapping[str, CheckRule] = {
    "came": CheckRule("doors-3", "Came to its gateway", _came),
    "collected": CheckRule("notices-8", "Collected every notice, soon", _collected),
    "kept": CheckRule("socket-2", "Read what it collected", _kept, "folder-2"),
    "acted_last": CheckRule("folder-2", "Took the file to act on away last", _acted_last),
    "in_order": CheckRule("notices-4", "Took them in order", _in_order),
    "in_xml": CheckRule("doors-2", "Took what came in XML", _in_xml),
    "repeats": CheckRule("notices-3", "Survived a notice that came twice", _survived),
    "crash": CheckRule(
        "socket-2", "Survived a crash before it had collected", _crashed, "folder-2"
    ),
    "new_member": CheckRule("versions-4", "Passed over a new member", _added(Addition.MEMBER)),
    "new_kind": CheckRule("versions-4", "Collected a new kind of notice", _added(Addition.KIND)),
    "renamed": CheckRule("messages-1", "Handed files over by rename", _renamed),
    "named_once": CheckRule("messages-2", "Used each name once", _named_once),
    "envelope_first": CheckRule(
        "messages-3", "Put the envelope before its message", _envelope_first
    ),
    "fates_read": CheckRule("messages-4", "Read receipts and reasons", _fates_read),
    "refusal_shown": CheckRule("messages-9", "Showed why a message was refused", _refusal_shown),
    "same_again": CheckRule("messages-6", "Posted the same bytes after a lost answer", _same_again),
    "not_hammered": CheckRule("messages-9", "Did not repeat what was refused", _not_hammered),
    "answered": CheckRule("questions-1", "Answered questions in time", decisions.answered),
    "usable": CheckRule("questions-7", "Gave answers that can be used", decisions.usable),
    "asked_in_xml": CheckRule(
        "questions-1", "Decided what was asked in XML", decisions.asked_in_xml
    ),
    "updated": CheckRule("questions-1", "Decided a change of what it has", decisions.updated),
    "reads": CheckRule("questions-6", "Answered reads", decisions.reads),
    "said_no": CheckRule("questions-8", "Refused what cannot be had", decisions.said_no),
    "back": CheckRule("doors-3", "Went on after the gateway's restart", _back),
    "refused": CheckRule("never-1", "Acted on *refused*", _told("refused")),
    "own_change": CheckRule("never-1", "Acted on a *change* of its own, refused", _own_change),
    "not_sent": CheckRule("never-1", "Acted on *not sent*", _told("not_sent")),
    "unconfirmed": CheckRule("never-1", "Acted on *unconfirmed*", _told("unconfirmed")),
    "amended": CheckRule("notices-9", "Showed a second answer beside the first", _amended),
    "overdue": CheckRule("notices-9", "Acted on *overdue*", _overdue),
}
