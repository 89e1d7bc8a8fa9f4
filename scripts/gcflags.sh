#!/bin/sh
# Prints the compiler flags of the builds for routers: no inlining but in what
# computes, which takes 7 % of the ELF and 13 % of what a package makes of it.
# docs/decisions/0012-no-inlining.md has the figures.
set -eu

flags='-gcflags=all=-l'
for hot in math/bits internal/byteorder crypto/internal/... crypto/sha256 crypto/hmac crypto/subtle golang.org/x/crypto/...; do
	flags="$flags -gcflags=$hot="
done
echo "$flags"
