"""
Another user at the keyboard: commands in one process that has given its privileges away.

    argv, as JSON, a line ──stdin──► run as that user ──stdout──► code, out and err, as JSON

What the commands import is read before: the other user may not be let to where it is installed.
"""

import encodings.utf_8_sig  # noqa: F401 - found by its name, and then too late
import json
import os
import pkgutil
import sys
import traceback
from dataclasses import asdict, replace
from importlib import import_module

from typed import Done, typed

import bars_gateway

WHO = 65534  # nobody: there on every machine


def give_away() -> None:
    """Become nobody, for good."""
    os.setgroups([])
    os.setgid(WHO)
    os.setuid(WHO)


def answered(argv: list[str]) -> Done:
    try:
        return typed(*argv)
    except BaseException:
        return Done(-1, "", traceback.format_exc())


def main() -> None:
    for module in pkgutil.walk_packages(bars_gateway.__path__, "bars_gateway."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    if os.geteuid() == 0:
        give_away()
    answers = sys.stdout
    for line in sys.stdin:
        done = answered(json.loads(line))
        print(json.dumps(asdict(replace(done))), file=answers, flush=True)


if __name__ == "__main__":
    main()
