#!/usr/bin/env bash
# @medplum/core 4.5.2: "by 1 June" is shown as 1 June, one o'clock in the morning, and "2026-06" as well.
#
# A dateTime of FHIR may be a year, a month, a day or an instant, and says by that how much is known: of
# a date without a time nobody may make one. A request may be needed by some day; a pain may have begun
# in June. What one expects of a function that shows a dateTime is as much as there is.
#
# Seen: formatDateTime() shows a day and a time for all of them. In London a day of summer is one o'clock
# in the morning, one of winter midnight; a month is its first day, a year is New Year; in New York each
# is the evening of the day before. A time with the 60th second, which FHIR has for leap seconds, is
# shown as nothing at all. formatDate() shows the first day of a month, too. isDateTimeString() takes
# every one of them for what it is: a dateTime.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm --prefix "$folder" --silent --no-audit --no-fund install '@medplum/core@4.5.2'
cd "$folder"
cat >times.mjs <<'NODE'
import assert from "assert";
import { formatDate, formatDateTime, isDateTimeString } from "@medplum/core";

const shown = (value, timeZone) => formatDateTime(value, "en-GB", { timeZone });
const EXPECTED = {
  "2026-06-01T09:00:00+01:00": ["01/06/2026, 09:00:00", "01/06/2026, 04:00:00"],
  "2026-06-01": ["01/06/2026, 01:00:00", "31/05/2026, 20:00:00"],
  "2026-12-01": ["01/12/2026, 00:00:00", "30/11/2026, 19:00:00"],
  "2026-06": ["01/06/2026, 01:00:00", "31/05/2026, 20:00:00"],
  2026: ["01/01/2026, 00:00:00", "31/12/2025, 19:00:00"],
  "2016-12-31T23:59:60Z": ["", ""],
};
for (const [value, expected] of Object.entries(EXPECTED)) {
  const seen = [shown(value, "Europe/London"), shown(value, "America/New_York")];
  console.log(value.padEnd(26), "London:", seen[0].padEnd(21), "New York:", seen[1]);
  assert.ok(isDateTimeString(value));
  assert.deepStrictEqual(seen, expected);
}
const month = formatDate("2026-06", "en-GB");
console.log("the month by formatDate():", month);
assert.strictEqual(month, "01/06/2026");
NODE
TZ=Europe/London node times.mjs
