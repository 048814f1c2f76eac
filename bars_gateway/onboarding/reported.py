"""
Lets the audit trail have what a command did beside the gateway: who typed it, what, and why.

    command ─► who: the user, and who logged in ─┐
               why: --why, or asked for ─────────┴─► a report ─► the gateway enters it

How a report lies there until then: `store.reports`.
"""

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from bars_gateway import permissions
from bars_gateway.config import Settings
from bars_gateway.model.interventions import LONGEST_REASON
from bars_gateway.permissions import whoever_types
from bars_gateway.standard.nhs_numbers import NUMBER_IN_TEXT, holds_nhs_number
from bars_gateway.store.reports import report

WhyOrAsked = Annotated[
    str | None,
    typer.Option(
        "--why", metavar="TEXT", help="The reason: a ticket, never a patient. Else it is asked for."
    ),
]


def reason(settings: Settings, why: str | None) -> str:
    """
    Return why something is done that is about to be reported, as it was typed, or asked for.

    Raises typer.BadParameter where it cannot be kept, and PermissionError where whoever types may
    leave no report: what the audit trail would not tell of is not done.
    """
    permissions.require_making(settings.reports_dir)
    told = reason_if_told(why)
    if told is None:
        raise typer.BadParameter("is missing: why it is done, as in INC-7", param_hint="--why")
    return told


def reason_if_told(why: str | None) -> str | None:
    """Return why something is done that must not fail for lack of a reason; None: nobody says."""
    if why is None and sys.stdin.isatty():
        why = str(typer.prompt("Why (a ticket, never a patient; the audit trail keeps it)"))
    if why is None:
        return None
    if not (0 < len(why.strip()) <= LONGEST_REASON and why.isprintable()):
        text = f"must be a text of 1 to {LONGEST_REASON} characters on one line"
        raise typer.BadParameter(text, param_hint="--why")
    refuse_numbers("--why", why)
    return why.strip()


def refuse_numbers(option: str, typed: str | None) -> None:
    """Refuse what names a patient: the audit trail keeps it in clear."""
    if typed is not None and holds_nhs_number(typed):
        raise typer.BadParameter(NUMBER_IN_TEXT, param_hint=option)


def report_done(settings: Settings, kind: str, /, **told: object) -> None:
    """Report it: the gateway enters it soon, or at its next start. Raises OSError."""
    permissions.require_making(settings.reports_dir)
    author = {"who": whoever_types(), "role": "operator"}
    report(settings.reports_dir, kind, {**author, **told}, datetime.now(UTC))


def try_report(settings: Settings, kind: str, /, **told: object) -> None:
    """Report what holds all the same where it cannot be reported, and say so."""
    try:
        report_done(settings, kind, **told)
    except OSError as error:
        why = f"{settings.reports_dir}: {error.strerror}"
        typer.echo(f"warning: the audit trail will not tell of this ({why})", err=True)
