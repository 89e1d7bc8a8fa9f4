#!/bin/sh
# Builds the three programs for this machine.
#   scripts/build.sh [FOLDER]      default build/out/bin
set -eu
cd "$(dirname "$0")/.."

out=${1:-build/out/bin}
mkdir -p "$out"
go build -trimpath -buildvcs=false -tags nethttpomithttp2 -ldflags "$(scripts/ldflags.sh)" -o "$out/" ./cmd/...
echo "built into $out: $(cd "$out" && echo *)"
