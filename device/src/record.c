/* SPDX-License-Identifier: Apache-2.0
 *
 * What outlives a power cut: one record, in two slots.
 *
 *     0  "CPR" 1     a record, and its version
 *     4  epoch       big-endian
 *     8  index       big-endian; 0 where only the epoch is kept
 *    10  length of g
 *    11  0
 *    12  g           64 bytes, zeros behind it
 *    76  EUKey       32 bytes, zeros where only the epoch is kept
 *   108  0 0 0 0
 *   112  tag         HMAC(TK, "CPNS PNE Record" | 0x00 | e | 0x00 | bytes 0 to 111)[0:16]
 *
 * A new record goes to the slot that does not hold the present one, is read back, and is
 * then as good as stored; when next there is time it is written to the other slot too. So
 * a power cut leaves the old record or the new one, and a bit that flips later
 * costs one copy of two. Of two records the one of the higher epoch and index is the newer:
 * they only grow. */
#include "internal.h"

enum { AT_EPOCH = 4, AT_INDEX = 8, AT_G_LEN = 10, AT_G = 12, AT_KEY = 76, AT_TAG = 112, RECORD_TAG_SIZE = 16 };

static const uint8_t record_magic[AT_EPOCH] = {'C', 'P', 'R', 1};

static bool record_tag(const cpns_pne_t *pne, const uint8_t *record, uint8_t tag[32])
{
	cpns_bytes_t in[4] = {
		piece("CPNS PNE Record", 16),
		piece(pne->config->entity_id, cpns_entity_len(pne)),
		piece("", 1),
		piece(record, AT_TAG),
	};
	return cpns_hmac(tag, tk_of(pne), in, 4) == 0;
}

static uint32_t epoch_of(const uint8_t *r)
{
	return (uint32_t)r[AT_EPOCH] << 24 | (uint32_t)r[AT_EPOCH + 1] << 16 | (uint32_t)r[AT_EPOCH + 2] << 8 | r[AT_EPOCH + 3];
}

static uint16_t index_of(const uint8_t *r)
{
	return (uint16_t)(r[AT_INDEX] << 8 | r[AT_INDEX + 1]);
}

/* fill_record writes a record but for its tag. index 0: of an epoch alone. */
static void fill_record(uint8_t *r, uint32_t epoch, uint16_t index, const char *g, uint8_t g_len, const uint8_t *key)
{
	memset(r, 0, CPNS_RECORD_SIZE);
	memcpy(r, record_magic, sizeof record_magic);
	for (size_t i = 0; i < 4; i++)
		r[AT_EPOCH + i] = (uint8_t)(epoch >> (24 - 8 * i));
	if (index == 0)
		return;
	r[AT_INDEX] = (uint8_t)(index >> 8);
	r[AT_INDEX + 1] = (uint8_t)index;
	r[AT_G_LEN] = g_len;
	memcpy(r + AT_G, g, g_len);
	memcpy(r + AT_KEY, key, CPNS_KEY_SIZE);
}

static bool sign_record(const cpns_pne_t *pne, uint8_t *r)
{
	uint8_t tag[32];
	if (!record_tag(pne, r, tag))
		return false;
	memcpy(r + AT_TAG, tag, RECORD_TAG_SIZE);
	return true;
}

/* record_ok tells whether a slot holds a record of this device. What has its tag was
 * built here; the rest is for a TK that somebody else has. */
static cpns_result_t record_ok(const cpns_pne_t *pne, const uint8_t *r, bool *ok)
{
	uint8_t tag[32];
	*ok = false;
	if (!record_tag(pne, r, tag))
		return CPNS_BAD_CRYPTO;
	bool none = index_of(r) == 0;
	*ok = cpns_equal(tag, r + AT_TAG, RECORD_TAG_SIZE) && memcmp(r, record_magic, sizeof record_magic) == 0 &&
	      epoch_of(r) != 0 && index_of(r) <= INDEX_MAX &&
	      (none ? r[AT_G_LEN] == 0 : cpns_name_ok((const char *)r + AT_G, r[AT_G_LEN]));
	return CPNS_OK;
}

/* blank tells whether a slot was never written: flash is erased to ones, a new file or
 * memory is all zeros. */
static bool blank(const uint8_t *r)
{
	for (size_t i = 1; i < CPNS_RECORD_SIZE; i++)
		if (r[i] != r[0])
			return false;
	return r[0] == 0 || r[0] == 0xff;
}

