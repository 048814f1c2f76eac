"""The documentation as a site: a hospital's network lets nothing in."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FETCHED = runpy.run_path(str(ROOT / "documentation" / "elsewhere.py"))


@pytest.mark.parametrize(
    "written",
    [
        '<script async src="https://cdn.example/a.js"></script>',
        "<img alt='' src='//cdn.example/a.png'>",
        '<link rel="stylesheet" href="https://cdn.example/a.css">',
        "body { background: url('https://cdn.example/a.png') }",
        "@font-face { src: url(//cdn.example/a.woff2) }",
        '@import "https://cdn.example/a.css";',
    ],
)
def test_what_a_browser_would_fetch_from_elsewhere_is_found(written: str) -> None:
    """In a page and in a style sheet, wherever it stands."""
    found = FETCHED["fetched"](f"<p>before</p>\n{written}\n<p>after</p>")

    assert found is not None
    assert "//cdn.example/a" in found


@pytest.mark.parametrize(
    "written",
    [
        '<script src="assets/a.js"></script>',
        '<a href="https://digital.nhs.uk/">read there</a>',
        '<link rel="canonical" href="https://docs.example/a.html">',
        "body { background: url(data:image/svg+xml;charset=utf-8,http://www.w3.org/2000/svg) }",
    ],
)
def test_what_is_here_or_only_led_to_is_let_through(written: str) -> None:
    """Nothing is fetched for it before somebody clicks."""
    assert FETCHED["fetched"](written) is None


def test_a_link_that_leads_nowhere_fails_the_build() -> None:
    """With `--quiet` its warnings are not counted, and `--strict` lets everything pass."""
    (built,) = re.findall(r"mkdocs build (.*)", (ROOT / "Makefile").read_text("utf-8"))

    assert "--strict" in built.split()
    assert set() == {"--quiet", "-q"} & set(built.split())


def test_every_page_that_is_named_is_there() -> None:
    """Where it is read in a terminal, nothing says that it is gone."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    named = {
        (page.name, found)
        for page in pages
        for found in re.findall(r"`(docs/[\w/-]+\.md)`", page.read_text("utf-8"))
        if page.name != "CHANGELOG.md" and found != "docs/NAME.md"  # pages that were, and any
    }

    assert len(named) > 200
    assert set() == {each for each in named if not (ROOT / each[1]).exists()}
