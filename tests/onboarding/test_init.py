"""From nothing to an installation that only waits for others, and never a step back."""

import stat
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from unittest import mock

import certs
import pytest
from certs import Chain
from cryptography.hazmat.primitives.asymmetric import rsa
from typed import WHY, Done, told_by, typed

from bars_gateway.config import describe, load
from bars_gateway.config.doubts import PENDING, PENDING_NAME
from bars_gateway.onboarding import keys
from bars_gateway.onboarding.files import private_pem
from bars_gateway.onboarding.init import InitOptions, asked_at_terminal
from bars_gateway.onboarding.keys import KeyId

FLAGS = (
    *("--environment", "int", "--ods-code", "ZX901", "--name", "Northshire General Hospital"),
    *("--service", "2000000101"),
)


def init(folder: Path, *flags: object) -> Done:
    return typed("init", "--folder", folder, *flags)


@pytest.fixture(scope="module", autouse=True)
def one_key() -> Iterator[None]:
    """Make one key for all tests: how long a prime takes is no fact about init."""
    with mock.patch.object(keys, "generate_private_key", cache(keys.generate_private_key)):
        yield


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Return a folder with a short path: that of a socket below it has 107 bytes at most."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_was_said_is_in_the_settings(tmp_path):
    """The file is read by the gateway as it is."""
    done = init(tmp_path, *FLAGS, "--epr", "socket", "--fqdn", "BaRS-INT-ZX901.northshire.nhs.uk")
    settings = load(tmp_path / "bars-gateway.toml", {})
    provider = settings.providers["northshire-general-hospital"]

    assert (0, "") == (done.code, done.err)
    assert "int" == settings.environment
    assert ("ZX901", "socket") == (provider.ods_code, provider.notices)
    assert ("https://fhir.nhs.uk/Id/dos-service-id|2000000101",) == provider.services
    assert "NorthshireGeneralHospital-INT-1" == provider.key_id
    assert "BaRS-INT-ZX901.northshire.nhs.uk" == settings.onboarding.fqdn


# Runs the command line, and notes on standard error whatever it writes, makes, moves or changes.
WATCHED = """
import os, sys

CHANGES = {"os.mkdir", "os.rename", "os.link", "os.symlink", "os.chmod", "os.chown", "os.remove"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

def note(event, values):
    if event == "os.mkdir" and os.path.isdir(values[0]):
        return
    changes = event in CHANGES or event == "sqlite3.connect"
    if changes or (event == "open" and isinstance(values[2], int) and values[2] & WRITES):
        for value in values[:2]:
            if isinstance(value, (str, bytes, os.PathLike)) and value not in ("r", "w", "wb", "x"):
                sys.stderr.write("changed " + os.path.abspath(os.fsdecode(value)) + chr(10))

sys.addaudithook(note)
from bars_gateway.__main__ import main
main()
"""


