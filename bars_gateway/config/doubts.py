"""
What is not right, and yet no reason to stand still: a gateway starts with it.

    Settings ──doubts──► file, key, cause and cure of each: for `check`, `doctor` and the log

    `bars-gateway init` ──► to-be-told      the example file ──► a trust that does not exist

A key that nobody has told us yet stops nothing from being received, and a gateway that did not
start for it would do harm. `problems` is about what nothing can be done with. A placeholder gets
nobody a token, or in: so it never counts as done, nor as right.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

from bars_gateway import ownership
from bars_gateway.config.mounts import SMB, filesystem_of, mounts_now, options_of
from bars_gateway.config.problems import certificates_in, placed
from bars_gateway.config.provider import SERVICE_SYSTEM, Provider
from bars_gateway.config.settings import Settings, values
from bars_gateway.config.sources import SettingsProblem
from bars_gateway.config.values import Flaw
from bars_gateway.errors import KeyRingUnusable
from bars_gateway.keyring import EncryptionRing
from bars_gateway.tls.certificates import dns_names, names_of, rootless

PENDING = "to-be-told"  # until the BaRS team has told us the API key
PENDING_NAME = f"{PENDING}.invalid"  # no certificate has this name: nobody gets in by it
_API_KEYS = frozenset({PENDING, "the-api-key-of-your-application"})
_CALLERS = frozenset({PENDING_NAME, "bars-proxy.example.nhs.uk"})
_ORGANISATIONS = frozenset({"example nhs trust"})
_SERVICES = frozenset({f"{SERVICE_SYSTEM}|2000099999"})
# What the example file shows of what each organisation has of its own, in lower case.
_EXAMPLES: Mapping[tuple[str, str], str] = {
    ("inbound", "public_url"): "https://bars.example.nhs.uk/fhir/r4",
    ("onboarding", "supplier"): "example supplier ltd",
    ("onboarding", "fqdn"): "bars-int-rae.example-trust.nhs.uk",
    ("onboarding", "public_address"): "192.0.2.1",
    ("onboarding", "receiver_url"): "https://bars-int-rae.example-trust.nhs.uk/fhir/r4",
    ("onboarding", "jwks_url"): "https://keys.example-trust.nhs.uk/bars/int.jwks.json",
    ("onboarding", "application_id"): "00000000-0000-0000-0000-000000000000",
    ("onboarding", "int_application_id"): "00000000-0000-0000-0000-000000000001",
    ("onboarding", "contact"): "a person, a.person@example-trust.nhs.uk, 0113 496 0000",
}
_SUCCESSOR = {
    "certificate_file": "Order its successor now: bars-gateway csr new --why TEXT. Once it has"
    " ended nothing is received.",
    "client_ca_file": "Fetch its successor from pki.nhs.uk, and add it to the file. Once the last"
    " root has ended nothing is received.",
}
_NEW_INTERMEDIATE = (
    "It is one of the chain: fetch the new intermediate, and put it below the certificate. Once it"
    " has ended callers may refuse us."
)
_CURE = "Write your own."
NO_PATH = "has a host and no path: the token service fails on it"  # of the JWKS's address
HOSTED_BELOW = "Host it below a path, such as /bars/jwks.json, and register that address."
_UNTOLD = frozenset({"nobrl", "nolock", "local_lock=all", "local_lock=flock"})
_MOUNT_FOR_THE_EPR = (
    "Its mount says whose the folders are, and chmod changes nothing: mount it with"
    f" uid={ownership.SERVICE},gid={ownership.OF_THE_EPR},dir_mode=02770,file_mode=0660."
)
_ACCESS_LIST = "system.posix_acl_access"  # whom it lets in, its mode does not say then


def doubts(settings: Settings, mounts: str | None = None) -> list[SettingsProblem]:
    """
    Return what is not right in *settings* and in what they name, and stops no start.

    *mounts* is what /proc/self/mounts says, which is read if it is not given.
    """
    mounts = mounts_now() if mounts is None else mounts
    found = [
        *_settings_file(settings),
        *placeholders(settings),
        *_flags(settings),
        *(flaw for key, file in _keys(settings) for flaw in _strange_owner(settings, key, file)),
        *(_inbound(settings) if settings.inbound.enabled else ()),
        *_encryption(settings),
        *_two_databases(settings),
        *_jwks_address(settings),
        *_locks_untold(settings, mounts),
        *_shut_to_the_epr(settings, mounts),
    ]
    return [placed(settings, flaw) for flaw in found]


def endings(settings: Settings, now: datetime) -> list[SettingsProblem]:
    """Return what of our certificate, and of the authorities of callers, ends before long."""
    if not settings.inbound.enabled:
        return []
    found = [
        _ending(settings, setting, file, now)
        for setting, file in (
            ("certificate_file", settings.inbound.certificate_file),
            ("client_ca_file", settings.inbound.client_ca_file),
        )
    ]
    return [placed(settings, flaw) for flaw in found if flaw is not None]


def _ending(settings: Settings, setting: str, file: Path, now: datetime) -> Flaw | None:
    certificates = certificates_in(file)
    in_force = [each for each in certificates if each.not_valid_after_utc > now]
    first = min(in_force, key=lambda each: each.not_valid_after_utc, default=None)
    if first is None:
        return None  # that is a problem, and said as one
    begins, ends = first.not_valid_before_utc, first.not_valid_after_utc
    if ends - now > min(timedelta(days=settings.status.expiry_warning_days), (ends - begins) / 2):
        return None
    when = f"{ends:%Y-%m-%d %H:%M} UTC, in {_so_long(ends - now)}"
    cause = f"has a certificate that ends on {when}"
    is_of_the_chain = setting == "certificate_file" and first != certificates[0]
    cure = _NEW_INTERMEDIATE if is_of_the_chain else _SUCCESSOR[setting]
    return Flaw(key=("inbound", setting), cause=cause, cure=cure)


def _so_long(left: timedelta) -> str:
    """Return how long it is, in days, or in hours where it is less than two days."""
    if left < timedelta(days=2):
        return f"{left // timedelta(hours=1)} hours"
    return f"{left.days} days"


def _settings_file(settings: Settings) -> Iterator[Flaw]:
    file = settings.sources.file
    if file is None or not file.exists():
        return
    yield from _strange_owner(settings, (), file)
    national = settings.preset.own_name_prefix is not None
    if file.stat().st_mode & stat.S_IWOTH:
        cause = "can be written by everybody on this machine, keys and addresses included"
        yield Flaw(cause=cause, cure=f"Leave it to root and the gateway's group: chmod 0640 {file}")
    elif national and file.stat().st_mode & stat.S_IROTH:
        cause = "can be read by everybody on this machine, and the API key is in it"
        cure = f"Leave it to root and the gateway's group: chmod 0640 {file}"
        yield Flaw(cause=cause, cure=cure)


def _flags(settings: Settings) -> Iterator[Flaw]:
    """Yield what is true or false where a number belongs: it has counted as 1 or 0 ever since."""
    for key, value in values(settings).items():
        written = settings.sources.as_written(key)
        if isinstance(written, bool) and not isinstance(value, bool):
            cause = f"is {str(written).lower()}, which counts as {value}"
            yield Flaw(key=tuple(key.split(".")), cause=cause, cure="Write the number you mean.")


def _two_databases(settings: Settings) -> Iterator[Flaw]:
    if settings.store.url is not None and settings.store.path is not None:
        cause = "is not used: store.url names the database"
        yield Flaw(key=("store", "path"), cause=cause, cure="Remove the one that is not meant.")


def _encryption(settings: Settings) -> Iterator[Flaw]:
    """Yield that patients' data is stored in clear, or that its key may be lost with this disk."""
    file = settings.store.encryption_keys_file
    national = settings.preset.own_name_prefix is not None
    if national and file is None:
        cause = "is not set: what is stored of patients is in clear, and in every backup"
        cure = (
            "bars-gateway encryption rotate --why TEXT makes a ring, and says what to write here."
        )
        yield Flaw(key=("store", "encryption_keys_file"), cause=cause, cure=cure)
    elif national and not settings.store.encrypts:
        cause = "is false: what is stored of patients is in clear, and in every backup"
        yield Flaw(key=("store", "encrypts"), cause=cause, cure="Take it out, and restart.")
    if file is None:
        return
    try:
        ring = EncryptionRing.read(file)
    except KeyRingUnusable:
        return  # that is a problem, and said as one
    lacking = [each.key_id for each in ring.keys if each.key_id not in ring.copied]
    if lacking:
        cause = f"has a key that was never copied ({', '.join(lacking)}): if lost, so is all data"
        cure = "bars-gateway encryption copy FILE --why TEXT, for a place apart from the backups."
        yield Flaw(key=("store", "encryption_keys_file"), cause=cause, cure=cure)


