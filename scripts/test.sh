#!/bin/sh
# Everything that must hold before a commit: what CI runs, and make test.
# All steps run even if one fails. build/out/test/ then holds packages, go
# test's line for each package, and summary, "N passed, N failed": the tests
# that go test counted, and each other step as one. What failed by accident has a
# second chance, and is named at the end: see scripts/tally/again.go.
set -eu
cd "$(dirname "$0")/.."

out=build/out/test
rm -rf "$out"
mkdir -p "$out"
start=$(date +%s)
passed=0 failed=0 skipped=0

scripts/setup.sh
if [ "${CI:-}" != true ] && [ -z "${ZIG:-}" ] && ! command -v npm >/dev/null; then
	echo 'neither npm nor ZIG: routers are built and tested without USB'
	export USB=0
fi

usb=0
if scripts/libusb-here.sh -v; then
	usb=1
elif [ "${CI:-}" = true ]; then
	exit 1
fi

# worked sets processors to the seconds that they have worked for what this script started.
worked() {
	times >"$out/times"
	processors=$(awk 'NR == 2 { gsub("s", ""); split($1, user, "m"); split($2, kernel, "m")
		print int((user[1] + kernel[1]) * 60 + user[2] + kernel[2]) }' "$out/times")
}

# begin TITLE heads a step; took says how long it was.
begin() {
	begun=$(date +%s)
	worked
	before=$processors
	printf '\n== %s\n' "$1"
}
took() {
	worked
	echo "took $(($(date +%s) - begun)) s, $((processors - before)) s of processors"
}

# step NAME COMMAND…
step() {
	name=$1
	shift
	begin "$name"
	if "$@"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAILED: $name"
	fi
	took
}

formatted() {
	unformatted=$(gofmt -l .)
	if [ -n "$unformatted" ]; then
		echo "gofmt would change: $unformatted"
		return 1
	fi
}

# staticcheck is built from a module of its own, so that its dependencies stay
# out of ours.
staticcheck() {
	go build -C build/tools -o "$PWD/build/out/staticcheck" honnef.co/go/tools/cmd/staticcheck &&
		build/out/staticcheck -tags qemu,usbguest ./... &&
		{ [ "$usb" = 0 ] || build/out/staticcheck -tags qemu,usbguest,usb ./transport/usb ./cmd/pngw; }
}

vetted() {
	go vet -tags qemu,usbguest ./... &&
		go vet -tags nopage ./cmd/pngw &&
		{ [ "$usb" = 0 ] || go vet -tags qemu,usbguest,usb ./transport/usb ./cmd/pngw; }
}

# tallied NAME PACKAGES -- FLAG…: go test, and its count added to ours.
tallied() {
	name=$1
	shift
	mkdir "$out/$name"
	begin "go test $*"
	if ! go run ./scripts/tally -o "$out/$name" "$@"; then
		echo "FAILED: go test $*"
	fi
	cat "$out/$name/packages" >>"$out/packages" 2>/dev/null || true
	if [ -s "$out/$name/counts" ]; then
		read -r p f s <"$out/$name/counts"
		passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	else
		failed=$((failed + 1))
	fi
	took
}

scripts_checked() {
	if ! command -v shellcheck >/dev/null; then
		echo 'shellcheck is not installed: apt-get install shellcheck'
		[ "${CI:-}" != true ]
		return
	fi
	# Every file that begins like a shell script, whatever its name.
	# shellcheck disable=SC2016 # expanded by the inner shell
	find . \( -path ./.git -o -path ./build/out \) -prune -o -type f -exec sh -c '
		status=0
		for file; do
			if head -c 9 "$file" | grep -q "^#!/bin/sh"; then shellcheck "$file" || status=1; fi
		done
		exit $status' sh {} +
}

within_budget() {
	if ! command -v xz >/dev/null; then
		echo 'xz is not installed: apt-get install xz-utils'
		[ "${CI:-}" != true ]
		return
	fi
	scripts/size.sh
}

# routers GROUP…: scripts/qemu.sh, which takes programs that not everybody may install.
routers() {
	if ! command -v qemu-system-mipsel >/dev/null; then
		echo 'QEMU is not installed: apt-get install qemu-system-mips qemu-system-arm qemu-user-static'
		[ "${CI:-}" != true ]
		return
	fi
	scripts/qemu.sh "$@"
}

browser() {
	if ! command -v npm >/dev/null; then
		echo 'npm is not installed: apt-get install npm'
		[ "${CI:-}" != true ]
		return
	fi
	scripts/web.sh
}

step gofmt formatted
step 'go vet' vetted
step staticcheck staticcheck
step shellcheck scripts_checked
step 'size budget' within_budget

# More packages at a time than there are processors: many wait for programs that they
# have started.
tallied plain ./... -- -race -count 1 -timeout 15m -p "$(($(nproc) + 1))"
if [ "$usb" = 1 ]; then
	# What is built otherwise with USB: its link, and the program that has it. Their
	# Go was under the race detector already.
	tallied usb ./transport/usb ./cmd/pngw -- -count 1 -timeout 15m -tags usb
fi

step 'the page in a browser' browser
step 'fuzz, briefly' scripts/fuzz.sh 40
step 'the PNE in C' scripts/device.sh sizes checkers
# The one that differs most from this machine, in words and byte order; make qemu takes
# the tests to all four.
step "routers' processors" routers user mips
step 'USB on a real kernel' routers usb
export ROUNDS="${ROUNDS:-6}" # a third of what make powercut does
step 'whole routers, and power cuts' routers daily

echo "$passed passed, $failed failed" >"$out/summary"
grep UNSTEADY "$out/packages" || true
printf '\n%s, %d skipped, in %d s\n' "$(cat "$out/summary")" "$skipped" $(($(date +%s) - start))
[ "$failed" -eq 0 ]
