/* SPDX-License-Identifier: Apache-2.0 */
#include "cpns_flash.h"

#include <string.h>

enum {
	COUNTER_BLOCK = 2, /* the first of the counter's two */
	ENTRY_SIZE = 16,   /* a value, and its complement */
	RESERVED = 64      /* values that one entry stands for */
};

static uint32_t block(const cpns_flash_t *f, unsigned n)
{
	return f->offset + n * f->block_size;
}

int cpns_flash_load(void *flash, unsigned slot, uint8_t record[CPNS_RECORD_SIZE])
{
	const cpns_flash_t *f = (const cpns_flash_t *)flash;
	return f->read(f->driver, block(f, slot), record, CPNS_RECORD_SIZE);
}

int cpns_flash_store(void *flash, unsigned slot, const uint8_t record[CPNS_RECORD_SIZE])
{
	const cpns_flash_t *f = (const cpns_flash_t *)flash;
	if (f->erase(f->driver, block(f, slot)) != 0)
		return -1;
	return f->program(f->driver, block(f, slot), record, CPNS_RECORD_SIZE);
}

/* An entry is a limit below which all values are used up. It counts only beside its
 * complement, which a torn write does not have, nor an erased one. */
static void put_entry(uint8_t e[ENTRY_SIZE], uint64_t limit)
{
	for (unsigned i = 0; i < 8; i++) {
		e[i] = (uint8_t)(limit >> (56 - 8 * i));
		e[8 + i] = (uint8_t)~e[i];
	}
}

static uint64_t limit_of(const uint8_t e[ENTRY_SIZE])
{
	uint64_t limit = 0;
	for (unsigned i = 0; i < 8; i++) {
		if ((e[i] ^ e[8 + i]) != 0xff)
			return 0;
		limit = limit << 8 | e[i];
	}
	return limit;
}

static bool erased(const uint8_t e[ENTRY_SIZE])
{
	for (unsigned i = 0; i < ENTRY_SIZE; i++)
		if (e[i] != 0xff)
			return false;
	return true;
}

/* A place_t is what both blocks say. */
typedef struct {
	uint64_t highest;  /* limit; 0: there is no entry */
	uint64_t unclear;  /* how many entries are neither good nor erased */
	unsigned block;    /* that has the highest */
	uint32_t end;      /* behind its last entry that is not erased */
} place_t;

static int find(const cpns_flash_t *f, place_t *p)
{
	uint32_t end[2] = {0, 0};
	memset(p, 0, sizeof *p);
	for (unsigned n = 0; n < 2; n++) {
		for (uint32_t i = 0; i + ENTRY_SIZE <= f->block_size; i += ENTRY_SIZE) {
			uint8_t e[ENTRY_SIZE];
			if (f->read(f->driver, block(f, COUNTER_BLOCK + n) + i, e, ENTRY_SIZE) != 0)
				return -1;
			if (erased(e))
				continue;
			end[n] = i + ENTRY_SIZE;
			uint64_t limit = limit_of(e);
			if (limit == 0)
				p->unclear++;
			if (limit > p->highest) {
				p->highest = limit;
				p->block = n;
			}
		}
	}
	p->end = end[p->block];
	return 0;
}

static int put(const cpns_flash_t *f, unsigned n, uint32_t at, uint64_t limit)
{
	uint8_t e[ENTRY_SIZE], back[ENTRY_SIZE];
	uint32_t offset = block(f, COUNTER_BLOCK + n) + at;
	put_entry(e, limit);
	if (f->program(f->driver, offset, e, ENTRY_SIZE) != 0 || f->read(f->driver, offset, back, ENTRY_SIZE) != 0)
		return -1;
	return memcmp(e, back, ENTRY_SIZE) == 0 ? 0 : -1;
}

/* begin begins a block, with its first entry twice: the erased block may have had unclear
 * ones that the limit stands for, and a flipped bit must not bring that down. */
static int begin(const cpns_flash_t *f, unsigned n, uint64_t limit)
{
	if (f->erase(f->driver, block(f, COUNTER_BLOCK + n)) != 0 || put(f, n, 0, limit) != 0)
		return -1;
	return put(f, n, ENTRY_SIZE, limit);
}

int cpns_flash_counter_make(cpns_flash_t *f)
{
	if (f->erase(f->driver, block(f, COUNTER_BLOCK + 1)) != 0)
		return -1;
	return begin(f, 0, RESERVED);
}

/* reserve makes sure of values that were never given out. */
static int reserve(cpns_flash_t *f)
{
	place_t p;
	if (find(f, &p) != 0 || p.highest == 0)
		return -1;
	/* An entry that cannot be read was torn, and stands for nothing; or a bit of it has
	 * flipped, and its values were given out. */
	uint64_t from = p.highest + RESERVED * p.unclear;
	if (from < p.highest || from > UINT64_MAX - RESERVED)
		return -1;
	/* The block with the highest limit stays until the other has a higher one. */
	int failed = p.end + ENTRY_SIZE > f->block_size ? begin(f, p.block ^ 1, from + RESERVED)
	                                                : put(f, p.block, p.end, from + RESERVED);
	if (failed != 0)
		return -1;
	f->counter.next = from;
	f->counter.limit = from + RESERVED;
	return 0;
}

int cpns_flash_counter(void *flash, uint64_t *value)
{
	cpns_flash_t *f = (cpns_flash_t *)flash;
	if (f->counter.next == f->counter.limit && reserve(f) != 0)
		return -1;
	*value = f->counter.next++;
	return 0;
}
