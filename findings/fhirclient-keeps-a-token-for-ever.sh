#!/usr/bin/env bash
# fhirclient 2.6.3 (npm): a token of ten minutes lasts for fifty-six thousand years, if "expires_in" is a text.
#
# The NHS's token service runs on Apigee, which writes every value of its answer as a text: "expires_in": "599".
# JavaScript takes such a text for a number in most places, as in "599" * 1000. One expects of a client that renews its
# token by itself, ten seconds before it ends, that it does so, or says that it cannot read that.
#
# Seen: it adds the text to the seconds of now: 1796059086 + "599" is 1796059086599, a moment of the year 58884. So it
# renews none. All goes well for ten minutes, longer than a demonstration. Then a read is 401, and the client forgets
# who has logged in: the app has to be launched anew, although the refresh token is good. With the number 599 it renews.
# simple-oauth2 5.1.0, client-oauth2 4.3.3, @badgateway/oauth2-client 3.3.1 and openid-client 6.8.9 read the text.
#
# The gateway reads both, and takes what it cannot read for five minutes (outbound/token.py).
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm --prefix "$folder" --silent --no-audit --no-fund install 'fhirclient@2.6.3' 'simple-oauth2@5.1.0' \
  'client-oauth2@4.3.3' '@badgateway/oauth2-client@3.3.1' 'openid-client@6.8.9'
cd "$folder"
cat >token.mjs <<'NODE'
import assert from "assert";
import http from "http";
import { OAuth2Client } from "@badgateway/oauth2-client";
import ClientOAuth2 from "client-oauth2";
import fhirclient from "fhirclient";
import * as openid from "openid-client";
import { ClientCredentials } from "simple-oauth2";

const now = Date.now;
let later = 0; // by how many ms the clock has moved on
Date.now = () => now() + later;
let expires, tokens, ends, answers;
const server = http.createServer((request, answer) => {
  answer.setHeader("Content-Type", "application/json");
  request.resume().on("end", () => {
    if (request.url === "/token") {
      tokens += 1;
      ends = Date.now() + 599_000;
      const issued = { access_token: `token-${tokens}`, token_type: "Bearer", expires_in: expires };
      return answer.end(JSON.stringify({ ...issued, refresh_token: "again", scope: "offline_access" }));
    }
    const isGood = request.headers.authorization === `Bearer token-${tokens}` && Date.now() < ends;
    answer.statusCode = isGood ? 200 : 401;
    answers.push(answer.statusCode);
    answer.end('{"resourceType":"Slot","id":"1"}');
  });
});
await new Promise((listens) => server.listen(0, "127.0.0.1", listens));
const url = `http://127.0.0.1:${server.address().port}`;

const EXPIRED = "Session expired! Please re-launch the app";
const NOBODY = "This app cannot be accessed directly. Please launch it as SMART app!";

class Kept extends Map {
  unset(key) {
    return this.delete(key);
  }
}

for (const each of [599, "599"]) {
  [expires, tokens, answers, later] = [each, 0, [], 0];
  const tokenResponse = { access_token: "of before", refresh_token: "again", scope: "offline_access" };
  const state = { serverUrl: url, tokenUri: `${url}/token`, clientId: "epr", expiresAt: 1, tokenResponse };
  const client = fhirclient({ headers: {} }, {}, new Kept()).client(state);
  const told = [];
  for (const minutes of [0, 5, 11, 12]) {
    later = minutes * 60_000;
    await client.request("Slot/1").catch((error) => told.push(error.message.split("\n").at(-1)));
  }
  const year = new Date(client.state.expiresAt * 1000).getUTCFullYear();
  console.log(`fhirclient, ${JSON.stringify(each)}: ${tokens} tokens, answers ${answers.join(" ")}, ends in ${year}`);
  assert.deepStrictEqual(answers, each === 599 ? [200, 200, 200, 200] : [200, 200, 401, 401]);
  assert.deepStrictEqual(told, each === 599 ? [] : [EXPIRED, NOBODY]);
  assert.strictEqual(tokens, each === 599 ? 2 : 1);
  assert.strictEqual(year > 50_000, each === "599");
}
later = 0;
const credentials = { client: { id: "epr", secret: "s" }, auth: { tokenHost: url, tokenPath: "/token" } };
const old = new ClientOAuth2({ clientId: "epr", clientSecret: "s", accessTokenUri: `${url}/token` });
const badgateway = new OAuth2Client({ clientId: "epr", clientSecret: "s", tokenEndpoint: `${url}/token` });
const service = new openid.Configuration({ issuer: url, token_endpoint: `${url}/token` }, "epr", "s");
openid.allowInsecureRequests(service);
const others = {
  "simple-oauth2": async () => (await new ClientCredentials(credentials).getToken({})).token.expires_at - now(),
  "client-oauth2": async () => (await old.credentials.getToken()).expires - now(),
  "@badgateway/oauth2-client": async () => (await badgateway.clientCredentials()).expiresAt - now(),
  "openid-client": async () => (await openid.clientCredentialsGrant(service, {})).expiresIn() * 1000,
};
for (const [name, lasts] of Object.entries(others)) {
  const seconds = (await lasts()) / 1000;
  console.log(`${name}, "599": ${Math.round(seconds)} seconds`);
  assert(seconds > 590 && seconds < 600);
}
server.close();
server.closeAllConnections();
NODE
node token.mjs
