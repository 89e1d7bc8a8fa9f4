/* SPDX-License-Identifier: Apache-2.0
 *
 * The cryptography of the PNE by BearSSL (https://www.bearssl.org/), for bare metal.
 *
 * BearSSL has several implementations of each algorithm. These take constant time
 * also where a multiplication of 32 by 32 bits does not, as on a Cortex-M3; on an M4,
 * or a PC, define CPNS_BEARSSL_FAST for those that trust it. */
#include "cpns_crypto.h"

#include <bearssl.h>

#ifdef CPNS_BEARSSL_FAST
#define POLY1305 br_poly1305_ctmul_run
#define CURVE25519 br_ec_c25519_m31
#else
#define POLY1305 br_poly1305_ctmul32_run
#define CURVE25519 br_ec_c25519_i15
#endif

int cpns_sha256(uint8_t out[32], const cpns_bytes_t *in, size_t n)
{
	br_sha256_context c;
	br_sha256_init(&c);
	for (; n != 0; n--, in++)
		br_sha256_update(&c, in->data, in->len);
	br_sha256_out(&c, out);
	cpns_wipe(&c, sizeof c);
	return 0;
}

#ifdef CPNS_BEARSSL_HMAC

/* hmac is HMAC of n pieces and, where it is not NULL, one more byte. */
static int hmac(uint8_t out[32], cpns_bytes_t key, const cpns_bytes_t *in, size_t n, const uint8_t *last)
{
	br_hmac_key_context k;
	br_hmac_context c;
	br_hmac_key_init(&k, &br_sha256_vtable, key.data, key.len);
	br_hmac_init(&c, &k, 0);
	cpns_wipe(&k, sizeof k);
	for (; n != 0; n--, in++)
		br_hmac_update(&c, in->data, in->len);
	if (last != NULL)
		br_hmac_update(&c, last, 1);
	br_hmac_out(&c, out);
	cpns_wipe(&c, sizeof c);
	return 0;
}

#else

/* BearSSL's HMAC has room for every hash that it knows, and takes 1.1 kB of the
 * stack. RFC 2104 around its SHA-256 takes half of that. Both give the same, and
 * the tests run both. */
static void begin(br_sha256_context *c, cpns_bytes_t key, uint8_t pad)
{
	const uint8_t *k = (const uint8_t *)key.data;
	uint8_t block[64];
	for (size_t i = 0; i < sizeof block; i++)
		block[i] = (uint8_t)((i < key.len ? k[i] : 0) ^ pad);
	br_sha256_init(c);
	br_sha256_update(c, block, sizeof block);
	cpns_wipe(block, sizeof block);
}

/* hmac is HMAC of n pieces and, where it is not NULL, one more byte. out may be the key. */
static int hmac(uint8_t out[32], cpns_bytes_t key, const cpns_bytes_t *in, size_t n, const uint8_t *last)
{
	br_sha256_context c;
	uint8_t inner[32];
	if (key.len > 64)
		return -1;
	begin(&c, key, 0x36);
	for (; n != 0; n--, in++)
		br_sha256_update(&c, in->data, in->len);
	if (last != NULL)
		br_sha256_update(&c, last, 1);
	br_sha256_out(&c, inner);
	begin(&c, key, 0x5c);
	br_sha256_update(&c, inner, sizeof inner);
	br_sha256_out(&c, out);
	cpns_wipe(&c, sizeof c);
	cpns_wipe(inner, sizeof inner);
	return 0;
}

#endif

int cpns_hmac(uint8_t out[32], cpns_bytes_t key, const cpns_bytes_t *in, size_t n)
{
	return hmac(out, key, in, n, NULL);
}

/* One block of HKDF is two HMACs: of the secret under the salt, and of info and a 1
 * under what that gave. */
int cpns_hkdf(uint8_t out[32], const cpns_bytes_t *secret, size_t n_secret, cpns_bytes_t salt,
              const cpns_bytes_t *info, size_t n_info)
{
	static const uint8_t one = 1;
	if (hmac(out, salt, secret, n_secret, NULL) != 0)
		return -1;
	return hmac(out, (cpns_bytes_t){out, 32}, info, n_info, &one);
}

int cpns_open(const uint8_t key[32], const uint8_t iv[12], cpns_bytes_t aad, uint8_t *data, size_t len)
{
	uint8_t tag[16];
	POLY1305(key, iv, data, len, aad.data, aad.len, tag, br_chacha20_ct_run, 0);
	if (cpns_equal(tag, data + len, sizeof tag))
		return 0;
	cpns_wipe(data, len);
	return CPNS_BAD_INPUT;
}

#if CPNS_X25519
int cpns_x25519(uint8_t out[32], const uint8_t private_key[32], const uint8_t *public_key)
{
	for (size_t i = 0; i < 32; i++)
		out[i] = public_key != NULL ? public_key[i] : i == 0 ? 9 : 0;
	return CURVE25519.mul(out, 32, private_key, 32, BR_EC_curve25519) == 1 ? 0 : -1;
}
#endif
