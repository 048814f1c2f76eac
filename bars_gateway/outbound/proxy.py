"""
What we send to the BaRS proxy: a message, and what is not a message (reads, preview operations).

    Claim + token ──► budget ──► POST …/$process-message ──► ProxyAnswer
    BarsRequest ─► cache? ─► token ─► budget ─► proxy ─┬─► BarsAnswer, with whatever status
                                                       └─► Unanswered: no token, no time, silence

Whatever happens to a message on the way is a ProxyAnswer: silence, a page of some device
in between, or the Receiver's own words. No redirect is followed, because it would post the
patient's data to another address; no library retries, because the dispatcher decides that. The
proxy waits 32 seconds for a Receiver, so we wait longer: to give up before it does
would leave answers unread.

Reads share the token and the budget with messages, and no more: one that fails is not queued and
not remembered, for whoever asked still waits. A refused token is replaced once, as for a message.
Their connections are their own: a Receiver that hangs keeps each for as long as it is waited for,
and a message that found none free would be told as silence, though it never left.

Decisions: D-one-post.
"""

import asyncio
import io
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import aiohttp
import structlog
from yarl import URL

from bars_gateway.errors import EgressBlocked, TokenUnavailable
from bars_gateway.frozen import frozen
from bars_gateway.model.messages import Claim
from bars_gateway.outbound.budget import Budget, Turns
from bars_gateway.outbound.cache import Cache
from bars_gateway.outbound.egress import Egress, body_within, retry_after, sending
from bars_gateway.outbound.token import Tokens
from bars_gateway.standard.answers import Outcome, read_outcome
from bars_gateway.standard.headers import CORRELATION_ID, REQUEST_ID
from bars_gateway.standard.reads import BarsAnswer, BarsRequest, Unanswered
from bars_gateway.standard.verdict import FaultSide, ProxyAnswer

_KEPT_HEADERS = ("Content-Type", "Date", "Retry-After", REQUEST_ID, CORRELATION_ID)
SILENCE = ProxyAnswer(status=None)
log = structlog.get_logger(__name__)
_HANDED_ON = (
    *("Content-Type", "ETag", "Last-Modified", "Location", "Retry-After"),
    *(REQUEST_ID, CORRELATION_ID),
)
_REFUSED_TOKEN = 401
NO_TOKEN = Unanswered(
    reason="there is no access token",
    cure="ask again later; the status page says why",
    http_status=503,
)
NO_ANSWER = Unanswered(
    reason="no answer came that could be read", cure="ask again", http_status=502
)
NOT_LET_OUT = Unanswered(
    reason="nothing gets out of our own network",
    cure="ask again later; the status page says why",
    http_status=503,
)
TOO_LATE = Unanswered(reason="no answer came in time", cure="ask again", http_status=504)


class Proxy:
    """Posts messages for every provider."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        url: str,
        budgets: Mapping[str, Budget],
        answer_seconds: float,
        max_answer_bytes: int,
        egress: Egress | None = None,
    ) -> None:
        self._session = session
        self.egress = egress
        # The dollar stays as it is on the wire.
        self._url = URL(f"{url}/$process-message", encoded=True)
        self.budgets = budgets
        self._answer_seconds = answer_seconds
        self._max_answer_bytes = max_answer_bytes

    async def wait_for_turn(self, provider: str, *, urgent: bool = False) -> None:
        """Return when the provider's budget allows for one more request."""
        await self.budgets[provider].take(urgent=urgent)

    def seconds_to_turn(self, provider: str) -> float:
        """Return after how long a message of the provider may expect to leave; 0: at once."""
        turn = self.budgets[provider].seconds_to_turn()
        return max(turn, self.egress.seconds_left if self.egress else 0.0)

    def places(self, provider: str, most: int) -> int:
        """Return how many messages of the provider, of *most*, may leave at once."""
        return self.budgets[provider].places(most)

    def pause(self, provider: str, seconds: float) -> None:
        """Send nothing under the provider's application key for so long."""
        self.budgets[provider].pause(seconds)

    async def post(self, claim: Claim, token: str | None) -> ProxyAnswer:
        """
        Send the message once and return what came back.

        Raises EgressBlocked where it has not left our own network.
        """
        headers = dict(claim.request.headers)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        try:
            async with sending(
                self._session,
                self.egress,
                "POST",
                self._url,
                seconds=self._answer_seconds,
                data=io.BytesIO(claim.request.body),  # bytes would hold up the loop
                headers=headers,
            ) as response:
                body = await body_within(response, self._max_answer_bytes)
                return SILENCE if body is None else _answer(response, body, claim)
        except (TimeoutError, aiohttp.ClientError, OSError):
            return SILENCE


