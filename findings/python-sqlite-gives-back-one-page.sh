#!/usr/bin/env bash
# Python's sqlite3 (seen with Python 3.11.7, SQLite 3.40.1): `PRAGMA incremental_vacuum(100)` gives
# one page back to the disk, and not a hundred; apsw 3.54.1.0 gives a hundred back.
#
# Whoever lets records leave a database that has `auto_vacuum = INCREMENTAL` gives the room back by
# this pragma, a hundred pages at a time so that nobody waits for it. SQLite frees one page with each
# step of the statement, and each step is a row without columns. One expects that execute() runs a
# statement that returns nothing to its end, as it does with DELETE, or else that fetchall() does.
#
# Seen: with sqlite3 neither does. execute() steps once, sees no columns, and ends the statement;
# fetchall() is empty, without an error. executescript() steps to the end: a hundred pages. With apsw
# execute() gives back one as well, and fetchall() the rest: a hundred empty rows. So a file that is
# thought to shrink each night does not, and only its size on the disk shows it.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install 'apsw==3.54.1.0'
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sqlite3
import sys

import apsw

VACUUM = "PRAGMA incremental_vacuum(100)"


def with_free_pages(connection):
    """Let a thousand pages be free in the file."""
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("CREATE TABLE letters (body BLOB)")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO letters VALUES (zeroblob(4000))", [()] * 1000)
    connection.execute("COMMIT")
    connection.execute("DELETE FROM letters")
    return connection


def given_back(connection, vacuum):
    def free():
        return connection.execute("PRAGMA freelist_count").fetchone()[0]

    before = free()
    vacuum(connection)
    return before - free()


ours = with_free_pages(sqlite3.connect("sqlite3.db", isolation_level=None))
theirs = with_free_pages(apsw.Connection("apsw.db"))
seen = {
    "sqlite3, execute": given_back(ours, lambda c: c.execute(VACUUM)),
    "sqlite3, fetchall": given_back(ours, lambda c: c.execute(VACUUM).fetchall()),
    "sqlite3, executescript": given_back(ours, lambda c: c.executescript(VACUUM)),
    "apsw, execute": given_back(theirs, lambda c: c.execute(VACUUM)),
    "apsw, fetchall": given_back(theirs, lambda c: c.execute(VACUUM).fetchall()),
}
for how, pages in seen.items():
    print(f"{how:24} {pages:4} pages")
if list(seen.values()) != [1, 1, 100, 1, 100]:
    sys.exit("this has changed")
PYTHON
