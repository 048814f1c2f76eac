"""
`incident`: a text about something that went wrong, ready to be read, completed and sent.

    what somebody names ─► facts_of ─► drafted ─► text: what happened, whose fault, which desk

It reads the database by itself, so that it answers when no gateway runs. It sends nothing, and
names no patient: whose a message is, the EPR knows by its X-Request-Id.
"""

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from bars_gateway import __version__
from bars_gateway.cli.listings import read, require_known
from bars_gateway.cli.output import clock, document_of, print_lines
from bars_gateway.config import Settings, load
from bars_gateway.model.incidents import IncidentKind, RaisedAlarm
from bars_gateway.model.interventions import Quarantine
from bars_gateway.model.timeline import Party
from bars_gateway.options import DEFAULT_CONFIG, Config, Json, Only
from bars_gateway.safety.desks import DESKS, DeskName
from bars_gateway.safety.incident import IncidentDraft, IncidentMessage, drafted, steps_of
from bars_gateway.store.incidents import facts_of

Named = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="An X-Request-Id, a Bundle.id or a message's number; with --of, another number.",
    ),
]
Of = Annotated[IncidentKind, typer.Option("--of", help="What ID is the name or the number of.")]
_BY = {
    Party.EPR: "our EPR",
    Party.GATEWAY: "gateway",
    Party.OTHER: "other side",
    Party.PERSON: "operator",
}
_TO_COMPLETE = (
    "Was a patient harmed, or could one have been? How do you know?",
    "What was done for the patient, when, and by whom (roles, no names)?",
    "Who noticed it, when, and how?",
    "Is it still going on? How many more may be affected, since when?",
    "What do you ask of whoever reads this, and by when?",
)
# What the national service for learning from patient safety events asks about.
_LFPSE = (
    "what happened, when, where, and in which service",
    "how badly a patient was harmed, physically and psychologically, as far as is known",
    "that a digital system was involved: name the EPR and this program, with their versions",
    "what was expected, and what was done at once",
    "whether others may have the same problem",
)


def add_to(app: typer.Typer) -> None:
    """Give *app* the command."""
    app.command()(incident)


def incident(
    name: Named,
    config: Config = DEFAULT_CONFIG,
    provider: Only = None,
    of: Of = IncidentKind.MESSAGE,
    *,
    as_json: Json = False,
) -> None:
    """
    Write an incident draft: what happened, whose fault it was, and which desk it goes to.

    Names no patient, no person and no reason that somebody typed. Sends nothing. Reads the
    database, so that it answers when no gateway runs. Exits with 1 if nothing here is called so.
    """
    settings = load(config, os.environ)
    require_known(settings, provider)
    now = datetime.now(UTC)
    facts = read(settings, lambda c: facts_of(c, provider, of, name, now))
    if facts is None:
        if not as_json:
            typer.echo(f"There is no {of} here of that name or number, nor anything under it.")
        raise typer.Exit(1)
    draft = drafted(facts)
    lines = list(_text(draft, settings, now))
    if as_json:
        more = {"at": now, "version": __version__, "environment": settings.environment}
        desks = [_desk(each) for each in draft.desks]
        print_lines([document_of(draft, **more) | {"desks": desks, "text": "\n".join(lines)}])
        return
    for line in lines:
        typer.echo(line)


def _desk(name: DeskName) -> dict[str, str]:
    entry = DESKS[name]
    contact = entry.contact
    reached = {"name": contact.name, "address": contact.address, "telephone": contact.telephone}
    return {"desk": name, **reached, "how": contact.how, "asks": entry.asks}


def _text(draft: IncidentDraft, settings: Settings, now: datetime) -> Iterator[str]:
    yield f"INCIDENT DRAFT, by bars-gateway {__version__} from its records, {clock(now)} UTC"
    yield "Nothing has been sent. Read it, complete it at the end, and send it to the desks below."
    yield "It names no patient, and must not: whose it is, your EPR knows by the X-Request-Id."
    yield from _section("What it is about", _about(draft))
    yield from _section("Whose fault it was, by what is known here", [draft.fault_in_words])
    yield from _section("Send it to, the first first", _desks(draft.desks))
    yield from _section("Who", _who(draft, settings))
    for message in draft.involved:
        yield from _section(f"Message {message.number}", _message(message))
    yield from _section("What happened (UTC)", _steps(draft))
    yield from _section("What our EPR was told, and when (UTC)", _told(draft))
    yield from _section("To be completed", [f"[ ] {each}" for each in _TO_COMPLETE])
    yield from _section("If a patient was harmed, or could have been", _safety())


