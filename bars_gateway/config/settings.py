"""
Every setting, its unit, its bounds and its reason.

    bars-gateway.toml ─┐
    BARS_GATEWAY_… ────┼─► load ─► Settings (frozen)      or everything that is wrong, at once
    environment preset ┘             └─describe─► each with its value, where that came from, and why

A setting comes from the environment variable, else from the file, else from what the
chosen environment brings, else from its default. Nothing secret is in any of them:
keys are named by path. A misspelt setting is an error and never ignored, because the
one that was meant would then silently have its default. What is right one by one may be
wrong together: names of another environment, doors left open in prod, one service for two
providers.

The surprising choice: `Settings` itself reads nothing, neither file nor variables. Only
`load` does, so that a test or a sandbox that builds settings gets what it wrote.
"""

import re
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from bars_gateway.config.alerts import AlertSettings
from bars_gateway.config.environments import (
    PRESET_OUTBOUND,
    PRESETS,
    Environment,
    Preset,
    environment_of_host,
    environment_of_key_id,
    environment_of_own_name,
    environment_of_service,
    strange,
)
from bars_gateway.config.local import (
    CallerSettings,
    Console,
    Epr,
    InboundSettings,
    Status,
    StoreSettings,
)
from bars_gateway.config.outbound import OutboundSettings, TimingSettings
from bars_gateway.config.provider import Onboarding, Provider
from bars_gateway.config.retention import RetentionSettings, rules_of
from bars_gateway.config.sources import Sources, explain, purpose
from bars_gateway.config.values import AbsolutePath, Flaw, UseCase, reject
from bars_gateway.errors import ConfigurationError, NoFile
from bars_gateway.model.retention import RetentionRules
from bars_gateway.standard.timing import Timing, timing_for

DEFAULT_CONFIG = Path("/etc/bars-gateway/bars-gateway.toml")
LONGEST_SOCKET_PATH = 107  # bytes; sun_path of Linux, less the final zero

ProviderName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
_Marks = Iterable[tuple[tuple[str, ...], Environment | None]]  # a setting, and whose it is
_USERINFO = re.compile(r"//[^/@\s]*@")
_PRESET = frozenset(f"outbound.{name}" for name in PRESET_OUTBOUND)


def _node() -> str:
    return re.sub(r"[^a-z0-9-]", "", socket.gethostname().partition(".")[0].lower()) or "gateway"


