#!/bin/sh
# Looks at the PNE in C: its sizes and speed against their limits, other processors,
# compilers and checkers, its Go sibling for longer than go test does, and a fuzzer.
#   scripts/device.sh [sizes|checkers|processors|twins|fuzz]…      default: all
# FUZZTIME is for how many seconds (default 300), SCRIPTS how many random scripts a port
# is compared by (default 500). Tables come into build/out/device.
set -eu
cd "$(dirname "$0")/.."

out=build/out/device
mkdir -p "$out"
strict='-std=c11 -Wall -Wextra -Wpedantic -Werror -Wconversion -Wsign-conversion -Wshadow -Wstrict-prototypes
	-Wmissing-prototypes -Wold-style-definition -Wcast-qual -Wcast-align -Wpointer-arith -Wvla -Wundef -Wformat=2
	-Wwrite-strings -Wdouble-promotion -Wswitch-default -Wimplicit-fallthrough -Wredundant-decls -Wnull-dereference'
includes='-I device/include -I device/storage'

need() {
	for program; do
		if ! command -v "$program" >/dev/null; then
			echo "device: $program is missing, see scripts/setup.sh" >&2
			exit 1
		fi
	done
}

# most WHAT GOT LIMIT
most() {
	printf '%-44s %6d, at most %6d\n' "$1" "$2" "$3"
	[ "$2" -le "$3" ] || {
		echo "device: $1 is too much" >&2
		return 1
	}
}

# The limits: code and constants with BearSSL's primitives, and memory with the stack.
sizes() {
	need arm-none-eabi-gcc qemu-system-arm
	scripts/firmware.sh "$out" all
	failed=0
	for kind in counter x25519; do
		[ $kind = counter ] && code=16384 || code=20480
		most "code and constants, $kind, bytes" "$(arm-none-eabi-size "$out/size-$kind.elf" | awk 'NR == 2 { print $1 }')" "$code" || failed=1
		for program in bench stack; do
			# Semihosting ends it; the limit is for where it does not.
			timeout 120 qemu-system-arm -M mps2-an385 -icount shift=0 -display none -monitor none -semihosting \
				-serial null -serial "file:$out/$program-$kind.txt" -kernel "$out/$program-$kind.elf"
			if grep -q wrong "$out/$program-$kind.txt" || ! grep -q '^device' "$out/$program-$kind.txt"; then
				cat "$out/$program-$kind.txt"
				echo "device: $program-$kind did not give the vectors' answers" >&2
				failed=1
			fi
		done
		most "memory with stack, $kind, bytes" "$(awk '/^device/ { print $2 + $4 }' "$out/stack-$kind.txt")" 2048 || failed=1
	done
	# Name, instructions, those in primitives, and the stack without the clock's own.
	tr -d '\r' <"$out/bench-x25519.txt" >"$out/bench.txt"
	tr -d '\r' <"$out/stack-x25519.txt" >"$out/stack.txt"
	printf '\n%-24s %13s %14s %9s %6s\n' operation instructions 'in primitives' 'the rest' stack
	paste "$out/bench.txt" "$out/stack.txt" | awk '/ok/ {
		name = substr($0, 1, 24); split(substr($0, 25), f, " "); n = split($0, all, " ")
		printf "%-24s %13d %14d %8.1f%% %6d\n", name, f[1], f[2], 100 * (f[1] - f[2]) / f[1], all[n - 1] }' | tee "$out/table.txt"
	return $failed
}

