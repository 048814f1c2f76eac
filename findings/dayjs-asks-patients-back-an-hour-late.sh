#!/usr/bin/env bash
# dayjs 1.11.23 (npm): "nine o'clock, in a week" is ten o'clock in London, where the clocks change meanwhile.
#
# Follow-ups are made as "the same time, in a week", and clinics keep to the clock on their wall. One expects of an
# hour that a library has in a zone that a week later it is that hour there: a day is added to the date. So dayjs does
# where no zone is given, with the machine's own.
#
# Seen: dayjs.tz("2027-03-24 09:00", "Europe/London").add(1, "week") keeps the offset that was in force before. Its
# format() has 09:00, and looks right; behind it stands Z, when the clock in London shows ten. In October it is eight.
# With months, and a day of the month that is set, it is the same. On a machine whose own zone is London one object is
# two moments in October: 09:00+01:00 in format(), which FHIR is written from, and 09:00Z in toISOString(). Two weeks
# of a year have such a night in them. To read the hour anew, dayjs.tz(later.format("YYYY-MM-DD HH:mm"), zone),
# gives nine o'clock.
# moment-timezone 0.6.6, luxon 3.7.2, @date-fns/tz 1.5.0 and js-joda 6.3.2 keep nine o'clock by themselves.
#
# The gateway moves no appointment: it writes what it got, offset and all.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm --prefix "$folder" --silent --no-audit --no-fund install \
  'dayjs@1.11.23' 'moment-timezone@0.6.6' 'luxon@3.7.2' '@date-fns/tz@1.5.0' 'date-fns@4.4.0' \
  '@js-joda/core@6.3.2' '@js-joda/timezone@2.25.2'
cd "$folder"
cat >back.mjs <<'NODE'
import assert from "assert";
import { tz as zoned } from "@date-fns/tz";
import { LocalDateTime, ZoneId } from "@js-joda/core";
import "@js-joda/timezone";
import { addDays } from "date-fns";
import dayjs from "dayjs";
import timezone from "dayjs/plugin/timezone.js";
import utc from "dayjs/plugin/utc.js";
import { DateTime } from "luxon";
import moment from "moment-timezone";

dayjs.extend(utc);
dayjs.extend(timezone);
const LONDON = "Europe/London";
const inLondon = new Intl.DateTimeFormat("en-GB", { timeZone: LONDON, dateStyle: "short", timeStyle: "short" });
const shown = (iso) => inLondon.format(new Date(iso));
const others = {
  "moment-timezone": (day) => moment.tz(`${day} 09:00`, LONDON).add(1, "week").toISOString(),
  luxon: (day) => DateTime.fromISO(`${day}T09:00`, { zone: LONDON }).plus({ weeks: 1 }).toISO(),
  "@date-fns/tz": (day) => {
    const first = moment.tz(`${day} 09:00`, LONDON).toDate();
    return addDays(first, 7, { in: zoned(LONDON) }).toISOString();
  },
  "js-joda": (day) => {
    const first = LocalDateTime.parse(`${day}T09:00`).atZone(ZoneId.of(LONDON));
    return first.plusWeeks(1).toInstant().toString();
  },
};
const atHome = process.env.TZ === LONDON;
console.log(`dayjs on a machine of ${process.env.TZ}`);
const EXPECTED = {
  "2027-03-24": ["2027-03-31T09:00:00Z", "31/03/2027, 10:00", "31/03/2027, 09:00"],
  "2027-10-27": ["2027-11-03T09:00:00+01:00", atHome ? "03/11/2027, 09:00" : "03/11/2027, 08:00", "03/11/2027, 09:00"],
  "2027-05-12": ["2027-05-19T09:00:00+01:00", "19/05/2027, 09:00", "19/05/2027, 09:00"], // no change meanwhile
};
for (const [day, [text, london, right]] of Object.entries(EXPECTED)) {
  const later = dayjs.tz(`${day} 09:00`, LONDON).add(1, "week");
  console.log(`${day} 09:00, in a week: ${later.format()}, ${later.toISOString()}: in London ${shown(later)}`);
  assert.deepStrictEqual([later.format(), shown(later.toISOString())], [text, london]);
  assert.strictEqual(shown(dayjs.tz(later.format("YYYY-MM-DD HH:mm"), LONDON).toISOString()), right);
  for (const [name, ask] of Object.entries(others)) assert.strictEqual(shown(ask(day)), right, name);
}
const march = dayjs.tz("2027-03-24 09:00", LONDON);
assert.strictEqual(shown(march.add(1, "month").toISOString()), "24/04/2027, 10:00");
assert.strictEqual(shown(march.date(31).toISOString()), "31/03/2027, 10:00");
const unzoned = dayjs("2027-03-24T09:00:00").add(1, "week").format("HH:mm");
assert.strictEqual(unzoned, "09:00");
NODE
TZ=UTC node back.mjs
TZ=Europe/London node back.mjs
TZ=America/New_York node back.mjs
