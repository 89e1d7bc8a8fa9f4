#!/bin/sh
# Tests pngw on the routers that QEMU knows; needs root for nothing.
#   scripts/qemu.sh            unit tests by processor, USB on a real kernel, then whole
#                              routers
#   scripts/qemu.sh user       only the first: scripts/qemu.sh user mips
#   scripts/qemu.sh usb        only the second: scripts/qemu.sh usb -test.run TestGuestStalls
#   scripts/qemu.sh system     only the third, and what they write to flash:
#                              TESTFLAGS='-run TestMalta'
#   scripts/qemu.sh openwrt    the package on OpenWrt itself: OPENWRT_IMAGE is an image
#                              of its own that you have downloaded, see docs/testing.md
#   scripts/qemu.sh powercut   routers without power at random moments, ROUNDS times
#   scripts/qemu.sh daily      system and powercut, side by side
set -eu
cd "$(dirname "$0")/.."

for program in qemu-system-mipsel qemu-system-arm qemu-system-x86_64; do
	if ! command -v $program >/dev/null; then
		echo "qemu: $program is missing: apt-get install qemu-system-mips qemu-system-arm qemu-system-x86 ipxe-qemu qemu-user-static kmod mosquitto" >&2
		exit 1
	fi
done

# systems PATTERN: the tests in scripts/qemu of that name.
systems() {
	# shellcheck disable=SC2086 # a list of words
	go test -tags qemu -count 1 -timeout 120m -v -run "$1" ${TESTFLAGS:-} ./scripts/qemu
}

case ${1:-all} in
user)
	shift
	scripts/qemu-user.sh "$@"
	;;
usb)
	shift
	scripts/qemu-usb.sh "$@"
	;;
system) systems '^Test(Malta|Virt|Signs|OpenWrtStandIn|FlashWear)$' ;;
openwrt)
	if [ -z "${OPENWRT_IMAGE:-}" ]; then
		echo 'qemu: OPENWRT_IMAGE=FILE names an image of OpenWrt: see docs/testing.md' >&2
		exit 2
	fi
	OPENWRT_IMAGE=$(realpath "$OPENWRT_IMAGE")
	OPENWRT_ROOTFS=${OPENWRT_ROOTFS:+$(realpath "$OPENWRT_ROOTFS")}
	export OPENWRT_IMAGE OPENWRT_ROOTFS
	systems '^TestOpenWrt$'
	;;
powercut) systems '^TestPowerCut$' ;;
daily) systems '^Test(Malta|Virt|OpenWrtStandIn|FlashWear|PowerCut)$' ;;
all)
	scripts/qemu-user.sh
	scripts/qemu-usb.sh
	systems '^Test(Malta|Virt|Signs|OpenWrtStandIn|FlashWear)$'
	;;
*)
	echo "qemu: unknown: $1" >&2
	exit 2
	;;
esac
