"""
Begins what was typed, and loads for it no more than it needs.

    bars-gateway run [--config FILE] ──► the gateway, and nothing that reads or prints commands
    bars-gateway queue …             ──► the module of that command alone (`HOMES`)
    all others, and --help           ──► every command (`main`)

A gateway keeps for months what it has loaded, and whoever looks into the queue at night waits for
what a command loads.

An error is two lines, what happened and what to do. Exit codes: 0 done, 1 it could not be done,
2 the settings or the command were wrong.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from bars_gateway import libraries, permissions
from bars_gateway.errors import ConfigurationError, GatewayError

if TYPE_CHECKING:
    import typer

# Where a command stands, for those that a person waits for.
HOMES: Mapping[str, str] = {
    word: home
    for home, words in {
        "listings": "queue show cache",
        "accounts": "explain timeline owed counterparties stats",
        "trail": "audit",
        "attention": "alarms mark-handled quarantine attach confirm alerts acknowledge",
        "safety": "safety",
        "incident": "incident",
        "messages": "lint send hold release withdraw retry resend",
    }.items()
    for word in words.split()
}


def main() -> None:
    """Run the command that was typed."""
    words = sys.argv[1:]
    config = _config_of(words)
    try:
        if config is None:
            _print_anything()
            with libraries.no_garbage():
                app = _app_for(words)
                libraries.settle()
            app()
        else:
            from bars_gateway.daemon import start

            sys.excepthook = _say_traceback
            start.start(config, os.environ)
    except (GatewayError, OSError, BaseExceptionGroup) as error:
        told = list(_told(error))
        if not told:
            raise
        _say("".join(f"{line}\n" for line in told), to_a_service=config is not None)
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)


def _print_anything() -> None:
    """Let what the terminal has no letter for be spelt out: a report is not to break off at it."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _config_of(words: Sequence[str]) -> Path | None:
    """Return which settings a gateway is to run with; None where anything else was typed."""
    match words:
        case ["run"]:
            from bars_gateway.config import DEFAULT_CONFIG

            return Path(os.environ.get("BARS_GATEWAY_CONFIG") or DEFAULT_CONFIG)
        case ["run", "--config" | "-c", file] if file[:1] not in {"", "-"}:
            return Path(file)
    return None


def _app_for(words: Sequence[str]) -> "typer.Typer":
    """Return the commands among which the one is that was typed."""
    libraries.load_structlog()
    libraries.spare_pydantic()
    home = HOMES.get(words[0]) if words else None
    if home is None:
        from bars_gateway.cli import main

        return main.app
    from bars_gateway.cli.root import root

    app = root()
    import_module(f"bars_gateway.cli.{home}").add_to(app)
    return app


def _told(error: BaseException) -> Iterator[str]:
    """Yield what somebody can act on, with the cure; nothing where nobody foresaw *error*."""
    denied = permissions.behind(error)
    if denied is not None:  # whatever it was made into on its way here
        denial = permissions.explained(denied, ["bars-gateway", *sys.argv[1:]])
        yield from (f"error: {denial.cause}", f"   try: {denial.cure}")
    elif isinstance(error, BaseExceptionGroup):  # a part that failed while it ran
        yield from _told(error.exceptions[0])  # which ended the others
    elif isinstance(error, GatewayError):
        lines = str(error).splitlines()
        if not any(map(_is_cure, lines)):  # settings come with a cure for each
            lines.append(f"   try: {error.advice}")
        yield from (line if _is_cure(line) else f"error: {line}" for line in lines)


def _say(text: str, *, to_a_service: bool) -> None:
    """
    Write to standard error; to that of a service, if it takes it within some seconds.

    Whoever reads there may stand still, and a gateway that has ended is to be started again.
    """
    stream = sys.__stderr__
    if not to_a_service or stream is None or stream is not sys.stderr or stream.isatty():
        print(text, end="", file=sys.stderr)  # noqa: T201
        return
    from bars_gateway.log_lines import LogLines

    lines = LogLines(stream.fileno(), _leave_out)
    lines.write(text)
    lines.finish()


def _say_traceback(_kind: object, error: BaseException, _trace: object) -> None:
    """Say of a gateway that nobody foresaw *error*, as Python would, but wait for no reader."""
    from traceback import format_exception

    _say("".join(format_exception(error)), to_a_service=True)


def _leave_out(_count: int) -> None:
    """Say of no line that it is lacking: nothing is written behind it."""


def _is_cure(line: str) -> bool:
    return line.startswith("   try: ")
