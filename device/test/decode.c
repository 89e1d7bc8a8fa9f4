/* SPDX-License-Identifier: Apache-2.0
 *
 * Tells of each message on standard input, one in hex a line, whether the library takes
 * it for one: 1 or 0. decode_test.go runs it on a processor of 32 bits. */
#include <stdio.h>
#include <string.h>

#include "internal.h"

int main(void)
{
	static char line[2 * CPNS_MESSAGE_MAX + 100];
	while (fgets(line, sizeof line, stdin) != NULL) {
		uint8_t msg[sizeof line / 2];
		size_t len = 0;
		unsigned byte;
		while (sscanf(line + 2 * len, "%2x", &byte) == 1)
			msg[len++] = (uint8_t)byte;
		message_t m;
		puts(cpns_read_message(&m, msg, len) ? "1" : "0");
	}
	return 0;
}
