/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading messages (section 4). All seven are read as strictly as a gateway reads
 * them, also those that PNEs say: on a shared line they tell who has answered. */
#include "internal.h"

bool cpns_name_ok(const char *name, size_t len)
{
	if (len < 1 || len > CPNS_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (name[i] < 0x21 || name[i] > 0x7e)
			return false;
	return true;
}

static const char *read_name(reader_t *r, uint8_t *len)
{
	uint64_t size = cpns_read_head(r, MAJOR_TEXT);
	if (size > CPNS_NAME_MAX) {
		r->bad = true;
		size = 0;
	}
	const char *name = (const char *)cpns_read_raw(r, (size_t)size);
	if (name == NULL || !cpns_name_ok(name, (size_t)size)) {
		r->bad = true;
		return NULL;
	}
	*len = (uint8_t)size;
	return name;
}

static void read_entity(reader_t *r, message_t *m)
{
	m->e = read_name(r, &m->e_len);
}

static void read_gateway(reader_t *r, message_t *m)
{
	m->g = read_name(r, &m->g_len);
}

static void read_epoch_index(reader_t *r, message_t *m, bool none_too)
{
	m->epoch = cpns_read_unsigned(r, UINT32_MAX);
	m->index = (uint16_t)cpns_read_unsigned(r, INDEX_MAX);
	bool none = m->epoch == 0 && m->index == 0;
	if (!(none && none_too) && (m->epoch == 0 || m->index == 0))
		r->bad = true;
}

static void read_version(reader_t *r)
{
	if (cpns_read_unsigned(r, VERSION) != VERSION)
		r->bad = true;
}

/* [<< {1: 24} >>, {5: IV}, ciphertext] */
static void read_encrypt0(reader_t *r, message_t *m)
{
	static const uint8_t until_iv[] = {0x83, 0x44, 0xa1, 0x01, 0x18, 0x18, 0xa1, 0x05, 0x4c};
	cpns_read_exactly(r, until_iv, sizeof until_iv);
	m->iv = cpns_read_raw(r, IV_SIZE);
	uint64_t size = cpns_read_head(r, MAJOR_BYTES);
	if (size < TAG_SIZE || size > CPNS_MESSAGE_MAX) {
		r->bad = true;
		return;
	}
	m->sealed_len = (size_t)size;
	m->sealed = cpns_read_raw(r, m->sealed_len);
}

/* [<< {1: 5} >>, {}, h'', tag] */
static void read_mac0(reader_t *r)
{
	cpns_read_exactly(r, cpns_mac0_until_tag, sizeof cpns_mac0_until_tag);
	cpns_read_raw(r, 32);
}

static void read_algs(reader_t *r)
{
	uint64_t n = cpns_read_head(r, MAJOR_ARRAY);
	if (n < 1 || n > ALGS_MAX)
		r->bad = true;
	for (; n != 0 && !r->bad; n--) {
		bool negative = r->at != r->end && *r->at >> 5 == MAJOR_NEGATIVE;
		if (cpns_read_head(r, negative ? MAJOR_NEGATIVE : MAJOR_UNSIGNED) > INT64_MAX)
			r->bad = true;
	}
}

bool cpns_read_message(message_t *m, uint8_t *msg, size_t len)
{
	reader_t r = {msg, msg + len, len > CPNS_MESSAGE_MAX};
	memset(m, 0, sizeof *m);
	uint64_t elements = cpns_read_head(&r, MAJOR_ARRAY); /* not a size_t, which may have 32 bits */
	unsigned want;
	m->type = (uint8_t)cpns_read_unsigned(&r, TYPE_EUKEY_UPDATE);
	if (r.bad)
		return false;
	switch (m->type) {
	case TYPE_IDENTIFY:
		want = 3;
		read_version(&r);
		if (!cpns_read_null(&r))
			read_entity(&r, m);
		break;
	case TYPE_HELLO:
		want = elements == 9 ? 9 : 8;
		read_version(&r);
		read_entity(&r, m);
		cpns_read_bytes(&r, NONCE_SIZE);
		read_epoch_index(&r, m, true);
		read_algs(&r);
		if (elements == 9)
			m->x25519 = cpns_read_bytes(&r, 32);
		read_mac0(&r);
		break;
	case TYPE_NOTIFICATION:
		want = elements == 7 ? 7 : 6;
		read_entity(&r, m);
		read_gateway(&r, m);
		read_epoch_index(&r, m, false);
		read_encrypt0(&r, m);
		if (elements == 7)
			m->x25519 = cpns_read_bytes(&r, 32);
		break;
	case TYPE_ACKNOWLEDGEMENT:
		want = 6;
		read_entity(&r, m);
		m->status = (uint8_t)cpns_read_unsigned(&r, ACK_NOT_STORED);
		read_epoch_index(&r, m, false);
		if (m->status == ACK_SUCCESS)
			read_mac0(&r);
		else if (!cpns_read_null(&r))
			return false;
		break;
	case TYPE_AUTH_CHALLENGE:
		want = 4;
		read_entity(&r, m);
		read_gateway(&r, m);
		m->rand = cpns_read_bytes(&r, NONCE_SIZE);
		break;
	case TYPE_AUTH_RESPONSE:
		want = 6;
		read_entity(&r, m);
		cpns_read_bytes(&r, NONCE_SIZE);
		read_epoch_index(&r, m, false);
		read_mac0(&r);
		break;
	default: /* TYPE_EUKEY_UPDATE */
		want = 5;
		read_entity(&r, m);
		read_epoch_index(&r, m, false);
		read_encrypt0(&r, m);
		break;
	}
	return !r.bad && r.at == r.end && elements == want;
}

size_t cpns_entity_len(const cpns_pne_t *pne)
{
	size_t len = 0;
	while (len < CPNS_NAME_MAX && pne->config->entity_id[len] != '\0')
		len++;
	return len;
}

bool cpns_is_own(const cpns_pne_t *pne, const message_t *m)
{
	return m->e_len == cpns_entity_len(pne) && memcmp(m->e, pne->config->entity_id, m->e_len) == 0;
}
