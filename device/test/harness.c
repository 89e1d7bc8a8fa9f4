/* SPDX-License-Identifier: Apache-2.0
 *
 * A device that is driven by lines on standard input, for device_test.go: what it is
 * told, and what may fail. Each command is answered by any number of lines and one with
 * a full stop.
 *
 *     S hex                                            it said that
 *     E kind why status type everybody epoch index     it told of that
 *     R words                                          the command's result
 *
 * NOW is the clock, in milliseconds. */
#define _POSIX_C_SOURCE 200809L

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "cpns_crypto.h"
#include "cpns_file.h"
#include "cpns_flash.h"
#include "cpns_pne.h"
#ifdef CPNS_PSA
#include <psa/crypto.h>
#endif

enum { LINE_MAX_LEN = 300000, NOR_BLOCK = 256, NOR_SIZE = 4 * NOR_BLOCK };

static struct {
	cpns_pne_t pne;
	cpns_config_t config;
	char entity[CPNS_NAME_MAX + 16];
	uint8_t tk[80];
	uint64_t random_state, counter;
	uint8_t script[256]; /* what is drawn before anything else */
	size_t script_len, script_at;
	bool random_fails, send_fails, quiet;
	uint8_t slots[2][CPNS_RECORD_SIZE];
	char store; /* o: in order; f: fails; l: lies; w: fails and has written; t: torn */
	size_t torn; /* bytes that still get through with t */
	bool load_fails;
	unsigned stores;
	uint8_t nor[NOR_SIZE];
	long fuel; /* bytes that the flash still erases or writes; below 0: any number */
	bool dead;
	cpns_flash_t flash;
	cpns_file_t file;
} h;

/* The cryptography, which fails as it is told. It is linked with --wrap. */
static long crypto_left = -1; /* calls that still work; below 0: any number */

static bool crypto_fails(void)
{
	if (crypto_left < 0)
		return false;
	if (crypto_left == 0)
		return true;
	crypto_left--;
	return false;
}

int __real_cpns_sha256(uint8_t out[32], const cpns_bytes_t *in, size_t n);
int __wrap_cpns_sha256(uint8_t out[32], const cpns_bytes_t *in, size_t n);
int __wrap_cpns_sha256(uint8_t out[32], const cpns_bytes_t *in, size_t n)
{
	return crypto_fails() ? -1 : __real_cpns_sha256(out, in, n);
}

int __real_cpns_hmac(uint8_t out[32], cpns_bytes_t key, const cpns_bytes_t *in, size_t n);
int __wrap_cpns_hmac(uint8_t out[32], cpns_bytes_t key, const cpns_bytes_t *in, size_t n);
int __wrap_cpns_hmac(uint8_t out[32], cpns_bytes_t key, const cpns_bytes_t *in, size_t n)
{
	return crypto_fails() ? -1 : __real_cpns_hmac(out, key, in, n);
}

int __real_cpns_hkdf(uint8_t out[32], const cpns_bytes_t *s, size_t n_s, cpns_bytes_t salt, const cpns_bytes_t *i, size_t n_i);
int __wrap_cpns_hkdf(uint8_t out[32], const cpns_bytes_t *s, size_t n_s, cpns_bytes_t salt, const cpns_bytes_t *i, size_t n_i);
int __wrap_cpns_hkdf(uint8_t out[32], const cpns_bytes_t *s, size_t n_s, cpns_bytes_t salt, const cpns_bytes_t *i, size_t n_i)
{
	return crypto_fails() ? -1 : __real_cpns_hkdf(out, s, n_s, salt, i, n_i);
}

int __real_cpns_open(const uint8_t key[32], const uint8_t iv[12], cpns_bytes_t aad, uint8_t *data, size_t len);
int __wrap_cpns_open(const uint8_t key[32], const uint8_t iv[12], cpns_bytes_t aad, uint8_t *data, size_t len);
int __wrap_cpns_open(const uint8_t key[32], const uint8_t iv[12], cpns_bytes_t aad, uint8_t *data, size_t len)
{
	return crypto_fails() ? -1 : __real_cpns_open(key, iv, aad, data, len);
}

