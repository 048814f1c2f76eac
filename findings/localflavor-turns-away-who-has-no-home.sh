#!/usr/bin/env bash
# django-localflavor 5.1, postal-codes-js 2.5.2: a patient of no fixed abode has no valid postcode.
#
# The NHS has a postcode for everybody, since its systems ask for one: ZZ99 3VZ stands for no fixed abode,
# ZZ99 3WZ for an address that is not known, others of ZZ99 for people from abroad. They are in the NHS's
# directory of postcodes, and in the records of those patients. One expects of a library for British
# postcodes that it takes what a patient's record has, or says that it is for letters alone.
#
# Seen: django-localflavor's field says "Enter a valid postcode." of all of ZZ99, and postal-codes-js, by
# which validators of Joi judge too, that it "is not valid for country GB". So a form, or a check before
# a referral is sent, turns away those who have least, and nobody of its tests is one of them. postcode
# 5.1.0, postcode-validator 3.10.22, validator 13.15.35 and ideal-ukpostcode 1.0.3 take them.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install \
  'django-localflavor==5.1' 'Django==5.2.19' 'ideal-ukpostcode==1.0.3'
npm --prefix "$folder" --silent --no-audit --no-fund install \
  'postal-codes-js@2.5.2' 'postcode@5.1.0' 'postcode-validator@3.10.22' 'validator@13.15.35'
cd "$folder"
venv/bin/python - <<'PYTHON'
import django
from django.conf import settings

settings.configure()
django.setup()
import ideal_ukpostcode
from django.core.exceptions import ValidationError
from localflavor.gb.forms import GBPostcodeField


def by_localflavor(postcode):
    try:
        return GBPostcodeField().clean(postcode) == postcode
    except ValidationError as error:
        return error.message


for postcode, expected in {
    "SW1A 1AA": True,
    "ZZ99 3VZ": "Enter a valid postcode.",
    "ZZ99 3WZ": "Enter a valid postcode.",
}.items():
    seen = by_localflavor(postcode), ideal_ukpostcode.validate(postcode)
    print(f"{postcode}  django-localflavor: {seen[0]!s:24} ideal-ukpostcode: {seen[1]}")
    assert seen == (expected, True), seen
PYTHON
cat >postcodes.mjs <<'NODE'
import assert from "assert";
import postalCodes from "postal-codes-js";
import { isValid } from "postcode";
import { postcodeValidator } from "postcode-validator";
import validator from "validator";

for (const postcode of ["SW1A 1AA", "ZZ99 3VZ", "ZZ99 3WZ"]) {
  const said = postalCodes.validate("GB", postcode);
  const others = [
    isValid(postcode),
    postcodeValidator(postcode, "GB"),
    validator.isPostalCode(postcode, "GB"),
  ];
  console.log(postcode, " postal-codes-js:", said, " three others:", ...others);
  const refused = `Postal code ${postcode.replace(" ", "")} is not valid for country GB`;
  assert.strictEqual(said, postcode === "SW1A 1AA" ? true : refused);
  assert.deepStrictEqual(others, [true, true, true]);
}
NODE
node postcodes.mjs
