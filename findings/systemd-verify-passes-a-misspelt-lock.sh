#!/usr/bin/env bash
# systemd 252: systemd-analyze verify calls a unit good whose locks are misspelt.
#
# A unit that hardens a service is a list of names and values, and systemd ignores those that it does
# not know, with a warning at the start of the service, among everything else. One checks units with
# systemd-analyze verify, in the build of a package or in CI, and expects its exit code to say so, as
# it does of a program that is not there.
#
# Seen: the unit below names ProtectHmoe= and gives ProtectSystem= a value that there is not. Both
# are told on standard error, and the exit code is 0. So what runs that check by its code installs a
# service that may read every home and write every file. It is 1 only where --recursive-errors= is
# given, whatever its value, although its name is about other units. systemd-analyze security
# --offline=true shows what is left: both are counted as open.
#
# This fails if any of that changes.
set -eu -o pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unit() { printf '[Service]\nExecStart=%s\n%s\n%s\n' "$@"; }
unit /bin/true ProtectHome=yes ProtectSystem=strict >"$folder/meant.service"
unit /bin/true ProtectHmoe=yes ProtectSystem=strictly >"$folder/misspelt.service"
unit /nowhere ProtectHome=yes ProtectSystem=strict >"$folder/nowhere.service"

ended() { # EXPECTED WORDS COMMAND…: prints how it ended, and what of it was said that matters
  local expected=$1 words=$2 code=0 said
  shift 2
  said=$("$@" 2>&1) || code=$?
  echo "$code  ${*/#$folder\//}"
  grep -E "$words" <<<"$said" | sed "s|$folder/||; s/^/     /"
  [ "$code" = "$expected" ]
}

systemd-analyze --version | head -n 1
ended 1 'not executable' systemd-analyze verify "$folder/nowhere.service"
ended 0 'Unknown key.*ProtectHmoe|Failed to parse.*strictly' systemd-analyze verify "$folder/misspelt.service"
for mode in no one yes; do
  ended 1 ProtectHmoe systemd-analyze verify --recursive-errors=$mode "$folder/misspelt.service"
done
for each in meant misspelt; do
  ended 0 ' Protect(Home|System)=' systemd-analyze security --offline=true --no-pager "$folder/$each.service"
done
