#!/usr/bin/env bash
# hl7 0.4.5 (PyPI): a place that is copied from one message of HL7 to another, A&E, arrives as A.
#
# HL7 v2, in which a hospital's systems tell one another of patients, parts a component by "&". So where
# "&" is meant it is written \T\, and the emergency department is A\T\E. What an integration engine does
# all day is to read a field of one message and set it in another. One expects of a library that gives
# "A&E" for what was written A\T\E that it writes it so again.
#
# Seen: message["PV1.F3.R1.C1"] undoes \T\ in reading, and does not do it in writing. What was copied is
# A&E on the wire, a component of two parts; the next reader has the first, "A", and so has this
# library. There is no error. Message.escape() writes it right, for whoever knows to call it.
# Four others leave the text as it is both ways, and so copy right: hl7apy 1.3.5, simple-hl7 3.3.0,
# hl7-standard 1.0.4, @medplum/core 4.5.2. With those a person reads A\T\E; and with the three of npm
# what somebody has typed, A&E, goes out as two parts.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install 'hl7==0.4.5' 'hl7apy==1.3.5'
npm --prefix "$folder" --silent --no-audit --no-fund install \
  'simple-hl7@3.3.0' 'hl7-standard@1.0.4' '@medplum/core@4.5.2'
cd "$folder"
venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import hl7
from hl7apy.parser import parse_message

PLACE = "PV1.F3.R1.C1"
HEAD = "MSH|^~\\&|PAS|RXX|TIE|RXX|20261130090000||ADT^A01|{}|P|2.4\r"


def message(place, number=1):
    return HEAD.format(number) + f"PV1||E|{place}^BAY1\r"


def by_hl7(write=lambda _, text: text):
    came, goes = hl7.parse(message("A\\T\\E")), hl7.parse(message("", 2))
    goes[PLACE] = write(goes, came[PLACE])
    on_the_wire = str(goes.segment("PV1"))
    return came[PLACE], on_the_wire, hl7.parse(str(goes))[PLACE]


def by_hl7apy():
    came = parse_message(message("A\\T\\E"), find_groups=False)
    goes = parse_message(message("", 2), find_groups=False)
    place = came.pv1.pv1_3.pl_1.value
    goes.pv1.pv1_3.pl_1.value = place
    on_the_wire = goes.pv1.to_er7()
    return place, on_the_wire, parse_message(goes.to_er7(), find_groups=False).pv1.pv1_3.pl_1.value


copied = by_hl7()
escaped = by_hl7(lambda goes, text: goes.escape(text))
beside = by_hl7apy()
for who, (read, on_the_wire, read_again) in {
    f"hl7 {version('hl7')}": copied,
    "with its escape()": escaped,
    f"hl7apy {version('hl7apy')}": beside,
}.items():
    print(f"{who:18} reads {read:6} sends {on_the_wire:20} of which it reads {read_again}")
assert copied == ("A&E", "PV1||E|A&E^BAY1", "A"), copied
assert escaped == ("A&E", "PV1||E|A\\T\\E^BAY1", "A&E"), escaped
assert beside == ("A\\T\\E", "PV1||E|A\\T\\E^BAY1", "A\\T\\E"), beside
PYTHON
cat >typed.mjs <<'NODE'
import assert from "assert";
import { Hl7Message } from "@medplum/core";
import HL7 from "hl7-standard";
import simple from "simple-hl7";

const message = (place) =>
  `MSH|^~\\&|PAS|RXX|TIE|RXX|20261130090000||ADT^A01|1|P|2.4\rPV1||E|${place}^BAY1\r`;
const place = (text) => text.match(/PV1\|[^|]*\|E\|([^|^]*)/)[1];

function byMedplum() {
  const read = Hl7Message.parse(message("A\\T\\E")).getSegment("PV1").getComponent(3, 1);
  const goes = Hl7Message.parse(message("X"));
  goes.getSegment("PV1").setField(3, "A&E^BAY1");
  return [read, place(goes.toString())];
}
function byStandard() {
  const [came, goes] = [new HL7(message("A\\T\\E")), new HL7(message("X"))];
  came.transform();
  goes.transform();
  goes.set("PV1.3.1", "A&E");
  return [came.get("PV1.3.1"), place(goes.build())];
}
function bySimple() {
  const came = new simple.Parser().parse(message("A\\T\\E"));
  const goes = new simple.Message("PAS", "RXX", "TIE", "RXX", "20261130090000", "", "ADT^A01");
  goes.addSegment("PV1", "", "E", ["A&E", "BAY1"]);
  return [String(came.getSegment("PV1").getField(3)).split("^")[0], place(goes.toString())];
}
for (const how of [byMedplum, byStandard, bySimple]) {
  const [read, written] = how();
  console.log(how.name.padEnd(12), "reads", read, "· writes A&E as", written);
  assert.deepStrictEqual([read, written], ["A\\T\\E", "A&E"]);
}
NODE
node typed.mjs
