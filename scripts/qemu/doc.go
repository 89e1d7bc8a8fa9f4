// Package qemu boots routers and cuts their power. Each test starts a board
// under QEMU with a stock kernel and the OpenWrt package, installed as in a
// firmware image, the flash laid over it as an overlay; and beside it, on this
// machine, the CPNS Server, a broker and devices. What happens in the guest is
// typed on its console, and judged by what the console answers: a guest that
// says nothing fails.
//
// The tests have the build tag qemu, for they take minutes and packages of
// Debian's: make qemu and make powercut run them.
package qemu
