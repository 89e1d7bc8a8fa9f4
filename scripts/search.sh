#!/bin/sh
# The attacker's search (agent/life/search_test.go), further than a plain test goes.
set -eu
cd "$(dirname "$0")/.."
CPNS_SEARCH=${STATES:-200000} exec go test -count=1 -timeout 3h -v -run '^TestSearch$' ./agent/life
