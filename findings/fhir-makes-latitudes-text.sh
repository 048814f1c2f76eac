#!/usr/bin/env bash
# fhir 4.12.0 (npm): the place of an incident is text after XML was read: "latitude": "53.8008".
#
# In FHIR's XML every value is written as text; in its JSON decimals and whole numbers are numbers. A
# referral of the ambulance service says where the patient lies, in latitude and longitude. What one
# expects of a library that turns XML into JSON is JSON that is FHIR: numbers where it has numbers.
#
# Seen: whole numbers (a rank, a count) become numbers, and decimals stay text: "53.8008". Its own
# validate() calls that an error, in what it has just written itself. A Receiver that takes FHIR at its
# word refuses the referral; one that only calculates moves the place by adding to a text, or compares
# "9.5" with "53.8" and finds it larger. That the zeros of "1.10" are kept so is no excuse: what it
# writes as XML from a JSON number has lost them.
# Python's fhir.resources 8.3.0 makes numbers of the same XML.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install \
  'fhir.resources==8.3.0' 'lxml==6.1.1' 'pydantic==2.13.1'
npm --prefix "$folder" --silent --no-audit --no-fund install 'fhir@4.12.0'
cd "$folder"
cat >place.js <<'NODE'
const assert = require("assert");
const { execFileSync } = require("child_process");
const { Fhir } = require("fhir");

const OTHER = `import sys
from fhir.resources.R4B.location import Location
print(Location.model_validate_xml(sys.stdin.buffer.read()).model_dump_json())`;
const NS = 'xmlns="http://hl7.org/fhir"';
const position = '<position><longitude value="-1.5491"/><latitude value="53.8008"/></position>';
const telephone = '<telecom><system value="phone"/><rank value="1"/></telecom>';
const place = `<Location ${NS}>${telephone}${position}</Location>`;
const fhir = new Fhir();
const read = fhir.xmlToObj(place);
const numbers = { ...read, position: { longitude: -1.5491, latitude: 53.8008 } };
const options = { input: place, encoding: "utf8" };
const other = JSON.parse(execFileSync("venv/bin/python", ["-c", OTHER], options)).position;
const found = [read, numbers].map((each) => fhir.validate(each).messages.map(({ message }) => message));
const zeros = fhir.objToXml(JSON.parse('{"resourceType": "Location", "position": {"latitude": 53.80}}'));
console.log("given:         ", place);
console.log("read as:       ", JSON.stringify(read));
console.log("fhir.resources:", JSON.stringify(other));
console.log("what validate() says of text, and of numbers:", JSON.stringify(found));
console.log("the number 53.80 written:", zeros.match(/<latitude[^>]*>/)[0]);
assert.deepStrictEqual(read.position, { longitude: "-1.5491", latitude: "53.8008" });
assert.strictEqual(read.telecom[0].rank, 1);
assert.deepStrictEqual(other, { longitude: -1.5491, latitude: 53.8008 });
const expected = (value) => `Number type expected but string received for value "${value}"`;
assert.deepStrictEqual(found, [[expected("-1.5491"), expected("53.8008")], []]);
assert.match(zeros, /<latitude value="53.8"\/>/);
NODE
node place.js
