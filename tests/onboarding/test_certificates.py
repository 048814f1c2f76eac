"""Requests hold what the desk asks for, and every wrong certificate gets its own words."""

import stat
from datetime import timedelta
from pathlib import Path

import pytest
from certs import LEAF_KEY, NOW, SHORT_KEY, Chain, key_pem, named, of_an_unknown_kind, pem
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs7,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from typed import WHY, settings_text, told_by, typed

from bars_gateway.config import Settings, load
from bars_gateway.onboarding import certificate_rules
from bars_gateway.onboarding.certificate_rules import verdicts
from bars_gateway.onboarding.certificates import Delivered
from bars_gateway.onboarding.grades import Grade
from bars_gateway.tls.certificates import dns_names
from bars_gateway.tls.contexts import load_identity

INT = Chain.of()
NAME = "BaRS-INT-ZX901.northshire.nhs.uk"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return settings of a provider-hosted gateway in INT that receives."""
    (tmp_path / "tls").mkdir()
    (tmp_path / "state").mkdir()
    (tmp_path / "tls" / "client-ca.pem").write_bytes(pem(INT.root, INT.middle))
    file = tmp_path / "bars-gateway.toml"
    file.write_text(
        settings_text(
            tmp_path,
            environment="int",
            key_id="Northshire-INT-1",
            token_url="https://int.api.service.nhs.uk/oauth2/token",
            proxy_url="https://int.api.service.nhs.uk/booking-and-referral/FHIR/R4",
            rest=f"""\
[inbound]
certificate_file = "{tmp_path}/tls/certificate.pem"
private_key_file = "{tmp_path}/tls/key.pem"
client_ca_file = "{tmp_path}/tls/client-ca.pem"
allowed_client_names = ["int.api.service.nhs.uk"]

