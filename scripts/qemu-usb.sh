#!/bin/sh
# Tests USB links on a real kernel: boots Debian's under QEMU and runs in it the
# tests of cmd/pne/internal/usbip with the build tags usb and usbguest, which plug devices
# into it and open them through gousb and libusb.
#   scripts/qemu-usb.sh [TEST_FLAG…]     such as -test.run TestGuestStalls
# The guest's last line decides; a guest without one has failed.
set -eu
cd "$(dirname "$0")/.."

missing() {
	echo "qemu-usb: $1 is missing: apt-get install qemu-system-x86 cpio kmod gcc libc6-dev pkg-config libusb-1.0-0-dev" >&2
	exit 1
}

# modprobe is in /usr/sbin, which a user's PATH may lack.
PATH=$PATH:/usr/sbin:/sbin
for program in qemu-system-x86_64 cpio modprobe cc pkg-config; do
	command -v $program >/dev/null || missing $program
done
pkg-config --exists libusb-1.0 || missing libusb-1.0
# The guest gets this machine's libusb and C library.
if [ "$(go env GOHOSTARCH)" != amd64 ]; then
	echo 'qemu-usb: this takes an amd64 machine: its own libusb runs in the guest' >&2
	exit 1
fi

root=$(scripts/qemu-fetch.sh amd64)
kernel=$(ls "$root"/boot/vmlinuz-*)
version=${kernel##*/vmlinuz-}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
guest=$work/guest
mkdir -p "$guest/bin" "$guest/dev" "$guest/etc" "$guest/modules" "$guest/proc" "$guest/sys" "$guest/tmp"
cp "$root/bin/busybox" "$guest/bin/busybox"
printf 'root:x:0:\ndialout:x:20:\n' >"$guest/etc/group"
printf 'root:x:0:0:root:/:/bin/sh\n' >"$guest/etc/passwd"

(cd cmd/pne/internal/usbip && CGO_ENABLED=1 go test -c -tags usb,usbguest -o "$guest/usb.test" .)
CGO_ENABLED=1 go build -tags usb -o "$guest/" ./cmd/pne ./cmd/cpns-conform
# The programs' libraries and their loader, at the paths that they ask for.
ldd "$guest/usb.test" "$guest/pne" "$guest/cpns-conform" | grep -o '[[:space:]]/[^ :]*' | sort -u | while read -r lib; do
	mkdir -p "$guest${lib%/*}"
	cp -L "$lib" "$guest$lib"
done

# Modules in the order in which they need each other.
modprobe -d "$root" -S "$version" --show-depends vhci-hcd | while read -r _ module; do
	cp "$module" "$guest/modules/"
	echo "${module##*/}"
done >"$guest/modules/order"

echo "$*" >"$guest/flags"
cat >"$guest/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
ip link set lo up
while read -r module; do
	insmod "/modules/$module" || echo "guest: $module does not load"
done </modules/order
# shellcheck disable=SC2046 # a list of flags
CI=true /usb.test -test.v -test.timeout 500s $(cat /flags)
echo "guest: tests ended with $?"
poweroff -f
INIT
chmod +x "$guest/init"
(cd "$guest" && find . | cpio -o -H newc -R 0:0 --quiet | gzip -1) >"$work/initrd"

# A test that dies while it has a device of its own open waits for the kernel, which
# waits for the device: that must end, and does as a panic.
hung='sysctl.kernel.hung_task_timeout_secs=60 sysctl.kernel.hung_task_panic=1'
# One processor, as most routers have.
timeout 600 qemu-system-x86_64 -accel tcg -cpu max -m 256M -smp 1 \
	-kernel "$kernel" -initrd "$work/initrd" -append "console=ttyS0 quiet panic=-1 $hung" \
	-display none -monitor none -no-reboot -nic none -serial stdio </dev/null |
	tr -d '\r' | tee "$work/log"
ended=$(sed -n 's/^guest: tests ended with //p' "$work/log" | tail -n 1)
if [ "$ended" != 0 ]; then
	echo "qemu-usb: the tests in the guest ended with ${ended:-no word}" >&2
	exit 1
fi
