"""
Every setting, its unit, its bounds and its reason.

    bars-gateway.toml ─┐
    BARS_GATEWAY_… ────┼─► load ─► Settings (frozen)      or everything that is wrong, at once
    environment bundle ┘

A setting comes from the environment variable, else from the file, else from what the
chosen environment brings, else from its default. Nothing secret is in any of them:
keys are named by path. A misspelt setting is an error and never ignored, because the
one that was meant would then silently have its default.

The surprising choice: `Settings` itself reads nothing, neither file nor variables. Only
`load` does, so that a test or a sandbox that builds settings gets what it wrote.
"""

import re
import socket
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bars_gateway.config.callers import Callers
from bars_gateway.config.contradictions import (
    elsewhere,
    of_providers,
    of_urls,
    open_doors,
    refuse_strangers,
    shared,
)
from bars_gateway.config.describe import BUNDLED, Described, describe
from bars_gateway.config.doubts import doubts
from bars_gateway.config.environments import (
    BUNDLES,
    Bundle,
    Environment,
    environment_of_host,
    environment_of_own_name,
)
from bars_gateway.config.local import Epr, Inbound, Status, Store
from bars_gateway.config.onboarding import Onboarding
from bars_gateway.config.outbound import Outbound, TimingSettings
from bars_gateway.config.problems import problems
from bars_gateway.config.provider import Provider, Software, UseCase
from bars_gateway.config.sources import Problem, Sources, explain
from bars_gateway.config.values import AbsolutePath, Address, Fault, reject
from bars_gateway.errors import ConfigurationError

__all__ = [
    "Address",
    "Callers",
    "Described",
    "Environment",
    "Epr",
    "Inbound",
    "Onboarding",
    "Outbound",
    "Problem",
    "Provider",
    "Settings",
    "Software",
    "Status",
    "Store",
    "TimingSettings",
    "describe",
    "doubts",
    "load",
    "problems",
]

LONGEST_SOCKET_PATH = 107  # bytes; sun_path of Linux, less the final zero

ProviderName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


def _node() -> str:
    return re.sub(r"[^a-z0-9-]", "", socket.gethostname().partition(".")[0].lower()) or "gateway"


