"""
The blocks of shell on the pages for people, each with its mark: what becomes of it in the tests.

    <!-- run: third terminal -->         typed as it stands, in that scene; all of it succeeds
    <!-- run by tests/….py -->           typed by that test or trial, which takes this very block
    <!-- dry run by tests/….py; why -->  each line of it is of make, which says what it would do
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BESIDE = (ROOT / "CONTRIBUTING.md", ROOT / "README.md", ROOT / "SECURITY.md")
PAGES = (*_BESIDE, *sorted((ROOT / "docs").rglob("*.md")))
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_MARK = re.compile(r"<!-- (run by|run|dry run by):? ([^;\n]+?)(?:; (.+))? -->\n *$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What stands between two fences, and the mark above it; `what` is empty without one."""

    page: Path
    line: int
    language: str
    what: str  # run, run by, dry run by
    where: str  # the scene, or the test
    why: str  # it is no more than a dry run
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Yield every fenced block of a page."""
    text = page.read_text("utf-8")
    for found in _FENCE.finditer(text):
        mark = _MARK.search(text, 0, found.start())
        yield Block(
            page=page,
            line=text.count("\n", 0, found.start()) + 1,
            language=found[2],
            what=mark[1] if mark else "",
            where=mark[2] if mark else "",
            why=(mark[3] or "") if mark else "",
            text=found[3],
        )


def block(page: str, *words: str) -> str:
    """Return the text of the one block of *page* that has all those words."""
    (found,) = [each.text for each in blocks(_named(page)) if all(w in each.text for w in words)]
    return found


def quoted(page: str, command: str) -> str:
    """Return *command*, which has to stand whole between backticks in a sentence of *page*."""
    assert command in spans(_named(page)), f"{page} tells nobody to type {command}"
    return command


def spans(page: Path) -> list[str]:
    """Return what stands between backticks in its sentences, each on one line."""
    found: list[str] = re.findall(r"`([^`]+)`", outside_fences(page))
    return [" ".join(each.split()) for each in found]


def own_commands(page: Path) -> list[str]:
    """Return each command of ours that stands whole between backticks in a sentence of it."""
    return commands_in(outside_fences(page))


def commands_in(text: str) -> list[str]:
    found: list[str] = re.findall(r"`bars-gateway ([^`]+)`", text)
    return [" ".join(each.split()) for each in found]


@cache
def typed_in_blocks() -> str:
    """Return all that the blocks have that are typed, in one line."""
    marked = [each for page in PAGES for each in blocks(page) if each.what]
    return " ".join(word for each in marked for word in each.text.split())


def _named(page: str) -> Path:
    (found,) = [each for each in PAGES if each.name == page]
    return found


def outside_fences(page: Path) -> str:
    """Return a page without its blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))
