"""The scripts by which shells complete: each is read by the shell itself."""

import subprocess
from pathlib import Path

import pytest
import typer.main
from pages import block
from terminals import own_environment
from typed import typed

from bars_gateway.cli.main import app

# By shell: how what would be offered after a line is asked for. `words` and the number of the word
# that the cursor is on are set as the shell sets them.
ASK = {
    "bash": """\
source {script}; COMP_WORDS=({line} "{word}"); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_bars_gateway; printf '%s\\n' "${{COMPREPLY[@]}}" """,
    "zsh": """\
compdef() {{ }}; source {script}
compadd() {{ shift; for each in "$@"; do [[ $each == {word}* ]] && print -r -- $each; done }}
_files() {{ print files }}
words=({line} "{word}"); CURRENT=$#words; _bars_gateway; true""",
    "fish": "source {script}; complete -C '{line} {word}'",
}
SHELLS = [pytest.param(shell, marks=pytest.mark.needs(shell)) for shell in ASK]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("completion")
    found = {shell: folder / f"bars-gateway.{shell}" for shell in ASK}
    for shell, file in found.items():
        file.write_text(typed("completion", shell).out, "utf-8")
    return found


def offered(shell: str, script: Path, line: str, word: str) -> set[str]:
    """Return what *shell* offers for *word* after *line*."""
    options = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    asked = ASK[shell].format(script=script, line=line, word=word)
    done = subprocess.run(
        [shell, *options, "-c", asked], capture_output=True, text=True, check=True, timeout=60
    )
    assert not done.stderr
    found = {text.partition("\t")[0] for text in done.stdout.splitlines() if text}
    # A newer fish also lists what the word is within, and offers it where nothing begins with that.
    return {text for text in found if text.startswith(word)}


def test_each_script_is_put_where_its_shell_looks(tmp_path: Path, scripts: dict[str, Path]) -> None:
    """As `docs/command-line.md` has it, below a root of its own."""
    lines = block("command-line.md", "bars-gateway completion bash").splitlines()
    there = [tmp_path / line.split("> /")[1] for line in lines]
    for each in there:
        each.parent.mkdir(parents=True)
    below = "\n".join(line.replace("> /", f"> {tmp_path}/") for line in lines)
    subprocess.run(["bash", "-ec", below], check=True, env=own_environment())

    assert [each.read_text("utf-8") for each in scripts.values()] == [
        each.read_text("utf-8") for each in there
    ]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_is_offered(shell: str, scripts: dict[str, Path]) -> None:
    """All of this release, and none that goes by an older name."""
    commands = typer.main.get_group(app).commands
    shown = {name for name, command in commands.items() if not command.hidden}

    assert shown == offered(shell, scripts[shell], "bars-gateway", "")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "word", "expected"),
    [
        ("bars-gateway", "expl", {"explain"}),
        ("bars-gateway queue", "--js", {"--json"}),
        ("bars-gateway cache", "cl", {"clear"}),
        ("bars-gateway cache clear", "--o", {"--of"}),
        ("bars-gateway retry --why x", "--after", {"--after-its-time"}),
    ],
)
def test_what_was_begun_is_completed(
    shell: str, scripts: dict[str, Path], line: str, word: str, expected: set[str]
) -> None:
    """A command, a command below it, and the options of each."""
    assert expected == offered(shell, scripts[shell], line, word)


def test_a_shell_that_nobody_knows_is_refused() -> None:
    """What there is is named."""
    done = typed("completion", "csh")

    assert 2 == done.code
    assert "'bash', 'zsh', 'fish'" in " ".join(done.err.replace("│", " ").split())
