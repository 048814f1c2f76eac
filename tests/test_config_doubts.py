"""What is not right and stops no start is said by `check`, in the log and by the doctor."""

import os
import re
import tomllib
from pathlib import Path

import certs
import pytest
from certs import Chain

from bars_gateway.config import Settings, load
from bars_gateway.config.doubts import doubts

EXAMPLE = Path(__file__).parent.parent / "config" / "bars-gateway.toml"
CHAIN = Chain.of("A root", "A middle")
# What the example file shows that may be right as it stands, and why.
RIGHT_AS_IT_STANDS = {
    "environment": "one of four words",
    "ods_code": "that of a trust that exists; its name in the example does not",
    "key_id": "a name, and what counts is what is registered",
    "private_key_file": "a place",
    "spool_dir": "a place",
}


def example(environment: str = "int", inbound: dict | None = None, **provider) -> Settings:
    """Return the example's settings, with changes to its provider."""
    values = tomllib.loads(EXAMPLE.read_text("utf-8"))
    values["providers"]["example-trust"] |= provider
    values["inbound"] |= inbound or {}
    return Settings(**values | {"environment": environment})


def keys(settings: Settings) -> set[str]:
    return {each.key.rpartition(".")[2] for each in doubts(settings)}


def test_nothing_of_the_example_file_counts_as_right() -> None:
    """Every value that it shows is one's own to write, or may be right as it stands."""
    values = tomllib.loads(EXAMPLE.read_text("utf-8"))
    inbound, provider = values.pop("inbound"), values.pop("providers")["example-trust"]
    shown = {k for table in (values, inbound, provider) for k, v in table.items() if v}
    shown -= {k for k, v in (values | provider).items() if isinstance(v, dict)}

    found = keys(example()) - {"encryption_keys_file"}  # which it does not set
    assert found == shown - RIGHT_AS_IT_STANDS.keys()


OWN = {"api_key": "told", "name": "Northshire", "services": ["system|1"]}


@pytest.mark.parametrize("setting", OWN)
def test_what_was_written_is_doubted_no_more(setting: str) -> None:
    """Each is looked at alone."""
    assert setting not in keys(example(**{setting: OWN[setting]}))


def test_a_key_is_no_matter_where_no_token_is_needed() -> None:
    """The public sandbox of NHS England gives none."""
    assert "api_key" not in keys(example("sandbox", key_id="key"))


def test_a_placeholder_among_others_is_told() -> None:
    """It stays behind when the right name is added, and says that somebody was not done."""
    names = ["proxy.example", "To-be-told.invalid"]

    assert "allowed_client_names" in keys(example(inbound={"allowed_client_names": names}))


@pytest.mark.parametrize("table", ["onboarding", "inbound"])
def test_a_line_of_the_example_that_was_only_made_a_setting_is_told(table: str) -> None:
    """It leads nowhere, and nobody has it."""
    text = EXAMPLE.read_text("utf-8")
    shown = text.partition(f"\n[{table}]\n")[2].partition("\n[")[0]
    lines = re.findall(r"^#(\w+ = .*(?:xample|00000000-|192\.0\.2).*)$", shown, re.MULTILINE)
    values = tomllib.loads("\n".join(lines))

    assert values
    assert values.keys() <= keys(changed(table, values))


def changed(table: str, values: dict) -> Settings:
    """Return the example's settings with these in one table, for prod where only that has them."""
    found = tomllib.loads(EXAMPLE.read_text("utf-8"))
    found[table] = found.get(table, {}) | values
    return Settings(**found | {"environment": "int"})


@pytest.mark.parametrize(
    ("table", "line", "told"),
    [
        ("retention", "payload_days = true", ["is true, which counts as 1"]),
        ("retention", "payload_days = 1", []),
        ("store", "encrypts = true", []),
    ],
)
def test_a_flag_where_a_number_belongs_is_told(
    tmp_path: Path, table: str, line: str, told: list[str]
) -> None:
    """Whoever writes that payloads are kept has them for one day; and no start fails of it."""
    file = tmp_path / "bars-gateway.toml"
    header = f"[{table}]\n"
    file.write_text(EXAMPLE.read_text("utf-8").replace(header, f"{header}{line}\n"))
    causes = [each.cause for each in doubts(load(file, {})) if "counts as" in each.cause]

    assert told == causes


