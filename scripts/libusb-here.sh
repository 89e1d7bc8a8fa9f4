#!/bin/sh
# Tells by its exit code whether this machine can build what has the build tag usb:
# a C compiler, pkg-config and libusb's headers. With -v it says what to install.
cc=$(go env CC)
# shellcheck disable=SC2086 # CC may have flags
set -- "${1:-}" $cc
if command -v "$2" >/dev/null && "${PKG_CONFIG:-pkg-config}" --exists libusb-1.0 2>/dev/null; then
	exit 0
fi
if [ "$1" = -v ]; then
	echo 'nothing with USB can be built here: apt-get install gcc libc6-dev pkg-config libusb-1.0-0-dev'
fi
exit 1
