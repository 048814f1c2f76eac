"""
The way out and the door: both ends of every connection, and the service around them.

    name → connection → clock → token → proxy → our listener → and back to ourselves
"""

import asyncio
import json
import ssl
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from cryptography import x509

from bars_gateway.errors import EgressBlocked, IdentityError, TokenServiceDown
from bars_gateway.onboarding import contacts
from bars_gateway.onboarding.checklist import callers_of
from bars_gateway.onboarding.doctor.checks import (
    Check,
    CheckedSite,
    Fetched,
    Machine,
    cause_of,
    credentials_of,
    drop_ins_in,
    fetch,
    of_problems,
    probe,
)
from bars_gateway.onboarding.grades import Seen, failed, passed, skipped, warned
from bars_gateway.outbound.egress import egress_proxy_of
from bars_gateway.outbound.token import skew_seconds
from bars_gateway.standard.answers import read_outcome
from bars_gateway.standard.headers import CORRELATION_ID, REQUEST_ID, TARGET, TargetIdentifier

_OK = 200
_SKEW_WARNED, _SKEW_FAILED = 5.0, 30.0  # seconds
_UNREACHABLE = (OSError, aiohttp.ClientError, TimeoutError)
_FIREWALL = (
    "Let this machine out to that address on port {port}, with nothing in between that opens TLS."
)
_NOBODY_LISTENS = (
    "The connection to port {port} was refused, not blocked in silence. See that the address is the"
    " environment's; if it is, ask the national service desk, and your network team."
)
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
_PAGE = "the proxy did not answer: something in between did, with a page of its own ({status})"
_PAGE_CURE = (
    "Nothing to do in the first minute. If it lasts, check the network path, and ask the national"
    " service desk."
)
_SECONDS = 5.0
_FEW_FILES = 128  # beside the connections: database, sockets, folders, log
_START = "systemctl start bars-gateway; its log says what keeps it from starting."