#if CPNS_X25519
int __real_cpns_x25519(uint8_t out[32], const uint8_t private_key[32], const uint8_t *public_key);
int __wrap_cpns_x25519(uint8_t out[32], const uint8_t private_key[32], const uint8_t *public_key);
int __wrap_cpns_x25519(uint8_t out[32], const uint8_t private_key[32], const uint8_t *public_key)
{
	return crypto_fails() ? -1 : __real_cpns_x25519(out, private_key, public_key);
}
#endif

static void print_hex(const char *what, const uint8_t *p, size_t len)
{
	printf("%s ", what);
	for (size_t i = 0; i < len; i++)
		printf("%02x", p[i]);
	printf("\n");
}

static int on_send(void *user, const uint8_t *data, size_t len)
{
	(void)user;
	if (h.send_fails)
		return -1;
	if (!h.quiet)
		print_hex("S", data, len);
	return 0;
}

static uint8_t random_byte(void)
{
	if (h.script_at < h.script_len)
		return h.script[h.script_at++];
	h.random_state ^= h.random_state << 13;
	h.random_state ^= h.random_state >> 7;
	h.random_state ^= h.random_state << 17;
	return (uint8_t)(h.random_state >> 24);
}

static int on_random(void *user, uint8_t *out, size_t len)
{
	(void)user;
	if (h.random_fails)
		return -1;
	while (len-- != 0)
		*out++ = random_byte();
	return 0;
}

static int on_counter(void *user, uint64_t *value)
{
	(void)user;
	if (h.random_fails)
		return -1;
	*value = ++h.counter;
	return 0;
}

static int on_load(void *user, unsigned slot, uint8_t record[CPNS_RECORD_SIZE])
{
	(void)user;
	if (h.load_fails)
		return -1;
	memcpy(record, h.slots[slot], CPNS_RECORD_SIZE);
	return 0;
}

static int on_store(void *user, unsigned slot, const uint8_t record[CPNS_RECORD_SIZE])
{
	(void)user;
	h.stores++;
	switch (h.store) {
	case 'f':
		return -1;
	case 'l':
		return 0;
	case 'w':
		memcpy(h.slots[slot], record, CPNS_RECORD_SIZE);
		return -1;
	case 't': {
		/* As a flash: erased, then written up to where the power went. */
		size_t n = h.torn < CPNS_RECORD_SIZE ? h.torn : CPNS_RECORD_SIZE;
		memset(h.slots[slot], 0xff, CPNS_RECORD_SIZE);
		memcpy(h.slots[slot], record, n);
		h.torn -= n;
		return n == CPNS_RECORD_SIZE ? 0 : -1;
	}
	default:
		memcpy(h.slots[slot], record, CPNS_RECORD_SIZE);
		return 0;
	}
}

/* A NOR flash whose power goes in the middle of what it does: some bits of the byte
 * at hand have changed, and some have not. */
static bool burn(uint8_t *at, uint8_t to)
{
	if (h.dead)
		return false;
	if (h.fuel == 0) {
		h.dead = true;
		uint8_t mask = 0x5a;
		*at = (uint8_t)((*at & mask) | (to & ~mask));
		return false;
	}
	if (h.fuel > 0)
		h.fuel--;
	*at = to;
	return true;
}

static int nor_erase(void *driver, uint32_t offset)
{
	(void)driver;
	for (uint32_t i = 0; i < NOR_BLOCK; i++)
		if (!burn(&h.nor[offset + i], 0xff))
			return -1;
	return 0;
}

static int nor_program(void *driver, uint32_t offset, const void *data, uint32_t len)
{
	(void)driver;
	const uint8_t *p = data;
	if (len % 4 != 0 || offset % NOR_BLOCK + len > NOR_BLOCK)
		abort();
	for (uint32_t i = 0; i < len; i++)
		if (!burn(&h.nor[offset + i], h.nor[offset + i] & p[i]))
			return -1;
	return 0;
}

static int nor_read(void *driver, uint32_t offset, void *data, uint32_t len)
{
	(void)driver;
	if (h.dead)
		return -1;
	memcpy(data, h.nor + offset, len);
	return 0;
}

static int on_flash_counter(void *user, uint64_t *value)
{
	(void)user;
	return cpns_flash_counter(&h.flash, value);
}

