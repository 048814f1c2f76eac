#!/usr/bin/env bash
# humanparser 2.7.0, parse-full-name 1.2.7 (npm), nameparser 2.6.0: Mrs Mary Ma is Mrs Mary, or has no surname.
#
# FHIR has a patient's family name and given names apart. Many a record has them in one text, as "Mrs Mary Ma", or as
# the NHS has names shown, "MA, Mary (Mrs)". An EPR that sends a referral has to part them, and there are libraries
# for it. One expects what stands before a comma, or else last, to be the family name, and at worst a title too many.
#
# Seen: each takes for a degree or an office what it knows as one, even where no family name is left then. For
# humanparser Ma is a Master of Arts: of "Mary Ma" and of "MA, Mary" the family name is empty, of "Mrs Mary Ma" it is
# Mary; so it is with Pe and Md. For parse-full-name "Mary Judge" is a judge whose name is Mary, "JUDGE, Mary" has no
# family name, and that of "VAN, Mary" is "VAN Mary". nameparser does so with Vi, the sixth, and Md, where no comma
# tells. Nothing says that it was a guess. The title in the NHS's form is a nickname for two of them, and for
# humanparser a middle name, "(Mrs)". With Smith, as in a test, each family name is right.
#
# The gateway parts no name. It compares family and given names where one side has no NHS number: by one that is
# parted so the patient is another, or unknown (standard/patients.py).
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install 'nameparser==2.6.0'
npm --prefix "$folder" --silent --no-audit --no-fund install 'humanparser@2.7.0' 'parse-full-name@1.2.7'
cd "$folder"
cat >names.mjs <<'NODE'
import assert from "assert";
import humanparser from "humanparser";
import { parseFullName } from "parse-full-name";

const of = {
  humanparser: (text) => {
    const { lastName, firstName, middleName } = humanparser.parseName(text);
    return [lastName ?? "", firstName ?? "", middleName ?? ""];
  },
  "parse-full-name": (text) => {
    const { last, first, middle } = parseFullName(text);
    return [last, first, middle];
  },
};
const EXPECTED = { // family, first and middle name of "Mary X", "Mrs Mary X", "X, Mary" and "X, Mary (Mrs)"
  humanparser: {
    Smith: [["Smith", "Mary", ""], ["Smith", "Mary", ""], ["SMITH", "Mary", ""], ["SMITH", "Mary", "(Mrs)"]],
    Ma: [["", "Mary", ""], ["Mary", "", ""], ["", "Mary", ""], ["", "Mary", "(Mrs)"]],
    Pe: [["", "Mary", ""], ["Mary", "", ""], ["", "Mary", ""], ["", "Mary", "(Mrs)"]],
    Md: [["", "Mary", ""], ["Mary", "", ""], ["", "Mary", ""], ["", "Mary", "(Mrs)"]],
    Judge: [["Judge", "Mary", ""], ["Judge", "Mary", ""], ["JUDGE", "Mary", ""], ["JUDGE", "Mary", "(Mrs)"]],
  },
  "parse-full-name": {
    Smith: [["Smith", "Mary", ""], ["Smith", "Mary", ""], ["SMITH", "Mary", ""], ["SMITH", "Mary", ""]],
    Ma: [["Ma", "Mary", ""], ["Ma", "Mary", ""], ["MA", "Mary", ""], ["MA", "Mary", ""]],
    Judge: [["Mary", "", ""], ["Mary", "", ""], ["", "Mary", ""], ["", "Mary", ""]],
    Van: [["Van", "Mary", ""], ["Van", "Mary", ""], ["VAN Mary", "", ""], ["VAN Mary", "", ""]],
  },
};
for (const [name, surnames] of Object.entries(EXPECTED)) {
  for (const [surname, expected] of Object.entries(surnames)) {
    const capitals = surname.toUpperCase();
    const texts = [`Mary ${surname}`, `Mrs Mary ${surname}`, `${capitals}, Mary`, `${capitals}, Mary (Mrs)`];
    const found = texts.map(of[name]);
    console.log(`${name}, ${surname}: ${found.map((each) => JSON.stringify(each)).join(" ")}`);
    assert.deepStrictEqual(found, expected);
  }
}
assert.strictEqual(parseFullName("SMITH, Mary (Mrs)").nick, "Mrs");
NODE
cat >names.py <<'PYTHON'
from importlib.metadata import version

from nameparser import HumanName

print("nameparser", version("nameparser"))
for surname in ("Smith", "Ma", "Vi", "Md"):
    name, with_title = HumanName(f"Mary {surname}"), HumanName(f"Mrs Mary {surname}")
    shown = HumanName(f"{surname.upper()}, Mary")
    found = [(each.last, each.first, each.suffix) for each in (name, with_title, shown)]
    print(surname, *found)
    right = (surname, "Mary", "")
    lost = surname in {"Vi", "Md"}
    assert found[0] == (("", "Mary", surname) if lost else right)
    assert found[1] == (("Mary", "", surname) if lost else right)
    assert found[2] == (surname.upper(), "Mary", "")
assert HumanName("SMITH, Mary (Mrs)").nickname == "Mrs"
PYTHON
node names.mjs
venv/bin/python names.py
