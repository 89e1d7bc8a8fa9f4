/* SPDX-License-Identifier: Apache-2.0
 *
 * auth-challenge -> auth-response, eukey-update -> acknowledgement. */
#include "internal.h"

/* write_context writes [type, e, g, rand-gw, rand-pne, epoch, index]. */
static void write_context(const cpns_pne_t *pne, writer_t *w, uint8_t type, const uint8_t rands[32], uint32_t epoch,
                          uint16_t index)
{
	cpns_write_head(w, MAJOR_ARRAY, 7);
	cpns_write_head(w, MAJOR_UNSIGNED, type);
	cpns_write_text(w, pne->config->entity_id, cpns_entity_len(pne));
	cpns_write_text(w, pne->held.g, pne->held.g_len);
	cpns_write_bytes(w, rands, NONCE_SIZE);
	cpns_write_bytes(w, rands + NONCE_SIZE, NONCE_SIZE);
	cpns_write_head(w, MAJOR_UNSIGNED, epoch);
	cpns_write_head(w, MAJOR_UNSIGNED, index);
}

/* respond builds the auth-response to a challenge: the same bytes for the same rands. */
static size_t respond(const cpns_pne_t *pne, const uint8_t rands[32], uint8_t *scratch)
{
	uint8_t key[32];
	writer_t w = {scratch, SCRATCH_SIZE, 0}; /* first external_aad */
	write_context(pne, &w, TYPE_AUTH_RESPONSE, rands, pne->held.epoch, pne->held.index);
	bool done = cpns_derive(pne, key, FOR_AUTHENTICATION, piece(pne->held.key, CPNS_KEY_SIZE), piece(NULL, 0), piece(rands, 32)) &&
	            cpns_mac0_tag(key, &w);
	if (!done) {
		cpns_wipe(key, sizeof key);
		return 0;
	}
	w = (writer_t){scratch + AT_SAID, CPNS_SAID_MAX, 0};
	cpns_write_head(&w, MAJOR_ARRAY, 6);
	cpns_write_head(&w, MAJOR_UNSIGNED, TYPE_AUTH_RESPONSE);
	cpns_write_text(&w, pne->config->entity_id, cpns_entity_len(pne));
	cpns_write_bytes(&w, rands + NONCE_SIZE, NONCE_SIZE);
	cpns_write_head(&w, MAJOR_UNSIGNED, pne->held.epoch);
	cpns_write_head(&w, MAJOR_UNSIGNED, pne->held.index);
	cpns_write_mac0(&w, key);
	return w.len;
}

/* cpns_auth_challenge proves the EUKey that is held to the gateway that gave it, and to no
 * other. A challenge is open from its response until an update or a notification is
 * taken, or another challenge comes: anybody on the link can send that in the
 * gateway's name, and does no more by it than have the gateway begin again. */
size_t cpns_auth_challenge(cpns_pne_t *pne, const message_t *m, uint8_t *scratch, cpns_event_t *event)
{
	uint8_t rands[32];
	if (!holds(pne) || m->g_len != pne->held.g_len || memcmp(m->g, pne->held.g, m->g_len) != 0)
		return cpns_silent(event, CPNS_WHY_OTHER_GATEWAY);
	if (pne->challenge.open && memcmp(pne->challenge.rands, m->rand, NONCE_SIZE) == 0) {
		event->kind = CPNS_REPEATED;
		return respond(pne, pne->challenge.rands, scratch);
	}
	memcpy(rands, m->rand, NONCE_SIZE);
	cpns_why_t why = cpns_draw(pne, rands + NONCE_SIZE);
	if (why != CPNS_WHY_NONE)
		return cpns_silent(event, why);
	size_t len = respond(pne, rands, scratch);
	if (len == 0)
		return cpns_silent(event, CPNS_WHY_CRYPTO);
	memcpy(pne->challenge.rands, rands, sizeof rands);
	pne->challenge.open = true;
	event->kind = CPNS_AUTHENTICATED;
	event->epoch = pne->held.epoch;
	event->index = pne->held.index;
	return len;
}

