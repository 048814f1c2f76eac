"""
What `bars-gateway init` was told, by flags or in answer to its questions, as settings.

    Wishes ──values_of──► the settings file, as a tree      sandbox.json ──► addresses of `local`

Two things are not known yet when an installation begins: the API key, and the name in
the certificate with which the proxy calls. They get words that can never work by
accident, and `doctor` asks for them.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bars_gateway.config import Environment, Settings
from bars_gateway.config.placeholders import PENDING, PENDING_NAME
from bars_gateway.config.sources import Sources, explain
from bars_gateway.errors import ConfigurationError, OnboardingError
from bars_gateway.onboarding.files import read
from bars_gateway.onboarding.key_ids import KeyId
from bars_gateway.onboarding.places import Places

_SYSTEM = "https://fhir.nhs.uk/Id/dos-service-id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What an installation is to be; None: not said."""

    environment: Environment | None = None
    ods_code: str | None = None
    organisation: str | None = None
    hosting: str | None = None  # provider or supplier
    supplier: str | None = None
    services: tuple[str, ...] = ()
    notices: str | None = None  # folder or socket
    fqdn: str | None = None
    api_key: str | None = None
    key_owner: str | None = None
    listen: str | None = None
    sandbox: Path | None = None  # the folder of `bars-gateway sandbox`, for `local`

    @property
    def missing(self) -> list[str]:
        """The flags without which nothing can be written."""
        needed: dict[str, object] = {
            "--environment": self.environment,
            "--ods-code": self.ods_code,
            "--name": self.organisation,
            "--service": self.services,
        }
        if self.hosting == "supplier":
            needed["--supplier"] = self.supplier
        if self.environment is Environment.LOCAL:
            needed["--sandbox"] = self.sandbox
        return [flag for flag, value in needed.items() if not value]

    @property
    def short_name(self) -> str:
        """The provider's name in the settings, made from the organisation's."""
        words = re.findall(r"[a-z0-9]+", (self.organisation or "").lower())
        return "-".join(words)[:63].strip("-") or "provider"


def values_of(wishes: Wishes, places: Places) -> dict[str, Any]:
    """Return the settings as a tree; raise ConfigurationError where a wish cannot be one."""
    assert wishes.environment is not None, "`missing` was looked at first"
    # In PROD each provider has a key of its own; before that, the supplier's serves them all.
    in_prod = wishes.environment is Environment.PROD
    owners = (wishes.key_owner, None if in_prod else wishes.supplier, wishes.organisation)
    owner = next(filter(None, owners), "")
    key_id = KeyId.first(owner, wishes.environment)
    values: dict[str, Any] = {
        "environment": wishes.environment.value,
        "state_dir": str(places.state),
        "providers": {
            wishes.short_name: {
                "ods_code": wishes.ods_code,
                "name": wishes.organisation,
                "services": [_service(text) for text in wishes.services],
                "key_id": str(key_id),
                "api_key": wishes.api_key or PENDING,
                "private_key_file": str(places.keys / f"{key_id}.pem"),
                "spool_dir": str(places.spool / wishes.short_name),
                "notices": wishes.notices or "folder",
            }
        },
        "outbound": {},
        "inbound": {
            "certificate_file": str(places.tls / "certificate.pem"),
            "private_key_file": str(places.tls / "key.pem"),
            "client_ca_file": str(places.tls / "client-ca.pem"),
            "allowed_client_names": [PENDING_NAME],
        },
        "epr": {"socket_dir": str(places.run)},
        "onboarding": {"hosting": wishes.hosting or "provider"},
    }
    _add(values, "inbound", listen=wishes.listen)
    _add(values, "onboarding", supplier=wishes.supplier, fqdn=wishes.fqdn)
    if wishes.sandbox is not None:
        _point_at_sandbox(values, wishes.sandbox)
    _require_valid(values)
    return values


def contradictions(wishes: Wishes, settings: Settings) -> list[str]:
    """Return the wishes that the settings, which are there already, do not have."""
    provider = next(iter(settings.providers.values()))
    written: dict[str, tuple[Any, Any]] = {
        "--environment": (wishes.environment, settings.environment),
        "--ods-code": (wishes.ods_code, provider.ods_code),
        "--name": (wishes.organisation, provider.name),
        "--hosting": (wishes.hosting, settings.onboarding.hosting),
        "--supplier": (wishes.supplier, settings.onboarding.supplier),
        "--service": (tuple(map(_service, wishes.services)) or None, provider.services),
        "--epr": (wishes.notices, provider.notices),
        "--fqdn": (wishes.fqdn, settings.onboarding.fqdn),
        "--api-key": (wishes.api_key, provider.api_key),
    }
    return [
        f"{flag} says {wish}, and the settings {there}"
        for flag, (wish, there) in written.items()
        if wish is not None and wish != there
    ]


def _add(values: dict[str, Any], table: str, **more: str | None) -> None:
    values[table] |= {key: value for key, value in more.items() if value is not None}


def _service(text: str) -> str:
    return text if "|" in text else f"{_SYSTEM}|{text}"


def _point_at_sandbox(values: dict[str, Any], folder: Path) -> None:
    file = folder.resolve() / "sandbox.json"
    try:
        told = json.loads(read(file))
        addresses = {name: str(told[name]) for name in ("token_url", "proxy_url", "ca_file")}
        callers, name = str(told["client_ca_file"]), str(told["allowed_client_name"])
    except (OnboardingError, ValueError, KeyError, TypeError):
        cure = f"Start it: bars-gateway sandbox {folder}"
        raise OnboardingError(f"no sandbox runs in {folder}", cure) from None
    values["outbound"] |= addresses
    values["inbound"] |= {"client_ca_file": callers, "allowed_client_names": [name]}


def _require_valid(values: dict[str, Any]) -> None:
    try:
        Settings(**values)
    except ValidationError as error:
        found = explain(error, Settings, Sources(values=values))
        raise ConfigurationError("\n".join(map(str, found))) from None
