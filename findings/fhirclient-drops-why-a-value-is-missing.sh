#!/usr/bin/env bash
# fhirclient 4.4.0: what a patient's record says beside a value, or in its place, is gone.
#
# FHIR keeps what extends a plain value beside it, under the name with an underscore: _birthDate says
# at which hour somebody was born, or, where there is no date, why (asked, and unknown); _value under
# a telephone that the number is withheld for somebody's safety. A record may be valid by that alone.
# What one expects of a model that refuses what it does not know ("superfluous entry") is that it
# refuses or keeps this.
#
# Seen: it takes all of it in without an error, has no attribute for it, and writes the resource
# without: a telephone that is withheld becomes one that nobody entered, and the next clerk asks the
# family for it. Read, changed in one place and written back, that is what the server stores. Where
# the value is required, only writing fails, over a value that "must" be there and rightly is not.
# fhir.resources 8.3.0 keeps all of it.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install \
  'fhirclient==4.4.0' 'fhir.resources==8.3.0'
"$folder/venv/bin/python" - <<'PYTHON'
import json
import warnings
from importlib.metadata import version

from fhir.resources.R4B.patient import Patient as OtherPatient
from fhirclient.models.fhirabstractbase import FHIRValidationError
from fhirclient.models.patient import Patient
from fhirclient.models.slot import Slot

warnings.simplefilter("error")


def because(reason):
    url = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
    return {"extension": [{"url": url, "valueCode": reason}]}


PATIENT = {
    "resourceType": "Patient",
    "telecom": [{"system": "phone", "_value": because("masked")}],
    "_birthDate": because("asked-unknown"),
}
SLOT = {
    "resourceType": "Slot",
    "schedule": {"reference": "Schedule/1"},
    "status": "free",
    "start": "2026-06-01T09:00:00+01:00",
    "_end": because("unknown"),
}


def refusal(what, given):
    try:
        what(given)
    except FHIRValidationError as error:
        return str(error)
    return None


print("fhirclient", version("fhirclient"), "· fhir.resources", version("fhir.resources"))
kept = Patient(PATIENT).as_json()
other = json.loads(OtherPatient.model_validate(PATIENT).model_dump_json())
unknown = refusal(Patient, {**PATIENT, "birthday": "1970-01-01"})
required = refusal(lambda slot: Slot(slot).as_json(), SLOT)
print("given:          ", json.dumps(PATIENT))
print("fhirclient:     ", json.dumps(kept))
print("fhir.resources: ", json.dumps(other))
print("what it does not know:", unknown)
print("a required one, written:", required)
assert kept == {"resourceType": "Patient", "telecom": [{"system": "phone"}]}
assert other == PATIENT
assert unknown and "uperfluous entry" in unknown
assert required and "end" in required
PYTHON
