"""
docs/workflows.md and docs/moves.md are printed from the tables of the standard, exactly.

    .venv/bin/python tests/test_workflow_document.py      prints them again
"""

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import pytest

from bars_gateway.epr import openapi
from bars_gateway.epr.moves import AskedMove
from bars_gateway.standard import meaning, workflow
from bars_gateway.standard.applications import APPLICATIONS, USE_CASE_NAMES, Answers, Application
from bars_gateway.standard.compositions import COMPOSITIONS, Composition, Need
from bars_gateway.standard.guards import GUARDS, Guard
from bars_gateway.standard.links import LINK_RULES, TIES, LinkRule
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.sentences.received import REMARKED
from bars_gateway.standard.timing import application_of
from bars_gateway.standard.workflow import State

DOCS = Path(__file__).parent.parent / "docs"

INTRODUCTION = """\
# Workflows

A workflow is one referral, validation or booking, from its request to its end. A message moves
it when it is received, or when it was sent and has been acknowledged. What is here is printed
from the tables that the gateway obeys (`standard/applications.py`, `workflow.py`, `guards.py`,
`links.py`, `remarks.py`): `python tests/test_workflow_document.py` prints it.
"""
ANSWERS = {
    Answers.NONE: "none beyond the acknowledgement",
    Answers.ONE: "one final response, perhaps after an interim one",
    Answers.STREAM: "one each time that things have moved",
}


