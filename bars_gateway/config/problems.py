"""
Looks at what the settings name: keys, certificates, folders, the disk under the database.

    Settings ──problems──► file, key, cause and cure of each, all at once
    path of a setting ──► nothing │ Flaw: what is needed there, what is there, and the cure

`load` judges what is written; this judges what is there, and so it is asked for by
`bars-gateway check` and at start, not on every reading. Nothing is changed or created.

SQLite, the kernel and OpenSSL say of what is not a file, folder or socket no more than that they
could not open something. A key below /run/credentials may be readable by its group: systemd puts
it there with an access list, which the mode bits show as a group.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from bars_gateway import permissions
from bars_gateway.config.environments import (
    Environment,
    environment_of_authority_name,
    environment_of_own_name,
    strange,
)
from bars_gateway.config.mounts import (
    NETWORK_FILESYSTEMS,
    filesystem_of,
    mounts_now,
    unmounted,
)
from bars_gateway.config.provider import Provider
from bars_gateway.config.settings import Settings
from bars_gateway.config.sources import SettingsProblem
from bars_gateway.config.spool_folder import (
    LOCK_FILE,
    OWNER_FILE,
    SpoolOwner,
    flaw_at,
    folders_of,
)
from bars_gateway.config.values import Flaw
from bars_gateway.errors import IdentityError, KeyRingUnusable
from bars_gateway.keyring import EncryptionRing
from bars_gateway.tls.certificates import (
    NoPem,
    from_pem,
    is_root,
    last_to_end,
    load_revocations,
    private_key,
    public_key,
    signs,
)

_SIGNS_NOTHING = "does not sign what its public half accepts"
_WHOLE_COPY = "Its file is damaged: put a copy that is whole in its place, or make a new key."
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFREG: "a file",
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFLNK: "a link that leads to nothing",
}
FSTAB = Path("/etc/fstab")
LONGEST_OBSERVATION = timedelta(hours=24)
_READABLE = "Put the file there, readable for the gateway's user."
_CREDENTIALS = Path("/run/credentials")


class PathKind(Enum):
    """What belongs at a place, once it is there."""

    FILE = stat.S_IFREG
    FOLDER = stat.S_IFDIR
    SOCKET = stat.S_IFSOCK

    def __str__(self) -> str:
        """Return it in words."""
        return _KINDS[self.value]


def misplaced(key: tuple[str, ...], path: Path, wanted: PathKind) -> Iterator[Flaw]:
    """Yield what lies at *path*, or on the way to it, and keeps *wanted* from being there."""
    way = [(each, PathKind.FOLDER) for each in reversed(path.parents)]
    for place, belongs in [*way, (path, wanted)]:
        kind = _kind(place)
        if kind not in {None, belongs.value}:
            at = "there" if place == path else f"at {place}"
            cause = f"needs {wanted} at {path}, and {at} is {_KINDS.get(kind or 0, 'a device')}"
            yield Flaw(key=key, cause=cause, cure="Move that away, or name another place.")
            return


def _kind(path: Path) -> int | None:
    """Return what is at *path*; None where nothing is, or nothing can be seen."""
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        return stat.S_IFLNK if path.is_symlink() else None
    except OSError:
        return None


def problems(settings: Settings, now: datetime, mounts: str | None = None) -> list[SettingsProblem]:
    """
    Return what is wrong with the files that *settings* names, as things are at *now* (UTC).

    *mounts* is the text of /proc/self/mounts, which is read where none is given.
    """
    mounts = mounts_now() if mounts is None else mounts
    found = [
        *_settings_file(settings),
        *_database(settings, mounts),
        *(flaw for name in settings.providers for flaw in _provider(settings, name, mounts)),
        *_inbound(settings, now),
        *_callers(settings, now),
        *_authorities_out(settings),
        *_secret(("outbound", "egress_password_file"), settings.outbound.egress_password_file),
        *_secret(("store", "password_file"), settings.store.password_file),
        *_secret(("alerts", "mail_password_file"), settings.alerts.mail_password_file),
        *_alert_command(settings.alerts.command),
        *_secret(("console", "proxy_secret_file"), settings.console.proxy_secret_file),
        *_key_ring(settings.store.encryption_keys_file),
        *_folder(("epr", "socket_dir"), settings.epr.socket_dir),
        *_sockets(settings),
    ]
    return [placed(settings, flaw) for flaw in found]


def problems_of_keys(settings: Settings, provider: str) -> list[SettingsProblem]:
    """Return what is wrong with the key that signs for *provider*."""
    return [placed(settings, flaw) for flaw in _signing_key(settings, provider)]


def problems_of_key_ring(settings: Settings) -> list[SettingsProblem]:
    """Return what is wrong with the file of the keys that encrypt what is stored."""
    return [placed(settings, flaw) for flaw in _key_ring(settings.store.encryption_keys_file)]


def problems_of_inbound(settings: Settings, now: datetime) -> list[SettingsProblem]:
    """Return what is wrong with our certificate, or with what is known of callers, at *now*."""
    found = [*_inbound(settings, now), *_callers(settings, now)]
    return [placed(settings, flaw) for flaw in found]


def placed(settings: Settings, flaw: Flaw) -> SettingsProblem:
    """Return *flaw* with the place where its setting is written."""
    key = ".".join(flaw.key)
    place = settings.sources.place(key)
    return SettingsProblem(
        file=place, key=key, cause=flaw.cause, cure=flaw.cure, stops_start=flaw.stops_start
    )


def _settings_file(settings: Settings) -> Iterator[Flaw]:
    """Yield that they may not be read by whoever is judged for: root has read them already."""
    file = settings.sources.file
    try:
        permissions.require(*([file] if file else []))
    except PermissionError as error:
        yield _denied((), error)


def _database(settings: Settings, mounts: str) -> Iterator[Flaw]:
    yield from _folder(("state_dir",), settings.state_dir)
    yield from _mounted(("state_dir",), settings.state_dir, mounts)
    yield from misplaced(("state_dir",), settings.callers_file, PathKind.FILE)
    yield from misplaced(("state_dir",), settings.cache_dir, PathKind.FOLDER)
    if settings.store.url is not None:
        return
    folder = settings.database_path.parent
    key = ("store", "path") if settings.store.path else ("state_dir",)
    if folder != settings.state_dir:
        yield from _folder(key, folder)
        yield from _mounted(key, folder, mounts)
    yield from _database_files(key, settings.database_path)
    kind = filesystem_of(folder, mounts)
    if kind in NETWORK_FILESYSTEMS:
        cause = f"puts the database on a network filesystem ({kind}), which does not keep it whole"
        yield Flaw(key=key, cause=cause, cure="Choose a folder on a local disk.")


def _database_files(key: tuple[str, ...], path: Path) -> Iterator[Flaw]:
    """Yield which of the database's own files this user may not use: root has perhaps made them."""
    lock, *logs = (path.with_name(f"{path.name}{ending}") for ending in (".lock", "-wal", "-shm"))
    found = [flaw for each in (path, lock, *logs) for flaw in misplaced(key, each, PathKind.FILE)]
    if found:
        yield found[0]
        return
    try:
        permissions.require(path, lock, write=True)
        if path.exists():
            permissions.require_database(path, write=True)
    except PermissionError as error:
        yield _denied(key, error)


