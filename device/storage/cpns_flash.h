/* SPDX-License-Identifier: Apache-2.0
 *
 * cpns_flash.h: the storage of a PNE on raw flash, where writing clears bits and only
 * a whole erase block can be set to ones again. A reference: it knows nothing of wear
 * (an EUKey is stored a few times a year), and keeps no state but the counter's.
 *
 * Blocks from offset on:   0, 1   the record's two slots
 *                          2, 3   the counter, where there is one
 */
#ifndef CPNS_FLASH_H
#define CPNS_FLASH_H

#include <stdint.h>

#include "cpns_pne.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
	uint32_t offset;     /* of the first block, in bytes */
	uint32_t block_size; /* bytes that are erased together, a multiple of 16, at least 256 */

	/* The driver. Not 0: it failed. erase sets a block to ones. program writes len
	 * bytes, a multiple of 4, where ones are; it must have reached the flash when it
	 * returns. Torn, both may leave anything, in their own block only. */
	int (*erase)(void *driver, uint32_t offset);
	int (*program)(void *driver, uint32_t offset, const void *data, uint32_t len);
	int (*read)(void *driver, uint32_t offset, void *data, uint32_t len);
	void *driver;

	struct { /* cpns_flash_counter's own; zero to begin with */
		uint64_t next, limit; /* what is given out next, and what is reserved */
	} counter;
} cpns_flash_t;

/* What cpns_config_t wants, with a cpns_flash_t * as user. */
int cpns_flash_load(void *flash, unsigned slot, uint8_t record[CPNS_RECORD_SIZE]);
int cpns_flash_store(void *flash, unsigned slot, const uint8_t record[CPNS_RECORD_SIZE]);

/* cpns_flash_counter_make begins the counter: once, where the device is made. A counter
 * that is not there, or was lost, is never begun anew by itself: that would give out
 * values again. */
int cpns_flash_counter_make(cpns_flash_t *flash);

/* cpns_flash_counter is the counter of a device that has no random source. It stores
 * an entry of 16 bytes for every 64 values and at each start, and erases a block when one
 * is full: with blocks of 4 kB, after 16384 hellos and challenges, or 256 starts. */
int cpns_flash_counter(void *flash, uint64_t *value);

#ifdef __cplusplus
}
#endif

#endif
