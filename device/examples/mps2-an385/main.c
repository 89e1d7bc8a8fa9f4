/* SPDX-License-Identifier: Apache-2.0
 *
 * A PNE on bare metal: its UART to the gateway, its flash for the EUKey, and a console
 * for people. Built with CPNS_X25519 0 it draws its randomness from a counter, as a device
 * without a random generator does; otherwise from a generator that is seeded once at each
 * start.
 *
 * The flash's first block is the factory's: "CPNSFACT", the lengths of Entity ID and
 * TK, 6 zeros, 64 bytes of Entity ID, 64 of TK. A real device has a better place for TK. */
#include <string.h>

#include <bearssl.h>

#include "board.h"
#include "cpns_flash.h"
#include "cpns_pne.h"
#include "event_names.h"

static struct {
	uint8_t magic[8], entity_len, tk_len, zeros[6];
	char entity[CPNS_NAME_MAX];
	uint8_t tk[CPNS_TK_MAX];
} factory;

static char entity_id[CPNS_NAME_MAX + 1];
static cpns_pne_t pne;
static cpns_flash_t flash = {
	.offset = FLASH_BLOCK,
	.block_size = FLASH_BLOCK,
	.erase = flash_erase,
	.program = flash_program,
	.read = flash_read,
};

static int on_send(void *user, const uint8_t *data, size_t len)
{
	(void)user;
	uart_write(LINE, data, len);
	return 0;
}

static void on_event(void *user, const cpns_event_t *e)
{
	(void)user;
	print(event_name(e->kind));
	if (e->epoch != 0 || e->kind == CPNS_HELLO) {
		print(" epoch ");
		print_number(e->epoch);
		print(" index ");
		print_number(e->index);
	}
	if (e->why != 0) {
		print(" why ");
		print_number(e->why);
		print(" status ");
		print_number(e->status);
	}
	print("\r\n");
}

#if CPNS_X25519

static br_hmac_drbg_context generator;
static bool seeded;

static int on_random(void *user, uint8_t *out, size_t len)
{
	(void)user;
	if (!seeded)
		return -1;
	br_hmac_drbg_generate(&generator, out, len);
	return 0;
}

static void start_random(void)
{
	uint8_t seed[48];
	seeded = board_entropy(seed) == 0;
	br_hmac_drbg_init(&generator, &br_sha256_vtable, seed, sizeof seed);
	cpns_wipe(seed, sizeof seed);
}

#else

static void start_random(void)
{
	/* The factory's work, where it has not been done: a block that is erased. */
	uint8_t first[16];
	flash_read(NULL, flash.offset + 2 * FLASH_BLOCK, first, sizeof first);
	for (size_t i = 0; i < sizeof first; i++)
		if (first[i] != 0xff)
			return;
	cpns_flash_counter_make(&flash);
}

#endif

static const cpns_config_t config = {
	.entity_id = entity_id,
	.tk = factory.tk,
	.tk_len = 32,
	.link = CPNS_SERIAL,
	.user = &flash,
	.send = on_send,
#if CPNS_X25519
	.x25519 = true,
	.random = on_random,
#else
	.counter = cpns_flash_counter,
#endif
	.load = cpns_flash_load,
	.store = cpns_flash_store,
	.event = on_event,
};

int main(void)
{
	board_start();
	flash_read(NULL, 0, &factory, sizeof factory);
	if (memcmp(factory.magic, "CPNSFACT", 8) != 0 || factory.entity_len > CPNS_NAME_MAX || factory.tk_len != config.tk_len) {
		print("no Entity ID and TK in the first block\r\n");
		return 1;
	}
	memcpy(entity_id, factory.entity, factory.entity_len);
	start_random();
	if (cpns_pne_init(&pne, &config, board_now()) != CPNS_OK) {
		print("not a device\r\n");
		return 1;
	}
	print("started\r\n");
	cpns_pne_link_up(&pne, board_now());
	for (;;) {
		uint8_t bytes[64];
		size_t n = uart_read(LINE, bytes, sizeof bytes);
		cpns_pne_feed(&pne, board_now(), bytes, n);
		if (cpns_pne_poll(&pne, board_now()) != 0 && n == 0)
			board_sleep();
	}
}
