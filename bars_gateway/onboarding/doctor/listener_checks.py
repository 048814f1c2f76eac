"""The door as the proxy meets it, the name that leads to it, and the service around it."""

import asyncio
import ssl
from ipaddress import ip_address
from pathlib import Path

import aiohttp
from cryptography import x509

from bars_gateway.onboarding import desks
from bars_gateway.onboarding.doctor.checks import (
    Check,
    Seen,
    Site,
    failed,
    passed,
    skipped,
    warned,
)
from bars_gateway.onboarding.doctor.fetching import cause_of, fetch
from bars_gateway.onboarding.road import callers_of

_SECONDS = 5.0
_FEW_FILES = 128  # beside the connections: database, sockets, folders, log
_START = "systemctl start bars-gateway; its log says what keeps it from starting."


def _host(site: Site) -> str:
    host = site.settings.inbound.listen.host
    address = ip_address(host)
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"  # noqa: PLR2004 - of IP


async def _answers(site: Site) -> Seen:
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


async def _shown(site: Site) -> Seen:
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


async def _certificate_shown(site: Site) -> x509.Certificate:
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


async def _refuses(site: Site) -> Seen:
    """Ask without a certificate of our own; an answer, whatever it says, is one too many."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is only looked at
    host, port = _host(site), site.settings.inbound.listen.port
    url = f"https://{f'[{host}]' if ':' in host else host}:{port}/metadata"
    try:
        reply = await fetch(url, None, context=context, seconds=_SECONDS)
    except (OSError, aiohttp.ClientError, TimeoutError):
        return passed("it talks to nobody without a certificate")
    cure = "See that nothing ends TLS in front of the gateway; it has to be passed through."
    return failed(f"it answers {reply.status} to a caller without a certificate", cure)


async def _ready(site: Site) -> Seen:
    listen = site.settings.status.listen
    try:
        reply = await fetch(f"http://{listen}/readyz/sending", None, seconds=_SECONDS)
    except (OSError, aiohttp.ClientError, TimeoutError) as error:
        return warned(f"no status page on {listen}: {cause_of(error)}", _START)
    if reply.status != 200:  # noqa: PLR2004
        cure = f"Look at http://{listen}/: it says what needs a person."
        said = f"the gateway says at /readyz/sending that it does not send ({reply.status})"
        return failed(said, cure)
    return passed("the gateway says that it is ready")


def _outside(site: Site) -> Seen:
    inbound = site.settings.inbound
    if not inbound.enabled:
        return skipped("the gateway does not receive")
    if site.national and inbound.listen.loopback:
        cure = "Set inbound.listen to the address that the firewall forwards to."
        return failed(f"{inbound.listen} can be reached from this machine only", cure)
    return passed(f"{inbound.listen}; the firewall is to let in: {callers_of(site.settings)}")


def _leads(site: Site) -> Seen:
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


def _unit(site: Site) -> Seen:
    if not site.machine.systemd.exists():
        return skipped("systemd does not manage this machine")
    if not site.machine.unit.exists():
        cure = "Install the unit, as in the README, so that the gateway outlives a restart."
        return warned(f"{site.machine.unit} is not there", cure)
    return passed(f"{site.machine.unit} is there")


def _limits(site: Site) -> Seen:
    settings = site.settings
    needed = settings.inbound.max_connections + settings.outbound.max_in_flight + _FEW_FILES
    text = _of_unit(site.machine.unit, "LimitNOFILE")
    if not text.isdigit() or int(text) < needed:
        cure = f"systemctl edit bars-gateway: LimitNOFILE={max(4096, needed)}"
        return failed(f"the unit allows {text or 'some'} open files, and {needed} are needed", cure)
    return passed(f"{text} open files, and {needed} are needed")


def _core(site: Site) -> Seen:
    if _of_unit(site.machine.unit, "LimitCORE") != "0":
        cure = "systemctl edit bars-gateway: LimitCORE=0"
        return failed("the unit lets a crash write the memory to disk", cure)
    return passed("a crash writes no memory to disk")


def _reload(site: Site) -> Seen:
    if not _of_unit(site.machine.unit, "ExecReload"):
        cure = "Install the unit of this release: systemctl reload then takes new keys."
        return warned("the unit knows no reload", cure)
    return passed("systemctl reload takes new keys and certificates")


def _of_unit(unit: Path, key: str) -> str:
    lines = unit.read_text("utf-8", "replace").splitlines()
    return next(
        (line.partition("=")[2] for line in reversed(lines) if line.startswith(f"{key}=")), ""
    )


def _key_log(site: Site) -> Seen:
    if site.environ.get("SSLKEYLOGFILE"):
        cure = "Take SSLKEYLOGFILE out of the environment, and remove the file that it names."
        return failed("SSLKEYLOGFILE is set: whoever reads that file reads every message", cure)
    return passed("no one writes down the keys of connections")


def _parser(site: Site) -> Seen:
    if site.environ.get("AIOHTTP_NO_EXTENSIONS"):
        cure = "Take AIOHTTP_NO_EXTENSIONS out of the environment."
        return failed("AIOHTTP_NO_EXTENSIONS is set: the gateway refuses to start", cure)
    return passed("the compiled parser is used")


STANDING = (  # true or not, whether the gateway runs or not
    Check(
        name="limits.key_log",
        title="Nobody writes down the keys of connections",
        why="With them everything that was sent can be read.",
        ask=desks.OURSELVES,
        look=_key_log,
    ),
    Check(
        name="limits.parser",
        title="The compiled HTTP parser is used",
        why="Nearly every hole in the library was in the other one.",
        ask=desks.OURSELVES,
        look=_parser,
    ),
    Check(
        name="service.unit",
        title="The gateway is a service",
        why="A gateway that somebody started by hand ends with his session.",
        ask=desks.OURSELVES,
        look=_unit,
    ),
    Check(
        name="service.files",
        title="The service may open enough files",
        why="Each connection is one; without any left, callers are turned away.",
        ask=desks.OURSELVES,
        look=_limits,
        after=("service.unit",),
    ),
    Check(
        name="service.core",
        title="A crash writes no memory to disk",
        why="Keys and patients' data are in it.",
        ask=desks.OURSELVES,
        look=_core,
        after=("service.unit",),
    ),
    Check(
        name="service.reload",
        title="The service takes new keys without a restart",
        why="A restart drops connections, and is put off until it is too late.",
        ask=desks.OURSELVES,
        look=_reload,
        after=("service.unit",),
    ),
    Check(
        name="address.listen",
        title="The listener can be reached from outside",
        why="The proxy calls from the Internet.",
        ask=desks.NETWORK,
        look=_outside,
    ),
)
DOOR = (
    Check(
        name="address.name",
        title="Our name leads to our address",
        why="The proxy looks it up before it calls.",
        ask=desks.DNS,
        look=_leads,
        online=True,
    ),
    Check(
        name="listener.answers",
        title="The gateway listens",
        why="Nobody can deliver to a closed door.",
        ask=desks.OURSELVES,
        look=_answers,
        online=True,
        after=("certificate.file", "callers.file"),
    ),
    Check(
        name="listener.certificate",
        title="The listener shows the certificate that is on disk",
        why="A new certificate is of no use while the old one is shown.",
        ask=desks.OURSELVES,
        look=_shown,
        online=True,
        after=("listener.answers",),
    ),
    Check(
        name="listener.refuses",
        title="The listener refuses callers without a certificate",
        why="Mutual TLS is the only thing between the Internet and the EPR.",
        ask=desks.OURSELVES,
        look=_refuses,
        online=True,
        after=("listener.certificate",),
    ),
    Check(
        name="listener.ready",
        title="The gateway says that it is ready",
        why="It knows best what it lacks.",
        ask=desks.OURSELVES,
        look=_ready,
        online=True,
    ),
)
