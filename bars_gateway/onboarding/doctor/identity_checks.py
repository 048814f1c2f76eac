"""
What we show of ourselves and whom we let in, before anybody connects.

The keys that sign, the JWKS as the token service sees it, our certificate, our callers'.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from bars_gateway.config import Provider
from bars_gateway.config.doubts import HOSTED_BELOW, NO_PATH, has_path
from bars_gateway.config.environments import strange
from bars_gateway.errors import CallersShutOut, EgressBlocked, IdentityError, OnboardingError
from bars_gateway.onboarding import contacts
from bars_gateway.onboarding.certificate_rules import (
    RULES,
    Rule,
    common_name,
    environment_of_authority,
)
from bars_gateway.onboarding.certificates import read_key
from bars_gateway.onboarding.doctor.checks import (
    Check,
    CheckedSite,
    Look,
    cause_of,
    fetch,
    for_each,
    of_problems,
)
from bars_gateway.onboarding.files import read
from bars_gateway.onboarding.grades import Seen, failed, passed, skipped, warned
from bars_gateway.onboarding.keys import OLD, KeyFiles, KeyId, can_be_made, jwk, read_public
from bars_gateway.outbound.egress import egress_proxy_of
from bars_gateway.tls import sightings
from bars_gateway.tls.certificates import load_revocations, names_of, rootless
from bars_gateway.tls.contexts import load_identity
from bars_gateway.tls.sightings import Trust, counting, shut_out

_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})
_HOUR = "The token service keeps its copy for an hour: ask again after that."
Looking = Callable[[str, Provider], Seen]
_SOON_DAYS = 30
_FILES = ("certificate.file", "certificate.key", "callers.file")


def _owner(site: CheckedSite) -> Seen:
    ours = site.settings.state_dir.stat().st_uid

    def look(_name: str, provider: Provider) -> Seen:
        file = provider.private_key_file
        found = file.stat().st_uid
        if found != ours and not file.is_relative_to(site.machine.credentials):
            cure = f"chown {ours} {file}"
            return failed(f"{file} belongs to user {found}, and the gateway is {ours}", cure)
        return passed("the keys belong to the gateway's user")

    return for_each(site, look)


def _folder(site: CheckedSite) -> Seen:
    def look(_name: str, provider: Provider) -> Seen:
        folder = provider.private_key_file.parent
        mode = folder.stat().st_mode & 0o777
        if mode & 0o022:
            return failed(f"{folder} has mode {mode:04o}", f"chmod 0700 {folder}")
        return passed("nobody else can put keys there")

    return for_each(site, look)


def _credentials(site: CheckedSite) -> Seen:
    def look(_name: str, provider: Provider) -> Seen:
        if provider.private_key_file.is_relative_to(site.machine.credentials):
            cure = "Plan a restart for each new key, or use a file of mode 0600."
            return warned("the key is a credential of systemd, read at the start only", cure)
        return passed("a new key is taken without a restart")

    return for_each(site, look)


def _public(site: CheckedSite) -> Seen:
    def look(_name: str, provider: Provider) -> Seen:
        files = _files(provider)
        if files is None or not files.public.exists():
            return skipped("there is no public half beside the key")
        if read_key(files.private).public_key() != read_public(files.public):
            cure = f"Move {files.public} away, and register the public half of the key in use."
            return failed(f"{files.public} is the public half of another key", cure)
        return passed("the public half beside it belongs to it")

    return for_each(site, _explained(look))


def _age(site: CheckedSite) -> Seen:
    def look(_name: str, provider: Provider) -> Seen:
        files = _files(provider)
        if files is None or not files.public.exists():
            return skipped("nobody knows when it was made")
        made = datetime.fromtimestamp(files.public.stat().st_mtime, UTC)
        if site.now() - made > OLD:
            cure = "Make its successor: bars-gateway keys new --why TEXT"
            return warned(f"{provider.key_id} was made on {made:%Y-%m-%d}", cure)
        return passed(f"{provider.key_id} was made on {made:%Y-%m-%d}")

    return for_each(site, look)


def _file(site: CheckedSite) -> Seen:
    def look(_name: str, provider: Provider) -> Seen:
        files = _files(provider)
        if files is None or not files.jwks.exists():
            return skipped("no JWKS lies beside the key")
        return _judged(json.loads(read(files.jwks)), provider)

    return for_each(site, _explained(look))


def _address(site: CheckedSite) -> Seen:
    url = site.settings.onboarding.jwks_url
    if url is None:
        return skipped("NHS England hosts it")
    if not has_path(url):
        return failed(f"its address {NO_PATH}", HOSTED_BELOW)
    return passed(url)


async def _reachable(site: CheckedSite) -> Seen:
    url = site.settings.onboarding.jwks_url
    assert url is not None, "the address was looked at first"
    try:
        reply = await fetch(url, None, egress=egress_proxy_of(site.settings.outbound))
    except IdentityError as error:
        return failed(str(error), error.advice)
    except EgressBlocked as blocked:
        cure = f"{blocked.advice} Or read it from outside: the token service does not pass there."
        return warned(f"{url} cannot be read from here: {blocked}", cure)
    except (OSError, aiohttp.ClientError, TimeoutError) as error:
        cure = "See that the whole Internet can read it, with a certificate that everybody trusts."
        return failed(f"{url} cannot be read from here: {cause_of(error)}", cure)
    if reply.status != 200:  # noqa: PLR2004
        cure = "Let the address itself answer 200: the token service follows no redirect."
        return failed(f"{url} answers {reply.status}", cure)
    try:
        found = json.loads(reply.body)
    except (ValueError, RecursionError):
        found = None
    site.jwks = found if isinstance(found, dict) else {}
    return passed(f"{url} answers 200")


def _shape(site: CheckedSite) -> Seen:
    if not isinstance((site.jwks or {}).get("keys"), list):
        cure = 'Publish {"keys": [...]}, as `bars-gateway keys new` writes it, and no bare key.'
        return failed("what is published there is not a set of keys", cure)
    return passed("it is a set of keys")


def _published(site: CheckedSite) -> Seen:
    return for_each(site, _explained(lambda _name, provider: _judged(site.jwks, provider)))


def _judged(document: Any, provider: Provider) -> Seen:
    """Return what is wrong with a JWKS for the key that *provider* signs with."""
    keys = [key for key in document.get("keys", []) if isinstance(key, dict)]
    if any(_PRIVATE_MEMBERS & key.keys() for key in keys):
        cure = "Take it down at once, and make a new key: this one is known to the world."
        return failed("it holds PRIVATE members of a key", cure)
    ours = [key for key in keys if key.get("kid") == provider.key_id]
    if not ours:
        cure = f"Publish the JWKS with it: bars-gateway keys list. {_HOUR}"
        return failed(f"the key id {provider.key_id} is not in it", cure)
    private = read_key(provider.private_key_file)
    assert isinstance(private, RSAPrivateKey), "`check` saw that it is"
    wanted = jwk(provider.key_id, private.public_key())
    odd = [name for name in wanted if ours[0].get(name) != wanted[name]]
    if {"n", "e"} & set(odd):
        cure = f"Publish the JWKS of the key in use. {_HOUR}"
        return failed(f"{provider.key_id} in it is another key", cure)
    if odd:
        cure = f"Write {', '.join(f'{name}={wanted[name]}' for name in odd)} into it."
        return failed(f"{provider.key_id} in it lacks {', '.join(odd)}", cure)
    return passed(f"{provider.key_id} is in it, with public members only")


def _files(provider: Provider) -> KeyFiles | None:
    if not can_be_made(provider):
        return None
    return KeyFiles.of(provider.private_key_file.parent, KeyId.parse(provider.key_id))


def _explained(look: Looking) -> Looking:
    """Return *look*, which says what it cannot read instead of raising it."""

    def explained(name: str, provider: Provider) -> Seen:
        try:
            return look(name, provider)
        except OnboardingError as error:
            return failed(str(error), error.advice)
        except (ValueError, AttributeError, TypeError):
            return failed(
                "it is not a JSON object with keys",
                "bars-gateway keys new --why TEXT writes it again.",
            )

    return explained


KEYS = (
    Check(
        name="keys.file",
        title="The signing keys are private RSA keys of the right size",
        why="The token service takes RS512 with 4096 bits, and whoever reads a key can send as us.",
        ask=contacts.OURSELVES,
        look=of_problems("right kind, right size, mode 0600", "providers.*.private_key_file"),
    ),
    Check(
        name="keys.owner",
        title="The keys belong to the gateway's user",
        why="A key that root made by hand cannot be read by the service.",
        ask=contacts.OURSELVES,
        look=_owner,
        after=("keys.file", "folders.state"),
    ),
    Check(
        name="keys.folder",
        title="Nobody else can put keys there",
        why="Whoever can write the folder can replace a key.",
        ask=contacts.OURSELVES,
        look=_folder,
        after=("keys.file",),
    ),
    Check(
        name="keys.credentials",
        title="A new key is taken without a restart",
        why="What systemd hands over at the start stays as it was until the next one.",
        ask=contacts.OURSELVES,
        look=_credentials,
        after=("keys.file",),
    ),
    Check(
        name="keys.public",
        title="The public half belongs to the key",
        why="The half that is attached to the letter is the one that is registered.",
        ask=contacts.OURSELVES,
        look=_public,
        after=("keys.file",),
    ),
    Check(
        name="keys.age",
        title="No key is over a year old",
        why="The longer a key is in use, the more people have had sight of it.",
        ask=contacts.OURSELVES,
        look=_age,
        after=("keys.file",),
    ),
    Check(
        name="jwks.file",
        title="The JWKS to publish has our key, and nothing private",
        why="It is put where the whole world reads it.",
        ask=contacts.OURSELVES,
        look=_file,
        after=("keys.file",),
    ),
    Check(
        name="jwks.address",
        title="The JWKS has an address with a path",
        why="The token service cannot fetch from a host alone.",
        ask=contacts.NETWORK,
        look=_address,
    ),
    Check(
        name="jwks.reachable",
        title="The JWKS can be read from outside",
        why="Without it every request for a token is refused with 403.",
        ask=contacts.NETWORK,
        look=_reachable,
        online=True,
        after=("jwks.address",),
    ),
    Check(
        name="jwks.shape",
        title="The JWKS is a set of keys",
        why="A bare key makes the token service fail without a useful message.",
        ask=contacts.OURSELVES,
        look=_shape,
        online=True,
        after=("jwks.reachable",),
    ),
    Check(
        name="jwks.key",
        title="The published JWKS has the key that we sign with",
        why="What is not in it is refused, and the refusal may last an hour.",
        ask=contacts.BARS,
        look=_published,
        online=True,
        after=("jwks.shape", "keys.file"),
    ),
)


def _if_receiving(look: Look) -> Look:
    def looked(site: CheckedSite) -> Seen:
        if not site.settings.inbound.enabled:
            return skipped("the gateway does not receive")
        seen = look(site)
        assert isinstance(seen, Seen), "these looks wait for nobody"
        return seen

    return looked


def _rule(rule: Rule) -> Look:
    """Return a look at what one rule says of the certificate in use."""

    def look(site: CheckedSite) -> Seen:
        return rule(site.delivered, site.settings, site.now())

    return _if_receiving(look)


def _callers_environment(site: CheckedSite) -> Seen:
    own = site.settings.environment
    for authority in site.authorities:
        found = environment_of_authority(authority)
        if strange(found, own):
            cure = f"Leave only the chain of {own} in inbound.client_ca_file."
            return failed(f"{common_name(authority)!a} is of {found}, and this is {own}", cure)
    return passed(", ".join(map(common_name, site.authorities)))


def _callers_root(site: CheckedSite) -> Seen:
    without = rootless(site.authorities)
    if without:
        cure = "Add its root, or remove it: nobody whom it certified is let in."
        return warned(f"the root of {names_of(without)} is not among them", cure)
    return passed("all of them end in a root that is among them")


def _callers_known(site: CheckedSite) -> Seen:
    """Hold those who called recently against the files as they lie there now."""
    settings, now = site.settings, site.now()
    seen = counting(sightings.read(settings.callers_file), now)
    if not seen:
        return skipped("nobody has called recently")
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
    return passed(f"{len(seen)} certificates of recent callers were looked at")


def _callers_dates(site: CheckedSite) -> Seen:
    ends = min(authority.not_valid_after_utc for authority in site.authorities)
    left = (ends - site.now()).days
    if left < _SOON_DAYS:
        cure = "Fetch the successors from pki.nhs.uk, and add them to inbound.client_ca_file."
        return warned(f"the first of them ends on {ends:%Y-%m-%d}", cure)
    return passed(f"all are valid until {ends:%Y-%m-%d}")


def _loads(site: CheckedSite) -> Seen:
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


def _fqdn(site: CheckedSite) -> Seen:
    if site.national and site.settings.onboarding.fqdn is None:
        cure = "Set onboarding.fqdn, so that certificate, DNS and catalogue can be compared."
        return warned("the settings do not say it", cure)
    return passed(site.settings.onboarding.fqdn or "nobody looks at names here")


def _of_rule(name: str, title: str, why: str) -> Check:
    return Check(
        name=f"certificate.{name}",
        title=title,
        why=why,
        ask=contacts.DIR,
        look=_rule(RULES[name]),
        after=_FILES,
    )


CERTIFICATES = (
    Check(
        name="certificate.fqdn",
        title="The name of this Receiver is written down",
        why="Certificate, DNS entry and catalogue must all have the same one.",
        ask=contacts.OURSELVES,
        look=_if_receiving(_fqdn),
    ),
    Check(
        name="certificate.key",
        title="The certificate's key is private and readable",
        why="Without it the listener cannot start, and whoever else has it can pose as us.",
        ask=contacts.OURSELVES,
        look=_if_receiving(of_problems("right kind, mode 0600", "inbound.private_key_file")),
    ),
    Check(
        name="certificate.file",
        title="The certificate is there, in force, and belongs to its key",
        why="The proxy reaches us only through it.",
        ask=contacts.DIR,
        look=_if_receiving(of_problems("there, in force", "inbound.certificate_file")),
        after=("certificate.key",),
    ),
    Check(
        name="callers.file",
        title="The authorities of the callers can be read",
        why="Without them nobody can be let in.",
        ask=contacts.OURSELVES,
        look=_if_receiving(of_problems("they can be read", "inbound.client_ca_file")),
    ),
    Check(
        name="callers.lists",
        title="The certificate revocation lists can be read",
        why="Without them a certificate that was stolen and withdrawn still gets in.",
        ask=contacts.OURSELVES,
        look=_if_receiving(
            of_problems("all that are named can be read", "callers.revocation_list_files*")
        ),
        after=_FILES,
    ),
    _of_rule(
        "leaf",
        "Our own certificate stands first",
        "What stands first is what is shown.",
    ),
    _of_rule(
        "strength",
        "Key and signature are strong enough",
        "Weak ones are refused by everybody, one after the other.",
    ),
    _of_rule(
        "chain",
        "The chain is complete and in order",
        "The proxy may be lenient today; whoever comes after it is not.",
    ),
    _of_rule(
        "environment",
        "The chain is of this environment",
        "INT and PROD have chains of their own, and never trust each other's.",
    ),
    _of_rule(
        "name",
        "The certificate has the right name",
        "The proxy calls the name that is in the catalogue.",
    ),
    _of_rule(
        "alternative",
        "The name stands where clients look for it",
        "Most clients read the alternative names alone, and refuse a certificate without them.",
    ),
    _of_rule(
        "dates",
        "Nothing in the chain ends soon",
        "A new certificate takes weeks.",
    ),
    _of_rule(
        "purpose",
        "The certificate is meant for servers",
        "A client's certificate is refused in the handshake.",
    ),
    Check(
        name="callers.environment",
        title="The callers' authorities are of this environment",
        why="With those of the other one, test systems could send into production.",
        ask=contacts.OURSELVES,
        look=_if_receiving(_callers_environment),
        after=_FILES,
    ),
    Check(
        name="callers.loads",
        title="The listener takes these files",
        why="A gateway that runs keeps the old ones, and one that is restarted may not start.",
        ask=contacts.OURSELVES,
        look=_if_receiving(_loads),
        after=_FILES,
    ),
    Check(
        name="callers.dates",
        title="No authority of the callers ends soon",
        why="The day it ends, nobody gets in.",
        ask=contacts.OURSELVES,
        look=_if_receiving(_callers_dates),
        after=_FILES,
    ),
    Check(
        name="callers.root",
        title="Every authority of the callers has its root",
        why="A chain that does not end in a root of the file is refused, whoever calls.",
        ask=contacts.OURSELVES,
        look=_if_receiving(_callers_root),
        after=_FILES,
    ),
    Check(
        name="callers.known",
        title="Whoever called recently still gets in",
        why="A file can be sound and hold the wrong authorities, and then every message is lost.",
        ask=contacts.OURSELVES,
        look=_if_receiving(_callers_known),
        after=(*_FILES, "callers.lists", "callers.root"),
    ),
)
