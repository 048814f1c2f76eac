"""
What whoever submitted a message does about its refusal, by the rule that it was refused by.

    Issues ──cure_of──► one sentence or more: the `cure` of a refusal

What breaks a rule of the content is corrected, and submitted again; that is the most. What is over,
was taken before, or is told by telephone alone is not: "correct it" would be a loop, or a second
record of the patient. Where one issue of several ends it, what could be corrected of the others is
not said: it would lead nowhere. The texts are for people, and no part of the contract.
"""

from collections.abc import Mapping, Sequence

from bars_gateway.standard.issues import Issue

OF_A_MESSAGE = (
    "Correct what the issues name, and submit the message again (by folder, under a new name)."
)
OF_A_MOVE = (
    "Correct what the issues name, and ask for the move again (by folder, under a new name):"
    " nothing was taken, so submission_id may stay the same."
)
# With these nothing is submitted again.
_ENDS: Mapping[str, str] = {
    "E04": "Submit nothing again by a program: a person decides, and the issue says what there is.",
    "E05": "Do not submit it again: refer by other means.",
    "E11": "See first how the message stands that was taken: request_id names it. Do not ask again"
    " for what it says; only what is to be said besides has a submission_id of its own.",
    "G01": "Do not submit it again. Make a new request, or telephone.",
    "G02": "Do not submit it again: there is nothing left to cancel. Telephone if somebody is on"
    " the way all the same.",
    "G03": "Do not submit it again. Telephone if somebody is still on the way, or the patient needs"
    " something that was found.",
    "G04": "Do not submit it again. Telephone if the last word does not hold any more, or send"
    " another final response.",
    "G05": "Do not submit it again: cancel, and send a new request.",
    "G06": "Do not submit it again: cancel, and send a new request.",
    "G07": "Do not submit it again. Telephone if somebody has seen to the patient after all.",
    "G08": "Do not submit it again: tell by telephone what has changed.",
    "G09": "Do not submit it again: conclude it, and say what was found.",
    "G11": "Do not submit it again: telephone whoever referred.",
    "G12": "Do not submit it again: telephone the broker.",
    "G15": "Do not submit it again: cancel, and send a new request.",
    "C01": "Submit a whole Bundle in place of the move.",
    "C02": "Submit a whole Bundle in place of the move.",
}
_AGAIN: Mapping[str, str] = {
    "B05": "Give the message a Bundle.id of its own, and submit it again.",
    "C04": "Read the record first, or wait for the notice reconciled; then ask for the move again.",
    "E01": "Correct the envelope or the headers, and submit both again: by folder, the envelope"
    " first, under a name that was never used.",
    "E02": "Attach less, or have the limit raised; the same bytes are refused again.",
    "E03": "Submit the same again under a Content-Type, a Content-Encoding or the ending of a name"
    " that is known here, and says what it is.",
    "E06": "Follow your own fallback, and telephone. Only where the time is wrong: correct it, and"
    " submit the message again.",
    "E07": "Submit the same bytes again: what was taken already is never sent twice. If they are"
    " refused again, telephone the operator of the gateway.",
    "G14": "Find out first whose it is. Then do what the issue says.",
    "H04": "Leave correlation_id out, and submit the message again.",
}


def cure_of(issues: Sequence[Issue], otherwise: str = OF_A_MESSAGE) -> str:
    """Return what to do about errors; *otherwise* is for those of the content."""
    ends = [_ENDS[issue.rule] for issue in issues if issue.rule in _ENDS]
    cures = ends or [_AGAIN.get(issue.rule, otherwise) for issue in issues]
    return " ".join(dict.fromkeys(cures)) or otherwise
