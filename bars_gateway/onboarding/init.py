"""
`bars-gateway init`: from nothing to an installation that only waits for others.

    flags, or questions at a terminal ─► InitOptions ──values_of──► settings, folders, keys
                                                                    ─► the checklist to live
    sandbox.json ─► addresses of `local`

    values that are known ─┐
                           ├─render─► every setting with its reason: set, or a default in a comment
    the settings' own docs ┘

Run again, it makes what is missing and says how far things are. What is there is never
written over: not the settings, and a key least of all.

Two things are not known yet when an installation begins: the API key, and the name in
the certificate with which the proxy calls. They get words that can never work by
accident, and `doctor` asks for them. What a person reads in the settings file is what
`bars-gateway config --describe` prints, because both come from the settings themselves.
"""

import json
import os
import pwd
import re
import sys
import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from bars_gateway import ownership
from bars_gateway.config import Environment, Settings, load
from bars_gateway.config.doubts import PENDING, PENDING_NAME
from bars_gateway.config.environments import PRESETS
from bars_gateway.config.provider import SERVICE_SYSTEM
from bars_gateway.config.sources import Sources, explain, model_at, purpose
from bars_gateway.errors import ConfigurationError, OnboardingError
from bars_gateway.frozen import frozen
from bars_gateway.keyring import EncryptionRing
from bars_gateway.onboarding import checklist, encryption, keys
from bars_gateway.onboarding.files import BITS, explained, make_folder, read, write_new
from bars_gateway.onboarding.keys import KeyFiles, KeyId
from bars_gateway.onboarding.reported import try_report

_READABLE = 0o640  # settings hold no secret, and are nobody else's business
Where = Annotated[Environment | None, typer.Option(help="Where to connect.", show_default=False)]
OdsCode = Annotated[str | None, typer.Option(help="Of the provider, in capitals.")]
Name = Annotated[str | None, typer.Option(help="Of the provider.")]
Hosting = Annotated[str | None, typer.Option(help="provider or supplier: whose machine it is.")]
Supplier = Annotated[str | None, typer.Option(help="The supplier's name, if one hosts.")]
Services = Annotated[list[str] | None, typer.Option(help="A service id; may be repeated.")]
EprWay = Annotated[str | None, typer.Option(help="folder or socket: how the EPR collects.")]
Fqdn = Annotated[str | None, typer.Option(help="The Receiver's name, if it is agreed.")]
ApiKey = Annotated[str | None, typer.Option(help="Of the application, if it is known.")]
KeyOwner = Annotated[str | None, typer.Option(help="In key ids; else made from the names.")]
Listen = Annotated[str | None, typer.Option(help="IP address and port to receive on.")]
SandboxFolder = Annotated[
    Path | None,
    typer.Option(readable=False, help="The folder of a running `bars-gateway sandbox` (local)."),
]
Going = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        envvar="BARS_GATEWAY_CONFIG",
        readable=False,
        help="The settings to go on with, or to write; --folder goes before.",
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option(readable=False, help="Everything below this one, instead of /etc, /var and /run."),
]
_WHY = "bars-gateway init"  # of the keys that a first run makes
_BITS = "--key-bits"
Bits = Annotated[
    int, typer.Option(_BITS, min=2048, max=8192, help="Of the key; 4096 in int and prod.")
]
_QUESTIONS = {"ods_code": "The provider's ODS code", "organisation": "The provider's name"}
_WIDTH = 97
_HEAD = """\
# The settings of this gateway. A line that begins with "#" and a key is a default: take the
# "#" away to change it. `bars-gateway check` says everything that is wrong, at once.
# Nothing secret belongs in this file: keys are named by path.
"""


class Sharing(Enum):
    """Who may use a folder of the system's beside the gateway."""

    OURS = "ours"  # nobody
    SHARED = "shared"  # the EPR's group
    ROOTS = "roots"  # it is root's, and the gateway may read it


@frozen(kw_only=True)
class Paths:
    """The folders of one installation."""

    config: Path  # the settings file
    keys: Path
    tls: Path
    state: Path
    spool: Path  # with one folder for each provider
    run: Path

    @classmethod
    def of_the_system(cls) -> "Paths":
        """Return those that the systemd unit knows."""
        etc = Path("/etc/bars-gateway")
        return cls(
            config=etc / "bars-gateway.toml",
            keys=etc / "keys",
            tls=etc / "tls",
            state=Path("/var/lib/bars-gateway"),
            spool=Path("/var/spool/bars-gateway"),
            run=Path("/run/bars-gateway"),
        )

    @property
    def are_the_systems(self) -> bool:
        """Whether they are where the systemd units look."""
        return self.config.parent == Paths.of_the_system().config.parent

    @classmethod
    def around(cls, config: Path | None) -> "Paths":
        """Return those of the installation with the settings *config*; None: of the system."""
        system = cls.of_the_system()
        if config is None:
            return system
        config = config.absolute()
        is_systems = config.parent == system.config.parent
        return replace(system if is_systems else cls.below(config.parent), config=config)

    @classmethod
    def below(cls, folder: Path) -> "Paths":
        """Return those of an installation that is in one folder."""
        return cls(
            config=folder / "bars-gateway.toml",
            keys=folder / "keys",
            tls=folder / "tls",
            state=folder / "state",
            spool=folder / "spool",
            run=folder / "run",
        )


