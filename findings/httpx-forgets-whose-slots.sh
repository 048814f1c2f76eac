#!/usr/bin/env bash
# httpx 0.28.1, httpx2 2.16.2, got 16.1.0 (npm): the second page of one clinic's slots has those of all clinics.
#
# A search of FHIR is answered page by page: the first names the address of the next (link, relation "next"),
# which has the whole search in it, and which is to be asked for as it stands. So are addresses from a catalogue
# of services. A client is often made with a parameter for all that it asks, such as _format=json. One expects
# that it is put behind those that an address has, or that what is empty changes nothing.
#
# Seen: what is given beside an address takes the place of all that stood in it. So the next page is asked for
# as /Slot?_format=json, and the answer is good: slots of every clinic and day, and who takes the first of them
# books at another clinic. An empty set of parameters, {}, such as a function hands on that was given none,
# does it as well. Nothing is said, and the first page, for which all parameters are given, is right. httpx2,
# which came after httpx, does the same; got has it in its manual. requests 2.34.2, niquests 3.21.2, aiohttp
# 3.14.5, ky 2.1.0, ofetch 1.5.1, superagent 10.4.2 and axios 1.21.1 put it behind what is there.
#
# The gateway asks with aiohttp, for addresses that it has put together whole (outbound/proxy.py).
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install \
  'httpx==0.28.1' 'httpx2==2.16.2' 'requests==2.34.2' 'niquests==3.21.2' 'aiohttp==3.14.5'
npm --prefix "$folder" --silent --no-audit --no-fund install \
  'got@16.1.0' 'ky@2.1.0' 'ofetch@1.5.1' 'superagent@10.4.2' 'axios@1.21.1'
cd "$folder"
cat >asks.mjs <<'NODE'
import axios from "axios";
import got from "got";
import ky from "ky";
import { ofetch } from "ofetch";
import superagent from "superagent";

const [next] = process.argv.slice(2);
const clients = {
  got: (params) => got.extend({ searchParams: params })(next).text(),
  ky: (params) => ky.extend({ searchParams: params })(next).text(),
  ofetch: (params) => ofetch.create({ query: params })(next, { responseType: "text" }),
  superagent: async (params) => (await superagent.agent().query(params).get(next)).text,
  axios: async (params) => (await axios.create({ params }).get(next)).data,
};
for (const [name, asked] of Object.entries(clients)) {
  console.log(JSON.stringify([name, await asked({ _format: "json" }), await asked({})]));
}
NODE
cat >asks.py <<'PYTHON'
import asyncio
import http.server
import json
import subprocess
import threading
from urllib.parse import unquote

import aiohttp
import httpx
import httpx2
import niquests
import requests

SEARCH = "/Slot?schedule.actor:healthcareservice=2000099999&start=ge2026-11-30&page=2"
FORGOTTEN = ("/Slot?_format=json", "/Slot")  # with a parameter of the client's, and with none
KEPT = (f"{SEARCH}&_format=json", SEARCH)


class Receiver(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked for."""

    def do_GET(self):
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def by_client(library, params):
    with library.Client(params=params) as client:
        return client.get(following).text if params else client.get(following, params={}).text


def by_session(library, params):
    with library.Session() as session:
        session.params = params
        return session.get(following).text


def by_aiohttp(library, params):
    async def asked():
        async with library.ClientSession() as session, session.get(following, params=params) as answer:
            return await answer.text()

    return asyncio.run(asked())


receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=receiver.serve_forever, daemon=True).start()
following = f"http://127.0.0.1:{receiver.server_port}{SEARCH}"
print("the link:", SEARCH)
found = {}
ways = {httpx: by_client, httpx2: by_client, requests: by_session, niquests: by_session, aiohttp: by_aiohttp}
for library, by in ways.items():
    name = f"{library.__name__} {library.__version__}"
    found[name] = by(library, {"_format": "json"}), by(library, {})
of_npm = subprocess.run(["node", "asks.mjs", following], capture_output=True, text=True, check=True)
for line in of_npm.stdout.splitlines():
    name, *arrived = json.loads(line)
    found[f"{name} (npm)"] = tuple(arrived)
for name, arrived in found.items():
    print(f"{name:17} " + "\n".ljust(19).join(arrived))
    assert tuple(map(unquote, arrived)) == (FORGOTTEN if name.startswith(("httpx", "got")) else KEPT)
PYTHON
venv/bin/python asks.py
