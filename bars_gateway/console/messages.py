"""
Messages: found by what people know of them, and each with all that happened to it.

    GET /messages          a list, newest first; every filter stands in the address
    GET /messages/NUMBER   one message, to stay: numbers are never used twice

An id that only one message has leads to that message. What a message holds is hidden, and so is the
body of every answer: only codes, and such headers as hold ids, times and services, are shown
(`shown_headers`). A value is shown only if it has the form of what the standard puts there, for a
Sender may have put anything in its place; what has another form is hidden, and said to have it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from http import HTTPStatus
from urllib.parse import urlencode

from aiohttp import web

from bars_gateway.console.desk import Asked, Desk, missing, shown
from bars_gateway.console.hands import place_of
from bars_gateway.frozen import frozen
from bars_gateway.model.interventions import IN_BULK, Verb
from bars_gateway.model.messages import OutboundState, Part
from bars_gateway.model.timeline import ANSWERS
from bars_gateway.standard.headers import HeaderProblem, TargetIdentifier
from bars_gateway.standard.sentences import means
from bars_gateway.standard.verdict import FaultSide
from bars_gateway.store.searches import RECEIVED, MessageFilter, Page, Whole

PLACE = "/messages"
_OF_EARLIER = frozenset({"duplicate"})  # whose answer is the one before it
_GROUPED = timedelta(days=30)
_STATES = (*OutboundState, RECEIVED)
FILTERS = (
    "id",
    "provider",
    "direction",
    "counterparty",
    "use_case",
    "state",
    "code",
    "fault",
    "since",
    "before",
)


class MessagePages:
    """The pages about messages."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._searches = desk, desk.store.searches

    def routes(self) -> Sequence[web.RouteDef]:
        """Return what can be asked for."""
        return [
            web.get(PLACE, self._list),
            web.get(PLACE + r"/{number:\d{1,18}}", self._one),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        frame, asked = self._desk.frame(PLACE), Asked(request.query)
        wanted, below = wanted_of(asked), asked.number("below")
        page = Page(messages=[], below=None, looked_back_to=None)
        if not asked.problems:
            page = await self._searches.page(wanted, below)
        if _is_one(wanted, page):
            raise web.HTTPFound(f"{PLACE}/{page.messages[0].message.message_id}")
        filters = {name: asked.text(name) or "" for name in FILTERS}
        filters |= {"since": _typed(wanted.since), "before": _typed(wanted.before)}
        return shown(
            "messages.html",
            frame,
            HTTPStatus.BAD_REQUEST if asked.problems else HTTPStatus.OK,
            filters=filters,
            problems=asked.problems,
            is_filtered=any(filters.values()),
            is_first=below is None,
            page=page,
            means={
                each.message.message_id: means(each.message.seen_at(frame.at))
                for each in page.messages
            },
            known=await self._searches.known(),
            states=_STATES,
            faults=list(FaultSide),
            troubles=await self._searches.troubles(frame.at - _GROUPED),
            address=address,
            older=address(filters | {"below": str(page.below)}) if page.below else None,
            newest=address(filters),
            verbs=verbs_for(wanted) if any(filters.values()) else (),
            query=urlencode({name: each for name, each in filters.items() if each}),
        )

    async def _one(self, request: web.Request) -> web.Response:
        frame = self._desk.frame(PLACE)
        number = int(request.match_info["number"])
        found = await self._searches.message(number)
        if found is None:
            why = "Numbers are never used twice: no message has had it yet, or it was removed."
            return missing(frame, f"message {number}", why)
        explained = await self._desk.store.explanations.explained(str(number), frame.at)
        return shown(
            "message.html",
            frame,
            whole=found,
            message=found.history.message,
            told=next(each for each in explained if each.message.message_id == number),
            answers=ANSWERS,
            words=_has_words(found),
            place_of=place_of,
            headers={each.part: shown_headers(each.headers) for each in found.kept},
        )


def _has_words(whole: Whole) -> bool:
    """Tell whether the answer that is kept came of the last attempt, and that ended the message."""
    message, attempts = whole.history.message, whole.history.attempts
    if not attempts or attempts[-1].row in _OF_EARLIER:
        return False
    kept = any(each.part == Part.ANSWER for each in whole.kept)
    return kept and message.settled_at == attempts[-1].ended_at


def address(filters: Mapping[str, str]) -> str:
    """Return where the messages that fit are listed."""
    return f"{PLACE}?{urlencode({name: value for name, value in filters.items() if value})}"


def verbs_for(wanted: MessageFilter) -> Sequence[Verb]:
    """Return what may be done with all that fit."""
    if wanted.direction == "inbound":
        return ()
    return [verb for verb in Verb if wanted.state is None or wanted.state in IN_BULK[verb]]


def wanted_of(asked: Asked) -> MessageFilter:
    """Return what the filters ask for."""
    fault = asked.text("fault")
    if fault is not None and fault not in FaultSide.__members__:
        asked.problems["fault"] = f"must be one of {', '.join(FaultSide)}"
        fault = None
    return MessageFilter(
        named=asked.text("id"),
        **{
            name: asked.text(name)
            for name in ("provider", "direction", "counterparty", "use_case", "state")
        },
        trouble=asked.text("code"),
        fault=FaultSide(fault) if fault else None,
        since=asked.time("since"),
        before=asked.time("before"),
    )


def _typed(at: datetime | None) -> str:
    """Return an instant as a field for one takes it."""
    return f"{at:%Y-%m-%dT%H:%M:%S}" if at else ""


def _is_one(wanted: MessageFilter, page: Page) -> bool:
    """Tell whether an id alone was asked for, and one message alone has it."""
    others = {name: each for name, each in asdict(wanted).items() if name != "named"}
    return bool(wanted.named) and not any(others.values()) and len(page.messages) == 1


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_MEDIA = re.compile(
    r"application/(fhir\+)?(json|xml)(\s*;\s*(version|fhirVersion|charset)=[\w.+-]{1,12})*",
    re.ASCII | re.IGNORECASE,
)
# Use case, category or status, event and reason, each in a word of the standard's.
_CONTEXT = re.compile(
    r"[a-z]\d[a-z]\d\|(referral|validation|transfer-of-care|booked|cancelled|entered-in-error)?\|"
    r"(booking|servicerequest)-(request|response)\|(new|update|delete)",
    re.ASCII,
)
_NUMBER = re.compile(r"\d{1,12}", re.ASCII)
_DATE = re.compile(r"\w{3}, \d{2} \w{3} \d{4} \d{2}:\d{2}:\d{2} GMT", re.ASCII)
_CODING = re.compile(r"(gzip|deflate|br|identity)(,\s*(gzip|deflate|br|identity))*", re.ASCII)
_SYSTEM = re.compile(r"https://fhir\.nhs\.uk/Id/[\w-]{1,60}", re.ASCII)
_SERVICE = re.compile(r"[A-Za-z0-9-]{1,24}", re.ASCII)


@frozen(kw_only=True)
class ShownHeader:
    """One header as it may be seen."""

    name: str
    value: str | None  # None: hidden
    why: str = ""  # why it is


def _of_form(form: re.Pattern[str]) -> Callable[[str], str | None]:
    return lambda value: value if form.fullmatch(value) else None


def _target(value: str) -> str | None:
    """Return the service that it names, decoded."""
    try:
        found = TargetIdentifier.decode(value)
    except HeaderProblem:
        return None
    fits = _SYSTEM.fullmatch(found.system) and _SERVICE.fullmatch(found.value)
    return found.text if fits else None


_SHOWN: Mapping[str, Callable[[str], str | None]] = {
    "X-Request-Id": _of_form(_UUID),
    "X-Correlation-Id": _of_form(_UUID),
    "NHSD-Target-Identifier": _target,
    "use-context": _of_form(_CONTEXT),
    "Accept": _of_form(_MEDIA),
    "Content-Type": _of_form(_MEDIA),
    "Content-Length": _of_form(_NUMBER),
    "Content-Encoding": _of_form(_CODING),
    "Accept-Encoding": _of_form(_CODING),
    "Date": _of_form(_DATE),
}
_PEOPLE = "about people or software: hidden"
_HIDDEN: Mapping[str, str] = {
    "NHSD-End-User-Organisation": _PEOPLE,
    "NHSD-Requesting-Practitioner": _PEOPLE,
    "NHSD-Requesting-Software": _PEOPLE,
}
_ODD = "not of the form that the standard gives it: hidden"


def shown_headers(headers: Mapping[str, str]) -> Sequence[ShownHeader]:
    """Return what may be seen of *headers*, in the order of the standard; others are counted."""
    given = {name.lower(): value for name, value in headers.items()}
    found = []
    for name, read in _SHOWN.items():
        if (value := given.pop(name.lower(), None)) is not None:
            seen = read(value.strip())
            found.append(ShownHeader(name=name, value=seen, why="" if seen else _ODD))
    for name, why in _HIDDEN.items():
        if given.pop(name.lower(), None) is not None:
            found.append(ShownHeader(name=name, value=None, why=why))
    if given:
        found.append(ShownHeader(name=f"{len(given)} more", value=None, why="hidden"))
    return found