@pytest.mark.parametrize("environment", ["int", "prod"])
def test_nothing_is_made_outside_of_the_folder(tmp_path, environment):
    """Neither at home, nor where it is typed, nor where a package would put it."""
    folder, home, here = (tmp_path / name for name in ("gateway", "home", "here"))
    home.mkdir()
    here.mkdir()
    flags = ("--environment", environment, *FLAGS[2:])
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, "init", "--folder", str(folder), *flags],
        cwd=here,
        env={"PATH": "/usr/bin:/bin", "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    changed = [line[8:] for line in done.stderr.splitlines() if line.startswith("changed ")]

    assert 0 == done.returncode
    assert str(folder / "bars-gateway.toml") in {name.removesuffix(".new") for name in changed}
    assert [] == [name for name in changed if not Path(name).is_relative_to(folder)]
    assert ["gateway", "here", "home"] == sorted(path.name for path in tmp_path.iterdir())
    assert [] == [*home.iterdir(), *here.iterdir()]


def test_run_again_it_goes_on_with_the_settings_that_the_environment_names(tmp_path):
    """As every other command does; whoever began in a folder wants to know how far that is."""
    folder = tmp_path / "gateway"
    init(folder, *FLAGS)
    named = {"BARS_GATEWAY_CONFIG": str(folder / "bars-gateway.toml")}
    done = typed("init", environ=named)

    assert (0, "") == (done.code, done.err)
    assert f"From here to live (int, {folder / 'bars-gateway.toml'})" in done.out


def test_every_setting_is_explained_in_the_file(tmp_path):
    """Whoever opens it needs no other document."""
    init(tmp_path, *FLAGS)
    text = (tmp_path / "bars-gateway.toml").read_text()
    flat = " ".join(text.replace("\n#", " ").split())
    shown = [
        d for d in describe(load(tmp_path / "bars-gateway.toml", {})) if "applications" not in d.key
    ]

    assert [] == [d.key for d in shown if d.description.splitlines()[0] not in flat]


def test_defaults_in_the_file_are_those_of_the_environment(tmp_path):
    """In PROD the quota is another one than in INT."""
    init(tmp_path, *FLAGS, "--environment", "prod")

    assert "#requests_per_minute = 1000" in (tmp_path / "bars-gateway.toml").read_text()


def test_folders_are_made_with_safe_modes(tmp_path):
    """Keys and database for the gateway alone; the spool folder for the EPR's group too."""
    init(tmp_path, *FLAGS)
    spool = tmp_path / "spool" / "northshire-general-hospital"

    assert [0o700, 0o700, 0o2750] == [
        mode(p) for p in (tmp_path / "keys", tmp_path / "state", spool)
    ]
    assert 0o600 == mode(tmp_path / "keys" / "NorthshireGeneralHospital-INT-1.pem")


def test_what_nobody_knows_yet_cannot_work_by_accident(tmp_path):
    """The API key and the caller's name come from the BaRS team, weeks later."""
    init(tmp_path, *FLAGS)
    settings = load(tmp_path / "bars-gateway.toml", {})

    assert PENDING == settings.providers["northshire-general-hospital"].api_key
    assert (PENDING_NAME,) == settings.inbound.allowed_client_names


def test_running_it_again_continues(tmp_path):
    """What is missing is made again; what is there stays as it was."""
    init(tmp_path, *FLAGS)
    key = tmp_path / "keys" / "NorthshireGeneralHospital-INT-1.pem"
    before = key.read_bytes(), (tmp_path / "bars-gateway.toml").read_bytes()
    (tmp_path / "run").rmdir()
    done = init(tmp_path)

    assert 0 == done.code
    assert f"{tmp_path}/run: made\n" in done.out
    assert before == (key.read_bytes(), (tmp_path / "bars-gateway.toml").read_bytes())


def test_a_key_that_is_missing_is_made_later(tmp_path):
    """An attempt that broke off is continued."""
    init(tmp_path, *FLAGS)
    key = tmp_path / "keys" / "NorthshireGeneralHospital-INT-1.pem"
    key.unlink()
    init(tmp_path)

    assert key.exists()


def test_what_lies_beside_a_key_is_made_later(tmp_path):
    """An attempt that was killed right after the key: its JWKS has to be published."""
    init(tmp_path, *FLAGS)
    jwks = tmp_path / "keys" / "NorthshireGeneralHospital-INT.jwks.json"
    before = jwks.read_bytes()
    jwks.unlink()
    (public := jwks.with_name("NorthshireGeneralHospital-INT-1.public.pem")).unlink()
    done = init(tmp_path)

    assert f"{public}: made\n{jwks}: made\n" in done.out
    assert before == jwks.read_bytes()


def one_more(folder: Path, key_id: str, file: str) -> None:
    """Write a second provider into the settings, as its page says."""
    with (folder / "bars-gateway.toml").open("a") as settings:
        settings.write(
            f"""
[providers.south]
ods_code = "ZX902"
name = "Southshire Ambulance Service"
services = ["https://fhir.nhs.uk/Id/dos-service-id|2000000202"]
key_id = "{key_id}"
api_key = "the-api-key-of-south"
private_key_file = "{folder}/keys/{file}"
spool_dir = "{folder}/spool/south"
"""
        )


def test_a_provider_more_gets_its_key_and_its_folder(tmp_path):
    """Where its key id keeps to the convention, and the file is called after it."""
    init(tmp_path, *FLAGS)
    one_more(tmp_path, "South-INT-1", "South-INT-1.pem")
    done = init(tmp_path)

    assert f"{tmp_path}/keys/South-INT-1.pem: made\n" in done.out
    assert f"{tmp_path}/spool/south: made\n" in done.out
    assert "done   Make the keys that sign" in shown(tmp_path, "done")


@pytest.mark.parametrize(
    ("key_id", "file"),
    [
        ("south-1", "south-1.pem"),
        ("South-INT-1", "of-south.pem"),
        ("South-INT-1", "South-INT-1.key"),
    ],
)
def test_a_key_that_cannot_be_made_by_its_name_is_named_with_one_that_can(tmp_path, key_id, file):
    """Nobody has to find out which names can be made: the checklist writes them out."""
    init(tmp_path, *FLAGS)
    one_more(tmp_path, key_id, file)
    done = init(tmp_path)

    assert f"{tmp_path}/keys/{file}: made" not in done.out
    assert (
        "  2  to do  Make the keys that sign\n"
        "           yourselves (on this machine): for south, write"
        ' key_id = "South-INT-1" and private_key_file ='
        f' "{tmp_path}/keys/South-INT-1.pem"; then bars-gateway init'
        " makes it\n"
    ) in done.out


def test_the_keys_of_the_page_on_several_providers_are_made():
    """Its example is copied: each key in it is one that init makes."""
    page = Path(__file__).parents[2].joinpath("docs/several-providers.md").read_text("utf-8")
    example = tomllib.loads(page.partition("```toml\n")[2].partition("```")[0])["providers"]

    assert ["north", "south"] == list(example)
    assert all(
        KeyId.fits(each["key_id"])
        and f"/etc/bars-gateway/keys/{each['key_id']}.pem" == each["private_key_file"]
        for each in example.values()
    )


def test_the_key_of_which_provider_is_to_be_made_is_said(tmp_path):
    """Where there are several, the command needs the name."""
    init(tmp_path, *FLAGS)
    one_more(tmp_path, "South-INT-1", "South-INT-1.pem")
    init(tmp_path)
    (tmp_path / "keys/South-INT-1.pem").write_bytes(
        private_pem(rsa.generate_private_key(65537, 2048))
    )

    assert "bars-gateway keys new --why TEXT --provider south" in init(tmp_path).out


def test_what_is_typed_about_a_key_of_several_providers_names_whose_it_is(tmp_path):
    """As it is printed, a command works: those about keys want the name."""
    init(tmp_path, *FLAGS, "--api-key", "told")
    one_more(tmp_path, "South-INT-1", "South-INT-1.pem")
    checklist = init(tmp_path).out
    config = tmp_path / "bars-gateway.toml"
    made = typed("keys", "new", *WHY, "-c", config, "--provider", "south")
    unnamed = typed("keys", "new", *WHY, "-c", config)

    assert "bars-gateway keys probe --provider south says whether it is" in checklist
    assert "bars-gateway keys probe --key-id South-INT-2 --provider south\n" in made.out
    assert "error: there are several providers, and none was named\n" in unnamed.err


def test_settings_are_never_written_over(tmp_path):
    """A flag that says otherwise is refused, with both named."""
    init(tmp_path, *FLAGS)
    done = init(tmp_path, "--ods-code", "RAE")

    assert (1, "") == (done.code, done.out)
    assert (
        "error: --ods-code says RAE, and the settings ZX901\n   try: Settings are never" in done.err
    )


def test_where_to_listen_is_not_passed_over(tmp_path):
    """Whoever types it again with another port is told that the settings have theirs."""
    init(tmp_path, *FLAGS)
    again = init(tmp_path, "--listen", "0.0.0.0:8443")
    other = init(tmp_path, "--listen", "0.0.0.0:9443")

    assert (0, "") == (again.code, again.err)
    assert "error: --listen says 0.0.0.0:9443, and the settings 0.0.0.0:8443\n" in other.err


def test_without_a_terminal_it_names_what_is_missing(tmp_path):
    """A script is told which flags to add, and nothing is made."""
    done = init(tmp_path / "new", "--environment", "int")

    assert (1, "") == (done.code, done.out)
    assert done.err.startswith("error: not said: --ods-code, --name, --service\n   try: ")
    assert not (tmp_path / "new").exists()


def test_at_a_terminal_it_asks(tmp_path):
    """One question for each thing that no flag said."""
    answers = ["int", "ZX901", "Northshire", "supplier", "Ex Ltd", "1, 2", "folder"]
    with mock.patch("bars_gateway.onboarding.init.typer.prompt", side_effect=answers):
        asked = asked_at_terminal(InitOptions())

    assert ("int", "ZX901", "Northshire") == (asked.environment, asked.ods_code, asked.organisation)
    assert ("supplier", "Ex Ltd", ("1", "2")) == (asked.hosting, asked.supplier, asked.services)
    assert [] == asked.missing


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--ods-code", "zx 901"), "ods_code"),
        (("--hosting", "somebody"), "onboarding.hosting"),
        (("--epr", "pigeon"), "notices"),
        (("--listen", "8443"), "inbound.listen"),
        (("--fqdn", "not a name"), "onboarding.fqdn"),
    ],
)
def test_what_cannot_be_a_setting_is_refused(tmp_path, flags, expected):
    """With the setting, the cause and the cure; and no half of an installation is left."""
    done = init(tmp_path / "new", *FLAGS, *flags)

    assert 2 == done.code
    assert expected in done.err.splitlines()[0]
    assert not (tmp_path / "new").exists()