def _mounted(key: tuple[str, ...], folder: Path, mounts: str) -> Iterator[Flaw]:
    """Yield that its disk or share is missing: in its mount point all would begin from nothing."""
    try:
        point = unmounted(folder, FSTAB.read_text("utf-8", "surrogateescape"), mounts)
    except OSError:  # no such table, or no way to its mount points
        return
    if point is not None:
        cause = f"is on {point}, which {FSTAB} mounts, and nothing is mounted there"
        cure = f"mount {point}; and let it be mounted before the gateway starts: write"
        cure = f"{cure} RequiresMountsFor={folder} below [Unit] (systemctl edit bars-gateway)."
        yield Flaw(key=key, cause=cause, cure=cure)


def _folder(key: tuple[str, ...], folder: Path) -> Iterator[Flaw]:
    try:
        permissions.require(folder, write=True)
    except PermissionError as error:
        yield _denied(key, error)
        return
    found = list(misplaced(key, folder, PathKind.FOLDER))
    yield from found
    if not (found or folder.is_dir()):
        cause = f"needs the folder {folder}, which is not there"
        cure = f"Make it, owned by the gateway's user: install -d -m 0750 -o USER {folder}"
        yield Flaw(key=key, cause=cause, cure=cure)


def _denied(key: tuple[str, ...], error: OSError) -> Flaw:
    denial = permissions.explained(error)
    return Flaw(key=key, cause=f"cannot be used: {denial.cause}", cure=denial.cure)


