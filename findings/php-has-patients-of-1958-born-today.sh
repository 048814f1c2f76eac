#!/usr/bin/env bash
# PHP 8.4.25 (npm), python-dateutil 4.0.0, dateparser 1.5.0: a patient who was born in 1958 was born today.
#
# A date of FHIR may be a year, or a year and a month: that is all that is known of when somebody was born who
# came without papers, or who cannot be asked. It is not the first of January, and readers that make that of
# it are bad enough. One expects of a reader of dates a day of that year, or an error.
#
# Seen: PHP takes four digits alone for an hour and minutes, as its manual says in one line of many. 1958 is
# two minutes to eight tonight, 2001 is a minute past, and whoever asks for the age is told 0. Where the last
# two digits are no minutes, as in 1975, it is the year after all, on the day on which one asks: so a test that
# has 1975 in it sees nothing. dateutil and dateparser fill up with the day of asking as well: 1958 is its 30
# November on a 30 November and another day tomorrow, and "1958-06" is 30 June. Two readings of one record are
# two patients. With the format "!Y" PHP reads a year; dateutil has isoparse(), which makes 1 January of it, as
# do arrow 1.4.0, pendulum 3.3.0, dayjs 1.11.23, luxon 3.7.2 and date-fns 4.4.0.
#
# The gateway has a year for what it is, and compares it with no date (standard/patients.py).
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install \
  'python-dateutil==4.0.0' 'dateparser==1.5.0' 'arrow==1.4.0' 'pendulum==3.3.0'
npm --prefix "$folder" --silent --no-audit --no-fund install \
  '@php-wasm/node-8-4@3.1.56' '@php-wasm/universal@3.1.56' 'dayjs@1.11.23' 'luxon@3.7.2' 'date-fns@4.4.0'
cd "$folder"
cat >php.mjs <<'NODE'
import { getPHPLoaderModule } from "@php-wasm/node-8-4";
import { PHP, loadPHPRuntime } from "@php-wasm/universal";

const php = new PHP(await loadPHPRuntime(await getPHPLoaderModule(), { processId: 1 }));
const code = `<?php
$read = fn($said) => (new DateTimeImmutable($said))->format("Y-m-d H:i");
$born = fn($said) => DateTimeImmutable::createFromFormat("!Y", $said)->format("Y-m-d H:i");
$age = fn($said) => (new DateTimeImmutable($said))->diff(new DateTimeImmutable("tomorrow"))->y;
echo json_encode([
  "PHP " . PHP_VERSION => array_map($read, ["1958", "1975", "2001", "1958-06"]),
  "PHP, !Y" => array_map($born, ["1958", "1975", "2001"]),
  "PHP, age" => array_map($age, ["1958", "1958-06"]),
]);`;
console.log((await php.run({ code })).text);
process.exit(0);
NODE
cat >others.mjs <<'NODE'
import { parseISO } from "date-fns";
import dayjs from "dayjs";
import { DateTime } from "luxon";

const readers = {
  dayjs: (said) => dayjs(said).toDate(),
  luxon: (said) => DateTime.fromISO(said).toJSDate(),
  "date-fns": parseISO,
};
const found = {};
for (const [name, by] of Object.entries(readers)) {
  const read = ["1958", "1975", "2001", "1958-06"].map((said) => by(said).toISOString());
  found[name] = read.map((moment) => moment.slice(0, 16).replace("T", " "));
}
console.log(JSON.stringify(found));
NODE
cat >born.py <<'PYTHON'
import json
import subprocess
from datetime import date

import arrow
import dateparser
import pendulum
from dateutil.parser import isoparse, parse

SAID = ["1958", "1975", "2001", "1958-06"]
JANUARY = ["1958-01-01 00:00", "1975-01-01 00:00", "2001-01-01 00:00", "1958-06-01 00:00"]


def of_node(program):
    return json.loads(subprocess.run(["node", program], capture_output=True, text=True, check=True).stdout)


def read(by):
    return [by(said).strftime("%Y-%m-%d %H:%M") for said in SAID]


before = date.today()
php = of_node("php.mjs")
filled = {"dateutil": read(parse), "dateparser": read(dateparser.parse)}
today = date.today()
assert before == today, "midnight has passed: once more"
others = {"isoparse": read(isoparse), "arrow": read(arrow.get), "pendulum": read(pendulum.parse)}
others |= of_node("others.mjs")
print(f"it is {today}, and a patient was born in", *(said.ljust(16) for said in SAID))
for name, dates in (php | filled | others).items():
    print(name.rjust(42), *(str(each).ljust(16) for each in dates))

said_by_php, year_by_php, ages = php.values()
assert said_by_php[0] == f"{today} 19:58" and said_by_php[2] == f"{today} 20:01"
assert said_by_php[1].startswith(f"1975-{today:%m-%d} ") or f"{today:%m-%d}" == "02-29"
assert [said_by_php[3], *year_by_php] == [JANUARY[3], *JANUARY[:3]]
assert ages == [0, today.year - 1958 - (today.month < 6)]
for dates in filled.values():
    for found, year in zip(dates, SAID[:3]):
        assert found[:8] == f"{year}-{today:%m}-" and found[8:10] in (f"{today:%d}", "28")
    assert dates[3][:8] == "1958-06-" and dates[3][8:10] in (f"{today:%d}", "30")
assert all(dates == JANUARY for dates in others.values())
PYTHON
TZ=UTC venv/bin/python born.py
