"""
The preset of each environment: addresses, names and limits that belong together.

    environment = "int" ──► PRESETS ──► token service, proxy, rate, key size
                                └─────► hosts that no other environment may use

A message about a real patient that goes to a test system is lost, and a test message
in production is believed. So each environment is one word in the settings, what it
brings along can be overridden, and an address or a name that is known to belong to
another environment is refused at start, and so is a key id, a certificate, a chain or a
service.

The surprising choice: `local` has no addresses of its own. They are the ports that
`bars-gateway sandbox` happened to open, and it prints the lines to copy.

Decisions: D-environments.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from bars_gateway.frozen import frozen

PRESET_OUTBOUND = ("token_url", "proxy_url", "hosts", "token_required", "requests_per_minute")
_KEY_ID = re.compile(r"(?:^|-)(LOCAL|SANDBOX|INT|PROD)-\d+", re.IGNORECASE)
_FOR_TESTS = "tests"  # the naming system of the services that only answer tests


class Environment(StrEnum):
    """Where the gateway is connected."""

    LOCAL = "local"  # `bars-gateway sandbox`, on this machine
    SANDBOX = "sandbox"  # the public one of NHS England: stateless, no token, never calls us
    INT = "int"  # integration: real tokens and certificates, no real patients
    PROD = "prod"


@frozen(kw_only=True)
class Preset:
    """What one environment brings along (onboarding page, section 1.1)."""

    token_url: str | None  # also the audience of our JWT, character for character; None: no default
    proxy_url: str | None  # the base, without $process-message
    token_required: bool
    requests_per_minute: int  # of one application key, tokens included
    minimum_key_bits: int  # of the RSA key that signs our JWT
    hosts: tuple[str, ...]  # names of the national side that belong here and nowhere else
    own_name_prefix: str | None  # what a Receiver's certificate name starts with here
    caller_addresses: tuple[str, ...] = ()  # of the proxy (section 0.3); empty: every address

    @property
    def outbound(self) -> dict[str, Any]:
        """What it brings to [outbound], where the settings do not say it themselves."""
        brought = {name: getattr(self, name) for name in PRESET_OUTBOUND}
        return {name: value for name, value in brought.items() if value is not None}


PRESETS: Mapping[Environment, Preset] = {
    Environment.LOCAL: Preset(
        token_url=None,
        proxy_url=None,
        token_required=True,
        requests_per_minute=60_000,
        minimum_key_bits=2048,
        hosts=(),
        own_name_prefix=None,
    ),
    Environment.SANDBOX: Preset(
        token_url="https://sandbox.api.service.nhs.uk/oauth2/token",  # noqa: S106 - an address
        proxy_url="https://sandbox.api.service.nhs.uk/booking-and-referral/FHIR/R4",
        token_required=False,
        requests_per_minute=300,
        minimum_key_bits=2048,
        hosts=("sandbox.api.service.nhs.uk",),
        own_name_prefix=None,
    ),
    Environment.INT: Preset(
        token_url="https://int.api.service.nhs.uk/oauth2/token",  # noqa: S106 - an address
        proxy_url="https://int.api.service.nhs.uk/booking-and-referral/FHIR/R4",
        token_required=True,
        requests_per_minute=300,
        minimum_key_bits=4096,
        hosts=("int.api.service.nhs.uk", "bars.int.api.platform.nhs.uk"),
        own_name_prefix="bars-int-",
        caller_addresses=("35.197.254.55", "35.246.55.143"),
    ),
    Environment.PROD: Preset(
        token_url="https://api.service.nhs.uk/oauth2/token",  # noqa: S106 - an address
        proxy_url="https://api.service.nhs.uk/booking-and-referral/FHIR/R4",
        token_required=True,
        requests_per_minute=1000,
        minimum_key_bits=4096,
        hosts=("api.service.nhs.uk", "bars-proxy.spineservices.nhs.uk"),
        own_name_prefix="bars-prod-",
        caller_addresses=("34.89.0.111", "34.89.69.6"),
    ),
}


def environment_of_host(host: str) -> Environment | None:
    """Return the environment that *host* is known to belong to, or None."""
    name = host.lower().rstrip(".")
    return next((e for e, preset in PRESETS.items() if name in preset.hosts), None)


def environment_of_own_name(name: str) -> Environment | None:
    """Return the environment that a Receiver's certificate *name* is made for, or None."""
    name = name.lower()
    return next(
        (e for e, b in PRESETS.items() if b.own_name_prefix and name.startswith(b.own_name_prefix)),
        None,
    )


# What the authorities of an environment have in their names: the first that fits counts.
_AUTHORITIES = (
    (("NHS INT ", "NHS PTL "), Environment.INT),
    (("NHS Root ", "NHS Authentication", "NHS Level"), Environment.PROD),
    (("bars_gateway sandbox ",), Environment.LOCAL),  # made by anybody, and their keys lie about
)


def environment_of_authority_name(name: str) -> Environment | None:
    """Return the environment of the authority called *name*, or None where nobody knows it."""
    return next((where for marks, where in _AUTHORITIES if name.startswith(marks)), None)


def environment_of_key_id(key_id: str) -> Environment | None:
    """Return the environment that *key_id* names by the convention, or None."""
    found = _KEY_ID.search(key_id)
    return Environment(found[1].lower()) if found else None


def environment_of_service(service: str) -> Environment | None:
    """Return INT for a `system|value` that only answers tests, else None."""
    return Environment.INT if service.partition("|")[0] == _FOR_TESTS else None


def strange(found: Environment | None, own: Environment) -> bool:
    """Tell whether what is of the environment *found* has no place in *own*."""
    ours = {Environment.LOCAL, Environment.SANDBOX}  # what is for trying things out is one
    return found is not None and found is not own and not ours >= {found, own}
