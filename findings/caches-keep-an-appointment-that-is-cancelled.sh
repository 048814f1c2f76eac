#!/usr/bin/env bash
# got 16.1.0, undici 7.30.2, hishel 2.0.0, three others: an appointment is booked for a day after it was cancelled.
#
# Whoever reads an appointment from a server of FHIR hears beside it when it was last changed (Last-Modified).
# Clients of HTTP have caches that can be switched on, and that keep an answer for as long as the server says. One
# expects that where it says nothing of that, it is asked again, or asked at least whether there is another one.
#
# Seen: got and undici keep it for a tenth of the time since it was last changed, as RFC 9111 allows (4.2.2). What
# was booked ten days ago is "booked" for a day more, whatever became of it, and nobody is asked. Where somebody tries
# it, it was booked a minute ago, and is asked for again after six seconds. make-fetch-happen and hishel keep it too,
# however long others have kept it before (Age); axios-cache-interceptor and requests-cache by rules of their own.
# Of an answer to a question with a token, got, undici and hishel with "rfc" keep nothing. CacheControl 0.14.4 asks
# again. With "Cache-Control: no-store" beside the answer all of them do, but for requests-cache and hishel where
# they are not told to care.
#
# The gateway says so with whatever it answers: to others (inbound/server.py), and to its EPR (epr/socket.py).
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install \
  'hishel[httpx]==2.0.0' 'requests-cache==1.3.3' 'CacheControl==0.14.4'
npm --prefix "$folder" --silent --no-audit --no-fund install \
  'got@16.1.0' 'undici@7.30.2' 'make-fetch-happen@15.0.6' 'axios@1.21.1' 'axios-cache-interceptor@1.12.3'
cd "$folder"
cat >asks.mjs <<'NODE'
import axios from "axios";
import { setupCache } from "axios-cache-interceptor";
import got from "got";
import fetcher from "make-fetch-happen";
import { Agent, fetch, interceptors } from "undici";

const kept = new Map();
const caching = setupCache(axios.create());
const dispatcher = new Agent().compose(interceptors.cache());
const fetchKept = fetcher.defaults({ cachePath: "kept" });
const clients = {
  got: (url, headers) => got(url, { cache: kept, headers }).json(),
  undici: async (url, headers) => (await fetch(url, { dispatcher, headers })).json(),
  "make-fetch-happen": async (url, headers) => (await fetchKept(url, { headers })).json(),
  "axios-cache-interceptor": async (url, headers) => (await caching.get(url, { headers })).data,
};
const [server, ...cases] = process.argv.slice(2);
for (const [name, ask] of Object.entries(clients)) {
  for (const each of cases) {
    const headers = each === "token" ? { Authorization: "Bearer t" } : {};
    const url = `${server}/${each}/Appointment/${name}`;
    await ask(url, headers);
    console.log(name, each, (await ask(url, headers)).status);
  }
}
NODE
cat >asks.py <<'PYTHON'
import email.utils
import http.server
import json
import subprocess
import threading
import time
from collections import Counter
from importlib.metadata import version

import requests
import requests_cache
from cachecontrol import CacheControl
from hishel import SqliteStorage
from hishel.httpx import CacheClient

DAY = 86400
CASES = {  # how many seconds ago it was changed, and what is said beside that
    "nothing": (10 * DAY, {}),
    "token": (10 * DAY, {}),  # and the question has one
    "23-hours": (10 * DAY, {"Age": str(DAY - 3600)}),  # for so long others have kept it before
    "25-hours": (10 * DAY, {"Age": str(DAY + 3600)}),
    "minute-4": (60, {"Age": "4"}),
    "minute-8": (60, {"Age": "8"}),
    "no-store": (10 * DAY, {"Cache-Control": "no-store"}),
}
A_TENTH = {"nothing", "23-hours", "minute-4"}
EXPECTED = {  # in which of these cases it is booked still
    "got": A_TENTH,
    "undici": A_TENTH,
    "hishel, rfc": set(CASES) - {"token", "no-store"},
    "make-fetch-happen": set(CASES) - {"no-store"},
    "axios-cache-interceptor": set(CASES) - {"no-store"},
    "requests-cache, cache_control": set(CASES) - {"no-store"},
    "requests-cache": set(CASES),
    "hishel": set(CASES),
    "CacheControl": set(),
}
asked = Counter()


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked[self.path] += 1
        status = "booked" if asked[self.path] == 1 else "cancelled"
        body = json.dumps({"resourceType": "Appointment", "status": status}).encode()
        ago, further = CASES[self.path.split("/")[1]]
        self.send_response(200)
        self.send_header("Content-Type", "application/fhir+json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", email.utils.formatdate(time.time() - ago, usegmt=True))
        self.send_header("ETag", f'W/"{asked[self.path]}"')
        for name, value in further.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=receiver.serve_forever, daemon=True).start()
server = f"http://127.0.0.1:{receiver.server_port}"
clients = {
    "hishel": CacheClient(storage=SqliteStorage(database_path="hishel.db")),
    "hishel, rfc": CacheClient(storage=SqliteStorage(database_path="rfc.db"), rfc=True),
    "requests-cache": requests_cache.CachedSession(backend="memory"),
    "requests-cache, cache_control": requests_cache.CachedSession(backend="memory", cache_control=True),
    "CacheControl": CacheControl(requests.Session()),
}
found = {name: set() for name in EXPECTED}
for name, client in clients.items():
    for case in CASES:
        headers = {"Authorization": "Bearer t"} if case == "token" else {}
        url = f"{server}/{case}/Appointment/{name}"
        first, second = (client.get(url, headers=headers).json()["status"] for _ in range(2))
        found[name] |= {case} if second == "booked" else set()
of_npm = subprocess.run(["node", "asks.mjs", server, *CASES], capture_output=True, text=True, check=True)
for line in of_npm.stdout.splitlines():
    name, case, status = line.split()
    found[name] |= {case} if status == "booked" else set()
print(*(f"{name} {version(name)}" for name in ("hishel", "requests-cache", "CacheControl")), sep=", ")
for name, cases in found.items():
    print(f"{name:30} booked still: {' '.join(case for case in CASES if case in cases) or '-'}")
assert found == EXPECTED
PYTHON
venv/bin/python asks.py
