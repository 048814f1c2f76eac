#!/bin/sh
# An EPR in shell: sends one message by the socket, and takes what comes until its outcome is here.
#
#     sh examples/epr_by_curl.sh run/trust.sock referral.json received
#
# It needs curl and jq. Settings of the provider: notices = "socket". It answers no questions.
set -eu
socket=$1 message=$2 received=$3
mkdir -p "$received"

ask() { # METHOD PATH [more]: prints the answer; an error's body says what is wrong, and the cure
  method=$1 path=$2
  shift 2
  curl --silent --show-error --unix-socket "$socket" --request "$method" "http://gateway$path" "$@"
}

submit() { # until there is an answer; the same bytes are one message, however often they come
  while :; do
    status=$(ask POST /messages --header "Content-Type: application/fhir+${message##*.}" \
      --data-binary "@$message" --output "$received/receipt" --write-out '%{http_code}') || :
    case $status in
      200 | 201) return ;;
      000 | 408 | 500 | 503) sleep 1 ;; # nobody knows whether it was taken
      *) cat "$received/receipt" >&2 && exit 1 ;;
    esac
  done
}

part() { # NAME: puts the message or the answer of this notice on disk, byte for byte
  ask GET "/notices/$number/$1" --fail --output "$received/$number.$1" || { sleep 1 && return 1; }
}

tell() { # what stands in this notice at FILTER; echo would read its backslashes
  printf '%s\n' "$notice" | jq --raw-output "$1"
}

until told=$(ask GET /contract --fail) && [ -n "$told" ]; do sleep 1; done # curl says why not
told=$(printf '%s' "$told" | jq --raw-output .tells)
[ "$told" = socket ] || { echo 'set notices = "socket": they come by folder' >&2 && exit 1; }
submit
mine=$(jq --raw-output .request_id "$received/receipt")

while :; do # a real EPR never ends
  notice=$(ask GET '/notices?wait=30&limit=1' | jq --compact-output '.notices[0] // empty') || :
  [ -n "$notice" ] || { sleep 1 && continue; } # none came, or the gateway is away
  number=$(tell .notice_id) kind=$(tell .kind)
  printf '%s\n' "$notice" >"$received/$number.notice"
  case $kind in message | amended) part message || continue ;; esac
  [ "$(tell .answer_media_type)" = null ] || part answer || continue
  tell '"\(.kind): \(.means)"' # people are shown what it means
  ask POST "/notices/$number/collected" --fail || continue # on disk first, collected second
  if [ "$(tell .request_id) $kind" = "$mine outcome" ]; then exit 0; fi
done
