"""What the settings name is looked at: keys, certificates, folders, filesystems."""

import contextlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certs
import pytest
import trustme
from certs import Chain
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from bars_gateway.config import Settings, SettingsProblem
from bars_gateway.config import problems as looked_at
from bars_gateway.config.doubts import endings
from bars_gateway.config.mounts import filesystem_of, unmounted
from bars_gateway.config.problems import problems

NOW = datetime.now(UTC)
KEYS = {
    1024: rsa.generate_private_key(65537, 1024),
    2048: rsa.generate_private_key(65537, 2048),
    "ec": ec.generate_private_key(ec.SECP256R1()),
}


def damaged(key):
    """Return *key* with a private half that is another's."""
    own, other = key.private_numbers(), KEYS[1024].private_numbers()
    halves = {"d": own.d - 2, "dmp1": own.dmp1 - 2, "dmq1": other.dmq1}
    rest = {name: getattr(own, name) for name in ("p", "q", "iqmp", "public_numbers")}
    return rsa.RSAPrivateNumbers(**halves, **rest).private_key(unsafe_skip_rsa_key_validation=True)


def pem(key, encryption=None):
    encryption = encryption or NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.fixture(scope="session")
def authority():
    """Return a certificate authority."""
    return trustme.CA()


@pytest.fixture
def home(tmp_path, authority):
    """Return a folder with everything that the settings name, all of it right."""
    for name in ("state", "spool", "run"):
        (tmp_path / name).mkdir()
    leaf = authority.issue_cert(common_name="gateway.example", not_after=NOW + timedelta(days=9))
    chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    write(tmp_path / "certificate.pem", chain, 0o644)
    write(tmp_path / "key.pem", leaf.private_key_pem.bytes())
    write(tmp_path / "ca.pem", authority.cert_pem.bytes(), 0o644)
    write(tmp_path / "jwt.pem", pem(KEYS[2048]))
    return tmp_path


@pytest.fixture
def settings(home):
    """Return a function that makes settings for *home*, with changes."""

    def make(**changes) -> Settings:
        provider = {
            "ods_code": "RAE",
            "name": "Example NHS Trust",
            "services": ["system|value"],
            "key_id": "key-1",
            "api_key": "key",
            "private_key_file": home / "jwt.pem",
            "spool_dir": home / "spool",
        }
        url = "https://127.0.0.1:9443"
        values = {
            "environment": "local",
            "state_dir": home / "state",
            "providers": {"trust": provider | changes.pop("provider", {})},
            "outbound": {"token_url": url, "proxy_url": url, "ca_file": home / "ca.pem"},
            "inbound": {
                "certificate_file": home / "certificate.pem",
                "private_key_file": home / "key.pem",
                "client_ca_file": home / "ca.pem",
                "allowed_client_names": ["proxy.example"],
            },
            "epr": {"socket_dir": home / "run"},
        }
        return Settings(**values | changes)

    return make


def said(found: list[SettingsProblem]) -> list[tuple[str, str]]:
    return [(problem.key, problem.cause) for problem in found]


def the_one(found: list[SettingsProblem], key: str) -> str:
    assert [key] == [problem.key for problem in found]
    return found[0].cause


def test_nothing_to_say(settings):
    """Where everything is right, nothing is reported."""
    assert [] == problems(settings(), NOW)


def test_a_share_that_is_not_mounted_is_not_taken_for_an_empty_folder(settings, home, monkeypatch):
    """Its mount point is there, and neither side would see what the other puts in."""
    fstab = home / "fstab"
    fstab.write_text(f"# shares\n//files/epr {home}/spool cifs rw,_netdev 0 0\n")
    monkeypatch.setattr(looked_at, "FSTAB", fstab)
    (found,) = problems(settings(), NOW)

    assert "providers.trust.spool_dir" == found.key
    assert f"is on {home}/spool, which {fstab} mounts, and nothing is mounted there" == found.cause
    assert f"mount {home}/spool; and let it be mounted before" in found.cure


