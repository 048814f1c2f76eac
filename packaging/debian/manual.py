"""
Writes the manual pages: `manual.py FOLDER SETTINGS`.

    every command, with its help  ─► bars-gateway.1, bars-gateway-COMMAND.1
    config/bars-gateway.toml      ─► bars-gateway.toml.5

What a command says of itself stands in the code alone, and is printed from there.
"""

import sys
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from pathlib import Path
from typing import Any

from typer.main import get_command

from bars_gateway import __version__
from bars_gateway.cli.main import SECTIONS, app

_PROGRAM = "bars-gateway"


def pages(settings: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each page, and its text."""
    program = get_command(app)
    yield f"{_PROGRAM}.1", "\n".join([*_head(_PROGRAM, 1, program.help), *_overview(program), ""])
    for name, command in _below(program).items():
        page = f"{_PROGRAM}-{name}"
        head = _head(page, 1, command.get_short_help_str(200))
        yield f"{page}.1", "\n".join([*head, *_told(f"{_PROGRAM} {name}", command, "SH"), ""])
    title = f"{_PROGRAM}.toml"
    head = _head(title, 5, "The settings of bars_gateway, each with its default.")
    yield f"{title}.5", "\n".join([*head, ".SH DESCRIPTION", ".nf", _plain(settings), ".fi", ""])


def _head(page: str, section: int, purpose: str) -> list[str]:
    title = _plain(page)
    return [
        f'.TH {title.upper()} {section} "" "bars_gateway {__version__}"',
        ".SH NAME",
        f"{title} \\- {_plain(purpose.splitlines()[0].rstrip('.'))}",
    ]


def _overview(program: Any) -> Iterator[str]:
    yield from (".SH SYNOPSIS", f".B {_plain(_PROGRAM)}", "[OPTIONS] COMMAND [ARGS]...")
    for title, names in SECTIONS.items():
        yield f".SH {title.upper()}"
        for name in names:
            command = program.commands[name]
            yield from (".TP", f".B {_plain(f'{_PROGRAM}-{name}')}(1)")
            yield _plain(command.get_short_help_str(200))
    yield from (".SH SEE ALSO", f".BR {_plain(_PROGRAM)}.toml (5),", "/usr/share/doc/bars-gateway")


def _told(called: str, command: Any, level: str) -> Iterator[str]:
    """Yield what a command says of itself, and its own commands, as sections."""
    context = command.make_context(called, [], resilient_parsing=True)  # nothing is asked or done
    is_page = level == "SH"
    yield ".SH SYNOPSIS" if is_page else f".SS {_plain(called)}"
    yield from (f".B {_plain(called)}", _plain(" ".join(command.collect_usage_pieces(context))))
    yield from (".SH DESCRIPTION" if is_page else ".PP", *_paragraphs(command.help))
    if is_page:
        yield ".SH OPTIONS"
    for named, purpose in filter(None, (each.get_help_record(context) for each in command.params)):
        yield from (".TP", f".B {_plain(named)}", _plain(purpose))
    below = _below(command)
    if below and is_page:
        yield ".SH COMMANDS"
    for name, each in below.items():
        yield from _told(f"{called} {name}", each, "SS")


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in cleandoc(text).split("\n\n"):
        yield from (_plain(" ".join(paragraph.split())), ".PP")


def _below(command: Any) -> Mapping[str, Any]:
    return {n: each for n, each in getattr(command, "commands", {}).items() if not each.hidden}


def _plain(text: str) -> str:
    """Return *text* so that nothing in it is an instruction."""
    lines = text.replace("\\", "\\e").replace("-", "\\-").splitlines()
    return "\n".join(rf"\&{line}" if line.startswith((".", "'")) else line for line in lines)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages(Path(sys.argv[2]).read_text("utf-8")):
        (folder / name).write_text(text, "utf-8")