def _section(title: str, lines: Iterator[str] | Sequence[str]) -> Iterator[str]:
    yield ""
    yield title
    yield from (f"  {line}" for line in lines)


def _about(draft: IncidentDraft) -> Iterator[str]:
    if draft.alarm is not None:
        yield from _alarm(draft.alarm)
    if draft.quarantined is not None:
        yield from _quarantined(draft.quarantined)
    for each in draft.involved:
        what = f"{each.direction} {each.move} ({each.use_case}): {each.state}"
        yield f"Message {each.number}, {what}. {each.means}"
    if draft.alarm is not None and not _is_of_a_request(draft):
        yield "It is about the gateway itself, and about no message of its own."
    elif not draft.involved and draft.quarantined is None:
        yield "Something that was not taken, and is not a message here; see what happened."


def _is_of_a_request(draft: IncidentDraft) -> bool:
    """Tell whether it is about something that came or went, taken or not."""
    named = draft.alarm.request_id if draft.alarm is not None else None
    return bool(draft.involved or draft.beside or draft.quarantined or named)


def _alarm(alarm: RaisedAlarm) -> Iterator[str]:
    ended = f"{alarm.ended_how} {clock(alarm.ended_at)} UTC" if alarm.ended_at else "it stands"
    again = f", {alarm.times} times" if alarm.times > 1 else ""
    yield f"Alarm {alarm.number} ({alarm.kind}), raised {clock(alarm.since)} UTC{again}: {ended}."


def _quarantined(kept: Quarantine) -> Iterator[str]:
    yield (
        f"Response {kept.number} in quarantine ({kept.reason}), which came"
        f" {clock(kept.came_at)} UTC from {kept.sender}."
    )
    attached = kept.attached_to
    yield f"It was attached to workflow {attached}." if attached else "It is attached to nothing."


def _desks(names: Sequence[DeskName]) -> Iterator[str]:
    for number, name in enumerate(names, 1):
        entry = DESKS[name]
        telephone = f", telephone {entry.contact.telephone}" if entry.contact.telephone else ""
        yield f"{number}. {entry.contact}{telephone}"
        yield f"   asks for {entry.asks}"


def _who(draft: IncidentDraft, settings: Settings) -> Iterator[str]:
    ours = settings.providers.get(draft.provider or "")
    named = f"{ours.name} ({ours.ods_code})" if ours else "not known: it was refused before"
    if ours is None and not _is_of_a_request(draft):
        named = ", ".join(f"{each.name} ({each.ods_code})" for each in settings.providers.values())
    yield f"Our organisation: {named}; environment {settings.environment}"
    services = {each.service: None for each in draft.involved}
    if draft.quarantined is not None:
        services[draft.quarantined.sender] = None
    for service in services:
        yield f"The other side's service: {service}"
    if draft.alarm is not None and draft.alarm.request_id and not draft.involved:
        yield f"X-Request-Id {draft.alarm.request_id}"


def _message(message: IncidentMessage) -> Iterator[str]:
    yield f"X-Request-Id      {message.request_id}"
    yield f"X-Correlation-Id  {message.correlation_id}"
    yield f"Bundle.id         {message.bundle_id}"
    yield f"Workflow          {message.workflow_id}, {message.workflow_state}"
    if message.alarms:
        yield f"Alarms that stand {', '.join(message.alarms)}"


def _steps(draft: IncidentDraft) -> Iterator[str]:
    several = len(draft.involved) > 1
    # One that an organisation sends to itself is two messages here, under one X-Request-Id.
    numbers: dict[str, list[str]] = {}
    for each in draft.involved:
        numbers.setdefault(each.request_id, []).append(str(each.number))
    for request_id, step in steps_of(draft):
        named = " and ".join(numbers.get(request_id or "", ())) if several else ""
        which = f"message {named}, " if named else ""
        yield f"{clock(step.at)}  {which}{_BY[step.by]}: {step.text}"
    if not (draft.involved or draft.beside):
        yield "see the log of that time, and the audit trail"


def _told(draft: IncidentDraft) -> Iterator[str]:
    told = [each for message in draft.involved for each in message.notices]
    for each in sorted(told, key=lambda one: one.notice_id):
        given = f"given to it {clock(each.given_at)}" if each.given_at else "not given to it yet"
        yield f"{clock(each.written_at)}  notice {each.notice_id} ({each.kind}), {given}:"
        yield f"                     {each.means}"
    if not told:
        yield "nothing"


def _safety() -> Iterator[str]:
    yield "Tell your clinical safety officer first. Record it with LFPSE (Learn from patient safety"
    yield "events), through your organisation's own system where it has one. It asks"
    yield from (f"- {each}" for each in _LFPSE)
    yield "See docs/safety/incidents.md."