def test_a_sandbox_that_does_not_run_is_said(tmp_path):
    """Its addresses are in a file that only a running one has."""
    done = init(tmp_path / "new", *FLAGS, "--environment", "local", "--sandbox", tmp_path)

    assert f"error: no sandbox runs in {tmp_path}\n" in done.err


def test_the_checklist_names_who_is_waited_for(tmp_path):
    """What is done, what is ours, and which desk has to do what."""
    lines = init(tmp_path, *FLAGS).out.partition("From here to live")[2]

    assert "  1  done   Write the settings\n  2  done   Make the keys that sign\n" in lines
    assert "  3  waits  Have the public key registered\n" in lines
    assert "the BaRS team <england.bookingandreferralstandard@nhs.net>" in lines
    assert "set onboarding.fqdn; its form is BaRS-INT-ZX901.<provider>.nhs.uk" in lines
    assert "let 35.197.254.55, 35.246.55.143 in to 0.0.0.0:8443" in lines


def test_the_checklist_sees_what_was_done(tmp_path):
    """A request was made, and the API key was told."""
    flags = ("--fqdn", "BaRS-INT-ZX901.northshire.nhs.uk", "--api-key", "told")
    init(tmp_path, *FLAGS, *flags)
    typed("csr", "new", *WHY, "-c", tmp_path / "bars-gateway.toml", "--bits", 2048)
    out = init(tmp_path).out

    assert "3  look   Have the public key registered" in out
    assert "bars-gateway keys probe says whether it is" in out
    assert "5  done   Make the request for its certificate" in out
    assert "6  waits  Have the certificate signed" in out