[onboarding]
fqdn = "{NAME}"
""",
        ),
        "utf-8",
    )
    return file


@pytest.fixture
def settings(config: Path) -> Settings:
    return load(config, {})


def requested(config: Path, *more: object) -> tuple[x509.CertificateSigningRequest, Path]:
    done = typed("csr", "new", *WHY, "-c", config, "--bits", 2048, *more)
    assert (0, "") == (done.code, done.err)
    (file,) = (config.parent / "tls" / "requests").glob("*.csr")
    return x509.load_pem_x509_csr(file.read_bytes()), file.with_suffix(".key")


def test_a_request_holds_the_name_and_nothing_else(config):
    """The desk returns a request that holds an organisation, a country or an e-mail address."""
    request, _ = requested(config)

    assert [("2.5.4.3", NAME)] == [(a.oid.dotted_string, a.value) for a in request.subject]
    assert [] == list(request.extensions)
    assert "sha256" == request.signature_hash_algorithm.name


def test_the_key_of_a_request_stays_private(config):
    """It is of mode 0600, beside the request."""
    request, key_file = requested(config)
    key = load_pem_private_key(key_file.read_bytes(), None)

    assert 0o600 == stat.S_IMODE(key_file.stat().st_mode)
    assert key.public_key() == request.public_key()


def test_a_request_has_a_key_of_4096_bits(config):
    """Unless somebody says otherwise."""
    typed("csr", "new", *WHY, "-c", config)
    (file,) = (config.parent / "tls" / "requests").glob("*.csr")

    assert 4096 == x509.load_pem_x509_csr(file.read_bytes()).public_key().key_size


def test_a_second_request_leaves_the_first_alone(config):
    """The certificate for the first may still be on its way."""
    requested(config)
    typed("csr", "new", *WHY, "-c", config, "--bits", 2048)
    found = sorted(file.name for file in (config.parent / "tls" / "requests").iterdir())

    assert [f"{NAME}-1.csr", f"{NAME}-1.key", f"{NAME}-2.csr", f"{NAME}-2.key"] == found


def test_it_is_said_where_a_request_goes(config):
    """In INT that is a web form of ITOC."""
    done = typed("csr", "new", *WHY, "-c", config, "--bits", 2048)

    assert "It goes to ITOC (the web form" in done.out


@pytest.mark.parametrize(
    ("environment", "hosting", "fqdn"),
    [
        ("int", "provider", "BaRS-INT-ZX901.northshire.nhs.uk"),
        ("int", "supplier", "BaRS-INT-ABC1.supplier.thirdparty.nhs.uk"),
        ("prod", "provider", "BaRS-PROD-ZX901.northshire.nhs.uk"),
        ("prod", "provider", "BaRS-PROD-ZX901WARD.northshire.nhs.uk"),
        ("prod", "supplier", "bars-prod-zx901.supplier.thirdparty.nhs.uk"),
    ],
)
def test_the_four_forms_of_a_name(settings, environment, hosting, fqdn):
    """Each is taken in its environment, with or without a setting in PROD."""
    assert [] == certificate_rules.flaws_of(fqdn, of(settings, environment, hosting))


def of(settings: Settings, environment: str, hosting: str) -> Settings:
    onboarding = settings.onboarding.model_copy(update={"hosting": hosting})
    return settings.model_copy(
        update={"environment": type(settings.environment)(environment), "onboarding": onboarding}
    )


@pytest.mark.parametrize(
    ("fqdn", "hosting", "expected"),
    [
        ("BaRS-PROD-ZX901.northshire.nhs.uk", "provider", "is made for the environment prod"),
        ("gateway.northshire.nhs.uk", "provider", "names no environment"),
        ("BaRS-INT-RAE.northshire.nhs.uk", "provider", "where the ODS code of the provider"),
        ("BaRS-INT-ZX901WARD.northshire.nhs.uk", "provider", "where the ODS code of the provider"),
        ("BaRS-INT-.supplier.thirdparty.nhs.uk", "supplier", "is not the name of a machine"),
        ("BaRS-INT-ZX901.northshire.org", "provider", "is not in a domain below nhs.uk"),
        ("BaRS-INT-ZX901.thirdparty.nhs.uk", "supplier", "is not in a domain below nhs.uk"),
        ("BaRS-INT-ZX901.northshire.nhs.uk", "supplier", "does not end in .thirdparty.nhs.uk"),
        ("BaRS-INT-ZX901.x.thirdparty.nhs.uk", "provider", "does not end in .nhs.uk"),
        (f"BaRS-INT-ZX901.{'n' * 43}.nhs.uk", "provider", "has 65 characters"),
        ("BaRS-INT-ZX901_1.northshire.nhs.uk", "provider", "is not the name of a machine"),
        ("BaRS-INT-ZX901", "provider", "has no domain"),
    ],
)
def test_every_wrong_name_gets_its_own_message(settings, fqdn, hosting, expected):
    """The desk would take days to say the same."""
    found = [flaw.cause for flaw in certificate_rules.flaws_of(fqdn, of(settings, "int", hosting))]

    assert expected in "; ".join(found)


def test_a_wrong_name_makes_no_request(config):
    """Neither a key nor a request is left behind."""
    done = typed("csr", "new", *WHY, "-c", config, "--fqdn", "BaRS-PROD-ZX901.northshire.nhs.uk")

    assert 1 == done.code
    assert done.err.splitlines()[1] == "   try: Name it BaRS-INT-ZX901.<provider>.nhs.uk."
    assert not (config.parent / "tls" / "requests").exists()


def test_a_name_that_nobody_gave_is_asked_for(config):
    """With the form that it should have."""
    config.write_text(config.read_text().replace(f'fqdn = "{NAME}"', ""))
    done = typed("csr", "new", *WHY, "-c", config)

    assert done.err.startswith("error: the name of this Receiver is not known\n   try: Add --fqdn")


GOOD = (INT.leaf(NAME), INT.middle)
PROD = Chain.of("NHS Root Authority G2", "NHS Authentication G2")
G1 = Chain.of("NHS INT Root", "NHS INT Level 1C")
WRONG = {
    "an-authority-first": ((INT.middle, INT.root), "leaf", "is an authority's"),
    "another-key": (
        (INT.leaf(NAME, key=rsa.generate_private_key(65537, 2048)), INT.middle),
        "key",
        "belongs to another key",
    ),
    "a-key-of-an-unknown-kind": (
        (of_an_unknown_kind(named(NAME), INT.middle.subject), INT.middle),
        "strength",
        "of a kind that cannot be used",
    ),
    "a-short-key": ((INT.leaf(NAME, key=SHORT_KEY), INT.middle), "strength", "has 1024 bits"),
    "no-middle": ((INT.leaf(NAME),), "chain", "the chain ends below CN=NHS INT Authentication G2"),
    "wrong-order": ((INT.leaf(NAME), INT.root, INT.middle), "chain", "did not issue certificate 1"),
    "of-prod": (
        (PROD.leaf(NAME), PROD.middle, PROD.root),
        "environment",
        "is of the environment prod, and this gateway is in int",
    ),
    "of-another-name": (
        (INT.leaf("BaRS-INT-ZX902.x.nhs.uk"), INT.middle),
        "name",
        "and onboarding.fqdn is",
    ),
    "expired": ((INT.leaf(NAME, end=NOW - timedelta(hours=1)), INT.middle), "dates", "expired on"),
    "not-yet": (
        (INT.leaf(NAME, start=NOW + timedelta(hours=1)), INT.middle),
        "dates",
        "is not valid before",
    ),
    "for-clients": (
        (INT.leaf(NAME, usages=[ExtendedKeyUsageOID.CLIENT_AUTH]), INT.middle),
        "purpose",
        "not meant for servers",
    ),
}


def judged(settings: Settings, chain, key=LEAF_KEY):
    delivered = Delivered(chain=tuple(chain), key=key, trusted=(INT.root, INT.middle))
    return verdicts(delivered, settings, NOW)


def test_a_right_certificate_passes_every_rule(settings):
    """Nothing is left to ask the desk."""
    assert {Grade.PASS} == {seen.grade for seen in judged(settings, GOOD).values()}


@pytest.mark.parametrize(("chain", "rule", "expected"), WRONG.values(), ids=WRONG)
def test_every_wrong_certificate_gets_its_own_message(settings, chain, rule, expected):
    """The rule, what was seen, and a cure; before anything is installed."""
    found = judged(settings, chain)

    assert Grade.FAIL is found[rule].grade
    assert expected in found[rule].text
    assert found[rule].cure.endswith(".")


@pytest.mark.parametrize(
    ("chain", "rule"),
    [
        ((INT.leaf(NAME, end=NOW + timedelta(days=29)), INT.middle), "dates"),
        ((G1.leaf(NAME), G1.middle, G1.root), "environment"),
        ((INT.leaf(NAME, alternative=[]), INT.middle), "alternative"),
        ((INT.leaf(NAME, alternative=["b.example"]), INT.middle), "alternative"),
        ((INT.leaf(NAME, odd={"2.5.29.19": b"\x30\x03\x01\x01\x00"}), INT.middle), "legible"),
    ],
    ids=[
        "expires-soon",
        "first-series",
        "no-alternative-name",
        "other-alternative-names",
        "not-in-der",
    ],
)
def test_what_will_not_do_for_long_is_a_warning(settings, chain, rule):
    """It may be used today, and somebody should know."""
    found = judged(settings, chain)

    assert Grade.WARN is found[rule].grade


def test_a_root_that_was_compared_with_none_is_told(settings):
    """Whoever makes up a root may call it as the NHS calls its own."""
    found = judged(settings, (G1.leaf(NAME), G1.middle, G1.root))
    trusted = judged(settings, GOOD)

    assert Grade.PASS is found["chain"].grade
    assert "its root was compared with none" in found["chain"].text
    assert "compared" not in trusted["chain"].text


def test_a_certificate_without_key_is_not_enough(settings):
    """The request was made elsewhere, and its key is still there."""
    found = judged(settings, GOOD, key=None)

    assert "there is no key that it could belong to" == found["key"].text


def installed(config: Path):
    folder = config.parent / "tls"
    return load_identity(
        folder / "certificate.pem", folder / "key.pem", folder / "client-ca.pem", now=NOW
    )


def test_a_reason_is_missed_before_anything_is_judged(config, tmp_path):
    """Nine rules that pass, and then a refusal, look as if the certificate were at fault."""
    (tmp_path / "sent").write_bytes(b"")
    done = typed("certificate", "install", tmp_path / "sent", "-c", config)

    assert (2, "") == (done.code, done.out)
    assert "--why" in done.err


def test_a_certificate_for_a_request_is_installed_with_its_key(config, tmp_path):
    """The key is found beside the request, and both are where the gateway reads them."""
    _, key_file = requested(config)
    key = load_pem_private_key(key_file.read_bytes(), None)
    delivered = tmp_path / "from-the-desk.crt"
    delivered.write_bytes(pem(INT.leaf(NAME, key=key), INT.middle))
    done = typed("certificate", "install", *WHY, delivered, "-c", config)

    assert (0, "") == (done.code, done.err)
    assert [NAME] == dns_names(installed(config).chain[0])
    assert 0o600 == stat.S_IMODE((config.parent / "tls" / "key.pem").stat().st_mode)


@pytest.mark.parametrize("password", [None, b"a password"])
def test_a_certificate_comes_as_pkcs12_too(config, tmp_path, password):
    """The guide has people wrap key and certificate in one file, with or without a password."""
    file, secret = tmp_path / "receiver.pfx", tmp_path / "password"
    locked = BestAvailableEncryption(password) if password else None
    file.write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"bars", LEAF_KEY, GOOD[0], [INT.middle], locked or NoEncryption()
        )
    )
    secret.write_bytes((password or b"") + b"\n")
    more = ["--password-file", secret] if password else []
    done = typed("certificate", "install", *WHY, file, "-c", config, *more)

    assert (0, "") == (done.code, done.err)
    assert [NAME] == dns_names(installed(config).chain[0])


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_password_may_be_saved_by_windows(config, tmp_path, coding):
    """Its editor and its shell each have an encoding of their own."""
    file, secret = tmp_path / "receiver.pfx", tmp_path / "password"
    locked = BestAvailableEncryption("Bärs".encode())
    chain = LEAF_KEY, GOOD[0], [INT.middle]
    file.write_bytes(pkcs12.serialize_key_and_certificates(b"bars", *chain, locked))
    secret.write_bytes("Bärs\r\n".encode(coding))
    done = typed("certificate", "check", file, "-c", config, "--password-file", secret)

    assert (0, "") == (done.code, done.err)


DELIVERED = {
    "p7b": pkcs7.serialize_certificates([INT.root, INT.middle, GOOD[0]], Encoding.DER),
    "p7b-pem": pkcs7.serialize_certificates([INT.middle, GOOD[0], INT.root], Encoding.PEM),
    "utf-16": pem(*GOOD).decode().encode("utf-16"),
}


@pytest.mark.parametrize("form", DELIVERED)
def test_a_certificate_comes_as_windows_saves_it(config, tmp_path, form):
    """It is put in place as PEM, our own first, and the listener takes it."""
    (tmp_path / "sent").write_bytes(DELIVERED[form])
    (tmp_path / "leaf.key").write_bytes(key_pem())
    more = ["--key", tmp_path / "leaf.key"]
    done = typed("certificate", "install", *WHY, tmp_path / "sent", "-c", config, *more)

    assert (0, "") == (done.code, done.err)
    assert [NAME] == dns_names(installed(config).chain[0])


def test_certificate_and_key_may_be_one_file(config, tmp_path):
    """As other servers have them: what is written second does not take the place of the first."""
    one = config.parent / "tls" / "certificate.pem"
    config.write_text(config.read_text().replace("tls/key.pem", "tls/certificate.pem"))
    (tmp_path / "sent").write_bytes(pem(*GOOD))
    (tmp_path / "leaf.key").write_bytes(key_pem())
    more = ["--key", tmp_path / "leaf.key", "-c", config]
    done = typed("certificate", "install", *WHY, tmp_path / "sent", *more)
    found = load_identity(one, one, config.parent / "tls" / "client-ca.pem", now=NOW)

    assert (0, "") == (done.code, done.err)
    assert [NAME] == dns_names(found.chain[0])
    assert 0o600 == stat.S_IMODE(one.stat().st_mode)


def test_a_key_comes_as_windows_saves_it(config, tmp_path):
    """Its shell writes UTF-16 where a command's output goes into a file."""
    (tmp_path / "sent").write_bytes(pem(*GOOD))
    (tmp_path / "leaf.key").write_bytes(key_pem().decode().encode("utf-16"))
    more = ["--key", tmp_path / "leaf.key", "-c", config]
    done = typed("certificate", "check", tmp_path / "sent", *more)

    assert (0, "") == (done.code, done.err)


