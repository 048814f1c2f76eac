#!/usr/bin/env bash
# Express 5.3.0, Koa 3.3.0, @fastify/accepts 5.0.6, Werkzeug 3.1.9, Django 5.2.19, WebOb 1.8.11: BaRS asks in vain.
#
# Each request of BaRS says which version of its Core is meant beside the media type that is wanted:
# "Accept: application/fhir+json; version=1.5.0". A server has application/fhir+json to give, and frameworks
# have a function that tells whether a client takes it. One expects a yes: it is the same media type, and
# what it says besides is for the server to look at.
#
# Seen: for most it is a no. A parameter in Accept has to be there in what is offered as well, letter by letter, as
# RFC 9110 (12.5.1) may be read. Express answers 406 by itself (res.format); what asks the others refuses every
# message, or answers as to somebody who takes nothing of it. Who offers "…; version=1.5.0" instead serves that, and
# refuses the Senders of 1.4.0 on the day they call. Questions without a version, as one asks when trying it, are
# answered. Hono 4.13.19, @hapi/accept 6.0.3, Falcon 4.4.0, and Django REST framework 3.18.3 on that same Django, say
# yes to all of them.
#
# The gateway looks at the media type and at the version each by itself (standard/formats.py).
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install \
  'Werkzeug==3.1.9' 'Django==5.2.19' 'djangorestframework==3.18.3' 'WebOb==1.8.11' 'falcon==4.4.0'
npm --prefix "$folder" --silent --no-audit --no-fund install \
  'express@5.3.0' 'koa@3.3.0' 'fastify@5.12.8' '@fastify/accepts@5.0.6' 'hono@4.13.19' '@hapi/accept@6.0.3'
cd "$folder"
cat >accept.mjs <<'NODE'
import assert from "assert";
import http from "http";
import fastifyAccepts from "@fastify/accepts";
import hapi from "@hapi/accept";
import express from "express";
import fastify from "fastify";
import { Hono } from "hono";
import { accepts as honoAccepts } from "hono/accepts";
import Koa from "koa";

const FHIR = "application/fhir+json";
const OFFERS = [FHIR, `${FHIR}; version=1.5.0`];
const ACCEPTS = [...OFFERS, `${FHIR}; version=1.4.0`];
const listening = async (server) => {
  await new Promise((listens) => server.listen(0, "127.0.0.1", listens));
  return server;
};
const asked = (server, accept) =>
  new Promise((answered, failed) => {
    const { port } = server.address();
    const sent = http.get({ host: "127.0.0.1", port, headers: accept ? { accept } : {}, agent: false }, (answer) => {
      let text = "";
      answer.on("data", (part) => (text += part)).on("end", () => answered(answer.statusCode === 406 ? "406" : text));
    });
    sent.on("error", failed);
  });
const servers = {
  express: (offer) => {
    const app = express().set("env", "test"); // or its log has each 406
    app.get("/", (_, answer) => answer.format({ [offer]: () => answer.send("yes") }));
    return http.createServer(app);
  },
  koa: (offer) => {
    const app = new Koa();
    app.use((context) => (context.body = context.accepts(offer) ? "yes" : "no"));
    return http.createServer(app.callback());
  },
  "@fastify/accepts": async (offer) => {
    const app = fastify();
    await app.register(fastifyAccepts);
    app.get("/", (request, reply) => reply.send(request.accepts().type([offer]) ? "yes" : "no"));
    await app.ready();
    return app.server;
  },
};
for (const [name, make] of Object.entries(servers)) {
  const found = [];
  for (const offer of OFFERS) {
    const server = await listening(await make(offer));
    for (const accept of ACCEPTS) found.push(await asked(server, accept));
    server.close();
  }
  console.log(name.padEnd(18), found.join(" "));
  const no = name === "express" ? "406" : "no";
  assert.deepStrictEqual(found, ["yes", no, no, "yes", "yes", no]);
}
const app = new Hono();
app.get("/", (context) => context.text(honoAccepts(context, { header: "Accept", supports: [FHIR], default: "no" })));
const ofHono = await (await app.request("/", { headers: { accept: `${FHIR}; version=1.5.0` } })).text();
const ofHapi = hapi.mediaType(`${FHIR}; version=1.5.0`, [FHIR]);
console.log("hono, @hapi/accept", ofHono, ofHapi);
assert.deepStrictEqual([ofHono, ofHapi], [FHIR, `${FHIR};version=1.5.0`]);
NODE
cat >accept.py <<'PYTHON'
from importlib.metadata import version

import django
import falcon.testing
import webob
from django.conf import settings

settings.configure()
django.setup()
from django.test import RequestFactory
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

FHIR = "application/fhir+json"
OFFERS = (FHIR, f"{FHIR}; version=1.5.0")
ACCEPTS = (FHIR, f"{FHIR}; version=1.5.0", f"{FHIR}; version=1.4.0")


def of_django(accept, offer):
    return RequestFactory().get("/", headers={"accept": accept}).get_preferred_type([offer]) is not None


def of_its_rest_framework(accept, offer):
    renderer = type("Fhir", (JSONRenderer,), {"media_type": offer, "format": "fhir"})()
    request = Request(RequestFactory().get("/", headers={"accept": accept}))
    return bool(DefaultContentNegotiation().select_renderer(request, [renderer]))


ASKED = {
    "Werkzeug": lambda accept, offer: parse_accept_header(accept, MIMEAccept).best_match([offer]) is not None,
    "Django": of_django,
    "WebOb": lambda accept, offer: bool(webob.acceptparse.create_accept_header(accept).acceptable_offers([offer])),
    "falcon": lambda accept, offer: falcon.testing.create_req(headers={"Accept": accept}).client_accepts(offer),
    "djangorestframework": of_its_rest_framework,
}
for name, asked in ASKED.items():
    found = [asked(accept, OFFERS[0]) for accept in ACCEPTS]
    print(f"{name:20}{version(name):8}", *("yes" if one else "no" for one in found))
    takes_any = name in {"falcon", "djangorestframework"}
    assert found == [True, takes_any, takes_any], (name, found)
    if not takes_any:
        assert [asked(accept, OFFERS[1]) for accept in ACCEPTS[1:]] == [True, False], name
PYTHON
node accept.mjs
venv/bin/python accept.py
