"""
Asks the proxy what is no message: reads for the EPR, and the preview operations.

    Enquiry ─► cache? ─► token ─► budget ─► proxy ─► BarsAnswer, with whatever status
                                                └──► Unanswered: no token, no time, silence

They share the token, the budget and the warm connections with messages, and no more: a
read that fails is not queued and not remembered, for whoever asked still waits. A refused
token is replaced once, as for a message.
"""

import asyncio
import io
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import aiohttp
import structlog
from yarl import URL

from bars_gateway.errors import EgressBlocked, TokenUnavailable
from bars_gateway.outbound.budget import Turns
from bars_gateway.outbound.cache import Cache
from bars_gateway.outbound.egress import Crossing, Egress
from bars_gateway.outbound.proxy import body_within
from bars_gateway.outbound.token import Tokens
from bars_gateway.standard.headers import CORRELATION_ID, REQUEST_ID
from bars_gateway.standard.reads import BarsAnswer, Enquiry, Unanswered

log = structlog.get_logger(__name__)

_HANDED_ON = ("ETag", "Last-Modified", "Location", "Retry-After", REQUEST_ID, CORRELATION_ID)
_REFUSED_TOKEN = 401

NO_TOKEN = Unanswered(
    reason="there is no access token",
    cure="ask again later; the status page says why",
    http_status=503,
)
SILENCE = Unanswered(reason="no answer came that could be read", cure="ask again", http_status=502)
NOT_LET_OUT = Unanswered(
    reason="nothing gets out of our own network",
    cure="ask again later; the status page says why",
    http_status=503,
)
TOO_LATE = Unanswered(reason="no answer came in time", cure="ask again", http_status=504)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLimits:
    """How long to wait, and how much to read."""

    seconds: float
    max_bytes: int


class ProxyReads:
    """Asks for every provider."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        tokens: Mapping[str, Tokens],
        turns: Mapping[str, Turns],
        *,
        url: str,
        cache: Cache,
        limits: ReadLimits,
        now: Callable[[], datetime],
        egress: Egress | None = None,
    ) -> None:
        self._session = session
        self._egress = egress
        self._tokens = tokens
        self._turns = turns
        self._url = url
        self._cache = cache
        self._limits = limits
        self._now = now

    async def ask(
        self, enquiry: Enquiry, seconds: float | None = None, *, fresh: bool = False
    ) -> BarsAnswer | Unanswered:
        """Return the answer within *seconds*; *fresh*: not one that was kept."""
        started = time.monotonic()
        kept = None if fresh or not enquiry.is_kept else await self._kept(enquiry)
        answer = kept or await self._asked(enquiry, seconds or self._limits.seconds)
        log.info(
            "outbound.read_ended",
            provider=enquiry.provider,
            operation=f"{enquiry.method} {enquiry.resource}",
            receiver=enquiry.target.text if enquiry.target else None,
            request_id=enquiry.headers.get(REQUEST_ID),
            http_status=answer.http_status,
            reason="kept" if kept else getattr(answer, "reason", "asked"),
            seconds=round(time.monotonic() - started, 3),
        )
        return answer

    async def _kept(self, enquiry: Enquiry) -> BarsAnswer | None:
        return await asyncio.to_thread(self._cache.find, enquiry, self._now())

    async def _asked(self, enquiry: Enquiry, seconds: float) -> BarsAnswer | Unanswered:
        try:
            async with asyncio.timeout(seconds):
                answer = await self._with_token(enquiry)
        except TimeoutError:
            return TOO_LATE
        except EgressBlocked:
            return NOT_LET_OUT
        except TokenUnavailable as error:
            log.warning(
                "outbound.read_without_token",
                provider=enquiry.provider,
                reason=str(error),
                advice=error.advice,
            )
            return NO_TOKEN
        except (aiohttp.ClientError, OSError, ssl.SSLError):
            return SILENCE
        if answer is None:
            return SILENCE
        if enquiry.is_kept:
            await self._keep(enquiry, answer)
        return answer

    async def _keep(self, enquiry: Enquiry, answer: BarsAnswer) -> None:
        """Keep the answer where there is room; whoever asked has it in any case."""
        try:
            await asyncio.to_thread(self._cache.keep, enquiry, answer, self._now())
        except OSError as error:
            log.warning("outbound.answer_not_kept", reason=error.strerror)

    async def _with_token(self, enquiry: Enquiry) -> BarsAnswer | None:
        tokens = self._tokens[enquiry.provider]
        token = await tokens.token()
        answer = await self._send(enquiry, token)
        if token is None or answer is None or answer.http_status != _REFUSED_TOKEN:
            return answer
        tokens.discard(token)
        return await self._send(enquiry, await tokens.token())

    async def _send(self, enquiry: Enquiry, token: str | None) -> BarsAnswer | None:
        await self._turns[enquiry.provider].take(urgent=enquiry.urgent)
        crossing = Crossing()
        try:
            return await self._sent(enquiry, token, crossing)
        except (aiohttp.ClientError, OSError, ssl.SSLError) as error:
            blocked = self._egress.blocked(error, crossing) if self._egress else None
            if blocked is not None:
                raise blocked from None
            raise

    async def _sent(
        self, enquiry: Enquiry, token: str | None, crossing: Crossing
    ) -> BarsAnswer | None:
        headers = dict(enquiry.headers)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        async with self._session.request(
            enquiry.method,
            URL(self._url + enquiry.path, encoded=True),
            data=io.BytesIO(enquiry.body) if enquiry.body else None,
            headers=headers,
            proxy_headers=self._egress.login if self._egress else None,
            trace_request_ctx=crossing,
            allow_redirects=False,
        ) as response:
            if self._egress is not None:
                self._egress.passed()
            body = await body_within(response, self._limits.max_bytes)
            if body is None:
                return None
            return BarsAnswer(
                http_status=response.status,
                media_type=response.headers.get("Content-Type", "application/octet-stream"),
                body=body,
                headers={
                    name: response.headers[name] for name in _HANDED_ON if name in response.headers
                },
            )
