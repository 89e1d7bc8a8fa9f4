#!/bin/sh
# Builds targets of the commit twice, in two folders, the second time with
# nothing cached by Go and in another environment, and compares the bytes.
#   scripts/reproduce.sh [TARGET]…     default: linux-mipsle
set -eu
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || set -- linux-mipsle
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A folder without .git has no version to tell.
VERSION=$(git describe --tags --match 'v[0-9]*' --always --abbrev=12)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export VERSION SOURCE_DATE_EPOCH

cache=$(go env GOCACHE)
environment=
for folder in one with/a-longer-name; do
	mkdir -p "$work/$folder"
	git archive HEAD | tar -xf - -C "$work/$folder"
	# shellcheck disable=SC2086 # a list of variables
	env $environment GOCACHE="$cache" "$work/$folder/scripts/cross.sh" "$@" >"$work/sums-$(basename "$folder")"
	cache=$work/cache
	environment='GOFLAGS=-tags=other GOAMD64=v3 GOARM64=v9.0 GOMIPS=hardfloat GOEXPERIMENT=arenas CGO_CFLAGS=-O0'
done
if ! cmp "$work/sums-one" "$work/sums-a-longer-name"; then
	echo 'reproduce: the builds differ:' >&2
	cat "$work"/sums-* >&2
	exit 1
fi
cat "$work/sums-one"
