"""Whatever form a desk sends a certificate in, it is taken, or named with what helps."""

import warnings
from pathlib import Path

import pytest
from certs import LEAF_KEY, Chain, in_pem, key_pem, pem, rewritten
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, pkcs7, pkcs12

from bars_gateway.tls.certificates import NoPem, decoded, from_pem, from_pkcs7

CHAIN = Chain.of("A root", "A middle")
LEAF = CHAIN.leaf("gateway.example")
ALL = [LEAF, CHAIN.middle, CHAIN.root]
TEXT = pem(LEAF).decode()
FILE = Path("/etc/our tls/sent.pem")
FORMS = {
    "utf-16": (TEXT.encode("utf-16"), "text in UTF-16", "iconv -f UTF-16 -t ASCII"),
    "utf-16-be": (TEXT.encode("utf-16-be"), "text in UTF-16", "iconv"),
    "p7b": (
        pkcs7.serialize_certificates(ALL, Encoding.DER),
        "PKCS#7 (.p7b) in binary form",
        "openssl pkcs7 -inform DER -print_certs",
    ),
    "p7b-pem": (
        pkcs7.serialize_certificates(ALL, Encoding.PEM),
        "PKCS#7 (.p7b)",
        "openssl pkcs7 -print_certs",
    ),
    "der": (LEAF.public_bytes(Encoding.DER), "DER form", "openssl x509 -inform DER"),
    "pfx": (
        pkcs12.serialize_key_and_certificates(b"x", LEAF_KEY, LEAF, [], NoEncryption()),
        "PKCS#12",
        "bars-gateway certificate install",
    ),
    "trusted": (
        TEXT.replace("BEGIN ", "BEGIN TRUSTED ").encode(),
        "TRUSTED CERT",
        "openssl x509 -in",
    ),
    "java": (bytes.fromhex("feedfeed00000002"), "a Java keystore (JKS)", "keytool -importkeystore"),
    "one-that-is-not-der": (
        pem(CHAIN.middle) + in_pem(rewritten(LEAF, b"gateway.example", b"gateway\xffexample", 2)),
        "(number 2) that cannot be read: ValueError",
        "Have it sent again",
    ),
    "cut-off": (
        TEXT.encode() + TEXT.encode()[:500],
        "holds 1 whole certificates, and 2",
        "copy all",
    ),
    "key": (key_pem(), "is a private key", "BEGIN CERTIFICATE"),
    "garbage": (b"garbage", "holds no certificate in PEM form", "BEGIN CERTIFICATE"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_other_form_is_named_with_its_cure(form: str) -> None:
    """The operator reads what it is, and the command that makes PEM of it."""
    data, what, cure = FORMS[form]
    with pytest.raises(NoPem) as caught:
        from_pem(data, FILE)

    assert what in caught.value.cause
    assert cure in caught.value.cure


def test_a_file_name_can_be_pasted() -> None:
    """A blank in it does not break the command."""
    with pytest.raises(NoPem) as caught:
        from_pem(FORMS["der"][0], FILE)

    assert "'/etc/our tls/sent.pem'" in caught.value.cure


@pytest.mark.parametrize("form", ["p7b", "p7b-pem"])
def test_pkcs7_is_read(form: str) -> None:
    """All its certificates, whatever their order."""
    assert set(ALL) == set(from_pkcs7(FORMS[form][0]) or ())


def test_pkcs7_may_be_in_an_order_of_its_own() -> None:
    """DER sorts what is in a set; OpenSSL does not, and its file is as good: nothing is said."""
    inside = [one.public_bytes(Encoding.DER) for one in from_pkcs7(FORMS["p7b"][0]) or ()]
    turned = FORMS["p7b"][0].replace(b"".join(inside), b"".join(reversed(inside)))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        read = from_pkcs7(turned) or ()

    assert list(reversed(inside)) == [one.public_bytes(Encoding.DER) for one in read]
    assert [] == said


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_text_of_windows_is_read(coding: str) -> None:
    """With a mark in front or without."""
    assert [LEAF] == from_pem(decoded(TEXT.encode(coding)), FILE)


def test_other_bytes_stay_as_they_are() -> None:
    """Nothing is guessed of what is no UTF-16."""
    assert pem(LEAF) == decoded(pem(LEAF))