@frozen(kw_only=True)
class InitOptions:
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


def values_of(options: InitOptions, paths: Paths) -> dict[str, Any]:
    """Return the settings as a tree; raise ConfigurationError where a wish cannot be one."""
    assert options.environment is not None, "`missing` was looked at first"
    # In PROD each provider has a key of its own; before that, the supplier's serves them all.
    in_prod = options.environment is Environment.PROD
    owners = (options.key_owner, None if in_prod else options.supplier, options.organisation)
    owner = next(filter(None, owners), "")
    key_id = KeyId.first(owner, options.environment)
    values: dict[str, Any] = {
        "environment": options.environment.value,
        "state_dir": str(paths.state),
        "providers": {
            options.short_name: {
                "ods_code": options.ods_code,
                "name": options.organisation,
                "services": [_service(text) for text in options.services],
                "key_id": str(key_id),
                "api_key": options.api_key or PENDING,
                "private_key_file": str(paths.keys / f"{key_id}.pem"),
                "spool_dir": str(paths.spool / options.short_name),
                "notices": options.notices or "folder",
            }
        },
        "outbound": {},
        "inbound": _receiving(paths),
        "store": _stored(options.environment, paths),
        "epr": {"socket_dir": str(paths.run)},
        "onboarding": {"hosting": options.hosting or "provider"},
    }
    _add(values, "inbound", listen=options.listen)
    _add(values, "onboarding", supplier=options.supplier, fqdn=options.fqdn)
    if options.sandbox is not None:
        _point_at_sandbox(values, options.sandbox)
    _require_valid(values)
    return values


def _receiving(paths: Paths) -> dict[str, Any]:
    return {
        "certificate_file": str(paths.tls / "certificate.pem"),
        "private_key_file": str(paths.tls / "key.pem"),
        "client_ca_file": str(paths.tls / "client-ca.pem"),
        "allowed_client_names": [PENDING_NAME],
    }


def _stored(environment: Environment, paths: Paths) -> dict[str, Any]:
    """Encrypt where patients' data will be."""
    national = PRESETS[environment].own_name_prefix is not None
    return {"encryption_keys_file": str(paths.keys / encryption.FILE_NAME)} if national else {}


def contradictions(options: InitOptions, settings: Settings) -> list[str]:
    """Return the options that the settings, which are there already, do not have."""
    provider = next(iter(settings.providers.values()))
    written: dict[str, tuple[Any, Any]] = {
        "--environment": (options.environment, settings.environment),
        "--ods-code": (options.ods_code, provider.ods_code),
        "--name": (options.organisation, provider.name),
        "--hosting": (options.hosting, settings.onboarding.hosting),
        "--supplier": (options.supplier, settings.onboarding.supplier),
        "--service": (tuple(map(_service, options.services)) or None, provider.services),
        "--epr": (options.notices, provider.notices),
        "--fqdn": (options.fqdn, settings.onboarding.fqdn),
        "--api-key": (options.api_key, provider.api_key),
        "--listen": (options.listen, str(settings.inbound.listen)),
    }
    return [
        f"{flag} says {wish}, and the settings {there}"
        for flag, (wish, there) in written.items()
        if wish is not None and wish != there
    ]


def _add(values: dict[str, Any], table: str, **more: str | None) -> None:
    values[table] |= {key: value for key, value in more.items() if value is not None}


def _service(text: str) -> str:
    return text if "|" in text else f"{SERVICE_SYSTEM}|{text}"


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


def init(
    *,
    environment: Where = None,
    ods_code: OdsCode = None,
    name: Name = None,
    hosting: Hosting = None,
    supplier: Supplier = None,
    service: Services = None,
    epr: EprWay = None,
    fqdn: Fqdn = None,
    api_key: ApiKey = None,
    key_owner: KeyOwner = None,
    listen: Listen = None,
    sandbox: SandboxFolder = None,
    config: Going = None,
    folder: Folder = None,
    key_bits: Bits = BITS,
) -> None:
    """
    Write settings, make folders and keys, and say what is left to do until live.

    Asks at a terminal for what no flag says. Run again, it continues, and writes nothing over.
    """
    options = InitOptions(
        environment=environment,
        ods_code=ods_code,
        organisation=name,
        hosting=hosting,
        supplier=supplier,
        services=tuple(service or ()),
        notices=epr,
        fqdn=fqdn,
        api_key=api_key,
        key_owner=key_owner,
        listen=listen,
        sandbox=sandbox,
    )
    paths = Paths.below(folder.resolve()) if folder else Paths.around(config)
    for line in begin(options, paths, key_bits):
        typer.echo(line)


