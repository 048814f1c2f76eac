"""The way out, step by step: name, connection, clock, token, proxy, and back to ourselves."""

import uuid
from urllib.parse import urlsplit

import aiohttp

from bars_gateway.errors import EgressBlocked, IdentityError
from bars_gateway.onboarding import desks
from bars_gateway.onboarding.doctor.checks import (
    Check,
    Seen,
    Site,
    failed,
    of_problems,
    passed,
    skipped,
    warned,
)
from bars_gateway.onboarding.doctor.fetching import Fetched, cause_of, fetch
from bars_gateway.onboarding.probing import credentials_of, probe
from bars_gateway.outbound.egress import egress_proxy_of
from bars_gateway.outbound.token_request import skew_seconds
from bars_gateway.standard.answers import read_outcome
from bars_gateway.standard.headers import CORRELATION_ID, REQUEST_ID, TARGET, TargetIdentifier

_OK = 200
_SKEW_WARNED, _SKEW_FAILED = 5.0, 30.0  # seconds
_UNREACHABLE = (OSError, aiohttp.ClientError, TimeoutError)
_FIREWALL = "Let this machine out to that address on port 443, without anything that reads along."


def _environment(site: Site) -> Seen:
    names = [n for n in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY") if site.environ.get(n)]
    if names:
        if site.settings.outbound.egress_proxy:
            return passed(f"{', '.join(names)} is not used; outbound.egress_proxy is")
        cure = "If nothing gets out without that proxy, name it in outbound.egress_proxy."
        return warned(f"{', '.join(names)} is set, and is not used", cure)
    return passed("no web proxy is asked for")


def _named(site: Site) -> Seen:
    outbound = site.settings.outbound
    # Behind an egress proxy it is the proxy that finds the others by their names.
    host = urlsplit(outbound.egress_proxy or outbound.proxy_url).hostname or ""
    try:
        found = site.machine.addresses_of(host)
    except OSError as error:
        return failed(f"{host}: {error.strerror}", "Look at this machine's DNS: resolvectl query")
    return passed(f"{host} is {', '.join(sorted(found))}")


async def _ping_token(site: Site) -> Seen:
    token_url = site.settings.outbound.token_url
    reply = await _got(site, f"{token_url.removesuffix('/token')}/_ping")
    if isinstance(reply, Seen):
        return reply
    site.skew_seconds = skew_seconds(reply.headers.get("Date"), site.now())
    return _answered(token_url, reply)


async def _ping_proxy(site: Site) -> Seen:
    url = f"{site.settings.outbound.proxy_url}/_ping"
    reply = await _got(site, url)
    return reply if isinstance(reply, Seen) else _answered(url, reply)


async def _capabilities(site: Site) -> Seen:
    url = f"{site.settings.outbound.proxy_url}/metadata"
    reply = await _got(site, url)
    return reply if isinstance(reply, Seen) else _answered(url, reply)


async def _got(site: Site, url: str, headers: dict[str, str] | None = None) -> Fetched | Seen:
    outbound = site.settings.outbound
    try:
        way = egress_proxy_of(outbound)
    except IdentityError as error:
        return failed(str(error), error.advice)
    try:
        return await fetch(url, outbound.ca_file, headers, egress=way)
    except EgressBlocked as blocked:
        return failed(f"{urlsplit(url).netloc}: {blocked}", blocked.advice)
    except _UNREACHABLE as error:
        return failed(f"{urlsplit(url).netloc}: {cause_of(error)}", _FIREWALL)


def _answered(url: str, reply: Fetched) -> Seen:
    if reply.status != _OK:
        cure = "See that the address is the environment's, and that nothing stands in between."
        return failed(f"{url} answers {reply.status}", cure)
    return passed(f"{url} answers 200")


def _skew(site: Site) -> Seen:
    skew = site.skew_seconds
    if skew is None:
        return skipped("the token service sent no date")
    text = f"our clock is {skew:+.0f} s off theirs"
    if abs(skew) > _SKEW_FAILED:
        return failed(text, "timedatectl set-ntp true")
    if abs(skew) > _SKEW_WARNED:
        return warned(text, "timedatectl set-ntp true")
    return passed(text)


async def _token(site: Site) -> Seen:
    if not site.settings.outbound.token_required:
        return skipped("this environment asks for none")
    for name, provider in site.settings.providers.items():
        try:
            found = await probe(site.settings, *credentials_of(site.settings, provider), site.now())
        except IdentityError as error:
            return failed(str(error), error.advice)
        site.probes[name] = found
        if found.refused is not None:
            return failed(f"{name}: {found.refused.reason}", found.refused.advice)
    return passed(f"a token for {', '.join(site.settings.providers)}")


async def _ourselves(site: Site) -> Seen:
    """Ask the proxy for our own metadata: it has to call us for it."""
    if not site.settings.inbound.enabled:
        return skipped("the gateway does not receive")
    for name, provider in site.settings.providers.items():
        found = site.probes.get(name)
        service = provider.services[0]
        headers = {
            TARGET: TargetIdentifier.parse(service).encode(),
            REQUEST_ID: str(uuid.uuid4()),
            CORRELATION_ID: str(uuid.uuid4()),
            "Accept": f"application/fhir+json; version={provider.core_version}",
        }
        if found is not None and found.token is not None:
            headers["Authorization"] = f"Bearer {found.token}"
        reply = await _got(site, f"{site.settings.outbound.proxy_url}/metadata", headers)
        seen = reply if isinstance(reply, Seen) else _came_round(service, reply)
        if seen.grade != "pass":
            return seen
    return passed("the proxy reaches us, for every provider")


_NOT_ROUND = (
    (404, "PROXY", "the proxy does not know {service}", "bars-gateway letters catalogue"),
    (401, "SEND", "the proxy does not take our token", "bars-gateway doctor token --explain"),
    (403, "SEND", "the application may not use BaRS", "Ask for the product to be approved."),
    (403, "REC", "our listener refuses the proxy's certificate", "See callers.* and the log."),
    (
        503,
        "",
        "the proxy cannot reach us",
        "Look at the DNS entry, the firewall and the address in the catalogue.",
    ),
    (408, "", "the proxy had no answer from us in time", "Look at the firewall and at our log."),
    (502, "", "our listener broke the connection off", "Look at our log for tls. events."),
)


def _came_round(service: str, reply: Fetched) -> Seen:
    code = read_outcome(reply.body).code or ""
    if reply.status in {_OK, 501} and not code.startswith(("PROXY", "SEND")):
        return passed(f"{service} came round to us: {reply.status}")
    for status, prefix, text, cure in _NOT_ROUND:
        if reply.status == status and code.startswith(prefix):
            return failed(text.format(service=service), cure)
    cure = "Look at our log for inbound.request_ended; if nothing is there, ask with the code."
    return failed(f"{service}: {reply.status} {code}".rstrip(), cure)


WAY_OUT = (
    Check(
        name="egress.proxy_variables",
        title="No web proxy is expected to be used",
        why="What reads along breaks the connection, and patients' data are in it.",
        ask=desks.NETWORK,
        look=_environment,
    ),
    Check(
        name="egress.ca_file",
        title="The authorities for calling out can be read",
        why="Without them no address is trusted.",
        ask=desks.OURSELVES,
        look=of_problems("they can be read, or are those of the system", "outbound.ca_file"),
    ),
    Check(
        name="egress.name",
        title="The proxy's name leads somewhere",
        why="Without DNS nothing leaves.",
        ask=desks.NETWORK,
        look=_named,
        online=True,
    ),
    Check(
        name="egress.token_service",
        title="The token service answers",
        why="Without a token nothing is sent.",
        ask=desks.NETWORK,
        look=_ping_token,
        online=True,
        after=("egress.ca_file",),
    ),
    Check(
        name="egress.proxy",
        title="The BaRS proxy answers",
        why="It is where every message goes.",
        ask=desks.NETWORK,
        look=_ping_proxy,
        online=True,
        after=("egress.name", "egress.ca_file"),
    ),
    Check(
        name="clock.skew",
        title="Our clock agrees with the token service's",
        why="A JWT allows 150 s, certificates less than people think.",
        ask=desks.OURSELVES,
        look=_skew,
        online=True,
        after=("egress.token_service",),
    ),
    Check(
        name="token.granted",
        title="The token service gives us a token",
        why="It proves key, key id, API key, audience and approval at once.",
        ask=desks.BARS,
        look=_token,
        online=True,
        after=("keys.file", "settings.api_key", "egress.token_service"),
    ),
)
ALL_ROUND = (
    Check(
        name="proxy.metadata",
        title="The proxy says what it can do",
        why="It answers this itself: what fails after it is about us.",
        ask=desks.SERVICE_DESK,
        look=_capabilities,
        online=True,
        after=("egress.proxy",),
    ),
    Check(
        name="proxy.ourselves",
        title="The proxy reaches us",
        why="It is the whole way round: token, catalogue, DNS, firewall, certificates, listener.",
        ask=desks.BARS,
        look=_ourselves,
        online=True,
        after=("proxy.metadata", "token.granted", "listener.answers"),
    ),
)
