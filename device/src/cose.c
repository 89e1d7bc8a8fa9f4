/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys, tags and what is sealed: RFC 9052 with HMAC 256/256 and ChaCha20-Poly1305. */
#include "internal.h"

bool cpns_derive(const cpns_pne_t *pne, uint8_t out[32], purpose_t purpose, cpns_bytes_t secret, cpns_bytes_t secret2,
            cpns_bytes_t salt)
{
	/* The NUL of each is the zero between label and name. */
	static const char *const labels[] = {
		"CPNS Hello",
		"CPNS EUKey Assignment Notification",
		"CPNS EUKey Acknowledgement",
		"CPNS Mutual Authentication",
		"CPNS EUKey Update",
		"CPNS Session Key",
	};
	static const uint8_t lengths[] = {10, 34, 26, 26, 17, 16};
	cpns_bytes_t secrets[2] = {secret, secret2};
	cpns_bytes_t info[4] = {
		piece(labels[purpose], lengths[purpose] + 1u),
		piece(pne->config->entity_id, cpns_entity_len(pne)),
		piece("", 1),
		piece(pne->held.g, pne->held.g_len),
	};
	return cpns_hkdf(out, secrets, 2, salt, info, purpose == FOR_SESSION ? 4 : 2) == 0;
}

const uint8_t cpns_mac0_until_tag[9] = {0x84, 0x43, 0xa1, 0x01, 0x05, 0xa0, 0x40, 0x58, 0x20};

bool cpns_mac0_tag(uint8_t key[32], const writer_t *aad)
{
	static const uint8_t before[] = {0x84, 0x64, 'M', 'A', 'C', '0', 0x43, 0xa1, 0x01, 0x05};
	static const uint8_t payload = 0x40;
	uint8_t bytes[5];
	writer_t head = {bytes, sizeof bytes, 0};
	cpns_write_head(&head, MAJOR_BYTES, (uint32_t)aad->len);
	cpns_bytes_t in[4] = {
		piece(before, sizeof before),
		piece(head.start, head.len),
		piece(aad->start, aad->len),
		piece(&payload, 1),
	};
	return cpns_hmac(key, piece(key, 32), in, 4) == 0;
}

void cpns_write_mac0(writer_t *w, const uint8_t tag[32])
{
	cpns_write_raw(w, cpns_mac0_until_tag, sizeof cpns_mac0_until_tag);
	cpns_write_raw(w, tag, 32);
}

verdict_t cpns_open_sealed(const uint8_t key[32], const message_t *m, uint8_t *scratch, size_t aad_len)
{
	/* Enc_structure: what comes before external_aad is put right before it. */
	static const uint8_t before[] = {0x83, 0x68, 'E', 'n', 'c', 'r', 'y', 'p', 't', '0', 0x44, 0xa1, 0x01, 0x18, 0x18};
	size_t at = aad_len < 24 ? 1 : 0; /* its length takes one byte, or two */
	writer_t w = {scratch + at, AT_AAD - at, 0};
	cpns_write_raw(&w, before, sizeof before);
	cpns_write_head(&w, MAJOR_BYTES, (uint32_t)aad_len);
	switch (cpns_open(key, m->iv, piece(w.start, w.len + aad_len), m->sealed, m->sealed_len - TAG_SIZE)) {
	case 0:
		return RIGHT;
	case CPNS_BAD_INPUT:
		return WRONG;
	default:
		return UNKNOWN;
	}
}
