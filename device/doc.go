// Package device has the tests of the PNE in C: they build it by the machine's C
// compiler, drive it over a pipe, and hold it to the protocol's vectors and to
// cpns/pne, step by step. There is no Go in the library itself.
//
//	include, src     the library
//	ports            its cryptography by PSA Crypto and by BearSSL
//	storage          two slots on raw flash and in a file
//	examples         what runs: POSIX, a Cortex-M3 without an operating system
//	test             what the tests build around the library
package device