COPY = "Copy the key ring to another place"


def test_the_checklist_sees_whether_the_key_ring_was_copied(tmp_path):
    """Whoever loses the only key loses every message that is kept, and every backup."""
    init(tmp_path, *FLAGS)
    before = shown(tmp_path, "to do")
    elsewhere = tmp_path / "elsewhere.keys"
    typed("encryption", "copy", elsewhere, *WHY, "-c", tmp_path / "bars-gateway.toml")
    after = shown(tmp_path, "done")

    assert any(COPY in each for each in before)
    assert any(COPY in each for each in after)


def test_a_key_ring_that_cannot_be_read_is_left_to_do(tmp_path):
    """Nobody knows of which keys there is a copy."""
    init(tmp_path, *FLAGS)
    (tmp_path / "keys" / "encryption.keys").write_text("not a key\n")

    assert any(COPY in each for each in shown(tmp_path, "to do"))


def test_without_encryption_there_is_no_key_ring_to_copy(tmp_path):
    """Nor a step of the checklist."""
    init(tmp_path, *FLAGS)
    file = tmp_path / "bars-gateway.toml"
    lines = file.read_text().splitlines()
    file.write_text("\n".join(each for each in lines if "encryption_keys_file" not in each))
    out = init(tmp_path).out

    assert "See everything green" in out
    assert COPY not in out


def test_a_file_in_the_way(tmp_path):
    """A file in its place is no traceback."""
    (tmp_path / "file").write_text("")
    done = init(tmp_path / "file" / "new", *FLAGS)

    assert 1 == done.code
    assert "cannot be made: File exists" in done.err


def test_the_file_is_toml_whatever_the_names_hold(tmp_path):
    """Quotes and backslashes in a name are the name's."""
    name = 'St "Mary\'s" \\ Hospital'
    init(tmp_path, *FLAGS[:4], "--name", name, "--service", "1")
    found = tomllib.loads((tmp_path / "bars-gateway.toml").read_text())

    assert [name] == [provider["name"] for provider in found["providers"].values()]


