"""Keys are made by the rules, published without their secret, and rotated with overlap."""

import asyncio
import json
import os
import stat
import time
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from typed import WHY, Done, settings_text, told_by, typed

from bars_gateway.config import Environment
from bars_gateway.errors import OnboardingError
from bars_gateway.onboarding import keys
from bars_gateway.onboarding.keys import KeyId
from bars_gateway.sandbox.server import Sandbox, SandboxSettings
from bars_gateway.sandbox.token_service import public_key

FIRST = KeyId.parse("Northshire-LOCAL-1")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return settings whose key is still to be made."""
    file = tmp_path / "bars-gateway.toml"
    (tmp_path / "state").mkdir()
    file.write_text(settings_text(tmp_path), "utf-8")
    return file


def new(config: Path, *more: object) -> Done:
    return typed("keys", "new", *WHY, "-c", config, "--bits", 2048, *more)


def published(config: Path, family: str = "Northshire-LOCAL") -> list[str]:
    """Return the ids of the keys that whoever hosts the JWKS publishes."""
    jwks = json.loads((config.parent / "keys" / f"{family}.jwks.json").read_bytes())
    return [key["kid"] for key in jwks["keys"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MySupplier-INT-1", ("MySupplier", "int", 1)),
        ("my-supplier-prod-12", ("my-supplier", "prod", 12)),
    ],
)
def test_a_key_id_is_read_by_the_convention(text, expected):
    """Owner, environment and rotation are told apart."""
    found = KeyId.parse(text)

    assert expected == (found.owner, found.environment.value, found.rotation)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "INT-1",
        "a-INT-0",
        "a-INT-01",
        "a+b-INT-1",
        "a-TEST-1",
        "a-INT-1=",
        "é-INT-1",
        "a-INT-1٢",
        "a-\u017fANDBOX-1",
        "a" * 41 + "-INT-1",
    ],
)
def test_a_key_id_outside_the_convention_is_refused(text):
    """What would be escaped in a URL or a file name is no key id."""
    with pytest.raises(OnboardingError, match="not a key id"):
        KeyId.parse(text)


def test_a_name_makes_a_key_id():
    """Blanks and signs are left out, and each word begins with a capital."""
    assert "StMarysNHSTrust-PROD-1" == str(
        KeyId.first("St Mary's NHS Trust".replace("'", ""), Environment.PROD)
    )


def test_a_name_without_letters_makes_none():
    """It is said how to name the owner otherwise."""
    with pytest.raises(OnboardingError, match="cannot be made"):
        KeyId.first("???", Environment.INT)


def test_a_key_is_made_for_its_owner_alone(tmp_path):
    """The private half has mode 0600, whatever the umask is."""
    before = os.umask(0)
    try:
        files = keys.new_key(tmp_path / "keys", FIRST, 2048)
    finally:
        os.umask(before)

    assert 0o600 == stat.S_IMODE(files.private.stat().st_mode)
    assert 0o700 == stat.S_IMODE((tmp_path / "keys").stat().st_mode)


def test_a_key_has_4096_bits_unless_told_otherwise(tmp_path):
    """That is what the national side asks for."""
    files = keys.new_key(tmp_path, FIRST)

    assert 4096 == load_pem_private_key(files.private.read_bytes(), None).key_size


def test_what_is_published_holds_public_members_only(tmp_path):
    """A JWKS with a private member would give the key away to the whole world."""
    files = keys.new_key(tmp_path, FIRST, 2048)
    (published,) = json.loads(files.jwks.read_bytes())["keys"]

    assert {"kty", "n", "e", "alg", "use", "kid"} == published.keys()
    assert ("RS512", "sig", "Northshire-LOCAL-1") == tuple(
        published[n] for n in ("alg", "use", "kid")
    )


def test_the_halves_belong_together(tmp_path):
    """JWKS, public PEM and private PEM are of one key."""
    files = keys.new_key(tmp_path, FIRST, 2048)
    (published,) = json.loads(files.jwks.read_bytes())["keys"]
    private = load_pem_private_key(files.private.read_bytes(), None)
    expected = private.public_key().public_numbers()

    assert expected == public_key(published).public_numbers()
    assert expected == load_pem_public_key(files.public.read_bytes()).public_numbers()


def test_no_private_byte_is_in_a_public_file(tmp_path):
    """The files to attach and to host could be pasted anywhere."""
    files = keys.new_key(tmp_path, FIRST, 2048)

    assert b"PRIVATE" not in files.public.read_bytes() + files.jwks.read_bytes()


def test_a_key_is_never_written_over(tmp_path):
    """A second key of the same id is refused, and the first stays as it was."""
    files = keys.new_key(tmp_path, FIRST, 2048)
    before = files.private.read_bytes()

    with pytest.raises(OnboardingError, match="a key id is used once"):
        keys.new_key(tmp_path, FIRST, 2048)
    assert before == files.private.read_bytes()


def test_a_retired_id_is_not_used_again(tmp_path):
    """The national side may still hold the old key under it."""
    keys.new_key(tmp_path, FIRST, 2048)
    keys.retire(tmp_path, FIRST)

    with pytest.raises(OnboardingError, match="used once"):
        keys.new_key(tmp_path, FIRST, 2048)


def test_the_first_key_is_the_one_that_the_settings_name(config):
    """Settings that were written first get the key that they speak of."""
    done = new(config)

    assert (0, "") == (done.code, done.err)
    assert (config.parent / "keys" / "Northshire-LOCAL-1.pem").exists()


def test_the_next_key_is_published_beside_the_old_one(config):
    """While both are in the JWKS, either may sign: that is the overlap."""
    new(config)
    done = new(config)
    jwks = json.loads((config.parent / "keys" / "Northshire-LOCAL.jwks.json").read_bytes())

    assert 0 == done.code
    assert "After 2 hours: bars-gateway keys probe --key-id Northshire-LOCAL-2" in done.out
    assert ["Northshire-LOCAL-1", "Northshire-LOCAL-2"] == [key["kid"] for key in jwks["keys"]]


def test_keys_are_listed_with_how_they_stand(config):
    """In use, to be waited for, or retired."""
    new(config)
    new(config)
    new(config, "--key-id", "Northshire-LOCAL-3")
    typed("keys", "retire", *WHY, "Northshire-LOCAL-3", "-c", config, "--at-once")
    lines = typed("keys", "list", "-c", config).out.splitlines()

    assert ["Northshire-LOCAL-1", "Northshire-LOCAL-2", "Northshire-LOCAL-3"] == [
        line.split()[0] for line in lines
    ]
    assert lines[0].endswith("in use")
    assert lines[1].endswith("after publishing it")
    assert lines[2].endswith("retired")


def test_a_key_is_usable_two_hours_after_it_was_made(config):
    """The token service may have fetched the JWKS the moment before, and keeps it an hour."""
    new(config)
    new(config)
    past = time.time() - keys.NOT_BEFORE.total_seconds() - 1
    os.utime(config.parent / "keys" / "Northshire-LOCAL-2.public.pem", (past, past))

    assert "not in use; try it with keys probe" in typed("keys", "list", "-c", config).out


def test_a_key_of_over_a_year_is_called_old(config):
    """Whoever looks at the list is told to make its successor."""
    new(config)
    past = time.time() - timedelta(days=366).total_seconds()
    os.utime(config.parent / "keys" / "Northshire-LOCAL-1.public.pem", (past, past))

    assert "in use; over a year old" in typed("keys", "list", "-c", config).out


def test_the_key_in_use_cannot_be_retired(config):
    """Without it no message would leave."""
    new(config)
    done = typed("keys", "retire", *WHY, "Northshire-LOCAL-1", "-c", config, "--at-once")

    assert (1, "") == (done.code, done.out)
    assert done.err.startswith("error: Northshire-LOCAL-1 is in use by trust\n   try: ")


def test_the_key_in_use_cannot_be_retired_under_another_spelling(config):
    """An id is a name: typed in other letters, it is that of no key."""
    new(config)
    done = typed("keys", "retire", *WHY, "Northshire-local-1", "-c", config, "--at-once")

    assert (1, "") == (done.code, done.out)
    assert "there is no key Northshire-local-1" in done.err
    assert (config.parent / "keys" / "Northshire-LOCAL-1.pem").exists()


def test_an_id_in_small_letters_stays_as_it_is_registered(config):
    """The key is made in the file that the settings name, and its successor follows it."""
    config.write_text(config.read_text().replace("Northshire-LOCAL-1", "northshire-local-1"))
    new(config)
    done = new(config)

    assert 0 == done.code
    assert (config.parent / "keys" / "northshire-local-1.pem").exists()
    assert ["northshire-local-1", "northshire-local-2"] == published(config, "northshire-local")


def test_the_jwks_keeps_a_key_whose_public_half_is_missing(config):
    """It was brought from elsewhere, or its making was killed: without it nothing could be sent."""
    new(config)
    (config.parent / "keys" / "Northshire-LOCAL-1.public.pem").unlink()
    new(config)

    assert ["Northshire-LOCAL-1", "Northshire-LOCAL-2"] == published(config)


def test_a_key_in_use_that_the_jwks_does_not_have_is_named(config):
    """Its file is called otherwise: whoever publishes the new JWKS alone stops what is sent."""
    new(config)
    folder = config.parent / "keys"
    (folder / "Northshire-LOCAL-1.pem").rename(folder / "signing.pem")
    (folder / "Northshire-LOCAL-1.public.pem").unlink()
    config.write_text(config.read_text().replace("Northshire-LOCAL-1.pem", "signing.pem"))
    done = new(config)

    assert ["Northshire-LOCAL-2"] == published(config)
    assert done.err.startswith("warning: Northshire-LOCAL-1 is in use, and not in it")


def test_of_a_key_that_cannot_be_read_nothing_is_published(config):
    """It has a passphrase, say: nothing can be signed with it, and the new one is made."""
    new(config)
    (config.parent / "keys" / "Northshire-LOCAL-2.pem").write_text("of another kind")
    done = new(config, "--key-id", "Northshire-LOCAL-3")

    assert (0, "") == (done.code, done.err)
    assert ["Northshire-LOCAL-1", "Northshire-LOCAL-3"] == published(config)


@pytest.mark.parametrize("moved", [["pem"], ["pem", "public.pem"]])
def test_a_retirement_that_was_killed_is_completed_by_the_same_command(config, moved):
    """The private half was put away, perhaps the public one, and the JWKS still had the key."""
    new(config)
    new(config)
    folder = config.parent / "keys"
    (folder / "retired").mkdir()
    for ending in moved:
        name = f"Northshire-LOCAL-2.{ending}"
        (folder / name).rename(folder / "retired" / name)
    done = typed("keys", "retire", *WHY, "Northshire-LOCAL-2", "-c", config, "--at-once")

    assert (0, "") == (done.code, done.err)
    assert ["Northshire-LOCAL-1"] == published(config)
    assert not (folder / "Northshire-LOCAL-2.public.pem").exists()


def test_a_key_is_not_retired_within_the_hour(config):
    """Tokens that it signed for, and copies of the JWKS, live on for a while."""
    new(config)
    new(config)
    done = typed("keys", "retire", *WHY, "Northshire-LOCAL-2", "-c", config)

    assert 1 == done.code
    assert "too early" in done.err


def test_a_retired_key_is_out_of_the_jwks_and_kept(config):
    """Nothing is deleted: it may have been the wrong one."""
    new(config)
    new(config)
    past = time.time() - keys.NOT_RETIRED_BEFORE.total_seconds() - 1
    os.utime(config, (past, past))
    done = typed("keys", "retire", *WHY, "Northshire-LOCAL-2", "-c", config)
    folder = config.parent / "keys"
    jwks = json.loads((folder / "Northshire-LOCAL.jwks.json").read_bytes())

    assert 0 == done.code
    assert ["Northshire-LOCAL-1"] == [key["kid"] for key in jwks["keys"]]
    assert (folder / "retired" / "Northshire-LOCAL-2.pem").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--key-id", "Northshire-INT-1"], "is of int, and the settings are of local"),
        (["--key-id", "nonsense"], "is not a key id by the convention"),
        (["--provider", "nobody"], "is not a provider of the settings"),
    ],
)
def test_what_does_not_fit_is_refused_in_two_lines(config, arguments, expected):
    """What is wrong, and what to do instead; nothing is made."""
    done = new(config, *arguments)
    what, cure = done.err.splitlines()

    assert 1 == done.code
    assert expected in what
    assert cure.startswith("   try: ")
    assert not (config.parent / "keys").exists()


def test_a_short_key_for_int_is_refused(config):
    """INT and PROD take 4096 bits."""
    text = (
        config.read_text()
        .replace('"local"', '"int"')
        .replace("Northshire-LOCAL-1", "Northshire-INT-1")
        .replace("https://127.0.0.1:1/", "https://int.api.service.nhs.uk/")
    )
    config.write_text(text)

    assert "int takes keys of 4096 bits" in new(config).err


def test_a_folder_that_cannot_be_made_is_said(config):
    """A file in the folder's place is no traceback."""
    (config.parent / "keys").write_text("in the way")
    done = new(config)

    assert 1 == done.code
    assert done.err.startswith(f"error: {config.parent}/keys cannot be made: ")