def _provider(settings: Settings, name: str, mounts: str) -> Iterator[Flaw]:
    provider = settings.providers[name]
    key = ("providers", name, "spool_dir")
    yield from _folder(key, provider.spool_dir)
    yield from _mounted(key, provider.spool_dir, mounts)
    if provider.spool_dir.is_dir():
        yield from _below_spool(key, provider)
        flaw = flaw_at(provider.spool_dir, SpoolOwner(provider=name, ods_code=provider.ods_code))
        yield from [replace(flaw, key=key)] if flaw else []
    yield from _one_filesystem(key, provider)
    yield from _signing_key(settings, name)


def _signing_key(settings: Settings, name: str) -> Iterator[Flaw]:
    provider = settings.providers[name]
    former = [("former_keys", file) for file in provider.former_keys.values()]
    for setting, file in [("private_key_file", provider.private_key_file), *former]:
        key = ("providers", name, setting)
        flaws, signing_key = _private_key(key, file)
        yield from flaws
        if signing_key is not None:
            yield from _signs(key, signing_key, settings.preset.minimum_key_bits)


def _below_spool(key: tuple[str, ...], provider: Provider) -> Iterator[Flaw]:
    """Yield what lies where the folders are to be that the gateway makes, its lock and mark."""
    for name, folders in folders_of(provider).items():
        top = provider.spool_dir / name
        found = list(misplaced(key, top, PathKind.FOLDER))
        yield from found
        for each in folders if not found else ():
            yield from misplaced(key, top / each, PathKind.FOLDER)
    for file in (LOCK_FILE, OWNER_FILE):
        yield from misplaced(key, provider.spool_dir / file, PathKind.FILE)


def _sockets(settings: Settings) -> Iterator[Flaw]:
    for name in settings.providers:
        yield from misplaced(("epr", "socket_dir"), settings.epr.socket_of(name), PathKind.SOCKET)


def _one_filesystem(key: tuple[str, ...], provider: Provider) -> Iterator[Flaw]:
    below = [
        provider.spool_dir / top / name
        for top, names in folders_of(provider).items()
        for name in names
    ]
    folders = [provider.spool_dir, *below]
    there = [folder for folder in folders if os.path.isdir(folder)]  # noqa: PTH112 - False where shut
    for folder in there[1:]:
        yield from _folder(key, folder)
        if folder.stat().st_dev != there[0].stat().st_dev:
            cause = f"has {folder.relative_to(provider.spool_dir)} on another filesystem"
            cure = "Mount one filesystem at the spool folder itself: files move by renaming."
            yield Flaw(key=key, cause=cause, cure=cure)


def _signs(key: tuple[str, ...], signing_key: PrivateKeyTypes, minimum: int) -> Iterator[Flaw]:
    if not isinstance(signing_key, RSAPrivateKey):
        cure = "Make an RSA key: the token service takes RS512 only."
        yield Flaw(key=key, cause="is not an RSA key", cure=cure)
    elif signing_key.key_size < minimum:
        cause = f"is a key of {signing_key.key_size} bits, and {minimum} are required here"
        cure = f"Make a key of {minimum} bits and register its public half."
        yield Flaw(key=key, cause=cause, cure=cure)
    elif not signs(signing_key):
        yield Flaw(key=key, cause=_SIGNS_NOTHING, cure=_WHOLE_COPY)


def _secret(key: tuple[str, ...], path: Path | None) -> list[Flaw]:
    """Return what is wrong with a file that holds a password and nothing else."""
    if path is None:
        return []
    flaws, data = _read(key, path)
    if data is None:
        return flaws
    lines = data.rstrip(b"\r\n").splitlines()
    if len(lines) != 1:
        cure = "Write the password into it, in one line."
        flaws.append(Flaw(key=key, cause="names a file that holds no password", cure=cure))
    return [*flaws, *open_to_others(key, path)]


def _key_ring(path: Path | None) -> Iterator[Flaw]:
    """Yield what is wrong with the file of the keys that encrypt what is stored."""
    if path is None:
        return
    key = ("store", "encryption_keys_file")
    flaws, data = _read(key, path)
    yield from flaws
    if data is None:
        return
    yield from open_to_others(key, path)
    try:
        EncryptionRing.parse(data.decode("utf-8", "replace"))
    except KeyRingUnusable as error:
        cause = f"names a file that is not a key ring: {error}"
        yield Flaw(key=key, cause=cause, cure="Put its copy back: see `docs/records.md`.")


def open_to_others(key: tuple[str, ...], path: Path) -> Iterator[Flaw]:
    """Yield that the secret at *path*, which is there, can be read by others, where it can."""
    mode = 0 if path.is_relative_to(_CREDENTIALS) else path.stat().st_mode
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        cure = f"Leave it to the gateway's user alone: chmod 0600 {path}"
        yield Flaw(key=key, cause="can be read by other users", cure=cure)


