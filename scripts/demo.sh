#!/bin/sh
# Builds the programs and plays the demo, which needs nothing but Go.
#   scripts/demo.sh [--keep]       --keep leaves all parties running until Ctrl-C
set -eu
cd "$(dirname "$0")/.."

out=build/out/demo
USB=0 scripts/build.sh "$out/bin"
go build -o "$out/demo" ./scripts/demo
exec "$out/demo" -bin "$out/bin" "$@"