async def test_a_key_is_probed_before_it_is_used(tmp_path):
    """The token service is asked with it, and says what is missing."""
    async with Sandbox(SandboxSettings(folder=tmp_path / "national", key_bits=2048)) as sandbox:
        registered = await sandbox.register("trust", ["2000000101"], "https://127.0.0.1:1/")
        config = tmp_path / "bars-gateway.toml"
        text = settings_text(
            tmp_path, token_url=sandbox.token_url, proxy_url=sandbox.proxy_url
        ).replace("[outbound]", f'[outbound]\nca_file = "{sandbox.ca_file}"')
        config.write_text(text.replace("an-api-key", registered.api_key), "utf-8")
        await asyncio.to_thread(new, config)
        before = await asyncio.to_thread(typed, "keys", "probe", "-c", config)
        jwks = tmp_path / "keys" / "Northshire-LOCAL.jwks.json"
        (registered.folder / "jwks.json").write_bytes(jwks.read_bytes())
        after = await asyncio.to_thread(typed, "keys", "probe", "-c", config)

    assert (1, "error: Northshire-LOCAL-1: the key id is not in the registered JWKS (401)") == (
        before.code,
        before.err.splitlines()[0],
    )
    assert (0, "") == (after.code, after.err)
    assert after.out.endswith(f"Northshire-LOCAL-1: {sandbox.token_url} gave a token\n")


