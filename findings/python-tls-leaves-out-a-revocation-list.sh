#!/usr/bin/env bash
# Python's ssl (seen with cryptography 50.0.2): `cadata` takes the authority of a text and leaves
# the revocation list beside it out; `cafile` with the same text takes both.
#
# An authority's file often holds its certificate and its revocation list, one after the other.
# `load_verify_locations` documents cafile and cadata as two ways to give the same thing, so one
# expects that a text means the same whether it is read from a file or already in memory.
#
# Seen: of the same PEM text, the file gives one certificate and one list, the text in memory one
# certificate and no list, without an error or a warning. A list alone is an error in memory, and
# in DER nowhere taken. So whoever reads the file first, to check it, has to look at revocation
# without OpenSSL's help, or has to write it to a file again.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install 'cryptography==50.0.2'
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import ssl
import sys
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

now, day = datetime.now(UTC), timedelta(days=1)
key = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority")])
authority = (
    x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + day)
    .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    .sign(key, SHA256())
)
withdrawn = x509.CertificateRevocationListBuilder(name, now, now + day).sign(key, SHA256())


def held(**where):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_verify_locations(**where)
    except ssl.SSLError as error:
        return error.reason or "SSLError"
    stats = context.cert_store_stats()
    return stats["x509"], stats["crl"]


def both_ways(content):
    with open("given", "wb") as file:
        file.write(content)
    text = content if content[:1] == b"\x30" else content.decode()
    return held(cafile="given"), held(cadata=text)


certificate, pem, der = (
    authority.public_bytes(Encoding.PEM),
    withdrawn.public_bytes(Encoding.PEM),
    withdrawn.public_bytes(Encoding.DER),
)
print("Python", sys.version.split()[0], "with", ssl.OPENSSL_VERSION)
for what, content, expected in (
    ("certificate and list", certificate + pem, ((1, 1), (1, 0))),
    ("list alone", pem, ((0, 1), "SSLError")),
    ("list alone, DER", der, ("NO_CERTIFICATE_OR_CRL_FOUND", "SSLError")),
):
    seen = both_ways(content)
    print(f"{what:21} cafile: {seen[0]!s:28} cadata: {seen[1]}")
    assert seen == expected, seen
PYTHON
