"""Each command reads the settings that it is told to, and a test names each of its options."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pages import PAGES, Block, blocks
from typed import WHY, typed

from bars_gateway.cli.main import app

TESTS = Path(__file__).parent


def leaves(path: tuple[str, ...], command: Any) -> Iterator[tuple[str, Any]]:
    """Yield each command that does something, by its words."""
    below = getattr(command, "commands", {})
    for name, each in below.items():
        if not each.hidden:
            yield from leaves((*path, name), each)
    if path and (not below or command.invoke_without_command):
        yield " ".join(path), command


COMMANDS = dict(leaves((), typer.main.get_command(app)))
READ_SETTINGS = [
    name for name, each in COMMANDS.items() if any("--config" in one.opts for one in each.params)
]
NAMED = ("--environment", "int", "--ods-code", "ZX901", "--name", "Northshire", "--service", "1")
# What is typed behind it where it takes something; a file that is there is FILE.
NEEDED = {
    **dict.fromkeys(("hold", "release", "withdraw", "retry", "resend"), ("1", *WHY)),
    **dict.fromkeys(("hold-record", "release-record", "mark-handled", "acknowledge"), ("1", *WHY)),
    **dict.fromkeys(("explain", "show", "timeline", "incident", "nodes remove"), ("1",)),
    **dict.fromkeys(("users password", "users remove", "keys retire", "backup"), ("1",)),
    **dict.fromkeys(("certificate check", "certificate install", "send"), ("FILE",)),
    **dict.fromkeys(("encryption copy", "evidence export"), ("1", *WHY)),
    "attach": ("1", "1", *WHY),
    "audit export": ("1", *WHY),
    "confirm": ("1", "active", *WHY),
    "evidence export": ("1",),
    "init": NAMED,
    "letters": ("key",),
    "store copy": ("--to", "1"),
    "subject": ("9990000018", *WHY),
    "users add": ("jo", "--role", "viewer"),
}


@pytest.mark.parametrize("command", READ_SETTINGS)
def test_the_settings_that_are_named_are_read(tmp_path: Path, command: str) -> None:
    """`--config`: it looks there, and says so where nothing is; `init` writes them there."""
    (tmp_path / "file").write_text("{}")
    words = [str(tmp_path / "file") if each == "FILE" else each for each in NEEDED.get(command, ())]
    done = typed(*command.split(), *words, "--config", tmp_path / "nowhere.toml")

    assert (command == "init") is (done.code == 0)
    assert "nowhere.toml" in re.sub(r"[│\s]", "", done.out + done.err)


def words_of_tests() -> Iterator[set[str]]:
    """Yield the words in the strings of each file of tests, and of each block that is typed."""
    for file in set(TESTS.rglob("*.py")) - {Path(__file__)}:
        strings = (
            node.value
            for node in ast.walk(ast.parse(file.read_text("utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        )
        yield {word for each in strings for word in re.split(r"[\s=]+", each)}
    for page in PAGES:
        yield from (set(re.split(r"[\s=]+", each.text)) for each in blocks(page) if is_typed(each))


def is_typed(block: Block) -> bool:
    return block.what in {"run", "run by"}


def test_each_option_stands_beside_its_command_in_a_test() -> None:
    """
    A floor: one file of tests, or one block that is typed, has both words.

    Whether they stand in one line there, this cannot tell. What `--config` does is seen above, and
    `--json` of each command in `tests/epr/test_json_lines.py`.
    """
    said = list(words_of_tests())
    unsaid = {
        f"{name} {option}"
        for name, command in COMMANDS.items()
        for each in command.params
        for option in (*each.opts, *each.secondary_opts)
        if option.startswith("--") and option not in {"--config", "--json"}
        if not any({option, *name.split()} <= words for words in said)
    }

    assert set() == unsaid
