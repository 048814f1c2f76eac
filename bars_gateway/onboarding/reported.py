"""
Lets the audit trail have what a command did beside the gateway: who typed it, what, and why.

    command ─► who: the user, and who logged in ─┐
               why: --why, or asked for ─────────┴─► a report ─► the gateway enters it

How a report lies there until then: `store.reports`.

Whoever works as `root`, or as the gateway's user, has logged in under a name of their own: the
kernel keeps that over `su` and `sudo`, and where it does not (a container), `sudo` says so. The
environment's own name for the user says nothing: anybody may set it.
"""

import os
import pwd
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bars_gateway import permissions
from bars_gateway.config import Settings
from bars_gateway.model.interventions import LONGEST_REASON
from bars_gateway.standard.nhs_numbers import NUMBER_IN_TEXT, holds_nhs_number
from bars_gateway.store.reports import report

WhyOrAsked = Annotated[
    str | None,
    typer.Option(
        "--why", metavar="TEXT", help="The reason: a ticket, never a patient. Else it is asked for."
    ),
]
LONGEST_AUTHOR = 64  # characters, as of whoever acts by the socket
_LOGGED_IN = Path("/proc/self/loginuid")
_NOBODY_LOGGED_IN = 2**32 - 1


def whoever_types() -> str:
    """Return who types: the user, and before that whoever logged in, where that is another."""
    user, behind = _name_of(os.geteuid()), _logged_in() or os.environ.get("SUDO_USER")
    who = user if behind in {None, "", user} else f"{behind} as {user}"
    return "".join(each for each in who if each.isprintable())[:LONGEST_AUTHOR]


def _logged_in() -> str | None:
    """Return who logged in, as the kernel keeps it; None: nobody did, or it does not."""
    try:
        number = int(_LOGGED_IN.read_bytes())
    except (OSError, ValueError):
        return None
    return None if number == _NOBODY_LOGGED_IN else _name_of(number)


def _name_of(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # a user without a name, as in many a container
        return f"uid {number}"


def reason(settings: Settings, why: str | None) -> str:
    """
    Return why something is done that is about to be reported, as it was typed, or asked for.

    Raises typer.BadParameter where it cannot be kept, and PermissionError where whoever types may
    leave no report: what the audit trail would not tell of is not done.
    """
    permissions.require_making(settings.reports_dir)
    if why is None and sys.stdin.isatty():
        why = str(typer.prompt("Why (a ticket, never a patient; the audit trail keeps it)"))
    if why is None:
        raise typer.BadParameter("is missing: why it is done, as in INC-7", param_hint="--why")
    if not (0 < len(why.strip()) <= LONGEST_REASON and why.isprintable()):
        text = f"must be a text of 1 to {LONGEST_REASON} characters on one line"
        raise typer.BadParameter(text, param_hint="--why")
    refuse_numbers("--why", why)
    return why.strip()


def refuse_numbers(option: str, typed: str | None) -> None:
    """Refuse what names a patient: the audit trail keeps it in clear."""
    if typed is not None and holds_nhs_number(typed):
        raise typer.BadParameter(NUMBER_IN_TEXT, param_hint=option)


def report_done(settings: Settings, kind: str, **told: object) -> None:
    """Report it: the gateway enters it soon, or at its next start. Raises OSError."""
    permissions.require_making(settings.reports_dir)
    author = {"who": whoever_types(), "role": "operator"}
    report(settings.reports_dir, kind, {**author, **told}, datetime.now(UTC))


def try_report(settings: Settings, kind: str, **told: object) -> None:
    """Report what holds all the same where it cannot be reported, and say so."""
    try:
        report_done(settings, kind, **told)
    except OSError as error:
        why = f"{settings.reports_dir}: {error.strerror}"
        typer.echo(f"warning: the audit trail will not tell of this ({why})", err=True)
