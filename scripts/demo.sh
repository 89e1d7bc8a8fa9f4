#!/bin/sh
# Builds the programs and plays the demo, which needs nothing but Go.
#   scripts/demo.sh [--gba] [--keep]   --gba is for a gateway with a SIM;
#                                      --keep leaves all parties running until Ctrl-C
set -eu
cd "$(dirname "$0")/.."

out=build/out/demo
USB=0 scripts/build.sh "$out/bin"
go build -o "$out/demo" ./scripts/demo
go build -o "$out/bin/gbalab" ./scripts/gbalab
exec "$out/demo" -bin "$out/bin" "$@"
