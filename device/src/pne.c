/* SPDX-License-Identifier: Apache-2.0
 *
 * A device's life: what comes in, who it is for, and what is due. */
#include "internal.h"

_Static_assert(sizeof(cpns_pne_t) <= 1024, "a device takes at most 1 kB of memory");
_Static_assert(2 * (int)CPNS_RECORD_SIZE <= CPNS_STUFFED_MAX, "both slots are read where frames come in");
_Static_assert((int)SCRATCH_SIZE >= (int)CPNS_FRAME_MAX && (int)SCRATCH_SIZE >= (int)CPNS_RECORD_SIZE, "a scratch serves for all three");

static bool is_serial(const cpns_pne_t *pne)
{
	return pne->config->link == CPNS_SERIAL;
}

static cpns_result_t check(const cpns_config_t *c)
{
	size_t len = 0;
	while (len <= CPNS_NAME_MAX && c->entity_id != NULL && c->entity_id[len] != '\0')
		len++;
	if (!cpns_name_ok(c->entity_id, len))
		return CPNS_BAD_ENTITY_ID;
	if (c->tk == NULL || c->tk_len < CPNS_TK_MIN || c->tk_len > CPNS_TK_MAX)
		return CPNS_BAD_TK;
	if ((c->random == NULL) == (c->counter == NULL) || (c->x25519 && c->random == NULL))
		return CPNS_BAD_RANDOM;
	if ((c->load == NULL) != (c->store == NULL))
		return CPNS_BAD_STORAGE;
	if (c->send == NULL || c->link > CPNS_MESSAGES || (c->x25519 && !CPNS_X25519))
		return CPNS_BAD_CONFIG;
	return CPNS_OK;
}

void cpns_tell(const cpns_pne_t *pne, const cpns_event_t *event)
{
	if (pne->config->event != NULL)
		pne->config->event(pne->config->user, event);
}

cpns_result_t cpns_pne_init(cpns_pne_t *pne, const cpns_config_t *config, uint32_t now)
{
	cpns_result_t result = check(config);
	if (result != CPNS_OK)
		return result;
	memset(pne, 0, sizeof *pne);
	pne->config = config;
	pne->schedule.now = now;
	bool lost;
	result = cpns_load_records(pne, &lost);
	if (result != CPNS_OK)
		return result;
	uint8_t seed[32];
	cpns_bytes_t name = piece(config->entity_id, cpns_entity_len(pne));
	if (cpns_sha256(seed, &name, 1) != 0)
		return CPNS_BAD_CRYPTO;
	pne->schedule.jitter = (uint32_t)seed[0] << 24 | (uint32_t)seed[1] << 16 | (uint32_t)seed[2] << 8 | seed[3];
	if (lost)
		cpns_tell(pne, &(cpns_event_t){.kind = CPNS_RECORD_LOST});
	return CPNS_OK;
}

bool cpns_send_said(const cpns_pne_t *pne, uint8_t *scratch, size_t len)
{
	const cpns_config_t *c = pne->config;
	if (c->link == CPNS_MESSAGES)
		return c->send(c->user, scratch + AT_SAID, len) == 0;
	return c->send(c->user, scratch, cpns_frame(scratch, len)) == 0;
}

/* say_if_due says a hello, if one is due, and nobody else is speaking. */
static void say_if_due(cpns_pne_t *pne, uint8_t *scratch)
{
	uint32_t after;
	if (cpns_schedule_due(pne, &after) && after == 0)
		cpns_schedule_hello(pne, scratch);
}

/* answer answers a message of a gateway that is for this device. */
static void answer(cpns_pne_t *pne, message_t *m, size_t msg_len, uint8_t *scratch, cpns_event_t *event)
{
	uint8_t hash[32];
	cpns_bytes_t msg = piece(pne->rx.bytes, msg_len);
	size_t len = 0;
	if (m->type == TYPE_AUTH_CHALLENGE)
		len = cpns_auth_challenge(pne, m, scratch, event);
	else if (cpns_sha256(hash, &msg, 1) != 0)
		cpns_silent(event, CPNS_WHY_CRYPTO);
	else if (m->type == TYPE_NOTIFICATION)
		len = cpns_notification(pne, m, hash, scratch, event);
	else
		len = cpns_eukey_update(pne, m, hash, scratch, event);
	if (len != 0)
		(void)cpns_send_said(pne, scratch, len); /* lost, it is asked for again */
	bool opened = event->kind == CPNS_STORED || event->kind == CPNS_STAYED || event->status > ACK_CANNOT_DECRYPT;
	if (opened)
		cpns_schedule_opened(pne);
	cpns_wipe(pne->rx.bytes, sizeof pne->rx.bytes); /* an EUKey was decrypted there */
}

