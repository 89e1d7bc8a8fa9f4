#!/bin/sh
# Writes the manual pages into build/out/man: each program prints its own.
set -eu
cd "$(dirname "$0")/.."

mkdir -p build/out/man
ldflags=$(scripts/ldflags.sh)
for program in pngw cpns-server pne cpns-conform; do
	go run -ldflags "$ldflags" "./cmd/$program" man >"build/out/man/$program.1"
	echo "build/out/man/$program.1"
done
