#!/usr/bin/env bash
# python-stdnum 2.2 and nhs-number 2.2.0: a number that is issued to nobody passes as an NHS number.
#
# Modulus 11 is satisfied by one digit written ten times, whichever digit it is: the weights 10 to 2
# add up to 54, one less than a multiple of 11, so the check digit of ddddddddd is d again. Systems
# write exactly these for "not known yet". What one expects of a library for NHS numbers is that
# what it calls valid can be somebody's. Two strangers with 9999999999 would be one patient.
#
# Seen: python-stdnum calls all ten of them valid. nhs-number calls nine valid; 2222222222 lies in
# Scotland's range, where the first six digits have to be a date. Both also take digits of another
# script (full-width ones), which no other system will find.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install \
  'python-stdnum==2.2' 'nhs-number==2.2.0'
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import nhs_number
from stdnum.gb import nhs

MADE_UP = "9990000018"  # of the range for tests: it checks
FULL_WIDTH = MADE_UP.translate({ord("0") + n: ord("０") + n for n in range(10)})

print("python-stdnum", version("python-stdnum"), "· nhs-number", version("nhs-number"))
for number in [*(digit * 10 for digit in "0123456789"), MADE_UP, FULL_WIDTH]:
    seen = nhs.is_valid(number), nhs_number.is_valid(number)
    print(f"{number:10} {seen[0]!s:5} · {seen[1]}")
    assert seen == (True, number != "2" * 10), number
PYTHON
