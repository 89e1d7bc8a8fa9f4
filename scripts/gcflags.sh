#!/bin/sh
# Prints the compiler flags of the builds for routers: no inlining but in what
# computes, which takes 7 % of the ELF and 13 % of what a package makes of it.
# docs/decisions/0012-no-inlining.md has the figures.
#   scripts/gcflags.sh          separated by spaces
#   scripts/gcflags.sh lines    one a line, for a shell whose IFS is a newline, and
#                               such as have a space in them: two optimisations less
set -eu

separator=' ' all=-l less=
if [ "${1:-}" = lines ]; then
	separator='
'
	# No room on the stack for a make of unknown size, no defers in open code.
	less=-d=variablemakethreshold=0,noopendefer=1
	all="-l $less"
fi

flags=-gcflags=all=$all
hot() {
	flags="$flags$separator-gcflags=$1=$less"
}
for package in math/bits internal/byteorder crypto/internal/constanttime crypto/sha256 crypto/hmac crypto/subtle golang.org/x/crypto/...; do
	hot $package
done
# Of the module that Go certifies, the arithmetic; not who calls it once a handshake.
for package in alias sha256 sha512 sha3 hmac subtle aes aes/... bigmod mlkem nistec/... edwards25519/field; do
	hot crypto/internal/fips140/$package
done
hot crypto/internal/fips140deps/...
echo "$flags"
