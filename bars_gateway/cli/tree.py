"""
Every command, and what it says of itself: read by completion, manual pages and documentation.

    program ─► below ─► its commands by name, without old names that are hidden
            ─► told  ─► CommandWords of itself, then of each below it, as --help lists them
"""

from collections.abc import Iterator, Mapping, Sequence
from inspect import cleandoc
from typing import Any

from bars_gateway.frozen import frozen


@frozen(kw_only=True)
class CommandWords:
    """What one command says of itself, as its `--help` does."""

    called: str  # with the program, or from where the walk began
    usage: str  # what is typed after that: [OPTIONS] {ID}
    paragraphs: Sequence[str]
    takes: Sequence[tuple[str, str]]  # each argument and option, and what it is for


def below(command: Any) -> Mapping[str, Any]:
    """Return the commands of *command* by name; none where it is no group."""
    return {n: each for n, each in getattr(command, "commands", {}).items() if not each.hidden}


def told(called: str, command: Any) -> Iterator[CommandWords]:
    """Yield what *command* says of itself, and then each below it; nothing is asked or done."""
    context = command.make_context(called, [], resilient_parsing=True)
    yield CommandWords(
        called=called,
        usage=" ".join(command.collect_usage_pieces(context)),
        paragraphs=[" ".join(each.split()) for each in cleandoc(command.help).split("\n\n")],
        takes=[each for each in (p.get_help_record(context) for p in command.params) if each],
    )
    for name, each in below(command).items():
        yield from told(f"{called} {name}", each)
