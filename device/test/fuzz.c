/* SPDX-License-Identifier: Apache-2.0
 *
 * libFuzzer on cpns_pne_feed: any bytes, to a device that holds nothing, one that was
 * challenged, and one with X25519. Two devices get the same stream, one of them a byte at
 * a time and the other at once, and must say and tell the same; and afterwards the next
 * frame must get through. What is fed can open: TK, nonces and rand-pne are the vectors'. */
#include <stdlib.h>
#include <string.h>

#include "cpns_pne.h"
#include "vectors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
	cpns_pne_t pne;
	cpns_config_t config;
	const uint8_t *script;
	size_t script_left;
	uint8_t slots[2][CPNS_RECORD_SIZE];
	uint64_t hash; /* of all that it said and told */
	unsigned hellos;
} device_t;

static void mix(device_t *d, const void *data, size_t len)
{
	const uint8_t *p = data;
	while (len-- != 0)
		d->hash = (d->hash ^ *p++) * 1099511628211u;
}

static int on_send(void *user, const uint8_t *data, size_t len)
{
	if (len < 5 || len > CPNS_FRAME_MAX || data[0] != 0 || data[len - 1] != 0 || memchr(data + 1, 0, len - 2) != NULL)
		abort();
	mix(user, data, len);
	return 0;
}

static int on_random(void *user, uint8_t *out, size_t len)
{
	device_t *d = user;
	for (; len != 0; len--) {
		*out++ = d->script_left != 0 ? *d->script++ : 7;
		if (d->script_left != 0)
			d->script_left--;
	}
	return 0;
}

static int on_load(void *user, unsigned slot, uint8_t record[CPNS_RECORD_SIZE])
{
	memcpy(record, ((device_t *)user)->slots[slot], CPNS_RECORD_SIZE);
	return 0;
}

static int on_store(void *user, unsigned slot, const uint8_t record[CPNS_RECORD_SIZE])
{
	memcpy(((device_t *)user)->slots[slot], record, CPNS_RECORD_SIZE);
	return 0;
}

static void on_event(void *user, const cpns_event_t *e)
{
	device_t *d = user;
	d->hellos += e->kind == CPNS_HELLO;
	mix(d, &e->kind, 1);
	mix(d, &e->status, 1);
	mix(d, &e->epoch, sizeof e->epoch);
	mix(d, &e->index, sizeof e->index);
}

static void feed_frame(device_t *d, const uint8_t *message, size_t len)
{
	uint8_t buf[CPNS_FRAME_MAX];
	if (len <= CPNS_SAID_MAX) {
		memcpy(buf + 2, message, len);
		cpns_pne_feed(&d->pne, 0, buf, cpns_frame(buf, len));
	}
}

/* prepare brings a device into its state. */
static void prepare(device_t *d, unsigned state)
{
	memset(d, 0, sizeof *d);
	d->config = (cpns_config_t){
		.entity_id = vector_entity,
		.tk = vector_tk,
		.tk_len = sizeof vector_tk,
		.link = CPNS_STREAM,
		.x25519 = state == 2,
		.user = d,
		.send = on_send,
		.random = on_random,
		.load = on_load,
		.store = on_store,
		.event = on_event,
	};
	d->script = state == 2 ? vector_x25519_random : vector_nonce;
	d->script_left = state == 2 ? sizeof vector_x25519_random : sizeof vector_nonce;
	if (cpns_pne_init(&d->pne, &d->config, 0) != CPNS_OK)
		abort();
	cpns_pne_link_up(&d->pne, 0);
	cpns_pne_poll(&d->pne, 0);
	if (state == 2)
		memcpy(d->pne.hello.hash, vector_x25519_hello_hash, sizeof d->pne.hello.hash);
	d->script = vector_rand_pne;
	d->script_left = sizeof vector_rand_pne;
	if (state == 1) {
		feed_frame(d, vector_notification, sizeof vector_notification);
		feed_frame(d, vector_auth_challenge, sizeof vector_auth_challenge);
		if (d->pne.held.index != 1 || !d->pne.challenge.open)
			abort();
	}
}

/* start is prepare, once for each state: it takes some cryptography. */
static void start(device_t *d, unsigned state)
{
	static device_t prepared[3];
	if (prepared[state].pne.config == NULL)
		prepare(&prepared[state], state);
	*d = prepared[state];
	d->config.user = d;
	d->pne.config = &d->config;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static device_t whole, bytes;
	if (size == 0)
		return 0;
	unsigned state = data[0] % 3;
	start(&whole, state);
	start(&bytes, state);
	/* An exact copy, that a read beyond it is seen. */
	size_t len = size - 1;
	uint8_t *copy = malloc(len != 0 ? len : 1);
	memcpy(copy, data + 1, len);
	cpns_pne_feed(&whole.pne, 5, copy, len);
	for (size_t i = 0; i < len; i++)
		cpns_pne_feed(&bytes.pne, 5, copy + i, 1);
	free(copy);
	if (whole.hash != bytes.hash || memcmp(&whole.pne.held, &bytes.pne.held, sizeof whole.pne.held) != 0 ||
	    memcmp(whole.slots, bytes.slots, sizeof whole.slots) != 0 || whole.pne.rx.dropped != bytes.pne.rx.dropped)
		abort();
	/* Whatever came before: the next identify is answered; and what was not ended before it is
	 * ended by its first zero, which may be an identify too. */
	uint8_t identify[CPNS_FRAME_MAX] = {0, 0, 0x83, 0, 1, 0x78, sizeof vector_entity - 1};
	memcpy(identify + 7, vector_entity, sizeof vector_entity - 1);
	size_t frame = cpns_frame(identify, 5 + sizeof vector_entity - 1);
	unsigned before = whole.hellos;
	cpns_pne_feed(&whole.pne, 2000, identify, frame);
	if (whole.hellos != before + 1 && whole.hellos != before + 2)
		abort();
	return 0;
}
