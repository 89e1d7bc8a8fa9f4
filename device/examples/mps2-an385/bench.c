/* SPDX-License-Identifier: Apache-2.0
 *
 * Measures each operation of a device: instructions, of which how many are BearSSL's, and
 * how deep the stack goes. It is driven by the protocol's vectors (vectors.h, which
 * scripts/device.sh makes of them) and checks each answer against them.
 *
 * The board's timer counts at 25 MHz. Under QEMU's -icount shift=0 an instruction takes a
 * nanosecond, and so a tick is 40 instructions. Lines on the console:
 *
 *     operation  instructions  of them in primitives  stack, bytes  ok or wrong */
#include <string.h>

#include "board.h"
#include "cpns_crypto.h"
#include "cpns_pne.h"
#include "vectors.h"

#define TIMER_CTRL (*(volatile uint32_t *)0x40000000u)
#define TIMER_VALUE (*(volatile uint32_t *)0x40000004u)
#define TIMER_RELOAD (*(volatile uint32_t *)0x40000008u)

enum { INSTRUCTIONS_A_TICK = 40, PAINT = 6000 };

static uint32_t ticks(void)
{
	return ~TIMER_VALUE; /* it counts down */
}

static uint32_t primitives, depth;

#ifdef TIMED_PRIMITIVES /* which takes some of the stack */

/* The primitives, as the library calls them, with a clock around them. */

#define TIMED(call)                                                                                                    \
	do {                                                                                                               \
		uint32_t from = ticks();                                                                                       \
		int result = call;                                                                                             \
		primitives += ticks() - from;                                                                                  \
		return result;                                                                                                 \
	} while (0)

int __real_cpns_sha256(uint8_t out[32], const cpns_bytes_t *in, size_t n);
int __wrap_cpns_sha256(uint8_t out[32], const cpns_bytes_t *in, size_t n);
int __wrap_cpns_sha256(uint8_t out[32], const cpns_bytes_t *in, size_t n)
{
	TIMED(__real_cpns_sha256(out, in, n));
}

int __real_cpns_hmac(uint8_t out[32], cpns_bytes_t key, const cpns_bytes_t *in, size_t n);
int __wrap_cpns_hmac(uint8_t out[32], cpns_bytes_t key, const cpns_bytes_t *in, size_t n);
int __wrap_cpns_hmac(uint8_t out[32], cpns_bytes_t key, const cpns_bytes_t *in, size_t n)
{
	TIMED(__real_cpns_hmac(out, key, in, n));
}

int __real_cpns_hkdf(uint8_t out[32], const cpns_bytes_t *s, size_t n_s, cpns_bytes_t salt, const cpns_bytes_t *i, size_t n_i);
int __wrap_cpns_hkdf(uint8_t out[32], const cpns_bytes_t *s, size_t n_s, cpns_bytes_t salt, const cpns_bytes_t *i, size_t n_i);
int __wrap_cpns_hkdf(uint8_t out[32], const cpns_bytes_t *s, size_t n_s, cpns_bytes_t salt, const cpns_bytes_t *i, size_t n_i)
{
	TIMED(__real_cpns_hkdf(out, s, n_s, salt, i, n_i));
}

int __real_cpns_open(const uint8_t key[32], const uint8_t iv[12], cpns_bytes_t aad, uint8_t *data, size_t len);
int __wrap_cpns_open(const uint8_t key[32], const uint8_t iv[12], cpns_bytes_t aad, uint8_t *data, size_t len);
int __wrap_cpns_open(const uint8_t key[32], const uint8_t iv[12], cpns_bytes_t aad, uint8_t *data, size_t len)
{
	TIMED(__real_cpns_open(key, iv, aad, data, len));
}

#if CPNS_X25519
int __real_cpns_x25519(uint8_t out[32], const uint8_t private_key[32], const uint8_t *public_key);
int __wrap_cpns_x25519(uint8_t out[32], const uint8_t private_key[32], const uint8_t *public_key);
int __wrap_cpns_x25519(uint8_t out[32], const uint8_t private_key[32], const uint8_t *public_key)
{
	TIMED(__real_cpns_x25519(out, private_key, public_key));
}
#endif

#endif

static cpns_pne_t pne;
static uint8_t said[CPNS_FRAME_MAX], record[2][CPNS_RECORD_SIZE];
static size_t said_len;
static const uint8_t *script;

static int on_send(void *user, const uint8_t *data, size_t len)
{
	(void)user;
	memcpy(said, data, len);
	said_len = len;
	return 0;
}