def begin(options: InitOptions, paths: Paths, key_bits: int) -> Iterator[str]:
    """Make what is missing, and yield what was made and the checklist of what is left."""
    ours = _service_user() if paths.are_the_systems else None
    if ours is not None:
        tops = [(paths.config.parent, 0o750, Sharing.ROOTS), (paths.spool, 0o2750, Sharing.SHARED)]
        _make_for(ours, tops)
    if not paths.config.exists():
        yield from _written(options, paths, key_bits)
    settings = load(paths.config, {})
    found = contradictions(options, settings)
    if found:
        cure = f"Settings are never written over: edit {paths.config}, or leave the flag out."
        raise OnboardingError("; ".join(found), cure)
    made = [*_folders(settings, paths, ours), *_keys(settings, key_bits), *_key_ring(settings)]
    _tell_of_keys(settings, made)
    yield from (f"{path}: made" for path in made)
    yield f"\nFrom here to live ({settings.environment}, {paths.config}):\n"
    yield checklist.printed(checklist.steps(settings, datetime.now(UTC)))


def _written(options: InitOptions, paths: Paths, key_bits: int) -> Iterator[str]:
    options = asked_at_terminal(options) if sys.stdin.isatty() else options
    if options.missing:
        cure = "Add them, or run the command at a terminal, and it asks."
        raise OnboardingError(f"not said: {', '.join(options.missing)}", cure)
    values = values_of(options, paths)
    keys.require_bits(Environment(values["environment"]), key_bits, _BITS)
    text = render(values)
    make_folder(paths.config.parent)
    write_new(paths.config, text.encode(), _READABLE)
    yield f"{paths.config}: written; every setting is explained in it"


def asked_at_terminal(options: InitOptions) -> InitOptions:
    """Return *options* with what was asked for at the terminal."""
    if options.environment is None:
        names = ", ".join(Environment)
        text = typer.prompt(f"Where to connect ({names})", default=Environment.INT.value)
        if text not in list(Environment):
            raise OnboardingError(f"{text!a} is not an environment", f"Choose one of: {names}")
        options = replace(options, environment=Environment(text))
    for field, question in _QUESTIONS.items():
        if not getattr(options, field):
            options = replace(options, **{field: typer.prompt(question)})
    if options.hosting is None:
        hosting = typer.prompt("Who hosts it (provider, supplier)", default="provider")
        options = replace(options, hosting=hosting)
    if options.hosting == "supplier" and not options.supplier:
        options = replace(options, supplier=typer.prompt("The supplier's name"))
    if not options.services:
        ids = typer.prompt("The ids of its services, with commas")
        options = replace(options, services=tuple(filter(None, map(str.strip, ids.split(",")))))
    if options.notices is None:
        notices = typer.prompt("How the EPR collects (folder, socket)", default="folder")
        options = replace(options, notices=notices)
    if options.environment is Environment.LOCAL and options.sandbox is None:
        options = replace(options, sandbox=Path(typer.prompt("The folder of the sandbox")))
    return options


def _folders(settings: Settings, paths: Paths, service: pwd.struct_passwd | None) -> Sequence[Path]:
    wanted = [
        (settings.state_dir, 0o700, Sharing.OURS),
        (settings.epr.socket_dir, 0o750, Sharing.SHARED),
        (paths.keys, 0o700, Sharing.OURS),
        (settings.inbound.certificate_file.parent, 0o750, Sharing.OURS),
        *((provider.spool_dir, 0o2750, Sharing.SHARED) for provider in settings.providers.values()),
    ]
    return _make_for(service, wanted)


def _make_for(
    service: pwd.struct_passwd | None, wanted: Iterable[tuple[Path, int, Sharing]]
) -> Sequence[Path]:
    """Make the folders that are missing; where root makes those of the system, for *service*."""
    made = []
    for folder, mode, sharing in wanted:
        if not make_folder(folder, mode):
            continue
        made.append(folder)
        if service is None or _is_right(folder, service, sharing):
            continue  # as the folder above is
        shared = ownership.epr_group() if sharing is Sharing.SHARED else None
        user = 0 if sharing is Sharing.ROOTS else service.pw_uid
        with explained(folder, "given to the gateway's user"):
            os.lchown(folder, user, shared or service.pw_gid)
            folder.chmod(mode)  # set-group-ID may have gone with the change
    return made


