"""What pages tell people to type: each block of it is typed by a test or a trial."""

import ast
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer.main
from pages import (
    PAGES,
    ROOT,
    Block,
    block,
    blocks,
    commands_in,
    outside_fences,
    own_commands,
)

from bars_gateway.cli.main import app
from bars_gateway.epr.openapi import OPERATIONS

COMMAND = re.compile(r"^ *(?:bars-gateway|make|curl|systemctl|apt|python3?|sudo) ", re.MULTILINE)
PROGRAM = typer.main.get_command(app)
BLOCKS = [each for page in PAGES for each in blocks(page)]
FRESH = "packaging/fresh"
SCENES = {
    "first terminal",
    "second terminal",
    "third terminal",
    "at the socket",
    "at the socket, asked",
}


def example(block: Block) -> bool:
    """Tell a program that is shown whole, with how it is begun in its head."""
    return block.text.startswith(("#!", '"""', "//"))


def typed(block: Block) -> bool:
    return block.language == "sh" and not example(block)


@pytest.mark.parametrize("each", list(filter(typed, BLOCKS)), ids=str)
def test_a_block_of_commands_is_run(each: Block) -> None:
    """Its mark names a scene, or a test or a trial; where it is no more than a dry run, why."""
    assert each.what in {"run by", "dry run by"} or each.where in SCENES
    assert (each.what == "dry run by") is bool(each.why)


@pytest.mark.parametrize("each", [each for each in BLOCKS if each.what == "run by"], ids=str)
def test_whoever_is_said_to_run_a_block_takes_that_one(each: Block) -> None:
    """Not another of its page: what a trial types is read from the block itself, by its words."""
    if each.where == FRESH:
        assert set(each_line(each)) <= typed_by_a_stranger()
    else:
        assert each.text in taken_by(ROOT / each.where)


@cache
def taken_by(trial: Path) -> list[str]:
    """Return the blocks that a test or trial takes: the words of each stand in its source."""
    tree = ast.parse(trial.read_text("utf-8"))
    constants = {
        ast.unparse(node.targets[0]): node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
    }
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        block(*(ast.literal_eval(constants.get(ast.unparse(word), word)) for word in call.args))
        for call in calls
        if ast.unparse(call.func) == "block"
    ]


@cache
def typed_by_a_stranger() -> set[str]:
    """Return each line that `make fresh` types, as its own script finds them on its pages."""
    script = (ROOT / f"{FRESH}-within").read_text("utf-8")
    (finds,) = re.findall(r"^lines_of\(\) \{\n.*?^\}", script, re.DOTALL | re.MULTILINE)
    (pages,) = re.findall(r"^for page in (.*); do$", script, re.MULTILINE)
    said = subprocess.run(
        ["bash", "-c", f"{finds}\nfor page in {pages}; do lines_of $page; done"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return set(said.stdout.splitlines())


def each_line(block: Block) -> list[str]:
    """Return its commands, each on one line."""
    return re.sub(r" *\\\n *", " ", block.text).splitlines()


def commands(text: str) -> list[str]:
    """Return what a block has, a command a line, without what is said beside it."""
    return [line.partition("#")[0].strip() for line in text.splitlines()]


def test_what_two_pages_have_is_typed_from_one() -> None:
    """The README has what its guides have, and who may use the doors."""
    demo, server = (commands(block("README.md", word)) for word in ("make demo", "usermod"))
    there = [line for line in server if "usermod" not in line]

    assert demo[:2] == commands(block("first-message.md", "make demo ONCE"))
    assert there == commands(block("installing.md", "bars-gateway init  "))


def test_commands_stand_in_blocks_of_their_own() -> None:
    """What is typed is told from what is printed, and none of it escapes its mark."""
    others = [
        each
        for each in BLOCKS
        if each.language != "sh" and not example(each) and COMMAND.search(each.text)
    ]
    indented = {
        page.name: found
        for page in PAGES
        if (
            found := re.findall(
                rf"^ {{4}}{COMMAND.pattern[1:]}.*", outside_fences(page), re.MULTILINE
            )
        )
    }

    assert [] == list(map(str, others))
    assert {} == indented


def named_commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of each command, in blocks and in sentences, as far as it is written out."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    for found in re.findall(r"(?:^|`|&& |\| |; )bars-gateway ([^`|;&>#\n]*)", text, re.MULTILINE):
        try:
            yield shlex.split(found)
        except ValueError:  # a quotation that goes on: its first words are what counts
            yield found.split()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_option_that_is_named_is_one_of_its_command(page: Path) -> None:
    """Also where a sentence names it."""
    unknown = []
    for words in named_commands(page):
        command, options = PROGRAM, set[str]()
        for word in words:
            if word in getattr(command, "commands", {}):
                command = command.commands[word]
                options |= {
                    name for each in command.params for name in (*each.opts, *each.secondary_opts)
                }
            elif word.isupper() and command is PROGRAM:  # VERB: any of several
                break
            elif word.startswith("--"):
                option = word.partition("=")[0].rstrip(".,;:)…")
                if option not in options | {"--help", "--version"}:
                    unknown.append((command.name, option))

    assert [] == unknown


def misunderstood(typed: str) -> str:
    """Say what the program makes nothing of; what stands for a value is taken for one."""
    command, words = PROGRAM, shlex.split(typed)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    if words == ["--version"] or any(word == "VERB" for word in words):  # any of several
        return ""
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    many = any(each.nargs == -1 for each in arguments)
    context = command.context_class(command)
    _, more, _ = command.make_parser(context).parse_args(list(words))
    return "" if many or not more else f"{typed}: {' '.join(more)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_command_in_a_sentence_is_one_that_the_program_understands(page: Path) -> None:
    """It is there, its options are its own and have their values, and nothing is left over."""
    assert [] == list(filter(None, map(misunderstood, own_commands(page))))


def test_a_command_in_what_the_gateway_says_is_one_that_it_understands() -> None:
    """Its cures and hints, too, as far as they are written out; what is filled in is a value."""
    said = [
        command
        for path in sorted((ROOT / "bars_gateway").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        for command in commands_in(text_of(node))
    ]

    assert len(said) > 50
    assert [] == list(filter(None, map(misunderstood, said)))


def text_of(node: ast.AST) -> str:
    """Return what a string says, with 1 for each value in it."""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(each) or "1" for each in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else ""


def asked_of_the_socket(page: Path) -> Iterator[tuple[str, str]]:
    """Yield method and path of each request to it, in blocks and in sentences."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    for command in re.findall(r"curl [^\n]*http://gateway/[^\n]*", text):
        method = re.search(r"-X (\w+)", command)
        posts = re.search(r" (?:-d|--data-binary) ", command)
        for path in re.findall(r"http://gateway(/[^ ?'\"]*)", command):
            yield (method[1] if method else "POST" if posts else "GET").lower(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_is_asked_of_the_socket_is_an_operation_of_it(page: Path) -> None:
    """Also where a page names a path that needs more than a trial has."""
    known = [(method, re.compile(re.sub(r"\{\w+\}", "[^/]+", path))) for method, path in OPERATIONS]
    unknown = [
        (method, path)
        for method, path in asked_of_the_socket(page)
        if not any(one == method and form.fullmatch(path) for one, form in known)
    ]

    assert [] == unknown