static int on_random(void *user, uint8_t *out, size_t len)
{
	(void)user;
	memcpy(out, script, len);
	script += len;
	return 0;
}

static int on_load(void *user, unsigned slot, uint8_t r[CPNS_RECORD_SIZE])
{
	(void)user;
	memcpy(r, record[slot], CPNS_RECORD_SIZE);
	return 0;
}

static int on_store(void *user, unsigned slot, const uint8_t r[CPNS_RECORD_SIZE])
{
	(void)user;
	memcpy(record[slot], r, CPNS_RECORD_SIZE);
	return 0;
}

static cpns_config_t config = {
	.entity_id = vector_entity,
	.tk = vector_tk,
	.tk_len = sizeof vector_tk,
	.link = CPNS_MESSAGES,
	.send = on_send,
	.random = on_random,
	.load = on_load,
	.store = on_store,
};

/* What is measured; each is called with the stack below it painted. */
typedef void (*operation_t)(const uint8_t *message, size_t len);

static void take(const uint8_t *message, size_t len)
{
	cpns_pne_message(&pne, 0, message, len);
}

static void poll(const uint8_t *message, size_t len)
{
	(void)message, (void)len;
	cpns_pne_poll(&pne, 0);
}

static void init(const uint8_t *message, size_t len)
{
	(void)message, (void)len;
	cpns_pne_init(&pne, &config, 0);
}

static void measure(const char *name, operation_t operation, const uint8_t *message, size_t len, const uint8_t *want, size_t want_len)
{
	volatile uint8_t *here;
	__asm__ volatile("mov %0, sp" : "=r"(here));
	volatile uint8_t *bottom = here - PAINT;
	__asm__ volatile("cpsid i" ::: "memory"); /* an interrupt would leave its frame there */
	for (volatile uint8_t *p = bottom; p < here; p++)
		*p = 0xa5;
	primitives = 0;
	said_len = 0;
	uint32_t from = ticks();
	operation(message, len);
	uint32_t passed = ticks() - from;
	volatile uint8_t *p = bottom;
	while (p < here && *p == 0xa5)
		p++;
	uint32_t used = (uint32_t)(here - p);
	__asm__ volatile("cpsie i" ::: "memory");
	if (used > depth)
		depth = used;
	print(name);
	for (size_t i = strlen(name); i < 24; i++)
		print(" ");
	print_number(passed * INSTRUCTIONS_A_TICK);
	print(" ");
	print_number(primitives * INSTRUCTIONS_A_TICK);
	print(" ");
	print_number(used);
	print(want == NULL || (said_len == want_len && memcmp(said, want, want_len) == 0) ? " ok\r\n" : " wrong\r\n");
}

#define ANSWER(what) what, sizeof what

int main(void)
{
	board_start();
	TIMER_RELOAD = 0xffffffff;
	TIMER_VALUE = 0xffffffff;
	TIMER_CTRL = 1;

	memset(record, 0xff, sizeof record);
	measure("init", init, NULL, 0, NULL, 0);
	cpns_pne_link_up(&pne, 0);
	script = vector_nonce;
	measure("hello", poll, NULL, 0, ANSWER(vector_hello));
	measure("notification", take, ANSWER(vector_notification), ANSWER(vector_acknowledgement));
	measure("second copy", poll, NULL, 0, NULL, 0);
	measure("notification again", take, ANSWER(vector_notification), ANSWER(vector_acknowledgement));
	script = vector_rand_pne;
	measure("challenge", take, ANSWER(vector_auth_challenge), ANSWER(vector_auth_response));
	measure("update", take, ANSWER(vector_eukey_update), ANSWER(vector_update_acknowledgement));
	measure("init with a record", init, NULL, 0, NULL, 0);
#if CPNS_X25519
	memset(record, 0xff, sizeof record);
	config.x25519 = true;
	cpns_pne_init(&pne, &config, 0);
	cpns_pne_link_up(&pne, 0);
	script = vector_x25519_random;
	measure("hello, X25519", poll, NULL, 0, NULL, 0);
	memcpy(pne.hello.hash, vector_x25519_hello_hash, sizeof pne.hello.hash);
	measure("notification, X25519", take, ANSWER(vector_x25519_notification), ANSWER(vector_x25519_acknowledgement));
#endif
	print("device ");
	print_number(sizeof pne);
	print(" stack ");
	print_number(depth);
	print("\r\n");
	board_off();
	return 0;
}
