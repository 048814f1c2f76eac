#!/usr/bin/env bash
# fhirpath 5.2.2 (npm): an appointment of half an hour ends before it begins, by its decimals.
#
# FHIR lets an instant have any number of decimals, and BaRS writes seven, for that is what .NET has.
# FHIR's own rule per-1, which every Period has to satisfy, is that start <= end. The engine for
# JavaScript of the authors of FHIRPath's tests keeps all seven in toString(), so one expects that it
# compares them, or that it cuts off what JavaScript cannot hold.
#
# Seen: what follows the point is read as a number of milliseconds, however long it is. With three
# decimals that is right. With seven, 10:00:00.7543495 is 7,543,495 ms after ten: past noon. So half an
# hour from there breaks per-1, a message of this morning is "later" than now, and one decimal, a tenth
# of a second, is a millisecond. It is silent, and of two such values in one second the order is right,
# so that small tests pass. With the model of R4 as without, for elements and for literals; sums too.
# The port to Python, fhirpathpy 2.2.4, compares the same literals rightly.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install 'fhirpathpy==2.2.4'
npm --prefix "$folder" --silent --no-audit --no-fund install 'fhirpath@5.2.2'
cd "$folder"
cat >decimals.js <<'NODE'
const assert = require("assert");
const fhirpath = require("fhirpath");
const r4 = require("fhirpath/fhir-context/r4");

const RULE = "start.hasValue().not() or end.hasValue().not() or (start <= end)"; // per-1
const EXPECTED = [
  ["2026-11-30T10:00:00+00:00", "2026-11-30T10:30:00+00:00", true],
  ["2026-11-30T10:00:00.754+00:00", "2026-11-30T10:30:00.754+00:00", true],
  ["2026-11-30T10:00:00.0000000+00:00", "2026-11-30T10:30:00.0000000+00:00", true],
  ["2026-11-30T10:00:00.7543495+00:00", "2026-11-30T10:30:00+00:00", false],
  ["2026-11-30T10:00:00.7543495+00:00", "2026-11-30T12:05:43+00:00", false],
  ["2026-11-30T10:00:00.7543495+00:00", "2026-11-30T12:05:44+00:00", true],
  ["2026-11-30T10:00:00.5+00:00", "2026-11-30T10:00:00.400+00:00", true], // it ends before it begins
];
console.log("fhirpath", require("fhirpath/package.json").version);
for (const [start, end, expected] of EXPECTED) {
  const encounter = { resourceType: "Encounter", period: { start, end } };
  const [seen] = fhirpath.evaluate(encounter, `period.select(${RULE})`, {}, r4);
  const [ofLiterals] = fhirpath.evaluate({}, `@${start} <= @${end}`);
  console.log(start.padEnd(34), end.padEnd(34), "start <= end:", seen);
  assert.deepStrictEqual([seen, ofLiterals], [expected, expected]);
  assert.strictEqual(String(fhirpath.evaluate(encounter, "period.start.toString()", {}, r4)[0]), start);
}
const sum = String(fhirpath.evaluate({}, "@2026-11-30T10:00:00.7543495+00:00 + 1 second")[0]);
console.log("and a second later:", sum);
assert.ok(sum.startsWith("2026-11-30T12:05:44.495"), sum);
NODE
TZ=UTC node decimals.js
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

from fhirpathpy import evaluate

RULE = "@2026-11-30T10:00:00.7543495+00:00 <= @2026-11-30T10:30:00+00:00"
(seen,) = evaluate({}, RULE)
print("fhirpathpy", version("fhirpathpy"), "start <= end:", seen)
assert seen is True
PYTHON
