"""
Whether messages can be received, and whether they can be sent: what a balancer asks.

    RuntimeState + the store's trouble ─► Readiness ─┬─► GET /readyz
                                                     └─► GET /readyz/sending

The two are told apart, for a balancer that takes the gateway out of service because its token
is refused would turn away every Sender, too. Reasons hold names of providers and folders, and
nothing of a message.

Decisions: D-readiness.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from aiohttp import web

from bars_gateway.errors import StoreError
from bars_gateway.status.concerns import LYING_SECONDS, UNINSPECTED, RuntimeState
from bars_gateway.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What stands in the way; empty where nothing does."""

    of_receiving: Sequence[str]
    of_sending: Sequence[str]
    of_neither: Sequence[str] = ()  # what somebody may want to know all the same


def readiness(running: RuntimeState, store_trouble: str | None) -> Readiness:
    """Return what stands in the way of receiving and of sending."""
    both = list(_of_both(running, store_trouble))
    return Readiness(
        of_receiving=both,
        of_sending=[*both, *_of_sending(running)],
        of_neither=list(_of_neither(running)),
    )


def _of_both(running: RuntimeState, store_trouble: str | None) -> Iterator[str]:
    if running.stopping:
        yield "stopping"
    if store_trouble is not None:
        yield store_trouble
    if running.unavailable is not None:
        yield running.unavailable.reason


def _of_sending(running: RuntimeState) -> Iterator[str]:
    if running.egress is not None:
        yield f"nothing gets out: {running.egress.reason}"
    for token in running.tokens:
        if token.failing_since:
            yield f"no access token for {token.provider}: {token.reason}"
    for kept_out in running.kept_out:
        yield f"the national proxy refuses {kept_out.provider}: {kept_out.reason}"
    for folder, reason in running.stalled.items():
        yield f"{folder} stands still: {reason}"
    for each in running.lying:
        if each.seconds >= LYING_SECONDS:
            yield f"{each.count} in {each.folder} not taken"


def _of_neither(running: RuntimeState) -> Iterator[str]:
    inspection = running.inspection
    if inspection is not None and inspection.waits_since is not None:
        yield f"{UNINSPECTED} since {inspection.waits_since:%Y-%m-%d %H:%M} UTC"


class Health:
    """Answers who asks whether the process lives, and what it can do."""

    def __init__(self, store: Store, running: Callable[[], RuntimeState]) -> None:
        self._store, self._running = store, running

    def routes(self) -> Iterable[web.RouteDef]:
        """Return where it answers."""
        return [
            web.get("/healthz", self._alive),
            web.get("/readyz", self._receiving),
            web.get("/readyz/sending", self._sending),
        ]

    async def _alive(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _receiving(self, _request: web.Request) -> web.Response:
        found = await self._readiness()
        return _told(found, ready=not found.of_receiving)

    async def _sending(self, _request: web.Request) -> web.Response:
        found = await self._readiness()
        return _told(found, ready=not found.of_sending)

    async def _readiness(self) -> Readiness:
        trouble = None
        try:
            await self._store.prove_readable()
        except StoreError as error:
            trouble = str(error)
        return readiness(self._running(), trouble)


def _told(found: Readiness, *, ready: bool) -> web.Response:
    document = {
        "ready": ready,
        "receiving": not found.of_receiving,
        "sending": not found.of_sending,
        "reasons": [*found.of_sending, *found.of_neither],
    }
    return web.json_response(document, status=200 if ready else 503)
