"""
Makes a wheel in which what goes through every element of a message is machine code.

    make wheel-compiled ──► mypyc ──► C ──► dist/bars_gateway-…-cp311-cp311-linux_x86_64.whl

It is for one Python on one kind of machine, and behaves as the pure one does: `make compiled` runs
the tests of the standard on both. Nothing else asks for it, or for a C compiler: hatchling looks
here only where HATCH_BUILD_HOOK_ENABLE_CUSTOM is set.

Not all of the standard gains by it. The rules get slower: they are generators over a `Message`,
which remembers in its `__dict__` what was found in it, and compiled classes have none.

Decisions: D-compiled.
"""

import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STANDARD = "bars_gateway/standard"
MODULES = ("r4", "structure", "tree", "xml")


class Compiled(BuildHookInterface):
    """Puts the compiled modules beside their sources; Python imports them first."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, unless the sources themselves are to be used (`pip install --editable`)."""
        if version != "editable":
            made = Path(self.root, "build", "lib")
            libraries = map(Path, _compiled(Path(self.root), made))
            within = {str(each): str(each.relative_to(made)) for each in libraries}
            build_data["force_include"].update(within)
            build_data |= {"pure_python": False, "infer_tag": True}


def _compiled(root: Path, made: Path) -> list[str]:
    """Compile the modules below *root* into the folder *made*; return the files."""
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    with tempfile.TemporaryDirectory(prefix="bars-compiled-c-") as written:
        command = build_ext(Distribution())
        command.distribution.ext_modules = mypycify(
            [
                "--config-file",
                f"{root}/pyproject.toml",
                *(f"{root}/{STANDARD}/{name}.py" for name in MODULES),
            ],
            group_name="bars_gateway",
            debug_level="0",
            target_dir=written,
        )
        command.build_lib, command.build_temp = str(made), written
        command.ensure_finalized()
        command.run()
        return command.get_outputs()