@pytest.mark.parametrize(("environment", "owner"), [("int", "ExLtd"), ("prod", "Northshire")])
def test_in_prod_each_provider_has_a_key_of_its_own(tmp_path, environment, owner):
    """Before that, one key of the supplier's serves all of them."""
    flags = ("--ods-code", "ZX901", "--name", "Northshire", "--service", "2000000101")
    hosted = ("--hosting", "supplier", "--supplier", "Ex Ltd")
    done = typed(*("init", "--folder", tmp_path, "--environment", environment, *flags, *hosted))
    (provider,) = load(tmp_path / "bars-gateway.toml", {}).providers.values()

    assert (0, f"{owner}-{environment.upper()}-1") == (done.code, provider.key_id)


def shown(folder: Path, *stages: str) -> set[str]:
    """Return what the checklist says of the steps that settings and files show."""
    lines = init(folder).out.splitlines()
    return {line[5:].strip() for line in lines if line[5:10].strip() in stages}


def test_a_key_that_the_environment_does_not_take_is_not_made(tmp_path):
    """Nothing is written, or `check` would refuse what was called done."""
    done = init(tmp_path, *FLAGS, "--key-bits", 2048)

    assert (1, "") == (done.code, done.out)
    assert (
        "error: int takes keys of 4096 bits\n"
        "   try: Leave out --key-bits, or write --key-bits 4096.\n" == done.err
    )
    assert [] == list(tmp_path.iterdir())


def test_a_missing_key_is_not_made_too_short_either(tmp_path):
    """Where the settings are there already."""
    init(tmp_path, *FLAGS)
    key = tmp_path / "keys" / "NorthshireGeneralHospital-INT-1.pem"
    key.unlink()
    done = init(tmp_path, "--key-bits", 3072)

    assert 1 == done.code
    assert "int takes keys of 4096 bits" in done.err
    assert not key.exists()


def test_a_key_that_is_too_short_is_still_to_do(tmp_path):
    """It is there, and the token service takes none of its kind."""
    init(tmp_path, *FLAGS)
    key = tmp_path / "keys" / "NorthshireGeneralHospital-INT-1.pem"
    key.write_bytes(private_pem(rsa.generate_private_key(65537, 2048)))

    assert "to do  Make the keys that sign" in shown(tmp_path, "to do")


@pytest.mark.parametrize("value", ["to-be-told", "the-api-key-of-your-application"])
def test_a_placeholder_is_no_key_that_was_told(tmp_path, value):
    """What was shipped, or copied from the example file, counts as not done."""
    init(tmp_path, *FLAGS, "--api-key", value)

    assert "waits  Have the public key registered" in shown(tmp_path, "waits")


@pytest.mark.parametrize("value", ["to-be-told.invalid", "bars-proxy.example.nhs.uk"])
def test_a_placeholder_is_nobody_who_calls(tmp_path, value):
    """No certificate has such a name."""
    init(tmp_path, *FLAGS)
    config = tmp_path / "bars-gateway.toml"
    config.write_text(config.read_text().replace("to-be-told.invalid", value))

    assert "waits  Learn who will call" in shown(tmp_path, "waits")


def test_the_examples_name_is_not_agreed(tmp_path):
    """A line of the settings file that only had its comment sign taken away."""
    init(tmp_path, *FLAGS, "--fqdn", "BaRS-INT-RAE.example-trust.nhs.uk")

    assert "to do  Agree on the name of the Receiver" in shown(tmp_path, "to do")


def test_a_wrong_file_is_as_much_left_to_do_as_none(tmp_path):
    """The sandbox's authorities in INT are not those of the callers, and no text is any."""
    init(tmp_path, *FLAGS)
    tls, name = tmp_path / "tls", "bars_gateway sandbox receivers"
    (tls / "client-ca.pem").write_bytes(certs.pem(Chain.of(name, name).root))
    (tls / "certificate.pem").write_text("none")
    (tls / "key.pem").write_text("none")

    assert {
        "to do  Fetch the authorities of the callers",
        "waits  Have the certificate signed",
    } <= shown(tmp_path, "to do", "waits")


def test_the_audit_trail_hears_who_made_the_first_keys(tmp_path):
    """The key that signs, and the ring that encrypts; with the gateway's first start."""
    init(tmp_path, *FLAGS)
    told = told_by(tmp_path / "state")

    assert {"key.made", "encryption.key_added"} == {each["kind"] for each in told}
    assert {("operator", "bars-gateway init")} == {(each["role"], each["why"]) for each in told}
    assert all(each["key_id"] and each["who"] for each in told)
