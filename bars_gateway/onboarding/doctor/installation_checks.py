"""What is written in the settings, and the machine below: clock, folders, database, disk."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from bars_gateway import disk
from bars_gateway.config import Provider, Settings
from bars_gateway.config.doubts import api_key_is_told, unknown_callers
from bars_gateway.config.environments import environment_of_host
from bars_gateway.config.provider import SERVICE_SYSTEM, Software
from bars_gateway.config.sources import NOT_A_SETTING, PREFIX
from bars_gateway.engine import looked, server_found
from bars_gateway.errors import (
    DatabaseEmpty,
    DatabaseNewer,
    DatabaseSetBack,
    KeyRingUnusable,
    StoreError,
)
from bars_gateway.keyring import EncryptionRing
from bars_gateway.model.trail import LastWalk
from bars_gateway.onboarding import contacts
from bars_gateway.onboarding.doctor.checks import (
    Check,
    CheckedSite,
    for_each,
    of_doubts,
    of_problems,
)
from bars_gateway.onboarding.grades import Seen, failed, passed, skipped, warned
from bars_gateway.onboarding.keys import KeyId
from bars_gateway.permissions import files_in
from bars_gateway.store.audit import Sought, audited
from bars_gateway.store.chain import last_walk
from bars_gateway.store.reached import require_not_gone_back, told_in
from bars_gateway.store.reports import KEYS_COPIED
from bars_gateway.store.sqlite import OLDEST, SqliteConnection, require_known
from bars_gateway.store.sqlite.inspection import last
from bars_gateway.store.sqlite.integrity import examined, reading

_WRITABLE = 0o022
_FIRST_YEAR = 2026  # this release did not exist before
_SLOW_SECONDS = 1.0
_LATE_SECONDS = 300.0
_OTHERS = 0o007
_FEW_INODES = 1000
_COMFORT = 4  # times the least free space
_COPIES = 1000  # more than were ever made
_RACES = ((3, 7, 0), (3, 51, 2))  # from and to: a checkpoint and a commit can lose rows


def _file_mode(site: CheckedSite) -> Seen:
    mode = site.config.stat().st_mode & 0o777
    if mode & _WRITABLE:
        return failed(f"{site.config} has mode {mode:04o}", f"chmod 0640 {site.config}")
    of_the_file = [doubt for doubt in site.doubts if not doubt.key]
    if of_the_file:
        return warned(f"{site.config} {of_the_file[0].cause}", of_the_file[0].cure)
    return passed(f"only its owner may write {site.config}")


def _variables(site: CheckedSite) -> Seen:
    names = sorted(n for n in site.environ if n.startswith(PREFIX) and n not in NOT_A_SETTING)
    if names:
        cure = "Write them into the file, or see that the service has them too."
        return warned(f"set in this shell, over the file: {', '.join(names)}", cure)
    return passed("nothing in this shell changes the file's settings")


def _services(site: CheckedSite) -> Seen:
    def look(_name: str, provider: Provider) -> Seen:
        odd = [s for s in provider.services if s.partition("|")[0] != SERVICE_SYSTEM]
        if odd:
            cure = f"Write it as {SERVICE_SYSTEM}|<service id>, exactly."
            return warned(f"{odd[0]!a} is in another naming system", cure)
        return passed(f"{len(provider.services)} in the directory of services' own system")

    return for_each(site, look)


def _api_key(site: CheckedSite) -> Seen:
    def look(_name: str, provider: Provider) -> Seen:
        if not api_key_is_told(site.settings, provider):
            cure = "Set api_key to what you were told when the application was approved."
            return failed("nobody has told us the API key yet", cure)
        return passed("an API key is set")

    return for_each(site, look)


def _callers(site: CheckedSite) -> Seen:
    if not site.settings.inbound.enabled:
        return skipped("the gateway does not receive")
    if unknown_callers(site.settings):
        cure = "Set inbound.allowed_client_names to the name in the proxy's certificate."
        return failed("nobody has told us yet what the proxy's certificate is called", cure)
    return passed(f"let in: {', '.join(site.settings.inbound.allowed_client_names)}")


def _key_ids(site: CheckedSite) -> Seen:
    def look(_name: str, provider: Provider) -> Seen:
        if not KeyId.fits(provider.key_id):
            cure = "With the next key: <supplier or provider>-<environment>-<rotation>."
            return warned(f"{provider.key_id!a} does not keep to the convention", cure)
        return passed(provider.key_id)

    return for_each(site, look)


def _addresses(site: CheckedSite) -> Seen:
    outbound, environment = site.settings.outbound, site.settings.environment
    hosts = {urlsplit(url).hostname or "" for url in (outbound.token_url, outbound.proxy_url)}
    strange = sorted(h for h in hosts if environment_of_host(h) is not environment)
    if site.settings.preset.hosts and strange:
        cure = "Take token_url and proxy_url out of the settings: the environment brings them."
        return warned(f"{strange[0]} is not an address of {environment}", cure)
    return passed(", ".join(sorted(hosts)))


def _product(site: CheckedSite) -> Seen:
    def look(_name: str, provider: Provider) -> Seen:
        if site.national and provider.software.identifier_value == Software().identifier_value:
            cure = "Set software.identifier_value to the product id of the agreement."
            return warned("the product has no id of its own", cure)
        return passed(f"{provider.software.name} {provider.software.version}")

    return for_each(site, look)


SETTINGS = (
    Check(
        name="settings.file",
        title="Only its owner may write the settings file",
        why="Whoever writes it decides where patients' data goes.",
        ask=contacts.OURSELVES,
        look=_file_mode,
    ),
    Check(
        name="settings.variables",
        title="The settings are those of the file",
        why="A variable of this shell is not there when the service starts.",
        ask=contacts.OURSELVES,
        look=_variables,
    ),
    Check(
        name="settings.services",
        title="Services are named in the right system",
        why="For a system that it does not know, the proxy answers 500, which looks passing.",
        ask=contacts.BARS,
        look=_services,
    ),
    Check(
        name="settings.own",
        title="Name and services are your own",
        why="With those of the example file, you speak for an organisation that is not yours.",
        ask=contacts.OURSELVES,
        look=of_doubts("no provider is that of the example file", "providers.*.name", "*.services"),
    ),
    Check(
        name="settings.api_key",
        title="The API key is known",
        why="Without it there is no access token, and nothing is sent.",
        ask=contacts.BARS,
        look=_api_key,
    ),
    Check(
        name="settings.callers",
        title="It is known who may call",
        why="The NHS chain alone would let in every other organisation, and a wrong name nobody.",
        ask=contacts.BARS,
        look=_callers,
    ),
    Check(
        name="settings.key_id",
        title="Key ids keep to the convention",
        why="Whoever registers a key goes by it, and so does the guard of environments.",
        ask=contacts.OURSELVES,
        look=_key_ids,
    ),
    Check(
        name="settings.addresses",
        title="The addresses are those of the environment",
        why="A request that goes to production with a test key comes back as a riddle.",
        ask=contacts.OURSELVES,
        look=_addresses,
    ),
    Check(
        name="settings.product",
        title="The product names itself",
        why="Receivers and the BaRS team find a fault by the product's id.",
        ask=contacts.BARS,
        look=_product,
    ),
)


def _plausible(site: CheckedSite) -> Seen:
    now = site.now()
    if now.year < _FIRST_YEAR:
        return failed(f"it says {now:%Y-%m-%d %H:%M} UTC", "timedatectl set-ntp true")
    return passed(f"it says {now:%Y-%m-%d %H:%M} UTC")


def _synchronised(site: CheckedSite) -> Seen:
    is_set = site.machine.clock_is_set()
    if is_set is None:
        return skipped("the kernel does not say")
    if not is_set:
        cure = "timedatectl set-ntp true; on HSCN the servers are 155.231.231.3 and .4"
        return warned("nobody sets this machine's clock", cure)
    return passed("somebody sets this machine's clock")


def _state_private(site: CheckedSite) -> Seen:
    return _closed(site.settings.state_dir, "0700")


def _spool_private(site: CheckedSite) -> Seen:
    return for_each(site, lambda _name, provider: _closed(provider.spool_dir, "2750"))


def _closed(folder: Path, wanted: str) -> Seen:
    mode = folder.stat().st_mode & 0o7777
    if mode & _OTHERS:
        return failed(f"{folder} has mode {mode:04o}", f"chmod {wanted} {folder}")
    return passed(f"{folder} is closed to others")


def _written(site: CheckedSite) -> Seen:
    folder = _folder(site)
    try:
        seconds = site.machine.seconds_to_disk(folder)
    except OSError as error:
        return failed(f"nothing can be written to {folder}: {error.strerror}", "Look at that disk.")
    if seconds > _SLOW_SECONDS:
        cure = "Move state_dir to a quicker disk: each answer waits for it."
        return warned(f"a small file took {seconds:.1f} s", cure)
    return passed(f"a small file took {seconds * 1000:.0f} ms")


def _outbox(site: CheckedSite) -> Seen:
    def look(_name: str, provider: Provider) -> Seen:
        found = files_in(provider.spool_dir / "outbox" / "new", "[!.]*")
        if provider.questions == "folder":
            found += files_in(provider.spool_dir / "answers" / "new", "[!.]*")
        odd = [path for path in found if path.is_symlink() or not path.is_file()]
        if odd:
            cure = "They are links, folders or pipes: drop the files themselves."
            return warned(f"{len(odd)} lie there that are never opened", cure)
        shut = [path for path in found if not os.access(path, os.R_OK)]
        if shut:
            cure = "Let the gateway's group read what the EPR writes: mode 0640."
            return warned(f"{len(shut)} lie there that the gateway may not read", cure)
        ages = [site.now().timestamp() - path.stat().st_mtime for path in found]
        if ages and max(ages) > _LATE_SECONDS:
            cure = "Start the gateway: systemctl start bars-gateway; its log says what it met."
            return warned(f"{len(found)} lie there, one for {max(ages) / 60:.0f} min", cure)
        return passed("nothing that it hands over lies there for long")

    return for_each(site, look)


def _folder(site: CheckedSite) -> Path:
    """Return where the gateway writes: beside its database, where that is a file."""
    settings = site.settings
    return settings.state_dir if settings.store.url else settings.database_path.parent


def _of_a_file(look: Callable[[CheckedSite], Seen]) -> Callable[[CheckedSite], Seen]:
    """Leave *look* out where the database is on a server, whose own tools look at it."""

    def looked(site: CheckedSite) -> Seen:
        return skipped("the database is on a server") if site.settings.store.url else look(site)

    return looked


def _server(site: CheckedSite) -> Seen:
    if site.settings.store.url is None:
        return skipped("the database is a file")
    try:
        return passed(server_found(site.settings))
    except StoreError as error:
        return failed(str(error), error.advice)


@_of_a_file
def _sound(site: CheckedSite) -> Seen:
    path = site.settings.database_path
    if not path.exists():
        return passed(f"{path} is made at the first start")
    told = told_in(provider.spool_dir for provider in site.settings.providers.values())
    try:
        with reading(path) as connection:
            require_known(connection, path)
            found = examined(connection, contents=False)
            if not found.problems:
                require_not_gone_back(SqliteConnection(connection), told, str(path))
    except (DatabaseNewer, DatabaseSetBack) as error:
        return failed(str(error), error.advice)
    except StoreError as error:
        return failed(f"{path}: {error}", "bars-gateway verify, and then bars-gateway restore FILE")
    if found.problems:
        cure = "bars-gateway verify says all; bars-gateway restore FILE goes back."
        return failed(f"{path}: {found.problems[0]}", cure)
    return passed(f"{path} is whole, schema {found.schema}")


@_of_a_file
def _compared(site: CheckedSite) -> Seen:
    path = site.settings.database_path
    if not path.exists():
        return skipped("there is no database yet")
    with reading(path) as connection:
        inspected = last(connection)
    if inspected.began_at is None:
        return skipped("no gateway has compared it yet")
    if inspected.ended_at is None:
        return passed(f"a gateway has been at it since {inspected.began_at:%Y-%m-%d %H:%M} UTC")
    shown = f"the gateway did so at {inspected.ended_at:%Y-%m-%d %H:%M} UTC"
    if inspected.found:
        cure = "See the alarms on the status page; look at the disk, and at who opens the file."
        return warned(f"{shown}: {'; '.join(inspected.found)}", cure)
    return passed(f"{shown}: nothing was missing")


def _is_there(settings: Settings) -> bool:
    """Tell whether there may be a database: of one on a server, only whoever asks it knows."""
    return settings.store.url is not None or settings.database_path.exists()


async def _trail(site: CheckedSite) -> Seen:
    if not _is_there(site.settings):
        return skipped("there is no database yet")
    try:
        return _of_walk(await looked(site.settings, last_walk))
    except DatabaseEmpty as error:
        return skipped(str(error))
    except StoreError as error:
        return failed(str(error), error.advice)


def _of_walk(walked: LastWalk | None) -> Seen:
    if walked is None:
        return skipped("no gateway has walked it yet")
    shown = f"the gateway walked {walked.lines:,} lines at {walked.at}"
    if walked.found == 0:
        return passed(f"{shown}: each is as it was written")
    cure = "bars-gateway audit verify says where; docs/runbooks.md at audit.broken."
    if walked.found is None:
        return failed(f"what the gateway found at {walked.at} cannot be read", cure)
    return failed(f"{shown}; places that are not as written: {walked.found:,}", cure)


async def _key_copied(site: CheckedSite) -> Seen:
    file = site.settings.store.encryption_keys_file
    if file is None:
        return skipped("no key ring is named: what is stored of patients is in clear")
    try:
        ring = EncryptionRing.read(file)
    except KeyRingUnusable as error:
        return failed(str(error), error.advice)
    told = {*ring.copied, *await _copies_told(site.settings)}
    lacking = [each.key_id for each in ring.keys if each.key_id not in told]
    if lacking:
        cure = "bars-gateway encryption copy FILE --why TEXT: apart from the backups and this disk"
        return warned(f"there is no copy of the key {', '.join(lacking)}", cure)
    current = ring.current.key_id
    at = ring.copied.get(current)
    when = f" at {at:%Y-%m-%d %H:%M} UTC" if at else ", as the audit trail says"
    return passed(f"the key {current} was copied{when}; that it can be read, only you can see")


async def _copies_told(settings: Settings) -> set[object]:
    """Return of which keys the trail says that they were copied: a credential notes nothing."""
    if not _is_there(settings):
        return set()
    copies = partial(audited, sought=Sought(kind=KEYS_COPIED), limit=_COPIES)
    try:
        lines = await looked(settings, copies)
    except StoreError:  # other checks say why
        return set()
    ids = (each.detail.get("key_ids") for each in lines)
    return {key_id for each in ids if isinstance(each, list) for key_id in each}


@_of_a_file
def _private(site: CheckedSite) -> Seen:
    path = site.settings.database_path
    if not path.exists():
        return skipped("there is no database yet")
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        return failed(f"{path} has mode {mode:04o}", f"chmod 0600 {path}")
    return passed("only the gateway's user may read it")


@_of_a_file
def _sqlite(site: CheckedSite) -> Seen:
    version = site.machine.sqlite_version
    shown = f"SQLite {'.'.join(map(str, version))}"
    if version < OLDEST:
        return failed(shown, f"Take a Python with SQLite {'.'.join(map(str, OLDEST))} or later.")
    first, last = _RACES
    if not first <= version <= last:
        return passed(f"{shown}: other connections may checkpoint its databases")
    return passed(
        f"{shown} can lose committed rows where one connection checkpoints while another commits:"
        " the gateway lets its writer alone do it; open the running database with no other program"
        " unless with `sqlite3 -readonly`, and copy it with `bars-gateway backup`"
    )


def _space(site: CheckedSite) -> Seen:
    found = site.machine.disk(_folder(site))
    free, least = found.f_bavail * found.f_frsize, site.settings.store.minimum_free_bytes
    shown = f"{disk.room(free)} are free; below {disk.room(least)} nothing is accepted"
    if free < least:
        cure = "Make room on that disk; below store.minimum_free_bytes nothing is accepted."
        return failed(shown, cure)
    if free < _COMFORT * least:
        return warned(shown, "Make room on that disk before the gateway refuses messages.")
    return passed(shown)


def _inodes(site: CheckedSite) -> Seen:
    disk: os.statvfs_result = site.machine.disk(_folder(site))
    if not disk.f_files:
        return skipped("this filesystem does not count its files")
    if disk.f_favail < _FEW_INODES:
        return failed(f"room for {disk.f_favail} more files", "Remove small files on that disk.")
    return passed(f"room for {disk.f_favail:,} more files")


MACHINE = (
    Check(
        name="clock.plausible",
        title="The clock shows a time that can be",
        why="Tokens are refused and certificates look expired when the clock is wrong.",
        ask=contacts.OURSELVES,
        look=_plausible,
    ),
    Check(
        name="clock.synchronised",
        title="Somebody sets the clock",
        why="A clock that nobody sets is wrong by minutes after weeks; tokens allow 150 s.",
        ask=contacts.OURSELVES,
        look=_synchronised,
    ),
    Check(
        name="folders.state",
        title="The state folder is there, writable, on a local disk",
        why="What was promised lies in it.",
        ask=contacts.OURSELVES,
        look=of_problems("it is there and may be written", "state_dir", "store.path"),
    ),
    Check(
        name="folders.state_private",
        title="The state folder is closed to others",
        why="The database holds patients' data.",
        ask=contacts.OURSELVES,
        look=_state_private,
        after=("folders.state",),
    ),
    Check(
        name="folders.disk",
        title="What is written reaches the disk quickly",
        why="Nothing is acknowledged before it is on disk, and the proxy waits 5 s.",
        ask=contacts.OURSELVES,
        look=_written,
        after=("folders.state",),
    ),
    Check(
        name="folders.spool",
        title="The EPR's folders are there, writable, on one filesystem",
        why="Messages are handed over by renaming, which works within one filesystem only.",
        ask=contacts.OURSELVES,
        look=of_problems("they are there and may be written", "providers.*.spool_dir"),
    ),
    Check(
        name="folders.spool_private",
        title="The EPR's folders are closed to others",
        why="Referrals of patients lie in them.",
        ask=contacts.OURSELVES,
        look=_spool_private,
        after=("folders.spool",),
    ),
    Check(
        name="folders.epr",
        title="The EPR's user may use the folders that it shares",
        why="It drops its messages there, takes what came, and opens the socket.",
        ask=contacts.OURSELVES,
        look=of_doubts("its group may", "providers.*.spool_dir", "epr.socket_dir"),
        after=("folders.spool",),
    ),
    Check(
        name="folders.outbox",
        title="What the EPR hands over is taken",
        why="What lies in outbox/new was not sent, and of an answer in answers/new nobody heard.",
        ask=contacts.OURSELVES,
        look=_outbox,
        after=("folders.spool",),
    ),
    Check(
        name="folders.sockets",
        title="The folder of the sockets is there and writable",
        why="The EPR and the operator's commands come in by a socket in it.",
        ask=contacts.OURSELVES,
        look=of_problems("it is there and may be written", "epr.socket_dir"),
    ),
    Check(
        name="database.server",
        title="The database server answers, and is as the gateway needs it",
        why="Without it nothing is received and nothing is sent.",
        ask=contacts.OURSELVES,
        look=_server,
    ),
    Check(
        name="database.sound",
        title="The database is whole, and of this release",
        why="It is the only memory of what was promised.",
        ask=contacts.OURSELVES,
        look=_sound,
        after=("folders.state",),
    ),
    Check(
        name="database.compared",
        title="The database finds every row that it has",
        why="What an index lacks is never sent, and its bytes are taken a second time.",
        ask=contacts.OURSELVES,
        look=_compared,
        after=("database.sound",),
    ),
    Check(
        name="database.trail",
        title="The audit trail is as it was written",
        why="It is the proof of who did what, for an inquiry or a court.",
        ask=contacts.OURSELVES,
        look=_trail,
        after=("database.sound",),
    ),
    Check(
        name="database.key",
        title="The key that encrypts the database has a copy elsewhere",
        why="Without it nobody can read the database, nor any backup of it.",
        ask=contacts.OURSELVES,
        look=_key_copied,
    ),
    Check(
        name="database.private",
        title="Only the gateway reads the database",
        why="It holds patients' data.",
        ask=contacts.OURSELVES,
        look=_private,
        after=("folders.state",),
    ),
    Check(
        name="database.sqlite",
        title="What the installed SQLite asks of those who share its database",
        why="Most releases have a race that loses rows where two connections share the work.",
        ask=contacts.OURSELVES,
        look=_sqlite,
    ),
    Check(
        name="disk.space",
        title="There is room on the disk",
        why="A full database cannot even delete.",
        ask=contacts.OURSELVES,
        look=_space,
        after=("folders.state",),
    ),
    Check(
        name="disk.files",
        title="There is room for more files",
        why="A disk with free space and no free inodes refuses new files all the same.",
        ask=contacts.OURSELVES,
        look=_inodes,
        after=("folders.state",),
    ),
)
