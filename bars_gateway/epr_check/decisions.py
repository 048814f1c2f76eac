"""
How an EPR decided what others wanted of it: bookings, changes, reads. Pure, as `judging` is.

    SeenQuestion: what it was asked, and when it answered ─┐
    SeenReply: what the other organisation was told ───────┴─► right │ wrong │ look │ untried
"""

from bars_gateway.epr_check.findings import CheckTerms, EprResult, Judgement, right_or, some
from bars_gateway.epr_check.sightings import EprSightings, OthersWant, SeenReply

_OK, _NOT_FOUND, _TIMEOUT = 200, 404, 408


def answered(seen: EprSightings, terms: CheckTerms) -> Judgement:
    """Judge whether nobody who asked was left without an answer."""
    if not terms.asks:
        return EprResult.UNTRIED, "the EPR is asked nothing (--no-questions)"
    if not seen.questions and seen.unattended:
        return EprResult.WRONG, "it did not ask for questions: who wanted to book was told 503"
    if not seen.questions:
        return EprResult.UNTRIED, "no question was put"
    never = [each.number for each in seen.questions.values() if each.in_time is None]
    late = [each.number for each in seen.questions.values() if each.in_time is False]
    wrong = [f"nothing that could be used came in answer to {some(never)}"] if never else []
    wrong += [f"answered when nobody waited any more: {some(late)}"] if late else []
    return right_or(wrong, f"all {len(seen.questions)} within their time")


def usable(seen: EprSightings, _terms: CheckTerms) -> Judgement:
    """Judge whether the gateway could take what was answered."""
    if all(each.in_time is None for each in seen.questions.values()) and not seen.refused_answers:
        return EprResult.UNTRIED, "no question was answered"
    told = dict.fromkeys(f"{each.question}: {each.why}" for each in seen.refused_answers)
    wrong = [f"refused was the answer to {some(list(told))}"] if told else []
    return right_or(wrong, "every answer could be used")


def updated(seen: EprSightings, _terms: CheckTerms) -> Judgement:
    """Judge how it decided that something that it has is to be changed."""
    asked = [
        (each, seen.question_of(each.request_id)) for each in _replies(seen, OthersWant.UPDATE)
    ]
    if not any(question for _, question in asked):
        return EprResult.UNTRIED, "nobody could ask for a change"
    wrong, how = [], []
    for reply, question in asked:
        if question is None:
            continue
        how.append("said yes to" if question.document.get("accepted") else "refused")
        if not question.in_time:
            wrong.append(
                f"question {question.number} was not decided in time: they hold to the old"
            )
        elif reply.http_status == _NOT_FOUND:
            wrong.append(
                f"question {question.number} is of what it has collected; it did not find it"
            )
        elif question.is_kept_by_the_epr and question.number not in seen.requests_read:
            wrong.append(f"question {question.number} was said yes to, and what changes never read")
    return right_or(wrong, f"a change was {some(how)} in time")


def asked_in_xml(seen: EprSightings, _terms: CheckTerms) -> Judgement:
    """Judge how it decided what others asked for in XML: it reads that, or says no."""
    found = [seen.question_of(each.request_id) for each in _replies(seen, OthersWant.IN_XML)]
    asked = [each for each in found if each is not None]
    if not asked:
        return EprResult.UNTRIED, "nobody asked for anything in XML"
    wrong = [
        f"question {each.number}, in XML, was not decided in time: who asked got 408"
        for each in asked
        if not each.in_time
    ]
    wrong += [
        f"question {each.number} was said yes to, and the XML never read"
        for each in asked
        if each.is_kept_by_the_epr and each.number not in seen.requests_read
    ]
    how = ["said yes to" if each.document.get("accepted") else "refused" for each in asked]
    return right_or(wrong, f"a booking in XML was {some(how)} in time")


def reads(seen: EprSightings, _terms: CheckTerms) -> Judgement:
    """Judge what others get who look before they book, change or cancel."""
    wanted = (OthersWant.SLOTS, OthersWant.RECORD, OthersWant.PATIENT)
    found = [each for want in wanted for each in _replies(seen, want) if _was_put(each, seen)]
    if not found:
        return EprResult.UNTRIED, "nothing was read"
    late = [each.wants for each in found if each.http_status == _TIMEOUT]
    wrong = [f"not in time: {some(late)}"] if late else []
    wrong += [
        f"{each.wants} was not found when it was read"
        for each in found
        if each.wants is OthersWant.RECORD and each.http_status == _NOT_FOUND
    ]
    wrong += [f"another record was given than {each.wants}" for each in found if not _ours(each)]
    given = [each.wants for each in found if each.http_status == _OK]
    if not wrong and not given:
        look = "others see no slot and no record of yours: does your service say so of itself?"
        return EprResult.LOOK, f"all {len(found)} reads were refused", (look,)
    return right_or(wrong, f"given was: {some(given)}")


def _ours(reply: SeenReply) -> bool:
    return reply.ours or reply.http_status != _OK


def said_no(seen: EprSightings, _terms: CheckTerms) -> Judgement:
    """Judge whether it decides at all: one that says yes to everything keeps no diary."""
    wanted = (OthersWant.NOTHING, OthersWant.SECOND)
    found = [each for want in wanted for each in _replies(seen, want) if _decided(each, seen)]
    if not found:
        return EprResult.UNTRIED, "nothing was asked for that cannot be had, or nobody decided it"
    wrong = [f"it gave {each.wants}" for each in found if each.http_status == _OK]
    return right_or(wrong, f"it refused {some([each.wants for each in found])}")


def _replies(seen: EprSightings, wants: OthersWant) -> list[SeenReply]:
    return [each for each in seen.replies if each.wants is wants]


def _was_put(reply: SeenReply, seen: EprSightings) -> bool:
    """Tell whether the EPR was asked, and not the gateway alone."""
    return seen.question_of(reply.request_id) is not None


def _decided(reply: SeenReply, seen: EprSightings) -> bool:
    question = seen.question_of(reply.request_id)
    return question is not None and bool(question.in_time)
