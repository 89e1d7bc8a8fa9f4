#!/bin/sh
# Builds the three programs for this machine, with USB if libusb and a C compiler
# are here, or as CGO_ENABLED says.
#   scripts/build.sh [FOLDER]      default build/out/bin
set -eu
cd "$(dirname "$0")/.."

out=${1:-build/out/bin}
mkdir -p "$out"
if ! pkg-config --exists libusb-1.0 2>/dev/null; then
	CGO_ENABLED=${CGO_ENABLED:-0}
	export CGO_ENABLED
fi
go build -trimpath -buildvcs=false -tags nethttpomithttp2 -ldflags "$(scripts/ldflags.sh)" -o "$out/" ./cmd/...
echo "built into $out: $(cd "$out" && echo *)"
