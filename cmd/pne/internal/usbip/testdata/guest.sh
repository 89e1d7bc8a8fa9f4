#!/bin/sh
# Boots a Linux kernel under QEMU and runs in it the tests that plug USB devices
# in: this package's, with the build tag usbguest.
#
#   guest.sh ROOT [TEST_FLAG…]
#
# ROOT has unpacked the packages linux-image-* and busybox-static of this machine's
# architecture: boot/vmlinuz-VERSION, lib/modules/VERSION with its modules.dep
# (depmod -b ROOT VERSION), bin/busybox. It ends with 0 only if the guest has said
# that the tests passed. Needed: go, cgo, libusb, qemu-system-x86, cpio, kmod.
set -eu
root=$(realpath "$1")
shift
cd "$(dirname "$0")/.."

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

kernel=$(ls "$root"/boot/vmlinuz-*)
version=${kernel##*/vmlinuz-}

guest=$tmp/guest
mkdir -p "$guest/bin" "$guest/dev" "$guest/etc" "$guest/modules" "$guest/proc" "$guest/sys" "$guest/tmp"
cp "$root/bin/busybox" "$guest/bin/busybox"
printf 'root:x:0:\ndialout:x:20:\n' >"$guest/etc/group"
printf 'root:x:0:0:root:/:/bin/sh\n' >"$guest/etc/passwd"

CGO_ENABLED=1 go test -c -tags usbguest -o "$guest/usb.test" .
# The program's libraries and its loader, at the paths that it asks for.
ldd "$guest/usb.test" | grep -o '/[^ ]*' | while read -r lib; do
	mkdir -p "$guest${lib%/*}"
	cp -L "$lib" "$guest$lib"
done

# Modules in the order in which they need each other.
PATH=$PATH:/usr/sbin modprobe -d "$root" -S "$version" --show-depends vhci-hcd | while read -r _ module; do
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
(cd "$guest" && find . | cpio -o -H newc -R 0:0 --quiet | gzip -1) >"$tmp/initrd"

timeout "${GUEST_SECONDS:-600}" qemu-system-x86_64 -accel tcg -cpu max -m 256M -smp 1 \
	-kernel "$kernel" -initrd "$tmp/initrd" -append 'console=ttyS0 quiet panic=-1' \
	-display none -monitor none -no-reboot -nic none -serial stdio </dev/null |
	tr -d '\r' | tee "$tmp/log"
grep -q '^guest: tests ended with 0$' "$tmp/log"
