"""Our certificate and those of our callers, before anybody connects."""

from bars_gateway.config.environments import strange
from bars_gateway.errors import CallersShutOut, IdentityError
from bars_gateway.onboarding import certificates, desks
from bars_gateway.onboarding.certificates import Rule, common_name, environment_of_authority
from bars_gateway.onboarding.doctor.checks import (
    Check,
    Look,
    Seen,
    Site,
    failed,
    of_problems,
    passed,
    skipped,
    warned,
)
from bars_gateway.tls.chains import names_of, rootless
from bars_gateway.tls.contexts import load_identity
from bars_gateway.tls.revocation import load_revocations
from bars_gateway.tls.sightings import Trust, counting, read, shut_out

_SOON_DAYS = 30
_FILES = ("certificate.file", "certificate.key", "callers.file")


def _if_receiving(look: Look) -> Look:
    def looked(site: Site) -> Seen:
        if not site.settings.inbound.enabled:
            return skipped("the gateway does not receive")
        seen = look(site)
        assert isinstance(seen, Seen), "these looks wait for nobody"
        return seen

    return looked


def _rule(rule: Rule) -> Look:
    """Return a look at what one rule says of the certificate in use."""

    def look(site: Site) -> Seen:
        verdict = rule(site.delivered, site.settings, site.now())
        return Seen(grade=verdict.grade, text=verdict.seen, cure=verdict.cure)

    return _if_receiving(look)


def _callers_environment(site: Site) -> Seen:
    own = site.settings.environment
    for authority in site.authorities:
        found = environment_of_authority(authority)
        if strange(found, own):
            cure = f"Leave only the chain of {own} in inbound.client_ca_file."
            return failed(f"{common_name(authority)!a} is of {found}, and this is {own}", cure)
    return passed(", ".join(map(common_name, site.authorities)))


def _callers_root(site: Site) -> Seen:
    without = rootless(site.authorities)
    if without:
        cure = "Add its root, or take it out: whoever it certified is not let in."
        return warned(f"the root of {names_of(without)} is not among them", cure)
    return passed("all of them end in a root that is among them")


def _callers_known(site: Site) -> Seen:
    """Hold those who called lately against the files as they lie there now."""
    settings, now = site.settings, site.now()
    seen = counting(read(settings.callers_file), now)
    if not seen:
        return skipped("nobody has called lately")
    callers, files = settings.callers, settings.callers.revocation_list_files
    trust = Trust(
        names=settings.inbound.allowed_client_names,
        issuers=frozenset(callers.issuers),
        authorities=site.authorities,
        revocations=load_revocations(files, site.authorities),
        revocation_is_required=callers.revocation == "hard",
    )
    lost = shut_out(seen, trust, now)
    if lost:
        return failed(f"would be refused: {lost[0]}", CallersShutOut.advice)
    return passed(f"{len(seen)} certificates of those who called lately were looked at")


def _callers_dates(site: Site) -> Seen:
    ends = min(authority.not_valid_after_utc for authority in site.authorities)
    left = (ends - site.now()).days
    if left < _SOON_DAYS:
        cure = "Fetch the successors from pki.nhs.uk, and add them to inbound.client_ca_file."
        return warned(f"the first of them ends on {ends:%Y-%m-%d}", cure)
    return passed(f"all are valid until {ends:%Y-%m-%d}")


def _loads(site: Site) -> Seen:
    """Read the files as the listener does when it starts, and when they change."""
    inbound = site.settings.inbound
    try:
        load_identity(
            inbound.certificate_file,
            inbound.private_key_file,
            inbound.client_ca_file,
            now=site.now(),
            revocation_list_files=site.settings.callers.revocation_list_files,
        )
    except IdentityError as error:
        return failed(str(error), error.advice)
    return passed("the listener takes these files")


def _fqdn(site: Site) -> Seen:
    if site.national and site.settings.onboarding.fqdn is None:
        cure = "Set onboarding.fqdn, so that certificate, DNS and catalogue can be compared."
        return warned("the settings do not say it", cure)
    return passed(site.settings.onboarding.fqdn or "nobody looks at names here")


