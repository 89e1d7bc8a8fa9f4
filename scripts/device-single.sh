#!/bin/sh
# Writes the PNE in C as one header, for builds that like that (Arduino): include it
# where it is used, and in one .c file after  #define CPNS_PNE_IMPLEMENTATION. A port of
# cryptography goes beside it; its includes are found in the same header.
#   scripts/device-single.sh [FILE]       default: build/out/device/cpns_pne_single.h
set -eu
cd "$(dirname "$0")/.."

file=${1:-build/out/device/cpns_pne_single.h}
mkdir -p "$(dirname "$file")"
{
	cat device/include/cpns_pne.h device/include/cpns_crypto.h
	printf '\n#ifdef CPNS_PNE_IMPLEMENTATION\n\n'
	cat device/src/internal.h device/src/*.c
	printf '\n#endif /* CPNS_PNE_IMPLEMENTATION */\n'
} | sed -E '/^#include "(internal|cpns_crypto|cpns_pne)\.h"$/d' >"$file"
