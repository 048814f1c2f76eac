"""What root makes is the gateway's; and root judges as the user that the gateway runs as."""

import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from unittest import mock

import pytest
from typed import WHY, Done, typed

from bars_gateway import ownership
from bars_gateway.config import doubts
from bars_gateway.onboarding import init, keys

AS_ROOT = os.geteuid() == 0
DAEMON = pwd.getpwnam("daemon")  # there on every machine, as is its group
pytestmark = pytest.mark.skipif(not AS_ROOT, reason="only root gives files away")


@pytest.fixture(scope="module", autouse=True)
def one_key() -> Iterator[None]:
    """Make one key for all tests: how long a prime takes is no fact about who has it."""
    with mock.patch.object(keys, "generate_private_key", cache(keys.generate_private_key)):
        yield


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder of root's that every user may enter."""
    made = Path(tempfile.mkdtemp(prefix="ownership-"))
    try:
        made.chmod(0o755)
        yield made
    finally:
        shutil.rmtree(made)


def owners(path: Path) -> tuple[str, int]:
    found = path.stat()
    return pwd.getpwuid(found.st_uid).pw_name, found.st_gid


def given_to_the_service(home: Path) -> None:
    """Let *home* be as an older package has left it: root's folders, which let a group in."""
    for each in [home, *home.rglob("*")]:
        is_of_etc = each.name in {home.name, "keys", "tls"}
        os.chown(each, 0 if is_of_etc else DAEMON.pw_uid, DAEMON.pw_gid)
        if is_of_etc:
            each.chmod(0o750)


def test_what_root_makes_is_of_whoever_has_the_folder(folder: Path) -> None:
    """Owner and group."""
    os.chown(folder, DAEMON.pw_uid, 0)

    assert (DAEMON.pw_uid, 0) == _parts(folder)


def test_a_folder_that_lets_a_group_in_is_of_the_user_called_so(folder: Path) -> None:
    """Who else would read what is made there."""
    os.chown(folder, 0, DAEMON.pw_gid)

    assert (DAEMON.pw_uid, DAEMON.pw_gid) == _parts(folder)


def test_a_folder_of_roots_alone_gives_nothing_away(folder: Path) -> None:
    """In many a container the gateway is root."""
    assert (0, 0) == _parts(folder)


def _parts(folder: Path) -> tuple[int, int]:
    owner = ownership.heir(folder)
    return owner.user, owner.group


def test_a_link_is_given_away_and_not_what_it_leads_to(folder: Path) -> None:
    """Whoever has the folder could have put it there meanwhile."""
    os.chown(folder, DAEMON.pw_uid, DAEMON.pw_gid)
    with tempfile.NamedTemporaryFile() as roots:
        (folder / "link").symlink_to(roots.name)
        ownership.belong(folder / "link", folder)

        assert 0 == Path(roots.name).stat().st_uid


def initialised(folder: Path) -> Path:
    flags = ("--environment", "int", "--ods-code", "ZX901", "--name", "Northshire")
    home = folder / "gateway"
    done = typed("init", "--folder", home, *flags, "--service", "2000000101", *FQDN)
    assert 0 == done.code, done.err
    given_to_the_service(home)
    return home


FQDN = ("--fqdn", "BaRS-INT-ZX901.provider.nhs.uk")
MAKES = (
    ("keys", "new", *WHY),
    ("keys", "retire", "Northshire-INT-1", "--at-once", *WHY),
    ("csr", "new", "--bits", "2048", *WHY),
    ("encryption", "rotate", *WHY),
    ("encryption", "copy", "{elsewhere}/ring.copy", *WHY),
    ("init", "--folder", "{home}"),
)


def typed_there(home: Path, command: tuple[str, ...]) -> Done:
    filled = [word.format(home=home, elsewhere=home.parent) for word in command]
    config = () if command[0] == "init" else ("--config", str(home / "bars-gateway.toml"))
    return typed(*filled, *config)


