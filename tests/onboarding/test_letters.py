"""Letters are complete or not written, go to the right desk, and hold nothing secret."""

import email
import email.policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from certs import LEAF_KEY, key_pem
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from typed import WHY, Done, settings_text, typed

from bars_gateway.config import Onboarding
from bars_gateway.onboarding import keys
from bars_gateway.onboarding.letters import ABOUT, KINDS

CONTACT = "A Person, a.person@northshire.nhs.uk, 0113 496 0000"
SAID = f"""
contact = "{CONTACT}"
application_id = "app-of-this-environment"
int_application_id = "app-of-int"
public_address = "192.0.2.7"
"""
BARS = "england.bookingandreferralstandard@nhs.net"
BASE = "api.service.nhs.uk"


def installed(folder: Path, environment: str, said: str = SAID, **changes: str) -> Path:
    """Return the settings of a gateway with a key and a request for its certificate."""
    host = BASE if environment == "prod" else f"int.{BASE}"
    config = folder / "bars-gateway.toml"
    values = {
        "environment": environment,
        "key_id": f"Northshire-{environment.upper()}-1",
        "token_url": f"https://{host}/oauth2/token",
        "proxy_url": f"https://{host}/booking-and-referral/FHIR/R4",
        "rest": f"""
[inbound]
certificate_file = "{folder}/tls/certificate.pem"
allowed_client_names = ["proxy.example"]
[onboarding]
fqdn = "BaRS-{environment.upper()}-ZX901.northshire.nhs.uk"
{said}""",
    } | changes
    config.write_text(settings_text(folder, **values), "utf-8")
    key = folder / "keys" / "Northshire-LOCAL-1.pem"
    key.parent.mkdir()
    key.write_bytes(key_pem(LEAF_KEY))
    return config


def wrote(config: Path, kind: str) -> Done:
    return typed("letters", kind, "--config", config)


def draft(config: Path, kind: str, environment: str) -> EmailMessage:
    """Write a letter and return its draft."""
    done = wrote(config, kind)
    assert 0 == done.code, done.err
    content = (config.parent / "letters" / f"{kind}-{environment}.eml").read_bytes()
    found = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


def body(message: EmailMessage) -> str:
    part = message.get_body()
    assert part is not None
    return str(part.get_content())


@pytest.mark.parametrize(
    ("kind", "environment", "to", "copy_to"),
    [
        ("key", "int", BARS, None),
        ("key", "prod", BARS, None),
        ("certificate", "prod", "dir@nhs.net", "liveservices.gate@nhs.net"),
        ("dns", "int", "dnsteam@nhs.net", None),
        ("catalogue", "int", BARS, None),
        ("live", "prod", BARS, None),
    ],
)
def test_each_goes_to_its_desk(tmp_path, kind, environment, to, copy_to):
    """As a draft that a mail program opens for writing."""
    config = installed(tmp_path, environment)
    typed("csr", "new", *WHY, "--config", config, "--bits", 2048)
    found = draft(config, kind, environment)

    assert (to, copy_to, "1") == (found["To"], found["Cc"], found["X-Unsent"])
    assert f"BaRS {environment.upper()}: " in found["Subject"]
    assert f"Contact: {CONTACT}" in body(found)


def test_the_text_says_the_same_as_the_draft(tmp_path):
    """For those whose mail program opens no drafts."""
    config = installed(tmp_path, "int")
    found = draft(config, "dns", "int")
    text = (tmp_path / "letters" / "dns-int.txt").read_text("utf-8")

    assert text.endswith(body(found))
    assert "To: the DNS team <dnsteam@nhs.net>" in text


def test_the_letter_for_the_key_brings_its_public_half(tmp_path):
    """It is the half of the key that signs, with key id, application, organisation, product."""
    found = draft(installed(tmp_path, "prod"), "key", "prod")
    (attached,) = found.iter_attachments()
    text = body(found)

    assert LEAF_KEY.public_key() == load_pem_public_key(attached.get_content().encode())
    assert "Northshire-PROD-1.public.pem" == attached.get_filename()
    assert "Key id (kid): Northshire-PROD-1" in text
    assert (
        "Application id (PROD): app-of-this-environment\nApplication id (INT): app-of-int" in text
    )
    assert "Organisation: Northshire General Hospital, ODS code ZX901" in text


def test_who_hosts_the_jwks_sends_its_address(tmp_path):
    """Then nothing is attached."""
    said = f'{SAID}jwks_url = "https://keys.northshire.example/int.json"\n'
    found = draft(installed(tmp_path, "int", said), "key", "int")

    assert [] == list(found.iter_attachments())
    assert "https://keys.northshire.example/int.json" in body(found)


@pytest.mark.parametrize("path", ["", "/"])
def test_a_jwks_without_a_path_is_not_registered(tmp_path, path):
    """The token service cannot fetch from a host alone, and says so to nobody."""
    config = installed(
        tmp_path, "int", f'{SAID}jwks_url = "https://keys.northshire.example{path}"\n'
    )
    done = typed("letters", "key", "--config", config)
    checked = typed("check", "--config", config)

    assert 1 == done.code
    assert "onboarding.jwks_url has a host and no path" in done.err
    assert "Host it below a path, such as /bars/jwks.json" in done.err
    assert "onboarding.jwks_url has a host and no path" in checked.err
    assert not (tmp_path / "letters").exists()


