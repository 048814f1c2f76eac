"""What `docs/commands.md` prints: every command under its title, as `--help` tells it."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache

from typer.main import get_command

from bars_gateway.cli.main import SECTIONS, app
from bars_gateway.cli.tree import CommandWords, below, told

MANY = 10  # commands that take the same: the page says once what it is
NO_NEWS = re.compile(r" <(?:str|path|int)>$")


@cache
def _told() -> dict[str, Sequence[CommandWords]]:
    """Return each command of the program with its own commands."""
    return {name: [*told(name, each)] for name, each in below(get_command(app)).items()}


@cache
def _shared() -> dict[str, str]:
    """Return what many commands take by what it is for, the most frequent first."""
    taken = Counter(each for page in _told().values() for one in page for each in one.takes)
    often = [each for each, times in taken.most_common() if times >= MANY]
    found: dict[str, str] = {}
    for named, purpose in often:
        found.setdefault(named, purpose)
    return found


def shared_options() -> str:
    """Return these, for the head of the page."""
    lines = ["| Option | What it is for |", "|---|---|"]
    return "\n".join([*lines, *(_row(*each) for each in _shared().items())])


def every_command() -> str:
    """Return what each command does and takes, in the order of `--help`."""
    parts = []
    for title, names in SECTIONS.items():
        parts.append(f"## {title}")
        for name in names:
            parts += ["\n".join(_command(each)) for each in _told()[name]]
    return "\n\n".join(parts)


def _command(each: CommandWords) -> Iterator[str]:
    yield f"{'#' * (3 + each.called.count(' '))} `{each.called}`\n"
    yield "\n\n".join(each.paragraphs)
    shared = [each for each in each.takes if each in _shared().items()]
    if own := [each for each in each.takes if each not in shared]:
        yield "\n| It takes | What that is |\n|---|---|"
        yield from (_row(*each) for each in own)
    if shared:
        names = ", ".join(f"`{named}`" for named, _ in shared)
        yield f"\n{'Also' if own else 'It takes'} {names}."


def _row(named: str, purpose: str) -> str:
    says = re.sub(" +", " ", purpose)
    return f"| `{_cell(NO_NEWS.sub('', named))}` | {_cell(says)} |"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
