"""
What other people's programs hold a version to, by name: `docs/versions.md` says it in words.

    python tests/promised.py     print it, as `make keep-release` keeps it with each version
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT / "tests" / "support")]

import typer.core  # noqa: E402
import typer.main  # noqa: E402
from figures import collected, counters  # noqa: E402
from json_lines import LINES, PARTS  # noqa: E402

from bars_gateway.cli.main import app  # noqa: E402
from bars_gateway.epr.openapi import document  # noqa: E402
from bars_gateway.log import EVENTS  # noqa: E402
from bars_gateway.standard.guards import GUARDS  # noqa: E402
from bars_gateway.standard.links import LINK_RULES  # noqa: E402
from bars_gateway.standard.rules import RULES  # noqa: E402
from bars_gateway.status.runbooks import RUNBOOKS  # noqa: E402

Promised = Mapping[str, Sequence[str]]


def promised() -> Promised:
    """Return the names of this version, each list sorted, by what they are names of."""
    return {
        of: sorted(set(names))
        for of, names in {
            "commands": _commands((), typer.main.get_command(app)),
            "documents of the contract": _documents(),
            "figures": _figures(),
            "log events": EVENTS,
            "members of --json": (
                f"{of} {each}"
                for lines in (LINES, PARTS)
                for of in lines
                for each in lines[of].members
            ),
            "rules": (rule.rule for rules in (RULES, GUARDS, LINK_RULES) for rule in rules),
            "runbooks": RUNBOOKS,
            "settings": _settings(),
        }.items()
    }


def broken(then: Promised, now: Promised) -> Sequence[str]:
    """Return what was promised then and is not there now."""
    return [
        f"{of}: {name}"
        for of, names in then.items()
        for name in names
        if name not in now.get(of, ())
    ]


def _commands(path: Sequence[str], command: Any) -> Iterator[str]:
    if isinstance(command, typer.core.TyperGroup):
        for name, each in command.commands.items():
            if not each.hidden:
                yield from _commands((*path, name), each)
        return
    yield " ".join(path)
    for parameter in command.params:
        for name in parameter.opts if parameter.param_type_name == "option" else ():
            yield " ".join((*path, name))


def _documents() -> Iterator[str]:
    for name, schema in document()["components"]["schemas"].items():
        yield from (f"{name}.{member}" for member in schema.get("properties", ()))


def _figures() -> Iterator[str]:
    labelled: Iterable[tuple[str, str, Sequence[str]]] = (
        *((each.name, each.type, each._labelnames) for each in collected()),
        *((each._name, each._type, each._labelnames) for each in counters()),
    )
    for name, kind, labels in labelled:
        whole = f"{name}_total" if kind == "counter" else name
        yield from (whole, *(f"{whole} {label}" for label in labels))


def _settings() -> Iterator[str]:
    table = ""
    for line in (ROOT / "config" / "bars-gateway.toml").read_text("utf-8").splitlines():
        if header := re.fullmatch(r"#?\[(.+)\]", line):
            table = header[1].replace("example-trust", "NAME") + "."
        elif setting := re.fullmatch(r"#?([\w-]+) = .+", line):
            yield f"{table}{setting[1]}"


if __name__ == "__main__":
    json.dump(promised(), sys.stdout, indent=1)
    print()
