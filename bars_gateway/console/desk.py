"""What every page has at hand: the store, what runs, and the time."""

from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPStatus

from aiohttp import web

from bars_gateway.console.rendering import Frame, render
from bars_gateway.frozen import frozen
from bars_gateway.model.numbers import number_in
from bars_gateway.standard.timing import typed_instant
from bars_gateway.status.running import RuntimeState
from bars_gateway.store.store import Store


@frozen(kw_only=True)
class Publication:
    """What a service has published about itself, as it is kept here."""

    service: str  # system|value; empty: the national proxy's own
    resource: str
    kept_at: datetime
    until: datetime


@frozen(kw_only=True)
class Desk:
    """What every page has at hand."""

    store: Store
    running: Callable[[], RuntimeState]
    now: Callable[[], datetime]
    first_days: int = 90  # how many days before its end a thing becomes news

    def frame(self, here: str) -> Frame:
        """Return what stands around a page at that place, as of now."""
        return Frame(running=self.running(), at=self.now(), here=here)


def shown(
    name: str, frame: Frame, status: HTTPStatus = HTTPStatus.OK, **what: object
) -> web.Response:
    """Return the answer that shows that page."""
    html = render(name, frame, **what)
    return web.Response(text=html, content_type="text/html", status=status)


def missing(frame: Frame, what: str, why: str) -> web.Response:
    """Return the answer to whoever asks for what is not there."""
    return shown("missing.html", frame, HTTPStatus.NOT_FOUND, what=what, why=why)


class Asked:
    """The filters of a request; what cannot be read is told, by name, and not taken."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self._query = query
        self.problems: dict[str, str] = {}

    def text(self, name: str) -> str | None:
        """Return what is asked for, or None."""
        return self._query.get(name, "").strip() or None

    def number(self, name: str) -> int | None:
        """Return the number that is asked for, or None."""
        given = self.text(name)
        if given is None:
            return None
        number = number_in(given)
        if number is None:
            self.problems[name] = "must be a number"
        return number

    def time(self, name: str) -> datetime | None:
        """Return the instant that is asked for; without an offset it is UTC."""
        given = self.text(name)
        if given is None:
            return None
        found = typed_instant(given)
        if found is None:
            self.problems[name] = "must be a date and time, as 2026-03-02T09:00"
        return found
