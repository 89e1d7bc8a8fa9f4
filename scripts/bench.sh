#!/bin/sh
# Runs every benchmark. build/out/bench.txt is what go test printed (feed it to
# benchstat), build/out/bench.md the same as a table, with the sizes of pngw.
#   scripts/bench.sh [REGEXP [PACKAGES]]
set -eu
cd "$(dirname "$0")/.."

mkdir -p build/out
regexp=${1:-.}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- ./...

# One package at a time: two at once would measure each other.
status=0
go test -run '^$' -bench "$regexp" -benchmem -p 1 -timeout 60m "$@" >build/out/bench.txt || status=$?
grep -v -e '^PASS$' -e '\[no test files\]$' build/out/bench.txt || true

{
	echo "| package | benchmark | result |"
	echo "|---|---|---|"
	# A line is: name, rounds, then pairs of value and unit. A log line in between
	# leaves the name on a line of its own.
	awk '
	/^pkg: /       { sub(/^cpns\.example\.net\/pngw\//, "", $2); pkg = $2 }
	/^Benchmark/   { name = $1; sub(/^Benchmark/, "", name); sub(/-[0-9]+$/, "", name); $1 = "" ; $0 = $0 }
	name && NF > 2 && $1 ~ /^[0-9]+$/ && $2 ~ /^[0-9.]+$/ {
		line = ""
		for (i = 2; i < NF; i += 2) line = line (line ? ", " : "") $i " " $(i + 1)
		print "| " pkg " | " name " | " line " |"
		name = ""
	}' build/out/bench.txt
} >build/out/bench.md

sizes=$(scripts/size.sh) || status=1
{
	echo
	echo 'Size of pngw in bytes, against build/size-budget:'
	echo
	echo "$sizes" | sed 's/^/    /'
} >>build/out/bench.md
echo 'bench: the table is build/out/bench.md'
exit $status
