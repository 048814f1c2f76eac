#!/usr/bin/env bash
# fhir 4.12.0 (npm): the line of an address that is withheld is another one after XML was read.
#
# FHIR says beside a value why there is none: of the lines of an address, or of somebody's given names,
# one may be masked for the person's safety. In XML such a line is an element without a value; in JSON
# null stands in its place, so that the two lists, of values and of what is said beside them, keep in
# step. What one expects of a library that turns one into the other is that they do.
#
# Seen: reading XML, it leaves the null out. The reason moves to the line that stands in that place now:
# the second line is marked as withheld, and the first, which is withheld, is gone. Where it was the
# last line, there is no other to take it, and when the resource is written again the reason is gone as
# well. No error and no warning. From JSON to XML it keeps the places.
# Python's fhir.resources 8.3.0, as the JSON is written in the specification, keeps them, too.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install 'fhir.resources==8.3.0' 'lxml==6.1.1'
npm --prefix "$folder" --silent --no-audit --no-fund install 'fhir@4.12.0'
cd "$folder"
cat >lines.js <<'NODE'
const assert = require("assert");
const { execFileSync } = require("child_process");
const { Fhir } = require("fhir");

const URL = "http://hl7.org/fhir/StructureDefinition/data-absent-reason";
const MASKED = `<line><extension url="${URL}"><valueCode value="masked"/></extension></line>`;
const LINE = '<line value="Flat 2"/>';
const REASON = { extension: [{ url: URL, valueCode: "masked" }] };
const OTHER = `import sys
from fhir.resources.R4B.patient import Patient
print(Patient.model_validate_json(sys.stdin.read()).model_dump_json())`;
const fhir = new Fhir();
const patient = (lines) => `<Patient xmlns="http://hl7.org/fhir"><address>${lines}</address></Patient>`;
const linesOf = (xml) => xml.match(/<address>(.*)<\/address>/)[1];
const cases = {
  "the first is withheld": {
    lines: MASKED + LINE,
    right: { line: [null, "Flat 2"], _line: [REASON, null] },
    seen: { line: ["Flat 2"], _line: [REASON] },
    again: LINE.replace("/>", ">") + MASKED.slice("<line>".length),
  },
  "the last is withheld": {
    lines: LINE + MASKED,
    right: { line: ["Flat 2", null], _line: [null, REASON] },
    seen: { line: ["Flat 2"], _line: [null, REASON] },
    again: LINE,
  },
};
for (const [name, { lines, right, seen, again }] of Object.entries(cases)) {
  const read = fhir.xmlToObj(patient(lines));
  console.log(name);
  console.log("  XML:          ", lines.replaceAll(URL, "…"));
  console.log("  read as:      ", JSON.stringify(read.address[0]).replaceAll(URL, "…"));
  console.log("  written again:", linesOf(fhir.objToXml(read)).replaceAll(URL, "…"));
  assert.deepStrictEqual(read.address, [seen]);
  assert.strictEqual(linesOf(fhir.objToXml(read)), again);
  const json = { resourceType: "Patient", address: [right] };
  assert.strictEqual(linesOf(fhir.objToXml(json)), lines);
  const options = { input: JSON.stringify(json), encoding: "utf8" };
  assert.deepStrictEqual(JSON.parse(execFileSync("venv/bin/python", ["-c", OTHER], options)), json);
}
NODE
node lines.js
