/* SPDX-License-Identifier: Apache-2.0
 *
 * A serial line may be shared (section 5). A hello that the gateway did not ask this
 * device for by name waits until the line was silent for 20 ms, and where another was
 * spoken to, for that one's answer or 600 ms; and then for a random time, since those
 * who have waited for the same end would begin together. */
#include "internal.h"

/* name_hash is FNV-1a: two names that share one let a device speak early, no more. */
static uint32_t name_hash(const char *name, size_t len)
{
	uint32_t hash = 2166136261u;
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (uint8_t)name[i]) * 16777619u;
	return hash;
}

/* cpns_line_heard is called with each message that is for another, or from one. */
void cpns_line_heard(cpns_pne_t *pne, const message_t *m)
{
	uint32_t entity = name_hash(m->e, m->e_len);
	switch (m->type) {
	case TYPE_HELLO:
	case TYPE_ACKNOWLEDGEMENT:
	case TYPE_AUTH_RESPONSE:
		if (entity == pne->line.entity)
			pne->line.hold = 0;
		break;
	default: /* of the gateway */
		pne->line.entity = entity;
		pne->line.hold = LINE_ANSWER;
		break;
	}
}

/* cpns_line_free_after is after which time the device may speak, as far as can be told now. */
uint32_t cpns_line_free_after(const cpns_pne_t *pne)
{
	uint32_t after = pne->line.heard < LINE_SILENCE ? LINE_SILENCE - pne->line.heard : 0;
	return after > pne->line.hold ? after : pne->line.hold;
}

void cpns_line_look_later(cpns_pne_t *pne)
{
	pne->line.look = cpns_line_free_after(pne) + cpns_jitter(pne, LINE_SPREAD);
}