static int on_flash_load(void *user, unsigned slot, uint8_t record[CPNS_RECORD_SIZE])
{
	(void)user;
	return cpns_flash_load(&h.flash, slot, record);
}

static int on_flash_store(void *user, unsigned slot, const uint8_t record[CPNS_RECORD_SIZE])
{
	(void)user;
	return cpns_flash_store(&h.flash, slot, record);
}

static int on_file_load(void *user, unsigned slot, uint8_t record[CPNS_RECORD_SIZE])
{
	(void)user;
	return cpns_file_load(&h.file, slot, record);
}

static int on_file_store(void *user, unsigned slot, const uint8_t record[CPNS_RECORD_SIZE])
{
	(void)user;
	return cpns_file_store(&h.file, slot, record);
}

/* power gives the flash its power back, and takes from its driver what it remembers. */
static void power(void)
{
	h.dead = false;
	h.fuel = -1;
	h.flash = (cpns_flash_t){.block_size = NOR_BLOCK, .erase = nor_erase, .program = nor_program, .read = nor_read};
}

/* count N draws from the counter, as long as it gives something. */
static void count(char **w)
{
	for (int n = atoi(w[1]); n > 0; n--) {
		uint64_t value;
		if (cpns_flash_counter(&h.flash, &value) != 0) {
			printf("R fails\n");
			return;
		}
		printf("R %" PRIu64 "\n", value);
	}
}

/* limit has files end after so many bytes, as a full disk would. */
static void limit(char **w)
{
	struct rlimit r = {strtoul(w[1], NULL, 10), RLIM_INFINITY};
	signal(SIGXFSZ, SIG_IGN);
	if (r.rlim_cur == 0)
		r.rlim_cur = RLIM_INFINITY;
	setrlimit(RLIMIT_FSIZE, &r);
}

static void on_event(void *user, const cpns_event_t *e)
{
	(void)user;
	if (!h.quiet)
		printf("E %u %u %u %u %u %" PRIu32 " %u\n", e->kind, e->why, e->status, e->type, e->everybody, e->epoch, e->index);
}

static size_t unhex(uint8_t *out, size_t size, const char *text)
{
	size_t n = 0;
	for (; text[0] != '\0' && text[1] != '\0' && n < size; text += 2) {
		unsigned v;
		if (sscanf(text, "%2x", &v) != 1)
			break;
		out[n++] = (uint8_t)v;
	}
	return n;
}

/* configure ENTITY TKHEX LINK FLAGS. A DEL for ENTITY is an empty one. Flags: x X25519, c counter, e epoch only, v volatile,
 * n in the NOR flash, with its counter, f in the file. */
static void configure(char **w, int n)
{
	if (n < 5)
		return;
	snprintf(h.entity, sizeof h.entity, "%s", strcmp(w[1], "\x7f") == 0 ? "" : w[1]);
	const char *flags = w[4];
	h.config = (cpns_config_t){
		.entity_id = h.entity,
		.tk = h.tk,
		.tk_len = (uint8_t)unhex(h.tk, sizeof h.tk, w[2]),
		.link = (uint8_t)atoi(w[3]),
		.x25519 = strchr(flags, 'x') != NULL,
		.epoch_only = strchr(flags, 'e') != NULL,
		.send = on_send,
		.random = strchr(flags, 'c') == NULL ? on_random : NULL,
		.counter = strchr(flags, 'c') != NULL ? on_counter : NULL,
		.event = on_event,
	};
	if (strchr(flags, 'v') == NULL) {
		h.config.load = on_load;
		h.config.store = on_store;
	}
	if (strchr(flags, 'n') != NULL) {
		h.config.load = on_flash_load;
		h.config.store = on_flash_store;
		if (h.config.counter != NULL)
			h.config.counter = on_flash_counter;
	}
	if (strchr(flags, 'f') != NULL) {
		h.config.load = on_file_load;
		h.config.store = on_file_store;
	}
}

