"""
Writes the manual pages: `manual.py FOLDER SETTINGS`.

    every command, with its help  ─► bars-gateway.1, bars-gateway-COMMAND.1
    config/bars-gateway.toml      ─► bars-gateway.toml.5

What a command says of itself stands in the code alone, and is printed from there.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from typer.main import get_command

from bars_gateway import __version__
from bars_gateway.cli.main import SECTIONS, app
from bars_gateway.cli.tree import CommandWords, below, told

_PROGRAM = "bars-gateway"


def pages(settings: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each page, and its text."""
    program = get_command(app)
    yield f"{_PROGRAM}.1", "\n".join([*_head(_PROGRAM, 1, program.help), *_overview(program), ""])
    for name, command in below(program).items():
        page = f"{_PROGRAM}-{name}"
        head = _head(page, 1, command.get_short_help_str(200))
        yield f"{page}.1", "\n".join([*head, *_page([*told(f"{_PROGRAM} {name}", command)]), ""])
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


def _page(page: Sequence[CommandWords]) -> Iterator[str]:
    """Yield what a command says of itself, and what its own commands do, as sections."""
    command, *others = page
    yield ".SH SYNOPSIS"
    yield from (*_called(command), ".SH DESCRIPTION", *_paragraphs(command), ".SH OPTIONS")
    yield from _takes(command)
    if others:
        yield ".SH COMMANDS"
    for each in others:
        yield f".SS {_plain(each.called)}"
        yield from (*_called(each), ".PP", *_paragraphs(each), *_takes(each))


def _called(command: CommandWords) -> Sequence[str]:
    return f".B {_plain(command.called)}", _plain(command.usage)


def _paragraphs(command: CommandWords) -> Iterator[str]:
    for paragraph in command.paragraphs:
        yield from (_plain(paragraph), ".PP")


def _takes(command: CommandWords) -> Iterator[str]:
    for named, purpose in command.takes:
        yield from (".TP", f".B {_plain(named)}", _plain(purpose))


def _plain(text: str) -> str:
    """Return *text* so that nothing in it is an instruction."""
    lines = text.replace("\\", "\\e").replace("-", "\\-").splitlines()
    return "\n".join(rf"\&{line}" if line.startswith((".", "'")) else line for line in lines)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages(Path(sys.argv[2]).read_text("utf-8")):
        (folder / name).write_text(text, "utf-8")