def test_what_was_there_is_kept(config, tmp_path):
    """The way back is a copy."""
    for _ in range(2):
        (tmp_path / "leaf.pem").write_bytes(pem(*GOOD))
        (tmp_path / "leaf.key").write_bytes(key_pem())
        done = typed(
            "certificate",
            "install",
            *WHY,
            tmp_path / "leaf.pem",
            "--key",
            tmp_path / "leaf.key",
            "-c",
            config,
        )
    kept = {file.name.partition("-")[2] for file in (tmp_path / "tls" / "previous").iterdir()}

    assert {"certificate.pem", "key.pem"} == kept
    assert "what was there before" in done.out


def test_a_wrong_certificate_changes_nothing(config, tmp_path):
    """All that is wrong is said, and what was in place stays."""
    (tmp_path / "leaf.pem").write_bytes(pem(PROD.leaf(NAME), PROD.middle, PROD.root))
    (tmp_path / "leaf.key").write_bytes(key_pem())
    done = typed(
        "certificate",
        "install",
        *WHY,
        tmp_path / "leaf.pem",
        "--key",
        tmp_path / "leaf.key",
        "-c",
        config,
    )

    assert 1 == done.code
    assert "fail  environment" in done.out
    assert "was not installed; nothing was changed" in done.err
    assert not (tmp_path / "tls" / "certificate.pem").exists()


