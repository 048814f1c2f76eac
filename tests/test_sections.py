"""The commands are listed by what somebody wants to do."""

import re
from collections import Counter

import typer.main
from typed import typed

from bars_gateway.cli.main import SECTIONS, app


def test_every_command_is_in_one_section() -> None:
    """But those that are there for whoever typed them under an older name."""
    commands = typer.main.get_group(app).commands
    shown = {name for name, command in commands.items() if not command.hidden}

    assert Counter(shown) == Counter(name for names in SECTIONS.values() for name in names)


def test_help_lists_them_under_their_titles() -> None:
    """In plain text: a title, and its commands in the order of the table, with what each is for."""
    out = typed("--help").out
    found: dict[str, list[str]] = {}
    for line in out[out.index("Running:") :].splitlines():
        if title := re.fullmatch("([A-Z].*):", line):
            found[title[1]] = []
        elif command := re.fullmatch(r"  ([a-z-]+) +[A-Z].*", line):
            list(found.values())[-1].append(command[1])

    assert {title: list(names) for title, names in SECTIONS.items()} == found
    assert out.isascii()
