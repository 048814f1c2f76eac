#!/usr/bin/env bash
# fhirpathpy 2.2.4: an appointment of the night when the clocks go back ends before it begins.
#
# FHIR compares instants as moments: 01:30+01:00 is half an hour before 01:00+00:00. FHIRPath is what
# FHIR writes its own rules in ("a period starts before it ends"), and whoever compares an element with
# a literal in it sees that the engine knows of offsets. One expects the same of two elements.
#
# Seen: two elements are compared letter by letter, also where the model of R4 is given, which says
# that they are instants: so a period of that night is upside down, and the same moment written in
# British Summer Time and in UTC is two. With a literal on one side, or .toDateTime() on both, it is
# right. npm's fhirpath 5.2.2 gets it right with the model, and wrong in the same way without it, but for
# a literal, which is an error then. In winter, and in tests of one offset, nobody sees any of it.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install 'fhirpathpy==2.2.4'
npm --prefix "$folder" --silent --no-audit --no-fund install 'fhirpath@5.2.2'
cd "$folder"
cat >appointment.json <<'JSON'
{"resourceType": "Appointment", "status": "booked",
 "start": "2026-10-25T01:30:00+01:00", "end": "2026-10-25T01:00:00+00:00",
 "created": "2026-06-01T10:00:00+01:00", "meta": {"lastUpdated": "2026-06-01T09:00:00Z"}}
JSON
cat >expected.json <<'JSON'
{"Appointment.start < Appointment.end":                           [false, false, false, true],
 "Appointment.created = Appointment.meta.lastUpdated":            [false, false, false, true],
 "Appointment.start < @2026-10-25T01:00:00+00:00":                [true, true, "an error", true],
 "Appointment.start.toDateTime() < Appointment.end.toDateTime()": [true, true, true, true]}
JSON
cat >engine.js <<'NODE'
const fhirpath = require("fhirpath");
const read = (name) => JSON.parse(require("fs").readFileSync(name, "utf8"));
const seen = {};
for (const rule of Object.keys(read("expected.json")))
  seen[rule] = [undefined, require("fhirpath/fhir-context/r4")].map((model) => {
    try {
      return fhirpath.evaluate(read("appointment.json"), rule, {}, model)[0];
    } catch {
      return "an error";
    }
  });
console.log(JSON.stringify(seen));
NODE
node engine.js >javascript.json
"$folder/venv/bin/python" - <<'PYTHON'
import json
import sys
from importlib.metadata import version
from pathlib import Path

from fhirpathpy import evaluate
from fhirpathpy.models import models

appointment, expected, javascript = (
    json.loads(Path(f"{name}.json").read_text()) for name in ("appointment", "expected", "javascript")
)
npm = json.loads(Path("node_modules/fhirpath/package.json").read_text())["version"]
print("fhirpathpy", version("fhirpathpy"), "without and with the model · fhirpath", npm, "likewise")
for rule, right in expected.items():
    seen = [evaluate(appointment, rule, {}, model)[0] for model in (None, models["r4"])]
    seen += javascript[rule]
    print(f"{rule:62}", *seen)
    if seen != right:
        sys.exit("this has changed")
PYTHON
