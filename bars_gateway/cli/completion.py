"""
`completion`: what a shell reads, so that it completes commands, their options and files.

    bars-gateway completion bash ─► a script with every command and option of this release

The script asks nobody: a shell completes at once, also on a machine that is busy, and where the
settings cannot be read. Print it again after an upgrade.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from bars_gateway.cli.tree import below
from bars_gateway.frozen import frozen

_PROGRAM = "bars-gateway"
_BASH = """\
_bars_gateway() {{
    local at= next i words= word=${{COMP_WORDS[COMP_CWORD]}}
    for ((i = 1; i < COMP_CWORD; i++)); do
        next=${{at:+$at/}}${{COMP_WORDS[i]}}
        case $next in {known}) at=$next ;; esac
    done
    case $at in
{cases}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _bars_gateway {program}
"""
_BASH_CASE = """\
        '{path}') if [[ $word == -* ]]; then words='{options}'; else words='{commands}'; fi ;;"""
_ZSH = """\
#compdef {program}
_bars_gateway() {{
    local at= next i
    local -a commands options
    for ((i = 2; i < CURRENT; i++)); do
        next=${{at:+$at/}}${{words[i]}}
        case $next in ({known}) at=$next ;; esac
    done
    case $at in
{cases}
    esac
    if [[ ${{words[CURRENT]}} == -* ]]; then compadd -- $options
    elif (( $#commands )); then compadd -- $commands
    else _files; fi
}}
if [[ ${{zsh_eval_context[-1]}} == loadautofunc ]]; then _bars_gateway "$@"
else compdef _bars_gateway {program}; fi
"""
_ZSH_CASE = "        ('{path}') commands=({commands}); options=({options}) ;;"
_FISH_AT = """\
function __bars_gateway_at
    set -l at
    for word in (commandline -opc)[2..-1]
        set -l next (string join -- / $at $word)
        contains -- $next {known}; and set at $next
    end
    test "$at" = "$argv[1]"
end"""


class Shell(StrEnum):
    """Shells that can be told."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@frozen(kw_only=True)
class _Place:
    """One place of a command line: what may come next there."""

    commands: Mapping[str, str]  # and what each is for
    options: Sequence[str]


def completion(
    context: typer.Context,
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="One of bash, zsh, fish.")],
) -> None:
    """
    Print a script by which a shell completes commands, options and files.

    For bash, as root: bars-gateway completion bash > /etc/bash_completion.d/bars-gateway
    """
    places = dict(_places(context.find_root().command, ()))
    script = {Shell.BASH: _bash, Shell.ZSH: _zsh, Shell.FISH: _fish}[shell]
    typer.echo(script(places), nl=False)


def _places(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, _Place]]:
    """Yield the place behind *command* and behind each that it has, by its path."""
    commands = below(command)
    options = [name for each in command.params for name in each.opts if name.startswith("--")] + [
        "--help"
    ]
    named = {name: each.get_short_help_str(60) for name, each in commands.items()}
    yield "/".join(path), _Place(commands=named, options=options)
    for name, each in commands.items():
        yield from _places(each, (*path, name))


def _bash(places: Mapping[str, _Place]) -> str:
    return _BASH.format(**_filled(places, _BASH_CASE))


def _zsh(places: Mapping[str, _Place]) -> str:
    return _ZSH.format(**_filled(places, _ZSH_CASE))


def _filled(places: Mapping[str, _Place], case: str) -> dict[str, str]:
    cases = [
        case.format(path=path, commands=" ".join(place.commands), options=" ".join(place.options))
        for path, place in places.items()
    ]
    known = "|".join(filter(None, places))
    return {"program": _PROGRAM, "known": known, "cases": "\n".join(cases)}


def _fish(places: Mapping[str, _Place]) -> str:
    known = " ".join(filter(None, places))
    return "\n".join([_FISH_AT.format(known=known), *_fish_lines(places), ""])


def _fish_lines(places: Mapping[str, _Place]) -> Iterator[str]:
    for path, place in places.items():
        begins = f"complete -c {_PROGRAM} -n '__bars_gateway_at \"{path}\"'"
        for name, text in place.commands.items():
            told = text.replace("'", "\\'")
            yield f"{begins} -f -a {name} -d '{told}'"
        for name in dict.fromkeys(place.options):
            yield f"{begins} -l {name.removeprefix('--')}"
