#!/usr/bin/env bash
# cryptography 50.0.2: one X.400 name in a certificate, and nothing that it says beside its name is read.
#
# A certificate's alternative names may be of nine kinds, and an extension of TLS features holds
# numbers of which new ones are made. What one expects of a reader that does not know a kind or a
# number is that it passes over it, and tells the rest: the DNS name beside it, and for what the
# certificate may be used.
#
# Seen: `certificate.extensions` reads all or none. An X.400 name is UnsupportedGeneralNameType, a new
# feature is a bare KeyError, which is no error of the library's own; and then the key usage and the
# DNS name cannot be asked for, either. OpenSSL (by Python's ssl) and Node read the DNS name and verify
# the certificate. So a server that lets OpenSSL judge who calls, and then asks this library whose
# certificate it is, turns away who was let in.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install 'cryptography==50.0.2'
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import socket
import ssl
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW, DAY, NAME = datetime.now(UTC), timedelta(days=1), b"proxy.example"
DNS = b"\x82" + bytes([len(NAME)]) + NAME
X400 = bytes.fromhex("a310300e61041302474262061304474f4c44")  # country GB, administration GOLD
NODE = """
const { X509Certificate } = require("crypto");
const read = new X509Certificate(require("fs").readFileSync("leaf.pem"));
console.log(read.checkHost("proxy.example"));
"""
key = ec.generate_private_key(ec.SECP256R1())


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def made(subject, *extensions):
    builder = x509.CertificateBuilder(name("An authority"), name(subject), key.public_key())
    builder = builder.serial_number(7).not_valid_before(NOW - DAY).not_valid_after(NOW + DAY)
    for each in extensions:
        builder = builder.add_extension(each, critical=False)
    return builder.sign(key, SHA256())


def written(number, value):
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(number), value)


def use(certificate):
    """Return for what it may be used, which has nothing to do with names or features."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except Exception as error:
        return type(error).__name__
    return [each._name for each in found.value]


def by_openssl(certificate):
    """Return the DNS names of a caller with this certificate, once OpenSSL has let it in."""
    with open("leaf.pem", "wb") as file:
        file.write(certificate.public_bytes(Encoding.PEM))
    server, client = (ssl.SSLContext(p) for p in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT))
    server.verify_mode, client.check_hostname, client.verify_mode = ssl.CERT_REQUIRED, False, ssl.CERT_NONE
    server.load_verify_locations(cadata=authority.public_bytes(Encoding.PEM).decode())
    for context in (server, client):
        context.load_cert_chain("leaf.pem", "key.pem")
    ends = socket.socketpair()
    calling = threading.Thread(target=lambda: client.wrap_socket(ends[1]).recv(1))
    calling.start()
    with server.wrap_socket(ends[0], server_side=True) as connection:
        said = connection.getpeercert()
    calling.join()
    return [value for kind, value in said["subjectAltName"] if kind == "DNS"]


with open("key.pem", "wb") as file:
    file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
authority = made("An authority", x509.BasicConstraints(ca=True, path_length=None))
names = x509.SubjectAlternativeName([x509.DNSName(NAME.decode())])
usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
CASES = {
    "a DNS name alone": made("a", names, usage),
    "an X.400 name, too": made(
        "b", written("2.5.29.17", b"\x30" + bytes([len(DNS + X400)]) + DNS + X400), usage
    ),
    "a TLS feature of number 16": made(
        "c", names, written("1.3.6.1.5.5.7.1.24", b"\x30\x03\x02\x01\x10"), usage
    ),
}
EXPECTED = [["clientAuth"], "UnsupportedGeneralNameType", "KeyError"]
print("cryptography", version("cryptography"), "·", ssl.OPENSSL_VERSION)
for (case, certificate), expected in zip(CASES.items(), EXPECTED, strict=True):
    seen, openssl = use(certificate), by_openssl(certificate)
    node = subprocess.run(["node", "-e", NODE], capture_output=True, text=True, check=True).stdout
    print(f"{case:27} its use: {seen!s:27} OpenSSL: {openssl}  Node: {node.strip()}")
    if (seen, openssl, node.strip()) != (expected, [NAME.decode()], NAME.decode()):
        sys.exit("this has changed")
PYTHON
