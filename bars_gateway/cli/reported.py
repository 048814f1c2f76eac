"""Lets the audit trail have what a command did beside the gateway, and who typed it."""

from datetime import UTC, datetime

import typer

from bars_gateway import permissions
from bars_gateway.cli.messages import whoever_types
from bars_gateway.config import Settings
from bars_gateway.keyring import NUMBER_IN_TEXT, holds_nhs_number
from bars_gateway.store.reports import report


def report_done(settings: Settings, kind: str, **told: object) -> None:
    """Report it: the gateway enters it soon, or at its next start. Raises OSError."""
    permissions.require_making(settings.reports_dir)
    author = {"who": whoever_types(), "role": "operator"}
    report(settings.reports_dir, kind, {**author, **told}, datetime.now(UTC))


def refuse_numbers(option: str, typed: str | None) -> None:
    """Refuse what names a patient: the audit trail keeps it in clear."""
    if typed is not None and holds_nhs_number(typed):
        raise typer.BadParameter(NUMBER_IN_TEXT, param_hint=option)


def try_report(settings: Settings, kind: str, **told: object) -> None:
    """Report what holds all the same where it cannot be reported, and say so."""
    try:
        report_done(settings, kind, **told)
    except OSError as error:
        why = f"{settings.reports_dir}: {error.strerror}"
        typer.echo(f"warning: the audit trail will not tell of this ({why})", err=True)