static NOINLINE verdict_t open_update(const cpns_pne_t *pne, const message_t *m, uint8_t *scratch)
{
	uint8_t key[32];
	writer_t w = {scratch + AT_AAD, SCRATCH_SIZE - AT_AAD, 0};
	write_context(pne, &w, TYPE_EUKEY_UPDATE, pne->challenge.rands, m->epoch, m->index);
	verdict_t opened = UNKNOWN;
	if (cpns_derive(pne, key, FOR_UPDATE, tk_of(pne), piece(pne->held.key, CPNS_KEY_SIZE),
	           piece(pne->challenge.rands, sizeof pne->challenge.rands)))
		opened = cpns_open_sealed(key, m, scratch, w.len);
	cpns_wipe(key, sizeof key);
	return opened;
}

/* follows tells whether the key held is the hash of that one: nobody can make it who
 * only knows the one held. */
static NOINLINE verdict_t follows(const cpns_pne_t *pne, const uint8_t key[32])
{
	uint8_t hash[32];
	cpns_bytes_t all = piece(key, CPNS_KEY_SIZE);
	if (cpns_sha256(hash, &all, 1) != 0)
		return UNKNOWN;
	return cpns_equal(hash, pne->held.key, sizeof hash) ? RIGHT : WRONG;
}

/* cpns_eukey_update takes the update that ends the authentication of the open challenge:
 * the next EUKey, or none, where the device stays on its key. An update that opens
 * proves that the gateway holds TK and the EUKey: the authentication is mutual, and
 * leaves a session key. */
size_t cpns_eukey_update(cpns_pne_t *pne, message_t *m, const uint8_t hash[32], uint8_t *scratch, cpns_event_t *event)
{
	if (cpns_taken_again(pne, hash)) {
		event->kind = CPNS_REPEATED;
		return cpns_acknowledge_taken(pne, scratch);
	}
	if (!pne->challenge.open)
		return cpns_silent(event, CPNS_WHY_NO_CHALLENGE_WAITS);
	verdict_t verdict = open_update(pne, m, scratch);
	if (verdict != RIGHT)
		return cpns_reject(pne, m, verdict, ACK_CANNOT_DECRYPT, CPNS_WHY_DOES_NOT_OPEN, scratch, event);
	size_t len = m->sealed_len - TAG_SIZE;
	bool moves = len == CPNS_KEY_SIZE;
	unsigned index = pne->held.index + (moves ? 1u : 0u);
	if ((len != 0 && !moves) || m->epoch != pne->held.epoch || m->index != index)
		return cpns_refuse(pne, m, ACK_STALE, CPNS_WHY_STALE, scratch, event);
	if (moves)
		verdict = follows(pne, m->sealed);
	if (verdict != RIGHT)
		return cpns_reject(pne, m, verdict, ACK_CHAIN_BROKEN, CPNS_WHY_CHAIN_BROKEN, scratch, event);
	if (moves && !cpns_hold(pne, m->epoch, m->index, pne->held.g, pne->held.g_len, m->sealed, scratch))
		return cpns_refuse(pne, m, ACK_NOT_STORED, CPNS_WHY_NOT_STORED, scratch, event);
	len = cpns_take(pne, TYPE_EUKEY_UPDATE, hash, pne->challenge.rands, scratch);
	pne->agreed = cpns_derive(pne, pne->session, FOR_SESSION, piece(pne->held.key, CPNS_KEY_SIZE), piece(NULL, 0),
	                     piece(pne->challenge.rands, sizeof pne->challenge.rands));
	cpns_wipe(&pne->challenge, sizeof pne->challenge); /* one update for each */
	event->kind = moves ? CPNS_STORED : CPNS_STAYED;
	event->epoch = pne->held.epoch;
	event->index = pne->held.index;
	return len;
}
