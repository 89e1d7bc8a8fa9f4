#!/bin/sh
# Prints the option by which go builds with build/overlay in the place of packages of
# its own library: docs/decisions/0042 says which, and why.
#   go build $(scripts/overlay.sh FILE) …     FILE is made, and must stay meanwhile
set -eu
file=$(realpath "$1")
cd "$(dirname "$0")/.."

idna=$(go env GOROOT)/src/vendor/golang.org/x/net/idna
if [ ! -f "$idna/punycode.go" ]; then
	echo "overlay: Go no longer has its package for names that are not ASCII in $idna" >&2
	exit 1
fi
{
	printf '{"Replace": {'
	for part in "$idna"/*.go; do
		printf '"%s": "", ' "$part"
	done
	# The one that is there beside them, under a name that Go has not.
	printf '"%s": "%s"}}\n' "$idna/overlay.go" "$PWD/build/overlay/idna/idna.go"
} >"$file"
echo "-overlay=$file"