# What each compiler says of it; that it asks a C library for no more than three functions;
# and that C++ takes the headers.
checkers() {
	need gcc clang clang-tidy
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	for file in device/src/*.c device/ports/*/*.c device/storage/*.c; do
		posix=
		[ "$file" != device/storage/cpns_file.c ] || posix=-D_DEFAULT_SOURCE
		for x25519 in 0 1; do
			# shellcheck disable=SC2086 # lists of flags
			gcc $strict $includes $posix -DCPNS_X25519=$x25519 -O2 -fanalyzer -c "$file" -o "$work/$(basename "$file" .c).o"
			# shellcheck disable=SC2086
			clang $strict -Wno-switch-default $includes $posix -DCPNS_X25519=$x25519 -O2 -c "$file" -o "$work/clang.o"
		done
		echo "  $file"
	done
	objects=$(for file in device/src/*.c; do echo "$work/$(basename "$file" .c).o"; done)
	# shellcheck disable=SC2086 # a list of files
	asked=$(nm -u $objects | awk '{ print $2 }' | grep -vxE 'memcpy|memset|memcmp|cpns_[a-z0-9_]+' | sort -u | tr '\n' ' ')
	# shellcheck disable=SC2086
	given=$(nm -g --defined-only $objects | awk 'NF == 3 && $3 !~ /^cpns_/ { print $3 }' | tr '\n' ' ')
	if [ -n "$(echo "$asked$given" | tr -d ' ')" ]; then
		echo "device: the library asks for $asked, and gives others $given" >&2
		return 1
	fi
	# shellcheck disable=SC2086
	state=$(nm $objects | awk '$2 ~ /[bBdDC]/ && $3 !~ /^labels/ { print $3 }')
	if [ -n "$state" ]; then
		echo "device: the library has global state: $state" >&2
		return 1
	fi
	printf '#include "cpns_crypto.h"\n#include "cpns_flash.h"\n#include "cpns_file.h"\ncpns_pne_t pne;\nint main() { return 0; }\n' >"$work/header.cpp"
	for compiler in g++ clang++; do
		# shellcheck disable=SC2086
		! command -v $compiler >/dev/null || $compiler -std=c++11 -Wall -Wextra -Wpedantic -Werror $includes -c "$work/header.cpp" -o "$work/header.o"
	done
	scripts/device-single.sh "$work/cpns_pne_single.h"
	printf '#define CPNS_PNE_IMPLEMENTATION\n#include "cpns_pne_single.h"\n' >"$work/single.c"
	gcc -std=c11 -Wall -Wextra -Werror -O2 -c "$work/single.c" -o "$work/single.o"
	printf '#include "cpns_pne_single.h"\ncpns_pne_t pne;\n' >"$work/single.cpp"
	g++ -std=c++11 -Wall -Wextra -Werror -c "$work/single.cpp" -o "$work/single.o"
	# shellcheck disable=SC2086
	clang-tidy --quiet --warnings-as-errors='*' \
		--checks='bugprone-*,cert-*,clang-analyzer-*,misc-*,performance-*,portability-*,readability-misleading-indentation,readability-redundant-*,readability-inconsistent-*,-bugprone-easily-swappable-parameters,-bugprone-reserved-identifier,-cert-dcl37-c,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling,-misc-no-recursion' \
		device/src/*.c device/ports/*/*.c device/storage/cpns_flash.c -- -std=c11 $includes 2>"$work/tidy" || {
		cat "$work/tidy"
		return 1
	}
	echo '  clang-tidy has nothing to say; memcpy, memset and memcmp are all that is asked of a C library; no global state'
}

# Other processors: 32 bits, big-endian, strict about alignment. The whole of go test is
# run against a device under QEMU's user mode, with BearSSL out of its source.
processors() {
	bearssl=$(scripts/bearssl.sh)
	failed=0
	for target in 'mips-linux-gnu mips' 'arm-linux-gnueabi arm'; do
		compiler=${target% *} emulator=${target#* }
		need "$compiler-gcc" "qemu-$emulator-static"
		program=$out/harness-$emulator
		# shellcheck disable=SC2046,SC2086 # lists of files and flags
		"$compiler-gcc" -std=c11 -O2 -static -w $includes -I "$bearssl/inc" -I "$bearssl/src" \
			device/src/*.c device/ports/bearssl/*.c device/storage/*.c device/test/harness.c \
			"$bearssl"/src/hash/sha2small.c "$bearssl"/src/symcipher/chacha20_ct.c "$bearssl"/src/symcipher/poly1305_ctmul32.c \
			$(ls "$bearssl"/src/codec/*.c "$bearssl"/src/int/i15_*.c) "$bearssl"/src/ec/ec_c25519_i15.c -o "$program" \
			-Wl,--wrap=cpns_sha256,--wrap=cpns_hmac,--wrap=cpns_hkdf,--wrap=cpns_open,--wrap=cpns_x25519
		echo "== $emulator"
		CPNS_DEVICE_HARNESS="qemu-$emulator-static $PWD/$program" CPNS_DEVICE_SCRIPTS=40 go test -count 1 ./device || failed=1
	done
	return $failed
}

twins() {
	CPNS_DEVICE_SCRIPTS=${SCRIPTS:-500} CPNS_DEVICE_SEED=$(date +%s) go test -count 1 -timeout 1h -run TestTwins -v ./device | grep -v '^=== '
}

fuzz() {
	need clang
	corpus=$out/corpus
	mkdir -p "$corpus" "$out/crashes"
	go run ./device/test/vectors corpus "$corpus"
	go run ./device/test/vectors header >"$out/vectors.h"
	# shellcheck disable=SC2086
	clang -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -DCPNS_BEARSSL_FAST $includes -I "$out" \
		device/src/*.c device/ports/bearssl/*.c device/test/fuzz.c -lbearssl -o "$out/fuzz"
	"$out/fuzz" -max_len=4000 -max_total_time="${FUZZTIME:-300}" -artifact_prefix="$out/crashes/" -print_final_stats=1 "$corpus" 2>"$out/fuzz.log" || {
		tail -40 "$out/fuzz.log"
		return 1
	}
	grep -E '^stat::number_of_executed|^Done' "$out/fuzz.log"
}

[ $# -gt 0 ] || set -- sizes checkers processors twins fuzz
for part; do
	printf '\n== device: %s\n' "$part"
	case $part in
	sizes | checkers | processors | twins | fuzz) "$part" ;;
	*)
		echo "device: unknown part $part" >&2
		exit 2
		;;
	esac
done
