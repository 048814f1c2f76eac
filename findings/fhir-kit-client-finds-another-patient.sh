#!/usr/bin/env bash
# fhir-kit-client 2.0.3: the patient whom a reference names is found as another patient of the Bundle.
#
# A reference within a Bundle names one entry: by the entry's whole address (fullUrl), or by type and id
# below the address of the entry that holds the reference. An id may have letters, digits, hyphens and
# dots: 1.1 and 1-1 are two patients, and each server counts for itself, so that a Bundle of two may hold
# two Patient/7. What one expects of resolve() with a Bundle is the one that is meant, or an error.
#
# Seen: the reference is used as a regular expression, in which a dot stands for any character, and the
# first fullUrl that ends in what it matches is taken. Patient/1.1 gives Patient/1-1, whole addresses
# too. Patient/7, which a ServiceRequest of one server refers to, gives the Patient/7 of the other; one
# cannot even say whose reference it is. No error and no warning: another person's name stands over the
# referral.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm --prefix "$folder" --silent --no-audit --no-fund install 'fhir-kit-client@2.0.3'
cd "$folder"
cat >patients.mjs <<'NODE'
import assert from "assert";
import { Client } from "fhir-kit-client";

const client = new Client({ baseUrl: "http://127.0.0.1:9" }); // nothing is asked of it
const patient = (server, id, family) => ({
  fullUrl: `https://${server}.example/Patient/${id}`,
  resource: { resourceType: "Patient", id, name: [{ family }] },
});
const bundle = (...entry) => ({ resourceType: "Bundle", type: "collection", entry });
const numbered = bundle(patient("a", "1-1", "Aldous"), patient("a", "1.1", "Bramall"));
const request = { resourceType: "ServiceRequest", id: "1", subject: { reference: "Patient/7" } };
const shared = bundle(
  patient("a", "7", "Aldous"),
  patient("b", "7", "Bramall"),
  { fullUrl: "https://b.example/ServiceRequest/1", resource: request },
);
const cases = [
  ["Patient/1-1", numbered, "Aldous", "Aldous"],
  ["Patient/1.1", numbered, "Bramall", "Aldous"],
  ["https://a.example/Patient/1.1", numbered, "Bramall", "Aldous"],
  [request.subject.reference, shared, "Bramall", "Aldous"],
  ["https://b.example/Patient/7", shared, "Bramall", "Bramall"],
];
for (const [reference, context, meant, expected] of cases) {
  const found = (await client.resolve({ reference, context })).name[0].family;
  console.log(`${reference.padEnd(30)} means ${meant.padEnd(8)} found: ${found}`);
  assert.strictEqual(found, expected);
}
NODE
node patients.mjs
