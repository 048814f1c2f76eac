#!/usr/bin/env bash
# asyncio (CPython 3.11): a client whose certificate is missing is never told so.
#
# A TLS server that refuses a client sends an alert, such as certificate_required; the client's
# log then says what is wrong. OpenSSL writes that alert into the outgoing buffer as the handshake
# fails. What one expects of asyncio.start_server is that the buffer is sent before the connection
# is closed, as a plain ssl.SSLSocket does.
#
# Seen: asyncio closes at once and the alert is never sent. Under TLS 1.2 the client sees the
# connection end in the middle; under TLS 1.3, where it has finished its own handshake already, it
# reads an empty answer, which looks like an orderly end. The same context behind a plain socket
# sends the alert in both. For BaRS it matters that the national proxy answers 503 to an alert and
# 502 to a broken connection, and that the caller's desk looks in another place.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install 'trustme==1.2.1'
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import logging
import socket
import ssl
import sys
import threading

import trustme

logging.disable()  # asyncio's own report of the handshake
authority = trustme.CA()
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.verify_mode = ssl.CERT_REQUIRED
authority.configure_trust(server)
authority.issue_cert("localhost").configure_cert(server)
EXPECTED = {
    ("TLSv1_2", "ssl"): "SSLV3_ALERT_HANDSHAKE_FAILURE",
    ("TLSv1_2", "asyncio"): "UNEXPECTED_EOF_WHILE_READING",
    ("TLSv1_3", "ssl"): "TLSV13_ALERT_CERTIFICATE_REQUIRED",
    ("TLSv1_3", "asyncio"): "an empty answer",
}


def ask(port, version):
    """Return what a client without a certificate gets."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    client.minimum_version = client.maximum_version = version
    try:
        with socket.create_connection(("127.0.0.1", port)) as plain:
            with client.wrap_socket(plain, server_hostname="localhost") as secure:
                return "an answer" if secure.recv(10) else "an empty answer"
    except ssl.SSLError as error:
        return error.reason


def serve(listener):
    """Do with a plain socket what asyncio.start_server is asked to do."""
    while True:
        plain, _ = listener.accept()
        try:
            server.wrap_socket(plain.dup(), server_side=True)
        except ssl.SSLError:
            plain.shutdown(socket.SHUT_WR)
            plain.recv(1000)
        plain.close()


async def main():
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=[listener], daemon=True).start()
    loop = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, ssl=server)
    ports = {
        "ssl": listener.getsockname()[1],
        "asyncio": loop.sockets[0].getsockname()[1],
    }
    print("Python", sys.version.split()[0], "with", ssl.OPENSSL_VERSION)
    for (version, kind), expected in EXPECTED.items():
        seen = await asyncio.to_thread(ask, ports[kind], ssl.TLSVersion[version])
        print(f"{version}  {kind:8} {seen}")
        assert seen == expected, seen


asyncio.run(main())
PYTHON
