"""The options that many commands share: which settings, whose messages, and how many of them."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from bars_gateway import permissions
from bars_gateway.config import DEFAULT_CONFIG as DEFAULT_CONFIG  # noqa: PLC0414 - and from here
from bars_gateway.config import Provider, Settings
from bars_gateway.errors import OnboardingError
from bars_gateway.standard.timing import typed_instant

Config = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        envvar="BARS_GATEWAY_CONFIG",
        readable=False,  # or who may not read it would hear of a wrong value, and not whose it is
        help="The settings file.",
    ),
]
Whose = Annotated[
    str | None,
    typer.Option("--provider", "-p", metavar="NAME", help="Whose; needed if there are several."),
]
Only = Annotated[
    str | None, typer.Option("--provider", "-p", metavar="NAME", help="Only this provider's.")
]
Json = Annotated[
    bool,
    typer.Option("--json", help="For programs: one JSON document on each line, nothing else."),
]
Limit = Annotated[int, typer.Option(min=1, metavar="COUNT", help="At most so many.")]


def require_files(paths: list[Path]) -> list[Path]:
    """Return *paths* if each is a file; one that may not be read is not a mistyped name."""
    permissions.require(*paths)
    for path in paths:
        if not path.exists():
            raise typer.BadParameter(f"{path} does not exist")
        if path.is_dir():
            raise typer.BadParameter(f"{path} is a folder")
    return paths


def with_whose(command: str, settings: Settings, name: str) -> str:
    """Return *command* as it is typed about the provider *name*."""
    return f"{command} --provider {name}" if len(settings.providers) > 1 else command


def provider_of(settings: Settings, name: str | None) -> Provider:
    """Return the provider called *name*, or the only one."""
    known = ", ".join(settings.providers)
    if name is None and len(settings.providers) > 1:
        cure = f"Add --provider with one of: {known}"
        raise OnboardingError("there are several providers, and none was named", cure)
    found = settings.providers.get(name or next(iter(settings.providers)))
    if found is None:
        cause = f"{name!a} is not a provider of the settings"
        raise OnboardingError(cause, f"Name one of: {known}")
    return found


def instant_typed(option: str, typed: str | None) -> datetime | None:
    """Return the instant that somebody typed for *option*, in UTC where no zone is named."""
    if typed is None:
        return None
    found = typed_instant(typed)
    if found is None:
        text = f"{typed!a} is not an instant such as 2026-03-02T09:00Z"
        raise typer.BadParameter(text, param_hint=option)
    return found