class Settings(BaseSettings):
    """All settings of one gateway; frozen."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    environment: Environment
    """
    Where the gateway is connected: `local`, `sandbox`, `int` or `prod`.

    Required. It brings addresses and limits with it, and refuses those of the others.
    """

    node: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")] = Field(
        default_factory=_node
    )
    """
    Names this gateway in claims and in the log; the first part of the machine's name by default.

    Set it where machines are renamed at each start: a node releases its own claims at once.
    """

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """
    The least important events that are logged.

    Set it to `debug` while looking for a fault; no level logs anything of a patient.
    """

    state_dir: AbsolutePath = Path("/var/lib/bars-gateway")
    """
    The folder of what must outlive a restart, on a local disk.

    Change it for a second gateway on one machine.
    """

    providers: Annotated[dict[ProviderName, Provider], Field(min_length=1)]
    """
    The organisations that the gateway speaks for, each under a short name of yours.

    Required, at least one. The name is stored with every message: do not change it later.
    """

    outbound: Outbound
    """The way to the token service and the proxy; what each setting is for stands with it."""

    inbound: Inbound
    """The door for messages from others; what each setting is for stands with it."""

    callers: Callers = Callers()
    """Who may call, beside the names; what each setting is for stands with it."""

    store: Store = Store()
    """The database; what each setting is for stands with it."""

    epr: Epr = Epr()
    """The door for the EPR; what each setting is for stands with it."""

    status: Status = Status()
    """The status page; what each setting is for stands with it."""

    onboarding: Onboarding = Onboarding()
    """What the desks are told about us; what each setting is for stands with it."""

    timing: dict[UseCase, TimingSettings] = Field(default_factory=dict)
    """What single Applications or use cases do otherwise; what each is for stands with it."""

    _sources: Sources = PrivateAttr(default_factory=Sources)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the one source there is: what the caller wrote."""
        return (init_settings,)

    @model_validator(mode="before")
    @classmethod
    def _bring_the_bundle(cls, values: Any) -> Any:
        environment = values.get("environment")
        if environment not in list(Environment):
            return values
        bundle = BUNDLES[Environment(environment)]
        brought = {name: getattr(bundle, name) for name in BUNDLED}
        brought = {name: value for name, value in brought.items() if value is not None}
        outbound = values.get("outbound", {})
        if isinstance(outbound, Mapping):
            values = {**values, "outbound": {**brought, **outbound}}
        return {"inbound": {}, **values}

    @field_validator("outbound")
    @classmethod
    def _stays_in_its_environment(cls, outbound: Outbound, info: Any) -> Outbound:
        urls = {"token_url": outbound.token_url, "proxy_url": outbound.proxy_url}
        refuse_strangers(of_urls(urls), info)
        reject(elsewhere(urls, outbound.hosts))
        return outbound

    @field_validator("inbound")
    @classmethod
    def _lets_in_its_own(cls, inbound: Inbound, info: Any) -> Inbound:
        names = [environment_of_host(name) for name in inbound.allowed_client_names]
        marks = [(("allowed_client_names",), environment) for environment in names]
        refuse_strangers([*marks, *of_urls({"public_url": inbound.public_url})], info)
        return inbound

    @field_validator("onboarding")
    @classmethod
    def _is_known_by_its_own_name(cls, onboarding: Onboarding, info: Any) -> Onboarding:
        fqdn = environment_of_own_name(onboarding.fqdn or "")
        urls = {"receiver_url": onboarding.receiver_url, "jwks_url": onboarding.jwks_url}
        refuse_strangers([(("fqdn",), fqdn), *of_urls(urls)], info)
        return onboarding

    @field_validator("callers")
    @classmethod
    def _keeps_strangers_out(cls, callers: Callers, info: Any) -> Callers:
        if info.data.get("environment") is Environment.PROD:
            reject(open_doors(callers))
        return callers

    @field_validator("providers")
    @classmethod
    def _keeps_apart(cls, providers: dict[str, Provider], info: Any) -> dict[str, Provider]:
        reject(shared(providers))
        refuse_strangers(of_providers(providers), info)
        return providers

    @field_validator("epr")
    @classmethod
    def _has_room_for_its_sockets(cls, epr: Epr, info: Any) -> Epr:
        sockets = [epr.socket_of(name) for name in info.data.get("providers", {})]
        longest = max(sockets, key=lambda path: len(bytes(path)), default=epr.socket_dir)
        if len(bytes(longest)) > LONGEST_SOCKET_PATH:
            cure = f"With {longest.name} in it, the path has {LONGEST_SOCKET_PATH} bytes at most."
            cause = "is too long for a Unix socket"
            reject([Fault(key=("socket_dir",), cause=cause, cure=cure)])
        return epr

    @model_validator(mode="after")
    def _uses_a_port_once(self) -> Self:
        both = {self.inbound.listen.port, self.status.listen.port} - {0}
        if self.inbound.enabled and both == {self.inbound.listen.port} == {self.status.listen.port}:
            cure = "Give the status page a port of its own."
            cause = "is the port of inbound.listen as well"
            reject([Fault(key=("status", "listen"), cause=cause, cure=cure)])
        return self

    @property
    def database_path(self) -> Path:
        """The database file: `store.path`, else `gateway.db` in `state_dir`."""
        return self.store.path or self.state_dir / "gateway.db"

    @property
    def cache_dir(self) -> Path:
        """Where answers are kept that others give about themselves."""
        return self.state_dir / "cache"

    @property
    def callers_file(self) -> Path:
        """Where the certificates of those who called lately are kept."""
        return self.state_dir / "callers.json"

    @property
    def caller_addresses(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Who may connect: `callers.addresses`, else the proxy of the environment; empty: all."""
        own = self.callers.addresses
        brought = tuple(map(ip_network, self.bundle.caller_addresses))
        return brought if own is None else own

    @property
    def bundle(self) -> Bundle:
        """What the environment brings along."""
        return BUNDLES[self.environment]

    @property
    def timing_overrides(self) -> dict[str, dict[str, float | str]]:
        """What `standard.timing.timing_for` takes: per Application, what was set."""
        return {a: timing.model_dump(exclude_none=True) for a, timing in self.timing.items()}

    @property
    def sources(self) -> Sources:
        """Where the values came from; says nothing of settings that were not loaded."""
        return self._sources


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """
    Read the settings from the TOML file *path* and the BARS_GATEWAY_… variables of *environ*.

    Raises ConfigurationError with everything that is wrong, each with its file and line
    (or variable), key, cause and cure. Files that the settings name are not looked at:
    `problems` does that.
    """
    sources = Sources.read(path, environ)
    try:
        settings = Settings(**sources.values)
    except ValidationError as error:
        found = explain(error, Settings, sources)
        raise ConfigurationError("\n".join(map(str, found))) from None
    settings._sources = sources  # noqa: SLF001 - our own, right after birth
    return settings