static void held(void)
{
	uint32_t epoch;
	uint16_t index;
	char g[CPNS_NAME_MAX + 1];
	bool any = cpns_pne_held(&h.pne, &epoch, &index, g);
	uint8_t key[32] = {0};
	bool agreed = cpns_pne_session_key(&h.pne, key);
	printf("R %d %" PRIu32 " %u %s %d ", any, epoch, index, any ? g : "-", agreed);
	print_hex("", key, sizeof key);
	cpns_wipe(key, sizeof key);
}

static void feed(char **w, int n, bool whole, size_t step)
{
	static uint8_t bytes[LINE_MAX_LEN / 2];
	uint32_t now = (uint32_t)strtoul(w[1], NULL, 10);
	size_t len = unhex(bytes, sizeof bytes, n > 2 ? w[2] : "");
	/* From the heap and exactly so long, that a sanitizer sees what is read beyond. */
	uint8_t *exact = malloc(len != 0 ? len : 1);
	memcpy(exact, bytes, len);
	if (whole) {
		cpns_pne_message(&h.pne, now, exact, len);
	} else {
		for (size_t at = 0; at < len || len == 0; at += step) {
			cpns_pne_feed(&h.pne, now, exact + at, len - at < step ? len - at : step);
			if (len == 0)
				break;
		}
	}
	free(exact);
}

static void application(char **w)
{
	uint8_t key[32];
	if (cpns_pne_application_key(&h.pne, w[1], key))
		print_hex("R", key, sizeof key);
}

static void names(char **w)
{
	char identity[CPNS_IDENTITY_SIZE], topic[3][300];
	bool ok = cpns_application_identity(w[1], identity);
	cpns_topic_down("cpns", w[1], topic[0], sizeof topic[0]);
	cpns_topic_up("cpns", w[1], topic[1], sizeof topic[1]);
	cpns_topic_identify("cpns", topic[2], sizeof topic[2]);
	size_t need = strlen(topic[0]) + 1;
	char *tight = malloc(need), *short_by_one = malloc(need - 1);
	size_t fits = cpns_topic_down("cpns", w[1], tight, need);
	size_t not = cpns_topic_down("cpns", w[1], short_by_one, need - 1);
	printf("R %s %s %s %s %d\n", ok ? identity : "-", topic[0], topic[1], topic[2], fits == need - 1 && not == 0);
	free(tight);
	free(short_by_one);
}

static void frame(char **w)
{
	uint8_t buf[CPNS_FRAME_MAX];
	size_t len = unhex(buf + 2, CPNS_SAID_MAX, w[1]);
	print_hex("R", buf, cpns_frame(buf, len));
}

/* secrets tells how often a key, in hex, is in the device's memory. */
static void secrets(char **w)
{
	uint8_t key[64];
	size_t len = unhex(key, sizeof key, w[1]), at = 0;
	const uint8_t *memory = (const uint8_t *)&h.pne;
	unsigned found = 0;
	for (; len != 0 && at + len <= sizeof h.pne; at++)
		found += memcmp(memory + at, key, len) == 0;
	printf("R %u\n", found);
}

static void x25519(char **w)
{
#if CPNS_X25519
	uint8_t private_key[32], public_key[32], out[32];
	unhex(private_key, 32, w[1]);
	bool base = strcmp(w[2], "-") == 0;
	if (!base)
		unhex(public_key, 32, w[2]);
	if (cpns_x25519(out, private_key, base ? NULL : public_key) == 0)
		print_hex("R", out, 32);
	else
		printf("R fails\n");
#else
	(void)w;
#endif
}

static void slots(void)
{
	for (unsigned i = 0; i < 2; i++)
		print_hex("R", h.slots[i], CPNS_RECORD_SIZE);
	printf("R %u\n", h.stores);
}

