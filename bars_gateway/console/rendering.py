"""
How a page is made: one frame around all of them, and the words and times in one form.

    name + what it shows ──render──► HTML, in the frame: environment, node, as of when, where to go

Pages are rendered here and nowhere else; all that they say and do needs no JavaScript. What comes
from settings or from others is text and never markup. A time is shown in UTC, short for the eye and
whole for a machine.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from markupsafe import Markup

from bars_gateway.console.visitor import VISITING
from bars_gateway.disk import room
from bars_gateway.frozen import frozen
from bars_gateway.status.ages import ago, lasting
from bars_gateway.status.running import RuntimeState

if TYPE_CHECKING:
    import jinja2

_PAGES = resources.files("bars_gateway.console") / "pages"
STYLE = "console.css"
SCRIPT = "console.js"
# Where one can go, in the order of the navigation.
PLACES: Sequence[tuple[str, str]] = (
    ("/", "Overview"),
    ("/alarms", "Alarms"),
    ("/messages", "Messages"),
    ("/owed", "Owed"),
    ("/counterparties", "Counterparties"),
    ("/quarantine", "Quarantine"),
    ("/records", "Records"),
    ("/keys", "Certificates and keys"),
    ("/configuration", "Configuration"),
    ("/audit", "Audit"),
)


@frozen(kw_only=True)
class Frame:
    """What stands around every page."""

    running: RuntimeState
    at: datetime  # as of when it tells
    here: str  # the place that is looked at


def render(name: str, frame: Frame, **shown: object) -> str:
    """Return that page with what it shows."""
    template = _environment().get_template(name)
    return template.render(
        running=frame.running,
        at=frame.at,
        here=frame.here,
        places=PLACES,
        marks=_marks(),
        visitor=VISITING.get(),
        **shown,
    )


@cache
def file_beside(name: str) -> str:
    """Return a file that pages name: how they look, or their icon."""
    return (_PAGES / name).read_text("utf-8")


@cache
def _marks() -> Mapping[str, str]:
    """Return what changes with the files that pages name, so that no browser keeps old ones."""
    named = {"style": STYLE, "script": SCRIPT}
    files = {name: file_beside(file).encode() for name, file in named.items()}
    return {name: hashlib.sha256(file).hexdigest()[:8] for name, file in files.items()}


def page_names() -> Sequence[str]:
    """Return the names of all pages, and of what they share."""
    return _environment().list_templates(extensions=["html"])


def compile_page(name: str) -> None:
    """Read and compile a page, so that the first who asks waits no longer than the next."""
    _environment().get_template(name)


@cache  # pages take a tenth of a second to compile
def _environment() -> "jinja2.Environment":
    import jinja2  # once somebody looks: most gateways are looked after by monitoring alone

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bars_gateway.console", "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "clock": jinja2.pass_context(clock),
        "ago": ago,
        "lasting": lasting,
        "words": words,
        "value": value,
        "n": n,
        "room": room,
        "sentence": sentence,
        "capitalised": capitalised,
    }
    return environment


def clock(context: Mapping[str, datetime], at: datetime | None) -> str:
    """Return *at* for people and for machines; the year only where it is another one."""
    if at is None:
        return Markup("none")
    pattern = "%d %b %H:%M:%S" if at.year == context["at"].year else "%d %b %Y %H:%M:%S"
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(), at.strftime(pattern))


def words(code: str) -> str:
    """Return one of our own codes as it is read: `in_progress` as "in progress"."""
    return code.replace("_", " ")


def value(service: str) -> str:
    """Return of `system|value` what people know a service by."""
    return service.rpartition("|")[2]


def sentence(text: str) -> str:
    """Return *text* as a sentence of its own."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def n(count: int, noun: str, several: str = "") -> str:
    """Return a number with its noun, in the singular where it is one."""
    return f"{count:,} {noun if count == 1 else several or f'{noun}s'}"


def capitalised(sentence: str) -> str:
    """Return a sentence of ours with a capital at its head, and the rest as it is."""
    return sentence[:1].upper() + sentence[1:]
