"""The options that several commands of the onboarding share."""

from pathlib import Path
from typing import Annotated

import typer

from bars_gateway.config import Provider, Settings
from bars_gateway.errors import OnboardingError

DEFAULT_CONFIG = Path("/etc/bars-gateway/bars-gateway.toml")

Config = Annotated[
    Path,
    typer.Option(
        "--config", "-c", metavar="FILE", envvar="BARS_GATEWAY_CONFIG", help="The settings file."
    ),
]
Whose = Annotated[
    str | None,
    typer.Option("--provider", "-p", metavar="NAME", help="Whose; needed if there are several."),
]


def provider_of(settings: Settings, name: str | None) -> Provider:
    """Return the provider called *name*, or the only one."""
    known = ", ".join(settings.providers)
    if name is None and len(settings.providers) > 1:
        cure = f"Add --provider with one of: {known}"
        raise OnboardingError("there are several providers, and none was named", cure)
    found = settings.providers.get(name or next(iter(settings.providers)))
    if found is None:
        raise OnboardingError(f"{name!a} is no provider of the settings", f"Name one of: {known}")
    return found