def _environment(site: CheckedSite) -> Seen:
    names = [n for n in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY") if site.environ.get(n)]
    if names:
        if site.settings.outbound.egress_proxy:
            return passed(f"{', '.join(names)} is not used; outbound.egress_proxy is")
        cure = "If nothing gets out without that proxy, name it in outbound.egress_proxy."
        return warned(f"{', '.join(names)} is set, and is not used", cure)
    return passed("no web proxy is asked for")


def _named(site: CheckedSite) -> Seen:
    outbound = site.settings.outbound
    # Behind an egress proxy it is the proxy that finds the others by their names.
    host = urlsplit(outbound.egress_proxy or outbound.proxy_url).hostname or ""
    try:
        found = site.machine.addresses_of(host)
    except OSError as error:
        return failed(f"{host}: {error.strerror}", "Look at this machine's DNS: resolvectl query")
    return passed(f"{host} is {', '.join(sorted(found))}")


async def _ping_token(site: CheckedSite) -> Seen:
    token_url = site.settings.outbound.token_url
    reply = await _got(site, f"{token_url.removesuffix('/token')}/_ping")
    if isinstance(reply, Seen):
        return reply
    site.skew_seconds = skew_seconds(reply.headers.get("Date"), site.now())
    return _answered(token_url, reply)


async def _ping_proxy(site: CheckedSite) -> Seen:
    url = f"{site.settings.outbound.proxy_url}/_ping"
    reply = await _got(site, url)
    return reply if isinstance(reply, Seen) else _answered(url, reply)


async def _capabilities(site: CheckedSite) -> Seen:
    url = f"{site.settings.outbound.proxy_url}/metadata"
    reply = await _got(site, url)
    return reply if isinstance(reply, Seen) else _answered(url, reply)


async def _got(
    site: CheckedSite, url: str, headers: dict[str, str] | None = None
) -> Fetched | Seen:
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
        return failed(f"{urlsplit(url).netloc}: {cause_of(error)}", _cure_of(error, url))


def _cure_of(error: Exception, url: str) -> str:
    """Return what to do: a firewall is silent, and only what is reached refuses a connection."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    cure = _NOBODY_LISTENS if isinstance(cause, ConnectionRefusedError) else _FIREWALL
    return cure.format(port=urlsplit(url).port or 443)


def _answered(url: str, reply: Fetched) -> Seen:
    if reply.status != _OK:
        cure = "See that the address is the environment's, and that nothing stands in between."
        return failed(f"{url} answers {reply.status}", cure)
    return passed(f"{url} answers 200")


def _skew(site: CheckedSite) -> Seen:
    skew = site.skew_seconds
    if skew is None:
        return skipped("the token service sent no date")
    text = f"our clock is {skew:+.0f} s off theirs"
    if abs(skew) > _SKEW_FAILED:
        return failed(text, "timedatectl set-ntp true")
    if abs(skew) > _SKEW_WARNED:
        return warned(text, "timedatectl set-ntp true")
    return passed(text)


async def _token(site: CheckedSite) -> Seen:
    if not site.settings.outbound.token_required:
        return skipped("this environment asks for none")
    for name, provider in site.settings.providers.items():
        try:
            found = await probe(site.settings, *credentials_of(site.settings, provider), site.now())
        except IdentityError as error:
            return failed(str(error), error.advice)
        site.probes[name] = found
        if found.refused is not None:
            down = isinstance(found.refused.error, TokenServiceDown)  # else it is our registration
            ask = contacts.SERVICE_DESK if down else None
            return failed(f"{name}: {found.refused.reason}", found.refused.advice, ask)
    return passed(f"a token for {', '.join(site.settings.providers)}")


async def _ourselves(site: CheckedSite) -> Seen:
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


def _came_round(service: str, reply: Fetched) -> Seen:
    if reply.body.lstrip().startswith(b"<"):  # the proxy and we were asked for JSON
        return failed(_PAGE.format(status=reply.status), _PAGE_CURE, contacts.SERVICE_DESK)
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
        why="What opens TLS on the way breaks the connection, and sees patients' data.",
        ask=contacts.NETWORK,
        look=_environment,
    ),
    Check(
        name="egress.ca_file",
        title="The authorities for calling out can be read",
        why="Without them no address is trusted.",
        ask=contacts.OURSELVES,
        look=of_problems("they can be read, or are those of the system", "outbound.ca_file"),
    ),
    Check(
        name="egress.name",
        title="The proxy's name leads somewhere",
        why="Without DNS nothing leaves.",
        ask=contacts.NETWORK,
        look=_named,
        online=True,
    ),
    Check(
        name="egress.token_service",
        title="The token service answers",
        why="Without a token nothing is sent.",
        ask=contacts.NETWORK,
        look=_ping_token,
        online=True,
        after=("egress.ca_file",),
    ),
    Check(
        name="egress.proxy",
        title="The BaRS proxy answers",
        why="It is where every message goes.",
        ask=contacts.NETWORK,
        look=_ping_proxy,
        online=True,
        after=("egress.name", "egress.ca_file"),
    ),
    Check(
        name="clock.skew",
        title="Our clock agrees with the token service's",
        why="A JWT allows 150 s, certificates less than people think.",
        ask=contacts.OURSELVES,
        look=_skew,
        online=True,
        after=("egress.token_service",),
    ),
    Check(
        name="token.granted",
        title="The token service gives us a token",
        why="It proves key, key id, API key, audience and approval at once.",
        ask=contacts.BARS,
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
        ask=contacts.SERVICE_DESK,
        look=_capabilities,
        online=True,
        after=("egress.proxy",),
    ),
    Check(
        name="proxy.ourselves",
        title="The proxy reaches us",
        why="It is the whole way round: token, catalogue, DNS, firewall, certificates, listener.",
        ask=contacts.BARS,
        look=_ourselves,
        online=True,
        after=("proxy.metadata", "token.granted", "listener.answers"),
    ),
)


def _host(site: CheckedSite) -> str:
    host = site.settings.inbound.listen.host
    address = ip_address(host)
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"  # noqa: PLR2004 - of IP


async def _answers(site: CheckedSite) -> Seen:
    inbound = site.settings.inbound
    if not inbound.enabled:
        return skipped("the gateway does not receive")
    try:
        async with asyncio.timeout(_SECONDS):
            _, writer = await asyncio.open_connection(_host(site), inbound.listen.port)
    except (OSError, TimeoutError):
        return warned(f"nobody listens on {inbound.listen}: no gateway runs", _START)
    writer.close()
    return passed(f"somebody listens on {inbound.listen}")


async def _shown(site: CheckedSite) -> Seen:
    """Compare what is shown in the handshake with what is on disk."""
    try:
        shown = await _certificate_shown(site)
    except (OSError, TimeoutError, ValueError):
        cure = "See that the port is the gateway's, and nothing else's: ss -ltnp"
        return failed("what listens there speaks no TLS", cure)
    if shown != site.delivered.leaf:
        cure = "systemctl reload bars-gateway; its log says why it kept the old one."
        return failed("the listener shows another certificate than the one on disk", cure)
    return passed("it shows the certificate that is on disk")


async def _certificate_shown(site: CheckedSite) -> x509.Certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is only looked at
    async with asyncio.timeout(_SECONDS):
        _, writer = await asyncio.open_connection(
            _host(site), site.settings.inbound.listen.port, ssl=context
        )
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.transport.abort()
    return x509.load_der_x509_certificate(shown)


async def _refuses(site: CheckedSite) -> Seen:
    """Ask without a certificate of our own; an answer, whatever it says, is one too many."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is only looked at
    host, port = _host(site), site.settings.inbound.listen.port
    url = f"https://{f'[{host}]' if ':' in host else host}:{port}/metadata"
    try:
        reply = await fetch(url, None, context=context, seconds=_SECONDS)
    except (OSError, aiohttp.ClientError, TimeoutError):
        return passed("it talks to nobody without a certificate")
    cure = "See that nothing ends TLS in front of the gateway: it has to be passed through."
    return failed(f"it answers {reply.status} to a caller without a certificate", cure)


async def _ready(site: CheckedSite) -> Seen:
    listen = site.settings.status.listen
    try:
        reply = await fetch(f"http://{listen}/readyz/sending", None, seconds=_SECONDS)
    except (OSError, aiohttp.ClientError, TimeoutError) as error:
        return warned(f"no status page on {listen}: {cause_of(error)}", _START)
    told = _readiness(reply.body)
    lacks = [way for way in ("receiving", "sending") if told.get(way) is False]
    if reply.status != HTTPStatus.OK or lacks:
        cure = f"Look at http://{listen}/: it says what needs a person."
        said = f"the gateway says that it is not {' and not '.join(lacks or ['ready'])}"
        why = "; ".join(told.get("reasons", ())) or f"{reply.status}, without a reason"
        return failed(f"{said}: {why}", cure)
    return passed("the gateway says that it is ready")


def _readiness(body: bytes) -> Mapping[str, Any]:
    """Return what the status page says of readiness; nothing where something else answers."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _outside(site: CheckedSite) -> Seen:
    inbound = site.settings.inbound
    if not inbound.enabled:
        return skipped("the gateway does not receive")
    if site.national and inbound.listen.loopback:
        cure = "Set inbound.listen to the address that the firewall forwards to."
        return failed(f"{inbound.listen} can be reached from this machine only", cure)
    return passed(f"{inbound.listen}; the firewall is to let in: {callers_of(site.settings)}")


def _leads(site: CheckedSite) -> Seen:
    onboarding = site.settings.onboarding
    if not (site.national and site.settings.inbound.enabled and onboarding.fqdn):
        return skipped("no name that the world would know is set")
    try:
        found = site.machine.addresses_of(onboarding.fqdn)
    except OSError:
        return failed(f"{onboarding.fqdn} leads nowhere", "bars-gateway letters dns")
    if onboarding.public_address and onboarding.public_address not in found:
        shown = ", ".join(sorted(found))
        cure = f"Have the entry changed to {onboarding.public_address}, or correct the setting."
        return failed(f"{onboarding.fqdn} leads to {shown}", cure)
    return passed(f"{onboarding.fqdn} leads to {', '.join(sorted(found))}")


def _unit(site: CheckedSite) -> Seen:
    if not site.machine.systemd.exists():
        return skipped("systemd does not manage this machine")
    if not site.machine.unit.exists():
        cure = "Install the unit, as in docs/installing.md, so that the gateway outlives a restart."
        return warned(f"{site.machine.unit} is not there", cure)
    return passed(f"{site.machine.unit} is there")


def _limits(site: CheckedSite) -> Seen:
    settings = site.settings
    needed = settings.inbound.max_connections + settings.outbound.max_in_flight + _FEW_FILES
    text = _of_unit(site.machine, "LimitNOFILE")
    soft = text.partition(":")[0]  # that one holds for a program that raises none
    if soft != "infinity" and (not soft.isdigit() or int(soft) < needed):
        cure = f"systemctl edit bars-gateway: LimitNOFILE={max(4096, needed)}"
        return failed(f"the unit allows {text or 'some'} open files, and {needed} are needed", cure)
    return passed(f"{text} open files, and {needed} are needed")


def _core(site: CheckedSite) -> Seen:
    if _of_unit(site.machine, "LimitCORE") != "0":
        cure = "systemctl edit bars-gateway: LimitCORE=0"
        return failed("the unit lets a crash write the memory to disk", cure)
    return passed("a crash writes no memory to disk")


def _reload(site: CheckedSite) -> Seen:
    if not _of_unit(site.machine, "ExecReload"):
        cure = "Install the unit of this release: systemctl reload then takes new keys."
        return warned("the unit does not support reload", cure)
    return passed("systemctl reload takes new keys and certificates")


def _of_unit(machine: Machine, key: str) -> str:
    """Return what the unit says, or who has edited it (`systemctl edit` leaves the unit alone)."""
    found = ""
    for file in (machine.unit, *drop_ins_in(machine.unit_folders)):
        for line in file.read_text("utf-8", "replace").splitlines():
            name, equals, value = line.partition("=")
            if equals and name.strip() == key:
                found = value.strip()
    return found


def _key_log(site: CheckedSite) -> Seen:
    if site.environ.get("SSLKEYLOGFILE"):
        cure = "Remove SSLKEYLOGFILE from the environment, and remove the file that it names."
        return failed("SSLKEYLOGFILE is set: whoever reads that file reads every message", cure)
    return passed("nobody writes down the keys of connections")


def _parser(site: CheckedSite) -> Seen:
    if site.environ.get("AIOHTTP_NO_EXTENSIONS"):
        cure = "Remove AIOHTTP_NO_EXTENSIONS from the environment."
        return failed("AIOHTTP_NO_EXTENSIONS is set: the gateway refuses to start", cure)
    return passed("the compiled parser is used")


STANDING = (  # true or not, whether the gateway runs or not
    Check(
        name="limits.key_log",
        title="Nobody writes down the keys of connections",
        why="With them everything that was sent can be read.",
        ask=contacts.OURSELVES,
        look=_key_log,
    ),
    Check(
        name="limits.parser",
        title="The compiled HTTP parser is used",
        why="Nearly every hole in the library was in the other one.",
        ask=contacts.OURSELVES,
        look=_parser,
    ),
    Check(
        name="service.unit",
        title="The gateway is a service",
        why="A gateway that somebody started by hand ends with their session.",
        ask=contacts.OURSELVES,
        look=_unit,
    ),
    Check(
        name="service.files",
        title="The service may open enough files",
        why="Each connection is one; without any left, callers are turned away.",
        ask=contacts.OURSELVES,
        look=_limits,
        after=("service.unit",),
    ),
    Check(
        name="service.core",
        title="A crash writes no memory to disk",
        why="Keys and patients' data are in it.",
        ask=contacts.OURSELVES,
        look=_core,
        after=("service.unit",),
    ),
    Check(
        name="service.reload",
        title="The service takes new keys without a restart",
        why="A restart drops connections, and is put off until it is too late.",
        ask=contacts.OURSELVES,
        look=_reload,
        after=("service.unit",),
    ),
    Check(
        name="address.listen",
        title="The listener can be reached from outside",
        why="The proxy calls from the Internet.",
        ask=contacts.NETWORK,
        look=_outside,
    ),
)
DOOR = (
    Check(
        name="address.name",
        title="Our name leads to our address",
        why="The proxy looks it up before it calls.",
        ask=contacts.DNS,
        look=_leads,
        online=True,
    ),
    Check(
        name="listener.answers",
        title="The gateway listens",
        why="Nobody can deliver to a closed door.",
        ask=contacts.OURSELVES,
        look=_answers,
        online=True,
        after=("certificate.file", "callers.file"),
    ),
    Check(
        name="listener.certificate",
        title="The listener shows the certificate that is on disk",
        why="A new certificate is of no use while the old one is shown.",
        ask=contacts.OURSELVES,
        look=_shown,
        online=True,
        after=("listener.answers",),
    ),
    Check(
        name="listener.refuses",
        title="The listener refuses callers without a certificate",
        why="Mutual TLS is the only thing between the Internet and the EPR.",
        ask=contacts.OURSELVES,
        look=_refuses,
        online=True,
        after=("listener.certificate",),
    ),
    Check(
        name="listener.ready",
        title="The gateway says that it is ready",
        why="It knows best what it lacks.",
        ask=contacts.OURSELVES,
        look=_ready,
        online=True,
    ),
)
