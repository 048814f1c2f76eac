"""
Moves on the socket.

    POST /moves     201 receipt and message · 200 the same again · 404, 409, 422 issues

The body is JSON: `asked_moves` says what it holds, and docs/moves.md what for.
"""

from aiohttp import web

from bars_gateway.epr import documents
from bars_gateway.epr.moves import MoveNotMade, Moves
from bars_gateway.listeners import body_of


class MoveRequests:
    """Serves moves on one provider's socket."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves

    def routes(self) -> list[web.RouteDef]:
        """Return what is served."""
        return [web.post("/moves", self._make)]

    async def _make(self, request: web.Request) -> web.Response:
        content = await body_of(request)
        try:
            made = await self._moves.make(content)
        except MoveNotMade as refused:
            return _json(
                documents.move_refusal(refused.issues, refused.message), refused.http_status
            )
        document = documents.made(made.accepted, made.message)
        return _json(document, 201 if made.is_new else 200)


def _json(document: documents.Document, status: int) -> web.Response:
    body = documents.encode(document)
    return web.Response(body=body, status=status, content_type="application/json")