def test_in_int_the_certificate_is_asked_for_in_a_form(tmp_path):
    """There is no address to write to: the text says what to put into which field."""
    config = installed(tmp_path, "int")
    typed("csr", "new", *WHY, "--config", config, "--bits", 2048)
    done = wrote(config, "certificate")

    assert "Party key: N/A" in done.out
    assert "Kind of request: certificate only (no endpoint)" in done.out
    assert ["certificate-int.txt"] == [
        path.name for path in (tmp_path / "letters").iterdir() if path.stem == "certificate-int"
    ]


def test_the_request_goes_along(tmp_path):
    """The latest one of the name in the settings, as it is on disk."""
    config = installed(tmp_path, "prod")
    for _ in range(2):
        typed("csr", "new", *WHY, "--config", config, "--bits", 2048)
    (attached,) = draft(config, "certificate", "prod").iter_attachments()

    assert "BaRS-PROD-ZX901.northshire.nhs.uk-2.csr" == attached.get_filename()


def test_services_and_address_are_in_the_letter_for_the_catalogue(tmp_path):
    """System and value apart, as they are entered."""
    text = body(draft(installed(tmp_path, "int"), "catalogue", "int"))

    assert "  system https://fhir.nhs.uk/Id/dos-service-id  value 2000000101" in text
    assert "Receiver: https://BaRS-INT-ZX901.northshire.nhs.uk/FHIR/R4" in text


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        ("key", "onboarding.contact, onboarding.application_id, onboarding.int_application_id"),
        ("certificate", "onboarding.contact"),
        ("dns", "onboarding.contact, onboarding.public_address"),
        ("catalogue", "onboarding.contact"),
        ("live", "onboarding.contact, onboarding.application_id"),
    ],
)
def test_what_is_missing_is_said_at_once(tmp_path, kind, missing):
    """And nothing is written that somebody could send with a gap in it."""
    done = wrote(installed(tmp_path, "prod", ""), kind)

    assert (1, f"error: the letter lacks {missing}") == (done.code, done.err.splitlines()[0])
    assert not (tmp_path / "letters").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_missing_can_be_set(tmp_path, kind):
    """Whatever a letter lacks is the name of a setting, and not of what is made from it."""
    config = installed(tmp_path, "prod", "")
    lines = config.read_text("utf-8").splitlines(keepends=True)
    config.write_text("".join(line for line in lines if not line.startswith("fqdn")), "utf-8")
    said = wrote(config, kind).err.splitlines()[0].removeprefix("error: the letter lacks ")
    settings = {f"onboarding.{name}" for name in Onboarding.model_fields}

    assert set() == set(said.split(", ")) - settings


@pytest.mark.parametrize(
    ("kind", "environment", "expected"),
    [
        ("certificate", "prod", "there is no request for BaRS-PROD-ZX901.northshire.nhs.uk"),
        ("live", "int", "nobody goes live in int"),
    ],
)
def test_what_comes_first_is_named(tmp_path, kind, environment, expected):
    """A letter that makes no sense yet says what to do before it."""
    done = wrote(installed(tmp_path, environment), kind)

    assert (1, f"error: {expected}") == (done.code, done.err.splitlines()[0])


def test_in_local_nobody_is_written_to(tmp_path):
    """The sandbox's desks are on this machine."""
    (tmp_path / "bars-gateway.toml").write_text(settings_text(tmp_path), "utf-8")
    done = wrote(tmp_path / "bars-gateway.toml", "key")

    assert "error: nobody is to be written to in local" == done.err.splitlines()[0]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_secret_is_in_a_letter(tmp_path, kind):
    """Neither the API key nor any private key."""
    config = installed(tmp_path, "prod")
    typed("csr", "new", *WHY, "--config", config, "--bits", 2048)
    wrote(config, kind)
    written = b"".join(path.read_bytes() for path in (tmp_path / "letters").iterdir())

    assert b"an-api-key" not in written
    assert b"PRIVATE KEY" not in written


def test_a_supplier_speaks_for_all_its_providers(tmp_path):
    """One letter names each organisation, and the supplier first."""
    config = installed(tmp_path, "int", f'{SAID}supplier = "Example Supplier Ltd"\n')
    second = config.read_text("utf-8").partition("[providers.trust]")[2].partition("[outbound]")[0]
    for old, new in (("ZX901", "ZX902"), ("0101", "0202"), ("/spool", "/spool2")):
        second = second.replace(old, new)
    text = config.read_text("utf-8")
    config.write_text(text.replace("[outbound]", f"[providers.second]{second}[outbound]"), "utf-8")
    found = draft(config, "catalogue", "int")

    assert found["Subject"].endswith(", Example Supplier Ltd")
    assert "ODS code ZX901\nOrganisation: " in body(found)
    assert "value 2000000202" in body(found)


def test_without_a_kind_they_are_listed():
    """With what each is for."""
    done = typed("letters")

    assert list(ABOUT) == [line.split()[0] for line in done.out.splitlines()]
    assert ABOUT.keys() == KINDS.keys()


def test_an_unknown_kind_is_named_with_those_there_are(tmp_path):
    """A misspelling costs no more than reading a line."""
    done = wrote(installed(tmp_path, "int"), "dsn")

    assert 2 == done.code
    assert "there are key, certificate, dns, catalogue, live" in " ".join(done.err.split())


def test_keys_of_the_convention_and_of_the_letter_are_the_same(tmp_path):
    """The attached file is named as `keys new` names it."""
    key_id = keys.KeyId.parse("Northshire-PROD-1")

    assert "Northshire-PROD-1.public.pem" == keys.KeyFiles.of(tmp_path, key_id).public.name