def test_a_certificate_is_checked_without_using_it(config, tmp_path):
    """`check` prints the same verdicts, and its exit code says which way they went."""
    (tmp_path / "leaf.pem").write_bytes(pem(*GOOD))
    (tmp_path / "leaf.key").write_bytes(key_pem())
    arguments = ("certificate", "check", tmp_path / "leaf.pem", "-c", config)

    assert 0 == typed(*arguments, "--key", tmp_path / "leaf.key").code
    assert 1 == typed(*arguments).code
    assert not (tmp_path / "tls" / "certificate.pem").exists()


CASES = {
    "missing": (None, "cannot be read: No such file or directory"),
    "empty": (b"", "is not a certificate, or its password is another one"),
    "garbage": (b"\x00\x01garbage", "is not a certificate, or its password is another one"),
    "half a PEM": (b"-----BEGIN CERTIFICATE-----\nAAAA", "holds no certificate in PEM form"),
    "the key": (key_pem(), "is a private key, and no certificate in PEM form"),
    "of java": (
        bytes.fromhex("feedfeed00000002"),
        "is a Java keystore (JKS), and no certificate in PEM form",
    ),
}


@pytest.mark.parametrize(("content", "expected"), CASES.values(), ids=CASES)
def test_a_file_that_is_no_certificate_is_said_to_be_none(config, tmp_path, content, expected):
    """In two lines, without a traceback."""
    file = tmp_path / "sent.crt"
    if content is not None:
        file.write_bytes(content)
    done = typed("certificate", "check", file, "-c", config)
    what, cure = done.err.splitlines()

    assert (1, "") == (done.code, done.out)
    assert what == f"error: {file} {expected}"
    assert cure.startswith("   try: ")


