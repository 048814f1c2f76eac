# How the trials of the package see facts: read by deb-test-within and deb-upgrade-within, in a root
# file system of their own. Each line that is printed is a fact that was seen.

# shellcheck shell=bash disable=SC2034  # those who read this use them
set -eu -o pipefail
export DEBIAN_FRONTEND=noninteractive
cd "$(dirname "${BASH_SOURCE[0]}")"

# What the packages need of the release comes over the network; they themselves have one of their own,
# with nobody else in it.
if [ "${1:-}" != alone ]; then
  for each in ./*.deb; do
    apt-get satisfy -y -qq --no-install-recommends "$(dpkg-deb --field "$each" Depends)" >/tmp/apt.log 2>&1 ||
      { tail /tmp/apt.log && exit 1; }
  done
  exec unshare --net bash "$0" alone
fi
ip link set lo up

national=/tmp/national
spool=/var/spool/bars-gateway/trust
facts=0
started=()
trap 'for each in "${started[@]}"; do kill "$each" 2>/dev/null || true; done; wait' EXIT

seen() { # FACT COMMAND…
  local fact=$1
  shift
  if ! "$@" >/tmp/said 2>&1; then
    echo "NOT SO: $fact" && echo "$*" && tail -n 30 /tmp/said && exit 1
  fi
  facts=$((facts + 1))
  echo "  $fact"
}
refused() { # WORDS COMMAND…: it fails, and says so
  local words=$1
  shift
  ! "$@" >/tmp/told 2>&1 && grep -q "$words" /tmp/told || { cat /tmp/told && return 1; }
}
gone() { for each in "$@"; do [ ! -e "$each" ] || return 1; done; }
until_so() { for _ in $(seq 150); do if "$@" >/dev/null 2>&1; then return; fi; sleep 0.2; done; "$@"; }
is() { [ "$1" = "$(stat -c '%a %U %G' "$2")" ]; }
as_gateway=(setpriv --reuid=bars-gateway --regid=bars-gateway-epr --groups=bars-gateway)
as_epr() { runuser -u epr -- "$@"; }
gateway() { "${as_gateway[@]}" bars-gateway "$@"; }
messages() { gateway verify --json | grep -o '"messages":[0-9]*'; }
ask() { # URL [FILE]: what is answered, to a GET, or to a POST of that file
  /opt/bars-gateway/bin/python -c 'import sys, urllib.request
body = open(sys.argv[2], "rb").read() if sys.argv[2:] else None
sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1], body).read())' "$@"
}
# As the pages say; Enter is all that is answered to a question. apt gives what a package runs a PATH of
# its own, without the systemctl that a trial has put into ours.
apt_install() { apt install --option DPkg::Path="$PATH" "$@" < <(yes '' 2>/dev/null || true); }
# Lets the package's command run at a terminal, /tmp/screen, where somebody types ANSWER once it asks; it
# fails where it has not asked. The Python is the release's, which stays.
at_a_terminal() { # ANSWER COMMAND…
  DEBIAN_FRONTEND=readline timeout 120 "$(realpath /opt/bars-gateway/bin/python)" -c 'import os, pty, sys
screen, asks = b"", b"[yes/no]"
def shown(terminal):
    global screen
    more = os.read(terminal, 1024)
    if asks in screen + more and asks not in screen:
        os.write(terminal, sys.argv[1].encode() + b"\n")
    screen += more
    return more
ended = os.waitstatus_to_exitcode(pty.spawn(sys.argv[2:], shown))
sys.exit(ended or asks not in screen)' "$@" >/tmp/screen </dev/null || { cat /tmp/screen && return 1; }
}
question_names() { # FOLDER…
  local each
  for each in "$@"; do
    sed '/\[yes\/no\]/q' /tmp/screen | grep -qE "(^| )${each}[[:space:]]" || { cat /tmp/screen && return 1; }
  done
}
