#!/bin/sh
# An EPR in shell: sends one message by the socket, and takes what comes until its outcome is here.
#
#     sh examples/epr_by_curl.sh run/trust.sock referral.json received
#
# It needs curl and jq. Settings of the provider: notices = "socket".
set -eu
socket=$1 message=$2 received=$3

ask() { # METHOD PATH [more]: prints the answer; an error's body says what is wrong, and the cure
  method=$1 path=$2
  shift 2
  curl --silent --show-error --fail-with-body --unix-socket "$socket" \
    --request "$method" "http://gateway$path" "$@"
}

receipt=$(ask POST /messages --header "Content-Type: application/fhir+${message##*.}" \
  --data-binary "@$message") || { echo "$receipt" >&2; exit 1; }
mine=$(echo "$receipt" | jq --raw-output .request_id)

while :; do # a real EPR never ends
  notices=$(ask GET '/notices?wait=30&limit=1')
  number=$(echo "$notices" | jq '.notices[0].notice_id // empty')
  [ -n "$number" ] || continue
  kind=$(echo "$notices" | jq --raw-output '.notices[0].kind')
  case $kind in message | amended) # on disk first, collected second: nothing gets lost
    ask GET "/notices/$number/message" --output "$received/$number.message" ;;
  esac
  echo "$notices" | jq --raw-output '.notices[0] | "\(.kind): \(.means)"'
  ask POST "/notices/$number/collected" >/dev/null
  about=$(echo "$notices" | jq --raw-output '.notices[0].request_id')
  if [ "$about $kind" = "$mine outcome" ]; then exit 0; fi
done
