/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

void cpns_wipe(void *data, size_t len)
{
	/* Each write is a side effect, which a compiler may not leave out. */
	volatile uint8_t *p = (volatile uint8_t *)data;
	while (len-- != 0)
		*p++ = 0;
}

bool cpns_equal(const void *a, const void *b, size_t len)
{
	const volatile uint8_t *p = (const volatile uint8_t *)a;
	const volatile uint8_t *q = (const volatile uint8_t *)b;
	uint8_t differ = 0;
	for (size_t i = 0; i < len; i++)
		differ = (uint8_t)(differ | (p[i] ^ q[i]));
	return differ == 0;
}

void cpns_pne_wipe(cpns_pne_t *pne)
{
	cpns_wipe(pne, sizeof *pne);
}
