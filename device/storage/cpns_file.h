/* SPDX-License-Identifier: Apache-2.0
 *
 * cpns_file.h: the storage of a PNE in a file, for devices that have POSIX. A reference.
 * Each slot has a page of 4096 bytes, so that no write touches both. */
#ifndef CPNS_FILE_H
#define CPNS_FILE_H

#include "cpns_pne.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
	int fd;
} cpns_file_t;

/* cpns_file_open opens the file, or makes it, mode 0600. 0, or an errno. It refuses one
 * that others may read, and one that another process has. */
int cpns_file_open(cpns_file_t *file, const char *path);
void cpns_file_close(cpns_file_t *file);

/* What cpns_config_t wants, with a cpns_file_t * as user. */
int cpns_file_load(void *file, unsigned slot, uint8_t record[CPNS_RECORD_SIZE]);
int cpns_file_store(void *file, unsigned slot, const uint8_t record[CPNS_RECORD_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