def test_the_request_is_not_the_certificate(config):
    """They lie side by side, and have the same look."""
    requested(config)
    (file,) = (config.parent / "tls" / "requests").glob("*.csr")

    assert (
        "is the request for a certificate, and no certificate in PEM form"
        in typed("certificate", "check", file, "-c", config).err
    )


# A key of GOST R 34.10, of which the object id is enough.
UNUSUAL = b"""\
-----BEGIN PRIVATE KEY-----
MEgCAQAwHwYIKoUDBwEBAQEwEwYHKoUDAgIjAQYIKoUDBwEBAgIEIgQgAQEBAQEBAQEBAQEBAQEB
AQEBAQEBAQEBAQEBAQEBAQE=
-----END PRIVATE KEY-----
"""


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"garbage", "holds no private key in PEM form"),
        (UNUSUAL, "holds a kind of key that cannot be used"),
        (
            LEAF_KEY.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
            ),
            "is locked with a passphrase",
        ),
    ],
)
def test_a_key_that_cannot_be_read_is_said(config, tmp_path, content, expected):
    """Its own words for each."""
    (tmp_path / "leaf.pem").write_bytes(pem(*GOOD))
    (tmp_path / "leaf.key").write_bytes(content)
    done = typed(
        "certificate", "check", tmp_path / "leaf.pem", "--key", tmp_path / "leaf.key", "-c", config
    )

    assert expected in done.err


def test_the_audit_trail_hears_who_asked_for_a_certificate_and_put_it_in_place(config, tmp_path):
    """By the SHA-256 that the gateway tells, once it takes it; of one that is refused, nothing."""
    _, key_file = requested(config)
    key = load_pem_private_key(key_file.read_bytes(), None)
    leaf = INT.leaf(NAME, key=key)
    for certificates in ((PROD.leaf(NAME, key=key), PROD.middle), (leaf, INT.middle)):
        (tmp_path / "sent").write_bytes(pem(*certificates))
        typed("certificate", "install", tmp_path / "sent", "-c", config, "--why", "INC-8")
    asked, installed = told_by(tmp_path / "state")

    assert ("certificate.requested", NAME, "INC-7") == tuple(
        asked[name] for name in ("kind", "fqdn", "why")
    )
    assert ("certificate.installed", "INC-8") == (installed["kind"], installed["why"])
    assert [leaf.fingerprint(SHA256()).hex(), INT.middle.fingerprint(SHA256()).hex()] == (
        installed["certificates"]
    )
    assert ["operator", "operator"] == [each["role"] for each in (asked, installed)]
