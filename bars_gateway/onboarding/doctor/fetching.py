"""One GET, as an outsider would do it: no redirect, no proxy of the environment, no patience."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bars_gateway.outbound.egress import Crossing, EgressProxy, blocked_by
from bars_gateway.outbound.proxy import body_within, open_session
from bars_gateway.tls.contexts import client_context

SECONDS = 10.0
_MOST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def fetch(
    url: str,
    ca_file: Path | None,
    headers: Mapping[str, str] | None = None,
    *,
    context: ssl.SSLContext | None = None,
    seconds: float | None = None,
    egress: EgressProxy | None = None,
) -> Fetched:
    """
    Return what *url* answers; raise OSError, ClientError or TimeoutError where it does not.

    Raises EgressBlocked where it was not asked, because *egress* lets nothing out.
    """
    trust = context or client_context(ca_file)
    seconds = seconds or SECONDS
    session = open_session(trust, connections=1, connect_seconds=seconds, egress=egress)
    crossing = Crossing()
    try:
        async with (
            asyncio.timeout(seconds),
            session,
            session.get(
                url,
                headers=headers,
                proxy_headers=egress.login if egress else None,
                allow_redirects=False,
                trace_request_ctx=crossing,
            ) as response,
        ):
            body = await body_within(response, _MOST_BYTES)
            return Fetched(status=response.status, headers=response.headers, body=body or b"")
    except (OSError, aiohttp.ClientError) as error:
        blocked = blocked_by(error, egress, crossing)
        if blocked is not None:
            raise blocked from None
        raise


def cause_of(error: Exception) -> str:
    """Return why nothing came, in words that hold no address."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate is not trusted"
        case aiohttp.ClientSSLError():
            return "no TLS connection came about"
        case aiohttp.ClientConnectorDNSError():
            return "its name leads nowhere"
        case TimeoutError():
            return f"no answer within {SECONDS:.0f} s"
        case aiohttp.ClientConnectorError():
            return error.os_error.strerror or "nobody answers there"
    return "the connection broke off"
