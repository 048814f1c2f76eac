"""
Judges a certificate before it is used: key, chain, environment, name, dates, purpose.

    PEM or PKCS#12 ──read──► Delivered ──verdicts──► one Seen for each rule, pass or not

Every rule is looked at, so that a person writes to the signers once. A chain that the proxy
accepts proves nothing: it does not look at all of it, and its successor may.

The name has one of four forms:

    INT   provider-hosted   BaRS-INT-<ODS>.<provider>.nhs.uk
          supplier-hosted   BaRS-INT-<ODS>.<supplier>.thirdparty.nhs.uk
    PROD  likewise with BaRS-PROD-, and a setting may follow the ODS code: BaRS-PROD-RAEWARD1

A request with any other name comes back after days or weeks. In `local` and `sandbox`
nobody looks at names, so that any name of a machine will do.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bars_gateway.config import Environment, Settings
from bars_gateway.config.environments import (
    environment_of_authority_name,
    environment_of_own_name,
    strange,
)
from bars_gateway.config.values import Flaw
from bars_gateway.frozen import frozen
from bars_gateway.onboarding.grades import Seen, failed, passed, warned
from bars_gateway.tls.certificates import (
    WEAK,
    dns_names,
    extension_of,
    is_authority,
    is_root,
    issued_by,
    public_key,
    why_illegible,
)

_BITS = 2048  # below this nobody takes a key any more
_SOON = timedelta(days=30)
LONGEST = 64  # of a common name, X.520
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_FORMS = {"provider": ".nhs.uk", "supplier": ".thirdparty.nhs.uk"}


@frozen(kw_only=True)
class Delivered:
    """A certificate as it was sent to us."""

    chain: tuple[x509.Certificate, ...]  # in the order of the file; the leaf belongs first
    key: PrivateKeyTypes | None  # None: it came without, as it should
    trusted: tuple[x509.Certificate, ...] = ()  # what `client_ca_file` holds

    @property
    def leaf(self) -> x509.Certificate:
        """The first certificate of the file."""
        return self.chain[0]


def verdicts(delivered: Delivered, settings: Settings, now: datetime) -> dict[str, Seen]:
    """Return what every rule says, by its name, in the order in which a person would ask."""
    return {name: rule(delivered, settings, now) for name, rule in RULES.items()}


def common_name(certificate: x509.Certificate) -> str:
    """Return the first common name, or nothing."""
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def environment_of_authority(certificate: x509.Certificate) -> Environment | None:
    """Return the environment of an authority of the NHS by its name, or None."""
    return environment_of_authority_name(common_name(certificate))


def same_key(one: Any, other: Any) -> bool:
    """Tell whether two of certificate, request and private key have one public key."""
    return public_key(one) == public_key(other) is not None


def leaf_first(delivered: Delivered, _settings: Settings, _now: datetime) -> Seen:
    """Tell whether our own certificate comes first."""
    if is_authority(delivered.leaf):
        seen = f"the first certificate, {common_name(delivered.leaf)!a}, is an authority's"
        return failed(seen, "Put our own certificate first in the file.")
    return passed(f"the first certificate is {common_name(delivered.leaf)!a}")


def key_fits(delivered: Delivered, _settings: Settings, _now: datetime) -> Seen:
    """Tell whether the key belongs to it."""
    if delivered.key is None:
        cure = "Name the key that the request was made with: --key FILE."
        return failed("there is no key that it could belong to", cure)
    if not same_key(delivered.leaf, delivered.key):
        cure = "Use the key beside the request that was sent, or send a new request."
        return failed("the certificate belongs to another key", cure)
    return passed("certificate and key belong together")


def strong(delivered: Delivered, _settings: Settings, _now: datetime) -> Seen:
    """Tell whether key and signature are strong enough."""
    cure = "Make a new request with `bars-gateway csr new --why TEXT`: its key has 4096 bits."
    if public_key(delivered.leaf) is None:
        return failed("its key is of a kind that cannot be used", cure)
    key, digest = delivered.leaf.public_key(), delivered.leaf.signature_hash_algorithm
    if isinstance(key, RSAPublicKey) and key.key_size < _BITS:
        return failed(f"its key has {key.key_size} bits", cure)
    if digest is not None and digest.name in WEAK:
        return failed(f"it is signed with {digest.name}", "Ask for SHA-256.")
    return passed(f"{_kind(key)}, signed with {digest.name if digest else 'no hash'}")


def _kind(key: object) -> str:
    return f"RSA of {key.key_size} bits" if isinstance(key, RSAPublicKey) else type(key).__name__


def chain(delivered: Delivered, _settings: Settings, _now: datetime) -> Seen:
    """Tell whether the chain is complete and in order."""
    for place, (lower, upper) in enumerate(
        zip(delivered.chain, delivered.chain[1:], strict=False), 1
    ):
        if not issued_by(lower, upper):
            seen = f"certificate {place + 1} of the file did not issue certificate {place}"
            cure = "Order them: leaf, then who issued it, then who issued that."
            return failed(seen, cure)
    last = delivered.chain[-1]
    roots = [one for one in delivered.trusted if is_root(one)]
    if is_root(last) or any(issued_by(last, root) for root in roots):
        known = last in roots or not is_root(last)
        said = "" if known else "; its root was compared with none: see that it is the NHS's own"
        return passed(" ← ".join(map(common_name, delivered.chain)) + said)
    issuer = last.issuer.rfc4514_string()
    cure = "Append that authority's certificate to the file; pki.nhs.uk has those of the NHS."
    return failed(f"the chain ends below {issuer}", cure)


def of_the_environment(delivered: Delivered, settings: Settings, _now: datetime) -> Seen:
    """Tell whether the chain is of this environment, and of the current series."""
    for authority in delivered.chain[1:]:
        found = environment_of_authority(authority)
        if strange(found, settings.environment):
            seen = (
                f"{common_name(authority)!a} is of the environment {found}, and this gateway is"
                f" in {settings.environment}"
            )
            cure = f"Ask for a certificate of {settings.environment}: the two chains never mix."
            return failed(seen, cure)
    first_series = [common_name(one) for one in delivered.chain[1:] if _is_superseded(one)]
    if first_series:
        cure = "Ask for one of the G2 series; the first was superseded in June 2024."
        return warned(f"{first_series[0]!a} is of the first series", cure)
    return passed(f"nothing in the chain is of another than {settings.environment}")


def _is_superseded(authority: x509.Certificate) -> bool:
    national = environment_of_authority(authority) in {Environment.INT, Environment.PROD}
    return national and "G2" not in common_name(authority)


def named(delivered: Delivered, settings: Settings, _now: datetime) -> Seen:
    """Tell whether it has the name that it should have."""
    name, wanted = common_name(delivered.leaf), settings.onboarding.fqdn
    if wanted is not None and name.lower() != wanted.lower():
        seen = f"its name is {name!a}, and onboarding.fqdn is {wanted!a}"
        return failed(seen, "Correct the setting, or ask for the right certificate.")
    flaws = flaws_of(name, settings)
    if flaws:
        return failed(f"its name {name!a} {flaws[0].cause}", flaws[0].cure)
    return passed(f"its name is {name}")


def alternatively_named(delivered: Delivered, _settings: Settings, _now: datetime) -> Seen:
    """Tell whether its name is where clients look for it."""
    name, alternative = common_name(delivered.leaf), dns_names(delivered.leaf)
    if name.lower() not in {each.lower() for each in alternative}:
        seen = "its name is not among its alternative names, and most clients look only there"
        cure = "Ask for one with its name in subjectAltName, as a DNS name."
        return warned(seen, cure)
    return passed("its name is among its alternative names")


def in_force(delivered: Delivered, _settings: Settings, now: datetime) -> Seen:
    """Tell whether all of the chain is valid now, and for some time."""
    for certificate in delivered.chain:
        name = common_name(certificate)
        if certificate.not_valid_before_utc > now:
            start = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
            seen = f"{name!a} is not valid before {start}"
            return failed(seen, "Wait, or set the clock right (timedatectl).")
        if certificate.not_valid_after_utc <= now:
            seen = f"{name!a} expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
            return failed(seen, "Order its successor: bars-gateway csr new --why TEXT.")
    first = min(certificate.not_valid_after_utc for certificate in delivered.chain)
    if first - now < _SOON:
        cure = "Order its successor now: bars-gateway csr new --why TEXT."
        return warned(f"it expires on {first:%Y-%m-%d}", cure)
    return passed(f"it is valid until {first:%Y-%m-%d}")


def for_servers(delivered: Delivered, _settings: Settings, _now: datetime) -> Seen:
    """Tell whether it is meant for servers."""
    usage = extension_of(delivered.leaf, x509.ExtendedKeyUsage)
    if usage is None:
        return passed("its use is not restricted")
    if ExtendedKeyUsageOID.SERVER_AUTH not in usage:
        cure = "Ask for a certificate for a Receiver's endpoint: it needs serverAuth."
        return failed("it is not meant for servers", cure)
    return passed("it is meant for servers")


def legible(delivered: Delivered, _settings: Settings, _now: datetime) -> Seen:
    """Tell whether what it says beside name and key can be read."""
    why = why_illegible(delivered.leaf)
    if why is None:
        return passed("what it says can be read")
    seen = f"its extensions cannot be read, so nobody has looked at names and use: {why}"
    return warned(seen, "Ask for one in plain DER (X.690); callers may refuse this one, too.")


Rule = Callable[[Delivered, Settings, datetime], Seen]
RULES: Mapping[str, Rule] = {
    "leaf": leaf_first,
    "legible": legible,
    "key": key_fits,
    "strength": strong,
    "chain": chain,
    "environment": of_the_environment,
    "name": named,
    "alternative": alternatively_named,
    "dates": in_force,
    "purpose": for_servers,
}


def form_for(settings: Settings) -> str:
    """Return the form that is asked for, such as BaRS-INT-RAE.<provider>.nhs.uk."""
    if settings.preset.own_name_prefix is None:
        return "<any>.<name>"
    hosting, ods_code = (
        settings.onboarding.hosting,
        next(iter(settings.providers.values())).ods_code,
    )
    return f"BaRS-{settings.environment.upper()}-{ods_code}.<{hosting}>{_FORMS[hosting]}"


def flaws_of(fqdn: str, settings: Settings) -> list[Flaw]:
    """Return what is wrong with *fqdn* for this installation."""
    found = list(_everywhere(fqdn))
    if settings.preset.own_name_prefix:
        found += _by_the_rules(fqdn, settings)
    return found


def _everywhere(fqdn: str) -> Iterator[Flaw]:
    if len(fqdn) > LONGEST:
        cause = f"has {len(fqdn)} characters, and a common name has {LONGEST} at most"
        yield Flaw(cause=cause, cure="Agree on a shorter domain with whoever signs it.")
    if not fqdn.isascii() or not all(map(_LABEL.fullmatch, fqdn.split("."))):
        cure = "Use letters, digits and hyphens between the dots."
        yield Flaw(cause="is not the name of a machine", cure=cure)
    elif "." not in fqdn:
        yield Flaw(cause="has no domain", cure="Write the whole name, with its domain.")


def _by_the_rules(fqdn: str, settings: Settings) -> Iterator[Flaw]:
    environment, hosting = settings.environment, settings.onboarding.hosting
    codes = [provider.ods_code for provider in settings.providers.values()]
    wanted = form_for(settings)
    first, _, rest = fqdn.partition(".")
    other = environment_of_own_name(fqdn)
    if other is not environment:
        whose = f"is made for the environment {other}" if other else "names no environment"
        cause = f"{whose}, and this gateway is in {environment}"
        yield Flaw(cause=cause, cure=f"Name it {wanted}.")
        return
    code = first[len(f"bars-{environment}-") :].upper()
    if not any(_names(code, ods, environment) for ods in codes) and hosting == "provider":
        cause = f"has {code or 'nothing'!a} where the ODS code of the provider belongs"
        yield Flaw(cause=cause, cure=f"Name it {wanted}.")
    if not re.fullmatch(r"[A-Z0-9]{3,}(-[A-Z0-9]+)?", code) and hosting == "supplier":
        cause = f"has {code or 'nothing'!a} where an ODS code belongs"
        yield Flaw(cause=cause, cure=f"Name it {wanted}.")
    yield from _domain(rest.lower(), hosting, wanted)


def _names(code: str, ods: str, environment: Environment) -> bool:
    # In PROD the setting of a provider may follow its code.
    return code == ods or (environment is Environment.PROD and code.startswith(ods))


def _domain(domain: str, hosting: str, wanted: str) -> Iterator[Flaw]:
    ending = _FORMS[hosting]
    if not domain.endswith(".nhs.uk") or domain == "thirdparty.nhs.uk":
        yield Flaw(cause="is not in a domain below nhs.uk", cure=f"Name it {wanted}.")
    elif domain.endswith(".thirdparty.nhs.uk") != (hosting == "supplier"):
        cause = f"does not end in {ending}, as the name of a {hosting}-hosted Receiver does"
        cure = f"Name it {wanted}, or set onboarding.hosting."
        yield Flaw(cause=cause, cure=cure)
