"""What stands above every command: its name, how it prints, and `--version`."""

from typing import Annotated

import typer
from typer.core import TyperGroup

from bars_gateway import described


def root(cls: type[TyperGroup] = TyperGroup) -> typer.Typer:
    """Return the command line without any command; *cls* lists those that it is given."""
    app = typer.Typer(
        name="bars-gateway",
        cls=cls,
        help="Speaks the NHS Booking and Referral Standard (BaRS) for an EPR.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(version)
    return app


def version(
    *,
    show: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """Speak the NHS Booking and Referral Standard (BaRS) for an EPR."""
    if show:
        typer.echo(described())
        raise typer.Exit
