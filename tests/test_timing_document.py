"""
`docs/timing.md` says what the tables say, for the safety officer who approves them.

To print it again after a change of the tables:

    .venv/bin/python tests/test_timing_document.py
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path

from bars_gateway.outbound.dispatcher import SHARES
from bars_gateway.outbound.egress import LONGEST_RETRY_AFTER
from bars_gateway.standard.applications import APPLICATIONS, USE_CASE_NAMES, Answers
from bars_gateway.standard.timing import (
    FARTHEST,
    TIMINGS,
    AtItsTime,
    Timing,
    shipped_timing,
)

PAGE = Path(__file__).parent.parent / "docs" / "timing.md"

BEGINS = """\
# How long a message is tried, and when somebody is told

<!-- Printed from the code by tests/test_timing_document.py. -->

Shipped defaults: **a provider's safety officer approves them**, and may change each one under
`[timing.a4]` and its like, for an Application or for one use case (`config/bars-gateway.toml`
says what each is for). A message that names no use case is treated as one of Application 3.

The clinical time is `needed_by` of the envelope, else `occurrencePeriod.end` of the
ServiceRequest, else the start of the Appointment. It ends requests and updates only.
**Cancellations and responses are never refused or stopped by it**: they go out late, and are
marked as late. Nothing that comes in is refused for its time.
"""
MEANINGS = {
    AtItsTime.STOPS: (
        "It ends before its time, less the lead. Once its time has passed it is refused at the"
        " EPR's door (`E06`)."
    ),
    AtItsTime.ENDS: (
        "It ends before its time, less the lead. One that is late already is still tried for"
        " {least}."
    ),
    AtItsTime.GOES_ON: (
        "There is no lead: it goes on past its time, and the EPR is told when that passes."
    ),
}
ENDS = """\
The lead is five minutes, or a quarter of what is left when the message is submitted, whichever is
less: eight minutes before its time, it is tried for six. *Delayed* is told at the time above, or
with half of its time to go where that is earlier, and once more (remark `past_its_time`) when the
clinical time of a message passes that goes on beyond it. The operator is told then as well
(`message.waiting`), where the message is the oldest that waits for its Receiver, and else once one
has waited for five minutes. A message that is held ends at its time all the same, and its `delayed`
notice says that it is held (remark `held`).

Where an answer says when to come back (`Retry-After`), that is waited for where it is longer than
the pause, but for {longest_wait} at most, and for no more than 1/{shares} of the time that is left:
the page of a device says the same hour of everything.

Where no POST began, it ends as *not sent*, else as *unconfirmed*. Past its time, a request or
update is sent again by `release`, `retry` or `resend` only with `--after-its-time`, and the audit
trail says who wanted that and why. It is then tried as if it had no clinical time.

An update to a nearer time counts from when it is submitted: the answer is overdue by the new
time, and what waits before the update goes out as urgently and ends as early. One to a later time
counts once it is acknowledged. A ServiceRequest of priority `urgent`, `asap` or `stat` goes out
before what is routine.

A time of the year 1, or more than {years} years away, is taken as none (warning `R04E`),
wherever it is written; so is a date without its time of day (`R04D`).

## When an answer is owed

"""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def said(time: timedelta) -> str:
    seconds = time.total_seconds()
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size and not seconds % size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def limit(timing: Timing) -> str:
    longest = said(timing.give_up_with_time_after)
    if timing.at_its_time is AtItsTime.GOES_ON:
        return f"{said(timing.give_up_after)}; {longest} where needed in that or later"
    if timing.at_its_time is AtItsTime.STOPS:
        return f"its time less the lead; {longest} at most"
    return (
        f"its time less the lead; {longest} at most, bookings {said(timing.give_up_booking_after)}"
    )


def tried() -> str:
    return table(
        ("Application", "First retry, longest", "Delayed", "With a clinical time", "Without one"),
        (
            (
                f"`{code}` {APPLICATIONS[code].name}",
                f"{said(timing.first_retry)}, {said(timing.longest_retry)}",
                said(timing.delayed_after),
                limit(timing),
                said(timing.give_up_after),
            )
            for code, timing in TIMINGS.items()
        ),
    )


def past() -> str:
    rows = []
    for meaning, text in MEANINGS.items():
        having = {code: each for code, each in TIMINGS.items() if each.at_its_time is meaning}
        least = said(next(iter(having.values())).at_least)
        codes = ", ".join(f"`{code}`" for code in having)
        rows.append((f"`{meaning}`", codes, text.format(least=least)))
    return table(("`at_its_time`", "Shipped for", "What its clinical time means"), rows)


def owed() -> str:
    rows = []
    for use_case in sorted(USE_CASE_NAMES):
        found = APPLICATIONS.get(use_case.partition("t")[0])
        if found is None or found.answers is Answers.NONE:
            continue
        timing = shipped_timing(use_case)
        within = (
            said(timing.answer_within) if timing.answer_within else "as agreed; none is shipped"
        )
        if found.answers is Answers.ONE:
            what = "the final response"
            within = f"the clinical time{f', {within} at most' if timing.answer_within else ''}"
        else:
            what = "the first response"
        rows.append((f"`{use_case}`", what, within, f"{timing.warning_share:.0%} of that is left"))
    return table(("Use case", "Owed", "Within", "Warned of when"), rows)


def document() -> str:
    ends = ENDS.format(
        years=round(FARTHEST / timedelta(days=365.25)),
        longest_wait=said(timedelta(seconds=LONGEST_RETRY_AFTER)),
        shares=SHARES,
    )
    return "\n".join([BEGINS, tried(), "", past(), "", ends + owed(), ""])


def test_the_document_says_what_the_tables_say() -> None:
    """Whoever approves it approves the figures in force."""
    assert document() == PAGE.read_text("utf-8")


def test_every_meaning_of_a_clinical_time_is_explained() -> None:
    """And is that of some Application."""
    assert set(AtItsTime) == set(MEANINGS) == {each.at_its_time for each in TIMINGS.values()}


if __name__ == "__main__":
    PAGE.write_text(document(), "utf-8")