static void run(char **w, int n)
{
	const char *c = w[0];
	uint32_t now = n > 1 ? (uint32_t)strtoul(w[1], NULL, 10) : 0;
	if (strcmp(c, "configure") == 0)
		configure(w, n);
	else if (strcmp(c, "boot") == 0)
		printf("R %d\n", (int)cpns_pne_init(&h.pne, &h.config, now));
	else if (strcmp(c, "up") == 0)
		cpns_pne_link_up(&h.pne, now);
	else if (strcmp(c, "feed") == 0)
		feed(w, n, false, n > 3 ? (size_t)atoi(w[3]) : LINE_MAX_LEN);
	else if (strcmp(c, "message") == 0)
		feed(w, n, true, 0);
	else if (strcmp(c, "poll") == 0)
		printf("R %" PRIu32 "\n", cpns_pne_poll(&h.pne, now));
	else if (strcmp(c, "held") == 0)
		held();
	else if (strcmp(c, "dropped") == 0)
		printf("R %" PRIu32 "\n", cpns_pne_dropped(&h.pne));
	else if (strcmp(c, "application") == 0)
		application(w);
	else if (strcmp(c, "names") == 0)
		names(w);
	else if (strcmp(c, "frame") == 0)
		frame(w);
	else if (strcmp(c, "secret") == 0)
		secrets(w);
	else if (strcmp(c, "wipe") == 0)
		cpns_pne_wipe(&h.pne);
	else if (strcmp(c, "x25519") == 0)
		x25519(w);
	else if (strcmp(c, "power") == 0)
		power();
	else if (strcmp(c, "dead") == 0)
		printf("R %d\n", h.dead);
	else if (strcmp(c, "fuel") == 0)
		h.fuel = atol(w[1]);
	else if (strcmp(c, "nor") == 0) {
		if (n > 1)
			unhex(h.nor, sizeof h.nor, w[1]);
		else
			print_hex("R", h.nor, sizeof h.nor);
	} else if (strcmp(c, "make") == 0)
		printf("R %d\n", cpns_flash_counter_make(&h.flash));
	else if (strcmp(c, "count") == 0)
		count(w);
	else if (strcmp(c, "open") == 0)
		printf("R %s\n", strerror(cpns_file_open(&h.file, w[1])));
	else if (strcmp(c, "close") == 0)
		cpns_file_close(&h.file);
	else if (strcmp(c, "limit") == 0)
		limit(w);
	else if (strcmp(c, "slots") == 0)
		slots();
	else if (strcmp(c, "slot") == 0)
		unhex(h.slots[atoi(w[1]) & 1], CPNS_RECORD_SIZE, w[2]);
	else if (strcmp(c, "store") == 0) {
		h.store = w[1][0];
		h.torn = n > 2 ? (size_t)atoi(w[2]) : 0;
	} else if (strcmp(c, "loadfails") == 0)
		h.load_fails = atoi(w[1]) != 0;
	else if (strcmp(c, "randomfails") == 0)
		h.random_fails = atoi(w[1]) != 0;
	else if (strcmp(c, "sendfails") == 0)
		h.send_fails = atoi(w[1]) != 0;
	else if (strcmp(c, "cryptoleft") == 0) {
		printf("R %ld\n", crypto_left);
		crypto_left = atol(w[1]);
	} else if (strcmp(c, "seed") == 0)
		h.random_state = strtoull(w[1], NULL, 10);
	else if (strcmp(c, "script") == 0) {
		h.script_at = 0;
		h.script_len = n > 1 ? unhex(h.script, sizeof h.script, w[1]) : 0;
	} else if (strcmp(c, "hello") == 0) /* as if it had said another one */
		unhex(h.pne.hello.hash, sizeof h.pne.hello.hash, w[1]);
	else if (strcmp(c, "counter") == 0)
		h.counter = strtoull(w[1], NULL, 10);
	else if (strcmp(c, "size") == 0)
		printf("R %zu\n", sizeof(cpns_pne_t));
	else
		printf("R what is %s?\n", c);
	printf(".\n");
}

int main(void)
{
	static char line[LINE_MAX_LEN];
	h.store = 'o';
	h.random_state = 1;
	memset(h.slots, 0xff, sizeof h.slots);
	memset(h.nor, 0xff, sizeof h.nor);
	power();
#ifdef CPNS_PSA
	if (psa_crypto_init() != PSA_SUCCESS)
		return 1;
#endif
	while (fgets(line, sizeof line, stdin) != NULL) {
		char *w[8];
		int n = 0;
		for (char *word = strtok(line, " \n"); word != NULL && n < 8; word = strtok(NULL, " \n"))
			w[n++] = word;
		if (n != 0)
			run(w, n);
		fflush(stdout);
	}
	return 0;
}
