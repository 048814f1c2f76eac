"""The status page's template, and how it words times."""

from datetime import datetime
from functools import cache
from importlib import resources

import jinja2

_FOLDER = resources.files(__name__)


@cache  # the page takes a tenth of a second to compile
def template() -> jinja2.Template:
    """Return what the page is rendered with."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bars_gateway.status", "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        enable_async=True,
    )
    environment.filters["clock"] = lambda at: f"{at:%d %b %H:%M:%S}" if at else "none"
    environment.filters["ago"] = ago
    return environment.get_template("status.html")


def style_sheet() -> str:
    """Return how the page looks."""
    return (_FOLDER / "status.css").read_text("utf-8")


def ago(at: datetime | None, now: datetime) -> str:
    """Return how long before *now* something was, in the unit that a person would choose."""
    if at is None:
        return "never"
    return f"{lasting((now - at).total_seconds())} ago"


def lasting(seconds: float) -> str:
    """Return how long that is, in the unit that a person would choose."""
    whole = max(0, int(seconds))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} s"
