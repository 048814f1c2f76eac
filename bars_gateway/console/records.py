"""
Records: what is kept from every purge, and what purges have removed, each with its certificate.

    GET /records              legal holds, by whose word and why; the latest purges
    GET /records?verify=12    the same, and whether what purge 12 certifies is so

It is a list of what is so, for whoever has to answer for it. Records are held, released and purged
by commands, which are said there. Nothing of what left is shown: its numbers are a command's.
"""

from collections.abc import Sequence
from http import HTTPStatus

from aiohttp import web

from bars_gateway.console.desk import Asked, Desk, shown

_PLACE = "/records"
_HOLDS = 500
_PURGES = 60  # two months of nights


class RecordPages:
    """The page about records that stay, and records that left."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._store = desk, desk.store

    def routes(self) -> Sequence[web.RouteDef]:
        """Return what can be asked for."""
        return [web.get(_PLACE, self._show)]

    async def _show(self, request: web.Request) -> web.Response:
        frame, asked = self._desk.frame(_PLACE), Asked(request.query)
        number = asked.number("verify")
        flaws = await self._store.purges.flaws(number) if number is not None else None
        if number is not None and flaws is None:
            asked.problems["verify"] = "must be the number of a purge"
        return shown(
            "records.html",
            frame,
            HTTPStatus.BAD_REQUEST if asked.problems else HTTPStatus.OK,
            holds=await self._store.record_holds.standing(_HOLDS),
            most_holds=_HOLDS,
            certificates=await self._store.purges.newest(_PURGES),
            most_purges=_PURGES,
            verified=number,
            flaws=flaws,
            problems=asked.problems,
        )
