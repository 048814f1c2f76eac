"""The documentation as a site: a hospital's network lets nothing in."""

import runpy
from pathlib import Path

import pytest

FETCHED = runpy.run_path(str(Path(__file__).parent.parent / "documentation" / "elsewhere.py"))


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
