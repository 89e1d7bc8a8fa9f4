/* SPDX-License-Identifier: Apache-2.0
 *
 * The cryptography of the PNE by PSA Crypto: Mbed TLS 2.28 and 3, and what Zephyr
 * and ESP-IDF make of it. Call psa_crypto_init() before cpns_pne_init. It takes
 * PSA_WANT_ALG_SHA_256, _HMAC, _HKDF, _CHACHA20_POLY1305, PSA_WANT_KEY_TYPE_HMAC,
 * _DERIVE, _CHACHA20, and for X25519 _ALG_ECDH, _ECC_MONTGOMERY_255 and
 * PSA_WANT_KEY_TYPE_ECC_KEY_PAIR. PSA Crypto may take memory from a heap. */
#include "cpns_crypto.h"

#include <string.h>

#include <psa/crypto.h>

/* join puts pieces behind each other: PSA takes some inputs only in one. */
static int join(uint8_t *out, size_t size, size_t *len, const cpns_bytes_t *in, size_t n)
{
	*len = 0;
	for (; n != 0; n--, in++) {
		if (in->len > size - *len)
			return -1;
		if (in->len != 0)
			memcpy(out + *len, in->data, in->len);
		*len += in->len;
	}
	return 0;
}

static psa_status_t import(psa_key_id_t *id, psa_key_type_t type, psa_key_usage_t usage, psa_algorithm_t alg,
                           const uint8_t *key, size_t len)
{
	psa_key_attributes_t a = PSA_KEY_ATTRIBUTES_INIT;
	psa_set_key_type(&a, type);
	psa_set_key_usage_flags(&a, usage);
	psa_set_key_algorithm(&a, alg);
	return psa_import_key(&a, key, len, id);
}

int cpns_sha256(uint8_t out[32], const cpns_bytes_t *in, size_t n)
{
	psa_hash_operation_t op = PSA_HASH_OPERATION_INIT;
	size_t len;
	psa_status_t s = psa_hash_setup(&op, PSA_ALG_SHA_256);
	for (; s == PSA_SUCCESS && n != 0; n--, in++)
		s = psa_hash_update(&op, in->data, in->len);
	if (s == PSA_SUCCESS)
		s = psa_hash_finish(&op, out, 32, &len);
	psa_hash_abort(&op);
	return s == PSA_SUCCESS ? 0 : -1;
}

int cpns_hmac(uint8_t out[32], cpns_bytes_t key, const cpns_bytes_t *in, size_t n)
{
	const psa_algorithm_t alg = PSA_ALG_HMAC(PSA_ALG_SHA_256);
	psa_mac_operation_t op = PSA_MAC_OPERATION_INIT;
	psa_key_id_t id;
	size_t len;
	psa_status_t s = import(&id, PSA_KEY_TYPE_HMAC, PSA_KEY_USAGE_SIGN_MESSAGE, alg, key.data, key.len);
	if (s != PSA_SUCCESS)
		return -1;
	s = psa_mac_sign_setup(&op, id, alg);
	for (; s == PSA_SUCCESS && n != 0; n--, in++)
		s = psa_mac_update(&op, in->data, in->len);
	if (s == PSA_SUCCESS)
		s = psa_mac_sign_finish(&op, out, 32, &len);
	psa_mac_abort(&op);
	psa_destroy_key(id);
	return s == PSA_SUCCESS ? 0 : -1;
}

int cpns_hkdf(uint8_t out[32], const cpns_bytes_t *secret, size_t n_secret, cpns_bytes_t salt,
              const cpns_bytes_t *info, size_t n_info)
{
	const psa_algorithm_t alg = PSA_ALG_HKDF(PSA_ALG_SHA_256);
	psa_key_derivation_operation_t op = PSA_KEY_DERIVATION_OPERATION_INIT;
	psa_key_id_t id;
	uint8_t joined[160];
	size_t len;
	if (join(joined, sizeof joined, &len, secret, n_secret) != 0)
		return -1;
	psa_status_t s = import(&id, PSA_KEY_TYPE_DERIVE, PSA_KEY_USAGE_DERIVE, alg, joined, len);
	cpns_wipe(joined, sizeof joined);
	if (s != PSA_SUCCESS)
		return -1;
	s = psa_key_derivation_setup(&op, alg);
	if (s == PSA_SUCCESS)
		s = psa_key_derivation_input_bytes(&op, PSA_KEY_DERIVATION_INPUT_SALT, salt.data, salt.len);
	if (s == PSA_SUCCESS)
		s = psa_key_derivation_input_key(&op, PSA_KEY_DERIVATION_INPUT_SECRET, id);
	if (s == PSA_SUCCESS)
		s = join(joined, sizeof joined, &len, info, n_info) == 0 ? PSA_SUCCESS : PSA_ERROR_BUFFER_TOO_SMALL;
	if (s == PSA_SUCCESS)
		s = psa_key_derivation_input_bytes(&op, PSA_KEY_DERIVATION_INPUT_INFO, joined, len);
	if (s == PSA_SUCCESS)
		s = psa_key_derivation_output_bytes(&op, out, 32);
	psa_key_derivation_abort(&op);
	psa_destroy_key(id);
	return s == PSA_SUCCESS ? 0 : -1;
}

int cpns_open(const uint8_t key[32], const uint8_t iv[12], cpns_bytes_t aad, uint8_t *data, size_t len)
{
	/* It is told where the output goes, and takes no input there: the plaintext has
	 * a place of its own. What is longer than an EUKey is for the tag alone. */
	uint8_t plain[CPNS_MESSAGE_MAX];
	psa_key_id_t id;
	size_t n = 0;
	if (len > sizeof plain)
		return -1;
	if (import(&id, PSA_KEY_TYPE_CHACHA20, PSA_KEY_USAGE_DECRYPT, PSA_ALG_CHACHA20_POLY1305, key, 32) != PSA_SUCCESS)
		return -1;
	psa_status_t s = psa_aead_decrypt(id, PSA_ALG_CHACHA20_POLY1305, iv, 12, aad.data, aad.len, data, len + 16, plain,
	                                  sizeof plain, &n);
	psa_destroy_key(id);
	if (s == PSA_SUCCESS && n == len)
		memcpy(data, plain, len);
	cpns_wipe(plain, sizeof plain);
	if (s == PSA_ERROR_INVALID_SIGNATURE)
		return CPNS_BAD_INPUT;
	return s == PSA_SUCCESS && n == len ? 0 : -1;
}

#if CPNS_X25519
int cpns_x25519(uint8_t out[32], const uint8_t private_key[32], const uint8_t *public_key)
{
	psa_key_id_t id;
	size_t len = 0;
	psa_status_t s = import(&id, PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_MONTGOMERY), PSA_KEY_USAGE_DERIVE, PSA_ALG_ECDH,
	                        private_key, 32);
	if (s != PSA_SUCCESS)
		return -1;
	if (public_key != NULL)
		s = psa_raw_key_agreement(PSA_ALG_ECDH, id, public_key, 32, out, 32, &len);
	else
		s = psa_export_public_key(id, out, 32, &len);
	psa_destroy_key(id);
	if (s == PSA_ERROR_INVALID_ARGUMENT) /* a point of small order */
		return CPNS_BAD_INPUT;
	return s == PSA_SUCCESS && len == 32 ? 0 : -1;
}
#endif