def _is_right(folder: Path, service: pwd.struct_passwd, sharing: Sharing) -> bool:
    found = folder.stat()
    is_shared = found.st_gid not in {0, service.pw_gid}
    return found.st_uid == service.pw_uid and (is_shared or sharing is not Sharing.SHARED)


def _keys(settings: Settings, bits: int) -> Iterator[Path]:
    for provider in settings.providers.values():
        if not keys.can_be_made(provider):
            continue  # it is of somebody else's making: the checklist says so
        folder, key_id = provider.private_key_file.parent, KeyId.parse(provider.key_id)
        files = KeyFiles.of(folder, key_id)
        missing = [each for each in (files.private, files.public, files.jwks) if not each.exists()]
        if files.private in missing:
            keys.require_bits(settings.environment, bits, _BITS)
            keys.new_key(folder, key_id, bits)
        elif missing:  # it was killed before they were made, or the key was brought here
            keys.publish(folder, key_id)
        yield from (each for each in missing if each.exists())


def _tell_of_keys(settings: Settings, made: Collection[Path]) -> None:
    """Let the audit trail have who made the first keys: its first lines, once the gateway runs."""
    for provider in settings.providers.values():
        if provider.private_key_file in made:
            key_id = KeyId.parse(provider.key_id)
            files = KeyFiles.of(provider.private_key_file.parent, key_id)
            keys.tell_of_key(settings, "key.made", files, _WHY)
    ring = settings.store.encryption_keys_file
    if ring is not None and ring in made:
        current = EncryptionRing.read(ring).current
        try_report(settings, "encryption.key_added", why=_WHY, key_id=current.key_id)


def _key_ring(settings: Settings) -> Iterator[Path]:
    """Make the keys that encrypt what is stored, unless something is: that needs its own."""
    file = settings.store.encryption_keys_file
    if file is None or file.exists() or settings.store.url is not None:
        return  # on a server there may be something stored already
    if settings.database_path.exists():
        return
    encryption.add_key(file, datetime.now(UTC))
    yield file


def _service_user() -> pwd.struct_passwd | None:
    """Return whose the folders of the system are to be; None: whoever types makes their own."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(ownership.SERVICE)
    except KeyError:
        cure = "Make it first, as in docs/installing.md (systemd-sysusers), or add --folder FOLDER."
        cause = f"there is no user {ownership.SERVICE} on this machine"
        raise OnboardingError(cause, cure) from None


def render(values: Mapping[str, Any]) -> str:
    """Return the settings file for *values*, nested as the file is."""
    lines = [_HEAD, *_table(Settings, values, "")]
    text = "\n".join(lines).rstrip() + "\n"
    preset = PRESETS[Environment(values["environment"])]
    for name, brought in preset.outbound.items():  # the environment's, not the model's
        text = re.sub(rf"^#{name} =.*$", f"#{name} = {_value(brought)}", text, flags=re.MULTILINE)
    return text


def _table(model: type[BaseModel], values: Mapping[str, Any], path: str) -> Iterator[str]:
    below: list[str] = []
    for name, setting in model.model_fields.items():
        if _is_table(model, name):
            below.append(name)
            continue
        yield from _comment(purpose(model, name))
        yield _line(name, setting, values.get(name)) + "\n"
    for name in below:
        yield from _tables(model, name, values.get(name, {}), path)


def _tables(
    model: type[BaseModel], name: str, values: Mapping[str, Any], path: str
) -> Iterator[str]:
    inner = model_at([name], model)
    entries = {name: values} if inner is not None else _entries(name, values)
    inner = inner or model_at([name, "any"], model)
    if inner is None:  # a mapping of plain values, such as the applications
        if values:
            yield from _comment(purpose(model, name))
            yield from [f"[{path}{name}]", *(f"{k} = {_value(v)}" for k, v in values.items()), ""]
        return
    for entry, written in entries.items():
        yield from _comment(purpose(model, name))
        yield f"[{path}{entry}]\n"
        yield from _table(inner, written, f"{path}{entry}.")


def _entries(name: str, values: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {f"{name}.{key}": written for key, written in values.items()}


def _is_table(model: type[BaseModel], name: str) -> bool:
    annotation: Any = model.model_fields[name].annotation
    return model_at([name], model) is not None or getattr(annotation, "__origin__", None) is dict


def _comment(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        yield from textwrap.wrap(
            " ".join(paragraph.split()),
            _WIDTH,
            initial_indent="# ",
            subsequent_indent="# ",
            break_long_words=False,
            break_on_hyphens=False,
        )


def _line(name: str, setting: FieldInfo, value: Any) -> str:
    if value is not None:
        return f"{name} = {_value(value)}"
    default = setting.default
    if default is PydanticUndefined or default is None:
        return f"#{name} ="
    return f"#{name} = {_value(default)}"


def _value(value: Any) -> str:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(str(value), ensure_ascii=False)
