"""
Sends the counterparty's own messages through the proxy, as any Sender does.

    body ─► headers ─► token ─► POST ─► verdict: retry with the same ids, or done

It is an application of the token service, but lives in the same process, so that its
tokens are handed to it without a JWT. Faults of the proxy strike it as they do others.
"""

import asyncio
import ssl
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bars_gateway.sandbox.counterparty.services import ODS_CODE
from bars_gateway.standard import answers, bundle
from bars_gateway.standard.formats import Format
from bars_gateway.standard.headers import (
    CORRELATION_ID,
    REQUEST_ID,
    Ids,
    SenderIdentity,
    for_sending,
)
from bars_gateway.standard.verdict import KEPT_OUT, Answer, Before, Verdict, judge

ANSWER_SECONDS = 40.0  # longer than the proxy waits for a Receiver
_AGAIN = frozenset({Verdict.RETRY, Verdict.RETRY_LIMITED, Verdict.UNAUTHORIZED})
_LONGEST_PAUSE_SECONDS = 30.0
_IDENTITY = SenderIdentity(
    ods_code=ODS_CODE,
    organisation="Invented counterparty",
    software_name="bars_gateway sandbox",
    software_version="1",
    software_system="https://counterparty.sandbox.local/Id/software",
    software_value="1",
    core_version="1.5.0",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of one message."""

    request_id: str
    verdict: Verdict
    http_status: int | None
    code: str | None
    issue: str | None
    body: bytes

    def document(self) -> dict[str, object]:
        """Return what the admin port says of it."""
        return {
            "request_id": self.request_id,
            "verdict": self.verdict,
            "http_status": self.http_status,
            "code": self.code,
            "issue": self.issue,
        }


def open_session(trusted: Path) -> aiohttp.ClientSession:
    """Return a session that calls the proxy, whose authority is in *trusted*."""
    context = ssl.create_default_context(cafile=str(trusted))
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context),
        timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
        trust_env=False,
    )


class Sender:
    """Posts messages until their fate is known, or so many times."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: Callable[[], str],
        token: Callable[[], str],
        *,
        first_pause_seconds: float,
    ) -> None:
        self._session = session
        self._url = url
        self._token = token
        self._first_pause = first_pause_seconds

    async def send(
        self, body: bytes, correlation_id: str, *, attempts: int, request_id: str | None = None
    ) -> Sent:
        """Send *body*, at most *attempts* times, under the same ids each time."""
        ids = Ids(request_id or str(uuid.uuid4()), correlation_id)
        message = bundle.read(body)
        headers = for_sending(message, _IDENTITY, ids=ids, media_type=Format.JSON)
        pause, before = self._first_pause, Before.NOTHING
        while True:
            attempts -= 1
            answer = await self._post(body, headers)
            found = judge(
                answer,
                request_id=ids.request_id,
                correlation_id=ids.correlation_id,
                before=before,
            )
            if found.row not in KEPT_OUT:
                before = Before.UNKNOWN
            if found.verdict not in _AGAIN or attempts <= 0:
                return Sent(
                    request_id=ids.request_id,
                    verdict=found.verdict,
                    http_status=answer.status,
                    code=answer.code,
                    issue=answer.issue,
                    body=answer.body,
                )
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _post(self, body: bytes, headers: dict[str, str]) -> Answer:
        authorised = headers | {"Authorization": f"Bearer {self._token()}"}
        url = f"{self._url()}/$process-message"
        try:
            async with self._session.post(url, data=body, headers=authorised) as response:
                return _answer(response, await response.read())
        except (aiohttp.ClientError, TimeoutError):
            return Answer(status=None)


def _answer(response: aiohttp.ClientResponse, body: bytes) -> Answer:
    outcome = answers.read_outcome(body) if not response.ok else None
    return Answer(
        status=response.status,
        request_id=response.headers.get(REQUEST_ID),
        correlation_id=response.headers.get(CORRELATION_ID),
        code=outcome.code if outcome else None,
        issue=outcome.issue if outcome else None,
        is_outcome=bool(outcome and outcome.is_outcome),
        body=body,
    )
