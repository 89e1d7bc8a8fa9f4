/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames of a byte stream (section 5): 0x00 COBS(message | FCS) 0x00, where FCS is
 * the 16-bit FCS of RFC 1662, low byte first. */
#include "internal.h"

static uint16_t fcs16(const uint8_t *p, size_t len)
{
	unsigned fcs = 0xffff;
	while (len-- != 0) {
		/* Eight steps of the polynomial at once. */
		unsigned x = (*p++ ^ fcs) & 0xff;
		x = (x ^ x << 4) & 0xff;
		fcs = (fcs >> 8 ^ x << 8 ^ x << 3 ^ x >> 4) & 0xffff;
	}
	return (uint16_t)~fcs;
}

size_t cpns_frame(uint8_t buf[CPNS_FRAME_MAX], size_t len)
{
	uint16_t fcs = fcs16(buf + AT_SAID, len);
	size_t end = AT_SAID + len;
	buf[end++] = (uint8_t)fcs;
	buf[end++] = (uint8_t)(fcs >> 8);
	/* It is shorter than a block of 254, so that the codes take the place of the
	 * zeros: each is how far away the next one is. */
	size_t code = 1;
	for (size_t i = AT_SAID; i <= end; i++) {
		if (i == end || buf[i] == 0) {
			buf[code] = (uint8_t)(i - code);
			code = i;
		}
	}
	buf[0] = 0;
	buf[end++] = 0;
	return end;
}

int cpns_unstuff(uint8_t *frame, size_t len)
{
	size_t n = 0; /* bytes decoded: never ahead of those read */
	for (size_t i = 0; i < len;) {
		size_t code = frame[i++];
		if (code - 1 > len - i) /* code is never 0 */
			return -1;
		for (size_t rest = code - 1; rest != 0; rest--)
			frame[n++] = frame[i++];
		if (code < 0xff && i < len)
			frame[n++] = 0;
	}
	if (n < 2 || n > CPNS_MESSAGE_MAX + 2)
		return -1;
	n -= 2;
	unsigned fcs = (unsigned)frame[n] | (unsigned)frame[n + 1] << 8;
	return fcs == fcs16(frame, n) ? (int)n : -1;
}