def _jwks_address(settings: Settings) -> Iterator[Flaw]:
    url = settings.onboarding.jwks_url
    if url is not None and not has_path(url):
        yield Flaw(key=("onboarding", "jwks_url"), cause=NO_PATH, cure=HOSTED_BELOW)


def has_path(url: str) -> bool:
    """Tell whether *url* names more than a host."""
    return urlsplit(url).path not in {"", "/"}


def _locks_untold(settings: Settings, mounts: str) -> Iterator[Flaw]:
    """Yield the shares whose server hears of no locks: a second gateway would be let in."""
    for name, provider in settings.providers.items():
        found = sorted(_UNTOLD & options_of(provider.spool_dir, mounts))
        if found:
            cause = f"is on a share that is mounted with {', '.join(found)}: its server hears of no"
            cause = f"{cause} locks, and no second gateway on another machine is refused"
            cure = f"Mount it without {', '.join(found)}."
            yield Flaw(key=("providers", name, "spool_dir"), cause=cause, cure=cure)


def _shut_to_the_epr(settings: Settings, mounts: str) -> Iterator[Flaw]:
    """Yield what is to be shared with the EPR, and keeps its group out."""
    group = ownership.epr_group()
    if group is None:
        return
    for name, provider in settings.providers.items():
        key = ("providers", name, "spool_dir")
        folders = _shared_folders(provider.spool_dir)
        if filesystem_of(provider.spool_dir, mounts) in SMB:
            plain = ((folder, needed & ~stat.S_ISGID) for folder, needed in folders)
            first = islice(_shut(key, plain, group), 1)
            yield from (replace(each, cure=_MOUNT_FOR_THE_EPR) for each in first)
        else:
            yield from islice(_shut(key, folders, group), 1)
    yield from _shut(("epr", "socket_dir"), [(settings.epr.socket_dir, stat.S_IXGRP)], group)