/* set_held puts a record in place of what is held. */
static void set_held(cpns_pne_t *pne, const uint8_t *r)
{
	pne->held.epoch = epoch_of(r);
	pne->held.index = index_of(r);
	pne->held.g_len = r[AT_G_LEN];
	memcpy(pne->held.g, r + AT_G, sizeof pne->held.g);
	memcpy(pne->held.key, r + AT_KEY, sizeof pne->held.key);
}

cpns_result_t cpns_load_records(cpns_pne_t *pne, bool *lost)
{
	const cpns_config_t *c = pne->config;
	uint8_t *slots[2] = {pne->rx.bytes, pne->rx.bytes + CPNS_RECORD_SIZE};
	bool ok[2] = {false, false};
	*lost = false;
	if (c->load == NULL)
		return CPNS_OK;
	for (unsigned i = 0; i < 2; i++) {
		if (c->load(c->user, i, slots[i]) != 0) {
			*lost = true;
			continue;
		}
		if (blank(slots[i]))
			continue;
		cpns_result_t result = record_ok(pne, slots[i], &ok[i]);
		if (result != CPNS_OK)
			return result;
		*lost = *lost || !ok[i];
	}
	if (ok[0] || ok[1]) {
		*lost = false;
		unsigned newest = !ok[0] ? 1 : 0;
		if (ok[0] && ok[1]) {
			uint32_t e0 = epoch_of(slots[0]), e1 = epoch_of(slots[1]);
			newest = e1 > e0 || (e1 == e0 && index_of(slots[1]) > index_of(slots[0])) ? 1 : 0;
		}
		set_held(pne, slots[newest]);
		if (c->epoch_only)
			pne->held.index = 0; /* whatever it was before */
		pne->slot = (uint8_t)(newest ^ 1);
		pne->mirror = !cpns_equal(slots[0], slots[1], CPNS_RECORD_SIZE);
	}
	cpns_wipe(pne->rx.bytes, sizeof pne->rx.bytes);
	return CPNS_OK;
}

/* store_read_back stores a record in the slot whose turn it is, and believes what it reads. */
static bool store_read_back(cpns_pne_t *pne, const uint8_t *record)
{
	const cpns_config_t *c = pne->config;
	uint8_t *back = pne->rx.bytes;
	memset(back, 0, CPNS_RECORD_SIZE);
	bool stored = c->store(c->user, pne->slot, record) == 0 && c->load(c->user, pne->slot, back) == 0 &&
	              cpns_equal(back, record, CPNS_RECORD_SIZE);
	/* What is held is in the other slot. This one gets it too if the new record did
	 * not come to be: it may have, whatever the storage said. */
	pne->mirror = true;
	if (stored)
		pne->slot ^= 1;
	return stored;
}

bool cpns_hold(cpns_pne_t *pne, uint32_t epoch, uint16_t index, const char *g, uint8_t g_len, const uint8_t key[32],
          uint8_t *scratch)
{
	uint8_t *record = scratch;
	fill_record(scratch, epoch, index, g, g_len, key);
	bool stored = true;
	if (pne->config->store != NULL && !(pne->config->epoch_only && epoch == pne->held.epoch)) {
		if (pne->config->epoch_only) {
			record = pne->rx.bytes + CPNS_RECORD_SIZE;
			fill_record(record, epoch, 0, NULL, 0, NULL);
		}
		stored = sign_record(pne, record) && store_read_back(pne, record);
	}
	if (stored)
		set_held(pne, scratch);
	cpns_wipe(scratch, CPNS_RECORD_SIZE);
	return stored;
}

bool cpns_mirror_record(cpns_pne_t *pne, uint8_t *scratch)
{
	const cpns_config_t *c = pne->config;
	pne->mirror = false;
	fill_record(scratch, pne->held.epoch, c->epoch_only ? 0 : pne->held.index, pne->held.g, pne->held.g_len, pne->held.key);
	bool ready = true;
	if (pne->held.epoch != 0)
		ready = sign_record(pne, scratch);
	else /* nothing is held, and what could not be stored is not to come back */
		memset(scratch, 0, CPNS_RECORD_SIZE);
	bool stored = ready && c->store(c->user, pne->slot, scratch) == 0;
	cpns_wipe(scratch, CPNS_RECORD_SIZE);
	return stored;
}
