#!/usr/bin/env bash
# Express 4.22.3 (npm), HAProxy 2.6.12 (Debian 12): nothing is at /$process-message, nor at any operation of FHIR.
#
# Operations of FHIR begin with a dollar: $validate, $expand, and $process-message, to which every message
# of BaRS is posted. A dollar may stand in a path as it is (RFC 3986, 3.3). One expects of a path that is
# written down in a server's program, or in a balancer's rules between quotation marks, that it is the
# path, or an error.
#
# Seen: Express 4, which many still have, makes a regular expression of it in which the dollar is the end:
# post("/$process-message") is met by nothing, and the answer is 404. "/([$])process-message" helps. Express
# 5.3.0, Koa's router, Fastify, hapi, Hono and Polka meet it. HAProxy puts the environment's variable
# "process", which there is not, into a text in double quotation marks: the rule is for /-message now.
# "haproxy -c" calls the file valid, without a warning. So what a rule has for messages, a longer timeout or
# another server, they do not get, and nobody is told. In single quotation marks, or in none, it is right.
#
# The gateway takes it as it stands, and with %24 for the dollar. This needs Debian 12 for HAProxy.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm --prefix "$folder" --silent --no-audit --no-fund install \
  'express@4.22.3' 'express5@npm:express@5.3.0' 'koa@3.3.0' '@koa/router@15.7.0' 'fastify@5.12.8' \
  '@hapi/hapi@21.4.10' 'hono@4.13.19' '@hono/node-server@2.1.9' 'polka@0.5.2'
apt-get --quiet=2 download 'haproxy=2.6.12-1+deb12u4' 'liblua5.3-0=5.3.6-2' \
  'libopentracing-c-wrapper0=1.1.3-3+b1' 'libopentracing1=1.6.0-4'
for package in ./*.deb; do dpkg --extract "$package" debian; done
cat >paths.mjs <<'NODE'
import assert from "assert";
import { execFileSync, spawn } from "child_process";
import { once } from "events";
import { writeFileSync } from "fs";
import { createServer } from "net";
import { setTimeout } from "timers/promises";
import Hapi from "@hapi/hapi";
import { getRequestListener } from "@hono/node-server";
import { Router } from "@koa/router";
import express4 from "express";
import express5 from "express5";
import Fastify from "fastify";
import { Hono } from "hono";
import { createServer as createHttpServer } from "http";
import Koa from "koa";
import polka from "polka";

const PATH = "/$process-message";
const ok = (request, response) => response.end("met");
const servers = {
  "Express 4": () => createHttpServer(express4().post(PATH, ok)),
  "Express 4, ([$])": () => createHttpServer(express4().post("/([$])process-message", ok)),
  "Express 5": () => createHttpServer(express5().post(PATH, ok)),
  "Koa's router": () => {
    const met = new Router().post(PATH, (context) => void (context.body = "met"));
    return createHttpServer(new Koa().use(met.routes()).callback());
  },
  Fastify: async () => {
    const fastify = Fastify();
    fastify.post(PATH, async () => "met");
    await fastify.ready();
    return fastify.server;
  },
  hapi: async () => {
    const hapi = Hapi.server();
    hapi.route({ method: "POST", path: PATH, handler: () => "met" });
    await hapi.initialize();
    return hapi.listener;
  },
  Hono: () => createHttpServer(getRequestListener(new Hono().post(PATH, (c) => c.text("met")).fetch)),
  Polka: () => createHttpServer(polka().post(PATH, ok).handler),
};
const listening = async (server) => (await once(server.listen(0, "127.0.0.1"), "listening"), server.address().port);
const posted = async (port, path) => (await fetch(`http://127.0.0.1:${port}${path}`, { method: "POST" })).status;
for (const [name, made] of Object.entries(servers)) {
  const server = await made();
  const status = await posted(await listening(server), PATH);
  console.log(name.padEnd(17), PATH, status);
  assert.strictEqual(status, name === "Express 4" ? 404 : 200);
  server.close();
}

const rules = { [`"${PATH}"`]: [404, 200], [`'${PATH}'`]: [200, 404], [PATH]: [200, 404] };
for (const [rule, expected] of Object.entries(rules)) {
  const free = createServer();
  const port = await listening(free);
  await new Promise((closed) => free.close(closed));
  writeFileSync("haproxy.cfg", `
defaults
  mode http
  timeout client 5s
  timeout connect 5s
  timeout server 5s
frontend bars
  bind 127.0.0.1:${port}
  http-request return status 200 if { path ${rule} }
  http-request return status 404
`);
  const said = execFileSync("debian/usr/sbin/haproxy", ["-c", "-f", "haproxy.cfg"], { encoding: "utf8" });
  const haproxy = spawn("debian/usr/sbin/haproxy", ["-db", "-q", "-f", "haproxy.cfg"]);
  let found;
  for (let tries = 0; !found && tries < 100; tries++) {
    found = await Promise.all([posted(port, PATH), posted(port, "/-message")]).catch(() => setTimeout(100));
  }
  console.log(`HAProxy, path ${rule}`.padEnd(36), `${PATH} ${found[0]}  /-message ${found[1]}  ${said.trim()}`);
  haproxy.kill();
  assert.deepStrictEqual([found, said.trim()], [expected, "Configuration file is valid"]);
}
NODE
export LD_LIBRARY_PATH=$folder/debian/usr/lib/x86_64-linux-gnu
debian/usr/sbin/haproxy -v | head -n 1
env -u process node paths.mjs
