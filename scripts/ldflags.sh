#!/bin/sh
# Prints the linker flags of every build: stripped, with the version and the
# time of the commit, so that two builds of one commit are the same bytes.
set -eu
cd "$(dirname "$0")/.."

version=${VERSION:-$(git describe --tags --match 'v[0-9]*' --always --abbrev=12 --dirty 2>/dev/null || echo devel)}
# Seconds since 1970: the time below which a router's clock is not believed.
time=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}

echo "-s -w -X main.version=$version -X main.buildTime=$time"
