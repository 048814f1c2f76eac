"""
One POST to the BaRS proxy: the frozen headers and bytes out, an Answer back.

    Claim + token ──► budget ──► POST …/$process-message ──► Answer

Whatever happens on the way is an Answer: silence, a page of some device in between, or
the Receiver's own words. No redirect is followed, because it would post the patient's
data to another address; no library retries, because the dispatcher decides that. The
proxy waits 32 seconds for a Receiver, so we wait longer: to give up before it does
would leave answers unread.

Decisions: D-one-post.
"""

import asyncio
import email.utils
import io
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime

import aiohttp
from yarl import URL

from bars_gateway.model.messages import Claim
from bars_gateway.outbound.budget import Budget
from bars_gateway.outbound.egress import Crossing, Egress, EgressProxy, told_crossings
from bars_gateway.standard.answers import Outcome, read_outcome
from bars_gateway.standard.headers import CORRELATION_ID, REQUEST_ID
from bars_gateway.standard.verdict import Answer

_KEPT_HEADERS = ("Content-Type", "Date", "Retry-After", REQUEST_ID, CORRELATION_ID)
_CHUNK = 64 * 1024
_LONGEST_HEADER = 64 * 1024
_MOST_HEADERS = 1000
LONGEST_RETRY_AFTER = 600.0
SILENCE = Answer(status=None)


def open_session(
    context: ssl.SSLContext,
    *,
    connections: int,
    connect_seconds: float,
    egress: EgressProxy | None = None,
) -> aiohttp.ClientSession:
    """
    Return the one warm pool to the token service and the proxy.

    It goes through *egress* where one is set, whatever the environment's variables say.
    """
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=connections, limit_per_host=connections, ssl=context, keepalive_timeout=50
        ),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        proxy=egress.url if egress else None,
        trace_configs=[told_crossings()] if egress else None,
        skip_auto_headers=("User-Agent",),
        # An answer with long headers, or many, is an answer: each hop adds its own.
        max_line_size=_LONGEST_HEADER,
        max_field_size=_LONGEST_HEADER,
        max_headers=_MOST_HEADERS,
    )
    # Or a GET whose warm connection breaks would be sent twice, unseen and beyond the budget. The
    # library has no public name for it; a test sees that it is off.
    session._retry_connection = False  # noqa: SLF001
    return session


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
        self._budgets = budgets
        self._answer_seconds = answer_seconds
        self._max_answer_bytes = max_answer_bytes

    async def wait_for_turn(self, provider: str, *, urgent: bool = False) -> None:
        """Return when the provider's budget allows for one more request."""
        await self._budgets[provider].take(urgent=urgent)

    def seconds_to_turn(self, provider: str) -> float:
        """Return after how long a message of the provider may expect to leave; 0: at once."""
        turn = self._budgets[provider].seconds_to_turn()
        return max(turn, self.egress.seconds_left if self.egress else 0.0)

    def hold(self, provider: str, seconds: float) -> None:
        """Send nothing under the provider's application key for so long."""
        self._budgets[provider].hold(seconds)

    async def post(self, claim: Claim, token: str | None) -> Answer:
        """
        Send the message once and return what came back.

        Raises EgressBlocked where it has not left our own network.
        """
        headers = dict(claim.request.headers)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        crossing = Crossing()
        try:
            async with (
                asyncio.timeout(self._answer_seconds),
                self._session.post(
                    self._url,
                    data=io.BytesIO(claim.request.body),  # bytes would hold up the loop
                    headers=headers,
                    proxy_headers=self.egress.login if self.egress else None,
                    trace_request_ctx=crossing,
                    allow_redirects=False,
                ) as response,
            ):
                if self.egress is not None:
                    self.egress.passed()
                body = await body_within(response, self._max_answer_bytes)
                return SILENCE if body is None else _answer(response, body, claim)
        except (TimeoutError, aiohttp.ClientError, OSError, ssl.SSLError) as error:
            blocked = self.egress.blocked(error, crossing) if self.egress else None
            if blocked is not None:
                raise blocked from None
            return SILENCE


async def body_within(response: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """Return the whole body, inflated, or None where it is longer than *limit* bytes."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > limit:
            response.close()
            return None
    return bytes(body)


def _answer(response: aiohttp.ClientResponse, body: bytes, claim: Claim) -> Answer:
    ok = 200 <= response.status < 300  # noqa: PLR2004
    outcome = Outcome(is_outcome=False) if ok else read_outcome(body)
    return Answer(
        status=response.status,
        request_id=_echoed(response, REQUEST_ID, claim.request_id),
        correlation_id=_echoed(response, CORRELATION_ID, claim.correlation_id),
        code=outcome.code,
        issue=outcome.issue,
        is_outcome=outcome.is_outcome,
        media_type=response.content_type,
        headers={
            name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers
        },
        body=body,
        retry_after=retry_after(response.headers),
    )


def _echoed(response: aiohttp.ClientResponse, name: str, ours: str) -> str | None:
    """Return our own spelling where it came back in whatever case."""
    came = response.headers.get(name, "").strip()
    return ours if came.lower() == ours.lower() else came or None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait; a date counts from the answer's own, whatever our clock says."""
    text = headers.get("Retry-After", "")
    try:
        seconds = float(text)
    except ValueError:
        until, now = moment_of(text), moment_of(headers.get("Date"))
        if until is None or now is None:
            return None
        seconds = (until - now).total_seconds()
    return min(LONGEST_RETRY_AFTER, max(0.0, seconds))


def moment_of(date: str | None) -> datetime | None:
    """Return the moment that a date of HTTP names, or None where it is none."""
    try:
        moment = email.utils.parsedate_to_datetime(date or "")
    except (ValueError, OverflowError):
        return None
    # A zone of -0000 is read as none; HTTP's dates are in UTC whatever they say.
    return moment.replace(tzinfo=moment.tzinfo or UTC)