def test_the_audit_trail_hears_who_made_and_retired_which_key_and_why(config):
    """Which key is told by its public half; the gateway enters it when it runs."""
    new(config)
    new(config)
    past = time.time() - keys.NOT_RETIRED_BEFORE.total_seconds() - 1
    os.utime(config, (past, past))
    typed("keys", "retire", "Northshire-LOCAL-2", "-c", config, "--why", "INC-8: it was seen")
    made, _, retired = told = told_by(config.parent / "state")

    assert ["key.made", "key.made", "key.retired"] == [each["kind"] for each in told]
    assert ("Northshire-LOCAL-1", "INC-7") == (made["key_id"], made["why"])
    assert ("Northshire-LOCAL-2", "INC-8: it was seen") == (retired["key_id"], retired["why"])
    assert {"operator"} == {each["role"] for each in told}
    assert all(each["who"] for each in told)
    assert told[1]["sha256"] == retired["sha256"] != made["sha256"]


@pytest.mark.parametrize("why", [(), ("--why", " "), ("--why", "for 943 476 5919")])
def test_no_key_is_made_without_a_reason(config, why):
    """None, an empty one, or one that names a patient: the trail keeps it for years."""
    done = typed("keys", "new", "-c", config, "--bits", 2048, *why)

    assert (2, "") == (done.code, done.out)
    assert "--why" in done.err
    assert not (config.parent / "keys").exists()