def _alert_command(argv: Sequence[str]) -> Iterator[Flaw]:
    if argv and not os.access(argv[0], os.X_OK):
        cure = "Write the whole path of a program that the gateway's user may run."
        cause = "begins with what cannot be run"
        yield Flaw(key=("alerts", "command"), cause=cause, cure=cure)


def _private_key(key: tuple[str, ...], path: Path) -> tuple[list[Flaw], PrivateKeyTypes | None]:
    flaws, data = _read(key, path)
    if data is None:
        return flaws, None
    flaws += open_to_others(key, path)
    try:
        return flaws, private_key(data)
    except TypeError:
        cause, cure = "is locked with a passphrase", "Store the key without one, mode 0600."
    except (ValueError, UnsupportedAlgorithm):
        cause = "is not a private key in PEM form"
        cure = "It begins with -----BEGIN PRIVATE KEY-----."
    return [*flaws, Flaw(key=key, cause=cause, cure=cure)], None


# How what a setting names comes to be there; of others, only whoever named them knows.
_COMES_BY: Mapping[tuple[str, ...], str] = {
    ("inbound", "client_ca_file"): "Fetch the authorities of this environment from pki.nhs.uk (G2),"
    " and put them there.",
    (
        "inbound",
        "certificate_file",
    ): "bars-gateway certificate install FILE --why TEXT puts it there"
    " with its key; before that, bars-gateway csr new --why TEXT makes the request.",
    ("inbound", "private_key_file"): "bars-gateway csr new --why TEXT makes a key and a request;"
    " bars-gateway certificate install FILE --why TEXT puts the key there with the certificate.",
}


def _read(key: tuple[str, ...], path: Path) -> tuple[list[Flaw], bytes | None]:
    try:
        permissions.require(path)
        found = list(misplaced(key, path, PathKind.FILE))  # a named pipe would be waited for
        if found:
            return found, None
        return [], path.read_bytes()
    except PermissionError as error:
        return [_denied(key, error)], None
    except OSError as error:
        cause = f"names {path}, which cannot be read: {error.strerror}"
        cure = _comes_by(key) if isinstance(error, FileNotFoundError) else _READABLE
        return [Flaw(key=key, cause=cause, cure=cure)], None


def _comes_by(key: tuple[str, ...]) -> str:
    match key:
        case ("providers", name, "private_key_file"):
            made = f"bars-gateway init, or keys new --provider {name} --why TEXT, makes one"
            return f"{made} where key_id is such as Northshire-INT-1 and the file is KEY_ID.pem."
    return _COMES_BY.get(key, _READABLE)


def _inbound(settings: Settings, now: datetime) -> Iterator[Flaw]:
    inbound = settings.inbound
    if not inbound.enabled:
        return
    own = settings.environment
    key = ("inbound", "client_ca_file")
    flaws, callers = _certificates(key, inbound.client_ca_file)
    yield from [*flaws, *_of_one_environment(key, callers, own), *_with_root(key, callers)]
    yield from _one_in_force(key, callers, now)
    key = ("inbound", "private_key_file")
    flaws, private = _private_key(key, inbound.private_key_file)
    yield from flaws
    if isinstance(private, RSAPrivateKey) and not signs(private):
        yield Flaw(key=key, cause=_SIGNS_NOTHING, cure=_WHOLE_COPY)
    key = ("inbound", "certificate_file")
    flaws, chain = _certificates(key, inbound.certificate_file)
    yield from flaws
    if chain:
        yield from _in_force(key, chain[0], now)
        yield from _named_for(key, chain[0], settings)
        yield from _of_one_environment(key, chain, own)
    if chain and private and public_key(chain[0]) != public_key(private):
        cure = (
            "Put the leaf first in the file, and the key that its request was made with beside it."
        )
        cause = "and inbound.private_key_file do not belong together"
        yield Flaw(key=key, cause=cause, cure=cure)


