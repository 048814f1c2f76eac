#!/usr/bin/env bash
# cryptography 50.0.2: a chain that is written as PKCS#7 comes back with another one first.
#
# Authorities and Windows send a certificate with those above it as PKCS#7 (.p7b). As PEM the order is
# kept and means something: one's own is first, and servers and ssl.load_cert_chain rely on that. One
# expects a list that is written as PKCS#7 to be read as the same list.
#
# Seen: it is sorted by its bytes, of which the first that differ say the length: so the shortest is
# first, mostly a root, and one's own with its many extensions last. For in PKCS#7 the certificates
# are a set, and DER sorts sets. Whoever takes the first for his own is told that the key does not
# belong to it (KEY_VALUES_MISMATCH), and asks the authority for another one. node-forge 1.4.3 writes
# them in the order given, as PKCS#7 allows; cryptography reads that as it stands, with a UserWarning
# that it "may become an exception".
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install 'cryptography==50.0.2'
npm --prefix "$folder" --silent --no-audit --no-fund install 'node-forge@1.4.3'
cd "$folder"
cat >written.js <<'NODE'
const { pkcs7, pki } = require("node-forge");
const chain = require("fs").readFileSync("chain.pem", "utf8").match(/-----BEGIN[^]+?-----END.*/g);
const bundle = pkcs7.createSignedData();
for (const one of chain) bundle.addCertificate(pki.certificateFromPem(one));
require("fs").writeFileSync("forge.p7b", pkcs7.messageToPem(bundle));
NODE
cat >order.py <<'PYTHON'
import ssl
import subprocess
import warnings
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7
from cryptography.x509.oid import NameOID

OWN = "gateway.trust.example"
now, day = datetime.now(UTC), timedelta(days=1)


def named(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def certified(name, key, by, signing):
    is_authority = name != OWN
    builder = x509.CertificateBuilder(
        named(by), named(name), key.public_key(), x509.random_serial_number(), now, now + day
    ).add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    if not is_authority:
        names = x509.SubjectAlternativeName([x509.DNSName(name)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signing, SHA256())


def names(chain):
    return [one.subject.rfc4514_string().removeprefix("CN=") for one in chain]


def fits_the_key(chain):
    Path("chain.pem").write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in chain))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain("chain.pem", "key.pem")
    except ssl.SSLError as error:
        return error.reason
    return "it fits the key"


root, middle, own = (rsa.generate_private_key(65537, 2048) for _ in range(3))
Path("key.pem").write_bytes(
    own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
)
given = [
    certified(OWN, own, "An issuing authority", middle),
    certified("An issuing authority", middle, "Root", root),
    certified("Root", root, "Root", root),
]
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    read = pkcs7.load_pem_pkcs7_certificates(pkcs7.serialize_certificates(given, Encoding.PEM))
    assert not said
print("cryptography", version("cryptography"))
print("given:          ", *names(given), "·", fits := fits_the_key(given), sep="  ")
subprocess.run(["node", "written.js"], check=True)
print("written and read:", *names(read), "·", broken := fits_the_key(read), sep="  ")
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    kept = pkcs7.load_pem_pkcs7_certificates(Path("forge.p7b").read_bytes())
print("of node-forge:   ", *names(kept), "·", *(str(one.message)[:66] for one in said), sep="  ")
assert (fits, broken) == ("it fits the key", "KEY_VALUES_MISMATCH")
assert names(read) == ["Root", "An issuing authority", OWN], names(read)
assert names(kept) == names(given)
assert [one.category for one in said] == [UserWarning]
PYTHON
"$folder/venv/bin/python" order.py
