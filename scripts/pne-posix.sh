#!/bin/sh
# Builds the PNE in C as a program: on a serial line, or on a broker by libmosquitto.
#   scripts/pne-posix.sh bearssl|psa [FOLDER]       default: build/out/device
# It prints where the program is. CFLAGS replaces the optimisation. It takes the headers and
# libraries of libmosquitto and of BearSSL or Mbed TLS: on Debian libmosquitto-dev, and
# libbearssl-dev or libmbedtls-dev.
set -eu
cd "$(dirname "$0")/.."

port=$1 out=${2:-build/out/device}
case $port in
bearssl) flags='' libraries=-lbearssl ;;
psa) flags=-DCPNS_PSA libraries=-lmbedcrypto ;;
*)
	echo "pne-posix: unknown port $port" >&2
	exit 2
	;;
esac
mkdir -p "$out"
# shellcheck disable=SC2086 # lists of flags
cc -std=c11 ${CFLAGS:--O2 -g} -Wall -Wextra -Werror -I device/include -I device/storage -I device/examples $flags \
	device/src/*.c device/ports/"$port"/*.c device/storage/cpns_file.c device/examples/posix/pne-posix.c \
	-lmosquitto $libraries -o "$out/pne-posix-$port"
ls "$out/pne-posix-$port"
