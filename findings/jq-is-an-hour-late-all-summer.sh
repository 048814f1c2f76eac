#!/usr/bin/env bash
# jq 1.6 (Debian 12), jq 1.13.0 (PyPI): what was due at nine is due at ten, all summer, and at eleven on some machines.
#
# Scripts of the shell read JSON by jq, which has functions for times: fromdate for 2027-07-12T08:00:00Z, strptime and
# mktime for other forms, strflocaltime for the clock on the wall. FHIR writes an instant with its offset,
# 2027-07-12T09:00:00+01:00, and %z stands for one. One expects the seconds since 1970 of that moment, on any machine.
#
# Seen: both read %z and drop what it says, so that nine o'clock with +01:00 is nine in Greenwich, an hour late. jq 1.6
# on a machine whose own zone is London adds another hour to whatever mktime and fromdate read: even a time with Z is
# late, and what it has written by todate itself. Its strflocaltime("%H:%M %z") has the hour of summer with the offset
# of winter, 09:00 +0000, which is another moment. So what has been overdue for half an hour is not due yet, for half of
# the year, and in a container, where the zone is UTC, a test of it passes. In winter all is right.
#
# The gateway's commands say themselves what is overdue (docs/command-line.md), and none of its pages reads a time by jq.
#
# This needs Debian 12's jq, and fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install 'jq==1.13.0'
cat >"$folder/times.py" <<'PYTHON'
import os
import subprocess
import sys
from importlib.metadata import version

import jq

SUMMER, WINTER = 1815379200, 1799744400  # nine o'clock in London on 12 July and on 12 January 2027
READ = '"{}" | strptime("%Y-%m-%dT%H:%M:%S%z") | mktime'
PROGRAMS = {
    "fromdate, Z": ('"2027-07-12T08:00:00Z" | fromdate', '"2027-01-12T09:00:00Z" | fromdate'),
    "%z": (READ.format("2027-07-12T09:00:00+01:00"), READ.format("2027-01-12T09:00:00+00:00")),
    "there and back": (f"{SUMMER} | todate | fromdate", f"{WINTER} | todate | fromdate"),
}
WRITTEN = '{} | strflocaltime("%H:%M %z")'
LATE = {  # by how many hours, in summer
    ("jq 1.6", "UTC"): [0, 1, 0],
    ("jq 1.6", "Europe/London"): [1, 2, 1],
    ("PyPI", "UTC"): [0, 1, 0],
    ("PyPI", "Europe/London"): [0, 1, 0],
}
WALL = {
    ("jq 1.6", "Europe/London"): "09:00 +0000",
    ("PyPI", "Europe/London"): "09:00 +0100",
}


def of_debian(program):
    ran = subprocess.run(["jq", "--null-input", "--raw-output", program], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def of_pypi(program):
    return str(jq.compile(program).input_value(None).first())


zone = os.environ["TZ"]
for name, run in {"jq 1.6": of_debian, "PyPI": of_pypi}.items():
    late = []
    for summer, winter in PROGRAMS.values():
        late.append((int(run(summer)) - SUMMER) / 3600)
        assert int(run(winter)) == WINTER
    wall = run(WRITTEN.format(SUMMER))
    told = ", ".join(f"{how} {hours:.0f} h late" for how, hours in zip(PROGRAMS, late, strict=True))
    print(f"{zone:14}{name:7} {told}; on the wall {wall}")
    assert late == LATE[name, zone]
    assert wall == WALL.get((name, zone), "08:00 +0000")
    assert run(WRITTEN.format(WINTER)) == "09:00 +0000"
PYTHON
jq --version
[[ "$(jq --version)" == jq-1.6 ]]
for zone in UTC Europe/London; do
  TZ=$zone "$folder/venv/bin/python" "$folder/times.py"
done
