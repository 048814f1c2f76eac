"""
The names that a Receiver's certificate may have: four forms, and what each demands.

    INT   provider-hosted   BaRS-INT-<ODS>.<provider>.nhs.uk
          supplier-hosted   BaRS-INT-<ODS>.<supplier>.thirdparty.nhs.uk
    PROD  likewise with BaRS-PROD-, and a setting may follow the ODS code: BaRS-PROD-RAEWARD1

A request with any other name comes back after days or weeks. In `local` and `sandbox`
nobody looks at names, so that any name of a machine will do.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bars_gateway.config import Environment, Settings
from bars_gateway.config.environments import environment_of_own_name

LONGEST = 64  # of a common name, X.520
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_FORMS = {"provider": ".nhs.uk", "supplier": ".thirdparty.nhs.uk"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NameFault:
    """One thing that is wrong with a name."""

    cause: str
    cure: str


def form_for(settings: Settings) -> str:
    """Return the form that is asked for, such as BaRS-INT-RAE.<provider>.nhs.uk."""
    if settings.bundle.own_name_prefix is None:
        return "<any>.<name>"
    hosting, ods_code = (
        settings.onboarding.hosting,
        next(iter(settings.providers.values())).ods_code,
    )
    return f"BaRS-{settings.environment.upper()}-{ods_code}.<{hosting}>{_FORMS[hosting]}"


def faults_of(fqdn: str, settings: Settings) -> list[NameFault]:
    """Return what is wrong with *fqdn* for this installation."""
    found = list(_everywhere(fqdn))
    if settings.bundle.own_name_prefix:
        found += _by_the_rules(fqdn, settings)
    return found


def _everywhere(fqdn: str) -> Iterator[NameFault]:
    if len(fqdn) > LONGEST:
        cause = f"has {len(fqdn)} characters, and a common name has {LONGEST} at most"
        yield NameFault(cause=cause, cure="Agree on a shorter domain with the desk.")
    if not fqdn.isascii() or not all(map(_LABEL.fullmatch, fqdn.split("."))):
        cure = "Use letters, digits and hyphens between the dots."
        yield NameFault(cause="is no name of a machine", cure=cure)
    elif "." not in fqdn:
        yield NameFault(cause="has no domain", cure="Write the whole name, with its domain.")


def _by_the_rules(fqdn: str, settings: Settings) -> Iterator[NameFault]:
    environment, hosting = settings.environment, settings.onboarding.hosting
    codes = [provider.ods_code for provider in settings.providers.values()]
    wanted = form_for(settings)
    first, _, rest = fqdn.partition(".")
    other = environment_of_own_name(fqdn)
    if other is not environment:
        whose = f"is made for the environment {other}" if other else "names no environment"
        cause = f"{whose}, and this gateway is in {environment}"
        yield NameFault(cause=cause, cure=f"Name it {wanted}.")
        return
    code = first[len(f"bars-{environment}-") :].upper()
    if not any(_names(code, ods, environment) for ods in codes) and hosting == "provider":
        cause = f"has {code or 'nothing'!a} where the ODS code of the provider belongs"
        yield NameFault(cause=cause, cure=f"Name it {wanted}.")
    if not re.fullmatch(r"[A-Z0-9]{3,}(-[A-Z0-9]+)?", code) and hosting == "supplier":
        cause = f"has {code or 'nothing'!a} where an ODS code belongs"
        yield NameFault(cause=cause, cure=f"Name it {wanted}.")
    yield from _domain(rest.lower(), hosting, wanted)


def _names(code: str, ods: str, environment: Environment) -> bool:
    # In PROD the setting of a provider may follow its code.
    return code == ods or (environment is Environment.PROD and code.startswith(ods))


def _domain(domain: str, hosting: str, wanted: str) -> Iterator[NameFault]:
    ending = _FORMS[hosting]
    if not domain.endswith(".nhs.uk") or domain == "thirdparty.nhs.uk":
        yield NameFault(cause="is not in a domain below nhs.uk", cure=f"Name it {wanted}.")
    elif domain.endswith(".thirdparty.nhs.uk") != (hosting == "supplier"):
        cause = f"does not end in {ending}, as the name of a {hosting}-hosted Receiver does"
        cure = f"Name it {wanted}, or set onboarding.hosting."
        yield NameFault(cause=cause, cure=cure)