def _callers(settings: Settings, now: datetime) -> Iterator[Flaw]:
    callers = settings.callers
    if callers.observe_until and callers.observe_until - now > LONGEST_OBSERVATION:
        cure = "Write an instant within the next 24 hours; it can be moved on while needed."
        yield Flaw(key=("callers", "observe_until"), cause="is too far ahead", cure=cure)
    if not settings.inbound.enabled:
        return
    key = ("callers", "revocation_list_files")
    _, authorities = _certificates((), settings.inbound.client_ca_file)
    for file in callers.revocation_list_files if authorities else ():
        found = list(misplaced(key, file, PathKind.FILE))
        yield from found
        if found:
            continue
        try:
            load_revocations([file], authorities)
        except IdentityError as error:
            yield Flaw(key=key, cause=str(error), cure="Fetch the list again from its authority.")
    if callers.revocation == "hard" and not callers.revocation_list_files:
        cause = "has no list, and callers.revocation is hard: nobody may call"
        yield Flaw(key=key, cause=cause, cure="Name the lists, or choose soft.")


def _in_force(key: tuple[str, ...], leaf: x509.Certificate, now: datetime) -> Iterator[Flaw]:
    if leaf.not_valid_after_utc <= now:
        cause = f"expired on {leaf.not_valid_after_utc:%Y-%m-%d}"
        cure = "Order a new one; the key may stay. Until then nothing is received, and all is sent."
        yield Flaw(key=key, cause=cause, cure=cure, stops_start=False)
    if leaf.not_valid_before_utc > now:
        cause = f"is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        yield Flaw(key=key, cause=cause, cure="Check the clock (timedatectl), or wait.")


def _one_in_force(
    key: tuple[str, ...], authorities: Sequence[x509.Certificate], now: datetime
) -> Iterator[Flaw]:
    if authorities and (end := last_to_end(authorities).not_valid_after_utc) <= now:
        cause = f"holds no root that is in force: the last expired on {end:%Y-%m-%d}"
        cure = (
            "Fetch their successors from pki.nhs.uk. Until then nothing is received, and all is"
            " sent."
        )
        yield Flaw(key=key, cause=cause, cure=cure, stops_start=False)


def _named_for(key: tuple[str, ...], leaf: x509.Certificate, settings: Settings) -> Iterator[Flaw]:
    common = [n.value for n in leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    for other in {environment_of_own_name(str(name)) for name in common}:
        if strange(other, settings.environment):
            cause = f"was made for the environment {other}, and this is {settings.environment}"
            yield Flaw(key=key, cause=cause, cure=f"Use the one for {settings.environment}.")


def _with_root(key: tuple[str, ...], authorities: list[x509.Certificate]) -> Iterator[Flaw]:
    if authorities and not any(map(is_root, authorities)):
        cause = "holds no root, and a chain that ends in none is refused: nobody could call"
        cure = "Add the root; pki.nhs.uk has those of the NHS."
        yield Flaw(key=key, cause=cause, cure=cure)


def _of_one_environment(
    key: tuple[str, ...], chain: Iterable[x509.Certificate], own: Environment
) -> Iterator[Flaw]:
    for name, other in _strangers(chain, own):
        cause = f"is {own}, and {name!a} in {'.'.join(key)} is of {other}"
        cure = f"Leave only the chain of {own} in that file: the two never mix."
        yield Flaw(key=("environment",), cause=cause, cure=cure)
        return


def _strangers(
    chain: Iterable[x509.Certificate], own: Environment
) -> Iterator[tuple[str, Environment]]:
    """Yield the authorities that are of another environment, by name."""
    # The issuer too: without its certificate in the file, its name still tells whose it is.
    for each in chain:
        for name in (each.subject, each.issuer):
            for part in name.get_attributes_for_oid(x509.NameOID.COMMON_NAME):
                other = environment_of_authority_name(str(part.value))
                if other is not None and strange(other, own):
                    yield str(part.value), other


def _authorities_out(settings: Settings) -> Iterator[Flaw]:
    key, path = ("outbound", "ca_file"), settings.outbound.ca_file
    if path is None:
        return
    flaws, found = _certificates(key, path)
    yield from flaws
    for name, other in _strangers(found, settings.environment):
        cause = f"holds {name!a}, which is of {other}, and this is {settings.environment}"
        cure = "Remove it: whoever has its key could pose as the token service."
        yield Flaw(key=key, cause=cause, cure=cure)
        return


def certificates_in(path: Path) -> list[x509.Certificate]:
    """Return the certificates in *path*, and none where there is something wrong with it."""
    return _certificates((), path)[1]


def _certificates(key: tuple[str, ...], path: Path) -> tuple[list[Flaw], list[x509.Certificate]]:
    flaws, data = _read(key, path)
    if data is None:
        return flaws, []
    try:
        return [], from_pem(data, path)
    except NoPem as error:
        return [Flaw(key=key, cause=error.cause, cure=error.cure)], []
