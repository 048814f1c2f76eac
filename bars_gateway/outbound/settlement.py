"""
What a verdict leads to: a fate, or another try and when.

    Judgement + Claim ──settlement_of──► Settled │ TryAgain        attempt ──backoff──► pause

Decisions: D-500s, D-unconfirmed, D-clinical-age.
"""

import random
from dataclasses import replace
from datetime import datetime, timedelta

from bars_gateway.model.messages import Claim, OutboundState, Settled, Settlement, TryAgain
from bars_gateway.standard.timing import Timing
from bars_gateway.standard.verdict import KEPT_OUT, Answer, Before, Fault, Judgement, Verdict

PAUSE_FOR_OUR_TROUBLE = timedelta(seconds=60)  # a token or registration that is refused
ERRORS_FOR_LONG = timedelta(hours=1)
ACKNOWLEDGED = Settled(state=OutboundState.ACKNOWLEDGED)
_MAX_DOUBLINGS = 30  # beyond it the pause is the longest anyway, and 2**n would overflow


def settlement_of(
    judgement: Judgement,
    claim: Claim,
    now: datetime,
    *,
    pause: timedelta,
    pause_for_our_trouble: timedelta = PAUSE_FOR_OUR_TROUBLE,
    server_errors_limit: int,
    acknowledged: Settled = ACKNOWLEDGED,
) -> Settlement:
    """Return what a verdict leads to: final, or another try after *pause*."""
    unconfirmed = Settled(state=OutboundState.UNCONFIRMED)
    if claim.before is Before.FOREIGN and _had_its_chance(judgement):
        return unconfirmed
    match judgement.verdict:
        case Verdict.ACKNOWLEDGED:
            return acknowledged
        case Verdict.UNCONFIRMED:
            return unconfirmed
        case Verdict.REFUSED:
            return Settled(state=OutboundState.REFUSED)
        case Verdict.UNAUTHORIZED | Verdict.FORBIDDEN:
            pause = pause_for_our_trouble
        case Verdict.RETRY_LIMITED:
            if claim.server_errors + 1 >= server_errors_limit:
                return unconfirmed
        case Verdict.RETRY:
            pass
    again = now + pause
    return TryAgain(at=again) if again < claim.give_up_at else _last_try(claim, now, unconfirmed)


def weighed(
    judgement: Judgement, claim: Claim, now: datetime, *, others_answered: bool
) -> Judgement:
    """
    Return what a 500 counts for: as 503, unless it is about this message.

    The proxy says 500 for itself as well, to every message, for as long as its own trouble lasts.
    So one counts only if the Receiver *others_answered* since the attempt before this one, or if
    the message has met them for long.
    """
    for_long = claim.first_error_at is not None and now - claim.first_error_at >= _for_long(claim)
    if not judgement.is_server_error or others_answered or for_long:
        return judgement
    return replace(judgement, verdict=Verdict.RETRY)


def _for_long(claim: Claim) -> timedelta:
    return min(ERRORS_FOR_LONG, (claim.give_up_at - claim.created_at) / 2)


def _had_its_chance(judgement: Judgement) -> bool:
    """Tell whether this was the one retry that an answer about somebody else gets, and no proof."""
    asked_again = judgement.verdict in {Verdict.RETRY, Verdict.RETRY_LIMITED}
    return asked_again and judgement.row not in KEPT_OUT


def is_too_much(answer: Answer, judgement: Judgement) -> bool:
    """Tell whether the platform, and not a Receiver, wants fewer requests of us."""
    asks = answer.status == 429 or judgement.row == "quota-as-500"  # noqa: PLR2004
    return asks and judgement.fault is not Fault.REC


def _last_try(claim: Claim, now: datetime, unconfirmed: Settled) -> Settlement:
    """Return a try just before the deadline, where there is time for one."""
    at = claim.give_up_at - timedelta(seconds=1)
    return TryAgain(at=at) if at > now else unconfirmed


def backoff(timing: Timing, attempt: int, rng: random.Random) -> timedelta:
    """Return the pause after that attempt: doubling, with jitter, up to the longest."""
    doublings: int = 2 ** min(attempt - 1, _MAX_DOUBLINGS)
    longest = min(timing.first_retry * doublings, timing.longest_retry)
    return longest * rng.uniform(0.5, 1.0)