class Settings(BaseModel):
    """All settings of one gateway; frozen."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    environment: Environment
    """
    Where the gateway is connected: `local`, `sandbox`, `int` or `prod`.

    Required. `local` is `bars-gateway sandbox` on this machine; `sandbox` is NHS England's public
    one, which asks for no token and never calls back; `int` is for integration, with real tokens
    and certificates and no real patient; `prod` is live. Each brings addresses and limits with it,
    and refuses those of the others.
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

    outbound: OutboundSettings
    """The way to the token service and the proxy; what each setting is for stands with it."""

    inbound: InboundSettings
    """The door for messages from others; what each setting is for stands with it."""

    callers: CallerSettings = CallerSettings()
    """Who may call, beside the names; what each setting is for stands with it."""

    store: StoreSettings = StoreSettings()
    """The database; what each setting is for stands with it."""

    retention: RetentionSettings = RetentionSettings()
    """How long records are kept; what each setting is for stands with it."""

    epr: Epr = Epr()
    """The door for the EPR; what each setting is for stands with it."""

    status: Status = Status()
    """The status page; what each setting is for stands with it."""

    alerts: AlertSettings = AlertSettings()
    """Who is told beyond the page; what each setting is for stands with it."""

    console: Console = Console()
    """Who may see the pages, and act there; what each setting is for stands with it."""

    onboarding: Onboarding = Onboarding()
    """What others are told about us; what each setting is for stands with it."""

    timing: dict[UseCase, TimingSettings] = Field(default_factory=dict)
    """What single Applications or use cases do otherwise; what each is for stands with it."""

    _sources: Sources = PrivateAttr(default_factory=Sources)

    @model_validator(mode="before")
    @classmethod
    def _bring_the_preset(cls, values: Any) -> Any:
        environment = values.get("environment")
        if environment not in list(Environment):
            return values
        brought = PRESETS[Environment(environment)].outbound
        outbound = values.get("outbound", {})
        if isinstance(outbound, Mapping):
            values = {**values, "outbound": {**brought, **outbound}}
        return {"inbound": {}, **values}

    @field_validator("outbound")
    @classmethod
    def _stays_in_its_environment(cls, outbound: OutboundSettings, info: Any) -> OutboundSettings:
        urls = {"token_url": outbound.token_url, "proxy_url": outbound.proxy_url}
        _refuse_strangers(_of_urls(urls), info)
        reject(_elsewhere(urls, outbound.hosts))
        return outbound

    @field_validator("inbound")
    @classmethod
    def _lets_in_its_own(cls, inbound: InboundSettings, info: Any) -> InboundSettings:
        names = [environment_of_host(name) for name in inbound.allowed_client_names]
        marks = [(("allowed_client_names",), environment) for environment in names]
        _refuse_strangers([*marks, *_of_urls({"public_url": inbound.public_url})], info)
        return inbound

    @field_validator("onboarding")
    @classmethod
    def _is_known_by_its_own_name(cls, onboarding: Onboarding, info: Any) -> Onboarding:
        fqdn = environment_of_own_name(onboarding.fqdn or "")
        urls = {"receiver_url": onboarding.receiver_url, "jwks_url": onboarding.jwks_url}
        _refuse_strangers([(("fqdn",), fqdn), *_of_urls(urls)], info)
        return onboarding

    @field_validator("callers")
    @classmethod
    def _keeps_strangers_out(cls, callers: CallerSettings, info: Any) -> CallerSettings:
        if info.data.get("environment") is Environment.PROD:
            reject(_open_doors(callers))
        return callers

    @field_validator("providers")
    @classmethod
    def _keeps_apart(cls, providers: dict[str, Provider], info: Any) -> dict[str, Provider]:
        reject(_shared(providers))
        _refuse_strangers(_of_providers(providers), info)
        return providers

    @field_validator("epr")
    @classmethod
    def _has_room_for_its_sockets(cls, epr: Epr, info: Any) -> Epr:
        sockets = [epr.socket_of(name) for name in info.data.get("providers", {})]
        longest = max(sockets, key=lambda path: len(bytes(path)), default=epr.socket_dir)
        if len(bytes(longest)) > LONGEST_SOCKET_PATH:
            cure = f"With {longest.name} in it, the path has {LONGEST_SOCKET_PATH} bytes at most."
            cause = "is too long for a Unix socket"
            reject([Flaw(key=("socket_dir",), cause=cause, cure=cure)])
        return epr

    @model_validator(mode="after")
    def _uses_a_port_once(self) -> Self:
        both = {self.inbound.listen.port, self.status.listen.port} - {0}
        if self.inbound.enabled and both == {self.inbound.listen.port} == {self.status.listen.port}:
            cure = "Give the status page a port of its own."
            cause = "is the port of inbound.listen as well"
            reject([Flaw(key=("status", "listen"), cause=cause, cure=cure)])
        return self

    @property
    def database_path(self) -> Path:
        """The database file: `store.path`, else `gateway.db` in `state_dir`; or NoFile."""
        if self.store.url is not None:
            raise NoFile("this works on a database file, and store.url names a server")
        return self.store.path or self.state_dir / "gateway.db"

    @property
    def retention_rules(self) -> RetentionRules:
        """How long each kind of record is kept, and whose."""
        own = {name: provider.retention for name, provider in self.providers.items()}
        return rules_of(self.retention, own)

    @property
    def cache_dir(self) -> Path:
        """Where answers are kept that others give about themselves."""
        return self.state_dir / "cache"

    @property
    def users_file(self) -> Path:
        """Where the console's users stand: `console.users_file`, else a file in `state_dir`."""
        return self.console.users_file or self.state_dir / "users.json"

    @property
    def page_url(self) -> str:
        """Where people reach the status page: `alerts.page_url`, else where it listens."""
        return self.alerts.page_url or f"http://{self.status.listen}"

    @property
    def callers_file(self) -> Path:
        """Where the certificates of those who called recently are kept."""
        return self.state_dir / "callers.json"

    @property
    def heads_file(self) -> Path:
        """Where the heads of the audit trail are kept beside the database."""
        return self.state_dir / "audit-heads.jsonl"

    @property
    def settings_key_file(self) -> Path:
        """Where the key stands that settings are compared with, from start to start."""
        return self.state_dir / "settings.key"

    @property
    def reports_dir(self) -> Path:
        """Where commands report to the audit trail what they have done beside the gateway."""
        return self.state_dir / "reports"

    @property
    def caller_addresses(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Who may connect: `callers.addresses`, else the proxy of the environment; empty: all."""
        own = self.callers.addresses
        brought = tuple(map(ip_network, self.preset.caller_addresses))
        return brought if own is None else own

    @property
    def preset(self) -> Preset:
        """What the environment brings along."""
        return PRESETS[self.environment]

    def timing_for(self, use_case: str) -> Timing:
        """Return the figures for *use_case*: what was set for it, else what is shipped."""
        overrides = {a: one.model_dump(exclude_none=True) for a, one in self.timing.items()}
        return timing_for(use_case, overrides)

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


def _refuse_strangers(marks: _Marks, info: Any) -> None:
    """Refuse settings that are known to belong to another environment."""
    own = info.data.get("environment")
    if own is None:
        return  # refused already, and nothing can be compared with it
    reject(
        Flaw(
            key=key,
            cause=f"belongs to the environment {other}, and this gateway is in {own}",
            cure=f'Write one of {own}, or set environment = "{other}".',
        )
        for key, other in marks
        if strange(other, own)
    )


def _of_urls(urls: Mapping[str, str | None]) -> _Marks:
    """Return whose these addresses (by setting) are, of the national side or of a Receiver."""
    hosts = {key: urlsplit(url or "").hostname or "" for key, url in urls.items()}
    return [
        ((key,), environment_of_host(host) or environment_of_own_name(host))
        for key, host in hosts.items()
    ]


def _elsewhere(urls: Mapping[str, str], hosts: Collection[str]) -> Iterator[Flaw]:
    """Yield the addresses (by setting) that are on none of *hosts*; without any, none is."""
    for key, url in urls.items():
        host = (urlsplit(url).hostname or "").rstrip(".")
        if hosts and host not in hosts:
            cause = f"is on the host {host}, and outbound.hosts has {', '.join(hosts)} only"
            yield Flaw(key=(key,), cause=cause, cure="Write one of them, or name the host there.")


def _of_providers(providers: Mapping[str, Provider]) -> _Marks:
    """Return whose the key ids and services of these providers are."""
    for name, provider in providers.items():
        yield (name, "key_id"), environment_of_key_id(provider.key_id)
        for key_id in provider.former_keys:
            yield (name, "former_keys"), environment_of_key_id(key_id)
        for service in provider.services:
            yield (name, "services"), environment_of_service(service)


def _open_doors(callers: CallerSettings) -> Iterator[Flaw]:
    """Yield what may not stand in the settings of a gateway in prod."""
    if callers.addresses == ():
        cure = "Leave it out for the addresses of the proxy, or name those that may connect."
        yield Flaw(key=("addresses",), cause="lets every address connect, in prod", cure=cure)
    if callers.observe_until is not None:
        cause = "would let in certificates that nobody has listed, in prod"
        cure = "Learn the name in int, and write it into inbound.allowed_client_names."
        yield Flaw(key=("observe_until",), cause=cause, cure=cure)


def _shared(providers: Mapping[str, Provider]) -> list[Flaw]:
    """Return what two providers have in common and may not."""
    flaws: list[Flaw] = []
    owners: dict[str, str] = {}
    for name, provider in providers.items():
        own = [("services", service) for service in provider.services]
        for key, value in [*own, ("spool_dir", str(provider.spool_dir))]:
            if owners.setdefault(value, name) != name:
                cause = f"is shared with the provider {owners[value]}"
                cure = "Give each provider services and a folder of its own."
                flaws.append(Flaw(key=(name, key), cause=cause, cure=cure))
    return flaws


class Described(NamedTuple):
    """One setting as it is in force."""

    key: str  # dotted
    value: object
    origin: str  # "default", "environment", "file:line", or "environment variable NAME"
    description: str  # unit, effect, and the reason to change it; one paragraph per line


def describe(settings: Settings) -> Iterator[Described]:
    """Yield every setting in the order of the settings file; slow, so call it in a thread."""
    for each in _below(settings, ""):
        brought = "environment" if each.key in _PRESET else "default"
        sources = settings.sources
        origin = sources.place(each.key) if sources.written(each.key) else brought
        text = _paragraphs(purpose(each.table, each.name))
        yield Described(each.key, each.value, origin, text)


def values(settings: Settings) -> dict[str, object]:
    """Return the value of every setting, by its dotted key."""
    return {each.key: each.value for each in _below(settings, "")}


def in_words(setting: Described) -> str:
    """Return its value as anybody may read it: an API key stands nowhere that needs none."""
    if setting.key.endswith(".api_key"):
        return "(set, not shown)"
    return _USERINFO.sub("//(not shown)@", _plain(setting.value))


def _plain(value: object) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_plain, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_plain(item)}" for key, item in value.items()) + "}"
    return str(value)


class _Found(NamedTuple):
    key: str  # dotted
    value: object
    table: type[BaseModel]  # in which it is declared
    name: str


def _below(table: BaseModel, prefix: str) -> Iterator[_Found]:
    for name in type(table).model_fields:
        key, value = f"{prefix}{name}", getattr(table, name)
        if isinstance(value, BaseModel):
            yield from _below(value, f"{key}.")
        elif isinstance(value, dict) and _of_tables(value):
            for entry, below in value.items():
                yield from _below(below, f"{key}.{entry}.")
        else:
            yield _Found(key, value, type(table), name)


def _of_tables(entries: dict[str, Any]) -> bool:
    return all(isinstance(entry, BaseModel) for entry in entries.values())


def _paragraphs(text: str) -> str:
    return "\n".join(" ".join(part.split()) for part in text.split("\n\n"))
