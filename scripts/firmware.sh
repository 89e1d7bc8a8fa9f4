#!/bin/sh
# Builds the PNE's firmware for a Cortex-M3 (mps2-an385, which QEMU has), -Os, with
# BearSSL: pne-counter.elf without X25519, its randomness from a counter, and
# pne-x25519.elf; with "all" also what measures each: its size (never run), its
# instructions (bench) and its stack.
#   scripts/firmware.sh [FOLDER [all]]       default: build/out/device
set -eu
cd "$(dirname "$0")/.."

out=$(realpath -m "${1:-build/out/device}")
bearssl=$(scripts/bearssl.sh)
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! command -v arm-none-eabi-gcc >/dev/null; then
	echo 'firmware: arm-none-eabi-gcc is missing: apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi' >&2
	exit 1
fi
board=device/examples/mps2-an385

# What the library asks BearSSL for, and the generator of the example.
primitives="hash/sha2small.c symcipher/chacha20_ct.c symcipher/poly1305_ctmul32.c
	codec/dec32be.c codec/enc32be.c codec/dec32le.c codec/enc32le.c codec/ccopy.c
	ec/ec_c25519_i15.c int/i15_add.c int/i15_sub.c int/i15_montmul.c int/i15_decmod.c
	int/i15_encode.c int/i15_iszero.c int/i15_fmont.c int/i15_tmont.c int/i15_decode.c int/i15_bitlen.c
	int/i15_modpow2.c int/i15_ninv15.c int/i15_muladd.c int/i15_rshift.c mac/hmac.c rand/hmac_drbg.c"

# compile FLAGS NAME FILE…: each file into NAME's folder.
compile() {
	compile_flags=$1 folder=$work/$2
	shift 2
	mkdir -p "$folder"
	for file; do
		# shellcheck disable=SC2086 # a list of flags
		arm-none-eabi-gcc -mcpu=cortex-m3 -mthumb -Os -std=c11 -g -ffreestanding -ffunction-sections -fdata-sections \
			-I device/include -I device/storage -I device/examples -I $board -I "$bearssl/inc" $compile_flags -c "$file" -o "$folder/$(basename "$file" .c).o"
	done
}

link() {
	program=$1
	shift
	arm-none-eabi-gcc -mcpu=cortex-m3 -mthumb -nostartfiles --specs=nano.specs -T $board/link.ld -Wl,--gc-sections "$@" -o "$out/$program"
}

strict='-Wall -Wextra -Werror -Wno-main'
for kind in counter x25519; do
	x25519=1
	[ $kind = x25519 ] || x25519=0
	flags="-DCPNS_X25519=$x25519"
	compile "$flags $strict" $kind device/src/*.c device/ports/bearssl/*.c
	# shellcheck disable=SC2046 # a list of files
	compile "-w -I $bearssl/src" $kind $(for file in $primitives; do echo "$bearssl/src/$file"; done)
	compile "$flags $strict" $kind-pne device/storage/cpns_flash.c $board/board.c $board/main.c
	link pne-$kind.elf "$work/$kind"/*.o "$work/$kind-pne"/*.o
	[ "${2:-}" = all ] || continue
	[ -f "$out/vectors.h" ] || go run ./device/test/vectors header >"$out/vectors.h"
	compile "$flags $strict" $kind-size $board/size.c
	link size-$kind.elf -Wl,--entry=every_function "$work/$kind"/*.o "$work/$kind-size"/*.o
	compile "$flags $strict -I $out" $kind-stack $board/board.c $board/bench.c
	compile "$flags $strict -I $out -DTIMED_PRIMITIVES" $kind-bench $board/board.c $board/bench.c
	link stack-$kind.elf "$work/$kind"/*.o "$work/$kind-stack"/*.o
	link bench-$kind.elf "$work/$kind"/*.o "$work/$kind-bench"/*.o \
		-Wl,--wrap=cpns_sha256,--wrap=cpns_hmac,--wrap=cpns_hkdf,--wrap=cpns_open,--wrap=cpns_x25519
done