def table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = [list(titles), *(list(row) for row in rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([lines[0], "|---" * len(cells[0]) + "|", *lines[1:]])


def applications() -> str:
    return table(
        ("Application", "Version", "About", "Use cases", "Responses"),
        (
            (
                f"`{each.code}` {each.name}",
                f"{each.version} ({each.phase})",
                ", ".join(sorted(each.request_types)),
                ", ".join(told(each, code) for code in use_cases(each)),
                ANSWERS[each.answers],
            )
            for each in APPLICATIONS.values()
        ),
    )


def told(of: Application, use_case: str) -> str:
    return f"`{use_case}`" + (" (withdrawn)" if use_case in of.withdrawn else "")


def use_cases(of: Application) -> list[str]:
    return [code for code in USE_CASE_NAMES if application_of(code) == of.code]


OVER = [state for state in workflow.TRANSITIONS if state in workflow.FINAL]
OPEN = [
    state for state in workflow.TRANSITIONS if state not in {*workflow.FINAL, State.CONTRADICTED}
]
ENDS = {move: end for move, end in workflow.TRANSITIONS[State.ACTIVE].items() if end in OVER}


def drawing() -> str:
    """Return the states for `dot`: what ends all that are open is drawn once."""
    lines = ["```dot", 'digraph "The states of a workflow" {']
    lines.append("  rankdir=LR; compound=true; nodesep=0.25; ranksep=0.3")
    for name, states in (("Open", OPEN), ("Over", OVER)):
        inside = "; ".join(states)
        lines.append(f'  subgraph cluster_{name} {{ label="{name}"; style=rounded; {inside} }}')
    for state in OPEN:
        lines += [f'  {state} -> {to} [label="{by}"]' for to, by in _leads(state).items()]
    ways, against = r",\n".join(ENDS), r"something newer\nspeaks against it"
    lines.append(
        f'  in_progress -> cancelled [label="{ways}" ltail=cluster_Open lhead=cluster_Over]'
    )
    lines.append(f'  cancelled -> contradicted [label="{against}" ltail=cluster_Over]')
    return "\n".join([*lines, "}", "```"])


def _leads(state: State) -> dict[State, str]:
    leads: dict[State, str] = {}
    for move, after in workflow.TRANSITIONS[state].items():
        if after not in {state, State.UNCLEAR} and ENDS.get(move) != after:
            leads[after] = rf"{leads[after]},\n{move}" if after in leads else move
    return leads


def transitions() -> str:
    """Return where each move leads from each state."""
    moves = list(dict.fromkeys(move for each in workflow.TRANSITIONS.values() for move in each))
    return table(
        ("From", *moves),
        (
            (f"`{state}`", *(f"`{led[move]}`" if move in led else "-" for move in moves))
            for state, led in workflow.TRANSITIONS.items()
        ),
    )


def words() -> str:
    return table(
        ("Event", "Reason", "Focus", "Its status", "Move"),
        (
            (
                f"`{row.event}`",
                listed(row.reasons),
                listed(row.focus),
                listed(row.statuses),
                f"**{row.move}**",
            )
            for row in workflow.DISPATCH_TABLE
        ),
    )


def responses() -> str:
    return table(
        (
            "Use case",
            "Responder's Encounter",
            "ServiceRequest",
            "CarePlan",
            "Only if",
            "It says",
            "Move",
        ),
        (
            (
                listed(row.use_cases or row.applications),
                any_of(row.encounter),
                any_of(row.request),
                any_of(row.plan),
                only_if(row) or "-",
                f"**{row.said}**" + (f": on sending refused by `{row.rule}`" if row.rule else ""),
                meaning.MOVES[row.said],
            )
            for row in meaning.ROWS
        ),
    )


def any_of(statuses: frozenset[str] | None) -> str:
    if statuses is None:
        return "any"
    return ", ".join(f"`{each}`" if each else "none" for each in sorted(statuses))


def only_if(row: meaning.MeaningRow) -> str:
    conditions = (
        (f"the definition ends in `{row.definition}`", row.definition),
        (f"the definition does not end in `{row.not_as}`", row.not_as),
        (f"it follows {listed(row.after or ())}", row.after),
        ("an Appointment is `noshow`, and the focus the ServiceRequest", row.absent),
    )
    return "; ".join(text for text, applies in conditions if applies)


def listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def guards() -> str:
    return table(
        ("Rule", "Move", "Where", "In the states", "Sending", "Receiving", "What the sender reads"),
        (
            (
                f"`{guard.rule}`",
                listed(guard.moves),
                where(guard),
                "every" if guard.states == frozenset(State) else listed(guard.states),
                guard.sending or "-",
                answer(guard),
                guard.text,
            )
            for guard in GUARDS
        ),
    )


def where(guard: Guard) -> str:
    if guard.use_cases is not None:
        return listed(guard.use_cases)
    if set(APPLICATIONS) <= guard.applications:
        return "everywhere"
    return listed(guard.applications)


def answer(guard: Guard) -> str:
    if guard.receiving is None:
        return "-"
    return f"{guard.receiving}, {guard.http_status} `{guard.issue}`"


def ties() -> str:
    return table(
        ("By", "Kind", "The earlier one is its", "and it is the", "What has to fit"),
        (
            (f"`{by}`", tie.kind, f"`{tie.there}`", f"`{tie.back}`", tie.text)
            for by, tie in TIES.items()
        ),
    )


def link_rules() -> str:
    return table(
        ("Rule", "Sending", "Receiving", "What the sender reads"),
        ((f"`{row.rule}`", row.sending or "-", link_answer(row), row.text) for row in LINK_RULES),
    )


def link_answer(row: LinkRule) -> str:
    severity = row.receiving or "-"
    alarm = ", alarm" if row.alarming else ""
    return f"{severity}, {row.http_status} `{row.issue}`{alarm}" if row.receiving else severity


def added(remark: Remark) -> str:
    return REMARKED[remark].text if remark in REMARKED else "It turns the sentence into another."


def remarked() -> str:
    return table(
        ("Remark", "What the EPR is told"),
        ((f"`{remark}`", added(remark)) for remark in Remark),
    )


LINKS = """\
A new request is tied to an earlier workflow in the transaction that takes it, whichever side we
are on. Each of the two shows the other in `links`: what it is to it, by what, and where it is.
Nothing is guessed: where several workflows fit, none is linked. The patient has to be the same.
A link stays when one of the two ends: its `state` tells. A new request begins a conversation of
its own, unless it names a booking or referral that is known: whoever refers onward, books again
or refers again submits it with the `correlation_id` of the earlier one, beside the file or as a
header.
"""
LINK_RULES_READ = """\
What speaks against a booking or referral that is named. The link is not made then; an *error*
refuses the request as well, to the EPR before it is sent (409), or to the Sender. Where the EPR
is asked about a request, it decides about an id that is not known here; and where `questions` is
`"none"`, bookings are made past the gateway, and `L01` refuses nothing. The `rules` of a provider
soften or harden each row for single counterparties, but for `L02` and `L10`: make `L01` a
*warning* for those who name bookings that were not made through the gateway.
"""


ONE_PATIENT = """\
"The same patient" means one thing everywhere in the gateway. NHS numbers decide where both
messages have one: the numbers of one are among those of the other, or they are two patients;
names are corrected, and do not count then. Where one side has none, the same name and birth
date are the same patient, newly traced; another name or birth date is another patient; and
where either is missing nobody can tell. A placeholder (one digit ten times) or a number with
a wrong check digit counts as none. A message is about everybody whom it names: by the Patient, by
a second one, or by the number of a record (`subject.identifier`). Each of them has to be found in
the other message; one who is not is another patient, though the others be ours. Where a workflow
began with a message about two, a later one that names either of them is no stranger's: it
leaves, and one that comes has the remark `unknown_patient`.
"""


def document() -> str:
    return "\n".join(
        [
            INTRODUCTION,
            "## The Applications\n",
            f"{applications()}\n",
            "## The states\n",
            f"{drawing()}\n",
            "A response that does not add up leads from each open one to *unclear*. Each move in",
            "full; a dash is one that is not allowed there, or changes nothing:\n",
            f"{transitions()}\n",
            "## What moves a workflow\n",
            "The first row that fits says what a request means; one that fits none is refused.",
            "What a response means is in the table after it.\n",
            f"{words()}\n",
            "## What a response says\n",
            RESPONSES,
            f"{responses()}\n",
            "## What is refused\n",
            "On sending, an *error* refuses a message to the EPR while the user is still there. On",
            "receipt it is the answer to the Sender; a *warning* lets the message through. The",
            "`rules` of a provider soften or harden each row for single counterparties, but for",
            "`G14`. That one and `G15` hold a message against the Bundle that its workflow began",
            "with, and raise an alarm at the Receiver.\n",
            ONE_PATIENT,
            f"{guards()}\n",
            "## What belongs together\n",
            LINKS,
            f"{ties()}\n",
            LINK_RULES_READ,
            f"{link_rules()}\n",
            "## What is remarked upon\n",
            "No response is refused for its time: it is stored and delivered, and its notice has",
            "these words in `remarks`. What is told with each of them is in `docs/clinical.md`.\n",
            f"{remarked()}\n",
        ]
    )


RESPONSES = """\
The first row that fits says what a response means. The focus may be the ServiceRequest or the
Responder's Encounter; the Requester's own says nothing of the Responder. Whatever fits no row is
**unclear**: it is never refused on receipt and never guessed, but delivered with an alarm. An EPR
may not send it: rule `W03` says what to write instead.

The Requester's Encounter is the one that a request of this workflow carried, by fullUrl, id or
identifier; the Responder's is the only other one, not counting the new case that a CarePlan
names as its outcome. If not exactly one remains, the response is unclear.

The newest holds, for every move: by `meta.lastUpdated` of the Responder's Encounter, then
`Bundle.timestamp`, then as they came. A stamp more than two minutes later than its arrival
counts as its arrival, with the remark `clock_ahead`. So does one that is kept and lies ahead of
now, for our own clock was ahead when it came: what comes next has the remark. What is older than
what came before it moves nothing, has the remark `out_of_order`, and raises an alarm where it
says that nobody comes.

Where something newer speaks against an end, the workflow is open again as *contradicted*, until
a person has settled it: `bars-gateway confirm WORKFLOW STATE --why TEXT`, which settles what is
*unclear*, too. Neither stops a clock, or refuses an update, a cancellation or a response.
"""
MOVES = """\
# Moves: answers, updates and cancellations in a few words

An EPR need not build the Bundle of a response, an update or a cancellation. It says what has
happened; the gateway composes the message from the conversation, checks it by the strict rules,
shows it, and sends it. On the socket:

<!-- run by tests/scenarios/test_moves.py -->
```sh
curl --unix-socket run/trust.sock -H 'Content-Type: application/json' http://gateway/moves -d '{
  "submission_id": "case-4711-arrived-1", "in_reply_to": "REQUEST_ID",
  "move": "progress", "outcome": "arrived"}'
```

201 has the receipt, and the Bundle in `message`. In the folder, rename the same words into
`outbox/new/NAME.move.json`, and find `outbox/accepted/NAME.move.receipt.json` or
`outbox/refused/NAME.move.reason.json`.
"""
RESOURCES = """\
A resource with the `id` of one in the conversation changes the members that it names; so does one
of a type that the message holds once. Any other is added. Resources refer to each other as
`Type/id`. The ids of the conversation stand in the Bundle that came and in its answer.

Composed for you: MessageHeader with both endpoints, `response.identifier`, focus, definition,
reason; both Encounters, and every id that was given; the same X-Correlation-Id. Nothing clinical
is: what is missing is named in the refusal, and so is a move for which it is too late. A status
among `resources` that means another move is refused, too: choose the move that means it.

So is an `update` whose `resources` say what the other side has already (`C03`), but in `a6`: give
the members that have changed. Where nobody knows whether your last update arrived, the same may
be said again. A `text` in which nothing can be read (blanks, marks, what cannot be seen) counts
as none: a cancellation goes without a reason, and a rejection for `OTH` is refused.
"""
REBOOKING = """\
## Another time for an appointment

There is no move that rebooks. Cancel the booking by `cancel`, and book another slot by a new
Bundle. Where the booking belongs to a referral (`basedOn` of the Appointment), that goes, too, for
a new booking is never linked to the old one (`L09`): `cancel` for the referral, then a new
referral, and last the booking that names it. `make demo` does this in its third part. A
cancellation that is acknowledged has ended the old arrangement, so see that the new one follows.
"""
CARE_PLAN = """\
## What belongs in a CarePlan

A final response to a validation is the last word on the patient: with `no_action` the other side
closes the case, with `action` it has to act. The CarePlan says why, and is all that it has to go
by. Write into it:

| Element | What it is | Without it |
|---|---|---|
| `activity.outcomeCodeableConcept` | what was found, advised and decided | refused (`C03`) |
| `activity.outcomeReference` | a case that came of it | refused, unless there is the first |
| `period.start` | from when its time counts | a warning (`R16S`) |

Say it in `text`, and in codes where you have them: symptom group and discriminator, disposition,
priority. A case that came of it, such as the ambulance that you have asked for, is an Encounter
that you add to `resources` with its number, and name as `Encounter/ID`. What leads back to the
patient, to an organisation or to the case that you were asked about is no outcome, and nor is an
address that nothing in the message has. The time counts from the first call, as in the request,
or from now where it has become more urgent.

`status`, `intent`, `subject` and `encounter` are written for you; leave them out. The whole move:

```json
{
  "submission_id": "case-4711-final-1",
  "in_reply_to": "REQUEST_ID",
  "move": "conclude",
  "outcome": "action",
  "resources": [
    {
      "resourceType": "CarePlan",
      "period": {"start": "2026-03-02T09:00:00+00:00"},
      "activity": [
        {
          "outcomeCodeableConcept": [
            {"coding": [{
              "system": "https://fhir.nhs.uk/CodeSystem/pathways-dx-codes",
              "code": "Dx0122",
              "display": "Emergency Ambulance Response (Category 3)"}]},
            {"coding": [{
              "system": "https://fhir.nhs.uk/CodeSystem/arp-priority-codes",
              "code": "C3",
              "display": "Cat3 Urgent"}]},
            {"text": "Nurse, 09:20: palpitations for 2 h, now breathless. Ambulance still needed."}
          ]
        }
      ]
    }
  ]
}
```

The same is asked of a final response that you submit as a whole Bundle (rules `R16P`, `R16E`),
and of the CarePlan of a new referral (`R07P`; not between control rooms, whose call may still be
live) and of a validation request (`R09P`). A rejection needs its code, and words with `OTH`
(`R15R`, `R15O`).
"""


def moves() -> str:
    return table(
        ("Move", "Outcome", "Applications", "Written as", "You give"),
        (
            (
                f"`{row.move}`",
                outcome(row),
                listed(row.applications),
                written(row),
                given(row),
            )
            for row in COMPOSITIONS
        ),
    )


def outcome(row: Composition) -> str:
    if not row.outcome:
        return "-"
    may_be_left_out = row is first_of(row) and not row.needs_word
    return f"`{row.outcome}`" + (", or none" if may_be_left_out else "")


def first_of(row: Composition) -> Composition:
    same = (row.move, row.applications, row.request_types)
    return next(e for e in COMPOSITIONS if same == (e.move, e.applications, e.request_types))


def written(row: Composition) -> str:
    kind = f"`{row.definition}`" if row.definition else "the definition of the request"
    status = f"Encounter `{row.encounter}`" if row.encounter else f"`{row.status}`"
    return f"{kind}, {status}"


def given(row: Composition) -> str:
    words = {Need.WORDS: "`text`", Need.FINDINGS: "a CarePlan that says what was found"}
    return words.get(row.need, row.need) if row.need else "-"


def members() -> str:
    """Return what a move may say, as the description for programs has it."""
    described = openapi.document()["components"]["schemas"]["Move"]["properties"]
    return table(
        ("Member", "What it is"),
        ((f"`{name}`", each["description"]) for name, each in described.items()),
    )


def moves_document() -> str:
    return "\n".join([MOVES, f"{members()}\n", RESOURCES, f"{moves()}\n", REBOOKING, CARE_PLAN])


PRINTED = {"workflows.md": document, "moves.md": moves_document}


@pytest.mark.parametrize("name", PRINTED)
def test_the_documents_say_what_the_tables_say(name: str) -> None:
    """Whoever reads them reads the rules in force."""
    assert PRINTED[name]() == (DOCS / name).read_text("utf-8")


def test_everything_that_a_move_may_say_is_described() -> None:
    """To people and to programs alike: a member that nobody knows of is never given."""
    described = openapi.document()["components"]["schemas"]["Move"]["properties"]

    assert [field.name for field in fields(AskedMove)] == list(described)


if __name__ == "__main__":
    DOCS.mkdir(exist_ok=True)
    for file, printed in PRINTED.items():
        (DOCS / file).write_text(printed(), "utf-8")
