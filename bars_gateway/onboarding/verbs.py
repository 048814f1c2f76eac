"""The verbs of the onboarding, for the command line to take up."""

import typer

from bars_gateway.onboarding import beginning, certificate_commands, key_commands, letter_commands
from bars_gateway.onboarding.doctor import command as doctor_command


def add_to(app: typer.Typer) -> None:
    """Add them to *app*."""
    app.command()(beginning.init)
    app.command()(letter_commands.letters)
    app.add_typer(doctor_command.app)
    app.add_typer(key_commands.app)
    app.add_typer(certificate_commands.requests)
    app.add_typer(certificate_commands.certificates)