def _shared_folders(spool_dir: Path) -> Iterator[tuple[Path, int]]:
    """Yield what the EPR needs to pass, and where it writes and takes away."""
    yield spool_dir, stat.S_IXGRP
    for each in ("outbox", "inbox", "questions", "answers"):
        yield spool_dir / each, stat.S_IXGRP
    for each in ("outbox/new", "inbox/new", "questions/new", "answers/new"):
        yield spool_dir / each, stat.S_IRWXG
    for each in ("outbox/tmp", "answers/tmp"):
        yield spool_dir / each, stat.S_IRWXG | stat.S_ISGID


def _shut(key: tuple[str, ...], folders: Iterable[tuple[Path, int]], group: int) -> Iterator[Flaw]:
    for folder, needed in folders:
        try:
            found = folder.stat()
            lists = os.listxattr(folder)
        except OSError:
            continue  # not there yet; what is in its way is a problem, and said as one
        if _ACCESS_LIST in lists or not ownership.is_member(found.st_uid, group):
            continue  # somebody has arranged it in another way
        if found.st_gid == ownership.own_group(found.st_uid) != group:
            cause = f"has {folder} for the gateway alone: the EPR's user may not use it"
            cure = f"As root: chgrp -R {ownership.OF_THE_EPR} {folder}"
            yield Flaw(key=key, cause=cause, cure=cure)
        elif found.st_mode & needed != needed:
            mode = stat.S_IMODE(found.st_mode) | needed
            cause = f"has {folder} shut to its group: the EPR's user may not use it"
            if found.st_mode & needed == needed - stat.S_ISGID:
                cause = f"has {folder} without set-group-ID: we may not read what the EPR writes"
            yield Flaw(key=key, cause=cause, cure=f"As root: chmod {mode:04o} {folder}")


