#!/bin/sh
# Runs the unit tests of what a router runs on the processors that routers have,
# under QEMU's user mode: MIPS in both byte orders and without an FPU, an ARM v5,
# and arm64. Then, each on its processor: what make cross builds says its version,
# and a MIPS build that wants an FPU is killed, which shows that there is none.
#   scripts/qemu-user.sh [mips|mipsle|arm|arm64]…     default: all four
set -eu
cd "$(dirname "$0")/.."

# Left out, for they run on a computer and not on a router: the server, whose
# SQLite is WebAssembly and would take minutes here, the conformance kit, whose tests have
# that server, and scripts, which drive
# programs of this machine (e2e runs them all under the race detector).
# keystore/comparison has only benchmarks. device is C, which scripts/device.sh takes
# through these processors itself.
left_out='/cpns/server|/cmd/cpns-server|/cmd/cpns-conform|/scripts/|/keystore/comparison|/device$'

# TestUnreadableID, TestForeignHook, TestInitJudgesAsRun, TestGive, TestGiveMakes,
# TestGiveLeaves and TestAttack need a second user, and the namespace below has only
# one.
# TestStateFileFails: on a 32-bit processor QEMU does not lift a limit of
# the size of files again, and the test program cannot write its own log.
# TestKernelEvent and TestForgedEvent need the kernel's own word on devices, which
# it does not give in there; whole routers hear it.
# TestCrowd wants a thousand devices served within a time that is no emulator's.
# TestApplication and TestApplicationHook start pngw dozens of times beside brokers and
# clients of this machine.
# TestFewerWakeups runs a program by another name than its file's, which QEMU does not pass on.
# TestScripts/living opens a serial line again that another end keeps exclusive,
# which only root may, and the namespace's root is none to the kernel.
# TestTerminalGone/nohup: QEMU handles every signal for the program, so an ignored one is
# that no longer once the program executes another, or itself again.
skipped='^TestRabbitMQ$|^TestNATS$|^TestUnreadableID$|^TestForeignHook$|^TestInitJudgesAsRun$|^TestGive$|^TestGiveMakes$|^TestGiveLeaves$|^TestAttack$|^TestStateFileFails$|^TestKernelEvent$|^TestForgedEvent$|^TestCrowd$|^TestApplication$|^TestApplicationHook$|^TestFewerWakeups$|^TestScripts$/^living$|^TestTerminalGone$/^nohup$'

for emulator in mips mipsel arm aarch64; do
	if ! command -v qemu-$emulator-static >/dev/null; then
		echo "qemu-user: qemu-$emulator-static is missing: apt-get install qemu-user-static" >&2
		exit 1
	fi
done

# Tests start their own program again, and others: so the kernel must know what
# to run them with. It is told in a namespace, which ends with this script.
if [ "${QEMU_USER_INSIDE:-}" != yes ]; then
	QEMU_USER_INSIDE=yes exec unshare --user --mount --map-root-user "$0" "$@"
fi
formats=/proc/sys/fs/binfmt_misc
if ! mount -t binfmt_misc none $formats; then
	echo 'qemu-user: this kernel has no binfmt_misc for user namespaces, which came with Linux 6.7' >&2
	exit 1
fi

# register EMULATOR CLASS-DATA TYPE-MACHINE: programs whose ELF header has these
# bytes are for the emulator.
register() {
	header="\\x7fELF$2\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00$3"
	printf '%s\n' ":$1:M::$header::$(command -v "qemu-$1-static"):OCF" >$formats/register
}
register mips '\x01\x02' '\x00\x02\x00\x08'
register mipsel '\x01\x01' '\x02\x00\x08\x00'
register arm '\x01\x01' '\x02\x00\x28\x00'
register aarch64 '\x02\x01' '\x02\x00\xb7\x00'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# version TARGET: make cross's program runs on the processor in QEMU_CPU.
version() {
	scripts/cross.sh "$1" >/dev/null && said=$("build/out/pngw-$1" version) || return 1
	echo "$said" | sed 's/^/     /'
}

# needs_fpu ARCH: a program built for an FPU must die of SIGILL.
needs_fpu() {
	printf 'package main\n\nfunc main() { if 1.5*float64(len("ab")) != 3 { panic("wrong") } }\n' >"$work/float.go"
	GOARCH=$1 GOMIPS=hardfloat go build -o "$work/hard" "$work/float.go"
	GOARCH=$1 GOMIPS=softfloat go build -o "$work/soft" "$work/float.go"
	"$work/soft" || return 1
	status=0
	"$work/hard" 2>/dev/null || status=$?
	if [ "$status" != 132 ]; then # 128 + SIGILL
		echo "qemu-user: a hard-float program for $1 ended with $status, not of SIGILL" >&2
		return 1
	fi
	echo "     a hard-float program for $1 dies of SIGILL, a soft-float one runs"
}

# shellcheck disable=SC2046 # a list of packages
[ $# -gt 0 ] || set -- mips mipsle arm arm64
packages=$(go list ./... | grep -vE "$left_out")
export GOOS=linux CGO_ENABLED=0 GOMIPS=softfloat GOARM=5
failed=0
for arch in "$@"; do
	start=$(date +%s)
	case $arch in
	mips | mipsle) cpu=24Kc target=linux-$arch ;;
	arm) cpu=arm926 target=linux-armv5 ;;
	arm64) cpu=cortex-a53 target=linux-arm64 ;;
	*)
		echo "qemu-user: unknown architecture $arch" >&2
		exit 2
		;;
	esac
	echo "== $arch, a $cpu"
	export QEMU_CPU=$cpu
	# shellcheck disable=SC2086 # a list of packages
	GOARCH=$arch go test -vet=off -skip "$skipped" -timeout 8m $packages >"$work/log" 2>&1 || failed=1
	grep -v 'no test files' "$work/log"
	version "$target" || failed=1
	case $arch in
	mips*) needs_fpu "$arch" || failed=1 ;;
	esac
	echo "     $(($(date +%s) - start)) s"
done
exit $failed