def _answer(response: aiohttp.ClientResponse, body: bytes, claim: Claim) -> ProxyAnswer:
    ok = 200 <= response.status < 300  # noqa: PLR2004
    outcome = Outcome(is_outcome=False) if ok else read_outcome(body)
    return ProxyAnswer(
        status=response.status,
        request_id=_echoed(response, REQUEST_ID, claim.request_id),
        correlation_id=_echoed(response, CORRELATION_ID, claim.correlation_id),
        code=outcome.code,
        issue=outcome.issue,
        is_outcome=outcome.is_outcome,
        media_type=_media_type(response),
        headers=_readable(response.headers, _KEPT_HEADERS),
        body=body,
        retry_after=retry_after(response.headers),
    )


def _media_type(response: aiohttp.ClientResponse) -> str:
    said = response.content_type
    return said if _is_readable(said) else "application/octet-stream"


def _readable(headers: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Return those of *names* that are there, and can be written in a header again."""
    found = {name: headers[name] for name in names if name in headers}
    return {name: said for name, said in found.items() if _is_readable(said)}


def _is_readable(said: str) -> bool:
    return said.isascii() and said.isprintable()


def _echoed(response: aiohttp.ClientResponse, name: str, ours: str | None) -> str | None:
    """
    Return our own spelling where it came back in whatever case, else what came first.

    Servers in between name requests, too, and put their own id beside the Receiver's.
    """
    lines = [each for each in response.headers.getall(name, ()) if _is_readable(each)]
    came = [each.strip() for line in lines for each in line.split(",") if each.strip()]
    if ours is not None and ours.lower() in (each.lower() for each in came):
        return ours
    return came[0] if came else None


def _refuses_token(answer: BarsAnswer) -> bool:
    """Tell whether our token is refused: a Receiver, which never sees it, has a 401 of its own."""
    if answer.http_status != _REFUSED_TOKEN:
        return False
    return (read_outcome(answer.body).code or "").partition("_")[0] != FaultSide.REC


@frozen(kw_only=True)
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
        self, request: BarsRequest, seconds: float | None = None, *, fresh: bool = False
    ) -> BarsAnswer | Unanswered:
        """Return the answer within *seconds*; *fresh*: not one that was kept."""
        started = time.monotonic()
        kept = None if fresh or not request.is_kept else await self._kept(request)
        answer = kept or await self._asked(request, seconds or self._limits.seconds)
        log.info(
            "outbound.read_ended",
            provider=request.provider,
            operation=f"{request.method} {request.resource}",
            receiver=request.target.text if request.target else None,
            request_id=request.headers.get(REQUEST_ID),
            correlation_id=request.headers.get(CORRELATION_ID),
            http_status=answer.http_status,
            reason="kept" if kept else getattr(answer, "reason", "asked"),
            seconds=round(time.monotonic() - started, 3),
        )
        return answer

    async def _kept(self, request: BarsRequest) -> BarsAnswer | None:
        return await asyncio.to_thread(self._cache.find, request, self._now())

    async def _asked(self, request: BarsRequest, seconds: float) -> BarsAnswer | Unanswered:
        try:
            async with asyncio.timeout(seconds):
                answer = await self._with_token(request)
        except TimeoutError:
            return TOO_LATE
        except EgressBlocked:
            return NOT_LET_OUT
        except TokenUnavailable as error:
            log.warning(
                "outbound.read_without_token",
                provider=request.provider,
                reason=str(error),
                advice=error.advice,
            )
            return NO_TOKEN
        except (aiohttp.ClientError, OSError):
            return NO_ANSWER
        if answer is None:
            return NO_ANSWER
        if request.is_kept:
            await self._keep(request, answer)
        return answer

    async def _keep(self, request: BarsRequest, answer: BarsAnswer) -> None:
        """Keep the answer where there is room; whoever asked has it in any case."""
        try:
            await asyncio.to_thread(self._cache.keep, request, answer, self._now())
        except OSError as error:
            log.warning("outbound.answer_not_kept", reason=error.strerror)

    async def _with_token(self, request: BarsRequest) -> BarsAnswer | None:
        tokens = self._tokens[request.provider]
        token = await tokens.token()
        answer = await self._send(request, token)
        if token is None or answer is None or not _refuses_token(answer):
            return answer
        tokens.discard(token)
        return await self._send(request, await tokens.token())

    async def _send(self, request: BarsRequest, token: str | None) -> BarsAnswer | None:
        await self._turns[request.provider].take(urgent=request.urgent)
        headers = dict(request.headers)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        async with sending(
            self._session,
            self._egress,
            request.method,
            URL(self._url + request.path, encoded=True),
            data=io.BytesIO(request.body) if request.body else None,
            headers=headers,
        ) as response:
            body = await body_within(response, self._limits.max_bytes)
            if body is None:
                return None
            handed_on = _readable(response.headers, _HANDED_ON)
            for name in {REQUEST_ID, CORRELATION_ID} & handed_on.keys():
                handed_on[name] = _echoed(response, name, request.headers.get(name)) or ""
            return BarsAnswer(
                http_status=response.status,
                media_type=handed_on.pop("Content-Type", "application/octet-stream"),
                body=body,
                headers=handed_on,
            )
