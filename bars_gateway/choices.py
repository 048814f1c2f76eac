"""The options that many commands share: which settings, whose messages, and how many of them."""

from pathlib import Path
from typing import Annotated

import typer

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
Only = Annotated[
    str | None, typer.Option("--provider", "-p", metavar="NAME", help="Only this provider's.")
]
Limit = Annotated[int, typer.Option(min=1, metavar="COUNT", help="At most so many.")]
