#!/bin/sh
# Prints the compiler flags of the builds for routers: no inlining but in what
# computes, which takes 7 % of the ELF and 13 % of what a package makes of it.
# docs/decisions/0012-no-inlining.md has the figures.
set -eu

flags='-gcflags=all=-l'
for hot in math/bits internal/byteorder crypto/internal/constanttime crypto/sha256 crypto/hmac crypto/subtle golang.org/x/crypto/...; do
	flags="$flags -gcflags=$hot="
done
# Of the module that Go certifies, the arithmetic; not who calls it once a handshake.
for hot in alias sha256 sha512 sha3 hmac subtle aes aes/... bigmod mlkem nistec/... edwards25519/field; do
	flags="$flags -gcflags=crypto/internal/fips140/$hot="
done
flags="$flags -gcflags=crypto/internal/fips140deps/...="
echo "$flags"