/* handle takes the message that is in pne->rx.bytes. */
static void handle(cpns_pne_t *pne, size_t len)
{
	uint8_t scratch[SCRATCH_SIZE];
	message_t m;
	cpns_event_t event = {.kind = CPNS_MALFORMED};
	if (!cpns_read_message(&m, pne->rx.bytes, len)) {
		cpns_tell(pne, &event);
		return;
	}
	event.type = m.type;
	bool own = cpns_is_own(pne, &m);
	if (m.type == TYPE_IDENTIFY && (own || m.e_len == 0)) {
		event.kind = CPNS_IDENTIFY;
		event.everybody = !own;
		cpns_schedule_identified(pne, event.everybody);
		cpns_tell(pne, &event);
		/* Asked by its name it is spoken to, and need not wait until the line is free. */
		if (own)
			say_if_due(pne, scratch);
		return;
	}
	if (own && (m.type == TYPE_NOTIFICATION || m.type == TYPE_AUTH_CHALLENGE || m.type == TYPE_EUKEY_UPDATE)) {
		answer(pne, &m, len, scratch, &event);
	} else {
		/* For another PNE, or from one; or its own, on a line with an echo. */
		event.kind = CPNS_IGNORED;
		cpns_line_heard(pne, &m);
	}
	cpns_tell(pne, &event);
}

void cpns_pne_link_up(cpns_pne_t *pne, uint32_t now)
{
	cpns_elapse(pne, now);
	pne->rx.len = 0;
	pne->rx.too_long = false;
	cpns_schedule_begin(pne);
	if (is_serial(pne)) {
		/* A line that has just come up may be in use, and the others may have been
		 * switched on at this moment too. */
		pne->line.heard = 0;
		cpns_line_look_later(pne);
	}
}

/* end_frame looks at the frame that a zero has just ended. */
static void end_frame(cpns_pne_t *pne)
{
	size_t len = pne->rx.len;
	bool too_long = pne->rx.too_long;
	pne->rx.len = 0;
	pne->rx.too_long = false;
	if (len == 0)
		return;
	int msg = too_long ? -1 : cpns_unstuff(pne->rx.bytes, len);
	if (msg < 0)
		pne->rx.dropped++;
	else
		handle(pne, (size_t)msg);
}

void cpns_pne_feed(cpns_pne_t *pne, uint32_t now, const void *data, size_t len)
{
	const uint8_t *p = (const uint8_t *)data;
	cpns_elapse(pne, now);
	if (len != 0)
		pne->line.heard = 0;
	for (; len != 0; len--, p++) {
		if (*p == 0)
			end_frame(pne);
		else if (pne->rx.len == sizeof pne->rx.bytes)
			pne->rx.too_long = true;
		else
			pne->rx.bytes[pne->rx.len++] = *p;
	}
}

void cpns_pne_message(cpns_pne_t *pne, uint32_t now, const void *message, size_t len)
{
	cpns_elapse(pne, now);
	if (len > CPNS_MESSAGE_MAX) {
		cpns_tell(pne, &(cpns_event_t){.kind = CPNS_MALFORMED});
		return;
	}
	memcpy(pne->rx.bytes, message, len);
	handle(pne, len);
}

/* due tells whether there is a hello to say, and after which time to look. */
static bool due(const cpns_pne_t *pne, uint32_t *after)
{
	if (!cpns_schedule_due(pne, after))
		return false;
	if (is_serial(pne) && *after < pne->line.look)
		*after = pne->line.look;
	return true;
}

uint32_t cpns_pne_poll(cpns_pne_t *pne, uint32_t now)
{
	uint8_t scratch[SCRATCH_SIZE];
	uint32_t after;
	cpns_elapse(pne, now);
	if (pne->mirror && !cpns_mirror_record(pne, scratch))
		cpns_tell(pne, &(cpns_event_t){.kind = CPNS_SLOT_FAILED});
	if (due(pne, &after) && after == 0) {
		if (is_serial(pne) && cpns_line_free_after(pne) != 0)
			cpns_line_look_later(pne);
		else
			cpns_schedule_hello(pne, scratch);
	}
	return due(pne, &after) ? after : CPNS_NEVER;
}

bool cpns_pne_held(const cpns_pne_t *pne, uint32_t *epoch, uint16_t *index, char *gateway)
{
	bool any = holds(pne);
	*epoch = any ? pne->held.epoch : 0;
	*index = pne->held.index;
	if (gateway != NULL) {
		size_t len = any ? pne->held.g_len : 0;
		memcpy(gateway, pne->held.g, len);
		gateway[len] = '\0';
	}
	return any;
}

uint32_t cpns_pne_dropped(const cpns_pne_t *pne)
{
	return pne->rx.dropped;
}
