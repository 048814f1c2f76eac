#!/usr/bin/env bash
# systemd 252.39: the backup of half past one is not made in the night when the clocks go forward.
#
# In the United Kingdom clocks jump from 01:00 to 02:00 in one night of March, and from 02:00 back to 01:00 in
# one of October. Whatever plans by the clock has to do something about a time that there is not, and about an
# hour that comes twice. cron does: what was due in the hour that is left out is done right after it, and what
# is due every half an hour is done every half an hour. One expects the same of a timer of systemd, most of
# all of one with Persistent=true, which makes up for what was missed.
#
# Seen: 01:30 has no moment in that night, and the next one is that of the night after: for systemd nothing
# was missed that it could make up for. In October the hour that comes for the second time is left out: what
# runs every half an hour, or hourly, rests for one hour more. A check for patients who have waited too long
# comes late in a night in which each clock says that it was in time. It is so with a zone in the timer, and
# without one on a machine that has this zone. "UTC" behind the calendar helps, and OnUnitActiveSec=, which
# counts time. croniter 7.0.0, cronsim 2.8 and croner 11.0.1 leave out neither.
#
# The gateway plans by UTC what it does each night (retention.nightly_at); docs/backup.md has the hour to avoid.
#
# This needs Debian 12, and fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install \
  'croniter==7.0.0' 'cronsim==2.8' 'tzdata==2026.6'
npm --prefix "$folder" --silent --no-audit --no-fund install 'croner@11.0.1'
cd "$folder"
apt-get --quiet=2 download 'systemd=252.39-1~deb12u2' 'libsystemd-shared=252.39-1~deb12u2'
for package in ./*.deb; do dpkg --extract "$package" debian; done
libraries=$folder/debian/usr/lib/x86_64-linux-gnu
cat >runs.mjs <<'NODE'
import { Cron } from "croner";
const [expression, after] = process.argv.slice(2);
const runs = new Cron(expression, { timezone: "Europe/London" }).nextRuns(5, new Date(after));
console.log(runs.map((run) => run.toISOString()).join("\n"));
NODE
cat >runs.py <<'PYTHON'
import os
import re
import subprocess
from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

from croniter import croniter
from cronsim import CronSim

ANALYZE = "debian/usr/bin/systemd-analyze"
LONDON = ZoneInfo("Europe/London")
MARCH, OCTOBER = datetime(2027, 3, 27, 12, tzinfo=UTC), datetime(2026, 10, 24, 23, 40, tzinfo=UTC)
CASES = {  # for cron and for systemd, after when, and the moments of systemd and of all others (UTC)
    "30 1 * * *": ("*-*-* 01:30", MARCH, "29 00:30, 30 00:30", "28 01:00, 29 00:30"),
    "*/30 * * * *": (
        "*-*-* *:00/30",
        OCTOBER,
        "25 00:00, 25 00:30, 25 02:00, 25 02:30",
        "25 00:00, 25 00:30, 25 01:00, 25 01:30",
    ),
    "0 * * * *": ("hourly", OCTOBER, "25 00:00, 25 02:00, 25 03:00", "25 00:00, 25 01:00, 25 02:00"),
}


def printed(*command, zone="UTC"):
    ran = subprocess.run(command, env=os.environ | {"TZ": zone}, capture_output=True, text=True, check=True)
    return ran.stdout


def by_systemd(calendar, after, *, zone):
    said = printed(
        ANALYZE, "calendar", f"--base-time={after:%F %T} UTC", "--iterations=5", calendar, zone=zone
    )
    for moment in re.findall(r"(\d{4}-\d\d-\d\d \d\d:\d\d):\d\d UTC$", said, re.MULTILINE):
        yield datetime.fromisoformat(f"{moment}Z")


def others(expression, after):
    there = after.astimezone(LONDON)
    yield "croniter", croniter(expression, there, ret_type=datetime)
    yield "cronsim", CronSim(expression, there)
    said = printed("node", "runs.mjs", expression, after.isoformat())
    yield "croner", map(datetime.fromisoformat, said.split())


def checked(name, runs, expected):
    found = ", ".join(f"{run.astimezone(UTC):%d %H:%M}" for run in islice(runs, expected.count(",") + 1))
    print(f"  {name:26} {found}")
    assert found == expected


print(printed(ANALYZE, "--version").splitlines()[0])
for expression, (calendar, after, by_timer, by_cron) in CASES.items():
    print(f"{calendar}, cron's {expression}, after {after:%d %B %Y %H:%M} UTC:")
    in_london = f"{calendar} Europe/London" if calendar != "hourly" else "*-*-* *:00 Europe/London"
    checked("systemd, of this zone", by_systemd(in_london, after, zone="UTC"), by_timer)
    checked("systemd, on such a machine", by_systemd(calendar, after, zone="Europe/London"), by_timer)
    for name, runs in others(expression, after):
        checked(name, runs, by_cron)
utc = by_systemd("*-*-* 01:30 UTC", MARCH, zone="Europe/London")
checked("systemd, 01:30 UTC", utc, "28 01:30, 29 01:30")
PYTHON
LD_LIBRARY_PATH=$libraries:$libraries/systemd venv/bin/python runs.py
