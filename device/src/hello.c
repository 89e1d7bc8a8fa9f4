/* SPDX-License-Identifier: Apache-2.0
 *
 * What a hello says, and what makes it fresh.
 *
 *     hello = [1, 1, e, nonce, epoch, index, [24], ? x25519, COSE_Mac0] */
#include "internal.h"

cpns_why_t cpns_draw(const cpns_pne_t *pne, uint8_t r[NONCE_SIZE])
{
	const cpns_config_t *c = pne->config;
	if (c->random != NULL)
		return c->random(c->user, r, NONCE_SIZE) == 0 ? CPNS_WHY_NONE : CPNS_WHY_RANDOM;
	uint64_t value;
	if (c->counter(c->user, &value) != 0)
		return CPNS_WHY_RANDOM;
	uint8_t big_endian[8], mac[32];
	for (size_t i = 0; i < sizeof big_endian; i++)
		big_endian[i] = (uint8_t)(value >> (56 - 8 * i));
	cpns_bytes_t in[2] = {piece("CPNS PNE Random", 16), piece(big_endian, sizeof big_endian)};
	if (cpns_hmac(mac, tk_of(pne), in, 2) != 0)
		return CPNS_WHY_CRYPTO;
	memcpy(r, mac, NONCE_SIZE);
	return CPNS_WHY_NONE;
}

/* build_hello builds the hello of that nonce at scratch + AT_SAID: its length, 0
 * where the cryptography failed. The same nonce makes the same bytes. */
static size_t build_hello(const cpns_pne_t *pne, const uint8_t nonce[NONCE_SIZE], uint32_t epoch, uint16_t index,
                          uint8_t *scratch)
{
	writer_t w = {scratch + AT_SAID, CPNS_SAID_MAX, 0};
	uint32_t elements = pne->config->x25519 ? 9 : 8;
	/* First without its COSE_Mac0, which is what the tag is of. */
	cpns_write_head(&w, MAJOR_ARRAY, elements - 1);
	cpns_write_head(&w, MAJOR_UNSIGNED, TYPE_HELLO);
	cpns_write_head(&w, MAJOR_UNSIGNED, VERSION);
	cpns_write_text(&w, pne->config->entity_id, cpns_entity_len(pne));
	cpns_write_bytes(&w, nonce, NONCE_SIZE);
	cpns_write_head(&w, MAJOR_UNSIGNED, epoch);
	cpns_write_head(&w, MAJOR_UNSIGNED, index);
	cpns_write_head(&w, MAJOR_ARRAY, 1);
	cpns_write_head(&w, MAJOR_UNSIGNED, 24); /* ChaCha20-Poly1305 */
#if CPNS_X25519
	if (pne->config->x25519)
		cpns_write_bytes(&w, pne->hello.public_key, sizeof pne->hello.public_key);
#endif
	uint8_t key[32];
	bool done = cpns_derive(pne, key, FOR_HELLO, tk_of(pne), piece(NULL, 0), piece(nonce, NONCE_SIZE)) &&
	            cpns_mac0_tag(key, &w);
	if (!done) {
		cpns_wipe(key, sizeof key);
		return 0;
	}
	w.start[0] = (uint8_t)(MAJOR_ARRAY << 5 | elements);
	cpns_write_mac0(&w, key);
	return w.len;
}

/* make_pair makes an X25519 pair where there is none: the first since the device
 * was switched on, or since a notification was taken. */
static cpns_why_t make_pair(cpns_pne_t *pne)
{
#if CPNS_X25519
	const cpns_config_t *c = pne->config;
	if (!c->x25519 || pne->hello.pair)
		return CPNS_WHY_NONE;
	if (c->random(c->user, pne->hello.private_key, sizeof pne->hello.private_key) != 0)
		return CPNS_WHY_RANDOM;
	if (cpns_x25519(pne->hello.public_key, pne->hello.private_key, NULL) != 0)
		return CPNS_WHY_CRYPTO;
	pne->hello.pair = true;
#else
	(void)pne;
#endif
	return CPNS_WHY_NONE;
}

/* cpns_say_new_hello makes a new one, and says it. From now on a notification is taken
 * only in answer to this one, also where the link lost it. */
cpns_why_t cpns_say_new_hello(cpns_pne_t *pne, uint8_t *scratch)
{
	uint8_t nonce[NONCE_SIZE], hash[32];
	cpns_why_t why = make_pair(pne);
	if (why == CPNS_WHY_NONE)
		why = cpns_draw(pne, nonce);
	if (why != CPNS_WHY_NONE)
		return why;
	uint32_t epoch = holds(pne) ? pne->held.epoch : 0; /* an epoch alone is nothing held */
	size_t len = build_hello(pne, nonce, epoch, pne->held.index, scratch);
	cpns_bytes_t all = piece(scratch + AT_SAID, len);
	if (len == 0 || cpns_sha256(hash, &all, 1) != 0)
		return CPNS_WHY_CRYPTO;
	pne->hello.waits = true;
	pne->hello.epoch = epoch;
	pne->hello.index = pne->held.index;
	memcpy(pne->hello.nonce, nonce, sizeof nonce);
	memcpy(pne->hello.hash, hash, sizeof hash);
	uint32_t mixed = (uint32_t)hash[0] << 24 | (uint32_t)hash[1] << 16 | (uint32_t)hash[2] << 8 | hash[3];
	pne->schedule.jitter ^= mixed;
	pne->schedule.made = 0;
	pne->schedule.was_made = true;
	return cpns_send_said(pne, scratch, len) ? CPNS_WHY_NONE : CPNS_WHY_SEND;
}

/* cpns_same_hello_good tells whether the latest hello is not spent, and still says what
 * is held. (Another epoch comes by a notification only, which spends it.) An answer to it is as
 * good as one to a new hello, and an answer that is under way already is not made worthless. */
bool cpns_same_hello_good(const cpns_pne_t *pne)
{
	return pne->hello.waits && pne->hello.index == pne->held.index;
}

cpns_why_t cpns_say_same_hello(cpns_pne_t *pne, uint8_t *scratch)
{
	size_t len = build_hello(pne, pne->hello.nonce, pne->hello.epoch, pne->hello.index, scratch);
	if (len == 0)
		return CPNS_WHY_CRYPTO;
	return cpns_send_said(pne, scratch, len) ? CPNS_WHY_NONE : CPNS_WHY_SEND;
}

/* cpns_spend_hello ends the hello that was answered by a notification that is taken, and
 * with it the X25519 pair. A second notification for it is not taken: a gateway
 * that forgot that it had answered, and was shown a copy, would use up a key. */
void cpns_spend_hello(cpns_pne_t *pne)
{
	cpns_wipe(&pne->hello, sizeof pne->hello);
}