def _of_rule(name: str, title: str, why: str, rule: Rule) -> Check:
    return Check(
        name=f"certificate.{name}",
        title=title,
        why=why,
        ask=desks.DIR,
        look=_rule(rule),
        after=_FILES,
    )


CHECKS = (
    Check(
        name="certificate.fqdn",
        title="The name of this Receiver is written down",
        why="Certificate, DNS entry and catalogue must all have the same one.",
        ask=desks.OURSELVES,
        look=_if_receiving(_fqdn),
    ),
    Check(
        name="certificate.key",
        title="The certificate's key is private and readable",
        why="Without it the listener cannot start, and whoever else has it can pose as us.",
        ask=desks.OURSELVES,
        look=_if_receiving(of_problems("right kind, mode 0600", "inbound.private_key_file")),
    ),
    Check(
        name="certificate.file",
        title="The certificate is there, in force, and belongs to its key",
        why="The proxy reaches us only through it.",
        ask=desks.DIR,
        look=_if_receiving(of_problems("there, in force", "inbound.certificate_file")),
        after=("certificate.key",),
    ),
    Check(
        name="callers.file",
        title="The authorities of the callers can be read",
        why="Without them nobody can be let in.",
        ask=desks.OURSELVES,
        look=_if_receiving(of_problems("they can be read", "inbound.client_ca_file")),
    ),
    Check(
        name="callers.lists",
        title="The certificate revocation lists can be read",
        why="Without them a certificate that was stolen and withdrawn still gets in.",
        ask=desks.OURSELVES,
        look=_if_receiving(
            of_problems("all that are named can be read", "callers.revocation_list_files*")
        ),
        after=_FILES,
    ),
    _of_rule(
        "leaf",
        "Our own certificate stands first",
        "What stands first is what is shown.",
        certificates.leaf_first,
    ),
    _of_rule(
        "strength",
        "Key and signature are strong enough",
        "Weak ones are refused by everybody, one after the other.",
        certificates.strong,
    ),
    _of_rule(
        "chain",
        "The chain is complete and in order",
        "The proxy may be lenient today; whoever comes after it is not.",
        certificates.chain,
    ),
    _of_rule(
        "environment",
        "The chain is of this environment",
        "INT and PROD have chains of their own, and never trust each other's.",
        certificates.of_the_environment,
    ),
    _of_rule(
        "name",
        "The certificate has the right name",
        "The proxy calls the name that is in the catalogue.",
        certificates.named,
    ),
    _of_rule(
        "alternative",
        "The name stands where clients look for it",
        "Most clients read the alternative names alone, and refuse a certificate without them.",
        certificates.alternatively_named,
    ),
    _of_rule(
        "dates",
        "Nothing in the chain ends soon",
        "A new certificate takes weeks.",
        certificates.in_force,
    ),
    _of_rule(
        "purpose",
        "The certificate is meant for servers",
        "A client's certificate is refused in the handshake.",
        certificates.for_servers,
    ),
    Check(
        name="callers.environment",
        title="The callers' authorities are of this environment",
        why="With those of the other one, test systems could send into production.",
        ask=desks.OURSELVES,
        look=_if_receiving(_callers_environment),
        after=_FILES,
    ),
    Check(
        name="callers.loads",
        title="The listener takes these files",
        why="A gateway that runs keeps the old ones, and one that is restarted does not start.",
        ask=desks.OURSELVES,
        look=_if_receiving(_loads),
        after=_FILES,
    ),
    Check(
        name="callers.dates",
        title="No authority of the callers ends soon",
        why="The day it ends, nobody gets in.",
        ask=desks.OURSELVES,
        look=_if_receiving(_callers_dates),
        after=_FILES,
    ),
    Check(
        name="callers.root",
        title="Every authority of the callers has its root",
        why="A chain that does not end in a root of the file is refused, whoever calls.",
        ask=desks.OURSELVES,
        look=_if_receiving(_callers_root),
        after=_FILES,
    ),
    Check(
        name="callers.known",
        title="Whoever called lately still gets in",
        why="A file can be sound and hold the wrong authorities, and then every message is lost.",
        ask=desks.OURSELVES,
        look=_if_receiving(_callers_known),
        after=(*_FILES, "callers.lists", "callers.root"),
    ),
)
