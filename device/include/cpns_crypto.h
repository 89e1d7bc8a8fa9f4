/* SPDX-License-Identifier: Apache-2.0
 *
 * cpns_crypto.h: the cryptography that the PNE asks for. A port is one file that
 * defines these functions by a library's; the library has none of its own. Ports:
 * ports/bearssl, ports/psa (PSA Crypto: Mbed TLS, Zephyr, ESP-IDF).
 *
 * Each returns 0, or another value where it failed: what it was for is then left
 * undone. None may keep state, or leave a key in memory. Those that take a secret
 * take a time that does not depend on it.
 */
#ifndef CPNS_CRYPTO_H
#define CPNS_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#include "cpns_pne.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cpns_bytes_t is a piece of an input. Pieces follow each other without anything between. */
typedef struct {
	const void *data;
	size_t len;
} cpns_bytes_t;

/* cpns_sha256 is SHA-256 of n pieces. out may be one of them. */
int cpns_sha256(uint8_t out[32], const cpns_bytes_t *in, size_t n);

/* cpns_hmac is HMAC-SHA-256 (RFC 2104) of n pieces, under a key of at most 64 bytes. out
 * may be the key. */
int cpns_hmac(uint8_t out[32], cpns_bytes_t key, const cpns_bytes_t *in, size_t n);

/* cpns_hkdf is HKDF-SHA-256 (RFC 5869) with 32 bytes out. The secret is one or two
 * pieces, at most 96 bytes together; info at most five, of at most 160. salt may be
 * empty. */
int cpns_hkdf(uint8_t out[32], const cpns_bytes_t *secret, size_t n_secret, cpns_bytes_t salt,
              const cpns_bytes_t *info, size_t n_info);

/* What cpns_open and cpns_x25519 return where what the other side sent is wrong, and only
 * then. A failure of their own, such as memory that is short, is another value: the
 * gateway is told of the one, and not blamed for the other. */
enum { CPNS_BAD_INPUT = 1 };

/* cpns_open decrypts len bytes in place with ChaCha20-Poly1305 (RFC 8439); the tag
 * follows them. CPNS_BAD_INPUT: the tag is wrong. Where it does not return 0, data is of no
 * meaning. */
int cpns_open(const uint8_t key[32], const uint8_t iv[12], cpns_bytes_t aad, uint8_t *data, size_t len);

#if CPNS_X25519
/* cpns_x25519 is X25519 (RFC 7748) of a private key, any 32 bytes, and the other
 * side's public key; where that is NULL, of the base point, which gives one's own
 * public key. That the result may be zero is the caller's to see; a library that sees
 * it first makes it CPNS_BAD_INPUT. */
int cpns_x25519(uint8_t out[32], const uint8_t private_key[32], const uint8_t *public_key);
#endif

#ifdef __cplusplus
}
#endif

#endif
