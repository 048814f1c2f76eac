#!/usr/bin/env bash
# systemd 252 (Debian 12): what a service logs in a line of 4 KB is null in the journal's JSON.
#
# A service writes lines, and journald keeps them. A trust's collector of logs reads them by "journalctl
# --output json", and what a service has written is MESSAGE there. Most lines are short; the one that has to be
# found has a traceback, or all that was wrong with a message. One expects the JSON to hold what the journal
# holds, as its other formats do.
#
# Seen: MESSAGE is a text up to 4,087 bytes, and null from there on, with no error. The journal has all of it,
# as --output cat shows. A page of systemd's about the format names that exception, and --all turns it off. A
# line with one control character, as one in colour has, is a list of numbers however short it is. So who looks
# for an error in the collector finds the small ones, and at the service nothing is amiss.
#
# The gateway's pages read its log by --output cat (docs/log-events.md, docs/debugging.md).
#
# This needs Debian 12, and fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get --quiet=2 download 'systemd=252.39-1~deb12u2' 'libsystemd-shared=252.39-1~deb12u2' \
  'systemd-journal-remote=252.39-1~deb12u2' 'libmicrohttpd12=0.9.75-6'
for package in ./*.deb; do dpkg --extract "$package" debian; done
libraries=$folder/debian/usr/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH=$libraries:$libraries/systemd
cat >lines.py <<'PYTHON'
import json
import subprocess

LINES = {  # what a service has written, and what the journal's JSON has of it
    "short": "x" * 100,
    "4,087 bytes": "x" * 4087,
    "4,088 bytes": "x" * 4088,
    "40,000 bytes": "x" * 40_000,
    "in red": "\x1b[31mfailed\x1b[0m",
}
EXPECTED = {
    "short": "as it was",
    "4,087 bytes": "as it was",
    "4,088 bytes": "None",
    "40,000 bytes": "None",
    "in red": "numbers",
}


def entry(number, line):
    """Return an entry as journald exports them."""
    names = {
        "__REALTIME_TIMESTAMP": 1_796_000_000_000_000 + number,
        "__MONOTONIC_TIMESTAMP": 1000 + number,
        "_BOOT_ID": "a" * 32,
        "MESSAGE": line,
    }
    return "".join(f"{name}={value}\n" for name, value in names.items()) + "\n"


def journal(*arguments):
    command = ["debian/bin/journalctl", "--file", "one.journal", "--no-pager", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def told(line, message):
    if isinstance(message, list):
        return "numbers" if bytes(message).decode() == line else "something else"
    return "as it was" if message == line else str(message)


with open("exported", "w") as file:
    file.writelines(entry(number, line) for number, line in enumerate(LINES.values()))
remote = ["debian/lib/systemd/systemd-journal-remote", "--output", "one.journal", "exported"]
subprocess.run(remote, check=True, capture_output=True)
print(journal("--version")[0])
in_json, in_full = (
    [json.loads(each)["MESSAGE"] for each in journal("--output", "json", *options)] for options in ([], ["--all"])
)
plain = journal("--output", "cat")
for (name, line), *found in zip(LINES.items(), in_json, in_full, plain, strict=True):
    by_json, by_all, by_cat = (told(line, each) for each in found)
    print(f"{name:13} --output json: {by_json:10} with --all: {by_all:10} --output cat: {by_cat}")
    assert by_json == EXPECTED[name]
    assert by_all == ("numbers" if name == "in red" else "as it was") and by_cat == "as it was"
PYTHON
python3 lines.py
