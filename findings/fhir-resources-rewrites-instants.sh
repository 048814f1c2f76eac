#!/usr/bin/env bash
# fhir.resources 8.3.0: a valid resource that is read and written again is another resource.
#
# FHIR allows an instant any number of decimals and says that precision matters; a decimal keeps
# its zeros (1.10 is not 1.1). BaRS writes seven decimals, and a Receiver compares what it stored
# with what an update carries. What one expects of a FHIR model library is that reading and
# writing changes nothing.
#
# Seen: seven decimals are cut to six, one decimal becomes six, +00:00 and -00:00 become Z, and
# 1.10 becomes 1.1. No error, no warning. So a gateway that forwards through such a model sends
# other bytes, and other instants, than it was given.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install \
  'fhir.resources==8.3.0' 'pydantic==2.13.1'
"$folder/venv/bin/python" - <<'PYTHON'
import json
from importlib.metadata import version

from fhir.resources.R4B.observation import Observation

WRITTEN = {  # as it was given → as it is written again
    "2026-03-01T09:00:00.1234567+00:00": "2026-03-01T09:00:00.123456Z",
    "2026-03-01T09:00:00.1+01:00": "2026-03-01T09:00:00.100000+01:00",
    "2026-03-01T09:00:00-00:00": "2026-03-01T09:00:00Z",
}
text = """{"resourceType": "Observation", "status": "final", "code": {"text": "weight"},
           "effectiveDateTime": "%s", "valueQuantity": {"value": 1.10}}"""

print("fhir.resources", version("fhir.resources"), "with pydantic", version("pydantic"))
for given, expected in WRITTEN.items():
    again = Observation.model_validate_json(text % given).model_dump_json()
    seen = json.loads(again)["effectiveDateTime"]
    print(f"{given:36} → {seen}")
    assert seen == expected, seen
    assert '"value":1.1}' in again, again
print("1.10                                 → 1.1")
PYTHON
