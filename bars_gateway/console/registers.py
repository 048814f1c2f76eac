"""
Registers: alarms and alerts, counterparties, quarantine, certificates and keys, settings, audit.

    GET /alarms           what stands until somebody has seen to it, the most harmful kind first;
                          and alerts that are open, and who sees to them
    GET /counterparties   each service at the other side: how it stands, since when, what waits
    GET /quarantine       what came and belongs to no workflow yet
    GET /keys             tokens, certificates and keys: when they end, and what to do
    GET /configuration    every setting that is in force, and where it came from; no secret
    GET /audit            who did what, when and why; every filter stands in the address

Each is a list of what is so. What can be done about it is said as the command that does it. An
alarm names what it speaks of; an alert is what people are told elsewhere, and names no message.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from urllib.parse import urlencode

from aiohttp import web

from bars_gateway.config import Described
from bars_gateway.console.desk import Asked, Desk, Publication, shown
from bars_gateway.console.leads import anchor
from bars_gateway.model.alarms import ALARMS
from bars_gateway.model.readings import AuditLine
from bars_gateway.model.timeline import ANSWERS
from bars_gateway.status.runbooks import RUNBOOKS
from bars_gateway.store.audit import Sought
from bars_gateway.store.counterparties import IN_WORDS
from bars_gateway.upkeep.housekeeping import remaining, stage

_LISTED = 200
_OF_EACH_KIND = 50  # alarms
_PAGE = 100
_ALARMS = "/alarms"
_AUDITED = ("of", "actor", "kind", "provider", "since", "before")


class RegisterPages:
    """The pages that list one thing."""

    def __init__(
        self,
        desk: Desk,
        settings: Callable[[], Sequence[Described]],
        published: Callable[[], Sequence[Publication]],
    ) -> None:
        """Take what the pages tell of: *settings* are those in force, without secrets."""
        self._desk, self._store = desk, desk.store
        self._settings, self._published = settings, published

    def routes(self) -> Sequence[web.RouteDef]:
        """Return what can be asked for."""
        return [
            web.get("/counterparties", self._counterparties),
            web.get("/quarantine", self._quarantine),
            web.get("/keys", self._keys),
            web.get("/configuration", self._configuration),
            web.get("/audit", self._audit),
        ]

    async def _counterparties(self, _request: web.Request) -> web.Response:
        frame = self._desk.frame("/counterparties")
        found = await self._store.counterparties.all(frame.at)
        published: dict[str, list[Publication]] = {}
        for each in self._published():
            published.setdefault(each.service, []).append(each)
        return shown(
            "counterparties.html",
            frame,
            counterparties=found,
            published=published,
            in_words=IN_WORDS,
            answers=ANSWERS,
        )

    async def _quarantine(self, _request: web.Request) -> web.Response:
        frame = self._desk.frame("/quarantine")
        found = await self._store.quarantine.waiting(_LISTED)
        return shown("quarantine.html", frame, kept=found, listed=_LISTED)

    async def _keys(self, _request: web.Request) -> web.Response:
        frame = self._desk.frame("/keys")
        due = [
            (each, remaining(each, frame.at), stage(each, frame.at, self._desk.first_days))
            for each in sorted(frame.running.expiries, key=lambda each: each.ends_at)
        ]
        return shown("keys.html", frame, due=due, anchor=anchor)

    async def _configuration(self, _request: web.Request) -> web.Response:
        frame = self._desk.frame("/configuration")
        return shown("configuration.html", frame, settings=self._settings())

    async def _audit(self, request: web.Request) -> web.Response:
        frame, asked = self._desk.frame("/audit"), Asked(request.query)
        sought = sought_of(asked)
        lines: list[AuditLine] = []
        if not asked.problems:
            lines = await self._store.audit.lines(sought, _PAGE + 1)
        filters = {name: asked.text(name) or "" for name in _AUDITED}
        return shown(
            "audit.html",
            frame,
            HTTPStatus.BAD_REQUEST if asked.problems else HTTPStatus.OK,
            lines=lines[:_PAGE],
            trail_head=await self._store.chain.head(),
            walked=await self._store.chain.last_walk(),
            filters=filters,
            problems=asked.problems,
            older=_older(filters, lines),
            newest=_audit_of(filters),
            is_first=asked.text("after") is None,
        )


def _older(filters: Mapping[str, str], lines: Sequence[AuditLine]) -> str | None:
    """Return where the list goes on; None: it has ended."""
    if len(lines) <= _PAGE:
        return None
    last = lines[_PAGE - 1]
    return _audit_of({**filters, "after": str(last.number), "after_at": last.at.isoformat()})


def _audit_of(filters: Mapping[str, str]) -> str:
    """Return where the lines that fit are listed."""
    return f"/audit?{urlencode({name: each for name, each in filters.items() if each})}"


def sought_of(asked: Asked) -> Sought:
    """Return which lines of the audit trail are asked for."""
    sought = Sought(
        provider=asked.text("provider"),
        actor=asked.text("actor"),
        kind=asked.text("kind"),
        of=asked.text("of"),
    )
    since, before = asked.time("since"), asked.time("before")
    number, at = asked.number("after"), asked.time("after_at")
    sought = replace(sought, since=since or sought.since, until=before or sought.until)
    if number is not None and at is not None:
        sought = replace(sought, after=_mark(number, at))
    return sought


def _mark(number: int, at: datetime) -> AuditLine:
    """Return what stands for the last line of the page before."""
    return AuditLine(
        number=number,
        at=at,
        provider=None,
        kind="",
        role=None,
        who=None,
        why=None,
        request_id=None,
        message_id=None,
        detail={},
    )


class AlarmPages:
    """The page about alarms and alerts."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._store = desk, desk.store

    def routes(self) -> Sequence[web.RouteDef]:
        """Return what can be asked for."""
        return [web.get(_ALARMS, self._show)]

    async def _show(self, request: web.Request) -> web.Response:
        frame, asked = self._desk.frame(_ALARMS), Asked(request.query)
        kind = asked.text("kind")
        if kind is not None and kind not in ALARMS:
            asked.problems["kind"] = "must be one of the list"
        alarms = []
        most = _LISTED if kind else _OF_EACH_KIND
        if not asked.problems:
            alarms = await self._store.alarms.listed(kind, most)
        overview = await self._store.watched(frame.at)
        return shown(
            "alarms.html",
            frame,
            HTTPStatus.BAD_REQUEST if asked.problems else HTTPStatus.OK,
            alarms=alarms,
            alerts=await self._store.alerts.standing(),
            kind=kind or "",
            kinds={each: overview.alarmed(each) for each in ALARMS if overview.alarmed(each)},
            nouns={each: found.noun for each, found in ALARMS.items()},
            problems=asked.problems,
            books=RUNBOOKS,
            most=most,
        )
