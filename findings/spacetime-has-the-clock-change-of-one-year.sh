#!/usr/bin/env bash
# spacetime 7.15.0 (npm): each appointment of 28 March 2027 is an hour late, by the clock change of 2026.
#
# In the United Kingdom clocks change on the last Sunday of March and of October, which is another date
# each year. A hospital's clinic books by the clock on its wall months ahead, and FHIR wants an instant
# with its offset. spacetime's readme promises daylight savings, and says that it keeps only the latest
# information and applies it to historical dates. One expects of next year what is long known of it.
#
# Seen: it knows two dates, those of the year in which it was built, and applies them to every year:
# 29 March and 25 October are right in 2026. In 2027 winter time lasts a day longer, and comes six days
# early: 09:00 on 28 March is taken for 09:00Z, when it is 10:00 in London. So are 09:00 and all other
# times from 25 to 30 October 2027; in 2025, two days were wrong. Nothing is said, its own format()
# shows 9:00 again, and it is right on the days on which one tries it, as long as the year is not over.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm --prefix "$folder" --silent --no-audit --no-fund install 'spacetime@7.15.0' 'luxon@3.7.2'
cd "$folder"
cat >mornings.mjs <<'NODE'
import assert from "assert";
import { DateTime } from "luxon";
import spacetime from "spacetime";

const LONDON = "Europe/London";
const bySpacetime = (wall) => new Date(spacetime(wall, LONDON).epoch).toISOString();
const byLuxon = (wall) => DateTime.fromISO(wall, { zone: LONDON }).toJSDate().toISOString();
// Node's own tables, which neither of the two has made.
const wallOf = (instant) =>
  new Date(instant).toLocaleString("sv-SE", { timeZone: LONDON }).replace(" ", "T");

function wrongIn(year) {
  const days = [];
  for (let at = Date.UTC(year, 0, 1); at < Date.UTC(year + 1, 0, 1); at += 86_400_000) {
    const wall = `${new Date(at).toISOString().slice(0, 10)}T09:00:00`;
    assert.strictEqual(wallOf(byLuxon(wall)), wall);
    if (bySpacetime(wall) !== byLuxon(wall)) days.push(wall.slice(5, 10));
  }
  return days.join(" ");
}
const seen = {};
for (const year of [2025, 2026, 2027, 2028]) seen[year] = wrongIn(year);
console.log("spacetime", spacetime.version, "· days on which 09:00 in London is another hour");
for (const [year, days] of Object.entries(seen)) console.log(year, days || "none");
const [late, shown] = ["2027-03-28T09:00:00", spacetime("2027-03-28T09:00:00", LONDON)];
console.log(late, "is", bySpacetime(late), "which is", wallOf(bySpacetime(late)), "in London");
console.log("its own format() of that:", shown.format("{date} {month} {time}"));
assert.deepStrictEqual(seen, {
  2025: "03-29 10-25",
  2026: "",
  2027: "03-28 10-25 10-26 10-27 10-28 10-29 10-30",
  2028: "03-26 03-27 03-28 10-25 10-26 10-27 10-28",
});
assert.strictEqual(bySpacetime(late), "2027-03-28T09:00:00.000Z");
assert.strictEqual(wallOf(bySpacetime(late)), "2027-03-28T10:00:00");
assert.strictEqual(shown.format("{time}"), "9:00am");
NODE
node mornings.mjs
