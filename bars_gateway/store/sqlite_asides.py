"""
Setting aside on SQLite: the last resort, which never raises.

A place that fails again and again, such as an answer that the EPR asks for every second, is
written down once a minute. The log has every time.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import structlog

from bars_gateway.store import aside_works
from bars_gateway.store.alarms import ALARMS, About
from bars_gateway.store.asides import Aside
from bars_gateway.store.connection import Connection
from bars_gateway.store.database import Database
from bars_gateway.store.values import Claim
from bars_gateway.unforeseen import unforeseen

log = structlog.get_logger(__name__)

AGAIN_AFTER = timedelta(minutes=1)
_MOST_PLACES = 1000  # remembered at a time


class SqliteAsides:
    """The `Asides` of one open database."""

    def __init__(self, database: Database, *, ring: Callable[[], None]) -> None:
        self._database = database
        self._ring = ring
        self._last: dict[tuple[str, str | None, str], datetime] = {}

    async def tell(
        self,
        kind: Aside,
        error: BaseException,
        now: datetime,
        *,
        provider: str | None = None,
        request_id: str | None = None,
        message_id: int | None = None,
    ) -> None:
        """Raise an alarm, and log type and place of *error*; the same place once a minute."""
        if message_id is not None:
            kind = aside_works.kind_of(error, kind)
        about = {"provider": provider, "request_id": request_id}
        log_set_aside(kind, error, message_id=message_id, **about)
        what = unforeseen(error)
        if ALARMS[kind].about is About.PLACE and self._was_told(kind, provider, what.place, now):
            return
        await self._write(
            lambda c: aside_works.tell(c, kind, what, now, message_id=message_id, **about)
        )

    async def hold(
        self,
        message_id: int,
        error: BaseException,
        now: datetime,
        *,
        claim: Claim | None = None,
        began: bool = False,
    ) -> None:
        """Hold an outbound message that waits, or that *claim* is for; tell EPR and operator."""
        request_id = claim.request_id if claim else None
        log_set_aside(Aside.MESSAGE, error, message_id=message_id, request_id=request_id)
        number = claim.claim if claim else None
        await self._write(
            lambda c: aside_works.hold(c, message_id, error, now, number, began=began)
        )
        self._ring()

    async def keep_back(self, provider: str, notice_id: int, error: BaseException) -> None:
        """Give the EPR that notice no more until the next start, and tell the operator."""
        log_set_aside(Aside.NOTICE, error, provider=provider, notice_id=notice_id)
        await self._write(lambda c: aside_works.keep_back(c, provider, notice_id, error))

    async def begin_anew(self) -> int:
        """Try again each notice that was kept back; return how many: the gateway has started."""
        return await self._database.write(aside_works.begin_anew)

    def _was_told(self, kind: str, provider: str | None, place: str, now: datetime) -> bool:
        if len(self._last) >= _MOST_PLACES:
            self._last.clear()
        key = (kind, provider, place)
        last = self._last.get(key)
        if last is not None and last <= now < last + AGAIN_AFTER:
            return True
        self._last[key] = now
        return False

    async def _write(self, work: Callable[[Connection], Any]) -> None:
        try:
            await self._database.write(work)
        except Exception as error:  # unit of work
            what = unforeseen(error)
            log.error("unit.not_told", exception=what.exception, place=what.place)


def log_set_aside(kind: Aside, error: BaseException, **about: Any) -> None:
    """Log type and place of an error, and what it was about; nothing that it says."""
    what = unforeseen(error)
    known = {name: value for name, value in about.items() if value is not None}
    advice = ALARMS[kind].advice
    log.error(
        "unit.set_aside",
        kind=kind.value,
        exception=what.exception,
        place=what.place,
        advice=advice,
        **known,
    )