@pytest.mark.parametrize("command", MAKES, ids=" ".join)
def test_no_command_of_roots_leaves_what_the_gateway_cannot_read(
    folder: Path, command: tuple[str, ...]
) -> None:
    """Keys, requests, the ring, reports to the trail: all are the gateway's user's."""
    home = initialised(folder)
    before = set(home.rglob("*"))
    typed_there(home, command)
    made = set(home.rglob("*")) - before
    changed = {home / "keys" / "encryption.keys"}

    assert {("daemon", DAEMON.pw_gid)} == {owners(path) for path in made | changed}


def test_a_copy_of_the_key_ring_stays_roots(folder: Path) -> None:
    """It goes elsewhere: whoever has the folder is not who may read every record."""
    home = initialised(folder)
    os.chown(folder, DAEMON.pw_uid, DAEMON.pw_gid)
    done = typed_there(home, ("encryption", "copy", "{elsewhere}/ring.copy", *WHY))

    assert (0, "root") == (done.code, owners(folder / "ring.copy")[0])


def test_root_hears_what_the_gateways_user_cannot_read(folder: Path) -> None:
    """A gateway that runs goes on with the old key, and stands still at its next start."""
    home = initialised(folder)
    key = home / "keys" / "Northshire-INT-1.pem"
    os.chown(key, 0, 0)
    done = typed("check", "--config", home / "bars-gateway.toml")

    assert 2 == done.code
    assert f"the file {key} belongs to root (group root, mode 0600), and you are daemon" in done.err
    assert f"try: As root: chown daemon {key}\n" in done.err
    assert 0 == os.geteuid()


def test_root_hears_that_the_settings_are_roots_alone(folder: Path) -> None:
    """An editor that writes a new file leaves it to whoever typed."""
    home = initialised(folder)
    settings = home / "bars-gateway.toml"
    os.chown(settings, 0, 0)
    settings.chmod(0o600)
    done = typed("check", "--config", settings)

    assert f"the file {settings} belongs to root" in done.err


def test_the_doctor_of_roots_looks_as_the_gateways_user(folder: Path) -> None:
    """What root may read is not the question."""
    home = initialised(folder)
    os.chown(home / "keys" / "Northshire-INT-1.pem", 0, 0)
    done = typed("doctor", "--offline", "--config", home / "bars-gateway.toml")

    assert "FAIL  keys.file" in done.out
    assert "and you are daemon: you may not use it" in done.out


@pytest.mark.parametrize("command", ["check", "doctor"])
def test_root_judges_in_all_groups_that_the_gateway_runs_in(folder: Path, command: str) -> None:
    """The state is its first group's, the EPRs'; another is let into /etc/bars-gateway."""
    home = initialised(folder)
    os.chown(home, 0, DAEMON.pw_gid)
    home.chmod(0o750)
    os.chown(home / "state", DAEMON.pw_uid, pwd.getpwnam("nobody").pw_gid)
    offline = ["--offline"] if command == "doctor" else []
    done = typed(command, *offline, "--config", home / "bars-gateway.toml")

    assert "may not" not in done.out + done.err


def test_whoever_is_told_to_be_the_gateways_user_is_not_it_already(folder: Path) -> None:
    """Where a folder is root's, root does it: the user who was just refused cannot."""
    home = initialised(folder)
    os.chown(home, 0, 0)
    home.chmod(0o755)
    with ownership.as_the_gateway(home / "state", None):
        done = typed("keys", "new", *WHY, "--config", home / "bars-gateway.toml")

    assert 1 == done.code
    assert "try: Do it as root, which leaves what it makes to daemon: sudo bars-gateway" in done.err


def doubted_of_the_spool(home: Path, epr: int) -> str:
    """Return what `check` doubts, where the EPRs' group is *epr* and the gateway in it."""
    with (
        mock.patch.object(ownership, "epr_group", return_value=epr),
        mock.patch.object(ownership, "is_member", return_value=True),
    ):
        return typed("check", "--config", home / "bars-gateway.toml").err


