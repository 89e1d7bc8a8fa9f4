/* SPDX-License-Identifier: Apache-2.0
 *
 * EUKey Assignment Notification -> acknowledgement. The checks stand in the order of
 * section 4. A message is answered at scratch + AT_SAID. */
#include "internal.h"

/* silent says nothing: nobody is owed an answer, and nothing was changed. */
size_t cpns_silent(cpns_event_t *event, cpns_why_t why)
{
	event->kind = CPNS_REFUSED;
	event->why = (uint8_t)why;
	return 0;
}

/* write_acknowledgement writes one up to its MAC, or null. */
static void write_acknowledgement(const cpns_pne_t *pne, writer_t *w, uint8_t status, uint32_t epoch, uint16_t index)
{
	cpns_write_head(w, MAJOR_ARRAY, 6);
	cpns_write_head(w, MAJOR_UNSIGNED, TYPE_ACKNOWLEDGEMENT);
	cpns_write_text(w, pne->config->entity_id, cpns_entity_len(pne));
	cpns_write_head(w, MAJOR_UNSIGNED, status);
	cpns_write_head(w, MAJOR_UNSIGNED, epoch);
	cpns_write_head(w, MAJOR_UNSIGNED, index);
}

/* refuse answers with a failure. Nothing was changed: a repeat is looked at anew. */
size_t cpns_refuse(const cpns_pne_t *pne, const message_t *m, uint8_t status, cpns_why_t why, uint8_t *scratch,
              cpns_event_t *event)
{
	static const uint8_t null = 0xf6;
	writer_t w = {scratch + AT_SAID, CPNS_SAID_MAX, 0};
	write_acknowledgement(pne, &w, status, m->epoch, m->index);
	cpns_write_raw(&w, &null, 1);
	event->kind = CPNS_REFUSED;
	event->status = status;
	event->why = (uint8_t)why;
	event->epoch = m->epoch;
	event->index = m->index;
	return w.len;
}

/* cpns_reject refuses what is not right; but where the device could not find out, that is
 * nothing to blame the gateway for, and there is no answer: what comes again is tried again. */
size_t cpns_reject(const cpns_pne_t *pne, const message_t *m, verdict_t verdict, uint8_t status, cpns_why_t why,
              uint8_t *scratch, cpns_event_t *event)
{
	if (verdict == UNKNOWN)
		return cpns_silent(event, CPNS_WHY_CRYPTO);
	return cpns_refuse(pne, m, status, why, scratch, event);
}

/* cpns_acknowledge_taken acknowledges what was taken last, with the same bytes each time:
 * what is held is what it brought. */
size_t cpns_acknowledge_taken(const cpns_pne_t *pne, uint8_t *scratch)
{
	uint8_t key[32];
	writer_t w = {scratch, SCRATCH_SIZE, 0}; /* first external_aad */
	cpns_write_head(&w, MAJOR_ARRAY, 7);
	cpns_write_head(&w, MAJOR_UNSIGNED, TYPE_ACKNOWLEDGEMENT);
	cpns_write_text(&w, pne->config->entity_id, cpns_entity_len(pne));
	cpns_write_text(&w, pne->held.g, pne->held.g_len);
	cpns_write_head(&w, MAJOR_UNSIGNED, ACK_SUCCESS);
	cpns_write_head(&w, MAJOR_UNSIGNED, pne->held.epoch);
	cpns_write_head(&w, MAJOR_UNSIGNED, pne->held.index);
	cpns_write_head(&w, MAJOR_UNSIGNED, pne->taken.type);
	bool done = cpns_derive(pne, key, FOR_ACKNOWLEDGEMENT, piece(pne->held.key, CPNS_KEY_SIZE), piece(NULL, 0),
	                   piece(pne->taken.context, sizeof pne->taken.context)) &&
	            cpns_mac0_tag(key, &w);
	if (!done) {
		cpns_wipe(key, sizeof key);
		return 0;
	}
	w = (writer_t){scratch + AT_SAID, CPNS_SAID_MAX, 0};
	write_acknowledgement(pne, &w, ACK_SUCCESS, pne->held.epoch, pne->held.index);
	cpns_write_mac0(&w, key);
	return w.len;
}

bool cpns_taken_again(const cpns_pne_t *pne, const uint8_t hash[32])
{
	return pne->taken.type != 0 && memcmp(pne->taken.hash, hash, sizeof pne->taken.hash) == 0;
}

size_t cpns_take(cpns_pne_t *pne, uint8_t type, const uint8_t hash[32], const uint8_t context[32], uint8_t *scratch)
{
	pne->taken.type = type;
	memcpy(pne->taken.hash, hash, sizeof pne->taken.hash);
	memcpy(pne->taken.context, context, sizeof pne->taken.context);
	return cpns_acknowledge_taken(pne, scratch);
}