def test_a_placeholder_in_capitals_is_one() -> None:
    """However somebody has typed it over."""
    assert "api_key" in keys(example(api_key="TO-BE-TOLD"))


def test_an_authority_without_its_root_is_told(tmp_path: Path) -> None:
    """Whoever it certified is not let in; the others are, so that a start goes on."""
    file = tmp_path / "callers.pem"
    file.write_bytes(certs.pem(Chain.of("Another root", "Another middle").root, CHAIN.middle))
    settings = example(inbound={"client_ca_file": file})
    found = [each.cause for each in doubts(settings) if "client_ca" in each.key]

    assert ["has no root for CN=A middle: nobody whom it certified is let in"] == found


@pytest.mark.parametrize(("alternative", "expected"), [([], 1), (["gateway.example"], 0)])
def test_a_certificate_without_alternative_names_is_told(
    tmp_path: Path, alternative: list[str], expected: int
) -> None:
    """Most clients look for the name nowhere else, and refuse it."""
    file = tmp_path / "certificate.pem"
    file.write_bytes(certs.pem(CHAIN.leaf("gateway.example", alternative=alternative)))
    settings = example(inbound={"certificate_file": file})

    assert expected == len([d for d in doubts(settings) if d.key == "inbound.certificate_file"])


def written(folder: Path, mode: int = 0o640) -> Path:
    """Write the example file into *folder*, with a key beside it, and return it."""
    file, key = folder / "bars-gateway.toml", folder / "key.pem"
    text = EXAMPLE.read_text("utf-8")
    file.write_text(text.replace("/etc/bars-gateway/keys/int-1.pem", str(key)), "utf-8")
    file.chmod(mode)
    key.write_bytes(certs.key_pem())
    key.chmod(0o600)
    return file


def causes(file: Path, key: str) -> list[str]:
    return [each.cause for each in doubts(load(file, {})) if each.key == key]


KEY = "providers.example-trust.private_key_file"


@pytest.mark.parametrize(("mode", "expected"), [(0o640, 0), (0o644, 1), (0o604, 1)])
def test_settings_that_everybody_reads_are_told(tmp_path: Path, mode: int, expected: int) -> None:
    """The API key is in them, and half of what it takes to pose as this organisation."""
    assert expected == len(causes(written(tmp_path, mode), ""))


@pytest.mark.parametrize(("name", "key"), [("key.pem", KEY), ("bars-gateway.toml", "")])
@pytest.mark.parametrize("linked", [False, True])
def test_what_another_user_owns_is_told(
    tmp_path: Path, name: str, key: str, *, linked: bool
) -> None:
    """Its owner can replace it, also where a link leads to it; mode bits do not show that."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    file = written(tmp_path)
    other = tmp_path / name
    if linked:
        other = (tmp_path / name).rename(tmp_path / "elsewhere")
        (tmp_path / name).symlink_to(other)
    before = causes(file, key)
    os.chown(other, 12345, -1)
    (found,) = causes(file, key)

    assert [] == before
    assert "belongs to user 12345, who can replace it" in found
    assert linked is (" (a link to " in found)


@pytest.mark.parametrize(
    ("kind", "options", "told"),
    [
        ("cifs", "rw,nobrl,soft", "nobrl"),
        ("nfs", "rw,nolock,local_lock=all", "local_lock=all, nolock"),
        ("nfs4", "rw,local_lock=none", None),
        ("cifs", "rw,soft", None),
    ],
)
def test_a_share_whose_server_hears_of_no_locks_is_doubted(
    tmp_path: Path, kind: str, options: str, told: str | None
) -> None:
    """No second gateway, on another machine, would be refused."""
    mounts = f"/dev/sda1 / ext4 rw 0 0\nserver:/x {tmp_path} {kind} {options} 0 0\n"
    found = doubts(example(spool_dir=str(tmp_path / "spool")), mounts)
    said = [each.cause for each in found if each.key.endswith("spool_dir")]

    assert [bool(told)] * len(said) == [f"is mounted with {told}: " in each for each in said]
    assert bool(told) == bool(said)
