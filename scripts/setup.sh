#!/bin/sh
# Installs what the tests need and this machine lacks, by apt-get, saying what
# and why. Where it may not, it says what to install, and fails in CI.
set -eu

missing=

# need PACKAGE WHY TEST…: the package is missing if the test fails.
need() {
	package=$1 why=$2
	shift 2
	if ! "$@" >/dev/null 2>&1; then
		printf '  %-20s %s\n' "$package" "$why"
		missing="$missing $package"
	fi
}

# have PROGRAM: is it there? Daemons are in /usr/sbin, which a user's PATH may lack.
have() {
	command -v "$1" >/dev/null || test -x "/usr/sbin/$1"
}

compiles() {
	echo 'int main(void){return 0;}' | cc -x c -o /dev/null -
}

# has_postgres: Debian keeps the server's programs out of every PATH.
has_postgres() {
	have initdb || ls /usr/lib/postgresql/*/bin/initdb
}

if ! have go; then
	echo 'setup: Go is missing: install the version that go.mod names, from https://go.dev/dl/' >&2
	exit 1
fi

need ca-certificates 'to download Go modules over HTTPS' test -e /etc/ssl/certs/ca-certificates.crt
need git 'the version of a build is that of its commit' have git
need gcc 'the race detector is linked by it' have cc
need libc6-dev 'the same' compiles
need pkg-config 'finds libusb' have pkg-config
need gcc-arm-none-eabi 'the firmware of the PNE in C' have arm-none-eabi-gcc
need libnewlib-arm-none-eabi 'its memcpy, memset and memcmp' test -d /usr/lib/arm-none-eabi/newlib
need gcc-mips-linux-gnu 'the PNE in C on a big-endian processor' have mips-linux-gnu-gcc
need libc6-dev-mips-cross 'the same' test -e /usr/mips-linux-gnu/include/stdio.h
need gcc-arm-linux-gnueabi 'the same on an ARM' have arm-linux-gnueabi-gcc
need libc6-dev-armel-cross 'the same' test -e /usr/arm-linux-gnueabi/include/stdio.h
need clang 'another compiler for it, and its fuzzer' have clang
need libclang-rt-14-dev 'the fuzzer itself' sh -c 'clang -print-file-name=libclang_rt.fuzzer-x86_64.a | xargs test -e'
need clang-tidy 'checks it' have clang-tidy
need g++ 'its headers are for C++ too' have g++
need libmosquitto-dev 'the PNE in C on a broker' test -e /usr/include/mosquitto.h
need libbearssl-dev 'the cryptography of the PNE in C' test -e /usr/include/bearssl.h
need libmbedtls-dev 'another, by PSA Crypto' test -e /usr/include/psa/crypto.h
need libusb-1.0-0-dev 'links with USB' pkg-config --exists libusb-1.0
need make 'builds libusb for routers, and tests the Makefile of the OpenWrt feed' have make
need bzip2 'unpacks the source of libusb' have bzip2
need chromium 'the browser that the technicians'\'' page is tried in' have chromium
need libnss3-tools 'has it trust a gateway' have certutil
need npm 'fetches what that page is made and tried with; and zig, the C compiler of the builds with USB, unless ZIG names one' have npm
need mosquitto 'the broker that the MQTT tests talk to' have mosquitto
need libcoap3-bin 'a CoAP server with DTLS that devices speak with' have coap-server-openssl
need mosquitto-clients 'publishes what a hostile device would' have mosquitto_pub
need rabbitmq-server 'another broker that they talk to' test -d /usr/lib/rabbitmq
need haproxy 'a balancer that the CPNS Server is reached through' have haproxy
need nginx-light 'the same, and a proxy that ends TLS' have nginx
need libnginx-mod-stream 'the part of nginx that passes TLS on' test -e /usr/lib/nginx/modules/ngx_stream_module.so
need tinyproxy 'the HTTP proxy that a gateway reaches its server through' have tinyproxy
need zbar-tools 'reads QR codes as a telephone does' have zbarimg
need poppler-utils 'prints the labels'"'"' sheets' have pdftoppm
need openssl 'an independent look at certificates' have openssl
need librsvg2-bin 'paints them from SVG' have rsvg-convert
need curl 'asks a CPNS Server how it is, as docs/server.md says' have curl
need prometheus 'promtool, which says whether metrics and rules are right' have promtool
need rsyslog 'the syslog server that a CPNS Server sends its audit log to' have rsyslogd
need rsyslog-openssl 'the same over TLS' test -e /usr/lib/"$(uname -m)"-linux-gnu/rsyslog/lmnsd_ossl.so
need postgresql 'another database of a CPNS Server, which its tests start for themselves' has_postgres
need sqlite3 'copies its database while it runs, as that page says' have sqlite3
need systemd 'checks its unit' have systemd-analyze
need qemu-system-mips 'routers, whole: MIPS' have qemu-system-mipsel
need qemu-system-arm 'the same: ARM' have qemu-system-arm
need ipxe-qemu 'their network cards' test -e /usr/lib/ipxe/qemu/efi-e1000.rom
need qemu-system-x86 'a real kernel to plug USB devices into' have qemu-system-x86_64
need qemu-user-static "the unit tests on routers' processors" have qemu-mips-static
need kmod 'the order of a kernel module and those it needs' have depmod
need cpio "packs that kernel's first file system" have cpio
need busybox-static "the shell of the router that the package's tests make" test -x /bin/busybox
need python3 'reads and writes a key store, as its format is written down' have python3
need bash 'Ctrl-Z and completion are tried in it' have bash
need zsh 'completion is tried in it, too' have zsh
need rpm 'installs the packages for machines with systemd into a folder' have rpm
need mandoc 'has nothing to say against the manual pages' have mandoc
need shellcheck 'checks the scripts' have shellcheck
need xz-utils 'the size budget counts compressed bytes' have xz

if [ -z "$missing" ]; then
	exit 0
fi

if ! have apt-get; then
	how='no apt-get here: install these, or what they are called on this system'
elif [ "$(id -u)" = 0 ]; then
	run=
	how=
elif have sudo && sudo -n true 2>/dev/null; then
	run='sudo -n'
	how=
else
	how="not root: run  apt-get install --no-install-recommends$missing"
fi

if [ -n "$how" ]; then
	echo "setup: the tests need what is listed above; $how" >&2
	if [ "${CI:-}" = true ]; then
		exit 1
	fi
	echo 'setup: going on without: tests that need them say that they are skipped' >&2
	exit 0
fi

echo "setup: installing what is listed above"
install() {
	# shellcheck disable=SC2086 # both are lists of words
	$run env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
}
# The package lists are refreshed only if what they say is not enough.
if ! install >/dev/null 2>&1; then
	$run apt-get update -q
	install
fi