def test_nor_is_the_disk_of_the_database(settings, home, monkeypatch):
    """All that was promised is in it: another one would begin from nothing."""
    fstab = home / "fstab"
    fstab.write_text(f"UUID=1 {home}/state ext4 defaults 0 2\n")
    monkeypatch.setattr(looked_at, "FSTAB", fstab)

    assert ["state_dir"] == [found.key for found in problems(settings(), NOW)]


@pytest.mark.parametrize(
    "line",
    [
        "//files/epr {home} cifs noauto 0 0",
        "/elsewhere {home} none bind 0 0",
        "UUID=1 / ext4 defaults 0 1",
        "UUID=1 none swap sw 0 0",
        "//files/epr {home}/other cifs rw 0 0",
        "#//files/epr {home} cifs rw 0 0",
        "//files/epr {home}/loop cifs rw 0 0",
        "what is this",
        "alone",
    ],
)
def test_what_is_not_mounted_by_itself_is_no_matter(tmp_path, line, monkeypatch):
    """Nor what is bound from the same disk, or has nothing to do with the folder."""
    for name in ("spool", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    monkeypatch.chdir(tmp_path)  # to which no word that is no path leads

    assert unmounted(tmp_path / "spool", line.format(home=tmp_path), "") is None


def test_a_mount_point_that_is_not_there_is_told_as_such_alone(tmp_path):
    """It is the folder that is missing, which is told by itself."""
    share = f"//files/epr {tmp_path}/gone cifs rw 0 0"

    assert unmounted(tmp_path / "gone" / "spool", share, "") is None


def test_a_share_that_is_mounted_is_seen():
    """By its device, which is another one than that of the folder above."""
    assert unmounted(Path("/proc/self"), "proc /proc proc defaults 0 0", "") is None


def test_a_share_below_another_one_of_the_same_server_is_seen(tmp_path):
    """Both have one device: the table of what is mounted tells them apart."""
    (tmp_path / "epr" / "spool").mkdir(parents=True)
    share = f"files:/all/epr {tmp_path}/epr nfs rw 0 0\n"
    mounts = f"files:/all {tmp_path} nfs4 rw 0 0\nfiles:/all/epr {tmp_path}/epr nfs4 rw 0 0\n"

    assert unmounted(tmp_path / "epr" / "spool", share, mounts) is None


def test_a_folder_that_systemd_binds_to_itself_is_not_mounted(tmp_path):
    """`ReadWritePaths=` makes a mount of it in the service's view, of the disk it lies on."""
    (tmp_path / "epr").mkdir()
    share = f"//files/epr {tmp_path}/epr cifs rw 0 0\n"
    mounts = f"/dev/sda1 / ext4 ro 0 0\n/dev/sda1 {tmp_path}/epr ext4 rw 0 0\n"

    assert tmp_path / "epr" == unmounted(tmp_path / "epr", share, mounts)


@pytest.fixture
def linked(tmp_path):
    """Return a mount point that fstab names by a link to it, and fstab's line."""
    (tmp_path / "data" / "spool").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    return tmp_path / "data", f"//files/epr {tmp_path}/link cifs rw 0 0\n"


def test_a_mount_point_behind_a_link_is_found(tmp_path, linked):
    """It is told as it is written: `mount` takes it so."""
    point, share = linked

    assert tmp_path / "link" == unmounted(point / "spool", share, "")
    assert tmp_path / "link" == unmounted(tmp_path / "link" / "spool", share, "")


def test_a_share_that_is_mounted_behind_a_link_is_seen(linked):
    """The table of what is mounted has the place that the link leads to."""
    point, share = linked
    mounts = f"/dev/sda1 / ext4 rw 0 0\n//files/epr {point} cifs rw 0 0\n"

    assert unmounted(point / "spool", share, mounts) is None


def test_a_mount_point_is_found_from_below_and_with_a_space(tmp_path):
    """As fstab writes it."""
    folder = tmp_path / "a share" / "spool"
    folder.mkdir(parents=True)
    found = unmounted(folder, f"//files/epr {tmp_path}/a\\040share cifs rw 0 0", "")

    assert tmp_path / "a share" == found


def test_everything_that_is_missing_comes_at_once(settings, home):
    """Each missing file or folder is named with its setting and a cure."""
    for name in ("state", "spool", "run"):
        (home / name).rmdir()
    for file in home.glob("*.pem"):
        file.unlink()
    found = problems(settings(), NOW)

    assert {
        "state_dir",
        "providers.trust.spool_dir",
        "providers.trust.private_key_file",
        "inbound.client_ca_file",
        "inbound.private_key_file",
        "inbound.certificate_file",
        "outbound.ca_file",
        "epr.socket_dir",
    } == {problem.key for problem in found}
    assert all(problem.cure for problem in found)


@pytest.mark.parametrize(
    ("content", "mode", "expected"),
    [
        pytest.param(pem(KEYS[2048]), 0o640, "can be read by other users", id="group-may-read"),
        pytest.param(pem(KEYS[2048]), 0o604, "can be read by other users", id="all-may-read"),
        pytest.param(pem(KEYS[1024]), 0o600, "is a key of 1024 bits", id="too-short"),
        pytest.param(pem(KEYS["ec"]), 0o600, "is not an RSA key", id="another-kind"),
        pytest.param(b"nonsense", 0o600, "is not a private key in PEM form", id="no-key"),
        pytest.param(
            pem(damaged(KEYS[2048])), 0o600, "does not sign what its public half", id="damaged"
        ),
        pytest.param(
            pem(KEYS[2048], BestAvailableEncryption(b"x")),
            0o600,
            "is locked with a passphrase",
            id="locked",
        ),
    ],
)
def test_a_signing_key_that_will_not_do(settings, home, content, mode, expected):
    """The key that signs is RSA, long enough, unlocked, and for our eyes only."""
    write(home / "jwt.pem", content, mode)

    assert the_one(problems(settings(), NOW), "providers.trust.private_key_file").startswith(
        expected
    )


def test_observing_ends_within_a_day(settings):
    """Nobody forgets it for a month."""
    until = {"observe_until": NOW + timedelta(hours=25)}
    found = problems(settings(callers=until), NOW)

    assert "is too far ahead" == the_one(found, "callers.observe_until")


@pytest.mark.parametrize(
    ("callers", "expected"),
    [
        ({"revocation": "hard"}, "nobody may call"),
        ({"revocation_list_files": ["/nowhere/a.crl"]}, "/nowhere/a.crl: No such file"),
    ],
)
def test_revocation_lists_that_will_not_do(settings, callers, expected):
    """They are looked at before anybody calls."""
    found = problems(settings(callers=callers), NOW)

    assert expected in the_one(found, "callers.revocation_list_files")


@pytest.mark.parametrize(
    ("environment", "expected"), [("sandbox", False), ("int", True), ("prod", True)]
)
def test_int_and_prod_want_4096_bits(settings, environment, expected):
    """A short key is fine where nothing real is at stake, and refused elsewhere."""
    found = problems(settings(environment=environment, outbound={}), NOW)

    assert expected is any("4096 are required" in cause for _, cause in said(found))


def test_a_key_that_is_a_fifo_is_not_waited_for(settings, home):
    """Something else in a file's place is reported; opening it could last for ever."""
    (home / "jwt.pem").unlink()
    os.mkfifo(home / "jwt.pem")
    cause = the_one(problems(settings(), NOW), "providers.trust.private_key_file")

    assert cause.endswith("and there is a named pipe")


FOLDERS_IN_PLACE_OF_FILES = {
    "state/gateway.db": "state_dir",
    "state/gateway.db.lock": "state_dir",
    "state/gateway.db-wal": "state_dir",
    "state/callers.json": "state_dir",
    "spool/.lock": "providers.trust.spool_dir",
    "spool/.provider": "providers.trust.spool_dir",
    "run/trust.sock": "epr.socket_dir",
    "jwt.pem": "providers.trust.private_key_file",
    "key.pem": "inbound.private_key_file",
    "certificate.pem": "inbound.certificate_file",
    "password": "outbound.egress_password_file",
    "withdrawn.crl": "callers.revocation_list_files",
}
FILES_IN_PLACE_OF_FOLDERS = {
    "state": "state_dir",
    "state/cache": "state_dir",
    "spool": "providers.trust.spool_dir",
    "spool/outbox": "providers.trust.spool_dir",
    "spool/outbox/new": "providers.trust.spool_dir",
    "spool/outbox/claimed": "providers.trust.spool_dir",
    "spool/inbox/tmp": "providers.trust.spool_dir",
    "spool/questions/new": "providers.trust.spool_dir",
    "spool/answers/claimed": "providers.trust.spool_dir",
    "run": "epr.socket_dir",
}


@pytest.fixture
def whole(settings, home):
    """Return settings that name everything which can be named."""
    write(home / "password", b"secret\n")
    url = "https://127.0.0.1:9443"
    outbound = {"token_url": url, "proxy_url": url, "ca_file": home / "ca.pem"}
    proxy = {"egress_proxy": "http://proxy.example:3128", "egress_user": "gateway"}
    return settings(
        outbound=outbound | proxy | {"egress_password_file": home / "password"},
        callers={"revocation_list_files": [home / "withdrawn.crl"]},
        provider={"questions": "folder"},
    )


def test_a_command_for_alerts_that_cannot_be_run_is_told(settings):
    """It is found before the first night on which somebody is to be woken."""
    found = problems(settings(alerts={"command": ["/nowhere/page"]}), NOW)

    assert ["alerts.command"] == [each.key for each in found]


def test_a_folder_of_another_provider_is_told_with_the_cure(settings, home):
    """Mounted there by mistake, it would give that one's EPR our patients."""
    (home / "spool" / ".provider").write_text('{"provider": "south", "ods_code": "ZX902"}')
    (found,) = problems(settings(), NOW)

    assert "providers.trust.spool_dir" == found.key
    assert "is the spool folder of south (ODS code ZX902), and not of trust" in found.cause
    assert found.stops_start


@pytest.mark.parametrize(("name", "key"), FOLDERS_IN_PLACE_OF_FILES.items())
def test_a_folder_in_the_place_of_a_file_is_told(whole, home, name, key):
    """With the setting, the place and a cure: SQLite only says that it cannot open something."""
    (home / name).unlink(missing_ok=True)
    (home / name).mkdir()
    causes = [each.cause for each in problems(whole, NOW) if each.key == key]

    assert any(f"at {home / name}, and there is a folder" in cause for cause in causes)


@pytest.mark.parametrize(("name", "key"), FILES_IN_PLACE_OF_FOLDERS.items())
def test_a_file_in_the_place_of_a_folder_is_told(whole, home, name, key):
    """It is not *not there*: to make it would fail."""
    with contextlib.suppress(FileNotFoundError):
        (home / name).rmdir()
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    write(home / name, b"")
    causes = [each.cause for each in problems(whole, NOW) if each.key == key]

    assert any(f"{home / name}" in cause and "is a file" in cause for cause in causes)


@pytest.mark.parametrize("name", ["state/gateway.db", "spool/outbox"])
def test_a_link_that_leads_to_nothing_is_told(whole, home, name):
    """Nothing can be made in its place, and a look along it finds nothing."""
    (home / name).symlink_to(home / "gone")
    causes = [each.cause for each in problems(whole, NOW)]

    assert any("is a link that leads to nothing" in cause for cause in causes)


def test_a_store_that_names_a_folder_is_told_once(settings, home):
    """The setting that names it is `store.path`, and nothing else follows from it."""
    cause = the_one(problems(settings(store={"path": home / "spool"}), NOW), "store.path")

    assert f"needs a file at {home / 'spool'}, and there is a folder" == cause


@pytest.mark.parametrize(
    ("file", "cure"),
    [
        ("certificate.pem", "bars-gateway certificate install FILE --why TEXT puts it there"),
        ("key.pem", "bars-gateway csr new --why TEXT makes a key and a request"),
        ("ca.pem", "from pki.nhs.uk"),
    ],
)
def test_what_is_missing_is_made_or_fetched(settings, home, file, cure):
    """Nobody writes a key by hand."""
    (home / file).unlink()
    found = [each for each in problems(settings(), NOW) if each.key.startswith("inbound.")]

    assert cure in found[0].cure


def test_certificate_and_key_belong_together(settings, home):
    """A key of another certificate is found before the first caller does."""
    write(home / "key.pem", pem(KEYS[2048]))
    cause = the_one(problems(settings(), NOW), "inbound.certificate_file")

    assert "do not belong together" in cause


def test_a_damaged_key_of_the_certificate_is_told(settings, home):
    """Or every handshake fails, and nothing comes in."""
    write(home / "key.pem", pem(damaged(KEYS[2048])))
    causes = {each.key: each.cause for each in problems(settings(), NOW)}

    assert "does not sign what its public half accepts" == causes["inbound.private_key_file"]


def test_an_expired_certificate_is_reported(settings):
    """The certificate is judged at the time that is given."""
    later = NOW + timedelta(days=10)

    assert "expired on" in the_one(problems(settings(), later), "inbound.certificate_file")


def test_an_expired_certificate_keeps_nothing_from_being_sent(settings):
    """What is received has stopped already: a restart does not stop what is sent as well."""
    found = problems(settings(), NOW + timedelta(days=10))

    assert [False] == [each.stops_start for each in found if each.key == "inbound.certificate_file"]


def ending(days: float, *, before: float = 1) -> bytes:
    """Return an authority of that many days, *before* of which are over."""
    name, begins = certs.named("Ending"), NOW - timedelta(days=before)
    end, key = NOW + timedelta(days=days), certs.AUTHORITY_KEY
    return certs.pem(certs.made(name, name, authority=True, key=key, start=begins, end=end))


def test_callers_whose_last_root_has_ended_keep_nothing_from_being_sent(settings, home):
    """Nobody gets in, as after the end of our own certificate: and what is sent is sent."""
    write(home / "ca.pem", ending(-1, before=9) + ending(-2, before=9), 0o644)
    found = [each for each in problems(settings(), NOW) if each.key == "inbound.client_ca_file"]

    assert [False] == [each.stops_start for each in found]
    assert "no root that is in force: the last expired on" in found[0].cause


def test_one_root_that_ended_beside_its_successor_is_usual(settings, home):
    """Whoever has a certificate of the other gets in."""
    write(home / "ca.pem", ending(-1, before=9) + ending(300), 0o644)

    assert [] == [each for each in problems(settings(), NOW) if each.key.endswith("client_ca_file")]


@pytest.mark.parametrize(
    ("days", "before", "told"),
    [
        pytest.param(5, 360, True, id="of-a-year"),
        pytest.param(89, 360, True, id="within-the-first-warning"),
        pytest.param(91, 360, False, id="before-it"),
        pytest.param(5, 2, False, id="of-a-week"),
    ],
)
def test_what_ends_before_long_is_a_doubt(settings, home, days, before, *, told):
    """A successor takes days; what lives for a week is no news on each of them."""
    write(home / "ca.pem", ending(-1, before=9) + ending(days, before=before), 0o644)
    found = {each.key: each.cause for each in endings(settings(), NOW)}

    assert told is ("inbound.client_ca_file" in found)


def test_the_end_of_our_certificate_is_a_doubt_with_its_cure(settings):
    """Whoever looks before the weekend sees it."""
    (found,) = [
        each
        for each in endings(settings(), NOW + timedelta(days=8))
        if each.key == "inbound.certificate_file"
    ]

    assert "in 23 hours" in found.cause or "in 24 hours" in found.cause
    assert "bars-gateway csr new --why TEXT" in found.cure


def test_the_end_of_the_chain_has_a_cure_of_its_own(settings, home):
    """Who orders a certificate for the sake of an intermediate waits for days, and has it not."""
    whole = (home / "certificate.pem").read_bytes() + ending(3, before=360)
    write(home / "certificate.pem", whole, 0o644)
    (found,) = [each for each in endings(settings(), NOW) if each.key == "inbound.certificate_file"]

    assert "put it below the certificate" in found.cure


def test_a_certificate_of_another_environment_is_reported(settings, home, authority):
    """A name made for INT has no place in production."""
    leaf = authority.issue_cert(common_name="BaRS-INT-RAE.example.thirdparty.nhs.uk")
    write(home / "certificate.pem", leaf.cert_chain_pems[0].bytes())
    write(home / "key.pem", leaf.private_key_pem.bytes())
    found = problems(settings(environment="prod", outbound={}), NOW)

    assert any("was made for the environment int" in cause for _, cause in said(found))


@pytest.mark.parametrize("file", ["client_ca_file", "certificate_file"])
def test_a_chain_of_another_environment_is_reported(settings, home, file):
    """With the authorities of INT, test systems could send into production."""
    chain = Chain.of()  # of INT
    write(home / "certificate.pem", certs.pem(chain.leaf("gateway.example")))
    write(home / "ca.pem", certs.pem(chain.root))
    found = problems(settings(environment="prod", outbound={}), NOW)
    names = {"client_ca_file": "NHS PTL Root Authority G2"}

    name = names.get(file, "NHS INT Authentication G2")
    assert ("environment", f"is prod, and '{name}' in inbound.{file} is of int") in said(found)


@pytest.mark.parametrize("environment", ["int", "prod"])
@pytest.mark.parametrize("file", ["client_ca_file", "certificate_file"])
def test_what_the_sandbox_signed_is_refused(settings, home, file, environment):
    """Its authorities were made by anybody, and their keys lie about."""
    name = "bars_gateway sandbox receivers"
    chain = Chain.of(name, name)
    content = certs.pem(chain.root) if file == "client_ca_file" else certs.pem(chain.leaf("x"))
    write(home / {"client_ca_file": "ca.pem"}.get(file, "certificate.pem"), content)
    found = problems(settings(environment=environment, outbound={}), NOW)

    cause = f"is {environment}, and '{name}' in inbound.{file} is of local"
    assert ("environment", cause) in said(found)


def test_the_sandbox_is_not_called_in_earnest(settings, home):
    """Whoever has the key of a sandbox could pose as the token service."""
    name = "bars_gateway sandbox national"
    write(home / "national.pem", certs.pem(Chain.of(name, name).root))
    outbound = {"ca_file": home / "national.pem"}
    found = problems(settings(environment="int", outbound=outbound), NOW)

    cause = f"holds '{name}', which is of local, and this is int"
    assert ("outbound.ca_file", cause) in said(found)


def test_authorities_without_any_root_are_refused(settings, home):
    """A chain that ends in no root of the file is refused in the handshake, whoever calls."""
    write(home / "callers.pem", certs.pem(Chain.of("A root", "A middle").middle))
    good = settings()
    inbound = good.inbound.model_copy(update={"client_ca_file": home / "callers.pem"})
    found = problems(good.model_copy(update={"inbound": inbound}), NOW)

    assert "holds no root" in the_one(found, "inbound.client_ca_file")


def test_text_that_is_no_certificate(settings, home):
    """A file of authorities without a single certificate would let nobody in."""
    write(home / "ca.pem", b"nonsense")
    found = problems(settings(), NOW)

    assert ["inbound.client_ca_file", "outbound.ca_file"] == [problem.key for problem in found]


def test_a_sender_needs_no_certificate(settings, home):
    """Where nothing is received, the files of the Receiver are not asked for."""
    (home / "certificate.pem").unlink()

    assert [] == problems(settings(inbound={"enabled": False}), NOW)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to(settings, home):
    """A folder of somebody else's is reported before the first message is lost on it."""
    (home / "spool").chmod(0o500)

    assert "you may not use it" in the_one(problems(settings(), NOW), "providers.trust.spool_dir")


def test_the_longest_mount_point_decides():
    """The filesystem of a path is that of the deepest mount above it, spaces included."""
    mounts = """/dev/sda1 / ext4 rw 0 0
server:/x /mnt/a\\040share nfs4 rw 0 0
tmpfs /mnt/a\\040share/local tmpfs rw 0 0
"""

    assert "ext4" == filesystem_of(Path("/var/lib"), mounts)
    assert "nfs4" == filesystem_of(Path("/mnt/a share/db"), mounts)
    assert "tmpfs" == filesystem_of(Path("/mnt/a share/local/db"), mounts)


def test_a_database_on_a_network_share_is_reported(settings, home):
    """SQLite's locks and its log do not hold on a network filesystem."""
    share = f"server:/x {home} cifs rw 0 0"
    cause = the_one(problems(settings(), NOW, mounts=share), "state_dir")

    assert "network filesystem (cifs)" in cause