@pytest.mark.parametrize("group", ["the gateway's own", "shut"])
def test_folders_that_the_epr_cannot_use_are_doubted(folder: Path, group: str) -> None:
    """Its user finds a refusal, and the gateway an empty folder."""
    home = initialised(folder)
    spool = home / "spool" / "northshire"
    epr = pwd.getpwnam("nobody").pw_gid
    if group == "shut":
        os.chown(spool, -1, epr)
        spool.chmod(0o700)
    else:
        os.chown(spool, -1, DAEMON.pw_gid)
    said = doubted_of_the_spool(home, epr)
    cure = "chmod 0710" if group == "shut" else "chgrp -R bars-gateway-epr"

    assert f"{spool} " in said
    assert f"try: As root: {cure} {spool}\n" in said


def test_a_folder_without_set_group_id_is_doubted(folder: Path) -> None:
    """What the EPR's user writes there is for its own group: the gateway may not read it."""
    home = initialised(folder)
    tmp = home / "spool" / "northshire" / "outbox" / "tmp"
    tmp.mkdir(parents=True)
    epr = pwd.getpwnam("nobody").pw_gid
    for each, mode in ((tmp.parents[1], 0o2750), (tmp.parent, 0o2770), (tmp, 0o770)):
        os.chown(each, DAEMON.pw_uid, epr)
        each.chmod(mode)
    said = doubted_of_the_spool(home, epr)
    tmp.chmod(0o2770)

    assert f"{tmp} without set-group-ID: we may not read what the EPR writes" in said
    assert f"try: As root: chmod 2770 {tmp}\n" in said
    assert f"{tmp}" not in doubted_of_the_spool(home, epr)


def test_a_share_that_keeps_no_modes_is_to_be_mounted_for_the_epr(folder: Path) -> None:
    """On SMB chmod changes nothing, and nobody needs the bit by which a group is inherited."""
    home = initialised(folder)
    spool = home / "spool" / "northshire"
    tmp, epr = spool / "outbox" / "tmp", pwd.getpwnam("nobody").pw_gid
    tmp.mkdir(parents=True)
    for each in (spool, tmp.parent, tmp):
        os.chown(each, DAEMON.pw_uid, epr)
        each.chmod(0o770)
    with mock.patch.object(doubts, "mounts_now", return_value=f"//files/epr {spool} cifs rw 0 0\n"):
        shared = doubted_of_the_spool(home, epr)
        spool.chmod(0o700)
        shut = doubted_of_the_spool(home, epr)

    assert f"{spool} " not in shared
    assert "mount it with uid=bars-gateway,gid=bars-gateway-epr,dir_mode=02770" in shut


def test_init_gives_the_folders_of_the_system_to_user_and_group(folder: Path) -> None:
    """The EPR's user comes in by its group: to the spool and to the socket, and nowhere else."""
    paths = init.Paths.below(folder / "etc")
    epr = pwd.getpwnam("nobody").pw_gid
    with (
        mock.patch.object(init.Paths, "of_the_system", return_value=paths),
        mock.patch.object(ownership, "SERVICE", "daemon"),
        mock.patch.object(ownership, "epr_group", return_value=epr),
    ):
        flags = ("--environment", "int", "--ods-code", "ZX901", "--name", "Northshire")
        done = typed("init", *flags, "--service", "2000000101")
    wanted = {
        ".": ("root", DAEMON.pw_gid, 0o750),
        "bars-gateway.toml": ("daemon", DAEMON.pw_gid, 0o640),
        "keys": ("daemon", DAEMON.pw_gid, 0o700),
        "keys/Northshire-INT-1.pem": ("daemon", DAEMON.pw_gid, 0o600),
        "tls": ("daemon", DAEMON.pw_gid, 0o750),
        "state": ("daemon", DAEMON.pw_gid, 0o700),
        "spool": ("daemon", epr, 0o2750),
        "spool/northshire": ("daemon", epr, 0o2750),
        "run": ("daemon", epr, 0o750),
    }
    places = {name: folder / "etc" / name for name in wanted}
    found = {
        name: (*owners(path), stat.S_IMODE(path.stat().st_mode)) for name, path in places.items()
    }

    assert (0, wanted) == (done.code, found)