/* open_notification decrypts the EUKey, in place of what is sealed. */
static NOINLINE verdict_t open_notification(const cpns_pne_t *pne, const message_t *m, uint8_t *scratch)
{
	uint8_t key[32];
	cpns_bytes_t shared = piece(NULL, 0);
	if ((m->x25519 != NULL) != pne->config->x25519)
		return WRONG;
#if CPNS_X25519
	static const uint8_t zero[32];
	uint8_t z[32];
	if (m->x25519 != NULL) {
		int failed = cpns_x25519(z, pne->hello.private_key, m->x25519);
		if (failed != 0 && failed != CPNS_BAD_INPUT)
			return UNKNOWN;
		if (failed != 0 || cpns_equal(z, zero, sizeof z))
			return WRONG;
		shared = piece(z, sizeof z);
	}
#endif
	writer_t w = {scratch + AT_AAD, SCRATCH_SIZE - AT_AAD, 0};
	cpns_write_head(&w, MAJOR_ARRAY, m->x25519 != NULL ? 6 : 5);
	cpns_write_head(&w, MAJOR_UNSIGNED, TYPE_NOTIFICATION);
	cpns_write_text(&w, m->e, m->e_len);
	cpns_write_text(&w, m->g, m->g_len);
	cpns_write_head(&w, MAJOR_UNSIGNED, m->epoch);
	cpns_write_head(&w, MAJOR_UNSIGNED, m->index);
	if (m->x25519 != NULL)
		cpns_write_bytes(&w, m->x25519, 32);
	verdict_t opened = UNKNOWN;
	if (cpns_derive(pne, key, FOR_NOTIFICATION, tk_of(pne), shared, piece(pne->hello.hash, 32)))
		opened = cpns_open_sealed(key, m, scratch, w.len);
	cpns_wipe(key, sizeof key);
#if CPNS_X25519
	if (m->x25519 != NULL)
		cpns_wipe(z, sizeof z);
#endif
	return opened == RIGHT && m->sealed_len != CPNS_KEY_SIZE + TAG_SIZE ? WRONG : opened;
}

/* leads_back tells whether key, of a higher index, is of the chain of the key held: H,
 * applied often enough, leads back to it. At most 1023 times. */
static NOINLINE verdict_t leads_back(const cpns_pne_t *pne, uint16_t index, const uint8_t key[32])
{
	uint8_t back[32];
	cpns_bytes_t all = piece(back, sizeof back);
	bool done = true;
	memcpy(back, key, sizeof back);
	for (; done && index > pne->held.index; index--)
		done = cpns_sha256(back, &all, 1) == 0;
	verdict_t leads = !done ? UNKNOWN : cpns_equal(back, pne->held.key, sizeof back) ? RIGHT : WRONG;
	cpns_wipe(back, sizeof back);
	return leads;
}

/* newer tells whether an EUKey of that epoch and index may follow: an epoch above, the
 * same and a higher index, or any where none is held, but none of an epoch before the
 * highest that was ever taken. */
static bool newer(const cpns_pne_t *pne, const message_t *m)
{
	return m->epoch > pne->held.epoch || (m->epoch == pne->held.epoch && m->index > pne->held.index);
}

size_t cpns_notification(cpns_pne_t *pne, message_t *m, const uint8_t hash[32], uint8_t *scratch, cpns_event_t *event)
{
	if (cpns_taken_again(pne, hash)) {
		event->kind = CPNS_REPEATED;
		return cpns_acknowledge_taken(pne, scratch);
	}
	if (!pne->hello.waits)
		return cpns_silent(event, CPNS_WHY_NO_HELLO_WAITS);
	verdict_t verdict = open_notification(pne, m, scratch);
	if (verdict != RIGHT)
		return cpns_reject(pne, m, verdict, ACK_CANNOT_DECRYPT, CPNS_WHY_DOES_NOT_OPEN, scratch, event);
	if (!newer(pne, m))
		return cpns_refuse(pne, m, ACK_STALE, CPNS_WHY_STALE, scratch, event);
	if (holds(pne) && m->epoch == pne->held.epoch)
		verdict = leads_back(pne, m->index, m->sealed);
	if (verdict != RIGHT)
		return cpns_reject(pne, m, verdict, ACK_CHAIN_BROKEN, CPNS_WHY_CHAIN_BROKEN, scratch, event);
	if (!cpns_hold(pne, m->epoch, m->index, m->g, m->g_len, m->sealed, scratch))
		return cpns_refuse(pne, m, ACK_NOT_STORED, CPNS_WHY_NOT_STORED, scratch, event);
	size_t len = cpns_take(pne, TYPE_NOTIFICATION, hash, pne->hello.hash, scratch);
	cpns_spend_hello(pne);
	cpns_wipe(&pne->challenge, sizeof pne->challenge);
	pne->agreed = false;
	cpns_wipe(pne->session, sizeof pne->session);
	event->kind = CPNS_STORED;
	event->epoch = pne->held.epoch;
	event->index = pne->held.index;
	return len;
}