def _keys(settings: Settings) -> Iterator[tuple[tuple[str, ...], Path]]:
    for name, provider in settings.providers.items():
        key = ("providers", name)
        yield (*key, "private_key_file"), provider.private_key_file
        yield from (((*key, "former_keys"), file) for file in provider.former_keys.values())
    if settings.inbound.enabled:
        yield ("inbound", "private_key_file"), settings.inbound.private_key_file


def _strange_owner(settings: Settings, key: tuple[str, ...], file: Path) -> Iterator[Flaw]:
    """Yield who else could replace *file*: the owner of the link to it, or of what it leads to."""
    ours = {0, os.geteuid(), *_owners(settings.state_dir)}
    leads = f" (a link to {file.resolve()})" if file.is_symlink() else ""
    for owner in sorted(_owners(file) - ours):
        cause = f"{file}{leads} belongs to user {owner}, who can replace it"
        cure = f"Put a file of its own there: install -m 0600 -o USER {file.resolve()} {file}.new"
        yield Flaw(key=key, cause=f"names what is not ours: {cause}" if key else cause, cure=cure)


def _owners(file: Path) -> set[int]:
    """Return whose *file* is, and whose the link to it is; nobody's where it is not there."""
    try:
        return {file.stat().st_uid, file.lstat().st_uid}
    except OSError:
        return set()


def _inbound(settings: Settings) -> Iterator[Flaw]:
    chain = certificates_in(settings.inbound.certificate_file)
    if chain and not dns_names(chain[0]):
        cause = "has no subjectAltName with a DNS name: most clients refuse it"
        cure = "Ask for one with its name there; `bars-gateway certificate check` says more."
        yield Flaw(key=("inbound", "certificate_file"), cause=cause, cure=cure)
    orphans = rootless(certificates_in(settings.inbound.client_ca_file))
    if orphans:
        cause = f"has no root for {names_of(orphans)}: nobody whom it certified is let in"
        cure = "Add its root, or remove it."
        yield Flaw(key=("inbound", "client_ca_file"), cause=cause, cure=cure)


def api_key_is_told(settings: Settings, provider: Provider) -> bool:
    """Tell whether *provider* has an API key of its own, or needs none."""
    return provider.api_key.lower() not in _API_KEYS or not settings.outbound.token_required


def unknown_callers(settings: Settings) -> list[str]:
    """Return those of `inbound.allowed_client_names` that nobody is called by."""
    return [name for name in settings.inbound.allowed_client_names if name.lower() in _CALLERS]


def is_of_the_example(settings: Settings, table: str, name: str) -> bool:
    """Tell whether that setting is the example file's own, which leads nowhere."""
    national = settings.preset.own_name_prefix is not None
    value = getattr(getattr(settings, table), name)
    return national and str(value).lower() == _EXAMPLES[table, name]


def placeholders(settings: Settings) -> Iterator[Flaw]:
    """Yield every setting that still has what was shipped."""
    national = settings.preset.own_name_prefix is not None
    for name, provider in settings.providers.items():
        key = ("providers", name)
        if not api_key_is_told(settings, provider):
            cure = "Set it to what you were told when the application was approved."
            yield Flaw(key=(*key, "api_key"), cause="is a placeholder: no token by it", cure=cure)
        if national and provider.name.lower() in _ORGANISATIONS:
            yield Flaw(key=(*key, "name"), cause="is that of the example file", cure=_CURE)
        if national and not _SERVICES.isdisjoint(provider.services):
            cause = "has the service of the example file"
            yield Flaw(key=(*key, "services"), cause=cause, cure=_CURE)
    for table, setting in _EXAMPLES:
        if is_of_the_example(settings, table, setting):
            yield Flaw(key=(table, setting), cause="is that of the example file", cure=_CURE)
    if settings.inbound.enabled and unknown_callers(settings):
        cause = "has a placeholder, which no certificate is called by"
        cure = "Write the name in the proxy's certificate, which the BaRS team knows."
        yield Flaw(key=("inbound", "allowed_client_names"), cause=cause, cure=cure)
