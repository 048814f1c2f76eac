#!/usr/bin/env bash
# google-fhir-r4 0.11.0: a patient with one masked name cannot be read, nor any message of BaRS.
#
# In FHIR's JSON a list of names in which one is withheld has null in its place, and why beside it:
# "given": ["Mary", null], "_given": [null, {"extension": …}]. An instant may have any number of decimals,
# and BaRS writes seven. Both are FHIR as its own pages have it. One expects of a reader that it reads
# them, or of one that holds microseconds that it says which decimals it cannot hold.
#
# Seen: both are errors that name neither the place nor the cause: a pattern for texts that was not found
# ("Unable to find pattern", of the null), and "Invalid DateTime." So of a message nothing is read, be it
# for one name in it. With validate=False the name is read, and cannot be written any more. One that is
# masked alone is read; seven decimals are refused also where the last is a zero. Two decimals are read,
# and written as three, which is another precision.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install 'google-fhir-r4==0.11.0'
"$folder/venv/bin/python" - <<'PYTHON'
import json
from importlib.metadata import version

from google.fhir.core.fhir_errors import InvalidFhirError
from google.fhir.r4 import json_format
from google.fhir.r4.proto.core.resources.encounter_pb2 import Encounter
from google.fhir.r4.proto.core.resources.patient_pb2 import Patient

REASON = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
MASKED = {"extension": [{"url": REASON, "valueCode": "masked"}]}
NO_PATTERN = r"Unable to find pattern: re.compile('[ \\r\\n\\t\\S]+', re.ASCII)."


def patient(**given):
    return {"resourceType": "Patient", "name": [{"family": "Testcase"} | given]}


def encounter(start):
    about = {"status": "planned", "class": {"code": "EMER"}, "period": {"start": start}}
    return {"resourceType": "Encounter"} | about


def read_and_written(resource, validate):
    kind = {"Patient": Patient, "Encounter": Encounter}[resource["resourceType"]]
    doing = "reading"
    try:
        read = json_format.json_fhir_string_to_proto(
            json.dumps(resource), kind, validate=validate, default_timezone="UTC"
        )
        doing = "writing"
        return json.loads(json_format.print_fhir_to_json_string(read))
    except InvalidFhirError as error:
        return f"{doing}: {error}"


NO_TIME = "Invalid DateTime."
SAME, THREE = object(), encounter("2026-11-30T10:00:00.750+00:00")
EXPECTED = {
    "two names": (patient(given=["Mary", "Ann"]), SAME),
    "one of two names masked": (patient(given=["Mary", None], _given=[None, MASKED]), NO_PATTERN),
    "the first masked": (patient(given=[None, "Ann"], _given=[MASKED, None]), NO_PATTERN),
    "six decimals": (encounter("2026-11-30T10:00:00.754349+00:00"), SAME),
    "seven decimals": (encounter("2026-11-30T10:00:00.7543495+00:00"), NO_TIME),
    "seven, the last a zero": (encounter("2026-11-30T10:00:00.7543490+00:00"), NO_TIME),
    "masked, and no other": (patient(_given=[MASKED]), SAME),
    "two decimals": (encounter("2026-11-30T10:00:00.75+00:00"), THREE),
}
print("google-fhir-r4", version("google-fhir-r4"))
for name, (resource, expected) in EXPECTED.items():
    for validate in (True, False):
        seen = read_and_written(resource, validate)
        fails_at = "reading" if validate or expected is NO_TIME else "writing"
        told = f"{fails_at}: {expected}" if isinstance(expected, str) else expected
        assert seen == (resource if expected is SAME else told), (name, seen)
        print(f"{name:24} {f'{validate=}':15}", "the same again" if seen == resource else seen)
PYTHON
